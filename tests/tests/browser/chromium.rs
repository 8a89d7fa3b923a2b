//! Debian's Chromium without a window, spoken to by the DevTools protocol: JSON
//! over a WebSocket, one answer a call.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt, StreamExt};
use headwater_tests::PATIENCE;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// What the browser is called, on one system or another.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
];

/// How it says where its protocol listens.
const LISTENS: &str = "DevTools listening on ";

/// A browser with one page. It ends, with all of its processes, when it is
/// dropped.
pub(super) struct Chromium {
    process: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    called: u64,
    /// The page that is spoken to.
    session: Option<String>,
    _profile: TempDir,
}

impl Chromium {
    /// Starts it with an empty page. `None`, and a word on standard error, when
    /// there is none.
    ///
    /// # Errors
    /// It does not start, or (when the variable `CI` is set) is not installed.
    pub(super) async fn start() -> Result<Option<Self>> {
        let Some(program) = installed()? else {
            return Ok(None);
        };
        let profile = tempfile::Builder::new()
            .prefix("headwater-browser")
            .tempdir()?;
        let mut process = Command::new(program)
            .args(["--headless=new", "--remote-debugging-port=0"])
            // It opens nothing but the node's own pages, and may run as root.
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-extensions", "--disable-sync"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args(["--disable-domain-reliability", "--no-pings"])
            // Whatever it wants to tell its makers: no name leads anywhere.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg("--window-size=1280,2000")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start Chromium")?;
        let listens = listens(&mut process);
        let address = timeout(PATIENCE, listens).await;
        let address = address.context("Chromium does not say where it listens")??;
        let (socket, _) = connect_async(&address).await?;
        let mut browser = Self {
            process,
            socket,
            called: 0,
            session: None,
            _profile: profile,
        };
        let page = json!({"url": "about:blank"});
        let page = browser.call("Target.createTarget", page).await?;
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach).await?;
        let session = attached["sessionId"].as_str().context("no session")?;
        browser.session = Some(session.to_owned());
        Ok(Some(browser))
    }

    /// Opens an address, and waits until the page is there.
    pub(super) async fn open(&mut self, url: &str) -> Result<()> {
        self.call("Page.enable", json!({})).await?;
        let opened = self.call("Page.navigate", json!({"url": url})).await?;
        if let Some(error) = opened["errorText"].as_str() {
            bail!("{url} cannot be opened: {error}");
        }
        let loaded = "new Promise(done => document.readyState === 'complete' ? done() \
                      : addEventListener('load', () => done()))";
        self.evaluate(loaded).await?;
        Ok(())
    }

    /// The value of an expression on the page; of a promise, what becomes of it.
    pub(super) async fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let evaluate = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
        });
        let mut answer = self.call("Runtime.evaluate", evaluate).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("the page threw {thrown}: {expression}");
        }
        Ok(answer["result"]["value"].take())
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.called += 1;
        let mut call = json!({"id": self.called, "method": method, "params": params});
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.socket
            .send(Message::Text(call.to_string().into()))
            .await?;
        let answer = timeout(PATIENCE, self.answer()).await;
        answer.with_context(|| format!("no answer to {call}"))?
    }

    async fn answer(&mut self) -> Result<Value> {
        loop {
            let message = self.socket.next().await.context("Chromium has ended")??;
            let Message::Text(text) = message else {
                continue;
            };
            let mut said: Value = serde_json::from_str(&text)?;
            // What it tells without being asked has no id.
            if said["id"] == self.called {
                ensure!(said.get("error").is_none(), "{said}");
                return Ok(said["result"].take());
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            // It has a group of its own, with all that it has started.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// The address of its protocol, from what it says on standard error. The rest of
/// that is read and dropped, so that it never waits for a reader.
async fn listens(process: &mut Child) -> Result<String> {
    let stderr = process.stderr.take().context("no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(address) = line.strip_prefix(LISTENS) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(address.to_owned());
        }
        said.push_str(&line);
        said.push('\n');
    }
    bail!("Chromium has ended: {said}")
}

fn installed() -> Result<Option<PathBuf>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|program| program.is_file());
    if found.is_some() {
        return Ok(found);
    }
    let missing = "no browser is installed; run scripts/setup --dev as root, or install the \
                   Debian package chromium";
    ensure!(std::env::var_os("CI").is_none(), "{missing}");
    eprintln!("SKIPPED: {missing}");
    Ok(None)
}
