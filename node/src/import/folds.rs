//! Hours that the clocks of a place show twice, when they are put back: which of
//! the two times a row is of. The order of all rows tells it, each such hour (a
//! fold) by itself, or nothing does: what is signed cannot be taken back.

use std::collections::BTreeMap;
use std::fmt;

use headwater_client::times::text::to_text;
use headwater_protocols::time::Timestamp;
use serde::Serialize;

mod fold_rows;

use self::fold_rows::{FoldRows, Order, Steps};
use super::limits::MAX_LISTED_FOLDS;
use crate::wording::counted;

/// Which of the two times at which the clocks showed the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pass {
    /// Before they were put back.
    First,
    /// After they were put back.
    Second,
}

impl Pass {
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

/// A row of the files of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// The place of its file among the others.
    pub(crate) file: usize,
    /// Its place among the rows of the file.
    pub(crate) row: u64,
    /// The line on which it begins, which says less where lines end with CR.
    pub(crate) line: u64,
}

/// A row of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowPlace {
    /// Its place among the others.
    pub(crate) row: u64,
    /// The line on which it begins.
    pub(crate) line: u64,
}

impl RowPlace {
    pub(crate) fn of_file(self, file: usize) -> At {
        At {
            file,
            row: self.row,
            line: self.line,
        }
    }
}

/// What the clocks show twice, in microseconds since they showed the year 1970:
/// from one time up to another one, which is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Span {
    /// By so much the clocks were put back.
    pub(crate) fn length(self) -> i64 {
        self.to.saturating_sub(self.from)
    }
}

/// What one row says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalRow {
    pub(crate) at: At,
    /// What the clocks showed, in microseconds since they showed the year 1970.
    pub(crate) local: i64,
    pub(crate) shown: Shown,
}

/// How often the clocks showed it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// At this time alone.
    Once(Timestamp),
    /// Twice: first at this time.
    Twice(Span, Timestamp),
}

/// Looks at the rows of all files of a command, in their order. Memory is that of
/// the folds, of which a zone has one or two a year, and of the files.
#[derive(Debug, Default)]
pub(crate) struct FoldSurvey {
    folds: BTreeMap<i64, FoldRows>,
    steps: Vec<Steps>,
    last: Option<LocalRow>,
    /// The last row of no fold: its file and its time.
    last_once: Option<(usize, Timestamp)>,
    /// From where to where the clocks were since the last row of a fold.
    away: Option<(i64, i64)>,
    /// The fold of that row.
    last_fold: Option<i64>,
}

impl FoldSurvey {
    pub(crate) fn add(&mut self, row: LocalRow) {
        match row.shown {
            Shown::Once(time) => self.once(row, time),
            Shown::Twice(span, first) => self.twice(row, span, first),
        }
        self.last = Some(row);
    }

    fn once(&mut self, row: LocalRow, time: Timestamp) {
        if self.steps.len() <= row.at.file {
            self.steps.resize(row.at.file + 1, Steps::default());
        }
        let before = self.last_once.replace((row.at.file, time));
        if let Some((_, before)) = before.filter(|(file, _)| *file == row.at.file) {
            self.steps[row.at.file].add(before, time);
        }
        let left = self.last.and_then(|last| match last.shown {
            Shown::Once(_) => None,
            Shown::Twice(span, _) => self.folds.get_mut(&span.from),
        });
        if let Some(fold) = left {
            fold.left_for(row.at.file, time);
        }
        if self.last_fold.is_some() {
            let (least, most) = self.away.unwrap_or((row.local, row.local));
            self.away = Some((least.min(row.local), most.max(row.local)));
        }
    }

    fn twice(&mut self, row: LocalRow, span: Span, first: Timestamp) {
        let was_here = self.last_fold == Some(span.from);
        let (away, last) = (self.away.take(), self.last);
        self.last_fold = Some(span.from);
        match self.folds.get_mut(&span.from) {
            Some(fold) => fold.add(row, was_here.then_some(away)),
            None => {
                let fold = FoldRows::begin(row, span, first, last);
                self.folds.insert(span.from, fold);
            }
        }
    }

    /// What the rows tell. Where they do not, it may have been said.
    pub(crate) fn finish(self, zone: &str, said: Option<Pass>) -> Folds {
        let all: Vec<Order> = self.steps.iter().map(|steps| steps.order()).collect();
        let shortest = self.steps.iter().filter_map(|steps| steps.shortest()).min();
        let fold = |rows: FoldRows| {
            let told = rows.told(&all, shortest);
            let told = match (told, said) {
                (Ok(turn), _) => Told::Order(turn),
                (Err(_), Some(pass)) => Told::Said(pass),
                (Err(why), None) => Told::Not(why),
            };
            Fold {
                to: rows.span.to,
                rows: rows.count,
                told,
            }
        };
        let folds = self.folds.into_iter();
        Folds {
            zone: zone.to_owned(),
            folds: folds.map(|(from, rows)| (from, fold(rows))).collect(),
        }
    }
}

/// Where the order of the rows turns from one time to the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The first row of the other one.
    pub(crate) at: At,
    /// That of the rows ahead of it.
    pub(crate) ahead: Pass,
    /// How many these are.
    pub(crate) rows_ahead: u64,
}

/// Why the order of rows does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nothing goes back.
    Once,
    /// Something does, here and there.
    Often(At, At),
    /// By little: a row that came late would do so, too.
    Slightly(At),
    /// Nearly all of the hour is missing between two rows.
    Leap(At),
    /// Rows of the hour stand before and behind others.
    Apart(At),
    /// The file's rows are in no order.
    Unsorted,
    /// It may be in either order.
    EitherOrder,
    /// Files with the latest row first.
    Files(At),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => f.write_str("they go through that hour once"),
            Self::Often(one, other) => write!(
                f,
                "they turn back within that hour more than once, in the lines {} and {}",
                one.line, other.line
            ),
            Self::Slightly(at) => write!(
                f,
                "they turn back within that hour by less than half of it, in line {}, as a row that came late does",
                at.line
            ),
            Self::Leap(at) => write!(
                f,
                "they go on by nearly all of that hour at once, in line {}, as where a row of the other time came late",
                at.line
            ),
            Self::Apart(at) => write!(
                f,
                "rows of other times stand among those of that hour, before line {}",
                at.line
            ),
            Self::Unsorted => f.write_str("they are not in the order of their times"),
            Self::EitherOrder => {
                f.write_str("whether the earliest or the latest row comes first is not known")
            }
            Self::Files(at) => write!(
                f,
                "that hour goes on in another file, whose latest row comes first (line {})",
                at.line
            ),
        }
    }
}

/// How it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Order(Turn),
    Said(Pass),
    Not(Why),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fold {
    to: i64,
    rows: u64,
    told: Told,
}

impl Fold {
    /// Its rows by the time of which they are: the first, the second, and those
    /// of which it is not known.
    fn counts(&self) -> (u64, u64, u64) {
        match self.told {
            Told::Not(_) => (0, 0, self.rows),
            Told::Said(Pass::First) => (self.rows, 0, 0),
            Told::Said(Pass::Second) => (0, self.rows, 0),
            Told::Order(turn) => {
                let behind = self.rows - turn.rows_ahead;
                match turn.ahead {
                    Pass::First => (turn.rows_ahead, behind, 0),
                    Pass::Second => (behind, turn.rows_ahead, 0),
                }
            }
        }
    }
}

/// The folds that rows of the files lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folds {
    zone: String,
    folds: BTreeMap<i64, Fold>,
}

impl Folds {
    /// Of which time a row is that has what the clocks showed twice.
    ///
    /// # Errors
    /// Nobody knows; says why, and what to do.
    pub(crate) fn pass(&self, local: i64, at: At) -> Result<Pass, String> {
        let found = self.folds.range(..=local).next_back();
        let found = found.filter(|(_, fold)| local < fold.to);
        match found.map(|(_, fold)| fold.told) {
            Some(Told::Said(pass)) => Ok(pass),
            Some(Told::Order(turn)) if at < turn.at => Ok(turn.ahead),
            Some(Told::Order(turn)) => Ok(turn.ahead.other()),
            Some(Told::Not(why)) => Err(format!(
                "the order of the rows does not tell which of the two it is: {why}; write the offset behind the times \
                 (+02:00), or take those in UTC, or say --repeated-hour first or second"
            )),
            None => Err("it was not there when the file was looked at first".to_owned()),
        }
    }

    /// What was found out.
    pub(crate) fn report(&self) -> RepeatedHours {
        let mut report = RepeatedHours {
            zone: self.zone.clone(),
            ..RepeatedHours::default()
        };
        for (from, fold) in &self.folds {
            let (first, second, unclear) = fold.counts();
            report.times += fold.rows;
            report.first += first;
            report.second += second;
            report.unclear += unclear;
            if report.hours.len() == MAX_LISTED_FOLDS {
                report.more_hours += 1;
            } else {
                let (told_by, turns_at_line) = match fold.told {
                    Told::Order(turn) => (Some(ToldBy::Order), Some(turn.at.line)),
                    Told::Said(_) => (Some(ToldBy::Said), None),
                    Told::Not(_) => (None, None),
                };
                report.hours.push(RepeatedHour {
                    from: clock(*from),
                    to: clock(fold.to),
                    first,
                    second,
                    unclear,
                    told_by,
                    turns_at_line,
                });
            }
        }
        report
    }
}

fn parts(first: u64, second: u64, unclear: u64) -> String {
    let part = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let parts = [
        part(first, "taken as the first"),
        part(second, "taken as the second"),
        part(unclear, "not known"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What clocks showed, to the second.
fn clock(local: i64) -> String {
    let text = to_text(Timestamp(local));
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// What `--json` prints of times that the clocks showed twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RepeatedHours {
    /// The zone that was said.
    pub(crate) zone: String,
    /// How many there are in the files.
    pub(crate) times: u64,
    /// Those that were taken as the first of the two times.
    pub(crate) first: u64,
    /// Those that were taken as the second one.
    pub(crate) second: u64,
    /// Those of which it is not known: they are bad rows.
    pub(crate) unclear: u64,
    /// The first of the hours.
    pub(crate) hours: Vec<RepeatedHour>,
    /// How many more there are.
    pub(crate) more_hours: u64,
}

impl RepeatedHours {
    /// For people; nothing where there are none.
    pub(crate) fn described(&self) -> Vec<String> {
        if self.times == 0 {
            return Vec::new();
        }
        let are = if self.times == 1 { "is" } else { "are" };
        let mut lines = vec![format!(
            "{} {are} ambiguous, of an hour that the clocks of {} showed twice: {}",
            counted(self.times, "time"),
            self.zone,
            parts(self.first, self.second, self.unclear)
        )];
        lines.extend(self.hours.iter().map(|hour| format!("  {hour}")));
        if self.more_hours > 0 {
            lines.push(format!("  and {}", counted(self.more_hours, "more hour")));
        }
        lines
    }
}

/// One such hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RepeatedHour {
    /// What the clocks showed when it began.
    from: String,
    /// And when they were put back, or it ended.
    to: String,
    first: u64,
    second: u64,
    unclear: u64,
    /// What tells of which time its rows are.
    told_by: Option<ToldBy>,
    /// The row from which on they are of the other time.
    turns_at_line: Option<u64>,
}

impl fmt::Display for RepeatedHour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = parts(self.first, self.second, self.unclear);
        write!(f, "{} to {}: {parts}", self.from, self.to)?;
        match (self.told_by, self.turns_at_line) {
            (Some(ToldBy::Order), Some(line)) => {
                write!(f, ", by the order of the rows, which turns at line {line}")
            }
            (Some(ToldBy::Said), _) => f.write_str(", as it was said (--repeated-hour)"),
            _ => Ok(()),
        }
    }
}

/// What tells of which time rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ToldBy {
    /// Their order.
    Order,
    /// Who calls the command.
    Said,
}

#[cfg(test)]
mod tests;
