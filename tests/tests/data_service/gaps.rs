//! Reports of what is missing, of what is there twice, and of what came late.

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use serde_json::json;

/// Observations at these seconds of 1970, with their own number as value.
fn at(seconds: &[i64]) -> String {
    let line =
        |second: &i64| format!("{{\"time\":{second},\"time_unit\":\"s\",\"value\":{second}}}\n");
    seconds.iter().map(line).collect()
}

#[tokio::test]
async fn gaps_duplicates_and_late_observations_are_counted_and_listed() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let created = node.json(&["stream", "create", "ticks", "--cadence", "1s"])?;
    let id = created["id"].as_str().context("no id")?;
    node.append(id, at(&[0, 1, 1, 5, 3, 6, 9])).await?;

    let report = node.json(&["stream", "gaps", "ticks"])?;
    let times = &report["times"];
    ensure!(report["holes"] == 0 && report["to"] == 7, "{report}");
    ensure!(
        times["records"] == 7 && times["cadence_us"] == 1_000_000,
        "{report}"
    );
    ensure!(
        times["gaps"] == 2 && times["missing_in_gaps"] == 5,
        "{report}"
    );
    ensure!(
        times["duplicates"] == 1 && times["repeated"] == 1,
        "{report}"
    );
    ensure!(times["out_of_order"] == 1, "{report}");
    let first = json!({
        "index": 3,
        "from": "1970-01-01T00:00:01.000000Z",
        "to": "1970-01-01T00:00:05.000000Z",
        "missing": 3,
    });
    ensure!(times["first_gaps"][0] == first, "{report}");

    // The same over HTTP, with what may be said about it.
    let asked = node.get(&format!("/v1/streams/{id}/gaps?limit=10")).await?;
    ensure!(asked == report, "{asked}");
    let narrow = node
        .get(&format!(
            "/v1/streams/{id}/gaps?from=3&to=1970-01-01T00:00:06Z&limit=0"
        ))
        .await?;
    ensure!(narrow["times"]["records"] == 2, "{narrow}");
    ensure!(narrow["times"]["out_of_order"] == 1, "{narrow}");
    ensure!(
        narrow["times"]["first_out_of_order"] == json!([]),
        "{narrow}"
    );
    let slower = node.json(&["stream", "gaps", "ticks", "--cadence", "3s"])?;
    ensure!(slower["times"]["gaps"] == 0, "{slower}");
    let said = node.run(&["stream", "gaps", "ticks"])?;
    for words in [
        "no holes",
        "2 gaps in time: 5 observations missing at a cadence of 1s",
        "3 before index 3",
        "1 duplicate time, 1 of them with the same value",
        "1 observation out of order",
    ] {
        ensure!(said.contains(words), "`{words}` is not in {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_follower_reports_the_same_whether_its_node_runs_or_not() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let id = publisher.create("numbers")?;
    publisher.publish_numbers(&id, 0, 700)?;
    publisher.append(&id, at(&[5])).await?;
    let mut follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&id)?])?;
    follower.until_synced(&id, 701).await?;
    let gaps = ["stream", "gaps", &id, "--cadence", "1s"];
    let report = follower.json(&gaps)?;
    ensure!(
        report["holes"] == 0 && report["times"]["gaps"] == 0,
        "{report}"
    );
    ensure!(report["times"]["out_of_order"] == 1, "{report}");
    follower.stop().await?;
    ensure!(follower.json(&gaps)? == report);
    ensure!(publisher.json(&gaps)? == report);
    Ok(())
}
