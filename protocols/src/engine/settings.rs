//! What an engine is told at its start.

use std::collections::BTreeMap;

use super::Mark;
use crate::id::LogId;
use crate::time::Timestamp;

/// What an engine is told at its start, beside what is stored.
#[derive(Clone)]
pub struct Settings {
    /// Random bytes that nobody else has: ephemeral keys come from them. The
    /// same seed gives the same run.
    pub seed: [u8; 32],
    /// Chance in percent of an offer to a joiner that asks for the first time;
    /// [`crate::limits::OFFER_PERCENT`] is a good one.
    pub offer_percent: u32,
    /// Whether joins, offers and acceptances are passed on for streams that are
    /// not followed here, so that newcomers find those who follow them.
    pub introduces: bool,
    /// Whether the store is a copy of another one, or was restored from one:
    /// then others may know more of our own logs than is here.
    pub copied: bool,
    /// Whether the store was repaired and may have lost any of its rows.
    pub lost_rows: bool,
    /// What was noted outside of the store of each log of ours: see
    /// [`Output::Signed`](super::Output::Signed). Logs that are not in it have no such note.
    pub marks: BTreeMap<LogId, Mark>,
    /// What of the store is known to be lost, in words: logs of ours without a
    /// note may be more than is here.
    pub lost: Option<String>,
    /// Whether it was not closed by itself the last time, and there is a network
    /// on which followers can be asked.
    pub ended_badly: bool,
    /// What the system's clock shows at the start.
    pub time: Timestamp,
}
