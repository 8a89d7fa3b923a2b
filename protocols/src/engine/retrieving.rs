//! What a user waits for that is not held here: asked of one peer, of the next
//! one before the first has failed for good, and of whoever comes in the
//! meantime.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;

use super::agenda::Agenda;
use super::log_state::LogState;
use super::requests::{Request, RequestKind};
use super::upstream::UNKNOWN_TREE;
use super::{CommandError, Engine, Output, Reply};
use crate::head::Tree;
use crate::id::LogId;
use crate::limits::{
    MAX_CHUNK_VALUE_BYTES, MAX_LOG_SIZE, MAX_RETRIEVALS, RETRIEVAL_HEDGE_US, RETRIEVAL_PEERS,
    RETRIEVAL_TIMEOUT_US,
};
use crate::merkle::Hash;
use crate::ranges::Interval;
use crate::store::addresses::chunk_at;
use crate::store::{History, Store, StoreError};
use crate::sync::Lane;
use crate::sync::provider::{RefuseError, Work};
use crate::sync::retrieval::{
    Among, Found, Question, Retrieval, answer_chunk, answer_index, answer_time, find, later_of,
};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::frame::Body;
use crate::wire::v1::retrieve::What;

/// A command that waits for peers.
#[derive(Debug)]
struct Open {
    what: Retrieval,
    /// Who was asked, whatever became of it.
    asked: BTreeSet<PeerId>,
    /// How many of them have not answered.
    waiting: usize,
    /// When the next one is asked, unless the others have answered.
    hedge_at: Timestamp,
    /// When it is given up.
    until: Timestamp,
}

/// All commands that wait for peers, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Retrievals {
    open: BTreeMap<u64, Open>,
    agenda: Agenda<u64>,
}

impl Retrievals {
    /// When something is to be done about one of them.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.agenda.next()
    }

    fn rearm(&mut self, command: u64) {
        let open = self.open.get(&command);
        let at = open.map(|open| {
            let hedges = open.waiting > 0 && open.waiting < RETRIEVAL_PEERS;
            if hedges {
                open.hedge_at.min(open.until)
            } else {
                open.until
            }
        });
        self.agenda.set(command, at);
    }
}

impl LogState {
    /// Whether its times never go back.
    fn is_ordered(&self) -> bool {
        self.manifest().is_some_and(|one| one.ordered)
    }

    /// Where a record of some time may lie, in its tree of a size.
    fn among(&self, size: u64) -> Among {
        Among {
            begin: self.begin(),
            size,
            ordered: self.is_ordered(),
        }
    }
}

impl<S: Store> Engine<S> {
    /// Answers from the store, or asks peers; the reply comes when one of them
    /// has answered, or none in time.
    pub(super) fn retrieve(&mut self, command: u64, what: Retrieval, now: Timestamp) {
        let found = match self.find_here(what) {
            // Peers may have what cannot be read here.
            Err(CommandError::Store(StoreError::Damaged(_))) => {
                self.suspect_sought(what);
                Ok(None)
            }
            found => found,
        };
        match found {
            Ok(None) if self.retrievals.open.len() >= MAX_RETRIEVALS => {
                let error = CommandError::TooManyRetrievals(MAX_RETRIEVALS);
                self.outputs.push_back(Output::Reply(command, Err(error)));
            }
            Ok(None) => {
                let open = Open {
                    what,
                    asked: BTreeSet::new(),
                    waiting: 0,
                    hedge_at: now,
                    until: now.plus(RETRIEVAL_TIMEOUT_US),
                };
                self.retrievals.open.insert(command, open);
                self.ask_next(command, now);
            }
            Ok(Some(found)) => self.found(command, found),
            Err(error) => self.outputs.push_back(Output::Reply(command, Err(error))),
        }
    }

    /// Has read what could not be found for damage.
    fn suspect_sought(&mut self, what: Retrieval) {
        match what {
            Retrieval::Index(log, from) => {
                let to = from.saturating_add(1);
                self.suspect(log, Interval { from, to });
            }
            Retrieval::Time(log, _) => self.suspect_all(log),
            // Where it stands is not known.
            Retrieval::Chunk(_) => {}
        }
    }

    fn find_here(&self, what: Retrieval) -> Result<Option<Found>, CommandError> {
        let (log, question) = match what {
            Retrieval::Chunk(address) => {
                return Ok(chunk_at(&self.store, address)?.map(Found::Chunk));
            }
            Retrieval::Index(log, index) => {
                let tree = self.wanted_tree(log)?;
                if index >= tree.size {
                    return Err(CommandError::Beyond {
                        index,
                        size: tree.size,
                    });
                }
                if let Some(begin) = self.logs[&log].dropped(index) {
                    return Err(CommandError::Dropped { index, begin });
                }
                (log, Question::Index(log, tree, index))
            }
            Retrieval::Time(log, time) => (log, Question::Time(log, self.wanted_tree(log)?, time)),
        };
        let state = &self.logs[&log];
        let key = state.key().ok_or(CommandError::UnknownStream(log))?;
        let history = History::new(&self.store, key);
        let among = state.among(state.target());
        Ok(find(&history, state.held(), among, &question)?)
    }

    /// The tree of what is not disputed.
    fn wanted_tree(&self, log: LogId) -> Result<Tree, CommandError> {
        let state = self.logs.get(&log);
        let tree = state.and_then(|state| state.tree_of(state.target()));
        tree.ok_or(CommandError::UnknownStream(log))
    }

    fn found(&mut self, command: u64, found: Found) {
        let reply = Ok(Reply::Retrieved(Box::new(found)));
        self.outputs.push_back(Output::Reply(command, reply));
    }

    /// The peers that may have what is wanted and were not asked for it, and what
    /// each is asked: for a time whoever knows the largest tree first, then the one
    /// with the least to do.
    fn candidates(&self, what: Retrieval, asked: &BTreeSet<PeerId>) -> Vec<(PeerId, Question)> {
        let is_free = |peer: &PeerId| {
            !asked.contains(peer) && self.peers.get(peer).is_some_and(|peer| peer.ready)
        };
        let mut found: Vec<_> = match what {
            Retrieval::Chunk(address) => (self.peers.keys())
                .filter(|peer| is_free(peer))
                .map(|&peer| (false, peer, Question::Chunk(address)))
                .collect(),
            Retrieval::Index(log, _) | Retrieval::Time(log, _) => {
                let Some(state) = self.logs.get(&log).filter(|state| state.fetches()) else {
                    return Vec::new();
                };
                (state.sources())
                    .filter(|(peer, _)| is_free(peer))
                    .filter_map(|(&peer, source)| {
                        let mut tree = state.tree_within(source.size)?;
                        if let Retrieval::Time(_, time) = what
                            && !self.knows_behind(state, tree.size, time)
                        {
                            // By now it may have the rest.
                            tree = state.tree_of(state.target())?;
                        }
                        let size = tree.size;
                        let (from, to) = match what {
                            Retrieval::Index(_, index) => (index, index + 1),
                            _ => (state.begin(), size.min(source.size)),
                        };
                        let is_there = from < to && to <= size;
                        let has_all = source.held.contains(from, to);
                        // Of a stream in order two neighbours are enough.
                        let is_in_order = matches!(what, Retrieval::Time(..)) && state.is_ordered();
                        let has = has_all || (is_in_order && source.held.covered(from, to) > 0);
                        let may_lack = !has_all || source.size < size;
                        (is_there && has).then(|| (may_lack, peer, question(what, tree)))
                    })
                    .collect()
            }
        };
        // What was last in an older tree need not be what is meant now.
        let known = |question: &Question| match question {
            Question::Time(_, tree, _) => tree.size,
            Question::Chunk(_) | Question::Index(..) => 0,
        };
        found.sort_by_key(|(may_lack, peer, question)| {
            let open = self.requests.open_ranges(peer);
            (Reverse(known(question)), *may_lack, open)
        });
        (found.into_iter())
            .map(|(_, peer, question)| (peer, question))
            .collect()
    }

    /// Whether what was at a time in the tree of a size tells, with what is held here,
    /// what was at that time in the tree that counts.
    fn knows_behind(&self, state: &LogState, size: u64, time: Timestamp) -> bool {
        let target = state.target();
        if size >= target || state.holds(size, target) {
            return true;
        }
        let Some(key) = state.key().filter(|_| state.is_ordered()) else {
            return false;
        };
        let next = History::new(&self.store, key).record(size);
        state.holds(size, size + 1) && next.is_ok_and(|next| next.time() > time)
    }

    /// What is meant now, of what was found in the tree that a peer knows.
    fn with_what_is_here(&self, found: Found, question: &Question) -> Found {
        let &Question::Time(log, tree, time) = question else {
            return found;
        };
        let state = self.logs.get(&log);
        let ours = state.and_then(|state| Some((state.key()?, state.tree_of(state.target())?)));
        match ours {
            Some((key, ours)) if tree.size < ours.size => {
                later_of(found, (&History::new(&self.store, key), ours), time)
            }
            _ => found,
        }
    }

    /// Asks one more peer, if there is one.
    fn ask_next(&mut self, command: u64, now: Timestamp) {
        let Some(open) = self.retrievals.open.get(&command) else {
            return;
        };
        let next = self.candidates(open.what, &open.asked).into_iter().next();
        if let Some((peer, question)) = next {
            self.ask_for(command, peer, question, now);
        }
        self.retrievals.rearm(command);
    }

    fn ask_for(&mut self, command: u64, peer: PeerId, question: Question, now: Timestamp) {
        let Some(open) = self.retrievals.open.get_mut(&command) else {
            return;
        };
        open.asked.insert(peer);
        open.waiting += 1;
        open.hedge_at = now.plus(RETRIEVAL_HEDGE_US);
        let body = Body::Retrieve(question.to_wire());
        self.ask(peer, RequestKind::Retrieve { command, question }, body, now);
    }

    /// Asks a peer at once for all that is waited for and that it may have: it
    /// has come, or has told what it holds.
    pub(super) fn ask_what_is_waited_for(&mut self, peer: PeerId, now: Timestamp) {
        let waiting = self.retrievals.open.iter();
        let free = waiting.filter(|(_, open)| open.waiting < RETRIEVAL_PEERS);
        let commands: Vec<_> = free.map(|(&command, _)| command).collect();
        for command in commands {
            let open = &self.retrievals.open[&command];
            let found = self.candidates(open.what, &open.asked);
            if let Some((_, question)) = found.into_iter().find(|(one, _)| *one == peer) {
                self.ask_for(command, peer, question, now);
                self.retrievals.rearm(command);
            }
        }
    }

    /// Takes the answer of a peer.
    pub(super) fn retrieved(&mut self, request: Request, answer: &v1::Retrieved, now: Timestamp) {
        let RequestKind::Retrieve { command, question } = &request.kind else {
            return;
        };
        if self.is_question_of_the_past(question) {
            return self.retrieve_anew(*command, now);
        }
        let state = request.log().and_then(|log| self.logs.get(&log));
        let manifest = state.and_then(LogState::manifest);
        let max = manifest.map_or(MAX_CHUNK_VALUE_BYTES, |one| one.max_value_bytes());
        match question.check(answer, max) {
            Ok(found) => {
                let found = self.with_what_is_here(found, question);
                let command = *command;
                self.retrievals.open.remove(&command);
                self.retrievals.rearm(command);
                self.cancel_retrieval(command);
                self.found(command, found);
            }
            Err(error) => {
                self.ban(request.peer, request.log(), &error);
                self.failed(request, now);
            }
        }
    }

    /// The other peers need not answer any more.
    fn cancel_retrieval(&mut self, command: u64) {
        let asked = self.requests.which(|request| {
            matches!(request.kind, RequestKind::Retrieve { command: of, .. } if of == command)
        });
        for id in asked {
            if let Some(request) = self.requests.remove(id) {
                self.send(request.peer, Lane::Control, id, Body::Cancel(v1::Cancel {}));
            }
        }
    }

    /// Whether something was asked for in a tree that does not count any more.
    fn is_question_of_the_past(&self, question: &Question) -> bool {
        match question {
            Question::Chunk(_) => false,
            Question::Index(log, tree, _) | Question::Time(log, tree, _) => {
                let state = self.logs.get(log);
                state.is_some_and(|state| state.is_of_the_past(*tree))
            }
        }
    }

    /// Begins anew with what a user waits for, with the tree that counts now.
    fn retrieve_anew(&mut self, command: u64, now: Timestamp) {
        if let Some(open) = self.retrievals.open.remove(&command) {
            self.retrievals.rearm(command);
            self.cancel_retrieval(command);
            self.retrieve(command, open.what, now);
        }
    }

    /// A peer did not answer, or not as asked: it is the next one's turn.
    pub(super) fn retrieval_failed(&mut self, command: u64, asked: &Question, now: Timestamp) {
        if self.is_question_of_the_past(asked) {
            return self.retrieve_anew(command, now);
        }
        if let Some(open) = self.retrievals.open.get_mut(&command) {
            open.waiting -= 1;
            self.ask_next(command, now);
        }
    }

    /// Asks further peers where the first ones take their time, and gives up
    /// what nobody answered.
    pub(super) fn retrieving_is_due(&mut self, now: Timestamp) {
        for command in self.retrievals.agenda.due(now) {
            let until = self.retrievals.open.get(&command).map(|open| open.until);
            if until.is_some_and(|until| until > now) {
                if let Some(open) = self.retrievals.open.get_mut(&command) {
                    // Nobody else may be there.
                    open.hedge_at = now.plus(RETRIEVAL_HEDGE_US);
                }
                self.ask_next(command, now);
                continue;
            }
            self.retrievals.open.remove(&command);
            self.retrievals.rearm(command);
            self.cancel_retrieval(command);
            let error = Err(CommandError::NotFound);
            self.outputs.push_back(Output::Reply(command, error));
        }
    }

    /// Answers a peer's question for a chunk or a record, at once: a user waits.
    pub(super) fn answer_retrieve(
        &mut self,
        peer: PeerId,
        id: u64,
        ask: &v1::Retrieve,
        now: Timestamp,
    ) {
        let may = self.provider.may_ask(peer, now) && self.provider.may_answer(peer);
        let answer = match may {
            true => self.look_up(ask),
            false => Err((RefuseError::Busy, Work::default())),
        };
        match answer {
            Ok((answer, work)) => {
                self.provider.charge(peer, work, now);
                self.reply_in(Lane::Urgent, peer, id, Body::Retrieved(answer));
            }
            Err((error, work)) => {
                if !matches!(error, RefuseError::Busy | RefuseError::UnknownLog) {
                    // Looking for it was work, too.
                    self.provider.charge(peer, work, now);
                }
                self.refuse_peer(peer, id, error.why());
            }
        }
    }

    /// The answer, or why there is none, and what it took.
    fn look_up(&self, ask: &v1::Retrieve) -> Result<(v1::Retrieved, Work), (RefuseError, Work)> {
        let at_once = |error: RefuseError| (error, UNKNOWN_TREE);
        let Some(what) = &ask.what else {
            return Err(at_once(RefuseError::Malformed));
        };
        if let What::Address(address) = what {
            let address = Hash::from_slice(address).ok_or(RefuseError::Malformed);
            let address = address.map_err(at_once)?;
            return answer_chunk(&self.store, address).map_err(at_once);
        }
        let asked = self.asked_log(&ask.log).ok_or(RefuseError::UnknownLog);
        let (_, state) = asked.map_err(at_once)?;
        let known = self.key_of_tree(state, ask.size, &ask.root);
        let (key, known) = known.map_err(at_once)?;
        let history = History::new(&self.store, key);
        let (held, size) = (state.held(), ask.size);
        let answer = match what {
            What::Index(index) if *index < MAX_LOG_SIZE => {
                answer_index(&history, held, size, *index)
            }
            What::Time(time) => answer_time(&history, held, state.among(size), Timestamp(*time)),
            What::Index(_) | What::Address(_) => Err(RefuseError::Malformed),
        };
        match answer {
            Ok((answer, work)) => Ok((answer, known + work)),
            // In a stream that is said to be in order and is not, much may have been
            // read before it was clear that the answer is not here.
            Err(error) => Err((error, UNKNOWN_TREE + Work::of(&history))),
        }
    }
}

fn question(what: Retrieval, tree: Tree) -> Question {
    match what {
        Retrieval::Chunk(address) => Question::Chunk(address),
        Retrieval::Index(log, index) => Question::Index(log, tree, index),
        Retrieval::Time(log, time) => Question::Time(log, tree, time),
    }
}
