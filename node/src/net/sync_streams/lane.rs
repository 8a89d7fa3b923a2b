//! The lanes of a connection.

use std::fmt;

/// One of the substreams between two peers, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Requests, offers and other small messages.
    Control = 0,
    /// Deliveries that somebody waits for.
    Urgent = 1,
    /// Deliveries of history.
    Bulk = 2,
}

impl Lane {
    /// All lanes, the most important first.
    pub const ALL: [Lane; 3] = [Lane::Control, Lane::Urgent, Lane::Bulk];

    /// The lane named by the first byte of a substream.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| *lane as u8 == byte)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self as u8)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Control => "control",
            Lane::Urgent => "urgent",
            Lane::Bulk => "bulk",
        })
    }
}
