//! The thread that looks after what is stored: it takes damaged table files out as
//! soon as somebody has met them, scrubs what users ask for, and, slowly and for
//! ever, everything else. What it finds it only tells the engine, which looks for
//! itself and decides.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use headwater_protocols::backoff::Backoff;
use headwater_protocols::engine::{Input, LogStatus, LostRows};
use headwater_protocols::id::LogId;
use headwater_protocols::ranges::{Interval, IntervalSet};
use headwater_protocols::store::audit::{Audit, Findings};
use headwater_protocols::store::{StoreError, Table};
use tokio::sync::mpsc;

use super::worker::Worker;
use crate::handle::{MAX_NAMED_PARTS, Node, ScrubAsk, Severity, now};
use crate::store::{Mended, PastCache};

/// Bytes a second that are read when nobody asks for it, at most: 1 GiB takes about
/// four minutes, of which a disk feels a hundredth.
const BACKGROUND_BYTES_PER_SECOND: u64 = 4 << 20;

/// It rests so many times as long as it worked: each record is hashed, and
/// with short ones such a rate took up a tenth of a processor, or more of one that
/// others were busy with.
const BACKGROUND_REST: u32 = 49;

/// But never longer than this. So few chunks take half a second only where the disk, or
/// whoever else has the processor, holds them up; a read that hangs for a minute must
/// not end the scrub for an hour.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Chunks that are read at once: with 25 KiB each some milliseconds. A multiple of
/// what one row of the time index covers.
const CHUNKS_PER_STEP: u64 = 64;

/// Between two looks for damage while there is nothing else to do.
const IDLE: Duration = Duration::from_millis(500);

/// Between two rounds over all streams.
const ROUND: Duration = Duration::from_secs(3_600);

/// Between two repairs of which one has found nothing to repair.
const FRUITLESS_BACKOFF: Backoff =
    Backoff::doubling(Duration::from_secs(2), Duration::from_secs(60));

/// What the engine is told.
pub(super) type Found = mpsc::Receiver<Input>;

/// Scrubs until it is dropped.
#[derive(Debug)]
pub(super) struct ScrubThread {
    _worker: Worker<Stop>,
}

/// Ends the thread when it is dropped, also one that waits: each command on a folder
/// would wait with it.
#[derive(Debug)]
struct Stop(Sender<ScrubAsk>);

impl Drop for Stop {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.send(ScrubAsk::Stop);
    }
}

impl ScrubThread {
    /// Starts it, for a node that goes on running or for one that ends with its
    /// command.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(node: &Node, stays: bool) -> anyhow::Result<(Self, Found)> {
        let (asks, asked) = channel();
        let (found, receiver) = mpsc::channel(64);
        let stop = Stop(asks.clone());
        node.set_scrubber(asks);
        let mut scrubber = Scrubber {
            node: node.clone(),
            found,
            asked,
            is_stopped: false,
            wanted: VecDeque::new(),
            round: VecDeque::new(),
            round_at: stays.then(|| Instant::now() + IDLE),
            reading: None,
            fruitless_until: None,
            fruitless: 0,
        };
        let work = move || scrubber.run();
        let worker = Worker::start("scrub", "looks after what is stored", stop, work)?;
        Ok((Self { _worker: worker }, receiver))
    }
}

/// A stream that is being read.
struct Reading {
    log: LogId,
    next: u64,
    is_wanted: bool,
}

struct Scrubber {
    node: Node,
    found: mpsc::Sender<Input>,
    asked: Receiver<ScrubAsk>,
    is_stopped: bool,
    /// What users ask for.
    wanted: VecDeque<LogId>,
    /// What is still to be read of this round.
    round: VecDeque<LogId>,
    /// When all streams are read next. A node that ends with its command does not
    /// come far, and whoever waits for the command feels it.
    round_at: Option<Instant>,
    reading: Option<Reading>,
    /// Repairs in a row of which nothing came.
    fruitless: u32,
    fruitless_until: Option<Instant>,
}

impl Scrubber {
    fn run(&mut self) {
        if self.node.store().mended().is_some() {
            // What the start has lost the engine knows; the trouble ends with its
            // answer also when that is nothing.
            let _ = self.found.blocking_send(Input::RowsLost(Vec::new(), 0));
        }
        loop {
            while let Ok(ask) = self.asked.try_recv() {
                self.take(ask);
            }
            if self.is_stopped {
                return;
            }
            self.mend();
            self.tell_repaired();
            let pause = match self.next() {
                Some(reading) => self.step(reading),
                None => IDLE,
            };
            if self.found.is_closed() {
                return;
            }
            self.pause(pause);
        }
    }

    fn take(&mut self, ask: ScrubAsk) {
        match ask {
            ScrubAsk::Read(log) => self.wanted.push_back(log),
            ScrubAsk::Stop => self.is_stopped = true,
        }
    }

    /// Waits, but not while somebody asks for something or damage was met.
    fn pause(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let may_mend = self.fruitless_until.is_none();
            if may_mend && self.node.store().wait_for_damage(Duration::ZERO) {
                return;
            }
            match self.asked.recv_timeout(left.min(IDLE / 10)) {
                Ok(ask) => return self.take(ask),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.take(ScrubAsk::Stop),
            }
        }
    }

    /// Has damaged table files taken out.
    fn mend(&mut self) {
        if self
            .fruitless_until
            .is_some_and(|until| until > Instant::now())
        {
            return;
        }
        self.fruitless_until = None;
        let store = self.node.store().clone();
        if !store.wait_for_damage(Duration::ZERO) {
            return;
        }
        // What cannot be written is mended when it is opened anew.
        let was_stopped = store.failure().is_some();
        match store.mend() {
            Ok(mended) => {
                let is_done = mended.is_none_or(|mended| !mended.what.is_empty());
                match is_done {
                    true => self.fruitless = 0,
                    false => self.was_fruitless(),
                }
            }
            Err(_) if was_stopped => self.was_fruitless(),
            Err(error) => {
                self.was_fruitless();
                self.node.trouble_begins(
                    "damage",
                    Severity::Failure,
                    format!("the store is damaged and could not be repaired: {error}"),
                    "look at the disk and the system's log; it is tried again by itself",
                );
                // It writes, finds that it cannot, and has it opened anew.
                let _ = self.found.blocking_send(Input::RowsLost(Vec::new(), 0));
            }
        }
    }

    /// Nothing came of it: it is tried again in a while.
    fn was_fruitless(&mut self) {
        let pause = FRUITLESS_BACKOFF.next(&mut self.fruitless);
        self.fruitless_until = Some(Instant::now() + pause);
    }

    /// Tells what was lost with what was taken out.
    fn tell_repaired(&self) {
        for mended in self.node.store().take_repaired() {
            tell(&mended);
            let mut lost: Vec<_> = (mended.lost.into_iter())
                .map(|lost| LostRows {
                    table: lost.table,
                    from: lost.from,
                    to: lost.to,
                })
                .collect();
            if mended.is_rebuilt {
                // Any row may be another one.
                lost.extend(Table::ALL.map(|table| LostRows {
                    table,
                    from: Vec::new(),
                    to: vec![0xff; 64],
                }));
            }
            let told = Input::RowsLost(lost, mended.number);
            let _ = self.found.blocking_send(told);
        }
    }

    /// What is read next: what users ask for comes first.
    fn next(&mut self) -> Option<Reading> {
        if self
            .reading
            .as_ref()
            .is_some_and(|reading| reading.is_wanted)
        {
            return self.reading.take();
        }
        let begin = |log, is_wanted| Reading {
            log,
            next: 0,
            is_wanted,
        };
        if let Some(log) = self.wanted.pop_front() {
            // What was read in the background goes on afterwards.
            if let Some(reading) = self.reading.take() {
                self.round.push_front(reading.log);
            }
            return Some(begin(log, true));
        }
        if let Some(reading) = self.reading.take() {
            return Some(reading);
        }
        if self.round.is_empty() && self.round_at.is_some_and(|at| at <= Instant::now()) {
            self.round = self
                .node
                .streams()
                .iter()
                .map(|status| status.log)
                .collect();
            self.round_at = Some(Instant::now() + ROUND);
        }
        self.round.pop_front().map(|log| begin(log, false))
    }

    /// Reads some chunks, and says how long to wait before the next ones.
    fn step(&mut self, mut reading: Reading) -> Duration {
        let begun = Instant::now();
        if self.node.store().is_behind() {
            self.reading = Some(reading);
            return IDLE;
        }
        let status = self.node.stream(reading.log);
        let Some(status) = status.filter(|status| status.key.is_some()) else {
            self.end(&reading);
            return Duration::ZERO;
        };
        let read = self.read(&status, reading.next);
        let (findings, next) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(stream = %status.log, %error, "what is held cannot be read");
                self.reading = Some(reading);
                return IDLE * 10;
            }
        };
        self.report(&status, &reading, &findings);
        let pause = match reading.is_wanted {
            true => Duration::ZERO,
            false => {
                let micros = findings.bytes.saturating_mul(1_000_000) / BACKGROUND_BYTES_PER_SECOND;
                rest(begun.elapsed(), Duration::from_micros(micros))
            }
        };
        match next {
            Some(next) => {
                reading.next = next;
                self.reading = Some(reading);
            }
            None => self.end(&reading),
        }
        pause
    }

    /// Reads the chunks from one on that something is held of; and with which to go
    /// on.
    fn read(&self, status: &LogStatus, from: u64) -> Result<(Findings, Option<u64>), StoreError> {
        let (Some(key), Some(head)) = (status.key, &status.head) else {
            return Ok((Findings::default(), None));
        };
        let held: IntervalSet = status.held.iter().copied().collect();
        let proved = status.proved_size();
        let begin = from.saturating_mul(key.chunk_len());
        let Some(first) = held.held(begin, proved).next() else {
            return Ok((Findings::default(), None));
        };
        let first = key.chunk_of(first.from);
        let end = (first / CHUNKS_PER_STEP + 1) * CHUNKS_PER_STEP;
        let store = PastCache(self.node.store());
        let mut audit = Audit::new(&store, key, &held, head.tree());
        let last = key.chunk_of(proved.saturating_sub(1));
        for chunk in first..end.min(last + 1) {
            audit.chunk(chunk)?;
        }
        Ok((audit.finish()?, (end <= last).then_some(end)))
    }

    /// Tells the engine what was found, and the user what of it is still so.
    fn report(&self, status: &LogStatus, reading: &Reading, findings: &Findings) {
        let Some(key) = status.key else {
            return;
        };
        let mut bad = Vec::new();
        if !findings.is_clean() {
            // Meanwhile records may have become a chunk, or were dropped.
            let again = self.node.stream(status.log);
            let again = again.and_then(|status| self.read(&status, reading.next).ok());
            bad = again.map_or_else(Vec::new, |(findings, _)| findings.bad);
            let from = reading.next.saturating_mul(key.chunk_len());
            let to = from.saturating_add(CHUNKS_PER_STEP * key.chunk_len());
            let suspected = findings.bad.iter().chain(&findings.edges).max();
            let to = suspected.map_or(to, |last| to.max(key.chunk_interval(*last).to));
            let interval = Interval { from, to };
            let _ = (self.found).blocking_send(Input::Suspect(status.log, interval));
        }
        for chunk in &bad {
            let Interval { from, to } = key.chunk_interval(*chunk);
            tracing::warn!(stream = %status.log, from, to, "records that were held are damaged");
        }
        if !reading.is_wanted {
            return;
        }
        self.node.change_scrub(status.log, |scrub| {
            scrub.records += findings.records;
            scrub.bytes += findings.bytes;
            for chunk in bad {
                let Interval { from, to } = key.chunk_interval(chunk);
                let to = to.min(status.proved_size());
                scrub.bad_records += to.saturating_sub(from);
                let named = scrub.bad.len();
                match scrub.bad.last_mut() {
                    Some(last) if last.1 == from => last.1 = to,
                    _ if named < MAX_NAMED_PARTS => scrub.bad.push((from, to)),
                    _ => {}
                }
            }
        });
    }

    fn end(&self, reading: &Reading) {
        if reading.is_wanted {
            self.node
                .change_scrub(reading.log, |scrub| scrub.ended = Some(now()));
        }
    }
}

/// How long to wait after work of so long that may take as much time as `pace`.
fn rest(worked: Duration, pace: Duration) -> Duration {
    let rest = worked.saturating_mul(BACKGROUND_REST).min(LONGEST_REST);
    rest.max(pace.saturating_sub(worked))
}

/// Says once which files were damaged, and where they are now.
pub(super) fn tell(mended: &Mended) {
    let kept = mended.kept.as_ref();
    let kept = kept.map_or_else(String::new, |kept| kept.display().to_string());
    for what in &mended.what {
        tracing::warn!(kept, "the store was damaged and is repaired: {what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_takes_no_more_than_its_share_of_the_disk_and_of_a_processor() {
        let millis = Duration::from_millis;
        // Long records are read faster than they may be.
        assert_eq!(rest(millis(2), millis(400)), millis(398));
        // Short ones take longer to be hashed.
        assert_eq!(rest(millis(40), millis(400)), millis(1_960));
        // A disk that hangs is none of its work.
        assert_eq!(rest(millis(60_000), millis(400)), LONGEST_REST);
        assert_eq!(rest(millis(600), millis(40_000)), millis(39_400));
    }
}
