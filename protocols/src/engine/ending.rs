//! The end of a log in its owner's word: a closing head, behind which nothing is
//! signed any more.

use super::log_state::LogState;
use super::rows::put_head;
use super::{CommandError, Engine, Reply};
use crate::head::{Closing, Head, SignedHead};
use crate::id::LogId;
use crate::log::ForkProof;
use crate::store::{Batch, Durability, ReadError, Store};
use crate::time::Timestamp;

impl LogState {
    /// What its last head says, if its owner has closed it.
    pub(super) fn closing(&self) -> Option<Closing> {
        self.adopted()?.closing
    }

    /// Whether its owner may still sign something of it: it is open for writing,
    /// and was not closed.
    pub(super) fn grows(&self) -> bool {
        self.is_writable() && self.is_open() && self.closing().is_none()
    }
}

impl<S: Store> Engine<S> {
    /// Refuses what would come behind the end.
    pub(super) fn require_no_end(&self, log: LogId) -> Result<(), CommandError> {
        let state = self.logs.get(&log);
        let Some(Closing { successor }) = state.and_then(LogState::closing) else {
            return Ok(());
        };
        let fork = state.and_then(LogState::fork);
        let successor = fork.map_or(successor, ForkProof::successor);
        Err(CommandError::Ended { log, successor })
    }

    /// Closes a log of our own for good.
    pub(super) fn close(
        &mut self,
        log: LogId,
        successor: Option<LogId>,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        // What was accepted before comes before the end.
        self.commit_published(now);
        let state = (self.logs.get(&log)).ok_or(CommandError::UnknownStream(log))?;
        if !state.is_ours() {
            return Err(CommandError::NotOwner(log));
        }
        if successor == Some(log) {
            return Err(CommandError::OwnSuccessor);
        }
        let Some(appender) = state.appender().filter(|_| state.is_writable()) else {
            return Err(self.why_stopped(log));
        };
        match state.closing() {
            Some(end) if end.successor == successor => return Ok(Reply::Done),
            Some(_) => self.require_no_end(log)?,
            None => {}
        }
        let time = self.head_time(state, now);
        let head = Head {
            closing: Some(Closing { successor }),
            ..appender.head(log, time)
        };
        let head = head.sign(&self.key);
        let mut batch = Batch::new();
        put_head(&mut batch, state.number(), &head);
        // Unlike others it cannot be signed again: were it lost after somebody had
        // heard of it, an open head might follow.
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            self.store_failed(log, &ReadError::Store(error.clone()));
            return Err(error.into());
        }
        self.ended(log, head, now);
        Ok(Reply::Done)
    }

    /// Takes an end of a log of our own that was signed elsewhere, over the tree that
    /// is here.
    pub(super) fn ended_elsewhere(&mut self, log: LogId, head: &SignedHead, now: Timestamp) {
        let Some(state) = self.logs.get(&log) else {
            return;
        };
        let mut batch = Batch::new();
        put_head(&mut batch, state.number(), head);
        match self.store.commit(batch, Durability::Synced) {
            Ok(()) => self.ended(log, head.clone(), now),
            Err(error) => self.store_failed(log, &ReadError::Store(error)),
        }
    }

    fn ended(&mut self, log: LogId, head: SignedHead, now: Timestamp) {
        if let Some(state) = self.logs.get_mut(&log) {
            state.is_safe_as_signed(head.size);
            state.set_adopted(head.clone());
        }
        self.changed.insert(log);
        self.signed(log, &head);
        self.publish_head(log, &head);
        self.drop_staged(log);
        self.echo_later(log, now);
    }
}
