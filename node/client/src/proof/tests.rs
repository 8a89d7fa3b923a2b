use headwater_protocols::engine::{Command, Engine, Input, LogStatus, Output, Reply, Settings};
use headwater_protocols::head::{Closing, Head};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::kind::Kind;
use headwater_protocols::log::ForkProof;
use headwater_protocols::manifest::{Manifest, NONCE_BYTES};
use headwater_protocols::record::Record;
use headwater_protocols::store::MemoryStore;
use headwater_protocols::time::Timestamp;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

/// A stream of our own with `size` records in chunks of four.
fn stream(size: u64, secret: u8) -> (Engine<MemoryStore>, LogStatus) {
    let key = SigningKey::from_secret(&mut [secret; 32]);
    let manifest = Manifest {
        unit: "°C".to_owned(),
        chunk_level: 2,
        created: NOW,
        ..Manifest::new(key.public(), "temperature", [7; NONCE_BYTES])
    };
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
    let mut engine = Engine::open(MemoryStore::new(), key, &settings, NOW).unwrap();
    engine.handle(Input::Command(0, Command::Create(Box::new(manifest))), NOW);
    let mut outputs = std::iter::from_fn(|| engine.poll_output());
    let log = outputs.find_map(|output| match output {
        Output::Reply(_, Ok(Reply::Created(log))) => Some(log),
        _ => None,
    });
    let log = log.unwrap();
    let records = (0..size).map(|i| Record::new(Timestamp(i as i64), i.to_string().as_bytes()));
    let publish = Command::Publish {
        log,
        records: records.collect(),
        expect_size: None,
    };
    engine.handle(Input::Command(1, publish), NOW);
    engine.commit(NOW);
    let status = engine.status(log).unwrap();
    assert_eq!(status.head.as_ref().unwrap().size, size);
    (engine, status)
}

fn inclusion_file(size: u64, index: u64) -> Value {
    let (engine, status) = stream(size, 1);
    let history = History::new(engine.store(), status.key.unwrap());
    serde_json::to_value(prove_inclusion(&status, &history, index).unwrap()).unwrap()
}

fn consistency_file(size: u64, first: u64, second: u64) -> Value {
    let (engine, status) = stream(size, 1);
    let history = History::new(engine.store(), status.key.unwrap());
    let proof = prove_consistency(&status, &history, first, second);
    serde_json::to_value(proof.unwrap()).unwrap()
}

/// The head of a stream as others are told of it.
fn told(status: &LogStatus) -> SignedHead {
    let head = status.head.as_ref().expect("it has one");
    head.signed().expect("it is of today").clone()
}

/// The note of a head of the stream that these tests are about.
fn note(head: &SignedHead) -> String {
    head.note(&SigningKey::from_secret(&mut [1; 32]).public())
}

fn check(file: &Value) -> Result<Verified, ProofFileError> {
    verify(&file.to_string(), None)
}

#[test]
fn a_record_is_proved_at_every_place_of_every_small_stream() {
    for size in 1..23 {
        let (engine, status) = stream(size, 1);
        let history = History::new(engine.store(), status.key.unwrap());
        for index in 0..size {
            let file = prove_inclusion(&status, &history, index).unwrap();
            let json = serde_json::to_string(&file).unwrap();
            let verified = verify(&json, Some(status.log)).unwrap();
            assert_eq!(verified.stream(), status.log);
            assert_eq!(verified.head.size, size);
            let record = Record::new(Timestamp(index as i64), index.to_string().as_bytes());
            assert_eq!(verified.proved, Proved::Record { index, record });
        }
        let position = size;
        let refused = prove_inclusion(&status, &history, position);
        assert_eq!(refused, Err(NoProof::BeyondHead { position, size }));
    }
}

#[test]
fn any_two_states_of_a_stream_are_proved_against_its_one_head() {
    for size in 1..14 {
        let (engine, status) = stream(size, 1);
        let history = History::new(engine.store(), status.key.unwrap());
        for second in 1..=size {
            for first in 1..=second {
                let file = prove_consistency(&status, &history, first, second).unwrap();
                let verified = verify(&serde_json::to_string(&file).unwrap(), Some(status.log));
                let Proved::Consistency { first_root, .. } = verified.unwrap().proved else {
                    panic!("not a consistency proof");
                };
                // The root that the publisher signed when the stream had this size.
                let (_, then) = stream(first, 1);
                assert_eq!(first_root, then.head.unwrap().root);
            }
        }
    }
}

#[test]
fn what_was_never_signed_cannot_be_proved() {
    let (engine, mut status) = stream(5, 1);
    let history = History::new(engine.store(), status.key.unwrap());
    let prove = |first, second| prove_consistency(&status, &history, first, second);
    assert_eq!(
        prove(1, 6),
        Err(NoProof::BeyondHead {
            position: 6,
            size: 5
        })
    );
    assert_eq!(
        prove(4, 3),
        Err(NoProof::BeyondHead {
            position: 4,
            size: 3
        })
    );
    assert!(matches!(prove(0, 3), Err(NoProof::Impossible(_))));
    status.head = None;
    assert_eq!(prove_inclusion(&status, &history, 0), Err(NoProof::NoHead));
}

#[test]
fn a_proof_about_another_stream_is_refused() {
    let (_, other) = stream(1, 2);
    let file = inclusion_file(5, 3);
    let refused = verify(&file.to_string(), Some(other.log));
    assert!(
        matches!(refused, Err(ProofFileError::OtherStream { expected, .. }) if expected == other.log)
    );
    assert!(matches!(verify("{}", None), Err(ProofFileError::NotProof)));
    assert!(matches!(verify("x", None), Err(ProofFileError::NotJson(_))));
    assert!(
        verify(r#"{"index":0}"#, Some(LogId([0; 32])))
            .unwrap_err()
            .to_string()
            .contains("stream")
    );
}

/// Every way in which this test alters one value.
fn alterations(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            let others = [number + 1, number.wrapping_sub(1), 0, u64::MAX];
            others
                .into_iter()
                .filter(|&other| other != number)
                .map(Value::from)
                .collect()
        }
        Value::String(text) => altered_texts(text).into_iter().map(Value::from).collect(),
        Value::Array(items) => {
            let mut altered = Vec::new();
            for (place, item) in items.iter().enumerate() {
                let mut without = items.clone();
                without.remove(place);
                altered.push(Value::from(without));
                let mut twice = items.clone();
                twice.insert(place, item.clone());
                altered.push(Value::from(twice));
                for other in alterations(item) {
                    let mut with = items.clone();
                    with[place] = other;
                    altered.push(Value::from(with));
                }
            }
            let mut longer = items.clone();
            longer.push(json!("00".repeat(32)));
            altered.push(Value::from(longer));
            altered
        }
        other => panic!("no proof has {other}"),
    }
}

/// One character other, for each character; one less; one more; upper case.
fn altered_texts(text: &str) -> Vec<String> {
    let mut altered = vec![String::new(), format!("{text}A"), format!("{text}=")];
    altered.push(text[..text.len() - 1].to_owned());
    for (place, old) in text.char_indices() {
        for new in ['A', 'b', '0'] {
            if new != old {
                let (before, after) = (&text[..place], &text[place + old.len_utf8()..]);
                altered.push(format!("{before}{new}{after}"));
            }
        }
    }
    let upper = text.to_uppercase();
    altered.extend(Some(upper).filter(|upper| upper != text));
    altered
}

fn every_alteration_is_refused(file: &Value) {
    assert!(check(file).is_ok());
    let fields = file.as_object().unwrap();
    for (field, value) in fields {
        for other in alterations(value) {
            let mut altered = file.clone();
            altered[field] = other.clone();
            assert!(check(&altered).is_err(), "{field}: {value} became {other}");
        }
        let mut without = file.clone();
        without.as_object_mut().unwrap().remove(field);
        // An absent list of hashes is an empty one.
        if *value != json!([]) {
            assert!(check(&without).is_err(), "without {field}");
        }
    }
}

#[test]
fn altering_any_field_of_an_inclusion_proof_makes_it_worthless() {
    every_alteration_is_refused(&inclusion_file(13, 5));
    every_alteration_is_refused(&inclusion_file(1, 0));
}

#[test]
fn altering_any_field_of_a_consistency_proof_makes_it_worthless() {
    every_alteration_is_refused(&consistency_file(13, 5, 11));
    every_alteration_is_refused(&consistency_file(13, 6, 13));
}

#[test]
fn what_stands_beside_a_proof_and_is_not_proved_is_refused() {
    for file in [inclusion_file(13, 5), consistency_file(13, 5, 11)] {
        let mut more = file.clone();
        more["value"] = json!("999.9");
        let said = check(&more).unwrap_err().to_string();
        assert!(said.contains("`value`"), "{said}");
        // Of two fields of one name readers take one or the other.
        let text = file.to_string();
        for (field, value) in file.as_object().unwrap() {
            for twice in [
                format!("{{\"{field}\":{value},"),
                format!("{{\"{field}\":0,"),
            ] {
                let twice = text.replacen('{', &twice, 1);
                let said = verify(&twice, None).unwrap_err().to_string();
                assert!(
                    said.contains("duplicate") || said.contains("invalid type"),
                    "{said}"
                );
            }
        }
        let behind = format!("{text} {{}}");
        assert!(verify(&behind, None).is_err());
    }
}

#[test]
fn no_other_size_or_place_passes_for_the_right_one() {
    for size in 1..11 {
        for index in 0..size {
            let file = inclusion_file(size, index);
            let others = (0..14).filter(|&other| other != index);
            others.for_each(|other| assert!(check(&with(&file, "index", other)).is_err()));
        }
        for second in 1..=size {
            for first in 1..=second {
                let file = consistency_file(size, first, second);
                for other in 0..14 {
                    let same = check(&with(&file, "first_size", other)).is_ok();
                    assert_eq!(same, other == first, "{first} {second} {size} as {other}");
                    let same = check(&with(&file, "second_size", other)).is_ok();
                    assert_eq!(same, other == second, "{first} {second} {size} as {other}");
                }
            }
        }
    }
}

fn with(file: &Value, field: &str, value: u64) -> Value {
    let mut altered = file.clone();
    altered[field] = json!(value);
    altered
}

#[test]
fn a_first_head_that_is_given_must_be_the_publishers() {
    let mut file = consistency_file(13, 5, 11);
    let (_, then) = stream(5, 1);
    let head = told(&then);
    file["first_head"] = json!(note(&head));
    assert!(check(&file).is_err(), "without its signature");
    file["first_head_signature"] = json!(BASE64.encode(head.signature()));
    every_alteration_is_refused_of_first_head(&file);
    let (_, other) = stream(6, 1);
    let other = told(&other);
    file["first_head"] = json!(note(&other));
    file["first_head_signature"] = json!(BASE64.encode(other.signature()));
    assert!(matches!(
        check(&file),
        Err(ProofFileError::Disagrees {
            field: "first_size",
            ..
        })
    ));
}

fn every_alteration_is_refused_of_first_head(file: &Value) {
    assert!(check(file).is_ok());
    for field in ["first_head", "first_head_signature"] {
        for other in alterations(&file[field]) {
            let mut altered = file.clone();
            altered[field] = other;
            assert!(check(&altered).is_err(), "{field}");
        }
    }
}

#[test]
fn a_proof_signed_by_another_key_is_refused() {
    let (_, stranger) = stream(13, 2);
    let stranger = told(&stranger);
    let mut file = inclusion_file(13, 5);
    let theirs = SigningKey::from_secret(&mut [2; 32]).public();
    file["head"] = json!(stranger.note(&theirs));
    file["head_signature"] = json!(BASE64.encode(stranger.signature()));
    assert!(matches!(
        check(&file),
        Err(ProofFileError::Head { field: "head", .. })
    ));
}

#[test]
fn of_a_stream_that_is_too_new_trees_are_proved_and_no_records() {
    let (_, status) = stream(5, 1);
    let key = SigningKey::from_secret(&mut [1; 32]);
    let later = Manifest {
        kind: Kind::Page,
        ..status.manifest.as_deref().cloned().unwrap()
    };
    let later = later.sign_as_it_is(&key).unwrap();
    let head = status.head.unwrap();
    let head = Head {
        log: later.stream(),
        ..(*head).clone()
    };
    let head = head.sign(&key);
    let check = |mut file: Value| {
        file["stream"] = json!(later.stream().to_string());
        file["manifest"] = json!(BASE64.encode(later.bytes()));
        file["manifest_signature"] = json!(BASE64.encode(later.signature()));
        file["head"] = json!(note(&head));
        file["head_signature"] = json!(BASE64.encode(head.signature()));
        check(&file)
    };
    assert!(matches!(
        check(inclusion_file(5, 3)),
        Err(ProofFileError::TooNew(_))
    ));
    assert!(check(consistency_file(5, 2, 4)).is_ok());
}

#[test]
fn a_head_as_version_0_1_0_had_it_is_named_as_such() {
    let mut file = inclusion_file(13, 5);
    file["head"] = json!(BASE64.encode(b"headwater's early heads were bytes"));
    let said = check(&file).unwrap_err();
    assert_eq!(said, ProofFileError::Early("head"));
    assert!(said.to_string().contains("headwater prove"));
}

#[test]
fn a_head_is_the_note_that_tools_of_other_logs_read() {
    let file = inclusion_file(13, 5);
    let note = file["head"].as_str().unwrap();
    let stream = file["stream"].as_str().unwrap();
    let lines: Vec<_> = note.lines().collect();
    assert_eq!(lines[..2], [&*format!("headwater/1/{stream}"), "13"]);
    assert!(lines[5].starts_with("\u{2014} headwater/1/"));
    // Somebody else has signed it, too: that is not looked at.
    let mut witnessed = file.clone();
    let line = format!("\u{2014} witness.example/w1 {}\n", BASE64.encode(&[9; 76]));
    witnessed["head"] = json!(format!("{note}{line}"));
    assert!(check(&witnessed).is_ok());
}

/// A stream of nine records that its owner has closed, and a later head of it.
fn went_on() -> LogStatus {
    let (_, mut status) = stream(9, 1);
    let key = SigningKey::from_secret(&mut [1; 32]);
    let ours = (*told(&status)).clone();
    let closed = Head {
        closing: Some(Closing { successor: None }),
        ..ours.clone()
    };
    let later = Head {
        time: Timestamp(ours.time.0 + 1),
        ..ours
    };
    status.fork = ForkProof::of_heads(&later.sign(&key), &closed.sign(&key));
    status.disputed_from = Some(9);
    status
}

#[test]
fn that_a_closed_stream_went_on_is_shown_by_the_two_heads_alone() {
    let file = evidence(&went_on()).unwrap();
    assert!(file.first_head.contains("\nclosed -\n"));
    let json = serde_json::to_string(&file).unwrap();
    let proved = verify_evidence(&json, None).unwrap();
    assert_eq!(proved.common_size(), Some(9));
    // The other way round, or what came before the end, shows nothing.
    let turned = EvidenceFile {
        first_head: file.second_head.clone(),
        first_head_signature: file.second_head_signature.clone(),
        second_head: file.first_head.clone(),
        second_head_signature: file.first_head_signature.clone(),
        ..file
    };
    let turned = serde_json::to_string(&turned).unwrap();
    assert!(matches!(
        verify_evidence(&turned, None),
        Err(ProofFileError::NoFork(_))
    ));
}

/// A stream of nine records, and a head of another nine that its owner signed.
fn forked() -> LogStatus {
    let (_, mut status) = stream(9, 1);
    let ours = told(&status);
    let other = Head {
        root: Hash([9; 32]),
        ..(*ours).clone()
    };
    let key = SigningKey::from_secret(&mut [1; 32]);
    status.fork = Some(Box::new(ForkProof {
        smaller: ours,
        larger: other.sign(&key),
        left: Vec::new(),
        right: Vec::new(),
        common: None,
    }));
    status.disputed_from = Some(4);
    status
}

/// The values of an object, in the order in which they are written.
fn by_place(json: &str) -> String {
    let mut values = json.to_owned();
    let object: serde_json::Map<String, Value> = serde_json::from_str(json).unwrap();
    for field in object.keys() {
        values = values.replacen(&format!("\"{field}\":"), "", 1);
    }
    let inner = values
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let array = format!("[{}]", inner.unwrap());
    let read: Vec<Value> = serde_json::from_str(&array).unwrap();
    assert_eq!(read.len(), object.len());
    array
}

#[test]
fn an_array_of_the_right_values_is_no_proof() {
    let (engine, status) = stream(20, 1);
    let history = History::new(engine.store(), status.key.unwrap());
    let export = serde_json::to_string(&prove_export(&status, &history, 3, 17).unwrap()).unwrap();
    assert!(verify::parse::<ExportProof>(&export).is_ok());
    assert!(verify::parse::<ExportProof>(&by_place(&export)).is_err());
    let one = serde_json::to_string(&prove_inclusion(&status, &history, 3).unwrap()).unwrap();
    assert!(verify(&one, None).is_ok());
    assert!(verify(&by_place(&one), None).is_err());

    let mut file = evidence(&forked()).unwrap();
    let json = serde_json::to_string(&file).unwrap();
    assert!(verify_evidence(&json, None).is_ok());
    assert!(verify_evidence(&by_place(&json), None).is_err());
    file.common = Some(CommonPart {
        size: 1,
        tree: Vec::new(),
        level: 0,
        first_rest: Vec::new(),
        second_rest: Vec::new(),
    });
    let json = serde_json::to_string(&file).unwrap();
    assert!(verify::parse::<EvidenceFile>(&json).is_ok());
    let common = serde_json::to_string(&file.common).unwrap();
    let within = json.replace(&common, &by_place(&common));
    assert_ne!(within, json);
    assert!(verify::parse::<EvidenceFile>(&within).is_err());
}

#[test]
fn evidence_is_checked_with_the_file_alone() {
    let status = forked();
    let json = serde_json::to_string(&evidence(&status).unwrap()).unwrap();
    assert_eq!(verify(&json, None), Err(ProofFileError::Evidence));
    let proved = verify_evidence(&json, None).unwrap();
    assert_eq!(proved.manifest.stream(), status.log);
    assert_eq!(proved.common_size(), None);
    assert_eq!(proved.fork, *status.fork.unwrap());
    assert!(verify_evidence(&json, Some(status.log)).is_ok());
    let other = LogId([7; 32]);
    assert!(matches!(
        verify_evidence(&json, Some(other)),
        Err(ProofFileError::OtherStream { .. })
    ));
}

#[test]
fn evidence_with_any_field_of_another_kind_or_content_proves_nothing() {
    let file = serde_json::to_value(evidence(&forked()).unwrap()).unwrap();
    for (field, value) in file.as_object().unwrap() {
        let changed = match value {
            Value::Number(number) => json!(number.as_u64().unwrap() + 1),
            Value::Array(_) => json!(["00".repeat(32)]),
            // Another valid content of the same form, taken from elsewhere.
            _ if field.ends_with("root") => json!("00".repeat(32)),
            _ => json!(file["manifest_signature"]),
        };
        if changed == *value {
            continue;
        }
        let mut other = file.clone();
        other[field] = changed;
        assert!(
            verify_evidence(&other.to_string(), None).is_err(),
            "{field}"
        );
        other.as_object_mut().unwrap().remove(field);
        assert!(
            verify_evidence(&other.to_string(), None).is_err(),
            "{field}"
        );
    }
}

#[test]
fn one_history_that_grew_is_no_evidence() {
    let (_, small) = stream(5, 1);
    let (_, mut large) = stream(5, 1);
    large.fork = Some(Box::new(ForkProof {
        smaller: told(&small),
        larger: told(&large),
        left: Vec::new(),
        right: Vec::new(),
        common: None,
    }));
    let json = serde_json::to_string(&evidence(&large).unwrap()).unwrap();
    assert!(matches!(
        verify_evidence(&json, None),
        Err(ProofFileError::NoFork(_))
    ));
}

#[test]
fn what_is_disputed_is_not_proved() {
    let (engine, _) = stream(9, 1);
    let status = forked();
    let history = History::new(engine.store(), status.key.unwrap());
    assert!(prove_inclusion(&status, &history, 3).is_ok());
    assert!(prove_consistency(&status, &history, 1, 4).is_ok());
    assert!(prove_export(&status, &history, 1, 4).is_ok());
    for refused in [
        prove_inclusion(&status, &history, 4).map(drop),
        prove_consistency(&status, &history, 1, 5).map(drop),
        prove_consistency(&status, &history, 5, 4).map(drop),
        prove_export(&status, &history, 1, 5).map(drop),
        prove_export(&status, &history, 5, 9).map(drop),
    ] {
        assert!(matches!(refused, Err(NoProof::Disputed(_))), "{refused:?}");
    }
}

#[test]
fn every_run_of_every_small_stream_is_proved_and_no_other() {
    for size in 0..20 {
        let (engine, status) = stream(size, 1);
        let history = History::new(engine.store(), status.key.unwrap());
        for from in 0..=size {
            for to in from..=size {
                let proof = prove_export(&status, &history, from, to).unwrap();
                let proved = proof.verify(Some(status.log)).unwrap();
                assert_eq!((proved.from, proved.to), (from, to));
                assert_eq!(proved.runs.len() as u64, to - from);
                for (field, other) in [("from", from + 1), ("to", to + 1), ("level", 1)] {
                    let mut json = serde_json::to_value(&proof).unwrap();
                    json[field] = json!(other);
                    let changed: ExportProof = serde_json::from_value(json).unwrap();
                    // A level that leads to the same runs says the same.
                    let same = field == "level" && merkle::cover_len(from, to, 1) == to - from;
                    assert_eq!(
                        changed.verify(None).is_ok(),
                        same,
                        "{size} {from} {to} {field}"
                    );
                }
            }
        }
        assert!(prove_export(&status, &history, 0, size + 1).is_err());
    }
}

#[test]
fn a_proof_of_an_export_is_about_the_signed_tree_of_one_stream() {
    let (engine, status) = stream(20, 1);
    let history = History::new(engine.store(), status.key.unwrap());
    let proof = prove_export(&status, &history, 3, 17).unwrap();
    let (_, other) = stream(20, 2);
    assert!(matches!(
        proof.verify(Some(other.log)),
        Err(ProofFileError::OtherStream { .. })
    ));
    let zeros = "00".repeat(32);
    for list in ["runs", "left", "right"] {
        let mut json = serde_json::to_value(&proof).unwrap();
        json[list][0] = json!(zeros);
        let changed: ExportProof = serde_json::from_value(json).unwrap();
        assert!(matches!(
            changed.verify(None),
            Err(ProofFileError::Path { .. })
        ));
    }
    let json = proof.to_json();
    assert_eq!(verify(&json, None), Err(ProofFileError::OfExport));
}
