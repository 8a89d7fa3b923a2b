//! Publishers that sign two histories, by mistake or on purpose, and data
//! folders that were copied or restored, which must not make them do it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use headwater_tests::{FOR_NOW, PATIENCE, TestNode, binary};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How long it may take until all who are connected know of a fork.
const SECONDS: Duration = Duration::from_secs(10);

fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    let copied = Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(copied.success(), "cp ended with {copied}");
    Ok(())
}

/// Another node on a copy of a node's data folder. It must not run.
fn clone_of(node: &TestNode) -> Result<TestNode> {
    let clone = TestNode::new()?;
    copy(node.dir(), clone.dir())?;
    Ok(clone)
}

fn is_forked(shown: &Value, from: u64) -> bool {
    shown["forked"] == true && shown["disputed_from"] == from
}

/// Waits until a node knows of the fork and from where on it is disputed.
async fn until_forked(node: &TestNode, stream: &str, from: u64) -> Result<Value> {
    let wanted = |shown: &Value| is_forked(shown, from);
    timeout(SECONDS, node.until(stream, wanted))
        .await
        .context("it does not hear of the fork")?
}

/// Checks a file with nothing else: no data folder.
fn verify(file: &Path, args: &[&str]) -> Result<Output> {
    let nowhere = file.with_extension("nowhere");
    let mut command = Command::new(binary());
    command
        .arg("--data-dir")
        .arg(&nowhere)
        .args(["evidence", "verify"])
        .arg(file)
        .args(args);
    let output = command.output()?;
    ensure!(!nowhere.exists(), "it needed a data folder");
    Ok(output)
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// A publisher and its clone, which published different records from index 100
/// on, each to a follower of its own.
struct Forked {
    stream: String,
    publisher: TestNode,
    near: TestNode,
    clone: TestNode,
    far: TestNode,
}

impl Forked {
    async fn new() -> Result<Self> {
        let mut publisher = TestNode::start(&[]).await?;
        let stream = publisher.create("t")?;
        publisher.publish_numbers(&stream, 0, 100)?;
        publisher.stop().await?;
        let mut clone = clone_of(&publisher)?;
        publisher.launch().await?;
        publisher.publish_numbers(&stream, 100, 50)?;
        // The user of the clone does not know better.
        clone.run(&["stream", "reopen", &stream, "--none-is-larger"])?;
        clone.launch().await?;
        clone.publish_numbers(&stream, 1_000, 20)?;
        let near = TestNode::start(&[]).await?;
        near.run(&["follow", &publisher.invite(&stream)?])?;
        let far = TestNode::start(&[]).await?;
        far.run(&["follow", &clone.invite(&stream)?])?;
        near.until_synced(&stream, 150).await?;
        far.until_synced(&stream, 120).await?;
        Ok(Self {
            stream,
            publisher,
            near,
            clone,
            far,
        })
    }

    fn all(&self) -> [&TestNode; 4] {
        [&self.publisher, &self.near, &self.clone, &self.far]
    }

    /// Lets the two sides meet, and waits until everybody knows.
    async fn meet(&self) -> Result<()> {
        self.far
            .run(&["follow", &self.near.invite(&self.stream)?])?;
        for node in self.all() {
            until_forked(node, &self.stream, 100).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn two_copies_that_publish_are_found_out_with_evidence_that_anybody_can_check() -> Result<()>
{
    let mut forked = Forked::new().await?;
    forked.meet().await?;
    let stream = forked.stream.clone();
    for node in forked.all() {
        let listed = node.json(&["evidence", "list"])?;
        ensure!(
            listed["stream"] == stream.as_str() && listed["disputed_from"] == 100,
            "{listed}"
        );
    }
    for owner in [&forked.publisher, &forked.clone] {
        let refused = owner.fails(&["publish", &stream, "1"])?;
        ensure!(refused.contains("two histories"), "{refused}");
    }

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("fork.json");
    let path = file.to_str().context("path")?;
    forked.far.run(&["evidence", "show", &stream, "-o", path])?;
    let proved = verify(&file, &["--stream", &stream])?;
    ensure!(proved.status.success(), "{}", said(&proved));
    let proved = verify(&file, &["--json"])?;
    ensure!(proved.status.success(), "{}", said(&proved));
    let shown: Value = serde_json::from_slice(&proved.stdout)?;
    ensure!(
        shown["verified"] == true && shown["stream"] == stream.as_str(),
        "{shown}"
    );
    ensure!(
        shown["publisher"] == forked.publisher.peer_id()?.as_str(),
        "{shown}"
    );
    ensure!(shown["common_size"] == 100, "{shown}");
    let sizes = [&shown["first"]["size"], &shown["second"]["size"]];
    ensure!(sizes == [120, 150], "{shown}");
    refuses_changes(&file)?;

    // Who was away when it was gossiped, and who joins later, learns of it.
    forked.near.stop().await?;
    forked.near.launch().await?;
    until_forked(&forked.near, &stream, 100).await?;
    let late = TestNode::start(&[]).await?;
    late.run(&["follow", &forked.near.invite(&stream)?])?;
    let wanted = |shown: &Value| is_forked(shown, 100) && shown["synced"] == true;
    let shown = late.until(&stream, wanted).await?;
    ensure!(shown["held"] == serde_json::json!([[0, 100]]), "{shown}");
    let file = late.get(&format!("/v1/evidence/{stream}")).await?;
    let path = folder.path().join("late.json");
    fs::write(&path, file.to_string())?;
    ensure!(verify(&path, &[])?.status.success());
    only_the_common_part_is_served(&late, &stream).await?;
    only_the_common_part_is_served(&forked.near, &stream).await?;
    let common = |node: &TestNode| node.run(&["export", &stream, "--to", "100"]);
    let wanted = common(&forked.publisher)?;
    for node in [&forked.near, &forked.far, &forked.clone, &late] {
        ensure!(common(node)? == wanted);
    }
    Ok(())
}

/// Changes the evidence in many places: each time it proves nothing.
fn refuses_changes(file: &Path) -> Result<()> {
    let whole = fs::read_to_string(file)?;
    let changed = file.with_extension("changed");
    let mut changes = 0;
    let step = whole.len() / 60;
    for (at, byte) in whole.bytes().enumerate().step_by(step) {
        // What is no digit of a hash or of base64 would be refused as no JSON.
        if !byte.is_ascii_alphanumeric() {
            continue;
        }
        let mut text = whole.clone().into_bytes();
        text[at] = if byte == b'b' { b'c' } else { b'b' };
        fs::write(&changed, &text)?;
        let refused = verify(&changed, &[])?;
        let said = said(&refused);
        ensure!(refused.status.code() == Some(1), "byte {at}: {said}");
        ensure!(said.contains("proves nothing"), "byte {at}: {said}");
        changes += 1;
    }
    ensure!(changes > 20, "{changes} changes");
    Ok(())
}

async fn only_the_common_part_is_served(node: &TestNode, stream: &str) -> Result<()> {
    let exported = node.command(&["export", stream, "--format", "csv"])?;
    ensure!(exported.status.code() == Some(1), "{}", said(&exported));
    let words = String::from_utf8(exported.stderr)?;
    ensure!(
        words.contains("two histories") && words.contains("--to 100"),
        "{words}"
    );
    ensure!(
        exported
            .stdout
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
            == 101
    );
    for args in [
        &["export", stream, "--to", "101"][..],
        &["prove", stream, "100"],
    ] {
        let refused = node.fails(args)?;
        ensure!(refused.contains("disputed"), "{refused}");
    }
    node.run(&["prove", stream, "99"])?;
    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let answer = reqwest::get(&url).await?;
    ensure!(
        answer
            .headers()
            .get("headwater-disputed-from")
            .is_some_and(|from| from == "100")
    );
    let rows: Vec<Value> = serde_json::from_str(&answer.text().await?)?;
    ensure!(rows.len() == 100, "{} rows", rows.len());
    let refused = reqwest::get(format!("{url}?from=100&to=101")).await?;
    let beyond = node.show(stream)?["size"] == 100;
    ensure!(refused.status() == 409 || beyond, "{}", refused.status());
    live_ends_before_the_dispute(node, stream).await?;
    let shown = node.run(&["show", stream])?;
    ensure!(
        shown.contains("disputed") && shown.contains("forked"),
        "{shown}"
    );
    Ok(())
}

/// A WebSocket gets what both histories have and then the reason why it ends;
/// one that has all of that is refused.
async fn live_ends_before_the_dispute(node: &TestNode, stream: &str) -> Result<()> {
    let url = node.url(&format!("/v1/streams/{stream}/live?from="))?;
    let url = url.replacen("http", "ws", 1);
    let (mut socket, _) = connect_async(format!("{url}90")).await?;
    let mut texts = Vec::new();
    loop {
        let message = timeout(PATIENCE, socket.next()).await?;
        match message.context("it ends without a reason")?? {
            Message::Text(text) => texts.push(serde_json::from_str::<Value>(&text)?),
            Message::Close(frame) => {
                let reason = frame.context("no reason")?.reason;
                ensure!(reason.contains("disputed"), "{reason}");
                break;
            }
            _ => {}
        }
    }
    let problem = texts.pop().context("nothing came")?;
    ensure!(problem["status"] == 409, "{problem}");
    let indexes: Vec<_> = texts.iter().map(|text| text["index"].as_u64()).collect();
    ensure!(indexes == (90..100).map(Some).collect::<Vec<_>>());
    match connect_async(format!("{url}100")).await {
        Err(Error::Http(answer)) => ensure!(answer.status() == 409, "{answer:?}"),
        other => bail!("it was not refused: {other:?}"),
    }
    let events = reqwest::get(format!("{}100", url.replacen("ws", "http", 1))).await?;
    ensure!(events.status() == 409, "{}", events.status());
    Ok(())
}

/// A publisher whose folder is put back to a state before the last records that
/// its followers have.
struct Restored {
    stream: String,
    publisher: TestNode,
    follower: TestNode,
    other: TestNode,
    _backup: tempfile::TempDir,
}

impl Restored {
    async fn new() -> Result<Self> {
        let mut publisher = TestNode::start(&[]).await?;
        publisher.keep_port()?;
        let stream = publisher.create("t")?;
        publisher.publish_numbers(&stream, 0, 100)?;
        let [follower, other] = [TestNode::start(&[]).await?, TestNode::start(&[]).await?];
        for follower in [&follower, &other] {
            follower.run(&["follow", &publisher.invite(&stream)?])?;
            follower.until_synced(&stream, 100).await?;
        }
        let are_known = |shown: &Value| shown["known_followers"] == 2;
        publisher.until(&stream, are_known).await?;
        publisher.stop().await?;
        let folder = tempfile::tempdir()?;
        let backup = folder.path().join("backup");
        copy(publisher.dir(), &backup)?;
        publisher.launch().await?;
        publisher.publish_numbers(&stream, 100, 50)?;
        for follower in [&follower, &other] {
            follower.until_synced(&stream, 150).await?;
        }
        publisher.kill()?;
        copy(&backup, publisher.dir())?;
        Ok(Self {
            stream,
            publisher,
            follower,
            other,
            _backup: folder,
        })
    }

    /// The publisher goes on where it was, and nobody finds anything wrong.
    async fn goes_on(&mut self) -> Result<()> {
        let (publisher, stream) = (&mut self.publisher, &self.stream);
        publisher.publish_numbers(stream, 150, 10)?;
        self.follower.until_synced(stream, 160).await?;
        for follower in [&self.follower, &self.other] {
            ensure!(follower.show(stream)?["forked"] == false);
        }
        ensure!(self.follower.export(stream)? == publisher.export(stream)?);
        // The folder is in its place from now on: not even a crash changes that.
        publisher.kill()?;
        publisher.launch().await?;
        publisher.publish_numbers(stream, 160, 1)?;
        self.follower.until_synced(stream, 161).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_restored_folder_publishes_nothing_before_it_has_what_its_peers_know() -> Result<()> {
    let mut restored = Restored::new().await?;
    let stream = restored.stream.clone();
    let publisher = &mut restored.publisher;
    let refused = publisher.fails(&["publish", &stream, "1"])?;
    ensure!(
        refused.contains("was restored") && refused.contains("--none-is-larger"),
        "{refused}"
    );
    publisher.launch().await?;
    let refused = publisher.append(&stream, r#"{"value":1}"#).await;
    let refused = format!("{:#}", refused.err().context("it was published")?);
    ensure!(
        refused.contains("409") && refused.contains("was restored"),
        "{refused}"
    );
    let begun = Instant::now();
    publisher.run(&["stream", "reopen", &stream])?;
    println!("recovered after {:?}", begun.elapsed());
    let shown = publisher.show(&stream)?;
    ensure!(
        shown["size"] == 150 && shown["reopening"].is_null(),
        "{shown}"
    );
    restored.goes_on().await
}

#[tokio::test]
async fn a_publisher_that_cannot_know_that_it_was_restored_hears_it_and_recovers() -> Result<()> {
    let mut restored = Restored::new().await?;
    let stream = restored.stream.clone();
    let publisher = &mut restored.publisher;
    forge_instance(&publisher.dir().join("store/instance"))?;
    fs::remove_dir_all(publisher.mark_dir())?;
    publisher.launch().await?;
    let shown = publisher
        .until(&stream, |shown| shown["reopening"].is_object())
        .await?;
    let why = shown["reopening"]["why"].as_str().unwrap_or_default();
    ensure!(
        why.contains("150 records") && why.contains("were 100"),
        "{why}"
    );
    let wanted = |shown: &Value| shown["reopening"].is_null() && shown["size"] == 150;
    publisher.until(&stream, wanted).await?;
    restored.goes_on().await
}

/// Makes a copied folder look as if a whole machine had been put back: the file
/// says that it was born when it was.
fn forge_instance(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let id = text.lines().next().context("no id")?.to_owned();
    let born = fs::metadata(path)?.created()?.duration_since(UNIX_EPOCH)?;
    let born = format!("{}.{:09}", born.as_secs(), born.subsec_nanos());
    Ok(fs::write(path, format!("{id}\nborn {born}\n"))?)
}

#[tokio::test]
async fn a_copy_without_peers_says_what_is_the_matter_and_what_to_do() -> Result<()> {
    let original = TestNode::new()?;
    let stream = original.create("t")?;
    original.publish_numbers(&stream, 0, 10)?;
    let mut copy = clone_of(&original)?;
    // The original goes on at once.
    original.publish_numbers(&stream, 10, 1)?;
    for _ in 0..2 {
        let refused = copy.fails(&["publish", &stream, "1"])?;
        ensure!(refused.contains("is a copy"), "{refused}");
        ensure!(
            refused.contains("headwater stream reopen --none-is-larger"),
            "{refused}"
        );
    }
    ensure!(copy.export(&stream)?.lines().count() == 11);
    let listed = copy.run(&["list"])?;
    ensure!(listed.contains("reopening"), "{listed}");
    let refused = copy.fails_with(FOR_NOW, &["stream", "reopen"])?;
    ensure!(refused.contains("needs a running node"), "{refused}");
    copy.launch().await?;
    let refused = copy.fails_with(FOR_NOW, &["stream", "reopen", &stream, "--timeout", "1s"])?;
    ensure!(
        refused.contains("no peer that follows it has said"),
        "{refused}"
    );
    copy.run(&["stream", "recover", "--none-is-larger"])?;
    copy.publish_numbers(&stream, 10, 5)?;
    copy.kill()?;
    copy.launch().await?;
    copy.publish_numbers(&stream, 15, 5)?;
    ensure!(copy.export(&stream)?.lines().count() == 21);
    Ok(())
}
