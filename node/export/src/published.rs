//! Streams with records, for tests: created, published and signed as a node does it.

use headwater_protocols::engine::{Command, Engine, Input, LogStatus, Output, Reply, Settings};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::manifest::{Manifest, NONCE_BYTES, ValueType};
use headwater_protocols::record::Record;
use headwater_protocols::store::MemoryStore;
use headwater_protocols::time::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

/// A publisher, and its streams `s0`, `s1`, …: four records a chunk.
pub(super) struct Published {
    engine: Engine<MemoryStore>,
    logs: Vec<LogId>,
}

impl Published {
    /// Of any bytes.
    pub(super) fn of(streams: &[Vec<Record>]) -> Self {
        Self::of_type(ValueType::Bytes, streams)
    }

    /// Of values of this type.
    pub(super) fn of_type(value_type: ValueType, streams: &[Vec<Record>]) -> Self {
        let settings = Settings {
            seed: [0; 32],
            offer_percent: 0,
            introduces: false,
            copied: false,
            lost_rows: false,
            marks: std::collections::BTreeMap::new(),
            lost: None,
            ended_badly: false,
            time: Timestamp(0),
        };
        let engine = Engine::open(MemoryStore::new(), key(), &settings, NOW).unwrap();
        let logs = Vec::new();
        let mut published = Self { engine, logs };
        for records in streams {
            let log = published.create(value_type);
            published.publish(log, records);
        }
        published
    }

    fn create(&mut self, value_type: ValueType) -> LogId {
        let name = format!("s{}", self.logs.len());
        let manifest = Manifest {
            value_type,
            chunk_level: 2,
            created: NOW,
            ..Manifest::new(key().public(), &name, [7; NONCE_BYTES])
        };
        let create = Command::Create(Box::new(manifest));
        self.engine.handle(Input::Command(0, create), NOW);
        let mut outputs = std::iter::from_fn(|| self.engine.poll_output());
        let created = outputs.find_map(|output| match output {
            Output::Reply(_, Ok(Reply::Created(log))) => Some(log),
            _ => None,
        });
        let log = created.unwrap();
        self.logs.push(log);
        log
    }

    fn publish(&mut self, log: LogId, records: &[Record]) {
        let size = records.len() as u64;
        // As many at once as the longest values of a test allow.
        for some in records.chunks(32) {
            let publish = Command::Publish {
                log,
                records: some.to_vec(),
                expect_size: None,
            };
            self.engine.handle(Input::Command(1, publish), NOW);
            self.engine.commit(NOW);
        }
        assert_eq!(self.engine.status(log).unwrap().usable_size(), size);
    }

    /// How each of them stands.
    pub(super) fn stati(&self) -> Vec<LogStatus> {
        let status = |&log| self.engine.status(log).unwrap();
        self.logs.iter().map(status).collect()
    }

    /// Where their records are.
    pub(super) fn store(&self) -> &MemoryStore {
        self.engine.store()
    }
}

fn key() -> SigningKey {
    SigningKey::from_secret(&mut [1; 32])
}
