//! The end of a stream, and what comes after it.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use headwater_tests::{FOR_NOW, PATIENCE, TestNode};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use super::json_lines;

/// The indexes that a `tail` without `--json` has printed.
fn indexes(text: &str) -> Result<Vec<u64>> {
    let index = |line: &str| -> Result<u64> {
        let first = line.split_whitespace().next().context("an empty line")?;
        Ok(first.parse()?)
    };
    text.lines().map(index).collect()
}

#[tokio::test]
async fn a_tail_begins_where_it_is_told() -> Result<()> {
    let mut node = TestNode::new()?;
    let stream = node.create("numbers")?;
    ensure!(node.run(&["tail", &stream])?.is_empty());
    node.publish_numbers(&stream, 0, 1_000)?;
    for runs in [false, true] {
        if runs {
            node.launch().await?;
        }
        let tail = |args: &[&str]| -> Result<Vec<u64>> {
            indexes(&node.run(&[&["tail", &stream], args].concat())?)
        };
        ensure!(tail(&["-n", "3"])? == [997, 998, 999]);
        ensure!(tail(&[])? == (990..1_000).collect::<Vec<_>>());
        ensure!(tail(&["-n", "0"])?.is_empty());
        ensure!(tail(&["-n", "9999"])?.len() == 1_000);
        ensure!(tail(&["--from", "500"])? == (500..1_000).collect::<Vec<_>>());
        ensure!(tail(&["--from", "1000"])?.is_empty());
        // One record a second from midnight on.
        let from = "2020-01-01T00:16:36.5Z";
        ensure!(tail(&["--from", from])? == [997, 998, 999]);
        let lines = node.run(&["tail", &stream, "-n", "1", "--json"])?;
        let last = json_lines(&lines)?.pop().context("no line")?;
        ensure!(last["index"] == 999 && last["value"] == 999.5, "{last}");
        ensure!(last["time"] == "2020-01-01T00:16:39.000000Z", "{last}");
    }
    let errors = {
        node.stop().await?;
        node.fails_with(FOR_NOW, &["tail", &stream, "--follow"])?
    };
    ensure!(errors.contains("needs a running node"), "{errors}");
    Ok(())
}

/// A `tail --follow --json` that runs.
struct Following {
    lines: Lines<BufReader<ChildStdout>>,
    _tail: Child,
}

impl Following {
    fn start(node: &TestNode, stream: &str, args: &[&str]) -> Result<Self> {
        let follow = ["tail", stream, "--follow", "--json"];
        let mut tail = node.spawn(&[&follow, args].concat())?;
        let output = tail.stdout.take().context("no output")?;
        Ok(Self {
            lines: BufReader::new(output).lines(),
            _tail: tail,
        })
    }

    /// Reads to the record whose value is the end and checks that it is every
    /// one from `from` on, once; without `from` they may begin anywhere.
    /// Counts itself in `begun` when the first one has come.
    async fn ensure_whole(&mut self, from: Option<u64>, begun: &AtomicUsize) -> Result<u64> {
        let mut next = from;
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await??;
            let line = line.with_context(|| format!("it ended before {next:?}"))?;
            let record = json_lines(&line)?.pop().context("an empty line")?;
            let index = record["index"].as_u64().context("no index")?;
            let expected = next.unwrap_or(index);
            ensure!(index == expected, "{index} follows instead of {expected}");
            if next == from {
                begun.fetch_add(1, Ordering::Relaxed);
            }
            next = Some(index + 1);
            if record["value"] == END {
                return Ok(index + 1);
            }
            ensure!(record["value"] == index, "{record}");
        }
    }
}

/// The value behind which nothing comes.
const END: i64 = -1;

#[tokio::test]
async fn a_tail_that_follows_concurrent_publishes_has_no_gap_and_no_double() -> Result<()> {
    const HISTORY: u64 = 1_000;
    const BATCH: u64 = 5;
    const BATCHES: u64 = 200;
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let append = async |from: u64, to: u64| -> Result<()> {
        let rows =
            (from..to).map(|i| format!("{{\"time\":{i},\"time_unit\":\"us\",\"value\":{i}}}\n"));
        node.append(&stream, rows.collect::<String>()).await?;
        Ok(())
    };
    append(0, HISTORY).await?;

    // Publishing goes on from before the first of them begins until all have.
    let begun = AtomicUsize::new(0);
    let publish = async {
        let (mut next, mut left) = (HISTORY, BATCHES);
        while left > 0 {
            left -= u64::from(begun.load(Ordering::Relaxed) == 3);
            append(next, next + BATCH).await?;
            next += BATCH;
        }
        let end = format!("{{\"time\":{next},\"time_unit\":\"us\",\"value\":{END}}}");
        node.append(&stream, end).await?;
        Ok(next + 1)
    };
    let read = async {
        let mut all = Following::start(&node, &stream, &["--from", "0"])?;
        let mut some = Following::start(&node, &stream, &["--from", "700"])?;
        let mut last = Following::start(&node, &stream, &["-n", "3"])?;
        tokio::try_join!(
            all.ensure_whole(Some(0), &begun),
            some.ensure_whole(Some(700), &begun),
            last.ensure_whole(None, &begun),
        )
    };
    let (published, seen) = tokio::try_join!(publish, read)?;
    let ends = [seen.0, seen.1, seen.2];
    ensure!(ends == [published; 3], "{ends:?} instead of {published}");
    Ok(())
}
