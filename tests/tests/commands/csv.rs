//! CSV files in which a field is not what it seems: decimal commas that separate
//! fields, columns of one name, and quotation marks where none can stand.

use std::fs;

use anyhow::{Result, ensure};
use headwater_tests::TestNode;

use super::{ensure_says, path};

const COLUMNS: [&str; 4] = ["--time-column", "ts", "--value-column", "value"];

/// A stream of this type, which `publish` fills from this file.
fn publishing<'a>(stream: &'a str, file: &'a str) -> Vec<&'a str> {
    [&["publish", stream, "--file", file], &COLUMNS[..]].concat()
}

#[tokio::test]
async fn a_decimal_comma_that_separates_fields_makes_no_integers() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = path(&node, "old.csv")?;
    let at = |rows: &[&str]| {
        let rows = (1..).zip(rows);
        let rows = rows.map(|(day, row)| format!("2024-05-{day:02}T12:00:00Z,{row}\n"));
        rows.collect::<String>()
    };
    for rows in [
        &["1,5"][..],
        &["1,5", "2,5"],
        &["1,5", "1,6"],
        &["-7,25", "0,5", "1,75"],
    ] {
        fs::write(&file, at(rows))?;
        for args in [
            ["--create", "old"],
            ["--unsigned", "old"],
            ["--to", &stream],
        ] {
            let errors = node.fails(&[&["import", &file], &args[..]].concat())?;
            ensure_says(
                &errors,
                &[
                    "decimal comma",
                    "--delimiter",
                    "--columns date_time,value,id",
                ],
            )?;
        }
        // With a header a row has a field too many.
        fs::write(&file, format!("ts,value\n{}", at(rows)))?;
        for args in [vec!["import", &file, "--check"], publishing(&stream, &file)] {
            ensure_says(
                &node.fails(&args)?,
                &["3 fields instead of 2", "decimal comma"],
            )?;
        }
        fs::write(&file, format!("ts,value,\n{}", at(rows)))?;
        ensure_says(
            &node.fails(&publishing(&stream, &file))?,
            &["decimal comma"],
        )?;
    }
    ensure!(node.show(&stream)?["size"] == 0);
    // What is no part of a number is none, and what was said counts.
    fs::write(&file, at(&["1.5,7", "2,7"]))?;
    ensure!(node.json(&["import", &file, "--check"])?["rows"] == 2);
    fs::write(&file, at(&["1,7", "2,7"]))?;
    let said = [
        "import",
        &file,
        "--check",
        "--columns",
        "date_time,value,id",
    ];
    ensure!(node.json(&said)?["rows"] == 2);
    // Something that is no hash of 16 digits is a torn or a shifted row.
    fs::write(
        &file,
        format!("ts,value,hash\n{}", at(&["1.5,4d8f695a04b7e36e", "1,5"])),
    )?;
    let errors = node.fails(&["import", &file, "--check"])?;
    ensure_says(&errors, &["1 bad row", "line 3", "`5` is no hash"])?;
    Ok(())
}

#[tokio::test]
async fn a_column_whose_name_is_there_twice_is_refused() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let file = path(&node, "twice.csv")?;
    for header in ["ts,value,value", "value,ts,value", "ts,ts,value"] {
        fs::write(&file, format!("{header}\n2024-05-01,2024-05-02,3\n"))?;
        let errors = node.fails(&["import", &file, "--check"])?;
        ensure_says(&errors, &["more than one column of"])?;
        ensure_says(
            &node.fails(&publishing(&stream, &file))?,
            &["two columns are called"],
        )?;
    }
    fs::write(&file, "ts,date_time,value\n2024-05-01,2024-05-02,3\n")?;
    let errors = node.fails(&["import", &file, "--create", "old"])?;
    ensure_says(&errors, &["more than one column of times"])?;
    node.run(&publishing(&stream, &file))?;
    Ok(())
}

#[tokio::test]
async fn a_quotation_mark_where_none_can_stand_is_a_bad_row() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    node.run(&["stream", "create", "texts", "--value-type", "text"])?;
    let file = path(&node, "quotes.csv")?;
    for (row, column) in [
        ("\"a\"b", 15),
        ("\"a\\\"b\"", 16),
        ("a\"b\"", 13),
        ("5\" pipe", 13),
        (" \"a\"", 13),
    ] {
        fs::write(
            &file,
            format!("ts,value\n2024-05-01,good\n2024-05-02,{row}\n2024-05-03,good\n"),
        )?;
        let checking = ["import", &file, "--check", "--value-type", "text"];
        for args in [&checking[..], &publishing("texts", &file)] {
            let errors = node.fails(args)?;
            let column = format!("(column {column})");
            ensure_says(&errors, &["1 bad row", "line 3", "quotation mark", &column])?;
        }
        let skipped = node.json(&[&checking[..], &["--skip-bad"]].concat())?;
        ensure!(
            skipped["rows"] == 2 && skipped["bad_rows"] == 1,
            "{skipped}"
        );
    }
    fs::write(
        &file,
        "ts,value\n2024-05-01,good\n2024-05-02,\"a\n2024-05-03,b\n",
    )?;
    let errors = node.fails(&publishing("texts", &file))?;
    ensure_says(&errors, &["line 3", "never closed", "1 more line"])?;
    fs::write(&file, "ts,\"val\"ue\n2024-05-01,good\n")?;
    let errors = node.fails(&publishing("texts", &file))?;
    ensure_says(&errors, &["header in line 1", "quotation mark"])?;
    Ok(())
}

#[tokio::test]
async fn files_of_other_programs_are_read_as_they_write_them() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let file = path(&node, "other.csv")?;
    let said = "say \"1, 2\"\nthen 3";
    let quoted = said.replace('"', "\"\"");
    for (program, text) in [
        (
            "excel",
            format!("\u{feff}ts;value\r\n2024-05-01 12:00;\"{quoted}\"\r\n"),
        ),
        (
            "pandas",
            format!(",ts,value\n0,2024-05-01 12:00:00,\"{quoted}\"\n"),
        ),
        (
            "R",
            format!("\"\",\"ts\",\"value\"\n\"1\",\"2024-05-01 12:00:00\",\"{quoted}\"\n"),
        ),
        (
            "postgres",
            format!("ts,value,note\n2024-05-01 12:00:00+00,\"{quoted}\",\n"),
        ),
        (
            "sqlite",
            format!("\"ts\",\"value\"\r\n\"2024-05-01 12:00:00\",\"{quoted}\"\r\n"),
        ),
    ] {
        node.run(&["stream", "create", program, "--value-type", "text"])?;
        fs::write(&file, text)?;
        node.run(&publishing(program, &file))?;
        let exported = node.run(&["export", program, "--format", "ndjson"])?;
        let row: serde_json::Value = serde_json::from_str(&exported)?;
        ensure!(row["value"] == said, "{program}: {row}");
        ensure!(
            row["time"] == "2024-05-01T12:00:00.000000Z",
            "{program}: {row}"
        );
    }
    Ok(())
}
