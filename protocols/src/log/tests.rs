//! Announcements, relations of heads, extensions and fork proofs.

use proptest::prelude::*;

use super::*;
use crate::head::Closing;
use crate::identity::SigningKey;
use crate::manifest::SignedManifest;
use crate::manifest::tests::manifest;
use crate::merkle::{Subtree, cover, subtree_root};
use crate::record::{Record, put_record};
use crate::time::Timestamp;
use bytes::BytesMut;

const LOG: LogId = LogId([5; 32]);
const MAX_VALUE: usize = 100;
const CHUNK_LEVEL: u8 = 2;

fn key(n: u8) -> SigningKey {
    SigningKey::from_secret(&mut [n; 32])
}

/// The records of a branch of the log: the first `common` are those of all
/// branches.
fn records(common: u64, branch: &str, size: u64) -> Vec<Record> {
    let value = |i| if i < common { "" } else { branch };
    let record = |i| Record::new(Timestamp(i as i64), format!("{i}{}", value(i)).as_bytes());
    (0..size).map(record).collect()
}

fn appender(records: &[Record]) -> Appender {
    let mut appender = Appender::new(CompactRange::empty(0));
    appender.append(records.iter().map(Record::leaf));
    appender
}

fn head(records: &[Record], time: i64) -> SignedHead {
    appender(records).head(LOG, Timestamp(time)).sign(&key(1))
}

fn bytes(records: &[Record]) -> Bytes {
    let mut bytes = BytesMut::new();
    for record in records {
        put_record(&mut bytes, record.as_bytes());
    }
    bytes.freeze()
}

/// What the owner sends when its log grew from `first` to these records.
fn announce(records: &[Record], first: usize, time: i64) -> Bytes {
    let prefix = appender(&records[..first]);
    let whole = appender(records);
    Announcement::encode(
        &head(records, time),
        prefix.frontier(),
        &bytes(&records[first..]),
        whole.frontier(),
    )
}

fn verify(bytes: &Bytes) -> Result<Announcement, AdmitError> {
    Announcement::verify(bytes, LOG, &key(1).public(), MAX_VALUE)
}

fn alter(bytes: &Bytes, change: impl FnOnce(&mut v1::Announcement)) -> Bytes {
    let mut wire = v1::Announcement::decode(bytes.clone()).unwrap();
    change(&mut wire);
    wire.encode_to_vec().into()
}

fn naive(records: &[Record], subtree: Subtree) -> Hash {
    let range = subtree.begin() as usize..subtree.end() as usize;
    subtree_root(records[range].iter().map(Record::leaf).collect())
}

/// The extension of the tree of `from` records to all of them, as a peer
/// would answer.
fn extension(records: &[Record], from: u64) -> Extension {
    let size = records.len() as u64;
    let hashes = |from, to| {
        let cover = cover(from, to, crate::merkle::MAX_LEVEL);
        cover.map(|subtree| naive(records, subtree)).collect()
    };
    Extension {
        head: head(records, 9),
        from_size: from,
        left: hashes(0, from),
        right: hashes(from, size),
    }
}

/// The manifest of the owner; its log has another id than the one that is used
/// here, which is no matter.
fn signed_manifest() -> SignedManifest {
    manifest(&key(1), "t", CHUNK_LEVEL).sign(&key(1)).unwrap()
}

/// A fork proof as it comes from somebody else.
fn received(proof: &ForkProof) -> Result<ForkProof, AdmitError> {
    let bytes = proof.to_wire().encode_to_vec();
    let wire = v1::ForkProof::decode(&bytes[..]).unwrap();
    ForkProof::verify(wire, LOG, &signed_manifest())
}

fn fork(relation: Relation) -> ForkProof {
    match relation {
        Relation::Fork(proof) => *proof,
        other => panic!("{other:?} instead of a fork"),
    }
}

fn relation(adopted: &SignedHead, heard: &SignedHead) -> Relation {
    Relation::of_heads(&adopted.clone().into(), heard)
}

#[test]
fn an_announcement_comes_back_with_its_records_and_every_node_that_it_proves() {
    let all = records(99, "", 21);
    for first in 0..=21 {
        let announced = verify(&announce(&all, first, 3)).unwrap();
        assert_eq!(announced.head(), &head(&all, 3));
        assert_eq!(announced.first(), first as u64);
        let carried: Vec<_> = (announced.chunk().into_iter())
            .flat_map(|chunk| chunk.records().collect::<Vec<_>>())
            .collect();
        assert_eq!(carried, all[first..]);
        for &(subtree, hash) in announced.nodes() {
            assert_eq!(hash, naive(&all, subtree), "{subtree:?}");
        }
        for subtree in cover(0, 21, crate::merkle::MAX_LEVEL) {
            assert!(announced.nodes().iter().any(|&(node, _)| node == subtree));
        }
    }
}

#[test]
fn records_too_long_for_one_message_are_left_out_and_the_head_goes_alone() {
    let value = [b'7'; 4096];
    let all: Vec<_> = (0..9).map(|i| Record::new(Timestamp(i), &value)).collect();
    let fits = announce(&all, 2, 3);
    assert!(Announcement::verify(&fits, LOG, &key(1).public(), 4096).is_ok_and(|a| a.first() == 2));
    let alone = verify(&announce(&all, 1, 3)).unwrap();
    assert!(alone.chunk().is_none());
    assert_eq!((alone.first(), alone.head().size), (9, 9));
}

#[test]
fn an_announcement_that_is_not_the_owners_or_does_not_hash_up_is_refused() {
    let all = records(99, "", 12);
    let good = announce(&all, 5, 3);
    assert!(verify(&good).is_ok());

    let other_log = Announcement::verify(&good, LogId([6; 32]), &key(1).public(), MAX_VALUE);
    assert!(matches!(
        other_log,
        Err(AdmitError::Head(HeadError::Signature(_)))
    ));
    let other_owner = Announcement::verify(&good, LOG, &key(2).public(), MAX_VALUE);
    assert!(matches!(
        other_owner,
        Err(AdmitError::Head(HeadError::Signature(_)))
    ));
    let small = Announcement::verify(&good, LOG, &key(1).public(), 0);
    assert!(matches!(small, Err(AdmitError::Record(_))));

    let bad = |change: fn(&mut v1::Announcement)| verify(&alter(&good, change)).is_err();
    assert!(bad(|wire| wire.head = None));
    assert!(bad(|wire| wire.first = 4));
    assert!(bad(|wire| wire.first = 6));
    assert!(bad(|wire| wire.first = 13));
    assert!(bad(|wire| wire.first = u64::MAX));
    assert!(bad(|wire| wire.compact_range.reverse()));
    assert!(bad(|wire| drop(wire.compact_range.pop())));
    assert!(bad(|wire| wire
        .compact_range
        .push(Bytes::from_static(&[0; 32]))));
    assert!(bad(
        |wire| wire.compact_range[0] = Bytes::from_static(&[0; 31])
    ));
    assert!(bad(|wire| wire.records = Bytes::new()));
    assert!(bad(|wire| wire.records = wire.records.slice(1..)));
    // Another record in the place of the first.
    let forged = alter(&good, |wire| {
        let mut forged = all[5..].to_vec();
        forged[0] = Record::new(Timestamp(5), b"6");
        wire.records = bytes(&forged);
    });
    assert!(matches!(
        verify(&forged),
        Err(AdmitError::Wire(WireError::BadField { .. }))
    ));
    let long = Bytes::from(vec![0; MAX_GOSSIP_BYTES + 1]);
    assert!(matches!(
        verify(&long),
        Err(AdmitError::Wire(WireError::TooLong { .. }))
    ));
}

#[test]
fn heads_alone_tell_what_is_older_the_same_renewed_or_forked() {
    let (short, long) = (records(99, "", 5), records(99, "", 8));
    let adopted = head(&short, 10);
    let of = |head: &SignedHead| relation(&adopted, head);
    assert_eq!(of(&head(&short[..4], 11)), Relation::Older);
    assert_eq!(of(&adopted), Relation::Same);
    assert_eq!(of(&head(&short, 9)), Relation::Same);
    assert_eq!(of(&head(&short, 11)), Relation::Renews);
    assert_eq!(of(&head(&long, 11)), Relation::Unproven);
    let empty = head(&[], 1);
    assert_eq!(relation(&empty, &adopted), Relation::Extends);

    let other = head(&records(4, "b", 5), 11);
    let proof = fork(of(&other));
    assert_eq!(received(&proof), Ok(proof));
}

#[test]
fn an_announcement_extends_what_its_records_or_its_range_reach_back_to() {
    let all = records(99, "", 20);
    for first in 0..=20 {
        let announcement = verify(&announce(&all, first, 10)).unwrap();
        for size in 1..20 {
            let expected = if size >= first {
                Relation::Extends
            } else {
                Relation::Unproven
            };
            let adopted = head(&all[..size], 9);
            assert_eq!(
                announcement.relation(&adopted.clone().into()),
                expected,
                "{first} {size}"
            );
        }
        assert_eq!(
            announcement.relation(&head(&all, 10).into()),
            Relation::Same
        );
        let longer = head(&records(99, "", 21), 11);
        assert_eq!(
            announcement.relation(&longer.clone().into()),
            Relation::Older
        );
    }
}

#[test]
fn an_announcement_of_another_branch_proves_the_fork() {
    for (common, size) in [(0, 1), (3, 4), (3, 9), (15, 16), (16, 17)] {
        let ours = head(&records(common, "a", size), 9);
        let theirs = records(common, "b", size + 6);
        for first in 0..=size as usize {
            let announcement = verify(&announce(&theirs, first, 10)).unwrap();
            let proof = fork(announcement.relation(&ours.clone().into()));
            assert_eq!(received(&proof), Ok(proof));
        }
    }
}

#[test]
fn an_extension_is_adopted_proves_a_fork_or_names_a_liar() {
    let all = records(7, "a", 13);
    for from in 0..=13 {
        let adopted = head(&all[..from as usize], 8);
        let Shown::Extends(nodes) = extension(&all, from)
            .check(&adopted.clone().into())
            .unwrap()
        else {
            panic!("{from} is no fork");
        };
        for subtree in cover(0, 13, crate::merkle::MAX_LEVEL) {
            assert!(nodes.contains(&(subtree, naive(&all, subtree))));
        }
    }
    let theirs = records(7, "b", 13);
    for from in 8..=13 {
        let adopted = head(&all[..from as usize], 8);
        let Shown::Fork(proof) = extension(&theirs, from)
            .check(&adopted.clone().into())
            .unwrap()
        else {
            panic!("{from} is a fork");
        };
        assert_eq!(received(&proof), Ok(*proof), "{from}");
    }
    let adopted = head(&all[..9], 8);
    let lie = |change: fn(&mut Extension)| {
        let mut extension = extension(&all, 9);
        change(&mut extension);
        extension.check(&adopted.clone().into()).unwrap_err()
    };
    let _ = lie(|extension| extension.left[0] = Hash([0; 32]));
    let _ = lie(|extension| extension.right[0] = Hash([0; 32]));
    let _ = lie(|extension| extension.right.clear());
    let _ = lie(|extension| extension.left.push(Hash([0; 32])));
    let _ = lie(|extension| extension.left.clear());
}

#[test]
fn a_fork_proof_that_proves_nothing_is_refused() {
    let all = records(99, "", 13);
    let honest = |smaller: usize, larger: usize| {
        let extension = extension(&all[..larger], smaller as u64);
        ForkProof {
            smaller: head(&all[..smaller], 1),
            larger: head(&all[..larger], 2),
            left: extension.left,
            right: extension.right,
            common: None,
        }
    };
    // One tree holds both heads.
    assert!(received(&honest(5, 13)).is_err());
    assert!(received(&honest(13, 13)).is_err());
    let mut same = honest(13, 13);
    same.left.clear();
    assert!(received(&same).is_err());
    // Nodes that do not lead to the larger head accuse their sender only.
    let mut forged = honest(5, 13);
    forged.left[0] = Hash([1; 32]);
    assert!(received(&forged).is_err());

    let branch = records(3, "b", 5);
    let mut real = honest(5, 13);
    real.smaller = head(&branch, 1);
    assert!(received(&real).is_ok());
    let mut signed_by_another = real.clone();
    signed_by_another.smaller = appender(&branch).head(LOG, Timestamp(1)).sign(&key(2));
    assert!(received(&signed_by_another).is_err());
    let mut swapped = real.clone();
    std::mem::swap(&mut swapped.smaller, &mut swapped.larger);
    assert!(received(&swapped).is_err());
    real.right.pop();
    assert!(received(&real).is_err());
}

proptest! {
    #[test]
    fn an_announcement_with_any_byte_altered_is_refused(
        size in 1_u64..40, part in 0.0..1.0, place in any::<prop::sample::Index>(), by in 1_u8..,
    ) {
        let all = records(99, "", size);
        let first = (part * size as f64) as usize;
        let mut bytes = announce(&all, first, 3).to_vec();
        let place = place.index(bytes.len());
        bytes[place] ^= by;
        prop_assert!(verify(&bytes.into()).is_err());
    }

    #[test]
    fn an_announcement_cut_or_lengthened_is_refused(
        size in 1_u64..40, part in 0.0..1.0, place in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let all = records(99, "", size);
        let first = (part * size as f64) as usize;
        let bytes = announce(&all, first, 3);
        prop_assert!(verify(&bytes.slice(..place.index(bytes.len()))).is_err());
        prop_assert!(verify(&[&bytes[..], &more].concat().into()).is_err());
    }

    #[test]
    fn any_bytes_are_an_announcement_or_refused_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        prop_assert!(verify(&bytes.into()).is_err());
    }
}

/// What is said to be common of two trees, whether it is or not.
fn said_common(ours: &[Record], theirs: &[Record], size: u64, level: u8) -> Common {
    let hashes = |records: &[Record], from, to| -> Vec<Hash> {
        let cover = cover(from, to, crate::merkle::MAX_LEVEL);
        cover.map(|subtree| naive(records, subtree)).collect()
    };
    let next = Subtree {
        level,
        index: size >> level,
    };
    let rest = |records: &[Record]| {
        let behind = hashes(records, next.end(), records.len() as u64);
        [&[naive(records, next)][..], &behind].concat()
    };
    let tree = hashes(ours, 0, size);
    Common {
        tree: CompactRange::from_hashes(0, size, tree).unwrap(),
        level,
        smaller: rest(ours),
        larger: rest(theirs),
    }
}

#[test]
fn of_what_two_trees_begin_with_nobody_can_say_less_than_there_is() {
    for (common, size) in [
        (0, 1),
        (3, 4),
        (3, 9),
        (4, 30),
        (15, 16),
        (16, 17),
        (90, 99),
    ] {
        let ours = records(common, "a", size);
        let theirs = records(common, "b", size);
        let proof = |said: u64, level| {
            let proof = ForkProof {
                smaller: head(&ours, 9),
                larger: head(&theirs, 9),
                left: Vec::new(),
                right: Vec::new(),
                common: Some(said_common(&ours, &theirs, said, level)),
            };
            received(&proof)
        };
        let all = proof(common, 0).unwrap();
        assert_eq!(all.common_size(), common);
        for less in 0..common {
            assert!(proof(less, 0).is_err(), "{less} of {common}");
        }
        // By whole chunks there is one right answer, too.
        let chunk = 1 << CHUNK_LEVEL;
        for said in (0..size)
            .step_by(chunk)
            .filter(|said| said + chunk as u64 <= size)
        {
            let is_all = said == common / chunk as u64 * chunk as u64;
            let shown = proof(said, CHUNK_LEVEL).is_ok();
            assert_eq!(shown, is_all, "{said} of {common}, by chunks");
            // Not by larger parts of the tree.
            if said % 8 == 0 && said + 8 <= size {
                assert!(proof(said, CHUNK_LEVEL + 1).is_err());
            }
        }
    }
}

fn closed(records: &[Record], time: i64, successor: Option<u8>) -> SignedHead {
    let successor = successor.map(|digest| LogId([digest; 32]));
    let head = Head {
        closing: Some(Closing { successor }),
        ..appender(records).head(LOG, Timestamp(time))
    };
    head.sign(&key(1))
}

#[test]
fn what_follows_an_end_is_proof_by_the_two_heads_alone_in_either_order() {
    let (small, large) = (records(9, "", 9), records(9, "", 21));
    let end = closed(&small, 5, Some(7));
    for other in [
        // Of a larger tree, whatever its time, and whether or not it is shown to grow.
        head(&large, 9),
        head(&large, 1),
        head(&records(3, "b", 21), 9),
        closed(&large, 9, Some(7)),
        // Of the same tree, later and open, or another end.
        head(&small, 6),
        closed(&small, 5, None),
        closed(&small, 5, Some(8)),
        closed(&small, 1, Some(8)),
    ] {
        for (adopted, heard) in [(&end, &other), (&other, &end)] {
            let proof = fork(relation(adopted, heard));
            assert_eq!(proof.common_size(), 9);
            assert!(proof.is_of_closing());
            assert_eq!(received(&proof).unwrap(), proof);
            let bare = proof.left.is_empty() && proof.right.is_empty();
            assert!(bare && proof.common.is_none());
        }
    }
}

#[test]
fn what_was_signed_before_an_end_is_no_proof() {
    let (smaller, small) = (records(9, "", 5), records(9, "", 9));
    let end = closed(&small, 5, Some(7));
    assert_eq!(relation(&end, &head(&smaller, 9)), Relation::Older);
    assert_eq!(relation(&head(&smaller, 9), &end), Relation::Unproven);
    for time in [1, 4, 5] {
        assert_eq!(relation(&end, &head(&small, time)), Relation::Same);
        assert_eq!(relation(&head(&small, time), &end), Relation::Renews);
    }
    // The end is one text: nothing renews it.
    let again = closed(&small, 9, Some(7));
    assert_eq!(relation(&end, &again), Relation::Same);
    assert_eq!(relation(&again, &end), Relation::Same);
    for earlier in [head(&smaller, 9), head(&small, 5), again] {
        let proof = ForkProof {
            smaller: end.clone(),
            larger: earlier.clone(),
            left: Vec::new(),
            right: Vec::new(),
            common: None,
        };
        assert!(received(&proof).is_err());
        let turned = ForkProof {
            smaller: earlier,
            larger: end.clone(),
            ..proof
        };
        assert!(received(&turned).is_err());
    }
}

#[test]
fn an_end_over_another_tree_of_its_size_is_a_fork_like_any_other() {
    let (ours, theirs) = (records(3, "a", 9), records(3, "b", 9));
    let proof = fork(relation(&closed(&ours, 5, None), &head(&theirs, 9)));
    assert!(!proof.is_of_closing());
    assert_eq!(proof.common_size(), 0);
    assert_eq!(received(&proof).unwrap(), proof);
}

#[test]
fn a_proof_of_an_end_claims_no_other_common_tree() {
    let (small, large) = (records(9, "", 9), records(9, "", 21));
    let proof = fork(relation(&closed(&small, 5, None), &head(&large, 9)));
    let mut wire = proof.to_wire();
    wire.common = Some(v1::Common::default());
    assert!(ForkProof::verify(wire, LOG, &signed_manifest()).is_err());
    let turned = ForkProof {
        smaller: proof.larger.clone(),
        larger: proof.smaller.clone(),
        ..proof
    };
    assert!(received(&turned).is_err());
}
