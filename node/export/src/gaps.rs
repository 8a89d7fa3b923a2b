//! What is missing of a run of observations, what is there twice, and what came
//! late: one look at each, in constant memory.

use headwater_client::times::text::to_text;
use headwater_client::types::{Gaps, Misplaced, TimeGap};
use headwater_protocols::time::Timestamp;
use sha2::{Digest, Sha256};

/// Looks at observations one by one, in the order of their indexes.
#[derive(Debug)]
pub struct GapFinder {
    track: Track,
    /// Where the time has just jumped ahead: what is found if that was an
    /// outlier.
    other: Option<Jump>,
}

/// Times of which a jump ahead is far: so many cadences, and at least an hour.
const FAR_CADENCES: u64 = 100;
const FAR_US: u64 = 3_600_000_000;

/// A jump that is far where no cadence is known: a day.
const FAR_WITHOUT_CADENCE_US: u64 = 86_400_000_000;

/// Observations behind a jump on its one side that tell what it was.
const TELLING: u32 = 2;

/// What is found if the observations behind a jump are outliers.
#[derive(Debug)]
struct Jump {
    to: Timestamp,
    track: Track,
    /// Observations that went on from there, and that went back.
    ahead: u32,
    back: u32,
}

/// What was found up to here.
#[derive(Clone, Debug)]
struct Track {
    found: Gaps,
    /// Of each kind at most so many are listed.
    listed: usize,
    span: Option<(Timestamp, Timestamp)>,
    /// The latest time, also of what came before the first observation.
    latest: Option<Timestamp>,
    /// What lies before is known without a hole.
    joined: bool,
    /// The value that the latest time has.
    latest_value: Option<Known>,
}

/// By what a value is known again: itself, or its hash, since it may have a mebibyte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Short {
        bytes: [u8; Self::SHORT],
        length: usize,
    },
    Hash([u8; 32]),
}

impl Known {
    /// Nearly all values are shorter, and need no hash.
    const SHORT: usize = 32;

    fn of(value: &[u8]) -> Self {
        let mut bytes = [0; Self::SHORT];
        match bytes.get_mut(..value.len()) {
            Some(begin) => {
                begin.copy_from_slice(value);
                let length = value.len();
                Self::Short { bytes, length }
            }
            None => Self::Hash(Sha256::digest(value).into()),
        }
    }
}

impl GapFinder {
    /// With the usual microseconds between two observations, if they are known,
    /// and how many findings of each kind are listed.
    #[must_use]
    pub fn new(cadence_us: Option<u64>, listed: usize) -> Self {
        Self {
            track: Track {
                found: Gaps {
                    cadence_us: cadence_us.filter(|&cadence| cadence > 0),
                    ..Gaps::default()
                },
                listed,
                span: None,
                latest: None,
                joined: false,
                latest_value: None,
            },
            other: None,
        }
    }

    /// The observations follow others, the latest of which is this one.
    #[must_use]
    pub fn behind(mut self, latest: Timestamp, value: &[u8]) -> Self {
        self.track.latest = Some(latest);
        self.track.latest_value = Some(Known::of(value));
        self.track.joined = true;
        self
    }

    /// Records are left out here: nobody knows their times, so that no time
    /// that went on meanwhile is a gap.
    pub fn skip(&mut self) {
        self.track.joined = false;
        if let Some(other) = &mut self.other {
            other.track.joined = false;
        }
    }

    /// Looks at the next observation.
    pub fn observe(&mut self, index: u64, time: Timestamp, value: &[u8]) {
        let value = Known::of(value);
        match &mut self.other {
            None if self.track.is_far(time) => {
                let mut track = self.track.clone();
                track.outlier(index, time);
                self.other = Some(Jump {
                    to: time,
                    track,
                    ahead: 0,
                    back: 0,
                });
            }
            None => {}
            Some(jump) if time >= jump.to => {
                jump.ahead += 1;
                jump.track.outlier(index, time);
            }
            Some(jump) => {
                jump.back += u32::from(jump.track.latest.is_some_and(|latest| time >= latest));
                jump.track.observe(index, time, value);
            }
        }
        self.track.observe(index, time, value);
        let tells = |jump: &Jump| jump.ahead.max(jump.back) >= TELLING;
        if self.other.as_ref().is_some_and(tells) {
            self.decide();
        }
    }

    /// Takes what more observations behind the jump speak for.
    fn decide(&mut self) {
        if let Some(jump) = self.other.take()
            && jump.back > jump.ahead
        {
            self.track = jump.track;
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Gaps {
        self.decide();
        let Track { found, span, .. } = self.track;
        Gaps {
            earliest: span.map(|(earliest, _)| to_text(earliest)),
            latest: span.map(|(_, latest)| to_text(latest)),
            ..found
        }
    }
}

impl Track {
    fn observe(&mut self, index: u64, time: Timestamp, value: Known) {
        self.found.records += 1;
        let joined = std::mem::replace(&mut self.joined, true);
        let span = self
            .span
            .map(|(earliest, latest)| (earliest.min(time), latest.max(time)));
        self.span = Some(span.unwrap_or((time, time)));
        let Some(latest) = self.latest else {
            self.latest = Some(time);
            self.latest_value = Some(value);
            return;
        };
        self.latest = Some(latest.max(time));
        let same_value = self.latest_value == Some(value);
        if time >= latest {
            self.latest_value = Some(value);
        }
        let found = || misplaced(index, time, latest);
        if time < latest {
            self.found.out_of_order += 1;
            list(&mut self.found.first_out_of_order, self.listed, found);
        } else if time == latest {
            self.found.duplicates += 1;
            self.found.repeated += u64::from(same_value);
            list(&mut self.found.first_duplicates, self.listed, found);
        } else if joined {
            self.gap(index, latest, time);
        }
    }

    /// Whether this time would be far ahead of the latest one.
    fn is_far(&self, time: Timestamp) -> bool {
        let Some(latest) = self.latest.filter(|latest| time > *latest) else {
            return false;
        };
        let far = match self.found.cadence_us {
            Some(cadence) => cadence.saturating_mul(FAR_CADENCES).max(FAR_US),
            None => FAR_WITHOUT_CADENCE_US,
        };
        time.0.abs_diff(latest.0) >= far
    }

    /// Nobody knows when this one was, as if it had been left out.
    fn outlier(&mut self, index: u64, time: Timestamp) {
        self.found.records += 1;
        self.found.outliers += 1;
        self.joined = false;
        let latest = self.latest.unwrap_or(time);
        list(&mut self.found.first_outliers, self.listed, || {
            misplaced(index, time, latest)
        });
    }

    fn gap(&mut self, index: u64, from: Timestamp, to: Timestamp) {
        let Some(cadence) = self.found.cadence_us else {
            return;
        };
        // Rounded: an observation that is late by less than half is not missing.
        let passed = to.0.abs_diff(from.0);
        let steps = passed / cadence + u64::from(passed % cadence >= cadence.div_ceil(2));
        let missing = steps.saturating_sub(1);
        if missing == 0 {
            return;
        }
        self.found.gaps += 1;
        self.found.missing_in_gaps = self.found.missing_in_gaps.saturating_add(missing);
        list(&mut self.found.first_gaps, self.listed, || TimeGap {
            index,
            from: to_text(from),
            to: to_text(to),
            missing,
        });
    }
}

fn misplaced(index: u64, time: Timestamp, latest: Timestamp) -> Misplaced {
    Misplaced {
        index,
        time: to_text(time),
        latest: to_text(latest),
    }
}

fn list<T>(all: &mut Vec<T>, listed: usize, one: impl FnOnce() -> T) {
    if all.len() < listed {
        all.push(one());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn look(cadence_us: Option<u64>, observations: &[(i64, &str)]) -> Gaps {
        let mut finder = GapFinder::new(cadence_us, 2);
        for (index, (seconds, value)) in (0..).zip(observations) {
            finder.observe(index, Timestamp(seconds * S), value.as_bytes());
        }
        finder.finish()
    }

    #[test]
    fn observations_at_their_cadence_have_no_gaps() {
        let found = look(
            Some(10 * S as u64),
            &[(0, "1"), (10, "1"), (24, "2"), (31, "2")],
        );
        assert_eq!((found.records, found.gaps, found.duplicates), (4, 0, 0));
        assert_eq!(
            found.earliest.as_deref(),
            Some("1970-01-01T00:00:00.000000Z")
        );
        assert_eq!(found.latest.as_deref(), Some("1970-01-01T00:00:31.000000Z"));
        assert_eq!(look(None, &[]), Gaps::default());
    }

    #[test]
    fn time_that_goes_on_by_one_and_a_half_cadences_is_a_gap() {
        let times = [(0, "1"), (15, "1"), (29, "1"), (100, "1"), (150, "1")];
        let found = look(Some(10 * S as u64), &times);
        assert_eq!((found.gaps, found.missing_in_gaps), (3, 1 + 6 + 4));
        assert_eq!(found.first_gaps.len(), 2);
        let gap = &found.first_gaps[1];
        assert_eq!((gap.index, gap.missing), (3, 6));
        assert_eq!(gap.from, "1970-01-01T00:00:29.000000Z");
        // Without a cadence nobody knows, and 0 is none.
        assert_eq!(look(None, &times).gaps, 0);
        assert_eq!(look(Some(0), &times).gaps, 0);
    }

    #[test]
    fn values_of_any_length_are_known_again() {
        let (exact, long) = ("a".repeat(Known::SHORT), "a".repeat(Known::SHORT + 1));
        for value in ["", "a", "a\0", &exact, &long] {
            for other in ["", "a", "a\0", &exact, &long] {
                let gaps = look(None, &[(0, value), (0, other)]);
                let is_same = u64::from(value == other);
                assert_eq!(gaps.repeated, is_same, "{value:?}, {other:?}");
            }
        }
    }

    #[test]
    fn duplicates_and_late_observations_are_told_apart() {
        let found = look(
            Some(S as u64),
            &[
                (5, "1"),
                (5, "1"),
                (5, "2"),
                (3, "2"),
                (3, "2"),
                (5, "2"),
                (6, "3"),
            ],
        );
        assert_eq!((found.duplicates, found.repeated), (3, 2));
        assert_eq!((found.out_of_order, found.gaps), (2, 0));
        let late = &found.first_out_of_order[0];
        assert_eq!(
            (late.index, &late.time[17..19], &late.latest[17..19]),
            (3, "03", "05")
        );
    }

    /// Minutes, with one of 2106 between them, and a gap of an hour each later.
    fn with_an_outlier(outliers: &[i64]) -> Vec<(i64, &'static str)> {
        let minutes = (0..5).map(|minute| minute * 60);
        let hours = (1..6).map(|hour| hour * 3_600);
        let times = minutes.chain(outliers.iter().copied()).chain(hours);
        times.map(|time| (time, "1")).collect()
    }

    #[test]
    fn one_time_far_ahead_of_all_others_hides_nothing() {
        const FAR: i64 = 4_294_967_295;
        let found = look(Some(60 * S as u64), &with_an_outlier(&[FAR]));
        assert_eq!((found.records, found.outliers, found.gaps), (11, 1, 4));
        assert_eq!((found.missing_in_gaps, found.out_of_order), (4 * 59, 0));
        assert_eq!(found.latest.as_deref(), Some("1970-01-01T05:00:00.000000Z"));
        assert_eq!(found.first_outliers[0].index, 5);
        assert_eq!(&found.first_outliers[0].time[..4], "2106");
        // Two of them are two.
        let found = look(Some(60 * S as u64), &with_an_outlier(&[FAR, FAR + 60]));
        assert_eq!((found.outliers, found.gaps, found.out_of_order), (2, 4, 0));
        // Also where no cadence is known.
        let found = look(None, &with_an_outlier(&[FAR]));
        assert_eq!((found.outliers, found.gaps, found.out_of_order), (1, 0, 0));
        // At the end there is none to tell that it is one.
        let found = look(Some(S as u64), &[(0, "1"), (1, "1"), (FAR, "1")]);
        assert_eq!((found.outliers, found.gaps), (0, 1));
    }

    #[test]
    fn time_that_jumps_ahead_and_goes_on_from_there_is_a_gap() {
        let day = 86_400;
        let times = [
            (0, "1"),
            (1, "1"),
            (day, "1"),
            (2, "1"),
            (day + 1, "1"),
            (day + 2, "1"),
            (3, "1"),
        ];
        let found = look(Some(S as u64), &times);
        assert_eq!((found.outliers, found.gaps, found.out_of_order), (0, 1, 2));
        assert_eq!(found.missing_in_gaps, day as u64 - 2);
    }

    #[test]
    fn what_follows_others_is_compared_with_the_latest_of_them() {
        let mut finder = GapFinder::new(Some(S as u64), 9).behind(Timestamp(5 * S), b"5");
        for (index, (seconds, value)) in (10..).zip([(4, "4"), (5, "5"), (9, "9")]) {
            finder.observe(index, Timestamp(seconds * S), value.as_bytes());
        }
        let found = finder.finish();
        assert_eq!(
            (found.out_of_order, found.duplicates, found.repeated),
            (1, 1, 1)
        );
        assert_eq!(
            (found.records, found.gaps, found.missing_in_gaps),
            (3, 1, 3)
        );
        assert_eq!(
            found.earliest.as_deref(),
            Some("1970-01-01T00:00:04.000000Z")
        );
    }

    #[test]
    fn what_passes_over_a_hole_is_no_gap() {
        let mut finder = GapFinder::new(Some(S as u64), 9);
        finder.observe(0, Timestamp(0), b"1");
        finder.skip();
        finder.observe(7, Timestamp(100 * S), b"1");
        finder.observe(8, Timestamp(103 * S), b"1");
        let found = finder.finish();
        assert_eq!((found.gaps, found.first_gaps[0].index), (1, 8));
    }

    #[test]
    fn times_at_the_ends_of_what_can_be_kept_do_no_harm() {
        let mut finder = GapFinder::new(Some(1), 9);
        for time in [i64::MIN, i64::MAX, i64::MIN, i64::MAX] {
            finder.observe(0, Timestamp(time), b"1");
        }
        let found = finder.finish();
        assert_eq!((found.gaps, found.missing_in_gaps), (1, u64::MAX - 1));
        let wide = [(0, "1"), (1, "1")];
        assert_eq!(look(Some(u64::MAX), &wide).gaps, 0);
    }
}
