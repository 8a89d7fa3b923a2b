//! Logs that their recovery key has ended: of all that their owner has signed, one
//! tree counts, which a head of the owner's stands for. What was signed beyond it, or
//! beside it, is disowned: it is kept where it follows, and nothing of it is asked for.

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use crate::engine::log_state::{LogState, put_log};
use crate::engine::trees::beginning;
use crate::engine::{CommandError, Engine, Output, Reply, subscribers};
use crate::head::{AdoptedHead, Tree};
use crate::id::{LogId, Topic};
use crate::recovery::{Recovered, RecoveryError, strongest};
use crate::store::tables::{HeadKind, head_key};
use crate::store::{Batch, Durability, History, ReadError, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;

/// Why nothing more is written to a log of our own.
const ENDED: &str = "its recovery key has ended it, and named the head that is its last; whatever its \
                     own key signs beyond that is disowned; create a new stream";

/// What the recovery key of a log has said, and whether its tree is here.
#[derive(Debug, Default)]
pub(in crate::engine) struct Recovery {
    /// How much of it counts, whatever its owner has signed.
    said: Option<Box<Recovered>>,
    /// What is here is of another tree than the last head's, or nothing here tells: that
    /// one is fetched to replace it from whoever has it whole (`replacement`).
    unsure: bool,
    /// This tree was shown to be none that grows into the last head's.
    beside: Option<Tree>,
}

impl LogState {
    /// What its recovery key has said.
    pub(in crate::engine) fn recovered(&self) -> Option<&Recovered> {
        self.recovery.said.as_deref()
    }

    /// All that counts of it, if its recovery key says so.
    pub(in crate::engine) fn recovered_tree(&self) -> Option<Tree> {
        self.recovered().map(Recovered::tree)
    }

    /// Whether it was recovered, and what is here may be of another tree.
    pub(in crate::engine) fn is_unsure(&self) -> bool {
        self.recovery.unsure
    }

    /// Takes over what was said of the same log, whatever tree comes.
    pub(in crate::engine) fn keep_recovery_of(&mut self, old: &Self) {
        self.recovery.said = old.recovery.said.clone();
    }

    /// Puts the row of what its recovery key has said into a batch.
    pub(in crate::engine) fn put_recovered(&self, batch: &mut Batch) {
        self.put_recovered_as(batch, self.number());
    }

    /// The same, under another number.
    pub(in crate::engine) fn put_recovered_as(&self, batch: &mut Batch, number: u32) {
        if let Some(recovered) = self.recovered() {
            let row = recovered.to_wire().encode_to_vec();
            batch.put(Table::Heads, head_key(number, HeadKind::Recovered), row);
        }
    }

    /// Whether the tree that is here was shown to be none that grows into the last
    /// head's.
    pub(in crate::engine) fn is_beside(&self) -> bool {
        let adopted = self.tree();
        adopted.is_some() && adopted == self.recovery.beside
    }

    /// This much of what is here counts.
    fn come_to(&mut self, tree: Tree, is_sure: bool) {
        // What was published here stays, and is disowned.
        self.recovery.unsure = !is_sure && !self.is_ours();
        self.agree_on(tree);
    }

    fn end_own(&mut self) {
        self.write_no_more();
        self.stop_for_good(ENDED.to_owned());
    }
}

impl<S: Store> Engine<S> {
    /// Takes what a user says in the name of a recovery key.
    pub(in crate::engine) fn recover(
        &mut self,
        log: LogId,
        statement: v1::SignedRecovery,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        let state = (self.logs.get(&log)).ok_or(CommandError::UnknownStream(log))?;
        let said = v1::Recovered {
            statements: vec![statement],
        };
        let recovered = verified(log, state, said)?;
        self.take_recovered(log, recovered, None, now);
        match self.logs.get(&log).and_then(LogState::stopped_by) {
            None => Ok(Reply::Done),
            // It is kept by nobody but this process.
            Some(why) => Err(CommandError::Stopped(why.clone())),
        }
    }

    /// Hears what a recovery key has said; whether it is news.
    ///
    /// # Errors
    /// It is none of this log.
    pub(in crate::engine) fn recovery_heard(
        &mut self,
        log: LogId,
        wire: v1::Recovered,
        from: Option<PeerId>,
        now: Timestamp,
    ) -> Result<bool, RecoveryError> {
        let Some(state) = self
            .logs
            .get(&log)
            .filter(|state| state.manifest().is_some())
        else {
            return Ok(false);
        };
        // What is known costs nothing.
        let known = state
            .recovered()
            .is_some_and(|known| known.to_wire() == wire);
        if known {
            return Ok(false);
        }
        match verified(log, state, wire) {
            Ok(recovered) => Ok(self.take_recovered(log, recovered, from, now)),
            Err(error) if error.is_newer() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps what a recovery key has said, if that changes what counts: from now on it
    /// is told before any head. Returns whether it does.
    fn take_recovered(
        &mut self,
        log: LogId,
        said: Recovered,
        from: Option<PeerId>,
        now: Timestamp,
    ) -> bool {
        let Some(state) = self.logs.get_mut(&log) else {
            return false;
        };
        let all = match state.recovered().cloned() {
            None => said,
            Some(known) => strongest(known, said),
        };
        // Whoever has the key can say the same as often as it likes.
        if state.recovered().is_some_and(|known| known.comes_to(&all)) {
            return false;
        }
        self.go_back(log, now);
        let Some(state) = self.logs.get_mut(&log) else {
            return false;
        };
        let head = all.head().clone();
        state.recovery.said = Some(Box::new(all));
        // It was so of another last head.
        state.recovery.beside = None;
        state.begin_by_last_head();
        if state.is_ours() {
            state.end_own();
        }
        state.expect_no_more();
        let mut batch = Batch::new();
        state.put_recovered(&mut batch);
        put_log(&mut batch, log, state);
        self.changed.insert(log);
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            self.store_failed(log, &ReadError::Store(error));
        }
        self.drop_staged(log);
        self.settle_dispute(log, now);
        self.suspect_cut(log);
        self.withdraw_ranges(log, now);
        let state = self.logs.get(&log);
        if state.is_some_and(|state| state.adopted().is_none() && state.takes()) {
            self.adopt(log, &head, &[], now);
        }
        self.tell_recovered(log, from);
        if let Some(peer) = from {
            // Whoever says so may show that the last head extends what is here, or have
            // its tree.
            self.consider(peer, log, &head, now);
            self.ask_about(peer, log, now);
        }
        self.schedule(log, now);
        true
    }

    fn tell_recovered(&mut self, log: LogId, from: Option<PeerId>) {
        let state = self.logs.get(&log);
        let Some(recovered) = state.and_then(LogState::recovered) else {
            return;
        };
        let meta = v1::Meta {
            body: Some(v1::meta::Body::Recovered(recovered.to_wire())),
        };
        let data = Bytes::from(meta.encode_to_vec());
        self.outputs
            .push_back(Output::Publish(Topic::Meta(log), data));
        // Gossip may have no mesh yet with whoever has just come.
        let others = subscribers(&self.peers, log).into_iter();
        for peer in others.filter(|&peer| Some(peer) != from) {
            self.send_evidence(peer, log);
        }
    }

    /// Finds out again what counts of a log that was recovered; whether it was.
    pub(in crate::engine) fn settle_recovery(&mut self, log: LogId) -> bool {
        let Some(state) = self.logs.get(&log) else {
            return false;
        };
        let (Some(end), Some(key)) = (state.recovered_tree(), state.key()) else {
            return false;
        };
        let history = History::new(&self.store, key);
        let counts = match state.is_beside() {
            true => Ok((Tree::of_nothing(), false)),
            false => what_counts(&history, state.adopted(), end),
        };
        match counts {
            Ok((tree, is_sure)) => {
                if let Some(state) = self.logs.get_mut(&log) {
                    state.come_to(tree, is_sure);
                }
                self.changed.insert(log);
            }
            Err(error) => self.store_failed(log, &ReadError::Store(error)),
        }
        true
    }

    /// Where nothing of a recovered log counts, damage may be why: the nodes that its last
    /// tree ends with are read, and what they are computed from.
    pub(in crate::engine) fn suspect_cut(&mut self, log: LogId) {
        let hidden = |state: &&LogState| state.target() == 0 && !state.is_beside();
        let state = self.logs.get(&log).filter(hidden);
        if let Some(end) = state.and_then(LogState::recovered_tree) {
            self.suspect_end(log, end.size);
        }
    }

    /// A peer has shown that a tree of a recovered log is none that grows into the last
    /// head's. If it is still the one that is here, nothing of it counts.
    pub(in crate::engine) fn shown_beside(
        &mut self,
        log: LogId,
        tree: Tree,
        peer: PeerId,
        now: Timestamp,
    ) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let is_here = state.tree() == Some(tree);
        if state.recovered().is_none() || state.is_ours() || !is_here || state.is_beside() {
            return;
        }
        state.recovery.beside = Some(tree);
        self.settle_recovery(log);
        self.ask_about(peer, log, now);
    }

    /// Reads what a recovery key has said. What is damaged of it is told again.
    pub(in crate::engine) fn load_recovered(
        &self,
        log: LogId,
        state: &LogState,
    ) -> Result<Option<Recovered>, StoreError> {
        let key = head_key(state.number(), HeadKind::Recovered);
        let Some(row) = self.store.get(Table::Heads, &key)? else {
            return Ok(None);
        };
        let damaged = |error: &dyn std::fmt::Display| StoreError::Damaged(error.to_string());
        let wire = v1::Recovered::decode(row).map_err(|error| damaged(&error))?;
        let recovered = verified(log, state, wire);
        recovered.map(Some).map_err(|error| damaged(&error))
    }

    /// Takes what a recovery key has said from the store.
    pub(in crate::engine) fn set_recovered(
        &self,
        state: &mut LogState,
        recovered: Recovered,
    ) -> Result<(), StoreError> {
        let end = recovered.tree();
        state.recovery.said = Some(Box::new(recovered));
        state.begin_by_last_head();
        if let Some(key) = state.key() {
            let history = History::new(&self.store, key);
            let counts = what_counts(&history, state.adopted(), end);
            if state.is_ours() {
                state.end_own();
            }
            let (tree, is_sure) = counts?;
            state.come_to(tree, is_sure);
        }
        Ok(())
    }
}

fn verified(log: LogId, state: &LogState, wire: v1::Recovered) -> Result<Recovered, RecoveryError> {
    let manifest = state.manifest().ok_or(RecoveryError::NoKey)?;
    Recovered::verify(wire, log, &manifest.publisher, manifest.recovery.as_ref())
}

/// What counts of a log with this head here, as far as it is the tree that its
/// recovery key has picked; and whether that is sure: it is not where that is another
/// tree, or where nothing here tells.
fn what_counts<S: Store + ?Sized>(
    history: &History<'_, S>,
    adopted: Option<&AdoptedHead>,
    end: Tree,
) -> Result<(Tree, bool), StoreError> {
    let Some(head) = adopted else {
        return Ok((Tree::of_nothing(), true));
    };
    // A smaller one may be another tree's, which shows when it is to grow.
    if head.size < end.size {
        return Ok((head.tree(), true));
    }
    if head.tree() == end {
        return Ok((end, true));
    }
    if head.size == end.size {
        return Ok((Tree::of_nothing(), false));
    }
    Ok(match beginning(history, end.size)? {
        // Less of it shows nothing: it may be another tree's.
        Some(tree) if tree == end => (end, true),
        _ => (Tree::of_nothing(), false),
    })
}
