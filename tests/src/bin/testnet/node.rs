//! A node of the network. It has a home folder: `data` (its data folder), `mark`
//! (its mark), `log` (its stdout and stderr) and `commands.log` (what commands to it
//! wrote to stderr). Its API has any port, so that any number of networks run side
//! by side; the addresses are read from the data folder.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::{Namespace, binary};
use serde_json::Value;

/// How long a node may take until it listens.
const STARTS: Duration = Duration::from_secs(60);

/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Seconds that a command for the table may take, which is shown although a node
/// hangs.
const ANSWERS_S: &str = "5";

/// Lines of a log that are shown.
const LAST_LINES: usize = 5;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) number: usize,
    home: PathBuf,
    /// The machine on which it and the commands to it run, if not this one.
    namespace: Option<Namespace>,
}

impl Node {
    pub(crate) fn new(number: usize, home: PathBuf, namespace: Option<Namespace>) -> Self {
        Self {
            number,
            home,
            namespace,
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Starts it, with more arguments for `headwater run`, and waits until it
    /// listens. It outlives this program.
    pub(crate) fn start(&self, args: &[String]) -> Result<()> {
        let (home, data) = (&self.home, self.data());
        fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?;
        for addresses in self.address_files() {
            // A node that was killed leaves its old ones behind.
            let _ = fs::remove_file(addresses);
        }
        let log_path = home.join("log");
        let log = append_to(&log_path)?;
        let mut command = Command::new(binary());
        command
            .env("HEADWATER_MARK_DIR", home.join("mark"))
            .arg("--data-dir")
            .arg(&data)
            .args(["run", "--api-listen", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for this program.
            .process_group(0);
        let mut process = self.there(|| command.spawn())?.with_context(no_binary)?;
        self.ready(&mut process, &log_path)
    }

    fn ready(&self, process: &mut Child, log: &Path) -> Result<()> {
        let (number, until) = (self.number, Instant::now() + STARTS);
        let has_text = |file: &PathBuf| fs::metadata(file).is_ok_and(|file| file.len() > 0);
        while !self.address_files().iter().all(has_text) {
            if process.try_wait()?.is_some() {
                let last = last_lines(log);
                bail!("node {number} ended while it started:\n{last}");
            }
            let log = log.display();
            ensure!(
                Instant::now() < until,
                "node {number} does not listen after {STARTS:?}; see {log}"
            );
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// What it writes when it listens.
    fn address_files(&self) -> [PathBuf; 2] {
        ["api.addr", "node.addrs"].map(|name| self.data().join(name))
    }

    /// The address of its API.
    pub(crate) fn api(&self) -> Result<String> {
        let text = fs::read_to_string(self.data().join("api.addr"))?;
        Ok(text.trim().to_owned())
    }

    /// The multiaddr under which the others reach it.
    pub(crate) fn address(&self) -> Result<String> {
        let number = self.number;
        let file = self.data().join("node.addrs");
        let text = fs::read_to_string(file).unwrap_or_default();
        let first = text.lines().next();
        let first =
            first.with_context(|| format!("node {number} has no address; it does not run"))?;
        Ok(first.to_owned())
    }

    /// Runs a command on it that must succeed; what it prints.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String> {
        let log = self.home.join("commands.log");
        let command = self.command(Command::new(binary()), args)?;
        self.output(command)?.with_context(|| {
            let (line, number, last) = (args.join(" "), self.number, last_lines(&log));
            format!("`headwater {line}` failed on {number}:\n{last}")
        })
    }

    /// Runs a command on it that answers in JSON, a value a line; nothing if it fails
    /// or takes long.
    pub(crate) fn ask(&self, args: &[&str]) -> Option<Vec<Value>> {
        let mut command = Command::new("timeout");
        command.arg(ANSWERS_S).arg(binary());
        let command = self.command(command, &[args, &["--json"]].concat()).ok()?;
        let said = self.output(command).ok()??;
        said.lines()
            .map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    fn command(&self, mut command: Command, args: &[&str]) -> Result<Command> {
        command
            .env("HEADWATER_MARK_DIR", self.home.join("mark"))
            .arg("--data-dir")
            .arg(self.data())
            .args(args)
            .stdin(Stdio::null())
            .stderr(append_to(&self.home.join("commands.log"))?);
        Ok(command)
    }

    /// What a command prints that succeeds.
    fn output(&self, mut command: Command) -> Result<Option<String>> {
        let output = self.there(|| command.output())?.with_context(no_binary)?;
        let printed = String::from_utf8(output.stdout)?;
        Ok(output.status.success().then_some(printed))
    }

    /// Does something on its machine.
    fn there<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        match &self.namespace {
            Some(namespace) => namespace.enter(work),
            None => Ok(work()),
        }
    }
}

fn no_binary() -> String {
    format!("cannot run {}", binary().display())
}

fn append_to(path: &Path) -> Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
