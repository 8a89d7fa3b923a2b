//! The task that owns the swarm. It never waits for disk, hashing or
//! signatures: what it hears goes to the engine, what the engine decides comes
//! back.

mod acting;
mod bans;
mod dead;
mod events;
mod finding;
mod gossip;
mod peers;
mod requests;

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use headwater_protocols::engine::{Input, Output};
use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::gossipsub::{IdentTopic, PublishError};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Swarm, swarm};
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::addresses::useful_to_others;
use super::behaviour::{Behaviour, Services};
use super::bootstraps::{Bootstraps, without_self};
use super::connection_limits::Bounds;
use super::departures::Departures;
use super::dialer::Dialer;
use super::discovery::{Discovery, is_reachable};
use super::exchange::{Exchange, ExchangeConfig};
use super::gossip::topic_score;
use super::gossip_noise::GossipNoise;
use super::gossip_offenders::GossipOffenders;
use super::limits::{DIALLED_AT_ONCE, LISTEN_TIMEOUT, MAX_NEGOTIATED_SUBSTREAMS, PING_TIMEOUT};
use super::lines::Lines;
use super::meetings::Meetings;
use super::nat::Nat;
use super::nat::circuit_meter::CircuitMeter;
use super::observations::Observations;
use super::own_record::OwnRecord;
use super::private_network::strangers::Strangers;
use super::rivals::Rivals;
use super::sync_streams::FrameSender;
use super::transport::transport;
use crate::config::Config;
use crate::failure::Failure;
use crate::handle::{self, Node, PeersAsked};
use crate::keys::NetworkKey;
use bans::Bans;
use requests::Asked;

/// Inputs that one event of the swarm can turn into, at most.
const INPUTS_PER_EVENT: usize = 2;

/// Questions of users for the peers of a stream that wait; more of them wait at
/// their senders.
const QUEUED_QUESTIONS: usize = 16;

/// What the swarm task is made of.
pub(crate) struct Network {
    swarm: Swarm<Behaviour>,
    node: Node,
    dialer: Dialer,
    /// Listeners that have no address yet. Nobody is dialled before they have:
    /// a dial that does not come from a listen port tells nothing about how a
    /// router maps that port, and punches no hole for it.
    opening: HashSet<ListenerId>,
    /// When dialling begins although one of them has no address.
    dials_from: Instant,
    discovery: Discovery,
    exchange: Exchange,
    stream_peers: mpsc::Receiver<PeersAsked>,
    bootstraps: Bootstraps,
    offenders: GossipOffenders,
    noise: GossipNoise,
    nat: Nat,
    lines: Lines,
    departures: Departures,
    rivals: Rivals,
    meetings: Meetings,
    observations: Observations,
    asked: Asked,
    own_record: OwnRecord,
    /// Answers those who look for a stream, whether it is reached or not.
    serves_discovery: bool,
    external: Vec<Multiaddr>,
    strangers: Strangers,
    bans: Bans,
    /// What the engine is told as soon as there is room.
    backlog: VecDeque<Input>,
    /// Places in the engine's queue that are ours already, so that no event is
    /// taken from the swarm that could not be passed on at once.
    permits: Vec<OwnedPermit<Input>>,
    inputs: mpsc::Sender<Input>,
}

/// What the swarm needs to start.
pub(crate) struct NetworkConfig {
    pub(crate) keypair: Keypair,
    pub(crate) network_key: Option<NetworkKey>,
    /// What a user may choose.
    pub(crate) options: Config,
    /// To stay connected to, beside the bootstrap nodes.
    pub(crate) dial: Vec<Multiaddr>,
    pub(crate) limits: Bounds,
    pub(crate) services: Services,
    /// The file of peers, if there is to be one.
    pub(crate) cache: Option<PathBuf>,
}

impl NetworkConfig {
    /// What the node does for others: where it is reached, others can ask it.
    fn offered(&self, is_operator: bool) -> Services {
        Services {
            discovery: is_operator || self.options.external.iter().any(is_reachable),
            ..self.services
        }
    }

    /// How many peers it wants, and which it knows.
    fn company(&self) -> ExchangeConfig {
        ExchangeConfig {
            local: self.keypair.public().to_peer_id(),
            enough: self.options.min_peers,
            connections: usize::try_from(self.limits.total).unwrap_or(usize::MAX),
            cache: self.cache.clone(),
        }
    }
}

impl Network {
    /// Builds the swarm and listens.
    ///
    /// # Errors
    /// An address cannot be listened on.
    pub(crate) fn listen(
        config: NetworkConfig,
        node: Node,
        inputs: mpsc::Sender<Input>,
        frames: FrameSender,
    ) -> anyhow::Result<Self> {
        let is_operator = config.services != Services::default();
        let services = config.offered(is_operator);
        let company = config.company();
        let (options, local) = (config.options, company.local);
        let strangers = Strangers::default();
        let meter = CircuitMeter::new(options.relayed_bytes_per_second);
        let lines = Lines::default();
        let (transport, relay_client) = transport(
            &config.keypair,
            config.network_key.as_ref(),
            &strangers,
            meter.clone(),
            &lines,
        )?;
        let behaviour = Behaviour::new(
            &config.keypair,
            options.access(),
            config.limits,
            services,
            relay_client,
            frames,
        )?;
        let mut swarm = Swarm::new(transport, behaviour, local, swarm_config());
        if options.mdns {
            swarm.behaviour_mut().start_mdns(local)?;
        }
        let opening = open_listeners(&mut swarm, options.listen)?;
        for address in &options.external {
            swarm.add_external_address(address.clone());
        }
        let mut dialer = Dialer::default();
        let guarded = config.network_key.is_some();
        let bootstrap = without_self(options.bootstrap, local);
        let bootstraps = Bootstraps::new(&bootstrap, guarded, &node);
        for address in config.dial {
            dialer.keep(address, Instant::now());
        }
        let (asks, stream_peers) = mpsc::channel(QUEUED_QUESTIONS);
        node.set_stream_peers(asks);
        let observations = Observations::new(&node);
        let (clock, now) = (Instant::now(), handle::now());
        let exchange = Exchange::new(company, bootstrap, &mut dialer, clock, now);
        Ok(Self {
            swarm,
            node,
            dialer,
            opening,
            dials_from: Instant::now() + LISTEN_TIMEOUT,
            discovery: Discovery::new(Instant::now()),
            exchange,
            stream_peers,
            bootstraps,
            offenders: GossipOffenders::new(Instant::now()),
            noise: GossipNoise::default(),
            nat: Nat::new(is_operator, &options.external, meter),
            departures: Departures::new(lines.clone(), Instant::now()),
            lines,
            rivals: Rivals::default(),
            meetings: Meetings::new(local),
            observations,
            asked: Asked::default(),
            own_record: OwnRecord::new(config.keypair),
            serves_discovery: services.discovery,
            external: options.external,
            strangers,
            bans: Bans::default(),
            backlog: VecDeque::new(),
            permits: Vec::new(),
            inputs,
        })
    }

    /// Runs until it is told to stop, or the engine is gone.
    pub(crate) async fn run(
        mut self,
        mut outputs: mpsc::Receiver<Output>,
        mut dials: mpsc::UnboundedReceiver<Multiaddr>,
        mut stop: oneshot::Receiver<()>,
    ) {
        // A node that listens nowhere says so in its record.
        self.addresses_changed();
        let mut sleeps = self.node.watch_sleep();
        loop {
            let due = self.next_due();
            tokio::select! {
                biased;
                _ = &mut stop => break,
                output = outputs.recv() => match output {
                    Some(output) => self.apply(output),
                    None => break,
                },
                Some(address) = dials.recv() => self.dialer.keep(address, Instant::now()),
                Some((log, reply)) = self.stream_peers.recv() => {
                    // Whoever asked may have gone.
                    let _ = reply.send(self.exchange.peers_of(log, &self.node));
                }
                Ok(()) = sleeps.changed() => {
                    let slept = *sleeps.borrow_and_update();
                    self.woke_up(slept);
                }
                due = self.observations.next() => self.on_observations_due(due),
                () = sleep_until(due), if due.is_some() => self.timers(),
                permit = self.inputs.clone().reserve_owned(), if self.needs_permit() => {
                    match permit {
                        Ok(permit) => self.permitted(permit),
                        Err(_) => break,
                    }
                }
                event = self.swarm.select_next_some(), if !self.needs_permit() => {
                    self.on_event(event);
                }
            }
        }
        self.exchange.close().await;
    }

    /// Closes what was connected before the machine slept for long: the others have
    /// given it up, which would be noticed by the next ping. It is dialled again.
    fn woke_up(&mut self, slept: Duration) {
        if slept < PING_TIMEOUT {
            return;
        }
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        tracing::info!(peers = peers.len(), "connections from before are closed");
        self.lines.cut_all();
        self.departures.hurry(Instant::now());
        for peer in peers {
            // It may just have been closed.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    fn needs_permit(&self) -> bool {
        !self.backlog.is_empty() || self.permits.len() < INPUTS_PER_EVENT
    }

    fn permitted(&mut self, permit: OwnedPermit<Input>) {
        match self.backlog.pop_front() {
            Some(input) => {
                permit.send(input);
            }
            None => self.permits.push(permit),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let discovery = self.discovery.next_due();
        let others = [discovery, self.exchange.next_due()];
        let dials = self.dialer.next_due().into_iter().chain(others);
        let dials = dials.map(|due| match self.opening.is_empty() {
            true => due,
            false => due.max(self.dials_from),
        });
        (self.bans.next_due().into_iter())
            .chain(dials)
            .chain([self.offenders.next_due()])
            .chain(self.nat.next_due())
            .chain(self.meetings.next_due(Instant::now(), handle::now()))
            .chain([self.departures.next_due()])
            .chain(self.rivals.next_due())
            .min()
    }

    fn timers(&mut self) {
        let now = Instant::now();
        self.end_bans(now);
        if self.departures.next_due() <= now {
            self.look_for_departures(now);
        }
        self.part_from_stale(now);
        let actions = self.nat.tick(now);
        self.carry_out(actions);
        self.tell_nat();
        self.meetings.tick(handle::now());
        if self.offenders.is_due(now) {
            self.drop_gossip_offenders();
        }
        if !self.opening.is_empty() && now < self.dials_from {
            return;
        }
        let swarm = &self.swarm;
        let due = self.dialer.take_due(now, |peer| swarm.is_connected(peer));
        for due in due {
            let addresses = due.addresses.clone();
            let others = due
                .peer
                .map_or(&[][..], |peer| self.exchange.addresses(&peer));
            let Some(options) = due.options(others) else {
                continue;
            };
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(?addresses, %error, "cannot dial");
            }
        }
        if self.discovery.next_due() <= now {
            self.look_for_streams(now);
        }
        if self.exchange.next_due() <= now {
            self.look_for_company(now);
        }
    }

    /// Passes something on to the engine. A place in its queue is kept free
    /// before each event is taken.
    fn input(&mut self, input: Input) {
        match self.permits.pop() {
            Some(permit) => {
                permit.send(input);
            }
            None => debug_assert!(false, "an event became more inputs than permits"),
        }
    }

    fn apply(&mut self, output: Output) {
        let behaviour = self.swarm.behaviour_mut();
        match output {
            Output::Send(peer, lane, bytes) => {
                if !behaviour.send(peer, lane, bytes) {
                    tracing::trace!(%peer, "a frame for a peer that is gone");
                }
            }
            Output::Subscribe(topic) => {
                let ident = IdentTopic::new(topic.to_string());
                if let Err(error) = behaviour.gossip.subscribe(&ident) {
                    tracing::error!(%topic, %error, "cannot subscribe");
                }
                if let Err(error) = behaviour
                    .gossip
                    .set_topic_params(ident.clone(), topic_score())
                {
                    tracing::error!(%topic, %error, "cannot score a topic");
                }
                // Those who subscribed before us were not of interest then.
                let hash = ident.hash();
                let peers = (behaviour.gossip.all_peers())
                    .filter(|(_, topics)| topics.contains(&&hash))
                    .map(|(&peer, _)| Input::Subscribed(peer, topic));
                self.backlog.extend(peers);
            }
            Output::Unsubscribe(topic) => {
                behaviour
                    .gossip
                    .unsubscribe(&IdentTopic::new(topic.to_string()));
            }
            Output::Publish(topic, data) => {
                let topic = IdentTopic::new(topic.to_string());
                match behaviour.gossip.publish(topic.clone(), data) {
                    Ok(_) => {}
                    // Whoever comes later asks for the head.
                    Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {}
                    Err(error) => tracing::warn!(%topic, %error, "an announcement was not sent"),
                }
            }
            Output::Dial { peer, log, record } => {
                let dial = (self.meetings).dial(peer, log, record, &self.networks());
                self.carry_out(dial);
            }
            Output::Meet {
                peer, hash, server, ..
            } => {
                let (swarm, networks) = (&self.swarm, self.networks());
                let is_connected = |peer: &PeerId| swarm.is_connected(peer);
                let registration =
                    (self.meetings).meet(peer, hash, &server, &networks, is_connected);
                self.carry_out(registration);
            }
            Output::Verdict { id, from, verdict } => self.judged(&id, from, verdict),
            Output::Ban(peer, misbehaviour) => self.ban(peer, &misbehaviour),
            // Of interest to those who hold a `Node`, not to the network.
            Output::Reply(..)
            | Output::Sync
            | Output::Audited(_)
            | Output::Probe
            | Output::Stopped(_)
            | Output::Resumed
            | Output::Refused(_)
            | Output::Reclaim(_)
            | Output::ReclaimChunks(..)
            | Output::Signed(..)
            | Output::Changed(_)
            | Output::Counted(_) => {}
        }
    }

    /// Others should hear of it now, and not at the next round of identify.
    fn external_changed(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        self.swarm.behaviour_mut().identify.push(peers);
        self.hurry_queries();
        self.addresses_changed();
    }

    /// As [`external_changed`](Self::external_changed), while anybody is there to
    /// hear of it.
    fn listeners_changed(&mut self) {
        let has_company = self.swarm.connected_peers().next().is_some();
        match has_company {
            true => self.external_changed(),
            false => self.addresses_changed(),
        }
    }

    fn addresses_changed(&mut self) {
        let serves = self.serves_discovery || self.nat.is_reachable();
        self.serve_kad(serves);
        self.meetings.serve(serves);
        self.tell_nat();
        let local = self.node.local_peer();
        let confirmed = self.swarm.external_addresses();
        let mut addresses: Vec<Multiaddr> = Vec::new();
        // Those that lead here directly first.
        for address in (self.external.iter())
            .chain(self.nat.addresses())
            .chain(confirmed)
            .chain(
                self.swarm
                    .listeners()
                    .filter(|own| self.departures.is_here(own)),
            )
        {
            let named = match address.iter().last() {
                Some(Protocol::P2p(_)) => address.clone(),
                _ => address.clone().with(Protocol::P2p(local)),
            };
            if !addresses.contains(&named) {
                addresses.push(named);
            }
        }
        if let Some(record) = self.own_record.addresses_changed(&addresses) {
            self.meetings.set_record(record.bytes.clone());
            self.exchange.set_record(record);
        }
        self.backlog.extend(self.meetings.news());
        self.node.set_addresses(useful_to_others(addresses));
    }
}

/// Listens at these addresses.
fn open_listeners(
    swarm: &mut Swarm<Behaviour>,
    addresses: Vec<Multiaddr>,
) -> anyhow::Result<HashSet<ListenerId>> {
    let mut opening = HashSet::new();
    for address in addresses {
        let listener = swarm.listen_on(address.clone()).map_err(|error| {
            let failure = match error {
                TransportError::MultiaddrNotSupported(_) => Failure::Usage,
                TransportError::Other(_) => Failure::ForNow,
            };
            failure.mark(anyhow::anyhow!(
                "cannot listen on {address}: {}; choose another address with --listen",
                root_cause(&error)
            ))
        })?;
        opening.insert(listener);
    }
    Ok(opening)
}

fn swarm_config() -> swarm::Config {
    // The sync streams keep a connection alive as long as they are open; others
    // (a monitoring tool, say) may go.
    swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(Duration::from_secs(60))
        .with_dial_concurrency_factor(DIALLED_AT_ONCE)
        .with_max_negotiating_inbound_streams(MAX_NEGOTIATED_SUBSTREAMS)
        // A connection stands still while its events wait here.
        .with_per_connection_event_buffer_size(64)
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The last error of a chain says what the system said.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
