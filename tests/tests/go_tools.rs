//! A stream's checkpoint is opened by the code of Go's checksum database, and its
//! records are the leaves of the tree in it: `tests/go`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use headwater_tests::TestNode;
use serde_json::Value;

/// Where Debian puts the sources of golang.org/x/mod: they are found there without
/// any network.
const GO_PATH: &str = "/usr/share/gocode";

/// More than two tiles of 256, and an end that is no whole one.
const RECORDS: u64 = 700;

/// The compiled program, as long as its folder is there.
struct Checkpoint {
    folder: tempfile::TempDir,
}

impl Checkpoint {
    /// Compiles it. `None`, and a word on standard error, where `scripts/setup --ci`
    /// has not installed what that takes.
    fn build() -> Result<Option<Self>> {
        let has_go = Command::new("go").arg("version").output().is_ok();
        if !has_go || !Path::new(GO_PATH).join("src/golang.org/x/mod").exists() {
            let missing =
                "Go, or its package golang.org/x/mod, is not installed; run scripts/setup --ci";
            ensure!(std::env::var_os("CI").is_none(), "{missing}");
            #[allow(clippy::print_stderr, reason = "whoever runs the tests must know")]
            {
                eprintln!("SKIPPED: {missing}");
            }
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(folder.path().join("checkpoint"))
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"))
            .env("GO111MODULE", "off")
            .env("GOPATH", GO_PATH)
            .env("GOFLAGS", "")
            .output()?;
        let errors = String::from_utf8_lossy(&built.stderr);
        ensure!(built.status.success(), "go build: {errors}");
        Ok(Some(Self { folder }))
    }

    /// Lets it open a note and go through records: what it said, or its complaint.
    fn open(
        &self,
        key: &str,
        note: &str,
        records: Option<&Path>,
    ) -> Result<std::result::Result<String, String>> {
        let mut program = Command::new(self.folder.path().join("checkpoint"))
            .arg(key)
            .args(records)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = program.stdin.take().context("no standard input")?;
        stdin.write_all(note.as_bytes())?;
        drop(stdin);
        let output = program.wait_with_output()?;
        let said = String::from_utf8(output.stdout)?;
        Ok(match output.status.success() {
            true => Ok(said),
            false => Err(String::from_utf8(output.stderr)?),
        })
    }

    /// A file with the records of [`TestNode::publish_numbers`], of which `changed` has
    /// another value.
    fn records(&self, count: u64, changed: Option<u64>) -> Result<PathBuf> {
        let mut lines = String::new();
        for index in 0..count {
            let value = index + u64::from(changed == Some(index));
            let time_us = (1_577_836_800 + index) * 1_000_000;
            let record = [&time_us.to_be_bytes()[..], format!("{value}.5").as_bytes()].concat();
            lines += &BASE64.encode(&record);
            lines.push('\n');
        }
        let path = self.folder.path().join("records");
        fs::write(&path, lines)?;
        Ok(path)
    }
}

fn field<'a>(shown: &'a Value, name: &str) -> Result<&'a str> {
    let field = shown[name].as_str();
    field.with_context(|| format!("no {name} in {shown}"))
}

/// The text that is signed, which stands before the empty line.
fn text(note: &str) -> Result<&str> {
    let end = note.find("\n\n").context("no empty line")?;
    Ok(&note[..=end])
}

#[test]
fn gos_tools_open_the_checkpoint_of_a_stream_and_find_its_records_in_the_tree() -> Result<()> {
    let Some(go) = Checkpoint::build()? else {
        return Ok(());
    };
    let node = TestNode::new()?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, RECORDS)?;
    let note = node.run(&["show", &stream, "--checkpoint"])?;
    let shown = node.json(&["show", &stream, "--checkpoint"])?;
    ensure!(field(&shown, "checkpoint")? == note, "{shown}");
    let key = field(&shown, "verifier_key")?;

    let whole = go.records(RECORDS, None)?;
    let opened = go.open(key, &note, Some(&whole))?;
    let wanted = format!("opened\n{}{RECORDS} records verified\n", text(&note)?);
    ensure!(opened.as_ref() == Ok(&wanted), "{opened:?}");

    for changed in [0, 255, 256, 699] {
        let records = go.records(RECORDS, Some(changed))?;
        let opened = go.open(key, &note, Some(&records))?;
        ensure!(opened.is_err(), "{changed}: {opened:?}");
    }
    let other = node.create("other")?;
    let shown = node.json(&["show", &other, "--checkpoint"])?;
    let others_key = field(&shown, "verifier_key")?;
    ensure!(go.open(others_key, &note, None)?.is_err());
    let later = note.replacen("time 1", "time 2", 1);
    ensure!(later != note && go.open(key, &later, None)?.is_err());
    Ok(())
}

#[test]
fn gos_tools_open_the_checkpoint_of_an_empty_stream_and_of_one_that_was_closed() -> Result<()> {
    let Some(go) = Checkpoint::build()? else {
        return Ok(());
    };
    let node = TestNode::new()?;
    let (old, new) = (node.create("old")?, node.create("new")?);
    let open = |stream: &str| {
        let shown = node.json(&["show", stream, "--checkpoint"])?;
        let (key, note) = (field(&shown, "verifier_key")?, field(&shown, "checkpoint")?);
        let opened = go.open(key, note, None)?;
        opened.map_err(anyhow::Error::msg)
    };
    ensure!(open(&old)?.starts_with(&format!("opened\nheadwater/1/{old}\n0\n")));
    node.run(&["stream", "close", &old, "--successor", &new, "--yes"])?;
    let opened = open(&old)?;
    ensure!(opened.ends_with(&format!("\nclosed {new}\n")), "{opened}");
    Ok(())
}

#[test]
fn gos_tools_open_the_heads_of_the_documents() -> Result<()> {
    let Some(go) = Checkpoint::build()? else {
        return Ok(());
    };
    let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors/heads.json"))?;
    let key = field(&vectors, "vkey")?;
    for head in vectors["heads"].as_array().context("no heads")? {
        let opened = go.open(key, field(head, "note")?, None)?;
        let wanted = format!("opened\n{}", field(head, "text")?);
        ensure!(opened.as_ref() == Ok(&wanted), "{head}: {opened:?}");
    }
    Ok(())
}
