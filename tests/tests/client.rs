//! A Rust program that talks to a node, and has of it the light crate alone.

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use headwater_client::data_dir::DataDir;
use headwater_client::keys::Token;
use headwater_client::types::NewStream;
use headwater_client::{
    Absence, Client, Error, Lost, Observation, Patience, Publishing, Query, UrlError,
};
use headwater_tests::TestNode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn indexes(client: &Client, query: Query) -> Result<Vec<u64>> {
    let records = client.records("wind", &query).await?;
    Ok(records.map_ok(|record| record.index).try_collect().await?)
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
    ensure!(refused.status() == Some(401), "{refused}");

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
    ensure!(nowhere.is_gone(), "{nowhere}");
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
    ensure!(matches!(absent, Error::NotRunning { .. }), "{absent}");
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
            Ok(None) => break Error::from(Lost::Ended("wind".to_owned())),
            Err(error) => break error,
        }
    };
    ensure!(lost.is_lost(), "{lost}");
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
    ensure!(matches!(error, Error::NoNode { .. }), "{error}");
    ensure!(error.to_string().contains("there is no node in"), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_node_is_told_from_a_node_that_is_away() -> Result<()> {
    let not_a_url = Client::to_url("https://127.0.0.1:8600").unwrap_err();
    ensure!(
        matches!(not_a_url, Error::Url(UrlError::Https(_))),
        "{not_a_url}"
    );
    // The port of somebody who listens no more.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let client = Client::to_url(&address.to_string())?;
    let other = async {
        let (mut caller, _) = listener.accept().await?;
        let _ = caller.read(&mut [0; 1024]).await?;
        caller
            .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello")
            .await
    };
    let (asked, other) = tokio::join!(client.streams(), other);
    other?;
    let not_a_node = asked.unwrap_err();
    ensure!(
        matches!(not_a_node, Error::NotUnderstood { .. }),
        "{not_a_node}"
    );
    drop(listener);
    let away = client.streams().await.unwrap_err();
    ensure!(
        matches!(away, Error::Lost(Lost::Absent { .. })) && away.is_lost(),
        "{away}"
    );
    Ok(())
}
