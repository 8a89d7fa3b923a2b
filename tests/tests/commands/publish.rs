//! Publishing: a value, lines, objects, files, and files that were broken off.

use std::fmt::Write;
use std::fs;

use anyhow::{Result, ensure};
use headwater_tests::{PATIENCE, TestNode, USAGE};
use tokio::time::timeout;

use super::{ensure_says, number, path};

/// Some ten batches of a file, so that there is a middle to be killed in.
const ROWS: u64 = 600_000;

/// The values of a stream, in order, token by token.
fn values(node: &TestNode, stream: &str) -> Result<Vec<String>> {
    let exported = node.export(stream)?;
    let value = |line: &str| line.rsplit(',').next().unwrap_or_default().to_owned();
    Ok(exported.lines().skip(1).map(value).collect())
}

#[tokio::test]
async fn a_value_lines_and_objects_are_published_in_order() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.run(&["publish", &stream, "-4.50"])?;
    let time = "2020-01-01T01:00:00.5+01:00";
    node.run(&["publish", &stream, "1e3", "--time", time])?;
    let output = node
        .command_with_input(&["publish", &stream], "2.0\n\n 3\n4")
        .await?;
    ensure!(output.status.success(), "{output:?}");
    let objects = "{\"value\":5}\n{\"time\":7,\"time_unit\":\"us\",\"value\":6.00}\n";
    let output = node
        .command_with_input(&["publish", &stream, "--ndjson"], objects)
        .await?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(values(&node, &stream)? == ["-4.50", "1e3", "2.0", "3", "4", "5", "6.00"]);
    let csv = node.export(&stream)?;
    let lines: Vec<_> = csv.lines().collect();
    ensure!(lines[2] == "1,2020-01-01T00:00:00.500000Z,1e3", "{csv}");
    ensure!(lines[7] == "6,1970-01-01T00:00:00.000007Z,6.00", "{csv}");
    Ok(())
}

#[tokio::test]
async fn a_bad_line_ends_a_publish_behind_the_good_ones_before_it() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let publish = ["publish", &stream];
    let output = node.command_with_input(&publish, "1\n2\nmany\n4\n").await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let errors = String::from_utf8(output.stderr)?;
    ensure_says(&errors, &["line 3", "many", "--skip-bad", "up to index 1"])?;
    ensure!(values(&node, &stream)? == ["1", "2"]);

    let args = [&publish[..], &["--skip-bad"]].concat();
    let output = node.command_with_input(&args, "3\nmany\n4\n").await?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(values(&node, &stream)? == ["1", "2", "3", "4"]);

    // What is published cannot be taken back, so a likely mistake is not.
    let output = node.command_with_input(&publish, "{\"value\":5}\n").await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(number(&node.show(&stream)?, "size")? == 4);
    Ok(())
}

#[tokio::test]
async fn lines_are_published_as_they_come() -> Result<()> {
    use tokio::io::AsyncWriteExt;

    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let mut publish = node.spawn(&["publish", &stream])?;
    let mut stdin = publish.stdin.take();
    for count in 1..=5 {
        if let Some(stdin) = &mut stdin {
            stdin.write_all(format!("{count}\n").as_bytes()).await?;
        }
        // The input goes on, and it is there already.
        node.until(&stream, |shown| shown["size"] == count).await?;
    }
    drop(stdin);
    let output = timeout(PATIENCE, publish.wait_with_output()).await??;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_file_whose_publish_was_killed_is_resumed_to_the_same_root() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let undisturbed = node.create("undisturbed")?;
    let broken = node.create("broken")?;
    let file = path(&node, "numbers.csv")?;
    let mut text = String::from("time,value\n");
    for i in 0..ROWS {
        writeln!(text, "{i},{}.25", i * 7 % 1_000)?;
    }
    fs::write(&file, text)?;
    let columns = ["--time-column", "time", "--value-column", "value"];
    let publish = |stream| {
        let args = ["publish", stream, "--file", &file, "--time-format", "unix"];
        [&args[..], &columns].concat()
    };
    node.run(&publish(&undisturbed))?;

    let mut publishing = node.spawn(&publish(&broken))?;
    node.until(&broken, |shown| shown["size"] != 0).await?;
    publishing.kill().await?;
    // What was on its way may still come.
    node.stop().await?;
    node.launch().await?;
    let held = number(&node.show(&broken)?, "size")?;
    ensure!(0 < held && held < ROWS, "killed with {held} records");
    // With another file it is refused, and nothing is stored.
    let other = path(&node, "other.csv")?;
    fs::write(&other, "time,value\n1,1\n")?;
    let mut args = publish(&broken);
    args.push("--resume");
    args[3] = &other;
    ensure_says(&node.fails(&args)?, &["cannot resume"])?;
    args[3] = &file;
    args.push("--json");
    let resumed: serde_json::Value = serde_json::from_str(&node.run(&args)?)?;
    ensure!(
        resumed["from"] == held && resumed["to"] == ROWS,
        "{resumed}"
    );
    let roots = [&undisturbed, &broken].map(|stream| node.show(stream));
    let [undisturbed, broken] = roots;
    let (undisturbed, broken) = (undisturbed?, broken?);
    ensure!(broken["size"] == ROWS && broken["root"] == undisturbed["root"]);
    // Once more there is nothing to do.
    let again: serde_json::Value = serde_json::from_str(&node.run(&args)?)?;
    ensure!(again["from"] == ROWS && again["to"] == ROWS, "{again}");
    Ok(())
}

#[tokio::test]
async fn a_decimal_comma_is_answered_with_what_may_be_meant() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let refused = node.fails_with(USAGE, &["publish", &stream, "1,5"])?;
    ensure_says(&refused, &["`1,5`", "did you mean 1.5?"])?;
    let refused = node.fails_with(USAGE, &["publish", &stream, "1,500"])?;
    ensure_says(
        &refused,
        &["1.500 (a decimal comma)", "1500 (a thousands separator)"],
    )?;
    let piped = node
        .command_with_input(&["publish", &stream], "1\n2,5\n")
        .await?;
    let refused = String::from_utf8(piped.stderr)?;
    ensure_says(&refused, &["line 2", "did you mean 2.5?"])?;
    ensure!(values(&node, &stream)? == ["1"]);
    // Where the comma cannot be a decimal sign, nothing is proposed.
    let refused = node.fails_with(USAGE, &["publish", &stream, "1,2,3"])?;
    ensure!(!refused.contains("did you mean"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn nobody_who_publishes_a_file_is_sent_to_an_option_of_other_commands() -> Result<()> {
    let node = TestNode::new()?;
    let stream = node.create("numbers")?;
    let file = path(&node, "a.csv")?;
    let publish = |text: &str| {
        fs::write(&file, text)?;
        let columns = ["--time-column", "date", "--value-column", "wind"];
        node.command(&[&["publish", &stream, "--file", &file][..], &columns].concat())
    };
    let output = publish("date;wind\n2024-01-01;1,5\n2024-01-02;2,25\n")?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{said}");
    ensure_says(&said, &["numbers have a decimal comma (found out)"])?;
    ensure!(!said.contains("--value-type"), "{said}");

    let output = publish("date,wind\n2024-01-03,1.5 C\n2024-01-04,2.5 C\n")?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success(), "{said}");
    ensure_says(
        &said,
        &["take the unit out", "created with --value-type text"],
    )?;
    Ok(())
}
