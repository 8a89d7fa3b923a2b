//! The node's mind: inputs go in, outputs come out. Gossip, sync and the
//! owner's own records come in by one way: they are checked here, and only
//! what was checked reaches the store.
//!
//! Feed [`Engine::handle`] with each input; then, when no other input waits,
//! call [`Engine::commit`]; after each call take [`Engine::poll_output`] until
//! it has none. Call [`Engine::handle_timeout`] at [`Engine::poll_timeout`],
//! which every call may change.

mod agenda;
mod ages;
mod answers;
mod clock;
mod command;
mod counters;
mod damage;
mod deletion;
mod discovering;
mod disk;
mod early;
mod ending;
mod fetching;
mod follower;
mod fork_search;
mod frames;
mod gossip;
mod gossip_forms;
mod input;
mod joining;
mod log_state;
mod logs;
mod names;
mod news;
mod output;
mod owner;
mod past_heads;
mod repeats;
mod requests;
mod retrieving;
mod room;
mod rows;
mod salvage;
mod says;
mod settings;
mod sources;
mod start;
mod status;
mod timers;
mod trees;
mod upstream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use libp2p_identity::PeerId;

use crate::bucket::Bucket;
use crate::id::{LogId, Topic};
use crate::identity::SigningKey;
use crate::log::AdmitError;
use crate::store::{Store, StoreError};
use crate::sync::provider::Provider;
use crate::time::Timestamp;
use clock::Clock;
pub use command::{Asking, Command, CommandError, Reply};
pub use counters::Counters;
use counters::Outputs;
use damage::Suspects;
pub use damage::{Damage, LostRows};
use deletion::Deletions;
use discovering::Discoveries;
pub use discovering::{Discovery, FoundStream};
use disk::Disk;
pub use input::Input;
use joining::Joining;
pub use log_state::cursors::Lag;
pub use log_state::reopening::{Answer, Mark, ReopeningStatus};
use log_state::stopping::Halt;
use logs::Logs;
pub use output::{Misbehaviour, Output, Verdict};
pub use past_heads::past_heads;
use repeats::Repeats;
pub use repeats::RequestKey;
use requests::Requests;
use retrieving::Retrievals;
pub use room::Room;
pub use settings::Settings;
pub use status::LogStatus;

/// A peer that is connected.
#[derive(Debug, Default)]
struct Peer {
    /// It speaks the sync protocol and its streams are open.
    ready: bool,
    /// Followed logs whose data topic it is subscribed to.
    topics: BTreeSet<LogId>,
    /// Logs whose meta topic it is subscribed to: followed ones, and a bounded
    /// number of others if we pass them on.
    listens: BTreeSet<LogId>,
    /// How often it may ask which streams are known here.
    searches: Bucket,
}

/// The peers that can be asked about a log because they follow it.
fn subscribers(peers: &BTreeMap<PeerId, Peer>, log: LogId) -> Vec<PeerId> {
    (peers.iter())
        .filter(|(_, peer)| peer.ready && peer.topics.contains(&log))
        .map(|(&peer, _)| peer)
        .collect()
}

/// The node's mind.
#[derive(Debug)]
pub struct Engine<S> {
    store: Disk<S>,
    key: SigningKey,
    logs: Logs,
    next_number: u32,
    peers: BTreeMap<PeerId, Peer>,
    requests: Requests,
    provider: Provider,
    /// Peers that have got a page, and go on when others have had their turn.
    pages_due: VecDeque<PeerId>,
    repeats: Repeats,
    /// Streams with records that wait for the next commit.
    staged: BTreeMap<LogId, owner::Staged>,
    /// Logs that are complete, but whose last records may still be lost with
    /// the power, and when they are made safe.
    unsynced: BTreeSet<LogId>,
    sync_at: Option<Timestamp>,
    last_sync: Timestamp,
    /// The sizes that the sync which is under way makes safe.
    syncing: Option<BTreeMap<LogId, u64>>,
    changed: BTreeSet<LogId>,
    /// Logs that miss something and wait for a peer to be free.
    hungry: BTreeSet<LogId>,
    outputs: Outputs,
    joining: Joining,
    /// The last announcement of each log whose manifest is not known yet, and
    /// who passed it on.
    early: BTreeMap<LogId, (PeerId, Bytes)>,
    retrievals: Retrievals,
    deletions: Deletions,
    suspects: Suspects,
    discoveries: Discoveries,
    room: Room,
    /// When the store was opened, by the system's clock.
    opened_at: Timestamp,
    clock: Clock,
    /// It had lost rows then.
    lost_rows: bool,
    /// Logs of which only rows without a name are left.
    forgotten: usize,
    /// The present moment, as it was told last.
    now: Timestamp,
    /// While the disk cannot be written.
    halt: Option<Halt>,
    /// When it could be written again, after it could not.
    resumed_at: Timestamp,
    /// How often it was waited before an attempt to write, since it could be written
    /// for long.
    failed_probes: u32,
}

impl<S: Store> Engine<S> {
    /// Reads what the store knows, and subscribes to what is followed. Heads of
    /// our own logs that a crash kept from being signed are signed now. Damage of
    /// the rows of one log is that log's alone.
    ///
    /// # Errors
    /// The store fails.
    pub fn open(
        store: S,
        key: SigningKey,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let joining = Joining::new(key.public().peer_id(), settings);
        let mut engine = Self {
            store: Disk::new(store),
            key,
            logs: Logs::default(),
            next_number: 0,
            peers: BTreeMap::new(),
            requests: Requests::default(),
            provider: Provider::default(),
            pages_due: VecDeque::new(),
            repeats: Repeats::default(),
            staged: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            sync_at: None,
            last_sync: Timestamp(i64::MIN),
            syncing: None,
            changed: BTreeSet::new(),
            hungry: BTreeSet::new(),
            outputs: Outputs::default(),
            joining,
            early: BTreeMap::new(),
            retrievals: Retrievals::default(),
            deletions: Deletions::default(),
            suspects: Suspects::default(),
            discoveries: Discoveries::default(),
            room: Room::default(),
            opened_at: settings.time,
            clock: Clock::new(settings.time, now),
            lost_rows: false,
            forgotten: 0,
            now,
            halt: None,
            resumed_at: Timestamp(i64::MIN),
            failed_probes: 0,
        };
        engine.load(settings, now)?;
        engine.settle(now);
        Ok(engine)
    }

    /// The store, to read from.
    pub fn store(&self) -> &S {
        self.store.store()
    }

    /// The logs that are known.
    pub fn logs(&self) -> impl Iterator<Item = LogId> + '_ {
        self.logs.keys()
    }

    /// How a log stands.
    #[must_use]
    pub fn status(&self, log: LogId) -> Option<LogStatus> {
        let state = self.logs.get(&log)?;
        let served = self.provider.served_records(log);
        let mut status = state.shown_status(log, served);
        status.waits_for_room = self.waits_for_room(log);
        if self.suspects.has(log) {
            // Until it was read, nobody is told that it is safe.
            status.synced_size = 0;
        }
        Some(status)
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        self.now = now;
        self.outputs.counters.input(&input);
        match input {
            Input::Ready(peer, place) => self.ready(peer, place, now),
            Input::Gone(peer) => self.gone(peer, now),
            Input::Disconnected(peer) => {
                self.gone(peer, now);
                if let Some(state) = self.peers.remove(&peer) {
                    self.stopped_listening(state.listens);
                }
            }
            Input::Subscribed(peer, topic) => self.subscribed(peer, topic, now),
            Input::Unsubscribed(peer, Topic::Data(log)) => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.topics.remove(&log);
                }
            }
            Input::Unsubscribed(peer, Topic::Meta(log)) => {
                let state = self.peers.get_mut(&peer);
                if state.is_some_and(|state| state.listens.remove(&log)) {
                    self.stopped_listening([log]);
                }
            }
            Input::Frame(peer, bytes) => self.frame(peer, bytes, now),
            Input::Sent(peer, bytes) => {
                self.provider.sent(peer, bytes);
                self.deliver(peer, now);
                self.deliver_what_was_held_up(now);
            }
            Input::Gossip {
                id,
                from,
                author,
                topic,
                data,
            } => {
                let verdict = self.gossip(from, author, topic, &data, now);
                self.outputs
                    .push_back(Output::Verdict { id, from, verdict });
            }
            Input::Reachable { record, servers } => self.reachable(record, servers, now),
            Input::Synced(result) => self.synced(result, now),
            Input::Reclaimed(number) => self.reclaimed(number),
            Input::Probed(result) => self.probed(result, now),
            Input::Failed(error) => self.store.fail(error),
            Input::Room(room) => self.room_is(room, now),
            Input::Clock(time) => self.clock_shows(time, now),
            Input::Suspect(log, interval) => {
                // If they cannot be written now, they are with the next damage.
                let _ = self.restore_rows(log);
                self.suspect(log, interval);
            }
            Input::RowsLost(lost, repair) => self.rows_lost(&lost, repair),
            Input::Marks(marks) => self.marks_found(&marks, now),
            Input::Command(id, command) => self.command(id, command, now),
        }
        self.settle(now);
    }

    /// What every change may call for.
    fn settle(&mut self, now: Timestamp) {
        self.stop_what_failed(now);
        self.ask_what_waits(now);
        for log in self.logs.touched() {
            self.search_if_lacking(log, now);
            self.open_if_all_is_here(log, now);
            self.drop_soon(log, now);
        }
        self.logs.rearm(timers::next_of_log::<S>);
    }

    /// Makes what was published durable, then signs and announces it. Call it
    /// when no input waits: everything that came in the meantime shares one
    /// sync of the disk.
    pub fn commit(&mut self, now: Timestamp) {
        self.now = now;
        self.commit_published(now);
        self.stop_what_failed(now);
        for log in std::mem::take(&mut self.changed) {
            self.outputs.push_back(Output::Changed(log));
        }
        self.settle(now);
        self.outputs.tell_counters();
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn command(&mut self, id: u64, command: Command, now: Timestamp) {
        let result = match command {
            Command::Create(manifest) => self.create(&manifest, now),
            Command::CreateSigned(manifest) => self.create_signed(*manifest, now),
            Command::Publish {
                log,
                records,
                expect_size,
            } => match self.stage(id, log, records, expect_size) {
                // The reply comes with the commit.
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Command::PublishOnce {
                log,
                records,
                expect_size,
                request,
            } => match self.stage_once(id, log, records, expect_size, request, now) {
                Ok(None) => return,
                Ok(Some(done)) => Ok(Reply::Published(done)),
                Err(error) => Err(error),
            },
            Command::Close { log, successor } => self.close(log, successor, now),
            Command::Recover { log, statement } => self.recover(log, *statement, now),
            Command::Follow {
                log,
                peers,
                newest_first,
            } => self.follow(log, peers, newest_first, now),
            Command::FetchFirst(log, wish) => self.fetch_first(log, wish, now),
            Command::Unfollow(log) => self.unfollow(log, now),
            Command::Delete { log, own } => self.delete(log, own, now),
            // The reply comes when it is found.
            Command::Retrieve(what) => return self.retrieve(id, what, now),
            // The reply comes when the peers have answered.
            Command::Discover(text) => return self.discover(id, &text, now),
            Command::Reopen {
                log,
                none_is_larger,
            } => self.reopen(log, none_is_larger, now),
        };
        self.outputs.push_back(Output::Reply(id, result));
    }

    fn ready(&mut self, peer: PeerId, place: Option<u64>, now: Timestamp) {
        // Nothing of an earlier connection is on its way any more.
        self.provider.ready(peer, place);
        let state = self.peers.entry(peer).or_default();
        state.ready = true;
        for log in state.topics.clone() {
            self.ask_about(peer, log, now);
        }
        self.ask_what_is_waited_for(peer, now);
    }

    fn subscribed(&mut self, peer: PeerId, topic: Topic, now: Timestamp) {
        let log = match topic {
            Topic::Data(log) => log,
            Topic::Meta(log) => return self.listens(peer, log, now),
        };
        // Only followed logs are remembered, so a peer cannot make this grow.
        if !self.logs.contains_key(&log) {
            return;
        }
        let state = self.peers.entry(peer).or_default();
        if state.topics.insert(log) && state.ready {
            self.ask_about(peer, log, now);
        }
        self.follower_came(log, now);
    }

    fn gone(&mut self, peer: PeerId, now: Timestamp) {
        self.provider.gone(peer);
        self.deliver_what_was_held_up(now);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.ready = false;
            if state.topics.is_empty() && state.listens.is_empty() {
                self.peers.remove(&peer);
            }
        }
        // First of all, so that what is lost is not asked of the same peer.
        let logs = self.drop_sources(peer);
        self.requests.forget_waiting(peer);
        let lost = self.requests.which(|request| request.peer == peer);
        for id in lost {
            if let Some(request) = self.requests.remove(id) {
                self.failed(request, now);
            }
        }
        for log in logs {
            self.schedule(log, now);
        }
    }

    fn ban(&mut self, peer: PeerId, log: Option<LogId>, error: &AdmitError) {
        self.ban_for(peer, log, error.to_string());
    }

    /// Names a peer that broke the rules, and has nothing more to do with it.
    fn ban_for(&mut self, peer: PeerId, log: Option<LogId>, what: String) {
        if let Some(state) = self.peers.get_mut(&peer) {
            // What is still on the way from it is ignored.
            state.ready = false;
        }
        self.drop_sources(peer);
        let misbehaviour = Misbehaviour { log, what };
        self.outputs.push_back(Output::Ban(peer, misbehaviour));
    }
}
