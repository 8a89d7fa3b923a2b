//! What is wrong in a request is said, with a status of the caller's blame, and
//! nothing of it is stored.

use anyhow::{Context, Result, ensure};
use headwater_tests::{PATIENCE, TestNode};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::create;

/// A node with a stream of numbers that has three of them.
struct Few {
    node: TestNode,
    stream: String,
    client: Client,
}

impl Few {
    async fn new() -> Result<Self> {
        let node = TestNode::start(&[]).await?;
        let stream = node.create("numbers")?;
        node.publish_numbers(&stream, 0, 3)?;
        // A node may close a connection whose request it has refused.
        let client = Client::builder().pool_max_idle_per_host(0).build()?;
        Ok(Self {
            node,
            stream,
            client,
        })
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/streams/{}{rest}", self.stream)
    }

    fn post(&self, stream: &str) -> Result<RequestBuilder> {
        let url = self
            .node
            .url(&format!("/v1/streams/{stream}/observations"))?;
        let request = self.client.post(url).bearer_auth(self.node.token()?);
        Ok(request.header("content-type", "application/json"))
    }

    /// The status of a `GET` that is refused, whose problem says this.
    async fn refused(&self, path: &str, status: u16, word: &str) -> Result<()> {
        let answer = self.client.get(self.node.url(path)?).send().await?;
        is_problem(path, answer, status, word).await
    }

    /// The indexes of the records that a question finds.
    async fn indexes(&self, question: &str) -> Result<Vec<u64>> {
        let path = self.path(&format!("/observations?{question}"));
        let found = self.node.get(&path).await?;
        let found = found.as_array().context("no list")?;
        let indexes = found.iter().map(|record| record["index"].as_u64());
        indexes.collect::<Option<_>>().context("no index")
    }

    /// Nothing was stored, and the node is well.
    async fn is_as_before(&self) -> Result<()> {
        let shown = self.node.get(&self.path("")).await?;
        ensure!(shown["size"] == 3, "{shown}");
        let health = self.node.get("/health").await?;
        ensure!(health["status"] == "ok");
        Ok(())
    }
}

async fn is_problem(what: &str, answer: reqwest::Response, status: u16, word: &str) -> Result<()> {
    let found = answer.status();
    let kind = answer.headers().get("content-type").cloned();
    let body = answer.text().await?;
    ensure!(found == status, "{what}: {found}, not {status}: {body}");
    let kind = kind.context("no content-type")?;
    ensure!(kind == "application/problem+json", "{what}: {kind:?}");
    let problem: Value = serde_json::from_str(&body)?;
    ensure!(problem["status"] == status, "{what}: {problem}");
    let said = problem["detail"].as_str().unwrap_or_default();
    ensure!(!said.is_empty(), "{what}: {problem}");
    ensure!(body.contains(word), "{what}: `{word}` is not in {body}");
    Ok(())
}

#[tokio::test]
async fn bodies_that_are_no_observations_are_refused_and_nothing_is_stored() -> Result<()> {
    let few = Few::new().await?;
    let many = format!("[{}]", vec![r#"{"value":1}"#; 65_537].join(","));
    for (body, status, word) in [
        // No JSON, or not the whole of it.
        (&b"{"[..], 400, "JSON"),
        (b"[{\"value\":1},", 400, "JSON"),
        (b"[{\"value\":1}] x", 400, "JSON"),
        (b"value=1", 400, "JSON"),
        (b"", 400, ""),
        (b"[]", 400, "no observations"),
        // Not UTF-8.
        (b"{\"value\":\"\xff\"}", 400, "UTF-8"),
        (b"\xfe\xff\x00{", 400, "UTF-8"),
        // Wrong types.
        (b"1", 400, "object"),
        (b"null", 400, "object"),
        (b"[1]", 400, "object"),
        (b"[[\"2024-01-01T00:00:00Z\", 1]]", 400, "object"),
        (b"{\"value\":null}", 400, "value"),
        (b"{\"value\":true}", 400, "value"),
        (b"{\"value\":{}}", 400, "value"),
        (b"{\"value\":[1]}", 400, "value"),
        (b"{\"value\":\"many\"}", 400, "many"),
        (b"{\"time\":1}", 400, "value"),
        (b"{\"value\":1,\"at\":2}", 400, "at"),
        (b"{\"value\":1,\"value\":2}", 400, "value"),
        // No finite numbers.
        (b"{\"value\":NaN}", 400, "JSON"),
        (b"{\"value\":Infinity}", 400, "JSON"),
        (b"{\"value\":-Infinity}", 400, "JSON"),
        (b"{\"value\":\"NaN\"}", 400, "NaN"),
        (b"{\"value\":\"inf\"}", 400, "inf"),
        (b"{\"value\":\"-infinity\"}", 400, "infinity"),
        (b"{\"value\":1e999}", 400, "1e999"),
        // Times.
        (b"{\"value\":1,\"time\":true}", 400, "time"),
        (b"{\"value\":1,\"time\":\"yesterday\"}", 400, "yesterday"),
        (b"{\"value\":1,\"time\":1e300}", 400, "time"),
        (b"{\"value\":1,\"time\":9223372036854775808}", 400, "time"),
        (
            b"{\"value\":1,\"time\":\"-999999-01-01T00:00:00Z\"}",
            400,
            "-999999",
        ),
        // Too much.
        (many.as_bytes(), 413, ""),
    ] {
        let what = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = few.post(&few.stream)?.body(body.to_vec()).send().await?;
        is_problem(&what, answer, status, word).await?;
        // Behind a good one it takes that with it.
        if status == 400 && body.starts_with(b"{\"") {
            let both = [b"[{\"value\":5},", body, b"]"].concat();
            let answer = few.post(&few.stream)?.body(both).send().await?;
            ensure!(answer.status() == 400, "{what}: {}", answer.status());
        }
    }
    // Whoever still sends may be cut off before it reads the answer.
    let long = format!(r#"{{"value":"{}"}}"#, "1".repeat(17 << 20));
    if let Ok(answer) = few.post(&few.stream)?.body(long).send().await {
        is_problem("a long body", answer, 413, "too long").await?;
    }
    let nobody = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    let answer = few.post(nobody)?.body(r#"{"value":1}"#).send().await?;
    is_problem("an unknown stream", answer, 404, "is not known here").await?;
    few.is_as_before().await
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_not_taken_for_a_whole_one() -> Result<()> {
    let few = Few::new().await?;
    let address = few.node.url("")?.replacen("http://", "", 1);
    let head = |framing: &str| -> Result<String> {
        Ok(format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/x-ndjson\r\n{framing}\r\n\r\n",
            few.path("/observations"),
            few.node.token()?
        ))
    };
    // What has arrived by then is whole lines.
    let line = "{\"value\":1}\n";
    for request in [
        format!("{}{line}{line}", head("content-length: 1000")?),
        format!(
            "{}c\r\n{line}\r\nc\r\n{line}\r\n",
            head("transfer-encoding: chunked")?
        ),
        format!("{}{line}\r\n", head("transfer-encoding: chunked\r\nx: y")?),
    ] {
        let mut connection = TcpStream::connect(&address).await?;
        connection.write_all(request.as_bytes()).await?;
        // The rest never comes.
        connection.shutdown().await?;
        let mut said = Vec::new();
        // It may be cut off without a word.
        let _ = timeout(PATIENCE, connection.read_to_end(&mut said)).await?;
        let said = String::from_utf8_lossy(&said);
        ensure!(
            said.is_empty() || said.starts_with("HTTP/1.1 400"),
            "{request}: {said}"
        );
        few.is_as_before().await?;
    }
    Ok(())
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_by_name() -> Result<()> {
    let few = Few::new().await?;
    let nobody = "/v1/streams/bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    for rest in [
        "",
        "/observations",
        "/live",
        "/gaps",
        "/head",
        "/proof/0",
        "/consistency?first=1",
        "/export-proof",
        "/peers",
    ] {
        few.refused(&format!("{nobody}{rest}"), 404, "is not known here")
            .await?;
    }
    few.refused("/v1/join?streams=nobody", 404, "nobody")
        .await?;
    few.refused("/v1/nothing", 404, "/v1/nothing").await?;
    for (rest, word) in [
        ("/observations?limit=-1", "limit"),
        ("/observations?limit=18446744073709551616", "limit"),
        ("/observations?limit=many", "limit"),
        ("/observations?from=-1", "from"),
        ("/observations?to=-5", "to"),
        ("/observations?from=18446744073709551616", "from"),
        ("/observations?from=1.5", "from"),
        ("/observations?from=2020-13-01", "from"),
        ("/observations?from=2&to=1", "lies behind"),
        ("/observations?from=2020-01-02&to=2020-01-01", "lies behind"),
        ("/observations?from=1764400000", "looks like seconds"),
        ("/observations?to=1764400000000", "looks like milliseconds"),
        ("/observations?from=5&time_unit=h", "time_unit"),
        ("/live?from=1764400000", "looks like seconds"),
        ("/gaps?from=2&to=1", "lies behind"),
        ("/gaps?cadence=1", "cadence"),
        ("/export-proof?from=2&to=1", "lies behind"),
        ("/observations?to=2020-13-01T00:00:00Z", "to"),
        ("/observations?at_or_before=5", "at_or_before"),
        (
            "/observations?at_or_before=2020-01-01T00:00:00Z&limit=1",
            "leave off",
        ),
        ("/observations?order=up", "order"),
        ("/observations?format=xml", "xml"),
        ("/observations?form=csv", "form"),
        ("/observations?with_proof=yes", "with_proof"),
        ("/live?from=-1", "from"),
        ("/gaps?cadence_us=-1", "cadence_us"),
        ("/gaps?limit=-1", "limit"),
        ("/gaps?from=-1", "from"),
        ("/proof/-1", ""),
        ("/proof/x", ""),
        ("/consistency?first=-1", "first"),
        ("/consistency", "first"),
        ("/export-proof?from=-1", "from"),
    ] {
        few.refused(&few.path(rest), 400, word).await?;
    }
    few.refused(&few.path("/proof/3"), 404, "3").await?;
    for sizes in ["first=1&second=4", "first=3&second=2"] {
        let path = few.path(&format!("/consistency?{sizes}"));
        few.refused(&path, 404, "beyond").await?;
    }
    let stream = &few.stream;
    for (question, word) in [
        ("every_us=0", ""),
        ("every_us=-1", "every_us"),
        ("every=0s", "every"),
        ("every=1", "is not a duration"),
        ("every=1h&every_us=5", "leave one off"),
        ("tolerance=x", "is not a duration"),
        ("from=1577836801", "looks like seconds"),
        ("from=2020-01-02&to=2020-01-01", "lies behind"),
        ("tolerance_us=-1", "tolerance_us"),
        ("from=3", "time"),
        ("on=nobody", ""),
    ] {
        let path = format!("/v1/join?streams={stream}&{question}");
        let answer = few.client.get(few.node.url(&path)?).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_client_error(), "{path}: {status}: {text}");
        ensure!(text.contains(word), "{path}: {text}");
    }
    let live = few.client.get(few.node.url(&few.path("/live"))?);
    let answer = live.header("last-event-id", "x").send().await?;
    is_problem("Last-Event-ID", answer, 400, "Last-Event-ID").await?;
    few.is_as_before().await
}

#[tokio::test]
async fn ranges_beyond_the_stream_are_as_far_as_it_reaches() -> Result<()> {
    let few = Few::new().await?;
    for (question, found) in [
        ("limit=18446744073709551615", &[0, 1, 2][..]),
        ("limit=0", &[]),
        ("to=18446744073709551615", &[0, 1, 2]),
        ("from=3", &[]),
        ("from=18446744073709551615", &[]),
        ("from=2&to=2", &[]),
        ("order=desc&limit=18446744073709551615", &[2, 1, 0]),
        // Before the beginning of the stream, and of all times.
        ("from=0001-01-01T00:00:00Z", &[0, 1, 2]),
        ("to=0001-01-01T00:00:00Z", &[]),
        ("at_or_before=0001-01-01T00:00:00Z", &[]),
        ("at_or_before=2019-12-31T23:59:59.999999Z", &[]),
        ("at_or_before=9999-12-31T23:59:59Z", &[2]),
        ("from=9999-12-31T23:59:59Z", &[]),
        // Dates, times without a zone, spans, and numbers with their unit.
        ("from=2019-12-31&to=2020-01-02", &[0, 1, 2]),
        ("from=2020-01-01T00:00:01", &[1, 2]),
        ("from=2020-01-01%2000:00:02", &[2]),
        ("from=1577836801&time_unit=s", &[1, 2]),
        ("to=1577836801000&time_unit=ms", &[0]),
        ("at_or_before=1577836801.5&time_unit=s", &[1]),
        ("at_or_before=1d", &[2]),
        ("from=1d", &[]),
        ("from=5000w", &[0, 1, 2]),
        // What lies at .000000 is not behind this.
        ("from=2020-01-01T00:00:01.0000001Z", &[2]),
        ("to=2020-01-01T00:00:01.0000001Z", &[0, 1]),
    ] {
        let indexes = few.indexes(question).await?;
        ensure!(indexes == found, "{question}: {indexes:?}");
    }
    let gaps = few
        .node
        .get(&few.path("/gaps?from=5&to=18446744073709551615&limit=18446744073709551615"))
        .await?;
    ensure!(gaps["from"] == 3 && gaps["to"] == 3, "{gaps}");
    Ok(())
}

#[tokio::test]
async fn duplicate_and_late_times_are_stored_as_they_come_and_reported() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "odd", "number")?;
    // Twice the same, then back, then before 1970 and the year 0.
    let times = [5, 5, 3, 7, -1, -62_167_219_201, 9];
    let items: Vec<_> = (0..)
        .zip(times)
        .map(
            |(value, second): (u64, i64)| json!({"time": second, "time_unit": "s", "value": value}),
        )
        .collect();
    let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
    let published = node.append(&stream, lines).await?;
    let notes = json!(["7 times lie before 1990, the earliest at -62167219201000000"]);
    let expected = json!({"from": 0, "to": 7, "notes": notes});
    ensure!(published == expected, "{published}");
    let path = format!("/v1/streams/{stream}");
    let read = node.get(&format!("{path}/observations")).await?;
    let values: Vec<_> = read
        .as_array()
        .context("no list")?
        .iter()
        .map(|record| record["value"].clone())
        .collect();
    ensure!(values == [0, 1, 2, 3, 4, 5, 6], "{read}");
    ensure!(read[5]["time"] == -62_167_219_201_000_000_i64, "{read}");
    let report = node.get(&format!("{path}/gaps")).await?;
    ensure!(report["times"]["duplicates"] == 1, "{report}");
    ensure!(report["times"]["out_of_order"] == 3, "{report}");
    // By time they are found wherever they stand.
    let at = format!("{path}/observations?at_or_before=1970-01-01T00:00:05Z");
    ensure!(node.get(&at).await?[0]["value"] == 1);
    let since = format!("{path}/observations?from=1970-01-01T00:00:05Z");
    let since = node.get(&since).await?;
    let since: Vec<_> = since
        .as_array()
        .context("no list")?
        .iter()
        .map(|record| record["value"].clone())
        .collect();
    ensure!(since == [0, 1, 3, 6], "{since:?}");
    ensure!(node.get("/health").await?["status"] == "ok");
    let answer = reqwest::get(node.url(&format!("{path}/live?from=0"))?).await?;
    ensure!(answer.status() == StatusCode::OK);
    Ok(())
}
