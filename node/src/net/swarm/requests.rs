//! Questions of peers and their answers, on their way between libp2p and the
//! rooms.

use std::collections::HashMap;

use headwater_protocols::id::LogId;
use headwater_protocols::quorum::Answer;
use libp2p::PeerId;
use libp2p::kad::QueryId;
use libp2p::request_response::{Event, Message, OutboundRequestId, ResponseChannel};

use super::super::action::Query;
use super::super::addresses::Networks;
use super::super::exchange;
use super::super::observations::{self, Due};
use super::super::rendezvous;
use super::Network;
use crate::handle::now;

/// What peers were asked and have not answered yet: libp2p numbers a request when
/// it is sent, and rooms know it by something else.
#[derive(Default)]
pub(super) struct Asked {
    /// For other peers: of which streams.
    pub(super) peers: HashMap<OutboundRequestId, Vec<LogId>>,
    /// Of Kademlia, which numbers its queries, too.
    pub(super) queries: HashMap<QueryId, Query>,
    /// To meet somebody: whom.
    pub(super) meetings: HashMap<OutboundRequestId, PeerId>,
    /// For observations: by the number of the question.
    pub(super) observations: HashMap<OutboundRequestId, u64>,
}

impl Network {
    pub(super) fn on_observations_due(&mut self, due: Due) {
        match due {
            Due::Ask(asked) => {
                let swarm = &self.swarm;
                let actions = (self.observations).ask(&asked, |peer| swarm.is_connected(peer));
                self.carry_out(actions);
            }
            Due::Tell((channel, answer)) => self.tell_observations(channel, answer),
        }
    }

    fn tell_observations(&mut self, channel: ResponseChannel<Answer>, answer: Answer) {
        // It may have gone, or not have waited.
        let messages = &mut self.swarm.behaviour_mut().observations;
        let _ = messages.send_response(channel, answer);
    }

    pub(super) fn on_observations(&mut self, event: observations::Event) {
        match event {
            Event::Message { peer, message, .. } => match message {
                Message::Request {
                    request, channel, ..
                } => {
                    let busy = (self.observations).question(peer, request, channel, now());
                    if let Some((channel, answer)) = busy {
                        self.tell_observations(channel, answer);
                    }
                }
                Message::Response {
                    request_id,
                    response,
                } => {
                    if let Some(number) = self.asked.observations.remove(&request_id) {
                        let accused = self.observations.answered(number, response);
                        self.carry_out(accused);
                    }
                }
            },
            Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "a peer did not tell of observations");
                if let Some(number) = self.asked.observations.remove(&request_id) {
                    let accused = self.observations.failed(number, &error);
                    self.carry_out(accused);
                }
            }
            Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a question for observations was not answered");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    pub(super) fn on_exchange(&mut self, event: exchange::Event) {
        match event {
            Event::Message { peer, message, .. } => match message {
                Message::Request {
                    request, channel, ..
                } => match self.exchange.question(peer, request, now()) {
                    Ok(Some(response)) => {
                        // It may have gone, or not have waited.
                        let messages = &mut self.swarm.behaviour_mut().exchange;
                        let _ = messages.send_response(channel, response);
                    }
                    Ok(None) => {}
                    Err(what) => self.ban_for(peer, what),
                },
                Message::Response {
                    request_id,
                    response,
                } => {
                    if let Some(streams) = self.asked.peers.remove(&request_id) {
                        let banned = self.exchange.answered(peer, &streams, response, now());
                        self.carry_out(banned);
                        self.find_company(now());
                    }
                }
            },
            Event::OutboundFailure {
                peer,
                request_id,
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "a peer did not tell of others");
                self.asked.peers.remove(&request_id);
                self.exchange.not_answered(&peer, now());
            }
            Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a question for peers was not answered");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    pub(super) fn on_rendezvous(&mut self, event: rendezvous::Event) {
        match event {
            Event::Message {
                peer,
                connection_id,
                message,
            } => match message {
                Message::Request {
                    request, channel, ..
                } => {
                    let now = now();
                    let told = (self.meetings).register(peer, connection_id, request, channel, now);
                    let messages = &mut self.swarm.behaviour_mut().rendezvous;
                    for (channel, meeting) in told {
                        // Whoever is gone meanwhile is not told.
                        let _ = messages.send_response(channel, meeting);
                    }
                }
                Message::Response {
                    request_id,
                    response,
                } => {
                    if let Some(other) = self.asked.meetings.remove(&request_id) {
                        let networks = self.networks();
                        let dial = self.meetings.met(other, response, &networks);
                        self.carry_out(dial);
                    }
                }
            },
            Event::OutboundFailure {
                request_id, error, ..
            } => {
                if let Some(peer) = self.asked.meetings.remove(&request_id) {
                    tracing::debug!(%peer, %error, "nobody came to the rendezvous");
                    self.meetings.missed();
                }
            }
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }

    /// The networks that we are in.
    pub(super) fn networks(&self) -> Networks {
        Networks::of(self.swarm.listeners())
    }
}
