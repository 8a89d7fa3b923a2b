//! A time means what was meant, at every door, or is refused with the reason.

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::create;

/// What is answered to a body of this type.
async fn post(
    node: &TestNode,
    stream: &str,
    (question, content_type): (&str, &str),
    body: impl Into<reqwest::Body>,
) -> Result<(StatusCode, Value)> {
    let url = node.url(&format!("/v1/streams/{stream}/observations{question}"))?;
    let request = Client::new().post(url).bearer_auth(node.token()?);
    let request = request.header("content-type", content_type);
    let answer = request.body(body).send().await?;
    Ok((answer.status(), answer.json().await?))
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// The times of the last records.
fn times(node: &TestNode, stream: &str, count: usize) -> Result<Vec<String>> {
    let csv = node.export(stream)?;
    let times = csv.lines().skip(1).map(|line| {
        let time = line.split(',').nth(1);
        time.map(str::to_owned).context("no time")
    });
    let mut times: Vec<_> = times.collect::<Result<_>>()?;
    Ok(times.split_off(times.len().saturating_sub(count)))
}

#[tokio::test]
async fn a_number_is_a_time_in_a_unit_that_is_said_or_it_is_refused() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "units", "number")?;
    for (body, word) in [
        (r#"{"time":1764400000,"value":2}"#, "looks like seconds"),
        (
            r#"{"time":1764400000123,"value":2}"#,
            "looks like milliseconds",
        ),
        (
            r#"{"time":1764400000123456789,"value":2}"#,
            "looks like nanoseconds",
        ),
        (r#"{"time":1764400000.5,"value":2}"#, "looks like seconds"),
        (r#"{"time":"1764400000","value":2}"#, "looks like seconds"),
        (r#"{"time":0,"value":2}"#, "time_unit"),
        (r#"{"time":null,"value":2}"#, "is null, which is no time"),
        (r#"{"time":"2024-05-01T12:30:60Z","value":2}"#, "second 60"),
    ] {
        for (kind, body) in [(JSON, body.to_owned()), (NDJSON, format!("{body}\n"))] {
            let (status, answer) = post(&node, &stream, ("", kind), body.clone()).await?;
            ensure!(
                status == StatusCode::BAD_REQUEST,
                "{body}: {status}: {answer}"
            );
            ensure!(answer.to_string().contains(word), "{body}: {answer}");
        }
        let line = node
            .command_with_input(&["publish", &stream, "--ndjson"], &format!("{body}\n"))
            .await?;
        let said = String::from_utf8_lossy(&line.stderr).into_owned();
        ensure!(
            !line.status.success() && said.contains(word),
            "{body}: {said}"
        );
    }
    ensure!(node.get(&format!("/v1/streams/{stream}")).await?["size"] == 0);

    for (question, body) in [
        ("?time_unit=s", r#"{"time":1764400000,"value":2}"#),
        ("", r#"{"time":1764400000000,"time_unit":"ms","value":2}"#),
        (
            "?time_unit=s",
            r#"{"time":1764400000000000999,"time_unit":"ns","value":2}"#,
        ),
        ("", r#"{"time":1764400000000000,"value":2}"#),
    ] {
        let (status, answer) = post(&node, &stream, (question, JSON), body).await?;
        ensure!(status == StatusCode::CREATED, "{body}: {answer}");
    }
    let flag = [
        "publish",
        &stream,
        "1",
        "--time",
        "1764400000",
        "--time-unit",
        "s",
    ];
    node.run(&flag)?;
    let unsaid = node.command_with_input(&flag[..5], "").await?;
    let said = String::from_utf8_lossy(&unsaid.stderr).into_owned();
    ensure!(unsaid.status.code() == Some(2), "{unsaid:?}");
    ensure!(said.contains("looks like seconds"), "{said}");
    let lines = "{\"time\":1764400000,\"value\":1}\n";
    let publish = ["publish", &stream, "--ndjson", "--time-unit", "s"];
    let published = node.command_with_input(&publish, lines).await?;
    ensure!(published.status.success(), "{published:?}");
    let times = times(&node, &stream, 6)?;
    ensure!(times == ["2025-11-29T07:06:40.000000Z"; 6], "{times:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_not_quite_as_it_was_written_is_said_once() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "notes", "number")?;
    let body = r#"[{"time":"2016-12-31T23:59:60.5","value":"+3"},{"time":"2017-01-01","value":1},
        {"time":"2017-01-01T00:00:00.0981234Z","value":".5"},{"time":"2099-01-01T00:00:00Z","value":7}]"#;
    let (status, answer) = post(&node, &stream, ("", JSON), body).await?;
    ensure!(status == StatusCode::CREATED, "{answer}");
    let notes = json!([
        "2 times without a zone were taken as UTC",
        "1 time finer than a microsecond was rounded down to the microsecond",
        "1 time in a leap second was moved to the last microsecond before the next second",
        "1 time lies in the future: 2099-01-01T00:00:00.000000Z",
        "2 numbers are kept as JSON writes them",
    ]);
    ensure!(answer["notes"] == notes, "{answer}");
    let kept = times(&node, &stream, 4)?;
    ensure!(
        kept == [
            "2016-12-31T23:59:59.999999Z",
            "2017-01-01T00:00:00.000000Z",
            "2017-01-01T00:00:00.098123Z",
            "2099-01-01T00:00:00.000000Z",
        ],
        "{kept:?}"
    );
    let (_, plain) = post(&node, &stream, ("", JSON), r#"{"value":1}"#).await?;
    ensure!(plain == json!({"from": 4, "to": 5}), "{plain}");

    let far = ["publish", &stream, "5", "--time", "2099-01-01T00:00:00Z"];
    let far = node.command_with_input(&far, "").await?;
    let said = String::from_utf8_lossy(&far.stderr).into_owned();
    ensure!(far.status.success(), "{said}");
    ensure!(
        said.contains("1 time lies in the future: 2099-01-01"),
        "{said}"
    );
    let lines = "{\"time\":\"2099-01-01\",\"value\":1}\n".repeat(3);
    let lines = node
        .command_with_input(&["publish", &stream, "--ndjson"], &lines)
        .await?;
    let said = String::from_utf8_lossy(&lines.stderr).into_owned();
    ensure!(said.matches("in the future").count() == 1, "{said}");
    Ok(())
}

#[tokio::test]
async fn files_with_fine_times_and_leap_seconds_are_read_as_they_are_meant() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let publish = |stream: &str, file: &str, more: &[&str]| {
        let file = format!("{}/data/cases/{file}", env!("CARGO_MANIFEST_DIR"));
        let columns = ["--time-column", "ts", "--value-column", "value"];
        let args = [&["publish", stream, "--file", &file], &columns[..], more].concat();
        let output = node.command(&args)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::Ok((output.status.success(), said))
    };
    for (file, more, times_of_file) in [
        (
            "nano9.csv",
            &[][..],
            &["2019-05-02T16:12:41.098123Z", "2019-05-02T16:12:42.098123Z"][..],
        ),
        (
            "ticks7.csv",
            &[],
            &["2019-05-02T16:12:41.098123Z", "2019-05-02T16:12:42.098000Z"],
        ),
        (
            "leap.csv",
            &[],
            &[
                "2016-12-31T23:59:59.700000Z",
                "2016-12-31T23:59:59.999999Z",
                "2017-01-01T00:00:00.000000Z",
            ],
        ),
        (
            "whole-then-fraction.csv",
            &["--time-unit", "s"],
            &[
                "2023-11-14T22:13:20.000000Z",
                "2023-11-14T22:13:20.250000Z",
                "2023-11-14T22:13:21.500000Z",
            ],
        ),
    ] {
        let stream = create(&node, file, "number")?;
        let (done, said) = publish(&stream, file, more)?;
        ensure!(done, "{file}: {said}");
        let found = times(&node, &stream, 9)?;
        ensure!(found == times_of_file, "{file}: {found:?}");
        let is_fine = ["nano9.csv", "ticks7.csv"].contains(&file);
        ensure!(said.contains("rounded down") == is_fine, "{file}: {said}");
        ensure!(
            said.contains("leap second") == (file == "leap.csv"),
            "{file}: {said}"
        );
    }
    let stream = create(&node, "wrong", "number")?;
    let (done, said) = publish(&stream, "leap-wrong.csv", &[])?;
    ensure!(!done, "{said}");
    ensure!(
        said.contains("line 2") && said.contains("second 60"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_table_is_asked_for_with_spans_and_dates() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 3)?;
    let table = async |question: &str| {
        let path = format!("/v1/join?streams={stream}&{question}");
        node.get(&path).await
    };
    let by_text = table("every=1s&tolerance=1m&from=2020-01-01").await?;
    let by_micros =
        table("every_us=1000000&tolerance_us=60000000&from=2020-01-01T00:00:00Z").await?;
    ensure!(by_text == by_micros, "{by_text} {by_micros}");
    ensure!(
        by_text.as_array().is_some_and(|rows| rows.len() == 3),
        "{by_text}"
    );
    ensure!(
        table("from=1577836801&time_unit=s").await? == table("from=2020-01-01T00:00:01").await?
    );

    let csv = node.command(&["export", &stream, "--from", "2020-01-01 00:00:01"])?;
    ensure!(String::from_utf8(csv.stdout)?.lines().count() == 3);
    for (bounds, word) in [
        (["--from", "10", "--to", "5"], "lies behind"),
        (
            ["--from", "1577836801", "--to", "1577836802"],
            "looks like seconds",
        ),
    ] {
        let refused = node.command(&[&["export", &stream], &bounds[..]].concat())?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(
            !refused.status.success() && said.contains(word),
            "{bounds:?}: {said}"
        );
    }
    let unit = ["--from", "1577836801", "--time-unit", "s"];
    let csv = node.command(&[&["export", &stream], &unit[..]].concat())?;
    ensure!(String::from_utf8(csv.stdout)?.lines().count() == 3);
    Ok(())
}

#[tokio::test]
async fn a_year_that_nobody_means_is_refused_at_every_door() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "years", "number")?;
    let word = "lies before the year 1000";
    let line = "{\"time\":\"0024-05-01T12:30:00Z\",\"value\":1}\n";
    for kind in [JSON, NDJSON] {
        let (status, answer) = post(&node, &stream, ("", kind), line).await?;
        ensure!(status == StatusCode::BAD_REQUEST, "{answer}");
        ensure!(answer.to_string().contains(word), "{answer}");
    }
    let unsigned = Client::new().put(node.url("/v1/unsigned/old")?);
    let unsigned = unsigned.bearer_auth(node.token()?).body(line);
    let answer = unsigned.header("content-type", NDJSON).send().await?.text();
    ensure!(answer.await?.contains(word));

    let csv = node.dir().join("years.csv");
    std::fs::write(&csv, "ts,value\n01.05.24,1\n")?;
    let csv = csv.to_str().context("the path is no text")?;
    let ndjson = node.dir().join("years.ndjson");
    std::fs::write(&ndjson, line)?;
    let ndjson = ndjson.to_str().context("the path is no text")?;
    let columns = ["--time-column", "ts", "--value-column", "value"];
    let publish = ["publish", &stream, "--file"];
    let pattern = ["--time-format", "%d.%m.%Y"];
    for (args, input) in [
        (vec!["publish", &stream, "1", "--time", "0024-05-01"], ""),
        (vec!["publish", &stream, "--ndjson"], line),
        (
            [&publish[..], &[ndjson, "--ndjson", "--again"]].concat(),
            "",
        ),
        (
            [&publish[..], &[csv, "--again"], &columns, &pattern].concat(),
            "",
        ),
        (
            [&["import", csv, "--create", "old"], &pattern[..]].concat(),
            "",
        ),
        ([&["import", csv, "--check"], &pattern[..]].concat(), ""),
        (
            [&["import", csv, "--unsigned", "old"], &pattern[..]].concat(),
            "",
        ),
    ] {
        let before = node.show(&stream)?["size"].clone();
        let refused = node.command_with_input(&args, input).await?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success(), "{args:?}");
        ensure!(said.contains(word) && said.contains("--any-year"), "{said}");
        ensure!(node.show(&stream)?["size"] == before, "{args:?}");
        let meant = [&args[..], &["--any-year"]].concat();
        let meant = node.command_with_input(&meant, input).await?;
        ensure!(meant.status.success(), "{args:?}: {meant:?}");
    }
    let kept = times(&node, &stream, 2)?;
    ensure!(
        kept == ["0024-05-01T12:30:00.000000Z", "0024-05-01T00:00:00.000000Z"],
        "{kept:?}"
    );
    // A number says its unit, and then anything can be meant; what is long ago is said.
    let number = r#"{"time":-61409188200,"time_unit":"s","value":1}"#;
    let (status, answer) = post(&node, &stream, ("", JSON), number).await?;
    ensure!(status == StatusCode::CREATED, "{answer}");
    let note = json!(["1 time lies before 1990: 0024-01-08T12:10:00.000000Z"]);
    ensure!(answer["notes"] == note, "{answer}");
    let old = ["publish", &stream, "1", "--time", "1750-01-01"];
    let old = node.command_with_input(&old, "").await?;
    let said = String::from_utf8_lossy(&old.stderr).into_owned();
    ensure!(
        old.status.success() && said.contains("lies before 1990: 1750"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_unit_goes_with_every_time_and_a_span_is_longer_than_nothing() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    for second in ["1577836800", "1577836801", "1577836802"] {
        let time = ["--time", second, "--time-unit", "s"];
        node.run(&[&["publish", &stream, "5"], &time[..]].concat())?;
    }
    let from = ["--from", "1577836801", "--time-unit", "s"];
    let tail = node.run(&[&["tail", &stream], &from[..]].concat())?;
    ensure!(tail.lines().count() == 2, "{tail}");
    let mut live = node.spawn(&[&["tail", &stream, "--follow", "--json"], &from[..]].concat())?;
    let output = live.stdout.take().context("no output")?;
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(output));
    for index in [1, 2] {
        let line = lines.next_line().await?.context("it ended")?;
        let record: Value = serde_json::from_str(&line)?;
        ensure!(record["index"] == index, "{line}");
    }
    node.run(&[&["sync", &stream], &from[..]].concat())?;
    let proof = node.run(&["prove", &stream, "1577836801", "--time-unit", "s"])?;
    let proof: Value = serde_json::from_str(&proof)?;
    ensure!(proof["index"] == 1, "{proof}");
    let errors = node.fails_with(
        2,
        &["import", "--from-peers", "x", "--before", "1577836801"],
    )?;
    ensure!(errors.contains("looks like seconds"), "{errors}");

    for nothing in [
        &["stream", "create", "x", "--cadence", "0s"][..],
        &["stream", "create", "x", "--retain-age", "0d"],
        &["stream", "gaps", &stream, "--cadence", "0s"],
        &["import", "a.csv", "--create", "x", "--cadence", "0s"],
        &["join", &stream, "--every", "0s"],
    ] {
        let errors = node.fails_with(2, nothing)?;
        ensure!(
            errors.contains("longer than nothing"),
            "{nothing:?}: {errors}"
        );
    }
    for question in ["cadence=0s", "cadence_us=0"] {
        let url = node.url(&format!("/v1/streams/{stream}/gaps?{question}"))?;
        let answer = reqwest::get(url).await?;
        ensure!(answer.status() == StatusCode::BAD_REQUEST, "{question}");
    }
    let created = async |body: Value| {
        let request = Client::new().post(node.url("/v1/streams")?);
        let answer = request
            .bearer_auth(node.token()?)
            .json(&body)
            .send()
            .await?;
        anyhow::Ok((answer.status(), answer.json::<Value>().await?))
    };
    let (status, answer) = created(json!({"name": "never", "cadence": "0s"})).await?;
    ensure!(status == StatusCode::BAD_REQUEST, "{answer}");
    let spans = json!({"name": "spans", "cadence": "1h", "retain_age": "30d"});
    let (status, answer) = created(spans).await?;
    ensure!(status == StatusCode::CREATED, "{answer}");
    ensure!(node.show("spans")?["cadence_us"] == 3_600_000_000_u64);
    let (status, answer) = created(json!({"name": "unsaid", "cadence_us": 0})).await?;
    ensure!(status == StatusCode::CREATED, "{answer}");
    Ok(())
}
