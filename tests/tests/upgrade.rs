//! Folders of version 0.1.0, made by its program, on the program of today.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use tokio::time::timeout;

const STREAM: &str = "bafkreidxygixckyb626fq75efuopu6gychyf6snoqhhtb3hvh3eatf46ii";
const ROOT: &str = "56022fa49b2344540218d30c88765da08a6ae01db3c052738bc3b21c51e888f5";
const SILENT: &str = "bafkreifpbicgueu2xapv4bguhcneeb2gcgcxovueytnq64a23gwou4nzge";
/// When its head was signed, which the new one says, too.
const SIGNED: &str = "2026-11-30T09:51:46.015361Z";

const SECONDS: Duration = Duration::from_secs(20);

fn data_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data")
        .join(name)
}

/// A node with the folder of the publisher (`pub`) or of its follower (`fol`), as it was
/// when 0.1.0 stopped.
fn early(whose: &str) -> Result<TestNode> {
    let node = TestNode::new()?;
    let folder = tempfile::tempdir()?;
    let archive = data_path("folder-0.1.0/folders.tar.gz");
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(folder.path())
        .status()?;
    ensure!(unpacked.success(), "tar ended with {unpacked}");
    fs::remove_dir_all(node.dir())?;
    copy(&folder.path().join(whose), node.dir())?;
    Ok(node)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(copied.success(), "cp ended with {copied}");
    Ok(())
}

fn expected() -> Result<String> {
    Ok(fs::read_to_string(data_path(
        "folder-0.1.0/temperature.csv",
    ))?)
}

#[tokio::test]
async fn a_publisher_of_0_1_0_has_the_same_streams_and_goes_on() -> Result<()> {
    let mut node = early("pub")?;
    // Whatever is unpacked is a copy, which asks its followers before it goes on; this
    // one has none any more.
    for stream in [STREAM, SILENT] {
        node.run(&["stream", "reopen", stream, "--none-is-larger"])?;
    }
    let shown = node.show("temperature")?;
    ensure!(
        shown["id"] == STREAM && shown["root"] == ROOT && shown["size"] == 300,
        "{shown}"
    );
    ensure!(node.show("silent")?["id"] == SILENT);
    ensure!(node.export("temperature")? == expected()?);
    node.run(&["publish", "temperature", "1.5"])?;
    node.launch().await?;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &node.invite(STREAM)?])?;
    follower.until_synced(STREAM, 301).await?;
    ensure!(follower.export(STREAM)?.starts_with(&expected()?));
    let proof = follower.run(&["prove", STREAM, "7"])?;
    let file = follower.dir().join("proof.json");
    fs::write(&file, proof)?;
    node.run(&["verify", file.to_str().context("path")?, "--stream", STREAM])?;
    Ok(())
}

#[tokio::test]
async fn two_copies_of_a_folder_of_0_1_0_sign_one_text() -> Result<()> {
    let mut notes = Vec::new();
    for _ in 0..2 {
        let node = early("pub")?;
        let note = node.run(&["show", STREAM, "--checkpoint"])?;
        ensure!(note.contains("\n300\n"), "{note}");
        notes.push(note);
    }
    ensure!(notes[0] == notes[1]);
    let shown = early("pub")?.show(STREAM)?;
    ensure!(shown["head_time"] == SIGNED, "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_follower_of_0_1_0_reads_on_and_is_told_when_its_publisher_comes() -> Result<()> {
    let mut follower = early("fol")?;
    ensure!(follower.export("temperature")? == expected()?);
    let refused = follower.fails(&["prove", STREAM, "7"])?;
    ensure!(refused.contains("signed for version 0.1.0"), "{refused}");
    let refused = follower.fails(&["show", STREAM, "--checkpoint"])?;
    ensure!(refused.contains("signed for version 0.1.0"), "{refused}");
    follower.launch().await?;
    let shown = follower.show(STREAM)?;
    ensure!(
        shown["size"] == 300 && shown["synced"] == true && shown["root"] == ROOT,
        "{shown}"
    );

    let mut publisher = early("pub")?;
    publisher.launch().await?;
    publisher.run(&["stream", "reopen", STREAM, "--none-is-larger"])?;
    publisher.run(&["publish", "temperature", "1.5"])?;
    follower.run(&["follow", &publisher.invite(STREAM)?])?;
    timeout(SECONDS, follower.until_synced(STREAM, 301))
        .await
        .context("it does not go on")??;
    follower.run(&["prove", STREAM, "7"])?;
    ensure!(follower.export(STREAM)?.starts_with(&expected()?));
    ensure!(follower.show(STREAM)?["forked"] == false);
    Ok(())
}

#[tokio::test]
async fn a_proof_file_of_0_1_0_is_named_as_such() -> Result<()> {
    let node = TestNode::new()?;
    let file = data_path("folder-0.1.0/proof.json");
    let refused = node.fails(&["verify", file.to_str().context("path")?])?;
    ensure!(
        refused.contains("version 0.1.0") && refused.contains("headwater prove"),
        "{refused}"
    );
    Ok(())
}

#[tokio::test]
async fn a_kill_at_any_moment_of_the_first_start_loses_nothing() -> Result<()> {
    // Where it is in its start after so long no two machines agree; each is tried.
    for milliseconds in [0, 5, 10, 20, 40, 80, 160] {
        let mut node = early("pub")?;
        // It may not even have begun.
        let _ = timeout(Duration::from_millis(milliseconds), node.launch()).await;
        let _ = node.kill();
        let shown = node.show(STREAM)?;
        ensure!(
            shown["root"] == ROOT && shown["head_time"] == SIGNED,
            "{milliseconds} ms: {shown}"
        );
        ensure!(
            node.export("temperature")? == expected()?,
            "{milliseconds} ms"
        );
    }
    Ok(())
}
