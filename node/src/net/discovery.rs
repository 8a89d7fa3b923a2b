//! Finding those who have a stream through Kademlia, with nothing but the
//! stream's id: nodes that hold something of a stream announce themselves as
//! its providers, and a stream that is followed and has no source is looked up.
//!
//! What a provider says of itself is only a hint whom to dial; what it then
//! delivers is proved as everything else.

mod agenda;
mod candidates;
pub(super) mod key;
pub(crate) mod provider_store;
mod shares;
pub(super) mod table;

use std::collections::BTreeSet;

use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;
use libp2p::{Multiaddr, PeerId, kad};
use tokio::time::Instant;

use super::action::{Action, Dial, Query};
use super::addresses::{Reach, is_circuit, reach};
use super::dialer::plain_dial;
use super::limits::DISCOVERY_TICK;
use super::random;
use agenda::{Agenda, Need};
use candidates::Candidates;
use table::Table;

/// Whether an address that the user gave makes this node one that others can
/// ask.
pub(super) fn is_reachable(external: &Multiaddr) -> bool {
    !is_circuit(external) && reach(external).is_some_and(|reach| reach > Reach::Machine)
}

/// What is looked up and announced, and who is dialled for it.
pub(super) struct Discovery {
    agenda: Agenda,
    candidates: Candidates,
    /// Connected peers that have not said yet who they are.
    strangers: BTreeSet<PeerId>,
    due: Instant,
}

impl Discovery {
    /// Nothing is known yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            agenda: Agenda::default(),
            candidates: Candidates::default(),
            strangers: BTreeSet::new(),
            due: now,
        }
    }

    /// When [`tick`](Self::tick) is to be called.
    pub(super) fn next_due(&self) -> Instant {
        self.due
    }

    /// Takes what the streams need, and makes the queries that are due; those
    /// that are `short` of peers are looked up as well.
    pub(super) fn tick(
        &mut self,
        mut needs: Vec<Need>,
        short: &BTreeSet<LogId>,
        table: Table,
        now: Instant,
    ) -> Vec<Action> {
        self.due = now + DISCOVERY_TICK;
        for need in &mut needs {
            need.lacks_source |= short.contains(&need.log);
        }
        let withdrawn = self.agenda.set_needs(&needs, now).into_iter();
        let mut actions: Vec<Action> = withdrawn.map(Action::StopProviding).collect();
        let lacking = needs.iter().filter(|need| need.lacks_source);
        let lacking: BTreeSet<LogId> = lacking.map(|need| need.log).collect();
        self.candidates.retain(|log| lacking.contains(&log));
        actions.extend(self.queries(table, now));
        actions
    }

    /// The queries to make now. Whoever knows nobody asks nobody; the first who
    /// is met changes that. (A server answers for itself, too.)
    fn queries(&mut self, table: Table, now: Instant) -> Vec<Action> {
        if table.servers == 0 && !table.serves {
            return Vec::new();
        }
        let due = self.agenda.take_due(now);
        due.into_iter().map(Action::Query).collect()
    }

    /// A query cannot be made.
    pub(super) fn not_asked(&mut self, query: Query, now: Instant) {
        self.agenda.ended(query, false, now, random());
    }

    /// A query is over, and somebody `answered`, or nobody.
    pub(super) fn asked(
        &mut self,
        query: Query,
        answered: bool,
        table: Table,
        now: Instant,
    ) -> Vec<Action> {
        self.agenda.ended(query, answered, now, random());
        self.queries(table, now)
    }

    /// Looks up and announces what is due soon now: others can reach us at new
    /// addresses.
    pub(super) fn hurry(&mut self, table: Table, now: Instant) -> Vec<Action> {
        self.agenda.hurry();
        self.queries(table, now)
    }

    /// Notes a connection to somebody who was not connected.
    pub(super) fn connected(&mut self, peer: PeerId) {
        self.strangers.insert(peer);
    }

    /// Notes that the last connection to a peer is closed.
    pub(super) fn closed(&mut self, peer: &PeerId) {
        self.strangers.remove(peer);
    }

    /// A peer has said who it is, which it does again every few minutes; a
    /// server `was_known` before, or not.
    pub(super) fn identified(
        &mut self,
        peer: &PeerId,
        was_known: bool,
        table: Table,
        now: Instant,
    ) -> Vec<Action> {
        let is_back = self.strangers.remove(peer);
        if !is_back || !was_known {
            return Vec::new();
        }
        // It may have been started anew, and have forgotten everything.
        self.met(table, now)
    }

    /// There is somebody new to ask and to tell. In a network of few servers
    /// each of them is among the closest of every key; in a larger one the
    /// others still know.
    pub(super) fn met(&mut self, table: Table, now: Instant) -> Vec<Action> {
        if table.servers > kad::K_VALUE.get() {
            return Vec::new();
        }
        self.hurry(table, now)
    }

    /// Notes who is said to have a stream, and where they may be.
    pub(super) fn found(
        &mut self,
        log: LogId,
        providers: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>,
    ) {
        for (peer, addresses) in providers {
            tracing::debug!(stream = %log, %peer, ?addresses, "a peer is said to have the stream");
            if !addresses.is_empty() {
                self.candidates.found(log, peer, addresses);
            }
        }
    }

    /// Whom to dial now. Each is over once [`dialled`](Self::dialled) says so.
    pub(super) fn dials(&mut self, publisher_of: impl Fn(LogId) -> Option<PeerId>) -> Vec<Dial> {
        let taken = self.candidates.take(publisher_of, random).into_iter();
        taken
            .map(|(peer, addresses)| plain_dial(peer, addresses))
            .collect()
    }

    /// Notes that a dial has ended, well or not; `false` when it was none of ours.
    pub(super) fn dialled(&mut self, peer: &PeerId) -> bool {
        self.candidates.dialled(peer)
    }
}

/// What a stream needs.
pub(super) fn need(status: &LogStatus) -> Need {
    // Nothing more is taken of a stream that is stopped for good, or of which nobody knows
    // what counts.
    let takes = status.followed && !status.owned && status.stopped_for_good.is_none();
    let lacks = status.sources.is_empty() || status.lacks_end();
    Need {
        log: status.log,
        lacks_source: takes && status.is_clear() && lacks,
        provides: status.owned || status.followed && status.held_records > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::{ANNOUNCE_AGAIN, QUERY_BACKOFF};
    use super::*;

    /// A table with this many servers, of a node that is none.
    fn knows(servers: usize) -> Table {
        let serves = false;
        Table { servers, serves }
    }

    fn log(number: u8) -> LogId {
        LogId::of_manifest(&[number])
    }

    fn lacks_source(number: u8) -> Need {
        Need {
            log: log(number),
            lacks_source: true,
            provides: false,
        }
    }

    fn provides(number: u8) -> Need {
        Need {
            log: log(number),
            lacks_source: false,
            provides: true,
        }
    }

    #[test]
    fn who_knows_nobody_asks_nobody_and_asks_the_first_who_is_met() {
        let now = Instant::now();
        let mut discovery = Discovery::new(now);
        let nobody = BTreeSet::new();
        let needs = vec![lacks_source(1), provides(2)];
        let asked = discovery.tick(needs.clone(), &nobody, knows(0), now);
        assert_eq!(asked, []);
        let both = [
            Action::Query(Query::Lookup(log(1))),
            Action::Query(Query::Announce(log(2))),
        ];
        assert_eq!(discovery.met(knows(1), now), both);
        // A server answers for itself, too.
        let mut server = Discovery::new(now);
        let alone = Table {
            serves: true,
            ..knows(0)
        };
        assert_eq!(server.tick(needs, &nobody, alone, now), both);
    }

    #[test]
    fn a_stream_that_is_short_of_peers_is_looked_up_although_it_has_a_source() {
        let now = Instant::now();
        let mut discovery = Discovery::new(now);
        let enough = Need {
            lacks_source: false,
            ..lacks_source(1)
        };
        let asked = discovery.tick(vec![enough], &BTreeSet::new(), knows(1), now);
        assert_eq!(asked, []);
        let asked = discovery.tick(vec![enough], &[log(1)].into(), knows(1), now);
        assert_eq!(asked, [Action::Query(Query::Lookup(log(1)))]);
    }

    #[test]
    fn what_is_not_held_any_more_is_not_announced_any_more() {
        let now = Instant::now();
        let mut discovery = Discovery::new(now);
        let nobody = BTreeSet::new();
        discovery.tick(vec![provides(1)], &nobody, knows(1), now);
        let actions = discovery.tick(Vec::new(), &nobody, knows(1), now);
        assert_eq!(actions, [Action::StopProviding(log(1))]);
    }

    #[test]
    fn a_server_that_is_back_is_told_again_of_our_streams_but_not_each_time_it_says_who_it_is() {
        let now = Instant::now();
        let mut discovery = Discovery::new(now);
        let query = Query::Announce(log(1));
        discovery.tick(vec![provides(1)], &BTreeSet::new(), knows(1), now);
        discovery.asked(query, true, knows(1), now);
        let (peer, later) = (PeerId::random(), now + ANNOUNCE_AGAIN);
        let says_who_it_is = |discovery: &mut Discovery, known, table| {
            discovery.identified(&peer, known, table, later)
        };
        assert_eq!(says_who_it_is(&mut discovery, true, knows(1)), []);
        discovery.connected(peer);
        // One that is new has been told by the table that it is.
        assert_eq!(says_who_it_is(&mut discovery, false, knows(1)), []);
        discovery.connected(peer);
        // Of many servers the others still know.
        let many = knows(kad::K_VALUE.get() + 1);
        assert_eq!(says_who_it_is(&mut discovery, true, many), []);
        discovery.connected(peer);
        let told = says_who_it_is(&mut discovery, true, knows(1));
        assert_eq!(told, [Action::Query(query)]);
    }

    #[test]
    fn who_was_found_is_dialled_where_it_may_be_and_a_query_that_fails_is_made_again() {
        let now = Instant::now();
        let mut discovery = Discovery::new(now);
        let nobody = BTreeSet::new();
        discovery.tick(vec![lacks_source(1)], &nobody, knows(1), now);
        discovery.not_asked(Query::Lookup(log(1)), now);
        let again = now + QUERY_BACKOFF.first() * 2;
        let asked = discovery.tick(vec![lacks_source(1)], &nobody, knows(1), again);
        assert_eq!(asked, [Action::Query(Query::Lookup(log(1)))]);
        let (found, nowhere) = (PeerId::random(), PeerId::random());
        let at: Vec<Multiaddr> = vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap()];
        discovery.found(log(1), [(found, at.clone()), (nowhere, Vec::new())]);
        assert_eq!(discovery.dials(|_| None), [Dial::new(found, at)]);
        assert_eq!(discovery.dials(|_| None), []);
        assert!(discovery.dialled(&found));
        assert!(!discovery.dialled(&found));
    }

    #[test]
    fn an_address_that_others_reach_makes_a_server() {
        let is = |text: &str| is_reachable(&text.parse().unwrap());
        assert!(is("/ip4/192.0.2.1/tcp/1"));
        assert!(is("/dns/example.org/udp/1/quic-v1"));
        // A private network may be the whole world of its nodes.
        assert!(is("/ip4/10.0.0.1/tcp/1"));
        assert!(!is("/ip4/127.0.0.1/tcp/1"));
        let relay = PeerId::random();
        assert!(!is(&format!(
            "/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit"
        )));
    }
}
