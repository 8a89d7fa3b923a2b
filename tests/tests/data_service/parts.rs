//! Parquet in parts, and answers that a client has already.

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use reqwest::{Client, Response, StatusCode};

const ROWS: u64 = 20_000;

/// A client that calls itself by this name.
fn client(name: &str) -> Result<Client> {
    Ok(Client::builder().user_agent(name).build()?)
}

fn header<'a>(answer: &'a Response, name: &str) -> Result<&'a str> {
    let value = answer.headers().get(name);
    let value = value.with_context(|| format!("no {name} in {:?}", answer.headers()))?;
    Ok(value.to_str()?)
}

async fn part(client: &Client, url: &str, range: &str) -> Result<Response> {
    Ok(client.get(url).header("range", range).send().await?)
}

#[tokio::test]
async fn the_parts_of_a_parquet_answer_are_those_of_one_file_while_the_stream_grows() -> Result<()>
{
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, ROWS)?;
    let url = node.url(&format!("/v1/streams/{stream}/observations?format=parquet"))?;
    let whole = reqwest::get(&url).await?.bytes().await?;
    let (reader, other) = (client("reader")?, client("other")?);

    let head = reader.head(&url).send().await?;
    ensure!(head.status() == StatusCode::OK);
    ensure!(header(&head, "accept-ranges")? == "bytes");
    ensure!(header(&head, "content-length")? == whole.len().to_string());
    let tag = header(&head, "etag")?.to_owned();
    let middle = whole.len() / 2;
    let first = part(&reader, &url, &format!("bytes=0-{}", middle - 1)).await?;
    ensure!(first.status() == StatusCode::PARTIAL_CONTENT);
    ensure!(header(&first, "content-range")? == format!("bytes 0-{}/{}", middle - 1, whole.len()));
    let mut parts = first.bytes().await?.to_vec();

    node.publish_numbers(&stream, ROWS, 1)?;
    // Who asked for the length before goes on with the same file …
    let rest = part(&reader, &url, &format!("bytes={middle}-")).await?;
    ensure!(header(&rest, "etag")? == tag);
    parts.extend(rest.bytes().await?);
    ensure!(parts == whole, "the parts do not fit together");
    // … also by its tag, and whoever is new or asks anew gets the new one.
    let named = (other
        .get(&url)
        .header("range", "bytes=0-3")
        .header("if-range", &tag))
    .send();
    ensure!(named.await?.status() == StatusCode::PARTIAL_CONTENT);
    let fresh = part(&other, &url, "bytes=-4").await?;
    ensure!(header(&fresh, "etag")? != tag);
    ensure!(fresh.bytes().await? == "PAR1");
    let again = reader.head(&url).send().await?;
    ensure!(header(&again, "etag")? != tag);
    let now = reqwest::get(&url).await?.bytes().await?;
    ensure!(header(&again, "content-length")? == now.len().to_string());

    let beyond = part(&reader, &url, &format!("bytes={}-", now.len())).await?;
    ensure!(beyond.status() == StatusCode::RANGE_NOT_SATISFIABLE);
    ensure!(header(&beyond, "content-range")? == format!("bytes */{}", now.len()));
    let gone = (other.get(&url).header("if-match", "\"1-none-parquet\"")).send();
    ensure!(gone.await?.status() == StatusCode::PRECONDITION_FAILED);
    let gone = (other
        .get(&url)
        .header("range", "bytes=0-3")
        .header("if-range", "\"none\""))
    .send();
    let gone = gone.await?;
    ensure!(gone.status() == StatusCode::OK && gone.bytes().await? == now);
    // What was written for the parts has no name.
    let left = std::fs::read_dir(node.dir())?.filter_map(Result::ok);
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    ensure!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with(".tmp")),
        "{left:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again_before_the_stream_grows() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 100)?;
    let client = client("reader")?;
    for format in ["json", "csv", "ndjson", "arrow", "parquet"] {
        let url = format!("/v1/streams/{stream}/observations?format={format}&limit=5");
        let url = node.url(&url)?;
        let first = client.get(&url).send().await?;
        let tag = header(&first, "etag")?.to_owned();
        let ask = || client.get(&url).header("if-none-match", &tag).send();
        let second = ask().await?;
        ensure!(second.status() == StatusCode::NOT_MODIFIED, "{format}");
        ensure!(header(&second, "etag")? == tag);
        ensure!(second.bytes().await?.is_empty());
        node.append(&stream, "{\"value\":1}\n").await?;
        let third = ask().await?;
        ensure!(third.status() == StatusCode::OK, "{format}");
    }
    Ok(())
}

#[tokio::test]
async fn texts_are_compressed_for_those_who_take_it_and_live_events_are_not() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 1_000)?;
    let client = client("reader")?;
    let ask = async |path: &str| -> Result<Response> {
        let url = node.url(&format!("/v1/streams/{stream}/{path}"))?;
        Ok(client
            .get(url)
            .header("accept-encoding", "gzip")
            .send()
            .await?)
    };
    let csv = ask("observations?format=csv").await?;
    ensure!(header(&csv, "content-encoding")? == "gzip");
    let compressed = csv.bytes().await?;
    let plain = node.export(&stream)?;
    ensure!(
        compressed.len() < plain.len() / 2,
        "{} of {} bytes",
        compressed.len(),
        plain.len()
    );
    for path in ["live?from=0", "observations?format=parquet"] {
        let answer = ask(path).await?;
        ensure!(answer.headers().get("content-encoding").is_none(), "{path}");
    }
    Ok(())
}
