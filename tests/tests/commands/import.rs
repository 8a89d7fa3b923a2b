//! Importing what older programs wrote.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;

use super::{ensure_says, number, path};

/// Two days of temperatures, `ts,value,hash` without a header.
fn sample() -> Result<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/old-ts-value-hash.csv");
    let name = file.to_str().context("the path is no text")?;
    Ok((name.to_owned(), fs::read_to_string(&file)?))
}

/// Times and values of an export, in the order of the stream.
fn rows(node: &TestNode, stream: &str) -> Result<Vec<String>> {
    let exported = node.export(stream)?;
    let row = |line: &str| line.split_once(',').map_or("", |(_, row)| row).to_owned();
    Ok(exported.lines().skip(1).map(row).collect())
}

/// What the export of these rows must be.
fn expected(old: &str) -> Vec<String> {
    let row = |line: &str| {
        let mut fields = line.split(',');
        let (time, value) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        format!("{}Z,{value}", time.replace(' ', "T"))
    };
    old.lines().map(row).collect()
}

#[tokio::test]
async fn an_old_file_becomes_a_stream_and_its_hashes_are_checked() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (file, text) = sample()?;
    let checked = node.json(&["import", &file, "--check", "--cadence", "1h"])?;
    ensure!(
        checked["stream"].is_null() && checked["rows"] == 48,
        "{checked}"
    );
    let create = [
        "import",
        &file,
        "--create",
        "old",
        "--unit",
        "°C",
        "--cadence",
        "1h",
    ];
    let imported = node.json(&create)?;
    let stream = imported["stream"].as_str().context("no stream")?;
    ensure!(imported["from"] == 0 && imported["to"] == 48, "{imported}");
    ensure!(imported["times"]["gaps"] == 0, "{imported}");
    let survey = &imported["files"][0];
    ensure!(
        survey["form"] == "ts,value,hash" && survey["has_header"] == false,
        "{survey}"
    );
    ensure!(
        survey["hashes"]["right"] == 48 && survey["hashes"]["wrong"] == 0,
        "{survey}"
    );
    let shown = node.show(stream)?;
    ensure!(
        shown["unit"] == "°C" && shown["value_type"] == "number",
        "{shown}"
    );
    ensure!(rows(&node, "old")? == expected(&text));
    // A second one of the name would be a mistake.
    ensure_says(&node.fails(&create)?, &["already", "--to"])?;
    Ok(())
}

#[tokio::test]
async fn gaps_duplicates_and_disorder_are_reported_and_imported_as_they_are() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (_, text) = sample()?;
    let lines: Vec<_> = text.lines().collect();
    // Row 3 twice, rows 10 to 12 missing, row 30 behind row 31.
    let mut changed = lines[..4].to_vec();
    changed.extend(&lines[3..10]);
    changed.extend(&lines[13..30]);
    changed.extend([lines[31], lines[30]]);
    changed.extend(&lines[32..]);
    let file = path(&node, "changed.csv")?;
    let changed = changed.join("\r\n");
    fs::write(&file, format!("ts,value,hash\r\n{changed}"))?;
    let imported = node.json(&["import", &file, "--create", "old", "--cadence", "1h"])?;
    let times = &imported["times"];
    ensure!(
        times["duplicates"] == 1 && times["repeated"] == 1,
        "{imported}"
    );
    ensure!(times["first_duplicates"][0]["index"] == 4, "{imported}");
    // What comes late leaves a gap where it should have been.
    ensure!(
        times["gaps"] == 2 && times["missing_in_gaps"] == 4,
        "{imported}"
    );
    ensure!(times["out_of_order"] == 1, "{imported}");
    let hashes = &imported["files"][0]["hashes"];
    ensure!(
        hashes["wrong"] == 5 && hashes["first_wrong_line"] == 6,
        "{hashes}"
    );
    ensure!(rows(&node, "old")? == expected(&changed));
    let report = node.json(&["stream", "gaps", "old"])?;
    ensure!(report["times"] == *times, "{report}");
    let said = node.run(&["import", &file, "--check", "--cadence", "1h"])?;
    for words in [
        "5 of them wrong",
        "2 gaps in time",
        "1 duplicate time",
        "nothing was published",
    ] {
        ensure!(said.contains(words), "`{words}` is not in {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_row_leaves_nothing_behind_and_files_are_imported_one_behind_the_other() -> Result<()>
{
    let node = TestNode::start(&[]).await?;
    let (one, two) = (path(&node, "one.csv")?, path(&node, "two.csv")?);
    fs::write(
        &one,
        "date_time,value,id\n2024-01-01 00:00:00,1.5,7\n2024-01-01 01:00:00,2,7\n",
    )?;
    fs::write(&two, "1704074400.25,3\n1704078000.5,many\n")?;
    let create = ["import", &one, &two, "--create", "old"];
    let errors = node.fails(&create)?;
    ensure_says(&errors, &["1 bad row", "line 2", "many", "two.csv"])?;
    ensure!(node.get("/v1/streams").await? == serde_json::json!([]));
    ensure_says(&node.fails(&["import", &one, &two, "--check"])?, &["many"])?;

    let imported = node.json(&[&create[..], &["--skip-bad"]].concat())?;
    ensure!(number(&imported, "to")? == 3 && number(&imported, "bad_rows")? == 1);
    ensure!(imported["files"][0]["ids"] == "same", "{imported}");
    let expected = [
        "2024-01-01T00:00:00.000000Z,1.5",
        "2024-01-01T01:00:00.000000Z,2",
        "2024-01-01T02:00:00.250000Z,3",
    ];
    ensure!(rows(&node, "old")? == expected);
    // The same once more has nothing to do; behind it, more can follow.
    let again = [
        "import",
        &one,
        &two,
        "--to",
        "old",
        "--skip-bad",
        "--resume",
    ];
    let again = node.json(&again)?;
    ensure!(again["from"] == 3 && again["to"] == 3, "{again}");
    let more = node.json(&["import", &one, "--to", "old", "--again"])?;
    ensure!(more["from"] == 3 && more["to"] == 5, "{more}");

    let mixed = path(&node, "mixed.csv")?;
    fs::write(&mixed, "2024-01-01 00:00:00,1,a\n2024-01-01 00:00:00,2,b\n")?;
    ensure_says(
        &node.fails(&["import", &mixed, "--to", "old"])?,
        &["several streams"],
    )?;
    ensure_says(
        &node.fails(&["import", "/dev/null", "--create", "x"])?,
        &["it is empty"],
    )?;
    Ok(())
}

#[tokio::test]
async fn words_become_a_stream_of_text() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let file = path(&node, "words.csv")?;
    fs::write(
        &file,
        "ts,value\n1704067200000,\"calm, \"\"then\"\" not\"\n1704067200001,wind\n",
    )?;
    node.run(&["import", &file, "--create", "sky"])?;
    let shown = node.show("sky")?;
    ensure!(
        shown["value_type"] == "text" && shown["size"] == 2,
        "{shown}"
    );
    let last = rows(&node, "sky")?.pop().context("no rows")?;
    ensure!(last == "2024-01-01T00:00:00.001000Z,wind", "{last}");
    Ok(())
}
