//! Finding those who have our streams: what the rooms for it are told, and what is
//! done with Kademlia for them.

use headwater_protocols::id::LogId;
use headwater_protocols::time::Timestamp;
use libp2p::core::ConnectedPoint;
use libp2p::kad::{self, GetProvidersOk, ProgressStep, QueryResult};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::super::action::{Action, Query};
use super::super::discovery::key::key;
use super::super::discovery::need;
use super::super::discovery::table::{self, Kademlia, Table};
use super::super::exchange::OwnStream;
use super::super::idle::Crowd;
use super::super::nat::remote_address;
use super::super::origin::Origin;
use super::Network;
use crate::handle::{self, Node};

impl Network {
    fn kad(&mut self) -> &mut Kademlia {
        &mut self.swarm.behaviour_mut().kad
    }

    fn table(&mut self) -> Table {
        Table::of(self.kad())
    }

    pub(super) fn let_kad_rest(&mut self) {
        table::let_rest(self.kad());
    }

    pub(super) fn serve_kad(&mut self, serves: bool) {
        table::serve(self.kad(), serves);
    }

    /// Looks at what the streams need.
    pub(super) fn look_for_streams(&mut self, now: Instant) {
        self.let_kad_rest();
        let short = self.exchange.lookups(handle::now());
        let streams = self.node.streams();
        let needs = streams.iter().map(|status| need(status)).collect();
        let table = self.table();
        let actions = self.discovery.tick(needs, &short, table, now);
        self.carry_out(actions);
        self.dial_providers();
    }

    /// Looks at whether our streams have peers enough.
    pub(super) fn look_for_company(&mut self, clock: Instant) {
        let (streams, now) = (self.node.streams(), handle::now());
        let ours = streams.iter().filter_map(|status| OwnStream::of(status));
        self.exchange.tick(ours, &mut self.dialer, clock, now);
        self.find_company(now);
        let (dialer, nat) = (&self.dialer, &self.nat);
        let is_kept = |peer: &PeerId| dialer.keeps(peer) || nat.is_relay(peer);
        let info = self.swarm.network_info();
        let counters = info.connection_counters();
        let crowd = Crowd {
            open: counters.num_established(),
            incoming: counters.num_established_incoming(),
            max: self.exchange.max_connections(),
        };
        let idle = self.exchange.let_go(is_kept, crowd, now);
        self.carry_out(idle);
        self.exchange.write_cache(now);
    }

    /// Does what the exchange wants done; what it does next goes by what came of
    /// each dial.
    pub(super) fn find_company(&mut self, now: Timestamp) {
        loop {
            let node = &self.node;
            let action = self.exchange.next(|log| publisher(node, log), now);
            match action {
                Some(Action::Dial(dial)) => {
                    let peer = dial.peer;
                    let begun = self.swarm.dial(dial.options());
                    self.exchange.dialled(peer, &begun, now);
                }
                Some(action) => self.act(action),
                None => return,
            }
        }
    }

    /// Makes a query.
    pub(super) fn query(&mut self, query: Query) {
        let id = match query {
            Query::Lookup(log) => Some(self.kad().get_providers(key(log))),
            Query::Announce(log) => self.kad().start_providing(key(log)).ok(),
        };
        match id {
            Some(id) => {
                tracing::trace!(?query, "asking");
                self.asked.queries.insert(id, query);
            }
            None => self.discovery.not_asked(query, Instant::now()),
        }
    }

    pub(super) fn stop_providing(&mut self, log: LogId) {
        self.kad().stop_providing(&key(log));
    }

    pub(super) fn on_kad(&mut self, event: kad::Event) {
        let now = Instant::now();
        match event {
            kad::Event::OutboundQueryProgressed {
                id,
                result,
                step: ProgressStep { last, .. },
                stats,
            } => {
                let Some(&query) = self.asked.queries.get(&id) else {
                    return;
                };
                if let Query::Lookup(log) = query
                    && let QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders {
                        providers,
                        ..
                    })) = result
                {
                    let found = self.addresses_of(providers);
                    self.discovery.found(log, found);
                    self.dial_providers();
                }
                if last {
                    tracing::trace!(?query, ?stats, "asked");
                    self.asked.queries.remove(&id);
                    let (answered, table) = (stats.num_successes() > 0, self.table());
                    let actions = self.discovery.asked(query, answered, table, now);
                    self.carry_out(actions);
                }
            }
            kad::Event::RoutablePeer { peer, address } => {
                table::routable(self.kad(), peer, address);
            }
            kad::Event::RoutingUpdated {
                is_new_peer: true,
                peer,
                ..
            } => {
                tracing::debug!(%peer, "a peer that can be asked who has a stream");
                let table = self.table();
                let actions = self.discovery.met(table, now);
                self.carry_out(actions);
            }
            kad::Event::RoutingUpdated { .. }
            | kad::Event::PendingRoutablePeer { .. }
            | kad::Event::UnroutablePeer { .. }
            | kad::Event::InboundRequest { .. }
            | kad::Event::ModeChanged { .. } => {}
        }
    }

    /// Where those may be who are said to have a stream, but for ourselves and
    /// who is connected.
    fn addresses_of(
        &mut self,
        providers: impl IntoIterator<Item = PeerId>,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let local = *self.swarm.local_peer_id();
        let mut found = Vec::new();
        for peer in providers {
            if peer != local && !self.swarm.is_connected(&peer) {
                found.push((peer, table::known_addresses(self.kad(), peer)));
            }
        }
        found
    }

    /// There is news for those who can be asked.
    pub(super) fn hurry_queries(&mut self) {
        let table = self.table();
        let actions = self.discovery.hurry(table, Instant::now());
        self.carry_out(actions);
    }

    /// Who is connected is told to Kademlia's store.
    pub(super) fn provider_connected(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        let remote = endpoint.get_remote_address();
        let origin = Origin::of(&remote_address(peer, endpoint));
        if (self.kad().store_mut()).connected(peer, remote, origin) {
            self.discovery.connected(peer);
        }
        self.provider_dialled(&peer);
    }

    pub(super) fn provider_closed(&mut self, peer: &PeerId) {
        self.kad().store_mut().closed(peer);
        self.discovery.closed(peer);
    }

    pub(super) fn provider_identified(&mut self, peer: PeerId, info: &libp2p::identify::Info) {
        let was_known = table::identified(self.kad(), peer, info);
        let table = self.table();
        let now = Instant::now();
        let actions = (self.discovery).identified(&peer, was_known, table, now);
        self.carry_out(actions);
    }

    /// A dial has ended, perhaps one of those who were found.
    pub(super) fn provider_dialled(&mut self, peer: &PeerId) {
        if self.discovery.dialled(peer) {
            self.dial_providers();
        }
    }

    /// Dials those who were found. Whoever cannot be dialled (a banned peer)
    /// leaves the place to others.
    fn dial_providers(&mut self) {
        loop {
            let node = &self.node;
            let dials = (self.discovery).dials(|log| publisher(node, log));
            let mut failed = false;
            for dial in dials {
                let peer = dial.peer;
                if let Err(error) = self.swarm.dial(dial.options()) {
                    tracing::debug!(%peer, %error, "not dialled");
                    self.discovery.dialled(&peer);
                    failed = true;
                }
            }
            if !failed {
                return;
            }
        }
    }
}

/// Who publishes a stream, if that is known.
pub(super) fn publisher(node: &Node, log: LogId) -> Option<PeerId> {
    let status = node.stream(log)?;
    let manifest = status.manifest.as_ref()?;
    Some(manifest.publisher.peer_id())
}
