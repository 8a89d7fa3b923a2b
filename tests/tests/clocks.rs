//! Machines whose clock is wrong, or is set while their node runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use serde_json::Value;
use tokio::time::Instant;

const HOUR: i64 = 3_600;
const YEARS: i64 = 10 * 365 * 24 * HOUR;

/// A node whose clock can be set, without those of others.
struct Machine {
    node: TestNode,
    shift: PathBuf,
}

impl Machine {
    /// A node that does not run yet, with the right time. `None` where no shim can
    /// be compiled.
    fn new() -> Result<Option<Self>> {
        let mut node = TestNode::new()?;
        let shim = node.dir().join("clockshift.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim/clockshift.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&shim, &source])
            .arg("-ldl")
            .status();
        if compiled.is_err() && std::env::var_os("CI").is_none() {
            return Ok(None);
        }
        ensure!(compiled?.success(), "the shim does not compile");
        let shift = node.dir().join("clock-shift");
        node.set_env("LD_PRELOAD", &shim);
        node.set_env("CLOCK_SHIFT_FILE", &shift);
        Ok(Some(Self { node, shift }))
    }

    /// Sets its clock to so many seconds ahead of ours.
    fn set(&self, ahead_s: i64) -> Result<()> {
        set(&self.shift, ahead_s)
    }

    /// A command on this machine, by its clock; its exit status, and what it says on
    /// standard error.
    fn command(&self, args: &[&str]) -> Result<(Option<i32>, String)> {
        let output = Command::new(headwater_tests::binary())
            .arg("--data-dir")
            .arg(self.node.dir())
            .args(args)
            .env("HEADWATER_MARK_DIR", self.node.mark_dir())
            .env("LD_PRELOAD", self.node.dir().join("clockshift.so"))
            .env("CLOCK_SHIFT_FILE", &self.shift)
            .output()?;
        Ok((output.status.code(), String::from_utf8(output.stderr)?))
    }
}

fn set(shift: &Path, ahead_s: i64) -> Result<()> {
    // In one step: the node may read it at any moment.
    let new = shift.with_extension("new");
    fs::write(&new, ahead_s.to_string())?;
    Ok(fs::rename(new, shift)?)
}

/// Seconds since 1970, by our clock.
fn time() -> Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}

/// Publishes a record without a time; the time that it got, in seconds.
async fn publish(node: &TestNode, stream: &str) -> Result<i64> {
    let published = node.append(stream, r#"{"value": 1}"#).await?;
    let at = published["from"].as_u64().context("no index")?;
    let path = format!("/v1/streams/{stream}/observations?from={at}&to={}", at + 1);
    let rows = node.get(&path).await?;
    let text = rows[0]["time"].as_str().context("no time")?.to_owned();
    Ok(i64::try_from(seconds(&text)?)?)
}

/// Seconds since 1970 of an RFC 3339 time in UTC.
fn seconds(text: &str) -> Result<u64> {
    let output = Command::new("date")
        .args(["-u", "-d", text, "+%s"])
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// What `doctor` says about something.
fn doctor(node: &TestNode, about: &str) -> Result<String> {
    let output = node.command(&["doctor", "--json"])?;
    let text = String::from_utf8(output.stdout)?;
    let findings = text.lines().map(serde_json::from_str::<Value>);
    let findings: Vec<Value> = findings.collect::<Result<_, _>>()?;
    let said = findings.iter().filter(|finding| finding["about"] == about);
    let said: Vec<_> = said
        .filter_map(|finding| finding["what"].as_str())
        .collect();
    Ok(said.join("\n"))
}

/// Publishes a few records, each of which arrives at the other node live: those
/// that are polled for take seconds.
async fn is_heard_live(from: &TestNode, at: &TestNode, stream: &str) -> Result<()> {
    let size = from.show(stream)?["size"].as_u64().context("size")?;
    let mut slowest = Duration::ZERO;
    for size in size + 1..size + 6 {
        let begun = Instant::now();
        from.append(stream, r#"{"value": 2}"#).await?;
        at.until(stream, |shown| shown["held_records"] == size)
            .await?;
        slowest = slowest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A question for the head comes after a second at the earliest.
    ensure!(slowest < Duration::from_millis(900), "{slowest:?}");
    Ok(())
}

#[tokio::test]
async fn records_have_the_time_of_a_clock_that_is_set_and_are_heard_live() -> Result<()> {
    let Some(mut machine) = Machine::new()? else {
        println!("skipped: there is no C compiler here");
        return Ok(());
    };
    machine.node.launch().await?;
    let publisher = &machine.node;
    let stream = publisher.create("tide")?;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    publish(publisher, &stream).await?;
    follower.until_synced(&stream, 1).await?;
    is_heard_live(publisher, &follower, &stream).await?;
    ensure!(doctor(&follower, "clock")? == "agrees with a publisher's");

    let mut last = String::new();
    for (ahead, said) in [
        (HOUR, "was set ahead by 3600 s"),
        (-HOUR, "was set back by 7200 s"),
        (0, "was set ahead by 3600 s"),
    ] {
        machine.set(ahead)?;
        let got = publish(publisher, &stream).await?;
        let expected = time()? + ahead;
        ensure!((got - expected).abs() < 5, "{got} where it was {expected}");
        is_heard_live(publisher, &follower, &stream).await?;
        publisher.until_logged(said).await?;
        // Heads do not go back.
        let shown = follower.show(&stream)?;
        let head = shown["head_time"].as_str().context("no head")?.to_owned();
        ensure!(head > last, "{head} after {last}");
        last = head;
        if ahead == HOUR {
            let said = doctor(&follower, "clock")?;
            println!("{said}");
            let id = publisher.peer_id()?;
            ensure!(
                said.contains(&id) && said.contains("publishes tide"),
                "{said}"
            );
            let far = (3_598..=3_600).any(|s| said.contains(&format!("{s} s ahead")));
            ensure!(far && said.contains("one of the two is wrong"), "{said}");
            let shown = follower.run(&["show", &stream])?;
            ensure!(shown.contains("dated 59 min ahead"), "{shown}");
            let listed = follower.run(&["list"])?;
            ensure!(listed.contains("dated 59 min ahead"), "{listed}");
        }
    }
    // It is as it was.
    publisher.until_logged("it is over").await?;
    Ok(())
}

#[tokio::test]
async fn a_follower_whose_clock_is_set_hears_live_and_finds_out_whose_clock_it_is() -> Result<()> {
    let Some(mut machine) = Machine::new()? else {
        println!("skipped: there is no C compiler here");
        return Ok(());
    };
    machine.node.launch().await?;
    let follower = &machine.node;
    let mut publishers = Vec::new();
    for name in ["tide", "wind"] {
        let publisher = TestNode::start(&[]).await?;
        let stream = publisher.create(name)?;
        follower.run(&["follow", &publisher.invite(&stream)?])?;
        publish(&publisher, &stream).await?;
        follower.until_synced(&stream, 1).await?;
        publishers.push((publisher, stream));
    }
    for (ahead, said) in [(-HOUR, "behind"), (HOUR, "ahead of")] {
        machine.set(ahead)?;
        for (publisher, stream) in &publishers {
            is_heard_live(publisher, follower, stream).await?;
        }
        let what = doctor(follower, "clock")?;
        let ours = format!("s {said} those of 2 of 2 publishers");
        ensure!(what.contains("this machine's clock is 3"), "{what}");
        ensure!(what.contains(&ours), "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn a_start_with_a_clock_that_is_years_ahead_drops_nothing() -> Result<()> {
    let Some(mut machine) = Machine::new()? else {
        println!("skipped: there is no C compiler here");
        return Ok(());
    };
    machine.node.launch().await?;
    let args = ["--retain-age", "30d", "--chunk-level", "3"];
    let created = [&["stream", "create", "tide"], &args[..]].concat();
    let created = machine.node.json(&created)?;
    let stream = created["id"].as_str().context("id")?.to_owned();
    let lines = "{\"value\": 1}\n".repeat(1_000);
    machine.node.append(&stream, lines).await?;
    let whole = serde_json::json!([[0, 1_000]]);
    for kills in 0..2 {
        machine.node.kill()?;
        machine.set(YEARS)?;
        machine.node.launch().await?;
        let shown = |shown: &Value| shown["holds_back"] == true && shown["held"] == whole;
        machine.node.until(&stream, shown).await?;
        let held = format!("retention/{stream}");
        let times = |log: &str| log.matches(&held).count() > kills;
        machine.node.until_log(times).await?;
    }
    machine.set(0)?;
    let shown = |shown: &Value| shown["holds_back"] == false && shown["held"] == whole;
    machine.node.until(&stream, shown).await?;
    machine.node.until_logged("it is over").await?;
    Ok(())
}

#[tokio::test]
async fn a_node_whose_clock_cannot_be_right_waits_with_its_start_and_signs_nothing() -> Result<()> {
    let Some(mut machine) = Machine::new()? else {
        println!("skipped: there is no C compiler here");
        return Ok(());
    };
    let stream = machine.node.create("tide")?;
    machine.node.publish_numbers(&stream, 0, 10)?;
    let (before_1970, in_1970) = (-time()? - HOUR, -time()? + HOUR);
    for ahead in [before_1970, in_1970] {
        machine.set(ahead)?;
        for args in [
            &["publish", &stream, "1"][..],
            &["stream", "create", "wind"],
        ] {
            let (status, said) = machine.command(args)?;
            ensure!(
                status == Some(headwater_tests::FOR_NOW),
                "{status:?}: {said}"
            );
            ensure!(said.contains("the system's clock shows 19"), "{said}");
        }
        // Reading works.
        let (status, said) = machine.command(&["export", &stream])?;
        ensure!(status == Some(0), "{said}");

        let (log, shift) = (machine.node.log_path(), machine.shift.clone());
        let begun = fs::read_to_string(&log).unwrap_or_default().len();
        let is_set = async {
            let waited = Instant::now();
            loop {
                let said = fs::read_to_string(&log).unwrap_or_default();
                if said[begun..].contains("the node waits for that") {
                    return set(&shift, 0);
                }
                ensure!(waited.elapsed() < headwater_tests::PATIENCE, "{said}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let (launched, is_set) = tokio::join!(machine.node.launch(), is_set);
        is_set?;
        launched?;
        let got = publish(&machine.node, &stream).await?;
        ensure!((got - time()?).abs() < 5, "{got}");

        // The same while it runs.
        machine.set(ahead)?;
        let refused = machine.node.append(&stream, r#"{"value": 1}"#).await;
        let said = format!("{:#}", refused.err().context("it was signed")?);
        ensure!(said.contains("503") && said.contains("cannot be"), "{said}");
        machine
            .node
            .until_logged("nothing is signed before")
            .await?;
        let is_said = |shown: &Value| {
            let troubles = shown["troubles"].as_array().into_iter().flatten();
            let mut said = troubles.filter_map(|trouble| trouble["what"].as_str());
            said.any(|what| what.contains("cannot be"))
        };
        machine.node.until_get("/v1/node", is_said).await?;
        let said = doctor(&machine.node, "clock")?;
        ensure!(said.contains("cannot be"), "{said}");
        // Whoever comes meanwhile is answered, and peers that were turned away come
        // again.
        for _ in 0..32 {
            machine.node.get("/v1/node").await?;
        }
        let newcomer = TestNode::start(&[]).await?;
        newcomer.run(&["follow", &machine.node.invite(&stream)?])?;
        machine.set(0)?;
        publish(&machine.node, &stream).await?;
        let size = machine.node.show(&stream)?["size"]
            .as_u64()
            .context("size")?;
        newcomer.until_synced(&stream, size).await?;
        let log = machine.node.log();
        ensure!(!log.contains("panicked"), "{log}");
        machine.node.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_clock_that_is_set_before_1970_ends_no_connection_whichever_thread_it_comes_to()
-> Result<()> {
    let Some(mut machine) = Machine::new()? else {
        println!("skipped: there is no C compiler here");
        return Ok(());
    };
    // More than have anything to do before.
    machine
        .node
        .set_env("TOKIO_WORKER_THREADS", Path::new("16"));
    machine.node.launch().await?;
    machine.set(-time()? - HOUR)?;
    let url = machine.node.url("/v1/node")?;
    // Each on a connection of its own.
    let asked = (0..256).map(|_| reqwest::get(url.clone()));
    for answer in futures::future::join_all(asked).await {
        answer?.error_for_status()?;
    }
    let log = machine.node.log();
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}
