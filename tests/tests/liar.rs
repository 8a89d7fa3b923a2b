//! A peer that serves altered bytes is named, dropped and replaced.

use std::ops::ControlFlow;

use anyhow::{Result, ensure};
use headwater::store::RocksStore;
use headwater_protocols::store::{Batch, Durability, Store, Table};
use headwater_tests::TestNode;
use serde_json::Value;

const RECORDS: u64 = 200_000;

#[tokio::test]
async fn of_two_upstreams_the_one_that_serves_altered_bytes_is_named_dropped_and_replaced()
-> Result<()> {
    let mut publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("numbers")?;
    publisher.publish_numbers(&stream, 0, RECORDS)?;
    let invite = publisher.invite(&stream)?;
    let truth = publisher.export(&stream)?;

    let honest = TestNode::start(&[]).await?;
    let mut liar = TestNode::start(&[]).await?;
    for node in [&honest, &liar] {
        node.run(&["follow", &invite])?;
        node.until_synced(&stream, RECORDS).await?;
    }
    publisher.stop().await?;
    liar.stop().await?;
    alter_chunks(&liar)?;
    liar.launch().await?;
    let liar_id = liar.peer_id()?;

    let joiner = TestNode::start(&[]).await?;
    joiner.run(&["follow", &liar.invite(&stream)?])?;
    joiner.run(&["follow", &honest.invite(&stream)?])?;
    joiner.until_synced(&stream, RECORDS).await?;

    ensure!(
        joiner.export(&stream)? == truth,
        "the joiner has altered records"
    );
    let names = |line: &str| line.contains("broke the rules") && line.contains(&liar_id);
    joiner.until_log(|log| log.lines().any(names)).await?;
    let is_gone = |peers: &Value| !peers.to_string().contains(&liar_id);
    joiner.until_get("/v1/peers", is_gone).await?;
    Ok(())
}

/// Changes the last byte of every chunk on the disk of a node that does not
/// run: it offers the true addresses, and delivers altered bytes.
fn alter_chunks(node: &TestNode) -> Result<()> {
    let store = RocksStore::open(&node.dir().join("store"))?;
    let mut batch = Batch::new();
    store.scan(Table::Chunks, &[0], &[0xff; 13], &mut |key, value| {
        let mut altered = value.to_vec();
        if let Some(last) = altered.last_mut() {
            *last ^= 1;
        }
        batch.put(Table::Chunks, key, altered);
        ControlFlow::Continue(())
    })?;
    ensure!(!batch.is_empty(), "there are no chunks to alter");
    store.commit(batch, Durability::Synced)?;
    Ok(())
}
