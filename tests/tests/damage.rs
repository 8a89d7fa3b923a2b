//! What is damaged on the disk is found, named and mended.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;

const RECORDS: u64 = 200_000;

/// A publisher and a follower that has everything in table files, and is stopped.
async fn world() -> Result<(TestNode, TestNode, String)> {
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, RECORDS)?;
    let mut follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, RECORDS).await?;
    into_tables(&mut follower).await?;
    Ok((publisher, follower, stream))
}

/// Stops a node when its log of writes was made into table files, as a start does.
async fn into_tables(node: &mut TestNode) -> Result<()> {
    node.stop().await?;
    node.launch().await?;
    node.stop().await
}

fn store(node: &TestNode) -> PathBuf {
    node.dir().join("store")
}

fn files(dir: &Path, is: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|name| is(&name.to_string_lossy()))
        {
            found.push(path);
        }
    }
    Ok(found)
}

/// The largest table file: that of the chunks.
fn chunks(node: &TestNode) -> Result<PathBuf> {
    let tables = files(&store(node), |name| name.ends_with(".sst"))?;
    let length = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    tables
        .into_iter()
        .max_by_key(length)
        .context("there are no table files")
}

fn flip(path: &Path, place: usize) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let at = place.min(bytes.len() - 1);
    bytes[at] ^= 4;
    Ok(fs::write(path, bytes)?)
}

fn flip_middle(path: &Path) -> Result<String> {
    flip(path, fs::metadata(path)?.len() as usize / 2)?;
    let name = path.file_name().context("a file has a name")?;
    Ok(name.to_string_lossy().into_owned())
}

#[tokio::test]
async fn a_flipped_block_at_a_follower_is_named_and_mended_within_ten_seconds_of_a_peer()
-> Result<()> {
    let (publisher, mut follower, stream) = world().await?;
    let name = flip_middle(&chunks(&follower)?)?;
    follower.launch().await?;
    let begun = Instant::now();
    // Whoever meets it gets no wrong answer.
    let export = follower.command(&["export", &stream])?;
    let whole = publisher.export(&stream)?;
    ensure!(!export.status.success() || String::from_utf8(export.stdout)? == whole);
    let log = follower.until_logged("is repaired").await?;
    ensure!(log.contains(&name), "{log}");
    follower.until_synced(&stream, RECORDS).await?;
    while follower.command(&["export", &stream])?.stdout != whole.as_bytes() {
        ensure!(
            begun.elapsed() < Duration::from_secs(10),
            "{}",
            follower.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let scrubbed = follower.json(&["scrub", &stream])?;
    ensure!(
        scrubbed["records"] == RECORDS && scrubbed["bad_records"] == 0,
        "{scrubbed}"
    );
    let kept = files(follower.dir(), |name| name.starts_with("store-damaged-"))?;
    ensure!(kept.len() == 1 && kept[0].join(&name).exists());
    ensure!(follower.show(&stream)?["damaged_records"] == 0);
    Ok(())
}

#[tokio::test]
async fn a_scrub_finds_what_nobody_reads_and_says_that_no_peer_has_it() -> Result<()> {
    let (mut publisher, mut follower, stream) = world().await?;
    publisher.keep_port()?;
    publisher.stop().await?;
    flip_middle(&chunks(&follower)?)?;
    follower.launch().await?;
    let said = follower.fails(&["scrub", &stream])?;
    ensure!(said.contains("no peer that has them"), "{said}");
    let shown = follower.show(&stream)?;
    ensure!(
        shown["synced"] == false && shown["damaged_records"].as_u64() > Some(0),
        "{shown}"
    );
    publisher.launch().await?;
    follower.run(&["scrub", &stream, "--wait", "--timeout", "60s"])?;
    follower.until_synced(&stream, RECORDS).await?;
    ensure!(follower.export(&stream)? == publisher.export(&stream)?);
    Ok(())
}

#[tokio::test]
async fn a_publisher_gets_its_own_records_back_and_publishes_on() -> Result<()> {
    let (mut publisher, mut follower, stream) = world().await?;
    follower.launch().await?;
    let whole = follower.export(&stream)?;
    publisher.keep_port()?;
    into_tables(&mut publisher).await?;
    flip_middle(&chunks(&publisher)?)?;
    publisher.launch().await?;
    publisher.run(&["scrub", &stream, "--wait", "--timeout", "60s"])?;
    ensure!(publisher.export(&stream)? == whole);
    publisher.publish_numbers(&stream, RECORDS, 10)?;
    follower.until_synced(&stream, RECORDS + 10).await?;
    ensure!(publisher.export(&stream)? == follower.export(&stream)?);
    ensure!(follower.show(&stream)?["forked"] == false);
    Ok(())
}

#[tokio::test]
async fn whatever_becomes_of_the_small_files_of_a_store_a_follower_starts_and_has_all_of_it()
-> Result<()> {
    let (publisher, mut follower, stream) = world().await?;
    let whole = publisher.export(&stream)?;
    for name in ["MANIFEST-", "CURRENT", "OPTIONS-", "IDENTITY", "instance"] {
        for way in ["flipped", "cut", "emptied", "deleted"] {
            for file in files(&store(&follower), |file| file.starts_with(name))? {
                let bytes = fs::read(&file)?;
                match way {
                    "flipped" => flip(&file, bytes.len() / 2)?,
                    "cut" => fs::write(&file, &bytes[..bytes.len() / 2])?,
                    "emptied" => fs::write(&file, b"")?,
                    _ => fs::remove_file(&file)?,
                }
            }
            (follower.launch().await).with_context(|| format!("{name} {way}"))?;
            follower.until_synced(&stream, RECORDS).await?;
            ensure!(follower.export(&stream)? == whole, "{name} {way}");
            follower.stop().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn whatever_becomes_of_the_small_files_of_a_folder_the_word_is_right() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    node.stop().await?;
    for (name, bytes, word) in [
        ("key", &b""[..], "is damaged: it has 0 bytes"),
        ("key", b"\x08\x01\x12\x40half", "is damaged: it has 8 bytes"),
        ("token", b"guess me", "holds no API token"),
        ("token", b"guess-me", "can be guessed"),
        ("token", b"\xff\xfe", "holds no API token"),
        ("config.toml", b"\xff\xfe", "is not text"),
        ("config.toml", b"api = ", "config.toml"),
    ] {
        let file = node.dir().join(name);
        let whole = fs::read(&file)?;
        fs::write(&file, bytes)?;
        let said = refused(&node)?;
        ensure!(said.contains(word), "{name}: {said}");
        fs::write(&file, whole)?;
    }
    // Of a token that was cut short nobody has the rest.
    for left in [0, 20, 63] {
        let file = node.dir().join("token");
        fs::write(&file, &fs::read(&file)?[..left])?;
        node.launch().await?;
        ensure!(
            node.log().contains(&format!("({left} of 64 digits")),
            "{}",
            node.log()
        );
        node.create(&format!("made-with-{left}"))?;
        ensure!(node.token()?.len() == 64);
        node.stop().await?;
    }
    for name in ["token", "peers", "config.toml"] {
        let file = node.dir().join(name);
        if file.exists() {
            fs::remove_file(&file)?;
        }
        node.launch().await?;
        node.stop().await?;
    }
    fs::remove_file(node.dir().join("key"))?;
    let said = refused(&node)?;
    ensure!(said.contains("restore the file `key`"), "{said}");
    Ok(())
}

/// What a node says that does not start.
fn refused(node: &TestNode) -> Result<String> {
    let output = node.command(&["run"])?;
    ensure!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    Ok(String::from_utf8(output.stderr)?)
}
