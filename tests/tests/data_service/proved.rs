//! Files that carry their proof.

use std::fs;

use anyhow::{Result, ensure};
use headwater_tests::{TestNode, USAGE};

use super::path;

const ROWS: u64 = 10_000;

#[tokio::test]
async fn an_exported_file_is_verified_without_its_node_and_a_changed_byte_is_located() -> Result<()>
{
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, ROWS)?;
    let (parquet, csv) = (path(&node, "a.parquet")?, path(&node, "a.csv")?);
    let part = path(&node, "part.parquet")?;
    node.run(&[
        "export",
        &stream,
        "--format",
        "parquet",
        "--with-proof",
        "-o",
        &parquet,
    ])?;
    node.run(&["export", &stream, "--with-proof", "-o", &csv])?;
    let range = ["--from", "777", "--to", "5001", "--format", "parquet"];
    let to = [
        &["export", &stream, "--with-proof", "-o", &part],
        &range[..],
    ]
    .concat();
    node.run(&to)?;
    node.stop().await?;

    for file in [&parquet, &csv, &part] {
        let said = node.run(&["verify", file, "--stream", &stream])?;
        ensure!(said.contains("the proof holds"), "{said}");
        let shown = node.command(&["verify", file, "--json"])?;
        ensure!(shown.status.code() == Some(1), "no stream was compared");
    }
    let said = node.run(&["verify", &part, "--stream", &stream])?;
    ensure!(said.contains("[777, 5001)"), "{said}");
    let other = "bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    node.fails(&["verify", &parquet, "--stream", other])?;

    // A number in the middle of the CSV file is changed.
    let text = fs::read_to_string(&csv)?;
    fs::write(&csv, text.replacen(",6000.5", ",6001.5", 1))?;
    let said = node.fails(&["verify", &csv, "--stream", &stream])?;
    ensure!(said.contains("records 6000 to 6003 are not what"), "{said}");
    fs::write(&csv, text.replacen("\n6000,", "\n\n6000,", 1))?;
    let said = node.fails(&["verify", &csv, "--stream", &stream])?;
    ensure!(said.contains("byte"), "{said}");
    let lines: Vec<_> = text.lines().collect();
    fs::write(&csv, lines[..9_000].join("\n"))?;
    let said = node.fails(&["verify", &csv, "--stream", &stream])?;
    ensure!(said.contains("ends before record 8999"), "{said}");

    let bytes = fs::read(&parquet)?;
    for place in (0..bytes.len())
        .step_by(bytes.len() / 40)
        .chain([bytes.len() - 1])
    {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        fs::write(&parquet, changed)?;
        let said = node.fails(&["verify", &parquet, "--stream", &stream])?;
        ensure!(!said.contains("panicked"), "byte {place}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_proved_is_refused_before_anything_is_written() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 10)?;
    let file = path(&node, "a.out")?;
    for wrong in [
        &["--format", "ndjson", "-o", &file][..],
        &["--format", "arrow", "-o", &file],
        &["--format", "csv"],
        &[
            "--format",
            "csv",
            "-o",
            &file,
            "--from",
            "2020-01-01T00:00:00Z",
        ],
        &[
            "--format",
            "parquet",
            "-o",
            &file,
            "--to",
            "2020-01-01T00:00:00Z",
        ],
    ] {
        node.fails_with(
            USAGE,
            &[&["export", &stream, "--with-proof"], wrong].concat(),
        )?;
        ensure!(fs::metadata(&file).is_err(), "{wrong:?}");
        ensure!(
            fs::metadata(format!("{file}.proof.json")).is_err(),
            "{wrong:?}"
        );
    }
    Ok(())
}
