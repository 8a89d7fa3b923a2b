//! `stream gaps`: what is missing of a stream, what is there twice, and what
//! came late.

use std::time::Duration;

use clap::Args;
use headwater_client::GapQuery;
use headwater_client::times::Unit;
use headwater_client::types::{GapReport, Gaps, Misplaced, RecoveredView};

use super::Invocation;
use super::duration;
use super::output::{Output, counted, grouped, printable};

/// Look for holes, gaps in time, duplicates, and observations out of order
#[derive(Args, Debug)]
#[command(
    after_help = "A gap is where the latest time goes on by one and a half cadences or more. A duplicate has
the latest time of those before it, and what is out of order an earlier one; both are allowed. An
outlier is far ahead of those before and behind it, as of a clock that was not set; the gap that it
stands in is not known."
)]
pub(crate) struct GapsArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// The usual time between two observations [default: that of the stream]
    #[arg(long, value_name = "D", value_parser = duration::parse_positive)]
    cadence: Option<Duration>,
    /// From this index or time on: RFC 3339 (UTC if it has no offset), a date, or
    /// 3d for three days ago
    #[arg(long, value_name = "INDEX|TIME")]
    from: Option<String>,
    /// Up to this index or time, which is left out
    #[arg(long, value_name = "INDEX|TIME")]
    to: Option<String>,
    /// The unit of --from and --to where they are numbers since 1970: s, ms, us or
    /// ns. Without it a whole number is an index
    #[arg(long, value_name = "UNIT", value_parser = str::parse::<Unit>)]
    time_unit: Option<Unit>,
    /// List at most so many of each kind; all are counted
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

pub(super) async fn gaps(invocation: &Invocation, args: &GapsArgs) -> anyhow::Result<()> {
    let micros = |cadence: Duration| u64::try_from(cadence.as_micros()).unwrap_or(u64::MAX);
    let cadence_us = args.cadence.map(micros);
    let query = GapQuery {
        from: args.from.clone(),
        to: args.to.clone(),
        time_unit: args.time_unit,
        cadence_us,
        limit: Some(args.limit),
        ..GapQuery::default()
    };
    let out = invocation.out;
    let (report, recovered) = invocation
        .with_client(async |client| {
            let report = client.gaps(&args.stream, &query).await?;
            let recovered = match report.disputed_from.filter(|_| !out.json) {
                // Why something does not count stands with the stream.
                Some(_) => client.stream(&report.stream).await?.recovered,
                None => None,
            };
            Ok((report, recovered))
        })
        .await?;
    match out.json {
        true => out.json(&report),
        false => described(&report, recovered.as_ref(), out).try_for_each(|line| out.line(line)),
    }
}

/// Why the records from an index on are not looked at.
fn not_counted(from: u64, recovered: Option<&RecoveredView>) -> String {
    let what = match recovered {
        None => "disputed",
        Some(end) if from < end.size => "not known to count yet",
        Some(_) => "disowned by the recovery key",
    };
    format!("{what}, and not looked at: everything from index {from} on")
}

fn described(
    report: &GapReport,
    recovered: Option<&RecoveredView>,
    out: Output,
) -> impl Iterator<Item = String> {
    let records = counted(report.to - report.from, "record");
    let mut lines = vec![format!("{records}, from index {}", report.from)];
    if let Some(from) = report.disputed_from {
        let what = not_counted(from, recovered);
        lines.push(out.bad(&format!("  {what}")));
    }
    lines.push(match report.holes {
        0 => "  no holes: all of them are held".to_owned(),
        holes => format!(
            "  {}: {} are not held here",
            counted(holes, "hole"),
            counted(report.missing_in_holes, "record")
        ),
    });
    let holes = report.first_holes.iter();
    lines.extend(holes.map(|(from, to)| format!("    {from} to {}", to - 1)));
    lines.extend(more(report.holes, report.first_holes.len()));
    lines.extend(
        of_times(&report.times)
            .into_iter()
            .map(|line| format!("  {line}")),
    );
    lines.into_iter()
}

/// What the times of observations say, for people.
pub(super) fn of_times(times: &Gaps) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(earliest), Some(latest)) = (&times.earliest, &times.latest) {
        lines.push(format!("from {earliest} to {latest}"));
    }
    let cadence = times
        .cadence_us
        .map(Duration::from_micros)
        .map(duration::text);
    lines.push(match (cadence, times.gaps) {
        (None, _) => "gaps in time: not known without a cadence".to_owned(),
        (Some(cadence), 0) => format!("no gaps in time, at a cadence of {cadence}"),
        (Some(cadence), gaps) => format!(
            "{} in time: {} missing at a cadence of {cadence}",
            counted(gaps, "gap"),
            counted(times.missing_in_gaps, "observation")
        ),
    });
    for gap in &times.first_gaps {
        let (index, missing) = (gap.index, grouped(gap.missing));
        let (from, to) = (printable(&gap.from), printable(&gap.to));
        lines.push(format!(
            "  {missing} before index {index}, between {from} and {to}"
        ));
    }
    lines.extend(more(times.gaps, times.first_gaps.len()));
    lines.push(match times.duplicates {
        0 => "no duplicate times".to_owned(),
        duplicates => format!(
            "{}, {} of them with the same value",
            counted(duplicates, "duplicate time"),
            grouped(times.repeated)
        ),
    });
    let at = |one: &Misplaced| format!("  index {}, at {}", one.index, printable(&one.time));
    lines.extend(times.first_duplicates.iter().map(at));
    lines.extend(more(times.duplicates, times.first_duplicates.len()));
    lines.push(match times.out_of_order {
        0 => "nothing out of order".to_owned(),
        late => format!("{} out of order", counted(late, "observation")),
    });
    let after = |one: &Misplaced| format!("{}, after {}", at(one), printable(&one.latest));
    lines.extend(times.first_out_of_order.iter().map(after));
    lines.extend(more(times.out_of_order, times.first_out_of_order.len()));
    if times.outliers > 0 {
        let outliers = counted(times.outliers, "outlier");
        lines.push(format!(
            "{outliers}: far ahead of the times before and behind, and looked at no further"
        ));
        lines.extend(times.first_outliers.iter().map(after));
        lines.extend(more(times.outliers, times.first_outliers.len()));
    }
    lines
}

fn more(all: u64, listed: usize) -> Option<String> {
    let more = all.saturating_sub(listed as u64);
    (more > 0 && listed > 0).then(|| format!("  and {} more", grouped(more)))
}

#[cfg(test)]
mod tests {
    use headwater_protocols::time::Timestamp;

    use super::*;
    use headwater_export::GapFinder;

    #[test]
    fn a_report_says_what_was_counted_and_the_first_ones() {
        let mut finder = GapFinder::new(Some(1_000_000), 1);
        for (index, seconds) in (0..).zip([0, 10, 10, 5, 20]) {
            finder.observe(index, Timestamp(seconds * 1_000_000), b"1");
        }
        let report = GapReport {
            stream: "x".to_owned(),
            from: 0,
            to: 7,
            holes: 1,
            missing_in_holes: 2,
            first_holes: vec![(5, 7)],
            disputed_from: None,
            times: finder.finish(),
        };
        let text: Vec<_> = described(&report, None, Output::new(false)).collect();
        assert_eq!(
            text,
            [
                "7 records, from index 0",
                "  1 hole: 2 records are not held here",
                "    5 to 6",
                "  from 1970-01-01T00:00:00.000000Z to 1970-01-01T00:00:20.000000Z",
                "  2 gaps in time: 18 observations missing at a cadence of 1s",
                "    9 before index 1, between 1970-01-01T00:00:00.000000Z and 1970-01-01T00:00:10.000000Z",
                "    and 1 more",
                "  1 duplicate time, 1 of them with the same value",
                "    index 2, at 1970-01-01T00:00:10.000000Z",
                "  1 observation out of order",
                "    index 3, at 1970-01-01T00:00:05.000000Z, after 1970-01-01T00:00:10.000000Z",
            ]
        );
    }
}
