//! A publish that is sent again is not done again.

use anyhow::{Context, Result, ensure};
use headwater_client::EventReader;
use headwater_tests::{PATIENCE, TestNode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Publishes a number under a key; the status and the answer.
async fn post(
    node: &TestNode,
    stream: &str,
    key: &str,
    body: &Value,
) -> Result<(StatusCode, Value)> {
    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let request = reqwest::Client::new().post(url).bearer_auth(node.token()?);
    let request = request.header("idempotency-key", key).json(body);
    let answer = request.send().await?;
    Ok((answer.status(), answer.json().await?))
}

async fn size(node: &TestNode, stream: &str) -> Result<u64> {
    let head = node.get(&format!("/v1/streams/{stream}/head")).await?;
    head["size"].as_u64().context("no size")
}

/// Waits until the record of this index is there.
async fn until_stored(node: &TestNode, stream: &str, index: u64) -> Result<()> {
    let url = node.url(&format!("/v1/streams/{stream}/live?from={index}"))?;
    let mut answer = reqwest::get(url).await?.error_for_status()?;
    let mut events = EventReader::default();
    let event = loop {
        if let Some(event) = events.next_event()? {
            break event;
        }
        let chunk = timeout(PATIENCE, answer.chunk()).await??;
        events.push(&chunk.context("the live stream has ended")?)?;
    };
    ensure!(event.id == index.to_string(), "{event:?}");
    Ok(())
}

#[tokio::test]
async fn a_repeated_post_is_answered_as_the_first_and_stored_once_across_restarts() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let (one, two) = (node.create("one")?, node.create("two")?);
    let body = json!([{"value": 1}, {"value": 2}]);
    let done = (StatusCode::CREATED, json!({"from": 0, "to": 2}));
    ensure!(post(&node, &one, "a", &body).await? == done);
    ensure!(post(&node, &one, "a", &body).await? == done);
    // The key of another stream, and another key of this one.
    ensure!(post(&node, &two, "a", &body).await? == done);
    let next = (StatusCode::CREATED, json!({"from": 2, "to": 4}));
    ensure!(post(&node, &one, "b", &body).await? == next);

    node.stop().await?;
    node.launch().await?;
    ensure!(post(&node, &one, "a", &body).await? == done);
    let (status, problem) = post(&node, &one, "a", &json!({"value": 3})).await?;
    ensure!(status == StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let detail = problem["detail"].as_str().context("no detail")?;
    ensure!(detail.contains("idempotency key"), "{detail}");
    node.kill()?;
    node.launch().await?;
    ensure!(post(&node, &one, "b", &body).await? == next);
    ensure!((size(&node, &one).await?, size(&node, &two).await?) == (4, 2));
    Ok(())
}

/// Posts are on their way when the node is killed; whoever got no answer asks
/// again. Some were durable, some not, and each is there once.
#[tokio::test]
async fn posts_that_a_kill_left_without_an_answer_are_stored_once_when_sent_again() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    let mut sent = 0_u64;
    for round in 0..3 {
        let first = sent;
        sent += 200;
        {
            let posts = (first..sent).map(|i| {
                let (node, stream) = (&node, &stream);
                async move { post(node, stream, &i.to_string(), &json!({"value": i})).await }
            });
            let posts = futures::future::join_all(posts);
            tokio::pin!(posts);
            // Killed while the first ones are answered.
            let pid = node.pid().context("it does not run")?;
            let at = first + 20 + 40 * round;
            tokio::select! {
                stored = until_stored(&node, &stream, at - 1) => stored?,
                _ = &mut posts => {}
            }
            let pid = i32::try_from(pid)?;
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL)?;
            posts.await;
        }
        node.kill()?;
        node.launch().await?;
        for i in first..sent {
            let (status, answer) =
                post(&node, &stream, &i.to_string(), &json!({"value": i})).await?;
            ensure!(status == StatusCode::CREATED, "{answer}");
        }
    }
    ensure!(size(&node, &stream).await? == sent);
    let path = format!("/v1/streams/{stream}/observations?format=json");
    let stored = node.get(&path).await?;
    let stored = stored.as_array().context("no list")?;
    let mut values: Vec<_> = stored
        .iter()
        .filter_map(|row| row["value"].as_u64())
        .collect();
    values.sort_unstable();
    ensure!(values == (0..sent).collect::<Vec<_>>());
    Ok(())
}
