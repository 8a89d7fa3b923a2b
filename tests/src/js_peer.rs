//! A peer of another implementation: `tests/js-peer`, over js-libp2p.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::PATIENCE;

/// What it calls itself; identify tells it to others.
pub const AGENT: &str = "headwater-js-peer/1";

/// A process that takes commands and tells events, one JSON value a line.
#[derive(Debug)]
pub struct JsPeer {
    _process: Child,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Everything that it told without being asked, the oldest first.
    events: Vec<Value>,
    asked: u64,
    id: String,
    address: String,
}

impl JsPeer {
    /// Starts one. `None`, and a word on standard error, when `scripts/setup`
    /// could not install what it runs on.
    ///
    /// # Errors
    /// It does not start, or (when the variable `CI` is set) is not installed.
    pub async fn start() -> Result<Option<Self>> {
        Self::start_with(json!({})).await
    }

    /// As [`JsPeer::start`], with more options; `peer.mjs` says which.
    ///
    /// # Errors
    /// As those of [`JsPeer::start`].
    pub async fn start_with(mut options: Value) -> Result<Option<Self>> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tests.join("js-peer");
        let Some(node) = installed(&folder)? else {
            return Ok(None);
        };
        options["schemas"] = json!(tests.parent().context("no root")?.join("proto"));
        options["agent"] = json!(AGENT);
        let mut process = Command::new(node)
            .arg(folder.join("peer.mjs"))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start Node.js")?;
        let stdout = process.stdout.take().context("no standard output")?;
        let mut peer = Self {
            commands: process.stdin.take().context("no standard input")?,
            lines: BufReader::new(stdout).lines(),
            _process: process,
            events: Vec::new(),
            asked: 0,
            id: String::new(),
            address: String::new(),
        };
        let listening = peer.until(|event| event["event"] == "listening").await?;
        peer.id = listening["peer"].as_str().context("no peer id")?.to_owned();
        let address = listening["addresses"][0].as_str();
        peer.address = address.context("no address")?.to_owned();
        Ok(Some(peer))
    }

    /// Its peer id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A multiaddr at which it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Everything that it told without being asked, the oldest first.
    #[must_use]
    pub fn events(&self) -> &[Value] {
        &self.events
    }

    async fn next_line(&mut self) -> Result<Value> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.with_context(|| format!("nothing more comes: {:?}", self.events))?;
        let line = line?.context("the JavaScript peer has ended")?;
        serde_json::from_str(&line).with_context(|| format!("the JavaScript peer said {line}"))
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// It fails.
    pub async fn ask(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.asked += 1;
        let mut line = arguments;
        line["id"] = json!(self.asked);
        line["command"] = json!(command);
        let line = format!("{line}\n");
        self.commands.write_all(line.as_bytes()).await?;
        loop {
            let told = self.next_line().await?;
            if told["answer"] != self.asked {
                self.events.push(told);
            } else if let Some(error) = told["error"].as_str() {
                bail!("{command}: {error}");
            } else {
                return Ok(told);
            }
        }
    }

    /// Waits for an event; one that was told before counts.
    ///
    /// # Errors
    /// It does not come within the patience of a test.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        if let Some(event) = self.events.iter().find(|&event| wanted(event)) {
            return Ok(event.clone());
        }
        let next = async {
            loop {
                let told = self.next_line().await?;
                self.events.push(told.clone());
                if wanted(&told) {
                    return Ok(told);
                }
            }
        };
        match timeout(PATIENCE, next).await {
            Ok(found) => found,
            Err(_) => bail!("what is waited for does not come: {:?}", self.events),
        }
    }

    /// The events of this kind that were told so far.
    pub fn told<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        (self.events.iter()).filter(move |event| event["event"] == kind)
    }
}

/// Runs a script of `tests/js-peer` to its end, and gives what it printed; `None` as
/// [`JsPeer::start`].
///
/// # Errors
/// It fails, or (when the variable `CI` is set) what it runs on is not installed.
pub async fn run(script: &str, mut options: Value) -> Result<Option<String>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tests.join("js-peer");
    let Some(node) = installed(&folder)? else {
        return Ok(None);
    };
    options["schemas"] = json!(tests.parent().context("no root")?.join("proto"));
    let output = Command::new(node)
        .arg(folder.join(script))
        .arg(options.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output).await.context("it hangs")??;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script} failed: {errors}");
    Ok(Some(String::from_utf8(output.stdout)?))
}

/// The Node.js that stands beside the packages.
fn installed(folder: &Path) -> Result<Option<PathBuf>> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let node = folder.join(format!("node_modules/node-linux-{arch}/bin/node"));
    if node.is_file() {
        return Ok(Some(node));
    }
    let missing = "the js-libp2p peer is not installed; run scripts/setup --dev";
    ensure!(std::env::var_os("CI").is_none(), "{missing}");
    #[allow(clippy::print_stderr, reason = "whoever runs the tests must know")]
    {
        eprintln!("SKIPPED: {missing}");
    }
    Ok(None)
}
