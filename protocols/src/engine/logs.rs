//! What the engine knows of each log, and how it comes back from the store.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use super::agenda::Agenda;
use super::clock::ClockGap;
use super::dispute::FORKED;
use super::echo::Echo;
use super::followers::Followers;
use super::fork_search::Search;
use super::recovery::{Mark, Recovery, Start};
use super::repeats::Repeats;
use super::retention::Kept;
use super::salvage::{Lost, Rows};
use super::stopping::Stopped;
use super::{Engine, LogStatus, Output, Settings};
use crate::head::{SignedHead, Tree, UnverifiedHead};
use crate::id::{LogId, Topic};
use crate::identity::PublicKey;
use crate::limits::{
    BUSY_HEAD_POLL_US, HEAD_POLL_US, HEAD_RENEWAL_US, MAX_HEAD_POLL_US, MAX_INTERVALS,
    MAX_RECENT_HEADS, MAX_SOURCES, REQUEST_TIMEOUT_US,
};
use crate::log::{Appender, ForkProof};
use crate::manifest::{SignedManifest, UnverifiedManifest};
use crate::merkle::{CompactRange, MAX_LEVEL, Nodes, cover};
use crate::ranges::IntervalSet;
use crate::store::audit::readable;
use crate::store::tables::{HeadKind, NEXT_NUMBER, head_key};
use crate::store::{Batch, Durability, History, LogKey, Store, StoreError, Table};
use crate::sync::scheduler::{Order, Scheduler};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::stored_log::Recovering as Stored;

/// One log.
#[derive(Debug)]
pub(super) struct LogState {
    pub(super) number: u32,
    pub(super) manifest: Option<SignedManifest>,
    pub(super) followed: bool,
    pub(super) peers: Vec<String>,
    pub(super) adopted: Option<SignedHead>,
    /// The trees of the adopted head and of those before it, by size: what
    /// offers are checked against. Of a forked log, only what is not disputed.
    pub(super) recent: BTreeMap<u64, Tree>,
    pub(super) held: IntervalSet,
    /// What was held and is not any more, because the disk has damaged it.
    pub(super) damaged: IntervalSet,
    /// What else of it was damaged, in words, until it is right again.
    pub(super) unreadable: Option<String>,
    /// Where what is kept of it begins.
    pub(super) kept: Kept,
    pub(super) fork: Option<Box<ForkProof>>,
    /// Of a forked log: records from the beginning on that are not disputed.
    pub(super) undisputed: u64,
    /// How often a fork proof was replaced by one that says more.
    pub(super) improved: u32,
    /// The search for what both branches begin with.
    pub(super) search: Option<Search>,
    /// It was searched for what both branches begin with.
    pub(super) searched: bool,
    /// Ours: written here and nowhere else.
    pub(super) owned: bool,
    /// Ours, but others may know more of it than is here.
    pub(super) recovery: Option<Recovery>,
    /// Ours: what was signed of it, as was known outside of the store at the
    /// start.
    pub(super) mark: Option<Mark>,
    /// Ours: who has had all of it.
    pub(super) followers: Followers,
    /// Why nothing more is written.
    pub(super) closed: Option<String>,
    /// Why nothing is written before the disk works again.
    pub(super) stopped: Option<Stopped>,
    /// How long it was waited, when it was stopped last, before it was read again.
    pub(super) reread_us: u64,
    /// Only of our own logs that are open for writing.
    pub(super) appender: Option<Appender>,
    /// When the head of our own log is signed again.
    pub(super) renew_at: Option<Timestamp>,
    pub(super) scheduler: Scheduler,
    /// An extension that was asked for and has not come.
    pub(super) extending: Option<PeerId>,
    pub(super) echo: Echo,
    /// Peers that did not show an extension, and until when others are asked.
    pub(super) failed_extensions: BTreeMap<PeerId, Timestamp>,
    /// A larger head was heard, and nobody has shown yet that it extends ours.
    pub(super) unproven: bool,
    /// The newest time of the largest heads that were heard.
    pub(super) heard: Option<Timestamp>,
    /// The size of these.
    pub(super) timed_size: u64,
    /// The largest size of a head that was heard.
    pub(super) heard_size: u64,
    /// How far its owner's clock is ahead of ours.
    pub(super) clock_gap: ClockGap,
    /// Time of the newest head with which everything was held here.
    pub(super) complete_at: Option<Timestamp>,
    /// Something was fetched since the others were told that all is here.
    pub(super) has_fetched: bool,
    /// When they were told last.
    pub(super) told_synced: Option<Timestamp>,
    /// Who has told us so, of a tree of which size.
    pub(super) told_by: BTreeMap<PeerId, u64>,
    pub(super) synced_size: u64,
    /// When a source is asked for its head again.
    pub(super) poll_at: Option<Timestamp>,
    /// How often one was asked: each time it is another's turn.
    pub(super) polls: usize,
}

impl LogState {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            manifest: None,
            followed: false,
            peers: Vec::new(),
            adopted: None,
            recent: BTreeMap::new(),
            held: IntervalSet::default(),
            damaged: IntervalSet::default(),
            unreadable: None,
            kept: Kept::default(),
            fork: None,
            undisputed: 0,
            improved: 0,
            search: None,
            searched: false,
            owned: false,
            recovery: None,
            mark: None,
            followers: Followers::default(),
            closed: None,
            stopped: None,
            reread_us: 0,
            appender: None,
            renew_at: None,
            scheduler: Scheduler::default(),
            extending: None,
            echo: Echo::default(),
            failed_extensions: BTreeMap::new(),
            unproven: false,
            heard: None,
            timed_size: 0,
            heard_size: 0,
            clock_gap: ClockGap::default(),
            complete_at: None,
            has_fetched: false,
            told_synced: None,
            told_by: BTreeMap::new(),
            synced_size: 0,
            poll_at: None,
            polls: 0,
        }
    }

    /// Takes the manifest, which says who publishes the log.
    pub(super) fn set_manifest(&mut self, manifest: SignedManifest) {
        self.scheduler.publisher = Some(manifest.publisher.peer_id());
        self.manifest = Some(manifest);
    }

    /// Where the rows are; not known before the manifest is.
    pub(super) fn key(&self) -> Option<LogKey> {
        self.manifest.as_ref().map(|manifest| LogKey {
            number: self.number,
            chunk_level: manifest.chunk_level,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.adopted.as_ref().map_or(0, |head| head.size)
    }

    /// Records that are wanted: what is not disputed up to the adopted head.
    pub(super) fn target(&self) -> u64 {
        match &self.fork {
            None => self.size(),
            Some(_) => self.undisputed,
        }
    }

    /// Records that are held without a gap from where what is kept begins.
    pub(super) fn held_size(&self) -> u64 {
        self.held.prefix(self.begin())
    }

    /// Records of a log of ours that are here: some may be missing below a tree
    /// that is whole.
    pub(super) fn here(&self) -> u64 {
        let size = self.appender.as_ref().map(Appender::size);
        size.unwrap_or_else(|| self.held_size())
    }

    /// Everything that is wanted is held.
    pub(super) fn is_complete(&self) -> bool {
        let target = self.target();
        self.adopted.is_some() && (target == 0 || self.held.contains(self.begin(), target))
    }

    /// Takes a head that was proved, and makes it the one that counts.
    pub(super) fn set_adopted(&mut self, head: SignedHead) {
        self.recent.insert(head.size, head.tree());
        if self.recent.len() > MAX_RECENT_HEADS {
            self.recent.pop_first();
        }
        self.note_time(&head);
        self.adopted = Some(head);
        self.unproven = false;
        self.failed_extensions.clear();
        self.begin_by_number();
    }

    /// Notes that a peer was asked for an extension and has answered or not:
    /// until a head is adopted it is not asked again for a while.
    pub(super) fn extension_failed(&mut self, peer: PeerId, now: Timestamp) {
        self.extending = None;
        self.failed_extensions.retain(|_, until| *until > now);
        if self.failed_extensions.len() < MAX_SOURCES {
            let until = now.plus(REQUEST_TIMEOUT_US);
            self.failed_extensions.insert(peer, until);
        }
    }

    /// Nothing more is written to this log.
    pub(super) fn close(&mut self, why: String) {
        self.closed.get_or_insert(why);
    }

    /// Whether anything may be written to it.
    pub(super) fn is_writable(&self) -> bool {
        self.closed.is_none() && self.stopped.is_none()
    }

    /// Whether records from peers are taken. Our own logs take some only while
    /// they are recovered.
    pub(super) fn takes(&self) -> bool {
        let is_writer = self.owned && self.recovery.is_none();
        self.followed && !is_writer && self.is_writable()
    }

    /// Whether heads from peers are taken: of a forked log, only until its tree
    /// reaches to where the branches part.
    pub(super) fn takes_heads(&self) -> bool {
        let wanted = (self.fork.as_ref()).is_none_or(|fork| self.size() < fork.common_size());
        self.takes() && wanted
    }

    /// Whether something is missing, or may be, and nobody is known who has it.
    pub(super) fn lacks_source(&self) -> bool {
        // Whoever knows more of it than its owner may be out of reach, too.
        let alone = (self.recovery.as_ref()).is_some_and(Recovery::knows_nobody);
        let lacks = alone || !self.is_complete();
        self.fetches() && lacks && !self.scheduler.is_supplied(&self.held, self.target())
    }

    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        if let Some(stopped) = &self.stopped {
            return stopped.retry_at;
        }
        let is_open = self.closed.is_none() && self.appender.is_some();
        let renew_at = self.renew_at.filter(|_| is_open);
        let polls = self.poll_at.into_iter().chain(self.echo.due);
        let poll_at = polls.min().filter(|_| self.fetches());
        let cool = self.scheduler.next_cool();
        let recovery = self.recovery.as_ref().and_then(Recovery::due);
        let followers = self.followers.due().filter(|_| is_open);
        let times = renew_at.into_iter().chain(cool).chain(poll_at);
        let times = times.chain(recovery).chain(followers);
        times.chain(self.kept.due()).min()
    }

    /// Whether a source may be asked again after a failure.
    pub(super) fn is_warm(&mut self, now: Timestamp) -> bool {
        let due = self.scheduler.next_cool().is_some_and(|at| at <= now);
        self.scheduler.warm(now);
        due
    }

    /// The sources and subscribers that are to be asked now: all of them while
    /// something is missing, otherwise one, in turn.
    pub(super) fn take_polls(
        &mut self,
        (now, time): (Timestamp, Timestamp),
        subscribers: impl FnOnce() -> Vec<PeerId>,
    ) -> Vec<PeerId> {
        if !self.fetches() || self.poll_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let sources = self.scheduler.sources().map(|(&peer, _)| peer);
        let mut peers: Vec<_> = sources.chain(subscribers()).collect();
        peers.sort_unstable();
        peers.dedup();
        if peers.is_empty() {
            self.poll_at = None;
            return peers;
        }
        if !self.is_complete() || self.unproven {
            self.poll_at = Some(now.plus(BUSY_HEAD_POLL_US));
            return peers;
        }
        self.poll_at = Some(now.plus(self.head_poll_us(time)));
        self.polls = self.polls.wrapping_add(1);
        vec![peers[self.polls % peers.len()]]
    }

    /// Microseconds until somebody is asked for the head again, when nothing is
    /// missing: a quarter of the time for which the log has been quiet, within
    /// bounds. What gossip has lost is then late by a quarter for each neighbour
    /// that is asked before one that has it. `time` is what our clock shows; its
    /// owner's may show another one.
    pub(super) fn head_poll_us(&self, time: Timestamp) -> u64 {
        let theirs = (time.0).saturating_add(self.clock_gap.ahead_us().unwrap_or(0));
        let quiet = (self.adopted.as_ref()).map_or(0, |head| Timestamp(theirs).since(head.time));
        (quiet / 4).clamp(HEAD_POLL_US, MAX_HEAD_POLL_US)
    }

    /// Microseconds after which the head of our own log is signed again.
    pub(super) fn renewal_us(&self) -> u64 {
        let cadence = self.manifest.as_ref().map_or(0, |m| m.cadence_us);
        cadence.max(HEAD_RENEWAL_US)
    }

    pub(super) fn status(&self, log: LogId, served_records: u64) -> LogStatus {
        LogStatus {
            log,
            manifest: self.manifest.clone(),
            key: self.key(),
            owned: self.owned,
            followed: self.followed,
            newest_first: self.scheduler.order == Order::NewestFirst,
            head: self.adopted.clone(),
            held: self.held.intervals().take(MAX_INTERVALS).collect(),
            held_records: self.held.len(),
            begin: self.begin(),
            synced_size: self.synced_size,
            served_records,
            sources: self.scheduler.sources().map(|(&peer, _)| peer).collect(),
            waits_for_room: false,
            holds_back: self.kept.holds_back(),
            clock_ahead_us: self.clock_gap.ahead_us(),
            lag: self.lag(),
            peers: self.peers.clone(),
            fork: self.fork.clone(),
            disputed_from: self.fork.as_ref().map(|_| self.undisputed),
            damage: self.damage(),
            closed: self.closed.clone(),
            stopped: (self.stopped.as_ref())
                .map(|stopped| (stopped.why.to_string(), stopped.since)),
            recovering: self.recovering(),
            known_followers: self.followers.known().len(),
        }
    }

    /// The row of [`Table::Logs`].
    pub(super) fn to_stored(&self) -> v1::StoredLog {
        v1::StoredLog {
            number: self.number,
            manifest: self.manifest.as_ref().map(SignedManifest::to_wire),
            followed: self.followed,
            peers: self.peers.clone(),
            newest_first: self.scheduler.order == Order::NewestFirst,
            owned: self.owned,
            recovering: (self.recovery.as_ref())
                .map_or(Stored::No, |recovery| recovery.to_stored(self.mark))
                .into(),
            deleted: false,
            followers: self.followers.to_stored(),
        }
    }
}

/// Every log that is known, and when each is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Logs {
    states: BTreeMap<LogId, LogState>,
    /// Logs that may have changed when they are due.
    touched: BTreeSet<LogId>,
    agenda: Agenda<LogId>,
}

impl Logs {
    pub(super) fn get(&self, log: &LogId) -> Option<&LogState> {
        self.states.get(log)
    }

    pub(super) fn get_mut(&mut self, log: &LogId) -> Option<&mut LogState> {
        self.touched.insert(*log);
        self.states.get_mut(log)
    }

    pub(super) fn insert(&mut self, log: LogId, state: LogState) {
        self.touched.insert(log);
        self.states.insert(log, state);
    }

    pub(super) fn remove(&mut self, log: &LogId) {
        self.touched.insert(*log);
        self.states.remove(log);
    }

    pub(super) fn take(&mut self, log: &LogId) -> Option<LogState> {
        self.touched.insert(*log);
        self.states.remove(log)
    }

    pub(super) fn contains_key(&self, log: &LogId) -> bool {
        self.states.contains_key(log)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = LogId> + '_ {
        self.states.keys().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LogId, &LogState)> {
        self.states.iter().map(|(&log, state)| (log, state))
    }

    /// All logs, for changes that make none due earlier.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LogId, &mut LogState)> {
        self.states.iter_mut().map(|(&log, state)| (log, state))
    }

    /// The logs that were touched since they were last rearmed.
    pub(super) fn touched(&self) -> Vec<LogId> {
        self.touched.iter().copied().collect()
    }

    /// Notes when the logs that were touched are due. Called after each input.
    pub(super) fn rearm(&mut self) {
        for log in std::mem::take(&mut self.touched) {
            let at = self.states.get(&log).and_then(LogState::next_timeout);
            self.agenda.set(log, at);
        }
    }

    /// When the next log is due.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        self.agenda.next()
    }

    /// The logs that are due.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<LogId> {
        let due = self.agenda.due(now);
        self.touched.extend(&due);
        due
    }
}

impl std::ops::Index<&LogId> for Logs {
    type Output = LogState;

    fn index(&self, log: &LogId) -> &LogState {
        &self.states[log]
    }
}

/// Writes the row of a log.
pub(super) fn put_log(batch: &mut Batch, log: LogId, state: &LogState) {
    batch.put(Table::Logs, log.0, state.to_stored().encode_to_vec());
}

/// Writes the adopted head of a log.
pub(super) fn put_head(batch: &mut Batch, number: u32, head: &SignedHead) {
    let key = head_key(number, HeadKind::Adopted);
    batch.put(Table::Heads, key, head.to_wire().encode_to_vec());
}

impl<S: Store> Engine<S> {
    /// Reads every log from the store. Our own logs are closed for writing until
    /// they are recovered where others may know more of them.
    pub(super) fn load(&mut self, settings: &Settings, now: Timestamp) -> Result<(), StoreError> {
        let start = Start {
            copied: settings.copied,
            lost: settings.lost.as_deref(),
            ended_badly: settings.ended_badly,
        };
        let lost_rows = settings.lost_rows;
        self.load_next_number(lost_rows)?;
        self.repeats = Repeats::load(&self.store)?;
        self.load_deletions(now)?;
        self.lost_rows = lost_rows;
        let Rows { rows, nameless, .. } = self.load_rows(lost_rows)?;
        for (log, row) in rows {
            if row.deleted {
                self.deletions.keep_tombstone(log, row);
                continue;
            }
            let (owned, stored) = (row.owned, row.recovering());
            let mut state = self.load_if_writable(log, row, now)?;
            if owned {
                state.mark = settings.marks.get(&log).copied();
                state.begin_as(stored, &start, state.here(), now);
            }
            let is_sure = state.unreadable.is_none();
            self.loaded(log, state);
            if !is_sure {
                self.suspect_all(log);
            }
        }
        let mut stored = Ok(());
        for log in nameless {
            match self.follow_nameless(log) {
                Ok(state) => self.loaded(log, state),
                Err(error) => stored = Err(error),
            }
        }
        let largest = self.logs.iter().map(|(_, state)| state.number).max();
        if let Some(largest) = largest {
            // What says so may be lost while the logs are not.
            self.next_number = self.next_number.max(largest.saturating_add(1));
        }
        let mut batch = Batch::new();
        self.load_lost(settings, &start, now, &mut batch);
        if settings.copied || settings.lost.is_some() {
            for (log, state) in self.logs.iter().filter(|(_, state)| state.owned) {
                put_log(&mut batch, log, state);
            }
        }
        self.load_clock(now)?;
        if !batch.is_empty() {
            // What is there is read all the same.
            stored = stored.and(self.store.commit(batch, Durability::Synced));
        }
        if lost_rows {
            self.restore_all_rows();
            for log in self.logs.keys().collect::<Vec<_>>() {
                self.suspect_all(log);
            }
        }
        match stored.and_then(|()| self.sign_what_a_crash_left(now)) {
            // What is there can be read although nothing can be written.
            Err(_) if self.store.failure().is_some() => Ok(()),
            written => written,
        }
    }

    /// Reads a log, and what is known of it only, if nothing can be written: it is
    /// read once more when the disk works again.
    fn load_if_writable(
        &mut self,
        log: LogId,
        row: v1::StoredLog,
        now: Timestamp,
    ) -> Result<LogState, StoreError> {
        match self.load_log(log, row.clone(), now) {
            Err(_) if self.store.failure().is_some() => Ok(self.read_log(log, row)?.0),
            loaded => loaded,
        }
    }

    pub(super) fn loaded(&mut self, log: LogId, state: LogState) {
        if state.followed {
            self.subscribe(log);
        }
        self.logs.insert(log, state);
        self.changed.insert(log);
    }

    /// Logs of ours that something was signed of, and that the store knows
    /// nothing about: they are followed, so that what others have comes back.
    fn load_lost(
        &mut self,
        settings: &Settings,
        start: &Start<'_>,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        for (&log, &mark) in &settings.marks {
            let is_known = self.logs.contains_key(&log) || self.deletions.is_deleted(log);
            if is_known || mark.size == 0 {
                continue;
            }
            let mut state = LogState::new(self.take_number(batch));
            (state.owned, state.followed) = (true, true);
            state.mark = Some(mark);
            state.begin_as(Stored::No, start, 0, now);
            put_log(batch, log, &state);
            self.subscribe(log);
            self.logs.insert(log, state);
            self.changed.insert(log);
        }
    }

    /// Reads what is stored of a log, and what could not be read.
    pub(super) fn read_log(
        &self,
        log: LogId,
        row: v1::StoredLog,
    ) -> Result<(LogState, Lost), StoreError> {
        let mut lost = Lost::default();
        let mut state = LogState::new(row.number);
        state.followed = row.followed;
        state.owned = row.owned;
        state.followers = Followers::from_stored(&row.followers);
        state.peers = row.peers;
        if row.newest_first {
            state.scheduler.order = Order::NewestFirst;
        }
        let manifest = row.manifest.map(UnverifiedManifest::from);
        let manifest = manifest.and_then(|manifest| manifest.verify(Some(log)).ok());
        let Some(manifest) = manifest else {
            let key = head_key(row.number, HeadKind::Adopted);
            lost.rows = !matches!(readable(self.store.get(Table::Heads, &key))?, Some(None));
            return Ok((state, lost));
        };
        let owner = manifest.publisher.clone();
        state.set_manifest(manifest);
        match readable(self.load_head(log, row.number, &owner))? {
            Some(Some(head)) => state.set_adopted(head),
            Some(None) => {}
            None => lost.head = true,
        }
        let key = state.key().expect("the manifest is set");
        match readable(self.load_fork(log, row.number, &owner))? {
            Some(Some(fork)) => match readable(self.set_fork(&mut state, key, fork))? {
                Some(()) => {}
                None => lost.fork = true,
            },
            Some(None) => {}
            None => lost.fork = true,
        }
        let history = History::new(&self.store, key);
        match readable(history.held())? {
            Some(held) => {
                // Our own first head is stored with the log, others' with the first rows.
                lost.head |= state.adopted.is_none() && (row.owned || !held.is_empty());
                state.held = held;
            }
            None => lost.held = true,
        }
        readable(self.load_begin(&mut state))?;
        state.scheduler.live_from = state.size();
        if state.owned && state.fork.is_some() {
            state.close(FORKED.to_owned());
        }
        if state.is_complete() {
            // What was only written is synced before the engine is open.
            state.synced_size = state.target();
        }
        state.note_complete();
        Ok((state, lost))
    }

    fn load_head(
        &self,
        log: LogId,
        number: u32,
        owner: &PublicKey,
    ) -> Result<Option<SignedHead>, StoreError> {
        let key = head_key(number, HeadKind::Adopted);
        let Some(bytes) = self.store.get(Table::Heads, &key)? else {
            return Ok(None);
        };
        let wire = v1::SignedHead::decode(bytes).map_err(|_| damaged("a head"))?;
        let head = UnverifiedHead {
            bytes: wire.head,
            signature: wire.signature,
        };
        let head = head.verify(log, owner);
        head.map(Some).map_err(|error| damaged(&error.to_string()))
    }

    fn load_fork(
        &self,
        log: LogId,
        number: u32,
        owner: &PublicKey,
    ) -> Result<Option<Box<ForkProof>>, StoreError> {
        let key = head_key(number, HeadKind::Fork);
        let Some(bytes) = self.store.get(Table::Heads, &key)? else {
            return Ok(None);
        };
        let wire = v1::ForkProof::decode(bytes).map_err(|_| damaged("a fork proof"))?;
        let fork = ForkProof::verify(wire, log, owner);
        let fork = fork.map_err(|error| damaged(&error.to_string()))?;
        Ok(Some(Box::new(fork)))
    }

    /// A number for a new log, and the row that keeps it from being used again.
    pub(super) fn take_number(&mut self, batch: &mut Batch) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        let next = Bytes::copy_from_slice(&self.next_number.to_be_bytes());
        batch.put(Table::Meta, NEXT_NUMBER, next);
        number
    }

    pub(super) fn subscribe(&mut self, log: LogId) {
        for topic in [Topic::Data(log), Topic::Meta(log)] {
            self.outputs.push_back(Output::Subscribe(topic));
        }
    }
}

/// The compact range of the first `size` records, read from the store.
pub(super) fn frontier<S: Store + ?Sized>(
    history: &History<'_, S>,
    size: u64,
) -> Result<CompactRange, StoreError> {
    let mut hashes = Vec::new();
    for subtree in cover(0, size, MAX_LEVEL) {
        let hash = history.node(subtree)?;
        hashes.push(hash.ok_or_else(|| damaged("a node of the tree is missing"))?);
    }
    CompactRange::from_hashes(0, size, hashes).map_err(|error| damaged(&error.to_string()))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}
