//! What is kept for its number: it follows from the adopted head, and is the same
//! for everybody. Where there is a recovery key, what newer records have freed is
//! dropped a day later.

use super::Kept;
use crate::engine::log_state::LogState;
use crate::limits::{FREED_DELAY_US, FREED_STEP_US};
use crate::time::Timestamp;

impl Kept {
    /// When something is dropped that was freed before.
    pub(super) fn release_due(&self) -> Option<Timestamp> {
        let (at, _) = self.freed.front()?;
        Some(at.plus(FREED_DELAY_US))
    }

    /// Remembers what is freed now, at most once an hour.
    pub(super) fn note_freed(&mut self, now: Timestamp) {
        let last = self.freed.back().copied();
        let (at, known) = last.unwrap_or((now, self.from));
        let is_early = last.is_some() && now.since(at) < FREED_STEP_US;
        if self.freed_now > known.max(self.from) && !is_early {
            self.freed.push_back((now, self.freed_now));
        }
    }

    /// Gives up what was freed a day ago. Returns whether there was any.
    pub(super) fn release(&mut self, now: Timestamp) -> bool {
        let before = self.from;
        while self.release_due().is_some_and(|due| due <= now) {
            if let Some((_, begin)) = self.freed.pop_front() {
                self.from = self.from.max(begin);
            }
        }
        before < self.from
    }
}

impl LogState {
    /// Finds out what need not be kept under the adopted head. Of a forked log
    /// everything stays: it shows what its owner did.
    /// Of one with a recovery key, what is here stays for a day; a newcomer (`is_new`)
    /// does not ask for it.
    pub(in crate::engine) fn begin_by_number(&mut self, is_new: bool) {
        self.kept.cannot_show.clear();
        let size = self.size();
        if let Some(manifest) = self.manifest().filter(|_| !self.is_limited()) {
            let begin = manifest.begin_by_number(size);
            match manifest.recovery {
                Some(_) if !is_new => self.kept.freed_now = self.kept.freed_now.max(begin),
                _ => self.kept.from = self.kept.from.max(begin),
            }
        }
        self.begin_by_last_head();
        self.begin_as_told();
        self.plan_from_begin();
    }

    /// Of a log with a last head, what is kept for its number is that of this head,
    /// whatever a larger one has freed since; and no more than that of what is here. The
    /// chunk of the last record that counts is kept, however old it is.
    pub(in crate::engine) fn begin_by_last_head(&mut self) {
        if self.is_limited() {
            // What does not count frees nothing.
            self.kept.freed.clear();
            self.kept.freed_now = 0;
        }
        let last = self.last_head().map(|head| head.size);
        let (Some(last), Some(manifest)) = (last, self.manifest().filter(|m| m.drops())) else {
            return;
        };
        let counted = self.counted_size();
        let [least, most] = [counted, last].map(|size| manifest.begin_by_number(size));
        let last_begin = manifest.last_begin(counted);
        let (by_number, ages) = (manifest.retain_records > 0, manifest.retain_us > 0);
        let kept = &mut self.kept;
        if ages {
            // It may have got too old, and then nobody has it. Whoever has it says so.
            kept.told = kept.told.max(kept.from).min(last_begin);
        }
        kept.from = match by_number {
            true => kept.from.clamp(least, most),
            false => kept.from.min(last_begin),
        };
        kept.dropped = kept.dropped.min(kept.from);
        self.plan_from_begin();
    }
}
