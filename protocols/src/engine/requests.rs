//! Questions that wait for their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use libp2p_identity::PeerId;

use super::agenda::Agenda;
use crate::head::AdoptedHead;
use crate::id::LogId;
use crate::limits::{MAX_BATCH_TIME_US, MAX_OPEN_QUESTIONS, REQUEST_TIMEOUT_US};
use crate::sync::retrieval::Question;
use crate::sync::session::Fetch;
use crate::time::Timestamp;

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) peer: PeerId,
    pub(super) kind: RequestKind,
    pub(super) begun: Timestamp,
}

#[derive(Debug)]
pub(super) enum RequestKind {
    Manifest(LogId),
    Head {
        log: LogId,
        /// The head that was adopted when it was asked.
        from: Option<AdoptedHead>,
        /// Whether the records since then are asked for, too.
        news: bool,
    },
    /// From a size on: that of the head, or where the chunk begins in which it
    /// ends.
    Extend(LogId, AdoptedHead, u64),
    /// Where the branches of a forked log part.
    Search(LogId),
    Range(Box<Fetch>),
    /// Which streams it knows, for a user's command.
    Discover(u64),
    Retrieve {
        /// The user's command.
        command: u64,
        question: Question,
    },
}

impl Request {
    /// The log that it is about; a chunk that is known by its address alone may
    /// be of any.
    pub(super) fn log(&self) -> Option<LogId> {
        match &self.kind {
            RequestKind::Manifest(log)
            | RequestKind::Head { log, .. }
            | RequestKind::Search(log)
            | RequestKind::Extend(log, ..) => Some(*log),
            RequestKind::Range(fetch) => Some(fetch.log),
            RequestKind::Discover(_) => None,
            RequestKind::Retrieve { question, .. } => match question {
                Question::Chunk(_) => None,
                Question::Index(log, ..) | Question::Time(log, ..) => Some(*log),
            },
        }
    }

    /// The peer and the log, if it asks what the one has of the other.
    fn about(&self) -> Option<(PeerId, LogId)> {
        match self.kind {
            RequestKind::Manifest(log) | RequestKind::Head { log, .. } => Some((self.peer, log)),
            RequestKind::Extend(..)
            | RequestKind::Search(_)
            | RequestKind::Range(_)
            | RequestKind::Discover(_)
            | RequestKind::Retrieve { .. } => None,
        }
    }
}

/// What one peer is asked, and is to be asked.
#[derive(Debug, Default)]
struct Questions {
    open: usize,
    waiting: BTreeSet<LogId>,
    /// Whose turn it was last: the next log in order is next, so that one that
    /// is asked about again and again does not keep the others waiting.
    last: Option<LogId>,
}

impl Questions {
    fn take_next(&mut self) -> Option<LogId> {
        let after = self.last.and_then(|last| {
            let after = (Bound::Excluded(last), Bound::Unbounded);
            self.waiting.range(after).next().copied()
        });
        let next = after.or_else(|| self.waiting.first().copied())?;
        self.waiting.remove(&next);
        self.last = Some(next);
        Some(next)
    }
}

/// All questions that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<u64, Request>,
    next_id: u64,
    deadlines: Agenda<u64>,
    /// Who was asked what it has of which log.
    about: BTreeSet<(PeerId, LogId)>,
    /// Logs whose last records somebody was asked for together with its head.
    news: BTreeSet<LogId>,
    /// How many of these questions are open with a peer, and what it is asked
    /// when it has answered some.
    questions: BTreeMap<PeerId, Questions>,
    /// Peers that have answered while something waits.
    freed: BTreeSet<PeerId>,
    /// Batches that are open with a peer, for all logs.
    ranges: BTreeMap<PeerId, usize>,
}

impl Requests {
    /// Keeps a question that is asked now, and names it.
    pub(super) fn insert(&mut self, peer: PeerId, kind: RequestKind, now: Timestamp) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request {
            peer,
            kind,
            begun: now,
        };
        if let RequestKind::Head {
            log, news: true, ..
        } = request.kind
        {
            self.news.insert(log);
        }
        if let Some(about) = request.about() {
            self.about.insert(about);
            self.questions.entry(peer).or_default().open += 1;
        } else if let RequestKind::Range(_) = request.kind {
            *self.ranges.entry(peer).or_default() += 1;
        }
        self.deadlines.set(id, Some(now.plus(REQUEST_TIMEOUT_US)));
        self.open.insert(id, request);
        id
    }

    /// Takes a question that has been answered, or given up.
    pub(super) fn remove(&mut self, id: u64) -> Option<Request> {
        let request = self.open.remove(&id)?;
        self.deadlines.set(id, None);
        if let RequestKind::Head {
            log, news: true, ..
        } = request.kind
        {
            self.news.remove(&log);
        }
        if let Some(about) = request.about() {
            self.about.remove(&about);
            self.question_ended(request.peer);
        } else if let RequestKind::Range(_) = request.kind
            && let Some(open) = self.ranges.get_mut(&request.peer)
        {
            *open -= 1;
            if *open == 0 {
                self.ranges.remove(&request.peer);
            }
        }
        Some(request)
    }

    pub(super) fn get(&self, id: u64) -> Option<&Request> {
        self.open.get(&id)
    }

    /// A question for records, of which the answer comes in parts.
    pub(super) fn fetch(&mut self, id: u64) -> Option<&mut Fetch> {
        match &mut self.open.get_mut(&id)?.kind {
            RequestKind::Range(fetch) => Some(fetch),
            _ => None,
        }
    }

    /// Waits for the rest of an answer as long as for its beginning, but not
    /// for ever: it may trickle.
    pub(super) fn keep_waiting(&mut self, id: u64, now: Timestamp) {
        if let Some(request) = self.open.get(&id) {
            let longest = request.begun.plus(MAX_BATCH_TIME_US);
            let deadline = now.plus(REQUEST_TIMEOUT_US).min(longest);
            self.deadlines.set(id, Some(deadline));
        }
    }

    fn question_ended(&mut self, peer: PeerId) {
        if let Some(questions) = self.questions.get_mut(&peer) {
            questions.open -= 1;
            if !questions.waiting.is_empty() {
                self.freed.insert(peer);
            } else if questions.open == 0 {
                self.questions.remove(&peer);
            }
        }
    }

    /// Whether a peer may be asked one more question about a log now. If not,
    /// the log waits for its turn.
    pub(super) fn may_ask_about(&mut self, peer: PeerId, log: LogId) -> bool {
        match self.questions.get_mut(&peer) {
            Some(questions) if questions.open >= MAX_OPEN_QUESTIONS => {
                questions.waiting.insert(log);
                false
            }
            _ => true,
        }
    }

    /// A log whose turn it is, and the peer that is to be asked about it.
    pub(super) fn next_waiting(&mut self) -> Option<(PeerId, LogId)> {
        while let Some(&peer) = self.freed.first() {
            let free = self.questions.get_mut(&peer);
            let free = free.filter(|questions| questions.open < MAX_OPEN_QUESTIONS);
            if let Some(log) = free.and_then(Questions::take_next) {
                return Some((peer, log));
            }
            self.freed.remove(&peer);
            if (self.questions.get(&peer)).is_some_and(|questions| questions.open == 0) {
                self.questions.remove(&peer);
            }
        }
        None
    }

    /// Forgets what a peer that is gone was to be asked.
    pub(super) fn forget_waiting(&mut self, peer: PeerId) {
        if let Some(questions) = self.questions.get_mut(&peer) {
            questions.waiting.clear();
        }
    }

    /// Whether a peer has been asked what it has of a log.
    pub(super) fn is_asked_about(&self, peer: PeerId, log: LogId) -> bool {
        self.about.contains(&(peer, log))
    }

    /// Whether somebody has been asked for the last records of a log together
    /// with its head.
    pub(super) fn is_asked_for_news(&self, log: LogId) -> bool {
        self.news.contains(&log)
    }

    /// Whether anybody has been asked what it has of a log, and has not answered.
    pub(super) fn are_open_about(&self, log: LogId) -> bool {
        self.about.iter().any(|&(_, about)| about == log)
    }

    /// Batches that are open with a peer, for all logs.
    pub(super) fn open_ranges(&self, peer: &PeerId) -> usize {
        self.ranges.get(peer).copied().unwrap_or(0)
    }

    /// The questions that `wanted` picks.
    pub(super) fn which(&self, wanted: impl Fn(&Request) -> bool) -> Vec<u64> {
        let picked = self.open.iter().filter(|(_, request)| wanted(request));
        picked.map(|(&id, _)| id).collect()
    }

    /// When the next question has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.next()
    }

    /// The questions that have waited long enough.
    pub(super) fn late(&self, now: Timestamp) -> Vec<u64> {
        self.deadlines.due(now)
    }
}
