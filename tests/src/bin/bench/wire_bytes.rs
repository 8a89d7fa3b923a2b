//! How much travels for what arrives. The downstream is given the address of a
//! proxy in front of the upstream, which counts what both sockets carry: the
//! handshakes, offers, proofs and gossip of the session are all in it.

use crate::Bench;
use crate::link::Link;
use crate::report::{Against, Figure, progress};
use crate::sync::{RecordSize, Upstream, sync};

/// Measures `wire_bytes_per_payload_byte`.
pub(crate) fn figure(bench: &Bench) -> anyhow::Result<Figure> {
    let records = bench.sized(1_000_000, 200_000);
    let mut upstream = Upstream::filled(bench, RecordSize::Bytes100, records)?;
    let link = Link::to(&upstream.address)?;
    let run = sync(bench, &mut upstream, link.address.clone())?;
    let (down, up) = (link.down(), link.up());
    let payload = upstream.payload_bytes();
    progress(&format!("{down} bytes down, {up} up, {payload} of payload"));
    anyhow::ensure!(
        down > payload,
        "the downstream did not use the proxy: {down} bytes went through it"
    );
    upstream.process.end()?;

    let value = (down + up) as f64 / payload as f64;
    let against = Against {
        what: "the payload itself",
        value: 1.0,
        ratio: value,
    };
    let figure = Figure::new(
        bench,
        "wire_bytes_per_payload_byte",
        value,
        "bytes",
        against,
    )
    .with("records", records)
    .with("payload_bytes", payload)
    .with("down_bytes", down)
    .with("up_bytes", up)
    .with_number("seconds", run.seconds);
    Ok(figure)
}
