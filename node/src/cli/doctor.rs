//! `doctor`: what the network allows, and what to do about it.

mod clock;

use clap::Args;
use headwater_client::types::{
    DiskStateView, MappingView, NodeView, PathView, PeerView, ReachabilityView, RoleView,
    SeverityView, StreamView, TroubleView,
};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::Serialize;

use super::Invocation;
use super::json_error::Reported;
use super::output::{Output, bytes, counted, printable};

/// Say what the network allows this node, and what to do
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Good,
    /// It works, and could be better.
    Note,
    /// Something that the user wants does not work.
    Problem,
}

/// What one look at the node has shown.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    about: String,
    level: Level,
    what: String,
    /// What to do.
    advice: Option<String>,
}

impl Finding {
    fn good(about: &str, what: impl Into<String>) -> Self {
        Self {
            about: about.to_owned(),
            level: Level::Good,
            what: what.into(),
            advice: None,
        }
    }

    fn note(about: &str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            about: about.to_owned(),
            level: Level::Note,
            what: what.into(),
            advice: Some(advice.into()),
        }
    }

    fn problem(about: &str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            level: Level::Problem,
            ..Self::note(about, what, advice)
        }
    }
}

/// What is known to be wrong with the node.
fn trouble(trouble: &TroubleView) -> Finding {
    let what = format!("{} (since {})", trouble.what, trouble.since);
    match trouble.severity {
        SeverityView::Failure => Finding::problem(&trouble.name, what, &trouble.advice),
        SeverityView::Warning => Finding::note(&trouble.name, what, &trouble.advice),
    }
}

pub(super) async fn doctor(invocation: &Invocation, _args: &DoctorArgs) -> anyhow::Result<()> {
    let (node, peers, streams) = invocation
        .with_client(async |client| {
            client.require_network("doctor")?;
            Ok((
                client.node().await?,
                client.peers().await?,
                client.streams().await?,
            ))
        })
        .await?;
    let mut findings: Vec<_> = node.troubles.iter().map(trouble).collect();
    findings.extend([
        listening(&node),
        company(&node, &peers, &streams),
        bootstrap(&node),
        reached(&node),
        router(&node),
        paths(&node, &peers),
        sources(&streams),
        disk(&node),
        clock::finding(&streams),
    ]);
    print(invocation.out, &findings)?;
    let problems = findings
        .iter()
        .filter(|finding| finding.level == Level::Problem);
    match problems.count() {
        0 => Ok(()),
        count => {
            let found = format!("{} found", counted(count as u64, "problem"));
            Err(Reported::error(anyhow::Error::msg(found)))
        }
    }
}

fn print(out: Output, findings: &[Finding]) -> anyhow::Result<()> {
    for finding in findings {
        if out.json {
            out.json(finding)?;
            continue;
        }
        let label = format!("{:<12}", finding.about);
        let label = match finding.level {
            Level::Good => out.good(&label),
            Level::Note => out.bold(&label),
            Level::Problem => out.bad(&label),
        };
        out.line(format!("{label} {}", printable(&finding.what)))?;
        if let Some(advice) = &finding.advice {
            out.line(format!("{:<12} → {}", "", printable(advice)))?;
        }
    }
    Ok(())
}

/// The ports on which the node listens itself, such as `TCP 4600`.
fn ports(node: &NodeView) -> Vec<String> {
    let addresses = node.addresses.iter();
    let mut ports: Vec<String> = (addresses.filter_map(|text| text.parse::<Multiaddr>().ok()))
        .filter(|address| !address.iter().any(|part| part == Protocol::P2pCircuit))
        .filter_map(|address| {
            address.iter().find_map(|part| match part {
                Protocol::Tcp(port) => Some(format!("TCP {port}")),
                Protocol::Udp(port) => Some(format!("UDP {port}")),
                _ => None,
            })
        })
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

fn listening(node: &NodeView) -> Finding {
    let ports = ports(node);
    if ports.is_empty() {
        return Finding::problem(
            "listening",
            "the node listens nowhere",
            "start it with --listen, or without to use the default ports",
        );
    }
    let has_ipv6 = node.addresses.iter().any(|text| text.starts_with("/ip6/"));
    let family = if has_ipv6 { "IPv4 and IPv6" } else { "IPv4" };
    Finding::good(
        "listening",
        format!("on {} over {family}", ports.join(", ")),
    )
}

fn company(node: &NodeView, peers: &[PeerView], streams: &[StreamView]) -> Finding {
    const ABOUT: &str = "peers";
    if !peers.is_empty() {
        let count = counted(peers.len() as u64, "peer");
        return Finding::good(ABOUT, format!("{count} connected"));
    }
    if node.bootstrap.known > 0 {
        let advice = match node.bootstrap.silent {
            true => "see `bootstrap`; they are dialled on",
            false => "wait a few seconds: the bootstrap nodes are being dialled",
        };
        return Finding::note(ABOUT, "nobody is connected", advice);
    }
    let lacks_company = |stream: &StreamView| stream.followed && stream.role == RoleView::Follower;
    if streams.iter().any(lacks_company) {
        return Finding::problem(
            ABOUT,
            "nobody is connected, and so nothing comes of the streams that are followed",
            "name a node that is always there: headwater run --bootstrap MULTIADDR",
        );
    }
    Finding::note(
        ABOUT,
        "nobody is connected: no bootstrap node is named, and nobody has come yet",
        match node.addresses.first() {
            Some(address) => format!("on another machine: headwater run --bootstrap {address}"),
            None => {
                "name a node that is always there: headwater run --bootstrap MULTIADDR".to_owned()
            }
        },
    )
}

fn bootstrap(node: &NodeView) -> Finding {
    const ABOUT: &str = "bootstrap";
    let nodes = &node.bootstrap;
    let why = nodes.last_error.as_deref().unwrap_or("no answer");
    let advice = match (nodes.key_in_doubt, &node.private_network) {
        (true, None) => {
            "if they are a private network's, start this node with its key \
             (headwater run --private-network FILE); else check the addresses"
        }
        (true, Some(_)) => {
            "compare the keys: `headwater status` shows the same fingerprint on all nodes of a network"
        }
        (false, _) => "check the addresses, and that those nodes run; they are dialled on",
    };
    let known = nodes.known;
    match nodes.connected {
        _ if known == 0 => Finding::good(ABOUT, "no node is named"),
        _ if nodes.silent => {
            Finding::problem(ABOUT, format!("none of {known} answers: {why}"), advice)
        }
        connected if connected < known && nodes.last_error.is_some() => Finding::note(
            ABOUT,
            format!("{connected} of {known} connected; another one does not answer: {why}"),
            advice,
        ),
        connected => Finding::good(ABOUT, format!("{connected} of {known} connected")),
    }
}

fn reached(node: &NodeView) -> Finding {
    const ABOUT: &str = "reached";
    let relays = node.nat.relays.len();
    let through = counted(relays as u64, "relay");
    match node.nat.reachability {
        ReachabilityView::Public => Finding::good(ABOUT, "directly, from anywhere"),
        ReachabilityView::Site => Finding::good(ABOUT, "directly, from its own network"),
        _ if relays > 0 => Finding::good(
            ABOUT,
            format!(
                "through {through}; direct connections are made from there where routers allow"
            ),
        ),
        ReachabilityView::Private => Finding::problem(
            ABOUT,
            "a router or a firewall stands before the node, and no relay is known",
            format!(
                "use a bootstrap node that has the role `relay`, or forward {} to this machine and \
                 start the node again (an address is tested once)",
                ports(node).join(" and ")
            ),
        ),
        ReachabilityView::Unknown => Finding::note(
            ABOUT,
            "not tested: no connected node tests it (it takes a few seconds after the start)",
            match (node.bootstrap.known, node.bootstrap.connected) {
                (0, _) => {
                    "in a network of your own nothing is to be done; for the open internet connect to \
                     a bootstrap node (headwater run --bootstrap MULTIADDR)"
                }
                (_, 0) => "it is tested when a bootstrap node is connected",
                _ => {
                    "in a network of your own nothing is to be done; elsewhere wait: the bootstrap node \
                     that is connected tests addresses of the open internet"
                }
            },
        ),
    }
}

fn router(node: &NodeView) -> Finding {
    const ABOUT: &str = "router";
    match node.nat.mapping {
        MappingView::None => {
            Finding::good(ABOUT, "none: peers see the address that is listened on")
        }
        MappingView::EndpointIndependent => Finding::good(
            ABOUT,
            "maps ports alike for all peers (a cone router): holes can be punched",
        ),
        MappingView::EndpointDependent => Finding::note(
            ABOUT,
            "maps ports anew for each peer (a symmetric router): with peers behind a strict \
             router data goes through a relay",
            format!(
                "forward {} to this machine, or switch on its \"full cone\" or \"open\" NAT",
                ports(node).join(" and ")
            ),
        ),
        MappingView::Unknown => Finding::good(
            ABOUT,
            "not known: it takes two peers on other networks to see its kind",
        ),
    }
}

fn paths(node: &NodeView, peers: &[PeerView]) -> Finding {
    const ABOUT: &str = "connections";
    let relayed = peers.iter().filter(|peer| peer.path == PathView::Relayed);
    let relayed = relayed.count();
    let direct = peers.len() - relayed;
    let what = format!("{direct} direct, {relayed} through a relay");
    if relayed == 0 {
        return Finding::good(ABOUT, what);
    }
    let why = match node.nat.mapping {
        MappingView::EndpointDependent => "this node's router maps ports anew for each peer",
        _ => "the routers between let no direct one through, or it is being tried",
    };
    Finding::note(
        ABOUT,
        format!("{what} ({} so far): {why}", bytes(node.nat.relayed_bytes)),
        format!(
            "relays are limited, and this node lets at most {} a second through them; one open \
             port on either side makes it direct",
            bytes(node.nat.relayed_bytes_per_second)
        ),
    )
}

fn sources(streams: &[StreamView]) -> Finding {
    const ABOUT: &str = "streams";
    let lacking: Vec<&str> = (streams.iter())
        .filter(|stream| stream.followed && !stream.synced && stream.sources.is_empty())
        .map(|stream| match stream.name.is_empty() {
            true => stream.id.as_str(),
            false => stream.name.as_str(),
        })
        .collect();
    match lacking.as_slice() {
        [] => Finding::good(
            ABOUT,
            format!("{} known", counted(streams.len() as u64, "stream")),
        ),
        [first, ..] => Finding::note(
            ABOUT,
            format!(
                "{} without a source, such as {first}",
                counted(lacking.len() as u64, "stream")
            ),
            "follow it by an invite (`headwater show` on a node that has it), or wait for one \
             to come",
        ),
    }
}

/// Whether the data may grow.
fn disk(node: &NodeView) -> Finding {
    const ABOUT: &str = "disk";
    let advice = "delete streams (`headwater stream delete S`), or allow more with max_disk";
    let Some(disk) = &node.max_disk else {
        return Finding::good(
            ABOUT,
            format!("{}, without a bound", bytes(node.disk_bytes)),
        );
    };
    let what = format!("{} of {}", bytes(disk.used_bytes), bytes(disk.max_bytes));
    match disk.state {
        DiskStateView::Free => Finding::good(ABOUT, what),
        DiskStateView::NoHistory => {
            let what = format!("{what}: no more history is fetched, the rest is for what is new");
            Finding::note(ABOUT, what, advice)
        }
        DiskStateView::Full => {
            let what = format!("{what}: nothing is taken or published");
            Finding::problem(ABOUT, what, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::stream::tests::stream;
    use super::*;
    use headwater_client::types::{BootstrapView, NatView};

    fn node(reachability: ReachabilityView, mapping: MappingView, relays: usize) -> NodeView {
        NodeView {
            peer_id: String::new(),
            addresses: vec![
                "/ip4/192.0.2.1/tcp/4600".to_owned(),
                "/ip6/2001:db8::1/udp/4600/quic-v1".to_owned(),
            ],
            roles: Vec::new(),
            private_network: None,
            bootstrap: BootstrapView::default(),
            version: String::new(),
            connections: 0,
            streams: 0,
            disk_bytes: 0,
            max_disk: None,
            uptime_s: 0,
            nat: NatView {
                reachability,
                mapping,
                relays: vec!["x".to_owned(); relays],
                punched: 0,
                not_punched: 0,
                relayed_bytes: 0,
                relayed_bytes_per_second: 1 << 20,
            },
            counters: BTreeMap::new(),
            troubles: Vec::new(),
        }
    }

    #[test]
    fn a_node_that_nobody_reaches_is_told_which_ports_to_forward() {
        let lost = node(
            ReachabilityView::Private,
            MappingView::EndpointIndependent,
            0,
        );
        let finding = reached(&lost);
        assert_eq!(finding.level, Level::Problem);
        assert!(finding.advice.unwrap().contains("TCP 4600 and UDP 4600"));
        let relayed = node(
            ReachabilityView::Private,
            MappingView::EndpointIndependent,
            2,
        );
        assert_eq!(reached(&relayed).level, Level::Good);
        assert!(reached(&relayed).what.contains("2 relays"));
    }

    #[test]
    fn a_symmetric_router_is_named_as_the_cause_of_a_relayed_connection() {
        let node = node(ReachabilityView::Private, MappingView::EndpointDependent, 1);
        let peer = PeerView {
            peer_id: String::new(),
            addresses: Vec::new(),
            path: PathView::Relayed,
            agent: None,
            rtt_ms: None,
            syncs: true,
            inbound: false,
            streams: Vec::new(),
        };
        assert_eq!(router(&node).level, Level::Note);
        let finding = paths(&node, &[peer]);
        assert_eq!(finding.level, Level::Note);
        assert!(
            finding
                .what
                .starts_with("0 direct, 1 through a relay (0 B so far): this node's router")
        );
        assert_eq!(paths(&node, &[]).level, Level::Good);
    }

    #[test]
    fn a_first_node_alone_is_well_and_one_that_follows_alone_is_not() {
        let mut first = node(ReachabilityView::Unknown, MappingView::Unknown, 0);
        let alone = company(&first, &[], &[]);
        assert_eq!(alone.level, Level::Note);
        let address = &first.addresses[0];
        assert!(
            alone
                .advice
                .unwrap()
                .ends_with(&format!("--bootstrap {address}"))
        );
        assert_eq!(company(&first, &[], &[stream()]).level, Level::Problem);
        // One problem is told once.
        first.bootstrap.known = 1;
        first.bootstrap.silent = true;
        assert_eq!(company(&first, &[], &[stream()]).level, Level::Note);
        assert_eq!(bootstrap(&first).level, Level::Problem);
    }

    #[test]
    fn what_to_do_fits_the_bootstrap_nodes() {
        let mut node = node(ReachabilityView::Unknown, MappingView::Unknown, 0);
        node.bootstrap = BootstrapView {
            known: 2,
            connected: 0,
            silent: true,
            last_error: Some("no key".to_owned()),
            key_in_doubt: true,
        };
        let advice = |finding: Finding| finding.advice.unwrap();
        assert!(advice(bootstrap(&node)).contains("--private-network"));
        node.private_network = Some("abcdabcd".to_owned());
        assert!(advice(bootstrap(&node)).contains("fingerprint"));
        node.bootstrap.key_in_doubt = false;
        assert!(advice(bootstrap(&node)).contains("check the addresses"));
        assert!(advice(company(&node, &[], &[])).contains("`bootstrap`"));
        assert!(!advice(reached(&node)).contains("connect to"));
        node.bootstrap.connected = 1;
        node.bootstrap.silent = false;
        assert_eq!(bootstrap(&node).level, Level::Note);
        assert!(!advice(reached(&node)).contains("connect to"));
        node.bootstrap = BootstrapView::default();
        assert!(advice(reached(&node)).contains("--bootstrap"));
    }

    #[test]
    fn a_node_that_listens_nowhere_is_told() {
        let mut deaf = node(ReachabilityView::Unknown, MappingView::Unknown, 0);
        deaf.addresses.clear();
        assert_eq!(listening(&deaf).level, Level::Problem);
    }
}
