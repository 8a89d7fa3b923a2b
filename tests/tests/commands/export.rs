//! What is left of a file when an export fails.

use std::fs;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use headwater::store::RocksStore;
use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;
use headwater_protocols::store::{Batch, Durability, Store, Table};
use headwater_tests::{FAILED, TestNode, USAGE, binary};

use super::ensure_says;

const RECORDS: u64 = 50_000;

/// A folder with a file of an earlier export, to be replaced by a new one.
struct Earlier(tempfile::TempDir);

impl Earlier {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("numbers.csv"), "before")?;
        Ok(Self(folder))
    }

    fn path(&self) -> Result<String> {
        let path = self.0.path().join("numbers.csv");
        Ok(path.to_str().context("the path is no text")?.to_owned())
    }

    /// The earlier file is there as it was, and nothing else.
    fn ensure_untouched(&self) -> Result<()> {
        ensure!(fs::read_to_string(self.path()?)? == "before");
        let left = fs::read_dir(self.0.path())?.count();
        ensure!(left == 1, "{left} files are there");
        Ok(())
    }
}

#[tokio::test]
async fn an_export_that_finds_no_room_leaves_the_earlier_file() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, RECORDS)?;
    let earlier = Earlier::new()?;
    let export = |limit: &str| -> Result<Output> {
        // The largest file that the command may write, in blocks.
        let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(binary())
            .arg("--data-dir")
            .arg(node.dir())
            .args(["export", &stream, "-o", &earlier.path()?])
            .stdin(Stdio::null())
            .output()?;
        Ok(output)
    };
    let output = export("1000")?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let errors = String::from_utf8(output.stderr)?;
    ensure_says(&errors, &["cannot write", "numbers.csv", "too large"])?;
    earlier.ensure_untouched()?;

    let output = export("unlimited")?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(fs::read_to_string(earlier.path()?)? == node.export(&stream)?);
    Ok(())
}

#[tokio::test]
async fn an_export_that_breaks_off_leaves_the_earlier_file() -> Result<()> {
    let mut node = TestNode::new()?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, RECORDS)?;
    lose_a_chunk(&node, RECORDS / 2)?;
    let earlier = Earlier::new()?;
    for runs in [false, true] {
        if runs {
            node.launch().await?;
        }
        let output = node.command(&["export", &stream, "-o", &earlier.path()?])?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        earlier.ensure_untouched()?;
        // To standard output a part has gone, so the exit status must tell.
        let output = node.command(&["export", &stream])?;
        ensure!(output.status.code() == Some(1), "runs: {runs}");
        ensure!(output.stdout.len() > 100_000, "{}", output.stdout.len());
    }
    Ok(())
}

#[tokio::test]
async fn an_export_that_is_refused_touches_no_file() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let earlier = Earlier::new()?;
    for wrong in [
        ["nothing", "--from", "0"],
        [stream.as_str(), "--from", "yesterday"],
    ] {
        let path = earlier.path()?;
        let status = if wrong[0] == "nothing" { FAILED } else { USAGE };
        node.fails_with(status, &[&["export"], &wrong[..], &["-o", &path]].concat())?;
        earlier.ensure_untouched()?;
    }
    Ok(())
}

/// Removes the chunk of a record from the disk of a node that does not run.
fn lose_a_chunk(node: &TestNode, index: u64) -> Result<()> {
    let store = RocksStore::open(&node.dir().join("store"))?;
    let chunk = index >> DEFAULT_CHUNK_LEVEL;
    let mut keys = Vec::new();
    store.scan(Table::Chunks, &[0], &[0xff; 13], &mut |key, _| {
        keys.push(key.to_vec());
        std::ops::ControlFlow::Continue(())
    })?;
    let place = usize::try_from(chunk)?;
    let mut batch = Batch::new();
    batch.delete(
        Table::Chunks,
        keys.get(place).context("no such chunk")?.clone(),
    );
    store.commit(batch, Durability::Synced)?;
    Ok(())
}

#[tokio::test]
async fn columns_are_not_written_to_a_terminal() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 3)?;
    // util-linux' `script` gives a command a terminal, and its status.
    let on_terminal = |args: &str| -> Result<Output> {
        let binary = binary();
        let program = format!(
            "'{}' --data-dir '{}'",
            binary.display(),
            node.dir().display()
        );
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command"])
            .arg(format!("{program} {args}"))
            .arg("/dev/null")
            .stdin(Stdio::null())
            .output();
        output.context("`script` of util-linux is needed")
    };
    for (command, format) in [
        ("export", "arrow"),
        ("export", "feather"),
        ("export", "parquet"),
        ("join", "parquet"),
    ] {
        let output = on_terminal(&format!("{command} {stream} --format {format}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(USAGE), "{output:?}");
        ensure!(said.contains(&format!("{format} is no text")), "{said}");
        ensure!(said.contains("-o FILE") && !said.contains("PAR1"), "{said}");
    }
    let shown = on_terminal(&format!("export {stream}"))?;
    ensure!(shown.status.success(), "{shown:?}");
    let file = node.dir().join("numbers.parquet");
    let file = file.to_str().context("the path is no text")?;
    let written = on_terminal(&format!("export {stream} --format parquet -o '{file}'"))?;
    ensure!(written.status.success(), "{written:?}");
    Ok(())
}

#[tokio::test]
async fn a_new_file_does_not_stand_beside_the_proof_of_another() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 3)?;
    let file = node.dir().join("numbers.csv");
    let proof = node.dir().join("numbers.csv.proof.json");
    let path = file.to_str().context("the path is no text")?;
    for command in [
        &["export", &stream, "-o", path][..],
        &["join", &stream, "-o", path],
    ] {
        node.run(&["export", &stream, "--with-proof", "-o", path])?;
        node.run(&["verify", path, "--stream", &stream])?;
        let output = node.command(command)?;
        ensure!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            said.contains("removed") && said.contains(".proof.json"),
            "{said}"
        );
        ensure!(!proof.exists(), "{command:?}");
    }
    // What somebody else wrote stays, and is said.
    fs::write(&proof, "a note")?;
    let output = node.command(&["export", &stream, "-o", path])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("left as it is"), "{said}");
    ensure!(fs::read_to_string(&proof)? == "a note");
    Ok(())
}
