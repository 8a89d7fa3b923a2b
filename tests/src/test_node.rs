//! A node in a process of its own.

mod api;
mod commands;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{KeptPort, LOOK_AGAIN, Namespace, PATIENCE, Signal, binary, send_signal};

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
    /// Keeps that port while the node does not run.
    kept: Option<KeptPort>,
    /// Where the API listens, if that is not to be found in the folder.
    api: Option<SocketAddr>,
    /// How many files it may have open, soft and hard, if not as many as the test.
    open_files: Option<(u64, u64)>,
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
            kept: None,
            api: None,
            open_files: None,
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

    /// Sets the soft and the hard limit of open files for the next launch.
    pub fn set_open_files(&mut self, soft: u64, hard: u64) {
        self.open_files = Some((soft, hard));
    }

    /// What the node is started with.
    fn program(&self) -> Command {
        let Some((soft, hard)) = self.open_files else {
            return Command::new(binary());
        };
        let mut shell = Command::new("sh");
        let limits = format!("ulimit -Sn {soft}; ulimit -Hn {hard}; exec \"$0\" \"$@\"");
        shell.arg("-c").arg(limits).arg(binary());
        shell
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
        self.kept = Some(self.there(|| KeptPort::of(self.port))??);
        Ok(())
    }

    /// From now on the node is launched on a port that nobody else gets.
    ///
    /// # Errors
    /// There is none.
    pub fn take_port(&mut self) -> Result<u16> {
        let kept = self.there(KeptPort::any)??;
        self.port = kept.address()?.port();
        self.kept = Some(kept);
        Ok(self.port)
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
        let kept = KeptPort::any()?;
        let api = kept.address()?;
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
        let mut command = self.program();
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

    /// Where its log lies.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
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
