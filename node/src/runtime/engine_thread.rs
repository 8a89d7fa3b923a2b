//! The thread that owns the engine: hashing, signatures and the disk, away from
//! the network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use headwater_protocols::engine::{CommandError, Engine, Input, LogStatus, Output, Reply};
use headwater_protocols::id::LogId;
use headwater_protocols::limits::CLOCK_JUMP_US;
use headwater_protocols::store::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::disk_bound::{DiskBound, Measured};
use super::disk_thread::{DiskThread, Outcomes};
use super::disk_trouble::DiskTrouble;
use super::mark_keeper::{LateMarks, MarkKeeper};
use super::reclaim_thread::{ReclaimThread, Reclaimed};
use super::scrub_thread::{Found, ScrubThread};
use crate::handle::{Asked, COMPARED_EVERY, ClockWatch, Node, Severity, now, wall_time};
use crate::net::sync_streams::{FrameReceiver, InboundFrame};
use crate::spans;
use crate::store::{Reserve, RocksStore};

/// Inputs that are handled before what was published is made durable: a flood
/// of frames must not keep a publisher waiting. At about 20 µs an input this is
/// the time of a few fsyncs.
const INPUTS_PER_COMMIT: usize = 256;

/// Bytes of records that are staged before a commit: a batch of this size is
/// written as fast as a larger one, and it is in memory twice.
const STAGED_BYTES: usize = 32 << 20;

/// Microseconds by which the system's clock may differ from what the engine takes
/// it to show. Reading both takes less.
const CLOCK_TOLD_US: u64 = 1_000;

/// How long deliveries of history wait at a time for a disk that is behind: a
/// write buffer takes it 20 to 300 ms.
const BEHIND_PAUSE: Duration = Duration::from_millis(2);

/// Where the engine's inputs come from.
pub(super) struct Inputs {
    /// What the swarm hears. Before the frames: a peer is told of before what it
    /// sends.
    pub(super) network: mpsc::Receiver<Input>,
    /// Frames of the sync streams.
    pub(super) frames: FrameReceiver,
    /// Outcomes of syncs of the disk, and of attempts to write to it.
    pub(super) disk: Outcomes,
    /// Room of deleted streams that was given back.
    pub(super) reclaimed: Reclaimed,
    /// How much may be written.
    pub(super) measured: Measured,
    /// What of the store is damaged.
    pub(super) found: Found,
    /// What a mark says that could not be read at the start.
    pub(super) marked: LateMarks,
    /// What users ask for. First of all: a flood from the network must not keep
    /// a publisher waiting.
    pub(super) commands: mpsc::Receiver<Asked>,
    /// Ends the thread.
    pub(super) stop: oneshot::Receiver<()>,
}

/// The engine and those who wait for its answers.
pub(super) struct EngineThread {
    engine: Engine<Arc<RocksStore>>,
    node: Node,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Reply, CommandError>>>,
    next_command: u64,
    /// The network, when there is one.
    outputs: Option<mpsc::Sender<Output>>,
    workers: Workers,
    clock: ClockWatch,
    /// What the engine was told last: microseconds from `now` to what the system's
    /// clock shows.
    ahead_us: Option<i64>,
    /// Streams of which something is kept that may be too old.
    holding_back: BTreeSet<LogId>,
    /// Own streams of which it was said that they have ended.
    ended: BTreeSet<LogId>,
}

/// What works beside the engine.
pub(super) struct Workers {
    pub(super) disk: DiskThread,
    pub(super) reclaims: ReclaimThread,
    pub(super) marks: MarkKeeper,
    pub(super) _scrubs: ScrubThread,
    pub(super) trouble: Arc<DiskTrouble>,
    pub(super) _bound: DiskBound,
}

impl EngineThread {
    pub(super) fn new(
        engine: Engine<Arc<RocksStore>>,
        node: Node,
        outputs: Option<mpsc::Sender<Output>>,
        workers: Workers,
    ) -> Self {
        Self {
            engine,
            node,
            waiting: BTreeMap::new(),
            next_command: 0,
            outputs,
            workers,
            clock: ClockWatch::new(),
            ahead_us: None,
            holding_back: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    /// Runs on a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn spawn(self, inputs: Inputs) -> anyhow::Result<thread::JoinHandle<()>> {
        thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .expect("a runtime with a timer alone can always be built");
                runtime.block_on(self.run(inputs));
            })
            .context("cannot start the engine's thread")
    }

    /// Runs until it is told to stop; what was staged is committed first.
    async fn run(mut self, mut inputs: Inputs) {
        // Known before anything is asked for.
        let room = *inputs.measured.borrow_and_update();
        self.engine.handle(Input::Room(room), now());
        self.dispatch().await;
        let mut clock = tokio::time::interval(COMPARED_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let timeout = self.engine.poll_timeout();
            let wait = timeout.map(|at| at.duration_since(now()));
            // What is written beyond this point waits for the disk, and all
            // else behind it: live records, answers, whoever publishes.
            let is_behind = self.node.store().is_behind();
            tokio::select! {
                biased;
                _ = &mut inputs.stop => break,
                Ok(()) = inputs.measured.changed() => {
                    let room = *inputs.measured.borrow_and_update();
                    self.engine.handle(Input::Room(room), now());
                }
                Some(asked) = inputs.commands.recv() => self.command(asked),
                Some(outcome) = inputs.disk.recv() => self.engine.handle(outcome, now()),
                Some(log) = inputs.reclaimed.recv() => {
                    self.engine.handle(Input::Reclaimed(log), now());
                }
                Some(input) = inputs.found.recv() => self.engine.handle(input, now()),
                Some(input) = inputs.marked.recv() => self.engine.handle(input, now()),
                Some(input) = inputs.network.recv() => self.engine.handle(input, now()),
                Some(frame) = inputs.frames.next(!is_behind) => self.frame(frame),
                () = sleep(wait), if wait.is_some() => {}
                () = tokio::time::sleep(BEHIND_PAUSE), if is_behind => {}
                _ = clock.tick() => {
                    self.clock.look(&self.node);
                }
            }
            self.drain(&mut inputs, is_behind);
            self.tell_clock();
            if self.engine.poll_timeout().is_some_and(|at| at <= now()) {
                self.engine.handle_timeout(now());
            }
            self.engine.commit(now());
            self.dispatch().await;
        }
        self.engine.commit(now());
        self.dispatch().await;
    }

    /// Takes what waits already, so that it shares one sync of the disk.
    fn drain(&mut self, inputs: &mut Inputs, is_behind: bool) {
        for _ in 0..INPUTS_PER_COMMIT {
            if self.engine.staged_bytes() >= STAGED_BYTES {
                return;
            }
            if let Ok(asked) = inputs.commands.try_recv() {
                self.command(asked);
            } else if let Ok(input) = inputs.network.try_recv() {
                self.engine.handle(input, now());
            } else if let Some(frame) = inputs.frames.try_next(!is_behind) {
                self.frame(frame);
                // Deliveries and their answers should not wait for the rest.
                return;
            } else {
                return;
            }
        }
    }

    fn command(&mut self, (command, reply): Asked) {
        let id = self.next_command;
        self.next_command += 1;
        self.tell_clock();
        self.waiting.insert(id, reply);
        self.engine.handle(Input::Command(id, command), now());
    }

    fn frame(&mut self, frame: InboundFrame) {
        self.engine
            .handle(Input::Frame(frame.peer, frame.bytes), now());
    }

    /// Tells the engine what the system's clock shows, if that does not go as time
    /// goes by.
    fn tell_clock(&mut self) {
        let ahead = || wall_time().0.saturating_sub(now().0);
        let differs =
            |by: u64, ahead: i64| (self.ahead_us).is_none_or(|told| ahead.abs_diff(told) > by);
        let shown = ahead();
        if !differs(CLOCK_TOLD_US, shown) {
            return;
        }
        if differs(CLOCK_JUMP_US, shown) {
            // It was set, or the machine slept: then it goes as before.
            self.clock.look(&self.node);
        }
        let (now, ahead) = (now(), ahead());
        self.ahead_us = Some(ahead);
        self.engine.handle(Input::Clock(now.offset(ahead)), now);
    }

    /// Says so when something is kept that may be too old, and when that is over.
    fn note_held_back(&mut self, status: &LogStatus) {
        let (log, name) = (status.log, format!("retention/{}", status.log));
        if status.holds_back && self.holding_back.insert(log) {
            let stream = status.manifest.as_ref().map_or("", |m| m.name.as_str());
            let what = format!(
                "by this machine's clock much of stream {stream} has suddenly become too old; it is \
                 kept until others' clocks agree, or a day has passed"
            );
            let advice = "check that this machine's time is right (`timedatectl`)";
            (self.node).trouble_begins(&name, Severity::Warning, what, advice);
        } else if !status.holds_back && self.holding_back.remove(&log) {
            self.node.trouble_ends(&name);
        }
    }

    /// Says that a stream of this node's own has ended against its publisher's will.
    fn note_end(&mut self, status: &LogStatus) {
        let is_ended = status.recovered.is_some() || status.fork.is_some();
        let Some(why) = (status.stopped_for_good.as_ref()).filter(|_| is_ended && status.owned)
        else {
            return;
        };
        if self.ended.insert(status.log) {
            let stream = status.manifest.as_ref().map_or("", |m| m.name.as_str());
            let what = format!("stream {stream} is stopped for good: {why}");
            let advice = "`headwater show` tells what of it counts; should that not have been you, find out who \
                          has its keys";
            let name = end_of(status.log);
            (self.node).trouble_begins(&name, Severity::Warning, what, advice);
        }
    }

    /// Nothing can be written. What is kept back is for this moment.
    fn stopped(&self, error: StoreError) {
        let store = self.node.store();
        if let StoreError::Full(_) = error {
            Reserve::of(store.dir()).give_back();
        }
        self.workers.trouble.stopped(Some(error));
    }

    /// Tells how a stream stands now, or that it is gone.
    fn changed(&mut self, log: LogId) {
        let _stream = spans::stream(log).entered();
        if let Some(status) = self.engine.status(log) {
            self.note_held_back(&status);
            self.note_end(&status);
            return self.node.set_stream(status);
        }
        if self.holding_back.remove(&log) {
            self.node.trouble_ends(&format!("retention/{log}"));
        }
        if self.ended.remove(&log) {
            self.node.trouble_ends(&end_of(log));
        }
        self.node.remove_stream(log);
    }

    /// Hands out what the engine decided. Whoever gets an answer finds the
    /// state of the stream already changed.
    async fn dispatch(&mut self) {
        let mut replies = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Changed(log) => self.changed(log),
                Output::Counted(counters) => self.node.set_counters(counters),
                Output::Reply(id, reply) => replies.push((id, reply)),
                // Before what comes behind it leaves the node.
                Output::Signed(log, mark) => self.workers.marks.signed(log, mark),
                Output::Sync => self.workers.disk.sync(),
                Output::Audited(repair) => {
                    let store = self.node.store();
                    let is_all = !store.wait_for_damage(Duration::ZERO);
                    if store.forget_lost(repair) && is_all {
                        self.node.trouble_ends("damage");
                    }
                }
                Output::Probe => self.workers.disk.probe(),
                Output::Stopped(error) => self.stopped(error),
                Output::Resumed => self.workers.trouble.stopped(None),
                Output::Refused(bytes) => self.workers.trouble.refused(bytes),
                Output::Reclaim(log) => self.workers.reclaims.reclaim(log),
                Output::ReclaimChunks(log, end) => {
                    self.workers.reclaims.reclaim_chunks(log, end);
                }
                output => {
                    if let Some(outputs) = &self.outputs {
                        // The network ends with the process only.
                        let _ = outputs.send(output).await;
                    }
                }
            }
        }
        for (id, reply) in replies {
            if let Some(waiting) = self.waiting.remove(&id) {
                // Whoever asked may have gone.
                let _ = waiting.send(reply);
            }
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// The name of the trouble with a stream that has ended against its publisher's will.
fn end_of(log: LogId) -> String {
    format!("ended/{log}")
}
