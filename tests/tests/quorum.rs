//! Histories that nobody signed, taken from peers that do not all tell the truth.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, ensure};
use headwater_tests::{FOR_NOW, PATIENCE, TestNode, USAGE};
use serde_json::{Value, json};
use tokio::time::timeout;

const NAME: &str = "wind at the pier, before 2024";

/// Answers always come: who waits longer for them does not wait at all.
const ASK: [&str; 5] = ["import", "--from-peers", NAME, "--deadline", "60s"];

/// So many observations, two of them at every time; the one at `changed` is
/// another one.
fn old_csv(count: u64, changed: Option<u64>) -> Result<String> {
    let mut text = String::from("ts,value\n");
    for i in 0..count {
        let tenth = u8::from(changed == Some(i));
        writeln!(text, "{},{i}.{tenth}", 1_577_836_800 + i / 2)?;
    }
    Ok(text)
}

/// What an export must be.
fn exported(count: u64) -> Result<String> {
    let mut text = String::from("time,value,unsigned\n");
    for i in 0..count {
        let (hour, minute, second) = (i / 2 / 3_600, i / 2 / 60 % 60, i / 2 % 60);
        let time = format!("2020-01-01T{hour:02}:{minute:02}:{second:02}.000000Z");
        writeln!(text, "{time},{i}.0,true")?;
    }
    Ok(text)
}

fn import(node: &TestNode, csv: &str) -> Result<Value> {
    let file = node.dir().join("old.csv");
    fs::write(&file, csv)?;
    let file = file.to_str().context("path")?;
    node.json(&["import", file, "--unsigned", NAME])
}

/// A node that has this history and stays connected to another one.
async fn holder(asker: &TestNode, csv: &str) -> Result<TestNode> {
    let node = TestNode::start(&["--bootstrap", &asker.address()?]).await?;
    let kept = import(&node, csv)?;
    let kept = &kept["unsigned"];
    ensure!(
        kept["unsigned"] == true && kept["state"] == "imported" && kept["told_to_peers"] == true,
        "{kept}"
    );
    Ok(node)
}

async fn until_connected(asker: &TestNode, peers: &[&TestNode]) -> Result<()> {
    let ids: Vec<String> = peers
        .iter()
        .map(|node| node.peer_id())
        .collect::<Result<_>>()?;
    let are_there = |shown: &Value| {
        let shown = shown.to_string();
        ids.iter().all(|id| shown.contains(id))
    };
    asker.until_get("/v1/peers", are_there).await?;
    Ok(())
}

async fn kept(node: &TestNode) -> Result<Value> {
    let all = node.get("/v1/unsigned").await?;
    let all = all.as_array().context("no list")?;
    ensure!(all.len() == 1 && all[0]["name"] == NAME, "{all:?}");
    Ok(all[0].clone())
}

#[tokio::test]
async fn of_three_peers_one_lies_and_the_history_of_the_others_is_taken_as_unsigned() -> Result<()>
{
    const COUNT: u64 = 3_000;
    let asker = TestNode::start(&[]).await?;
    let one = holder(&asker, &old_csv(COUNT, None)?).await?;
    let other = holder(&asker, &old_csv(COUNT, None)?).await?;
    let liar = holder(&asker, &old_csv(COUNT, Some(1_000))?).await?;
    until_connected(&asker, &[&one, &other, &liar]).await?;

    let news = asker.json(&ASK)?;
    let history = &news["history"];
    ensure!(history["state"] == "complete", "{news}");
    ensure!(
        history["unsigned"] == true && history["observations"] == COUNT,
        "{news}"
    );
    ensure!(history["on_one_word"] == 0, "{news}");
    ensure!(asker.run(&["unsigned", "export", NAME])? == exported(COUNT)?);
    let lines = asker.run(&["unsigned", "export", NAME, "--format", "ndjson"])?;
    let are_marked = (lines.lines()).all(|line| line.contains(r#""unsigned":true"#));
    ensure!(
        are_marked && lines.lines().count() as u64 == COUNT,
        "{lines}"
    );
    ensure!(asker.run(&["unsigned", "list"])?.contains("UNSIGNED"));

    // Nothing that shows or proves what is signed knows of it.
    ensure!(asker.get("/v1/streams").await? == json!([]));
    for args in [
        &["show", NAME][..],
        &["export", NAME],
        &["prove", NAME, "0"],
        &["follow", NAME],
        &["stream", "delete", NAME],
    ] {
        asker.fails(args)?;
    }
    // It is whole, and stays so.
    ensure!(asker.json(&ASK)? == news, "asked again");
    ensure!(asker.run(&ASK)?.contains("unsigned history"));
    asker.run(&["unsigned", "delete", NAME])?;
    ensure!(asker.get("/v1/unsigned").await? == json!([]));
    asker.fails(&["unsigned", "export", NAME])?;
    Ok(())
}

#[tokio::test]
async fn without_an_agreement_it_stops_says_who_said_what_and_goes_on_after_a_kill() -> Result<()> {
    const COUNT: u64 = 3_000;
    // The later ones come first: 1,999 of them, and the two of one time are one.
    const CHANGED: u64 = 1_000;
    const AGREED: u64 = COUNT - CHANGED - 2;
    let mut asker = TestNode::start(&[]).await?;
    asker.keep_port()?;
    let honest = holder(&asker, &old_csv(COUNT, None)?).await?;
    let liar = holder(&asker, &old_csv(COUNT, Some(CHANGED))?).await?;
    until_connected(&asker, &[&honest, &liar]).await?;

    let output = asker.command(&[&ASK[..], &["--json"]].concat())?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let news: Value = serde_json::from_slice(&output.stdout)?;
    let report = &news["stopped"];
    let votes = json!([report["asked"], report["answered"], report["needed"]]);
    ensure!(votes == json!([2, 2, 2]), "{news}");
    let said = report["said"].as_array().context("nothing was said")?;
    ensure!(said.len() == 2, "{news}");
    for (node, values) in [
        (&honest, ["1000.0", "1001.0"]),
        (&liar, ["1000.1", "1001.0"]),
    ] {
        let peer = node.peer_id()?;
        let is_said = |said: &Value| {
            said["peers"] == json!([peer]) && said["values"] == json!(values) && said["votes"] == 1
        };
        ensure!(said.iter().any(is_said), "{news}");
    }
    let errors = asker.fails(&ASK)?;
    ensure!(errors.contains("of 2 asked 2 answered"), "{errors}");
    let before = kept(&asker).await?;
    ensure!(before["observations"] == AGREED, "{before}");
    ensure!(before["state"] == "incomplete" && before["told_to_peers"] == false);

    asker.kill()?;
    let mut third = TestNode::new()?;
    import(&third, &old_csv(COUNT, None)?)?;
    asker.launch().await?;
    ensure!(kept(&asker).await? == before, "after the kill");
    let address = asker.address()?;
    third.set_args(&["--bootstrap", &address]);
    third.launch().await?;
    until_connected(&asker, &[&honest, &liar, &third]).await?;
    let news = asker.json(&ASK)?;
    ensure!(news["history"]["state"] == "complete", "{news}");
    ensure!(news["history"]["before"] == before["before"], "{news}");
    ensure!(asker.run(&["unsigned", "export", NAME])? == exported(COUNT)?);
    // Another end would be another history.
    let other_end = ["--before", "2021-01-01T00:00:00Z"];
    let errors = asker.fails(&[&ASK[..], &other_end].concat())?;
    ensure!(errors.contains("delete it first"), "{errors}");
    Ok(())
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_and_ends_with_the_same_history() -> Result<()> {
    const COUNT: u64 = 20_000;
    let mut asker = TestNode::start(&[]).await?;
    asker.keep_port()?;
    let one = holder(&asker, &old_csv(COUNT, None)?).await?;
    let other = holder(&asker, &old_csv(COUNT, None)?).await?;
    let mut before = 0;
    for waits in [false, true] {
        until_connected(&asker, &[&one, &other]).await?;
        let timeout_of_walk: &[&str] = if waits { &[] } else { &["--timeout", "0s"] };
        let walk = asker.spawn(&[&ASK[..], timeout_of_walk].concat())?;
        let taken = |shown: &Value| shown[0]["observations"].as_u64().unwrap_or(0);
        let has_more = |shown: &Value| taken(shown) > before || taken(shown) == COUNT;
        before = taken(&asker.until_get("/v1/unsigned", has_more).await?);
        asker.kill()?;
        if waits {
            // The node that comes back finds its peers, and the command goes on.
            asker.launch().await?;
        }
        let output = timeout(PATIENCE, walk.wait_with_output()).await??;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(
            output.status.success() == waits || before == COUNT,
            "{errors}"
        );
        if !waits {
            asker.launch().await?;
        }
    }
    until_connected(&asker, &[&one, &other]).await?;
    let news = asker.json(&ASK)?;
    ensure!(news["history"]["state"] == "complete", "{news}");
    ensure!(news["history"]["observations"] == COUNT, "{news}");
    ensure!(asker.run(&["unsigned", "export", NAME])? == exported(COUNT)?);
    Ok(())
}

#[tokio::test]
async fn one_peer_alone_is_taken_at_its_word_and_that_word_is_not_passed_on() -> Result<()> {
    let asker = TestNode::start(&[]).await?;
    let errors = asker.fails(&ASK)?;
    ensure!(errors.contains("nobody is connected"), "{errors}");
    let one = holder(&asker, &old_csv(10, None)?).await?;
    until_connected(&asker, &[&one]).await?;
    let news = asker.json(&ASK)?;
    let history = &news["history"];
    ensure!(history["state"] == "complete", "{news}");
    ensure!(history["on_one_word"] == 10, "{news}");
    ensure!(history["told_to_peers"] == false, "{news}");
    ensure!(asker.run(&["unsigned", "export", NAME])? == exported(10)?);

    // Whoever asks it hears nothing, and what one of two says is not enough.
    let next = TestNode::start(&["--bootstrap", &asker.address()?]).await?;
    until_connected(&next, &[&asker]).await?;
    let errors = next.fails(&ASK)?;
    ensure!(errors.contains("answered"), "{errors}");
    Ok(())
}

#[tokio::test]
async fn an_import_of_unsigned_rows_is_whole_or_nothing_and_needs_a_name_of_its_own() -> Result<()>
{
    let node = TestNode::new()?;
    import(&node, &old_csv(10, None)?)?;
    ensure!(node.run(&["unsigned", "export", NAME])? == exported(10)?);
    let again = import(&node, &old_csv(10, None)?);
    ensure!(format!("{:#}", again.err().context("twice")?).contains("already"));
    let file = node.dir().join("bad.csv");
    fs::write(&file, "ts,value\n1577836800,1\n1577836801,many\n")?;
    let file = file.to_str().context("path")?;
    let errors = node.fails(&["import", file, "--unsigned", "other"])?;
    ensure!(errors.contains("many"), "{errors}");
    let same_time = "ts,value\n".to_owned() + &"1577836800,1\n".repeat(257);
    fs::write(file, same_time)?;
    let errors = node.fails_with(USAGE, &["import", file, "--unsigned", "other"])?;
    ensure!(errors.contains("too many values of one time"), "{errors}");
    ensure!(node.json(&["unsigned", "list"])?["name"] == NAME);
    // Nobody can be asked without a network.
    let errors = node.fails_with(FOR_NOW, &ASK)?;
    ensure!(errors.contains("needs a running node"), "{errors}");
    Ok(())
}
