//! What peers say that they have of a log of ours, while it is not written to.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use crate::head::SignedHead;
use crate::limits::MAX_SOURCES;
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

/// What peers have said.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by: BTreeMap<PeerId, Answer>,
    /// Size and time of the newest head that anybody may have from us.
    told: Option<(u64, Timestamp)>,
}

impl Answers {
    /// Takes an answer; whether it says more than that peer said before. Records
    /// up to `here` are known: whoever knows fewer vouches for nothing.
    pub(super) fn take(
        &mut self,
        peer: PeerId,
        head: &SignedHead,
        here: u64,
        is_known: bool,
    ) -> bool {
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

    /// How many of them count.
    pub(super) fn counting(&self) -> usize {
        self.by.values().filter(|answer| answer.counts).count()
    }

    /// All of them, who has most first.
    pub(super) fn list(&self) -> Vec<Answer> {
        let mut list: Vec<_> = self.by.values().copied().collect();
        list.sort_by_key(|answer| std::cmp::Reverse((answer.size, answer.signed)));
        list
    }
}
