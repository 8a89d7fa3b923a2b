//! Nodes that stand still for a while, as those of a machine that sleeps do, and go
//! on as if no time had passed: their peers have given the connections up meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::{Signal, TestNode, send_signal};
use tokio::time::{Instant, sleep};

/// How long one stands still: longer than it takes until connections over QUIC end
/// for want of a sign of life, and about as long as over TCP, where the system of a
/// process that stands still goes on to acknowledge what comes for it.
const STILL: Duration = Duration::from_secs(40);

/// When live records are there again.
const GOES_ON: Duration = Duration::from_secs(30);

/// Stands still, and goes on; also when the test fails meanwhile, so that the node
/// can be ended.
struct Still(u32);

impl Still {
    fn begin(node: &TestNode) -> Result<Self> {
        let pid = node.pid().context("the node does not run")?;
        send_signal(pid, Signal::SIGSTOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        let _ = send_signal(self.0, Signal::SIGCONT);
    }
}

/// Publishes one more record, and waits for it at a follower; how long that took.
async fn passes(publisher: &TestNode, follower: &TestNode, stream: &str) -> Result<Duration> {
    let size = publisher.show(stream)?["size"]
        .as_u64()
        .context("no size")?;
    let began = Instant::now();
    publisher.append(stream, "{\"value\":1}").await?;
    follower.until_synced(stream, size + 1).await?;
    Ok(began.elapsed())
}

async fn goes_on_after_standing_still(listen: &str, is_follower: bool) -> Result<()> {
    let publisher = TestNode::start_on(listen, &[]).await?;
    let follower = TestNode::start_on(listen, &[]).await?;
    let stream = publisher.create("numbers")?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    passes(&publisher, &follower, &stream).await?;

    let (stays, sleeps) = match is_follower {
        true => (&publisher, &follower),
        false => (&follower, &publisher),
    };
    let still = Still::begin(sleeps)?;
    let began = Instant::now();
    let gone = |shown: &serde_json::Value| shown["connections"] == 0;
    let mut given_up = None;
    while began.elapsed() < STILL {
        if given_up.is_none() && gone(&stays.get("/v1/node").await?) {
            given_up = Some(began.elapsed());
        }
        sleep(Duration::from_millis(100)).await;
    }
    // What is published meanwhile is history by then.
    if is_follower {
        publisher.append(&stream, "{\"value\":0}").await?;
    }
    drop(still);
    let awake = Instant::now();
    let passed = passes(&publisher, &follower, &stream).await?;
    #[allow(clippy::print_stderr, reason = "the figures of the sleep")]
    {
        eprintln!(
            "{listen}: given up after {given_up:?}, a live record {passed:?} after the end of it"
        );
    }
    ensure!(awake.elapsed() < GOES_ON, "it took {:?}", awake.elapsed());
    // Over QUIC, where nothing answered, it is a new connection.
    ensure!(
        !listen.contains("quic") || given_up.is_some(),
        "the connection is not given up"
    );
    // And it stays: no old connection takes the new one with it.
    let passed = passes(&publisher, &follower, &stream).await?;
    ensure!(passed < GOES_ON, "then it took {passed:?}");
    Ok(())
}

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

#[tokio::test]
async fn a_follower_that_slept_has_live_records_again_over_tcp() -> Result<()> {
    goes_on_after_standing_still(TCP, true).await
}

#[tokio::test]
async fn a_follower_that_slept_has_live_records_again_over_quic() -> Result<()> {
    goes_on_after_standing_still(QUIC, true).await
}

#[tokio::test]
async fn a_publisher_that_slept_is_followed_again_over_quic() -> Result<()> {
    goes_on_after_standing_still(QUIC, false).await
}
