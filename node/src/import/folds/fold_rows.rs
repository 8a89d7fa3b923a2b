//! The rows of one fold, and what their order tells.

use headwater_protocols::time::Timestamp;

use super::{At, LocalRow, Pass, Shown, Span, Turn, Why};

/// Rows come late by this part of a fold at most where their order still tells:
/// by six minutes of an hour. What comes later than that could be of the other
/// time.
const LATE_PART: i64 = 10;

/// Rows are as far apart as a fold is long where they are so to this part of it: to
/// a minute of an hour.
const SPACED_PART: i64 = 60;

/// Steps one way for each step the other way by which rows are in an order.
const SORTED: u64 = 10;

/// How the times of a file go on from row to row, where they are not ambiguous.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps {
    up: u64,
    down: u64,
    equal: u64,
    /// The shortest one, but those of rows of one time.
    shortest: Option<u64>,
}

/// The order of the rows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The earliest comes first.
    Rising,
    /// The latest comes first.
    Falling,
    /// None.
    Unsorted,
    /// There are too few of them.
    Unknown,
}

impl Steps {
    pub(crate) fn add(&mut self, before: Timestamp, time: Timestamp) {
        let step = before.since(time).max(time.since(before));
        if step > 0 {
            self.shortest = Some(self.shortest.map_or(step, |shortest| shortest.min(step)));
        }
        match time.cmp(&before) {
            std::cmp::Ordering::Less => self.down += 1,
            std::cmp::Ordering::Equal => self.equal += 1,
            std::cmp::Ordering::Greater => self.up += 1,
        }
    }

    /// The shortest step, rows of one time included.
    pub(crate) fn shortest(self) -> Option<u64> {
        match self.equal {
            0 => self.shortest,
            _ => Some(0),
        }
    }

    pub(crate) fn order(self) -> Order {
        match (self.up, self.down) {
            (0, 0) => Order::Unknown,
            (up, down) if up >= down.saturating_mul(SORTED) => Order::Rising,
            (up, down) if down >= up.saturating_mul(SORTED) => Order::Falling,
            _ => Order::Unsorted,
        }
    }
}

/// That of several files together.
fn order_of(files: &[Order]) -> Order {
    let mut known = files
        .iter()
        .copied()
        .filter(|&order| order != Order::Unknown);
    let Some(first) = known.next() else {
        return Order::Unknown;
    };
    match known.all(|order| order == first) {
        true => first,
        false => Order::Unsorted,
    }
}

/// What is known of the rows of a fold, if the files are in one order. (Both are
/// followed, because only the last row tells in which they are.)
#[derive(Clone, Debug, Default)]
struct Track {
    turn: Option<(At, u64)>,
    broken: Option<Why>,
}

impl Track {
    fn break_by(&mut self, why: Why) {
        self.broken.get_or_insert(why);
    }
}

/// The rows of a fold.
#[derive(Clone, Debug)]
pub(crate) struct FoldRows {
    pub(crate) span: Span,
    pub(crate) count: u64,
    first_at: At,
    last_at: At,
    last_local: i64,
    /// All rows show the same.
    are_alike: bool,
    /// The first of the times of the first row.
    first_time: Timestamp,
    /// The times of the rows right ahead of them and right behind.
    ahead: Option<Timestamp>,
    behind: Option<Timestamp>,
    /// The orders that these tell, where they are of the same file.
    begun: Order,
    ended: Order,
    rising: Track,
    falling: Track,
}

impl FoldRows {
    /// With its first row, and the row ahead of it.
    pub(crate) fn begin(
        row: LocalRow,
        span: Span,
        first_time: Timestamp,
        ahead: Option<LocalRow>,
    ) -> Self {
        let mut fold = Self {
            span,
            count: 1,
            first_at: row.at,
            last_at: row.at,
            last_local: row.local,
            are_alike: true,
            first_time,
            ahead: ahead.and_then(|row| match row.shown {
                Shown::Once(time) => Some(time),
                Shown::Twice(..) => None,
            }),
            behind: None,
            begun: Order::Unknown,
            ended: Order::Unknown,
            rising: Track::default(),
            falling: Track::default(),
        };
        // Another file may begin anywhere.
        if let Some(ahead) = ahead.filter(|ahead| ahead.at.file == row.at.file) {
            let apart = Why::Apart(row.at);
            if ahead.local < span.from {
                fold.falling.break_by(apart);
                fold.begun = Order::Rising;
            } else {
                fold.rising.break_by(apart);
                fold.begun = Order::Falling;
            }
        }
        fold
    }

    /// The next row is of no fold, and of this file and time.
    pub(crate) fn left_for(&mut self, file: usize, time: Timestamp) {
        self.behind = Some(time);
        // Another file may go on anywhere.
        if file == self.last_at.file {
            self.ended = match time < self.first_time {
                true => Order::Falling,
                false => Order::Rising,
            };
        }
    }

    /// One more row. The rows since the last one, if there are any, were from one
    /// local time to another, if it is known.
    #[expect(
        clippy::option_option,
        reason = "elsewhere, nowhere, or not known where"
    )]
    pub(crate) fn add(&mut self, row: LocalRow, away: Option<Option<(i64, i64)>>) {
        let is_next = away == Some(None);
        self.are_alike &= is_next && row.local == self.last_local;
        for order in [Order::Rising, Order::Falling] {
            match away {
                Some(None) => self.step(order, row),
                Some(Some(away)) => self.come_back(order, row, away),
                None => self.track(order).break_by(Why::Apart(row.at)),
            }
        }
        if row.at.file != self.last_at.file {
            self.falling.break_by(Why::Files(row.at));
        }
        self.count += 1;
        (self.last_at, self.last_local) = (row.at, row.local);
    }

    fn track(&mut self, order: Order) -> &mut Track {
        match order {
            Order::Falling => &mut self.falling,
            _ => &mut self.rising,
        }
    }

    /// By how much a row goes on, in this order.
    fn progress(&self, order: Order, row: LocalRow) -> i64 {
        let step = row.local.saturating_sub(self.last_local);
        match order {
            Order::Falling => -step,
            _ => step,
        }
    }

    fn step(&mut self, order: Order, row: LocalRow) {
        let (step, length) = (self.progress(order, row), self.span.length());
        let late = length / LATE_PART;
        let (at, count) = (row.at, self.count);
        let track = self.track(order);
        if step >= -late {
            // A row of the other time that came late looks so, too.
            if step > length - late {
                track.break_by(Why::Leap(at));
            }
        } else if step.saturating_mul(2) > -length {
            track.break_by(Why::Slightly(at));
        } else if let Some((turn, _)) = track.turn {
            track.break_by(Why::Often(turn, at));
        } else {
            track.turn = Some((at, count));
        }
    }

    /// Rows at the edges of the fold may come a little late.
    fn come_back(&mut self, order: Order, row: LocalRow, (least, most): (i64, i64)) {
        let late = self.span.length() / LATE_PART;
        let is_just_before = least >= self.span.from.saturating_sub(late) && most < self.span.from;
        let is_just_behind = least >= self.span.to && most < self.span.to.saturating_add(late);
        let (is_just_ahead, is_just_behind) = match order {
            Order::Falling => (is_just_behind, is_just_before),
            _ => (is_just_before, is_just_behind),
        };
        let step = self.progress(order, row);
        let track = self.track(order);
        let is_late = match track.turn {
            None => is_just_ahead,
            Some(_) => is_just_behind,
        };
        if !is_late || step < -late {
            track.break_by(Why::Apart(row.at));
        }
    }

    /// Where the rows turn from the one time to the other.
    ///
    /// # Errors
    /// Their order does not tell.
    pub(crate) fn told(&self, files: &[Order], shortest: Option<u64>) -> Result<Turn, Why> {
        let (first, last) = (self.first_at.file, self.last_at.file);
        let own = files.get(first..(last + 1).min(files.len()));
        let order = match order_of(own.unwrap_or_default()) {
            Order::Unknown => order_of(files),
            order => order,
        };
        let order = match order {
            Order::Unknown => order_of(&[self.begun, self.ended]),
            order => order,
        };
        let turn = |order| self.turn(order, shortest);
        match order {
            Order::Rising | Order::Falling => turn(order),
            Order::Unsorted => Err(Why::Unsorted),
            // In either order a gap may look as a turn does in the other one.
            Order::Unknown => Err(turn(Order::Rising).err().unwrap_or(Why::EitherOrder)),
        }
    }

    fn turn(&self, order: Order, shortest: Option<u64>) -> Result<Turn, Why> {
        let (track, ahead) = match order {
            Order::Falling => (&self.falling, Pass::Second),
            _ => (&self.rising, Pass::First),
        };
        if let Some(why) = track.broken {
            return Err(why);
        }
        let once_each = || {
            let is_told = self.is_one_a_fold(order, shortest);
            is_told.then_some((self.last_at, 1))
        };
        let (at, rows_ahead) = track.turn.or_else(once_each).ok_or(Why::Once)?;
        Ok(Turn {
            at,
            ahead,
            rows_ahead,
        })
    }

    /// Whether two rows that show the same, such as 02:00 of hourly ones, are as
    /// far apart as those beside them are from them, and no rows are nearer to each
    /// other.
    fn is_one_a_fold(&self, order: Order, shortest: Option<u64>) -> bool {
        let length = self.span.length();
        let about = length / SPACED_PART;
        let (early, late) = match order {
            Order::Falling => (self.behind, self.ahead),
            _ => (self.ahead, self.behind),
        };
        let second = self.first_time.offset(length);
        let is_apart = |from: Timestamp, to: Timestamp| {
            let apart = to.0.saturating_sub(from.0);
            (length - about..=length + about).contains(&apart)
        };
        let least = u64::try_from(length - about).unwrap_or(0);
        self.count == 2
            && self.are_alike
            && shortest.is_none_or(|shortest| shortest >= least)
            && early.is_some_and(|early| is_apart(early, self.first_time))
            && late.is_some_and(|late| is_apart(second, late))
    }
}
