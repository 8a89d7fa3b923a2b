//! What is missing of a run of observations, what is there twice, and what came
//! late: one look at each, in constant memory.

use headwater_protocols::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::time::to_text;

/// What a look at the times of observations has found. Of each kind the first
/// ones are listed, and all are counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Gaps {
    /// Observations that were looked at.
    pub records: u64,
    /// The earliest time, RFC 3339.
    pub earliest: Option<String>,
    /// The latest one.
    pub latest: Option<String>,
    /// Microseconds between two observations that count as usual; absent when
    /// nobody has said so, and then there are no gaps.
    pub cadence_us: Option<u64>,
    /// Places where time went on by at least one and a half cadences.
    pub gaps: u64,
    /// Observations that are missing there, if they come at that cadence.
    pub missing_in_gaps: u64,
    /// The first of these places.
    pub first_gaps: Vec<TimeGap>,
    /// Observations with the time of the latest one before them.
    pub duplicates: u64,
    /// Those of them whose value is the same, too.
    pub repeated: u64,
    /// The first of these.
    pub first_duplicates: Vec<Misplaced>,
    /// Observations that are earlier than one before them.
    pub out_of_order: u64,
    /// The first of these.
    pub first_out_of_order: Vec<Misplaced>,
}

/// A place where time went on by more than it should.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct TimeGap {
    /// Index of the observation behind it.
    pub index: u64,
    /// The latest time before it, RFC 3339.
    pub from: String,
    /// The time behind it.
    pub to: String,
    /// Observations that are missing, at that cadence.
    pub missing: u64,
}

/// An observation that stands elsewhere than its time says.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct Misplaced {
    /// Its index.
    pub index: u64,
    /// Its time, RFC 3339.
    pub time: String,
    /// The latest time before it.
    pub latest: String,
}

/// Looks at observations one by one, in the order of their indexes.
#[derive(Debug)]
pub struct GapFinder {
    found: Gaps,
    /// Of each kind at most so many are listed.
    listed: usize,
    span: Option<(Timestamp, Timestamp)>,
    /// What lies before is known without a hole.
    joined: bool,
    /// The hash of the value that the latest time has: a value may have a
    /// mebibyte.
    latest_value: Option<[u8; 32]>,
}

impl GapFinder {
    /// With the usual microseconds between two observations, if they are known,
    /// and how many findings of each kind are listed.
    #[must_use]
    pub fn new(cadence_us: Option<u64>, listed: usize) -> Self {
        Self {
            found: Gaps {
                cadence_us: cadence_us.filter(|&cadence| cadence > 0),
                ..Gaps::default()
            },
            listed,
            span: None,
            joined: false,
            latest_value: None,
        }
    }

    /// Records are left out here: nobody knows their times, so that no time
    /// that went on meanwhile is a gap.
    pub fn skip(&mut self) {
        self.joined = false;
    }

    /// Looks at the next observation.
    pub fn observe(&mut self, index: u64, time: Timestamp, value: &[u8]) {
        self.found.records += 1;
        let value: [u8; 32] = Sha256::digest(value).into();
        let joined = std::mem::replace(&mut self.joined, true);
        let Some((earliest, latest)) = self.span else {
            self.span = Some((time, time));
            self.latest_value = Some(value);
            return;
        };
        self.span = Some((earliest.min(time), latest.max(time)));
        let misplaced = || Misplaced {
            index,
            time: to_text(time),
            latest: to_text(latest),
        };
        let same_value = self.latest_value == Some(value);
        if time >= latest {
            self.latest_value = Some(value);
        }
        if time < latest {
            self.found.out_of_order += 1;
            list(&mut self.found.first_out_of_order, self.listed, misplaced);
        } else if time == latest {
            self.found.duplicates += 1;
            self.found.repeated += u64::from(same_value);
            list(&mut self.found.first_duplicates, self.listed, misplaced);
        } else if joined {
            self.gap(index, latest, time);
        }
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

    /// What was found.
    #[must_use]
    pub fn finish(self) -> Gaps {
        Gaps {
            earliest: self.span.map(|(earliest, _)| to_text(earliest)),
            latest: self.span.map(|(_, latest)| to_text(latest)),
            ..self.found
        }
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
