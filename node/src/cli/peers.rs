//! `peers`: who is connected.

use clap::Args;
use headwater_client::types::PathView;

use super::Invocation;
use super::output::{Align, Table, printable};

/// List the peers that the node is connected to
#[derive(Args, Debug)]
pub(crate) struct PeersArgs {}

pub(super) async fn peers(invocation: &Invocation, _args: &PeersArgs) -> anyhow::Result<()> {
    let peers = invocation
        .with_client(async |client| {
            client.require_network("peers")?;
            Ok(client.peers().await?)
        })
        .await?;
    let out = invocation.out;
    if out.json {
        return peers.iter().try_for_each(|peer| out.json(peer));
    }
    if peers.is_empty() {
        out.note(
            "no peer is connected; `headwater run --bootstrap MULTIADDR` names one to connect to",
        );
        return Ok(());
    }
    let mut table = Table::new(&[
        ("PEER", Align::Left),
        ("DIALLED", Align::Left),
        ("PATH", Align::Left),
        ("RTT", Align::Right),
        ("STREAMS", Align::Right),
        ("SYNCS", Align::Left),
        ("AGENT", Align::Cut),
        ("ADDRESS", Align::Left),
    ]);
    for peer in peers {
        table.row([
            peer.peer_id,
            if peer.inbound { "us" } else { "by us" }.to_owned(),
            match peer.path {
                PathView::Direct => "direct",
                PathView::Relayed => "relayed",
            }
            .to_owned(),
            peer.rtt_ms
                .map_or_else(String::new, |ms| format!("{ms:.1} ms")),
            peer.streams.len().to_string(),
            if peer.syncs { "yes" } else { "no" }.to_owned(),
            peer.agent.as_deref().map(printable).unwrap_or_default(),
            peer.addresses.join(" "),
        ]);
    }
    table
        .lines(out)
        .into_iter()
        .try_for_each(|line| out.line(line))
}
