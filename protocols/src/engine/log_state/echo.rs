//! A head that came with an answer, and not by gossip, is told to the neighbours
//! that lack it: where two parts of a mesh meet, one node asks, and everybody
//! behind it would otherwise wait for its own next question.

use crate::engine::log_state::LogState;
use crate::engine::trees::{few_records, nodes_between};
use crate::engine::{Engine, Output};
use crate::head::SignedHead;
use crate::id::{LogId, Topic};
use crate::limits::ECHO_WITHIN_US;
use crate::log::Announcement;
use crate::merkle::CompactRange;
use crate::store::{History, ReadError, Store, StoreError};
use crate::time::Timestamp;

/// When a head is told to the neighbours.
#[derive(Debug, Default)]
pub(in crate::engine) struct Echo {
    /// The largest size that gossip has brought, or that was told here.
    known: u64,
    /// The largest size that was told once more, to one who had missed it.
    retold: u64,
    /// Others who have asked at the same moment are not to tell it all at once.
    due: Option<Timestamp>,
}

impl Echo {
    /// Somebody still lacks a head of this size; whether it is worth telling it
    /// once more.
    fn was_missed(&mut self, size: u64) -> bool {
        let is_first = self.retold < size;
        if is_first {
            self.retold = size;
            self.known = self.known.min(size - 1);
        }
        is_first
    }

    /// Whether it is time to tell a head of this size.
    fn take_due(&mut self, size: u64, now: Timestamp) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        self.due = None;
        let is_news = size > self.known;
        self.known = self.known.max(size);
        is_news
    }
}

impl LogState {
    /// Gossip has brought a head of this size.
    pub(in crate::engine) fn heard_by_gossip(&mut self, size: u64) {
        self.echo.known = self.echo.known.max(size);
    }

    /// When a head is told to the neighbours.
    pub(in crate::engine) fn echo_due(&self) -> Option<Timestamp> {
        self.echo.due
    }

    /// The least that a neighbour is known to have, if it is less than there is.
    fn least_behind(&self) -> Option<u64> {
        let sources = self.sources().map(|(_, source)| source.size);
        sources.filter(|&size| size < self.size()).min()
    }
}

impl<S: Store> Engine<S> {
    /// A head of another's log was adopted: it is told soon, unless gossip has
    /// brought it or brings it meanwhile.
    pub(in crate::engine) fn echo_later(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if state.is_ours() || state.size() <= state.echo.known || state.least_behind().is_none() {
            return;
        }
        let delay = self.joining.dice() % ECHO_WITHIN_US;
        state.echo.due.get_or_insert(now.plus(delay));
    }

    /// A neighbour has said that its head has this size: what gossip lost is told
    /// again, once.
    pub(in crate::engine) fn echo_if_missed(&mut self, log: LogId, theirs: u64, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let size = state.size();
        if theirs < size && state.echo.was_missed(size) {
            self.echo_later(log, now);
        }
    }

    pub(in crate::engine) fn echo_is_due(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let size = state.size();
        if !state.echo.take_due(size, now) || !state.takes_heads() {
            return;
        }
        let state = &self.logs[&log];
        let (Some(from), Some(head)) = (state.least_behind(), state.signed_head()) else {
            return;
        };
        match self.echo(state, from, head) {
            Ok(Some(data)) => (self.outputs).push_back(Output::Publish(Topic::Data(log), data)),
            Ok(None) => {}
            Err(error) => self.store_failed(log, &ReadError::Store(error)),
        }
    }

    /// The announcement of an adopted head for those who have `from` records.
    fn echo(
        &self,
        state: &LogState,
        from: u64,
        head: &SignedHead,
    ) -> Result<Option<bytes::Bytes>, StoreError> {
        let Some(key) = state.key() else {
            return Ok(None);
        };
        let history = History::new(&self.store, key);
        let range = |size| -> Result<Option<CompactRange>, StoreError> {
            let nodes = nodes_between(&history, 0, size)?;
            Ok(nodes.and_then(|nodes| CompactRange::from_hashes(0, size, nodes).ok()))
        };
        if state.holds(from, head.size)
            && let Some(records) = few_records(&history, from, head.size)?
            && let Some(prefix) = range(from)?
        {
            return Ok(Some(Announcement::encode(head, &prefix, &records, &prefix)));
        }
        let whole = range(head.size)?;
        Ok(whole.map(|whole| Announcement::encode(head, &whole, &bytes::Bytes::new(), &whole)))
    }
}
