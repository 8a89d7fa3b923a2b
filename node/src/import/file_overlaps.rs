//! Files that are read one behind the other, and do not lie one behind the other.

use headwater_protocols::time::Timestamp;

/// A file that begins at or before the end of those ahead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    pub(crate) place: usize,
    pub(crate) earliest: Timestamp,
    pub(crate) latest: Timestamp,
}

/// Looks for files that overlap.
#[derive(Debug, Default)]
pub(crate) struct Overlaps {
    place: usize,
    /// The latest time of the files ahead.
    ahead: Option<Timestamp>,
    latest: Option<Timestamp>,
    pub(crate) found: Option<Overlap>,
}

impl Overlaps {
    pub(crate) fn observe(&mut self, place: usize, time: Timestamp) {
        if place != self.place {
            (self.place, self.ahead) = (place, self.latest);
        }
        if let Some(latest) = self.ahead.filter(|&ahead| time <= ahead) {
            let found = self.found.get_or_insert(Overlap {
                place,
                earliest: time,
                latest,
            });
            if found.place == place {
                found.earliest = found.earliest.min(time);
            }
        }
        self.latest = self.latest.max(Some(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lies_behind_those_ahead_of_it_or_overlaps() {
        let found = |times: &[(usize, i64)]| {
            let mut overlaps = Overlaps::default();
            for &(place, time) in times {
                overlaps.observe(place, Timestamp(time));
            }
            overlaps
                .found
                .map(|found| (found.place, found.earliest.0, found.latest.0))
        };
        assert_eq!(found(&[(0, 1), (0, 3), (0, 2), (1, 4), (2, 5)]), None);
        assert_eq!(
            found(&[(0, 1), (0, 3), (1, 5), (1, 3), (1, 2)]),
            Some((1, 2, 3))
        );
        assert_eq!(found(&[(0, 5), (1, 1), (2, 2)]), Some((1, 1, 5)));
    }
}
