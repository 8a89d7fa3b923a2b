//! Nodes in a line: a publisher, one in the middle, and others that know only
//! the middle.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headwater_client::times::parse_rfc3339;
use headwater_client::times::text::to_text;
use headwater_protocols::time::Timestamp;
use headwater_tests::TestNode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Lets whoever is beyond the middle connect with nobody else: they would find
/// each other, and be a line no more.
async fn start_beyond(middle: &TestNode) -> Result<TestNode> {
    TestNode::start(&["--allow", &middle.peer_id()?]).await
}

struct Line {
    publisher: TestNode,
    middle: TestNode,
    far: TestNode,
}

impl Line {
    async fn start() -> Result<Self> {
        let publisher = TestNode::start(&[]).await?;
        let middle = TestNode::start(&[]).await?;
        let far = start_beyond(&middle).await?;
        Ok(Self {
            publisher,
            middle,
            far,
        })
    }

    /// Lets a stream of the publisher flow down the line.
    fn follow(&self, stream: &str) -> Result<()> {
        self.middle
            .run(&["follow", &self.publisher.invite(stream)?])?;
        self.far.run(&["follow", &self.middle.invite(stream)?])?;
        Ok(())
    }

    async fn until_synced(&self, stream: &str, size: u64) -> Result<()> {
        self.middle.until_synced(stream, size).await?;
        self.far.until_synced(stream, size).await?;
        Ok(())
    }
}

/// Publishes `count` numbers one by one, starting with the `from`-th.
async fn publish_live(publisher: &TestNode, stream: &str, from: u64, count: u64) -> Result<()> {
    for i in from..from + count {
        let record = format!("{{\"time\":{i},\"time_unit\":\"us\",\"value\":{i}}}");
        publisher.append(stream, record).await?;
    }
    Ok(())
}

/// Checks that all of them have the same root and the same records.
fn ensure_alike(stream: &str, nodes: &[&TestNode]) -> Result<()> {
    let seen = |node: &&TestNode| -> Result<(Value, String)> {
        Ok((node.show(stream)?["root"].clone(), node.export(stream)?))
    };
    let first = seen(&nodes[0])?;
    ensure!(first.0.is_string(), "no root");
    for node in &nodes[1..] {
        let other = seen(node)?;
        ensure!(other.0 == first.0, "{} and {}", other.0, first.0);
        ensure!(other.1 == first.1, "the exports differ");
    }
    Ok(())
}

/// Checks that a node is connected to these and to nobody else.
async fn ensure_peers(node: &TestNode, wanted: &[&TestNode]) -> Result<()> {
    let mut ids = BTreeSet::new();
    for peer in wanted {
        ids.insert(peer.peer_id()?);
    }
    let peers = node.get("/v1/peers").await?;
    let peers = peers.as_array().context("no list")?;
    let connected = peers.iter().filter_map(|peer| peer["peer_id"].as_str());
    let connected: BTreeSet<String> = connected.map(str::to_owned).collect();
    ensure!(connected == ids, "{connected:?} instead of {ids:?}");
    Ok(())
}

#[tokio::test]
async fn history_and_live_records_reach_a_node_that_knows_only_the_middle() -> Result<()> {
    let line = Line::start().await?;
    let stream = line.publisher.create("numbers")?;
    line.publisher.publish_numbers(&stream, 0, 10_000)?;
    line.follow(&stream)?;
    line.until_synced(&stream, 10_000).await?;
    publish_live(&line.publisher, &stream, 10_000, 200).await?;
    line.until_synced(&stream, 10_200).await?;
    ensure_alike(&stream, &[&line.publisher, &line.middle, &line.far])?;
    ensure_peers(&line.far, &[&line.middle]).await?;
    let served = line.publisher.show(&stream)?["served_records"].clone();
    // An absent number is no small one.
    let served = served.as_u64().context("it serves nothing")?;
    ensure!(served < 2 * 10_200, "{served}");
    Ok(())
}

#[tokio::test]
async fn a_late_joiner_gets_all_without_the_publisher_and_lives_on_with_it() -> Result<()> {
    let mut line = Line::start().await?;
    let stream = line.publisher.create("numbers")?;
    line.publisher.publish_numbers(&stream, 0, 10_000)?;
    line.follow(&stream)?;
    line.until_synced(&stream, 10_000).await?;
    line.publisher.keep_port()?;
    line.publisher.stop().await?;

    let late = start_beyond(&line.middle).await?;
    late.run(&["follow", &line.middle.invite(&stream)?])?;
    late.until_synced(&stream, 10_000).await?;
    ensure_alike(&stream, &[&line.middle, &line.far, &late])?;

    // On its old address, where the middle looks for it.
    line.publisher.launch().await?;
    publish_live(&line.publisher, &stream, 10_000, 100).await?;
    line.until_synced(&stream, 10_100).await?;
    late.until_synced(&stream, 10_100).await?;
    ensure_alike(&stream, &[&line.publisher, &line.middle, &line.far, &late])?;
    ensure_peers(&late, &[&line.middle]).await
}

#[tokio::test]
async fn a_node_that_was_down_for_a_thousand_records_catches_up() -> Result<()> {
    let mut line = Line::start().await?;
    let stream = line.publisher.create("numbers")?;
    line.publisher.publish_numbers(&stream, 0, 5_000)?;
    line.middle.keep_port()?;
    line.follow(&stream)?;
    line.until_synced(&stream, 5_000).await?;
    // The end of the line by a crash, then its middle in an orderly way.
    line.far.kill()?;
    line.publisher.publish_numbers(&stream, 5_000, 1_000)?;
    line.far.launch().await?;
    line.until_synced(&stream, 6_000).await?;
    line.middle.stop().await?;
    publish_live(&line.publisher, &stream, 6_000, 1_000).await?;
    ensure!(line.far.show(&stream)?["size"] == 6_000);
    line.middle.launch().await?;
    line.until_synced(&stream, 7_000).await?;
    publish_live(&line.publisher, &stream, 7_000, 10).await?;
    line.until_synced(&stream, 7_010).await?;
    ensure_alike(&stream, &[&line.publisher, &line.middle, &line.far])
}

fn data(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data")
        .join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

#[derive(Deserialize)]
struct Week<'a> {
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
}

/// The earthquakes of a week, the latest first: time in microseconds, and the
/// event as it stands in the file.
fn quakes(text: &str) -> Result<Vec<(i64, &str)>> {
    let week: Week<'_> = serde_json::from_str(text)?;
    let quake = |event: &&'_ RawValue| -> Result<i64> {
        let event: Value = serde_json::from_str(event.get())?;
        let ms = event["properties"]["time"].as_i64();
        Ok(ms.context("no time")? * 1_000)
    };
    let times = week.features.iter().map(quake);
    let events = week.features.iter().map(|event| event.get());
    times.zip(events).map(|(time, e)| Ok((time?, e))).collect()
}

fn ndjson(quakes: &[(i64, &str)]) -> String {
    let line = |(time, event): &(i64, &str)| format!("{{\"time\":{time},\"value\":{event}}}\n");
    quakes.iter().map(line).collect()
}

#[tokio::test]
async fn real_series_are_exported_at_the_end_of_the_line_exactly_as_given() -> Result<()> {
    const HOURS: usize = 2_000;
    const QUAKES: usize = 200;
    let line = Line::start().await?;
    let weather = data("seattle-weather-hourly-normals.csv")?;
    let rows: Vec<_> = weather.lines().take(HOURS + 1).collect();
    let file = line.publisher.dir().join("weather.csv");
    fs::write(&file, rows.join("\n"))?;
    let file = file.to_str().context("the path is no text")?;
    let pressure = line.publisher.create("pressure")?;
    let columns = ["--time-column", "date", "--value-column", "pressure"];
    let publish = ["publish", &pressure, "--file", file];
    line.publisher.run(&[&publish[..], &columns].concat())?;

    let week = data("usgs-earthquakes-week.json")?;
    let quakes = &quakes(&week)?[..QUAKES];
    ensure!(quakes.windows(2).all(|pair| pair[0].0 >= pair[1].0));
    let create = ["stream", "create", "quakes", "--value-type", "json"];
    let created = line.publisher.json(&create)?;
    let events = created["id"].as_str().context("no id")?;
    line.publisher.append(events, ndjson(quakes)).await?;

    line.follow(&pressure)?;
    line.follow(events)?;
    line.until_synced(&pressure, HOURS as u64).await?;
    line.until_synced(events, QUAKES as u64).await?;

    let mut wanted = String::from("index,time,value\n");
    for (index, row) in rows[1..].iter().enumerate() {
        let mut fields = row.split(',');
        let (date, value) = (fields.next().context("date")?, fields.next());
        let value = value.context("pressure")?;
        wanted.push_str(&format!("{index},{date}.000000Z,{value}\n"));
    }
    ensure!(line.far.export(&pressure)? == wanted);

    let mut csv = String::from("index,time,value\n");
    let mut objects = String::new();
    for (index, (time, event)) in quakes.iter().enumerate() {
        let time = to_text(Timestamp(*time));
        let quoted = event.replace('"', "\"\"");
        csv.push_str(&format!("{index},{time},\"{quoted}\"\n"));
        objects.push_str(&format!(
            "{{\"index\":{index},\"time\":\"{time}\",\"value\":{event}}}\n"
        ));
    }
    // 1517966773840 ms, the first one.
    ensure!(csv.contains("\n0,2018-02-07T01:26:13.840000Z,"));
    ensure!(line.far.export(events)? == csv);
    ensure!(line.far.run(&["export", events, "--format", "ndjson"])? == objects);
    ensure_alike(&pressure, &[&line.publisher, &line.middle, &line.far])?;
    ensure_alike(events, &[&line.publisher, &line.middle, &line.far])
}

#[tokio::test]
async fn questions_about_times_are_answered_as_by_looking_at_every_record() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let week = data("usgs-earthquakes-week.json")?;
    let quakes = quakes(&week)?;
    // Small chunks, so that the time index has many of them to choose from.
    let create = ["stream", "create", "quakes", "--value-type", "json"];
    let created = publisher.json(&[&create[..], &["--chunk-level", "4"]].concat())?;
    let stream = created["id"].as_str().context("no id")?;
    publisher.append(stream, ndjson(&quakes)).await?;
    // Once more in the other order, so that every time is there twice.
    let backwards: Vec<_> = quakes.iter().rev().step_by(3).copied().collect();
    publisher.append(stream, ndjson(&backwards)).await?;
    let size = (quakes.len() + backwards.len()) as u64;
    let follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(stream)?])?;
    follower.until_synced(stream, size).await?;

    let export = follower.export(stream)?;
    let (header, lines) = export.split_once('\n').context("no header")?;
    let records: Vec<_> = (lines.lines())
        .map(|line| -> Result<(i64, &str)> {
            let time = line.split(',').nth(1).context("no time")?;
            Ok((parse_rfc3339(time)?.0, line))
        })
        .collect::<Result<_>>()?;
    ensure!(records.len() as u64 == size);
    let ask = async |query: String| -> Result<String> {
        let path = format!("/v1/streams/{stream}/observations?format=csv&{query}");
        let answer = reqwest::get(follower.url(&path)?).await?;
        ensure!(answer.status() == 200, "{query}: {}", answer.status());
        Ok(answer.text().await?)
    };
    let wanted = |lines: Vec<&str>| -> String {
        let line = |line| format!("{line}\n");
        format!("{header}\n") + &lines.into_iter().map(line).collect::<String>()
    };

    let text = |time: i64| to_text(Timestamp(time));
    let (first, last) = (quakes[quakes.len() - 1].0, quakes[0].0);
    let mut times = vec![0, first - 1, first, last, last + 1, last + 86_400_000_000];
    for (time, _) in quakes.iter().step_by(97) {
        times.extend([time - 1, *time, time + 1]);
    }
    for &time in &times {
        let answer = ask(format!("at_or_before={}", text(time))).await?;
        // The last one of the greatest time that is not after this one.
        let found = (records.iter().rev())
            .filter(|(at, _)| *at <= time)
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        let expected = wanted(found.iter().map(|(_, line)| *line).collect());
        ensure!(answer == expected, "at or before {}: {answer}", text(time));
    }
    for (place, &from) in times.iter().enumerate() {
        let other = times[(place * 7 + 3) % times.len()];
        // A range that ends before it begins is refused.
        let (from, to) = (from.min(other), from.max(other));
        let answer = ask(format!("from={}&to={}", text(from), text(to))).await?;
        let inside = |(time, _): &&(i64, &str)| from <= *time && *time < to;
        let lines = records.iter().filter(inside).map(|(_, line)| *line);
        let expected = wanted(lines.collect());
        ensure!(answer == expected, "{} to {}", text(from), text(to));
        // Times and indexes together, and from the other end.
        let mixed = format!("from={}&to=1500&order=desc&limit=20", text(from));
        let lines = records[..1_500].iter().rev();
        let lines = lines.filter(|(time, _)| from <= *time).take(20);
        let expected = wanted(lines.map(|(_, line)| *line).collect());
        ensure!(ask(mixed).await? == expected, "{} to 1500", text(from));
    }
    Ok(())
}
