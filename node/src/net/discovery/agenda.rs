//! Which streams are looked up and which are announced, and when. It knows
//! neither clock nor network: the time and random numbers are given to it.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_protocols::id::LogId;
use tokio::time::Instant;

use super::super::action::Query;
use super::super::limits::{
    ANNOUNCE_AGAIN, ANNOUNCE_EVERY, MAX_LOOKUPS, MAX_QUERIES, QUERY_BACKOFF, QUERY_JITTER,
};

/// How a stream stands, as far as others are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) struct Need {
    /// The stream.
    pub(super) log: LogId,
    /// It is followed, and nobody connected has it.
    pub(super) lacks_source: bool,
    /// Others can get something of it here.
    pub(super) provides: bool,
}

impl Query {
    fn is_lookup(self) -> bool {
        matches!(self, Self::Lookup(_))
    }

    /// The pause after a query that went well, if it is not the usual one.
    fn rest(self) -> Option<Duration> {
        match self {
            // A lookup goes well when somebody is connected who has the
            // stream; then it is not needed any more.
            Self::Lookup(_) => None,
            Self::Announce(_) => Some(ANNOUNCE_EVERY),
        }
    }
}

/// Says which queries are to be made now. A few run at a time, however many
/// streams there are.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    tasks: BTreeMap<Query, Task>,
    running: usize,
    running_lookups: usize,
}

#[derive(Debug)]
struct Task {
    wanted: bool,
    due: Instant,
    /// How often it was made again since somebody new came, or it went well.
    repeats: u32,
    running: bool,
    begun: Option<Instant>,
    /// The last one was answered.
    answered: bool,
}

impl Task {
    /// When it may be made again at the earliest.
    fn earliest(&self, query: Query) -> Option<Instant> {
        let gap = match query {
            Query::Announce(_) if self.answered => ANNOUNCE_AGAIN,
            Query::Announce(_) | Query::Lookup(_) => QUERY_BACKOFF.first(),
        };
        self.begun.map(|begun| begun + gap)
    }
}

impl Agenda {
    /// Takes how the streams stand now; those that are not named any more are
    /// forgotten. The streams that are not provided any more come back.
    pub(super) fn set_needs(&mut self, needs: &[Need], now: Instant) -> Vec<LogId> {
        for task in self.tasks.values_mut() {
            task.wanted = false;
        }
        for need in needs {
            if need.lacks_source {
                self.want(Query::Lookup(need.log), now);
            }
            if need.provides {
                self.want(Query::Announce(need.log), now);
            }
        }
        let mut withdrawn = Vec::new();
        for (&query, task) in &self.tasks {
            if let Query::Announce(log) = query
                && !task.wanted
            {
                withdrawn.push(log);
            }
        }
        // What was asked a moment ago is kept: a stream whose source comes and
        // goes is not to be looked up each time.
        self.tasks.retain(|query, task| {
            let recent = task.earliest(*query).is_some_and(|earliest| now < earliest);
            task.wanted || task.running || query.is_lookup() && recent
        });
        withdrawn
    }

    fn want(&mut self, query: Query, now: Instant) {
        let task = self.tasks.entry(query).or_insert(Task {
            wanted: true,
            due: now,
            repeats: 0,
            running: false,
            begun: None,
            answered: false,
        });
        task.wanted = true;
    }

    /// The queries to make now, lookups first. Each is over once
    /// [`ended`](Self::ended) says so.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Query> {
        let mut due: Vec<(Instant, Query)> = (self.tasks.iter())
            .filter(|(_, task)| task.wanted && !task.running && task.due <= now)
            .map(|(&query, task)| (task.due, query))
            .collect();
        // Whoever waits longest comes first.
        due.sort_unstable_by_key(|&(at, query)| (!query.is_lookup(), at, query));
        let mut taken = Vec::new();
        for (_, query) in due {
            if self.running >= MAX_QUERIES
                || query.is_lookup() && self.running_lookups >= MAX_LOOKUPS
            {
                continue;
            }
            if let Some(task) = self.tasks.get_mut(&query) {
                task.running = true;
                task.begun = Some(now);
                self.running += 1;
                self.running_lookups += usize::from(query.is_lookup());
                taken.push(query);
            }
        }
        taken
    }

    /// Notes that a query is over, and whether anybody answered.
    pub(super) fn ended(&mut self, query: Query, answered: bool, now: Instant, random: u64) {
        let Some(task) = self.tasks.get_mut(&query) else {
            return;
        };
        if !task.running {
            return;
        }
        task.running = false;
        task.answered = answered;
        self.running -= 1;
        self.running_lookups -= usize::from(query.is_lookup());
        let pause = match query.rest().filter(|_| answered) {
            Some(rest) => {
                task.repeats = 0;
                rest
            }
            None => QUERY_BACKOFF.next(&mut task.repeats),
        };
        task.due = now + QUERY_JITTER.spread(pause, random);
    }

    /// Makes everything due soon: there is somebody new to ask and to tell.
    pub(super) fn hurry(&mut self) {
        for (&query, task) in &mut self.tasks {
            task.repeats = 0;
            if let Some(earliest) = task.earliest(query) {
                task.due = task.due.min(earliest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What leaves a pause as it is: the middle of its jitter.
    fn middle(pause: Duration) -> u64 {
        u64::try_from(pause.as_micros() / 4).unwrap()
    }

    fn log(number: usize) -> LogId {
        LogId::of_manifest(&number.to_be_bytes())
    }

    fn lacking(count: usize) -> Vec<Need> {
        let need = |number| Need {
            log: log(number),
            lacks_source: true,
            provides: false,
        };
        (0..count).map(need).collect()
    }

    fn providing(count: usize) -> Vec<Need> {
        let need = |number| Need {
            log: log(number),
            lacks_source: false,
            provides: true,
        };
        (0..count).map(need).collect()
    }

    #[test]
    fn a_lookup_is_made_at_once_and_repeated_with_growing_pauses() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        let query = Query::Lookup(log(0));
        let mut at = now;
        for pause in (0..20).map(|repeats| QUERY_BACKOFF.pause(repeats)) {
            agenda.set_needs(&lacking(1), at);
            assert_eq!(agenda.take_due(at), [query]);
            assert!(agenda.take_due(at + pause).is_empty(), "it runs");
            agenda.ended(query, true, at, middle(pause));
            let next = at + pause;
            assert!(agenda.take_due(next - Duration::from_millis(1)).is_empty());
            at = next;
        }
    }

    #[test]
    fn a_stream_whose_source_comes_and_goes_is_not_looked_up_each_time() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        agenda.set_needs(&lacking(1), now);
        let query = Query::Lookup(log(0));
        assert_eq!(agenda.take_due(now), [query]);
        agenda.ended(query, true, now, 0);
        agenda.set_needs(&[], now);
        agenda.set_needs(&lacking(1), now);
        assert!(agenda.take_due(now).is_empty());
        // Long after, a lost source is missed at once.
        let later = now + QUERY_BACKOFF.first();
        agenda.set_needs(&[], later);
        agenda.set_needs(&lacking(1), later);
        assert_eq!(agenda.take_due(later), [query]);
    }

    #[test]
    fn a_thousand_streams_do_not_ask_at_once() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        let mut needs = lacking(1_000);
        needs.extend(providing(1_000));
        agenda.set_needs(&needs, now);
        let mut asked = 0;
        let mut running = agenda.take_due(now);
        while let Some(query) = running.pop() {
            let lookups = running.iter().filter(|query| query.is_lookup()).count();
            assert!(running.len() < MAX_QUERIES && lookups <= MAX_LOOKUPS);
            asked += 1;
            agenda.ended(query, true, now, 0);
            running.extend(agenda.take_due(now));
        }
        assert_eq!(asked, 2_000);
    }

    #[test]
    fn announcements_are_repeated_sooner_when_nobody_heard_them() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        agenda.set_needs(&providing(1), now);
        let query = Query::Announce(log(0));
        assert_eq!(agenda.take_due(now), [query]);
        let first = QUERY_BACKOFF.first();
        agenda.ended(query, false, now, middle(first));
        let again = now + first;
        assert_eq!(agenda.take_due(again), [query]);
        agenda.ended(query, true, again, middle(ANNOUNCE_EVERY));
        assert!(agenda.take_due(again + QUERY_BACKOFF.most() * 2).is_empty());
        assert_eq!(agenda.take_due(again + ANNOUNCE_EVERY), [query]);
    }

    #[test]
    fn somebody_new_is_told_and_asked_soon() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        agenda.set_needs(&providing(1), now);
        let query = Query::Announce(log(0));
        assert_eq!(agenda.take_due(now), [query]);
        agenda.ended(query, true, now, 0);
        agenda.hurry();
        // Peers that come and go cannot keep it busy.
        assert!(agenda.take_due(now + QUERY_BACKOFF.first()).is_empty());
        assert_eq!(agenda.take_due(now + ANNOUNCE_AGAIN), [query]);
    }

    #[test]
    fn what_is_not_provided_any_more_is_withdrawn_once() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        agenda.set_needs(&providing(2), now);
        assert_eq!(agenda.set_needs(&providing(1), now), [log(1)]);
        assert!(agenda.set_needs(&providing(1), now).is_empty());
    }
}
