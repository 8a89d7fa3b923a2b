//! Whose clock is wrong: publishers' are compared with ours as their heads come in.

use std::collections::BTreeMap;

use headwater_client::types::{RoleView, StreamView};

use super::Finding;

/// How far a publisher's clock may be off ours before one of the two is wrong.
const TOLERANCE_MS: i64 = 60_000;

const ABOUT: &str = "clock";
const ADVICE: &str = "check the time of both machines (`timedatectl`); NTP keeps it";
const OURS: &str = "check this machine's time (`timedatectl`); NTP keeps it";

/// A publisher's clock, and the stream by which it is known.
#[derive(Clone, Copy)]
struct Gap<'s> {
    stream: &'s StreamView,
    ahead_ms: i64,
}

impl<'s> Gap<'s> {
    fn is_off(&self) -> bool {
        self.ahead_ms.abs() > TOLERANCE_MS
    }

    /// "600 s ahead of".
    fn how_far(&self) -> String {
        how_far(self.ahead_ms)
    }

    fn publisher(&self) -> &'s str {
        self.stream.publisher.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &'s str {
        name(self.stream)
    }
}

fn name(stream: &StreamView) -> &str {
    match stream.name.is_empty() {
        true => &stream.id,
        false => &stream.name,
    }
}

fn how_far(ahead_ms: i64) -> String {
    let seconds = (ahead_ms.unsigned_abs() + 500) / 1_000;
    let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
    format!("{seconds} s {way}")
}

/// By how much a stream's publisher is ahead, as far as can be told: of one that
/// was not heard live, what its head is dated ahead.
fn gap(stream: &StreamView) -> Option<Gap<'_>> {
    let dated_ahead = stream
        .head_age_ms
        .map(|age| -age)
        .filter(|&ahead| ahead > TOLERANCE_MS);
    let ahead_ms = stream.clock_ahead_ms.or(dated_ahead)?;
    Some(Gap { stream, ahead_ms })
}

/// The gap to each publisher: the largest, because the way from there takes time.
fn gaps(streams: &[StreamView]) -> Vec<Gap<'_>> {
    let mut known: BTreeMap<&str, Gap<'_>> = BTreeMap::new();
    let followed = streams
        .iter()
        .filter(|stream| stream.role == RoleView::Follower);
    for gap in followed.filter_map(gap) {
        let one = known.entry(gap.publisher()).or_insert(gap);
        if one.ahead_ms < gap.ahead_ms {
            *one = gap;
        }
    }
    known.into_values().collect()
}

/// What most publishers say of our clock, if it is that ours is off.
fn ours_is_off(gaps: &[Gap<'_>]) -> Option<(usize, i64)> {
    let mut off: Vec<i64> = gaps
        .iter()
        .filter(|gap| gap.is_off())
        .map(|gap| gap.ahead_ms)
        .collect();
    off.sort_unstable();
    let median = *off.get(off.len() / 2)?;
    let alike = off
        .iter()
        .filter(|&&ahead| (ahead - median).abs() <= TOLERANCE_MS)
        .count();
    (alike >= 2 && 2 * alike > gaps.len()).then_some((alike, -median))
}

/// A node whose own clock is off does not accuse those who are right.
pub(super) fn finding(streams: &[StreamView]) -> Finding {
    let gaps = gaps(streams);
    if let Some((count, ahead_ms)) = ours_is_off(&gaps) {
        let what = format!(
            "this machine's clock is {} those of {count} of {} publishers",
            how_far(ahead_ms),
            gaps.len()
        );
        return Finding::problem(ABOUT, what, OURS);
    }
    let agree = gaps.iter().filter(|gap| !gap.is_off()).count();
    if let Some(worst) =
        (gaps.iter().filter(|gap| gap.is_off())).max_by_key(|gap| gap.ahead_ms.abs())
    {
        let clock = format!(
            "by its heads the clock of {}, who publishes {}, is {} this machine's",
            worst.publisher(),
            worst.name(),
            worst.how_far()
        );
        let what = match agree {
            0 => format!("{clock}: one of the two is wrong"),
            1 => format!("{clock}, which agrees with another publisher's"),
            count => format!("{clock}, which agrees with those of {count} publishers"),
        };
        return Finding::problem(ABOUT, what, ADVICE);
    }
    let own = streams
        .iter()
        .filter(|stream| stream.role == RoleView::Publisher);
    let ahead = own.filter_map(|stream| Some((stream, -stream.head_age_ms?)));
    if let Some((stream, ahead_ms)) = ahead.max_by_key(|&(_, ahead)| ahead)
        && ahead_ms > TOLERANCE_MS
    {
        let what = format!(
            "the head of {} is dated {} s ahead: this machine's clock was ahead when it was signed, or \
             is behind now",
            name(stream),
            ahead_ms / 1_000
        );
        return Finding::problem(ABOUT, what, OURS);
    }
    match agree {
        0 => Finding::good(ABOUT, "nothing to compare it with"),
        1 => Finding::good(ABOUT, "agrees with a publisher's"),
        count => Finding::good(ABOUT, format!("agrees with those of {count} publishers")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::cli::stream::tests::stream;

    /// A followed stream of the publisher with this number, and by how many seconds
    /// that one's clock is ahead.
    fn heard(name: &str, publisher: u8, ahead_s: i64) -> StreamView {
        let mut view = stream();
        view.name = name.to_owned();
        view.publisher = Some(format!("12D3{publisher}"));
        view.clock_ahead_ms = Some(ahead_s * 1_000);
        view
    }

    fn owned(name: &str, dated_ahead_s: i64) -> StreamView {
        let mut view = heard(name, 9, 0);
        view.role = RoleView::Publisher;
        (view.clock_ahead_ms, view.head_age_ms) = (None, Some(-dated_ahead_s * 1_000));
        view
    }

    fn said(streams: &[StreamView]) -> (Level, String) {
        let finding = finding(streams);
        (finding.level, finding.what)
    }

    #[test]
    fn a_publisher_whose_clock_is_off_is_named_with_its_stream() {
        let wrong = heard("tide", 1, 3_600);
        let id = wrong.publisher.clone().unwrap();
        let (level, what) = said(&[wrong, heard("wind", 2, 0), heard("rain", 3, -1)]);
        assert_eq!(level, Level::Problem);
        let clock = format!(
            "by its heads the clock of {id}, who publishes tide, is 3600 s ahead of this machine's"
        );
        assert_eq!(
            what,
            format!("{clock}, which agrees with those of 2 publishers")
        );
        let (level, what) = said(&[heard("tide", 1, -700)]);
        assert_eq!(level, Level::Problem);
        assert!(
            what.contains("700 s behind this machine's: one of the two is wrong"),
            "{what}"
        );
    }

    #[test]
    fn a_node_whose_own_clock_is_off_accuses_nobody() {
        let streams = [
            heard("tide", 1, 3_600),
            heard("wind", 2, 3_601),
            heard("rain", 3, 0),
        ];
        let (level, what) = said(&streams);
        assert_eq!(level, Level::Problem);
        assert_eq!(
            what,
            "this machine's clock is 3601 s behind those of 2 of 3 publishers"
        );
        // Two streams of one publisher are one voice.
        let (_, what) = said(&[heard("tide", 1, 3_600), heard("ebb", 1, 3_599)]);
        assert!(what.contains("who publishes tide"), "{what}");
        // Two who are wrong in their own ways say nothing about us.
        let (_, what) = said(&[heard("tide", 1, 3_600), heard("wind", 2, -9_000)]);
        assert!(
            what.contains("who publishes wind, is 9000 s behind"),
            "{what}"
        );
    }

    #[test]
    fn a_head_of_our_own_that_is_dated_ahead_is_told_of() {
        let (level, what) = said(&[owned("tide", 3_600), heard("wind", 2, 0)]);
        assert_eq!(level, Level::Problem);
        assert!(
            what.starts_with("the head of tide is dated 3600 s ahead"),
            "{what}"
        );
        assert_eq!(said(&[owned("tide", 0)]).0, Level::Good);
        assert_eq!(
            said(&[heard("wind", 2, 1), owned("tide", 0)]).1,
            "agrees with a publisher's"
        );
        assert_eq!(said(&[]).1, "nothing to compare it with");
    }
}
