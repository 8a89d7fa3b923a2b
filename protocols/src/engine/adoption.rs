//! Heads of others' logs: one is adopted a log, and a larger one only when it
//! is shown to extend it.

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use super::logs::put_head;
use super::requests::RequestKind;
use super::{Engine, Output};
use crate::head::{SignedHead, UnverifiedHead};
use crate::id::{LogId, Topic};
use crate::limits::{BUSY_HEAD_POLL_US, MAX_CLOCK_SKEW_US};
use crate::log::{AdmitError, Extension, ForkProof, Node, Relation, Shown};
use crate::store::tables::{HeadKind, head_key};
use crate::store::{Admission, Batch, Durability, ReadError, Store, Table};
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
        let Some(state) = self.logs.get(&log).filter(|state| state.takes()) else {
            return false;
        };
        let relation = match &state.adopted {
            None => Relation::Extends,
            Some(adopted) => Relation::of_heads(adopted, head),
        };
        match relation {
            Relation::Older | Relation::Same => false,
            Relation::Renews | Relation::Extends => {
                self.adopt(log, head, &[], now);
                true
            }
            Relation::Unproven => {
                self.ask_extension(peer, log, now);
                true
            }
            Relation::Fork(proof) => {
                self.take_fork(log, proof);
                true
            }
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
        let body = Body::Extend(v1::Extend {
            log: Bytes::copy_from_slice(&log.0),
            from_size: from.size,
        });
        self.ask(peer, RequestKind::Extend(log, from), body, now);
    }

    pub(super) fn take_extension(
        &mut self,
        peer: PeerId,
        log: LogId,
        wire: v1::Extension,
        from: &SignedHead,
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
            Shown::Fork(proof) => self.take_fork(log, proof),
            Shown::Extends(nodes) => {
                let state = self.logs.get(&log).filter(|state| state.takes());
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
        put_head(&mut batch, state.number, head);
        if let Err(error) = self.store.commit(batch, Durability::Written) {
            return self.store_failed(log, &ReadError::Store(error));
        }
        state.set_adopted(head.clone());
        // An owner whose clock was wrong once must not make us deaf for what it
        // announces when it is right.
        if head.time <= now.plus(MAX_CLOCK_SKEW_US) {
            state.heard = state.heard.max(Some(head.time));
        }
        self.changed.insert(log);
    }

    pub(super) fn take_fork(&mut self, log: LogId, proof: Box<ForkProof>) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if state.fork.is_some() {
            return;
        }
        let wire = proof.to_wire();
        let mut batch = Batch::new();
        let key = head_key(state.number, HeadKind::Fork);
        batch.put(Table::Heads, key, wire.encode_to_vec());
        state.fork = Some(proof);
        if state.owned() {
            state.close("two histories of it were signed with its key".to_owned());
        }
        self.changed.insert(log);
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            self.store_failed(log, &ReadError::Store(error));
        }
        let meta = v1::Meta {
            body: Some(v1::meta::Body::Fork(wire)),
        };
        let data = Bytes::from(meta.encode_to_vec());
        self.outputs
            .push_back(Output::Publish(Topic::Meta(log), data));
    }
}
