//! All connections of the API: who comes in, and who is closed for it or because
//! nothing comes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use socket2::Socket;
use tokio::sync::Notify;

use super::limits::{
    API_CROWDED_FOR, CLOSING_CONNECTIONS, CONNECTIONS_LOOKED_AT, MAX_API_CONNECTIONS, MAX_TARPIT,
    MAX_WAITING_BYTES, STALLED_READ_IN_CROWD,
};
use super::line::{Cut, Line};
use super::ranks::{Admission, Ranks};
use super::tarpit::Tarpit;
use super::whence::Whence;
use crate::handle::{Node, Severity};

/// The trouble of an API that has to turn connections away.
const TROUBLE: &str = "api-connections";

/// The connections of the API.
#[derive(Debug)]
pub(super) struct Crowd {
    node: Node,
    /// Connections at a time.
    most: usize,
    members: Mutex<Members>,
    /// Who of them has to go first.
    ranks: Arc<Mutex<Ranks>>,
    /// A connection that was to go is gone.
    gone: Notify,
    /// Those that are closed and do not know it.
    tarpit: Tarpit,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    lines: BTreeMap<u64, Arc<Line>>,
    /// Those that were turned away since it became too many.
    turned_away: u64,
    /// When the last one was.
    crowded: Option<Instant>,
}

/// Whether a connection may come in.
pub(super) enum Entry {
    /// Its place, which is free again when it is dropped.
    Taken(Membership),
    /// All are being answered, or all of its address.
    Refused,
}

/// The place of a connection.
#[derive(Debug)]
pub(super) struct Membership {
    crowd: Arc<Crowd>,
    number: u64,
    pub(super) line: Arc<Line>,
}

impl Membership {
    /// Closes a connection a while after everybody else took it for closed.
    pub(super) fn hang(&self, socket: Socket) {
        self.crowd.tarpit.keep(socket, Instant::now());
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.line.gone();
        self.crowd.locked().lines.remove(&self.number);
        self.crowd.gone.notify_waiters();
    }
}

impl Crowd {
    /// Nobody yet, and places for `most`, and for so many who are closed and do not
    /// know it.
    pub(super) fn new(node: Node, most: usize, tarpit: usize) -> Self {
        let most = most.min(MAX_API_CONNECTIONS);
        Self {
            node,
            most,
            members: Mutex::default(),
            ranks: Arc::default(),
            gone: Notify::new(),
            tarpit: Tarpit::new(tarpit.min(MAX_TARPIT)),
        }
    }

    fn locked(&self) -> MutexGuard<'_, Members> {
        (self.members.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// A line tells of what it claims while it is locked, so that nothing is asked of
    /// one meanwhile.
    fn ranks(&self) -> MutexGuard<'_, Ranks> {
        self.ranks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets somebody in; when all places are taken, somebody else has to go.
    pub(super) async fn enter(self: &Arc<Self>, address: SocketAddr) -> Entry {
        // Those that were told to go need a moment, and are open files until then.
        loop {
            let gone = self.gone.notified();
            if self.locked().lines.len() < self.most + CLOSING_CONNECTIONS {
                break;
            }
            gone.await;
        }
        let (now, whence) = (Instant::now(), Whence::of(address.ip()));
        let mut members = self.locked();
        let admission = self.ranks().admit(whence, self.most, now);
        match admission {
            Admission::Free => {}
            Admission::Instead(number) => {
                if let Some(line) = members.lines.get(&number) {
                    line.cut(Cut::Crowded);
                }
                self.turned_away(&mut members, now);
            }
            Admission::Refused => {
                self.turned_away(&mut members, now);
                return Entry::Refused;
            }
        }
        let number = members.next;
        members.next += 1;
        let line = Arc::new(Line::among(&self.ranks, number, address, now));
        members.lines.insert(number, line.clone());
        Entry::Taken(Membership {
            crowd: self.clone(),
            number,
            line,
        })
    }

    /// Whether one may be answered that has shown no token: a part of the places
    /// is for those who have.
    pub(super) fn has_room_for_strangers(&self) -> bool {
        self.ranks().strangers_answered() <= strangers(self.most)
    }

    /// Lets so much of an answer wait in memory, unless too much waits already:
    /// then those have to go who take nothing of theirs.
    pub(super) fn let_wait(&self, line: &Line, bytes: usize) -> bool {
        let members = self.locked();
        let all = members.lines.values().map(|line| line.waiting());
        if all.sum::<usize>().saturating_add(bytes) <= MAX_WAITING_BYTES {
            line.set_waiting(bytes);
            return true;
        }
        let now = Instant::now();
        for line in members.lines.values().filter(|line| line.waiting() > 0) {
            if line.standing().makes_way(now) {
                line.cut(Cut::Stalled);
            }
        }
        false
    }

    /// Closes those of whose bodies nothing has come for seconds: others wait for
    /// their room.
    pub(super) fn cut_bodies_that_do_not_come(&self) {
        let now = Instant::now();
        for line in self.locked().lines.values() {
            if line.standing().waits_for_body(now, STALLED_READ_IN_CROWD) {
                line.cut(Cut::Crowded);
            }
        }
    }

    /// Notes that one was answered that it is too many.
    pub(super) fn refused(&self) {
        self.turned_away(&mut self.locked(), Instant::now());
    }

    /// Closes one that is asking for nothing, if there is one: the process has
    /// no file left to accept another.
    pub(super) fn make_room(&self) {
        if self.tarpit.drain() {
            return;
        }
        let members = self.locked();
        let number = self.ranks().dispensable(None, Instant::now());
        if let Some(line) = number.and_then(|number| members.lines.get(&number)) {
            line.cut(Cut::Crowded);
        }
    }

    fn turned_away(&self, members: &mut Members, now: Instant) {
        members.turned_away += 1;
        // Words cost more than a connection.
        let is_new = members.crowded.is_none();
        members.crowded = Some(now);
        if is_new {
            self.say(members);
        }
    }

    fn say(&self, members: &Members) {
        let (most, turned_away) = (self.most, members.turned_away);
        let what = format!(
            "all {most} connections of the API are taken; closed or turned away until now: {turned_away}, first \
             those that do not ask for anything"
        );
        let advice = "find the program that opens so many (ss -tnp), and let it keep connections open \
                      and end its requests";
        self.node
            .trouble_begins(TROUBLE, Severity::Warning, what, advice);
    }

    /// Looks after everybody: closes those for whom nothing comes.
    fn look(&self, now: Instant) {
        self.tarpit.look(now);
        let mut members = self.locked();
        for line in members.lines.values().filter(|line| !line.is_cut()) {
            if let Some(why) = line.standing().overdue(now) {
                tracing::debug!(client = %line.address, ?why, "a connection of the API is closed");
                line.cut(why);
            }
        }
        match members.crowded {
            Some(since) if now.saturating_duration_since(since) > API_CROWDED_FOR => {
                members.crowded = None;
                members.turned_away = 0;
                self.node.trouble_ends(TROUBLE);
            }
            Some(_) => self.say(&members),
            None => {}
        }
    }

    /// Looks after everybody for as long as the API is there.
    pub(super) async fn watch(crowd: Weak<Self>) {
        loop {
            tokio::time::sleep(CONNECTIONS_LOOKED_AT).await;
            let Some(crowd) = crowd.upgrade() else {
                return;
            };
            crowd.look(Instant::now());
        }
    }
}

/// How many may be answered that have shown no token, of so many.
fn strangers(most: usize) -> usize {
    most - most / 4
}

/// How long an accepting task waits before it tries again where there was no
/// file left.
pub(super) const NO_FILE_PAUSE: Duration = Duration::from_millis(100);
