//! `dashboard`: a browser's way to a node that runs.

use anyhow::{Context, Result, ensure};
use headwater_tests::{FOR_NOW, TestNode};
use reqwest::{Client, Response, StatusCode};

use super::keys;

/// The link that the command prints, and its path.
fn link(node: &TestNode) -> Result<(String, String)> {
    let printed = node.json(&["dashboard"])?;
    ensure!(keys(&printed)? == ["expires_in_s", "url"]);
    let url = printed["url"].as_str().context("no link")?.to_owned();
    let base = node.url("")?;
    let path = url.strip_prefix(&base).context("another address")?;
    Ok((url.clone(), path.to_owned()))
}

fn cookie(opened: &Response) -> Result<String> {
    let cookie = opened.headers().get("set-cookie").context("no cookie")?;
    let cookie = cookie.to_str()?;
    ensure!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_link_opens_the_page_once_and_a_node_that_starts_again_knows_nobody() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let browser = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let page = async |node: &TestNode, cookie: &str| -> Result<String> {
        let page = browser.get(node.url("/")?).header("cookie", cookie);
        Ok(page.send().await?.error_for_status()?.text().await?)
    };
    let (url, _) = link(&node)?;
    ensure!(node.run(&["dashboard", "--no-open"])?.contains("/open/"));
    let opened = browser.get(&url).send().await?;
    ensure!(opened.status() == StatusCode::SEE_OTHER, "{opened:?}");
    ensure!(opened.headers()["location"] == "/");
    let cookie = cookie(&opened)?;
    ensure!(page(&node, &cookie).await?.contains("EventSource"));
    let closed = page(&node, "").await?;
    ensure!(closed.contains("headwater dashboard") && !closed.contains("EventSource"));
    ensure!(browser.get(&url).send().await?.status() == StatusCode::FORBIDDEN);

    // What the page may do, and a page of another program may not.
    let own = node.url("")?;
    for (origin, status) in [
        (own.as_str(), StatusCode::CREATED),
        ("http://127.0.0.1:1", StatusCode::FORBIDDEN),
    ] {
        let create = browser
            .post(node.url("/v1/streams")?)
            .body(r#"{"name":"x"}"#);
        let create = create.header("cookie", &cookie).header("origin", origin);
        let answer = create.send().await?;
        ensure!(answer.status() == status, "{origin}: {answer:?}");
    }

    let (_, unused) = link(&node)?;
    node.stop().await?;
    let refused = node.fails_with(FOR_NOW, &["dashboard"])?;
    ensure!(refused.contains("needs a running node"), "{refused}");
    node.launch().await?;
    let opened = browser.get(node.url(&unused)?).send().await?;
    ensure!(opened.status() == StatusCode::FORBIDDEN, "{opened:?}");
    ensure!(!page(&node, &cookie).await?.contains("EventSource"));
    Ok(())
}
