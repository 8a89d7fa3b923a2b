//! A chunk by its address, from whoever has it.

use anyhow::{Context, Result, ensure};
use headwater_tests::{PATIENCE, TestNode};
use reqwest::StatusCode;
use tokio::time::{Duration, Instant, sleep};

async fn get(node: &TestNode, address: &str) -> Result<(StatusCode, Vec<u8>)> {
    let url = node.url(&format!("/v1/chunks/{address}"))?;
    let answer = reqwest::get(url).await?;
    Ok((answer.status(), answer.bytes().await?.to_vec()))
}

/// The address of the chunk beside that of a record: the ninth step of the path
/// from the record.
async fn chunk_beside(node: &TestNode, stream: &str, index: u64) -> Result<String> {
    let path = format!("/v1/streams/{stream}/proof/{index}");
    let proof = node.get(&path).await?;
    let address = proof["path"][8].as_str().context("the path is short")?;
    Ok(address.to_owned())
}

/// Waits until a chunk is found no more.
async fn until_gone(node: &TestNode, address: &str) -> Result<()> {
    let started = Instant::now();
    while get(node, address).await?.0 != StatusCode::NOT_FOUND {
        ensure!(started.elapsed() < PATIENCE, "{address} is still there");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A stream whose second chunk is that of all of these, and whose third is its
/// own; the addresses of both.
async fn alike(node: &TestNode, name: &str, own: u64) -> Result<(String, String, String)> {
    let stream = node.create(name)?;
    node.publish_numbers(&stream, 0, 600)?;
    node.publish_numbers(&stream, own, 500)?;
    let (same, third) = (
        chunk_beside(node, &stream, 0).await?,
        chunk_beside(node, &stream, 768).await?,
    );
    Ok((stream, same, third))
}

#[tokio::test]
async fn a_chunk_of_two_streams_is_found_until_the_last_of_them_is_deleted() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (one, address, own_of_one) = alike(&node, "one", 10_000).await?;
    let (two, same, own_of_two) = alike(&node, "two", 20_000).await?;
    ensure!(same == address && own_of_one != own_of_two);
    let whole = get(&node, &address).await?;
    ensure!(whole.0 == StatusCode::OK);
    // The stream that was written last goes first, and then one that is older.
    // The addresses of a stream go in the order of its chunks.
    node.run(&["stream", "delete", "--own", &two])?;
    until_gone(&node, &own_of_two).await?;
    ensure!(get(&node, &address).await? == whole);
    let (three, _, own_of_three) = alike(&node, "three", 30_000).await?;
    node.run(&["stream", "delete", "--own", &one])?;
    until_gone(&node, &own_of_one).await?;
    ensure!(get(&node, &address).await? == whole);
    node.run(&["stream", "delete", "--own", &three])?;
    until_gone(&node, &own_of_three).await?;
    let gone = get(&node, &address).await?.0;
    ensure!(gone == StatusCode::NOT_FOUND, "{gone}");
    Ok(())
}

#[tokio::test]
async fn a_chunk_of_a_stream_that_is_not_followed_here_comes_from_a_peer() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, 600)?;
    let address = &chunk_beside(&publisher, &stream, 0).await?;

    let reader = TestNode::start(&["--bootstrap", &publisher.address()?]).await?;
    reader
        .until_get("/v1/peers", |peers| peers[0]["syncs"] == true)
        .await?;
    let here = get(&publisher, address).await?;
    ensure!(here.0 == StatusCode::OK);
    ensure!(get(&reader, address).await? == here);
    // 256 records: a length, eight bytes of time, the value.
    let (mut rest, mut records) = (&here.1[..], 0);
    while let Some((length, bytes)) = rest.split_first() {
        rest = bytes.get(usize::from(*length)..).context("cut short")?;
        records += 1;
    }
    ensure!(records == 256, "{records} records");

    let (status, problem) = get(&reader, "no address").await?;
    ensure!(status == StatusCode::BAD_REQUEST);
    ensure!(String::from_utf8(problem)?.contains("no address"));
    Ok(())
}
