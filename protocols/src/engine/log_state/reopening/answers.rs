//! What peers say that they have of a log of ours, while it is not written to.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use crate::head::SignedHead;
use crate::limits::{EARLY_FOLLOWERS, MAX_SOURCES};
use crate::time::Timestamp;

/// Answers that are told in words; all of them stand beside.
const NAMED: usize = 3;

/// What one peer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who says it.
    pub peer: PeerId,
    /// Records under the head that it has.
    pub size: u64,
    /// When that head was signed, as it says itself.
    pub signed: Timestamp,
    /// Whether it is one that had everything once, and has what it cannot have
    /// from us since we started: the word of others opens nothing.
    pub counts: bool,
}

/// What an answer brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing that this peer has not said before, or nothing that is kept.
    Nothing,
    /// More than it said before. Whoever has many old heads can go on like that.
    More,
    /// More than anybody has said, or one that counts: there may be more to come.
    News,
}

/// What peers have said.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by: BTreeMap<PeerId, Answer>,
    /// Size and time of the newest head that anybody may have from us.
    told: Option<(u64, Timestamp)>,
}

impl Answers {
    /// Takes an answer. Records up to `here` are known: whoever knows fewer vouches
    /// for nothing.
    pub(super) fn take(
        &mut self,
        peer: PeerId,
        head: &SignedHead,
        here: u64,
        is_known: bool,
    ) -> Heard {
        let counted = self.count(peer);
        let largest = self.by.values().map(|answer| answer.size).max();
        let is_more = self.note(peer, head, here, is_known);
        match is_more {
            false => Heard::Nothing,
            true if Some(head.size) > largest.max(Some(here)) => Heard::News,
            true if self.count(peer) != counted => Heard::News,
            true => Heard::More,
        }
    }

    /// Whether what a peer has said counts.
    fn count(&self, peer: PeerId) -> bool {
        self.by.get(&peer).is_some_and(|answer| answer.counts)
    }

    fn note(&mut self, peer: PeerId, head: &SignedHead, here: u64, is_known: bool) -> bool {
        let said = (head.size, head.time);
        let is_new = self.told.is_none_or(|told| said > told);
        let counts = is_known && is_new && head.size >= here;
        let has_room = self.by.len() < MAX_SOURCES;
        match self.by.get_mut(&peer) {
            Some(answer) => {
                let more = said > (answer.size, answer.signed) || counts && !answer.counts;
                if more {
                    (answer.size, answer.signed) = said;
                    answer.counts |= counts;
                }
                more
            }
            None if has_room || is_known => {
                let answer = Answer {
                    peer,
                    size: head.size,
                    signed: head.time,
                    counts,
                };
                self.by.insert(peer, answer);
                true
            }
            None => false,
        }
    }

    /// Somebody is told this head.
    pub(super) fn told(&mut self, head: &SignedHead) {
        self.told = self.told.max(Some((head.size, head.time)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by.len()
    }

    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.by.contains_key(&peer)
    }

    /// Who has said what, in words: those with most.
    pub(super) fn words(&self) -> String {
        let list = self.list();
        let mut said: Vec<_> = (list.iter().take(NAMED))
            .map(|answer| {
                let peer = answer.peer.to_string();
                // All of them begin alike.
                let (_, end) = peer.split_at(peer.len().saturating_sub(8));
                format!("peer …{end} has {} records", answer.size)
            })
            .collect();
        if list.len() > NAMED {
            said.push(format!("{} more have answered", list.len() - NAMED));
        }
        said.join(", ")
    }

    /// How many of them count. Of the followers that are known, who came first
    /// stands first; of those who came late one counts at most.
    pub(super) fn counting(&self, known: &[PeerId]) -> usize {
        let all = self.by.values().filter(|answer| answer.counts).count();
        let first = known.iter().take(EARLY_FOLLOWERS);
        let first = first.filter(|&&peer| self.count(peer)).count();
        first + (all - first).min(1)
    }

    /// All of them, who has most first.
    pub(super) fn list(&self) -> Vec<Answer> {
        let mut list: Vec<_> = self.by.values().copied().collect();
        list.sort_by_key(|answer| std::cmp::Reverse((answer.size, answer.signed)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Head, Tree};
    use crate::id::LogId;
    use crate::identity::SigningKey;
    use crate::merkle::Hash;

    fn peer(seed: u8) -> PeerId {
        SigningKey::from_secret(&mut [seed; 32]).public().peer_id()
    }

    fn head(size: u64) -> SignedHead {
        let root = Hash([0; 32]);
        let time = Timestamp(size.cast_signed());
        let head = Head::of_tree(LogId([1; 32]), Tree { size, root }, time);
        head.sign(&SigningKey::from_secret(&mut [99; 32]))
    }

    #[test]
    fn who_shows_old_heads_one_by_one_brings_no_news() {
        let mut answers = Answers::default();
        let take = |answers: &mut Answers, seed, size, is_known| {
            answers.take(peer(seed), &head(size), 10, is_known)
        };
        assert_eq!(take(&mut answers, 1, 100, false), Heard::News);
        assert_eq!(take(&mut answers, 1, 100, false), Heard::Nothing);
        for size in 0..100 {
            let heard = take(&mut answers, 2, size, false);
            assert_eq!(heard, Heard::More, "{size}");
        }
        assert_eq!(take(&mut answers, 2, 101, false), Heard::News);
        // One that counts may bring others.
        assert_eq!(take(&mut answers, 3, 50, true), Heard::News);
        assert_eq!(take(&mut answers, 3, 51, true), Heard::More);
        // What is here already is none.
        let mut answers = Answers::default();
        assert_eq!(take(&mut answers, 1, 10, false), Heard::More);
    }

    #[test]
    fn of_those_who_came_late_one_counts() {
        let mut answers = Answers::default();
        let known: Vec<_> = (0..16).map(peer).collect();
        for seed in EARLY_FOLLOWERS..16 {
            answers.take(known[seed], &head(10), 10, true);
            assert_eq!(answers.counting(&known), 1);
        }
        for seed in 0..EARLY_FOLLOWERS {
            answers.take(known[seed], &head(10), 10, true);
            assert_eq!(answers.counting(&known), seed + 2);
        }
    }
}
