//! Streams that users delete.

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;

const RECORDS: u64 = 2_000;

/// Whether the node announces or knows a stream: its answer to `show`.
fn knows(node: &TestNode, stream: &str) -> Result<bool> {
    Ok(node.command(&["show", stream])?.status.success())
}

#[tokio::test]
async fn a_deleted_stream_is_gone_after_a_crash_too_and_comes_back_when_it_is_followed()
-> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, RECORDS)?;
    let invite = publisher.invite(&stream)?;
    let mut node = TestNode::start(&[]).await?;
    node.run(&["follow", &invite])?;
    node.run(&["sync", &stream, "--wait", "--timeout", "120s"])?;

    let deleted = node.json(&["stream", "delete", "numbers"])?;
    ensure!(deleted["held_records"] == RECORDS, "{deleted}");
    ensure!(!knows(&node, &stream)?);
    // Wherever the deletion is, it goes on at the next start.
    node.kill()?;
    node.launch().await?;
    ensure!(!knows(&node, &stream)?);
    let gone = node.fails(&["stream", "delete", &stream])?;
    ensure!(gone.contains("is not known here"), "{gone}");
    publisher.publish_numbers(&stream, RECORDS, 1)?;

    node.run(&["follow", &invite])?;
    node.run(&["sync", &stream, "--wait", "--timeout", "120s"])?;
    ensure!(node.export(&stream)? == publisher.export(&stream)?);
    Ok(())
}

#[tokio::test]
async fn an_own_stream_needs_a_word_and_goes_on_only_with_all_that_was_published() -> Result<()> {
    let mut publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, RECORDS)?;
    let mut follower = TestNode::start(&[]).await?;
    follower.run(&["follow", &publisher.invite(&stream)?])?;
    follower.run(&["sync", &stream, "--wait", "--timeout", "120s"])?;
    let before = follower.export(&stream)?;
    // It might be found again before the user says where it is.
    follower.stop().await?;

    let refused = publisher.fails(&["stream", "delete", &stream])?;
    ensure!(refused.contains("--own"), "{refused}");
    // The same without a node.
    publisher.stop().await?;
    let refused = publisher.fails(&["stream", "delete", &stream])?;
    ensure!(refused.contains("--own"), "{refused}");
    publisher.run(&["stream", "delete", &stream, "--own"])?;
    publisher.launch().await?;
    ensure!(!knows(&publisher, &stream)?);

    // Followed, it is ours again; it takes nothing before all of it is back.
    publisher.run(&["follow", &stream])?;
    let refused = publisher.fails(&["publish", &stream, "1"])?;
    ensure!(refused.contains("deleted here"), "{refused}");
    let refused = publisher.fails(&["stream", "reopen", &stream, "--none-is-larger"])?;
    ensure!(refused.contains("being fetched"), "{refused}");
    // So that is not suggested.
    let shown = publisher.show(&stream)?;
    let why = shown["reopening"]["why"].as_str().context("it is open")?;
    ensure!(!why.contains("--none-is-larger"), "{why}");
    ensure!(why.contains("stream create"), "{why}");
    follower.launch().await?;
    publisher.run(&["follow", &follower.invite(&stream)?])?;
    publisher.run(&["stream", "reopen", &stream, "--timeout", "120s"])?;
    ensure!(publisher.export(&stream)? == before);
    publisher.publish_numbers(&stream, RECORDS, 1)?;
    let shown = follower.until_synced(&stream, RECORDS + 1).await?;
    ensure!(shown["forked"] == false, "{shown}");
    Ok(())
}

#[tokio::test]
async fn deleting_needs_the_token_and_says_what_is_not_there() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let client = reqwest::Client::new();
    let delete = |query: &str| -> Result<_> {
        Ok(client.delete(node.url(&format!("/v1/streams/{stream}{query}"))?))
    };
    ensure!(delete("?own=true")?.send().await?.status() == 401);
    let token = node.token()?;
    let refused = delete("")?.bearer_auth(&token).send().await?;
    ensure!(refused.status() == 409);
    let wrong = delete("?own=perhaps")?.bearer_auth(&token).send().await?;
    ensure!(wrong.status() == 400);
    let live = client.get(node.url(&format!("/v1/streams/{stream}/live?from=0"))?);
    let live = live.send().await?;
    let done = delete("?own=true")?.bearer_auth(&token).send().await?;
    ensure!(done.status() == 200);
    // Whoever reads it live is told.
    let last = live.text().await?;
    ensure!(last.contains("was deleted here"), "{last}");
    let gone = delete("?own=true")?.bearer_auth(&token).send().await?;
    ensure!(gone.status() == 404);
    let created = node.create("numbers")?;
    ensure!(created != stream);
    Ok(())
}
