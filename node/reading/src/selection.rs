//! Which records of a stream are read, and in which order.

use headwater_protocols::time::Timestamp;

/// By index; times may repeat and run backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The lowest index first.
    #[default]
    Ascending,
    /// The highest index first.
    Descending,
}

/// The records with an index in `[from, to)` and a time in `[since, before)`,
/// at most `limit` of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The first index.
    pub from: u64,
    /// The index behind the last one.
    pub to: u64,
    /// The earliest time.
    pub since: Option<Timestamp>,
    /// The time that all of them lie before.
    pub before: Option<Timestamp>,
    /// At most this many, from the side that `order` begins at.
    pub limit: Option<u64>,
    /// Which comes first.
    pub order: Order,
}

impl Selection {
    /// The records with these indexes.
    #[must_use]
    pub fn indexes(from: u64, to: u64) -> Self {
        Self {
            from,
            to,
            ..Self::default()
        }
    }

    /// Whether it is narrowed by time.
    #[must_use]
    pub fn is_by_time(&self) -> bool {
        self.since.is_some() || self.before.is_some()
    }

    /// The indexes that must be held to answer it: `[from, to)`. A limit makes
    /// them fewer, unless it counts records that only their times tell.
    #[must_use]
    pub fn needed(&self) -> (u64, u64) {
        let to = self.to.max(self.from);
        match (self.limit, self.order) {
            (Some(0), _) => (self.from, self.from),
            _ if self.is_by_time() => (self.from, to),
            (None, _) => (self.from, to),
            (Some(limit), Order::Ascending) => (self.from, to.min(self.from.saturating_add(limit))),
            (Some(limit), Order::Descending) => (self.from.max(to.saturating_sub(limit)), to),
        }
    }

    pub(super) fn takes(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since)
            && self.before.is_none_or(|before| time < before)
    }
}
