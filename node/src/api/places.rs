//! The places of those who read histories. Each reader has a thread, and memory
//! for what it writes; a few of them work at a time, in turns, the next one
//! being that of the client that has fewest at work. Whoever waits for its
//! client to take something does not work meanwhile, and has to go when others
//! need its place and its client has taken nothing for seconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_export::Format;
use headwater_export::limits::{BATCH_BYTES, ROW_GROUP_BYTES};
use headwater_protocols::manifest::ValueType;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::caller::{Caller, Client, Who};
use super::limits::{
    MAX_READERS, MIN_READS, READ_MEBIBYTES, READ_TURN, READ_WAIT, STALLED_READ_IN_CROWD,
};
use super::line::Cut;
use super::problem::ApiError;
use super::whence::Whence;

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    known: Mutex<Known>,
}

impl Default for Places {
    fn default() -> Self {
        let processors = std::thread::available_parallelism();
        Self::with_turns(processors.map_or(MIN_READS, |all| all.get().max(MIN_READS)))
    }
}

/// What a reader is doing.
#[derive(Debug)]
enum Doing {
    /// It is not yet let in, or waits for its turn, after those with lower
    /// numbers.
    Waits(u64, oneshot::Sender<()>),
    Works(Instant),
    /// Its client takes nothing, since then.
    Stalls(Instant),
    /// It was told to go.
    Leaves,
}

#[derive(Debug)]
struct Reader {
    client: Client,
    /// Mebibytes of memory that it may need.
    size: usize,
    is_in: bool,
    doing: Doing,
    /// How long it has worked.
    worked: Duration,
}

impl Reader {
    /// What it does from now on.
    fn turn_to(&mut self, doing: Doing) -> Doing {
        if let Doing::Works(since) = self.doing {
            self.worked += since.elapsed();
        }
        std::mem::replace(&mut self.doing, doing)
    }

    /// Since when it stalls, if others who wait come first. Its connection knows
    /// better what the client takes: a part of a block is something.
    fn makes_way(&self, now: Instant) -> Option<Instant> {
        let Doing::Stalls(since) = self.doing else {
            return None;
        };
        let makes_way = match &self.client.line {
            Some(line) => line.standing().makes_way(now),
            None => now.saturating_duration_since(since) >= STALLED_READ_IN_CROWD,
        };
        makes_way.then_some(since)
    }

    /// How often what it has worked has doubled, from one turn on.
    fn rank(&self) -> u32 {
        let turns = self.worked.as_millis() / READ_TURN.as_millis();
        (turns + 1).ilog2()
    }
}

#[derive(Debug)]
struct Known {
    turns: usize,
    /// Numbers readers, and what they wait for.
    next: u64,
    /// Turns that were given.
    given: u64,
    readers: BTreeMap<u64, Reader>,
}

/// What a reader that waits needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    Turn,
    Room,
}

/// What readers take: how many they are, and their mebibytes.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    readers: usize,
    mebibytes: usize,
}

impl Sum {
    fn add(&mut self, reader: &Reader) {
        self.readers += 1;
        self.mebibytes += reader.size;
    }

    /// Whether one more fits into so many quarters of all.
    fn has_room_for(self, new: &Reader, quarters: usize) -> bool {
        4 * (self.readers + 1) <= quarters * MAX_READERS
            && 4 * (self.mebibytes + new.size) <= quarters * READ_MEBIBYTES
    }
}

#[derive(Debug, Default)]
struct Taken {
    all: Sum,
    by_strangers: Sum,
    by_address: BTreeMap<Whence, Sum>,
}

impl Taken {
    fn add(&mut self, reader: &Reader) {
        let (whence, caller) = &reader.client.who;
        self.all.add(reader);
        if *caller == Caller::Unknown {
            self.by_strangers.add(reader);
        }
        if let Some(whence) = whence {
            self.by_address.entry(*whence).or_default().add(reader);
        }
    }

    /// Whether there is room for one more; a quarter of all is for those who show
    /// a token, and half of it for other addresses.
    fn has_room_for(&self, new: &Reader) -> bool {
        let (whence, caller) = &new.client.who;
        let of_address = whence.and_then(|whence| self.by_address.get(&whence));
        self.all.has_room_for(new, 4)
            && (*caller != Caller::Unknown || self.by_strangers.has_room_for(new, 3))
            && (!matches!(whence, Some(Whence::There(_)))
                || of_address.is_none_or(|taken| taken.has_room_for(new, 2)))
    }
}

impl Known {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Lets those work who may.
    fn grant(&mut self) {
        while let Some(number) = self.next_to_work() {
            let Some(reader) = self.readers.get_mut(&number) else {
                return;
            };
            reader.is_in = true;
            let before = reader.turn_to(Doing::Works(Instant::now()));
            self.given += 1;
            if let Doing::Waits(_, told) = before
                && told.send(()).is_err()
            {
                // It has given up, and is about to go.
                reader.doing = Doing::Leaves;
            }
        }
    }

    /// Of those who wait, and would be let in, the one whose client has fewest at
    /// work, and of these the one that has worked least.
    fn next_to_work(&self) -> Option<u64> {
        let mut working: BTreeMap<&Who, usize> = BTreeMap::new();
        let mut all = 0;
        for reader in self.readers.values() {
            if let Doing::Works(_) = reader.doing {
                *working.entry(&reader.client.who).or_default() += 1;
                all += 1;
            }
        }
        if all >= self.turns {
            return None;
        }
        let is_fourth = self.given.is_multiple_of(4);
        let taken = self.taken();
        let ready = self.readers.iter().filter_map(|(&number, reader)| {
            let Doing::Waits(ticket, _) = reader.doing else {
                return None;
            };
            let at_work = working.get(&reader.client.who).copied();
            // Short reads come first; but every fourth turn is that of whoever has
            // waited longest.
            let rank = if is_fourth { 0 } else { reader.rank() };
            (reader.is_in || taken.has_room_for(reader)).then_some((at_work, rank, ticket, number))
        });
        ready.min().map(|(.., number)| number)
    }

    /// What those have who are let in.
    fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        for reader in self.readers.values().filter(|reader| reader.is_in) {
            taken.add(reader);
        }
        taken
    }

    /// What a reader waits for.
    fn need(&self, number: u64, taken: &Taken) -> Need {
        match self.readers.get(&number) {
            Some(reader) if matches!(reader.doing, Doing::Waits(..)) => {
                match reader.is_in || taken.has_room_for(reader) {
                    true => Need::Turn,
                    false => Need::Room,
                }
            }
            Some(_) | None => Need::Nothing,
        }
    }

    /// Who has to go for one that waits for room: of those that have stalled for
    /// seconds, the one that has for longest, of the client that has most of them.
    fn dispensable(&self, now: Instant) -> Option<u64> {
        let mut stalled: BTreeMap<&Who, Vec<(Instant, u64)>> = BTreeMap::new();
        for (&number, reader) in &self.readers {
            if let Some(since) = reader.makes_way(now) {
                let all = stalled.entry(&reader.client.who).or_default();
                all.push((since, number));
            }
        }
        let most = stalled.into_values().max_by_key(Vec::len)?;
        most.into_iter().min().map(|(_, number)| number)
    }

    /// Makes room for one that waits for it.
    fn make_room(&mut self, now: Instant) {
        let Some(number) = self.dispensable(now) else {
            return;
        };
        if let Some(reader) = self.readers.get_mut(&number) {
            reader.doing = Doing::Leaves;
            if let Some(line) = &reader.client.line {
                tracing::debug!(client = %line.address, "a client takes nothing, and others wait");
                line.cut(Cut::Stalled);
            }
        }
    }

    /// Whether somebody waits for a turn.
    fn others_wait(&self) -> bool {
        let taken = self.taken();
        let mut all = self.readers.keys();
        all.any(|&number| self.need(number, &taken) == Need::Turn)
    }
}

impl Places {
    /// With so many that work at a time.
    pub(super) fn with_turns(turns: usize) -> Self {
        let (next, given, readers) = (0, 0, BTreeMap::new());
        Self {
            known: Mutex::new(Known {
                turns,
                next,
                given,
                readers,
            }),
        }
    }

    fn locked(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one who needs so much memory, as soon as it is its turn.
    pub(super) async fn enter(
        self: &Arc<Self>,
        client: &Client,
        mebibytes: usize,
    ) -> Result<Place, ApiError> {
        self.enter_within(client, mebibytes, READ_WAIT).await
    }

    async fn enter_within(
        self: &Arc<Self>,
        client: &Client,
        mebibytes: usize,
        wait: Duration,
    ) -> Result<Place, ApiError> {
        let (told, mut turn) = oneshot::channel();
        let place = {
            let mut known = self.locked();
            let number = known.number();
            let reader = Reader {
                client: client.clone(),
                size: mebibytes.min(READ_MEBIBYTES / 2),
                is_in: false,
                doing: Doing::Waits(number, told),
                worked: Duration::ZERO,
            };
            known.readers.insert(number, reader);
            known.grant();
            Place {
                places: self.clone(),
                number,
            }
        };
        let began = Instant::now();
        loop {
            // At once, so that nobody waits who only has to be made room for.
            {
                let mut known = self.locked();
                if known.need(place.number, &known.taken()) == Need::Room {
                    known.make_room(Instant::now());
                }
            }
            if timeout(LOOK_AGAIN, &mut turn).await.is_ok() {
                return Ok(place);
            }
            if began.elapsed() > wait {
                let text = "as many histories are read already as the node can; try again later";
                return Err(ApiError::busy(text));
            }
        }
    }
}

/// Mebibytes that writing records of this type in this format may need: what waits
/// for the client, and what the encoder keeps. Numbers are short.
pub(super) fn mebibytes(format: Format, value_type: ValueType) -> usize {
    match (format, value_type) {
        (Format::Csv | Format::SafeCsv | Format::Ndjson | Format::Json, _) => 1,
        (_, ValueType::Number) => 8,
        (Format::Arrow | Format::Feather, _) => 2 * (BATCH_BYTES >> 20),
        (Format::Parquet, _) => 2 * (ROW_GROUP_BYTES >> 20),
    }
}

/// How often one who waits looks for one that has to go.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Place {
    fn change<T>(&self, change: impl FnOnce(&mut Reader) -> T) -> Option<T> {
        let mut known = self.places.locked();
        let changed = known.readers.get_mut(&self.number).map(change);
        known.grant();
        changed
    }

    /// Lets others work: the client takes nothing.
    pub(super) fn stall(&self) {
        self.change(|reader| drop(reader.turn_to(Doing::Stalls(Instant::now()))));
    }

    /// Goes on with the work when it is its turn; false when it has to go. On a
    /// thread that may block.
    pub(super) fn go_on(&self, runtime: &Handle) -> bool {
        let (told, turn) = oneshot::channel();
        let ticket = self.places.locked().number();
        let is_in = self.change(|reader| {
            let stays = !matches!(reader.doing, Doing::Leaves);
            if stays {
                reader.turn_to(Doing::Waits(ticket, told));
            }
            stays
        });
        is_in == Some(true) && runtime.block_on(turn).is_ok()
    }

    /// Lets others have a turn who wait, if this one has had its; false when it
    /// has to go.
    pub(super) fn take_turns(&self, runtime: &Handle) -> bool {
        let is_over = {
            let known = self.places.locked();
            let reader = known.readers.get(&self.number);
            match reader.map(|reader| &reader.doing) {
                Some(Doing::Works(since)) => since.elapsed() >= READ_TURN && known.others_wait(),
                Some(Doing::Leaves) | None => return false,
                Some(_) => false,
            }
        };
        !is_over || self.go_on(runtime)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.places.locked();
        known.readers.remove(&self.number);
        known.grant();
    }
}

#[cfg(test)]
#[path = "places/tests.rs"]
pub(super) mod tests;
