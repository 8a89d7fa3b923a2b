//! The example engine of `scripts/examples`: it reads a stream and publishes
//! predictions, each once, whatever is killed meanwhile.

use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use headwater_client::times::parse_rfc3339;
use headwater_tests::{TestNode, python};
use serde_json::Value;
use tokio::process::{Child, Command};

/// Several of the engine's batches of history.
const HISTORY: u64 = 3_000;

const HOUR_US: i64 = 3_600_000_000;

/// The first of January 2020.
const BEGIN_US: i64 = 1_577_836_800_000_000;

fn engine(python: &Path, node: &TestNode, args: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/examples/predict.py");
    let mut command = Command::new(python);
    command
        .args(["-B".as_ref(), script.as_os_str()])
        .args(["wind", "--alpha", "0.3", "--data-dir"])
        .arg(node.dir())
        .args(args);
    command
}

/// An engine that goes on until it is killed.
fn start(python: &Path, node: &TestNode) -> Result<Child> {
    let mut command = engine(python, node, &[]);
    command
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Ok(command.spawn()?)
}

/// The hour and the value of an observation: a walk without a pattern.
fn observations(from: u64, to: u64) -> Vec<(i64, f64)> {
    let value = |i: u64| (i * i % 1_009) as f64 / 7.0 - 40.0;
    (from..to)
        .map(|i| (BEGIN_US + i as i64 * HOUR_US, value(i)))
        .collect()
}

async fn observe(node: &TestNode, from: u64, to: u64) -> Result<()> {
    let mut ndjson = String::new();
    for (time, value) in observations(from, to) {
        writeln!(ndjson, "{{\"time\":{time},\"value\":{value}}}")?;
    }
    node.append("wind", ndjson).await?;
    Ok(())
}

/// The stream of predictions, once the engine has made it.
async fn predictions(node: &TestNode, source: &str) -> Result<String> {
    let mine = |streams: &Value| {
        let all = streams.as_array().into_iter().flatten();
        let mut mine = all.filter(|stream| stream["target"] == source);
        mine.next()?["id"].as_str().map(str::to_owned)
    };
    let streams = node
        .until_get("/v1/streams", |streams| mine(streams).is_some())
        .await?;
    mine(&streams).context("it was there")
}

/// The times and values of a stream. From texts, because JSON's numbers are not
/// always read to the last bit.
fn rows(node: &TestNode, stream: &str) -> Result<Vec<(i64, f64)>> {
    let row = |line: &str| -> Result<(i64, f64)> {
        let mut fields = line.split(',').skip(1);
        let time = parse_rfc3339(fields.next().context("no time")?)?;
        Ok((time.0, fields.next().context("no value")?.parse()?))
    };
    node.export(stream)?.lines().skip(1).map(row).collect()
}

/// What the engine must have published, computed here: to the last bit.
fn expected(to: u64) -> Vec<(i64, f64)> {
    let mut level = None;
    let predict = |(time, value): (i64, f64)| {
        let next = level.map_or(value, |level: f64| 0.3 * value + (1.0 - 0.3) * level);
        level = Some(next);
        (time + HOUR_US, next)
    };
    observations(0, to).into_iter().map(predict).collect()
}

#[tokio::test]
async fn an_engine_predicts_each_observation_once_although_it_and_the_node_are_killed() -> Result<()>
{
    let Some(python) = python::program("python")? else {
        return Ok(());
    };
    let mut node = TestNode::start(&[]).await?;
    let created = node.json(&["stream", "create", "wind", "--cadence", "1h"])?;
    let source = created["id"].as_str().context("no id")?.to_owned();
    observe(&node, 0, HISTORY).await?;

    let mut first = start(&python, &node)?;
    let predicted = predictions(&node, &source).await?;
    node.until(&predicted, |shown| shown["size"] != 0).await?;
    first.kill().await?;

    // Two of them at once, and the node goes away while they are at it.
    let mut two = [start(&python, &node)?, start(&python, &node)?];
    observe(&node, HISTORY, HISTORY + 20).await?;
    node.kill()?;
    node.launch().await?;
    for i in HISTORY + 20..HISTORY + 40 {
        observe(&node, i, i + 1).await?;
    }
    node.until_synced(&predicted, HISTORY + 40).await?;
    // They wait for what is new, with nothing left to read.
    node.kill()?;
    node.launch().await?;
    observe(&node, HISTORY + 40, HISTORY + 41).await?;
    node.until_synced(&predicted, HISTORY + 41).await?;
    for engine in &mut two {
        engine.kill().await?;
    }

    observe(&node, HISTORY + 41, HISTORY + 50).await?;
    let output = python::output(engine(&python, &node, &["--once", "--table"])).await?;
    let errors = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{errors}");
    let said = String::from_utf8(output.stdout)?;
    ensure!(said.starts_with("3,049 predictions are off by "), "{said}");
    ensure!(
        said.contains("predicted") && said.lines().count() > 10,
        "{said}"
    );

    ensure!(rows(&node, &predicted)? == expected(HISTORY + 50));
    let streams = node.get("/v1/streams").await?;
    let all = streams.as_array().map_or(0, Vec::len);
    ensure!(all == 2, "{all} streams: there is one of predictions");
    Ok(())
}

#[tokio::test]
async fn a_stream_names_what_it_predicts_by_any_name_of_it() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let source = node.create("wind")?;
    let invite = node.invite(&source)?;
    let stranger = format!("bafkrei{}", "a".repeat(52));
    for (name, target, expected) in [
        ("a", "wind", &source),
        ("b", source.as_str(), &source),
        ("c", &source[source.len() - 8..], &source),
        ("d", &invite, &source),
        ("e", &stranger, &stranger),
    ] {
        let created = node.json(&["stream", "create", name, "--target", target])?;
        let id = created["id"].as_str().context("no id")?;
        let shown = node.show(id)?;
        ensure!(shown["target"] == expected.as_str(), "{target}: {shown}");
        ensure!(node.run(&["show", id])?.contains(expected.as_str()));
    }
    let errors = node.fails(&["stream", "create", "x", "--target", "calm"])?;
    ensure!(errors.contains("calm"), "{errors}");
    let listed = node.run(&["list"])?;
    let of_a = listed.lines().find(|line| line.starts_with("a "));
    ensure!(of_a.is_some_and(|line| line.ends_with("wind")), "{listed}");
    Ok(())
}
