//! Files as they come: what was meant by them is found out and shown, or asked
//! for, and nothing gets into a stream twice.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;

use super::{ensure_says, number, path};

/// A small file that once became something else than was meant.
fn case(name: &str) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data/cases")
        .join(name);
    Ok(file.to_str().context("the path is no text")?.to_owned())
}

/// Times and values of an export, in the order of the stream.
fn rows(node: &TestNode, stream: &str) -> Result<Vec<String>> {
    let exported = node.export(stream)?;
    let row = |line: &str| line.split_once(',').map_or("", |(_, row)| row).to_owned();
    Ok(exported.lines().skip(1).map(row).collect())
}

const COLUMNS: [&str; 4] = ["--time-column", "ts", "--value-column", "value"];

/// The arguments that publish a file of the columns `ts` and `value`.
fn publish<'a>(stream: &'a str, file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["publish", stream, "--file", file], &COLUMNS[..], more].concat()
}

#[tokio::test]
async fn no_line_ends_a_file_but_its_last() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = case("eot.csv")?;
    for args in [
        vec!["import", &file, "--check"],
        vec!["import", &file, "--create", "old"],
        vec!["import", &file, "--unsigned", "old"],
        publish(&stream, &file, &[]),
    ] {
        ensure_says(&node.fails(&args)?, &["1 bad row", "line 4"])?;
    }
    ensure!(node.show(&stream)?["size"] == 0);
    node.run(&publish(&stream, &file, &["--skip-bad"]))?;
    ensure!(node.show(&stream)?["size"] == 4);
    let checked = node.json(&["import", &file, "--check", "--skip-bad"])?;
    ensure!(
        checked["rows"] == 4 && checked["bad_rows"] == 1,
        "{checked}"
    );
    Ok(())
}

#[tokio::test]
async fn a_unit_of_time_is_told_by_all_rows_or_asked_for() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let file = case("rtc-unset-ms.csv")?;
    let create = ["import", &file, "--create", "clock"];
    let errors = node.fails(&create)?;
    ensure_says(
        &errors,
        &["1 bad row", "line 2", "milliseconds", "--time-unit"],
    )?;
    node.run(&[&create[..], &["--time-unit", "ms"]].concat())?;
    let expected = [
        "1970-01-01T00:00:00.000000Z,0",
        "2023-11-14T22:13:20.123000Z,1.5",
        "2023-11-14T22:13:21.123000Z,1.6",
    ];
    ensure!(rows(&node, "clock")? == expected);
    let file = path(&node, "small.csv")?;
    fs::write(&file, "ts,value\n1,1\n2,2\n")?;
    ensure_says(
        &node.fails(&["import", &file, "--check"])?,
        &["--time-unit"],
    )?;
    let file = case("whole-then-fraction.csv")?;
    let checked = node.json(&["import", &file, "--check"])?;
    ensure!(
        checked["rows"] == 3 && checked["bad_rows"] == 0,
        "{checked}"
    );
    Ok(())
}

#[tokio::test]
async fn numbers_that_are_not_read_do_not_become_texts() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let comma = case("decimal-comma.csv")?;
    let create = ["import", &comma, "--create", "comma"];
    let errors = node.fails(&create)?;
    ensure_says(
        &errors,
        &["no value is a number", "--value-type", "--decimal-comma"],
    )?;
    ensure!(node.get("/v1/streams").await? == serde_json::json!([]));
    node.run(&[&create[..], &["--decimal-comma"]].concat())?;
    ensure!(node.show("comma")?["value_type"] == "number");
    ensure!(rows(&node, "comma")?[2] == "2024-01-01T02:00:00.000000Z,3.5");

    let suffix = case("unit-suffix.csv")?;
    let create = ["import", &suffix, "--create", "suffix"];
    ensure_says(
        &node.fails(&create)?,
        &["no value is a number", "--value-type", "unit"],
    )?;
    node.run(&[&create[..], &["--value-type", "text"]].concat())?;
    ensure!(rows(&node, "suffix")?[0] == "2024-01-01T00:00:00.000000Z,1.5 C");

    let odd = path(&node, "odd.csv")?;
    for (rows, words) in [
        // The advice is about the line that is named.
        (
            &["\"1,234.5\"", "x", "\"1,5\""][..],
            &["line 4: `1,5`", "has a decimal comma"][..],
        ),
        (
            &["\"1,234.5\"", "x", "y"],
            &["line 2: `1,234.5`", "thousands separators"],
        ),
        (
            &["9".repeat(400).as_str()],
            &["line 2", "beyond the largest number"],
        ),
        (
            &["1", "2", "1e999"],
            &["line 4", "beyond the largest number"],
        ),
    ] {
        let rows = (1..)
            .zip(rows)
            .map(|(day, row)| format!("2024-01-0{day},{row}\n"));
        fs::write(&odd, format!("ts,value\n{}", rows.collect::<String>()))?;
        ensure_says(&node.fails(&["import", &odd, "--check"])?, words)?;
    }
    fs::write(&odd, ",\n")?;
    let errors = node.fails(&["import", &odd, "--check"])?;
    ensure_says(&errors, &["its first row has no texts"])?;
    fs::write(&odd, "ts;value\n2024-01-01;1,5\n2024-01-02;2.5\n")?;
    let errors = node.fails(&["import", &odd, "--check", "--decimal-comma"])?;
    ensure_says(&errors, &["line 3", "decimal point"])?;

    let grouped = path(&node, "grouped.csv")?;
    fs::write(&grouped, "ts,value\n2024-01-01,1\n2024-01-02,\"1,234.5\"\n")?;
    let errors = node.fails(&["import", &grouped, "--check"])?;
    ensure_says(&errors, &["line 3", "thousands separators"])?;
    Ok(())
}

#[tokio::test]
async fn any_delimiter_is_found_out_and_said() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let semicolon = case("semicolon.csv")?;
    let expected = [
        "2024-01-01T00:00:00.000000Z,1.5",
        "2024-01-01T01:00:00.000000Z,2.5",
    ];
    let said = node.run(&["import", &semicolon, "--create", "semicolon"])?;
    ensure_says(&said, &["separated by `;`", "--delimiter", "decimal comma"])?;
    ensure!(rows(&node, "semicolon")? == expected);
    let stream = node.create("published")?;
    node.run(&publish(
        &stream,
        &semicolon,
        &["--delimiter", ";", "--decimal-comma"],
    ))?;
    node.run(&publish(&stream, &semicolon, &["--again"]))?;
    ensure!(rows(&node, &stream)? == [expected, expected].concat());
    let tab = case("tab.csv")?;
    ensure_says(
        &node.run(&["import", &tab, "--check"])?,
        &["separated by tab", "1 good row"],
    )?;
    let errors = node.fails(&["import", &tab, "--check", "--delimiter", "pipe"])?;
    ensure_says(&errors, &["no old form"])?;
    Ok(())
}

#[tokio::test]
async fn local_times_are_told_by_their_zone_and_order() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let file = case("dst.csv")?;
    let berlin = ["--time-zone", "Europe/Berlin"];
    let import = ["import", &file, "--create", "berlin", "--cadence", "30m"];
    let imported = node.json(&[&import[..], &berlin].concat())?;
    let times = &imported["times"];
    ensure!(
        times["duplicates"] == 0 && times["out_of_order"] == 0 && times["gaps"] == 0,
        "{times}"
    );
    let hours = [
        "26T23:30", "27T00:00", "27T00:30", "27T01:00", "27T01:30", "27T02:00",
    ];
    let expected = (1..).zip(hours);
    let expected = expected.map(|(value, hour)| format!("2024-10-{hour}:00.000000Z,{value}"));
    ensure!(rows(&node, "berlin")? == expected.collect::<Vec<_>>());

    let skipped = path(&node, "skipped.csv")?;
    fs::write(
        &skipped,
        "ts,value\n2024-03-31 01:30:00,1\n2024-03-31 02:30:00,2\n",
    )?;
    let stream = node.create("numbers")?;
    let errors = node.fails(&publish(&stream, &skipped, &berlin))?;
    ensure_says(&errors, &["line 3", "does not exist in Europe/Berlin"])?;
    Ok(())
}

#[tokio::test]
async fn what_is_about_to_be_signed_is_shown() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = path(&node, "far.csv")?;
    fs::write(
        &file,
        "ts,value\n1700000000123,2\n4000000000000,-1\n1700000001123,3.5\n",
    )?;
    let output = node.command(&publish(&stream, &file, &[]))?;
    ensure!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr)?;
    for words in [
        "milliseconds since 1970 (found out; else say --time-unit)",
        "3 rows of type number: first 2023-11-14T22:13:20.123000Z 2, last 2023-11-14T22:13:21.123000Z 3.5",
        "times from 2023-11-14T22:13:20.123000Z to 2096-10-02T07:06:40.000000Z",
        "values from -1 to 3.5",
        "1 time lies in the future: 2096-10-02T07:06:40.000000Z",
    ] {
        ensure_says(&said, &[words])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_csv_is_called_by_its_name() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = path(&node, "data.csv")?;
    for (bytes, name) in [
        (&b"PAR1\x1b[2J\x15\x04\x15"[..], "Parquet"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "gzip"),
        (b"PK\x03\x04\x14\0\0\0\0\0[Content_Types].xml xl/", "Excel"),
        (b"\xff\xfet\0s\0,\0v\0a\0l\0u\0e\0\n\0", "UTF-16"),
        (&[0; 100_000], "zero bytes"),
    ] {
        fs::write(&file, bytes)?;
        for args in [
            vec!["import", &file, "--check"],
            publish(&stream, &file, &[]),
        ] {
            let errors = node.fails(&args)?;
            ensure_says(&errors, &[name])?;
            ensure!(
                errors.is_ascii() && !errors.contains('\u{1b}'),
                "{errors:?}"
            );
        }
    }
    fs::write(&file, "\u{feff}ts,value\r\n2024-01-01,1\r\n")?;
    node.run(&publish(&stream, &file, &[]))?;
    // The same times in the wrong form are one line.
    let wrong = "Jan 1 2000,1\n".repeat(500);
    fs::write(&file, format!("ts,value\n{wrong}"))?;
    let errors = node.fails(&publish(&stream, &file, &["--time-format", "iso"]))?;
    ensure_says(
        &errors,
        &["500 bad rows", "lines 2, 3, 4, 5, 6 and 495 more"],
    )?;
    ensure!(errors.lines().count() <= 4, "{errors}");
    let errors = node.fails(&publish(&stream, &file, &[]))?;
    ensure_says(&errors, &["--time-format \"%b %d %Y\""])?;
    Ok(())
}

#[tokio::test]
async fn stdin_is_a_file_that_is_called_by_a_dash() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let text = "ts,value\n2024-01-01,1\n2024-01-02,x\n";
    let output = node
        .command_with_input(&publish(&stream, "-", &[]), text)
        .await?;
    let errors = String::from_utf8(output.stderr)?;
    ensure_says(&errors, &["stdin", "line 3", "nothing was published"])?;
    let args = publish(&stream, "-", &["--skip-bad"]);
    ensure!(node.command_with_input(&args, text).await?.status.success());
    let args = ["import", "-", "--to", &stream, "--resume"];
    let more = "ts,value\n2024-01-01,1\n2024-01-03,3\n";
    ensure!(node.command_with_input(&args, more).await?.status.success());
    let expected = [1, 3].map(|day| format!("2024-01-0{day}T00:00:00.000000Z,{day}"));
    ensure!(rows(&node, &stream)? == expected);
    Ok(())
}

#[tokio::test]
async fn texts_come_back_as_they_were_exported() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let lines = case("text-roundtrip.ndjson")?;
    let [one, two] = ["one", "two"];
    for name in [one, two] {
        node.run(&["stream", "create", name, "--value-type", "text"])?;
    }
    node.run(&["publish", one, "--file", &lines, "--ndjson"])?;
    let file = path(&node, "texts.csv")?;
    fs::write(&file, node.export(one)?)?;
    node.run(&[
        "publish",
        two,
        "--file",
        &file,
        "--time-column",
        "time",
        "--value-column",
        "value",
    ])?;
    ensure!(node.export(one)? == node.export(two)?);
    let as_json = |stream| node.run(&["export", stream, "--format", "ndjson"]);
    ensure!(as_json(one)? == as_json(two)?);
    ensure!(node.show(two)?["size"] == 10);
    Ok(())
}

#[tokio::test]
async fn a_file_gets_into_a_stream_once_unless_it_is_said() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = path(&node, "days.csv")?;
    let days = |days: std::ops::Range<u32>| {
        let days = days.map(|day| format!("2024-01-{day:02},{day}\n"));
        "ts,value\n".to_owned() + &days.collect::<String>()
    };
    fs::write(&file, days(1..4))?;
    node.run(&publish(&stream, &file, &[]))?;
    for args in [
        publish(&stream, &file, &[]),
        vec!["import", &file, "--to", &stream],
    ] {
        let errors = node.fails(&args)?;
        ensure_says(
            &errors,
            &[
                "2024-01-03",
                "record 0 of the stream",
                "--resume",
                "--again",
            ],
        )?;
    }
    // One that begins at the end, or was written the other way round, is the same.
    fs::write(&file, days(3..6))?;
    ensure_says(
        &node.fails(&publish(&stream, &file, &[]))?,
        &["record 2", "--again"],
    )?;
    fs::write(&file, "ts,value\n2024-01-09,9\n2024-01-02,2\n")?;
    ensure_says(
        &node.fails(&publish(&stream, &file, &[]))?,
        &["2024-01-02", "--again"],
    )?;
    // A file that has grown goes on, and so does one a day.
    fs::write(&file, days(1..6))?;
    let grown = node.json(&publish(&stream, &file, &["--resume"]))?;
    ensure!(grown["from"] == 3 && grown["to"] == 5, "{grown}");
    fs::write(&file, days(6..9))?;
    let next = node.json(&publish(&stream, &file, &["--resume"]))?;
    ensure!(next["from"] == 5 && next["to"] == 8, "{next}");
    let none = node.json(&publish(&stream, &file, &["--resume"]))?;
    ensure!(none["from"] == 8 && none["to"] == 8, "{none}");
    // What came live between them is no obstacle.
    node.run(&["publish", &stream, "77", "--time", "2024-01-08T12:00:00Z"])?;
    fs::write(&file, days(6..11))?;
    let more = node.json(&publish(&stream, &file, &["--resume"]))?;
    ensure!(more["from"] == 9 && more["to"] == 11, "{more}");
    // A file without a row that the stream has behind it was changed.
    fs::write(
        &file,
        days(6..11).replace("2024-01-07,7\n", "2024-01-07,7.5\n"),
    )?;
    ensure_says(
        &node.fails(&publish(&stream, &file, &["--resume"]))?,
        &["cannot resume", "line 3", "`7.5`", "record 6", "`7`"],
    )?;
    let again = node.json(&["import", &file, "--to", &stream, "--again"])?;
    ensure!(number(&again, "to")? == 16, "{again}");
    ensure!(
        again["times"]["out_of_order"] == 4 && again["times"]["duplicates"] == 1,
        "{again}"
    );
    Ok(())
}

#[tokio::test]
async fn a_live_record_in_between_does_not_stop_a_file() -> Result<()> {
    const ROWS: u64 = 400_000;
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = path(&node, "numbers.csv")?;
    let text: String = (0..ROWS).map(|i| format!("{i},{i}\n")).collect();
    fs::write(&file, format!("ts,value\n{text}"))?;
    let args = publish(&stream, &file, &["--time-unit", "s", "--json"]);
    let publishing = node.spawn(&args)?;
    node.until(&stream, |shown| shown["size"] != 0).await?;
    node.run(&["publish", &stream, "-1"])?;
    let output = publishing.wait_with_output().await?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(node.show(&stream)?["size"] == ROWS + 1);
    let all = rows(&node, &stream)?;
    let values = all.iter().filter_map(|row| row.rsplit(',').next());
    let of_the_file = values.filter(|value| *value != "-1");
    let expected: Vec<_> = (0..ROWS).map(|i| i.to_string()).collect();
    ensure!(
        of_the_file.eq(expected.iter().map(String::as_str)),
        "not the rows of the file"
    );
    // It is known again, though it is not all that the stream has.
    let again = node.json(&publish(&stream, &file, &["--time-unit", "s", "--resume"]))?;
    ensure!(
        again["from"] == ROWS + 1 && again["to"] == ROWS + 1,
        "{again}"
    );
    Ok(())
}

#[tokio::test]
async fn one_time_of_a_clock_that_was_not_set_hides_no_gaps() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.run(&[
        "publish",
        &stream,
        "--file",
        &case("future-one.ndjson")?,
        "--ndjson",
    ])?;
    let gaps = ["stream", "gaps", &stream, "--cadence", "1m"];
    let report = node.json(&gaps)?;
    let times = &report["times"];
    ensure!(
        times["gaps"] == 4 && times["missing_in_gaps"] == 4 * 59,
        "{times}"
    );
    ensure!(
        times["outliers"] == 1 && times["first_outliers"][0]["index"] == 5,
        "{times}"
    );
    ensure!(times["out_of_order"] == 0, "{times}");
    ensure_says(&node.run(&gaps)?, &["1 outlier", "2106-02-07", "4 gaps"])?;
    Ok(())
}

#[tokio::test]
async fn files_that_overlap_are_refused_unless_they_are_meant() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let file = |name: &str, rows: std::ops::Range<u64>| -> Result<String> {
        let rows = rows.map(|i| format!("{},{i}\n", 1_600_000_000 + 60 * i));
        let file = path(&node, name)?;
        fs::write(&file, format!("ts,value\n{}", rows.collect::<String>()))?;
        Ok(file)
    };
    let (one, two) = (file("one.csv", 0..100)?, file("two.csv", 50..150)?);
    let three = file("three.csv", 150..200)?;
    for files in [[&one, &one], [&one, &two], [&two, &one], [&three, &one]] {
        for more in [
            ["--check"].as_slice(),
            &["--create", "old"],
            &["--unsigned", "old"],
        ] {
            let args = [&["import", files[0], files[1]], more].concat();
            ensure_says(&node.fails(&args)?, &["files ahead of it", "--again"])?;
        }
    }
    ensure!(
        node.run(&["list", "--json"])?.is_empty(),
        "a stream is there"
    );
    let args = ["import", &one, &two, "--create", "old", "--again"];
    ensure!(node.json(&args)?["rows"] == 200);
    let args = ["import", &one, &three, "--create", "new"];
    ensure!(node.json(&args)?["rows"] == 150);
    Ok(())
}

#[tokio::test]
async fn of_imports_of_one_file_at_once_one_alone_publishes_it() -> Result<()> {
    const ROWS: u64 = 200_000;
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = path(&node, "old.csv")?;
    let rows = (0..ROWS).map(|i| format!("{},{i}\n", 1_600_000_000 + i));
    fs::write(&file, format!("ts,value\n{}", rows.collect::<String>()))?;
    let import = || node.spawn(&["import", &file, "--to", &stream]);
    let both = [import()?, import()?];
    let mut ended = Vec::new();
    for one in both {
        let output = one.wait_with_output().await?;
        ended.push((output.status.success(), String::from_utf8(output.stderr)?));
    }
    let done = ended.iter().filter(|(success, _)| *success).count();
    ensure!(done == 1, "{ended:?}");
    let refused = ended.iter().find(|(success, _)| !success);
    ensure_says(&refused.context("both succeed")?.1, &["--resume"])?;
    node.until(&stream, |shown| shown["size"] == ROWS).await?;
    Ok(())
}
