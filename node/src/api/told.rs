//! Which version of an answer each client was told last.
//!
//! Clients that read a file in parts ask for its length, or for its end, then
//! for what they need, and most name no entity tag with it: they get parts of
//! the version that they were told, or the whole.
//!
//! Two programs on one machine may call themselves alike. That there are two
//! shows where one is told another version while the other one, on a connection
//! of its own, still reads: then neither gets parts.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::limits::{MAX_TOLD, READING};
use super::peer::Connection;

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

/// What was told last, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// One client knows this version.
    One(Version),
    /// Two clients that cannot be told apart know different ones.
    Mixed,
}

#[derive(Debug)]
struct Entry {
    question: [u8; 32],
    version: Version,
    connection: Connection,
    at: Instant,
    /// When another version was told while this one was read.
    mixed: Option<Instant>,
}

impl Entry {
    /// Whether somebody else than who asks now reads this version.
    fn is_read_beside(&self, connection: &Connection) -> bool {
        self.at.elapsed() < READING && self.connection.is_open() && !self.connection.is(connection)
    }

    fn is_mixed(&self) -> bool {
        self.mixed.is_some_and(|mixed| mixed.elapsed() < READING)
    }
}

/// The questions of clients, each with the version that was told last; who asks
/// next stands at the end.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<VecDeque<Entry>>);

impl Told {
    /// What was told to whom asked this.
    pub(super) fn last(&self, question: [u8; 32]) -> Option<Last> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = told.iter().find(|known| known.question == question)?;
        Some(match found.is_mixed() {
            true => Last::Mixed,
            false => Last::One(found.version.clone()),
        })
    }

    /// Remembers what is told now, and forgets who asked for nothing the longest.
    pub(super) fn tell(&self, question: [u8; 32], version: Version, connection: &Connection) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = told.iter().position(|known| known.question == question);
        let before = at.and_then(|at| told.remove(at));
        if before.is_none() && told.len() >= MAX_TOLD {
            told.pop_front();
        }
        let now = Instant::now();
        let mixed = before.and_then(|before| {
            let is_other = before.version.tag != version.tag && before.is_read_beside(connection);
            is_other.then_some(now).or(before.mixed)
        });
        told.push_back(Entry {
            question,
            version,
            connection: connection.clone(),
            at: now,
            mixed,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::Peer;
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
        let last = |number: usize| match told.last(question(number)) {
            Some(Last::One(version)) => version.tag,
            other => format!("{other:?}"),
        };
        let gone = Connection::default();
        told.tell(question(0), version("a"), &gone);
        told.tell(question(1), version("a"), &gone);
        told.tell(question(0), version("b"), &gone);
        assert_eq!((last(0), last(1)), ("b".to_owned(), "a".to_owned()));
        for number in 2..=MAX_TOLD {
            told.tell(question(number), version("c"), &gone);
        }
        assert_eq!(told.last(question(1)), None);
        assert_eq!((last(0), last(MAX_TOLD)), ("b".to_owned(), "c".to_owned()));
    }

    #[test]
    fn two_who_call_themselves_alike_show_by_their_connections() {
        let question = [7; 32];
        let peer = || Peer::of("127.0.0.1:1000".parse().unwrap());
        let (first, second) = (peer(), peer());
        let mixed = |told: &Told| told.last(question) == Some(Last::Mixed);

        // One that begins anew, on the connection that it has.
        let told = Told::default();
        told.tell(question, version("a"), &first.connection());
        told.tell(question, version("b"), &first.connection());
        assert!(!mixed(&told));
        // The same version on several connections.
        told.tell(question, version("b"), &second.connection());
        assert!(!mixed(&told));
        // Another version, while the second one reads.
        told.tell(question, version("c"), &first.connection());
        assert!(mixed(&told));
        told.tell(question, version("c"), &first.connection());
        assert!(mixed(&told), "it is forgotten at once");

        // A program that has ended reads no more.
        let told = Told::default();
        told.tell(question, version("a"), &first.connection());
        drop(first);
        told.tell(question, version("b"), &second.connection());
        assert!(!mixed(&told));
    }
}
