//! Which streams have too few peers, and when somebody is asked for more. It
//! knows neither clock nor network.

use std::collections::{BTreeMap, BTreeSet};

use headwater_protocols::id::LogId;
use headwater_protocols::time::Timestamp;

use super::super::limits::{
    ASK_BACKOFF, ASK_JITTER, LOOKUP_AGAIN, LOOKUP_FOR, MAX_SHORT_LOOKUPS, MAX_SHORT_STREAMS,
    VAIN_QUESTIONS,
};

/// The streams that have too few peers.
#[derive(Debug, Default)]
pub(super) struct Shortages {
    streams: BTreeMap<LogId, Shortage>,
}

#[derive(Debug)]
struct Shortage {
    /// How many it has.
    have: usize,
    due: Timestamp,
    /// How often others were asked since it last lost or found somebody.
    asked: u32,
    looked_up: Option<Timestamp>,
}

impl Shortages {
    /// Takes the streams that have too few peers now, and how many each has.
    /// Those that are not named any more have enough.
    pub(super) fn set(&mut self, short: &BTreeMap<LogId, usize>, now: Timestamp) {
        self.streams.retain(|stream, _| short.contains_key(stream));
        for (&stream, &have) in short {
            let shortage = self.streams.entry(stream).or_insert(Shortage {
                have,
                due: now,
                asked: 0,
                looked_up: None,
            });
            // Whoever has lost somebody does not wait.
            if have < shortage.have {
                shortage.hurry(now);
            }
            shortage.have = have;
        }
    }

    /// The streams for which somebody is to be asked now, those that wait
    /// longest first.
    pub(super) fn due(&self, now: Timestamp) -> Vec<LogId> {
        let mut due: Vec<(Timestamp, LogId)> = (self.streams.iter())
            .filter(|(_, shortage)| shortage.due <= now)
            .map(|(&stream, shortage)| (shortage.due, stream))
            .collect();
        due.sort_unstable();
        due.truncate(MAX_SHORT_STREAMS);
        due.into_iter().map(|(_, stream)| stream).collect()
    }

    /// Notes that somebody was asked for these streams.
    pub(super) fn asked(&mut self, streams: &[LogId], now: Timestamp, random: u64) {
        for stream in streams {
            if let Some(shortage) = self.streams.get_mut(stream) {
                let pause = ASK_BACKOFF.next(&mut shortage.asked);
                shortage.due = now + ASK_JITTER.spread(pause, random);
            }
        }
    }

    /// Whether every stream has peers enough.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// There is somebody new to ask.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        for shortage in self.streams.values_mut() {
            shortage.hurry(now);
        }
    }

    /// The streams, those with the fewest peers first, and how many each has.
    pub(super) fn iter(&self) -> Vec<(LogId, usize)> {
        let have = |(&stream, shortage): (&LogId, &Shortage)| (stream, shortage.have);
        let mut streams: Vec<(LogId, usize)> = self.streams.iter().map(have).collect();
        streams.sort_unstable_by_key(|&(stream, have)| (have, stream));
        streams
    }

    /// The streams that are to be looked up elsewhere now: a few at a time,
    /// because others were asked for them in vain.
    pub(super) fn lookups(&mut self, now: Timestamp) -> BTreeSet<LogId> {
        let within =
            |at: Option<Timestamp>, span| at.is_some_and(|at| now.duration_since(at) < span);
        let mut chosen = BTreeSet::new();
        let mut vain = Vec::new();
        for (&stream, shortage) in &self.streams {
            if within(shortage.looked_up, LOOKUP_FOR) {
                chosen.insert(stream);
            } else if shortage.asked >= VAIN_QUESTIONS && !within(shortage.looked_up, LOOKUP_AGAIN)
            {
                vain.push((shortage.have, stream));
            }
        }
        vain.sort_unstable();
        let room = MAX_SHORT_LOOKUPS.saturating_sub(chosen.len());
        for (_, stream) in vain.into_iter().take(room) {
            if let Some(shortage) = self.streams.get_mut(&stream) {
                shortage.looked_up = Some(now);
                chosen.insert(stream);
            }
        }
        chosen
    }
}

impl Shortage {
    fn hurry(&mut self, now: Timestamp) {
        self.due = self.due.min(now + ASK_BACKOFF.first());
        self.asked = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(number: u8) -> LogId {
        LogId::of_manifest(&[number])
    }

    /// When the next question is due after each of eight.
    fn pauses(shortages: &mut Shortages, mut now: Timestamp) -> Vec<u64> {
        (0..8)
            .map(|_| {
                assert_eq!(shortages.due(now), [log(1)]);
                shortages.asked(&[log(1)], now, 0);
                let begun = now;
                while shortages.due(now).is_empty() {
                    now = now.plus(100_000);
                }
                now.since(begun)
            })
            .collect()
    }

    #[test]
    fn who_finds_nobody_asks_in_growing_pauses_and_who_loses_somebody_at_once() {
        let mut shortages = Shortages::default();
        let short = |have| BTreeMap::from([(log(1), have)]);
        shortages.set(&short(2), Timestamp(0));
        let seconds = [1, 2, 4, 8, 16, 32, 60, 60].map(|s| s * 1_000_000);
        assert_eq!(pauses(&mut shortages, Timestamp(0)), seconds);
        assert_eq!(shortages.lookups(Timestamp(0)), [log(1)].into());

        let now = Timestamp(0).plus(1_000_000_000);
        shortages.asked(&[log(1)], now, 0);
        shortages.set(&short(2), now);
        assert!(shortages.due(now + ASK_BACKOFF.first()).is_empty());
        shortages.set(&short(1), now);
        assert_eq!(shortages.due(now + ASK_BACKOFF.first()), [log(1)]);
        // Enough.
        shortages.set(&BTreeMap::new(), now);
        assert!(shortages.due(now + ASK_BACKOFF.most()).is_empty());
    }

    #[test]
    fn somebody_new_is_asked_soon_but_many_of_them_do_not_make_a_flood() {
        let mut shortages = Shortages::default();
        shortages.set(&BTreeMap::from([(log(1), 0)]), Timestamp(0));
        pauses(&mut shortages, Timestamp(0));
        let mut asked = 0;
        // A hundred new peers a second, for ten seconds.
        for hundredth in 0..1_000 {
            let now = Timestamp(0).plus(1_000_000_000 + hundredth * 10_000);
            shortages.hurry(now);
            let due = shortages.due(now);
            asked += due.len();
            shortages.asked(&due, now, 0);
        }
        assert!((9..=11).contains(&asked), "{asked}");
    }

    #[test]
    fn a_few_streams_at_a_time_are_looked_up_and_all_have_their_turn() {
        let mut shortages = Shortages::default();
        let all: BTreeMap<_, _> = (0..100).map(|number| (log(number), 0)).collect();
        shortages.set(&all, Timestamp(0));
        assert!(shortages.lookups(Timestamp(0)).is_empty());
        let streams: Vec<_> = all.keys().copied().collect();
        for _ in 0..VAIN_QUESTIONS {
            shortages.asked(&streams, Timestamp(0), 0);
        }
        let mut seen = BTreeSet::new();
        let mut now = Timestamp(0);
        while now < Timestamp(0) + LOOKUP_AGAIN {
            let chosen = shortages.lookups(now);
            assert!(chosen.len() <= MAX_SHORT_LOOKUPS);
            seen.extend(chosen);
            now += LOOKUP_FOR / 4;
        }
        assert_eq!(seen.len(), all.len());
    }
}
