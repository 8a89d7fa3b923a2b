//! History from many peers at once, each behind a line of 100 Mbit/s: network
//! namespaces on one bridge, with a token bucket (`tc tbf`) on what each source
//! sends.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::Bench;
use crate::node::{Batches, Call};
use crate::process::{Process, Role};
use crate::report::{Against, Figure, progress};

/// Most sources that are measured.
const SOURCES: u8 = 8;

/// What each may send, in bits a second, as `tc` takes it.
const RATE: &str = "100mbit";

/// The same in MB/s.
const RATE_MB_PER_S: f64 = 12.5;

/// Bytes of a record.
const RECORD_BYTES: usize = 100;

/// Measures `multi_source_8`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(3_000_000, 600_000);
    let lan = Lan::new()?;
    let dir = bench.folder()?;
    let (stream, mut sources) = filled_sources(&lan, dir.path(), records)?;
    let payload_mb = (records * RECORD_BYTES as u64) as f64 / 1e6;
    let mut rates = Vec::new();
    let mut transfers = 0.0;
    for count in [1, 2, 4, SOURCES] {
        let served = served(&mut sources, &stream)?;
        let folder = bench.folder()?;
        let ip = lan.hub_ip();
        let mut downstream = Process::start_in(&lan.hub, Role::Node)?;
        downstream.start_node(folder.path().join("store"), 99, &ip, false)?;
        let some = &sources[..usize::from(count)];
        for (_, address) in some {
            let address = address.clone();
            let () = downstream.ask(&Call::Dial { address })?;
        }
        let seconds: f64 = downstream.ask(&Call::Sync {
            stream: stream.clone(),
            address: some[0].1.clone(),
            size: records,
        })?;
        downstream.end()?;
        let mb_per_s = payload_mb / seconds;
        transfers = (self::served(&mut sources, &stream)? - served) as f64 / records as f64;
        progress(&format!(
            "{count} sources: {mb_per_s:.1} MB/s, {transfers:.3} transfers a record"
        ));
        rates.push(mb_per_s);
    }
    for (source, _) in sources {
        source.end()?;
    }
    let value = rates.last().copied().unwrap_or(0.0);
    let limit = RATE_MB_PER_S * f64::from(SOURCES);
    let against = Against {
        what: "the lines of eight sources, MB/s",
        value: limit,
        ratio: value / limit,
    };
    let figure = Figure::new(bench, "multi_source_8", value, "MB/s", against)
        .with("records", records)
        .with_number("one_source_mb_per_s", rates[0])
        .with_number("two_sources_mb_per_s", rates[1])
        .with_number("four_sources_mb_per_s", rates[2])
        .with_number("transfers_per_record", transfers);
    Ok(figure)
}

/// Sources that hold a stream whose publisher is gone, with their addresses.
fn filled_sources(
    lan: &Lan,
    dir: &std::path::Path,
    records: u64,
) -> anyhow::Result<(String, Vec<(Process, String)>)> {
    progress(&format!("filling {SOURCES} sources with {records} records"));
    let mut publisher = Process::start_in(&lan.hub, Role::Node)?;
    let address = publisher.start_node(dir.join("publisher"), 100, &lan.hub_ip(), false)?;
    let stream: String = publisher.ask(&Call::Create)?;
    let _: f64 = publisher.ask(&Call::Publish(Batches {
        stream: stream.clone(),
        records,
        record_bytes: RECORD_BYTES,
        numbers: false,
        batch: 10_000,
    }))?;
    let mut sources = Vec::new();
    for number in 1..=SOURCES {
        let mut source = Process::start_in(&lan.namespace(number), Role::Node)?;
        let folder = dir.join(format!("source-{number}"));
        let own = source.start_node(folder, number, &lan.ip(number), false)?;
        let _: f64 = source.ask(&Call::Sync {
            stream: stream.clone(),
            address: address.clone(),
            size: records,
        })?;
        sources.push((source, own));
    }
    publisher.end()?;
    Ok((stream, sources))
}

fn served(sources: &mut [(Process, String)], stream: &str) -> anyhow::Result<u64> {
    let mut total = 0;
    for (source, _) in sources {
        let stream = stream.to_owned();
        total += source.ask::<u64>(&Call::Served { stream })?;
    }
    Ok(total)
}

/// Namespaces on a bridge. They go when this is dropped.
struct Lan {
    /// The namespace with the bridge.
    hub: String,
    prefix: String,
}

impl Lan {
    fn new() -> anyhow::Result<Self> {
        let prefix = format!("hwb{}", std::process::id());
        let lan = Self {
            hub: format!("{prefix}-hub"),
            prefix,
        };
        let hub = &lan.hub;
        ip(&["netns", "add", hub]).context("this figure needs root and network namespaces")?;
        ip(&["-n", hub, "link", "set", "lo", "up"])?;
        ip(&["-n", hub, "link", "add", "lan", "type", "bridge"])?;
        ip(&["-n", hub, "link", "set", "lan", "up"])?;
        let address = format!("{}/24", lan.hub_ip());
        ip(&["-n", hub, "address", "add", &address, "dev", "lan"])?;
        for number in 1..=SOURCES {
            lan.join(number)?;
        }
        Ok(lan)
    }

    fn join(&self, number: u8) -> anyhow::Result<()> {
        let (namespace, hub) = (&self.namespace(number), &self.hub);
        let port = &format!("port{number}");
        ip(&["netns", "add", namespace])?;
        ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        ip(&[
            "-n", hub, "link", "add", port, "type", "veth", "peer", "name", "line", "netns",
            namespace,
        ])?;
        ip(&["-n", hub, "link", "set", port, "master", "lan", "up"])?;
        let address = format!("{}/24", self.ip(number));
        ip(&["-n", namespace, "address", "add", &address, "dev", "line"])?;
        ip(&["-n", namespace, "link", "set", "line", "up"])?;
        run(
            "tc",
            &[
                "-n", namespace, "qdisc", "add", "dev", "line", "root", "tbf", "rate", RATE,
                "burst", "256kb", "latency", "50ms",
            ],
        )
    }

    fn namespace(&self, number: u8) -> String {
        format!("{}-{number}", self.prefix)
    }

    fn hub_ip(&self) -> String {
        "10.77.0.254".to_owned()
    }

    fn ip(&self, number: u8) -> String {
        format!("10.77.0.{number}")
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for number in 1..=SOURCES {
            let _ = ip(&["netns", "delete", &self.namespace(number)]);
        }
        let _ = ip(&["netns", "delete", &self.hub]);
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
