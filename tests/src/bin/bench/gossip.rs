//! The limit of a live record: gossipsub with the node's settings and nothing
//! else, which carries the announcements that the node would send.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures::StreamExt;
use headwater::net::gossip::{Gossip, gossip};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::log::{Announcement, Appender};
use headwater_protocols::merkle::CompactRange;
use headwater_protocols::record::put_record;
use headwater_protocols::time::Timestamp;
use libp2p::gossipsub::{Event, IdentTopic, MessageAcceptance};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde::{Deserialize, Serialize};
use tokio::time::{Interval, interval, timeout};

use crate::node::{PATIENCE, records};
use crate::process::{Calls, answer, monotonic_ns};

pub(crate) const LOG: LogId = LogId([7; 32]);

/// A call of the process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// Answered by the address it listens on.
    Listen,
    /// Dial another one.
    Dial(String),
    /// Wait until another one subscribes.
    Subscribed,
    /// Publish announcements of one record, one every so often; answered by the
    /// moment before each, in nanoseconds.
    PublishPaced { count: u64, every_us: u64 },
    /// Wait until this many have arrived since the last time; answered by the
    /// moments, in nanoseconds.
    Arrived { count: u64 },
}

/// Plays either end.
pub(crate) async fn act() -> anyhow::Result<()> {
    let mut calls = Calls::from_stdin();
    let mut peer = Peer::listen().await?;
    loop {
        tokio::select! {
            call = calls.next() => match call? {
                None => return Ok(()),
                Some(Call::Listen) => answer(Ok(&peer.address)),
                Some(Call::Dial(address)) => answer(peer.dial(&address)),
                Some(Call::Subscribed) => answer(peer.subscribed().await),
                Some(Call::PublishPaced { count, every_us }) => {
                    let every = Duration::from_micros(every_us);
                    answer(peer.publish(count, interval(every)).await)
                }
                Some(Call::Arrived { count }) => answer(peer.arrived(count).await),
            }?,
            event = peer.swarm.select_next_some() => peer.on_event(event)?,
        }
    }
}

struct Peer {
    swarm: Swarm<Gossip>,
    topic: IdentTopic,
    address: String,
    arrived: Vec<u64>,
    has_subscriber: bool,
}

impl Peer {
    async fn listen() -> anyhow::Result<Self> {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::default().nodelay(true),
                noise::Config::new,
                yamux::Config::default,
            )?
            .with_behaviour(|keypair| Ok(gossip(keypair)?))?
            .with_swarm_config(|config| {
                config.with_idle_connection_timeout(Duration::from_secs(60))
            })
            .build();
        let topic = IdentTopic::new(LOG.data_topic());
        swarm.behaviour_mut().subscribe(&topic)?;
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
        let local = Protocol::P2p(*swarm.local_peer_id());
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address.with(local).to_string();
            }
        };
        Ok(Self {
            swarm,
            topic,
            address,
            arrived: Vec::new(),
            has_subscriber: false,
        })
    }

    fn on_event(&mut self, event: SwarmEvent<Event>) -> anyhow::Result<()> {
        match event {
            SwarmEvent::Behaviour(Event::Message {
                propagation_source,
                message_id,
                ..
            }) => {
                self.arrived.push(monotonic_ns()?);
                self.swarm.behaviour_mut().report_message_validation_result(
                    &message_id,
                    &propagation_source,
                    MessageAcceptance::Accept,
                );
            }
            SwarmEvent::Behaviour(Event::Subscribed { .. }) => self.has_subscriber = true,
            _ => {}
        }
        Ok(())
    }

    fn dial(&mut self, address: &str) -> anyhow::Result<()> {
        Ok(self.swarm.dial(address.parse::<Multiaddr>()?)?)
    }

    async fn subscribed(&mut self) -> anyhow::Result<()> {
        while !self.has_subscriber {
            let event = self.swarm.select_next_some().await;
            self.on_event(event)?;
        }
        Ok(())
    }

    async fn arrived(&mut self, count: u64) -> anyhow::Result<Vec<u64>> {
        let all = async {
            while (self.arrived.len() as u64) < count {
                let event = self.swarm.select_next_some().await;
                self.on_event(event)?;
            }
            anyhow::Ok(())
        };
        let in_time = timeout(PATIENCE, all).await;
        in_time.with_context(|| {
            let arrived = self.arrived.len();
            format!("gossipsub delivered {arrived} of {count} messages")
        })??;
        Ok(std::mem::take(&mut self.arrived))
    }

    async fn publish(&mut self, count: u64, mut ticks: Interval) -> anyhow::Result<Vec<u64>> {
        let mut messages = announcements(count).into_iter();
        let mut published = Vec::new();
        let mut next = messages.next();
        while next.is_some() {
            tokio::select! {
                _ = ticks.tick() => {
                    let message = next.take().context("there is a message")?;
                    published.push(monotonic_ns()?);
                    self.swarm.behaviour_mut().publish(self.topic.clone(), message)?;
                    next = messages.next();
                }
                event = self.swarm.select_next_some() => self.on_event(event)?,
            }
        }
        Ok(published)
    }
}

/// Who announces.
pub(crate) fn announcer() -> SigningKey {
    SigningKey::from_secret(&mut [1; 32])
}

/// What the owner of a log announces, record by record.
pub(crate) fn announcements(count: u64) -> Vec<Bytes> {
    let key = announcer();
    let mut appender = Appender::new(CompactRange::empty(0));
    // Times make the messages of two calls differ: gossipsub drops duplicates.
    let started = headwater::handle::now();
    (0..count)
        .zip(records(0, count, 100))
        .map(|(index, record)| {
            let prefix = appender.frontier().clone();
            appender.append([record.leaf()]);
            let time = Timestamp(started.0.saturating_add_unsigned(index));
            let head = appender.head(LOG, time).sign(&key);
            let mut bytes = bytes::BytesMut::new();
            put_record(&mut bytes, record.as_bytes());
            Announcement::encode(&head, &prefix, &bytes.freeze(), appender.frontier())
        })
        .collect()
}
