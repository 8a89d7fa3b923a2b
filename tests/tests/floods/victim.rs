//! The node that is attacked, what it uses, and an honest reader of it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use headwater_tests::hostile::{ATTACKERS, Detour};
use tokio::time::{Instant, sleep};

/// Longest time that a record may take to the honest reader during a flood. The
/// machine may be busy with other tests; without a flood it takes milliseconds.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Processor time that the victim may take for each second once a flood is over.
const CALM: f64 = 0.25;

/// What a process uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory.
    pub(crate) rss_kb: u64,
    /// File descriptors.
    pub(crate) files: u64,
    /// Processor time; of a process since it was started.
    pub(crate) cpu: Duration,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|rss| rss.split_whitespace().next());
        Ok(Self {
            rss_kb: rss.context("no VmRSS")?.parse()?,
            files: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
            cpu: cpu(pid)?,
        })
    }

    /// Checks that other programs had something of a machine with two
    /// processors during a flood that was so long.
    pub(crate) fn ensure_less_than_two_processors(self, flood: Duration) -> Result<()> {
        let most = flood * 3 / 2;
        ensure!(self.cpu < most, "{:?} in {flood:?}", self.cpu);
        Ok(())
    }

    fn max(self, other: Self) -> Self {
        Self {
            rss_kb: self.rss_kb.max(other.rss_kb),
            files: self.files.max(other.files),
            cpu: self.cpu.max(other.cpu),
        }
    }
}

/// User and system time, which Linux counts in hundredths of a second.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may have spaces in it.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// Looks at a process all the time, because floods come in peaks.
pub(crate) struct Watch {
    ends: Arc<AtomicBool>,
    thread: thread::JoinHandle<Usage>,
}

impl Watch {
    pub(crate) fn of(pid: u32) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let thread = thread::spawn(move || {
            let mut peak = Usage::default();
            while !ended.load(Ordering::Relaxed) {
                peak = Usage::of(pid).map_or(peak, |usage| usage.max(peak));
                thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        Self { ends, thread }
    }

    /// The most it has used.
    pub(crate) fn peak(self) -> Usage {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// A node that publishes a stream and is attacked, and an honest reader.
pub(crate) struct Victim {
    pub(crate) node: TestNode,
    pub(crate) stream: String,
    pub(crate) before: Usage,
    reader: TestNode,
    detour: Detour,
    size: u64,
}

impl Victim {
    /// Both, in step. The honest addresses are exempt from the limits of an
    /// address, as those of an office could be; more lines of the config come
    /// with `config`.
    pub(crate) async fn start(config: &str) -> Result<Self> {
        let config = format!("ip_limits_exempt = ['127.0.0.1/32']\n{config}");
        let node = TestNode::start_configured(&config, &["--role", "bootstrap,peer"]).await?;
        let stream = node.create("honest")?;
        let reader = TestNode::start(&[]).await?;
        reader.run(&["follow", &node.invite(&stream)?])?;
        let mut victim = Self {
            before: Usage::default(),
            detour: Detour::to(&node.address()?).await?,
            node,
            stream,
            reader,
            size: 0,
        };
        victim.exchange(3).await?;
        victim.before = Usage::of(victim.pid()?)?;
        Ok(victim)
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.node.pid().context("the victim does not run")
    }

    pub(crate) fn address(&self) -> Result<String> {
        self.node.address()
    }

    /// The address that attackers dial.
    pub(crate) fn detour(&self) -> String {
        self.detour.address().to_owned()
    }

    /// Publishes records one by one, each after the reader has the one before;
    /// the longest time that one took.
    pub(crate) async fn exchange(&mut self, records: u64) -> Result<Duration> {
        let mut longest = Duration::ZERO;
        for _ in 0..records {
            let started = Instant::now();
            let record = format!("{{\"value\":{}}}", self.size);
            self.node.append(&self.stream, record).await?;
            self.size += 1;
            let size = self.size;
            let is_there = |shown: &serde_json::Value| shown["held_records"] == size;
            self.reader.until(&self.stream, is_there).await?;
            longest = longest.max(started.elapsed());
        }
        Ok(longest)
    }

    /// Checks that a flood that is over costs nothing any more.
    pub(crate) async fn calms_down(&mut self) -> Result<()> {
        let pid = self.pid()?;
        let mut share = f64::MAX;
        // What it has in its queues may take a moment.
        for _ in 0..5 {
            let (before, started) = (cpu(pid)?, Instant::now());
            sleep(Duration::from_secs(1)).await;
            let cpu = cpu(pid)?.saturating_sub(before);
            share = cpu.as_secs_f64() / started.elapsed().as_secs_f64();
            if share < CALM {
                break;
            }
        }
        println!("after it: {:.0} % of a processor", share * 100.0);
        ensure!(share < CALM, "it still takes {share} of a processor");
        self.exchange(3).await?;
        Ok(())
    }

    /// Connections that come from the attackers' address.
    pub(crate) async fn attackers(&self) -> Result<usize> {
        let peers = self.node.get("/v1/peers").await?;
        let peers = peers.as_array().context("no peers")?;
        let addresses = peers.iter().flat_map(|peer| peer["addresses"].as_array());
        let from = format!("/ip4/{ATTACKERS}/");
        let is_theirs = |address: &serde_json::Value| {
            (address.as_str()).is_some_and(|address| address.starts_with(&from))
        };
        Ok(addresses
            .flatten()
            .filter(|address| is_theirs(address))
            .count())
    }

    /// Goes on for a while during a flood, and after it checks and prints what
    /// the victim has used.
    pub(crate) async fn endures(
        &mut self,
        flood: &str,
        flooding: impl Future<Output = Result<()>>,
        max_growth_kb: u64,
        max_files: u64,
    ) -> Result<Usage> {
        let watch = Watch::of(self.pid()?);
        let (cpu_before, started) = (cpu(self.pid()?)?, Instant::now());
        let honest = async {
            let mut longest = Duration::ZERO;
            let mut records = 0;
            while started.elapsed() < Duration::from_secs(4) {
                longest = longest.max(self.exchange(5).await?);
                records += 5;
            }
            anyhow::Ok((longest, records))
        };
        let (flooded, honest) = tokio::join!(flooding, honest);
        let peak = watch.peak();
        let used = peak.cpu.saturating_sub(cpu_before);
        let cpu = 100.0 * used.as_secs_f64() / started.elapsed().as_secs_f64();
        flooded?;
        let (longest, records) = honest?;
        let grown = peak.rss_kb.saturating_sub(self.before.rss_kb);
        let files = peak.files.saturating_sub(self.before.files);
        println!(
            "{flood}: resident memory {} MB, {} MB more than before; {files} more file descriptors; \
             {cpu:.0} % of a processor; {} connections of the attackers; {records} honest records, the slowest in {} ms",
            peak.rss_kb / 1024,
            grown / 1024,
            self.attackers().await?,
            longest.as_millis()
        );
        ensure!(longest < MAX_DELAY, "a record took {longest:?}");
        ensure!(grown <= max_growth_kb, "memory grew by {grown} KB");
        ensure!(files <= max_files, "{files} more file descriptors");
        Ok(Usage { cpu: used, ..peak })
    }
}
