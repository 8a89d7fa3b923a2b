//! The published proofs of transparency-dev/merkle, valid and invalid alike.

use serde::Deserialize;

use super::*;

const VECTORS: &str = include_str!("../../tests-data/rfc9162-vectors.json");

#[derive(Deserialize)]
struct Vectors {
    inclusion: Vec<Inclusion>,
    consistency: Vec<Consistency>,
}

#[derive(Deserialize)]
struct Inclusion {
    file: String,
    index: u64,
    size: u64,
    root: String,
    leaf_hash: String,
    path: Vec<String>,
    valid: bool,
}

#[derive(Deserialize)]
struct Consistency {
    file: String,
    first_size: u64,
    second_size: u64,
    first_root: String,
    second_root: String,
    path: Vec<String>,
    valid: bool,
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).expect("the vectors are in this repository")
}

/// What becomes of text that is no hash.
#[derive(Clone, Copy)]
enum Garbage {
    /// Refused, as bytes of a wrong length from a peer are.
    Refused,
    /// Replaced by a hash of its own, so that the verifier gets to see it.
    Hashed,
}

impl Garbage {
    fn parse(self, text: &str) -> Option<Hash> {
        match self {
            Self::Refused => text.parse().ok(),
            Self::Hashed => Some(text.parse().unwrap_or_else(|_| leaf_hash(text.as_bytes()))),
        }
    }

    fn parse_all(self, path: &[String]) -> Option<Vec<Hash>> {
        path.iter().map(|text| self.parse(text)).collect()
    }
}

fn check_inclusion(v: &Inclusion, garbage: Garbage) -> Option<bool> {
    let path = garbage.parse_all(&v.path)?;
    let (leaf, root) = (garbage.parse(&v.leaf_hash)?, garbage.parse(&v.root)?);
    Some(verify_inclusion(leaf, v.index, v.size, &path, root).is_ok())
}

fn check_consistency(v: &Consistency, garbage: Garbage) -> Option<bool> {
    let path = garbage.parse_all(&v.path)?;
    let first = garbage.parse(&v.first_root)?;
    let second = garbage.parse(&v.second_root)?;
    Some(verify_consistency(v.first_size, v.second_size, first, second, &path).is_ok())
}

/// Counts of (all, valid, refused because they hold what is no hash).
fn run<T>(
    vectors: &[T],
    valid: impl Fn(&T) -> bool,
    file: impl Fn(&T) -> &str,
    check: impl Fn(&T, Garbage) -> Option<bool>,
) -> (usize, usize, usize) {
    let (mut accepted, mut not_hashes) = (0, 0);
    for v in vectors {
        let verdict = check(v, Garbage::Refused);
        assert_eq!(verdict.unwrap_or(false), valid(v), "{}", file(v));
        accepted += usize::from(verdict == Some(true));
        not_hashes += usize::from(verdict.is_none());
    }
    (vectors.len(), accepted, not_hashes)
}

#[test]
fn every_published_inclusion_proof_is_judged_as_published() {
    let all = vectors().inclusion;
    let counts = run(&all, |v| v.valid, |v| &v.file, check_inclusion);
    assert_eq!(counts, (49, 3, 14));
}

#[test]
fn every_published_consistency_proof_is_judged_as_published() {
    let all = vectors().consistency;
    let counts = run(&all, |v| v.valid, |v| &v.file, check_consistency);
    assert_eq!(counts, (49, 4, 13));
}

#[test]
fn vectors_with_garbage_are_judged_the_same_when_the_garbage_is_hashed() {
    let all = vectors();
    let mut ran = 0;
    for v in &all.inclusion {
        assert_eq!(
            check_inclusion(v, Garbage::Hashed),
            Some(v.valid),
            "{}",
            v.file
        );
        ran += 1;
    }
    for v in &all.consistency {
        assert_eq!(
            check_consistency(v, Garbage::Hashed),
            Some(v.valid),
            "{}",
            v.file
        );
        ran += 1;
    }
    assert_eq!(ran, 98);
}
