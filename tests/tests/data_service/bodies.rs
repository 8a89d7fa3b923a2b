//! Bodies at the edges of what is JSON: taken as what they are, or refused for
//! the true reason.

use anyhow::{Result, ensure};
use headwater_tests::TestNode;
use reqwest::{Client, Response};

use super::create;

async fn post(
    node: &TestNode,
    stream: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Response> {
    let url = node.url(&format!("/v1/streams/{stream}/observations"))?;
    let request = Client::new().post(url).bearer_auth(node.token()?);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    Ok(request.body(body).send().await?)
}

#[tokio::test]
async fn compressed_and_foreign_bodies_are_refused_by_name() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "numbers", "number")?;
    // An empty gzip file.
    let gzip = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let json = ("content-type", "application/json");
    for (headers, body, word) in [
        (&[json, ("content-encoding", "gzip")][..], &gzip[..], "gzip"),
        (
            &[json, ("content-encoding", "zstd")],
            b"{\"value\":1}",
            "zstd",
        ),
        (&[json], &gzip, "gzip"),
        (&[("content-type", "text/csv")], b"time,value\n", "text/csv"),
        (
            &[("content-type", "application/vnd.apache.parquet")],
            b"PAR1",
            "headwater publish --file",
        ),
    ] {
        let answer = post(&node, &stream, headers, body.to_vec()).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == 415, "{headers:?}: {status}: {text}");
        ensure!(text.contains(word), "{headers:?}: {text}");
    }
    for headers in [
        &[
            ("content-type", "application/json"),
            ("content-encoding", "identity"),
        ][..],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[],
    ] {
        let answer = post(&node, &stream, headers, b"{\"value\":1}".to_vec()).await?;
        ensure!(answer.status() == 201, "{headers:?}: {}", answer.status());
    }
    Ok(())
}

#[tokio::test]
async fn a_byte_order_mark_at_the_beginning_is_passed_over() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "numbers", "number")?;
    let line = "\u{feff}{\"value\":1}\n";
    for kind in ["application/x-ndjson", "application/json"] {
        let headers = [("content-type", kind)];
        let answer = post(&node, &stream, &headers, line.as_bytes().to_vec()).await?;
        ensure!(answer.status() == 201, "{kind}: {}", answer.text().await?);
    }
    for args in [&["publish", &stream, "--ndjson"][..], &["publish", &stream]] {
        let input = if args.len() == 3 { line } else { "\u{feff}1\n" };
        let output = node.command_with_input(args, input).await?;
        ensure!(output.status.success(), "{args:?}: {output:?}");
    }
    ensure!(node.get(&format!("/v1/streams/{stream}")).await?["size"] == 4);
    Ok(())
}

#[tokio::test]
async fn json_is_taken_as_deep_as_readers_can_read_and_with_each_key_once() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = create(&node, "deep", "json")?;
    let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    for (value, word) in [
        (nested(129), "more than 128"),
        (r#"{"a":1,"a":2}"#.to_owned(), "twice in one object"),
    ] {
        let body = format!("{{\"value\":{value}}}");
        let headers = [("content-type", "application/json")];
        let answer = post(&node, &stream, &headers, body.clone().into_bytes()).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == 400 && text.contains(word), "{status}: {text}");
        let publish = ["publish", &stream, "--ndjson"];
        let output = node.command_with_input(&publish, &body).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && said.contains(word), "{said}");
    }
    node.run(&["publish", &stream, &nested(128)])?;
    ensure!(node.export(&stream)?.contains(&nested(128)));
    Ok(())
}
