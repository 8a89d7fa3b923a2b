//! The router over a node without a network.

mod crowd;
mod dashboard;
mod forks;
mod recovered;
mod stalled;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use headwater_client::proof;
use http_body_util::BodyExt;
use libp2p::identity::Keypair;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::config::Config;
use crate::runtime::{Running, start_offline};

struct Api {
    router: Router,
    state: ApiState,
    _running: Running,
    _dir: TempDir,
}

impl Api {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keypair = Keypair::ed25519_from_bytes([7; 32]).unwrap();
        let running = start_offline(
            &dir.path().join("store"),
            &keypair,
            &Config::default(),
            None,
        )
        .await
        .unwrap();
        let state = ApiState::new(running.node.clone(), "secret")
            .with_roles(["peer"])
            .with_data_dir(dir.path());
        Self {
            router: router(state.clone()),
            state,
            _running: running,
            _dir: dir,
        }
    }

    async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Response<Body> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"))
            .header("authorization", "Bearer secret")
            .body(body.into())
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        let response = self.send("GET", path, Body::empty()).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        body_text(response).await
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).unwrap()
    }

    /// The status and the problem or answer.
    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let response = self.send(method, path, body.to_string()).await;
        let status = response.status().as_u16();
        if status >= 400 {
            assert_eq!(
                response.headers()["content-type"],
                "application/problem+json"
            );
        }
        (
            status,
            serde_json::from_str(&body_text(response).await).unwrap(),
        )
    }

    async fn create(&self, name: &str) -> String {
        let (status, created) = self
            .call(
                "POST",
                "/v1/streams",
                json!({"name": name, "chunk_level": 2}),
            )
            .await;
        assert_eq!(status, 201);
        created["id"].as_str().unwrap().to_owned()
    }
}

async fn body_text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn items(range: std::ops::Range<i64>) -> Value {
    range
        .map(|i| json!({"time": i * 1_000_000, "time_unit": "us", "value": i}))
        .collect()
}

#[tokio::test]
async fn what_is_published_is_read_back_in_every_format() {
    let api = Api::start().await;
    let id = api.create("temperature").await;
    let path = format!("/v1/streams/{id}/observations");
    let (status, published) = api.call("POST", &path, items(0..11)).await;
    let note = "11 times lie before 1990, the earliest at 1970-01-01T00:00:00.000000Z";
    let answer = json!({"from": 0, "to": 11, "notes": [note]});
    assert_eq!((status, published), (201, answer));

    let csv = api
        .text("/v1/streams/temperature/observations?format=csv&from=9")
        .await;
    assert_eq!(
        csv,
        "index,time,value\n9,1970-01-01T00:00:09.000000Z,9\n10,1970-01-01T00:00:10.000000Z,10\n"
    );
    let last = api
        .text(&format!("{path}?limit=1&order=desc&format=ndjson"))
        .await;
    assert_eq!(
        last,
        "{\"index\":10,\"time\":\"1970-01-01T00:00:10.000000Z\",\"value\":10}\n"
    );
    let by_time = api
        .json(&format!(
            "{path}?from=1970-01-01T00:00:03Z&to=1970-01-01T00:00:05Z"
        ))
        .await;
    let indexes: Vec<_> = by_time
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["index"].clone())
        .collect();
    assert_eq!(indexes, [3, 4]);
    let at = api
        .json(&format!("{path}?at_or_before=1970-01-01T00:00:03.999999Z"))
        .await;
    assert_eq!(at[0]["index"], 3);
    assert_eq!(
        api.json(&format!("{path}?at_or_before=1969-01-01T00:00:00Z"))
            .await,
        json!([])
    );
    assert_eq!(api.json(&format!("{path}?from=11")).await, json!([]));
    assert_eq!(api.json(&path).await.as_array().unwrap().len(), 11);
}

#[tokio::test]
async fn one_bad_item_and_nothing_is_stored() {
    let api = Api::start().await;
    let id = api.create("temperature").await;
    let path = format!("/v1/streams/{id}/observations");
    let (status, problem) = api
        .call("POST", &path, json!([{"value": 1}, {"value": "x"}]))
        .await;
    assert_eq!((status, &problem["errors"][0]["place"]), (400, &json!(1)));
    let (status, problem) = api
        .call(
            "POST",
            &format!("{path}?expect_size=1"),
            json!({"value": 1}),
        )
        .await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(api.json(&format!("/v1/streams/{id}")).await["size"], 0);
    let (status, _) = api
        .call(
            "POST",
            &format!("{path}?expect_size=0"),
            json!({"value": 1}),
        )
        .await;
    assert_eq!(status, 201);
}

#[tokio::test]
async fn a_proof_from_the_api_is_checked_without_it() {
    let api = Api::start().await;
    let id = api.create("temperature").await;
    api.call(
        "POST",
        &format!("/v1/streams/{id}/observations"),
        items(0..11),
    )
    .await;
    let expected = Some(id.parse().unwrap());
    let file = api.text(&format!("/v1/streams/{id}/proof/10")).await;
    assert_eq!(proof::verify(&file, expected).unwrap().head.size, 11);
    let file = api
        .text(&format!("/v1/streams/{id}/consistency?first=3&second=7"))
        .await;
    assert!(proof::verify(&file, expected).is_ok());
    let file = api
        .text(&format!("/v1/streams/{id}/consistency?first=3"))
        .await;
    assert!(proof::verify(&file, expected).is_ok());
    for (path, status) in [
        ("proof/11", 404),
        ("proof/x", 400),
        ("consistency?first=0", 400),
        ("consistency?first=3&second=12", 404),
    ] {
        let (found, _) = api
            .call("GET", &format!("/v1/streams/{id}/{path}"), Value::Null)
            .await;
        assert_eq!(found, status, "{path}");
    }
    let head = api.json(&format!("/v1/streams/{id}/head")).await;
    assert_eq!(
        (&head["size"], &head["successor"]),
        (&json!(11), &Value::Null)
    );
}

#[tokio::test]
async fn streams_are_followed_and_unfollowed_and_shown() {
    let api = Api::start().await;
    let ours = api.create("temperature").await;
    let strange = headwater_protocols::id::LogId([9; 32]).to_string();
    let path = format!("/v1/streams/{strange}");
    assert_eq!(api.call("GET", &path, Value::Null).await.0, 404);
    let peers = json!({"peers": ["/ip4/127.0.0.1/tcp/1"], "newest_first": true});
    let (status, view) = api
        .call("PUT", &format!("{path}/subscription"), peers)
        .await;
    assert_eq!(
        (status, &view["followed"], &view["synced"]),
        (200, &json!(true), &json!(false))
    );
    let (status, view) = api
        .call(
            "POST",
            &format!("{path}/peers"),
            json!({"peers": ["/ip4/127.0.0.1/tcp/2"]}),
        )
        .await;
    assert_eq!(
        (status, view["known_peers"].as_array().unwrap().len()),
        (200, 2)
    );
    assert_eq!(
        api.call("GET", &format!("{path}/observations"), Value::Null)
            .await
            .0,
        409
    );
    assert_eq!(
        api.call("GET", &format!("{path}/head"), Value::Null)
            .await
            .0,
        409
    );
    assert_eq!(
        api.call("GET", &format!("{path}/proof/0"), Value::Null)
            .await
            .0,
        409
    );
    assert_eq!(
        api.call("POST", &format!("{path}/observations"), json!({"value": 1}))
            .await
            .0,
        403
    );
    let (status, view) = api
        .call("DELETE", &format!("{path}/subscription"), Value::Null)
        .await;
    assert_eq!((status, &view["followed"]), (200, &json!(false)));
    assert_eq!(
        api.call("POST", &format!("{path}/peers"), json!({}))
            .await
            .0,
        409
    );

    let own = format!("/v1/streams/{ours}/subscription");
    assert_eq!(api.call("DELETE", &own, Value::Null).await.0, 409);

    let list = api.json("/v1/streams").await;
    assert_eq!(list.as_array().unwrap().len(), 2);
    let view = api
        .json(&format!("/v1/streams/{}", &ours[ours.len() - 8..]))
        .await;
    assert_eq!(
        (&view["role"], &view["synced"]),
        (&json!("publisher"), &json!(true))
    );
    let again = json!({"name": "temperature", "chunk_level": 2});
    let (status, problem) = api.call("POST", "/v1/streams", again.clone()).await;
    assert_eq!(status, 409, "{problem}");
    let path = "/v1/streams?if_not_exists=true";
    let (status, there) = api.call("POST", path, again).await;
    assert_eq!((status, &there["id"]), (200, &json!(ours)));
    let (status, problem) = api
        .call("POST", path, json!({"name": "temperature", "unit": "K"}))
        .await;
    assert_eq!(status, 409, "{problem}");
}

#[tokio::test]
async fn live_begins_with_history_and_goes_on_without_gap_or_double() {
    let api = Api::start().await;
    let id = api.create("temperature").await;
    let path = format!("/v1/streams/{id}/observations");
    api.call("POST", &path, items(0..11)).await;
    let response = api
        .send(
            "GET",
            &format!("/v1/streams/{id}/live?from=2"),
            Body::empty(),
        )
        .await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut seen = String::new();
    let mut published = 11;
    while !seen.contains("id: 20\n") {
        let frame = body.frame().await.unwrap().unwrap();
        seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        if published < 21 {
            api.call("POST", &path, items(published..published + 2))
                .await;
            published += 2;
        }
    }
    let ids: Vec<u64> = seen
        .lines()
        .filter_map(|l| l.strip_prefix("id: ")?.parse().ok())
        .collect();
    assert_eq!(ids, (2..=ids[ids.len() - 1]).collect::<Vec<_>>());
    assert!(
        seen.contains("data: {\"index\":2,\"time\":\"1970-01-01T00:00:02.000000Z\",\"value\":2}\n")
    );

    // Without `from` only what comes from now on; the node's stop ends it.
    let response = api
        .send("GET", &format!("/v1/streams/{id}/live"), Body::empty())
        .await;
    api.state.stop();
    assert_eq!(body_text(response).await, "");
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_behind_what_it_has_seen() {
    let api = Api::start().await;
    let id = api.create("temperature").await;
    api.call(
        "POST",
        &format!("/v1/streams/{id}/observations"),
        items(0..6),
    )
    .await;
    let request = Request::get(format!("http://localhost/v1/streams/{id}/live?from=0"))
        .header("last-event-id", "3")
        .body(Body::empty())
        .unwrap();
    let response = api.router.clone().oneshot(request).await.unwrap();
    api.state.stop();
    let ids: Vec<_> = body_text(response)
        .await
        .lines()
        .filter_map(|l| l.strip_prefix("id: ").map(str::to_owned))
        .collect();
    assert_eq!(ids, ["4", "5"]);
    let response = api
        .send(
            "GET",
            &format!("/v1/streams/{id}/live?from=1970-01-01T00:00:04.5Z"),
            Body::empty(),
        )
        .await;
    assert!(body_text(response).await.starts_with("id: 5\n"));
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_a_problem() {
    let api = Api::start().await;
    let (status, problem) = api.call("GET", "/v1/receipts", Value::Null).await;
    assert_eq!(
        (status, &problem["status"], &problem["title"]),
        (404, &json!(404), &json!("Not Found"))
    );
    let response = api.send("DELETE", "/v1/node", Body::empty()).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let (status, _) = api
        .call("GET", "/v1/streams/x/observations?form=csv", Value::Null)
        .await;
    assert_eq!(status, 404);
    let id = api.create("x").await;
    let (status, problem) = api
        .call(
            "GET",
            &format!("/v1/streams/{id}/observations?form=csv"),
            Value::Null,
        )
        .await;
    assert_eq!(status, 400, "{problem}");
    assert_eq!(
        api.call("POST", "/v1/streams", json!({"name": ""})).await.0,
        400
    );
    assert_eq!(
        api.call(
            "POST",
            "/v1/streams",
            json!({"name": "y", "chunk_level": 13})
        )
        .await
        .0,
        400
    );
    // By the places of its fields an object could be read from an array.
    for (method, path, body) in [
        ("POST", "/v1/streams".to_owned(), json!(["y"])),
        ("POST", format!("/v1/streams/{id}/reopen"), json!([true])),
        ("POST", format!("/v1/streams/{id}/recovery"), json!([true])),
        (
            "PUT",
            format!("/v1/streams/{id}/subscription"),
            json!([[], false]),
        ),
        (
            "POST",
            format!("/v1/streams/{id}/observations"),
            json!([["2024-05-01", 5]]),
        ),
    ] {
        let (status, problem) = api.call(method, &path, body).await;
        assert_eq!(status, 400, "{path}: {problem}");
        let said = problem.to_string();
        assert!(said.contains("object"), "{said}");
    }
    let response = api
        .send(
            "DELETE",
            &format!("/v1/streams/{id}/observations"),
            Body::empty(),
        )
        .await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let long = json!({"name": "x", "description": "x".repeat(limits::MAX_BODY_BYTES)});
    assert_eq!(api.call("POST", "/v1/streams", long).await.0, 413);

    let request = Request::post("http://localhost/v1/streams")
        .body(Body::empty())
        .unwrap();
    let response = api.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    let request = Request::get("http://example.org/health")
        .body(Body::empty())
        .unwrap();
    let response = api.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn the_node_and_its_health_are_shown() {
    let api = Api::start().await;
    api.create("x").await;
    let node = api.json("/v1/node").await;
    assert_eq!(
        (&node["streams"], &node["roles"]),
        (&json!(1), &json!(["peer"]))
    );
    assert!(node["disk_bytes"].as_u64().unwrap() > 0);
    assert_eq!(api.json("/v1/peers").await, json!([]));
    let health = json!({"status": "ok", "peer_id": node["peer_id"]});
    assert_eq!(api.json("/health").await, health);
    api.state.stop();
    assert_eq!(api.call("GET", "/health", Value::Null).await.0, 503);
}

#[tokio::test]
async fn a_request_that_says_nothing_closes_nothing() {
    let api = Api::start().await;
    let id = api.create("temperature").await;
    let path = format!("/v1/streams/{id}/close");
    for nothing in ["", " \n"] {
        let refused = api.send("POST", &path, nothing).await;
        assert_eq!(refused.status(), 400);
        let said = body_text(refused).await;
        assert!(said.contains("nothing was closed"), "{said}");
    }
    let shown = format!("/v1/streams/{id}");
    assert_eq!(api.json(&shown).await["closed"], false);
    assert_eq!(api.call("POST", &path, json!({})).await.0, 200);
    assert_eq!(api.json(&shown).await["closed"], true);
}
