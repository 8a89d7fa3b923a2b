//! A stream of numbers gives back numbers, however they came in.

use std::fs;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use headwater_tests::{PATIENCE, TestNode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{create, path};

/// What is given, and what is kept: the same number, as JSON writes it.
const GIVEN: [(&str, &str); 6] = [
    ("+3", "3"),
    (".5", "0.5"),
    ("007", "7"),
    ("-.25e1", "-0.25e1"),
    ("5.", "5"),
    ("1016.60", "1016.60"),
];

async fn values(node: &TestNode, stream: &str) -> Result<Vec<Value>> {
    let records = node
        .get(&format!("/v1/streams/{stream}/observations"))
        .await?;
    let records = records.as_array().context("no list")?;
    Ok(records.iter().map(|one| one["value"].clone()).collect())
}

#[tokio::test]
async fn a_number_that_json_does_not_know_is_kept_as_json_writes_it() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "numbers", "number")?;
    // By the API, from stdin, from a file, and as an argument.
    let items: Vec<_> = GIVEN
        .iter()
        .map(|(given, _)| json!({"value": given}))
        .collect();
    let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
    node.append(&stream, lines).await?;
    let plain: String = GIVEN
        .iter()
        .map(|(given, _)| format!("{given}\n"))
        .collect();
    let published = node
        .command_with_input(&["publish", &stream], &plain)
        .await?;
    let said = String::from_utf8_lossy(&published.stderr).into_owned();
    ensure!(
        said.contains("5 numbers are kept as JSON writes them: `+3` is 3"),
        "{said}"
    );
    let file = path(&node, "numbers.csv")?;
    let rows = GIVEN
        .iter()
        .map(|(given, _)| format!("2024-05-01T12:00:00Z,{given}\n"));
    fs::write(&file, format!("t,v\n{}", rows.collect::<String>()))?;
    let columns = ["--time-column", "t", "--value-column", "v", "--again"];
    let published =
        node.command(&[&["publish", &stream, "--file", &file], &columns[..]].concat())?;
    let said = String::from_utf8_lossy(&published.stderr).into_owned();
    ensure!(
        said.contains("5 numbers are kept as JSON writes them"),
        "{said}"
    );
    node.run(&["publish", &stream, "+5"])?;

    let kept = values(&node, &stream).await?;
    ensure!(kept.len() == 3 * GIVEN.len() + 1, "{kept:?}");
    ensure!(kept.iter().all(Value::is_number), "{kept:?}");
    let csv = node.export(&stream)?;
    let tokens: Vec<_> = csv
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(2))
        .collect();
    let expected: Vec<_> = GIVEN.iter().map(|(_, kept)| *kept).collect();
    ensure!(
        tokens == [&expected.repeat(3)[..], &["5"]].concat(),
        "{tokens:?}"
    );

    let live = reqwest::get(node.url(&format!("/v1/streams/{stream}/live?from=0"))?).await?;
    let mut live = live.bytes_stream();
    let first = timeout(PATIENCE, live.next())
        .await?
        .context("no event")??;
    let first = String::from_utf8_lossy(&first).into_owned();
    ensure!(first.contains("\"value\":3}"), "{first}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_finite_number_is_refused_at_every_door() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "numbers", "number")?;
    for wrong in [
        "NaN", "Infinity", "-inf", "1e999", "1,5", "0x1", "1_000", "", "null",
    ] {
        let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
        let request = reqwest::Client::new().post(url).bearer_auth(node.token()?);
        let answer = request.json(&json!({"value": wrong})).send().await?;
        ensure!(answer.status() == 400, "{wrong}: {}", answer.status());
        let publish = ["publish", &stream, "--ndjson"];
        let line = format!("{}\n", json!({"value": wrong}));
        let output = node.command_with_input(&publish, &line).await?;
        ensure!(!output.status.success(), "{wrong}");
    }
    ensure!(values(&node, &stream).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_verified_number_is_a_number() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    for (kind, value, shown) in [
        ("number", "11.50", "\"value\":11.50"),
        ("text", "11.50", "\"value\":\"11.50\""),
        ("json", r#"{"a": 1.50}"#, "\"value\":{\"a\": 1.50}"),
    ] {
        let stream = create(&node, kind, kind)?;
        node.run(&["publish", &stream, value])?;
        let proof = path(&node, "proof.json")?;
        node.run(&["prove", &stream, "0", "-o", &proof])?;
        let verified = node.run(&["verify", &proof, "--stream", &stream, "--json"])?;
        ensure!(verified.contains(shown), "{verified}");
        fs::remove_file(&proof)?;
    }
    Ok(())
}
