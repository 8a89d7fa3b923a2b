//! What time it is, by two clocks: one that only goes forward, for spans, and the
//! system's, which may be set at any moment, for times. Whoever mixes them up
//! signs wrong times after a suspend, or waits for an hour that was never there.

use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use headwater_client::times::text::to_text;
use headwater_protocols::time::Timestamp;
use tokio::sync::watch;

use super::{Node, Severity};

/// How often the two clocks are compared.
pub(crate) const COMPARED_EVERY: Duration = Duration::from_secs(1);

/// Microseconds by which the system's clock was set, or the machine slept, rather
/// than that it was corrected bit by bit: NTP does that below a second or so.
const JUMP_US: i64 = 2_000_000;

/// How long a jump is shown: until whoever looks into it has had the time.
const SHOWN_US: u64 = 3_600_000_000;

const TROUBLE: &str = "clock";

/// The beginning of 2025, before which there was no such program. A machine that
/// keeps no time while it is off begins in 1970 until it has heard what time it is.
const EARLIEST: Timestamp = Timestamp(1_735_689_600_000_000);

/// What is wrong with the system's clock, if it cannot be right. Nothing is signed
/// by it: who reads the stream would take its times for true.
#[must_use]
pub fn impossible_time() -> Option<String> {
    impossible(wall_time())
}

/// Whether what the system's clock shows cannot be said as a time since 1970, as many
/// a library has it: they panic then.
#[must_use]
pub fn is_before_1970() -> bool {
    wall_time() < Timestamp(0)
}

fn impossible(time: Timestamp) -> Option<String> {
    (time < EARLIEST).then(|| {
        format!(
            "the system's clock shows {}, which cannot be; nothing is signed before it is set \
             (see `timedatectl`)",
            to_text(time)
        )
    })
}

/// Microseconds for which the machine has slept since the program started.
static SLEPT_US: AtomicU64 = AtomicU64::new(0);

/// The present moment on a clock that only goes forward, for time-outs and pauses:
/// what the system's clock showed when the program started, and the time that has
/// gone by since, that of sleep included. It is no time to be shown or signed.
#[must_use]
pub fn now() -> Timestamp {
    static START: LazyLock<(Timestamp, Instant)> = LazyLock::new(|| (wall_time(), Instant::now()));
    let (time, start) = *START;
    let awake = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    time.plus(awake).plus(SLEPT_US.load(Ordering::Relaxed))
}

/// What the system's clock shows: the time of whatever happens now. It may be
/// earlier than it was.
#[must_use]
pub fn wall_time() -> Timestamp {
    let micros = |since: Duration| i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Timestamp(micros(since)),
        Err(before) => Timestamp(-micros(before.duration())),
    }
}

/// The clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// The system's clock.
    wall: Timestamp,
    /// [`now`].
    now: Timestamp,
    /// Microseconds that the program could have run.
    awake_us: u64,
    /// Microseconds since the machine started, where that is known.
    up_us: Option<u64>,
}

impl Reading {
    fn take() -> Self {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let awake = START.elapsed().as_micros();
        Self {
            wall: wall_time(),
            now: now(),
            awake_us: u64::try_from(awake).unwrap_or(u64::MAX),
            up_us: up_us(),
        }
    }
}

/// The clock that goes on while the machine sleeps, which `Instant` does not.
fn up_us() -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, rest) = text.split_once('.')?;
    let hundredths: u64 = rest.get(..2)?.parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    seconds
        .checked_mul(1_000_000)?
        .checked_add(hundredths * 10_000)
}

/// What has happened between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Passed {
    /// The machine slept for so many microseconds.
    slept_us: u64,
    /// The system's clock was set by so many microseconds.
    set_us: i64,
}

fn between(before: &Reading, after: &Reading) -> Passed {
    let awake = after.awake_us.saturating_sub(before.awake_us);
    let up = (after.up_us.zip(before.up_us)).map_or(awake, |(a, b)| a.saturating_sub(b));
    let slept = Some(up.saturating_sub(awake)).filter(|&us| us > JUMP_US.unsigned_abs());
    let slept = slept.unwrap_or(0);
    let gone = awake.saturating_add(slept);
    let shown = after.wall.0.saturating_sub(before.wall.0);
    let set = shown.saturating_sub(i64::try_from(gone).unwrap_or(i64::MAX));
    Passed {
        slept_us: slept,
        set_us: if set.unsigned_abs() > JUMP_US.unsigned_abs() {
            set
        } else {
            0
        },
    }
}

/// Compares the clocks, and says what it finds.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    last: Reading,
    /// By how much the clock was set in all, and when for the last time.
    set: Option<(i64, Timestamp)>,
}

impl ClockWatch {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self {
            last: Reading::take(),
            set: None,
        }
    }

    /// What the system's clock shows now. If it was set, or the machine slept, that
    /// is noted at the node.
    pub(crate) fn look(&mut self, node: &Node) -> Timestamp {
        let mut reading = Reading::take();
        let passed = between(&self.last, &reading);
        if passed.slept_us > 0 {
            SLEPT_US.fetch_add(passed.slept_us, Ordering::Relaxed);
            reading.now = now();
            tracing::info!("the machine slept for {} s", passed.slept_us / 1_000_000);
            node.has_slept(passed.slept_us);
        }
        if passed.set_us != 0 {
            self.was_set(passed.set_us, &reading, node);
        }
        if let Some((_, at)) = self.set
            && reading.now.since(at) > SHOWN_US
        {
            self.set = None;
            node.trouble_ends(TROUBLE);
        }
        self.last = reading;
        reading.wall
    }

    fn was_set(&mut self, by_us: i64, reading: &Reading, node: &Node) {
        let before = self.set.map_or(0, |(by, _)| by);
        let by = before.saturating_add(by_us);
        let way = |us: i64| if us > 0 { "ahead" } else { "back" };
        let seconds = |us: i64| us.unsigned_abs().saturating_add(500_000) / 1_000_000;
        if self.set.is_some() {
            // The first jump is logged as a trouble that begins.
            let seconds = seconds(by_us);
            tracing::warn!("the system's clock was set {} by {seconds} s", way(by_us));
        }
        if by.unsigned_abs() <= JUMP_US.unsigned_abs() {
            // As if nothing had been.
            self.set = None;
            return node.trouble_ends(TROUBLE);
        }
        self.set = Some((by, reading.now));
        let what = format!(
            "the system's clock was set {} by {} s while the node ran; times are taken from it as it \
             is now",
            way(by),
            seconds(by)
        );
        let advice = "check that this machine's time is right (`timedatectl`); NTP keeps it";
        match impossible(reading.wall) {
            Some(why) => {
                let what = format!("{what}: {why}");
                node.trouble_begins(TROUBLE, Severity::Failure, what, advice);
            }
            None => node.trouble_begins(TROUBLE, Severity::Warning, what, advice),
        }
    }
}

impl Node {
    /// Hears of it when the machine has slept: what was connected before may be
    /// gone.
    pub(crate) fn watch_sleep(&self) -> watch::Receiver<Duration> {
        self.shared.sleeps.subscribe()
    }

    fn has_slept(&self, for_us: u64) {
        self.shared
            .sleeps
            .send_replace(Duration::from_micros(for_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn reading(wall: u64, awake: u64, up: Option<u64>) -> Reading {
        Reading {
            wall: Timestamp(1_780_000_000_000_000).plus(wall * SECOND),
            now: Timestamp(0).plus(awake * SECOND),
            awake_us: awake * SECOND,
            up_us: up.map(|up| up * SECOND),
        }
    }

    /// Seconds slept, and by which the clock was set.
    fn passed(before: Reading, after: Reading) -> (u64, i64) {
        let passed = between(&before, &after);
        (passed.slept_us / SECOND, passed.set_us / SECOND as i64)
    }

    #[test]
    fn sleep_is_told_from_a_clock_that_was_set() {
        let begin = reading(10_000, 100, Some(500));
        assert_eq!(passed(begin, reading(10_060, 160, Some(560))), (0, 0));
        assert_eq!(passed(begin, reading(13_660, 160, Some(560))), (0, 3_600));
        assert_eq!(passed(begin, reading(6_460, 160, Some(560))), (0, -3_600));
        assert_eq!(passed(begin, reading(13_660, 160, Some(4_160))), (3_600, 0));
        // Both, one after the other.
        assert_eq!(
            passed(begin, reading(23_660, 160, Some(4_160))),
            (3_600, 10_000)
        );
        // A second is a correction.
        assert_eq!(passed(begin, reading(10_061, 160, Some(561))), (0, 0));
    }

    #[test]
    fn where_the_time_since_the_start_is_not_known_sleep_is_taken_for_a_set_clock() {
        let begin = reading(10_000, 100, None);
        assert_eq!(passed(begin, reading(13_660, 160, None)), (0, 3_600));
    }

    #[test]
    fn a_time_before_this_program_cannot_be() {
        for time in [i64::MIN, -1, 0, EARLIEST.0 - 1] {
            assert!(impossible(Timestamp(time)).is_some(), "{time}");
        }
        assert_eq!(impossible(EARLIEST), None);
        assert_eq!(impossible_time(), None);
        let said = impossible(Timestamp(0)).unwrap();
        assert!(said.contains("shows 1970-01-01T00:00:00"), "{said}");
    }

    #[test]
    fn the_moment_only_goes_forward() {
        let before = now();
        assert!(now() >= before);
        assert!(up_us().is_none_or(|up| up > 0));
    }
}
