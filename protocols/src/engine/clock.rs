//! Two clocks. The `now` that every call brings only goes forward, and spans are
//! measured by it: time-outs, pauses, buckets. What the system's clock shows is
//! told by [`Input::Clock`](super::Input::Clock), and times are taken from it:
//! those of heads, and how old something is. That clock may be set, in either
//! direction, and may be wrong; what is deleted for its age is not believed to be
//! old because of one jump.

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::Engine;
use super::log_state::LogState;
use crate::head::SignedHead;
use crate::id::LogId;
use crate::limits::{
    CLOCK_AGREES_US, CLOCK_JUMP_US, CLOCK_KEPT_US, CLOCK_STEADY_US, MAX_CLOCK_SKEW_US,
};
use crate::store::around::readable;
use crate::store::tables::CLOCK;
use crate::store::{Batch, Store, StoreError, Table};
use crate::time::Timestamp;

/// What the system's clock shows, and how far it is believed.
#[derive(Debug)]
pub(super) struct Clock {
    /// Microseconds from `now` to what it shows.
    ahead_us: i64,
    /// A time that was not too late, and the `now` at which it was.
    sure: (Timestamp, Timestamp),
    /// Since when the clock has not been set.
    steady_since: Timestamp,
    /// What is stored of `sure`.
    stored: Option<Timestamp>,
}

impl Clock {
    /// A clock that shows `time`, and is believed.
    pub(super) fn new(time: Timestamp, now: Timestamp) -> Self {
        Self {
            ahead_us: time.0.saturating_sub(now.0),
            sure: (time, now),
            steady_since: now,
            stored: None,
        }
    }

    /// What the system's clock shows.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(self.ahead_us))
    }

    /// Takes what it shows; returns by how much it was set, if it was.
    pub(super) fn shows(&mut self, time: Timestamp, now: Timestamp) -> Option<i64> {
        let ahead = time.0.saturating_sub(now.0);
        let jump = ahead.saturating_sub(self.ahead_us);
        self.ahead_us = ahead;
        let jumped = jump.unsigned_abs() > CLOCK_JUMP_US;
        if jumped {
            self.steady_since = now;
        }
        jumped.then_some(jump)
    }

    /// Others' clocks show the same; whether it was in doubt before.
    pub(super) fn confirm(&mut self, now: Timestamp) -> bool {
        let was_sure = self.sure_time(now) == self.time(now);
        self.sure = (self.time(now), now);
        !was_sure
    }

    /// Another's clock has shown `time` before, and so has ours if it is later: then
    /// it is that late. Returns whether this was in doubt before.
    fn agrees_on(&mut self, time: Timestamp, now: Timestamp) -> bool {
        let time = time.min(self.time(now));
        let ahead = time.since(self.sure_time(now));
        if ahead > 0 {
            self.sure = (time, now);
        }
        ahead > CLOCK_AGREES_US
    }

    /// A time that it is by now at least: what was sure, and the time that has
    /// gone by since.
    fn sure_time(&mut self, now: Timestamp) -> Timestamp {
        let (time, at) = self.sure;
        let sure = time.plus(now.since(at));
        let shown = self.time(now);
        let agrees = shown.since(sure).max(sure.since(shown)) <= CLOCK_AGREES_US;
        if agrees || now.since(self.steady_since) >= CLOCK_STEADY_US {
            self.sure = (shown, now);
            return shown;
        }
        sure
    }

    /// By which time it is found out whether something is older than `age_us`:
    /// that of the clock, unless it has jumped ahead by more than a tenth of that.
    pub(super) fn age_time(&mut self, age_us: u64, now: Timestamp) -> Timestamp {
        let most = MAX_CLOCK_SKEW_US.max(age_us / 10);
        self.time(now).min(self.sure_time(now).plus(most))
    }

    /// The time under which something is remembered that is forgotten for its age:
    /// not one that is too early.
    pub(super) fn memory_time(&mut self, now: Timestamp) -> Timestamp {
        self.time(now).max(self.sure_time(now))
    }
}

impl<S: Store> Engine<S> {
    /// What the system's clock shows.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        self.clock.time(now)
    }

    /// The time of the next head of our own log: the clock's, but later than that
    /// of the head before it, as far as it is known here or by its note. Whoever hears of both knows by it which is newer,
    /// also after the clock was set back.
    pub(super) fn head_time(&self, state: &LogState, now: Timestamp) -> Timestamp {
        let adopted = state.adopted().map(|head| head.time);
        let before = adopted.max(state.mark().map(|mark| mark.time));
        self.time(now)
            .max(before.map_or(Timestamp(i64::MIN), |time| time.plus(1)))
    }

    /// Takes what the system's clock shows.
    pub(super) fn clock_shows(&mut self, time: Timestamp, now: Timestamp) {
        let Some(jump) = self.clock.shows(time, now) else {
            return;
        };
        for log in self.logs.keys().collect::<Vec<_>>() {
            let Some(state) = self.logs.get_mut(&log) else {
                continue;
            };
            state.clock_gap.jumped(jump);
            state.look_at_age_again(now);
            // What is shown of a stream has ages in it.
            self.changed.insert(log);
        }
    }

    /// Learns from a head that comes from its owner how far that one's clock is
    /// ahead of ours. One that is old news tells nothing of clocks.
    pub(super) fn note_clock(
        &mut self,
        author: PeerId,
        log: LogId,
        head: &SignedHead,
        now: Timestamp,
    ) {
        let time = self.clock.time(now);
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let is_owner = state.publisher() == Some(author) && !state.is_ours();
        if !is_owner || !state.is_news(head) {
            return;
        }
        let ahead = head.time.0.saturating_sub(time.0);
        state.clock_gap.heard(ahead);
        self.changed.insert(log);
        if ahead.unsigned_abs() <= MAX_CLOCK_SKEW_US && self.clock.confirm(now) {
            self.look_at_what_was_held_back(now);
        }
    }

    /// Learns from a head that somebody else has signed how late it is at least.
    pub(super) fn note_time_of(&mut self, log: LogId, head: &SignedHead, now: Timestamp) {
        let is_ours = self.logs.get(&log).is_none_or(LogState::is_ours);
        if !is_ours && self.clock.agrees_on(head.time, now) {
            self.look_at_what_was_held_back(now);
        }
    }

    /// Streams of which something old is kept only because the clock was in doubt
    /// are looked at again.
    fn look_at_what_was_held_back(&mut self, now: Timestamp) {
        let held_back: Vec<_> = (self.logs.iter())
            .filter(|(_, state)| state.holds_back())
            .map(|(log, _)| log)
            .collect();
        for log in held_back {
            if let Some(state) = self.logs.get_mut(&log) {
                state.look_at_age_again(now);
            }
        }
    }

    /// Reads up to when the clock was sure: others have signed heads by then. Our
    /// own may have been signed by the same clock; but of a folder that is older
    /// than such rows they are all there is.
    pub(super) fn load_clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        // A row that is damaged says as little as one that is not there.
        let row = readable(self.store.get(Table::Meta, CLOCK))?.flatten();
        let stored = (row.and_then(|row| row[..].try_into().ok()))
            .map(|bytes| Timestamp(i64::from_be_bytes(bytes)));
        let counts = |owned: bool| stored.is_none() || !owned;
        let states = self.logs.iter().map(|(_, state)| state);
        let heads = states.filter(|state| counts(state.is_ours()));
        let newest = heads.filter_map(|state| Some(state.adopted()?.time)).max();
        if let Some(known) = stored.max(newest) {
            self.clock.sure = (known.min(self.clock.time(now)), now);
        }
        self.clock.stored = stored;
        Ok(())
    }

    /// Writes up to when the clock is sure, now and then.
    pub(super) fn keep_clock(&mut self, now: Timestamp, batch: &mut Batch) {
        let sure = self.clock.sure_time(now);
        let is_kept = |stored: Timestamp| sure.since(stored) < CLOCK_KEPT_US && stored <= sure;
        if self.clock.stored.is_some_and(is_kept) {
            return;
        }
        let row = Bytes::copy_from_slice(&sure.0.to_be_bytes());
        batch.put(Table::Meta, CLOCK, row);
        self.clock.stored = Some(sure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const HOUR: u64 = 3_600 * SECOND;
    const YEAR: u64 = 365 * 24 * HOUR;
    const NOW: Timestamp = Timestamp(1_780_000_000_000_000);

    fn after(us: u64) -> Timestamp {
        NOW.plus(us)
    }

    #[test]
    fn a_clock_that_goes_and_one_that_is_a_little_off_are_believed() {
        let mut clock = Clock::new(NOW, NOW);
        assert_eq!(clock.age_time(HOUR, after(HOUR)), after(HOUR));
        // Set by half a minute, an hour later.
        let shown = after(HOUR + 30 * SECOND);
        assert_eq!(clock.shows(shown, after(HOUR)), Some(30_000_000));
        assert_eq!(clock.age_time(HOUR, after(HOUR)), shown);
        assert_eq!(clock.time(after(HOUR)), shown);
        // A drift is no jump.
        assert_eq!(
            clock.shows(shown.plus(SECOND + 9), after(HOUR + SECOND)),
            None
        );
    }

    #[test]
    fn a_jump_ahead_makes_nothing_old_before_others_or_a_day_confirm_it() {
        for confirmed in [false, true] {
            let mut clock = Clock::new(NOW, NOW);
            assert!(clock.shows(after(10 * YEAR), NOW).is_some());
            let most = NOW.plus(MAX_CLOCK_SKEW_US);
            assert_eq!(clock.age_time(HOUR, NOW), most);
            // A tenth of what is kept may go.
            assert_eq!(clock.age_time(YEAR, NOW), NOW.plus(YEAR / 10));
            // Time goes by meanwhile.
            assert_eq!(clock.age_time(HOUR, after(HOUR)), most.plus(HOUR));
            assert_eq!(clock.time(after(HOUR)), after(10 * YEAR + HOUR));
            let at = if confirmed {
                assert!(clock.confirm(after(HOUR)));
                assert!(!clock.confirm(after(HOUR)));
                after(HOUR)
            } else {
                let early = after(CLOCK_STEADY_US - 1);
                assert!(clock.age_time(HOUR, early) < after(2 * CLOCK_STEADY_US));
                after(CLOCK_STEADY_US)
            };
            assert_eq!(clock.age_time(HOUR, at), clock.time(at));
        }
    }

    #[test]
    fn what_another_has_signed_is_believed_as_far_as_our_clock_shows_it_too() {
        let mut clock = Clock::new(NOW, NOW);
        clock.shows(after(YEAR), NOW);
        let most = MAX_CLOCK_SKEW_US;
        assert!(!clock.agrees_on(NOW.offset(-(HOUR as i64)), NOW));
        assert!(clock.agrees_on(after(2 * HOUR), NOW));
        assert_eq!(clock.age_time(HOUR, NOW), after(2 * HOUR + most));
        assert!(clock.agrees_on(after(2 * YEAR), NOW));
        assert_eq!(clock.age_time(HOUR, NOW), after(YEAR));
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed_and_its_way_back_is_no_jump_ahead() {
        let mut clock = Clock::new(NOW, NOW);
        let back = Timestamp(NOW.0 - HOUR as i64);
        assert_eq!(clock.shows(back, NOW), Some(-(HOUR as i64)));
        assert_eq!(clock.age_time(HOUR, NOW), back);
        assert_eq!(clock.memory_time(NOW), NOW);
        clock.shows(NOW, NOW);
        assert_eq!(clock.age_time(HOUR, NOW), NOW);
    }
}
