//! A chunk by its address, from whoever has it.

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use reqwest::StatusCode;

#[tokio::test]
async fn a_chunk_of_a_stream_that_is_not_followed_here_comes_from_a_peer() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, 600)?;
    // The ninth step of the path from a record is the hash of the chunk beside
    // its own.
    let path = format!("/v1/streams/{stream}/proof/0");
    let proof = publisher.get(&path).await?;
    let address = proof["path"][8].as_str().context("the path is short")?;

    let reader = TestNode::start(&["--bootstrap", &publisher.address()?]).await?;
    reader
        .until_get("/v1/peers", |peers| peers[0]["syncs"] == true)
        .await?;
    let get = async |node: &TestNode, address: &str| -> Result<(StatusCode, Vec<u8>)> {
        let url = node.url(&format!("/v1/chunks/{address}"))?;
        let answer = reqwest::get(url).await?;
        Ok((answer.status(), answer.bytes().await?.to_vec()))
    };
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
