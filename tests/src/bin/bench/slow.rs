//! Numbers over a slow line: the history of a sensor, through a proxy that lets
//! 20 Mbit/s pass.

use crate::Bench;
use crate::link::Link;
use crate::report::{Against, Figure, progress};
use crate::sync::{RecordSize, Upstream, sync};

/// 20 Mbit/s.
const LINE_BYTES_PER_S: u64 = 2_500_000;

/// Measures `sync_numbers_20mbit`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(2_000_000, 500_000);
    let mut upstream = Upstream::filled(bench, RecordSize::Number, records)?;
    let link = Link::with_rate(&upstream.address, LINE_BYTES_PER_S)?;
    let run = sync(bench, &mut upstream, link.address.clone())?;
    let (down, up) = (link.down(), link.up());
    let payload = upstream.payload_bytes();
    progress(&format!("{down} bytes down, {up} up, {payload} of payload"));
    upstream.process.end()?;

    let value = payload as f64 / run.seconds / 1e6;
    let line = LINE_BYTES_PER_S as f64 / 1e6;
    let against = Against {
        what: "the line, MB/s",
        value: line,
        ratio: value / line,
    };
    let wire = (down + up) as f64 / payload as f64;
    Ok(
        Figure::new(bench, "sync_numbers_20mbit", value, "MB/s", against)
            .with("records", records)
            .with_number("wire_bytes_per_payload_byte", wire)
            .with_number("seconds", run.seconds),
    )
}
