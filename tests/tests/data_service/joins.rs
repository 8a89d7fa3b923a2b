//! Joined tables, against those of pandas.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use headwater_tests::{FAILED, TestNode, USAGE, python};
use serde_json::{Value, json};

use super::{create, path};

/// A generator of numbers that a seed brings back (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % limit
    }
}

/// A minute of 2024 in microseconds, some way into it.
fn time(minute: u64) -> u64 {
    1_704_067_200_000_000 + minute * 60_000_000
}

/// Publishes so many observations whose times repeat and run backwards.
async fn observe(
    node: &TestNode,
    stream: &str,
    count: u64,
    random: &mut Random,
    value: impl Fn(u64) -> Value,
) -> Result<()> {
    let mut ndjson = String::new();
    for index in 0..count {
        let late = random.below(4) * random.below(30);
        let minute = (index * 3 / 2 + 200).saturating_sub(late);
        let line = json!({"time": time(minute), "value": value(random.below(1_000))});
        writeln!(ndjson, "{line}")?;
    }
    node.append(stream, ndjson).await?;
    Ok(())
}

#[tokio::test]
async fn joined_tables_are_those_of_pandas() -> Result<()> {
    let seed = 20_240_101;
    println!("seed {seed}");
    let mut random = Random(seed);
    let node = TestNode::start(&[]).await?;
    let mut streams = Vec::new();
    for (name, value_type) in [
        ("wind", "number"),
        ("sky", "text"),
        ("event", "json"),
        ("blob", "bytes"),
        ("nothing", "number"),
    ] {
        let id = create(&node, name, value_type)?;
        streams.push(json!([name, id, value_type]));
    }
    let id = |place: usize| streams[place][1].as_str().context("no id");
    observe(&node, id(0)?, 1_500, &mut random, |n| json!(n as f64 / 8.0)).await?;
    observe(&node, id(1)?, 700, &mut random, |n| {
        json!(format!("cloud, \"{n}\""))
    })
    .await?;
    observe(&node, id(2)?, 900, &mut random, |n| json!({"n": n})).await?;
    observe(&node, id(3)?, 300, &mut random, |n| {
        json!(data_encoding::BASE64.encode(&n.to_be_bytes()))
    })
    .await?;

    let (from, to) = ("2024-01-01T05:00:00.5Z", "2024-01-02T03:00:00Z");
    let hour = 3_600_000_000_u64;
    let all = json!(streams);
    let joins = json!([
        {"streams": all, "on": id(0)?},
        {"streams": all, "on": id(1)?, "tolerance_us": 90_000_000},
        {"streams": all, "on": id(2)?, "from": from, "to": to},
        {"streams": all, "on": id(4)?},
        {"streams": all, "every_us": hour},
        {"streams": all, "every_us": 7 * 60_000_000_u64, "tolerance_us": 0},
        {"streams": all, "every_us": hour / 4, "from": from, "to": to, "tolerance_us": hour},
    ]);
    let address = node.url("")?;
    let Some(said) = python::run("join.py", &[&address, &joins.to_string()]).await? else {
        return Ok(());
    };
    let rows: u64 = said.trim().parse()?;
    ensure!(rows > 2_500, "{rows} rows");
    Ok(())
}

#[tokio::test]
async fn the_command_writes_what_the_api_answers() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (wind, rain) = (node.create("wind")?, node.create("rain")?);
    let at = |minute| format!("{{\"time\":{},\"value\":{minute}.5}}\n", time(minute));
    node.append(&wind, [at(0), at(2), at(4)].concat()).await?;
    node.append(&rain, [at(3), at(1)].concat()).await?;
    let csv = "time,rain,wind\n\
               2024-01-01T00:00:00.000000Z,,0.5\n\
               2024-01-01T00:02:00.000000Z,1.5,2.5\n\
               2024-01-01T00:04:00.000000Z,3.5,4.5\n";
    ensure!(node.run(&["join", "rain", "wind", "--on", "wind"])? == csv);
    let file = path(&node, "joined.csv")?;
    let said = node.json(&["join", "rain", "wind", "--every", "2m", "-o", &file])?;
    let written = std::fs::read_to_string(&file)?;
    ensure!(written == csv, "{written}");
    ensure!(said["bytes"] == written.len(), "{said}");
    // Nothing is not the same as an empty text.
    let sky = create(&node, "sky", "text")?;
    let words = [(1, ""), (3, "a \"cloud\"")];
    let words = words.map(|(at, word)| format!("{}\n", json!({"time": time(at), "value": word})));
    node.append(&sky, words.concat()).await?;
    let csv = "time,wind,sky\n\
               2024-01-01T00:00:00.000000Z,0.5,\n\
               2024-01-01T00:02:00.000000Z,2.5,\"\"\n\
               2024-01-01T00:04:00.000000Z,4.5,\"a \"\"cloud\"\"\"\n";
    ensure!(node.run(&["join", "wind", "sky"])? == csv);
    let csv = "index,time,value\n\
               0,2024-01-01T00:01:00.000000Z,\"\"\n\
               1,2024-01-01T00:03:00.000000Z,\"a \"\"cloud\"\"\"\n";
    ensure!(node.run(&["export", "sky", "--format", "csv"])? == csv);
    let file = path(&node, "sky.csv")?;
    node.run(&[
        "export",
        "sky",
        "--format",
        "csv",
        "--with-proof",
        "-o",
        &file,
    ])?;
    node.run(&["verify", &file, "--stream", &sky])?;

    let near = [
        "join",
        "wind",
        "rain",
        "--tolerance",
        "30s",
        "--format",
        "ndjson",
    ];
    let last = node.run(&near)?;
    ensure!(
        last.ends_with("\"wind\":4.5,\"rain\":null}\n"),
        "a minute is not near: {last}"
    );

    for (args, word) in [
        (&["join", "wind", "wind"][..], "twice"),
        (&["join", "wind", "calm"], "calm"),
        (&["join", "wind", "--on", "rain"], "not one of those"),
        (&["join", "wind", "--from", "3"], "must be a time"),
        (&["join", "wind", "--every", "1us"], "rows"),
        (&["join", "wind", "--every", "0s"], "longer than nothing"),
    ] {
        // A stream that is not known may be known later.
        let status = if word == "calm" { FAILED } else { USAGE };
        let errors = node.fails_with(status, args)?;
        ensure!(errors.contains(word), "{args:?}: {errors}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wide_table_has_as_many_streams_as_an_address_can_name() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let mut ids = Vec::new();
    for number in 0..40 {
        let id = node.create(&format!("c{number:02}"))?;
        let line = json!({"time": time(number), "value": number});
        node.append(&id, format!("{line}\n")).await?;
        ids.push(id);
    }
    let names: Vec<_> = (0..40).map(|number| format!("c{number:02}")).collect();
    let args = ["join", "--on", "c39"].into_iter();
    let args: Vec<_> = args.chain(names.iter().map(String::as_str)).collect();
    let said = node.run(&args)?;
    let values: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let wanted = format!(
        "time,{}\n2024-01-01T00:39:00.000000Z,{}\n",
        names.join(","),
        values.join(",")
    );
    ensure!(said == wanted, "{said}");
    // More than the bound: the first is there again and again under other names.
    let many = vec![ids[0].as_str(); 257].join(",");
    let answer = reqwest::get(node.url(&format!("/v1/join?streams={many}"))?).await?;
    ensure!(answer.status() == 400);
    let said = answer.text().await?;
    ensure!(said.contains("at most 256"), "{said}");
    Ok(())
}

#[tokio::test]
async fn one_record_of_the_year_9999_makes_no_table_without_an_end() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (wind, rain) = (node.create("wind")?, node.create("rain")?);
    node.run(&["publish", &wind, "1", "--time", "2024-01-01T00:00:00Z"])?;
    node.run(&["publish", &rain, "2", "--time", "9999-12-31T00:00:00Z"])?;
    let words = [
        "rows, from 2024-01-01T00:00:00.000000Z (record 0 of stream `wind`) to 9999-12-31T00:00:00.000000Z (record 0 of \
         stream `rain`)",
        "say from and to",
    ];
    for every in ["1s", "1h"] {
        let errors = node.fails_with(USAGE, &["join", &wind, &rain, "--every", every])?;
        ensure!(words.iter().all(|word| errors.contains(word)), "{errors}");
        let path = format!("/v1/join?streams={wind},{rain}&every={every}");
        let answer = reqwest::get(node.url(&path)?).await?;
        ensure!(answer.status() == 422, "{answer:?}");
        let problem: Value = answer.json().await?;
        let detail = problem["detail"].as_str().context("no detail")?;
        ensure!(words.iter().all(|word| detail.contains(word)), "{detail}");
    }
    let narrow = ["--from", "2024-01-01", "--to", "2024-01-02"];
    let table = node.run(&[&["join", &wind, &rain, "--every", "1h"], &narrow[..]].concat())?;
    ensure!(table.lines().count() == 25, "{table}");
    for (question, word) in [
        ("every=0s", "longer than nothing"),
        ("every_us=0", "longer"),
    ] {
        let answer = reqwest::get(node.url(&format!("/v1/join?streams={wind}&{question}"))?);
        let text = answer.await?.text().await?;
        ensure!(text.contains(word), "{text}");
    }
    Ok(())
}
