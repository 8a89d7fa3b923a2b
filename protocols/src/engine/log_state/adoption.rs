//! Heads of others' logs: one is adopted a log, and a larger one only when it
//! is shown to extend it.

use std::collections::BTreeMap;

use bytes::Bytes;
use libp2p_identity::PeerId;

use crate::engine::Engine;
use crate::engine::log_state::LogState;
use crate::engine::requests::RequestKind;
use crate::head::{AdoptedHead, SignedHead, Tree, UnverifiedHead};
use crate::id::LogId;
use crate::limits::{MAX_RECENT_HEADS, MAX_SOURCES, REQUEST_TIMEOUT_US};
use crate::log::{AdmitError, Extension, ForkProof, Node, Relation, Shown};
use crate::store::{Durability, ReadError, Store};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::frame::Body;

/// The head of a log that counts, and what is known of larger ones.
#[derive(Debug, Default)]
pub(in crate::engine) struct Adoption {
    head: Option<AdoptedHead>,
    /// The trees of the adopted head and of those before it, by size: what
    /// offers are checked against. Of a forked log, only what is not disputed.
    trees: BTreeMap<u64, Tree>,
    /// A larger head was heard, and nobody has shown yet that it extends ours.
    unproven: bool,
    /// Who was asked for an extension that has not come.
    asked: Option<PeerId>,
    /// Peers that did not show an extension, and until when others are asked.
    failed: BTreeMap<PeerId, Timestamp>,
}

impl Adoption {
    /// Goes on asking for extensions as before the log was read anew.
    pub(in crate::engine) fn take_over(&mut self, old: Self) {
        self.unproven = old.unproven;
        self.asked = old.asked;
        self.failed = old.failed;
    }
}

impl LogState {
    /// The head that everything held is proved against.
    pub(in crate::engine) fn adopted(&self) -> Option<&AdoptedHead> {
        self.adoption.head.as_ref()
    }

    /// The tree of that.
    pub(in crate::engine) fn tree(&self) -> Option<Tree> {
        self.adopted().map(|head| head.tree())
    }

    /// The adopted head, as others can be told of it.
    pub(in crate::engine) fn signed_head(&self) -> Option<&SignedHead> {
        self.adopted().and_then(AdoptedHead::signed)
    }

    /// Records of the adopted head.
    pub(in crate::engine) fn size(&self) -> u64 {
        self.adopted().map_or(0, |head| head.size)
    }

    /// The tree of a size that offers are checked against, if there is one.
    pub(in crate::engine) fn tree_of(&self, size: u64) -> Option<Tree> {
        self.adoption.trees.get(&size).copied()
    }

    /// The largest of these trees that has no more than so many records.
    pub(in crate::engine) fn tree_within(&self, size: u64) -> Option<Tree> {
        let (_, tree) = self.adoption.trees.range(..=size).next_back()?;
        Some(*tree)
    }

    /// The sizes of all of them, ascending.
    pub(in crate::engine) fn tree_sizes(&self) -> Vec<u64> {
        self.adoption.trees.keys().copied().collect()
    }

    /// Nothing is compared with these trees any more.
    pub(in crate::engine) fn forget_trees(&mut self) {
        self.adoption.trees.clear();
    }

    /// Nothing is compared with any other tree from now on.
    pub(in crate::engine) fn know_only(&mut self, tree: Tree) {
        self.adoption.trees.clear();
        self.adoption.trees.insert(tree.size, tree);
    }

    /// Takes a head that was proved, and makes it the one that counts.
    pub(in crate::engine) fn set_adopted(&mut self, head: impl Into<AdoptedHead>) {
        let head = head.into();
        let is_new = self.adoption.head.is_none();
        self.adoption.trees.insert(head.size, head.tree());
        if self.adoption.trees.len() > MAX_RECENT_HEADS {
            self.adoption.trees.pop_first();
        }
        self.note_time(&head);
        self.adoption.head = Some(head);
        self.adoption.unproven = false;
        self.adoption.failed.clear();
        self.begin_by_number(is_new);
    }

    /// The head that was adopted before the node started.
    pub(in crate::engine) fn set_stored_head(&mut self, head: AdoptedHead) {
        self.adoption.head = Some(head.clone());
        self.set_adopted(head);
    }

    /// The adopted head is the same in another form.
    pub(in crate::engine) fn replace_adopted(&mut self, head: SignedHead) {
        self.adoption.head = Some(head.into());
    }

    /// Whether a larger head was heard that nobody has shown to extend ours.
    pub(in crate::engine) fn is_unproven(&self) -> bool {
        self.adoption.unproven
    }

    /// Whether there is something larger that may have to be adopted.
    pub(in crate::engine) fn awaits_extension(&self) -> bool {
        self.adoption.unproven || self.adoption.asked.is_some()
    }

    /// Where nothing more is adopted, nothing more has to be shown.
    pub(in crate::engine) fn expect_no_more(&mut self) {
        self.adoption.unproven &= self.takes_heads();
    }

    /// A larger head was heard. Whether a peer is to be asked to show that it extends
    /// the adopted one, which is returned: one is asked at a time.
    fn wants_extension(&mut self, peer: PeerId, now: Timestamp) -> Option<AdoptedHead> {
        self.adoption.unproven = true;
        self.poll_soon(now);
        let Adoption {
            head,
            asked: None,
            failed,
            ..
        } = &self.adoption
        else {
            return None;
        };
        let has_failed = failed.get(&peer).is_some_and(|&until| until > now);
        head.clone().filter(|_| !has_failed)
    }

    /// Notes that a peer was asked for an extension and has answered or not:
    /// until a head is adopted it is not asked again for a while.
    pub(in crate::engine) fn extension_failed(&mut self, peer: PeerId, now: Timestamp) {
        self.adoption.asked = None;
        self.adoption.failed.retain(|_, until| *until > now);
        if self.adoption.failed.len() < MAX_SOURCES {
            let until = now.plus(REQUEST_TIMEOUT_US);
            self.adoption.failed.insert(peer, until);
        }
    }

    /// A peer is asked again although it has failed: for something else.
    pub(in crate::engine) fn forgive_failure(&mut self, peer: PeerId) {
        self.adoption.failed.remove(&peer);
    }
}

impl<S: Store> Engine<S> {
    /// A head whose signature was checked; `None` when it cannot be, because the
    /// manifest of its log has not come.
    pub(in crate::engine) fn verify_head(
        &self,
        log: LogId,
        head: UnverifiedHead,
    ) -> Result<Option<SignedHead>, AdmitError> {
        let Some(manifest) = self.logs.get(&log).and_then(LogState::manifest) else {
            return Ok(None);
        };
        Ok(Some(head.verify(log, &manifest.publisher)?))
    }

    /// Takes a head alone: adopts it if the heads alone show that it may be,
    /// otherwise asks the peer for the proof. Returns whether it brought
    /// anything new.
    pub(in crate::engine) fn consider(
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
        let relation = match state.adopted() {
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
    pub(in crate::engine) fn ask_past_closing(
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

    pub(in crate::engine) fn ask_extension(&mut self, peer: PeerId, log: LogId, now: Timestamp) {
        let ready = self.peers.get(&peer).is_some_and(|peer| peer.ready);
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let Some(from) = state.wants_extension(peer, now).filter(|_| ready) else {
            return;
        };
        state.adoption.asked = Some(peer);
        let from_size = state.extension_begin(peer);
        let body = Body::Extend(v1::Extend {
            log: Bytes::copy_from_slice(&log.0),
            from_size,
        });
        self.ask(peer, RequestKind::Extend(log, from, from_size), body, now);
    }

    /// A peer has shown what a tree has grown to since a head, or since the beginning of
    /// the chunk in which it ends.
    pub(in crate::engine) fn shown(
        &mut self,
        peer: PeerId,
        log: LogId,
        extension: v1::Extension,
        (from, begin): (&AdoptedHead, u64),
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        if let Some(state) = self.logs.get_mut(&log) {
            state.extension_failed(peer, now);
        }
        if begin == from.size {
            self.take_extension(peer, log, extension, from, now)
        } else {
            self.take_extension_of_chunks(peer, log, extension, (from, begin), now)
        }
    }

    pub(in crate::engine) fn take_extension(
        &mut self,
        peer: PeerId,
        log: LogId,
        wire: v1::Extension,
        from: &AdoptedHead,
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let Some(manifest) = self.logs.get(&log).and_then(LogState::manifest) else {
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
                let Some(adopted) = state.and_then(LogState::adopted) else {
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
    pub(in crate::engine) fn adopt(
        &mut self,
        log: LogId,
        head: &SignedHead,
        nodes: &[Node],
        now: Timestamp,
    ) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if state.adopted().is_none() && state.key().is_some() {
            state.live_from(head.size);
        }
        let Some(mut admission) = state.admission(&self.store) else {
            return;
        };
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
    pub(in crate::engine) fn adopted(&mut self, log: LogId, head: SignedHead, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        state.set_adopted(head.clone());
        if let Some(reopening) = state.reopening_mut() {
            reopening.news(now);
        }
        self.note_time_of(log, &head, now);
        self.echo_later(log, now);
        self.settle_dispute(log, now);
        self.keep_past_head(log, now);
    }
}
