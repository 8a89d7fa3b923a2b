//! Arrow and Parquet, read with pandas, pyarrow and Polars.

use anyhow::{Context, Result, ensure};
use headwater_tests::{TestNode, python};
use serde_json::{Value, json};

use super::create;

/// What the libraries read of a stream: `tests/python/columns.py`.
async fn read(node: &TestNode, stream: &str, value_type: &str) -> Result<Option<Value>> {
    let folder = node.dir().join(format!("exports-{value_type}"));
    std::fs::create_dir(&folder)?;
    let folder = folder.to_str().context("the path is no text")?;
    for (format, file, proof) in [
        ("arrow", "export.arrow", false),
        ("feather", "export.feather", false),
        ("parquet", "export.parquet", false),
        ("parquet", "proved.parquet", true),
    ] {
        let file = format!("{folder}/{file}");
        let mut args = vec!["export", stream, "--format", format, "-o", &file];
        args.extend(proof.then_some("--with-proof"));
        node.run(&args)?;
    }
    let address = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let said = python::run("columns.py", &[&address, value_type, folder]).await?;
    said.map(|said| Ok(serde_json::from_str(&said)?))
        .transpose()
}

#[tokio::test]
async fn pandas_pyarrow_and_polars_read_typed_columns_of_every_value_type() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let cases = [
        (
            "number",
            "double",
            "{\"time\":\"1969-12-31T23:59:59.999999Z\",\"value\":1016.60}\n\
             {\"time\":\"2024-05-01T12:00:00.000001Z\",\"value\":\"-1.5e3\"}\n\
             {\"time\":\"2024-05-01T12:00:00Z\",\"value\":0}\n",
            json!([
                [0, -1, 1016.6],
                [1, 1_714_564_800_000_001_u64, -1500.0],
                [2, 1_714_564_800_000_000_u64, 0.0]
            ]),
        ),
        (
            "text",
            "string",
            "{\"time\":\"1970-01-01T00:00:00Z\",\"value\":\"\"}\n\
             {\"time\":\"1970-01-01T00:00:00Z\",\"value\":\"9 °C, \\\"ок\\\"\\n\"}\n",
            json!([[0, 0, ""], [1, 0, "9 °C, \"ок\"\n"]]),
        ),
        (
            "json",
            "string",
            "{\"time\":\"1970-01-01T00:00:00Z\",\"value\":{\"a\":[1.0,null]}}\n",
            json!([[0, 0, "{\"a\":[1.0,null]}"]]),
        ),
        (
            "bytes",
            "binary",
            "{\"time\":\"1970-01-01T00:00:00Z\",\"value\":\"AP8=\"}\n",
            json!([[0, 0, "00ff"]]),
        ),
    ];
    for (value_type, column_type, observations, rows) in cases {
        let stream = create(&node, value_type, value_type)?;
        node.append(&stream, observations).await?;
        let Some(seen) = read(&node, &stream, value_type).await? else {
            return Ok(());
        };
        ensure!(seen["first"] == rows, "{value_type}: {seen}");
        let types = json!(["uint64", "timestamp[us, tz=UTC]", column_type]);
        ensure!(seen["types"] == types, "{value_type}: {seen}");
        ensure!(seen["parquet_types"] == types, "{value_type}: {seen}");
        let pandas = &seen["pandas_types"];
        let expected = json!(["uint64", "datetime64[us, UTC]"]);
        ensure!(
            (&pandas[0], &pandas[1]) == (&expected[0], &expected[1]),
            "{seen}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_number_that_a_double_rounds_stands_beside_it_as_it_was_published() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "ids", "number")?;
    let values = [
        "1",
        "9007199254740993",
        "0.1",
        "-1764400000123456789",
        "1.50",
    ];
    let lines = (0..).zip(values).map(|(time, value)| {
        format!("{{\"time\":\"2024-01-01T00:00:0{time}Z\",\"value\":{value}}}\n")
    });
    node.append(&stream, lines.collect::<String>()).await?;
    let tokens = json!([[1, "9007199254740993"], [3, "-1764400000123456789"]]);
    if let Some(seen) = read(&node, &stream, "number").await? {
        let twice = [tokens.as_array(), tokens.as_array()].map(|all| all.cloned());
        let twice = twice.into_iter().flatten().flatten();
        ensure!(seen["tokens"] == Value::Array(twice.collect()), "{seen}");
    }
    Ok(())
}

#[tokio::test]
async fn a_history_of_several_row_groups_and_an_empty_one_are_read() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let Some(seen) = read(&node, &stream, "empty").await? else {
        return Ok(());
    };
    ensure!(seen["rows"] == 0, "{seen}");
    // More than a row group, and no whole number of chunks or batches.
    node.publish_numbers(&stream, 0, 150_001)?;
    let seen = read(&node, &stream, "number")
        .await?
        .context("it was there")?;
    ensure!(seen["rows"] == 150_001, "{seen}");
    ensure!(seen["row_groups"] == 2, "{seen}");
    ensure!(
        seen["first"][4] == json!([4, 1_577_836_804_000_000_u64, 4.5]),
        "{seen}"
    );
    Ok(())
}
