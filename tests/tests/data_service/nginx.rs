//! A node behind nginx, as docs/operating.md has it: with the version of HTTP
//! that nginx speaks to what is behind it unless it is told otherwise.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use headwater_tests::{KeptPort, PATIENCE, TestNode};
use reqwest::{Client, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::create;

/// More than the node, nginx and the kernel keep of an answer on its way.
const LARGE: usize = 1_000_000;

/// nginx in front of a node; it ends when it is dropped.
struct Nginx {
    _process: Child,
    _folder: tempfile::TempDir,
    _kept: KeptPort,
    port: u16,
}

impl Nginx {
    /// Starts it before a node. Nothing, and a word on standard error, where it
    /// is not installed.
    async fn before(node: &TestNode) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let kept = KeptPort::any()?;
        let port = kept.address()?.port();
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configuration(node, folder.path(), port)?)?;
        // Debian keeps it where only root looks.
        let paths = std::env::var("PATH").unwrap_or_default();
        let process = Command::new("nginx")
            .env("PATH", format!("{paths}:/usr/sbin:/usr/local/sbin"))
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let process = match process {
            Ok(process) => process,
            Err(error) if std::env::var_os("CI").is_none() => {
                eprintln!("skipped: nginx cannot be run ({error}); run scripts/setup --dev");
                return Ok(None);
            }
            Err(error) => return Err(error).context("nginx cannot be run"),
        };
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, listens)
            .await
            .context("nginx does not listen")?;
        Ok(Some(Self {
            _process: process,
            _folder: folder,
            _kept: kept,
            port,
        }))
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// The part of the documentation, in what a test needs around it.
fn configuration(node: &TestNode, folder: &std::path::Path, port: u16) -> Result<String> {
    let documented = include_str!("../../../docs/operating.md");
    let documented = documented.split("```nginx\n").nth(1).context("no nginx")?;
    let documented = documented.split("```").next().unwrap_or_default();
    let api = node.url("")?;
    let server = documented
        .replace("http://127.0.0.1:8600", &api)
        .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port};"));
    let server: Vec<_> = server
        .lines()
        .filter(|line| !line.contains("ssl_"))
        .collect();
    let server = server.join("\n");
    ensure!(
        server.contains(&api) && server.contains(&port.to_string()),
        "{server}"
    );
    let folder = folder.display();
    Ok(format!(
        "daemon off; master_process off; pid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;\n\
         uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;\n{server}\n}}\n"
    ))
}

#[tokio::test]
async fn files_their_parts_and_live_events_come_through_nginx() -> Result<()> {
    let node = TestNode::start_configured("api_hosts = [\"node.example.org\"]", &[]).await?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, 20_000)?;
    let Some(nginx) = Nginx::before(&node).await? else {
        return Ok(());
    };
    let client = Client::new();
    let path = format!("/v1/streams/{stream}/observations");
    for format in ["csv", "parquet"] {
        let url = nginx.url(&format!("{path}?format={format}"));
        let whole = client.get(&url).send().await?.bytes().await?;
        let own = reqwest::get(node.url(&format!("{path}?format={format}"))?).await?;
        ensure!(whole == own.bytes().await?, "{format}");
        let head = client.head(&url).send().await?;
        ensure!(
            head.headers()["content-length"] == whole.len().to_string(),
            "{format}"
        );
        let part = client
            .get(&url)
            .header("range", "bytes=10-99")
            .send()
            .await?;
        ensure!(part.status() == StatusCode::PARTIAL_CONTENT, "{format}");
        ensure!(part.bytes().await? == whole[10..100], "{format}");
    }
    let live = client.get(nginx.url(&format!("/v1/streams/{stream}/live")));
    let mut live = live.send().await?.bytes_stream();
    node.append(&stream, "{\"value\":7.25}\n").await?;
    let event = async {
        let mut said = String::new();
        while !said.contains("\"value\":7.25") {
            let some = live.next().await.context("the events end")??;
            said.push_str(&String::from_utf8_lossy(&some));
        }
        Ok::<_, anyhow::Error>(())
    };
    timeout(PATIENCE, event)
        .await
        .context("events are kept back")??;
    Ok(())
}

/// A stream of which an answer is larger than everything on the way keeps of it.
async fn large(node: &TestNode) -> Result<String> {
    let stream = create(node, "texts", "text")?;
    let line = format!("{{\"value\":\"{}\"}}\n", "x".repeat(4_000));
    for _ in 0..40 {
        node.append(&stream, line.repeat(1_000)).await?;
    }
    Ok(stream)
}

#[tokio::test]
async fn an_answer_that_is_cut_off_does_not_look_whole_to_an_old_client() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = large(&node).await?;
    let address = node.url("")?.replacen("http://", "", 1);
    let ask = format!(
        "GET /v1/streams/{stream}/observations?format=csv HTTP/1.0\r\nHost: localhost\r\n\r\n"
    );
    let mut whole = TcpStream::connect(&address).await?;
    whole.write_all(ask.as_bytes()).await?;
    let mut bytes = Vec::new();
    whole.read_to_end(&mut bytes).await?;
    ensure!(bytes.len() > 40 * LARGE, "{} bytes", bytes.len());

    let mut cut = TcpStream::connect(&address).await?;
    cut.write_all(ask.as_bytes()).await?;
    let mut bytes = vec![0; LARGE];
    cut.read_exact(&mut bytes).await?;
    // No process is left to say that something is missing.
    node.crash()?;
    let rest = timeout(PATIENCE, cut.read_to_end(&mut bytes)).await?;
    ensure!(rest.is_err(), "{} bytes look like all", bytes.len());
    Ok(())
}

#[tokio::test]
async fn nginx_passes_on_that_an_answer_was_cut_off() -> Result<()> {
    let mut node = TestNode::start(&[]).await?;
    let stream = large(&node).await?;
    let Some(nginx) = Nginx::before(&node).await? else {
        return Ok(());
    };
    let url = nginx.url(&format!("/v1/streams/{stream}/observations?format=csv"));
    let mut answer = reqwest::get(&url).await?;
    ensure!(answer.status() == StatusCode::OK);
    ensure!(answer.chunk().await?.is_some());
    node.crash()?;
    let end = async {
        loop {
            match answer.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    };
    ensure!(
        timeout(PATIENCE, end).await?,
        "nginx ends the answer as if it were whole"
    );
    Ok(())
}
