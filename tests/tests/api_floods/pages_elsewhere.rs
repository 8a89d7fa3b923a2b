//! What pages of others may have a browser ask of the node: each route that is
//! read, by the kinds of requests that browsers and programs send.

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use reqwest::{Client, StatusCode};
use serde_json::Value;

/// A browser, as it says itself.
const BROWSER: (&str, &str) = (
    "user-agent",
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
);

/// Pages and what watches over a node: no answer says more than whether it is
/// there.
const FOR_PAGES: [&str; 5] = ["/", "/openapi.json", "/docs", "/health", "/ready"];

/// Where peers would be asked.
fn asks_peers(path: &str) -> bool {
    path.starts_with("/v1/discover") || path.starts_with("/v1/chunks/")
}

/// Every address that is read, from the node's own description of its routes.
async fn routes(node: &TestNode, stream: &str) -> Result<Vec<String>> {
    let description = node.get("/openapi.json").await?;
    let paths = description["paths"].as_object().context("no paths")?;
    let read = paths.iter().filter(|(_, path)| path.get("get").is_some());
    let mut routes: Vec<String> = read.map(|(path, _)| path.clone()).collect();
    // One that is not good is refused to everybody, and who has one may come from
    // anywhere.
    routes.retain(|route| route != "/open/{link}");
    for page in FOR_PAGES {
        if !routes.iter().any(|route| route == page) {
            routes.push(page.to_owned());
        }
    }
    ensure!(routes.len() > 20, "{routes:?}");
    let filled = routes.iter().map(|route| {
        let path = (route.replace("{id}", stream))
            .replace("{stream}", stream)
            .replace("{index}", "0")
            .replace("{name}", "old")
            .replace("{address}", &"ab".repeat(32));
        let query = match route.as_str() {
            "/v1/join" => format!("?streams={stream}"),
            "/v1/streams/{id}/consistency" => "?first=1".to_owned(),
            _ => String::new(),
        };
        path + &query
    });
    Ok(filled.collect())
}

async fn status(node: &TestNode, path: &str, headers: &[(&str, &str)]) -> Result<StatusCode> {
    let redirects = reqwest::redirect::Policy::none();
    let client = Client::builder().redirect(redirects).build()?;
    let mut request = client.get(node.url(path)?);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // Live streams have no end: the head is enough.
    Ok(request.send().await?.status())
}

#[tokio::test]
async fn no_page_elsewhere_has_anything_read_or_asked_of_peers() -> Result<()> {
    let node = TestNode::start(&[]).await?;
    let stream = node.create("own")?;
    node.append(&stream, "{\"value\": 1}").await?;
    let api = node.url("")?;
    let api = api.strip_prefix("http://").context("no address")?;
    let (own_page, own_origin) = (format!("http://{api}/"), format!("http://{api}"));
    let (own_page, own_origin) = (own_page.as_str(), own_origin.as_str());
    let refused = StatusCode::FORBIDDEN;
    for path in routes(&node, &stream).await? {
        let is_page = !path.starts_with("/v1/");
        let is = async |headers: &[(&str, &str)], wanted: bool| -> Result<()> {
            let status = status(&node, &path, headers).await?;
            ensure!(
                (status != refused) == wanted,
                "GET {path} with {headers:?}: {status}"
            );
            Ok(())
        };
        // Programs, and what somebody types.
        is(&[], true).await?;
        is(&[("user-agent", "curl/8.5.0")], true).await?;
        is(&[BROWSER, ("sec-fetch-site", "none")], true).await?;
        // The dashboard and the page of the routes.
        let own = [
            BROWSER,
            ("sec-fetch-site", "same-origin"),
            ("referer", own_page),
        ];
        is(&own, true).await?;
        is(&[("origin", own_origin)], true).await?;
        // Pictures, scripts, frames and fetches of pages elsewhere, also of another
        // port of this machine.
        for site in ["cross-site", "same-site"] {
            let site = ("sec-fetch-site", site);
            for mode in ["no-cors", "cors", "navigate"] {
                let mode = ("sec-fetch-mode", mode);
                is(&[BROWSER, site, mode, ("sec-fetch-dest", "image")], is_page).await?;
                let frame = [BROWSER, site, mode, ("sec-fetch-dest", "iframe")];
                is(&frame, is_page).await?;
            }
            let followed = [
                BROWSER,
                site,
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ];
            is(&followed, !asks_peers(&path)).await?;
        }
        is(&[("origin", "http://example.org")], false).await?;
        is(&[("origin", "null")], false).await?;
        // A browser that does not say where it is, or only what it was shown before.
        is(&[BROWSER], !asks_peers(&path)).await?;
        let referred = [BROWSER, ("referer", "http://example.org/")];
        is(&referred, !asks_peers(&path)).await?;
        // A name that was made to point here.
        is(&[("host", "example.org")], false).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_elsewhere_has_peers_asked_for_an_observation() -> Result<()> {
    let publisher = TestNode::start(&[]).await?;
    let stream = publisher.create("far")?;
    let lines: String = (0..200)
        .map(|index| format!("{{\"time\": \"2024-01-01T00:00:00Z\", \"value\": {index}}}\n"))
        .collect();
    publisher.append(&stream, lines).await?;
    let node = TestNode::start(&[]).await?;
    node.run(&["follow", &publisher.invite(&stream)?])?;
    node.until(&stream, |shown| shown["size"] == 200).await?;
    node.until_synced(&stream, 200).await?;
    // It is held here: a link shows it.
    let path = format!("/v1/streams/{stream}/observations?from=7&limit=1");
    let followed = [
        BROWSER,
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    ensure!(status(&node, &path, &followed).await? == 200);
    let searched = status(&node, "/v1/discover?q=far", &followed).await?;
    ensure!(searched == StatusCode::FORBIDDEN, "{searched}");
    let found: Value = node.get("/v1/discover?q=far").await?;
    ensure!(found["asked"] == 1, "{found}");
    Ok(())
}
