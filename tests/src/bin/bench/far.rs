//! History from far away: the same sync on a cable on which everything takes
//! 50 ms each way, beside one on which it takes no time.

use std::time::Duration;

use crate::Bench;
use crate::link::Link;
use crate::node::{Call, Stored, start_node};
use crate::report::{Against, Figure, median, progress};
use crate::sync::{RecordSize, Upstream};

/// One way.
const DELAY: Duration = Duration::from_millis(50);

/// Runs of each kind, one after the other in turn.
const RUNS: usize = 3;

/// Measures `sync_100ms_rtt`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(4_000_000, 1_000_000);
    let mut upstream = Upstream::filled(bench, RecordSize::Bytes100, records)?;
    let links = [
        Link::to(&upstream.address)?,
        Link::with_delay(&upstream.address, DELAY)?,
    ];
    let mut rates = [Vec::new(), Vec::new()];
    for run in 1..=RUNS {
        for (link, rates) in links.iter().zip(&mut rates) {
            rates.push(records_per_s(bench, &upstream, link)?);
        }
        progress(&format!(
            "run {run}: {:.0} records/s from near, {:.0} from far",
            rates[0][run - 1],
            rates[1][run - 1]
        ));
    }
    upstream.process.ask::<()>(&Call::Nothing)?;
    upstream.process.end()?;
    let [near, far] = rates.map(|rates| median(&rates));
    let against = Against {
        what: "the same without delay, records/s",
        value: near,
        ratio: far / near,
    };
    let figure = Figure::new(bench, "sync_100ms_rtt", far, "records/s", against)
        .with("records", records)
        .with("runs", RUNS);
    Ok(figure)
}

/// From the first records that are there to the last: setting up a connection
/// takes some round trips, however long the stream is.
fn records_per_s(bench: &Bench, upstream: &Upstream, link: &Link) -> anyhow::Result<f64> {
    let dir = bench.folder()?;
    let (mut downstream, _) = start_node(dir.path().join("store"), 2)?;
    let stream = || upstream.stream.clone();
    let _: f64 = downstream.ask(&Call::Sync {
        stream: stream(),
        address: link.address.clone(),
        size: 0,
    })?;
    let () = downstream.ask(&Call::Watch {
        stream: stream(),
        size: upstream.records,
    })?;
    let stored: Stored = downstream.ask(&Call::Stored { stream: stream() })?;
    downstream.end()?;
    let first = stored.iter().find(|(held, _)| *held > 0);
    let (Some(first), Some(last)) = (first, stored.last()) else {
        anyhow::bail!("nothing was stored");
    };
    let seconds = last.1.saturating_sub(first.1) as f64 / 1e9;
    Ok((last.0 - first.0) as f64 / seconds)
}
