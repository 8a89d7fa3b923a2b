//! Writes the first inputs of the fuzz targets: real messages, out of a world in
//! the simulator, and scripts by dice.
//!
//! `scripts/fuzz --seeds`, then `scripts/fuzz --keep`. It is built as a target,
//! because it is linked with what those are linked with.
#![no_main]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use headwater_protocols::engine::Command;
use headwater_protocols::id::{LogId, Topic};
use headwater_protocols::identity::SigningKey;
use headwater_protocols::log::Announcement;
use headwater_protocols::manifest::{Manifest, NONCE_BYTES, ValueType};
use headwater_protocols::merkle::CompactRange;
use headwater_protocols::record::{EncodedChunk, Record};
use headwater_protocols::sim::{NetworkConfig, NodeId, Sim, Twisted};
use headwater_protocols::store::{Store, Table};
use headwater_protocols::sync::retrieval::Retrieval;
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::v1;
use headwater_protocols::{peers, quorum};
use prost::Message;

const SECOND: u64 = 1_000_000;

type Frames = Rc<RefCell<Vec<v1::Frame>>>;

libfuzzer_sys::fuzz_target!(init: write_all(), |_bytes: &[u8]| {});

fn write_all() {
    let world = World::run();
    write("messages", world.messages());
    write("chunks", world.chunks());
    write("manifests", world.signed());
    write("boxes", world.boxes());
    write("texts", texts());
    for (name, lengths) in [
        ("ranges", [24, 96]),
        ("trees", [40, 120]),
        ("hostile_peer", [60, 300]),
        ("hostile_owner", [60, 300]),
    ] {
        write(name, scripts(name, lengths));
    }
}

fn write(target: &str, inputs: BTreeSet<Vec<u8>>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&dir).expect("the corpus can be written");
    for (number, input) in inputs.iter().enumerate() {
        fs::write(dir.join(format!("seed-{number}")), input).expect("the corpus can be written");
    }
}

/// Scripts of any bytes.
fn scripts(name: &str, lengths: [usize; 2]) -> BTreeSet<Vec<u8>> {
    let mut state = name.bytes().fold(1_u64, |state, byte| {
        state.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let mut dice = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let script = |number: usize| lengths[number % 2];
    (0..24)
        .map(script)
        .map(|length| (0..length).map(|_| dice()).collect())
        .collect()
}

fn texts() -> BTreeSet<Vec<u8>> {
    let id = LogId([0xa5; 32]);
    let id_in_base58 = format!("z{}", "b2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA");
    let texts = [
        "0",
        "-0",
        "+3",
        ".5",
        "-5.e+2",
        "007.50",
        "1E+05",
        "1e999",
        "nan",
        "[1]",
        "\"x\"",
        "wind 2 m",
        "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
        "/headwater/2/bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e/data",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        &id.to_string(),
        &id.to_string().to_uppercase(),
        &Topic::Meta(id).to_string(),
        &id_in_base58,
        &"0f".repeat(32),
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

struct World {
    sim: Sim,
    nodes: Vec<NodeId>,
    log: LogId,
    frames: Frames,
}

fn record(name: &str, index: u64) -> Record {
    Record::new(Timestamp(index as i64), format!("{name}{index}").as_bytes())
}

impl World {
    /// A world in which everything happens that makes nodes talk.
    fn run() -> Self {
        let mut sim = Sim::new(1);
        let key = SigningKey::from_secret(&mut [70; 32]);
        let owners = [(); 2].map(|()| sim.add_node_with_key(key.clone()));
        let manifest = manifest(&key);
        let mut world = Self {
            log: LogId([0; 32]),
            nodes: owners.to_vec(),
            frames: Frames::default(),
            sim,
        };
        for (owner, name) in owners.into_iter().zip(["a", "b"]) {
            world.log = world.sim.create(owner, manifest.clone());
            let records = (0..30)
                .map(|index| record("", index))
                .chain((30..40).map(|i| record(name, i)));
            world.sim.publish(owner, world.log, records.collect());
        }
        world.sim.run_for(0);
        for _ in 0..4 {
            let node = world.sim.add_node();
            world.sim.follow(node, world.log);
            world.nodes.push(node);
        }
        for &node in &world.nodes {
            let frames = world.frames.clone();
            let listen = move |frame: v1::Frame| {
                frames.borrow_mut().push(frame.clone());
                Twisted::Frame(frame)
            };
            world.sim.twist(node, Box::new(listen));
        }
        world.meet();
        world
    }

    fn meet(&mut self) {
        let [a, b, one, two, three, last] = self.nodes[..] else {
            unreachable!("there are six");
        };
        let log = self.log;
        self.sim.connect(a, one);
        self.sim.connect(one, two);
        self.sim.run_for(5 * SECOND);
        self.sim
            .command(two, Command::Retrieve(Retrieval::Index(log, 3)));
        self.sim
            .command(two, Command::Discover("readings".to_owned()));
        self.sim.set_network(NetworkConfig {
            gossip_loss: 1.0,
            ..NetworkConfig::default()
        });
        let more = (40..50).map(|index| record("a", index)).collect();
        self.sim.publish(a, log, more);
        self.sim.run_for(20 * SECOND);
        self.sim.set_network(NetworkConfig::default());
        self.sim.connect(two, three);
        self.sim.run_for(20 * SECOND);
        self.sim.connect(b, last);
        self.sim.run_for(5 * SECOND);
        self.sim.connect(last, three);
        self.sim.run_for(60 * SECOND);
    }

    /// The two shortest of each kind.
    fn messages(&self) -> BTreeSet<Vec<u8>> {
        let mut all: Vec<(u8, Vec<u8>)> = Vec::new();
        for frame in self.frames.borrow().iter() {
            all.push((0, frame.encode_to_vec()));
        }
        for said in self.sim.said() {
            let body = Some(said.body.clone());
            all.push((1, v1::Meta { body }.encode_to_vec()));
        }
        let status = self
            .sim
            .status(self.nodes[2], self.log)
            .expect("it is followed");
        let (head, manifest) = (
            status.head.expect("one came"),
            status.manifest.expect("it came"),
        );
        let prefix = CompactRange::empty(0);
        all.push((
            2,
            Announcement::encode(&head, &prefix, &Bytes::new(), &prefix).to_vec(),
        ));
        all.push((3, head.bytes().to_vec()));
        all.push((4, manifest.bytes().to_vec()));
        all.extend(questions());
        for (kind, table) in [(11, Table::Logs), (15, Table::Heads)] {
            let rows = |_: &[u8], row: &[u8]| {
                all.push((kind, row.to_vec()));
                std::ops::ControlFlow::Continue(())
            };
            scan(&**self.sim.store(self.nodes[3]), table, rows);
        }
        if let Some(fork) = status.fork {
            all.push((16, fork.to_wire().encode_to_vec()));
        }
        shortest(all)
    }

    fn chunks(&self) -> BTreeSet<Vec<u8>> {
        let chunk = |count: u64| {
            let records: Vec<Record> = (0..count).map(|index| record("x", index)).collect();
            let bytes = EncodedChunk::of(&records).bytes;
            [&[count as u8, 40][..], &bytes].concat()
        };
        [1, 2, 16].into_iter().map(chunk).collect()
    }

    fn signed(&self) -> BTreeSet<Vec<u8>> {
        let status = self
            .sim
            .status(self.nodes[2], self.log)
            .expect("it is followed");
        let mut head = *status.head.expect("one came");
        head.log = LogId([7; 32]);
        let key = SigningKey::from_secret(&mut [1; 32]);
        let manifest = manifest(&key).sign(&key).expect("it is one");
        [
            [&[0][..], manifest.bytes()].concat(),
            [&[1][..], head.sign(&key).bytes()].concat(),
            [&[2][..], &[1; 90]].concat(),
            [&[3][..], &[1; 60]].concat(),
        ]
        .into()
    }

    fn boxes(&self) -> BTreeSet<Vec<u8>> {
        let status = self
            .sim
            .status(self.nodes[2], self.log)
            .expect("it is followed");
        let peer = Bytes::from(self.sim.peer(self.nodes[0]).to_bytes());
        let server = || v1::RendezvousServer {
            peer: peer.clone(),
            address: Bytes::from_static(b"an address"),
        };
        let interval = v1::Interval { from: 3, to: 9 };
        let offer = v1::OfferContent {
            manifest: status.manifest.map(|manifest| manifest.to_wire()),
            head: status.head.map(|head| head.to_wire()),
            held: vec![interval],
            record: Bytes::from_static(b"a record"),
            key: Bytes::from_static(&[5; 32]),
            rendezvous_key: Bytes::from_static(&[6; 32]),
            servers: vec![server()],
        };
        let accept = v1::AcceptContent {
            record: Bytes::from_static(b"a record"),
            rendezvous_key: Bytes::from_static(&[6; 32]),
            server: Some(server()),
        };
        let join = v1::Join {
            key: Bytes::from_static(&[5; 32]),
            size: 9,
            held: vec![interval],
            wish: vec![interval],
            attempt: 1,
            lacks_manifest: true,
        };
        [
            [&[0][..], b"anything"].concat(),
            [&[1][..], &offer.encode_to_vec()].concat(),
            [&[2][..], &accept.encode_to_vec()].concat(),
            [&[3][..], &join.encode_to_vec()].concat(),
            [&[4][..], &[5; 40]].concat(),
        ]
        .into()
    }
}

fn manifest(key: &SigningKey) -> Manifest {
    Manifest {
        description: "what it is".to_owned(),
        source: "where it comes from".to_owned(),
        target: Some(LogId([4; 32])),
        unit: "m/s".to_owned(),
        value_type: ValueType::Text,
        cadence_us: SECOND,
        chunk_level: 2,
        ..Manifest::new(key.public(), "readings", [7; NONCE_BYTES])
    }
}

/// Messages that engines do not send.
fn questions() -> Vec<(u8, Vec<u8>)> {
    let record = Bytes::from_static(b"a record");
    let told = peers::Told {
        record: record.clone(),
        subscribed: [0, 9].into(),
    };
    let group = |time| quorum::Group {
        time: Timestamp(time),
        values: vec![Bytes::from_static(b"1.5"), Bytes::from_static(b"2")],
    };
    let groups = quorum::Answer::Groups {
        groups: vec![group(9), group(4)],
        is_beginning: true,
    };
    let asked = quorum::Question {
        history: quorum::HistoryId([4; 32]),
        before: Timestamp(10),
        groups: 5,
    };
    let streams = vec![LogId([4; 32])];
    vec![
        (
            5,
            peers::Question {
                streams,
                count: 4,
                record: record.clone(),
            }
            .encode(),
        ),
        (
            6,
            peers::Answer {
                record: record.clone(),
                peers: vec![told],
                busy: false,
            }
            .encode(),
        ),
        (7, asked.encode()),
        (8, groups.encode()),
        (8, quorum::Answer::Refused(quorum::Refusal::Busy).encode()),
        (
            9,
            v1::Registration {
                hash: Bytes::from_static(&[1; 32]),
                record: record.clone(),
            }
            .encode_to_vec(),
        ),
        (
            10,
            v1::Meeting {
                record: record.clone(),
                observed: record.clone(),
            }
            .encode_to_vec(),
        ),
        (
            12,
            v1::StoredDeletion {
                chunk_level: 4,
                next_chunk: 300,
                is_reclaiming: true,
            }
            .encode_to_vec(),
        ),
        (
            13,
            v1::StoredHistory {
                name: "x".to_owned(),
                state: 2,
                bytes: 9,
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        (
            14,
            v1::PeerCache {
                peers: vec![v1::CachedPeer {
                    record,
                    met_us: 5,
                    reach: 1,
                    streams: vec![Bytes::from_static(&[4; 32])],
                }],
            }
            .encode_to_vec(),
        ),
    ]
}

fn scan(
    store: &impl Store,
    table: Table,
    mut visit: impl FnMut(&[u8], &[u8]) -> std::ops::ControlFlow<()>,
) {
    store
        .scan(table, &[], &[0xff; 32], &mut visit)
        .expect("memory can be read");
}

/// The two shortest messages of each kind, of frames and meta messages of each
/// kind of body.
fn shortest(all: Vec<(u8, Vec<u8>)>) -> BTreeSet<Vec<u8>> {
    let mut kinds: BTreeMap<(u8, String), BTreeSet<(usize, Vec<u8>)>> = BTreeMap::new();
    for (kind, bytes) in all {
        let body = match kind {
            0 => format!(
                "{:?}",
                v1::Frame::decode(&bytes[..]).expect("it was one").body
            ),
            1 => format!(
                "{:?}",
                v1::Meta::decode(&bytes[..]).expect("it was one").body
            ),
            _ => String::new(),
        };
        let body = body.chars().take(16).collect();
        kinds
            .entry((kind, body))
            .or_default()
            .insert((bytes.len(), [&[kind][..], &bytes].concat()));
    }
    let two = kinds
        .into_values()
        .flat_map(|inputs| inputs.into_iter().take(2));
    two.map(|(_, input)| input).collect()
}
