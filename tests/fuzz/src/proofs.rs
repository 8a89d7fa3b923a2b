//! Proof files, evidence files and exports that carry their proof, altered.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use headwater_client::proof::{
    ExportProof, Proved, evidence, prove_consistency, prove_export, prove_inclusion, verify,
    verify_evidence,
};
use headwater_export::{Encoder, Format, verify_csv, verify_parquet};
use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::merkle::{CompactRange, Hash};
use headwater_protocols::record::Record;
use headwater_protocols::sim::{NodeId, Sim};
use headwater_protocols::store::History;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use serde_json::{Value, json};

use crate::memory::bounded;
use crate::world::{manifest, record};

/// Records that both branches of the forked stream begin with.
const COMMON: u64 = 9;

/// Records of a stream.
const SIZE: u64 = 21;

/// A byte of JSON may become so many: its strings are read, and from these bytes.
const TIMES: u64 = 32;

/// The script says which file it is and what becomes of it.
pub fn proofs(bytes: &[u8]) {
    let mut script = Unstructured::new(bytes);
    let _ = TRUTH.run(&mut script);
}

static TRUTH: LazyLock<Truth> = LazyLock::new(Truth::new);

/// Real files, and what is true of their streams.
struct Truth {
    /// A stream, and its records.
    streams: Vec<(LogId, Vec<Record>)>,
    files: Vec<Value>,
    evidence: Vec<Value>,
    /// Of each kind the file, and the proof that it carries or has beside it.
    exports: Vec<(Format, Vec<u8>, String)>,
    /// Where an altered export is written.
    place: PathBuf,
}

impl Truth {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("headwater-fuzz").tempdir();
        let folder = folder.expect("there is room for a file").keep();
        let mut truth = Self {
            streams: Vec::new(),
            files: Vec::new(),
            evidence: Vec::new(),
            exports: Vec::new(),
            place: folder.join("export"),
        };
        let mut sim = Sim::new(1);
        for name in ["a", "b"] {
            truth.add_stream(&mut sim, name);
        }
        truth.add_fork(&mut sim);
        truth
    }

    fn add_stream(&mut self, sim: &mut Sim, name: &str) {
        let node = sim.add_node();
        let records: Vec<_> = (0..SIZE).map(|index| record(name, index)).collect();
        let stream = manifest(sim.key(node), 2, 0);
        let log = publish(sim, node, stream, records.clone());
        let status = sim.status(node, log).expect("it is ours");
        let history = History::new(&**sim.store(node), status.key.expect("it is ours"));
        for index in [0, 6, SIZE - 1] {
            let file = prove_inclusion(&status, &history, index).expect("it is held");
            self.files
                .push(serde_json::to_value(file).expect("it is JSON"));
        }
        for (first, second) in [(1, SIZE), (6, 13), (SIZE, SIZE)] {
            let file = prove_consistency(&status, &history, first, second).expect("it is held");
            self.files
                .push(serde_json::to_value(file).expect("it is JSON"));
        }
        self.export(&status, &history, &records);
        self.streams.push((log, records));
    }

    fn export<S: headwater_protocols::store::Store + ?Sized>(
        &mut self,
        status: &LogStatus,
        history: &History<'_, S>,
        records: &[Record],
    ) {
        let value_type = status.manifest.as_ref().expect("it is ours").value_type;
        let (from, to) = (3, 17);
        let proof = prove_export(status, history, from, to).expect("it is held");
        self.files
            .push(serde_json::to_value(&proof).expect("it is JSON"));
        let proof = proof.to_json();
        for format in [Format::Csv, Format::Parquet] {
            let path = &self.place;
            let file = fs::File::create(path).expect("there is room for a file");
            let encoder = match format {
                Format::Parquet => Encoder::begin_proved(value_type, &proof, file),
                _ => Encoder::begin(format, value_type, file),
            };
            let mut encoder = encoder.expect("it can be written");
            for index in from..to {
                encoder
                    .record(index, &records[index as usize])
                    .expect("it can be written");
            }
            encoder.finish().expect("it can be written");
            let bytes = fs::read(path).expect("it was written");
            self.exports.push((format, bytes, proof.clone()));
        }
    }

    /// An owner with two histories, and a follower that knows.
    fn add_fork(&mut self, sim: &mut Sim) {
        let key = SigningKey::from_secret(&mut [70; 32]);
        let owners = ["x", "y"].map(|name| {
            let node = sim.add_node_with_key(key.clone());
            let name = |index| if index < COMMON { "" } else { name };
            let records: Vec<_> = (0..SIZE).map(|index| record(name(index), index)).collect();
            (node, publish(sim, node, manifest(&key, 2, 0), records))
        });
        let log = owners[0].1;
        let followers = owners.map(|(owner, _)| {
            let node = sim.add_node();
            sim.follow(node, log);
            sim.connect(owner, node);
            node
        });
        sim.run_for(10_000_000);
        sim.connect(followers[0], followers[1]);
        sim.run_for(60_000_000);
        for node in followers {
            let status = sim.status(node, log).expect("it is followed");
            let file = evidence(&status).expect("it is forked");
            self.evidence
                .push(serde_json::to_value(file).expect("it is JSON"));
        }
    }

    fn run(&self, script: &mut Unstructured<'_>) -> Result<()> {
        match script.arbitrary::<u8>()? % 6 {
            0..=2 => self.proof(script),
            3 => self.fork(script),
            _ => self.exported(script),
        }
    }

    fn expected(&self, script: &mut Unstructured<'_>) -> Result<Option<LogId>> {
        let which = usize::from(script.arbitrary::<u8>()?) % 3;
        Ok(self.streams.get(which).map(|(log, _)| *log))
    }

    fn proof(&self, script: &mut Unstructured<'_>) -> Result<()> {
        let text = altered(&self.files, script)?;
        let expected = self.expected(script)?;
        let verified = bounded("a proof file", text.len(), TIMES, || {
            verify(&text, expected)
        });
        if let Ok(verified) = verified {
            assert!(expected.is_none_or(|expected| expected == verified.stream()));
            let records = self.records(verified.stream());
            assert_eq!(verified.head.root, root(records));
            match verified.proved {
                Proved::Record { index, record } => assert_eq!(record, records[index as usize]),
                Proved::Consistency {
                    first_size,
                    first_root,
                    second_size,
                    second_root,
                } => {
                    assert_eq!(first_root, root(&records[..first_size as usize]));
                    assert_eq!(second_root, root(&records[..second_size as usize]));
                }
            }
        }
        let Ok(proof) = serde_json::from_str::<ExportProof>(&text) else {
            return Ok(());
        };
        let verified = bounded("the proof of an export", text.len(), TIMES, || {
            proof.verify(expected)
        });
        if let Ok(proved) = verified {
            let records = self.records(proved.manifest.stream());
            assert!(proved.from <= proved.to && proved.to <= records.len() as u64);
            for (run, hash) in proved.runs {
                let mut range = CompactRange::empty(run.begin());
                for record in &records[run.begin() as usize..run.end() as usize] {
                    range
                        .append_leaf(record.leaf(), &mut |_, _| ())
                        .expect("it is a small tree");
                }
                assert_eq!(range.hashes(), [hash]);
            }
        }
        Ok(())
    }

    fn records(&self, stream: LogId) -> &[Record] {
        let known = self.streams.iter().find(|(log, _)| *log == stream);
        &known.expect("nobody signed another one").1
    }

    fn fork(&self, script: &mut Unstructured<'_>) -> Result<()> {
        let text = altered(&self.evidence, script)?;
        let verified = bounded("evidence", text.len(), TIMES, || {
            verify_evidence(&text, None)
        });
        if let Ok(proved) = verified {
            assert!(proved.fork.smaller.size > COMMON);
            assert!(proved.common_size().is_none_or(|common| common <= COMMON));
        }
        Ok(())
    }

    /// Only the file that was exported is what was signed.
    fn exported(&self, script: &mut Unstructured<'_>) -> Result<()> {
        let which = usize::from(script.arbitrary::<u8>()?) % self.exports.len();
        let (format, original, proof) = &self.exports[which];
        let mut bytes = original.clone();
        for _ in 0..1 + script.arbitrary::<u8>()? % 4 {
            edit(&mut bytes, script)?;
        }
        fs::write(&self.place, &bytes).expect("there is room for a file");
        // A row group has a bound of its own.
        let verified = bounded(
            "an export",
            bytes.len() + headwater_export::limits::MAX_READ_GROUP_BYTES,
            4,
            || match format {
                Format::Parquet => verify_parquet(&self.place, None),
                _ => verify_csv(&self.place, proof, None),
            },
        );
        assert!(
            verified.is_err() || bytes == *original,
            "another file, verified"
        );
        Ok(())
    }
}

fn publish(
    sim: &mut Sim,
    node: NodeId,
    manifest: headwater_protocols::manifest::Manifest,
    records: Vec<Record>,
) -> LogId {
    let log = sim.create(node, manifest);
    sim.publish(node, log, records);
    sim.run_for(0);
    log
}

fn root(records: &[Record]) -> Hash {
    let mut range = CompactRange::empty(0);
    for record in records {
        range
            .append_leaf(record.leaf(), &mut |_, _| ())
            .expect("it is a small tree");
    }
    range.root().expect("it begins at 0")
}

/// Changes, inserts or removes bytes.
fn edit(bytes: &mut Vec<u8>, script: &mut Unstructured<'_>) -> Result<()> {
    let [how, value] = script.arbitrary::<[u8; 2]>()?;
    let place = usize::from(script.arbitrary::<u16>()?) % (bytes.len() + 1);
    match how % 4 {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= value.max(1);
            }
        }
        2 => bytes.insert(place, value),
        _ => {
            let end = (place + usize::from(value)).min(bytes.len());
            bytes.drain(place..end);
        }
    }
    Ok(())
}

/// One of the files with some fields changed, as its text.
fn altered(files: &[Value], script: &mut Unstructured<'_>) -> Result<String> {
    let [which, other, count] = script.arbitrary::<[u8; 3]>()?;
    let mut file = files[usize::from(which) % files.len()].clone();
    let other = &files[usize::from(other) % files.len()];
    for _ in 0..count % 4 {
        let Value::Object(fields) = &mut file else {
            break;
        };
        let [name, how, value] = script.arbitrary::<[u8; 3]>()?;
        let place = usize::from(name) % fields.len().max(1);
        let Some(name) = fields.keys().nth(place).cloned() else {
            break;
        };
        alter(fields, name, other, how, value);
    }
    let mut text = file.to_string().into_bytes();
    if count >= 128 {
        edit(&mut text, script)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn alter(
    fields: &mut serde_json::Map<String, Value>,
    name: String,
    other: &Value,
    how: u8,
    value: u8,
) {
    match how % 8 {
        0 => drop(fields.remove(&name)),
        // What another file says, also of another kind.
        1 | 2 => {
            if let Some(theirs) = other.get(&name) {
                fields.insert(name, theirs.clone());
            }
        }
        3 => {
            let numbers = [
                json!(0),
                json!(u64::MAX),
                json!(1_u64 << 62),
                json!(-1),
                json!(value),
            ];
            fields.insert(name, numbers[usize::from(value) % numbers.len()].clone());
        }
        4 => {
            if let Some(Value::Number(number)) = fields.get(&name) {
                let number = number.as_u64().unwrap_or_default();
                let near = number.wrapping_add_signed(i64::from(value as i8));
                fields.insert(name, json!(near));
            }
        }
        5 => {
            if let Some(Value::Array(list)) = fields.get_mut(&name) {
                list_altered(list, value);
            }
        }
        6 => {
            let place = usize::from(value) % fields.len();
            let theirs = fields.values().nth(place).cloned().unwrap_or_default();
            fields.insert(name, theirs);
        }
        _ => {
            if let Some(Value::String(text)) = fields.get_mut(&name) {
                text_altered(text, value);
            }
        }
    }
}

fn list_altered(list: &mut Vec<Value>, value: u8) {
    if list.is_empty() {
        return;
    }
    let place = usize::from(value / 4) % list.len();
    match value % 4 {
        0 => drop(list.remove(place)),
        1 => list.insert(place, list[place].clone()),
        2 => list.swap(0, place),
        _ => {
            if let Value::String(text) = &mut list[place] {
                text_altered(text, value);
            }
        }
    }
}

/// Another character in a text, in ASCII as it was.
fn text_altered(text: &mut String, value: u8) {
    let place = usize::from(value) % text.len().max(1);
    let Some(found) = text.as_bytes().get(place) else {
        return;
    };
    let digits = b"0123456789abcdefABCDEF+/=";
    let next = digits[(usize::from(*found) + usize::from(value)) % digits.len()];
    if text.is_char_boundary(place) && text.is_char_boundary(place + 1) {
        text.replace_range(place..=place, &char::from(next).to_string());
    }
}
