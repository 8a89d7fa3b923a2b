//! The other processes of a figure: this same program, spoken to over stdin and
//! stdout in lines of JSON, one answer a call. They end when their stdin does.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{clients, gossip, node, raw_stream};

/// How often the memory of a process is looked at.
const MEMORY_EVERY: Duration = Duration::from_millis(20);

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// A Headwater node.
    Node,
    /// One end of a raw libp2p stream.
    RawStream,
    /// Gossipsub and nothing else.
    Gossip,
    /// Clients of a node's HTTP API.
    Clients,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Node => "node",
            Role::RawStream => "raw-stream",
            Role::Gossip => "gossip",
            Role::Clients => "clients",
        }
    }

    /// Plays the role until stdin ends.
    pub(crate) fn act(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
        let result = runtime.block_on(async {
            match self {
                Role::Node => node::act().await,
                Role::RawStream => raw_stream::act().await,
                Role::Gossip => gossip::act().await,
                Role::Clients => clients::act().await,
            }
        });
        // The thread that reads stdin may still wait for a line.
        runtime.shutdown_background();
        result
    }
}

/// An answer as it travels.
#[derive(Serialize, Deserialize)]
struct Answered {
    cpu_s: f64,
    result: Result<serde_json::Value, String>,
}

/// A process of ours. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    role: Role,
    child: Child,
    calls: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    /// Processor time that it had used when it answered last, in seconds.
    pub(crate) cpu_s: f64,
}

impl Process {
    /// Starts one.
    pub(crate) fn start(role: Role) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        Self::spawn(Command::new(program), role)
    }

    /// Starts one that has the processors when nobody else wants them.
    pub(crate) fn start_last(role: Role) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(program);
        Self::spawn(command, role)
    }

    /// Starts one in a network namespace.
    pub(crate) fn start_in(namespace: &str, role: Role) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        Self::spawn(command, role)
    }

    fn spawn(mut command: Command, role: Role) -> anyhow::Result<Self> {
        let mut child = command
            .args(["--child", role.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start another process")?;
        let calls = child.stdin.take();
        let answers = child.stdout.take().context("the process has no stdout")?;
        Ok(Self {
            role,
            child,
            calls,
            answers: BufReader::new(answers).lines(),
            cpu_s: 0.0,
        })
    }

    /// Calls, and waits for the answer.
    pub(crate) fn ask<A: DeserializeOwned>(&mut self, call: &impl Serialize) -> anyhow::Result<A> {
        self.call(call)?;
        self.answer()
    }

    /// Calls; the answer is to be taken later.
    pub(crate) fn call(&mut self, call: &impl Serialize) -> anyhow::Result<()> {
        let line = serde_json::to_string(call)?;
        let calls = self.calls.as_mut().context("the process has no stdin")?;
        writeln!(calls, "{line}").with_context(|| format!("the {:?} has ended", self.role))
    }

    /// Waits for the answer to a call.
    pub(crate) fn answer<A: DeserializeOwned>(&mut self) -> anyhow::Result<A> {
        let line = self.answers.next();
        let line = line.ok_or_else(|| anyhow!("the {:?} has ended", self.role))??;
        let answered: Answered = serde_json::from_str(&line)
            .with_context(|| format!("the {:?} said `{line}`", self.role))?;
        self.cpu_s = answered.cpu_s;
        let answer = answered.result.map_err(|why| anyhow!(why))?;
        Ok(serde_json::from_value(answer)?)
    }

    /// Its anonymous memory now, in bytes.
    pub(crate) fn memory_bytes(&self) -> anyhow::Result<f64> {
        let bytes = anonymous_bytes(self.child.id());
        Ok(bytes.context("the memory of a process cannot be read")? as f64)
    }

    /// Closes its stdin, and waits until it has ended.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        drop(self.calls.take());
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the {:?} ended with {status}", self.role);
        Ok(())
    }

    /// Ends it as kill -9 does.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The most anonymous memory that a process had, in bytes.
#[derive(Debug)]
pub(crate) struct PeakMemory {
    stop: Arc<AtomicBool>,
    watcher: JoinHandle<u64>,
}

impl PeakMemory {
    /// Watches a process from now on.
    pub(crate) fn watch(process: &Process) -> Self {
        Self::watch_id(process.child.id())
    }

    /// Watches a process that is none of the roles.
    pub(crate) fn watch_id(id: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let watcher = thread::spawn(move || {
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(anonymous_bytes(id).unwrap_or(0));
                thread::sleep(MEMORY_EVERY);
            }
            peak
        });
        Self { stop, watcher }
    }

    /// The peak so far, in MB.
    pub(crate) fn end_mb(self) -> anyhow::Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        let peak = self.watcher.join();
        let peak = peak.map_err(|_| anyhow!("the thread that watches memory has panicked"))?;
        Ok(peak as f64 / 1e6)
    }
}

fn anonymous_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = (status.lines()).find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// What another process asks of this one.
#[derive(Debug)]
pub(crate) struct Calls {
    lines: mpsc::UnboundedReceiver<String>,
}

impl Calls {
    /// Reads them from stdin.
    pub(crate) fn from_stdin() -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// The next one; `None` when the caller has gone.
    pub(crate) async fn next<C: DeserializeOwned>(&mut self) -> anyhow::Result<Option<C>> {
        let Some(line) = self.lines.recv().await else {
            return Ok(None);
        };
        let call = serde_json::from_str(&line);
        Ok(Some(call.with_context(|| format!("cannot read `{line}`"))?))
    }
}

/// Answers a call.
pub(crate) fn answer<A: Serialize>(result: anyhow::Result<A>) -> anyhow::Result<()> {
    let result = match result {
        Ok(answer) => Ok(serde_json::to_value(answer)?),
        Err(error) => Err(format!("{error:#}")),
    };
    let cpu_s = cpu_s()?;
    let line = serde_json::to_string(&Answered { cpu_s, result })?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// Processor time that this process has used, in seconds.
fn cpu_s() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Nanoseconds on the one clock that all processes of a machine share.
pub(crate) fn monotonic_ns() -> anyhow::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec())?)
}
