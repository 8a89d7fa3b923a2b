//! Heads of others' logs: one is adopted a log, and a larger one only when it
//! is shown to extend it.

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::Engine;
use super::log_state::LogState;
use super::requests::RequestKind;
use crate::head::{AdoptedHead, SignedHead, UnverifiedHead};
use crate::id::LogId;
use crate::limits::BUSY_HEAD_POLL_US;
use crate::log::{AdmitError, Extension, ForkProof, Node, Relation, Shown};
use crate::store::{Admission, Durability, ReadError, Store};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::frame::Body;

impl<S: Store> Engine<S> {
    /// A head whose signature was checked; `None` when it cannot be, because the
    /// manifest of its log has not come.
    pub(super) fn verify_head(
        &self,
        log: LogId,
        head: UnverifiedHead,
    ) -> Result<Option<SignedHead>, AdmitError> {
        let Some(manifest) = self
            .logs
            .get(&log)
            .and_then(|state| state.manifest.as_ref())
        else {
            return Ok(None);
        };
        Ok(Some(head.verify(log, &manifest.publisher)?))
    }

    /// Takes a head alone: adopts it if the heads alone show that it may be,
    /// otherwise asks the peer for the proof. Returns whether it brought
    /// anything new.
    pub(super) fn consider(
        &mut self,
        peer: PeerId,
        log: LogId,
        head: &SignedHead,
        now: Timestamp,
    ) -> bool {
        let Some(state) = self.logs.get(&log).filter(|state| state.takes_heads()) else {
            return false;
        };
        if state.is_past_end(head.size) {
            return false;
        }
        let relation = match &state.adopted {
            None => Relation::Extends,
            Some(adopted) => Relation::of_heads(adopted, head),
        };
        match relation {
            Relation::Older => self.contradicts_older(peer, log, head, now),
            Relation::Same => false,
            Relation::Renews | Relation::Extends => {
                self.adopt(log, head, &[], now);
                true
            }
            Relation::Unproven => {
                self.ask_extension(peer, log, now);
                true
            }
            Relation::Other => self.is_other_history(log),
            Relation::Fork(proof) => {
                self.take_fork(log, proof, Some(peer), now);
                self.ask_past_closing(peer, log, head, now);
                true
            }
        }
    }

    /// The last head may follow one that closed the log here: then it is the one that
    /// counts, and that it extends the tree is asked for all the same.
    pub(super) fn ask_past_closing(
        &mut self,
        peer: PeerId,
        log: LogId,
        head: &SignedHead,
        now: Timestamp,
    ) {
        let is_behind = |state: &LogState| {
            state.takes_heads() && state.last_head() == Some(head) && state.size() < head.size
        };
        if self.logs.get(&log).is_some_and(is_behind) {
            self.ask_extension(peer, log, now);
        }
    }

    pub(super) fn ask_extension(&mut self, peer: PeerId, log: LogId, now: Timestamp) {
        let ready = self.peers.get(&peer).is_some_and(|peer| peer.ready);
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        state.unproven = true;
        let soon = now.plus(BUSY_HEAD_POLL_US);
        state.poll_at = Some(state.poll_at.map_or(soon, |at| at.min(soon)));
        let (Some(from), None, true) = (state.adopted.clone(), state.extending, ready) else {
            return;
        };
        if state
            .failed_extensions
            .get(&peer)
            .is_some_and(|&until| until > now)
        {
            return;
        }
        state.extending = Some(peer);
        let from_size = state.extension_begin(peer);
        let body = Body::Extend(v1::Extend {
            log: Bytes::copy_from_slice(&log.0),
            from_size,
        });
        self.ask(peer, RequestKind::Extend(log, from, from_size), body, now);
    }

    pub(super) fn take_extension(
        &mut self,
        peer: PeerId,
        log: LogId,
        wire: v1::Extension,
        from: &AdoptedHead,
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let Some(manifest) = self
            .logs
            .get(&log)
            .and_then(|state| state.manifest.as_ref())
        else {
            return Ok(());
        };
        let extension = Extension::from_wire(wire, from.size, log, &manifest.publisher)?;
        match extension.check(from)? {
            Shown::Fork(proof) => {
                let is_last = |state: &LogState| state.last_head() == Some(&extension.head);
                if self.logs.get(&log).is_some_and(is_last) {
                    self.shown_beside(log, from.tree(), peer, now);
                }
                self.take_fork(log, proof, Some(peer), now);
            }
            Shown::Other => drop(self.is_other_history(log)),
            Shown::Extends(nodes) => {
                // The log was closed before, which the trees do not tell.
                let signed = from.signed();
                if let Some(proof) =
                    signed.and_then(|from| ForkProof::of_heads(from, &extension.head))
                {
                    self.take_fork(log, proof, Some(peer), now);
                }
                let takes = |state: &&LogState| {
                    state.takes_heads() && !state.is_past_end(extension.head.size)
                };
                let state = self.logs.get(&log).filter(takes);
                let Some(adopted) = state.and_then(|state| state.adopted.as_ref()) else {
                    return Ok(());
                };
                if adopted.size != from.size {
                    // Meanwhile an announcement has shown more, and nothing is
                    // shown of that yet.
                    self.consider(peer, log, &extension.head, now);
                } else if adopted.size < extension.head.size {
                    self.adopt(log, &extension.head, &nodes, now);
                }
            }
        }
        self.schedule(log, now);
        Ok(())
    }

    /// Adopts a head that was shown to extend the one adopted before.
    pub(super) fn adopt(&mut self, log: LogId, head: &SignedHead, nodes: &[Node], now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let Some(key) = state.key() else {
            return;
        };
        if state.adopted.is_none() {
            // What was there when we came is history; from here on it is live.
            state.scheduler.live_from = head.size;
        }
        let mut admission = Admission::new(&self.store, key, &mut state.held);
        admission.put_nodes(nodes);
        let mut batch = admission.finish();
        state.put_adopted(&mut batch, head);
        if let Err(error) = self.store.commit(batch, Durability::Written) {
            return self.store_failed(log, &ReadError::Store(error));
        }
        self.changed.insert(log);
        self.adopted(log, head.clone(), now);
    }

    /// What follows from a head that is stored now, whichever way it came.
    pub(super) fn adopted(&mut self, log: LogId, head: SignedHead, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        state.set_adopted(head.clone());
        if let Some(reopening) = &mut state.reopening {
            reopening.news(now);
        }
        self.note_time_of(log, &head, now);
        self.echo_later(log, now);
        self.settle_dispute(log, now);
        self.keep_past_head(log, now);
    }
}
