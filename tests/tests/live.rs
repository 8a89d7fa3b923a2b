//! Server-Sent Events of a stream: history, then live, from a node that follows
//! and is itself interrupted.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use headwater_client::EventReader;
use headwater_tests::{PATIENCE, SlowLink, TestNode};
use serde_json::Value;
use tokio::time::timeout;

/// Reads `GET /v1/streams/{id}/live`.
struct Events {
    answer: reqwest::Response,
    reader: EventReader,
}

impl Events {
    /// Opens the stream `from` an index, or behind the last event that an
    /// earlier connection had.
    async fn open(node: &TestNode, stream: &str, from: u64, last: Option<u64>) -> Result<Self> {
        let url = node.url(&format!("/v1/streams/{stream}/live?from={from}"))?;
        let mut request = reqwest::Client::new().get(url);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = timeout(PATIENCE, request.send()).await??;
        ensure!(answer.status() == 200, "{}", answer.status());
        Ok(Self {
            answer,
            reader: EventReader::default(),
        })
    }

    /// The next record; `None` when the node is gone.
    async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(event) = self.reader.next_event()? {
                ensure!(event.kind == "message", "{event:?}");
                let record: Value = serde_json::from_str(&event.data)?;
                let id: u64 = event.id.parse()?;
                ensure!(record["index"] == id, "{event:?}");
                return Ok(Some(record));
            }
            match timeout(PATIENCE, self.answer.chunk()).await? {
                Ok(Some(bytes)) => self.reader.push(&bytes)?,
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// Reads the records `from..to` and checks that they are these.
    async fn ensure_next(&mut self, from: u64, to: u64) -> Result<()> {
        for index in from..to {
            let record = self.next().await?.context("the node is gone")?;
            ensure!(record["index"] == index, "{record} instead of {index}");
        }
        Ok(())
    }
}

/// The value behind which nothing comes.
const END: i64 = -1;

#[tokio::test]
async fn events_of_a_follower_that_restarts_have_no_gap_and_no_double() -> Result<()> {
    const HISTORY: u64 = 2_000;
    const LIVE: u64 = 200;
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    let history =
        (0..HISTORY).map(|i| format!("{{\"time\":{i},\"time_unit\":\"us\",\"value\":{i}}}\n"));
    publisher
        .append(&stream, history.collect::<String>())
        .await?;
    let mut follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.until_synced(&stream, HISTORY).await?;

    // One record after the other, before, during and after the restart.
    let restarted = AtomicBool::new(false);
    let publish = async {
        let mut next = HISTORY;
        let mut left = LIVE;
        while left > 0 {
            left -= u64::from(restarted.load(Ordering::Relaxed));
            let value = if left == 0 { END } else { i64::try_from(next)? };
            let record = format!("{{\"time\":{next},\"time_unit\":\"us\",\"value\":{value}}}");
            publisher.append(&stream, record).await?;
            next += 1;
        }
        Ok(next)
    };
    let read = async {
        let mut events = Events::open(&follower, &stream, 0, None).await?;
        let mut next = 0;
        let mut last = Value::Null;
        while last != END {
            let Some(record) = events.next().await? else {
                // As a browser does: the same address, and what it had last.
                follower.launch().await?;
                restarted.store(true, Ordering::Relaxed);
                let had = Some(next - 1);
                events = Events::open(&follower, &stream, 0, had).await?;
                continue;
            };
            ensure!(record["index"] == next, "{record} instead of {next}");
            last = record["value"].clone();
            ensure!(last == next || last == END, "{record}");
            next += 1;
            if next == HISTORY + LIVE {
                follower.kill()?;
            }
        }
        Ok(next)
    };
    let (published, seen) = tokio::try_join!(publish, read)?;
    ensure!(published == seen, "{published} published, {seen} seen");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_named_and_events_wait_until_it_is_filled() -> Result<()> {
    /// What the follower has before it loses the publisher for a while.
    const FIRST: u64 = 1_000;
    const RECORDS: u64 = 200_000;
    /// Bytes a second: the rest, compressed, takes some ten seconds.
    const LINK: u64 = 80_000;
    let mut publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, FIRST)?;
    publisher.keep_port()?;
    let link = SlowLink::to(&publisher, LINK).await?;
    let mut follower = TestNode::start(&[]).await?;
    let invite = format!("headwater:{stream}?peer={}", link.address());
    follower.run(&["follow", &invite, "--newest-first"])?;
    follower.until_synced(&stream, FIRST).await?;
    follower.stop().await?;
    publisher.publish_numbers(&stream, FIRST, RECORDS - FIRST)?;
    // It met the publisher at another address than that of the slow line.
    let _ = std::fs::remove_file(follower.dir().join("peers"));
    follower.launch().await?;
    let more = |shown: &Value| shown["held_records"].as_u64() > Some(FIRST);
    follower.until(&stream, more).await?;
    publisher.stop().await?;

    // Nothing comes any more, so the hole stays as it is.
    let without = |shown: &Value| shown["sources"] == serde_json::json!([]);
    let shown = follower.until(&stream, without).await?;
    ensure!(
        shown["size"] == RECORDS && shown["synced"] == false,
        "{shown}"
    );
    let held = &shown["held"];
    ensure!(
        held[0] == serde_json::json!([0, FIRST]) && held.as_array().map(Vec::len) == Some(2),
        "{shown}"
    );
    let end = held[1][0].as_u64().context("no second interval")?;
    ensure!(held[1][1] == RECORDS, "{shown}");

    let hole = format!("records {FIRST} to {} of stream {stream}", end - 1);
    for query in ["", "?from=500", "?to=2000", "?from=1000&to=1001&format=csv"] {
        let url = follower.url(&format!("/v1/streams/{stream}/observations{query}"))?;
        let answer = reqwest::get(url).await?;
        ensure!(answer.status() == 409, "{query}: {}", answer.status());
        let problem: Value = answer.json().await?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        let asked_for_one = query.contains("1001");
        let named = match asked_for_one {
            true => detail.contains("records 1000 to 1000"),
            false => query == "?to=2000" || detail.contains(&hole),
        };
        ensure!(named && detail.contains(&stream), "{query}: {detail}");
    }
    let errors = follower.fails(&["export", &stream])?;
    ensure!(
        errors.contains(&hole) && errors.contains("headwater sync"),
        "{errors}"
    );
    // What is held on either side can be had.
    let first = follower.run(&["export", &stream, "--to", &FIRST.to_string()])?;
    ensure!(first.lines().count() as u64 == FIRST + 1);
    let last = follower.run(&["tail", &stream, "-n", "2"])?;
    ensure!(last.lines().count() == 2, "{last}");

    let mut before = Events::open(&follower, &stream, FIRST - 10, None).await?;
    before.ensure_next(FIRST - 10, FIRST).await?;
    let mut inside = Events::open(&follower, &stream, end - 10, None).await?;
    let mut behind = Events::open(&follower, &stream, end, None).await?;
    behind.ensure_next(end, end + 600).await?;

    // Filled without the slow link.
    publisher.launch().await?;
    drop(link);
    follower.run(&["follow", &publisher.invite(&stream)?, "--newest-first"])?;
    // Had they not waited, they would go on behind the hole.
    inside.ensure_next(end - 10, end + 300).await?;
    before.ensure_next(FIRST, FIRST + 2_000).await?;
    follower.until_synced(&stream, RECORDS).await?;
    ensure!(follower.export(&stream)? == publisher.export(&stream)?);
    Ok(())
}
