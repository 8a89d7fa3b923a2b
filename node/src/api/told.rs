//! Which version of an answer each client was told last.
//!
//! Clients that read a file in parts ask for its length, or for its end, then
//! for what they need, and most name no entity tag with it: they get parts of
//! the version that they were told, or the whole.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::limits::MAX_TOLD;

/// What a client knows of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// The entity tag.
    pub(super) tag: String,
    /// How many bytes of its end it has asked for since it began with it. A
    /// file of Parquet is read from its end: first a few bytes, which say how
    /// many are needed; who asks for no more than before begins anew.
    pub(super) end: u64,
}

/// The questions of clients, each with the version that was told last; who asks
/// next stands at the end.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<VecDeque<([u8; 32], Version)>>);

impl Told {
    /// What was told to whom asked this.
    pub(super) fn last(&self, question: [u8; 32]) -> Option<Version> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = told.iter().find(|(known, _)| *known == question);
        found.map(|(_, version)| version.clone())
    }

    /// Remembers what is told now, and forgets who asked for nothing the longest.
    pub(super) fn tell(&self, question: [u8; 32], version: Version) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told.iter().position(|(known, _)| *known == question) {
            Some(at) => drop(told.remove(at)),
            None if told.len() >= MAX_TOLD => drop(told.pop_front()),
            None => {}
        }
        told.push_back((question, version));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(tag: &str) -> Version {
        Version {
            tag: tag.to_owned(),
            end: 0,
        }
    }

    #[test]
    fn the_last_version_counts_and_who_asks_no_more_is_forgotten() {
        let told = Told::default();
        let question = |number: usize| {
            let mut question = [0; 32];
            question[..8].copy_from_slice(&number.to_be_bytes());
            question
        };
        told.tell(question(0), version("a"));
        told.tell(question(1), version("a"));
        told.tell(question(0), version("b"));
        assert_eq!(told.last(question(0)), Some(version("b")));
        assert_eq!(told.last(question(1)), Some(version("a")));
        for number in 2..=MAX_TOLD {
            told.tell(question(number), version("c"));
        }
        assert_eq!(told.last(question(1)), None);
        assert_eq!(told.last(question(0)), Some(version("b")));
        assert_eq!(told.last(question(MAX_TOLD)), Some(version("c")));
    }
}
