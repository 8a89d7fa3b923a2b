//! How a stream and a peer are shown.

use headwater_client::invite;
use headwater_client::times::text::to_text;
use headwater_client::types::{
    AnswerView, DiskStateView, LagView, MappingView, MaxDiskView, NatView, PathView, PeerView,
    ReachabilityView, RecoveredView, ReopeningView, RoleView, StreamPeerView, StreamView,
};
use headwater_protocols::engine::{Lag, LogStatus, ReopeningStatus};
use headwater_protocols::id::LogId;
use headwater_protocols::log::ForkProof;
use headwater_protocols::manifest::Manifest;
use headwater_protocols::recovery::Recovered;
use headwater_protocols::time::Timestamp;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::limits::MAX_INVITE_ADDRESSES;
use super::manifest_view::manifest_view;
use crate::handle::{
    DiskState, DiskStatus, Mapping, NatStatus, PeerStatus, Reachability, StreamPeer,
};
use crate::net::addresses::is_bound_to_link;

/// What is held of a stream, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamBytes {
    /// Of its records, each with its length.
    pub records: u64,
    /// About what it takes on the disk, if that was asked.
    pub files: Option<u64>,
}

/// A stream as users see it. `addresses` are those of this node, `disk` says
/// what is held of it.
#[must_use]
pub fn stream_view(
    status: &LogStatus,
    addresses: &[Multiaddr],
    disk: StreamBytes,
    now: Timestamp,
) -> StreamView {
    let manifest = status.manifest.as_deref();
    let text = |field: fn(&Manifest) -> &String| manifest.map(field).cloned().unwrap_or_default();
    let head = status.head.as_deref();
    let size = head.map_or(0, |head| head.size);
    let until_then = (status.stopped.as_ref()).filter(|_| status.stopped_for_good.is_none());
    let by_disk = until_then.map(|(why, _)| why.clone());
    let missing_records = missing_records(status);
    StreamView {
        id: status.log.to_string(),
        name: text(|m| &m.name),
        alias: None,
        namesakes: Vec::new(),
        lookalikes: Vec::new(),
        publisher: manifest.map(|m| m.publisher.peer_id().to_string()),
        description: text(|m| &m.description),
        source: text(|m| &m.source),
        unit: text(|m| &m.unit),
        // Of what is too new only what the tree needs was read.
        value_type: (status.manifest.as_ref())
            .filter(|manifest| manifest.too_new().is_none())
            .map(|manifest| manifest.value_type.into()),
        cadence_us: manifest.map(|m| m.cadence_us).filter(|&us| us > 0),
        chunk_level: manifest.map(|m| m.chunk_level),
        target: manifest.and_then(|m| m.target).map(|log| log.to_string()),
        prior: manifest.and_then(|m| m.prior).map(|p| p.stream.to_string()),
        created: manifest.map(|m| to_text(m.created)),
        manifest: manifest_view(status.manifest.as_ref()),
        role: if status.owned {
            RoleView::Publisher
        } else {
            RoleView::Follower
        },
        followed: status.followed,
        size,
        root: head.map(|head| head.root.to_string()),
        head_time: head.map(|head| to_text(head.time)),
        head_age_ms: head.map(|head| age_ms(now, head.time)),
        clock_ahead_ms: status.clock_ahead_us.map(|us| us / 1_000),
        holds_back: status.holds_back,
        held: status.held.iter().map(|i| (i.from, i.to)).collect(),
        held_records: status.held_records,
        retain_age_us: manifest.map(|m| m.retain_us).filter(|&us| us > 0),
        retain_records: manifest.map(|m| m.retain_records).filter(|&n| n > 0),
        begin: status.begin,
        missing_records,
        waits_for_room: status.waits_for_room,
        synced: head.is_some()
            && missing_records == 0
            && status.synced_size >= status.usable_size()
            && status.damage.is_none(),
        damaged_records: (status.damage.as_ref()).map_or(0, |damage| damage.records),
        lag: lag_view(&status.lag),
        record_bytes: disk.records,
        disk_bytes: disk.files,
        served_records: status.served_records,
        sources: status.sources.iter().map(ToString::to_string).collect(),
        known_peers: status.peers.clone(),
        invite: invite_to(status.log, addresses),
        recovered: status.recovered.as_deref().map(recovered_view),
        closed: is_closed(status),
        successor: status.successor().map(|log| log.to_string()),
        ends_at: status.ends_at(),
        forked: status.fork.is_some(),
        disputed_from: status.disputed_from,
        reopening: status.reopening.as_ref().map(reopening_view),
        recovering: (status.reopening.as_ref()).map(|reopening| reopening.why.clone()),
        known_followers: status.known_followers as u64,
        stopped: status.stopped_for_good.clone().or(by_disk),
        stopped_since: until_then.map(|&(_, since)| to_text(since)),
    }
}

/// Whether its owner has signed its end, whatever else.
fn is_closed(status: &LogStatus) -> bool {
    let fork = status.fork.as_deref();
    fork.is_some_and(ForkProof::is_of_closing)
        || (status.head.as_ref()).is_some_and(|head| head.closing.is_some())
}

/// Records that count, are kept, and are not held: of a stream that has ended those of
/// its last head, whatever tree is here.
fn missing_records(status: &LogStatus) -> u64 {
    let (begin, usable) = (status.begin, status.usable_size());
    let counts = status.ends_at().unwrap_or(usable);
    let within = |from: u64, to: u64| -> u64 {
        let parts = status.held.iter();
        parts
            .map(|held| held.to.min(to).saturating_sub(held.from.max(from)))
            .sum()
    };
    let held = match status.disputed_from {
        None => status.held_records.saturating_sub(within(0, begin)),
        Some(_) => within(begin, usable),
    };
    counts.saturating_sub(begin).saturating_sub(held)
}

fn lag_view(lag: &Lag) -> LagView {
    LagView {
        records: lag.records,
        ms: lag.time_us.map(|us| us / 1_000),
        synced_sources: lag.synced_sources as u64,
        full_sources: lag.full_sources as u64,
    }
}

fn recovered_view(recovered: &Recovered) -> RecoveredView {
    RecoveredView {
        size: recovered.tree().size,
        root: recovered.tree().root.to_string(),
        issued: to_text(recovered.issued()),
        successor: recovered.successor().map(|log| log.to_string()),
        contradicted: recovered.is_contradicted(),
    }
}

fn reopening_view(reopening: &ReopeningStatus) -> ReopeningView {
    ReopeningView {
        why: reopening.why.clone(),
        signed_size: reopening.mark.map(|mark| mark.size),
        signed_time: reopening.mark.map(|mark| to_text(mark.time)),
        followers: (reopening.followers.iter())
            .map(ToString::to_string)
            .collect(),
        answers: (reopening.answers.iter())
            .map(|answer| AnswerView {
                peer_id: answer.peer.to_string(),
                size: answer.size,
                signed: to_text(answer.signed),
                counts: answer.counts,
            })
            .collect(),
    }
}

/// Milliseconds since a head was signed; negative if it is dated ahead of `now`.
pub(super) fn age_ms(now: Timestamp, signed: Timestamp) -> i64 {
    now.0.saturating_sub(signed.0) / 1_000
}

/// The invite to a stream: what another machine needs to follow it from here.
/// Addresses that only this machine can dial come last, and those that lead
/// nowhere from elsewhere are left out.
#[must_use]
pub fn invite_to(log: LogId, addresses: &[Multiaddr]) -> String {
    let mut addresses: Vec<_> = addresses.iter().collect();
    addresses.retain(|address| !is_bound_to_link(address));
    addresses.sort_by_key(|address| is_loopback(address));
    invite::format(log, addresses.into_iter().take(MAX_INVITE_ADDRESSES))
}

fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            name == "localhost"
        }
        _ => false,
    }
}

/// A peer of a stream as users see it.
#[must_use]
pub(super) fn stream_peer_view(peer: &StreamPeer) -> StreamPeerView {
    let named = |address: &Multiaddr| address.clone().with(Protocol::P2p(peer.peer));
    StreamPeerView {
        peer_id: peer.peer.to_string(),
        publisher: peer.is_publisher,
        connected: peer.is_connected,
        source: peer.is_source,
        addresses: (peer.addresses.iter())
            .map(|address| named(address).to_string())
            .collect(),
    }
}

/// A peer as users see it, with the streams among `known` that it is a source
/// of.
#[must_use]
pub fn peer_view(peer: &PeerStatus, known: &[std::sync::Arc<LogStatus>]) -> PeerView {
    let serves = |status: &&std::sync::Arc<LogStatus>| status.sources.contains(&peer.peer);
    PeerView {
        peer_id: peer.peer.to_string(),
        addresses: distinct(&peer.addresses),
        path: if peer.is_relayed() {
            PathView::Relayed
        } else {
            PathView::Direct
        },
        agent: peer.agent.clone(),
        rtt_ms: peer.rtt_us.map(|us| us as f64 / 1_000.0),
        syncs: peer.syncs,
        inbound: peer.inbound,
        streams: known
            .iter()
            .filter(serves)
            .map(|s| s.log.to_string())
            .collect(),
    }
}

/// Several connections may lead to one address, through a relay for instance.
fn distinct(addresses: &[Multiaddr]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for address in addresses.iter().map(ToString::to_string) {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    distinct
}

/// The bound of what streams take on the disk.
#[must_use]
pub(super) fn max_disk_view(status: DiskStatus) -> MaxDiskView {
    MaxDiskView {
        used_bytes: status.used,
        max_bytes: status.max,
        state: match status.state {
            DiskState::Free => DiskStateView::Free,
            DiskState::NoHistory => DiskStateView::NoHistory,
            DiskState::Full => DiskStateView::Full,
        },
    }
}

/// What is known of the ways to the node.
#[must_use]
pub(super) fn nat_view(status: &NatStatus) -> NatView {
    NatView {
        reachability: match status.reachability {
            Reachability::Unknown => ReachabilityView::Unknown,
            Reachability::Private => ReachabilityView::Private,
            Reachability::Site => ReachabilityView::Site,
            Reachability::Public => ReachabilityView::Public,
        },
        mapping: match status.mapping {
            Mapping::None => MappingView::None,
            Mapping::Unknown => MappingView::Unknown,
            Mapping::EndpointIndependent => MappingView::EndpointIndependent,
            Mapping::EndpointDependent => MappingView::EndpointDependent,
        },
        relays: status.relays.iter().map(ToString::to_string).collect(),
        punched: status.punched,
        not_punched: status.not_punched,
        relayed_bytes: status.relayed_bytes,
        relayed_bytes_per_second: status.relayed_bytes_per_second,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use headwater_protocols::engine::Lag;
    use headwater_protocols::head::{Closing, Head, Tree};
    use headwater_protocols::identity::{ED25519, SigningKey, key_hash};
    use headwater_protocols::manifest::NONCE_BYTES;
    use headwater_protocols::merkle::{Hash, empty_root};
    use headwater_protocols::ranges::{Interval, IntervalSet};
    use headwater_protocols::record::Record;
    use headwater_protocols::recovery::Recovery;
    use headwater_protocols::store::{Admission, Durability, LogKey, MemoryStore, Store};
    use headwater_protocols::wire::v1;

    use super::*;

    /// Stores the records `[from, to)` of a log: each is `1`, at as many seconds
    /// as its index.
    pub(crate) fn put_seconds(
        store: &MemoryStore,
        key: LogKey,
        held: &mut IntervalSet,
        from: u64,
        to: u64,
    ) {
        let second = |index: u64| Record::new(Timestamp(index as i64 * 1_000_000), b"1");
        let run: Vec<_> = (from..to).map(second).collect();
        let leaves: Vec<_> = run.iter().map(Record::leaf).collect();
        let mut admission = Admission::new(store, key, held);
        admission.put_records(from, &run, &leaves).unwrap();
        let batch = admission.finish();
        store.commit(batch, Durability::Synced).unwrap();
    }

    /// A followed stream of the publisher with this secret, all of it held.
    pub(crate) fn status(name: &str, secret: u8, size: u64) -> LogStatus {
        let key = SigningKey::from_secret(&mut [secret; 32]);
        let manifest = Manifest {
            description: "at the pier".to_owned(),
            source: "own sensor".to_owned(),
            unit: "hPa".to_owned(),
            chunk_level: 8,
            ..Manifest::new(key.public(), name, [7; NONCE_BYTES])
        };
        let manifest = manifest.sign(&key).unwrap();
        let log = manifest.stream();
        let root = if size == 0 {
            empty_root()
        } else {
            Hash([2; 32])
        };
        let head = Head::of_tree(log, Tree { size, root }, Timestamp(1_000_000));
        let all = Interval { from: 0, to: size };
        LogStatus {
            log,
            manifest: Some(manifest),
            key: None,
            owned: false,
            followed: true,
            newest_first: false,
            head: Some(head.sign(&key).into()),
            held: Some(all)
                .filter(|all| !all.is_empty())
                .into_iter()
                .collect(),
            held_records: size,
            begin: 0,
            synced_size: size,
            served_records: 0,
            sources: Vec::new(),
            waits_for_room: false,
            holds_back: false,
            clock_ahead_us: Some(-7_000),
            lag: Lag {
                synced_sources: 1,
                full_sources: 2,
                records: 3,
                time_us: Some(4_000_000),
            },
            peers: vec!["/ip4/192.0.2.1/tcp/4001".to_owned()],
            recovered: None,
            fork: None,
            disputed_from: None,
            damage: None,
            stopped_for_good: None,
            stopped: None,
            reopening: None,
            known_followers: 0,
        }
    }

    fn view(status: &LogStatus) -> StreamView {
        let disk = StreamBytes {
            records: 77,
            files: None,
        };
        stream_view(status, &[], disk, Timestamp(3_500_000))
    }

    #[test]
    fn a_stream_is_synced_when_all_below_its_head_is_held_and_safe() {
        let complete = status("pressure", 1, 10);
        let shown = view(&complete);
        assert!(shown.synced);
        assert_eq!(
            (shown.size, shown.missing_records, shown.held.clone()),
            (10, 0, vec![(0, 10)])
        );
        assert_eq!(
            (shown.head_age_ms, shown.clock_ahead_ms),
            (Some(2_500), Some(-7))
        );
        assert_eq!(
            shown.head_time.as_deref(),
            Some("1970-01-01T00:00:01.000000Z")
        );
        assert_eq!((shown.cadence_us, shown.record_bytes), (None, 77));
        let lag = &shown.lag;
        assert_eq!((lag.records, lag.ms), (3, Some(4_000)));
        assert_eq!((lag.synced_sources, lag.full_sources), (1, 2));

        let not_safe = LogStatus {
            synced_size: 9,
            ..complete.clone()
        };
        assert!(!view(&not_safe).synced);
        let damaged = LogStatus {
            damage: Some(headwater_protocols::engine::Damage {
                records: 2,
                first: 5,
                what: None,
            }),
            ..complete.clone()
        };
        let shown = view(&damaged);
        assert!(!shown.synced);
        assert_eq!(shown.damaged_records, 2);
        let not_held = LogStatus {
            held_records: 9,
            ..complete.clone()
        };
        assert!(!view(&not_held).synced);
        assert_eq!(view(&not_held).missing_records, 1);
        let unknown = LogStatus {
            head: None,
            manifest: None,
            held: Vec::new(),
            held_records: 0,
            ..complete
        };
        let shown = view(&unknown);
        assert!(!shown.synced && shown.name.is_empty() && shown.value_type.is_none());
        assert!(view(&status("pressure", 1, 0)).synced);
    }

    /// Its recovery key has picked a head of this tree.
    fn recovered_to(status: &LogStatus, tree: Tree) -> Option<Box<Recovered>> {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let drawer = SigningKey::from_secret(&mut [55; 32]);
        let recovery = Recovery {
            head: Head::of_tree(status.log, tree, Timestamp(1)).sign(&key),
            successor: None,
            issued: Timestamp(1),
        };
        let said = v1::Recovered {
            statements: vec![recovery.sign(&drawer).to_wire()],
        };
        let by = key_hash(ED25519, &drawer.public().to_bytes());
        let said = Recovered::verify(said, status.log, &key.public(), Some(&by)).unwrap();
        Some(Box::new(said))
    }

    #[test]
    fn a_recovered_stream_is_synced_when_the_tree_of_its_last_head_is_here() {
        let end = Tree {
            size: 20,
            root: Hash([3; 32]),
        };
        let shown = |size, disputed_from, synced_size| {
            let mut status = status("pressure", 1, size);
            status.recovered = recovered_to(&status, end);
            (status.disputed_from, status.synced_size) = (disputed_from, synced_size);
            let shown = view(&status);
            (shown.synced, shown.missing_records, shown.ends_at)
        };
        assert_eq!(shown(10, None, 10), (false, 10, Some(20)));
        // Another tree.
        assert_eq!(shown(25, Some(0), 0), (false, 20, Some(20)));
        assert_eq!(shown(25, Some(20), 20), (true, 0, Some(20)));
        assert_eq!(shown(20, None, 20), (true, 0, Some(20)));
    }

    #[test]
    fn a_stream_with_two_ends_is_continued_by_what_both_name() {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let (one, other) = (LogId([1; 32]), LogId([2; 32]));
        let mut status = status("pressure", 1, 10);
        let tree = status.head.as_ref().unwrap().tree();
        let end = |successor| {
            let open = Head::of_tree(status.log, tree, Timestamp(1));
            let closing = Some(Closing { successor });
            Head { closing, ..open }.sign(&key)
        };
        let (first, second, third) = (end(Some(one)), end(Some(other)), end(None));
        status.head = Some(first.clone().into());
        assert_eq!(view(&status).successor, Some(one.to_string()));
        for second in [second, third] {
            status.fork = ForkProof::of_heads(&first, &second);
            status.disputed_from = Some(10);
            let shown = view(&status);
            assert!(shown.closed && shown.forked && shown.synced);
            assert_eq!((shown.successor, shown.ends_at), (None, Some(10)));
        }
    }

    #[test]
    fn an_address_that_several_connections_lead_to_is_shown_once() {
        let addresses: Vec<Multiaddr> = ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1"]
            .map(|text| text.parse().unwrap())
            .into();
        let connections = [0, 1, 0, 0].map(|place: usize| addresses[place].clone());
        let expected: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(distinct(&connections), expected);
    }

    #[test]
    fn an_invite_has_the_addresses_that_others_can_dial_first() {
        let log = LogId([1; 32]);
        let addresses: Vec<Multiaddr> = [
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/fe80::1/tcp/4001",
            "/ip4/192.0.2.7/tcp/4001",
            "/ip4/192.0.2.7/udp/4001/quic-v1",
            "/ip6/2001:db8::1/tcp/4001",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        assert_eq!(
            invite_to(log, &addresses),
            format!(
                "headwater:{log}?peer=/ip4/192.0.2.7/tcp/4001&peer=/ip4/192.0.2.7/udp/4001/quic-v1\
                 &peer=/ip6/2001:db8::1/tcp/4001&peer=/ip4/127.0.0.1/tcp/1"
            )
        );
        assert_eq!(invite_to(log, &[]), format!("headwater:{log}"));
    }
}
