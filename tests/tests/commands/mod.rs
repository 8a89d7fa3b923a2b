//! The commands, as their users call them.

mod answers;
mod csv;
mod dashboard;
mod doctor;
mod exit;
mod export;
mod files;
mod folder;
mod import;
mod keys;
mod local_times;
mod naming;
mod proofs;
mod publish;
mod restart;
mod resume;
mod stop;
mod tail;
mod terminal;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use serde_json::Value;

/// What a command prints with `--json`: one value a line.
fn json_lines(text: &str) -> Result<Vec<Value>> {
    let parse = |line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"));
    text.lines().map(parse).collect()
}

/// The keys of a JSON object, in alphabetical order.
fn keys(object: &Value) -> Result<Vec<&str>> {
    let object = object.as_object().context("not an object")?;
    let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    Ok(keys)
}

/// Checks that what a command said on standard error has these words.
fn ensure_says(errors: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(errors.contains(word), "`{word}` is not in: {errors}");
    }
    Ok(())
}

/// A path of the node's folder, as an argument.
fn path(node: &TestNode, name: &str) -> Result<String> {
    let path = node.dir().join(name);
    Ok(path.to_str().context("the path is no text")?.to_owned())
}

/// A number of a JSON object.
fn number(object: &Value, key: &str) -> Result<u64> {
    object[key]
        .as_u64()
        .with_context(|| format!("no {key} in {object}"))
}
