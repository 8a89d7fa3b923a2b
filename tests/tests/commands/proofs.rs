//! Proofs on their way from one machine to another.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use headwater_tests::{TestNode, binary};
use serde_json::Value;

use super::{ensure_says, path};

/// What is no proof says nothing but that.
fn ensure_only_an_error(output: &Output) -> Result<()> {
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let fields: Vec<_> = said.as_object().context("an object")?.keys().collect();
    ensure!(fields == ["error", "exit_status"], "{output:?}");
    Ok(())
}

/// Runs `verify` as on another machine, where there is no node.
fn verify(args: &[&str]) -> Result<Output> {
    let nowhere = tempfile::tempdir()?.path().join("none");
    let output = Command::new(binary())
        .arg("--data-dir")
        .arg(&nowhere)
        .arg("verify")
        .args(args)
        .arg("--json")
        .output()?;
    ensure!(!nowhere.exists(), "verify has created a data folder");
    Ok(output)
}

#[test]
fn a_proof_that_is_compared_with_no_id_is_shown_and_not_accepted() -> Result<()> {
    let node = TestNode::new()?;
    let stream = node.create("numbers")?;
    let other = node.create("other")?;
    node.publish_numbers(&stream, 0, 1_000)?;
    let file = path(&node, "proof.json")?;
    node.run(&["prove", &stream, "700", "-o", &file])?;

    let output = verify(&[&file, "--stream", &stream])?;
    ensure!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(shown["verified"] == true && shown["index"] == 700);
    ensure!(
        shown["value"] == 700.5 && shown["stream"] == stream,
        "{shown}"
    );

    let output = verify(&[&file])?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(shown["verified"] == false && shown["stream_compared"] == false);
    ensure!(shown["stream"] == stream, "{shown}");
    let text = node.command(&["verify", &file])?;
    ensure!(text.status.code() == Some(1));
    ensure_says(&String::from_utf8(text.stdout)?, &[&stream])?;
    ensure_says(
        &String::from_utf8(text.stderr)?,
        &["not compared", "--stream"],
    )?;

    let output = verify(&[&file, "--stream", &other])?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure_only_an_error(&output)?;
    // A part of an id could be that of another stream too.
    let output = verify(&[&file, "--stream", &stream[..40]])?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    Ok(())
}

#[test]
fn a_stream_that_only_grew_is_shown_by_a_consistency_proof() -> Result<()> {
    let node = TestNode::new()?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 1_000)?;
    let before = node.show(&stream)?["root"].clone();
    node.publish_numbers(&stream, 1_000, 567)?;
    let after = node.show(&stream)?["root"].clone();

    for (first, second) in [(1_000, 1_567), (1, 1_000), (256, 257), (1_567, 1_567)] {
        let file = path(&node, &format!("{first}-{second}.json"))?;
        let (m, n) = (first.to_string(), second.to_string());
        node.run(&["prove", &stream, "--consistency", &m, &n, "-o", &file])?;
        let output = verify(&[&file, "--stream", &stream])?;
        ensure!(output.status.success(), "{first} {second}: {output:?}");
        let shown: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(shown["first_size"] == first && shown["second_size"] == second);
        if first == 1_000 {
            ensure!(shown["first_root"] == before, "{shown}");
            ensure!(shown["second_root"] == after, "{shown}");
        }
        ensure!(verify(&[&file])?.status.code() == Some(1));
    }

    let file = path(&node, "1000-1567.json")?;
    let proof: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    let alter = |key: &str, value: Value| -> Result<()> {
        let mut altered = proof.clone();
        altered[key] = value;
        fs::write(&file, altered.to_string())?;
        let output = verify(&[&file, "--stream", &stream])?;
        ensure!(output.status.code() == Some(1), "{key}: {output:?}");
        ensure_only_an_error(&output).context(key.to_owned())
    };
    let path = proof["path"].as_array().context("no path")?;
    alter("first_root", after.clone())?;
    alter("second_root", before.clone())?;
    alter("first_size", 999.into())?;
    alter("second_size", 1_566.into())?;
    alter("path", path[1..].into())
}
