//! Fewer rows than records: one for each span of time.

use anyhow::{Context, Result, ensure};
use headwater_tests::{FAILED, TestNode, USAGE, python};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use super::{create, path};

/// 2024-01-01, in seconds.
const BEGIN: u64 = 1_704_067_200;

/// Rows whose times repeat and run backwards, and in which some cells are missing.
fn rows(count: u64) -> String {
    let row = |i: u64| {
        let late = (i * i) % 7 * 900;
        let time = BEGIN + i * 600 - late.min(i * 600);
        let wind = match i % 5 {
            0 => Value::Null,
            _ => json!((i * 37 % 1_009) as f64 / 10.0 - 20.0),
        };
        let n = match i % 11 {
            3 => Value::Null,
            _ => json!(9_007_199_254_740_993 - i),
        };
        let sky = json!([Some("clear"), Some("cloud, \"grey\""), Some(""), None][i as usize % 4]);
        format!(
            "{}\n",
            json!({"time": time, "time_unit": "s", "wind": wind, "n": n, "sky": sky})
        )
    };
    (0..count).map(row).collect()
}

async fn weather(node: &TestNode, count: u64) -> Result<String> {
    let columns = ["--columns", "wind:number:m/s,n:integer,sky:text"];
    let created = node.json(&[&["stream", "create", "weather"][..], &columns].concat())?;
    let stream = created["id"].as_str().context("no id")?.to_owned();
    node.append(&stream, rows(count)).await?;
    Ok(stream)
}

#[tokio::test]
async fn rows_of_spans_are_those_that_follow_from_all_records() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = weather(&node, 1_500).await?;
    let address = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let types = json!({"wind": "number", "n": "integer", "sky": "text"}).to_string();
    let spans = json!([3_600, 86_400, 7, 100_000]).to_string();
    let Some(said) = python::run("thinning.py", &[&address, &types, &spans]).await? else {
        return Ok(());
    };
    let rows: u64 = said.trim().parse()?;
    ensure!(rows > 5_000, "{rows} rows");
    Ok(())
}

async fn get(url: &str) -> Result<Response> {
    Ok(Client::new().get(url).send().await?)
}

fn header<'a>(answer: &'a Response, name: &str) -> Result<&'a str> {
    let value = answer.headers().get(name);
    Ok(value.with_context(|| format!("no {name}"))?.to_str()?)
}

#[tokio::test]
async fn a_table_of_spans_has_a_length_and_parts_and_is_another_one_when_the_stream_has_grown()
-> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = weather(&node, 600).await?;
    for format in ["csv", "ndjson", "json", "arrow", "feather", "parquet"] {
        let path = format!("/v1/streams/{stream}/observations?every=1h&format={format}");
        let url = node.url(&path)?;
        let whole = get(&url).await?;
        let tag = header(&whole, "etag")?.to_owned();
        ensure!(whole.headers().get("headwater-left-out").is_none());
        let length: usize = header(&whole, "content-length")?.parse()?;
        let whole = whole.bytes().await?;
        ensure!(
            whole.len() == length && length > 1_000,
            "{format}: {length}"
        );
        let head = Client::new().head(&url).send().await?;
        ensure!(
            header(&head, "content-length")? == length.to_string(),
            "{format}"
        );
        let part = Client::new().get(&url).header("range", "bytes=100-299");
        let part = part.header("if-range", &tag).send().await?;
        ensure!(part.status() == StatusCode::PARTIAL_CONTENT, "{format}");
        ensure!(part.bytes().await? == whole[100..300], "{format}");
        let known = Client::new().get(&url).header("if-none-match", &tag);
        ensure!(
            known.send().await?.status() == StatusCode::NOT_MODIFIED,
            "{format}"
        );
        // Other rows of the same records are another answer.
        for other in [
            "every=2h",
            "every=1h&agg=last",
            "every=1h&columns=wind",
            "limit=9",
        ] {
            let url = node.url(&path.replace("every=1h", other))?;
            ensure!(
                header(&get(&url).await?, "etag")? != tag,
                "{format}, {other}"
            );
        }
    }
    let path =
        format!("/v1/streams/{stream}/observations?every=1d&agg=count&columns=sky&format=csv");
    let url = node.url(&path)?;
    let before = get(&url).await?;
    let before = (header(&before, "etag")?.to_owned(), before.text().await?);
    node.append(&stream, "[1,1,\"now\"]\n").await?;
    let after = get(&url).await?;
    ensure!(header(&after, "etag")? != before.0);
    let after = after.text().await?;
    ensure!(
        after.starts_with(&before.1) && after.ends_with(",1\n"),
        "{after}"
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_made_of_spans_is_refused_with_the_reason() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = weather(&node, 10).await?;
    for (query, why) in [
        ("every=0s", "longer than nothing"),
        ("every=1", "is not a duration"),
        ("every=1y", "is not a duration"),
        ("every=1h&every_us=5", "leave one off"),
        (
            "every=1h&agg=median",
            "use mean, min, max, first, last or count",
        ),
        (
            "every=1h&agg=mean",
            "no mean of column `sky`, which has texts",
        ),
        (
            "every=1h&agg=max&columns=sky,wind",
            "no max of column `sky`",
        ),
        ("every=1h&columns=rain", "no column `rain`"),
        ("agg=mean", "give both"),
        ("every=1h&with_proof=true&format=parquet", "no proof"),
        ("every=1h&order=desc", "leave off every"),
        ("every=1h&at_or_before=2024-01-01", "leave off every"),
    ] {
        let url = node.url(&format!("/v1/streams/{stream}/observations?{query}"))?;
        let answer = get(&url).await?;
        ensure!(answer.status() == StatusCode::BAD_REQUEST, "{query}");
        let problem: Value = answer.json().await?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains(why), "{query}: {detail}");
    }
    Ok(())
}

#[tokio::test]
async fn the_command_writes_rows_of_spans_which_are_no_export_that_could_be_verified() -> Result<()>
{
    let node = TestNode::start(&[]).await?;
    let temperature = create(&node, "temperature", "number")?;
    let at = |second: u64, value: &str| {
        format!(
            "{{\"time\":{},\"time_unit\":\"s\",\"value\":{value}}}\n",
            BEGIN + second
        )
    };
    let all = [
        at(0, "1.50"),
        at(3_599, "2"),
        at(7_200, "-3"),
        at(3_600, "0.1"),
    ];
    node.append(&temperature, all.concat()).await?;
    let export = |args: &[&str]| node.run(&[&["export", "temperature"][..], args].concat());
    ensure!(
        export(&["--every", "1h"])?
            == "time,value\n2024-01-01T00:00:00.000000Z,1.75\n2024-01-01T01:00:00.000000Z,0.1\n\
                2024-01-01T02:00:00.000000Z,-3\n"
    );
    let first = [
        "--every",
        "2h",
        "--agg",
        "first",
        "--format",
        "ndjson",
        "--to",
        "2024-01-01T02:00",
    ];
    ensure!(export(&first)? == "{\"time\":\"2024-01-01T00:00:00.000000Z\",\"value\":1.50}\n");
    let file = path(&node, "thin.csv")?;
    export(&["--every", "1d", "--agg", "count", "-o", &file])?;
    let written = std::fs::read_to_string(&file)?;
    ensure!(
        written == "time,value\n2024-01-01T00:00:00.000000Z,4\n",
        "{written}"
    );
    let verify = node.command(&["verify", &file, "--stream", &temperature])?;
    ensure!(verify.status.code() == Some(FAILED), "{verify:?}");
    for args in [
        &["--every", "1h", "--with-proof", "-o", &file][..],
        &["--every", "0s"],
        &["--every", "soon"],
        &["--agg", "mean"],
        &["--every", "1h", "--agg", "median"],
    ] {
        let refused = node.command(&[&["export", "temperature"][..], args].concat())?;
        ensure!(
            refused.status.code() == Some(USAGE),
            "{args:?}: {refused:?}"
        );
    }
    Ok(())
}
