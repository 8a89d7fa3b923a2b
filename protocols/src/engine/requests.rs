//! Questions that wait for their answers.

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;

use super::agenda::Agenda;
use crate::head::SignedHead;
use crate::id::LogId;
use crate::limits::{MAX_BATCH_TIME_US, REQUEST_TIMEOUT_US};
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
    Head(LogId),
    Extend(LogId, SignedHead),
    Range(Box<Fetch>),
}

impl Request {
    pub(super) fn log(&self) -> LogId {
        match &self.kind {
            RequestKind::Manifest(log) | RequestKind::Head(log) | RequestKind::Extend(log, _) => {
                *log
            }
            RequestKind::Range(fetch) => fetch.log,
        }
    }

    /// Whether it asks what a peer has of a log.
    fn is_about(&self) -> bool {
        match self.kind {
            RequestKind::Manifest(_) | RequestKind::Head(_) => true,
            RequestKind::Extend(..) | RequestKind::Range(_) => false,
        }
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
        if request.is_about() {
            self.about.insert((peer, request.log()));
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
        if request.is_about() {
            self.about.remove(&(request.peer, request.log()));
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

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Request> {
        self.open.get_mut(&id)
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

    /// Whether a peer has been asked what it has of a log.
    pub(super) fn is_asked_about(&self, peer: PeerId, log: LogId) -> bool {
        self.about.contains(&(peer, log))
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
