//! What is taken of manifests, what is refused, and what is too new.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::*;
use crate::limits::{
    MAX_COLUMN_DESCRIPTION_BYTES, MAX_COLUMN_NAME_BYTES, MAX_COLUMN_UNIT_BYTES, MAX_COLUMNS,
    MAX_CONTENT_TYPE_BYTES, MAX_LICENCE_BYTES, MAX_MANIFEST_BYTES, MAX_NAME_BYTES, MAX_TAG_BYTES,
    MAX_TAGS, MAX_WITNESSES,
};

pub(crate) fn manifest(key: &SigningKey, name: &str, chunk_level: u8) -> Manifest {
    Manifest {
        unit: "°C".to_owned(),
        cadence_us: 3_600_000_000,
        chunk_level,
        created: Timestamp(1_262_304_000_000_000),
        ..Manifest::new(key.public(), name, [7; NONCE_BYTES])
    }
}

#[test]
fn a_signed_manifest_names_its_stream_and_comes_back_whole() {
    let key = SigningKey::from_secret(&mut [1; 32]);
    let mut original = manifest(&key, "temperature", 8);
    original.target = Some(LogId([9; 32]));
    original.retain_records = 5;
    original.prior = Some(Prior {
        stream: LogId([3; 32]),
        size: 12,
        root: Hash([4; 32]),
    });
    let signed = original.sign(&key).unwrap();
    let back = UnverifiedManifest::from(signed.to_wire())
        .verify(Some(signed.stream()))
        .unwrap();
    assert_eq!(*back, original);
    assert_eq!(back.stream(), LogId::of_manifest(signed.bytes()));
}

#[test]
fn a_manifest_of_another_stream_another_key_or_with_altered_bytes_is_refused() {
    let key = SigningKey::from_secret(&mut [1; 32]);
    let signed = manifest(&key, "temperature", 8).sign(&key).unwrap();
    let wire = UnverifiedManifest::from(signed.to_wire());

    let other = LogId([0; 32]);
    assert!(matches!(
        wire.clone().verify(Some(other)),
        Err(ManifestError::OtherStream { expected, .. }) if expected == other
    ));
    let stranger = SigningKey::from_secret(&mut [2; 32]);
    let mut forged = wire.clone();
    forged.signature = stranger.sign(Domain::Manifest, &wire.bytes).into();
    assert_eq!(
        forged.verify(None),
        Err(ManifestError::Signature(BadSignature))
    );
    let mut altered = wire;
    altered.bytes = manifest(&key, "pressure", 8).sign(&key).unwrap().bytes;
    assert_eq!(
        altered.verify(None),
        Err(ManifestError::Signature(BadSignature))
    );
}

#[test]
fn a_manifest_of_somebody_else_is_taken_whatever_its_name() {
    let key = SigningKey::from_secret(&mut [1; 32]);
    for name in ["\x1b[2J", "..", " lead", "bafkreiabc", "a\nb"] {
        let signed = manifest(&key, name, 8).sign(&key).unwrap();
        let back = UnverifiedManifest::from(signed.to_wire()).verify(None);
        assert_eq!(back.unwrap().name, name);
    }
}

fn key() -> SigningKey {
    SigningKey::from_secret(&mut [1; 32])
}

fn signed_bytes(bytes: Vec<u8>) -> Result<SignedManifest, ManifestError> {
    let bytes = Bytes::from(bytes);
    let signature = Bytes::from(key().sign(Domain::Manifest, &bytes));
    UnverifiedManifest { bytes, signature }.verify(None)
}

fn with(change: impl FnOnce(&mut Manifest)) -> Manifest {
    let mut manifest = manifest(&key(), "temperature", 8);
    change(&mut manifest);
    manifest
}

/// One that somebody else may have signed.
fn taken(change: impl FnOnce(&mut Manifest)) -> Result<SignedManifest, String> {
    let manifest = with(change);
    let signed = manifest.sign_as_it_is(&key());
    signed.map_err(|error| error.to_string())
}

/// One that is signed here.
fn made(change: impl FnOnce(&mut Manifest)) -> Result<SignedManifest, String> {
    let signed = with(change).sign(&key());
    signed.map_err(|error| error.to_string())
}

/// The fields of a message one after the other, as they travel.
fn fields(mut message: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let mut rest = message;
        let key = prost::decode_length_delimiter(&mut rest).unwrap();
        let length = prost::decode_length_delimiter(&mut rest).unwrap();
        if key & 7 == 2 {
            rest = &rest[length..];
        }
        let (field, behind) = message.split_at(message.len() - rest.len());
        fields.push(field.to_vec());
        message = behind;
    }
    fields
}

/// A field with a length.
fn field(number: usize, content: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    for part in [number << 3 | 2, content.len()] {
        prost::encode_length_delimiter(part, &mut field).unwrap();
    }
    [field, content.to_vec()].concat()
}

/// A field that is a number.
fn number(number: usize, value: u8) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encode_length_delimiter(number << 3, &mut field).unwrap();
    field.push(value);
    field
}

/// The bytes of a manifest with a field put where its number belongs.
fn and_field(manifest: &Manifest, added: Vec<u8>) -> Vec<u8> {
    let key = |field: &Vec<u8>| prost::decode_length_delimiter(&field[..]).unwrap() >> 3;
    let mut all = fields(&manifest.to_wire().encode_to_vec());
    all.retain(|field| key(field) != key(&added));
    all.push(added);
    all.sort_by_key(key);
    all.concat()
}

fn cosigner(number: u8) -> Cosigner {
    Cosigner::of_ed25519(&format!("witness.example/w{number}"), &[number; 32])
}

/// One with every field that observations can have.
fn whole() -> Manifest {
    with(|manifest| {
        manifest.description = "at the pier".to_owned();
        manifest.source = "own station".to_owned();
        manifest.target = Some(LogId([9; 32]));
        manifest.value_type = ValueType::Json;
        manifest.prior = Some(Prior {
            stream: LogId([3; 32]),
            size: 12,
            root: Hash([4; 32]),
        });
        manifest.retain_us = 86_400_000_000;
        manifest.retain_records = 5;
        manifest.columns = vec![
            Column {
                name: "air".to_owned(),
                unit: "°C".to_owned(),
                column_type: ColumnType::Number,
                description: "2 m above ground".to_owned(),
            },
            Column {
                name: "station".to_owned(),
                unit: String::new(),
                column_type: ColumnType::Text,
                description: String::new(),
            },
        ];
        manifest.ordered = true;
        manifest.recovery = Some([5; 32]);
        manifest.witnesses = Some(Witnesses {
            keys: vec![cosigner(1), cosigner(2)],
            threshold: 2,
        });
        manifest.about = Some(LogId([6; 32]));
        manifest.tags = vec!["geo=52.1,4.3".to_owned(), "weather".to_owned()];
        manifest.content_type = "application/json".to_owned();
        manifest.licence = "CC-BY-4.0 OR MIT".to_owned();
    })
}

/// As version 0.1.0 wrote them.
fn old() -> Manifest {
    with(|manifest| {
        manifest.nonce = None;
        manifest.visibility = Some(Visibility::Public);
    })
}

#[test]
fn a_manifest_with_every_field_comes_back_whole() {
    let signed = whole().sign(&key()).unwrap();
    assert_eq!((&*signed, signed.too_new()), (&whole(), None));
    let again = UnverifiedManifest::from(signed.to_wire()).verify(None);
    assert_eq!(again, Ok(signed));
}

#[test]
fn a_manifest_of_version_0_1_0_is_read_and_not_written() {
    for visibility in [Visibility::Public, Visibility::Private] {
        let mut old = old();
        old.visibility = Some(visibility);
        let signed = old.sign_as_it_is(&key()).unwrap();
        assert_eq!((&*signed, signed.too_new()), (&old, None));
        assert_eq!(old.is_hidden(), visibility == Visibility::Private);
        assert!(old.sign(&key()).is_err());
    }
    let error = made(|manifest| manifest.nonce = None).unwrap_err();
    assert!(error.contains("nonce"), "{error}");
}

#[test]
fn every_field_may_stand_there_once_and_in_its_order_alone() {
    let bytes = whole().to_wire().encode_to_vec();
    let all = fields(&bytes);
    assert_eq!(signed_bytes(all.concat()).unwrap().bytes(), &bytes);
    for place in 0..all.len() {
        let key = prost::decode_length_delimiter(&all[place][..]).unwrap() >> 3;
        let mut twice = all.clone();
        twice.insert(place, all[place].clone());
        let error = signed_bytes(twice.concat()).unwrap_err().to_string();
        match key {
            16 => assert!(error.contains("two of them have the name"), "{error}"),
            65 => assert!(error.contains("is said twice"), "{error}"),
            _ => assert!(error.contains(&format!("field {key} stands there twice"))),
        }
        if place > 0 {
            let mut swapped = all.clone();
            swapped.swap(place - 1, place);
            let is_list = all[place - 1][..2] == all[place][..2] && matches!(key, 16 | 65);
            let error = signed_bytes(swapped.concat()).map_err(|error| error.to_string());
            match is_list && key == 16 {
                // Their order is theirs.
                true => assert!(error.is_ok()),
                false => assert!(error.unwrap_err().contains("stands "), "field {key}"),
            }
        }
    }
}

#[test]
fn a_field_that_has_its_default_is_left_out() {
    for number_of in [7, 8, 9, 11, 13, 14, 17] {
        let bytes = and_field(&with(|_| ()), number(number_of, 0));
        let refused = signed_bytes(bytes);
        assert!(
            matches!(
                refused,
                Err(ManifestError::Wire(WireError::NotCanonical(_)))
            ),
            "field {number_of}: {refused:?}"
        );
    }
    for number in [2, 3, 4, 5, 6, 15, 19, 64, 66, 67] {
        let bytes = and_field(&with(|_| ()), field(number, b""));
        assert!(signed_bytes(bytes).is_err(), "field {number}");
    }
    // `true` has one form.
    assert!(signed_bytes(and_field(&with(|_| ()), number(17, 2))).is_err());
    assert!(
        signed_bytes(and_field(&with(|_| ()), number(17, 1)))
            .unwrap()
            .ordered
    );
}

#[test]
fn a_field_of_a_length_has_no_other() {
    for (number, length) in [(1, 32), (5, 32), (15, 16), (19, 32), (64, 32)] {
        for wrong in [1, length - 1, length + 1, 4_000] {
            let error = signed_bytes(and_field(&with(|_| ()), field(number, &vec![7; wrong])));
            assert!(error.is_err(), "field {number} of {wrong} bytes");
        }
    }
}

#[test]
fn unknown_fields_from_64_on_are_kept_and_ignored() {
    let plain = with(|manifest| manifest.tags = vec!["weather".to_owned()]);
    let added = [field(70, b"later"), field(70, b"again"), number(200, 1)].concat();
    let bytes = [plain.to_wire().encode_to_vec(), added].concat();
    let signed = signed_bytes(bytes.clone()).unwrap();
    assert_eq!((&*signed, signed.too_new()), (&plain, None));
    assert_eq!(signed.bytes(), &bytes);
    assert_eq!(signed.stream(), LogId::of_manifest(&bytes));
    // In a message within it, too.
    let prior = |more: &[u8]| {
        let prior = [field(1, &[3; 32]), field(3, &[4; 32]), more.to_vec()];
        and_field(&plain, field(10, &prior.concat()))
    };
    let signed = signed_bytes(prior(&number(64, 1))).unwrap();
    assert_eq!(signed.too_new(), None);
    assert_eq!(signed.prior, signed_bytes(prior(&[])).unwrap().prior);
}

#[test]
fn what_only_a_later_version_understands_leaves_what_the_tree_needs() {
    let plain = with(|manifest| {
        manifest.retain_records = 5;
        manifest.description = "at the pier".to_owned();
    });
    let column = |number_type| {
        let inner = [field(1, b"a"), number(3, number_type)].concat();
        let mut json = plain.clone();
        json.value_type = ValueType::Json;
        and_field(&json, field(16, &inner))
    };
    let inner = |number_of, content: Vec<u8>| and_field(&plain, field(number_of, &content));
    for (bytes, newer) in [
        (
            and_field(&plain, field(40, b"later")),
            "field 40 of a manifest",
        ),
        (and_field(&plain, number(21, 0)), "field 21 of a manifest"),
        (and_field(&plain, number(63, 1)), "field 63 of a manifest"),
        (
            inner(12, [number(1, 9), number(3, 1)].concat()),
            "field 3 of its retention",
        ),
        (inner(10, number(9, 1)), "field 9 of its prior"),
        (inner(16, number(5, 1)), "field 5 of one of its columns"),
        (inner(18, number(4, 1)), "field 4 of its private part"),
        (inner(20, number(3, 1)), "field 3 of its witnesses"),
        (and_field(&plain, number(7, 5)), "value type 5"),
        (and_field(&plain, number(11, 3)), "visibility 3"),
        (and_field(&plain, number(14, 6)), "kind 6"),
        (column(8), "column type 8"),
        (and_field(&plain, number(14, 1)), "the kind page"),
        (and_field(&plain, number(14, 5)), "the kind evicted"),
        (
            inner(18, [field(1, &[1; 32]), field(2, &[2; 32])].concat()),
            "private values",
        ),
    ] {
        let signed = signed_bytes(bytes.clone()).unwrap();
        let told = signed.too_new().map(ToString::to_string);
        assert_eq!(told.as_deref(), Some(newer));
        assert_eq!(signed.bytes(), &bytes);
        let tree = |one: &Manifest| (one.publisher.clone(), one.chunk_level, one.name.clone());
        assert_eq!(tree(&signed), tree(&plain));
        if !newer.contains("retention") {
            assert_eq!(signed.retain_records, 5, "{newer}");
        }
        assert_ne!(*signed, plain, "{newer}");
    }
}

#[test]
fn of_what_is_too_new_only_what_the_tree_needs_is_judged() {
    let newer = |number_of, content: &[u8]| {
        let mut plain = with(|_| ());
        plain.tags = vec!["b".to_owned(), "a".to_owned()];
        plain.licence = "x".repeat(500);
        let bytes = and_field(&plain, number(40, 1));
        let added = field(number_of, content);
        let key = |field: &Vec<u8>| prost::decode_length_delimiter(&field[..]).unwrap() >> 3;
        let mut all = fields(&bytes);
        all.retain(|field| key(field) != number_of);
        all.push(added);
        all.sort_by_key(key);
        signed_bytes(all.concat())
    };
    // A name, a nonce and witnesses that a later version may have.
    for (number, content) in [(2, &[b'n'; 300][..]), (15, &[1; 24]), (20, &[]), (67, b"x")] {
        assert!(newer(number, content).unwrap().too_new().is_some());
    }
    assert!(newer(1, &[1; 31]).is_err());
    let mut level = with(|manifest| manifest.chunk_level = 13);
    level.name = "x".to_owned();
    assert!(signed_bytes(and_field(&level, number(40, 1))).is_err());
}

#[test]
fn a_manifest_is_of_16_kib_at_most() {
    let with_description = |bytes| taken(|manifest| manifest.description = "d".repeat(bytes));
    let rest = with_description(16_000).unwrap().bytes().len() - 16_000;
    assert!(with_description(MAX_MANIFEST_BYTES - rest).is_ok());
    let error = with_description(MAX_MANIFEST_BYTES - rest + 1).unwrap_err();
    assert!(
        error.contains("16385 bytes, more than the 16384"),
        "{error}"
    );
    // What is not known counts.
    let bytes = and_field(&with(|_| ()), field(70, &[0; MAX_MANIFEST_BYTES]));
    assert!(signed_bytes(bytes).is_err());
}

fn column(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        unit: String::new(),
        column_type: ColumnType::Number,
        description: String::new(),
    }
}

#[test]
fn a_field_over_its_bound_is_refused_whoever_signed_it() {
    type Change = Box<dyn Fn(&mut Manifest)>;
    let columns = |columns: Vec<Column>| -> Change {
        Box::new(move |manifest| {
            manifest.value_type = ValueType::Json;
            manifest.columns = columns.clone();
        })
    };
    let tags = |tags: &[&str]| -> Change {
        let tags: Vec<_> = tags.iter().map(ToString::to_string).collect();
        Box::new(move |manifest| manifest.tags = tags.clone())
    };
    let witnesses = |keys: Vec<Cosigner>, threshold| -> Change {
        Box::new(move |manifest| {
            let keys = keys.clone();
            manifest.witnesses = Some(Witnesses { keys, threshold });
        })
    };
    let long_name = |bytes| Cosigner::of_ed25519(&"w".repeat(bytes), &[9; 32]);
    let many_tags: Vec<_> = (10..=10 + MAX_TAGS).map(|n| n.to_string()).collect();
    let many_tags: Vec<_> = many_tags.iter().map(|tag| &**tag).collect();
    let cases: Vec<(Change, &str)> = vec![
        (
            Box::new(|m| m.name = String::new()),
            "the name of a manifest",
        ),
        (
            Box::new(|m| m.name = "n".repeat(MAX_NAME_BYTES + 1)),
            "it has 129 bytes",
        ),
        (
            Box::new(|m| m.chunk_level = 13),
            "the chunk level of a manifest",
        ),
        (
            columns((0..=MAX_COLUMNS).map(|n| column(&n.to_string())).collect()),
            "65 are more than the 64",
        ),
        (
            columns(vec![column(&"n".repeat(MAX_COLUMN_NAME_BYTES + 1))]),
            "the name of column 1 has 65 bytes",
        ),
        (
            columns(vec![Column {
                unit: "u".repeat(MAX_COLUMN_UNIT_BYTES + 1),
                ..column("a")
            }]),
            "the unit of column 1",
        ),
        (
            columns(vec![
                column("a"),
                Column {
                    description: "d".repeat(MAX_COLUMN_DESCRIPTION_BYTES + 1),
                    ..column("b")
                },
            ]),
            "the description of column 2",
        ),
        (columns(vec![column("")]), "column 1 has no name"),
        (columns(vec![column("Time")]), "has a column `Time` already"),
        (columns(vec![column("REST")]), "has a column `REST` already"),
        (
            columns(vec![column("time_Unit")]),
            "has a column `time_Unit` already",
        ),
        (columns(vec![column("air"), column("AIR")]), "two of them"),
        (
            Box::new(|m| m.columns = vec![column("air")]),
            "the value type is another",
        ),
        (tags(&["b", "a"]), "`b` stands in front of `a`"),
        (tags(&["a", "a"]), "`a` is said twice"),
        (tags(&many_tags), "17 are more than the 16"),
        (tags(&[""]), "one has 0 bytes"),
        (tags(&[&"t".repeat(MAX_TAG_BYTES + 1)]), "one has 65 bytes"),
        (tags(&["a b"]), "has a blank"),
        (tags(&["a\u{1b}"]), "a control character"),
        (tags(&["=b"]), "no key"),
        (witnesses(vec![], 0), "0 are named"),
        (witnesses(vec![cosigner(1)], 0), "0 of 1 cannot"),
        (witnesses(vec![cosigner(1)], 2), "2 of 1 cannot"),
        (witnesses(vec![cosigner(1), cosigner(1)], 1), "named twice"),
        (
            witnesses((0..=MAX_WITNESSES as u8).map(cosigner).collect(), 1),
            "17 are named",
        ),
        (witnesses(vec![long_name(1_000)], 1), "more than the 1024"),
        (
            Box::new(|m| m.content_type = format!("text/{}", "x".repeat(MAX_CONTENT_TYPE_BYTES))),
            "it has 133 bytes",
        ),
        (
            Box::new(|m| m.content_type = "csv".to_owned()),
            "no media type",
        ),
        (
            Box::new(|m| m.licence = "MIT OR ".repeat(20)),
            "more than the 128 allowed",
        ),
        (
            Box::new(|m| m.licence = "MIT\n".to_owned()),
            "no SPDX expression",
        ),
        (
            Box::new(|m| m.licence = "ÖFL".to_owned()),
            "no SPDX expression",
        ),
    ];
    assert_eq!(MAX_LICENCE_BYTES, 128);
    for (change, why) in cases {
        let (taken, made) = (taken(&change), made(&change));
        for refused in [taken.unwrap_err(), made.unwrap_err()] {
            assert!(refused.contains(why), "{refused} (and not {why})");
        }
    }
}

#[test]
fn names_of_columns_are_such_that_nobody_takes_one_for_another() {
    let named = |names: &[&str]| {
        let columns: Vec<_> = names.iter().map(|name| column(name)).collect();
        move |manifest: &mut Manifest| {
            manifest.value_type = ValueType::Json;
            manifest.columns = columns.clone();
        }
    };
    for good in [
        &["value", "quality"][..],
        &["Adj Close", "größe", "T_2m (°C)", "温度"],
        &["values"],
    ] {
        assert_eq!(made(named(good)).map(drop), Ok(()), "{good:?}");
    }
    for (names, why) in [
        (&["value"][..], "one column called `value`"),
        (&["Value"], "one column called `value`"),
        (&["a,b"], "has a `,`"),
        (&["a:b"], "has a `:`"),
        (&["wind.speed"], "has a `.`"),
        (&["to\u{212a}en"], "a sign that looks like a letter"),
        (&["re\u{17f}t"], "a column as `re\u{17f}t` already"),
        (&["ma\u{df}", "MASS"], "written otherwise"),
        (&["\u{3c3}", "\u{3c2}"], "written otherwise"),
        (&["o\u{308}"], "as two characters"),
        (&[" a"], "begins or ends with a blank"),
        (&["a\nb"], "cannot be seen"),
    ] {
        let refused = made(named(names)).unwrap_err();
        assert!(refused.contains(why), "{names:?}: {refused}");
        assert_eq!(taken(named(names)).unwrap().too_new(), None, "{names:?}");
    }
}

#[test]
fn what_depends_on_tables_that_grow_is_asked_of_new_manifests_alone() {
    type Change = fn(&mut Manifest);
    let cases: [(Change, &str); 8] = [
        (|m| m.licence = "MITT".to_owned(), "no SPDX expression"),
        (|m| m.tags = vec!["a\u{a0}b".to_owned()], "blank"),
        (|m| m.tags = vec!["a\u{200b}b".to_owned()], "cannot be seen"),
        (|m| m.tags = vec!["key=".to_owned()], "no value"),
        (|m| m.tags = vec!["a,b".to_owned()], "has a `,`"),
        (
            |m| {
                m.value_type = ValueType::Json;
                m.columns = vec![column("größe"), column("GRÖSSE"), column("GRÖßE")];
            },
            "written otherwise",
        ),
        (
            |m| {
                m.value_type = ValueType::Json;
                m.columns = vec![column("a\u{202e}b")];
            },
            "cannot be seen",
        ),
        (
            |m| {
                let keys = vec![Cosigner::of_type("w", 6, &[1; 40])];
                m.witnesses = Some(Witnesses { keys, threshold: 1 });
            },
            "cosigns with Ed25519",
        ),
    ];
    for (change, why) in cases {
        assert_eq!(taken(change).unwrap().too_new(), None);
        let refused = made(change).unwrap_err();
        assert!(refused.contains(why), "{refused} (and not {why})");
    }
    for licence in [
        "CC-BY-4.0",
        "ODbL-1.0 AND MIT",
        "LicenseRef-own-terms",
        "CC0-1.0",
    ] {
        assert!(
            made(|m| m.licence = licence.to_owned()).is_ok(),
            "{licence}"
        );
    }
    for tag in [
        "weather",
        "geo=52.1,4.3",
        "lang=de",
        "météo",
        "a/b:c+d_e.f-g",
    ] {
        assert!(made(|m| m.tags = vec![tag.to_owned()]).is_ok(), "{tag}");
    }
}

#[test]
fn a_stream_is_found_by_a_tag_its_key_or_its_value() {
    let tags = ["lang=DE", "Weather"].map(str::to_owned);
    for word in ["weather", "lang", "de", "lang=de"] {
        assert!(is_tagged(&tags, word), "{word}");
    }
    for word in ["weath", "lang=", "d", "=de"] {
        assert!(!is_tagged(&tags, word), "{word}");
    }
}

/// What docs/vectors/manifests.json has of a manifest.
fn vector(name: &str, says: &str, bytes: Vec<u8>) -> Value {
    let signature = HEXLOWER.encode(&key().sign(Domain::Manifest, &bytes));
    let read = signed_bytes(bytes.clone());
    let (outcome, why) = match &read {
        Ok(signed) => match signed.too_new() {
            None => ("taken", None),
            Some(newer) => ("too new", Some(newer.to_string())),
        },
        Err(error) => ("refused", Some(error.to_string())),
    };
    json!({
        "name": name,
        "says": says,
        "bytes": HEXLOWER.encode(&bytes),
        "id": LogId::of_manifest(&bytes).to_string(),
        "signature": signature,
        "outcome": outcome,
        "why": why,
    })
}

#[test]
fn the_vectors_of_the_documents_are_what_is_read_and_written() {
    let plain = || Manifest {
        created: Timestamp(1_790_000_000_000_000),
        ..Manifest::new(key().public(), "temperature", [7; NONCE_BYTES])
    };
    let bytes = |manifest: &Manifest| manifest.to_wire().encode_to_vec();
    let unsorted = Manifest {
        tags: vec!["b".to_owned(), "a".to_owned()],
        ..plain()
    };
    let mut twice = fields(&bytes(&plain()));
    twice.insert(1, twice[1].clone());
    let long = [&bytes(&plain())[..], &[0x88, 0x01, 0x81, 0x00]].concat();
    let default = and_field(&plain(), number(17, 0));
    let vectors = [
        vector(
            "minimal",
            "a new one with a name and a nonce",
            bytes(&plain()),
        ),
        vector(
            "whole",
            "one with every field that streams of observations can have",
            bytes(&whole()),
        ),
        vector(
            "0.1.0",
            "one as version 0.1.0 wrote it: with a visibility, without a nonce",
            bytes(&old()),
        ),
        vector(
            "field 70",
            "an unknown field that is ignored",
            and_field(&plain(), field(70, b"later")),
        ),
        vector(
            "field 40",
            "an unknown field that is not",
            and_field(&plain(), field(40, b"later")),
        ),
        vector(
            "kind 6",
            "a kind of log that is not known",
            and_field(&plain(), number(14, 6)),
        ),
        vector("a field twice", "the name, twice", twice.concat()),
        vector("a long number", "`ordered` in two bytes", long),
        vector("a default", "`ordered` is false, and said", default),
        vector("unsorted tags", "`b` before `a`", bytes(&unsorted)),
    ];
    let written = json!({
        "about": "Manifests of docs/formats.md. All are signed with the secret key 01 01 … 01; \
                  bytes and signatures in hex.",
        "publisher": HEXLOWER.encode(&key().public().to_bytes()),
        "domain": HEXLOWER.encode(b"headwater/1/manifest\0"),
        "manifests": vectors,
    });
    let text = include_str!("../../../docs/vectors/manifests.json");
    let documented: Value = serde_json::from_str(text).unwrap_or_default();
    assert!(
        documented == written,
        "docs/vectors/manifests.json is not:\n{}",
        serde_json::to_string_pretty(&written).unwrap()
    );
}
