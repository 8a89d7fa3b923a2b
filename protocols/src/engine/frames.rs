//! What peers say on the sync streams, what that costs them, and what they are
//! sent.

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use super::requests::RequestKind;
use super::{Engine, Output};
use crate::limits::MAX_UNKNOWN_FRAME_BYTES;
use crate::log::AdmitError;
use crate::store::Store;
use crate::sync::Lane;
use crate::sync::provider::Work;
use crate::time::Timestamp;
use crate::wire::v1::frame::Body;
use crate::wire::{decode_frame, v1};

/// Whether something that a peer says asks for something.
fn is_question(body: &Body) -> bool {
    matches!(
        body,
        Body::GetManifest(_)
            | Body::GetHead(_)
            | Body::GetRange(_)
            | Body::WantedHashes(_)
            | Body::Extend(_)
            | Body::Retrieve(_)
            | Body::Discover(_)
            | Body::Cancel(_)
    )
}

impl<S: Store> Engine<S> {
    /// Takes a frame.
    pub(super) fn frame(&mut self, peer: PeerId, bytes: Bytes, now: Timestamp) {
        // What a peer sent before it went must not bring it back to life.
        if !self.is_ready(peer) {
            return;
        }
        let len = bytes.len();
        let frame = match decode_frame(bytes) {
            Ok(frame) => frame,
            Err(error) => return self.ban(peer, None, &AdmitError::from(error)),
        };
        let Some(body) = frame.body else {
            // A kind of message that a later version knows.
            if len > MAX_UNKNOWN_FRAME_BYTES {
                let what = format!("fills a frame of {len} bytes with nothing that is known");
                return self.ban_for(peer, None, what);
            }
            return self.charge(peer, Work::QUESTION, now);
        };
        if !self.is_awaited(peer, frame.id, &body) {
            // A question costs something, whatever becomes of it. What nobody asked
            // for, or waits for any more, costs its bytes.
            let bytes = if is_question(&body) { 0 } else { len as u64 };
            let work = Work {
                bytes,
                ..Work::QUESTION
            };
            self.charge(peer, work, now);
            if !self.is_ready(peer) {
                return;
            }
        }
        match body {
            Body::GetManifest(ask) => self.answer_manifest(peer, frame.id, &ask, now),
            Body::GetHead(ask) => self.answer_head(peer, frame.id, &ask, now),
            Body::GetRange(ask) => self.answer_range(peer, frame.id, &ask, now),
            Body::WantedHashes(wanted) => {
                self.provider.wanted(peer, frame.id, &wanted);
                self.deliver(peer, now);
            }
            Body::Extend(ask) => self.answer_extend(peer, frame.id, &ask, now),
            Body::Retrieve(ask) => self.answer_retrieve(peer, frame.id, &ask, now),
            Body::Discover(ask) => self.answer_discover(peer, frame.id, &ask, now),
            Body::Cancel(_) => self.provider.cancel(peer, frame.id),
            Body::Evidence(evidence) => self.take_evidence(peer, *evidence, now),
            answer => self.answered(peer, frame.id, answer, now),
        }
    }

    /// Asks a peer a question.
    pub(super) fn ask(&mut self, peer: PeerId, kind: RequestKind, body: Body, now: Timestamp) {
        let id = self.requests.insert(peer, kind, now);
        self.send(peer, Lane::Control, id, body);
    }

    pub(super) fn send(&mut self, peer: PeerId, lane: Lane, id: u64, body: Body) {
        if !self.is_ready(peer) {
            // It would never be taken, and count for good.
            return;
        }
        let body = Some(body);
        let bytes = Bytes::from(v1::Frame { id, body }.encode_to_vec());
        self.provider.queued(peer, bytes.len());
        self.outputs.push_back(Output::Send(peer, lane, bytes));
    }

    /// Sends a short answer.
    pub(super) fn reply(&mut self, peer: PeerId, id: u64, body: Body) {
        self.reply_in(Lane::Control, peer, id, body);
    }

    /// Sends an answer, unless the peer asks without taking the answers: then
    /// it asks again, or its connection is found to stand still.
    pub(super) fn reply_in(&mut self, lane: Lane, peer: PeerId, id: u64, body: Body) {
        if self.provider.may_answer(peer) {
            self.send(peer, lane, id, body);
        }
    }

    /// Sends what a peer wants, as far as it takes it. After a page, for which much
    /// may have to be looked up, others have their turn.
    pub(super) fn deliver(&mut self, peer: PeerId, now: Timestamp) {
        while let Some(served) = self.provider.next_frame(peer, &self.store, now) {
            self.changed.insert(served.log);
            if let Some(interval) = served.unreadable {
                self.suspect(served.log, interval);
            }
            self.send(peer, served.priority.lane(), served.id, served.body);
            if served.is_page {
                if !self.pages_due.contains(&peer) {
                    self.pages_due.push_back(peer);
                }
                return;
            }
        }
    }

    /// Goes on with one of those that had a page.
    pub(super) fn delivering_is_due(&mut self, now: Timestamp) {
        if let Some(peer) = self.pages_due.pop_front() {
            self.deliver(peer, now);
        }
    }

    /// Tries some of those again that wait because others had not taken what was
    /// for them.
    pub(super) fn deliver_what_was_held_up(&mut self, now: Timestamp) {
        const AT_A_TIME: usize = 4;
        for _ in 0..AT_A_TIME {
            let Some(peer) = self.provider.take_held_up() else {
                return;
            };
            self.deliver(peer, now);
        }
    }

    pub(super) fn is_ready(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.ready)
    }

    /// Whether something that a peer says answers what it was asked.
    fn is_awaited(&self, peer: PeerId, id: u64, body: &Body) -> bool {
        !is_question(body)
            && self
                .requests
                .get(id)
                .is_some_and(|asked| asked.peer == peer)
    }

    /// Counts what a peer makes us do. Who goes on although it was told to wait is
    /// dropped.
    pub(super) fn charge(&mut self, peer: PeerId, work: Work, now: Timestamp) {
        self.provider.charge(peer, work, now);
        if self.provider.floods(peer, now) {
            let what = "goes on asking although it is told to wait".to_owned();
            self.ban_for(peer, None, what);
        }
    }
}
