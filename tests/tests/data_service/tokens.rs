//! Tokens for programs: made and ended beside a node that runs.

use anyhow::{Context, Result, ensure};
use headwater_tests::{PATIENCE, TestNode};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

/// Asks with a token, or with none.
async fn ask(
    node: &TestNode,
    method: Method,
    path: &str,
    token: Option<&str>,
) -> Result<(u16, String)> {
    let mut request = Client::new().request(method.clone(), node.url(path)?);
    if method == Method::POST {
        request = request.json(&json!({"value": 1}));
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer: Response = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn make(node: &TestNode, args: &[&str]) -> Result<String> {
    let made = node.json(&[&["token", "new"], args].concat())?;
    Ok(made["token"].as_str().context("no token")?.to_owned())
}

#[tokio::test]
async fn a_read_only_token_reads_a_guarded_node_until_it_is_revoked_and_never_writes() -> Result<()>
{
    let node = TestNode::start_configured("[api]\nread_needs_token = true", &[]).await?;
    // The commands show the node's own token.
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 3)?;
    let path = format!("/v1/streams/{stream}/observations");
    let reads = make(&node, &["grafana", "--read-only"])?;
    let writes = make(&node, &["engine"])?;
    let own = node.token()?;
    let get = async |path: &str, token: Option<&str>| ask(&node, Method::GET, path, token).await;

    for open in ["/health", "/"] {
        ensure!(get(open, None).await?.0 == 200, "{open}");
    }
    for guarded in [
        path.as_str(),
        "/v1/node",
        "/v1/streams",
        "/openapi.json",
        "/docs",
    ] {
        ensure!(get(guarded, None).await?.0 == 401, "{guarded}");
        ensure!(get(guarded, Some("wrong")).await?.0 == 401, "{guarded}");
        for token in [&reads, &writes, &own] {
            let (status, text) = get(guarded, Some(token)).await?;
            ensure!(status == 200, "{guarded}: {status}: {text}");
        }
    }
    let description: Value = serde_json::from_str(&get("/openapi.json", Some(&reads)).await?.1)?;
    let security = description["security"].as_array().context("no security")?;
    ensure!(!security.contains(&json!({})), "{security:?}");

    let (status, problem) = ask(&node, Method::POST, &path, Some(&reads)).await?;
    ensure!(status == 403, "{status}: {problem}");
    ensure!(problem.contains("`grafana` is read-only"), "{problem}");
    let (status, _) = ask(
        &node,
        Method::DELETE,
        &format!("/v1/streams/{stream}"),
        Some(&reads),
    )
    .await?;
    ensure!(status == 403);
    ensure!(ask(&node, Method::POST, &path, Some(&writes)).await?.0 == 201);
    ensure!(node.show(&stream)?["size"] == 4);

    // The list has no secret, and an end counts at once.
    let listed = node.run(&["token", "list"])?;
    ensure!(listed.contains("grafana  read-only"), "{listed}");
    ensure!(listed.contains("engine  read-write") && !listed.contains(&reads));
    node.run(&["token", "revoke", "grafana"])?;
    ensure!(get("/v1/node", Some(&reads)).await?.0 == 401);
    ensure!(get("/v1/node", Some(&writes)).await?.0 == 200);
    let again = node.fails(&["token", "revoke", "grafana"])?;
    ensure!(again.contains("no token `grafana`"), "{again}");
    let taken = node.fails(&["token", "new", "engine"])?;
    ensure!(taken.contains("already"), "{taken}");
    Ok(())
}

#[tokio::test]
async fn the_dashboards_cookie_reads_a_guarded_node() -> Result<()> {
    let node = TestNode::start_configured("api.read_needs_token = true", &[]).await?;
    let link = node.json(&["dashboard", "--no-open"])?;
    let link = link["url"].as_str().context("no link")?;
    let browser = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let opened = browser.get(link).send().await?;
    let cookie = opened.headers().get("set-cookie").context("no cookie")?;
    let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
    let status = async |site: Option<&str>, cookie: &str| -> Result<u16> {
        let mut request = browser
            .get(node.url("/v1/streams")?)
            .header("cookie", cookie);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        Ok(request.send().await?.status().as_u16())
    };
    for site in [Some("same-origin"), Some("none"), None] {
        ensure!(status(site, cookie).await? == 200, "{site:?}");
        ensure!(status(site, "headwater-x=1").await? == 401, "{site:?}");
    }
    // A page of another port of this machine.
    ensure!(status(Some("same-site"), cookie).await? == 403);
    Ok(())
}

#[tokio::test]
async fn a_node_whose_api_others_reach_guards_reading_and_says_so() -> Result<()> {
    let node = TestNode::new()?;
    let (listen, api) = ("/ip4/127.0.0.1/tcp/0", "0.0.0.0:0");
    let mut running = node.spawn(&["run", "--json", "--listen", listen, "--api-listen", api])?;
    let stderr = running.stderr.take().context("no standard error")?;
    let mut log = BufReader::new(stderr).lines();
    loop {
        let line = timeout(PATIENCE, log.next_line()).await??;
        let line = line.context("the node has ended")?;
        if line.contains("reading needs a token, too") {
            break;
        }
    }
    let stdout = running.stdout.take().context("no standard output")?;
    let mut said = BufReader::new(stdout).lines();
    timeout(PATIENCE, said.next_line()).await??;
    ensure!(ask(&node, Method::GET, "/v1/node", None).await?.0 == 401);
    ensure!(ask(&node, Method::GET, "/health", None).await?.0 == 200);
    // The commands on its own folder show the token.
    node.run(&["status"])?;
    node.run(&["list"])?;
    Ok(())
}

#[tokio::test]
async fn programs_that_know_http_basic_alone_read_with_a_token_as_the_password() -> Result<()> {
    let node = TestNode::start_configured("[api]\nread_needs_token = true", &[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 3)?;
    let reads = make(&node, &["polars", "--read-only"])?;
    let path = format!("/v1/streams/{stream}/observations");
    let client = Client::new();
    let ask = async |method: Method, password: &str| -> Result<u16> {
        let request = client.request(method, node.url(&path)?);
        let request = request.basic_auth("anybody", Some(password));
        Ok(request
            .json(&json!({"value": 1}))
            .send()
            .await?
            .status()
            .as_u16())
    };
    ensure!(ask(Method::GET, &reads).await? == 200);
    ensure!(ask(Method::HEAD, &reads).await? == 200);
    ensure!(ask(Method::GET, "wrong").await? == 401);
    // Not even the node's own token lets anybody write so.
    ensure!(ask(Method::POST, &node.token()?).await? == 401);

    let challenges = async |accept: &str| -> Result<Vec<String>> {
        let answer = client.get(node.url(&path)?).header("accept", accept);
        let answer = answer.send().await?;
        ensure!(answer.status() == 401);
        let challenges = answer.headers().get_all("www-authenticate");
        let challenges = challenges
            .iter()
            .map(|value| Ok(value.to_str()?.to_owned()));
        challenges.collect()
    };
    let bearer = vec!["Bearer".to_owned()];
    ensure!(challenges("text/html,*/*;q=0.8").await? == bearer);
    let both = challenges("*/*").await?;
    ensure!(
        both.len() == 2 && both[1].starts_with("Basic realm="),
        "{both:?}"
    );

    // wget shows a password when it is asked for one.
    let file = super::path(&node, "fetched.csv")?;
    let (password, url) = (format!("--password={reads}"), node.url(&path)?);
    let url = format!("{url}?format=csv");
    let fetch = ["--user=anybody", &password, "-O", &file, &url];
    if let Some(fetched) = super::parts::wget(&fetch).await? {
        ensure!(fetched && std::fs::read_to_string(&file)? == node.export(&stream)?);
    }
    Ok(())
}
