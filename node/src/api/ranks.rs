//! Who of the connections of the API has to go when there are too many: first who
//! has not even said what it wants, then who wants nothing at the moment, each
//! time of the address that has most; who is being answered stays.
//!
//! The order is kept while connections begin and end what they do, so that one more
//! costs the same however many there are: whoever comes again and again would else
//! have all of them looked at each time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::limits::HEAD_GRACE;
use super::whence::Whence;

/// What a connection has to say for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is asking, since then.
    Asks(Instant),
    /// All that it asked was answered, then.
    Idles(Instant),
    /// The same of one that has shown a token.
    IdlesTrusted(Instant),
    /// It is being answered.
    Answered,
    /// It is being answered, and has shown a token.
    AnsweredTrusted,
}

/// What becomes of one more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Free,
    /// It comes in, and the one with this number has to go.
    Instead(u64),
    Refused,
}

/// All connections that are open, by what they claim. Each has a number.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    all: usize,
    by_whence: BTreeMap<Whence, usize>,
    /// Those that ask, with and without the moment that everybody has for it.
    asks: Group,
    just_asks: Group,
    idles: Group,
    just_idles: Group,
    idles_trusted: Group,
    strangers_answered: usize,
}

impl Ranks {
    /// How many are being answered that have shown no token.
    pub(super) fn strangers_answered(&self) -> usize {
        self.strangers_answered
    }

    /// One claims something else than before: nothing before it came, and nothing
    /// once it goes.
    pub(super) fn change(
        &mut self,
        number: u64,
        whence: Whence,
        before: Option<Claim>,
        now: Option<Claim>,
    ) {
        match (before, now) {
            (None, Some(_)) => {
                self.all += 1;
                *self.by_whence.entry(whence).or_default() += 1;
            }
            (Some(_), None) => {
                self.all = self.all.saturating_sub(1);
                if let Some(of_it) = self.by_whence.get_mut(&whence) {
                    *of_it -= 1;
                    if *of_it == 0 {
                        self.by_whence.remove(&whence);
                    }
                }
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        match before {
            Some(Claim::Asks(since)) => {
                let place = Place { since, number };
                let _ = self.just_asks.remove(whence, place) || self.asks.remove(whence, place);
            }
            Some(Claim::Idles(since)) => {
                let place = Place { since, number };
                let _ = self.just_idles.remove(whence, place) || self.idles.remove(whence, place);
            }
            Some(Claim::IdlesTrusted(since)) => {
                self.idles_trusted.remove(whence, Place { since, number });
            }
            Some(Claim::Answered) => {
                self.strangers_answered = self.strangers_answered.saturating_sub(1);
            }
            Some(Claim::AnsweredTrusted) | None => {}
        }
        match now {
            Some(Claim::Asks(since)) => self.just_asks.add(whence, Place { since, number }),
            Some(Claim::Idles(since)) => self.just_idles.add(whence, Place { since, number }),
            Some(Claim::IdlesTrusted(since)) => {
                self.idles_trusted.add(whence, Place { since, number });
            }
            Some(Claim::Answered) => self.strangers_answered += 1,
            Some(Claim::AnsweredTrusted) | None => {}
        }
    }

    /// Decides about one more from there, of so many. Another machine may have half
    /// of all places; this one is everybody's here, and behind a proxy it is
    /// everybody.
    pub(super) fn admit(&mut self, whence: Whence, most: usize, now: Instant) -> Admission {
        let own = self.by_whence.get(&whence).copied().unwrap_or(0);
        let instead = match whence {
            Whence::There(_) if own >= most.div_ceil(2) => self.dispensable(Some(whence), now),
            _ if self.all < most => return Admission::Free,
            _ => self.dispensable(None, now),
        };
        instead.map_or(Admission::Refused, Admission::Instead)
    }

    /// The one that can go first, of that address if one is said. Nobody goes
    /// without a moment to ask, or to ask again, as long as there is somebody else.
    pub(super) fn dispensable(&mut self, of: Option<Whence>, now: Instant) -> Option<u64> {
        self.just_asks.hand_on(&mut self.asks, now);
        self.just_idles.hand_on(&mut self.idles, now);
        // The newest, so that a slow line keeps what it had before a flood.
        let half = self.asks.greediest(of).and_then(BTreeSet::last);
        let idle = || longest(self.idles.greediest(of));
        let just_come = || {
            // Of these the flood is the larger part.
            let asking = self.just_asks.greediest(of);
            let idle = self.just_idles.greediest(of);
            let count = |group: Option<&Places>| group.map_or(0, BTreeSet::len);
            match count(idle) > count(asking) {
                true => longest(idle),
                false => longest(asking),
            }
        };
        let trusted = || longest(self.idles_trusted.greediest(of));
        let first = half.or_else(idle).or_else(just_come).or_else(trusted);
        first.map(|place| place.number)
    }
}

/// One among those of a kind, by when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    since: Instant,
    number: u64,
}

type Places = BTreeSet<Place>;

fn longest(places: Option<&Places>) -> Option<&Place> {
    places.and_then(BTreeSet::first)
}

/// Those of a kind.
#[derive(Debug, Default)]
struct Group {
    by_whence: BTreeMap<Whence, Places>,
    /// How many each address has of them.
    by_number: BTreeSet<(usize, Whence)>,
    in_order: BTreeSet<(Place, Whence)>,
}

impl Group {
    fn add(&mut self, whence: Whence, place: Place) {
        self.change(whence, |places| places.insert(place));
        self.in_order.insert((place, whence));
    }

    /// Whether it was among them.
    fn remove(&mut self, whence: Whence, place: Place) -> bool {
        self.change(whence, |places| places.remove(&place));
        self.in_order.remove(&(place, whence))
    }

    fn change(&mut self, whence: Whence, change: impl FnOnce(&mut Places) -> bool) {
        let places = self.by_whence.entry(whence).or_default();
        let before = places.len();
        change(places);
        let now = places.len();
        if now == 0 {
            self.by_whence.remove(&whence);
        }
        if now != before {
            self.by_number.remove(&(before, whence));
            if now > 0 {
                self.by_number.insert((now, whence));
            }
        }
    }

    /// Those of the address that has most of them, or of this one.
    fn greediest(&self, of: Option<Whence>) -> Option<&Places> {
        let most = || self.by_number.last().map(|(_, whence)| *whence);
        self.by_whence.get(&of.or_else(most)?)
    }

    /// Hands those on that have had a moment: each once, whoever looks.
    fn hand_on(&mut self, to: &mut Self, now: Instant) {
        while let Some(&(place, whence)) = self.in_order.first() {
            if now.saturating_duration_since(place.since) < HEAD_GRACE {
                return;
            }
            self.remove(whence, place);
            to.add(whence, place);
        }
    }
}

#[cfg(test)]
#[path = "ranks/tests.rs"]
mod tests;
