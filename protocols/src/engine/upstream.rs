//! Answers to what peers ask.

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::Engine;
use super::logs::LogState;
use crate::id::LogId;
use crate::limits::{MAX_INTERVALS, MAX_LOG_SIZE};
use crate::merkle::{MAX_LEVEL, Nodes, cover, join_hashes};
use crate::ranges::Interval;
use crate::store::{History, Store, StoreError};
use crate::sync::Priority;
use crate::sync::provider::{RangeRequest, RefuseError};
use crate::wire::v1;
use crate::wire::v1::frame::Body;
use crate::wire::v1::refused::Why;

impl<S: Store> Engine<S> {
    /// A log that a peer names, if it is known here.
    fn asked_log(&self, log: &Bytes) -> Option<(LogId, &LogState)> {
        let log = LogId::from_slice(log)?;
        Some((log, self.logs.get(&log)?))
    }

    fn refuse_peer(&mut self, peer: PeerId, id: u64, why: Why) {
        let refused = v1::Refused { why: why.into() };
        self.reply(peer, id, Body::Refused(refused));
    }

    pub(super) fn answer_manifest(&mut self, peer: PeerId, id: u64, ask: &v1::GetManifest) {
        let manifest = self
            .asked_log(&ask.log)
            .and_then(|(_, state)| state.manifest.as_ref());
        match manifest.map(|manifest| manifest.to_wire()) {
            Some(manifest) => self.reply(peer, id, Body::Manifest(manifest)),
            None => self.refuse_peer(peer, id, Why::UnknownLog),
        }
    }

    pub(super) fn answer_head(&mut self, peer: PeerId, id: u64, ask: &v1::GetHead) {
        let answer = self.asked_log(&ask.log).and_then(|(log, state)| {
            let held = state.held.intervals().take(MAX_INTERVALS);
            Some(v1::HeadState {
                log: Bytes::copy_from_slice(&log.0),
                head: Some(state.adopted.as_ref()?.to_wire()),
                held: held
                    .map(|interval| v1::Interval {
                        from: interval.from,
                        to: interval.to,
                    })
                    .collect(),
            })
        });
        match answer {
            Some(state) => self.reply(peer, id, Body::Head(state)),
            None => self.refuse_peer(peer, id, Why::UnknownLog),
        }
    }

    pub(super) fn answer_range(&mut self, peer: PeerId, id: u64, ask: &v1::GetRange) {
        let Ok(interval) = Interval::from_wire("a range request", ask.interval.as_ref()) else {
            return self.refuse_peer(peer, id, Why::Malformed);
        };
        let log = LogId::from_slice(&ask.log);
        let known = log.and_then(|log| Some((log, self.logs.get(&log)?)));
        let Some((log, state)) = known else {
            return self.refuse_peer(peer, id, Why::UnknownLog);
        };
        // Only what lies below a head that was adopted here can be proved.
        let (Some(key), true) = (state.key(), ask.size <= state.size()) else {
            return self.refuse_peer(peer, id, Why::NotHeld);
        };
        let request = RangeRequest {
            log,
            id,
            size: ask.size,
            interval,
            all: ask.mode() == v1::get_range::Mode::All,
            priority: Priority::from_wire(ask.priority()),
        };
        let history = History::new(&self.store, key);
        match self.provider.offer(peer, request, &history, &state.held) {
            Ok(offer) => {
                // In the lane of its deliveries, which must not overtake it.
                let lane = request.priority.lane();
                self.reply_in(lane, peer, id, Body::OfferedHashes(offer));
            }
            Err(RefuseError::NotHeld) => self.refuse_peer(peer, id, Why::NotHeld),
            Err(RefuseError::Busy) => self.refuse_peer(peer, id, Why::Busy),
            Err(RefuseError::Store(_)) => self.refuse_peer(peer, id, Why::Failed),
        }
        self.deliver(peer);
    }

    pub(super) fn answer_extend(&mut self, peer: PeerId, id: u64, ask: &v1::Extend) {
        let Some((_, state)) = self.asked_log(&ask.log) else {
            return self.refuse_peer(peer, id, Why::UnknownLog);
        };
        let from_size = ask.from_size;
        let (Some(key), Some(head)) = (state.key(), &state.adopted) else {
            return self.refuse_peer(peer, id, Why::NotHeld);
        };
        if from_size > head.size || from_size > MAX_LOG_SIZE {
            return self.refuse_peer(peer, id, Why::NotHeld);
        }
        let history = History::new(&self.store, key);
        let hashes = |from, to| -> Result<Option<Bytes>, StoreError> {
            let mut hashes = Vec::new();
            for subtree in cover(from, to, MAX_LEVEL) {
                match history.node(subtree)? {
                    Some(hash) => hashes.push(hash),
                    None => return Ok(None),
                }
            }
            Ok(Some(join_hashes(&hashes)))
        };
        let head = head.clone();
        match (hashes(0, from_size), hashes(from_size, head.size)) {
            (Ok(Some(left)), Ok(Some(right))) => {
                let extension = v1::Extension {
                    head: Some(head.to_wire()),
                    left,
                    right,
                };
                self.reply(peer, id, Body::Extension(extension));
            }
            (Ok(_), Ok(_)) => self.refuse_peer(peer, id, Why::NotHeld),
            (Err(_), _) | (_, Err(_)) => self.refuse_peer(peer, id, Why::Failed),
        }
    }
}
