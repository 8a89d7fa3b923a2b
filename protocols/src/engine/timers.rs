//! Who has something to do when: said once, for asking when the engine is to be called
//! and for doing what is due then.

use super::Engine;
use super::log_state::LogState;
use super::log_state::followers::Followers;
use super::log_state::reopening::Reopening;
use super::log_state::stopping::Halt;
use crate::id::LogId;
use crate::store::Store;
use crate::time::Timestamp;

/// Something that is done at some time.
struct Timer<S> {
    /// When, once that is known.
    next: fn(&Engine<S>) -> Option<Timestamp>,
    /// Does it, if it is due.
    run: fn(&mut Engine<S>, Timestamp),
}

/// Something that is done with a log at some time.
struct LogTimer<S> {
    /// When, once that is known.
    next: fn(&LogState) -> Option<Timestamp>,
    /// Does it, if it is due.
    run: fn(&mut Engine<S>, LogId, Timestamp),
}

/// When a log is to be looked at again.
pub(super) fn next_of_log<S: Store>(state: &LogState) -> Option<Timestamp> {
    if state.stopped_by().is_some() {
        // Nothing else is done with it before.
        return state.reread_at();
    }
    (Engine::<S>::LOG_TIMERS.iter())
        .filter_map(|timer| (timer.next)(state))
        .min()
}

impl<S: Store> Engine<S> {
    /// In the order in which it is done.
    const TIMERS: [Timer<S>; 10] = [
        Timer {
            // After others have had their turn.
            next: |engine| (!engine.pages_due.is_empty()).then_some(engine.now),
            run: Self::delivering_is_due,
        },
        Timer {
            next: |engine| engine.requests.next_deadline(),
            run: Self::answers_are_due,
        },
        Timer {
            next: Self::sync_due,
            run: Self::sync_is_due,
        },
        Timer {
            next: |engine| engine.halt.as_ref().and_then(Halt::next_due),
            run: Self::probe_is_due,
        },
        Timer {
            next: |engine| engine.logs.next_timeout(),
            run: Self::logs_are_due,
        },
        Timer {
            next: |engine| engine.joining.next_due(),
            run: Self::joining_is_due,
        },
        Timer {
            next: |engine| engine.retrievals.next_due(),
            run: Self::retrieving_is_due,
        },
        Timer {
            next: |engine| engine.deletions.next_due(),
            run: Self::deleting_is_due,
        },
        Timer {
            next: Self::auditing_due,
            run: Self::auditing_is_due,
        },
        Timer {
            next: |engine| engine.discoveries.next_due(),
            run: Self::discovering_is_due,
        },
    ];

    /// The same of each log.
    const LOG_TIMERS: [LogTimer<S>; 7] = [
        LogTimer {
            next: LogState::reread_at,
            run: Self::reread_is_due,
        },
        LogTimer {
            next: LogState::renewal_due,
            run: Self::renew_head,
        },
        LogTimer {
            next: |state| state.echo_due().filter(|_| state.fetches()),
            run: Self::echo_is_due,
        },
        LogTimer {
            next: |state| {
                let polls = state.poll_due().filter(|_| state.fetches());
                polls.into_iter().chain(state.next_cool()).min()
            },
            run: Self::polls_are_due,
        },
        LogTimer {
            next: |state| {
                let followers = state.followers().filter(|_| state.grows());
                followers.and_then(Followers::due)
            },
            run: Self::ask_followers,
        },
        LogTimer {
            next: LogState::retention_due,
            run: Self::retention_is_due,
        },
        LogTimer {
            // All logs that were touched are, so that it may open earlier.
            next: |state| state.reopening().and_then(Reopening::due),
            run: |_, _, _| {},
        },
    ];

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        (Self::TIMERS.iter())
            .filter_map(|timer| (timer.next)(self))
            .min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = now;
        for timer in &Self::TIMERS {
            (timer.run)(self, now);
        }
        self.settle(now);
    }

    fn logs_are_due(&mut self, now: Timestamp) {
        for log in self.logs.due(now) {
            for timer in &Self::LOG_TIMERS {
                (timer.run)(self, log, now);
            }
        }
    }

    fn answers_are_due(&mut self, now: Timestamp) {
        for id in self.requests.late(now) {
            self.give_up(id, now);
        }
    }
}
