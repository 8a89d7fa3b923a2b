//! An owner never signs a second history, whatever became of its data folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater::mark::MarkFile;
use headwater_protocols::id::LogId;
use headwater_tests::{SmallDisk, TestNode, USAGE};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const RECORDS: u64 = 20_000;

/// How long a stream is looked at that must not be open for writing: twice as long as what
/// a peer says used to be taken for all that there is.
const STAYS: Duration = Duration::from_secs(12);

/// The files in which writes are logged.
fn logs_of_writes(node: &TestNode) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(node.dir().join("store"))?;
    let files = files.map(|file| Ok(file?.path()));
    let files: Vec<_> = files.collect::<Result<_>>()?;
    let is_log = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "log");
    Ok(files.into_iter().filter(is_log).collect())
}

async fn ensure_no_fork(nodes: &[&TestNode], stream: &str) -> Result<()> {
    for node in nodes {
        let evidence = node.get("/v1/evidence").await?;
        ensure!(evidence == serde_json::json!([]), "{evidence}");
        let shown = node.show(stream)?;
        ensure!(shown["forked"] == false, "{shown}");
    }
    Ok(())
}

/// A publisher and a follower that has everything, which has left.
async fn left_alone() -> Result<(TestNode, TestNode, String)> {
    let mut publisher = TestNode::start(&[]).await?;
    publisher.keep_port()?;
    let stream = publisher.create("numbers")?;
    let mut follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    publisher.publish_numbers(&stream, 0, RECORDS)?;
    follower.until_synced(&stream, RECORDS).await?;
    follower.stop().await?;
    Ok((publisher, follower, stream))
}

#[tokio::test]
async fn a_flipped_bit_in_the_log_of_writes_is_named_and_no_fork_follows() -> Result<()> {
    let (mut publisher, mut follower, stream) = left_alone().await?;
    publisher.kill()?;
    let logs = logs_of_writes(&publisher)?;
    let length = |file: &PathBuf| fs::metadata(file).map_or(0, |file| file.len());
    let log = logs.into_iter().max_by_key(length).context("no log")?;
    let name = log.file_name().and_then(|name| name.to_str());
    let name = name.context("no name")?.to_owned();
    let mut bytes = fs::read(&log)?;
    let place = bytes.len() / 4 * 3;
    bytes[place] ^= 1;
    fs::write(&log, bytes)?;

    let before = publisher.log().len();
    let launched = publisher.launch().await;
    let said = publisher.log().split_off(before);
    ensure!(said.contains(&name), "{name} is not named: {said}");
    if let Err(refused) = launched {
        ensure!(!said.contains("panicked"), "{refused:#}");
        return Ok(());
    }
    // It runs: then it publishes nothing before all of it is back.
    let size = publisher.show(&stream)?["size"].as_u64().context("size")?;
    if size < RECORDS {
        let refused = publisher.fails(&["publish", &stream, "1"])?;
        let shown = publisher.show(&stream)?;
        ensure!(shown["reopening"].is_object(), "{refused}: {shown}");
    }
    follower.launch().await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    publisher.until_synced(&stream, RECORDS).await?;
    if publisher.show(&stream)?["reopening"].is_object() {
        publisher.run(&["stream", "reopen", &stream, "--none-is-larger"])?;
    }
    publisher.publish_numbers(&stream, RECORDS, 1)?;
    follower.until_synced(&stream, RECORDS + 1).await?;
    ensure_no_fork(&[&publisher, &follower], &stream).await
}

#[tokio::test]
async fn after_a_clean_stop_the_log_of_writes_has_nothing_that_is_not_elsewhere() -> Result<()> {
    let (mut publisher, mut follower, stream) = left_alone().await?;
    publisher.stop().await?;
    for log in logs_of_writes(&publisher)? {
        fs::File::create(log)?;
    }
    publisher.launch().await?;
    publisher.until_synced(&stream, RECORDS).await?;
    publisher.publish_numbers(&stream, RECORDS, 1)?;
    follower.launch().await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, RECORDS + 1).await?;
    ensure_no_fork(&[&publisher, &follower], &stream).await
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(copied.success(), "cp ended with {copied}");
    Ok(())
}

/// The disk of a node that does not run is lost, with everything on it.
fn lose_disk(node: &TestNode) -> Result<()> {
    let folder = node.dir().parent().context("no folder")?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Why a stream is not open until it is known what others have.
fn why_closed(shown: &Value) -> Result<String> {
    let why = shown["reopening"]["why"].as_str();
    Ok(why
        .with_context(|| format!("it is open: {shown}"))?
        .to_owned())
}

#[tokio::test]
async fn a_restored_owner_does_not_open_on_the_word_of_a_follower_that_was_away() -> Result<()> {
    let mut publisher = TestNode::start(&[]).await?;
    publisher.keep_port()?;
    let stream = publisher.create("numbers")?;
    let mut stale = TestNode::start(&[]).await?;
    let mut fresh = TestNode::start(&[]).await?;
    for follower in [&stale, &fresh] {
        follower.run(&["follow", &publisher.invite(&stream)?])?;
    }
    publisher.publish_numbers(&stream, 0, 10)?;
    for follower in [&stale, &fresh] {
        follower.until_synced(&stream, 10).await?;
    }
    let are_known = |shown: &Value| shown["known_followers"] == 2;
    publisher.until(&stream, are_known).await?;
    let stale_id = stale.peer_id()?;
    stale.stop().await?;
    publisher.stop().await?;
    let backup = tempfile::tempdir()?;
    copy(publisher.dir(), &backup.path().join("data"))?;
    publisher.launch().await?;
    publisher.publish_numbers(&stream, 10, 10)?;
    fresh.until_synced(&stream, 20).await?;
    fresh.stop().await?;
    publisher.kill()?;
    lose_disk(&publisher)?;
    copy(&backup.path().join("data"), publisher.dir())?;

    publisher.launch().await?;
    stale.launch().await?;
    stale.run(&["follow", &publisher.invite(&stream)?])?;
    let until = Instant::now() + STAYS;
    while Instant::now() < until {
        why_closed(&publisher.show(&stream)?)?;
        sleep(Duration::from_millis(200)).await;
    }
    let refused = publisher.fails(&["publish", &stream, "1"])?;
    let why = why_closed(&publisher.show(&stream)?)?;
    // Who said what.
    let end = &stale_id[stale_id.len() - 8..];
    ensure!(why.contains(end) && why.contains("10"), "{why}");
    ensure!(refused.contains(end), "{refused}");

    fresh.launch().await?;
    fresh.run(&["follow", &publisher.invite(&stream)?])?;
    let is_open = |shown: &Value| shown["size"] == 20 && shown["reopening"].is_null();
    publisher.until(&stream, is_open).await?;
    publisher.publish_numbers(&stream, 20, 1)?;
    for follower in [&stale, &fresh] {
        follower.until_synced(&stream, 21).await?;
    }
    ensure_no_fork(&[&publisher, &stale, &fresh], &stream).await
}

#[tokio::test]
async fn what_only_the_mark_knows_is_given_up_only_by_who_says_how_much_it_is() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 10)?;
    node.stop().await?;
    let backup = tempfile::tempdir()?;
    copy(node.dir(), &backup.path().join("data"))?;
    node.launch().await?;
    node.publish_numbers(&stream, 10, 7)?;
    node.kill()?;
    fs::remove_dir_all(node.dir())?;
    copy(&backup.path().join("data"), node.dir())?;
    node.launch().await?;

    let reopen = ["stream", "reopen", &stream, "--none-is-larger"];
    let refused = node.fails_with(USAGE, &reopen)?;
    ensure!(refused.contains("--give-up 7"), "{refused}");
    let wrong = node.fails_with(USAGE, &[&reopen[..], &["--give-up", "6"]].concat())?;
    ensure!(wrong.contains("7 records"), "{wrong}");
    let says = |body: Value| {
        let path = format!("/v1/streams/{stream}/reopen");
        post(&node, path, body)
    };
    let body = serde_json::json!({"none_is_larger": true});
    let (status, problem) = says(body).await?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(
        status == 409 && detail.contains("7 more records"),
        "{problem}"
    );
    ensure!(detail.contains("\"give_up\":7"), "{problem}");
    why_closed(&node.show(&stream)?)?;

    node.run(&[&reopen[..], &["--give-up", "7"]].concat())?;
    node.publish_numbers(&stream, 10, 1)?;
    // Nothing is missing now: the flag alone does as before.
    node.run(&reopen)?;
    let nothing = node.fails_with(USAGE, &[&reopen[..], &["--give-up", "7"]].concat())?;
    ensure!(nothing.contains("leave off --give-up"), "{nothing}");
    Ok(())
}

async fn post(node: &TestNode, path: String, body: Value) -> Result<(u16, Value)> {
    let answer = reqwest::Client::new()
        .post(node.url(&path)?)
        .bearer_auth(node.token()?)
        .json(&body)
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// What becomes of a mark.
#[derive(Clone, Copy, Debug)]
enum Misfortune {
    /// Somebody deletes it while the node runs.
    Deleted,
    /// One of its slots cannot be read.
    Damaged,
    /// A command is told another place for it.
    Elsewhere,
    /// It can be read again only after the node has started.
    Late,
}

#[tokio::test]
async fn whatever_becomes_of_the_mark_nothing_is_signed_over_what_the_disk_has_lost() -> Result<()>
{
    for misfortune in [
        Misfortune::Deleted,
        Misfortune::Damaged,
        Misfortune::Elsewhere,
        Misfortune::Late,
    ] {
        sign_nothing_over(misfortune)
            .await
            .with_context(|| format!("{misfortune:?}"))?;
    }
    Ok(())
}

async fn sign_nothing_over(misfortune: Misfortune) -> Result<()> {
    let (mut publisher, mut follower, stream) = left_alone().await?;
    let mark = mark_file(&publisher)?;
    if let Misfortune::Deleted = misfortune {
        fs::remove_file(&mark)?;
        let until = Instant::now() + STAYS;
        while !mark.exists() {
            ensure!(Instant::now() < until, "it is not written anew");
            sleep(Duration::from_millis(50)).await;
        }
    }
    publisher.kill()?;
    let length = |file: &PathBuf| fs::metadata(file).map_or(0, |file| file.len());
    let logs = logs_of_writes(&publisher)?;
    let log = logs.into_iter().max_by_key(length).context("no log")?;
    let left = length(&log) / 4 * 3;
    fs::File::options().write(true).open(&log)?.set_len(left)?;
    let away = mark.with_extension("away");
    match misfortune {
        Misfortune::Deleted => {}
        Misfortune::Damaged => {
            let mut bytes = fs::read(&mark)?;
            bytes[100] ^= 1;
            fs::write(&mark, bytes)?;
        }
        Misfortune::Elsewhere => fs::rename(&mark, &away)?,
        Misfortune::Late => {
            fs::rename(&mark, &away)?;
            fs::create_dir(&mark)?;
        }
    }
    // Twice: the first one must not make the second one sure.
    for _ in 0..2 {
        let refused = publisher.fails(&["publish", &stream, "1"])?;
        ensure!(refused.contains("open for writing"), "{refused}");
    }
    if away.exists() {
        if let Misfortune::Late = misfortune {
            publisher.launch().await?;
            fs::remove_dir(&mark)?;
        }
        let _ = fs::remove_file(&mark);
        fs::rename(&away, &mark)?;
    }
    if let Misfortune::Late = misfortune {
        let is_told = |shown: &Value| {
            let why = shown["reopening"]["why"].as_str();
            why.is_some_and(|why| why.contains(&format!("{RECORDS} records of it were signed")))
        };
        publisher.until(&stream, is_told).await?;
    } else {
        publisher.launch().await?;
    }
    follower.launch().await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    let is_back = |shown: &Value| shown["size"] == RECORDS;
    publisher.until(&stream, is_back).await?;
    if publisher.show(&stream)?["reopening"].is_object() {
        let asks = &["stream", "reopen", &stream, "--none-is-larger"];
        publisher.run(asks)?;
    }
    publisher.publish_numbers(&stream, RECORDS, 1)?;
    follower.until_synced(&stream, RECORDS + 1).await?;
    ensure_no_fork(&[&publisher, &follower], &stream).await
}

fn mark_file(node: &TestNode) -> Result<PathBuf> {
    let file = format!("{}.mark", node.peer_id()?);
    Ok(node.mark_dir().join(file))
}

#[tokio::test]
async fn a_mark_that_can_only_be_read_is_written_as_soon_as_it_can_be() -> Result<()> {
    let Some(disk) = SmallDisk::new(8)? else {
        return Ok(());
    };
    let mut node = TestNode::new()?;
    node.set_env("HEADWATER_MARK_DIR", disk.path());
    node.launch().await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 10)?;
    node.kill()?;
    disk.set_read_only(true)?;
    node.launch().await?;
    let marked = |shown: &Value| {
        let troubles = shown["troubles"].as_array().cloned().unwrap_or_default();
        troubles.iter().any(|trouble| trouble["name"] == "mark")
    };
    node.until_get("/v1/node", marked).await?;
    // What it says agrees with the store, so that nothing waits.
    node.publish_numbers(&stream, 10, 10)?;
    disk.set_read_only(false)?;
    node.until_get("/v1/node", |shown| !marked(shown)).await?;

    // It says all that was signed.
    let peer = node.peer_id()?.parse()?;
    node.kill()?;
    let mark = MarkFile::open(disk.path(), peer)?;
    let log: LogId = stream.parse()?;
    ensure!(mark.marks().get(&log).is_some_and(|mark| mark.size == 20));
    Ok(())
}

#[tokio::test]
async fn another_node_s_mark_under_this_one_s_name_is_said_and_makes_no_stream() -> Result<()> {
    let mut other = TestNode::start(&[]).await?;
    let theirs = other.create("theirs")?;
    other.publish_numbers(&theirs, 0, 10)?;
    let foreign = mark_file(&other)?;
    other.stop().await?;

    let mut node = TestNode::start(&[]).await?;
    let ours = node.create("ours")?;
    node.publish_numbers(&ours, 0, 10)?;
    let mark = mark_file(&node)?;
    node.stop().await?;
    let (away, bytes) = (mark.with_extension("away"), fs::read(&foreign)?);
    fs::rename(&mark, &away)?;
    fs::copy(&foreign, &mark)?;
    node.launch().await?;
    // One line for each stream.
    let listed = node.run(&["list", "--json"])?;
    ensure!(listed.lines().count() == 1, "{listed}");
    let health = reqwest::get(node.url("/health")?).await?;
    ensure!(health.status() == 503);
    let health = health.text().await?;
    let owner = foreign.file_stem().and_then(|name| name.to_str());
    let owner = owner.context("no name")?.to_owned();
    ensure!(health.contains(&owner), "{health}");
    let doctor = String::from_utf8(node.command(&["doctor"])?.stdout)?;
    ensure!(
        doctor.contains("is the mark of the node") && doctor.contains(&owner),
        "{doctor}"
    );
    node.publish_numbers(&ours, 10, 10)?;
    ensure!(fs::read(&mark)? == bytes, "another node's mark was written");

    // It ends by itself, and what was signed meanwhile is noted.
    fs::rename(&away, &mark)?;
    let is_well = |shown: &Value| shown["troubles"] == serde_json::json!([]);
    node.until_get("/v1/node", is_well).await?;
    let peer = node.peer_id()?.parse()?;
    node.kill()?;
    let mark = MarkFile::open(&node.mark_dir(), peer)?;
    let log: LogId = ours.parse()?;
    ensure!(mark.marks().get(&log).is_some_and(|mark| mark.size == 20));
    Ok(())
}
