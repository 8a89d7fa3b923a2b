//! Our own logs whose writer may have been here before: a data folder that is a
//! copy, was restored, or is damaged, knows less of them than others do. Nothing
//! is signed before what others know is here, so that no second history begins.

mod answers;
mod words;

use std::collections::BTreeMap;

use libp2p_identity::PeerId;

pub use self::answers::Answer;
use self::answers::{Answers, Heard};
use crate::engine::log_state::{LogState, put_log};
use crate::engine::start::Start;
use crate::engine::trees::frontier;
use crate::engine::{CommandError, Engine, Output, Reply, subscribers};
use crate::head::{Head, SignedHead};
use crate::id::LogId;
use crate::limits::{
    BUSY_HEAD_POLL_US, MAX_CLOCK_SKEW_US, REOPENING_FOLLOWERS, REOPENING_SETTLE_US,
    REOPENING_SILENCE_US, TWIN_US, UNCLEAN_WAIT_US,
};
use crate::log::{Appender, Relation};
use crate::store::{Batch, Durability, History, ReadError, Store, StoreError};
use crate::time::Timestamp;
use crate::wire::v1::stored_log::Reopening as Stored;

/// What was signed of a log of ours, as something outside of the store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Records under the last head that was signed.
    pub size: u64,
    /// The time of that head.
    pub time: Timestamp,
    /// Whether it closed the log.
    pub closed: bool,
}

impl Mark {
    /// What is noted of a head.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self {
            size: head.size,
            time: head.time,
            closed: head.closing.is_some(),
        }
    }
}

/// A log of ours that is not written to before peers were asked for its largest
/// head.
#[derive(Debug)]
pub(in crate::engine) struct Reopening {
    why: Why,
    /// Records that were here when it began: a follower that has fewer was not
    /// up to date even then.
    here: u64,
    begun: Timestamp,
    /// What peers have said.
    answers: Answers,
    /// Somebody else signs it with our key.
    twin: Option<Twin>,
    /// When it is looked at again.
    check_at: Timestamp,
}

/// Somebody else who signs with our key.
#[derive(Debug)]
struct Twin {
    /// The time of its last head.
    signed: Timestamp,
    /// When it is taken to have stopped, if nothing more is heard of it.
    until: Timestamp,
}

/// Why a log is reopened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Why {
    /// The store is a copy, or was restored.
    Copied,
    /// A peer knows more of it than is here.
    Behind { known: u64, here: u64 },
    /// The user asks for it.
    Asked,
    /// It was deleted here.
    Deleted,
    /// More was signed than is here.
    Marked { here: u64 },
    /// A part of the store is lost, and nothing says what was signed.
    Damaged(String),
    /// The node did not end well, and nothing says what was signed.
    Unclean,
}

impl Why {
    /// What is kept of it in the store: what the next start cannot find out.
    fn to_stored(&self) -> Stored {
        match self {
            Self::Copied | Self::Behind { .. } | Self::Asked | Self::Damaged(_) => Stored::Restored,
            Self::Deleted => Stored::Deleted,
            Self::Marked { .. } | Self::Unclean => Stored::No,
        }
    }

    pub(in crate::engine) fn from_stored(stored: Stored) -> Option<Self> {
        match stored {
            Stored::No => None,
            Stored::Restored => Some(Self::Copied),
            Stored::Deleted => Some(Self::Deleted),
        }
    }
}

impl Reopening {
    pub(in crate::engine) fn new(why: Why, here: u64, now: Timestamp) -> Self {
        let wait = match why {
            Why::Unclean => UNCLEAN_WAIT_US,
            _ => REOPENING_SETTLE_US,
        };
        Self {
            why,
            here,
            begun: now,
            answers: Answers::default(),
            twin: None,
            check_at: now.plus(wait),
        }
    }

    /// Hears of a head; whether somebody else has signed it since this begun, which
    /// the system's clock shows as `begun`. One that is heard again says nothing new.
    fn heard_of_twin(&mut self, signed: Timestamp, begun: Timestamp, now: Timestamp) -> bool {
        let since = self.twin.as_ref().map_or(begun, |twin| twin.signed);
        let is_new = signed > since;
        if is_new {
            let until = now.plus(TWIN_US);
            self.twin = Some(Twin { signed, until });
        }
        is_new
    }

    /// Something came that was not known: there may be more.
    pub(in crate::engine) fn news(&mut self, now: Timestamp) {
        if self.why != Why::Unclean {
            self.check_at = now.plus(REOPENING_SETTLE_US);
        }
    }

    /// When it is looked at again: not before anybody has answered, unless it
    /// opens without.
    pub(in crate::engine) fn due(&self) -> Option<Timestamp> {
        if let Some(twin) = &self.twin {
            return Some(twin.until);
        }
        let is_ready = self.why == Why::Unclean || !self.answers.is_empty();
        is_ready.then_some(self.check_at)
    }

    /// Whether nobody has been heard of yet.
    pub(in crate::engine) fn knows_nobody(&self) -> bool {
        self.answers.is_empty()
    }

    /// What is kept of it in the store. Where a mark says what was signed, the
    /// next start finds out by itself what is missing.
    pub(in crate::engine) fn to_stored(&self, mark: Option<Mark>) -> Stored {
        match self.why {
            Why::Damaged(_) if mark.is_some() => Stored::No,
            _ => self.why.to_stored(),
        }
    }

    /// Whether what is here is all that there is, as far as others tell.
    fn is_vouched_for(&self, size: u64, state: &LogState) -> bool {
        let (mark, known) = (state.mark(), state.known_followers());
        let is_closed = state.closing().is_some();
        let reaches_mark = mark.is_none_or(|mark| size >= mark.size && mark.closed <= is_closed);
        let has_answers = match self.why {
            Why::Copied | Why::Behind { .. } | Why::Asked => {
                self.answers.counting(known) >= REOPENING_FOLLOWERS
            }
            Why::Damaged(_) if mark.is_none() => {
                self.answers.counting(known) >= REOPENING_FOLLOWERS
            }
            // What was signed is known, and it is here.
            Why::Deleted | Why::Marked { .. } | Why::Damaged(_) => !self.answers.is_empty(),
            Why::Unclean => known.iter().all(|&peer| self.answers.has(peer)),
        };
        reaches_mark && has_answers
    }

    /// Whether peers are not told our head, because from those who follow it we
    /// want to hear what they have, and not our own word.
    fn is_silent(&self, known: &[PeerId], now: Timestamp) -> bool {
        let may_open = match self.why {
            Why::Copied | Why::Behind { .. } | Why::Asked | Why::Damaged(_) => {
                known.len() >= REOPENING_FOLLOWERS
            }
            // It may turn out that others know more.
            Why::Unclean => self.begun.plus(UNCLEAN_WAIT_US) > now,
            Why::Deleted | Why::Marked { .. } => false,
        };
        may_open
            && self.answers.counting(known) < REOPENING_FOLLOWERS
            && self.begun.plus(REOPENING_SILENCE_US) > now
    }
}

/// How a log of ours stands that is not written to before peers were asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReopeningStatus {
    /// Why, and what it waits for, in words.
    pub why: String,
    /// What was signed of it before, as far as it is known outside of the store.
    pub mark: Option<Mark>,
    /// Peers that had all of it once, as far as is known here.
    pub followers: Vec<PeerId>,
    /// What peers have said that they have of it.
    pub answers: Vec<Answer>,
}

impl LogState {
    /// Whether peers are not told our head of this log.
    pub(in crate::engine) fn is_silent(&self, now: Timestamp) -> bool {
        let silent = |reopening: &Reopening| reopening.is_silent(self.known_followers(), now);
        self.reopening().is_some_and(silent)
    }

    /// A peer is told our head: from now on others may have it from us.
    pub(in crate::engine) fn told_head(&mut self) {
        let head = self.signed_head().cloned();
        if let (Some(reopening), Some(head)) = (self.reopening_mut(), head) {
            reopening.answers.told(&head);
        }
    }

    /// Sets what a start finds of a log of ours: whether it is written to at
    /// once, or reopened first. `here` are the records that are here.
    pub(in crate::engine) fn begin_as(
        &mut self,
        stored: Stored,
        start: &Start<'_>,
        here: u64,
        now: Timestamp,
    ) {
        let is_closed = self.closing().is_some();
        let is_marked =
            (self.mark()).is_some_and(|mark| mark.size > here || mark.closed && !is_closed);
        let knows_followers = !self.known_followers().is_empty();
        let why = if start.copied {
            Some(Why::Copied)
        } else if let Some(why) = Why::from_stored(stored) {
            Some(why)
        } else if is_marked {
            Some(Why::Marked { here })
        } else if let Some(lost) = start.lost.filter(|_| self.mark().is_none()) {
            Some(Why::Damaged(lost.to_owned()))
        } else if start.ended_badly && self.mark().is_none() && knows_followers {
            Some(Why::Unclean)
        } else {
            None
        };
        if let Some(why) = why.filter(|_| !self.is_limited()) {
            self.wait_for_others(Reopening::new(why, here, now));
            self.poll_at(now);
        }
    }
}

impl<S: Store> Engine<S> {
    /// Hears of a head of a log of ours. One that we did not sign means that
    /// this folder is a copy, or that there is one.
    pub(in crate::engine) fn heard_of_own(
        &mut self,
        peer: PeerId,
        log: LogId,
        head: &SignedHead,
        now: Timestamp,
    ) {
        let (opened, time) = (self.time(self.opened_at), self.time(now));
        let begun =
            (self.logs.get(&log)).and_then(|state| Some(self.time(state.reopening()?.begun)));
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if !state.is_ours() || state.is_limited() || !state.is_writable() {
            return;
        }
        // A head from the future was not signed right now: a clock was wrong
        // once.
        let is_dated_ahead = head.time > time.plus(MAX_CLOCK_SKEW_US);
        let here = state.size();
        if let Some(reopening) = state.reopening_mut() {
            let begun = begun.unwrap_or(opened);
            if !is_dated_ahead && reopening.heard_of_twin(head.time, begun, now) {
                self.changed.insert(log);
            }
            if reopening.why == Why::Unclean && head.size > here {
                let known = head.size;
                reopening.why = Why::Behind { known, here };
                reopening.news(now);
                self.changed.insert(log);
                self.keep_log(log);
            }
            return;
        }
        let Some(ours) = state.adopted().cloned() else {
            return;
        };
        // Before the start this node may have signed heads that it forgot when
        // the power went, but no records.
        let is_twin = head.time > ours.time.max(opened) && !is_dated_ahead;
        match Relation::of_heads(&ours, head) {
            Relation::Older => {
                self.contradicts_older(peer, log, head, now);
            }
            Relation::Fork(proof) => self.take_fork(log, proof, Some(peer), now),
            Relation::Same | Relation::Other => {}
            Relation::Renews if head.closing.is_some() => self.ended_elsewhere(log, head, now),
            Relation::Renews if !is_twin => {}
            Relation::Renews | Relation::Extends | Relation::Unproven => {
                let (known, here) = (head.size, ours.size);
                let twin = is_twin.then_some(head.time);
                self.begin_reopening(log, Why::Behind { known, here }, twin, now);
            }
        }
    }

    /// A peer has said which head it has of a log of ours that is reopened.
    pub(in crate::engine) fn reopening_answered(
        &mut self,
        peer: PeerId,
        log: LogId,
        head: &SignedHead,
        now: Timestamp,
    ) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let is_known = state.known_followers().contains(&peer);
        let Some(reopening) = state.reopening_mut() else {
            return;
        };
        match reopening.answers.take(peer, head, reopening.here, is_known) {
            Heard::Nothing => return,
            Heard::More => {}
            Heard::News => reopening.news(now),
        }
        self.changed.insert(log);
    }

    /// Writes the row of a log.
    fn keep_log(&mut self, log: LogId) {
        let mut batch = Batch::new();
        put_log(&mut batch, log, &self.logs[&log]);
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            self.store_failed(log, &ReadError::Store(error));
        }
    }

    /// Stops a log of ours and asks peers what they know of it.
    fn begin_reopening(&mut self, log: LogId, why: Why, twin: Option<Timestamp>, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let mut reopening = Reopening::new(why, state.size(), now);
        let until = now.plus(TWIN_US);
        reopening.twin = twin.map(|signed| Twin { signed, until });
        state.wait_for_others(reopening);
        state.poll_at(now.plus(BUSY_HEAD_POLL_US));
        // Others have had our head all the time.
        state.told_head();
        self.changed.insert(log);
        self.keep_log(log);
        self.drop_staged(log);
        self.ask_subscribers(log, now);
    }

    /// Hears what was signed. Where there is less, nothing is signed before the
    /// rest is back.
    pub(in crate::engine) fn marks_found(&mut self, marks: &BTreeMap<LogId, Mark>, now: Timestamp) {
        for (&log, &mark) in marks {
            let Some(state) = self.logs.get_mut(&log) else {
                continue;
            };
            let here = state.here();
            let says_more = mark.size > here || mark.closed && state.closing().is_none();
            if state.is_ours() && !state.is_limited() && says_more {
                state.set_mark(Some(mark));
                self.begin_reopening(log, Why::Marked { here }, None, now);
            }
        }
    }

    fn ask_subscribers(&mut self, log: LogId, now: Timestamp) {
        for peer in subscribers(&self.peers, log) {
            self.ask_about(peer, log, now);
        }
    }

    /// Refuses what waits to be published to a log that is stopped now.
    pub(in crate::engine) fn drop_staged(&mut self, log: LogId) {
        let Some(staged) = self.staged.remove(&log) else {
            return;
        };
        for id in staged.waiting() {
            let reply = Err(self.why_stopped(log));
            self.outputs.push_back(Output::Reply(id, reply));
        }
    }

    /// Why nothing can be published to a log of ours.
    pub(in crate::engine) fn why_stopped(&self, log: LogId) -> CommandError {
        let Some(state) = self.logs.get(&log) else {
            return CommandError::UnknownStream(log);
        };
        let for_good = state.stopped_for_good();
        if let (None, true, Some(why)) = (for_good, state.is_ours(), state.stopped_by()) {
            return CommandError::Stopped(why.clone());
        }
        match (for_good, state.reopening_status()) {
            _ if state.fork().is_some() && state.is_ours() => {
                CommandError::NotOpen(state.why_forked().to_owned())
            }
            (Some(why), _) => CommandError::StoppedForGood(why.to_owned()),
            (None, Some(status)) => CommandError::NotOpen(status.why),
            (None, None) => CommandError::NotOwner(log),
        }
    }

    /// Does what the user says of a log of ours.
    pub(in crate::engine) fn reopen(
        &mut self,
        log: LogId,
        none_is_larger: bool,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        let publisher = self.key.public();
        let state = (self.logs.get_mut(&log)).ok_or(CommandError::UnknownStream(log))?;
        let manifest = state.manifest();
        if manifest.is_none_or(|manifest| manifest.publisher != publisher) {
            return Err(CommandError::NotOwner(log));
        }
        if state.is_limited() || !state.is_writable() {
            return Err(self.why_stopped(log));
        }
        let was_owned = state.own();
        let was_followed = state.follow();
        if !was_followed {
            self.subscribe(log);
        }
        let state = self.logs.get_mut(&log);
        match state.and_then(LogState::reopening_mut) {
            // It was published from elsewhere so far: from its key alone, say.
            None if !was_owned => self.begin_reopening(log, Why::Asked, None, now),
            None => self.ask_subscribers(log, now),
            Some(reopening) => {
                reopening.twin = None;
                reopening.begun = now;
                reopening.news(now);
                self.ask_subscribers(log, now);
            }
        }
        self.changed.insert(log);
        let state = self
            .logs
            .get(&log)
            .filter(|state| state.reopening().is_some());
        if let Some(state) = state.filter(|_| none_is_larger) {
            if state.is_unproven() || !state.is_complete() {
                let why = "peers do know more of it than is here, and it is being fetched; publish \
                           again when `headwater show` says that it is in step";
                return Err(CommandError::NotOpen(why.to_owned()));
            }
            if state.mark().is_some_and(|mark| mark.closed) && state.closing().is_none() {
                return Err(self.why_stopped(log));
            }
            self.open_again(log, now)?;
        }
        Ok(Reply::Done)
    }

    /// Opens a log of ours for writing when everything that peers know is here.
    pub(in crate::engine) fn open_if_all_is_here(&mut self, log: LogId, now: Timestamp) {
        let Some(state) = self.logs.get(&log) else {
            return;
        };
        let Some(reopening) = state.reopening().filter(|_| state.is_writable()) else {
            return;
        };
        if let Some(twin) = &reopening.twin {
            if twin.until <= now {
                // Nothing was heard of it for a while.
                self.twin_is_gone(log, now);
            }
            return;
        }
        let is_due = reopening.due().is_some_and(|at| at <= now);
        let is_vouched_for = reopening.is_vouched_for(state.held_size(), state);
        // Whoever waits a moment only need not wait when all have answered.
        let is_unclean = reopening.why == Why::Unclean;
        let all_have_answered = is_unclean && is_vouched_for;
        if !is_due && !all_have_answered {
            return;
        }
        let waits =
            state.awaits_extension() || !state.is_complete() || self.requests.are_open_about(log);
        let may_open = is_vouched_for || is_unclean;
        if waits || !may_open {
            if let Some(reopening) = self.reopening_of(log) {
                reopening.check_at = now.plus(BUSY_HEAD_POLL_US);
            }
            return;
        }
        if let Err(error) = self.open_again(log, now) {
            if let Some(reopening) = self.reopening_of(log) {
                reopening.check_at = now.plus(REOPENING_SETTLE_US);
            }
            self.store_failed(log, &ReadError::Store(error));
        }
    }

    fn reopening_of(&mut self, log: LogId) -> Option<&mut Reopening> {
        self.logs.get_mut(&log)?.reopening_mut()
    }

    fn twin_is_gone(&mut self, log: LogId, now: Timestamp) {
        if let Some(reopening) = self.reopening_of(log) {
            reopening.twin = None;
            reopening.begun = now;
            reopening.news(now);
        }
        self.changed.insert(log);
        self.ask_subscribers(log, now);
    }

    /// Opens a log of ours for writing, with all that is here of it.
    fn open_again(&mut self, log: LogId, now: Timestamp) -> Result<(), StoreError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        let Some(key) = state.key() else {
            return Ok(());
        };
        let closed = state.closing().map(|_| state.size());
        // What a crash left behind the end was never told to anybody.
        let size = closed.unwrap_or_else(|| state.held_size());
        let appender = Appender::new(frontier(&History::new(&self.store, key), size)?);
        let root = appender.frontier().root();
        let adopted = state.adopted();
        if adopted.is_some_and(|head| head.size == size && Some(head.root) != root) {
            let why = "the records do not hash to the head that was signed";
            return Err(StoreError::Damaged(why.to_owned()));
        }
        let reopening = state.open(appender);
        state.is_right_again();
        let mut batch = Batch::new();
        put_log(&mut batch, log, state);
        // What was fetched is made safe by the same sync.
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            if let Some(reopening) = reopening {
                state.wait_for_others(reopening);
            }
            return Err(error);
        }
        if let Some(head) = state.signed_head().cloned().filter(|_| closed.is_some()) {
            self.signed(log, &head);
            self.publish_head(log, &head);
            return Ok(());
        }
        let mut batch = Batch::new();
        let head = self.sign_head(log, now, &mut batch);
        self.store.commit(batch, Durability::Written)?;
        if let Some(head) = head {
            self.publish_head(log, &head);
        }
        Ok(())
    }
}
