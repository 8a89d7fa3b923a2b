//! One walk back through a history: ask, count, take what was agreed on, go on
//! from there.

use std::collections::{BTreeMap, VecDeque};

use libp2p_identity::PeerId;
use sha2::{Digest, Sha256};

use super::messages::{Answer, Question};
use super::tally::{Report, Said, Silence, Tally, Voice, VoiceState};
use super::{Group, HistoryId, Prefix};
use crate::limits::{MAX_ANSWERED_GROUPS, MAX_ASKED_PEERS, OBSERVATIONS_ALLOWANCE};
use crate::time::Timestamp;

/// What a walk hears.
#[derive(Clone, Debug)]
pub enum Input {
    /// Who is connected, after [`Output::WantPeers`].
    Peers(Vec<(PeerId, Prefix)>),
    /// What came of a question.
    Reply {
        /// Of [`Output::Ask`]. One of an earlier round comes too late, and is
        /// not heard.
        round: u64,
        /// Who was asked.
        peer: PeerId,
        /// What came.
        reply: Reply,
    },
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer.
    Answer(Answer),
    /// None.
    Silence(Silence),
}

/// What is to be done for a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Say who is connected.
    WantPeers,
    /// Ask these peers.
    Ask {
        /// Comes back with the replies.
        round: u64,
        /// Whom.
        peers: Vec<PeerId>,
        /// What.
        question: Question,
    },
    /// Store this, before anything else is asked of the walk.
    Agreed(Agreed),
    /// It is over.
    Ended(Outcome),
}

/// What was agreed on in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The groups, the latest first.
    pub groups: Vec<Group>,
    /// What lies before this time is asked for next.
    pub next: Timestamp,
    /// Nothing does: the history is whole.
    pub is_beginning: bool,
    /// Nobody but one peer was asked, so that this is its word alone.
    pub on_one_word: bool,
}

/// How a walk ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// At the beginning of the history.
    Complete,
    /// Without an agreement; what was agreed on before is kept.
    Stopped(Report),
}

/// A walk back through one history.
///
/// After each input, and at each [`Walk::poll_timeout`], take the outputs until
/// there are none. The same inputs at the same times give the same outputs.
#[derive(Debug)]
pub struct Walk {
    history: HistoryId,
    /// What lies before this time is wanted.
    next: Timestamp,
    /// How long answers are waited for.
    deadline_us: u64,
    seed: [u8; 32],
    round: u64,
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    /// The next question may be asked then: so often and no more are we
    /// answered.
    Resting { until: Timestamp },
    /// Who is connected is being found out.
    Choosing,
    /// These were asked.
    Asking {
        since: Timestamp,
        voices: BTreeMap<PeerId, Voice>,
    },
    /// Nothing is done any more.
    Over,
}

impl Walk {
    /// A walk that asks for what lies before `next`, and waits `deadline_us`
    /// microseconds for answers. `seed` decides whom to ask when there are too
    /// many: nobody may know it beforehand.
    #[must_use]
    pub fn new(
        history: HistoryId,
        next: Timestamp,
        deadline_us: u64,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Self {
        Self {
            history,
            next,
            deadline_us,
            seed,
            round: 0,
            state: State::Resting { until: now },
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Peers(peers) => self.ask(peers, now),
            Input::Reply { round, peer, reply } => {
                let question = self.question();
                if round == self.round
                    && let State::Asking { voices, .. } = &mut self.state
                    && let Some(voice) = voices.get_mut(&peer)
                    && matches!(voice.state, VoiceState::Waiting)
                {
                    voice.state = match reply {
                        Reply::Answer(answer) => heard(answer, &question),
                        Reply::Silence(why) => VoiceState::Silent(why),
                    };
                    self.count(now);
                }
            }
        }
    }

    /// What is to be done next, if anything is.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Walk::handle_timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.state {
            State::Resting { until } => Some(*until),
            State::Asking { since, .. } => Some(since.plus(self.deadline_us)),
            State::Choosing | State::Over => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        match &self.state {
            State::Resting { until } if *until <= now => {
                self.state = State::Choosing;
                self.outputs.push_back(Output::WantPeers);
            }
            State::Asking { .. } => self.count(now),
            State::Resting { .. } | State::Choosing | State::Over => {}
        }
    }

    fn question(&self) -> Question {
        Question {
            history: self.history,
            before: self.next,
            groups: MAX_ANSWERED_GROUPS,
        }
    }

    fn ask(&mut self, peers: Vec<(PeerId, Prefix)>, now: Timestamp) {
        if !matches!(self.state, State::Choosing) {
            return;
        }
        self.round += 1;
        let voices: BTreeMap<PeerId, Voice> = chosen(peers, &self.seed, self.round)
            .into_iter()
            .map(|(peer, prefix)| {
                let state = VoiceState::Waiting;
                (peer, Voice { prefix, state })
            })
            .collect();
        let peers: Vec<PeerId> = voices.keys().copied().collect();
        if !peers.is_empty() {
            self.outputs.push_back(Output::Ask {
                round: self.round,
                peers,
                question: self.question(),
            });
        }
        self.state = State::Asking { since: now, voices };
        self.count(now);
    }

    /// Takes what is agreed on, as far back as it is.
    fn count(&mut self, now: Timestamp) {
        let State::Asking { since, voices } = &self.state else {
            return;
        };
        let since = *since;
        let waits = |voice: &Voice| matches!(voice.state, VoiceState::Waiting);
        let is_over = since.plus(self.deadline_us) <= now || !voices.values().any(waits);
        let mut agreed = Agreed {
            groups: Vec::new(),
            next: self.next,
            is_beginning: false,
            on_one_word: false,
        };
        while !agreed.is_beginning {
            let tally = Tally::of(voices, agreed.next, is_over);
            let Some((said, on_one_word)) = tally.decided() else {
                if tally.may_be_decided() {
                    return;
                }
                break;
            };
            agreed.on_one_word |= on_one_word;
            match said {
                Said::Group(group) => {
                    agreed.next = group.time;
                    agreed.groups.push(group);
                }
                Said::Nothing => agreed.is_beginning = true,
            }
        }
        if agreed.is_beginning {
            self.outputs.push_back(Output::Agreed(agreed));
            self.end(Outcome::Complete);
        } else if !agreed.groups.is_empty() {
            // Where they do not agree, or have not said so much, they are asked
            // again.
            self.next = agreed.next;
            self.outputs.push_back(Output::Agreed(agreed));
            let until = since.plus(OBSERVATIONS_ALLOWANCE.0).max(now);
            self.state = State::Resting { until };
        } else if is_over {
            let report = Report::of(voices, self.next);
            self.end(Outcome::Stopped(report));
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.state = State::Over;
        self.outputs.push_back(Output::Ended(outcome));
    }
}

/// What no honest peer says is not heard.
fn heard(answer: Answer, question: &Question) -> VoiceState {
    match answer.check(question) {
        Ok(()) => VoiceState::of(answer),
        Err(absurd) => VoiceState::Silent(Silence::Absurd(absurd)),
    }
}

/// Whom to ask: one of each prefix first, and else by a hash that nobody can
/// choose a peer id for.
fn chosen(peers: Vec<(PeerId, Prefix)>, seed: &[u8; 32], round: u64) -> Vec<(PeerId, Prefix)> {
    let place = |peer: &PeerId| -> [u8; 32] {
        let hash = Sha256::new()
            .chain_update(seed)
            .chain_update(round.to_be_bytes())
            .chain_update(peer.to_bytes());
        hash.finalize().into()
    };
    let peers: BTreeMap<PeerId, Prefix> = peers.into_iter().collect();
    let mut drawn: Vec<_> = (peers.into_iter())
        .map(|(peer, prefix)| (place(&peer), peer, prefix))
        .collect();
    drawn.sort();
    let mut of_prefix: BTreeMap<Prefix, usize> = BTreeMap::new();
    let mut ranked: Vec<_> = (drawn.into_iter())
        .map(|(_, peer, prefix)| {
            let before = of_prefix.entry(prefix.clone()).or_insert(0);
            *before += 1;
            (*before, peer, prefix)
        })
        .collect();
    // Stable: within a rank in the order that was drawn.
    ranked.sort_by_key(|(rank, ..)| *rank);
    ranked.truncate(MAX_ASKED_PEERS);
    (ranked.into_iter())
        .map(|(_, peer, prefix)| (peer, prefix))
        .collect()
}
