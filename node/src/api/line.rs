//! One connection of the API: what it is doing, and for what it waits. Whoever
//! is at the other end decides how long that takes, so that there is a bound for
//! each wait.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;

use super::head::{Head, Unreadable};
use super::limits::{
    BODY_PAUSE, HEAD_TIMEOUT, IDLE_CONNECTION, READ_PAUSE, SLOW_READ_BYTES, SLOW_READ_IN_CROWD,
    STALLED_READ, STALLED_READ_IN_CROWD,
};
use super::ranks::{Claim, Ranks};
use super::requests::Requests;
use super::whence::Whence;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// The head of a request is waited for, since then.
    Head(Instant),
    /// All that was asked was answered, then; the next request may come.
    Idle(Instant),
    /// The body of a request is read.
    Body,
    /// A request is answered.
    Answer,
}

/// What somebody has taken of an answer since the first pause.
#[derive(Clone, Copy, Debug)]
struct Slowly {
    since: Instant,
    taken: u64,
}

impl Slowly {
    /// Whether it is a slow reader, and not one who takes a little from time to time
    /// to keep a place. At first nobody can tell.
    fn is_fast_enough(self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let least = u128::from(SLOW_READ_BYTES) * passed.as_millis() / 1_000;
        passed < SLOW_READ_IN_CROWD || u128::from(self.taken) >= least
    }
}

/// How a connection stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) whence: Whence,
    pub(super) doing: Doing,
    /// Whether a token was shown, or a session.
    pub(super) is_trusted: bool,
    /// What came while a head was waited for.
    head: Head,
    /// All requests, also those that come while another one is answered.
    requests: Requests,
    /// Whether the one that is answered is ambiguous.
    is_ambiguous: bool,
    /// Whether its body has room that others may wait for.
    holds_room: bool,
    /// Whether something of a body was not wanted: it may come before the next
    /// head.
    leaves: bool,
    /// Since when bytes of the other end are waited for.
    reads_since: Option<Instant>,
    /// Since when the other end takes nothing of what it is sent.
    stalled_since: Option<Instant>,
    /// What it has taken of this answer since it paused for the first time, and when
    /// that was, once it has gone on.
    goes_on: Option<Slowly>,
    /// Why it was closed from here.
    cut: Option<Cut>,
    is_gone: bool,
}

impl Standing {
    fn new(whence: Whence, now: Instant) -> Self {
        Self {
            whence,
            doing: Doing::Head(now),
            is_trusted: false,
            head: Head::default(),
            requests: Requests::default(),
            is_ambiguous: false,
            holds_room: false,
            leaves: false,
            reads_since: None,
            stalled_since: None,
            goes_on: None,
            cut: None,
            is_gone: false,
        }
    }

    /// What it has to say for itself when there are too many.
    fn claim(&self) -> Option<Claim> {
        if self.is_gone || self.cut.is_some() {
            return None;
        }
        Some(match (self.doing(), self.is_trusted) {
            (Doing::Head(since), _) => Claim::Asks(since),
            (Doing::Idle(since), false) => Claim::Idles(since),
            (Doing::Idle(since), true) => Claim::IdlesTrusted(since),
            (Doing::Body | Doing::Answer, false) => Claim::Answered,
            (Doing::Body | Doing::Answer, true) => Claim::AnsweredTrusted,
        })
    }

    /// What is going on, as far as one outside sees: the end of an answer may
    /// still be on its way.
    pub(super) fn doing(&self) -> Doing {
        match self.doing {
            Doing::Idle(_) if self.stalled_since.is_some() => Doing::Answer,
            doing => doing,
        }
    }

    /// Whether the other end need not hear at once that it was closed: it has a part
    /// of an answer, or has said a part of what it wants, and would say the same
    /// again. One that was idle may be asked for something at this moment.
    pub(super) fn may_hang(&self) -> bool {
        match self.cut {
            Some(Cut::Stalled) => true,
            Some(Cut::Crowded) => matches!(self.doing, Doing::Head(_)) && self.head.has_begun(),
            Some(Cut::TimedOut) | None => false,
        }
    }

    /// Whether the other end has taken nothing for so long.
    pub(super) fn has_stalled(&self, now: Instant, most: Duration) -> bool {
        (self.stalled_since).is_some_and(|since| now.saturating_duration_since(since) >= most)
    }

    /// Whether the other end has taken nothing for so long that others who wait
    /// come first.
    pub(super) fn makes_way(&self, now: Instant) -> bool {
        let patience = match self.goes_on {
            Some(slowly) if slowly.is_fast_enough(now) => SLOW_READ_IN_CROWD,
            _ => STALLED_READ_IN_CROWD,
        };
        self.has_stalled(now, patience)
    }

    /// Whether nothing has come for so long of a body that is waited for, and whose
    /// room others may wait for.
    pub(super) fn waits_for_body(&self, now: Instant, most: Duration) -> bool {
        let waited = |since| now.saturating_duration_since(since) >= most;
        self.doing == Doing::Body && self.holds_room && self.reads_since.is_some_and(waited)
    }

    /// Why the connection has to be closed now, if it has to be.
    pub(super) fn overdue(&self, now: Instant) -> Option<Cut> {
        let is_over = |since: Option<Instant>, most| {
            since.is_some_and(|since| now.saturating_duration_since(since) > most)
        };
        if is_over(self.stalled_since, STALLED_READ) {
            return Some(Cut::Stalled);
        }
        let (since, most) = match self.doing {
            Doing::Head(since) => (Some(since), HEAD_TIMEOUT),
            Doing::Idle(since) => (Some(since), IDLE_CONNECTION),
            Doing::Body => (self.reads_since, BODY_PAUSE),
            Doing::Answer => return None,
        };
        is_over(since, most).then_some(Cut::TimedOut)
    }

    /// Notes that bytes have come, or are waited for.
    fn read(&mut self, bytes: Option<&[u8]>) {
        match (bytes, self.doing) {
            (None, _) => {
                self.reads_since.get_or_insert_with(Instant::now);
            }
            (Some([_, ..]), Doing::Idle(_)) if self.leaves => {
                (self.reads_since, self.leaves) = (None, false);
            }
            (Some(bytes @ [_, ..]), Doing::Idle(_)) => {
                self.reads_since = None;
                self.doing = Doing::Head(Instant::now());
                self.head.read(bytes);
            }
            (Some(bytes), Doing::Head(_)) => {
                self.reads_since = None;
                self.head.read(bytes);
            }
            (Some(_), _) => (self.reads_since, self.leaves) = (None, false),
        }
    }
}

/// Why a connection was closed from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// What was waited for did not come.
    TimedOut,
    /// The other end takes nothing. What waits for it is thrown away.
    Stalled,
    /// Others needed the place.
    Crowded,
}

/// A connection, as those see it who keep order among all.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) address: SocketAddr,
    /// Bytes of an answer that wait in memory.
    waiting: AtomicUsize,
    standing: Mutex<Standing>,
    /// Its number among all, who are told what it claims.
    rank: Option<(Arc<Mutex<Ranks>>, u64)>,
    is_cut: AtomicBool,
    /// Whether nothing more is said by it.
    is_over: AtomicBool,
    /// Whoever reads and writes.
    task: AtomicWaker,
}

impl Line {
    pub(super) fn new(address: SocketAddr, now: Instant) -> Self {
        Self {
            address,
            waiting: AtomicUsize::new(0),
            standing: Mutex::new(Standing::new(Whence::of(address.ip()), now)),
            rank: None,
            is_cut: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// One of many, until it is gone.
    pub(super) fn among(
        ranks: &Arc<Mutex<Ranks>>,
        number: u64,
        address: SocketAddr,
        now: Instant,
    ) -> Self {
        let mut line = Self::new(address, now);
        line.rank = Some((ranks.clone(), number));
        line.claims(None, &line.locked());
        line
    }

    pub(super) fn standing(&self) -> Standing {
        *self.locked()
    }

    /// Changes how it stands, and tells of what it claims from then on.
    fn change(&self, change: impl FnOnce(&mut Standing)) {
        let mut standing = self.locked();
        let before = standing.claim();
        change(&mut standing);
        self.claims(before, &standing);
    }

    fn claims(&self, before: Option<Claim>, standing: &Standing) {
        let now = standing.claim();
        if let Some((ranks, number)) = &self.rank
            && before != now
        {
            let mut ranks = ranks.lock().unwrap_or_else(PoisonError::into_inner);
            ranks.change(*number, standing.whence, before, now);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Standing> {
        (self.standing.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the other end have come, or are waited for.
    pub(super) fn read(&self, bytes: Option<&[u8]>) {
        self.change(|standing| {
            standing.requests.read(bytes.unwrap_or_default());
            standing.read(bytes);
        });
    }

    /// Why no more of the head is read; what comes behind a head is its body.
    pub(super) fn unreadable(&self) -> Option<Unreadable> {
        let standing = self.locked();
        match standing.doing {
            Doing::Head(_) => standing.head.unreadable(),
            Doing::Idle(_) | Doing::Body | Doing::Answer => None,
        }
    }

    /// Whether something may be said beside what is answered: all that was is sent.
    pub(super) fn is_silent(&self) -> bool {
        self.locked().stalled_since.is_none()
    }

    /// Whether the request says in two ways where its body ends.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.locked().is_ambiguous
    }

    /// The other end has taken so many bytes, or takes nothing.
    pub(super) fn wrote(&self, taken: Option<usize>) {
        self.change(|standing| match taken {
            Some(bytes) => {
                let stalled = standing.stalled_since.take();
                let paused = stalled.filter(|since| since.elapsed() >= READ_PAUSE);
                if let Some(since) = paused {
                    standing.goes_on.get_or_insert(Slowly { since, taken: 0 });
                }
                if let Some(slowly) = &mut standing.goes_on {
                    slowly.taken = slowly.taken.saturating_add(bytes as u64);
                }
            }
            None => {
                standing.stalled_since.get_or_insert_with(Instant::now);
            }
        });
    }

    /// The head of a request is there.
    pub(super) fn asked(&self, has_body: bool) {
        self.change(|standing| {
            standing.reads_since = None;
            standing.is_ambiguous = standing.requests.asked();
            standing.head = Head::default();
            (standing.holds_room, standing.leaves) = (false, false);
            standing.goes_on = None;
            standing.doing = match has_body {
                true => Doing::Body,
                false => Doing::Answer,
            };
        });
    }

    /// The body has room that others may wait for.
    pub(super) fn takes_room(&self) {
        self.locked().holds_room = true;
    }

    /// Nothing more of the body is waited for, of which all has come or not.
    pub(super) fn body_ended(&self, is_whole: bool) {
        self.change(|standing| {
            standing.holds_room = false;
            standing.leaves = !is_whole;
            if standing.doing == Doing::Body {
                standing.doing = Doing::Answer;
            }
        });
    }

    /// The request is answered, to its end or not.
    pub(super) fn answered(&self, _is_whole: bool) {
        self.change(|standing| standing.doing = Doing::Idle(Instant::now()));
    }

    /// Bytes of an answer that wait in memory.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn set_waiting(&self, bytes: usize) {
        self.waiting.store(bytes, Ordering::Relaxed);
    }

    /// Whether the last request showed a token, or a session: others may come by the
    /// same connection of a proxy.
    pub(super) fn trust(&self, is_trusted: bool) {
        self.change(|standing| standing.is_trusted = is_trusted);
    }

    /// Closes the connection, whatever it is doing.
    pub(super) fn cut(&self, why: Cut) {
        self.change(|standing| {
            standing.cut.get_or_insert(why);
        });
        self.is_cut.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Nothing more is said by it: before its other end can know of that.
    pub(super) fn ends(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// It is closed.
    pub(super) fn gone(&self) {
        self.change(|standing| standing.is_gone = true);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// Why it was cut, if it was; whoever asks is told when it is.
    pub(super) fn cut_for(&self, task: &Waker) -> Option<Cut> {
        self.task.register(task);
        self.cut_why()
    }

    /// Why it was cut, if it was.
    pub(super) fn cut_why(&self) -> Option<Cut> {
        match self.is_cut() {
            true => self.locked().cut,
            false => None,
        }
    }
}

#[cfg(test)]
#[path = "line/tests.rs"]
mod tests;
