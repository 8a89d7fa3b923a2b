//! A command answers the same whether a node runs on the folder or not, and its
//! JSON has the keys that scripts rely on.

use std::fs;

use anyhow::{Result, ensure};
use headwater_tests::TestNode;
use serde_json::Value;

use super::{json_lines, keys, path};

/// Longer than three chunks, and not a whole number of them.
const RECORDS: u64 = 1_000;

const STREAM: &[&str] = &[
    "about",
    "alias",
    "begin",
    "cadence_us",
    "chunk_level",
    "clock_ahead_ms",
    "closed",
    "content_type",
    "created",
    "damaged_records",
    "description",
    "disk_bytes",
    "disputed_from",
    "ends_at",
    "followed",
    "forked",
    "head_age_ms",
    "head_time",
    "held",
    "held_records",
    "holds_back",
    "id",
    "invite",
    "kind",
    "known_followers",
    "known_peers",
    "lag",
    "licence",
    "missing_records",
    "name",
    "ordered",
    "prior",
    "publisher",
    "record_bytes",
    "recovered",
    "recovering",
    "recovery_key",
    "reopening",
    "retain_age_us",
    "retain_records",
    "role",
    "root",
    "served_records",
    "size",
    "source",
    "sources",
    "stopped",
    "stopped_since",
    "successor",
    "synced",
    "tags",
    "target",
    "too_new",
    "unit",
    "value_type",
    "waits_for_room",
    "witnesses",
];

/// Every reading command, on a stream of `RECORDS` numbers.
const READING: &[&[&str]] = &[
    &["list", "--json"],
    &["stream", "list", "--json"],
    &["show", "numbers", "--json"],
    &["export", "numbers", "--format", "csv"],
    &["export", "numbers", "--format", "ndjson"],
    &["export", "numbers", "--from", "250", "--to", "260"],
    &["export", "numbers", "--from", "2020-01-01T00:16:30Z"],
    &["export", "numbers", "--from", "999999"],
    &["tail", "numbers", "-n", "3"],
    &["tail", "numbers", "--from", "990", "--json"],
    &["prove", "numbers", "7"],
    &["prove", "numbers", "999"],
    &["prove", "numbers", "--consistency", "10", "700"],
    // What is refused, and why.
    &["show", "nothing"],
    &["prove", "numbers", "1000"],
    &["prove", "numbers", "--consistency", "700", "10"],
    &["export", "numbers", "--from", "yesterday"],
    &["publish", "numbers", "many"],
];

/// What a command says, without what belongs to the moment: the age of the
/// head, and the addresses of a node that runs.
fn said(node: &TestNode, args: &[&str]) -> Result<String> {
    let output = node.command(args)?;
    let code = output.status.code();
    let errors = String::from_utf8(output.stderr)?;
    let text = String::from_utf8(output.stdout)?;
    if args.contains(&"tail") || !args.contains(&"--json") {
        return Ok(format!("{code:?}\n{errors}\n{text}"));
    }
    let mut shown = format!("{code:?}\n{errors}\n");
    for mut stream in json_lines(&text)? {
        for momentary in ["head_age_ms", "invite", "disk_bytes"] {
            stream[momentary] = Value::Null;
        }
        shown.push_str(&stream.to_string());
    }
    Ok(shown)
}

#[tokio::test]
async fn every_reading_command_answers_the_same_with_and_without_a_running_node() -> Result<()> {
    let mut node = TestNode::new()?;
    let stream = node.create("numbers")?;
    node.create("empty")?;
    node.publish_numbers(&stream, 0, RECORDS)?;
    let without: Vec<_> = (READING.iter())
        .map(|args| said(&node, args))
        .collect::<Result<_>>()?;
    node.launch().await?;
    for (args, without) in READING.iter().zip(&without) {
        let with = said(&node, args)?;
        ensure!(with == *without, "{args:?}: {without}\n---\n{with}");
    }
    node.stop().await?;
    for (args, before) in READING.iter().zip(&without) {
        ensure!(
            said(&node, args)? == *before,
            "{args:?} changed with the node"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_publish_answers_and_stores_the_same_with_and_without_a_running_node() -> Result<()> {
    let mut node = TestNode::new()?;
    let mut answers = Vec::new();
    for name in ["without", "with"] {
        if name == "with" {
            node.launch().await?;
        }
        let stream = node.create(name)?;
        let time = "2019-06-01T00:00:00Z";
        let one = node.run(&["publish", &stream, "-4.50", "--time", time])?;
        let json = node.run(&["publish", &stream, "1e3", "--time", time, "--json"])?;
        node.publish_numbers(&stream, 0, RECORDS)?;
        let lines = "{\"time\":1,\"time_unit\":\"us\",\"value\":1}\n\n{\"time\":\"2020-01-01T00:00:00Z\",\"value\":2.0}";
        let args = ["publish", &stream, "--ndjson", "--json"];
        let lines = node.command_with_input(&args, lines).await?;
        ensure!(lines.status.success(), "{lines:?}");
        let lines = String::from_utf8(lines.stdout)?;
        ensure!(
            keys(&serde_json::from_str(&json)?)? == ["from", "to"],
            "{json}"
        );
        let root = node.show(&stream)?["root"].clone();
        answers.push((one, json, lines, root, node.export(&stream)?));
    }
    ensure!(answers[0] == answers[1], "{answers:?}");
    Ok(())
}

#[tokio::test]
async fn the_json_of_every_command_has_the_keys_that_scripts_rely_on() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let created = publisher.json(&["stream", "create", "numbers"])?;
    ensure!(keys(&created)? == ["id"], "{created}");
    let stream = created["id"].as_str().unwrap_or_default();
    publisher.publish_numbers(stream, 0, RECORDS)?;
    let invite = publisher.invite(stream)?;

    let node = TestNode::start(&[]).await?;
    let followed = node.json(&["follow", &invite])?;
    ensure!(keys(&followed)? == STREAM, "{followed}");
    let synced = node.json(&["sync", stream, "--wait", "--timeout", "60s"])?;
    let wanted = [
        "elapsed_ms",
        "held_records",
        "id",
        "missing_records",
        "received",
        "root",
        "size",
        "sources",
        "synced",
    ];
    ensure!(keys(&synced)? == wanted, "{synced}");
    ensure!(
        synced["synced"] == true && synced["size"] == RECORDS,
        "{synced}"
    );
    for args in [
        ["list"].as_slice(),
        &["show", stream],
        &["unfollow", stream],
    ] {
        let shown = node.json(args)?;
        ensure!(keys(&shown)? == STREAM, "{args:?}: {shown}");
    }

    let status = node.json(&["status"])?;
    let wanted = [
        "addresses",
        "api",
        "bootstrap",
        "connections",
        "counters",
        "disk_bytes",
        "max_disk",
        "nat",
        "peer_id",
        "private_network",
        "roles",
        "running",
        "streams",
        "troubles",
        "uptime_s",
        "version",
    ];
    ensure!(keys(&status)? == wanted, "{status}");
    let peers = node.json(&["peers"])?;
    let wanted = [
        "addresses",
        "agent",
        "inbound",
        "path",
        "peer_id",
        "rtt_ms",
        "streams",
        "syncs",
    ];
    ensure!(keys(&peers)? == wanted, "{peers}");
    for finding in json_lines(&node.run(&["doctor", "--json"])?)? {
        let wanted = ["about", "advice", "level", "what"];
        ensure!(keys(&finding)? == wanted, "{finding}");
    }

    for line in json_lines(&node.run(&["tail", stream, "-n", "2", "--json"])?)? {
        ensure!(keys(&line)? == ["index", "time", "value"], "{line}");
    }
    let file = path(&node, "out")?;
    let exported = node.json(&["export", stream, "-o", &file])?;
    ensure!(keys(&exported)? == ["bytes", "file"], "{exported}");
    ensure!(exported["bytes"] == fs::metadata(&file)?.len());
    let proved = node.json(&["prove", stream, "0", "-o", &file])?;
    ensure!(keys(&proved)? == ["file"], "{proved}");
    let verified = node.json(&["verify", &file, "--stream", stream])?;
    let wanted = [
        "head_time",
        "index",
        "name",
        "publisher",
        "root",
        "size",
        "stream",
        "stream_compared",
        "time",
        "value",
        "verified",
    ];
    ensure!(keys(&verified)? == wanted, "{verified}");
    Ok(())
}

#[tokio::test]
async fn a_command_that_fails_says_why_in_json_where_it_is_asked_for() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let bad = path(&node, "bad.csv")?;
    fs::write(&bad, "ts,value\n2024-05-01,1\n2024-05-02,x\n")?;
    let error = |args: &[&str]| -> Result<Value> {
        let output = node.command(&[args, &["--json"]].concat())?;
        let said = String::from_utf8(output.stderr)?;
        let mut lines = json_lines(&String::from_utf8(output.stdout)?)?;
        ensure!(lines.len() == 1, "{args:?}: {lines:?}");
        let shown = lines.remove(0);
        let text = shown["error"].as_str().unwrap_or_default();
        // Whoever reads stderr is told the same.
        let first = text.lines().next().unwrap_or_default();
        ensure!(
            !first.is_empty() && said.contains(first),
            "{args:?}: {shown}: {said}"
        );
        let code = output.status.code();
        ensure!(code != Some(0), "{args:?}");
        let status = shown["exit_status"].as_i64();
        ensure!(
            args[0] == "import" || status == code.map(i64::from),
            "{args:?}: {shown}"
        );
        Ok(shown)
    };
    for args in [
        &["show", "nothing"][..],
        &["publish", "numbers", "many"],
        &[
            "publish",
            &stream,
            "--file",
            &bad,
            "--time-column",
            "ts",
            "--value-column",
            "value",
        ],
        &["export", "numbers", "--from", "yesterday"],
        &["export", "numbers", "-o", "/nonexistent/file"],
        &["prove", "numbers", "1000"],
        &["verify", "/nonexistent"],
        &["stream", "create", ""],
        &["unsigned", "export", "nothing"],
        &["--api", "http://127.0.0.1:1", "list"],
        &["--data-dir", "/nonexistent", "list"],
        &["run", "--max-disk", "lots"],
        &["network", "new", "/nonexistent/file"],
        // What is refused before it begins.
        &["frobnicate"],
        &["publish"],
        &["export", "numbers", "--format", "xml"],
    ] {
        error(args)?;
    }
    let refused = error(&["show", "nothing"])?;
    ensure!(
        refused["problem"]["status"] == 404 && refused["exit_status"] == 1,
        "{refused}"
    );
    // A report of what is wrong stays one value.
    let report = error(&["import", &bad, "--check"])?;
    ensure!(report["bad_rows"] == 1 && report["rows"] == 1, "{report}");
    // Nothing was asked for in JSON.
    let output = node.command(&["show", "nothing"])?;
    ensure!(output.stdout.is_empty(), "{output:?}");
    let output = node.command(&["publish", "numbers", "--frobnicate", "--", "--json"])?;
    ensure!(output.stdout.is_empty(), "{output:?}");
    Ok(())
}
