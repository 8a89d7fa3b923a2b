//! A Rust program that talks to a node, and has of it the light crate alone.

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use headwater_client::data_dir::DataDir;
use headwater_client::failure::Failure;
use headwater_client::keys::Token;
use headwater_client::types::NewStream;
use headwater_client::{
    Absence, ApiError, Client, Lost, Observation, Patience, Publishing, Query, is_gone,
};
use headwater_tests::TestNode;

async fn indexes(client: &Client, query: Query) -> Result<Vec<u64>> {
    let records = client.records("wind", &query).await?;
    records.map_ok(|record| record.index).try_collect().await
}

#[tokio::test]
async fn a_program_creates_a_stream_publishes_and_reads_by_the_url_of_a_node() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let reader = Client::to_url(&node.url("")?)?;
    ensure!(reader.streams().await?.is_empty());
    let stream = NewStream {
        name: "wind".to_owned(),
        ..NewStream::default()
    };
    let refused = reader.create(&stream, false).await.unwrap_err();
    let status = refused.downcast_ref().map(ApiError::status);
    ensure!(status == Some(401), "{refused:#}");

    let writer = Client::to_url(&node.url("")?)?.with_token(Token::new(node.token()?));
    let id = writer.create(&stream, false).await?.id;
    let lines = "{\"value\":1}\n{\"value\":2.50}\n{\"value\":3}\n";
    let published = writer.publish("wind", lines.into(), Publishing::default());
    ensure!(published.await?.to == 3);

    ensure!(reader.stream("wind").await?.id == id);
    let from = Query {
        from: Some("1".to_owned()),
        ..Query::default()
    };
    ensure!(indexes(&reader, from).await? == [1, 2]);
    let nowhere = reader.proof("wind", 3).await.unwrap_err();
    ensure!(is_gone(&nowhere), "{nowhere:#}");
    let proof = serde_json::to_string(&reader.proof("wind", 1).await?)?;
    let proved = headwater_client::proof::verify(&proof, Some(id.parse()?))?;
    ensure!(proved.head.size == 3);
    Ok(())
}

#[tokio::test]
async fn a_program_finds_a_node_by_its_folder_and_anew_when_it_was_away() -> Result<()> {
    let mut node = TestNode::new()?;
    let data_dir = DataDir::new(node.dir());
    let absent = Client::to_data_dir(&data_dir).await.unwrap_err();
    ensure!(
        Failure::marked(&absent) == Some(Failure::ForNow),
        "{absent:#}"
    );
    node.launch().await?;
    node.create("wind")?;
    node.publish_numbers("wind", 0, 2)?;

    let client = Client::to_data_dir(&data_dir).await?;
    let mut live = client.live("wind", "0", None).await?;
    for index in 0..2 {
        let event = live
            .try_next()
            .await?
            .context("the live stream has ended")?;
        ensure!(Observation::parse(event.data.as_bytes())?.index == index);
    }
    node.stop().await?;
    let lost = loop {
        match live.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => break Lost::Ended("wind".to_owned()).into(),
            Err(error) => break error,
        }
    };
    ensure!(Lost::is_cause_of(&lost), "{lost:#}");
    // On whatever port.
    node.launch().await?;
    let patience = Patience::new(None, &|_| {});
    patience.wait(&client, &mut Absence::begin(), lost).await?;
    ensure!(indexes(&client, Query::default()).await? == [0, 1]);
    Ok(())
}

#[tokio::test]
async fn a_folder_without_a_node_is_named_as_such() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let error = Client::to_data_dir(&DataDir::new(folder.path())).await;
    let error = error.unwrap_err();
    ensure!(Failure::marked(&error) == Some(Failure::Usage), "{error:#}");
    ensure!(
        error.to_string().contains("there is no node in"),
        "{error:#}"
    );
    Ok(())
}
