use std::sync::Arc;

use headwater_client::times::TimeForm;
use headwater_client::times::{Local, Written};
use proptest::prelude::*;

use super::super::time_zone::{LocalTimes, Zone};
use super::*;

const MINUTE_US: i64 = 60_000_000;

fn berlin() -> Zone {
    "Europe/Berlin".parse().unwrap()
}

fn local(text: &str) -> Local {
    match TimeForm::Iso.written(text) {
        Ok(Written::Local(local)) => local,
        other => panic!("{text}: {other:?}"),
    }
}

fn place(row: usize) -> RowPlace {
    RowPlace {
        row: row as u64,
        line: row as u64 + 2,
    }
}

fn look(files: &[Vec<String>], said: Option<Pass>) -> Folds {
    let mut survey = FoldSurvey::default();
    for (file, rows) in files.iter().enumerate() {
        for (row, text) in rows.iter().enumerate() {
            let local = local(text);
            let shown = berlin().shown(local).unwrap();
            let at = place(row).of_file(file);
            let local = local.micros();
            survey.add(LocalRow { at, local, shown });
        }
    }
    survey.finish("Europe/Berlin", said)
}

fn read_all(files: &[Vec<String>], said: Option<Pass>) -> Vec<Result<Timestamp, String>> {
    let folds = Arc::new(look(files, said));
    let mut read = Vec::new();
    for (file, rows) in files.iter().enumerate() {
        let times = LocalTimes::new(berlin()).told_by(file, Arc::clone(&folds));
        for (row, text) in rows.iter().enumerate() {
            let moment = times.at(local(text), place(row), text);
            read.push(moment.map(|moment| moment.time));
        }
    }
    read
}

/// Times of that night (27 October 2024), of one file or several.
fn night(files: &[&str]) -> Vec<Vec<String>> {
    let day = |text: &str| match text.contains('-') {
        true => text.replace('_', " "),
        false => format!("2024-10-27 {text}"),
    };
    let file = |texts: &&str| texts.split_whitespace().map(day).collect();
    files.iter().map(file).collect()
}

/// As they are read, in UTC, in hours and minutes; or why not.
fn read(files: &[&str]) -> Result<String, String> {
    let times: Result<Vec<_>, _> = read_all(&night(files), None).into_iter().collect();
    let shown = |time: &Timestamp| to_text(*time)[11..16].to_owned();
    Ok(times?.iter().map(shown).collect::<Vec<_>>().join(" "))
}

fn refused(files: &[&str], why: &str) {
    let error = read(files).unwrap_err();
    assert!(error.contains(why), "{files:?}: {error}");
    assert!(
        error.contains("--repeated-hour") && error.contains("+02:00"),
        "{error}"
    );
}

#[test]
fn an_hour_that_comes_twice_is_told_by_the_one_place_where_the_order_turns() {
    for (rows, utc) in [
        (
            "01:30 02:00 02:30 02:00 02:30 03:00",
            "23:30 00:00 00:30 01:00 01:30 02:00",
        ),
        // The latest row first.
        (
            "04:00 03:30 03:00 02:30 02:00 02:30 02:00 01:30",
            "03:00 02:30 02:00 01:30 01:00 00:30 00:00 23:30",
        ),
        // It begins within the hour, and it ends there.
        ("02:50 02:00 02:30 03:00", "00:50 01:00 01:30 02:00"),
        (
            "01:30 01:45 02:00 02:50 02:10",
            "23:30 23:45 00:00 00:50 01:10",
        ),
        // Two rows a time.
        (
            "01:30 01:30 02:00 02:00 02:30 02:30 02:00 02:00 02:30 03:00",
            "23:30 23:30 00:00 00:00 00:30 00:30 01:00 01:00 01:30 02:00",
        ),
        // Rows that come late by a little, also at its edges.
        (
            "01:58 02:01 01:59 02:02 02:01 02:30 02:59 02:58 02:00 02:30 02:29 03:01 02:59 03:02",
            "23:58 00:01 23:59 00:02 00:01 00:30 00:59 00:58 01:00 01:30 01:29 02:01 01:59 02:02",
        ),
        // Once an hour it has the same text twice.
        ("01:00 02:00 02:00 03:00", "23:00 00:00 01:00 02:00"),
        (
            "04:00 03:00 02:00 02:00 01:00",
            "03:00 02:00 01:00 00:00 23:00",
        ),
        (
            "00:07 01:07 02:07 02:07 03:07",
            "22:07 23:07 00:07 01:07 02:07",
        ),
    ] {
        assert_eq!(read(&[rows]), Ok(utc.to_owned()), "{rows}");
    }
    assert_eq!(
        read(&["01:30 02:00 02:30", "02:00 02:30 03:00"]),
        Ok("23:30 00:00 00:30 01:00 01:30 02:00".to_owned())
    );
    assert_eq!(
        read(&["01:30 02:00", "02:30 02:00 02:30 03:00"]),
        Ok("23:30 00:00 00:30 01:00 01:30 02:00".to_owned())
    );
}

#[test]
fn where_the_order_does_not_tell_nothing_is_guessed() {
    for rows in [
        // Once, of both times of which it may be.
        "01:50 02:00 02:10 02:50 03:00",
        "01:00 02:00 03:00",
        "02:00",
        "02:50 03:00 03:10",
        "01:40 01:50 02:00 02:10",
        // A gap over the turn.
        "01:50 02:00 02:10 02:40 02:50 03:00",
        // One of them is there twice.
        "01:30 02:00 02:30 02:30 03:00",
        "01:00 01:00 02:00 02:00 03:00",
        "00:13 02:17 02:17 05:44",
        "02:00 02:00",
        "01:00 02:00 02:00",
        "02:06 02:06 03:00",
        "01:00 02:00 02:00 03:00 03:30",
        "01:00 02:00 02:00 02:00 02:00 03:00",
        // In the order of the texts.
        "01:30 02:00 02:00 02:30 02:30 03:00",
    ] {
        refused(&[rows], "go through that hour once");
    }
    for rows in [
        "01:50 02:00 02:10 02:09 02:20 02:50 02:30 03:00",
        "01:50 02:00 02:40 02:20 02:50 03:00",
    ] {
        refused(&[rows], "less than half");
    }
    for rows in [
        // Two series, one behind the other.
        "02:00 02:50 02:00 02:50 02:00 02:50 02:00 02:50 03:00",
        // One row of before among those of after.
        "01:50 02:30 02:58 02:00 02:45 02:05 03:00",
    ] {
        refused(&[rows], "more than once");
    }
    refused(
        &[
            "00:00 00:10 00:20 00:30 00:40 00:50 01:00 01:10 01:20 02:00 02:50 03:00 03:10 02:00 02:50 03:20 03:30 03:40",
        ],
        "rows of other times",
    );
    refused(
        &["01:50 02:00 02:50 03:00 03:10 03:20 02:00 02:50 03:00"],
        "not in the order",
    );
    refused(
        &["01:00 05:00 02:00 02:30 02:00 02:30 04:00 03:00 06:00"],
        "not in the order",
    );
    refused(&["02:00 02:30 02:00"], "earliest or the latest row");
    // Two files of the same night.
    let night = "01:50 02:00 02:50 02:00 02:50 03:00";
    refused(&[night, night], "rows of other times");
    // Files with the latest row first, in either order themselves.
    let newest_first = [
        "02:20 02:10 02:00 01:50 01:40",
        "03:00 02:50 02:00 02:50 02:30",
    ];
    refused(&newest_first, "rows of other times");
    let newest_first = ["03:20 03:00 02:50 02:00", "02:50 02:30 01:50 01:40"];
    refused(&newest_first, "in another file");
    // A row of before, or a gap.
    refused(&["01:50 02:30 02:58 02:00 02:57 03:00"], "nearly all");
    // Of two rows as far apart as these nobody knows the order.
    refused(&["02:02 02:38"], "go through that hour once");
}

#[test]
fn each_year_is_told_by_itself() {
    let years = "2022-10-30_01:30 2022-10-30_02:30 2022-10-30_02:00 2022-10-30_03:30 \
                 2023-10-29_01:30 2023-10-29_02:30 2023-10-29_03:30 \
                 2024-10-27_01:30 2024-10-27_02:00 2024-10-27_02:30 2024-10-27_02:00 2024-10-27_03:30";
    let read = read_all(&night(&[years]), None);
    let bad: Vec<_> = (0..read.len()).filter(|&row| read[row].is_err()).collect();
    assert_eq!(bad, [5]);
    let report = look(&night(&[years]), None).report();
    let RepeatedHours {
        times,
        first,
        second,
        unclear,
        ..
    } = report;
    assert_eq!((times, first, second, unclear), (6, 3, 2, 1));
    assert_eq!(
        report.described(),
        [
            "6 times are ambiguous, of an hour that the clocks of Europe/Berlin showed twice: 3 taken as the first, 2 \
             taken as the second, 1 not known",
            "  2022-10-30 02:00:00 to 2022-10-30 03:00:00: 1 taken as the first, 1 taken as the second, by the order of \
             the rows, which turns at line 4",
            "  2023-10-29 02:00:00 to 2023-10-29 03:00:00: 1 not known",
            "  2024-10-27 02:00:00 to 2024-10-27 03:00:00: 2 taken as the first, 1 taken as the second, by the order of \
             the rows, which turns at line 12",
        ]
    );
}

#[test]
fn what_is_said_counts_where_the_order_does_not_tell() {
    let years = "2023-10-29_01:30 2023-10-29_02:30 2023-10-29_03:30 \
                 2024-10-27_01:30 2024-10-27_02:00 2024-10-27_02:30 2024-10-27_02:00 2024-10-27_03:30";
    for (said, hour) in [(Pass::First, "00:30"), (Pass::Second, "01:30")] {
        let read = read_all(&night(&[years]), Some(said));
        let hours = read
            .into_iter()
            .map(|time| to_text(time.unwrap())[11..16].to_owned());
        let hours: Vec<_> = hours.collect();
        assert_eq!(
            hours,
            [
                "23:30", hour, "02:30", "23:30", "00:00", "00:30", "01:00", "02:30"
            ]
        );
        let said = look(&night(&[years]), Some(said)).report().described();
        assert!(
            said[1].ends_with("as it was said (--repeated-hour)"),
            "{said:?}"
        );
    }
}

/// What the clocks of Berlin showed at so many minutes of that night, in UTC.
fn shown(minute: i64) -> String {
    // 2024-10-27T00:00Z. They were put back at 01:00Z.
    let midnight = 1_729_987_200_000_000;
    let ahead = if minute < 60 { 120 } else { 60 };
    let text = to_text(Timestamp(midnight + (minute + ahead) * MINUTE_US));
    text[..19].replace('T', " ")
}

proptest! {
    /// Whatever the cadence, wherever a file begins and ends, in either order,
    /// over one file or two, with gaps, rows that come late, and rows twice.
    #[test]
    fn what_is_told_is_right(
        cadence in 1_i64..130,
        offset in 0_i64..130,
        (from, to) in (-300_i64..120, 0_i64..400),
        missing in proptest::collection::vec(0_usize..200, 0..30),
        swapped in proptest::collection::vec(0_usize..200, 0..6),
        twice in proptest::collection::vec(0_usize..200, 0..4),
        is_falling: bool,
        cut in 0_usize..200,
    ) {
        let all = (-600_i64..600).map(|step| step * cadence + offset);
        let mut minutes: Vec<i64> = all.filter(|minute| (from..to).contains(minute)).collect();
        for at in &missing {
            if *at < minutes.len() {
                minutes.remove(*at);
            }
        }
        for &at in &twice {
            // One that is there twice at 02:00 looks like 02:00 that comes twice.
            if at < minutes.len() && !(50..=70).contains(&cadence) {
                minutes.insert(at, minutes[at]);
            }
        }
        for at in &swapped {
            if at + 1 < minutes.len() && (minutes[*at] - minutes[at + 1]).abs() <= 5 {
                minutes.swap(*at, at + 1);
            }
        }
        if is_falling {
            minutes.reverse();
        }
        let (one, two) = minutes.split_at(cut.min(minutes.len()));
        let (one, two) = if is_falling { (two, one) } else { (one, two) };
        let files = [one, two].map(|file| file.iter().map(|&minute| shown(minute)).collect());
        let read = read_all(&files, None);
        for (minute, read) in one.iter().chain(two).zip(read) {
            if let Ok(time) = read {
                prop_assert_eq!(time.0, 1_729_987_200_000_000 + minute * MINUTE_US, "{:?}", files);
            }
        }
    }
}
