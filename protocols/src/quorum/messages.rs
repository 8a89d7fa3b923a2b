//! The question for the observations before a time, and its answer.

use bytes::Bytes;
use prost::Message;

use super::{Group, HistoryId};
use crate::limits::{
    MAX_ANSWERED_GROUPS, MAX_OBSERVATIONS_ANSWER_BYTES, MAX_OBSERVATIONS_BYTES,
    MAX_OBSERVATIONS_QUESTION_BYTES,
};
use crate::time::Timestamp;
use crate::wire::{WireError, decode, v1};

/// What lies just before a time?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Of which history.
    pub history: HistoryId,
    /// The time; what has it is not asked for.
    pub before: Timestamp,
    /// Groups at most, 1 to [`MAX_ANSWERED_GROUPS`].
    pub groups: usize,
}

/// What a peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Refused(Refusal),
    /// These groups, the latest first, each before the one before it.
    Groups {
        /// At least one, or else `is_beginning`.
        groups: Vec<Group>,
        /// Nothing lies before the last of them.
        is_beginning: bool,
    },
}

/// Why a peer says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not have the history, or not at that time.
    Unknown,
    /// It was asked too often.
    Busy,
}

/// An answer that no honest peer gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an answer with {0}")]
pub struct Absurd(pub &'static str);

impl Question {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let question = v1::ObservationsQuestion {
            history: Bytes::copy_from_slice(&self.history.0),
            before_us: self.before.0,
            groups: u32::try_from(self.groups).unwrap_or(u32::MAX),
        };
        question.encode_to_vec()
    }

    /// Reads a peer's question.
    ///
    /// # Errors
    /// It is none, or asks for more than one may ask for.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        const WHAT: &str = "a question for observations";
        let bad = |field| WireError::BadField { what: WHAT, field };
        let question: v1::ObservationsQuestion =
            decode(WHAT, bytes, MAX_OBSERVATIONS_QUESTION_BYTES)?;
        let groups = usize::try_from(question.groups).unwrap_or(usize::MAX);
        if !(1..=MAX_ANSWERED_GROUPS).contains(&groups) {
            return Err(bad("number of groups"));
        }
        let history = <[u8; 32]>::try_from(&question.history[..]);
        Ok(Self {
            history: HistoryId(history.map_err(|_| bad("history"))?),
            before: Timestamp(question.before_us),
            groups,
        })
    }
}

impl Answer {
    /// Its bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let answer = match self {
            Self::Refused(refusal) => v1::ObservationsAnswer {
                refused: match refusal {
                    Refusal::Unknown => 1,
                    Refusal::Busy => 2,
                },
                ..v1::ObservationsAnswer::default()
            },
            Self::Groups {
                groups,
                is_beginning,
            } => v1::ObservationsAnswer {
                refused: 0,
                groups: (groups.into_iter())
                    .map(|group| v1::ObservationGroup {
                        time_us: group.time.0,
                        values: group.values,
                    })
                    .collect(),
                is_beginning,
            },
        };
        answer.encode_to_vec()
    }

    /// Reads a peer's answer. Whether it is one to the question is told by
    /// [`Answer::check`].
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        const WHAT: &str = "an answer with observations";
        let answer: v1::ObservationsAnswer = decode(WHAT, bytes, MAX_OBSERVATIONS_ANSWER_BYTES)?;
        let group = |group: v1::ObservationGroup| Group {
            time: Timestamp(group.time_us),
            values: group.values,
        };
        match answer.refused {
            0 => Ok(Self::Groups {
                groups: answer.groups.into_iter().map(group).collect(),
                is_beginning: answer.is_beginning,
            }),
            2 => Ok(Self::Refused(Refusal::Busy)),
            // Reasons that later versions may have say the same.
            _ => Ok(Self::Refused(Refusal::Unknown)),
        }
    }

    /// Refuses what no honest peer answers to this question.
    ///
    /// # Errors
    /// Times that were not asked for or do not fall, groups that nobody may
    /// keep, more than was asked for, or nothing at all.
    pub fn check(&self, question: &Question) -> Result<(), Absurd> {
        let Self::Groups {
            groups,
            is_beginning,
        } = self
        else {
            return Ok(());
        };
        if groups.is_empty() && !is_beginning {
            return Err(Absurd("neither observations nor their beginning"));
        }
        if groups.len() > question.groups {
            return Err(Absurd("more than was asked for"));
        }
        let mut before = question.before;
        let mut cost = 0;
        for group in groups {
            if group.time >= before {
                return Err(Absurd("a time that is not before the one asked for"));
            }
            before = group.time;
            if let Some(flaw) = group.flaw() {
                return Err(Absurd(flaw));
            }
            cost += group.cost();
        }
        if cost > MAX_OBSERVATIONS_BYTES {
            return Err(Absurd("more bytes than an answer may have"));
        }
        Ok(())
    }
}
