//! Times that the clocks of a place showed, and those that they showed twice:
//! nothing is signed an hour wrong without a word.

use std::fs;

use anyhow::{Result, ensure};
use headwater_tests::TestNode;

use super::{ensure_says, path};

const BERLIN: [&str; 2] = ["--time-zone", "Europe/Berlin"];

/// A file of these times of the night in which the clocks are put back at 03:00,
/// each with the number of its row.
fn night(node: &TestNode, name: &str, times: &str) -> Result<String> {
    let file = path(node, name)?;
    fs::write(&file, rows(times))?;
    Ok(file)
}

fn rows(times: &str) -> String {
    let rows = (1..).zip(times.split_whitespace());
    let rows = rows.map(|(row, time)| format!("2024-10-27 {time},{row}\n"));
    format!("ts,value\n{}", rows.collect::<String>())
}

/// The hours and minutes of a stream, in UTC.
fn hours(node: &TestNode, stream: &str) -> Result<String> {
    let exported = node.export(stream)?;
    let hour = |line: &str| line.split(',').nth(1).map(|time| time[11..16].to_owned());
    let hours: Vec<_> = exported.lines().skip(1).filter_map(hour).collect();
    Ok(hours.join(" "))
}

#[tokio::test]
async fn an_hour_that_comes_twice_is_told_by_the_order_and_said() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let jitter = "01:58 02:01 02:30 02:29 02:59 02:58 02:00 02:30 02:29 03:01";
    let falling = "04:00 03:00 02:30 02:00 02:30 02:00 01:30";
    for (name, times, utc) in [
        (
            "jitter",
            jitter,
            "23:58 00:01 00:30 00:29 00:59 00:58 01:00 01:30 01:29 02:01",
        ),
        (
            "falling",
            falling,
            "03:00 02:00 01:30 01:00 00:30 00:00 23:30",
        ),
    ] {
        let file = night(&node, name, times)?;
        let import = [&["import", &file, "--create", name], &BERLIN[..]].concat();
        let output = node.command(&[&import[..], &["--json"]].concat())?;
        let said = String::from_utf8(output.stderr)?;
        ensure_says(
            &said,
            &[
                "times are ambiguous, of an hour that the clocks of Europe/Berlin showed twice",
                "2024-10-27 02:00:00 to 2024-10-27 03:00:00",
                "by the order of the rows, which turns at line",
            ],
        )?;
        let imported: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let repeated = &imported["repeated_hours"];
        ensure!(
            repeated["times"]
                == repeated["hours"][0]["first"].as_u64().unwrap_or(0)
                    + repeated["hours"][0]["second"].as_u64().unwrap_or(0)
                && repeated["unclear"] == 0,
            "{repeated}"
        );
        ensure!(repeated["hours"][0]["told_by"] == "order", "{repeated}");
        ensure!(
            hours(&node, name)? == utc,
            "{name}: {}",
            hours(&node, name)?
        );
    }
    // Over two files of one command.
    let first = night(&node, "first.csv", "01:30 02:00 02:30")?;
    let second = night(&node, "second.csv", "02:00 02:30 03:00")?;
    let both = ["import", &first, &second, "--create", "both"];
    node.run(&[&both[..], &BERLIN].concat())?;
    ensure!(hours(&node, "both")? == "23:30 00:00 00:30 01:00 01:30 02:00");
    Ok(())
}

#[tokio::test]
async fn where_the_order_does_not_tell_nothing_is_signed() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    for (name, times, why) in [
        (
            "once",
            "01:50 02:00 02:10 03:00",
            "go through that hour once",
        ),
        (
            "begins",
            "02:10 02:20 03:00 03:10",
            "go through that hour once",
        ),
        (
            "ends",
            "01:40 01:50 02:00 02:10",
            "go through that hour once",
        ),
        (
            "gap",
            "01:50 02:00 02:10 02:40 02:50 03:00",
            "go through that hour once",
        ),
        (
            "late",
            "01:50 02:10 02:40 02:20 02:50 03:00",
            "less than half of it, in line 5",
        ),
        (
            "series",
            "01:50 02:00 02:40 02:00 02:40 02:00 02:40 03:00",
            "more than once, in the lines 5 and 7",
        ),
    ] {
        let file = night(&node, name, times)?;
        let columns = ["--time-column", "ts", "--value-column", "value"];
        for args in [
            vec!["import", &file, "--check"],
            vec!["import", &file, "--create", name],
            vec!["import", &file, "--unsigned", name],
            [&["publish", &stream, "--file", &file], &columns[..]].concat(),
        ] {
            let errors = node.fails(&[&args[..], &BERLIN].concat())?;
            let words = [
                "line",
                "Europe/Berlin showed twice",
                why,
                "--repeated-hour",
                "+02:00",
            ];
            ensure_says(&errors, &words)?;
        }
    }
    ensure!(node.show(&stream)?["size"] == 0);
    // Each guess has its flag.
    let file = night(&node, "said", "01:50 02:00 02:10 03:00")?;
    for (which, utc) in [
        ("first", "23:50 00:00 00:10 02:00"),
        ("second", "23:50 01:00 01:10 02:00"),
    ] {
        let create = ["import", &file, "--create", which, "--repeated-hour", which];
        let said = node.run(&[&create[..], &BERLIN].concat())?;
        ensure_says(&said, &[&format!("2 taken as the {which}, as it was said")])?;
        ensure!(hours(&node, which)? == utc);
    }
    // What is not known can be left out.
    let skip = ["import", &file, "--create", "skipped", "--skip-bad"];
    node.run(&[&skip[..], &BERLIN].concat())?;
    ensure!(hours(&node, "skipped")? == "23:50 02:00");
    Ok(())
}

#[tokio::test]
async fn a_file_that_grows_is_read_as_it_was_before() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (stream, said) = (node.create("numbers")?, node.create("said")?);
    let file = path(&node, "grows.csv")?;
    let columns = ["--time-column", "ts", "--value-column", "value"];
    let file_of = ["--file", &file];
    let publish = |stream, more: &[&str]| {
        let args = [&["publish", stream], &file_of[..], &columns, &BERLIN, more].concat();
        node.command(&args)
    };
    fs::write(&file, rows("01:30 02:00 02:30 02:00"))?;
    ensure!(publish(&stream, &[])?.status.success());
    fs::write(&file, rows("01:30 02:00 02:30 02:00 02:30 03:00"))?;
    ensure!(publish(&stream, &["--resume"])?.status.success());
    ensure!(hours(&node, &stream)? == "23:30 00:00 00:30 01:00 01:30 02:00");

    // What was said at first, and turned out to be otherwise.
    fs::write(&file, rows("01:30 02:00 02:30"))?;
    let second = publish(&said, &["--repeated-hour", "second"])?;
    ensure!(second.status.success(), "{second:?}");
    fs::write(&file, rows("01:30 02:00 02:30 02:00 02:30 03:00"))?;
    let resumed = publish(&said, &["--resume"])?;
    let errors = String::from_utf8(resumed.stderr)?;
    ensure_says(
        &errors,
        &[
            "cannot resume",
            "showed the time of a row",
            "--repeated-hour",
        ],
    )?;
    ensure!(hours(&node, &said)? == "23:30 01:00 01:30");
    Ok(())
}

#[tokio::test]
async fn a_zone_is_for_files_whose_times_have_none() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let ndjson = [&["publish", &stream, "--ndjson"], &BERLIN[..]].concat();
    let errors = node.fails_with(headwater_tests::USAGE, &ndjson)?;
    ensure_says(&errors, &["--time-zone is for CSV files", "+02:00"])?;
    let skipped = path(&node, "skipped.csv")?;
    fs::write(
        &skipped,
        "ts,value\n2024-03-31 01:30,1\n2024-03-31 02:30,2\n",
    )?;
    let check = [&["import", &skipped, "--check"], &BERLIN[..]].concat();
    ensure_says(
        &node.fails(&check)?,
        &["line 3", "put forward by 60 minutes", "--time-zone UTC"],
    )?;
    Ok(())
}
