//! Files that clients have whole while the stream grows on, so that the file of
//! later begins with the bytes that they have.
//!
//! GNU wget goes on with a file (`-c`) by putting whatever is behind as many bytes
//! as it has behind those, and ends well. Lines are only added to, but a file of
//! Parquet ends in an index of all its rows. What was told whole to such a client
//! is therefore remembered: files of the same question are written from then on
//! with an end at that place too, and go on behind it
//! ([`crate::export::Encoder::end_version`]).
//!
//! Who has another number of bytes than one of these files has something else, a
//! part of one or a file of another run of the node, and gets nothing to append.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::limits::{MAX_GROWN, MAX_GROWN_VERSIONS};
use crate::export::Format;

/// A file whose next version can begin with this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Growing {
    /// The question, and the rows that it is answered from.
    pub(super) file: String,
    pub(super) format: Format,
    /// Records of the stream in this version.
    pub(super) size: u64,
    /// The sizes at which it has an end in its middle, the smallest first.
    pub(super) ends: Vec<u64>,
}

/// One version of a file that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    size: u64,
    /// Bytes of the file.
    length: u64,
}

/// The versions of a file, each of which begins with the one before.
#[derive(Debug)]
struct Entry {
    file: String,
    versions: Vec<Version>,
}

/// The files that somebody may go on with; the one that was told last stands at
/// the end.
#[derive(Debug, Default)]
pub(super) struct Grown(Mutex<VecDeque<Entry>>);

impl Grown {
    /// A file as it is to be written for a stream of this size.
    pub(super) fn growing(&self, file: String, format: Format, size: u64) -> Growing {
        let ends = self.change(|entries| {
            let found = entries.iter().find(|entry| entry.file == file);
            let sizes = found.into_iter().flat_map(|entry| &entry.versions);
            let earlier = sizes.map(|version| version.size).filter(|&end| end < size);
            earlier.collect()
        });
        Growing {
            file,
            format,
            size,
            ends,
        }
    }

    /// Remembers that this version, of so many bytes, was told whole to somebody
    /// who may go on with it. One that was written before another one was known
    /// does not go on from that, and is not remembered.
    pub(super) fn told(&self, file: &Growing, length: u64) {
        let version = Version {
            size: file.size,
            length,
        };
        self.change(|entries| {
            let at = entries.iter().position(|entry| entry.file == file.file);
            let mut entry = at.and_then(|at| entries.remove(at)).unwrap_or(Entry {
                file: file.file.clone(),
                versions: Vec::new(),
            });
            let goes_on = entry.versions.iter().map(|version| version.size);
            if goes_on.eq(file.ends.iter().copied()) {
                if entry.versions.len() >= MAX_GROWN_VERSIONS {
                    entry.versions.clear();
                } else {
                    entry.versions.push(version);
                }
            }
            if entries.len() >= MAX_GROWN {
                entries.pop_front();
            }
            entries.push_back(entry);
        });
    }

    /// Whether a file of so many bytes is one that this version begins with.
    pub(super) fn begins_with(&self, file: &Growing, length: u64) -> bool {
        self.change(|entries| {
            let found = entries.iter().find(|entry| entry.file == file.file);
            found.is_some_and(|entry| {
                let mut versions = entry.versions.iter().zip(&file.ends);
                versions.any(|(version, &end)| version.size == end && version.length == length)
            })
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut VecDeque<Entry>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growing(grown: &Grown, size: u64) -> Growing {
        grown.growing("a file".to_owned(), Format::Parquet, size)
    }

    fn ends(grown: &Grown, size: u64) -> Vec<u64> {
        growing(grown, size).ends
    }

    #[test]
    fn a_file_has_an_end_where_somebody_has_it_whole() {
        let grown = Grown::default();
        assert!(ends(&grown, 10).is_empty());
        grown.told(&growing(&grown, 10), 100);
        assert!(
            ends(&grown, 10).is_empty(),
            "the same version is the same file"
        );
        assert_eq!(ends(&grown, 15), [10]);
        grown.told(&growing(&grown, 15), 200);
        assert_eq!(ends(&grown, 16), [10, 15]);
        let other = grown.growing("another".to_owned(), Format::Parquet, 16);
        assert!(other.ends.is_empty());
    }

    #[test]
    fn only_a_whole_file_that_was_told_is_gone_on_with() {
        let grown = Grown::default();
        grown.told(&growing(&grown, 10), 100);
        grown.told(&growing(&grown, 15), 200);
        let now = growing(&grown, 20);
        for whole in [100, 200] {
            assert!(grown.begins_with(&now, whole), "{whole}");
        }
        for other in [0, 1, 99, 101, 150, 201] {
            assert!(!grown.begins_with(&now, other), "{other}");
        }
        assert!(
            !grown.begins_with(&growing(&grown, 15), 200),
            "it is this one"
        );
    }

    #[test]
    fn what_does_not_go_on_from_the_last_one_is_not_remembered() {
        let grown = Grown::default();
        let (first, second) = (growing(&grown, 10), growing(&grown, 15));
        grown.told(&first, 100);
        // It was written before the first one was told, and has no end there.
        grown.told(&second, 150);
        assert_eq!(ends(&grown, 20), [10]);
        assert!(!grown.begins_with(&growing(&grown, 20), 150));
    }

    #[test]
    fn versions_and_files_are_bounded() {
        let grown = Grown::default();
        let most = MAX_GROWN_VERSIONS as u64;
        for size in 1..=most {
            grown.told(&growing(&grown, size), 100 * size);
        }
        assert_eq!(ends(&grown, most + 1).len(), MAX_GROWN_VERSIONS);
        grown.told(&growing(&grown, most + 1), 100 * most + 100);
        assert!(ends(&grown, most + 2).is_empty(), "it begins anew");

        for number in 0..=MAX_GROWN {
            let file = grown.growing(number.to_string(), Format::Parquet, 1);
            grown.told(&file, 1);
        }
        assert!(grown.0.lock().unwrap().len() <= MAX_GROWN);
        let first = grown.growing("0".to_owned(), Format::Parquet, 2);
        assert!(first.ends.is_empty());
    }
}
