//! The rules of the vote: who counts, for what, and when it is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use libp2p_identity::PeerId;

use super::messages::{Absurd, Answer, Refusal};
use super::{Group, Prefix};
use crate::time::Timestamp;

/// What a peer says to lie just before a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// These observations.
    Group(Group),
    /// Nothing: the history begins there. That is an answer, and counts.
    Nothing,
}

/// Why a peer has no voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It did not answer in time.
    Late,
    /// It does not have the history.
    Unknown,
    /// It was asked too often.
    Busy,
    /// The connection failed.
    Failed(String),
    /// It answered what no honest peer answers.
    Absurd(Absurd),
    /// It does not know such questions, so that it was not asked.
    NotAsked,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("no answer in time"),
            Self::Unknown => f.write_str("does not have this history"),
            Self::Busy => f.write_str("was asked too often"),
            Self::Failed(why) => f.write_str(why),
            Self::Absurd(absurd) => absurd.fmt(f),
            Self::NotAsked => f.write_str("does not know such questions"),
        }
    }
}

/// A peer that is asked.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub(super) prefix: Prefix,
    pub(super) state: VoiceState,
}

/// How far it is.
#[derive(Clone, Debug)]
pub(super) enum VoiceState {
    /// It may still answer.
    Waiting,
    /// It said this.
    Answered {
        groups: Vec<Group>,
        is_beginning: bool,
    },
    /// It says nothing.
    Silent(Silence),
}

impl VoiceState {
    pub(super) fn of(answer: Answer) -> Self {
        match answer {
            Answer::Groups {
                groups,
                is_beginning,
            } => Self::Answered {
                groups,
                is_beginning,
            },
            Answer::Refused(Refusal::Unknown) => Self::Silent(Silence::Unknown),
            Answer::Refused(Refusal::Busy) => Self::Silent(Silence::Busy),
        }
    }

    /// What it says of the time just before `time`; `None` when it has not said
    /// so far back.
    fn said(&self, time: Timestamp) -> Option<Said> {
        let Self::Answered {
            groups,
            is_beginning,
        } = self
        else {
            return None;
        };
        match groups.get(groups.partition_point(|group| group.time >= time)) {
            Some(group) => Some(Said::Group(group.clone())),
            None => is_beginning.then_some(Said::Nothing),
        }
    }
}

/// What the peers of one prefix say together.
enum Vote {
    /// All that answered say the same.
    For(Said),
    /// They contradict each other, so that none of them counts for anything.
    /// They have answered all the same: else a liar beside each honest peer
    /// could silence those, and be alone.
    Void,
    /// One of them may still speak.
    Waiting,
    /// One of them has not said so far back, and has to be asked again.
    Unread,
    /// None of them answered.
    None,
}

/// The voices about one time, counted.
pub(super) struct Tally {
    votes: BTreeMap<Prefix, Vote>,
    /// Prefixes with a peer that was asked.
    asked: usize,
    answered: usize,
}

/// Prefixes that have to say the same: two thirds of those who answered, and
/// more than one of them, unless only one was asked.
pub(super) fn needed(asked: usize, answered: usize) -> usize {
    match asked {
        0 | 1 => 1,
        _ => (answered * 2).div_ceil(3).max(2),
    }
}

impl Tally {
    /// Counts what is said of the time just before `time`. Until the vote
    /// `is_over`, whoever has not answered counts as if it had said something
    /// else.
    pub(super) fn of(voices: &BTreeMap<PeerId, Voice>, time: Timestamp, is_over: bool) -> Self {
        let mut votes: BTreeMap<Prefix, Vote> = BTreeMap::new();
        for voice in voices.values() {
            let own = match &voice.state {
                VoiceState::Silent(Silence::NotAsked) => continue,
                VoiceState::Silent(_) => Vote::None,
                VoiceState::Waiting if is_over => Vote::None,
                VoiceState::Waiting => Vote::Waiting,
                answered @ VoiceState::Answered { .. } => {
                    answered.said(time).map_or(Vote::Unread, Vote::For)
                }
            };
            let vote = votes.entry(voice.prefix.clone()).or_insert(Vote::None);
            *vote = match (std::mem::replace(vote, Vote::None), own) {
                (Vote::Void, _) | (_, Vote::Void) => Vote::Void,
                (Vote::For(one), Vote::For(other)) if one != other => Vote::Void,
                (Vote::Waiting, _) | (_, Vote::Waiting) => Vote::Waiting,
                (Vote::Unread, _) | (_, Vote::Unread) => Vote::Unread,
                (Vote::For(said), _) | (_, Vote::For(said)) => Vote::For(said),
                (Vote::None, Vote::None) => Vote::None,
            };
        }
        let answered = votes.values().filter(|vote| !matches!(vote, Vote::None));
        Self {
            asked: votes.len(),
            answered: answered.count(),
            votes,
        }
    }

    /// What enough of them say, and whether that is one peer's word alone.
    pub(super) fn decided(&self) -> Option<(Said, bool)> {
        let needed = needed(self.asked, self.answered);
        let counted = self.counted();
        let (said, _) = counted.into_iter().find(|(_, votes)| *votes >= needed)?;
        Some((said.clone(), self.asked <= 1))
    }

    /// Whether those who may still speak could decide it. Who has said too
    /// little so far back keeps from that: else a liar that tells one group at a
    /// time could have each of them asked for by itself.
    pub(super) fn may_be_decided(&self) -> bool {
        let waits = |vote: &&Vote| matches!(vote, Vote::Waiting);
        let waiting = self.votes.values().filter(waits).count();
        let most = self.counted().into_values().max().unwrap_or(0);
        waiting > 0 && most + waiting >= needed(self.asked, self.answered)
    }

    fn counted(&self) -> BTreeMap<&Said, usize> {
        let mut counted = BTreeMap::new();
        for vote in self.votes.values() {
            if let Vote::For(said) = vote {
                *counted.entry(said).or_insert(0) += 1;
            }
        }
        counted
    }
}

/// Who said what, when there was no agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What lies before this time was asked for.
    pub before: Timestamp,
    /// Prefixes that were asked.
    pub asked: usize,
    /// Prefixes that answered.
    pub answered: usize,
    /// Votes that would have been enough.
    pub needed: usize,
    /// What was said; what has most votes first.
    pub ballots: Vec<Ballot>,
    /// Who said nothing, and why.
    pub silent: Vec<(PeerId, Silence)>,
}

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// What.
    pub said: Said,
    /// Prefixes of which all that answered say so.
    pub votes: usize,
    /// Peers that say so.
    pub peers: Vec<PeerId>,
    /// Prefixes among theirs whose peers contradict each other, so that their
    /// vote is void.
    pub void: Vec<Prefix>,
}

impl Report {
    /// What was said of the time just before `time`, at the end of the vote.
    pub(super) fn of(voices: &BTreeMap<PeerId, Voice>, time: Timestamp) -> Self {
        let tally = Tally::of(voices, time, true);
        let counted = tally.counted();
        let mut said: BTreeMap<Said, (Vec<PeerId>, BTreeSet<Prefix>)> = BTreeMap::new();
        let mut silent = Vec::new();
        for (&peer, voice) in voices {
            match &voice.state {
                VoiceState::Waiting => silent.push((peer, Silence::Late)),
                VoiceState::Silent(why) => silent.push((peer, why.clone())),
                answered @ VoiceState::Answered { .. } => {
                    let Some(what) = answered.said(time) else {
                        continue;
                    };
                    let (peers, void) = said.entry(what).or_default();
                    peers.push(peer);
                    if matches!(tally.votes.get(&voice.prefix), Some(Vote::Void)) {
                        void.insert(voice.prefix.clone());
                    }
                }
            }
        }
        let ballot = |(said, (peers, void)): (Said, (Vec<PeerId>, BTreeSet<Prefix>))| Ballot {
            votes: counted.get(&said).copied().unwrap_or(0),
            said,
            peers,
            void: void.into_iter().collect(),
        };
        let mut ballots: Vec<Ballot> = said.into_iter().map(ballot).collect();
        ballots.sort_by_key(|ballot| std::cmp::Reverse(ballot.votes));
        Self {
            before: time,
            asked: tally.asked,
            answered: tally.answered,
            needed: needed(tally.asked, tally.answered),
            ballots,
            silent,
        }
    }
}
