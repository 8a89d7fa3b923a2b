//! All connections of the API, and who has to go when there are too many: first
//! who has not even said what it wants, then who wants nothing at the moment,
//! each time of the address that has most; who is being answered stays.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::limits::{
    API_CROWDED_FOR, CLOSING_CONNECTIONS, CONNECTIONS_LOOKED_AT, HEAD_GRACE, MAX_API_CONNECTIONS,
    MAX_WAITING_BYTES, STALLED_READ_IN_CROWD,
};
use super::line::{Cut, Doing, Line, Standing, Whence};
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
    /// A connection that was to go is gone.
    gone: Notify,
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

impl Members {
    fn standings(&self) -> Vec<(u64, Standing)> {
        let open = self.lines.iter().filter(|(_, line)| !line.is_cut());
        open.map(|(&number, line)| (number, line.standing()))
            .collect()
    }
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

impl Drop for Membership {
    fn drop(&mut self) {
        self.crowd.locked().lines.remove(&self.number);
        self.crowd.gone.notify_waiters();
    }
}

impl Crowd {
    /// Nobody yet, and places for `most`.
    pub(super) fn new(node: Node, most: usize) -> Self {
        Self {
            node,
            most: most.min(MAX_API_CONNECTIONS),
            members: Mutex::default(),
            gone: Notify::new(),
        }
    }

    fn locked(&self) -> MutexGuard<'_, Members> {
        (self.members.lock()).unwrap_or_else(PoisonError::into_inner)
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
        let is_free = whence == Whence::Here && members.lines.len() < self.most;
        // Nobody has to be looked at.
        let standings = match is_free {
            true => Vec::new(),
            false => members.standings(),
        };
        let all: Vec<_> = standings.iter().map(|(_, standing)| *standing).collect();
        match admit(&all, whence, self.most, now) {
            Admission::Free => {}
            Admission::Instead(place) => {
                let (number, _) = standings[place];
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
        let line = Arc::new(Line::new(address, now));
        let number = members.next;
        members.next += 1;
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
        let members = self.locked();
        let most = strangers(self.most);
        if members.lines.len() <= most {
            return true;
        }
        let answered = members.lines.values().filter(|line| {
            let standing = line.standing();
            !standing.is_trusted && matches!(standing.doing(), Doing::Body | Doing::Answer)
        });
        answered.count() <= most
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
            if line.standing().has_stalled(now, STALLED_READ_IN_CROWD) {
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
        let members = self.locked();
        let standings = members.standings();
        let all: Vec<_> = standings.iter().map(|(_, standing)| *standing).collect();
        let line = dispensable(&all, None, Instant::now())
            .and_then(|place| members.lines.get(&standings[place].0));
        if let Some(line) = line {
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

/// What becomes of one more.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Free,
    /// It comes in, and the one at this place has to go.
    Instead(usize),
    Refused,
}

/// Decides about one more from there. Another machine may have half of all
/// places; this one is everybody's here, and behind a proxy it is everybody.
fn admit(all: &[Standing], whence: Whence, most: usize, now: Instant) -> Admission {
    let own = all.iter().filter(|known| known.whence == whence).count();
    let instead = match whence {
        Whence::There(_) if own >= most.div_ceil(2) => dispensable(all, Some(whence), now),
        _ if all.len() < most => return Admission::Free,
        _ => dispensable(all, None, now),
    };
    instead.map_or(Admission::Refused, Admission::Instead)
}

/// The one that can go first, of that address if one is said. Nobody goes without
/// a moment to ask, or to ask again, as long as there is somebody else.
fn dispensable(all: &[Standing], of: Option<Whence>, now: Instant) -> Option<usize> {
    let had_time = |since: &Instant| now.saturating_duration_since(*since) >= HEAD_GRACE;
    let asks = |known: &Standing| match known.doing() {
        Doing::Head(since) => Some(since),
        _ => None,
    };
    let idles = |is_trusted: bool| {
        move |known: &Standing| match known.doing() {
            Doing::Idle(since) if known.is_trusted == is_trusted => Some(since),
            _ => None,
        }
    };
    let half = greediest(all, of, |known| asks(known).filter(had_time));
    // The newest, so that a slow line keeps what it had before a flood.
    let newest = half.into_iter().max_by_key(|(_, since)| *since);
    if let Some((place, _)) = newest {
        return Some(place);
    }
    let idle = greediest(all, of, |known| idles(false)(known).filter(had_time));
    let just_come = || {
        // Of these the flood is the larger part.
        let asking = greediest(all, of, asks);
        let idle = greediest(all, of, idles(false));
        match idle.len() > asking.len() {
            true => longest(&idle),
            false => longest(&asking),
        }
    };
    let trusted = || longest(&greediest(all, of, idles(true)));
    longest(&idle).or_else(just_come).or_else(trusted)
}

/// Those of a kind that the address has which has most of them, each with the
/// time since which it is so.
fn greediest(
    all: &[Standing],
    of: Option<Whence>,
    since: impl Fn(&Standing) -> Option<Instant>,
) -> Vec<(usize, Instant)> {
    let mut found: BTreeMap<Whence, Vec<(usize, Instant)>> = BTreeMap::new();
    for (place, known) in all.iter().enumerate() {
        if of.is_none_or(|whence| known.whence == whence)
            && let Some(since) = since(known)
        {
            found.entry(known.whence).or_default().push((place, since));
        }
    }
    let most = found.into_values().max_by_key(Vec::len);
    most.unwrap_or_default()
}

fn longest(found: &[(usize, Instant)]) -> Option<usize> {
    let longest = found.iter().min_by_key(|(_, since)| *since);
    longest.map(|(place, _)| *place)
}

/// How long an accepting task waits before it tries again where there was no
/// file left.
pub(super) const NO_FILE_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(millis: u64) -> Instant {
        Instant::now() - Duration::from_millis(millis)
    }

    fn half_open(whence: Whence, millis: u64) -> Standing {
        Standing::of(whence, Doing::Head(ago(millis)), false)
    }

    fn idle(whence: Whence, millis: u64, is_trusted: bool) -> Standing {
        Standing::of(whence, Doing::Idle(ago(millis)), is_trusted)
    }

    fn answered(whence: Whence) -> Standing {
        Standing::of(whence, Doing::Answer, false)
    }

    const THERE: Whence = Whence::There(1);
    const ELSEWHERE: Whence = Whence::There(2);

    fn admit_from(whence: Whence, all: &[Standing]) -> Admission {
        admit(all, whence, 4, Instant::now())
    }

    #[test]
    fn the_newest_half_open_one_of_the_greediest_address_goes_first() {
        let all = [
            half_open(THERE, 9_000),
            half_open(ELSEWHERE, 4_000),
            half_open(THERE, 5_000),
            idle(Whence::Here, 90_000, false),
        ];
        assert_eq!(admit_from(Whence::Here, &all[..3]), Admission::Free);
        assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(2));
    }

    #[test]
    fn nobody_goes_without_a_moment_to_ask_as_long_as_there_is_somebody_else() {
        let mut all = [30, 2_000, 20, 10].map(|millis| half_open(Whence::Here, millis));
        assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(1));
        all[1] = half_open(Whence::Here, 25);
        // The one that had the longest of it.
        assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(0));
        all[3] = idle(Whence::Here, 500, false);
        assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(0));
        all[3] = idle(Whence::Here, 2_000, false);
        assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(3));
    }

    #[test]
    fn who_asks_for_nothing_goes_before_who_has_a_token_and_who_is_answered_stays() {
        let mut all = [
            answered(Whence::Here),
            idle(Whence::Here, 9_000, true),
            idle(Whence::Here, 100, false),
            idle(Whence::Here, 200, false),
        ];
        assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(3));
        all[2] = answered(Whence::Here);
        all[3] = answered(Whence::Here);
        assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(1));
        all[1] = answered(Whence::Here);
        assert_eq!(admit_from(Whence::Here, &all), Admission::Refused);
    }

    #[test]
    fn another_machine_has_half_of_the_places_and_this_one_all() {
        let all = [answered(THERE), answered(THERE)];
        assert_eq!(admit_from(THERE, &all), Admission::Refused);
        assert_eq!(admit_from(ELSEWHERE, &all), Admission::Free);
        let all = [answered(THERE), idle(THERE, 5, false)];
        assert_eq!(admit_from(THERE, &all), Admission::Instead(1));
        let all = [(); 3].map(|()| answered(Whence::Here));
        assert_eq!(admit_from(Whence::Here, &all), Admission::Free);
    }
}
