//! The lanes between two peers.

use std::fmt;

/// One of the long-lived substreams to a peer, in order of precedence. What is in one
/// of them does not wait for what is in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Questions and short answers.
    Control = 0,
    /// Deliveries that somebody waits for: live records, and what a user wants.
    Urgent = 1,
    /// Deliveries of history.
    Bulk = 2,
}

impl Lane {
    /// All lanes, the most important first.
    pub const ALL: [Self; 3] = [Self::Control, Self::Urgent, Self::Bulk];

    /// The first byte of its substream.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        self as u8
    }

    /// The lane that the first byte of a substream names.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.to_byte() == byte)
    }

    /// Its place in [`ALL`](Self::ALL).
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.to_byte())
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Urgent => "urgent",
            Self::Bulk => "bulk",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_stands_where_its_byte_says() {
        for (place, lane) in Lane::ALL.into_iter().enumerate() {
            assert_eq!(lane.index(), place);
            assert_eq!(Lane::from_byte(lane.to_byte()), Some(lane));
        }
        assert_eq!(Lane::from_byte(3), None);
    }
}
