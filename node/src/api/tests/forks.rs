//! What is answered about a stream whose publisher signed two histories.

use std::fs::File;
use std::io::{Seek, Write};

use axum::http::HeaderMap;
use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;

use super::*;

/// A stream of eleven records, of which those from index 6 on are disputed.
const DISPUTED_FROM: u64 = 6;

impl Api {
    /// Lets the node know of a fork.
    fn fork(&self, stream: &str, from: Option<u64>) {
        let log: LogId = stream.parse().unwrap();
        let mut status = LogStatus::clone(&self.state.node().stream(log).unwrap());
        status.disputed_from = from;
        self.state.node().set_stream(status);
    }

    async fn forked() -> (Self, String) {
        let api = Self::start().await;
        let id = api.create("temperature").await;
        let path = format!("/v1/streams/{id}/observations");
        assert_eq!(api.call("POST", &path, items(0..11)).await.0, 201);
        api.fork(&id, Some(DISPUTED_FROM));
        (api, format!("/v1/streams/{id}"))
    }

    async fn status(&self, path: &str) -> u16 {
        let answer = self.send("GET", path, Body::empty()).await;
        answer.status().as_u16()
    }

    pub(super) async fn with_headers(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

fn rows(format: &str, bytes: &[u8]) -> usize {
    match format {
        "json" => serde_json::from_slice::<Vec<Value>>(bytes).unwrap().len(),
        "ndjson" => bytes.iter().filter(|&&byte| byte == b'\n').count(),
        "csv" => bytes.iter().filter(|&&byte| byte == b'\n').count() - 1,
        "arrow" => {
            let reader = arrow_ipc::reader::StreamReader::try_new(bytes, None).unwrap();
            reader.map(|batch| batch.unwrap().num_rows()).sum()
        }
        _ => {
            let mut file: File = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            let reader = SerializedFileReader::new(file).unwrap();
            usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap()
        }
    }
}

#[tokio::test]
async fn no_format_has_what_is_disputed() {
    let (api, path) = Api::forked().await;
    for format in ["json", "ndjson", "csv", "arrow", "parquet"] {
        let path = format!("{path}/observations?format={format}");
        let answer = api.send("GET", &path, Body::empty()).await;
        assert_eq!(answer.status(), 200, "{format}");
        assert_eq!(text(answer.headers(), "headwater-disputed-from"), ["6"]);
        assert!(
            text(answer.headers(), "vary").contains(&"accept"),
            "{format}"
        );
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(rows(format, &bytes), 6, "{format}");
        for disputed in [
            "to=7",
            "from=6",
            "from=8&to=9",
            "from=4&to=9&limit=3",
            "to=9&limit=1&order=desc",
            "from=8&limit=1",
        ] {
            let refused = api.status(&format!("{path}&{disputed}")).await;
            assert_eq!(refused, 409, "{format} {disputed}");
        }
        for agreed in ["to=6", "from=2&to=9&limit=4", "from=5", "from=11&to=12"] {
            let answered = api.status(&format!("{path}&{agreed}")).await;
            assert_eq!(answered, 200, "{format} {agreed}");
        }
    }
    let indexes = async |question: &str| {
        let rows = api.json(&format!("{path}/observations?{question}")).await;
        let rows = rows.as_array().unwrap().clone();
        let indexes = rows.iter().map(|row| row["index"].as_u64().unwrap());
        indexes.collect::<Vec<_>>()
    };
    assert_eq!(indexes("from=2&to=9&limit=3").await, [2, 3, 4]);
    assert_eq!(indexes("order=desc&limit=2").await, [5, 4]);
    assert_eq!(indexes("at_or_before=1970-01-01T00:00:09Z").await, [5]);
    assert_eq!(indexes("from=1970-01-01T00:00:04Z").await, [4, 5]);
}

#[tokio::test]
async fn the_parts_of_an_answer_from_before_the_fork_was_known_are_gone() {
    let (api, path) = Api::forked().await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    // As if nobody had known yet.
    api.fork(&id, None);
    let path = format!("{path}/observations?format=parquet");
    let before = api.with_headers("HEAD", &path, &[]).await;
    let tag = text(before.headers(), "etag")[0].to_owned();
    let part = ("range", "bytes=0-3");
    let first = api.with_headers("GET", &path, &[part]).await;
    assert_eq!(first.status(), 206);
    assert_eq!(text(first.headers(), "etag"), [&tag]);

    api.fork(&id, Some(DISPUTED_FROM));
    // Nobody was told the length of what there is now.
    let next = api.with_headers("GET", &path, &[part]).await;
    assert_eq!(next.status(), 200);
    let now = text(next.headers(), "etag")[0].to_owned();
    assert_ne!(now, tag);
    assert_eq!(text(next.headers(), "headwater-disputed-from"), ["6"]);
    let if_match = [part, ("if-match", &tag)];
    let named = api.with_headers("GET", &path, &if_match).await;
    assert_eq!(named.status(), 412);
    let if_range = [part, ("if-range", &tag)];
    let named = api.with_headers("GET", &path, &if_range).await;
    assert_eq!(named.status(), 200);
    let bytes = named.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(rows("parquet", &bytes), 6);
    let known = [("if-none-match", tag.as_str())];
    assert_eq!(api.with_headers("GET", &path, &known).await.status(), 200);
    let known = [("if-none-match", now.as_str())];
    let known = api.with_headers("GET", &path, &known).await;
    assert_eq!(known.status(), 304);
    assert_eq!(text(known.headers(), "headwater-disputed-from"), ["6"]);
    assert!(text(known.headers(), "vary").contains(&"accept"));
    let after = api.with_headers("HEAD", &path, &[]).await;
    assert_eq!(text(after.headers(), "etag"), [&now]);
    let length = bytes.len().to_string();
    assert_eq!(text(after.headers(), "content-length"), [&length]);
}

#[tokio::test]
async fn nothing_that_is_disputed_is_proved() {
    let (api, path) = Api::forked().await;
    let proof = api.json(&format!("{path}/export-proof")).await;
    assert_eq!((&proof["from"], &proof["to"]), (&json!(0), &json!(6)));
    for (agreed, disputed) in [
        ("proof/5", "proof/6"),
        ("export-proof?from=2", "export-proof?from=8"),
        ("export-proof?from=2&to=6", "export-proof?from=2&to=7"),
        ("export-proof?to=6", "export-proof?from=6"),
        ("consistency?first=3", "consistency?first=8"),
        (
            "consistency?first=3&second=6",
            "consistency?first=3&second=7",
        ),
    ] {
        assert_eq!(
            api.status(&format!("{path}/{agreed}")).await,
            200,
            "{agreed}"
        );
        let disputed = format!("{path}/{disputed}");
        let (status, problem) = api.call("GET", &disputed, Value::Null).await;
        assert_eq!(status, 409, "{disputed}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("two histories"), "{disputed}: {detail}");
    }
    assert_eq!(
        api.status(&format!("{path}/consistency?first=12")).await,
        404
    );
}

/// The ids of the events, and the problem in the last one.
fn events(seen: &str) -> (Vec<u64>, Value) {
    let ids = seen.lines().filter_map(|line| line.strip_prefix("id: "));
    let ids = ids.map(|id| id.parse().unwrap()).collect();
    let last = seen.split("event: error\n").nth(1).unwrap();
    let problem = last.trim().strip_prefix("data: ").unwrap();
    (ids, serde_json::from_str(problem).unwrap())
}

#[tokio::test]
async fn live_events_end_before_what_is_disputed_and_whoever_comes_back_is_refused() {
    let (api, path) = Api::forked().await;
    let answer = api.text(&format!("{path}/live?from=2")).await;
    let (ids, problem) = events(&answer);
    assert_eq!(ids, [2, 3, 4, 5]);
    assert_eq!(problem["status"], 409);
    // A browser's EventSource gives up on this.
    for late in ["live", "live?from=6", "live?from=20"] {
        assert_eq!(api.status(&format!("{path}/{late}")).await, 409, "{late}");
    }
    let back = [("last-event-id", "5")];
    let live = format!("{path}/live?from=2");
    let back = api.with_headers("GET", &live, &back).await;
    assert_eq!(back.status(), 409);
}

#[tokio::test]
async fn records_that_were_read_before_the_fork_was_known_are_not_sent_any_more() {
    let api = Api::start().await;
    let manifest = json!({"name": "many", "chunk_level": 8});
    let (_, created) = api.call("POST", "/v1/streams", manifest).await;
    let id = created["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/streams/{id}");
    let observations = format!("{path}/observations");
    let (status, _) = api.call("POST", &observations, items(0..256)).await;
    assert_eq!(status, 201);
    let live = format!("{path}/live?from=0");
    let mut body = api.send("GET", &live, Body::empty()).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let mut seen = String::from_utf8(first.to_vec()).unwrap();
    api.fork(&id, Some(100));
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        seen.push_str(std::str::from_utf8(&data).unwrap());
    }
    let (ids, problem) = events(&seen);
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
    assert_eq!(problem["status"], 409);
}

#[tokio::test]
async fn a_forked_stream_is_joined_with_nothing() {
    let (api, path) = Api::forked().await;
    let other = api.create("wind").await;
    let observations = format!("/v1/streams/{other}/observations");
    assert_eq!(api.call("POST", &observations, items(0..5)).await.0, 201);
    let forked = path.rsplit('/').next().unwrap();
    for streams in [
        forked.to_owned(),
        format!("{forked},{other}"),
        format!("{other},{forked}"),
    ] {
        for format in ["json", "csv", "parquet"] {
            let path = format!("/v1/join?format={format}&streams={streams}");
            let (status, problem) = api.call("GET", &path, Value::Null).await;
            assert_eq!(status, 409, "{path}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("two histories"), "{detail}");
        }
    }
    assert_eq!(api.status(&format!("/v1/join?streams={other}")).await, 200);
    // What both histories have is all there is of it.
    api.fork(forked, Some(11));
    let both = format!("/v1/join?streams={forked},{other}");
    assert_eq!(api.status(&both).await, 200);
}
