//! `status`: the node at a glance.

use std::time::Duration;

use clap::Args;
use headwater_client::types::{DiskStateView, MaxDiskView, NatView, NodeView, ReachabilityView};
use serde::Serialize;

use super::output::{Output, bytes, counted};
use super::{Invocation, duration, stream};

/// Show the node and its streams at a glance
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    node: &'a NodeView,
    /// Whether the node runs.
    running: bool,
    /// Where its API is.
    api: Option<&'a str>,
}

pub(super) async fn status(invocation: &Invocation, _args: &StatusArgs) -> anyhow::Result<()> {
    let (node, streams, api) = invocation
        .with_client(async |client| {
            let api = client.url();
            Ok((client.node().await?, client.streams().await?, api))
        })
        .await?;
    let out = invocation.out;
    if out.json {
        return out.json(&Shown {
            node: &node,
            running: api.is_some(),
            api: api.as_deref(),
        });
    }
    let line =
        |label: &str, text: &str| out.line(format!("{} {text}", out.dim(&format!("{label:<12}"))));
    line("peer id", &node.peer_id)?;
    match &api {
        Some(api) => {
            let uptime = duration::text(Duration::from_secs(node.uptime_s));
            let version = &node.version;
            line(
                "node",
                &format!("{}, version {version}, up {uptime}", out.good("running")),
            )?;
            line("api", api)?;
        }
        None => {
            let start = invocation.data_dir()?.command("run");
            line("node", &format!("not running; start it with: {start}"))?;
        }
    }
    for address in &node.addresses {
        line("address", address)?;
    }
    if api.is_some() {
        line("roles", &node.roles.join(", "))?;
        if let Some(key) = &node.private_network {
            line("network", &format!("private, key {key}…"))?;
        }
        line("connections", &node.connections.to_string())?;
        let bootstrap = &node.bootstrap;
        if bootstrap.silent {
            let why = bootstrap.last_error.as_deref().unwrap_or("no answer");
            let text = format!("none of {} answers ({why}); dialling on", bootstrap.known);
            line("bootstrap", &out.bad(&text))?;
        } else if bootstrap.known > 0 {
            let text = format!("{} of {} connected", bootstrap.connected, bootstrap.known);
            line("bootstrap", &text)?;
        }
        line("reached", reached(&node.nat))?;
    }
    line("disk", &bytes(node.disk_bytes))?;
    if let Some(disk) = &node.max_disk {
        line("max disk", &bound(disk, out))?;
    }
    line("streams", &counted(node.streams as u64, "stream"))?;
    for trouble in &node.troubles {
        line(
            "trouble",
            &out.bad(&format!("{}, since {}", trouble.what, trouble.since)),
        )?;
        line("", &format!("→ {}", trouble.advice))?;
    }
    if streams.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let table = stream::table(&streams, out);
    table
        .lines(out)
        .into_iter()
        .try_for_each(|line| out.line(line))
}

/// What is left of the bound of the disk.
fn bound(disk: &MaxDiskView, out: Output) -> String {
    let text = format!("{} of {}", bytes(disk.used_bytes), bytes(disk.max_bytes));
    match disk.state {
        DiskStateView::Free => text,
        DiskStateView::NoHistory => out.bad(&format!("{text}: no more history is fetched")),
        DiskStateView::Full => out.bad(&format!("{text}: nothing is taken or published")),
    }
}

/// From where others reach the node, in words; `doctor` says more.
fn reached(nat: &NatView) -> &'static str {
    match nat.reachability {
        ReachabilityView::Public => "directly, from anywhere",
        ReachabilityView::Site => "directly, from its own network",
        _ if !nat.relays.is_empty() => "through a relay",
        ReachabilityView::Private => "by nobody; `headwater doctor` says what to do",
        ReachabilityView::Unknown => "not tested",
    }
}
