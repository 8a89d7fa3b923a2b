//! A process that is a Headwater node, and what the figures ask of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use headwater::api::{Accepting, ApiState, Peer, router};
use headwater::config::Config;
use headwater::handle::Node;
use headwater::runtime::{Running, RuntimeConfig, start, start_offline};
use headwater_protocols::engine::{Command, LogStatus};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::manifest::{Manifest, ValueType};
use headwater_protocols::ranges::Interval;
use headwater_protocols::record::Record;
use headwater_protocols::store::{History, ReadError};
use headwater_protocols::sync::retrieval::Retrieval;
use headwater_protocols::time::Timestamp;
use headwater_reading::{Selection, visit};
use headwater_tests::numbers_manifest;
use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};
use tokio::net::TcpSocket;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::process::{Calls, Process, Role, answer, monotonic_ns};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Connections that wait to be accepted, as `headwater run` has it.
const BACKLOG: u32 = 4_096;

/// The time of the first record, in microseconds: 2020.
const FIRST_US: i64 = 1_577_836_800_000_000;

/// A call of the process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// Open a data folder; answered by [`Started`].
    Start {
        dir: PathBuf,
        key: u8,
        /// Where to listen; absent: a node without a network.
        listen: Option<String>,
        /// Whether it looks for more peers than it is told of.
        finds_peers: bool,
    },
    /// Create the stream; answered by its id.
    Create,
    /// Create so many streams and publish one record to each; answered by their
    /// ids.
    CreateEach { count: u64 },
    /// Keep connected to an address.
    Dial { address: String },
    /// Only answer, with the processor time used so far.
    Nothing,
    /// Publish batch after batch; answered by the seconds that the node took.
    Publish(Batches),
    /// Publish one record a command, from so many tasks; answered by [`Singles`].
    PublishSingles {
        stream: String,
        tasks: u64,
        each: u64,
    },
    /// Publish one record a command, one every so often; answered by a
    /// [`Published`] each.
    PublishPaced {
        stream: String,
        count: u64,
        every_us: u64,
    },
    /// Follow a stream until this many records are held, verified and fsynced;
    /// answered by the seconds that it took.
    Sync {
        stream: String,
        address: String,
        size: u64,
    },
    /// Follow so many streams at once until each has its one record, in sync.
    SyncEach {
        streams: Vec<String>,
        address: String,
    },
    /// Note when records are stored, from now on until there are this many.
    Watch { stream: String, size: u64 },
    /// Wait until that is so; answered by [`Stored`].
    Stored { stream: String },
    /// Look records up at peers, one after the other, as long as some are neither
    /// held nor too close to what is held; answered by the milliseconds of each.
    Retrieve { stream: String, pause_us: u64 },
    /// Serve the HTTP API with this token; answered by `ip:port`.
    Serve { token: String },
    /// Create a stream of numbers; answered by its id.
    CreateNumbers,
    /// Answered by the syncs of the disk so far.
    Fsyncs,
    /// Look records up by time in the store alone; answered by the milliseconds
    /// of each.
    LookUp { stream: String, times_us: Vec<i64> },
    /// Answered by the records of the stream that were delivered to others.
    Served { stream: String },
    /// Answered by the root of the stream's tree, in words.
    Root { stream: String },
    /// Stop the node and close its folder; answered by the seconds.
    Stop,
}

/// Records to publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Batches {
    /// The stream.
    pub(crate) stream: String,
    /// How many records.
    pub(crate) records: u64,
    /// Bytes of each, its time included.
    pub(crate) record_bytes: usize,
    /// Whether they are a sensor's numbers, else noise.
    pub(crate) numbers: bool,
    /// Records in one command.
    pub(crate) batch: u64,
}

/// A node is there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    /// Where it listens.
    pub(crate) address: Option<String>,
    /// Records of its own streams.
    pub(crate) records: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// What single publishes took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Singles {
    /// How long.
    pub(crate) seconds: f64,
    /// Syncs of the disk.
    pub(crate) fsyncs: u64,
}

/// When a record was published, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    /// Just before the command.
    pub(crate) asked_ns: u64,
    /// At its answer: it is durable and announced.
    pub(crate) durable_ns: u64,
}

/// Records that are stored, and since when in nanoseconds.
pub(crate) type Stored = Vec<(u64, u64)>;

/// Starts a process with a node that listens on loopback; `key` tells it from
/// others.
pub(crate) fn start_node(dir: PathBuf, key: u8) -> anyhow::Result<(Process, String)> {
    let mut process = Process::start(Role::Node)?;
    let address = process.start_node(dir, key, "127.0.0.1", true)?;
    Ok((process, address))
}

impl Process {
    /// Makes it a node that listens at an IPv4 address; answered by the multiaddr.
    pub(crate) fn start_node(
        &mut self,
        dir: PathBuf,
        key: u8,
        ip: &str,
        finds_peers: bool,
    ) -> anyhow::Result<String> {
        let started: Started = self.ask(&Call::Start {
            dir,
            key,
            listen: Some(format!("/ip4/{ip}/tcp/0")),
            finds_peers,
        })?;
        started.address.context("the node does not listen")
    }
}

/// Records with bytes that cannot be compressed, from an index on.
pub(crate) fn records(from: u64, count: u64, record_bytes: usize) -> Vec<Record> {
    let mut value = vec![0; record_bytes - 8];
    (from..from + count)
        .map(|index| {
            let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            for bytes in value.chunks_mut(8) {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.copy_from_slice(&state.to_le_bytes()[..bytes.len()]);
            }
            // One a second since 2020.
            let time = FIRST_US + i64::try_from(index).unwrap_or(0) * 1_000_000;
            Record::new(Timestamp(time), &value)
        })
        .collect()
}

/// Numbers that go up and down, one a second, as a sensor's.
fn numbers(from: u64, count: u64) -> Vec<Record> {
    (from..from + count)
        .map(|index| {
            let value = (index % 86_400).abs_diff(43_200) + index * 7_919 % 1_000;
            let value = format!("{}.{:03}", 200 + value / 1_000, value % 1_000);
            let time = FIRST_US + i64::try_from(index).unwrap_or(0) * 1_000_000;
            Record::new(Timestamp(time), value.as_bytes())
        })
        .collect()
}

/// So many times, in microseconds, spread over so many records and none of them
/// that of a record.
pub(crate) fn times_us(records: u64, count: u64) -> Vec<i64> {
    let time = |turn: u64| {
        // The golden ratio spreads them evenly, without an order.
        let place = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % records;
        FIRST_US + i64::try_from(place).unwrap_or(0) * 1_000_000 + 1
    };
    (1..=count).map(time).collect()
}

/// Plays the node.
pub(crate) async fn act() -> anyhow::Result<()> {
    let mut calls = Calls::from_stdin();
    let mut acting = Acting::default();
    while let Some(call) = calls.next().await? {
        match call {
            Call::Start {
                dir,
                key,
                listen,
                finds_peers,
            } => answer(acting.start(dir, key, listen, finds_peers).await),
            Call::Create => answer(acting.create("bench").await),
            Call::CreateEach { count } => answer(acting.create_each(count).await),
            Call::Dial { address } => answer(acting.dial(&address)),
            Call::Nothing => answer(Ok(())),
            Call::Publish(batches) => answer(acting.publish(batches).await),
            Call::PublishSingles {
                stream,
                tasks,
                each,
            } => answer(acting.publish_singles(&stream, tasks, each).await),
            Call::PublishPaced {
                stream,
                count,
                every_us,
            } => answer(acting.publish_paced(&stream, count, every_us).await),
            Call::Sync {
                stream,
                address,
                size,
            } => answer(acting.sync(&stream, &address, size).await),
            Call::SyncEach { streams, address } => {
                answer(acting.sync_each(&streams, &address).await)
            }
            Call::Watch { stream, size } => answer(acting.watch(&stream, size)),
            Call::Stored { stream } => answer(acting.stored(&stream).await),
            Call::Retrieve { stream, pause_us } => answer(acting.retrieve(&stream, pause_us).await),
            Call::Serve { token } => answer(acting.serve(token).await),
            Call::CreateNumbers => answer(acting.create_numbers().await),
            Call::Fsyncs => answer(acting.fsyncs()),
            Call::LookUp { stream, times_us } => answer(acting.look_up(&stream, &times_us)),
            Call::Served { stream } => answer(acting.served(&stream)),
            Call::Root { stream } => answer(acting.root(&stream)),
            Call::Stop => answer(acting.stop().await),
        }?;
    }
    // RocksDB must be closed before the process ends.
    if acting.running.is_some() {
        acting.stop().await?;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Acting {
    running: Option<Running>,
    key: u8,
    watching: BTreeMap<String, JoinHandle<anyhow::Result<Stored>>>,
    /// The API, and what ends it.
    serving: Option<(oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>)>,
}

impl Acting {
    fn node(&self) -> anyhow::Result<&Node> {
        let running = self.running.as_ref().context("the node is not started")?;
        Ok(&running.node)
    }

    async fn start(
        &mut self,
        dir: PathBuf,
        key: u8,
        listen: Option<String>,
        finds_peers: bool,
    ) -> anyhow::Result<Started> {
        let keypair = Keypair::ed25519_from_bytes([key; 32])?;
        let start_time = Instant::now();
        let is_online = listen.is_some();
        let running = if let Some(listen) = listen {
            let mut config = RuntimeConfig::new(dir, keypair);
            config.options.listen = vec![listen.parse()?];
            if !finds_peers {
                config.options.min_peers = 0;
            }
            start(config).await?
        } else {
            start_offline(&dir, &keypair, &Config::default(), None).await?
        };
        let seconds = start_time.elapsed().as_secs_f64();
        let address = if is_online {
            let mut addresses = running.node.watch_addresses();
            let known = addresses.wait_for(|addresses| !addresses.is_empty());
            timeout(PATIENCE, known)
                .await??
                .first()
                .map(ToString::to_string)
        } else {
            None
        };
        let own = running
            .node
            .streams()
            .into_iter()
            .filter(|stream| stream.owned);
        let records = own.map(|stream| stream.held_records).sum();
        self.running = Some(running);
        self.key = key;
        Ok(Started {
            address,
            records,
            seconds,
        })
    }

    /// As `headwater run` does it.
    async fn serve(&mut self, token: String) -> anyhow::Result<String> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let state = ApiState::new(self.node()?.clone(), token);
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = Accepting::new(listener, &state);
        let service = router(state).into_make_service_with_connect_info::<Peer>();
        let serve = axum::serve(listener, service).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let task = tokio::spawn(async move { serve.await.map_err(Into::into) });
        self.serving = Some((stop, task));
        Ok(address.to_string())
    }

    fn fsyncs(&self) -> anyhow::Result<u64> {
        Ok(self.node()?.store().fsyncs())
    }

    fn look_up(&self, stream: &str, times_us: &[i64]) -> anyhow::Result<Vec<f64>> {
        let node = self.node()?;
        let status = node.stream(stream.parse()?);
        let status = status.context("the stream is not known")?;
        let key = status.key.context("nothing of the stream is here")?;
        let size = status.head.as_ref().map_or(0, |head| head.size);
        let store = node.store();
        let mut ms = Vec::new();
        for &time_us in times_us {
            let start = Instant::now();
            let history = History::new(&**store, key);
            let found = history.at_or_before(Timestamp(time_us), size)?;
            let (index, _) = found.context("no record is so old")?;
            let selection = Selection::indexes(index, index + 1);
            let mut bytes = 0;
            visit(&history, &selection, |_, record| {
                bytes += record.as_bytes().len();
                Ok::<_, ReadError>(())
            })?;
            ms.push(start.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(bytes > 0, "the record at {index} is empty");
        }
        Ok(ms)
    }

    async fn create(&self, name: &str) -> anyhow::Result<String> {
        self.create_of(name, ValueType::Bytes).await
    }

    async fn create_numbers(&self) -> anyhow::Result<String> {
        self.create_of("numbers", ValueType::Number).await
    }

    async fn create_of(&self, name: &str, value_type: ValueType) -> anyhow::Result<String> {
        let key = SigningKey::from_secret(&mut [self.key; 32]);
        let manifest = Manifest {
            value_type,
            ..numbers_manifest(key.public(), name)
        };
        let log = self.node()?.ask(Command::create(manifest)).await?;
        Ok(log.to_string())
    }

    async fn create_each(&self, count: u64) -> anyhow::Result<Vec<String>> {
        let mut streams = Vec::new();
        for i in 0..count {
            let stream = self.create(&format!("bench {i}")).await?;
            publish(self.node()?, stream.parse()?, records(0, 1, 100)).await?;
            streams.push(stream);
        }
        Ok(streams)
    }

    async fn retrieve(&self, stream: &str, pause_us: u64) -> anyhow::Result<Vec<f64>> {
        let (node, log) = (self.node()?, stream.parse()?);
        let mut ms = Vec::new();
        for turn in 1.. {
            let status = node.stream(log).context("the stream is not known")?;
            let size = status.head.as_ref().map_or(0, |head| head.size);
            // From the end backwards, where history comes last.
            let Some(index) = size.checked_sub(turn * 1_024 + 1) else {
                break;
            };
            let is_near = |held: &Interval| held.to + 100_000 > index && held.from <= index;
            if status.held.iter().any(is_near) {
                break;
            }
            let begin = Instant::now();
            let found = node.ask(Command::retrieve(Retrieval::Index(log, index)));
            found.await?;
            ms.push(begin.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_micros(pause_us)).await;
        }
        Ok(ms)
    }

    fn dial(&self, address: &str) -> anyhow::Result<()> {
        self.node()?.keep_dialled(address.parse()?);
        Ok(())
    }

    async fn publish(&self, batches: Batches) -> anyhow::Result<f64> {
        let log = batches.stream.parse()?;
        let node = self.node()?;
        let mut taken = Duration::ZERO;
        let mut from = 0;
        while from < batches.records {
            let count = batches.batch.min(batches.records - from);
            let records = match batches.numbers {
                true => numbers(from, count),
                false => records(from, count, batches.record_bytes),
            };
            let start_time = Instant::now();
            publish(node, log, records).await?;
            taken += start_time.elapsed();
            from += count;
        }
        Ok(taken.as_secs_f64())
    }

    async fn publish_singles(
        &self,
        stream: &str,
        tasks: u64,
        each: u64,
    ) -> anyhow::Result<Singles> {
        let log: LogId = stream.parse()?;
        let node = self.node()?;
        let synced = node.store().fsyncs();
        let start_time = Instant::now();
        let tasks: Vec<_> = (0..tasks)
            .map(|task| {
                let node = node.clone();
                tokio::spawn(async move {
                    for record in records(task * each, each, 100) {
                        publish(&node, log, vec![record]).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(Singles {
            seconds: start_time.elapsed().as_secs_f64(),
            fsyncs: node.store().fsyncs() - synced,
        })
    }

    async fn publish_paced(
        &self,
        stream: &str,
        count: u64,
        every_us: u64,
    ) -> anyhow::Result<Vec<Published>> {
        let log: LogId = stream.parse()?;
        let node = self.node()?;
        let mut ticks = tokio::time::interval(Duration::from_micros(every_us));
        let mut published = Vec::new();
        for record in records(0, count, 100) {
            ticks.tick().await;
            let asked_ns = monotonic_ns()?;
            publish(node, log, vec![record]).await?;
            published.push(Published {
                asked_ns,
                durable_ns: monotonic_ns()?,
            });
        }
        Ok(published)
    }

    async fn sync(&self, stream: &str, address: &str, size: u64) -> anyhow::Result<f64> {
        let log: LogId = stream.parse()?;
        let start_time = Instant::now();
        self.follow(log, address).await?;
        self.synced(log, size).await?;
        Ok(start_time.elapsed().as_secs_f64())
    }

    async fn sync_each(&self, streams: &[String], address: &str) -> anyhow::Result<()> {
        let logs: Result<Vec<LogId>, _> = streams.iter().map(|stream| stream.parse()).collect();
        let logs = logs?;
        for &log in &logs {
            self.follow(log, address).await?;
        }
        for log in logs {
            self.synced(log, 1).await?;
        }
        Ok(())
    }

    async fn follow(&self, log: LogId, address: &str) -> anyhow::Result<()> {
        let node = self.node()?;
        let follow = Command::Follow {
            log,
            peers: vec![address.to_owned()],
            newest_first: false,
        };
        node.ask(follow.done()).await?;
        node.keep_dialled(address.parse()?);
        Ok(())
    }

    async fn synced(&self, log: LogId, size: u64) -> anyhow::Result<()> {
        let node = self.node()?;
        let mut stream = node.watch(log).context("what is followed is not known")?;
        let is_synced = |status: &Arc<LogStatus>| {
            status.stopped_for_good.is_some() || status.head.is_some() && status.synced_size >= size
        };
        let waiting = timeout(PATIENCE, stream.wait_for(is_synced)).await;
        let status = node.stream(log).context("what is followed is not known")?;
        waiting.with_context(|| format!("only {} records have come", status.held_records))??;
        match &status.stopped_for_good {
            None => Ok(()),
            Some(why) => anyhow::bail!("the stream was stopped: {why}"),
        }
    }

    fn root(&self, stream: &str) -> anyhow::Result<String> {
        let status = self.node()?.stream(stream.parse()?);
        let head = status.and_then(|status| status.head.clone());
        let head = head.context("the stream has no head")?;
        Ok(format!("{:?} of {} records", head.root, head.size))
    }

    fn watch(&mut self, stream: &str, size: u64) -> anyhow::Result<()> {
        let status = self.node()?.watch(stream.parse()?);
        let status = status.context("the stream is not known")?;
        let watching = tokio::spawn(note_stored(status, size));
        self.watching.insert(stream.to_owned(), watching);
        Ok(())
    }

    async fn stored(&mut self, stream: &str) -> anyhow::Result<Stored> {
        let watching = self.watching.remove(stream).context("it is not watched")?;
        timeout(PATIENCE, watching)
            .await
            .context("records are missing")??
    }

    fn served(&self, stream: &str) -> anyhow::Result<u64> {
        let status = self.node()?.stream(stream.parse()?);
        Ok(status.context("the stream is not known")?.served_records)
    }

    async fn stop(&mut self) -> anyhow::Result<f64> {
        // It has the store open, too. Its clients have gone.
        if let Some((stop, task)) = self.serving.take() {
            let _ = stop.send(());
            timeout(PATIENCE, task)
                .await
                .context("the API goes on")???;
        }
        let running = self.running.take().context("the node is not started")?;
        let start_time = Instant::now();
        running.stop().await?;
        Ok(start_time.elapsed().as_secs_f64())
    }
}

async fn publish(node: &Node, log: LogId, records: Vec<Record>) -> anyhow::Result<Interval> {
    let publish = Command::publish(log, records, None, None);
    Ok(node.ask(publish).await?)
}

async fn note_stored(
    mut stream: watch::Receiver<Arc<LogStatus>>,
    size: u64,
) -> anyhow::Result<Stored> {
    let mut stored = Stored::new();
    loop {
        let held = stream.borrow_and_update().held_records;
        stored.push((held, monotonic_ns()?));
        if held >= size {
            return Ok(stored);
        }
        stream.changed().await?;
    }
}
