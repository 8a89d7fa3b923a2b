//! A crash costs what was in flight and nothing else.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use headwater_protocols::limits::{BATCHES_IN_FLIGHT, DEFAULT_CHUNK_LEVEL, MAX_OFFERED};
use headwater_tests::{SlowLink, TestNode};

const RECORDS: u64 = 1_000_000;
const KILLS: u64 = 5;

/// Bytes a second from the publisher: the sync of about 17 MB, 4 MB when they are
/// compressed, takes some seconds, so that there is a middle to be killed in.
const LINK: u64 = 800_000;

#[tokio::test]
async fn a_joiner_killed_five_times_fetches_again_at_most_what_was_in_flight() -> Result<()> {
    let seed = match std::env::var("HEADWATER_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
    };
    println!("HEADWATER_SEED={seed}");
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, RECORDS)?;
    let link = SlowLink::to(&publisher, LINK).await?;
    let invite = format!("headwater:{stream}?peer={}", link.address());

    let mut joiner = TestNode::start(&[]).await?;
    joiner.run(&["follow", &invite])?;
    let mut stored = 0;
    for kill in moments(seed) {
        let held = until_held(&joiner, &stream, kill.max(stored + 1)).await?;
        joiner.kill()?;
        joiner.launch().await?;
        let after = held_records(&joiner, &stream).await?;
        println!("killed with {held} records held, restarted with {after}");
        ensure!(
            after >= held,
            "{held} records were stored, {after} are left"
        );
        ensure!(held < RECORDS, "the sync was over before the kill");
        stored = after;
    }
    joiner.until_synced(&stream, RECORDS).await?;
    ensure!(joiner.export(&stream)? == publisher.export(&stream)?);

    let served = publisher.get(&format!("/v1/streams/{stream}")).await?["served_records"]
        .as_u64()
        .context("no count of what was served")?;
    // What was asked for and not stored when the joiner was killed.
    let in_flight = (BATCHES_IN_FLIGHT * MAX_OFFERED) as u64 * (1 << DEFAULT_CHUNK_LEVEL);
    println!("{served} records served for {RECORDS}");
    ensure!(served >= RECORDS, "{served} records served cannot be all");
    ensure!(
        served <= RECORDS + KILLS * in_flight,
        "{served} records served"
    );
    Ok(())
}

/// When to kill: five moments between 10 and 90 % of the records, rising.
fn moments(seed: u64) -> Vec<u64> {
    let mut state = seed;
    let mut random = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let span = RECORDS * 8 / 10;
    let mut moments: Vec<_> = (0..KILLS).map(|_| RECORDS / 10 + random() % span).collect();
    moments.sort_unstable();
    moments
}

async fn held_records(node: &TestNode, stream: &str) -> Result<u64> {
    let shown = node.get(&format!("/v1/streams/{stream}")).await?;
    shown["held_records"]
        .as_u64()
        .context("no count of what is held")
}

/// Waits until so many records are held; how many there are then.
async fn until_held(node: &TestNode, stream: &str, records: u64) -> Result<u64> {
    loop {
        let held = held_records(node, stream).await?;
        if held >= records {
            return Ok(held);
        }
        tokio::task::yield_now().await;
    }
}
