//! Parquet files as pandas, pyarrow and Polars write them, on their way into streams.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use headwater_tests::{TestNode, USAGE, python};
use serde_json::{Value, json};

/// The tables that `tests/python/tables.py` writes; `None` where there is no Python.
async fn tables(node: &TestNode) -> Result<Option<(PathBuf, usize)>> {
    let folder = node.dir().join("tables");
    fs::create_dir_all(&folder)?;
    let written = python::run("tables.py", &[text(&folder)?]).await?;
    let rows = written.map(|rows| rows.trim().parse()).transpose()?;
    Ok(rows.map(|rows| (folder, rows)))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is no text")
}

const COLUMNS: &str = "price:number,count:integer,symbol:text,is_open:bool";

fn create(node: &TestNode, name: &str, columns: &str) -> Result<String> {
    let created = node.json(&["stream", "create", name, "--columns", columns])?;
    Ok(created["id"].as_str().context("no id")?.to_owned())
}

fn publish<'a>(stream: &'a str, file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let publish = ["publish", stream, "--file", file, "--time-column", "at"];
    [&publish[..], more].concat()
}

/// What a command that succeeds says beside its result.
fn notes(node: &TestNode, args: &[&str]) -> Result<String> {
    let output = node.command(args)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{said}");
    Ok(said)
}

fn rows(node: &TestNode, stream: &str) -> Result<Vec<Value>> {
    let text = node.run(&["export", stream, "--format", "ndjson"])?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<serde_json::Result<_>>()?)
}

/// In CSV a number has the digits that were written: `1.0`.
fn prices_as_doubles(mut rows: Vec<Value>) -> Vec<Value> {
    for row in &mut rows {
        row["price"] = json!(row["price"].as_f64());
    }
    rows
}

#[tokio::test]
async fn a_parquet_file_comes_in_as_its_rows_whoever_wrote_and_packed_it() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let Some((folder, count)) = tables(&node).await? else {
        return Ok(());
    };
    let csv = create(&node, "same", COLUMNS)?;
    let file = folder.join("same.csv");
    let said = notes(&node, &publish(&csv, text(&file)?, &[]))?;
    ensure!(
        said.contains("left out, because the stream has no such columns: `unused`"),
        "{said}"
    );
    let of_csv = prices_as_doubles(rows(&node, &csv)?);
    ensure!(of_csv.len() == count, "{}", of_csv.len());
    for name in [
        "pandas",
        "pandas-gzip",
        "pandas-ns",
        "polars",
        "polars-small",
        "arrow",
        "arrow-v2",
        "arrow-delta",
        "arrow-split",
    ] {
        let file = folder.join(format!("{name}.parquet"));
        let stream = create(&node, name, COLUMNS)?;
        let said = notes(&node, &publish(&stream, text(&file)?, &[]))?;
        ensure!(
            said.contains("column `at` has timestamps, in UTC"),
            "{said}"
        );
        ensure!(said.contains("`unused`"), "{said}");
        let mut read = prices_as_doubles(rows(&node, &stream)?);
        ensure!(read.len() == count, "{name}: {}", read.len());
        ensure!(read[0]["count"] == 9_007_199_254_740_993_u64 && read[0]["price"].is_null());
        for (n, row) in read.iter_mut().enumerate() {
            // A CSV file can't say that there is a text without letters.
            if n % 4 == 2 {
                ensure!(row["symbol"] == "", "{name}: {row}");
                row["symbol"] = Value::Null;
            }
        }
        for (row, same) in read.iter().zip(&of_csv) {
            ensure!(row == same, "{name}: {row} is {same} in CSV");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_a_stream_cannot_take_of_a_parquet_file_is_refused_by_name() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let Some((folder, _)) = tables(&node).await? else {
        return Ok(());
    };
    let stream = create(&node, "refused", COLUMNS)?;
    for (name, why) in [
        ("list", "column `price` is a list"),
        ("struct", "column `price` is a struct"),
        ("map", "column `price` is a map"),
        ("decimal", "column `price` has decimals"),
        ("infinity", "row 2: column `price`: `inf` is not a number"),
        (
            "ns",
            "column `at`: the time 2024-05-01T12:00:00.000000Z and 1 nanoseconds is finer",
        ),
        ("int96", "column `at` has timestamps of 96 bits"),
        ("brotli", "packed with Brotli"),
        ("lz4", "packed with LZ4"),
        ("much", "more than 256 MiB at one time"),
        ("prefixes", "DELTA_BYTE_ARRAY"),
    ] {
        let file = folder.join(format!("refused-{name}.parquet"));
        let errors = node.fails(&publish(&stream, text(&file)?, &[]))?;
        ensure!(errors.contains(why), "{name}: {errors}");
    }
    let file = folder.join("polars.parquet");
    let file = text(&file)?;
    let whole = fs::read(file)?;
    let cut = folder.join("cut.parquet");
    fs::write(&cut, &whole[..whole.len() - 9])?;
    let errors = node.fails(&publish(&stream, text(&cut)?, &[]))?;
    ensure!(errors.contains("not copied, to its end"), "{errors}");
    let errors = node.fails(&publish(&stream, file, &["--delimiter", ";"]))?;
    ensure!(errors.contains("leave off --delimiter"), "{errors}");
    let other = create(&node, "other", "cost:number,symbol:text")?;
    let errors = node.fails(&publish(&other, file, &[]))?;
    ensure!(errors.contains("--column cost=HEADER"), "{errors}");
    let unknown = publish(&other, file, &["--column", "costs=price"]);
    let errors = node.fails_with(USAGE, &unknown)?;
    ensure!(
        errors.contains("no column `costs`; it has: cost, symbol"),
        "{errors}"
    );
    ensure!(node.show(&stream)?["size"] == 0 && node.show(&other)?["size"] == 0);
    Ok(())
}

#[tokio::test]
async fn columns_of_other_names_resuming_and_single_values_hold_for_parquet_too() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let Some((folder, count)) = tables(&node).await? else {
        return Ok(());
    };
    let file = folder.join("polars.parquet");
    let file = text(&file)?;
    let stream = create(&node, "cost", "cost:number,symbol:text")?;
    node.run(&publish(&stream, file, &["--column", "cost=price"]))?;
    let read = rows(&node, &stream)?;
    ensure!(
        read[1]["cost"] == -99.875 && read[1]["symbol"] == "MSFT",
        "{}",
        read[1]
    );
    // It has them all.
    let again = publish(&stream, file, &["--column", "cost=price"]);
    let errors = node.fails(&again)?;
    ensure!(errors.contains("--resume"), "{errors}");
    node.run(&[&again[..], &["--resume"]].concat())?;
    ensure!(
        node.show(&stream)?["size"] == count,
        "{}",
        node.show(&stream)?
    );
    node.run(&[&again[..], &["--again"]].concat())?;
    ensure!(node.show(&stream)?["size"] == 2 * count);

    let single = node.create("numbers")?;
    let publish = publish(&single, file, &["--value-column", "count"]);
    node.run(&publish)?;
    let first = &rows(&node, &single)?[0];
    ensure!(first["value"] == 9_007_199_254_740_993_u64, "{first}");

    let created = node.json(&[
        "stream",
        "create",
        "told",
        "--columns-from",
        file,
        "--time-column",
        "at",
    ])?;
    let shown = node.show(created["id"].as_str().context("no id")?)?;
    let columns = shown["columns"].as_array().context("no columns")?;
    let told: Vec<_> = columns.iter().map(|c| (&c["name"], &c["type"])).collect();
    ensure!(
        json!(told)
            == json!([
                ["price", "number"],
                ["count", "integer"],
                ["symbol", "text"],
                ["is_open", "bool"],
                ["unused", "text"]
            ]),
        "{told:?}"
    );
    Ok(())
}

#[tokio::test]
async fn timestamps_without_a_zone_are_of_the_one_that_is_said_twice_shown_hours_too() -> Result<()>
{
    let node = TestNode::start(&[]).await?;
    let Some((folder, _)) = tables(&node).await? else {
        return Ok(());
    };
    let file = folder.join("clocks.parquet");
    let file = text(&file)?;
    let single = node.create("clocks")?;
    let publish = publish(&single, file, &["--value-column", "price"]);
    let said = notes(
        &node,
        &[&publish[..], &["--time-zone", "Europe/Berlin"]].concat(),
    )?;
    ensure!(
        said.contains("without a zone, which are read in Europe/Berlin"),
        "{said}"
    );
    ensure!(
        said.contains("2 taken as the first, 2 taken as the second"),
        "{said}"
    );
    let rows = rows(&node, &single)?;
    let times = rows
        .iter()
        .filter_map(|row| row["time"].as_str()?.get(..16));
    ensure!(
        times.eq([
            "2023-10-28T23:30",
            "2023-10-29T00:00",
            "2023-10-29T00:30",
            "2023-10-29T01:00",
            "2023-10-29T01:30",
            "2023-10-29T02:00"
        ]),
        "{rows:?}"
    );
    let told = [
        "stream",
        "create",
        "told",
        "--columns-from",
        file,
        "--time-column",
        "at",
    ];
    let said = notes(&node, &told)?;
    ensure!(
        said.contains("column at, which has timestamps without a zone"),
        "{said}"
    );
    Ok(())
}
