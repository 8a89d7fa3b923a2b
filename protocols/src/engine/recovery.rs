//! Our own logs whose writer may have been here before: a data folder that is a
//! copy, or was restored, knows less of them than others do. Nothing is signed
//! before what others know is here, so that no second history begins.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use super::dispute::FORKED;
use super::logs::{frontier, put_log};
use super::{CommandError, Engine, Output, Reply, subscribers};
use crate::head::SignedHead;
use crate::id::{LogId, Topic};
use crate::limits::{BUSY_HEAD_POLL_US, MAX_SOURCES, RECOVERY_SETTLE_US};
use crate::log::{Appender, Relation};
use crate::store::{Batch, Durability, History, ReadError, Store, StoreError};
use crate::time::Timestamp;
use crate::wire::v1;

/// A log of ours that is not written to before peers were asked for its largest
/// head.
#[derive(Debug)]
pub(super) struct Recovery {
    why: Why,
    begun: Timestamp,
    /// Peers that have said what they know.
    answered: BTreeSet<PeerId>,
    /// Somebody signs it with our key right now.
    twin: bool,
    /// When it is looked at again.
    check_at: Timestamp,
}

/// Why a log is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The store is a copy, or was restored.
    Copied,
    /// A peer knows more of it than is here.
    Behind { known: u64, here: u64 },
    /// The user asks for it.
    Asked,
    /// It was deleted here.
    Deleted,
}

impl Recovery {
    pub(super) fn new(why: Why, now: Timestamp) -> Self {
        Self {
            why,
            begun: now,
            answered: BTreeSet::new(),
            twin: false,
            check_at: now.plus(RECOVERY_SETTLE_US),
        }
    }

    /// A peer has said what it knows.
    pub(super) fn answered(&mut self, peer: PeerId, now: Timestamp) {
        if self.answered.len() < MAX_SOURCES && self.answered.insert(peer) {
            self.news(now);
        }
    }

    /// Something came that was not known: there may be more.
    pub(super) fn news(&mut self, now: Timestamp) {
        self.check_at = now.plus(RECOVERY_SETTLE_US);
    }

    /// When it is looked at again: not before anybody has answered.
    pub(super) fn due(&self) -> Option<Timestamp> {
        (!self.answered.is_empty() && !self.twin).then_some(self.check_at)
    }

    /// Whether nobody has been heard of yet.
    pub(super) fn knows_nobody(&self) -> bool {
        self.answered.is_empty()
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.twin {
            return f.write_str(
                "another node signs it with the same key right now; stop that one, then have peers \
                 asked again: headwater stream recover",
            );
        }
        match self.why {
            Why::Copied => {
                f.write_str("this data folder is a copy, or was restored or moved to another disk")?
            }
            Why::Behind { known, here } => write!(
                f,
                "others know {known} records of it that were signed with its key, and here were {here}: \
                 this data folder is a copy, or was restored from one"
            )?,
            Why::Asked => f.write_str("what others know of it is asked for")?,
            Why::Deleted => f.write_str(
                "it was deleted here, and all of it must come back from its peers first",
            )?,
        }
        match self.answered.len() {
            // An empty log has nothing to be taken for the whole of.
            0 if matches!(self.why, Why::Deleted) => f.write_str(
                ". No peer that follows it has said yet how much there is; it opens by itself when \
                 all that was published is back. If nobody has it any more it stays closed: begin \
                 another one with `headwater stream create`",
            ),
            0 => f.write_str(
                ", and no peer that follows it has said yet how much there is. It opens by itself \
                 when what peers know is here; if no other copy has published more, say so: \
                 headwater stream recover --none-is-larger",
            ),
            peers => write!(
                f,
                "; {peers} of its peers have said what they know, and it opens by itself when all of \
                 that is here"
            ),
        }
    }
}

impl<S: Store> Engine<S> {
    /// Hears of a head of a log of ours. One that we did not sign means that
    /// this folder is a copy, or that there is one.
    pub(super) fn heard_of_own(
        &mut self,
        peer: PeerId,
        log: LogId,
        head: &SignedHead,
        now: Timestamp,
    ) {
        let opened_at = self.opened_at;
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if !state.owned || state.fork.is_some() || state.closed.is_some() {
            return;
        }
        if let Some(recovery) = &mut state.recovery {
            if head.time > recovery.begun && !recovery.twin {
                recovery.twin = true;
                self.changed.insert(log);
            }
            return;
        }
        let Some(ours) = state.adopted.clone() else {
            return;
        };
        // Before the start this node may have signed heads that it forgot when
        // the power went, but no records.
        let is_twin = head.time > ours.time.max(opened_at);
        match Relation::of_heads(&ours, head) {
            Relation::Older => {
                self.contradicts_older(peer, log, head, now);
            }
            Relation::Fork(proof) => self.take_fork(log, proof, Some(peer), now),
            Relation::Same => {}
            Relation::Renews if !is_twin => {}
            Relation::Renews | Relation::Extends | Relation::Unproven => {
                let (known, here) = (head.size, ours.size);
                self.begin_recovery(log, Why::Behind { known, here }, is_twin, now);
            }
        }
    }

    /// Closes a log of ours for writing and asks peers what they know of it.
    fn begin_recovery(&mut self, log: LogId, why: Why, twin: bool, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let mut recovery = Recovery::new(why, now);
        recovery.twin = twin;
        state.recovery = Some(recovery);
        state.appender = None;
        state.poll_at = Some(now.plus(BUSY_HEAD_POLL_US));
        let mut batch = Batch::new();
        put_log(&mut batch, log, state);
        self.changed.insert(log);
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            self.store_failed(log, &ReadError::Store(error));
        }
        self.drop_staged(log);
        self.ask_subscribers(log, now);
    }

    fn ask_subscribers(&mut self, log: LogId, now: Timestamp) {
        for peer in subscribers(&self.peers, log) {
            self.ask_about(peer, log, now);
        }
    }

    /// Refuses what waits to be published to a log that is closed now.
    pub(super) fn drop_staged(&mut self, log: LogId) {
        let Some(staged) = self.staged.remove(&log) else {
            return;
        };
        for id in staged.waiting() {
            let reply = Err(self.why_closed(log));
            self.outputs.push_back(Output::Reply(id, reply));
        }
    }

    /// Why nothing can be published to a log of ours.
    pub(super) fn why_closed(&self, log: LogId) -> CommandError {
        let Some(state) = self.logs.get(&log) else {
            return CommandError::UnknownStream(log);
        };
        match (&state.closed, &state.recovery) {
            _ if state.fork.is_some() && state.owned => CommandError::Recovering(FORKED.to_owned()),
            (Some(why), _) => CommandError::Closed(why.clone()),
            (None, Some(recovery)) => CommandError::Recovering(recovery.to_string()),
            (None, None) => CommandError::NotOwner(log),
        }
    }

    /// Does what the user says of a log of ours.
    pub(super) fn recover(
        &mut self,
        log: LogId,
        none_is_larger: bool,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        let publisher = self.key.public();
        let state = (self.logs.get_mut(&log)).ok_or(CommandError::UnknownStream(log))?;
        let manifest = state.manifest.as_ref();
        if manifest.is_none_or(|manifest| manifest.publisher != publisher) {
            return Err(CommandError::NotOwner(log));
        }
        if state.fork.is_some() || state.closed.is_some() {
            return Err(self.why_closed(log));
        }
        let was_owned = std::mem::replace(&mut state.owned, true);
        let was_followed = std::mem::replace(&mut state.followed, true);
        if !was_followed {
            self.subscribe(log);
        }
        let state = self.logs.get_mut(&log).expect("it is known");
        match &mut state.recovery {
            // It was published from elsewhere so far: from its key alone, say.
            None if !was_owned => self.begin_recovery(log, Why::Asked, false, now),
            None => self.ask_subscribers(log, now),
            Some(recovery) => {
                *recovery = Recovery::new(recovery.why, now);
                self.ask_subscribers(log, now);
            }
        }
        self.changed.insert(log);
        if none_is_larger && self.logs[&log].recovery.is_some() {
            let state = &self.logs[&log];
            if state.unproven || !state.is_complete() {
                let why = "peers do know more of it than is here, and it is being fetched; publish \
                           again when `headwater show` says that it is in step";
                return Err(CommandError::Recovering(why.to_owned()));
            }
            self.reopen(log, now)?;
        }
        Ok(Reply::Done)
    }

    /// Opens a log of ours for writing when everything that peers know is here.
    pub(super) fn open_if_recovered(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get(&log) else {
            return;
        };
        let due = state.recovery.as_ref().and_then(Recovery::due);
        if due.is_none_or(|at| at > now) || state.closed.is_some() {
            return;
        }
        let asking = state.unproven || state.extending.is_some();
        if asking || !state.is_complete() || self.requests.are_open_about(log) {
            let state = self.logs.get_mut(&log).expect("it is known");
            if let Some(recovery) = &mut state.recovery {
                recovery.check_at = now.plus(BUSY_HEAD_POLL_US);
            }
            return;
        }
        if let Err(error) = self.reopen(log, now) {
            self.store_failed(log, &ReadError::Store(error));
        }
    }

    /// Opens a log of ours for writing, with all that is here of it.
    fn reopen(&mut self, log: LogId, now: Timestamp) -> Result<(), StoreError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        let Some(key) = state.key() else {
            return Ok(());
        };
        let size = state.held.prefix(state.begin());
        let appender = Appender::new(frontier(&History::new(&self.store, key), size)?);
        let root = appender.frontier().root();
        let adopted = state.adopted.as_ref();
        if adopted.is_some_and(|head| head.size == size && Some(head.root) != root) {
            let why = "the records do not hash to the head that was signed";
            return Err(StoreError::Damaged(why.to_owned()));
        }
        let recovery = state.recovery.take();
        let mut batch = Batch::new();
        put_log(&mut batch, log, state);
        // What was fetched is made safe by the same sync.
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            state.recovery = recovery;
            return Err(error);
        }
        state.appender = Some(appender);
        let mut batch = Batch::new();
        let head = self.sign_head(log, now, &mut batch);
        self.store.commit(batch, Durability::Written)?;
        self.publish_head(log, &head);
        Ok(())
    }

    /// Tells all who follow a log of its head, without records.
    pub(super) fn publish_head(&mut self, log: LogId, head: &SignedHead) {
        let meta = v1::Meta {
            body: Some(v1::meta::Body::Head(head.to_wire())),
        };
        let data = Bytes::from(meta.encode_to_vec());
        self.outputs
            .push_back(Output::Publish(Topic::Meta(log), data));
    }
}
