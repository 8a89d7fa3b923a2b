//! Recoveries that are refused, and what several of them come to.

use proptest::prelude::*;

use super::*;
use crate::head::Head;

const LOG: LogId = LogId([5; 32]);

fn owner() -> SigningKey {
    SigningKey::from_secret(&mut [1; 32])
}

fn drawer() -> SigningKey {
    SigningKey::from_secret(&mut [2; 32])
}

fn hash() -> [u8; 32] {
    key_hash(ED25519, &drawer().public().to_bytes())
}

fn head_of(log: LogId, size: u64, root: u8, key: &SigningKey) -> SignedHead {
    let root = Hash([root; 32]);
    Head::of_tree(log, Tree { size, root }, Timestamp(7)).sign(key)
}

fn recovery(size: u64, root: u8, successor: Option<u8>, issued: i64) -> SignedRecovery {
    let recovery = Recovery {
        head: head_of(LOG, size, root, &owner()),
        successor: successor.map(|digest| LogId([digest; 32])),
        issued: Timestamp(issued),
    };
    recovery.sign(&drawer())
}

fn verified(wire: v1::SignedRecovery) -> Result<SignedRecovery, RecoveryError> {
    UnverifiedRecovery(wire).verify(LOG, &owner().public(), Some(&hash()))
}

/// Signs bytes as a recovery, whatever they are.
fn signed(bytes: Vec<u8>) -> v1::SignedRecovery {
    let key = drawer();
    v1::SignedRecovery {
        signature: key.sign(Domain::Recovery, &bytes).into(),
        recovery: bytes.into(),
        signature_type: 1,
        public_key: key.public().to_bytes().to_vec().into(),
    }
}

fn wire(size: u64) -> v1::Recovery {
    v1::Recovery {
        stream: LOG.0.to_vec().into(),
        head: Some(head_of(LOG, size, 3, &owner()).to_wire()),
        successor: Bytes::new(),
        issued_us: 9,
    }
}

#[test]
fn a_recovery_comes_back_whole_and_as_it_was_first_written() {
    for recovery in [recovery(300, 3, None, 9), recovery(300, 3, Some(8), 0)] {
        let back = verified(recovery.to_wire()).unwrap();
        assert_eq!(back, recovery);
        assert_eq!(back.head.size, 300);
        assert!(recovery.bytes.len() < MAX_RECOVERY_BYTES);
    }
}

#[test]
fn only_the_key_that_the_manifest_names_ends_a_log() {
    let wire = recovery(300, 3, None, 9).to_wire();
    let of = |hash: Option<&[u8; 32]>| {
        UnverifiedRecovery(wire.clone()).verify(LOG, &owner().public(), hash)
    };
    assert_eq!(of(None), Err(RecoveryError::NoKey));
    assert_eq!(of(Some(&[0; 32])), Err(RecoveryError::OtherKey));
    // The owner's own key is none either.
    let by_owner = Recovery {
        head: head_of(LOG, 300, 3, &owner()),
        successor: None,
        issued: Timestamp(9),
    };
    let by_owner = by_owner.sign(&owner()).to_wire();
    assert_eq!(verified(by_owner), Err(RecoveryError::OtherKey));
    let mut altered = wire.clone();
    altered.recovery = Bytes::from([&wire.recovery[..], &[1]].concat());
    assert_eq!(
        verified(altered),
        Err(RecoveryError::Signature(BadSignature))
    );
    let mut other = wire.clone();
    other.signature = Bytes::from(drawer().sign(Domain::EarlyHead, &wire.recovery));
    assert_eq!(verified(other), Err(RecoveryError::Signature(BadSignature)));
}

#[test]
fn a_head_that_the_owner_never_signed_is_not_the_last_one() {
    for key in [drawer(), SigningKey::from_secret(&mut [3; 32])] {
        let head = Some(head_of(LOG, 300, 3, &key).to_wire());
        let bytes = v1::Recovery { head, ..wire(1) }.encode_to_vec();
        let refused = verified(signed(bytes)).unwrap_err();
        assert!(matches!(
            refused,
            RecoveryError::Head(HeadError::Signature(_))
        ));
    }
    let bytes = v1::Recovery {
        head: None,
        ..wire(1)
    }
    .encode_to_vec();
    assert!(matches!(
        verified(signed(bytes)),
        Err(RecoveryError::Wire(_))
    ));
}

#[test]
fn a_recovery_of_another_log_or_with_its_head_is_refused() {
    let other = LogId([6; 32]);
    let stream = Bytes::copy_from_slice(&other.0);
    let bytes = v1::Recovery { stream, ..wire(1) }.encode_to_vec();
    let refused = verified(signed(bytes)).unwrap_err();
    assert!(matches!(refused, RecoveryError::OtherLog { .. }));
    let head = Some(head_of(other, 300, 3, &owner()).to_wire());
    let bytes = v1::Recovery { head, ..wire(1) }.encode_to_vec();
    assert!(matches!(
        verified(signed(bytes)),
        Err(RecoveryError::Head(_))
    ));
}

#[test]
fn what_has_two_readings_or_a_field_out_of_bounds_is_refused() {
    let good = wire(300).encode_to_vec();
    let with = |more: &[u8]| signed([&good[..], more].concat());
    for more in [
        // Cut off; the issue twice; the stream behind it.
        &[0x22][..],
        &[0x20, 9],
        &[0x0a, 0],
        // A number in a longer form.
        &[0x80, 4, 0x80, 0],
    ] {
        let refused = verified(with(more)).unwrap_err();
        assert!(
            matches!(refused, RecoveryError::Wire(_)),
            "{more:?}: {refused}"
        );
        assert!(!refused.is_newer());
    }
    let fields: [fn(&mut v1::Recovery); 5] = [
        |wire| wire.stream = Bytes::from_static(&[5; 31]),
        |wire| wire.successor = Bytes::from_static(&[5; 33]),
        |wire| wire.successor = Bytes::from_static(&[5; 32]),
        |wire| wire.issued_us = u64::MAX,
        |wire| wire.stream = Bytes::new(),
    ];
    for alter in fields {
        let mut wire = wire(300);
        alter(&mut wire);
        let refused = verified(signed(wire.encode_to_vec()));
        assert!(
            matches!(refused, Err(RecoveryError::Wire(_))),
            "{refused:?}"
        );
    }
    let long = [&good[..], &[0x82, 4, 0x80, 0x40], &[0; 8_192]].concat();
    assert!(matches!(
        verified(signed(long)),
        Err(RecoveryError::Wire(_))
    ));
}

#[test]
fn what_a_later_version_adds_is_ignored_or_said_and_nobody_is_to_blame() {
    let good = wire(300).encode_to_vec();
    let later = signed([&good[..], &[0xb0, 4, 1]].concat());
    let read = verified(later.clone()).unwrap();
    assert_eq!(read.head.size, 300);
    assert_eq!(read.to_wire(), later, "field 70 is passed on");

    let refused = verified(signed([&good[..], &[0x28, 1]].concat())).unwrap_err();
    assert!(refused.is_newer(), "{refused}");
    assert!(refused.to_string().contains("field 5"), "{refused}");

    let mut later = signed(good);
    later.signature_type = 2;
    let hash = key_hash(2, &later.public_key);
    let refused = UnverifiedRecovery(later.clone()).verify(LOG, &owner().public(), Some(&hash));
    assert_eq!(refused, Err(RecoveryError::NewerSignature(2)));
    // Only of the key that the manifest names.
    assert_eq!(verified(later.clone()), Err(RecoveryError::OtherKey));
    later.signature_type = 257;
    assert_eq!(verified(later), Err(RecoveryError::OtherKey));
}

#[test]
fn of_two_that_differ_the_smaller_counts_and_nothing_follows() {
    let small = Recovered::from(recovery(100, 3, Some(8), 20));
    let large = Recovered::from(recovery(200, 4, Some(8), 10));
    let both = strongest(large, small.clone());
    assert_eq!((both.tree(), both.successor()), (small.tree(), None));
    assert!(both.is_contradicted() && both.statements().count() == 2);

    // One tree, two successors: nobody knows which is the owner's.
    let other = Recovered::from(recovery(100, 3, Some(9), 20));
    let both = strongest(small.clone(), other);
    assert_eq!((both.tree(), both.successor()), (small.tree(), None));

    // Said twice, it is the same.
    let again = Recovered::from(recovery(100, 3, Some(8), 5));
    let both = strongest(small, again.clone());
    assert_eq!(both, again);
    assert_eq!(both.successor(), Some(LogId([8; 32])));
}

#[test]
fn of_two_branches_of_one_size_everybody_takes_the_same() {
    let one = Recovered::from(recovery(100, 3, None, 10));
    let other = Recovered::from(recovery(100, 4, Some(8), 5));
    for both in [
        strongest(one.clone(), other.clone()),
        strongest(other, one.clone()),
    ] {
        assert_eq!((both.tree(), both.successor()), (one.tree(), None));
    }
}

fn some() -> impl Strategy<Value = Recovered> {
    let one = (0..3u8, 0..3u8, prop::option::of(0..2u8), 0..2i64);
    prop::collection::vec(one, 1..4).prop_map(|picked| {
        let all = picked.into_iter().map(|(size, root, successor, issued)| {
            recovery(u64::from(size) + 1, root, successor, issued).into()
        });
        all.reduce(strongest).expect("there is one")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn in_whatever_order_recoveries_come_all_come_to_the_same(
        a in some(), b in some(), c in some(),
    ) {
        prop_assert_eq!(strongest(a.clone(), a.clone()), a.clone());
        let ab = strongest(a.clone(), b.clone());
        prop_assert_eq!(&ab, &strongest(b.clone(), a.clone()));
        let bc = strongest(b.clone(), c.clone());
        let all = strongest(ab, c);
        prop_assert_eq!(&all, &strongest(a.clone(), bc));
        // Nothing that is heard later gives a record or a successor back.
        prop_assert!(all.tree().size <= a.tree().size.min(b.tree().size));
        prop_assert!(!a.is_contradicted() || all.is_contradicted());
        if let Some(successor) = all.successor() {
            prop_assert!(a.successor() == Some(successor) && b.successor() == Some(successor));
        }
    }
}

/// What is signed here by one key as each kind of thing is none of the others.
#[test]
fn nothing_that_is_signed_is_another_thing() {
    let key = drawer();
    let manifest = signed(wire(1).encode_to_vec()).recovery;
    let domains = [Domain::Manifest, Domain::EarlyHead, Domain::Recovery];
    for made in domains {
        let signature = key.sign(made, &manifest);
        for read in domains {
            let verified = key.public().verify(read, &manifest, &signature);
            assert_eq!(verified.is_ok(), made == read, "{made:?} as {read:?}");
        }
    }
}
