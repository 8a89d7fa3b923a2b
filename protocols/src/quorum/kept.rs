//! What is kept of histories that nobody signed: a row that says what each is,
//! and its observations, the latest first, in a table that nothing verified
//! reads.

use std::ops::ControlFlow;

use bytes::Bytes;
use prost::Message;

use super::messages::{Answer, Question, Refusal};
use super::walk::Agreed;
use super::{Group, HistoryId, HistoryName};
use crate::limits::{
    MAX_ANSWERED_GROUPS, MAX_OBSERVATIONS_BYTES, MAX_UNSIGNED_HISTORIES, MAX_UNSIGNED_HISTORY_BYTES,
};
use crate::store::{Batch, Durability, Store, StoreError, Table};
use crate::time::Timestamp;
use crate::wire::v1;

/// Beginnings of keys: what a history is, by its id; and its observations, by
/// id, time (the latest first) and place.
const HISTORIES: u8 = 0;
const ROWS: u8 = 1;

/// Bytes of observations that are written in one batch.
const BATCH_BYTES: usize = 1 << 20;

/// Groups of which one is remembered, to read a history from its beginning: it
/// is stored the other way round.
const GROUPS_PER_MARK: u64 = 1_024;

/// A history that nobody signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: HistoryName,
    /// How much of it there is.
    pub extent: Extent,
    /// Where its observations came from.
    pub state: State,
}

/// How much there is of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Observations.
    pub observations: u64,
    /// Those that one peer was taken at its word for.
    pub on_one_word: u64,
    /// Bytes of all of them: of each 8 for its time, and its value.
    pub bytes: u64,
    /// The earliest and the latest time, when there is one.
    pub times: Option<(Timestamp, Timestamp)>,
}

/// Where the observations of a history come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// From a file that is being read. What there is goes when the import does
    /// not end.
    Importing,
    /// From a file.
    Imported,
    /// From peers, as far as they have agreed.
    Asking {
        /// What lies before this time was wanted.
        before: Timestamp,
        /// What lies before this one is to be asked for next.
        next: Timestamp,
    },
    /// From peers, who agreed on all of it.
    Complete {
        /// What lies before this time was wanted.
        before: Timestamp,
    },
}

/// A history cannot be kept as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// There is one of this name.
    #[error("there is an unsigned history `{0}` already; delete it first, or choose another name")]
    Exists(String),
    /// There is none of this name.
    #[error("there is no unsigned history `{0}`")]
    Unknown(String),
    /// The name was begun with another end.
    #[error(
        "the unsigned history `{name}` was begun with what lies before {before}; leave out the \
         time to go on with it, or delete it first"
    )]
    OtherBound {
        /// The history.
        name: String,
        /// What it was begun with.
        before: Timestamp,
    },
    /// Some observations are such that peers could not be told of them.
    #[error("the observations at {time} cannot be kept: {flaw}")]
    Flaw {
        /// When.
        time: Timestamp,
        /// What is wrong.
        flaw: &'static str,
    },
    /// It is as long as one may be.
    #[error(
        "an unsigned history may have {MAX_UNSIGNED_HISTORY_BYTES} bytes, and there would be more"
    )]
    TooLong,
    /// There are as many as there may be.
    #[error("there are {MAX_UNSIGNED_HISTORIES} unsigned histories already; delete some")]
    TooMany,
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Kept {
    /// Whether peers may be told of it. Not before it is whole; and not if one
    /// peer alone vouches for a part of it, because that peer would have two
    /// voices then.
    #[must_use]
    pub fn is_told(&self) -> bool {
        match self.state {
            State::Imported => true,
            State::Complete { .. } => self.extent.on_one_word == 0,
            State::Importing | State::Asking { .. } => false,
        }
    }

    /// Whether peers were asked and nothing came of it: such a one may be begun
    /// in another way.
    fn is_vain(&self) -> bool {
        matches!(self.state, State::Asking { .. }) && self.extent.observations == 0
    }

    fn encode(&self) -> Vec<u8> {
        let (state, before, next) = match self.state {
            State::Importing => (1, 0, 0),
            State::Imported => (2, 0, 0),
            State::Asking { before, next } => (3, before.0, next.0),
            State::Complete { before } => (4, before.0, 0),
        };
        let (earliest, latest) = self.extent.times.unwrap_or_default();
        let stored = v1::StoredHistory {
            name: self.name.as_str().to_owned(),
            state,
            before_us: before,
            next_us: next,
            observations: self.extent.observations,
            earliest_us: earliest.0,
            latest_us: latest.0,
            on_one_word: self.extent.on_one_word,
            bytes: self.extent.bytes,
        };
        stored.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged("what says of an unsigned history".to_owned());
        let stored = v1::StoredHistory::decode(bytes).map_err(|_| damaged())?;
        let before = Timestamp(stored.before_us);
        let next = Timestamp(stored.next_us);
        let times = (Timestamp(stored.earliest_us), Timestamp(stored.latest_us));
        Ok(Self {
            name: HistoryName::new(&stored.name).map_err(|_| damaged())?,
            extent: Extent {
                observations: stored.observations,
                on_one_word: stored.on_one_word,
                bytes: stored.bytes,
                times: (stored.observations > 0).then_some(times),
            },
            state: match stored.state {
                1 => State::Importing,
                2 => State::Imported,
                3 => State::Asking { before, next },
                4 => State::Complete { before },
                _ => return Err(damaged()),
            },
        })
    }

    fn put(&self, batch: &mut Batch) {
        batch.put(Table::Unsigned, history_key(self.name.id()), self.encode());
    }
}

impl Extent {
    fn add(&mut self, group: &Group) -> Result<(), KeepError> {
        let time = group.time;
        let (earliest, latest) = self.times.unwrap_or((time, time));
        self.times = Some((earliest.min(time), latest.max(time)));
        self.observations += group.values.len() as u64;
        let bytes = |value: &Bytes| value.len() as u64 + 8;
        self.bytes += group.values.iter().map(bytes).sum::<u64>();
        match self.bytes <= MAX_UNSIGNED_HISTORY_BYTES {
            true => Ok(()),
            false => Err(KeepError::TooLong),
        }
    }
}

fn history_key(id: HistoryId) -> Vec<u8> {
    [&[HISTORIES][..], &id.0].concat()
}

/// Later times have smaller keys, so that reading forward leads back in time.
fn row_key(id: HistoryId, time: Timestamp, place: u32) -> Vec<u8> {
    let time = time.sortable().map(|byte| !byte);
    [&[ROWS][..], &id.0, &time, &place.to_be_bytes()].concat()
}

fn time_of(key: &[u8]) -> Option<Timestamp> {
    let time = <[u8; 8]>::try_from(key.get(33..41)?).ok()?;
    let sortable = u64::from_be_bytes(time.map(|byte| !byte));
    Some(Timestamp((sortable ^ (1 << 63)).cast_signed()))
}

/// Behind every row of a history.
fn rows_end(id: HistoryId) -> Vec<u8> {
    [&[ROWS][..], &id.0, &[0xff; 13]].concat()
}

/// All histories, by id; one that is being imported is not there yet.
///
/// # Errors
/// The disk cannot be read.
pub fn list<S: Store + ?Sized>(store: &S) -> Result<Vec<Kept>, StoreError> {
    let mut found = Vec::new();
    let mut outcome = Ok(());
    store.scan(Table::Unsigned, &[HISTORIES], &[ROWS], &mut |_, value| {
        match Kept::decode(value) {
            Ok(kept) if kept.state == State::Importing => {}
            Ok(kept) => found.push(kept),
            Err(error) => outcome = Err(error),
        }
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    outcome.map(|()| found)
}

/// One of them.
///
/// # Errors
/// The disk cannot be read.
pub fn find<S: Store + ?Sized>(store: &S, id: HistoryId) -> Result<Option<Kept>, StoreError> {
    let kept = stored(store, id)?;
    Ok(kept.filter(|kept| kept.state != State::Importing))
}

fn stored<S: Store + ?Sized>(store: &S, id: HistoryId) -> Result<Option<Kept>, StoreError> {
    let row = store.get(Table::Unsigned, &history_key(id))?;
    row.map(|bytes| Kept::decode(&bytes)).transpose()
}

/// Deletes a history with all that there is of it; what it was.
///
/// # Errors
/// There is none, or the disk fails.
pub fn delete<S: Store + ?Sized>(store: &S, name: &HistoryName) -> Result<Kept, KeepError> {
    let kept = find(store, name.id())?;
    let kept = kept.ok_or_else(|| KeepError::Unknown(name.to_string()))?;
    store.commit(without(name.id()), Durability::Synced)?;
    Ok(kept)
}

fn without(id: HistoryId) -> Batch {
    let mut batch = Batch::new();
    batch.delete(Table::Unsigned, history_key(id));
    let first = row_key(id, Timestamp(i64::MAX), 0);
    batch.delete_range(Table::Unsigned, first, rows_end(id));
    batch
}

fn check_room<S: Store + ?Sized>(store: &S) -> Result<(), KeepError> {
    match list(store)?.len() < MAX_UNSIGNED_HISTORIES {
        true => Ok(()),
        false => Err(KeepError::TooMany),
    }
}

/// A file that becomes a history. What was pushed is gone again unless
/// [`Import::finish`] succeeds.
pub struct Import<'a, S: Store + ?Sized> {
    store: &'a S,
    kept: Kept,
    batch: Batch,
    batch_bytes: usize,
    next_place: u32,
    is_finished: bool,
}

impl<'a, S: Store + ?Sized> Import<'a, S> {
    /// Begins a history.
    ///
    /// # Errors
    /// There is one of this name, or the disk fails.
    pub fn begin(store: &'a S, name: HistoryName) -> Result<Self, KeepError> {
        if find(store, name.id())?.is_some_and(|kept| !kept.is_vain()) {
            return Err(KeepError::Exists(name.to_string()));
        }
        check_room(store)?;
        let kept = Kept {
            name,
            extent: Extent::default(),
            state: State::Importing,
        };
        // A crash may have left a part of one behind.
        let mut batch = without(kept.name.id());
        kept.put(&mut batch);
        store.commit(batch, Durability::Written)?;
        Ok(Self {
            store,
            kept,
            batch: Batch::new(),
            batch_bytes: 0,
            next_place: 0,
            is_finished: false,
        })
    }

    /// Takes the next observation of the file.
    ///
    /// # Errors
    /// Nobody may keep such a value, or the disk fails.
    pub fn push(&mut self, time: Timestamp, value: Bytes) -> Result<(), KeepError> {
        let values = vec![value];
        let mut group = Group { time, values };
        if let Some(flaw) = group.flaw() {
            return Err(KeepError::Flaw { time, flaw });
        }
        let place = self.next_place;
        self.next_place = place.checked_add(1).ok_or(KeepError::Flaw {
            time,
            flaw: "more rows than a history may have",
        })?;
        self.batch_bytes += group.cost();
        self.kept.extent.add(&group)?;
        let key = row_key(self.kept.name.id(), time, place);
        let value = group.values.pop().unwrap_or_default();
        self.batch.put(Table::Unsigned, key, value);
        if self.batch_bytes >= BATCH_BYTES {
            self.batch_bytes = 0;
            let batch = std::mem::take(&mut self.batch);
            self.store.commit(batch, Durability::Written)?;
        }
        Ok(())
    }

    /// Makes it a history, durably.
    ///
    /// # Errors
    /// Too much of it has one time, or the disk fails.
    pub fn finish(mut self) -> Result<Kept, KeepError> {
        let batch = std::mem::take(&mut self.batch);
        self.store.commit(batch, Durability::Written)?;
        let mut flaw = None;
        let id = self.kept.name.id();
        visit_groups(self.store, id, Timestamp(i64::MAX), None, &mut |group| {
            flaw = group.flaw().map(|flaw| (group.time, flaw));
            match flaw {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            }
        })?;
        if let Some((time, flaw)) = flaw {
            return Err(KeepError::Flaw { time, flaw });
        }
        self.kept.state = State::Imported;
        let mut batch = Batch::new();
        self.kept.put(&mut batch);
        self.store.commit(batch, Durability::Synced)?;
        self.is_finished = true;
        Ok(self.kept.clone())
    }
}

impl<S: Store + ?Sized> Drop for Import<'_, S> {
    fn drop(&mut self) {
        if !self.is_finished {
            // If this fails, too, it goes when it is imported again; until then
            // nobody sees it.
            let batch = without(self.kept.name.id());
            let _ = self.store.commit(batch, Durability::Written);
        }
    }
}

/// A walk's history, and from where it goes on. One that is not there is begun
/// with what lies before `before`, or else before `now`.
///
/// # Errors
/// It was imported, or begun with another end, or the disk fails.
pub fn begin_walk<S: Store + ?Sized>(
    store: &S,
    name: &HistoryName,
    before: Option<Timestamp>,
    now: Timestamp,
) -> Result<Kept, KeepError> {
    match find(store, name.id())?.filter(|kept| !kept.is_vain()) {
        None => check_room(store)?,
        Some(kept) => {
            let (State::Asking { before: bound, .. } | State::Complete { before: bound }) =
                kept.state
            else {
                return Err(KeepError::Exists(name.to_string()));
            };
            return match before {
                Some(before) if before != bound => Err(KeepError::OtherBound {
                    name: name.to_string(),
                    before: bound,
                }),
                Some(_) | None => Ok(kept),
            };
        }
    }
    let before = before.unwrap_or(now);
    let kept = Kept {
        name: name.clone(),
        extent: Extent::default(),
        state: State::Asking {
            before,
            next: before,
        },
    };
    let mut batch = without(name.id());
    kept.put(&mut batch);
    store.commit(batch, Durability::Written)?;
    Ok(kept)
}

/// Stores what was agreed on together with the place from which it goes on.
///
/// # Errors
/// The disk fails, or there is too much of it; nothing of it is stored then.
pub fn append<S: Store + ?Sized>(
    store: &S,
    kept: &mut Kept,
    agreed: &Agreed,
) -> Result<(), KeepError> {
    let State::Asking { before, .. } = kept.state else {
        return Ok(());
    };
    let mut batch = Batch::new();
    let id = kept.name.id();
    let mut extent = kept.extent;
    for group in &agreed.groups {
        for (place, value) in (0..).zip(&group.values) {
            let key = row_key(id, group.time, place);
            batch.put(Table::Unsigned, key, value.clone());
        }
        extent.add(group)?;
    }
    if agreed.on_one_word {
        extent.on_one_word += extent.observations - kept.extent.observations;
    }
    let next = Kept {
        name: kept.name.clone(),
        extent,
        state: match agreed.is_beginning {
            false => State::Asking {
                before,
                next: agreed.next,
            },
            true => State::Complete { before },
        },
    };
    next.put(&mut batch);
    // Nothing is said to be complete that the loss of power could take away.
    let durability = match agreed.is_beginning {
        true => Durability::Synced,
        false => Durability::Written,
    };
    store.commit(batch, durability)?;
    *kept = next;
    Ok(())
}

/// Answers a peer.
///
/// # Errors
/// The disk cannot be read.
pub fn answer<S: Store + ?Sized>(store: &S, question: &Question) -> Result<Answer, StoreError> {
    let unknown = Answer::Refused(Refusal::Unknown);
    let Some(kept) = find(store, question.history)?.filter(Kept::is_told) else {
        return Ok(unknown);
    };
    // What came after the time that we asked for is not known here.
    if let State::Complete { before } = kept.state
        && question.before > before
    {
        return Ok(unknown);
    }
    let wanted = question.groups.min(MAX_ANSWERED_GROUPS);
    let mut groups = Vec::new();
    let mut cost = 0;
    let mut is_beginning = true;
    let mut take = |group: Group| {
        cost += group.cost();
        if groups.len() >= wanted || cost > MAX_OBSERVATIONS_BYTES {
            is_beginning = false;
            return ControlFlow::Break(());
        }
        groups.push(group);
        ControlFlow::Continue(())
    };
    // Nothing lies before the beginning of time.
    if let Some(latest) = question.before.0.checked_sub(1).map(Timestamp) {
        visit_groups(store, question.history, latest, None, &mut take)?;
    }
    Ok(Answer::Groups {
        groups,
        is_beginning,
    })
}

/// Visits a history from its beginning.
///
/// # Errors
/// The disk cannot be read, or `visit` fails.
pub fn visit_from_beginning<S: Store + ?Sized, E: From<StoreError>>(
    store: &S,
    id: HistoryId,
    mut visit: impl FnMut(&Group) -> Result<(), E>,
) -> Result<(), E> {
    let mut marks = Vec::new();
    let mut seen = 0;
    visit_groups(store, id, Timestamp(i64::MAX), None, &mut |group| {
        if seen % GROUPS_PER_MARK == 0 {
            marks.push(group.time);
        }
        seen += 1;
        ControlFlow::Continue(())
    })?;
    // From each mark, which is the latest time of its part, back to the next.
    let mut down_to = None;
    for mark in marks.into_iter().rev() {
        let mut part = Vec::new();
        visit_groups(store, id, mark, down_to, &mut |group| {
            part.push(group);
            ControlFlow::Continue(())
        })?;
        for group in part.iter().rev() {
            visit(group)?;
        }
        down_to = Some(mark);
    }
    Ok(())
}

/// Visits the groups up to a time, the latest first, down to those after another
/// one.
fn visit_groups<S: Store + ?Sized>(
    store: &S,
    id: HistoryId,
    latest: Timestamp,
    after: Option<Timestamp>,
    visit: &mut dyn FnMut(Group) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let from = row_key(id, latest, 0);
    let to = after.map_or_else(|| rows_end(id), |after| row_key(id, after, 0));
    let mut group: Option<Group> = None;
    let mut is_damaged = false;
    let mut flow = ControlFlow::Continue(());
    store.scan(Table::Unsigned, &from, &to, &mut |key, value| {
        let Some(time) = time_of(key) else {
            is_damaged = true;
            return ControlFlow::Break(());
        };
        let value = Bytes::copy_from_slice(value);
        match &mut group {
            Some(group) if group.time == time => group.values.push(value),
            other => {
                let values = vec![value];
                if let Some(whole) = other.replace(Group { time, values }) {
                    flow = visit(whole);
                }
            }
        }
        flow
    })?;
    if is_damaged {
        let what = "a row of an unsigned history has no time".to_owned();
        return Err(StoreError::Damaged(what));
    }
    if let (ControlFlow::Continue(()), Some(last)) = (flow, group) {
        let _ = visit(last);
    }
    Ok(())
}
