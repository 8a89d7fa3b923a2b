//! Whether a record costs the same in a large stream as in a small one.

use crate::Bench;
use crate::report::{Against, Figure, median, progress};
use crate::sync::{RecordSize, Upstream, sync};

/// Records of the small stream.
const SMALL: u64 = 100_000;

/// Runs of the small one; the large one is long enough for a single run.
const RUNS: usize = 5;

/// Measures `sync_growth_1e7`: microseconds a record, large beside small.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(10_000_000, 1_000_000);
    let small = {
        let mut upstream = Upstream::filled(bench, RecordSize::Bytes100, SMALL)?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            let address = upstream.address.clone();
            runs.push(sync(bench, &mut upstream, address)?.seconds);
        }
        upstream.process.end()?;
        median(&runs) / SMALL as f64 * 1e6
    };
    let mut upstream = Upstream::filled(bench, RecordSize::Bytes100, records)?;
    let address = upstream.address.clone();
    let run = sync(bench, &mut upstream, address)?;
    upstream.process.end()?;
    let value = run.seconds / records as f64 * 1e6;
    progress(&format!(
        "{value:.3} µs a record; {small:.3} in the small stream"
    ));
    let against = Against {
        what: "a record of 1e5, µs",
        value: small,
        ratio: value / small,
    };
    let figure = Figure::new(bench, "sync_growth_1e7", value, "µs/record", against)
        .with("records", records)
        .with_number("seconds", run.seconds)
        .with_number("downstream_cpu_s", run.downstream_cpu_s)
        .with_number("upstream_cpu_s", run.upstream_cpu_s)
        .with_number("downstream_peak_anonymous_mb", run.downstream_peak_mb)
        .with_number("upstream_peak_anonymous_mb", run.upstream_peak_mb);
    Ok(figure)
}
