//! Our own logs: created, appended to, made durable, then signed and announced.

use bytes::{Bytes, BytesMut};
use prost::Message;

use super::log_state::{LogState, put_log};
use super::repeats::{Known, RequestKey};
use super::rows::put_head;
use super::trees::frontier;
use super::{CommandError, Engine, Mark, Output, Reply};
use crate::head::SignedHead;
use crate::id::{LogId, Topic};
use crate::kind::Unfit;
use crate::limits::{
    MAX_ANNOUNCED_RECORD_BYTES, MAX_PUBLISH_BYTES, MAX_PUBLISH_RECORDS, REPEAT_US,
};
use crate::log::{Announcement, Appender};
use crate::manifest::{Manifest, SignedManifest};
use crate::merkle::{CompactRange, Hash};
use crate::ranges::Interval;
use crate::record::{Record, put_record};
use crate::store::{Batch, Durability, History, ReadError, Store, StoreError};
use crate::time::Timestamp;
use crate::wire::v1;

/// Records of one stream that wait for the next commit, and who waits with them.
#[derive(Debug, Default)]
pub(super) struct Staged {
    records: Vec<Record>,
    bytes: usize,
    waiting: Vec<(u64, Interval)>,
    /// What names some of the publishes, and the records of each.
    requests: Vec<(RequestKey, Interval)>,
}

impl Staged {
    /// The commands that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u64> {
        self.waiting.iter().map(|&(id, _)| id)
    }
}

impl<S: Store> Engine<S> {
    pub(super) fn create(
        &mut self,
        manifest: &Manifest,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        let manifest = manifest.sign(&self.key)?;
        self.create_signed(manifest, now)
    }

    /// Begins a stream whose manifest our key has signed.
    pub(super) fn create_signed(
        &mut self,
        manifest: SignedManifest,
        now: Timestamp,
    ) -> Result<Reply, CommandError> {
        let log = manifest.stream();
        if manifest.publisher != self.key.public() {
            return Err(CommandError::NotOwner(log));
        }
        match self.logs.get(&log) {
            Some(state) if state.is_ours() => return Ok(Reply::Created(log)),
            Some(_) => {
                // Begun anew, it would be another tree under the same name.
                let why = "it was created elsewhere, and is only followed here";
                return Err(CommandError::NotOpen(why.to_owned()));
            }
            None if self.deletions.is_deleted(log) => {
                self.revive(log, now)?;
                return Ok(Reply::Created(log));
            }
            None => {}
        }
        let mut batch = Batch::new();
        let mut state = LogState::new(self.take_number(&mut batch));
        state.set_manifest(manifest);
        state.follow();
        state.own();
        let appender = Appender::new(CompactRange::empty(0));
        let head = appender.head(log, self.time(now)).sign(&self.key);
        state.open(appender);
        put_log(&mut batch, log, &state);
        put_head(&mut batch, state.number(), &head);
        state.set_adopted(head.clone());
        state.renew_head_at(now.plus(state.renewal_us()));
        self.store.commit(batch, Durability::Synced)?;
        self.logs.insert(log, state);
        self.signed(log, &head);
        self.subscribe(log);
        self.changed.insert(log);
        Ok(Reply::Created(log))
    }

    /// Checks records and lets them wait for the commit.
    pub(super) fn stage(
        &mut self,
        id: u64,
        log: LogId,
        records: Vec<Record>,
        expect_size: Option<u64>,
    ) -> Result<(), CommandError> {
        let state = (self.logs.get(&log)).ok_or(CommandError::UnknownStream(log))?;
        let (Some(appender), Some(manifest)) = (state.appender(), state.manifest()) else {
            return Err(self.why_stopped(log));
        };
        if !state.is_writable() {
            return Err(self.why_stopped(log));
        }
        self.require_no_end(log)?;
        let max = MAX_PUBLISH_RECORDS;
        if records.len() > max {
            let records = records.len();
            return Err(CommandError::TooMany { records, max });
        }
        let max = MAX_PUBLISH_BYTES;
        let bytes: usize = records.iter().map(|record| record.as_bytes().len()).sum();
        if bytes > max {
            return Err(CommandError::TooLong { bytes, max });
        }
        let staged = self.staged.get(&log).map_or(0, |s| s.records.len() as u64);
        let from = appender.size() + staged;
        if let Some(expected) = expect_size.filter(|&expected| expected != from) {
            let found = from;
            return Err(CommandError::Size { found, expected });
        }
        if let Some(&newer) = manifest.too_new() {
            return Err(CommandError::TooNew { log, newer });
        }
        let Some(rules) = manifest.kind.rules() else {
            let why = "nothing is written to a log of its kind by hand";
            return Err(CommandError::NotOpen(why.to_owned()));
        };
        let mut last = match manifest.ordered {
            true => self.last_time(log, from)?,
            false => None,
        };
        for (place, record) in records.iter().enumerate() {
            let time = record.time();
            match rules.check(manifest.terms(), record, last) {
                Ok(()) => last = Some(time),
                Err(Unfit::Value(why)) => return Err(CommandError::Value { place, why }),
                Err(Unfit::Before(last)) => {
                    return Err(CommandError::Backwards { place, time, last });
                }
            }
        }
        self.require_room(bytes)?;
        let to = from + records.len() as u64;
        let staged = self.staged.entry(log).or_default();
        staged.waiting.push((id, Interval { from, to }));
        staged.records.extend(records);
        staged.bytes += bytes;
        Ok(())
    }

    /// The time of the last of `size` records, of which some may wait for the
    /// commit.
    fn last_time(&self, log: LogId, size: u64) -> Result<Option<Timestamp>, CommandError> {
        let staged = self.staged.get(&log).and_then(|one| one.records.last());
        if let Some(record) = staged {
            return Ok(Some(record.time()));
        }
        let state = self.logs.get(&log);
        let (Some(last), Some(key)) = (size.checked_sub(1), state.and_then(LogState::key)) else {
            return Ok(None);
        };
        match History::new(&self.store, key).record(last) {
            Ok(record) => Ok(Some(record.time())),
            Err(ReadError::NotHeld(_)) => Err(CommandError::NotOpen(
                "its times are ordered, and its last record, which tells what comes behind it, is \
                 damaged here; it is asked of peers"
                    .to_owned(),
            )),
            Err(ReadError::Store(error)) => Err(error.into()),
        }
    }

    /// As [`stage`](Self::stage), unless the same was staged or done before: then
    /// its answer is waited for, or returned.
    pub(super) fn stage_once(
        &mut self,
        id: u64,
        log: LogId,
        records: Vec<Record>,
        expect_size: Option<u64>,
        request: RequestKey,
        now: Timestamp,
    ) -> Result<Option<Interval>, CommandError> {
        let state = (self.logs.get(&log)).ok_or(CommandError::UnknownStream(log))?;
        let time = self.clock.age_time(REPEAT_US, now);
        match self.repeats.known(state.number(), &request, time) {
            Known::Done(interval) => return Ok(Some(interval)),
            Known::Other => return Err(CommandError::Repeated),
            Known::New => {}
        }
        let staged = self.staged.get_mut(&log);
        if let Some((staged, (earlier, interval))) = staged.and_then(|staged| {
            let same = |(key, _): &&(RequestKey, Interval)| key.name == request.name;
            let found = staged.requests.iter().find(same).copied();
            Some((staged, found?))
        }) {
            if earlier.content != request.content {
                return Err(CommandError::Repeated);
            }
            staged.waiting.push((id, interval));
            return Ok(None);
        }
        self.stage(id, log, records, expect_size)?;
        if let Some(staged) = self.staged.get_mut(&log)
            && let Some(&(_, interval)) = staged.waiting.last()
        {
            staged.requests.push((request, interval));
        }
        Ok(None)
    }

    /// Bytes of the records that wait for a commit.
    #[must_use]
    pub fn staged_bytes(&self) -> usize {
        self.staged.values().map(|staged| staged.bytes).sum()
    }

    /// One sync of the disk for everything that was staged; then heads are
    /// signed, and only then is anybody told.
    pub(super) fn commit_published(&mut self, now: Timestamp) {
        if self.staged.is_empty() {
            return;
        }
        self.room.take(self.staged_bytes());
        let mut staged = std::mem::take(&mut self.staged);
        let mut batch = Batch::new();
        let mut grown = Vec::new();
        let mut failure = None;
        let mut damaged = Vec::new();
        for (&log, staged) in &staged {
            match self.append_around_damage(log, staged, now, &mut batch) {
                Ok(prefix) => grown.push((log, prefix)),
                Err(error @ StoreError::Damaged(_)) => damaged.push((log, error)),
                Err(error) => failure = Some(error),
            }
        }
        // Nothing of these was written: the others do not wait for them.
        for (log, error) in damaged {
            let alone = staged.remove_entry(&log).into_iter().collect();
            self.refuse(&alone, &error);
        }
        let result = match failure {
            Some(error) => Err(error),
            None => self.store.commit(batch, Durability::Synced),
        };
        match result {
            Ok(()) => {
                let records = staged.values().map(|staged| staged.records.len() as u64);
                self.outputs.counters.published += records.sum::<u64>();
                self.announce(&staged, grown, now);
            }
            Err(error) => self.refuse(&staged, &error),
        }
    }

    /// As [`append`](Self::append). What is damaged of the chunk that the records
    /// belong to is not needed for it.
    fn append_around_damage(
        &mut self,
        log: LogId,
        staged: &Staged,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<CompactRange, StoreError> {
        let state = self.logs.get(&log);
        let before = state.and_then(LogState::appender).cloned();
        match self.append(log, staged, now, batch) {
            Err(StoreError::Damaged(_)) => {}
            done => return done,
        }
        if let (Some(state), Some(before)) = (self.logs.get_mut(&log), before) {
            state.open(before);
        }
        self.mend_end(log, now)?;
        self.append(log, staged, now, batch)
    }

    /// Appends the records of one log to its tree and puts them into the batch;
    /// returns the compact range below them.
    fn append(
        &mut self,
        log: LogId,
        staged: &Staged,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<CompactRange, StoreError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Err(closed());
        };
        let number = state.number();
        let Some(appender) = state.appender_mut() else {
            return Err(closed());
        };
        let prefix = appender.frontier().clone();
        let leaves: Vec<Hash> = staged.records.iter().map(Record::leaf).collect();
        let nodes = appender.append(leaves.iter().copied());
        let Some(mut admission) = state.admission(&self.store) else {
            return Err(closed());
        };
        (admission.put_records(prefix.end(), &staged.records, &leaves)).map_err(store_error)?;
        admission.put_nodes(&nodes);
        batch.append(admission.finish());
        let time = self.clock.memory_time(now);
        for (request, interval) in &staged.requests {
            (self.repeats).put(number, request, *interval, time, batch);
        }
        Ok(prefix)
    }

    fn announce(
        &mut self,
        staged: &std::collections::BTreeMap<LogId, Staged>,
        grown: Vec<(LogId, CompactRange)>,
        now: Timestamp,
    ) {
        let mut batch = Batch::new();
        for (log, prefix) in grown {
            let Some(head) = self.sign_head(log, now, &mut batch) else {
                continue;
            };
            let Some(appender) = self.logs.get(&log).and_then(LogState::appender) else {
                continue;
            };
            let whole = appender.frontier();
            let mut records = BytesMut::new();
            for record in &staged[&log].records {
                put_record(&mut records, record.as_bytes());
                if records.len() > MAX_ANNOUNCED_RECORD_BYTES {
                    break;
                }
            }
            let data = Announcement::encode(&head, &prefix, &records.freeze(), whole);
            self.outputs
                .push_back(Output::Publish(Topic::Data(log), data));
            for &(id, interval) in &staged[&log].waiting {
                let reply = Ok(Reply::Published(interval));
                self.outputs.push_back(Output::Reply(id, reply));
            }
        }
        // A head that is lost is signed again when the log is opened.
        if let Err(error) = self.store.commit(batch, Durability::Written) {
            for &log in staged.keys() {
                self.store_failed(log, &ReadError::Store(error.clone()));
            }
            return;
        }
        for &log in staged.keys() {
            self.keep_past_head(log, now);
        }
    }

    /// Signs the head of our own log as it is, if it is open for writing. Its records
    /// are durable.
    pub(super) fn sign_head(
        &mut self,
        log: LogId,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Option<SignedHead> {
        let time = self.head_time(self.logs.get(&log)?, now);
        let state = self.logs.get_mut(&log)?;
        let head = state.appender()?.head(log, time).sign(&self.key);
        put_head(batch, state.number(), &head);
        state.is_safe_as_signed(head.size);
        state.set_adopted(head.clone());
        state.renew_head_at(now.plus(state.renewal_us()));
        self.changed.insert(log);
        self.signed(log, &head);
        Some(head)
    }

    /// Has it noted outside of the store what was signed.
    pub(super) fn signed(&mut self, log: LogId, head: &SignedHead) {
        self.outputs.push_back(Output::Signed(log, Mark::of(head)));
    }

    /// After a failed write or sync nobody knows what is on the disk, so the
    /// logs are stopped until it was read back: an owner must never sign two
    /// trees.
    fn refuse(&mut self, staged: &std::collections::BTreeMap<LogId, Staged>, error: &StoreError) {
        for (&log, staged) in staged {
            self.store_failed(log, &ReadError::Store(error.clone()));
            for &(id, _) in &staged.waiting {
                let reply = Err(CommandError::Store(error.clone()));
                self.outputs.push_back(Output::Reply(id, reply));
            }
            if let Some(state) = self.logs.get(&log) {
                for (request, _) in &staged.requests {
                    self.repeats.forget(state.number(), request);
                }
            }
            self.reload_held(log);
        }
    }

    /// Reads from the store what is held, after a commit failed.
    pub(super) fn reload_held(&mut self, log: LogId) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if let Err(error) = state.reload_held(&self.store) {
            self.store_failed(log, &ReadError::Store(error));
        }
    }

    /// Signs the head of a log of ours whose last one gets old.
    pub(super) fn renew_head(&mut self, log: LogId, now: Timestamp) {
        let is_due = |state: &LogState| state.renewal_due().is_some_and(|at| at <= now);
        if !self.logs.get(&log).is_some_and(is_due) {
            return;
        }
        let mut batch = Batch::new();
        let Some(head) = self.sign_head(log, now, &mut batch) else {
            return;
        };
        if let Err(error) = self.store.commit(batch, Durability::Written) {
            return self.store_failed(log, &ReadError::Store(error));
        }
        self.publish_head(log, &head);
    }

    /// Tells all who follow a log of its head, without records.
    pub(super) fn publish_head(&mut self, log: LogId, head: &SignedHead) {
        let meta = v1::Meta {
            body: Some(v1::meta::Body::Head(head.to_wire())),
        };
        let data = Bytes::from(meta.encode_to_vec());
        self.outputs
            .push_back(Output::Publish(Topic::Meta(log), data));
    }

    /// After a crash, records may be durable whose head was never stored.
    /// Nobody was told of another tree of that size: the announcement comes
    /// after the sync, and the tree of the same records is the same.
    pub(super) fn sign_what_a_crash_left(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        let ours: Vec<_> = (self.logs.iter())
            .filter(|(_, state)| state.is_open() && !state.is_limited())
            .map(|(log, _)| log)
            .collect();
        let is_unsigned = |log: &LogId| {
            let state = &self.logs[log];
            let here = state.appender().map_or(0, Appender::size);
            state.adopted().is_none() || state.grows() && state.size() < here
        };
        if ours.iter().any(is_unsigned) {
            // Peers may ask for the head as soon as it is signed, also if the disk
            // refuses what is written from here on.
            self.store.commit(Batch::new(), Durability::Synced)?;
        }
        for log in ours {
            self.sign_what_is_here(log, now, &mut batch)?;
        }
        self.store.commit(batch, Durability::Synced)
    }

    /// Signs the records of our own log that no head was signed for, if what was
    /// signed last is the tree that they begin with.
    pub(super) fn sign_what_is_here(
        &mut self,
        log: LogId,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        let (Some(key), Some(appender)) = (state.key(), state.appender()) else {
            return Ok(());
        };
        let (signed, here, last) = (state.size(), appender.size(), state.adopted().cloned());
        if signed > here {
            let why = format!(
                "a head of {signed} records was signed, but only {here} are stored; restart \
                               the node, which then asks its followers for the others"
            );
            state.stop_for_good(why);
            return Ok(());
        }
        if let Some(last) = &last {
            let tree = frontier(&History::new(&self.store, key), signed)?;
            if tree.root() != Some(last.root) {
                let why =
                    "its records do not hash to the head that was signed; restart the node, which \
                           then reads them anew"
                        .to_owned();
                state.stop_for_good(why);
                return Ok(());
            }
        }
        if (signed < here && state.closing().is_none()) || last.is_none() {
            self.sign_head(log, now, batch);
        }
        let time = self.time(now);
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        state.is_safe_as_signed(state.size());
        let age = state.adopted().map_or(0, |head| time.since(head.time));
        state.renew_head_at(now.plus(state.renewal_us().saturating_sub(age)));
        // Its note may be missing, or older.
        if let Some(head) = state.signed_head().cloned() {
            self.signed(log, &head);
        }
        Ok(())
    }
}

/// Nothing is appended to a log that is not open for writing any more.
fn closed() -> StoreError {
    StoreError::Damaged("the stream is not open for writing any more".to_owned())
}

fn store_error(error: ReadError) -> StoreError {
    match error {
        ReadError::Store(error) => error,
        ReadError::NotHeld(index) => {
            StoreError::Damaged(format!("record {index} of our own log is missing"))
        }
    }
}
