//! Bad input gets a clear error, and nothing is stored of it.

use std::fs;
use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use headwater::store::RocksStore;
use headwater_protocols::store::{Batch, Durability, Store, Table};
use headwater_tests::{FOR_NOW, TestNode, USAGE};
use serde_json::json;

fn ensure_says(errors: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(errors.contains(word), "`{word}` is not in: {errors}");
    }
    Ok(())
}

#[test]
fn a_port_in_use_is_named_with_the_option_that_changes_it() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let node = TestNode::new()?;
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let errors = node.fails_with(
        FOR_NOW,
        &["run", "--listen", &listen, "--api-listen", "127.0.0.1:0"],
    )?;
    ensure_says(&errors, &[&port.to_string(), "in use", "--listen"])?;
    let api = format!("127.0.0.1:{port}");
    let free = "/ip4/127.0.0.1/tcp/0";
    let errors = node.fails_with(FOR_NOW, &["run", "--listen", free, "--api-listen", &api])?;
    ensure_says(&errors, &[&port.to_string(), "in use", "--api-listen"])
}

#[tokio::test]
async fn a_data_folder_is_open_in_one_node_at_a_time() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let errors = node.fails_with(
        FOR_NOW,
        &[
            "run",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--api-listen",
            "127.0.0.1:0",
        ],
    )?;
    ensure_says(&errors, &["a node runs on", "already"])?;
    // The first one goes on, and its addresses are still there.
    node.get("/v1/node").await?;
    Ok(())
}

#[test]
fn init_does_not_overwrite() -> Result<()> {
    let node = TestNode::new()?;
    let key = fs::read(node.dir().join("key"))?;
    let errors = node.fails_with(USAGE, &["init"])?;
    ensure_says(&errors, &["key exists", "nothing was changed"])?;
    ensure!(fs::read(node.dir().join("key"))? == key);
    Ok(())
}

#[test]
fn a_folder_of_a_newer_version_is_refused_and_left_alone() -> Result<()> {
    let node = TestNode::new()?;
    node.create("numbers")?;
    let store = RocksStore::open(&node.dir().join("store"))?;
    let mut batch = Batch::new();
    let newer = 99_u32.to_be_bytes().to_vec();
    batch.put(Table::Meta, b"format_version".to_vec(), newer);
    store.commit(batch, Durability::Synced)?;
    drop(store);
    let errors = node.fails_with(headwater_tests::USAGE, &["list"])?;
    ensure_says(&errors, &["99", "newer"])
}

#[tokio::test]
async fn a_wrong_token_writes_nothing() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let client = reqwest::Client::new();
    let post = |token: Option<&str>| {
        let request = client.post(&url).json(&json!({"value": 1}));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    for token in [None, Some("wrong"), Some("")] {
        let answer = post(token).send().await?;
        ensure!(answer.status() == 401, "{token:?}: {}", answer.status());
        let kind = answer.headers()["content-type"].to_str()?.to_owned();
        ensure!(kind.starts_with("application/problem+json"), "{kind}");
    }
    ensure!(node.show(&stream)?["size"] == 0);
    let right = node.token()?;
    let answer = post(Some(&right)).send().await?;
    ensure!(
        answer.status() == 201,
        "{}: {}",
        answer.status(),
        answer.text().await?
    );
    Ok(())
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let client = reqwest::Client::new();
    let url = node.url("/v1/node")?;
    for (header, value) in [("host", "example.com"), ("origin", "http://example.com")] {
        let answer = client.get(&url).header(header, value).send().await?;
        ensure!(answer.status() == 403, "{header}: {}", answer.status());
    }
    Ok(())
}

#[test]
fn a_file_with_a_bad_row_is_refused_whole_and_every_bad_row_is_listed() -> Result<()> {
    let node = TestNode::new()?;
    let stream = node.create("numbers")?;
    let file = node.dir().join("bad.csv");
    let long = format!("0.{}", "1".repeat(5_000));
    let rows = [
        "time,value",
        "2020-01-01T00:00:00Z,1.5",
        "yesterday,2.5",
        "2020-01-01T00:00:02Z,many",
        "2020-01-01T00:00:03Z,NaN",
        &format!("2020-01-01T00:00:04Z,{long}"),
        "2020-01-01T00:00:05Z,6.5",
    ];
    fs::write(&file, rows.join("\n"))?;
    let file = file.to_str().context("path")?;
    let publish = [
        "publish",
        &stream,
        "--file",
        file,
        "--time-column",
        "time",
        "--value-column",
        "value",
    ];
    let errors = node.fails(&publish)?;
    ensure_says(
        &errors,
        &[
            "line 3",
            "yesterday",
            "line 4",
            "many",
            "line 5",
            "line 6",
            "4096",
        ],
    )?;
    ensure!(
        !errors.contains("line 2") && !errors.contains("line 7"),
        "{errors}"
    );
    ensure!(node.show(&stream)?["size"] == 0, "something was stored");

    let column = node.fails(&[
        "publish",
        &stream,
        "--file",
        file,
        "--time-column",
        "when",
        "--value-column",
        "value",
    ])?;
    ensure_says(&column, &["when", "time", "value"])?;

    node.run(&[&publish[..], &["--skip-bad"]].concat())?;
    ensure!(node.show(&stream)?["size"] == 2);
    Ok(())
}

#[tokio::test]
async fn one_bad_observation_in_a_body_and_nothing_is_stored() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let client = reqwest::Client::new();
    let bodies = [
        r#"[{"value": 1}, {"value": "x"}]"#,
        r#"[{"value": 1}, {"value": 2, "time": "never"}]"#,
        r#"[{"value": 1}, {"valu": 2}]"#,
        r#"[{"value": 1}, "#,
        r#"{"value": 1e999}"#,
        "",
    ];
    for body in bodies {
        let request = client.post(&url).bearer_auth(node.token()?);
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let answer = request.send().await?;
        let status = answer.status();
        ensure!(status == 400, "{body}: {status}: {}", answer.text().await?);
    }
    ensure!(node.show(&stream)?["size"] == 0);
    Ok(())
}

#[test]
fn what_is_not_known_is_named() -> Result<()> {
    let node = TestNode::new()?;
    ensure_says(&node.fails(&["show", "nothing"])?, &["nothing", "follow"])?;
    ensure_says(
        &node.fails_with(USAGE, &["follow", "headwater:nonsense"])?,
        &["nonsense"],
    )?;
    let foreign = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    node.run(&["follow", foreign])?;
    ensure_says(&node.fails(&["publish", foreign, "1"])?, &["owner"])
}

#[test]
fn a_proof_that_was_altered_is_no_proof() -> Result<()> {
    let node = TestNode::new()?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 1_000)?;
    let file = node.dir().join("proof.json");
    let path = file.to_str().context("path")?;
    node.run(&["prove", &stream, "700", "-o", path])?;
    node.run(&["verify", path, "--stream", &stream])?;
    // Without the id nobody knows whose proof it should be.
    ensure!(node.command(&["verify", path])?.status.code() == Some(1));
    let altered = fs::read_to_string(&file)?.replace("\"index\": 700", "\"index\": 701");
    let altered = altered.replace("\"index\":700", "\"index\":701");
    fs::write(&file, altered)?;
    node.fails(&["verify", path, "--stream", &stream])?;
    Ok(())
}
