//! What the honest feel of a node while others mean it no good: a program publishes, and
//! it or a peer reads a history, beside a flood and without it in turn.

use std::thread;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::clients::Call as Clients;
use crate::flood::Kind;
use crate::node::{Batches, Call, start_node};
use crate::process::{Process, Role};
use crate::report::{Against, Figure, median, percentile, progress};

/// Runs of each kind, one after the other in turn.
const RUNS: usize = 3;

/// Bytes of each record of the history.
const RECORD_BYTES: usize = 100;

/// The token of the API; whatever it is.
const TOKEN: &str = "bench";

/// Clients that begin a request and do not end it: more than there are places.
const HALF_REQUESTS: u64 = 1_600;

/// Clients that do not read what they asked for.
const STALLED_READERS: u64 = 200;

/// Peers that ask and do not take the answers.
const HOARDERS: u64 = 4;

/// Pause between two observations that the honest program publishes.
const EVERY: Duration = Duration::from_millis(10);

/// Until a flood has come to stand.
const SETTLE: Duration = Duration::from_secs(3);

/// How soon after a flood a node is as it was.
const WHOLE_AGAIN: Duration = Duration::from_secs(5);

/// What a publish may take under a flood, in milliseconds.
const PUBLISH_MS: f64 = 20.0;

/// What an honest reader must keep of its rate.
const KEPT: f64 = 0.8;

/// Measures `attack_half_requests`.
pub(crate) fn half_requests(bench: &Bench) -> anyhow::Result<Figure> {
    let name = "attack_half_requests";
    let beside = Beside::start(bench)?;
    figure(bench, name, HALF_REQUESTS, &Kind::HalfRequests, beside)
}

/// Measures `attack_stalled_readers`.
pub(crate) fn stalled_readers(bench: &Bench) -> anyhow::Result<Figure> {
    let name = "attack_stalled_readers";
    let beside = Beside::start(bench)?;
    let path = beside.path();
    figure(
        bench,
        name,
        STALLED_READERS,
        &Kind::StalledReaders { path },
        beside,
    )
}

/// Measures `attack_hoarders`.
pub(crate) fn hoarders(bench: &Bench) -> anyhow::Result<Figure> {
    let mut beside = Beside::start(bench)?;
    beside.reads_as_peer = true;
    let address = beside.address.clone();
    figure(
        bench,
        "attack_hoarders",
        HOARDERS,
        &Kind::Hoarders { address },
        beside,
    )
}

/// What the honest program feels.
#[derive(Debug, Default)]
struct Felt {
    p50: Vec<f64>,
    p99: Vec<f64>,
    mb_per_s: Vec<f64>,
    /// Processors that the node was busy with while one published.
    busy: Vec<f64>,
}

/// A node with a long history, and an honest program.
struct Beside {
    folder: tempfile::TempDir,
    node: Process,
    honest: Process,
    address: String,
    api: String,
    own: String,
    history: String,
    records: u64,
    published: u64,
    /// Who reads the history: a peer that begins with nothing, or a program.
    reads_as_peer: bool,
}

impl Beside {
    fn start(bench: &Bench) -> anyhow::Result<Self> {
        let folder = bench.folder()?;
        let (mut node, address) = start_node(folder.path().join("store"), 1)?;
        let token = TOKEN.to_owned();
        let api = node.ask(&Call::Serve { token })?;
        let history: String = node.ask(&Call::Create)?;
        let records = bench.sized(1_000_000, 250_000);
        let _: f64 = node.ask(&Call::Publish(Batches {
            stream: history.clone(),
            records,
            record_bytes: RECORD_BYTES,
            numbers: false,
            batch: 10_000,
        }))?;
        Ok(Self {
            own: node.ask(&Call::CreateNumbers)?,
            folder,
            node,
            honest: Process::start(Role::Clients)?,
            address,
            api,
            history,
            records,
            published: bench.sized(500, 200),
            reads_as_peer: false,
        })
    }

    /// Where a program reads the history.
    fn path(&self) -> String {
        format!("/v1/streams/{}/observations?format=csv", self.history)
    }

    fn feel(&mut self, felt: &mut Felt) -> anyhow::Result<()> {
        let () = self.node.ask(&Call::Nothing)?;
        let (cpu, began) = (self.node.cpu_s, Instant::now());
        let ms: Vec<f64> = self.honest.ask(&Clients::PublishAnew {
            api: self.api.clone(),
            token: TOKEN.to_owned(),
            stream: self.own.clone(),
            count: self.published,
            every_us: EVERY.as_micros() as u64,
        })?;
        let () = self.node.ask(&Call::Nothing)?;
        felt.busy
            .push((self.node.cpu_s - cpu) / began.elapsed().as_secs_f64());
        felt.p50.push(median(&ms));
        felt.p99.push(percentile(&ms, 0.99));
        let bytes_per_s = if self.reads_as_peer {
            self.synced_bytes_per_s()?
        } else {
            self.honest.ask(&Clients::Read {
                api: self.api.clone(),
                path: self.path(),
                times: 3,
            })?
        };
        felt.mb_per_s.push(bytes_per_s / 1e6);
        Ok(())
    }

    /// How fast the history comes to a peer that has nothing of it.
    fn synced_bytes_per_s(&self) -> anyhow::Result<f64> {
        let folder = tempfile::TempDir::new_in(&self.folder)?;
        let (mut peer, _) = start_node(folder.path().join("store"), 2)?;
        let seconds: f64 = peer.ask(&Call::Sync {
            stream: self.history.clone(),
            address: self.address.clone(),
            size: self.records,
        })?;
        peer.end()?;
        Ok((self.records * RECORD_BYTES as u64) as f64 / seconds)
    }

    fn end(self) -> anyhow::Result<()> {
        self.honest.end()?;
        self.node.end()
    }
}

fn figure(
    bench: &Bench,
    name: &'static str,
    clients: u64,
    kind: &Kind,
    mut beside: Beside,
) -> anyhow::Result<Figure> {
    let (mut alone, mut under) = (Felt::default(), Felt::default());
    let (mut connected, mut memory, mut after) = (vec![], vec![], vec![]);
    // The first one finds nothing in any cache.
    beside.feel(&mut Felt::default())?;
    for run in 1..=RUNS {
        beside.feel(&mut alone)?;
        let before = beside.node.memory_bytes()?;
        // It is to cost the node something, and not the others on this machine.
        let mut flood = Process::start_last(Role::Clients)?;
        let began = Instant::now();
        let () = flood.ask(&Clients::Flood {
            api: beside.api.clone(),
            kind: kind.clone(),
            clients,
        })?;
        thread::sleep(SETTLE);
        beside.feel(&mut under)?;
        memory.push((beside.node.memory_bytes()? - before) / 1e6);
        let times: u64 = flood.ask(&Clients::Connected)?;
        connected.push(times as f64 / began.elapsed().as_secs_f64());
        flood.kill()?;
        thread::sleep(WHOLE_AGAIN);
        after.push((beside.node.memory_bytes()? - before) / 1e6);
        let last = |values: &[f64]| values[run - 1];
        progress(&format!(
            "run {run}: publishing {:.2} ms at p99 ({:.2} without), reading {:.0} MB/s ({:.0}), {:.0} connections/s",
            last(&under.p99),
            last(&alone.p99),
            last(&under.mb_per_s),
            last(&alone.mb_per_s),
            last(&connected),
        ));
    }
    beside.end()?;
    let (value, limit) = (median(&under.p99), median(&alone.p99));
    let against = Against {
        what: "the same without the flood, p99, ms",
        value: limit,
        ratio: value / limit,
    };
    let (read, read_alone) = (median(&under.mb_per_s), median(&alone.mb_per_s));
    Ok(Figure::new(bench, name, value, "ms", against)
        .with("clients", clients)
        .with("runs", RUNS)
        .with_number("connections_per_s", median(&connected))
        .with_number("publish_p50", median(&under.p50))
        .with_number("publish_p50_alone", median(&alone.p50))
        .with_number("read_mb_per_s", read)
        .with_number("read_mb_per_s_alone", read_alone)
        .with_number("read_kept", read / read_alone)
        .with_number("node_busy", median(&under.busy))
        .with_number("node_busy_alone", median(&alone.busy))
        .with_number("more_memory_mb", median(&memory))
        .with_number("more_memory_mb_after_5_s", median(&after))
        .with(
            "is_within_limit",
            value <= PUBLISH_MS && read >= KEPT * read_alone,
        ))
}
