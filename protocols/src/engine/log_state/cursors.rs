//! How far we are, and how far the others are: told by what is held up to which
//! head, never by how fast something comes in.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use crate::engine::log_state::LogState;
use crate::engine::{Engine, Output, Verdict};
use crate::head::{Head, SignedHead};
use crate::id::{LogId, Topic};
use crate::limits::{MAX_HEAD_LAG_US, MAX_SOURCES, SYNCED_NOTICE_US};
use crate::meta::Synced;
use crate::meta::allowance::Said;
use crate::store::Store;
use crate::sync::scheduler::Source;
use crate::time::Timestamp;
use crate::wire::{WireError, v1};

/// How a log stands to what its sources have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Sources of which everything that they hold is held here, too. Those that
    /// never delivered anything do not count: they may say what they like.
    pub synced_sources: usize,
    /// Sources that hold everything up to the adopted head; the same goes for
    /// these.
    pub full_sources: usize,
    /// Records up to the largest head heard of that are not held here.
    pub records: u64,
    /// Microseconds from the newest head with which everything was held here to
    /// the newest one heard of; `None` while there was no such head.
    pub time_us: Option<u64>,
}

impl Lag {
    /// Nothing that any source holds, or any head covers, is missing here.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.records == 0
    }
}

/// The heads of a log that were heard, whatever became of them.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Heard {
    /// The newest time of the largest of them.
    newest: Option<Timestamp>,
    /// The size of these.
    timed_size: u64,
    /// The largest size of one whose signature was right.
    size: u64,
}

/// How far we are with a log, and who has said that it has everything.
#[derive(Debug, Default)]
pub(in crate::engine) struct Progress {
    /// Size up to which everything is held and survives the loss of power.
    synced_size: u64,
    /// Time of the newest head with which everything was held here.
    complete_at: Option<Timestamp>,
    /// Something was fetched since the others were told that all is here.
    has_fetched: bool,
    /// When they were told last.
    told_at: Option<Timestamp>,
    /// Who has told us so, of a tree of which size.
    told_by: BTreeMap<PeerId, u64>,
}

impl Progress {
    /// What was told stays told when a log is read anew.
    pub(in crate::engine) fn take_over(&mut self, old: Self) {
        self.has_fetched = old.has_fetched;
        self.told_at = old.told_at;
        self.told_by = old.told_by;
    }

    /// Takes the word of a peer that it has everything of a size. Whoever has the least
    /// makes room, and may say it again when it has more.
    fn told(&mut self, by: PeerId, size: u64) {
        let told_by = &mut self.told_by;
        if told_by.len() >= MAX_SOURCES && !told_by.contains_key(&by) {
            let least = told_by.iter().min_by_key(|(_, size)| **size);
            if let Some((&peer, _)) = least {
                told_by.remove(&peer);
            }
        }
        told_by.insert(by, size);
    }

    fn is_told(&self, by: PeerId, size: u64) -> bool {
        self.told_by.get(&by).is_some_and(|&known| known >= size)
    }
}

impl LogState {
    /// Size up to which everything is held and survives the loss of power.
    pub(in crate::engine) fn synced_size(&self) -> u64 {
        self.progress.synced_size
    }

    /// All that is wanted is held, and not all of it would survive the loss of power.
    pub(in crate::engine) fn is_unsafe(&self) -> bool {
        self.is_complete() && self.synced_size() < self.target()
    }

    /// So much of it survives the loss of power; whether that is news.
    pub(in crate::engine) fn is_safe_to(&mut self, size: u64) -> bool {
        let is_news = self.progress.synced_size < size;
        self.progress.synced_size = self.progress.synced_size.max(size);
        is_news
    }

    /// No more of it than this is held, or counts.
    pub(in crate::engine) fn is_safe_only_to(&mut self, size: u64) {
        self.progress.synced_size = self.progress.synced_size.min(size);
    }

    /// All of our own log is safe, as was just signed.
    pub(in crate::engine) fn is_safe_as_signed(&mut self, size: u64) {
        self.progress.synced_size = size;
    }

    /// Something is fetched that the others are told of when all is here.
    pub(in crate::engine) fn note_fetching(&mut self) {
        self.progress.has_fetched = true;
    }

    /// The largest size of a head that was heard.
    pub(in crate::engine) fn heard_size(&self) -> u64 {
        self.heard.size
    }

    /// Whether a head is larger, or newer, than what was heard.
    pub(in crate::engine) fn is_news(&self, head: &Head) -> bool {
        self.heard.size < head.size || self.heard.newest < Some(head.time)
    }

    /// Hears a head whose signature is right: whether it is the largest one heard, or
    /// not long behind that; and whether none was as large.
    pub(in crate::engine) fn hear(&mut self, head: &SignedHead) -> (bool, bool) {
        let is_largest = self.heard.timed_size < head.size;
        let is_larger = self.note_heard(head);
        self.note_time(head);
        let newest = self.heard.newest.unwrap_or(head.time);
        // An end never gets old.
        let is_end = head.closing.is_some();
        let is_timely = is_end || is_largest || newest.since(head.time) <= MAX_HEAD_LAG_US;
        (is_timely, is_larger)
    }

    pub(in crate::engine) fn lag(&self) -> Lag {
        let size = self.target();
        let sources = || self.sources().map(|(_, source)| source);
        let delivering = || sources().filter(|source| source.has_delivered);
        let largest = sources().map(|source| source.size).max().unwrap_or(0);
        let largest = match self.last_head() {
            Some(last) => last.size,
            None if !self.is_limited() => largest.max(self.heard.size).max(size),
            // Of a forked log nothing more is wanted.
            None => size,
        };
        let begin = self.begin_at(largest);
        // What does not count is not there.
        let held = match begin < size {
            true => self.held().len() - self.held().outside(begin, size),
            false => 0,
        };
        let records = largest.saturating_sub(begin).saturating_sub(held);
        let time_us = if records == 0 && size > 0 {
            Some(0)
        } else {
            let newest = self.heard.newest.max(self.progress.complete_at);
            (newest.zip(self.progress.complete_at)).map(|(newest, at)| newest.since(at))
        };
        Lag {
            synced_sources: delivering()
                .filter(|source| self.has_all_of(source))
                .count(),
            full_sources: delivering()
                .filter(|source| size > 0 && source.has_all(self.begin(), size))
                .count(),
            records,
            time_us,
        }
    }

    /// Whether everything that a source holds up to its head is held here.
    fn has_all_of(&self, source: &Source) -> bool {
        source.size <= self.size() && source.has_nothing_new(self.held(), self.begin())
    }

    /// Notes the time of a head with which everything is held.
    pub(in crate::engine) fn note_complete(&mut self) {
        if self.is_complete() {
            self.progress.complete_at = self.adopted().map(|head| head.time);
        }
    }

    /// Notes the time of a head that was heard, if it is one of the largest. Only
    /// between these do times tell which is newer: an owner's clock may have been
    /// wrong, or set back, in between.
    pub(in crate::engine) fn note_time(&mut self, head: &Head) {
        self.heard.newest = match head.size.cmp(&self.heard.timed_size) {
            Ordering::Less => self.heard.newest,
            Ordering::Equal => self.heard.newest.max(Some(head.time)),
            Ordering::Greater => Some(head.time),
        };
        self.heard.timed_size = self.heard.timed_size.max(head.size);
    }

    /// Notes that a head was heard whose signature is right; whether it is the
    /// largest one so far.
    pub(in crate::engine) fn note_heard(&mut self, head: &SignedHead) -> bool {
        let is_larger = self.heard.size < head.size;
        self.heard.size = self.heard.size.max(head.size);
        is_larger
    }
}

impl<S: Store> Engine<S> {
    /// Tells the others that everything is held here and safe, once after
    /// something had to be fetched.
    pub(in crate::engine) fn tell_synced(&mut self, log: LogId, now: Timestamp) {
        let state = self.logs.get_mut(&log);
        // Of a forked log nobody has the whole tree of a head.
        let Some(state) = state.filter(|state| state.takes() && !state.is_limited()) else {
            return;
        };
        let is_early = (state.progress.told_at).is_some_and(|at| at.plus(SYNCED_NOTICE_US) > now);
        let Some(head) = state.adopted() else {
            return;
        };
        if !state.progress.has_fetched || is_early || head.size == 0 {
            return;
        }
        let notice = Synced::with(head, self.key.public().peer_id()).encode();
        state.progress.has_fetched = false;
        state.progress.told_at = Some(now);
        self.outputs
            .push_back(Output::Publish(Topic::Meta(log), notice));
    }

    /// Somebody says that it holds everything. It is believed as far as it will
    /// be asked for it.
    pub(in crate::engine) fn synced_heard(
        &mut self,
        author: PeerId,
        log: LogId,
        wire: &v1::Synced,
        now: Timestamp,
    ) -> Result<Verdict, WireError> {
        let synced = Synced::from_wire(wire)?;
        if synced.peer != author {
            let (what, field) = ("a notice of a full sync", "peer: it is not the author");
            return Err(WireError::BadField { what, field });
        }
        let Some(state) = self.logs.get(&log).filter(|state| state.is_followed()) else {
            return Ok(Verdict::Ignore);
        };
        // Of a tree that is not known here nobody can say whether there is one.
        let known = state.tree_of(synced.size);
        let is_known = known.is_some_and(|head| head.root == synced.root);
        if !is_known || state.progress.is_told(author, synced.size) {
            return Ok(Verdict::Ignore);
        }
        if !self.may_say(log, Said::Synced, author, now) {
            return Ok(Verdict::Ignore);
        }
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(Verdict::Ignore);
        };
        state.progress.told(author, synced.size);
        self.follower_is_in_step(author, log, now);
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(Verdict::Ignore);
        };
        let begin = state.begin().min(synced.size);
        if state.source_has_live(author, begin, synced.size) {
            self.changed.insert(log);
            self.schedule(log, now);
        }
        Ok(Verdict::Accept)
    }
}
