//! What a stream costs while nothing happens: two nodes that are connected and
//! quiet, at first without any stream, then with one of them following a
//! thousand of the other's.

use std::thread::sleep;
use std::time::Duration;

use crate::Bench;
use crate::link::Link;
use crate::node::{Call, start_node};
use crate::process::Process;
use crate::report::{Against, Figure, progress};

/// How long the nodes are left alone before they are measured: what is on its
/// way after a change (gossip repeats ids for three heartbeats) has ended then.
const SETTLE: Duration = Duration::from_secs(10);

/// Measures `idle_stream_bytes`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let streams = bench.sized(1_000, 200);
    // Whole rounds of the questions for heads, of which there is one every 15 s.
    let window = Duration::from_secs(bench.sized(60, 30));
    let dirs = [bench.folder()?, bench.folder()?];
    let (mut publisher, address) = start_node(dirs[0].path().join("store"), 1)?;
    let (mut follower, _) = start_node(dirs[1].path().join("store"), 2)?;
    let link = Link::to(&address)?;
    let dial = Call::Dial {
        address: link.address.clone(),
    };
    let () = follower.ask(&dial)?;
    let mut nodes = [&mut publisher, &mut follower];
    let without = Idle::measured(&link, &mut nodes, window)?;
    anyhow::ensure!(without.bytes > 0, "the nodes are not connected");

    let created = nodes[0].ask(&Call::CreateEach { count: streams })?;
    let () = nodes[1].ask(&Call::SyncEach {
        streams: created,
        address: link.address.clone(),
    })?;
    let with = Idle::measured(&link, &mut nodes, window)?;
    publisher.end()?;
    follower.end()?;

    Ok(difference(bench, streams, window, &without, &with))
}

/// The figure that two measurements make.
fn difference(
    bench: &Bench,
    streams: u64,
    window: Duration,
    without: &Idle,
    with: &Idle,
) -> Figure {
    let per_minute = 60.0 / window.as_secs_f64();
    let each = |difference: f64| difference / streams as f64;
    let connection = without.bytes as f64 * per_minute;
    let value = each(with.bytes as f64 * per_minute - connection);
    let memory = |place: usize| each(with.memory[place] - without.memory[place]);
    let cpu_us = |place: usize| each(with.cpu_s[place] - without.cpu_s[place]) * per_minute * 1e6;
    let against = Against {
        what: "the connection itself, bytes/minute",
        value: connection,
        ratio: value / connection,
    };
    let unit = "bytes/(stream·minute)";
    Figure::new(bench, "idle_stream_bytes", value, unit, against)
        .with("streams", streams)
        .with("seconds", window.as_secs())
        .with_number("publisher_memory_bytes_per_stream", memory(0))
        .with_number("follower_memory_bytes_per_stream", memory(1))
        .with_number("publisher_cpu_us_per_stream_minute", cpu_us(0))
        .with_number("follower_cpu_us_per_stream_minute", cpu_us(1))
}

/// What two nodes use while nothing happens.
struct Idle {
    /// On the wire, both directions.
    bytes: u64,
    /// Processor time of each, in seconds.
    cpu_s: [f64; 2],
    /// Anonymous memory of each at the end, in bytes.
    memory: [f64; 2],
}

impl Idle {
    fn measured(
        link: &Link,
        nodes: &mut [&mut Process; 2],
        window: Duration,
    ) -> anyhow::Result<Self> {
        sleep(SETTLE);
        let on_wire = || link.down() + link.up();
        let (bytes, before) = (on_wire(), cpu_s(nodes)?);
        sleep(window);
        let bytes = on_wire() - bytes;
        let after = cpu_s(nodes)?;
        let idle = Self {
            bytes,
            cpu_s: [after[0] - before[0], after[1] - before[1]],
            memory: [nodes[0].memory_bytes()?, nodes[1].memory_bytes()?],
        };
        progress(&format!("{bytes} bytes in {} s", window.as_secs()));
        Ok(idle)
    }
}

fn cpu_s(nodes: &mut [&mut Process; 2]) -> anyhow::Result<[f64; 2]> {
    for node in nodes.iter_mut() {
        let () = node.ask(&Call::Nothing)?;
    }
    Ok([nodes[0].cpu_s, nodes[1].cpu_s])
}
