//! What each node is doing.

use std::thread;

use headwater_tests::lab::Place;
use nix::unistd::Pid;
use serde_json::Value;

use crate::node::Node;
use crate::words;

/// Writes the table: all nodes are asked at once.
pub(crate) fn write(nodes: &[(Node, Option<Pid>)], stream: Option<&str>, places: &[Place]) {
    let ask = |(node, pid): &(Node, Option<Pid>)| {
        let place = places.iter().find(|place| place.node == node.number);
        row(node, *pid, stream, place)
    };
    let rows: Vec<String> = thread::scope(|scope| {
        let asked: Vec<_> = (nodes.iter())
            .map(|node| scope.spawn(move || ask(node)))
            .collect();
        let rows = asked.into_iter().map(|row| row.join());
        rows.filter_map(Result::ok).collect()
    });
    let (connections, behind) = match places {
        [] => ("connections", ""),
        _ => ("direct+rel.", "behind (half)"),
    };
    let (bold, plain) = words::bold();
    let names = cells(
        ["node", "pid", "peer", "api", connections, "streams"],
        "held/size",
        behind,
    );
    words::line(&format!("{bold}{names}{plain}"));
    for row in rows {
        words::line(&row);
    }
}

fn cells(first: [&str; 6], held: &str, behind: &str) -> String {
    let [node, pid, peer, api, connections, streams] = first;
    format!(
        "{node:>5} {pid:>8}  {peer:<9} {api:<21} {connections:>11} {streams:>7}  {held:<12} {behind}"
    )
}

fn row(node: &Node, pid: Option<Pid>, stream: Option<&str>, place: Option<&Place>) -> String {
    let none = || "-".to_owned();
    let number = node.number.to_string();
    let behind = place.map_or_else(String::new, |it| format!("{} ({})", it.kind, it.half));
    let Some(pid) = pid else {
        let first = [&number, "ended", "-", "-", "-", "-"];
        return cells(first, "-", &behind);
    };
    let api = node.api().unwrap_or_else(|_| none());
    let (mut peer, mut connections, mut streams) = ("no answer".to_owned(), none(), none());
    if let Some([status]) = node.ask(&["status"]).as_deref() {
        let id = status["peer_id"].as_str().unwrap_or_default();
        peer = id[id.len().saturating_sub(8)..].to_owned();
        connections = status["connections"].to_string();
        streams = status["streams"].to_string();
    }
    let shown = stream.and_then(|stream| node.ask(&["show", stream]));
    let held = match shown.as_deref() {
        Some([shown]) => format!("{}/{}", shown["held_records"], shown["size"]),
        _ => none(),
    };
    if place.is_some() {
        let peers = node.ask(&["peers"]);
        connections = peers.map_or_else(none, |peers| paths(&peers));
    }
    let pid = pid.to_string();
    let first = [&number, &pid, &peer, &api, &connections, &streams].map(String::as_str);
    cells(first, &held, &behind)
}

/// Counts peers: direct + through a relay only.
fn paths(peers: &[Value]) -> String {
    let is_direct = |peer: &&Value| {
        let addresses = peer["addresses"].as_array();
        let mut addresses = addresses.into_iter().flatten();
        addresses.any(|address| !address.to_string().contains("p2p-circuit"))
    };
    let direct = peers.iter().filter(is_direct).count();
    format!("{direct}+{}", peers.len() - direct)
}
