//! Parquet in parts, and answers that a client has already.

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use reqwest::{Client, Response, StatusCode};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

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

/// The addresses of a stream and of a join of it, in each format.
fn files(node: &TestNode, stream: &str, other: &str) -> Result<Vec<String>> {
    let formats = ["csv", "ndjson", "json", "arrow", "feather", "parquet"];
    let of = |format: &str| {
        let stream_url = format!("/v1/streams/{stream}/observations?format={format}");
        let join_url = format!("/v1/join?streams={stream},{other}&format={format}");
        [stream_url, join_url]
    };
    let paths = formats.iter().flat_map(|format| of(format));
    paths.map(|path| node.url(&path)).collect()
}

#[tokio::test]
async fn the_parts_of_every_file_are_those_of_one_version_while_the_stream_grows() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let (stream, calm) = (node.create("numbers")?, node.create("calm")?);
    node.publish_numbers(&stream, 0, ROWS)?;
    node.publish_numbers(&calm, 0, 3)?;
    let files = files(&node, &stream, &calm)?;
    let (reader, other) = (client("reader")?, client("other")?);
    for (number, url) in (0..).zip(&files) {
        let whole = reqwest::get(url).await?.bytes().await?;
        let head = reader.head(url).send().await?;
        ensure!(head.status() == StatusCode::OK);
        ensure!(header(&head, "accept-ranges")? == "bytes");
        ensure!(header(&head, "content-length")? == whole.len().to_string());
        let tag = header(&head, "etag")?.to_owned();
        ensure!(tag.starts_with('"'), "a weak tag: {tag}");
        let middle = whole.len() / 2;
        let first = part(&reader, url, &format!("bytes=0-{}", middle - 1)).await?;
        ensure!(first.status() == StatusCode::PARTIAL_CONTENT, "{url}");
        let range = format!("bytes 0-{}/{}", middle - 1, whole.len());
        ensure!(header(&first, "content-range")? == range);
        let mut parts = first.bytes().await?.to_vec();

        node.publish_numbers(&stream, ROWS + number, 1)?;
        // Who asked for the length goes on with the same file …
        let rest = format!("bytes={middle}-{}", whole.len() - 1);
        let ended = part(&reader, url, &rest).await?;
        ensure!(header(&ended, "etag")? == tag);
        parts.extend(ended.bytes().await?);
        ensure!(parts == whole, "the parts do not fit together: {url}");
        // … also by its tag; whoever is new gets the whole of the new one.
        let named = other
            .get(url)
            .header("range", &rest)
            .header("if-range", &tag);
        let named = named.send().await?;
        ensure!(named.status() == StatusCode::PARTIAL_CONTENT);
        ensure!(named.bytes().await? == whole[middle..]);
        let new = part(&client("a new one")?, url, &rest).await?;
        ensure!(new.status() == StatusCode::OK, "{url}");
        ensure!(header(&new, "etag")? != tag && new.bytes().await? != whole);
        // A download that somebody goes on with is of a version that only he knows.
        for who in [&reader, &other] {
            let resumed = part(who, url, &format!("bytes={middle}-")).await?;
            ensure!(resumed.status() == StatusCode::OK, "{url}");
            let fresh = reqwest::get(url).await?.bytes().await?;
            ensure!(resumed.bytes().await? == fresh, "{url}");
        }
    }
    let left = std::fs::read_dir(node.dir())?.filter_map(Result::ok);
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    let is_named = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(".tmp");
    // What was written for the parts has no name.
    ensure!(!left.iter().any(is_named), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn two_readers_that_call_themselves_alike_get_parts_of_their_own_versions() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, ROWS)?;
    let url = node.url(&format!("/v1/streams/{stream}/observations?format=parquet"))?;
    let reader = client("Polars")?;
    let ask = async |token: &str, method: reqwest::Method, range: &str| {
        let request = reader.request(method, &url).bearer_auth(token);
        request.header("range", range).send().await
    };
    let tokens = [node.token()?, make(&node, "second")?];
    let mut lengths = Vec::new();
    for (token, from) in tokens.iter().zip([ROWS, ROWS + 1]) {
        let head = ask(token, reqwest::Method::HEAD, "bytes=0-0").await?;
        ensure!(head.status() == StatusCode::OK);
        lengths.push(header(&head, "content-length")?.to_owned());
        node.publish_numbers(&stream, from, 1)?;
    }
    ensure!(lengths[0] != lengths[1], "{lengths:?}");
    for _ in 0..2 {
        for (token, length) in tokens.iter().zip(&lengths) {
            let part = ask(token, reqwest::Method::GET, "bytes=4-9").await?;
            ensure!(part.status() == StatusCode::PARTIAL_CONTENT);
            ensure!(header(&part, "content-range")? == format!("bytes 4-9/{length}"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_readers_that_cannot_be_told_apart_get_no_parts_of_each_others_versions() -> Result<()>
{
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, ROWS)?;
    let url = node.url(&format!("/v1/streams/{stream}/observations?format=parquet"))?;
    // A pool of connections each.
    let (first, second) = (client("Polars")?, client("Polars")?);
    first.head(&url).send().await?;
    let begun = part(&first, &url, "bytes=0-999").await?;
    ensure!(begun.status() == StatusCode::PARTIAL_CONTENT);
    let tag = header(&begun, "etag")?.to_owned();
    begun.bytes().await?;
    node.publish_numbers(&stream, ROWS, 1)?;
    // It begins anew by itself, and that is no second one.
    let length = first.head(&url).send().await?;
    ensure!(header(&length, "etag")? != tag);
    let anew = part(&first, &url, "bytes=0-999").await?;
    ensure!(anew.status() == StatusCode::PARTIAL_CONTENT);
    anew.bytes().await?;
    node.publish_numbers(&stream, ROWS + 1, 1)?;
    second.head(&url).send().await?;
    for reader in [&first, &second] {
        for range in ["bytes=1000-1999", "bytes=-8"] {
            let whole = part(reader, &url, range).await?;
            ensure!(whole.status() == StatusCode::OK, "{range}");
        }
    }
    // Who has ended reads no more, as soon as the node has heard of it.
    drop(second);
    ask_once(&url, "pandas").await?;
    node.publish_numbers(&stream, ROWS + 2, 1)?;
    let fourth = client("pandas")?;
    let head = fourth.head(&url).send().await?;
    ensure!(head.status() == StatusCode::OK);
    let part = part(&fourth, &url, "bytes=0-99").await?;
    ensure!(part.status() == StatusCode::PARTIAL_CONTENT);
    Ok(())
}

/// Asks for the head of an answer, and ends; the node knows that then, because it
/// has closed the connection, too.
async fn ask_once(url: &str, name: &str) -> Result<()> {
    let url: reqwest::Url = url.parse()?;
    let host = url.authority();
    let (path, query) = (url.path(), url.query().unwrap_or_default());
    let mut socket = TcpStream::connect(host).await?;
    let head =
        format!("HEAD {path}?{query} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {name}\r\n\r\n");
    socket.write_all(head.as_bytes()).await?;
    let mut answer = BufReader::new(&mut socket).lines();
    let first = answer.next_line().await?.context("no answer")?;
    ensure!(first.contains("200"), "{first}");
    while answer
        .next_line()
        .await?
        .is_some_and(|line| !line.is_empty())
    {}
    answer.get_mut().get_mut().shutdown().await?;
    ensure!(answer.next_line().await?.is_none(), "there is more");
    Ok(())
}

fn make(node: &TestNode, name: &str) -> Result<String> {
    let made = node.json(&["token", "new", name])?;
    Ok(made["token"].as_str().context("no token")?.to_owned())
}

#[tokio::test]
async fn a_file_is_read_from_its_end_and_what_is_gone_is_said() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, ROWS)?;
    let url = node.url(&format!("/v1/streams/{stream}/observations?format=parquet"))?;
    let reader = client("reader")?;
    // Its last bytes say how many more are needed, of the same version.
    let end = part(&reader, &url, "bytes=-8").await?;
    let tag = header(&end, "etag")?.to_owned();
    ensure!(end.bytes().await?.ends_with(b"PAR1"));
    node.publish_numbers(&stream, ROWS, 1)?;
    let more = part(&reader, &url, "bytes=-500").await?;
    ensure!(header(&more, "etag")? == tag);
    // Who begins at the end again begins anew.
    let again = part(&reader, &url, "bytes=-8").await?;
    let now = header(&again, "etag")?.to_owned();
    ensure!(now != tag);
    let length = header(&again, "content-range")?.rsplit('/').next();
    let length: u64 = length.context("no length")?.parse()?;

    let beyond = part(&reader, &url, &format!("bytes={length}-{length}")).await?;
    ensure!(beyond.status() == StatusCode::RANGE_NOT_SATISFIABLE);
    ensure!(header(&beyond, "content-range")? == format!("bytes */{length}"));
    let gone = reader.get(&url).header("if-match", "\"1-none-parquet\"");
    ensure!(gone.send().await?.status() == StatusCode::PRECONDITION_FAILED);
    for other in [
        "\"none\"",
        &format!("W/{now}"),
        "Sat, 29 Oct 1994 19:43:31 GMT",
    ] {
        let whole = reader.get(&url).header("range", "bytes=0-3");
        let whole = whole.header("if-range", other).send().await?;
        ensure!(whole.status() == StatusCode::OK, "{other}");
        ensure!(whole.bytes().await?.len() as u64 == length, "{other}");
    }
    Ok(())
}

/// Runs GNU wget, which goes on with whatever it is sent; whether it says that
/// all is well. Nothing where it is not installed.
pub(super) async fn wget(args: &[&str]) -> Result<Option<bool>> {
    let mut command = tokio::process::Command::new("wget");
    command.args(["--quiet", "--tries=1"]).args(args);
    let said = command.kill_on_drop(true).status().await;
    match said {
        Ok(status) => Ok(Some(status.success())),
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: wget cannot be run: {error}");
            Ok(None)
        }
        Err(error) => Err(error).context("wget cannot be run"),
    }
}

#[tokio::test]
async fn wget_goes_on_with_lines_that_have_grown_and_has_what_a_fresh_file_is() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, ROWS)?;
    let mut next = ROWS;
    for format in ["csv", "ndjson", "safe-csv"] {
        let path = format!("/v1/streams/{stream}/observations?format={format}&from=7");
        let file = super::path(&node, &format!("grown.{format}"))?;
        let Some(fetched) = wget(&["-O", &file, &node.url(&path)?]).await? else {
            return Ok(());
        };
        ensure!(fetched);
        let first = std::fs::read(&file)?;
        ensure!(wget(&["-c", "-O", &file, &node.url(&path)?]).await? == Some(true));
        ensure!(
            std::fs::read(&file)? == first,
            "{format}: there was no more"
        );
        for (more, kept) in [(1, None), (20_000, Some(1_000)), (3, Some(1))] {
            node.publish_numbers(&stream, next, more)?;
            next += more;
            let before = std::fs::read(&file)?;
            if let Some(kept) = kept {
                // It was cut off; and the node has forgotten what it has told.
                std::fs::write(&file, &before[..kept])?;
                node.stop().await?;
                node.launch().await?;
            }
            let url = node.url(&path)?;
            ensure!(
                wget(&["-c", "-O", &file, &url]).await? == Some(true),
                "{format}"
            );
            let fresh = reqwest::get(&url).await?.bytes().await?;
            let grown = std::fs::read(&file)?;
            ensure!(grown == fresh, "{format}: it is not what a fresh one is");
            ensure!(grown.len() > before.len() && grown.starts_with(&before));
        }
    }
    Ok(())
}

#[tokio::test]
async fn wget_leaves_a_file_alone_that_may_be_of_another_version() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, ROWS)?;
    // Of this one the beginning goes, and another one comes that is as long.
    let window = [
        "stream",
        "create",
        "w",
        "--retain-records",
        "32",
        "--chunk-level",
        "4",
    ];
    node.run(&window)?;
    node.publish_numbers("w", 1_000, 64)?;
    let parquet = format!("/v1/streams/{stream}/observations?format=parquet");
    let last = format!("/v1/streams/{stream}/observations?format=csv&order=desc&limit=3");
    let window = "/v1/streams/w/observations?format=csv".to_owned();
    for (path, name, next) in [
        (parquet, "numbers", ROWS),
        (last, "numbers", ROWS + 32),
        (window, "w", 1_064),
    ] {
        let url = |node: &TestNode| node.url(&path);
        let file = super::path(&node, "grown")?;
        let Some(fetched) = wget(&["-O", &file, &url(&node)?]).await? else {
            return Ok(());
        };
        ensure!(fetched);
        let whole = std::fs::read(&file)?;
        ensure!(wget(&["-c", "-O", &file, &url(&node)?]).await? == Some(true));
        ensure!(
            std::fs::read(&file)? == whole,
            "{path}: it is not what it was"
        );
        // Whose part it is nobody knows; longer than the file of now, or as long, may be
        // another one; and what was told before a restart is forgotten.
        let longer = [&whole[..], b"more"].concat();
        let cut = whole[..whole.len() / 2].to_vec();
        for there in [cut, longer, whole.clone()] {
            std::fs::write(&file, &there)?;
            if there == whole {
                node.publish_numbers(name, next, 32)?;
            }
            let went_on = wget(&["-c", "-O", &file, &url(&node)?]).await?;
            ensure!(went_on == Some(false), "{path}: {} bytes", there.len());
            ensure!(
                std::fs::read(&file)? == there,
                "{path}: something is put behind it"
            );
        }
        ensure!(wget(&["-O", &file, &url(&node)?]).await? == Some(true));
        let fresh = reqwest::get(url(&node)?).await?.bytes().await?;
        ensure!(std::fs::read(&file)? == fresh);
        node.stop().await?;
        node.launch().await?;
        ensure!(
            wget(&["-c", "-O", &file, &url(&node)?]).await? == Some(false),
            "{path}"
        );
        ensure!(std::fs::read(&file)? == fresh);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again_before_the_stream_grows() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 100)?;
    let client = client("reader")?;
    for format in ["json", "csv", "ndjson", "arrow", "feather", "parquet"] {
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
    // They are other bytes than a part of the file would have.
    ensure!(header(&ask("observations?format=csv").await?, "etag")?.starts_with("W/"));
    for path in [
        "live?from=0",
        "observations?format=parquet",
        "observations?format=arrow",
        "observations?format=feather",
    ] {
        let answer = ask(path).await?;
        ensure!(answer.headers().get("content-encoding").is_none(), "{path}");
    }
    Ok(())
}
