//! How long a connection may take for what.

use super::super::limits::MAX_HEAD_BYTES;
use super::*;

impl Line {
    /// Keeps everybody from asking or telling how it stands.
    pub(in super::super) fn held(&self) -> MutexGuard<'_, Standing> {
        self.locked()
    }

    pub(in super::super) fn stalls_since(&self, since: Instant) {
        self.locked().stalled_since = Some(since);
    }
}

fn line() -> Line {
    Line::new("192.0.2.1:4".parse().unwrap(), Instant::now())
}

fn overdue_in(line: &Line, seconds: u64) -> Option<Cut> {
    let later = Instant::now() + Duration::from_secs(seconds);
    line.standing().overdue(later)
}

#[test]
fn a_head_has_its_time_however_many_bytes_of_it_come() {
    let line = line();
    for _ in 0..3 {
        line.read(Some(b"G"));
        line.read(None);
    }
    assert_eq!(overdue_in(&line, 5), None);
    assert_eq!(overdue_in(&line, 11), Some(Cut::TimedOut));
}

#[test]
fn who_may_be_asking_at_this_moment_hears_at_once_that_it_was_closed() {
    let cut = |why, what: fn(&Line)| {
        let line = line();
        what(&line);
        line.cut(why);
        line.standing().may_hang()
    };
    let half = |line: &Line| line.read(Some(b"GET / HT"));
    let idle = |line: &Line| {
        line.asked(false);
        line.answered(true);
    };
    let stalled = |line: &Line| {
        line.asked(false);
        line.wrote(None);
    };
    assert!(cut(Cut::Crowded, half) && cut(Cut::Stalled, stalled));
    assert!(!cut(Cut::Crowded, |_| {}), "it has said nothing yet");
    assert!(!cut(Cut::Crowded, idle));
    assert!(!cut(Cut::TimedOut, half), "nobody needs its place");
}

#[test]
fn a_head_has_an_end_and_what_comes_with_it_is_no_part_of_it() {
    let line = line();
    let long = vec![b'a'; MAX_HEAD_BYTES];
    line.read(Some(&long[1..]));
    assert_eq!(line.unreadable(), None);
    line.read(Some(b"a"));
    assert_eq!(line.unreadable(), Some(Unreadable::TooLong));
    line.asked(true);
    line.read(Some(&long));
    assert_eq!(line.unreadable(), None);
    line.answered(true);
    // What comes behind the head in one go, before anybody was asked.
    line.read(Some(b"\r\nPOST / HTTP/1.1\r\nhost: a\r\n\r"));
    line.read(Some(&[b"\n", &long[..]].concat()));
    line.read(Some(&long));
    assert_eq!(line.unreadable(), None);
    line.asked(true);
    line.answered(true);
    line.read(Some(&[b"\r\n\r\n", &long[..]].concat()));
    assert_eq!(line.unreadable(), Some(Unreadable::TooLong));
}

#[test]
fn the_rest_of_a_body_that_nobody_wanted_is_no_head() {
    let line = line();
    line.asked(true);
    line.body_ended(false);
    line.answered(true);
    line.read(Some(&[b'a'; MAX_HEAD_BYTES]));
    assert_eq!(line.unreadable(), None);
    assert!(matches!(line.standing().doing, Doing::Idle(_)));
    line.read(Some(b"GET"));
    assert!(matches!(line.standing().doing, Doing::Head(_)));
}

#[test]
fn only_a_body_whose_room_others_wait_for_has_to_come_soon() {
    let later = Instant::now() + Duration::from_secs(7);
    let waits = |line: &Line| {
        line.standing()
            .waits_for_body(later, Duration::from_secs(5))
    };
    let line = line();
    line.asked(true);
    line.read(None);
    assert!(!waits(&line));
    line.takes_room();
    assert!(waits(&line));
    line.body_ended(true);
    assert!(!waits(&line));
}

#[test]
fn a_body_that_comes_slowly_goes_on_and_one_that_does_not_come_ends() {
    let line = line();
    line.asked(true);
    line.read(None);
    assert_eq!(overdue_in(&line, 50), None);
    assert_eq!(overdue_in(&line, 70), Some(Cut::TimedOut));
    // What has come is progress, and whoever stores it may take its time.
    line.read(Some(b"G"));
    assert_eq!(overdue_in(&line, 1_000), None);
    line.read(None);
    line.body_ended(true);
    assert_eq!(overdue_in(&line, 1_000), None);
}

#[test]
fn an_answer_lasts_as_long_as_it_is_taken_and_then_the_next_request_may_come() {
    let line = line();
    line.asked(false);
    assert_eq!(overdue_in(&line, 10_000), None);
    line.wrote(None);
    assert_eq!(overdue_in(&line, 500), None);
    assert_eq!(overdue_in(&line, 700), Some(Cut::Stalled));
    line.wrote(Some(1));
    line.answered(true);
    assert_eq!(overdue_in(&line, 100), None);
    assert_eq!(overdue_in(&line, 200), Some(Cut::TimedOut));
    line.read(Some(b"G"));
    assert!(matches!(line.standing().doing(), Doing::Head(_)));
    assert_eq!(overdue_in(&line, 11), Some(Cut::TimedOut));
}

#[test]
fn who_goes_on_after_a_pause_may_pause_for_longer() {
    let line = line();
    let makes_way = |seconds| {
        let later = Instant::now() + Duration::from_secs(seconds);
        line.standing().makes_way(later)
    };
    line.asked(false);
    // The buffers between both ends take something at first.
    line.wrote(None);
    line.wrote(Some(1));
    line.wrote(None);
    assert!(!makes_way(4) && makes_way(6));
    line.stalls_since(Instant::now() - READ_PAUSE);
    line.wrote(Some(120_000));
    line.wrote(None);
    assert!(!makes_way(11) && makes_way(13));
    line.answered(true);
    line.asked(false);
    assert!(makes_way(6));
}

#[test]
fn who_takes_a_little_from_time_to_time_is_no_slow_reader() {
    let takes = |bytes| {
        let line = line();
        line.asked(false);
        line.wrote(None);
        line.stalls_since(Instant::now() - SLOW_READ_IN_CROWD);
        line.wrote(Some(bytes));
        line.wrote(None);
        line.standing()
            .makes_way(Instant::now() + Duration::from_secs(6))
    };
    // Since the first pause it is 18 seconds.
    let least = 18 * SLOW_READ_BYTES as usize;
    assert!(takes(least / 2));
    assert!(!takes(least + SLOW_READ_BYTES as usize));
}

#[test]
fn the_end_of_an_answer_that_is_not_taken_is_still_an_answer() {
    let line = line();
    line.asked(false);
    line.wrote(None);
    line.answered(true);
    assert_eq!(line.standing().doing(), Doing::Answer);
    line.wrote(Some(1));
    assert!(matches!(line.standing().doing(), Doing::Idle(_)));
}
