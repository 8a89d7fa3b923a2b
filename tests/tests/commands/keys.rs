//! Recovery keys as their owners make them, and as another implementation reads
//! them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headwater_tests::{FAILED, TestNode, USAGE, python};
use serde_json::Value;

use super::{ensure_says, json_lines, keys, path};

const WORDS: &str = "drei Bu\u{308}cher im Regal";

fn shown(node: &TestNode, file: &str) -> Result<Value> {
    let said = json_lines(&node.run(&["key", "show", file, "--json"])?)?;
    said.into_iter().next().context("nothing was said")
}

#[tokio::test]
async fn a_recovery_key_is_two_files_that_another_implementation_reads() -> Result<()> {
    let node = TestNode::new()?;
    let (plain, sealed) = (path(&node, "plain")?, path(&node, "sealed")?);
    let words = path(&node, "words")?;
    fs::write(&words, format!("{WORDS}\r\n"))?;
    let said = node.run(&["key", "recovery", "new", &plain])?;
    ensure_says(&said, &["stronger key", "--recovery", "drawer"])?;
    let made = [
        "key",
        "recovery",
        "new",
        &sealed,
        "--passphrase-file",
        &words,
        "--json",
    ];
    let made = json_lines(&node.run(&made)?)?;
    ensure!(keys(&made[0])? == ["file", "fingerprint", "passphrase", "public_file"]);
    ensure!(made[0]["passphrase"] == true);

    let public = format!("{plain}.pub");
    let created = node.run(&["stream", "create", "wind", "--recovery", &public])?;
    let named = node.show(created.trim())?;
    let fingerprint = &shown(&node, &plain)?["fingerprint"];
    ensure!(
        named.to_string().contains(&fingerprint.to_string()),
        "{named}"
    );
    let refused = ["stream", "create", "rain", "--recovery", &plain];
    ensure_says(&node.fails_with(USAGE, &refused)?, &["put this one away"])?;

    for (file, passphrase) in [(&plain, None), (&sealed, Some(&words))] {
        let public = format!("{file}.pub");
        let (secret, known) = (shown(&node, file)?, shown(&node, &public)?);
        ensure!(secret["secret"] == true && known["secret"] == false);
        ensure!(secret["passphrase"] == passphrase.is_some());
        ensure!(secret["fingerprint"] == known["fingerprint"]);
        let text = node.run(&["key", "show", file, "--public"])?;
        ensure!(text == fs::read_to_string(&public)?, "{text}");

        let with_words: Vec<&str> = [Some(file), passphrase]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        for arguments in [&with_words[..], &[&public]] {
            let Some(read) = python::run("recovery_key.py", arguments).await? else {
                return Ok(());
            };
            let read: Value = serde_json::from_str(&read)?;
            ensure!(read["recovery"] == secret["fingerprint"], "{read} {secret}");
            ensure!(
                read["reader_key"] == secret["reader_key"],
                "{read} {secret}"
            );
        }
    }
    fs::write(&words, "drei Bücher")?;
    let read = python::run("recovery_key.py", &[&sealed, &words]).await;
    ensure!(read.is_err(), "another passphrase opens it: {read:?}");
    Ok(())
}

fn new<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["key", "recovery", "new"], args].concat()
}

#[test]
fn a_recovery_key_is_never_overwritten_and_what_is_none_is_named() -> Result<()> {
    let node = TestNode::new()?;
    let key = path(&node, "drawer")?;
    node.run(&new(&[&key]))?;
    let before = fs::read(&key)?;
    let said = node.fails_with(FAILED, &new(&[&key]))?;
    ensure_says(&said, &["not overwritten", &key])?;
    fs::remove_file(&key)?;
    let said = node.fails_with(FAILED, &new(&[&key]))?;
    ensure_says(&said, &["not overwritten", "drawer.pub"])?;
    ensure!(!Path::new(&key).exists());
    fs::write(&key, before)?;

    let other = path(&node, "other")?;
    for wrong in [
        &[&format!("{other}.pub")[..]][..],
        &[&other, "--passphrase"],
        &[&other, "--passphrase-file", "/dev/null"],
        &[&other, "--passphrase-file", "/nonexistent"],
        &[&other, "--passphrase-file", "/dev/null", "--passphrase"],
    ] {
        node.fails_with(USAGE, &new(wrong))?;
        ensure!(!Path::new(&other).exists());
    }
    node.fails_with(FAILED, &new(&["/nonexistent/key"]))?;

    let text = fs::read_to_string(&key)?;
    let (before, secret) = text.split_once("secret: ").context("it has no secret")?;
    let slip = match secret.starts_with('0') {
        true => '1',
        false => '0',
    };
    fs::write(&other, format!("{before}secret: {slip}{}", &secret[1..]))?;
    let said = node.fails_with(USAGE, &["key", "show", &other])?;
    ensure_says(&said, &["a character of it is wrong", &other])?;
    ensure!(!said.contains(&secret[2..10]), "{said}");
    fs::write(&other, "something else")?;
    let said = node.fails_with(USAGE, &["key", "show", &other])?;
    ensure_says(&said, &["it is no recovery key", &other])
}
