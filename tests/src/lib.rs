//! Real nodes for tests: processes of the `headwater` binary, each with its own
//! data folder, ports chosen by the system; and nodes inside the test's process.

mod in_process;
pub mod js_peer;
pub mod lab;
mod manifest;
mod namespace;
pub mod python;
mod slow_link;
pub mod small_disk;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

pub use in_process::InProcessNode;
pub use js_peer::JsPeer;
pub use manifest::numbers_manifest;
pub use namespace::Namespace;
pub use nix::sys::signal::Signal;
pub use slow_link::SlowLink;
pub use small_disk::SmallDisk;

/// Longest wait for anything that a test awaits: far more than it takes on a
/// busy machine, so that only what never comes fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Exit status of a command that did not bring about what was asked.
pub const FAILED: i32 = 1;

/// Exit status of wrong usage or configuration: trying again does not help.
pub const USAGE: i32 = 2;

/// Exit status of what failed for now: trying again may help.
pub const FOR_NOW: i32 = 3;

/// Pause between two looks at a state that cannot be awaited otherwise.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The binary under test: `HEADWATER_BIN`, or the one that was built beside
/// the test.
///
/// # Panics
/// There is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("HEADWATER_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    let beside = (test.ancestors())
        .map(|dir| dir.join("headwater"))
        .find(|path| path.is_file());
    beside.expect("headwater is not built; run scripts/test")
}

/// Sends a signal to a process that the test has started.
///
/// # Errors
/// It has ended.
pub fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
    Ok(())
}

/// A data folder, and the node that runs on it, if one does.
#[derive(Debug)]
pub struct TestNode {
    folder: TempDir,
    dir: PathBuf,
    env: Vec<(String, PathBuf)>,
    args: Vec<String>,
    /// Where to listen, if not on TCP.
    listen: Option<String>,
    /// TCP port to listen on; 0 takes any free one.
    port: u16,
    /// Where the API listens, if that is not to be found in the folder.
    api: Option<SocketAddr>,
    /// The machine on which it runs, if not this one.
    namespace: Option<Namespace>,
    process: Option<Child>,
}

impl TestNode {
    /// A folder that was initialised, and no node yet.
    ///
    /// # Errors
    /// `headwater init` fails.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("headwater-test")
            .tempdir()?;
        let node = Self {
            dir: folder.path().join("data"),
            folder,
            env: Vec::new(),
            args: Vec::new(),
            listen: None,
            port: 0,
            api: None,
            namespace: None,
            process: None,
        };
        node.run(&["init"])?;
        Ok(node)
    }

    /// A node that runs on another machine and listens there, with more
    /// arguments for `headwater run`.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_in(namespace: &Namespace, listen: &str, args: &[&str]) -> Result<Self> {
        let mut node = Self::new()?;
        node.namespace = Some(namespace.clone());
        node.listen = Some(listen.to_owned());
        node.args = args.iter().map(|&arg| arg.to_owned()).collect();
        node.launch().await?;
        Ok(node)
    }

    /// Does something on the machine on which the node runs.
    fn there<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        match &self.namespace {
            Some(namespace) => namespace.enter(work),
            None => Ok(work()),
        }
    }

    /// Asks the node's API from the machine on which it runs.
    async fn ask(&self, request: impl Future<Output = Result<Value>> + Send) -> Result<Value> {
        match &self.namespace {
            Some(namespace) => namespace.block_on(request),
            None => request.await,
        }
    }

    /// A node that runs, with more arguments for `headwater run`.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(args: &[&str]) -> Result<Self> {
        let mut node = Self::new()?;
        node.set_args(args);
        node.launch().await?;
        Ok(node)
    }

    /// Sets the further arguments of `headwater run` for the next launch.
    pub fn set_args(&mut self, args: &[&str]) {
        self.args = args.iter().map(|&arg| arg.to_owned()).collect();
    }

    /// As [`TestNode::start`], on another address than one of TCP.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_on(listen: &str, args: &[&str]) -> Result<Self> {
        let mut node = Self::new()?;
        node.listen = Some(listen.to_owned());
        node.args = args.iter().map(|&arg| arg.to_owned()).collect();
        node.launch().await?;
        Ok(node)
    }

    /// A node that runs, with more lines in its config.toml and more arguments
    /// for `headwater run`.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_configured(config: &str, args: &[&str]) -> Result<Self> {
        let mut node = Self::new()?;
        node.args = args.iter().map(|&arg| arg.to_owned()).collect();
        let path = node.dir().join("config.toml");
        let written = fs::read_to_string(&path)?;
        fs::write(path, format!("{written}\n{config}\n"))?;
        node.launch().await?;
        Ok(node)
    }

    /// The first address at which the running node listens, with its peer id.
    ///
    /// # Errors
    /// It does not run.
    pub fn address(&self) -> Result<String> {
        let addresses = fs::read_to_string(self.dir().join("node.addrs"))?;
        let first = addresses.lines().next().context("no address")?;
        Ok(first.to_owned())
    }

    /// Its peer id, from its address.
    pub fn peer_id(&self) -> Result<String> {
        let address = self.address()?;
        let (_, id) = address.rsplit_once('/').context("no peer id")?;
        Ok(id.to_owned())
    }

    /// Sets a variable of the environment of the node when it is launched.
    pub fn set_env(&mut self, name: &str, value: &Path) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Moves to another data folder, which is initialised.
    ///
    /// # Errors
    /// `headwater init` fails.
    pub fn use_dir(&mut self, dir: &Path) -> Result<()> {
        self.dir = dir.to_owned();
        self.run(&["init"])?;
        Ok(())
    }

    /// From now on the node is launched on the port that it listens on now.
    ///
    /// # Errors
    /// It does not run.
    pub fn keep_port(&mut self) -> Result<()> {
        let addresses = fs::read_to_string(self.dir.join("node.addrs"))?;
        let first = addresses.lines().next().unwrap_or_default();
        let port = first.split('/').nth(4).context("no port")?;
        self.port = port.parse()?;
        Ok(())
    }

    /// Starts the node on its folder, on this port.
    ///
    /// # Errors
    /// It does not start.
    pub async fn launch_on(&mut self, port: u16) -> Result<()> {
        self.port = port;
        self.launch().await
    }

    /// Starts the node on its folder, on new ports unless it keeps them.
    ///
    /// # Errors
    /// It does not start.
    pub async fn launch(&mut self) -> Result<()> {
        self.api = None;
        self.spawn_node("127.0.0.1:0")?;
        let started = Instant::now();
        let (api, addresses) = (self.dir.join("api.addr"), self.dir.join("node.addrs"));
        while !(api.is_file() && addresses.is_file()) {
            self.require_process(started)?;
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// As [`launch`](Self::launch), of a node that cannot write into its folder
    /// where its API listens.
    ///
    /// # Errors
    /// It does not start.
    pub async fn launch_without_addresses(&mut self) -> Result<()> {
        let api = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        self.api = Some(api);
        self.spawn_node(&api.to_string())?;
        let started = Instant::now();
        while reqwest::get(self.url("/v1/node")?).await.is_err() {
            self.require_process(started)?;
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    fn require_process(&mut self, started: Instant) -> Result<()> {
        let process = self.process.as_mut().context("the node does not run")?;
        if let Some(status) = process.try_wait()? {
            bail!("the node ended with {status}: {}", self.log());
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "the node does not start: {}",
            self.log()
        );
        Ok(())
    }

    fn spawn_node(&mut self, api: &str) -> Result<()> {
        let tcp = format!("/ip4/127.0.0.1/tcp/{}", self.port);
        let address = self.listen.clone().unwrap_or(tcp);
        let listen = ["--listen", &address, "--api-listen", api];
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let rust_log = std::env::var("HEADWATER_TEST_LOG");
        let mut command = Command::new(binary());
        command
            .arg("--data-dir")
            .arg(self.dir())
            .env("HEADWATER_MARK_DIR", self.mark_dir())
            .arg("run")
            .args(listen)
            .args(&self.args)
            .env("RUST_LOG", rust_log.as_deref().unwrap_or("headwater=debug"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.process = Some(self.there(|| command.spawn())??);
        Ok(())
    }

    /// The data folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the mark lies: what was signed, noted outside of the data folder.
    #[must_use]
    pub fn mark_dir(&self) -> PathBuf {
        self.folder.path().join("mark")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What the node wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until the log is as wanted; it then.
    ///
    /// # Errors
    /// It does not become so within the patience of a test.
    pub async fn until_log(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let started = Instant::now();
        loop {
            let log = self.log();
            if wanted(&log) {
                return Ok(log);
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "the log never became as wanted: {log}"
            );
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the node has logged this.
    ///
    /// # Errors
    /// It does not within the patience of a test.
    pub async fn until_logged(&self, text: &str) -> Result<String> {
        let log = self.until_log(|log| log.contains(text)).await;
        log.with_context(|| format!("`{text}` was not logged"))
    }

    /// The node's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Ends the process at once, as a crash would.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.crash()?;
        // What a killed node leaves behind; a new one writes its own.
        let _ = fs::remove_file(self.dir().join("api.addr"));
        let _ = fs::remove_file(self.dir().join("node.addrs"));
        Ok(())
    }

    /// As [`TestNode::kill`], with the addresses left behind in the folder.
    ///
    /// # Errors
    /// It does not run.
    pub fn crash(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the node does not run")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Ends the process by SIGTERM and checks that it ends well.
    ///
    /// # Errors
    /// It does not run, or does not end with success.
    pub async fn stop(&mut self) -> Result<()> {
        self.stop_by(Signal::SIGTERM).await
    }

    /// As [`TestNode::stop`], by another signal.
    ///
    /// # Errors
    /// It does not run, or does not end with success.
    pub async fn stop_by(&mut self, signal: Signal) -> Result<()> {
        let process = self.process.as_mut().context("the node does not run")?;
        send_signal(process.id(), signal)?;
        let status = self.ended().await?;
        ensure!(
            status.success(),
            "the node ended with {status}: {}",
            self.log()
        );
        Ok(())
    }

    /// Waits until the process has ended.
    async fn ended(&mut self) -> Result<ExitStatus> {
        let started = Instant::now();
        let process = self.process.as_mut().context("the node does not run")?;
        while started.elapsed() < PATIENCE {
            if let Some(status) = process.try_wait()? {
                self.process = None;
                return Ok(status);
            }
            sleep(LOOK_AGAIN).await;
        }
        bail!("the node does not end: {}", self.log())
    }

    /// Runs a command on this node's folder.
    ///
    /// # Errors
    /// The binary cannot be started.
    pub fn command(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary());
        command
            .arg("--data-dir")
            .arg(self.dir())
            .env("HEADWATER_MARK_DIR", self.mark_dir())
            .args(self.api.map(|api| format!("--api=http://{api}")))
            .args(args)
            .stdin(Stdio::null());
        Ok(self.there(|| command.output())??)
    }

    /// Runs a command that must succeed; its standard output.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "headwater {args:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a command that must fail; what it says on standard error.
    ///
    /// # Errors
    /// It succeeds, or ends with another status than 1.
    pub fn fails(&self, args: &[&str]) -> Result<String> {
        self.fails_with(FAILED, args)
    }

    /// Runs a command that must fail with this exit status; what it says on
    /// standard error.
    ///
    /// # Errors
    /// It ends otherwise.
    pub fn fails_with(&self, status: i32, args: &[&str]) -> Result<String> {
        let output = self.command(args)?;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(
            output.status.code() == Some(status),
            "headwater {args:?} ended with {} instead of {status}: {errors}",
            output.status
        );
        Ok(errors)
    }

    /// Starts a command on this node's folder, with pipes to it; it is killed
    /// when it is dropped.
    ///
    /// # Errors
    /// The binary cannot be started.
    pub fn spawn(&self, args: &[&str]) -> Result<tokio::process::Child> {
        let child = tokio::process::Command::new(binary())
            .arg("--data-dir")
            .arg(self.dir())
            .env("HEADWATER_MARK_DIR", self.mark_dir())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(child)
    }

    /// Runs a command with something on standard input.
    ///
    /// # Errors
    /// The binary cannot be started, or does not end.
    pub async fn command_with_input(&self, args: &[&str], input: &str) -> Result<Output> {
        let mut child = self.spawn(args)?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let write = async {
            // It may have ended before it has read everything.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let both = async { tokio::join!(write, child.wait_with_output()).1 };
        Ok(timeout(PATIENCE, both).await??)
    }

    /// Runs a command with `--json` that must succeed; its answer.
    ///
    /// # Errors
    /// It fails, or its answer is not JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.run(&[args, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("headwater {args:?} said {text}"))
    }

    /// `headwater show STREAM`.
    ///
    /// # Errors
    /// It fails.
    pub fn show(&self, stream: &str) -> Result<Value> {
        self.json(&["show", stream])
    }

    /// Creates a stream of numbers; its id.
    ///
    /// # Errors
    /// It fails.
    pub fn create(&self, name: &str) -> Result<String> {
        let created = self.json(&["stream", "create", name, "--value-type", "number"])?;
        let id = created["id"].as_str().context("no id")?;
        Ok(id.to_owned())
    }

    /// Publishes `count` numbers, one a second from 2020 on, starting with the
    /// `from`-th.
    ///
    /// # Errors
    /// It fails.
    pub fn publish_numbers(&self, stream: &str, from: u64, count: u64) -> Result<()> {
        let mut text = String::from("time,value\n");
        for i in from..from + count {
            use std::fmt::Write;
            writeln!(text, "{},{}.5", 1_577_836_800 + i, i)?;
        }
        let file = self.dir().join("numbers.csv");
        fs::write(&file, text)?;
        let file = file.to_str().context("path")?;
        self.run(&[
            "publish",
            stream,
            "--file",
            file,
            "--time-column",
            "time",
            "--value-column",
            "value",
            "--time-format",
            "unix",
        ])?;
        Ok(())
    }

    /// The stream's export as CSV.
    ///
    /// # Errors
    /// It fails.
    pub fn export(&self, stream: &str) -> Result<String> {
        self.run(&["export", stream, "--format", "csv"])
    }

    /// An invite to a stream, with this node's address.
    ///
    /// # Errors
    /// The node does not run, or does not know the stream.
    pub fn invite(&self, stream: &str) -> Result<String> {
        let shown = self.show(stream)?;
        Ok(shown["invite"].as_str().context("no invite")?.to_owned())
    }

    /// A URL of the node's API.
    ///
    /// # Errors
    /// The node does not run.
    pub fn url(&self, path: &str) -> Result<String> {
        if let Some(api) = self.api {
            return Ok(format!("http://{api}{path}"));
        }
        let address = fs::read_to_string(self.dir().join("api.addr"))?;
        Ok(format!("http://{}{path}", address.trim()))
    }

    /// The token of the node's API.
    ///
    /// # Errors
    /// There is none.
    pub fn token(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir().join("token"))?
            .trim()
            .to_owned())
    }

    /// `GET` of the node's API, which must succeed.
    ///
    /// # Errors
    /// It fails.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let url = self.url(path)?;
        let request = async move {
            let answer = reqwest::get(url).await?;
            let status = answer.status();
            let body = answer.text().await?;
            ensure!(status.is_success(), "GET {path}: {status}: {body}");
            Ok(serde_json::from_str(&body)?)
        };
        self.ask(request).await
    }

    /// Publishes observations, one JSON object a line, over the node's API.
    ///
    /// # Errors
    /// It is refused.
    pub async fn append(&self, stream: &str, ndjson: impl Into<String>) -> Result<Value> {
        let url = self.url(&format!("/v1/streams/{stream}/observations"))?;
        let (token, ndjson) = (self.token()?, ndjson.into());
        let request = async move {
            let request = reqwest::Client::new().post(url).bearer_auth(token);
            let request = request.header("content-type", "application/x-ndjson");
            let answer = request.body(ndjson).send().await?;
            let status = answer.status();
            let body = answer.text().await?;
            ensure!(status.is_success(), "POST to {stream}: {status}: {body}");
            Ok(serde_json::from_str(&body)?)
        };
        self.ask(request).await
    }

    /// Waits until the stream, as `GET /v1/streams/{id}` shows it, is as wanted.
    ///
    /// # Errors
    /// It does not become so within the patience of a test.
    pub async fn until(&self, stream: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.until_get(&format!("/v1/streams/{stream}"), wanted)
            .await
    }

    /// Waits until `GET` of this path of the node's API is as wanted.
    ///
    /// # Errors
    /// It does not become so within the patience of a test.
    pub async fn until_get(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            let last = match self.get(path).await {
                Ok(shown) if wanted(&shown) => return Ok(shown),
                Ok(shown) => shown.to_string(),
                Err(error) => format!("{error:#}"),
            };
            if started.elapsed() > PATIENCE {
                bail!("never became as wanted; last: {last}\nlog: {}", self.log());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the stream has `size` records and all are held, verified and
    /// fsynced.
    ///
    /// # Errors
    /// It does not within the patience of a test.
    pub async fn until_synced(&self, stream: &str, size: u64) -> Result<Value> {
        let wanted = |shown: &Value| shown["size"] == size && shown["synced"] == true;
        self.until(stream, wanted).await
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4_000);
            let tail = log.get(tail..).unwrap_or(&log);
            #[allow(clippy::print_stderr, reason = "what a failing test leaves behind")]
            {
                eprintln!("--- log of {}\n{tail}", self.dir().display());
            }
        }
    }
}
