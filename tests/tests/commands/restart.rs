//! Commands that take long, and a node that is killed and started anew
//! meanwhile: they wait and go on, with nothing lost and nothing twice.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::{FOR_NOW, PATIENCE, Signal, TestNode, send_signal};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::{ensure_says, json_lines, number, path};

/// What a command says while it waits.
const WAITS: &str = "waiting until it is back";

/// And when it need not any more.
const GOES_ON: &str = "the node is back";

/// A command with pipes to it.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(node: &TestNode, args: &[&str]) -> Result<Self> {
        let mut child = node.spawn(args)?;
        let output = child.stdout.take().context("no output")?;
        let errors = child.stderr.take().context("no errors")?;
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            output: BufReader::new(output).lines(),
            errors: BufReader::new(errors).lines(),
        })
    }

    async fn write(&mut self, text: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("the input has ended")?;
        stdin.write_all(text.as_bytes()).await?;
        Ok(())
    }

    /// Waits until it has said this, on standard error; the line.
    async fn until_said(&mut self, words: &str) -> Result<String> {
        let said = async {
            while let Some(line) = self.errors.next_line().await? {
                if line.contains(words) {
                    return Ok(Some(line));
                }
            }
            anyhow::Ok(None)
        };
        let said = timeout(PATIENCE, said).await??;
        said.with_context(|| format!("it never said `{words}`"))
    }

    /// Ends the input, and waits for the end; the exit status, and what it has
    /// still said.
    async fn end(mut self) -> Result<(Option<i32>, String)> {
        drop(self.stdin.take());
        let rest = async {
            let mut said = String::new();
            while let Some(line) = self.errors.next_line().await? {
                said.push_str(&line);
                said.push('\n');
            }
            let status = self.child.wait().await?;
            anyhow::Ok((status.code(), said))
        };
        timeout(PATIENCE, rest).await?
    }
}

/// The values of a stream, in order.
fn values(node: &TestNode, stream: &str) -> Result<Vec<u64>> {
    let exported = node.export(stream)?;
    let value = |line: &str| Ok(line.rsplit(',').next().unwrap_or_default().parse()?);
    exported.lines().skip(1).map(value).collect()
}

fn numbers(range: std::ops::Range<u64>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

#[tokio::test]
async fn a_pipe_says_once_why_a_stream_is_closed_after_a_crash_and_what_opens_it() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let mut follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &node.invite(&stream)?])?;
    let mut publish = Running::start(&node, &["publish", &stream])?;
    publish.write("0\n").await?;
    follower.until_synced(&stream, 1).await?;
    node.until(&stream, |shown| shown["known_followers"] == 1)
        .await?;
    follower.stop().await?;
    // Without the mark nothing here tells whether more was signed.
    node.crash()?;
    fs::remove_dir_all(node.mark_dir())?;
    publish.write("1\n").await?;
    publish.until_said(WAITS).await?;
    node.launch().await?;
    let line = publish.until_said("not open for writing").await?;
    ensure!(line.contains("the node did not end well"), "{line}");
    ensure!(line.contains("it opens by itself within 10 s"), "{line}");
    let (status, said) = publish.end().await?;
    ensure!(status == Some(0), "{said}");
    ensure!(!said.contains("not open for writing"), "said twice: {said}");
    ensure!(said.contains(GOES_ON), "{said}");
    ensure!(values(&node, &stream)? == [0, 1]);
    Ok(())
}

#[tokio::test]
async fn a_pipe_goes_on_when_the_node_is_back_with_every_line_once_and_in_order() -> Result<()> {
    const ROUNDS: u64 = 3;
    const LINES: u64 = 1_000;
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let mut publish = Running::start(&node, &["publish", &stream])?;
    let mut sent = 0;
    for round in 0..ROUNDS {
        // Killed with some lines on their way, and others that come meanwhile.
        publish.write(&numbers(sent..sent + LINES)).await?;
        node.until(&stream, |shown| shown["size"].as_u64() > Some(sent))
            .await?;
        match round % 2 {
            0 => node.crash()?,
            _ => node.stop().await?,
        }
        sent += LINES;
        publish.write(&numbers(sent..sent + LINES)).await?;
        sent += LINES;
        publish.until_said(WAITS).await?;
        // On another port of the API.
        node.launch().await?;
        publish.until_said(GOES_ON).await?;
    }
    let (status, said) = publish.end().await?;
    ensure!(status == Some(0), "{said}");
    let stored = values(&node, &stream)?;
    ensure!(stored.len() as u64 == sent, "{} of {sent}", stored.len());
    ensure!(stored.into_iter().eq(0..sent), "not in order");
    Ok(())
}

#[tokio::test]
async fn two_pipes_into_one_stream_lose_nothing_and_double_nothing_over_a_restart() -> Result<()> {
    const LINES: u64 = 2_000;
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let mut pipes = Vec::new();
    for _ in 0..2 {
        pipes.push(Running::start(&node, &["publish", &stream])?);
    }
    // One line at a time, so that their batches come in turns.
    for line in 0..LINES {
        for (pipe, from) in pipes.iter_mut().zip([0, LINES]) {
            pipe.write(&format!("{}\n", from + line)).await?;
        }
        if line == LINES / 2 {
            // Both have found the node.
            let from_both = |shown: &Value| shown["size"].as_u64() > Some(LINES / 2 + 2);
            node.until(&stream, from_both).await?;
            node.crash()?;
            node.launch().await?;
        }
    }
    for pipe in pipes {
        let (status, said) = pipe.end().await?;
        ensure!(status == Some(0), "{said}");
    }
    let stored = values(&node, &stream)?;
    let (first, second): (Vec<u64>, Vec<u64>) = stored.iter().partition(|value| **value < LINES);
    ensure!(first.into_iter().eq(0..LINES), "the first pipe's lines");
    ensure!(second.into_iter().eq(LINES..2 * LINES), "the second's");
    Ok(())
}

#[tokio::test]
async fn a_file_goes_on_when_the_node_is_back() -> Result<()> {
    const ROWS: u64 = 600_000;
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = path(&node, "numbers.csv")?;
    let mut text = String::from("time,value\n");
    for i in 0..ROWS {
        writeln!(text, "{i},{i}")?;
    }
    fs::write(&file, text)?;
    let columns = ["--time-column", "time", "--value-column", "value"];
    let args = ["publish", &stream, "--file", &file, "--time-format", "unix"];
    let mut publish = Running::start(&node, &[&args[..], &columns].concat())?;
    node.until(&stream, |shown| shown["size"] != 0).await?;
    node.crash()?;
    publish.until_said(WAITS).await?;
    node.launch().await?;
    let (status, said) = publish.end().await?;
    ensure!(status == Some(0), "{said}");
    ensure!(values(&node, &stream)?.into_iter().eq(0..ROWS));
    Ok(())
}

#[tokio::test]
async fn whoever_does_not_want_to_wait_is_told_how_far_it_came() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    // One ends after a time that it was given, one when the user says so.
    for signal in [None, Some(Signal::SIGINT)] {
        let size = number(&node.show(&stream)?, "size")?;
        let limit = ["--timeout", "300ms"];
        let limit = if signal.is_none() { &limit[..] } else { &[] };
        let mut publish = Running::start(&node, &[&["publish", &stream], limit].concat())?;
        publish.write("1\n2\n3\n").await?;
        node.until(&stream, |shown| shown["size"] == size + 3)
            .await?;
        node.stop().await?;
        publish.write("4\n").await?;
        publish.until_said(WAITS).await?;
        if let Some(signal) = signal {
            send_signal(publish.child.id().context("it has ended")?, signal)?;
        }
        let (status, said) = publish.end().await?;
        let wanted = if signal.is_none() { FOR_NOW } else { 1 };
        ensure!(status == Some(wanted), "{status:?}: {said}");
        let last = format!("up to index {}", size + 2);
        ensure_says(
            &said,
            &["3 records came before", &last, "the last batch (1 record)"],
        )?;
        node.launch().await?;
    }
    Ok(())
}

#[tokio::test]
async fn ctrl_c_ends_a_pipe_behind_what_was_sent() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let mut publish = Running::start(&node, &["publish", &stream])?;
    publish.write("1\n2\n").await?;
    node.until(&stream, |shown| shown["size"] == 2).await?;
    send_signal(publish.child.id().context("it has ended")?, Signal::SIGINT)?;
    // The input does not end.
    publish
        .until_said("interrupted; 2 records came before")
        .await?;
    let (status, _) = publish.end().await?;
    ensure!(status == Some(1), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn a_tail_goes_on_behind_the_last_record_when_the_node_is_back() -> Result<()> {
    const EACH: u64 = 50;
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let mut tail = Running::start(&node, &["tail", &stream, "-f", "--json", "--from", "0"])?;
    let mut size = 0;
    for crashes in [true, false, true] {
        let rows = (size..size + EACH)
            .map(|i| format!("{{\"time\":{i},\"time_unit\":\"us\",\"value\":{i}}}\n"));
        node.append(&stream, rows.collect::<String>()).await?;
        for index in size..size + EACH {
            let line = timeout(PATIENCE, tail.output.next_line()).await??;
            let record = json_lines(&line.context("it ended")?)?.pop();
            let record = record.context("an empty line")?;
            ensure!(record["index"] == index, "{record} instead of {index}");
        }
        size += EACH;
        match crashes {
            true => node.crash()?,
            false => node.stop().await?,
        }
        tail.until_said(WAITS).await?;
        // What is published before it is back comes as well.
        node.publish_numbers(&stream, size, 1)?;
        node.launch().await?;
        tail.until_said(GOES_ON).await?;
        let line = timeout(PATIENCE, tail.output.next_line()).await??;
        let record = json_lines(&line.context("it ended")?)?.pop();
        ensure!(record.context("empty")?["index"] == size);
        size += 1;
    }
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_tail_that_is_not_to_wait_ends_with_the_node() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 1)?;
    let mut tail = Running::start(&node, &["tail", &stream, "-f", "--timeout", "0s"])?;
    timeout(PATIENCE, tail.output.next_line()).await??;
    node.stop().await?;
    let (status, said) = tail.end().await?;
    ensure!(status == Some(FOR_NOW), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_sync_that_waits_says_why_nothing_comes_and_goes_on_over_a_restart() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, 100)?;
    node.run(&["follow", &stream])?;
    let mut sync = Running::start(&node, &["sync", &stream, "--wait"])?;
    sync.until_said("nobody is connected to this node; no head of the publisher has come yet; no peer that has it is known")
        .await?;
    node.crash()?;
    sync.until_said(WAITS).await?;
    node.launch().await?;
    sync.until_said(GOES_ON).await?;
    node.run(&["follow", &publisher.invite(&stream)?])?;
    let (status, said) = sync.end().await?;
    ensure!(status == Some(0), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_sync_that_gives_up_may_be_tried_again() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let unknown = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    node.run(&["follow", unknown])?;
    let args = ["sync", unknown, "--wait", "--timeout", "200ms"];
    let said = node.fails_with(FOR_NOW, &args)?;
    ensure_says(
        &said,
        &["not in step after", "no peer that has it is known"],
    )?;
    // Not before it has lasted is there a word of it.
    ensure!(said.lines().count() == 1, "{said}");
    Ok(())
}

#[tokio::test]
async fn a_pipe_without_end_lets_a_node_start_and_goes_on_with_it() -> Result<()> {
    let mut node = TestNode::new()?;
    let id = node.create("numbers")?;
    let mut publish = Running::start(&node, &["publish", "numbers"])?;
    publish.write("1\n").await?;
    // It has the folder when another one has to wait for it, and then hands it
    // over to whoever that is.
    let shown = node.show("numbers")?;
    ensure!(
        shown["size"].as_u64().is_some_and(|size| size <= 1),
        "{shown}"
    );
    publish.write("2\n").await?;
    node.launch().await?;
    publish.write("3\n").await?;
    node.until(&id, |shown| shown["size"] == 3).await?;
    node.stop().await?;
    publish.write("4\n").await?;
    publish.until_said(WAITS).await?;
    node.launch().await?;
    drop(publish.stdin.take());
    let ended = timeout(PATIENCE, publish.child.wait()).await??;
    ensure!(ended.success(), "{ended}");
    let values: Vec<_> = node
        .export("numbers")?
        .lines()
        .skip(1)
        .map(|line| line.rsplit(',').next().map(str::to_owned))
        .collect();
    ensure!(
        values == ["1", "2", "3", "4"].map(|value| Some(value.to_owned())),
        "{values:?}"
    );
    Ok(())
}
