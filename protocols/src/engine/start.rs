//! A start: what is known of the store before, and what it finds there.

use crate::id::LogId;
use crate::wire::v1;

/// What is said of a log whose row is lost.
pub(super) const LOST: &str = "what it is was lost, and is asked of peers";

/// What is known of a store when it is opened, beside what it says itself: see
/// [`super::Settings`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    pub(super) copied: bool,
    pub(super) lost: Option<&'a str>,
    pub(super) ended_badly: bool,
}

/// What is known of the logs at a start.
pub(super) struct Rows {
    pub(super) rows: Vec<(LogId, v1::StoredLog)>,
    /// Logs whose rows cannot be understood.
    pub(super) nameless: Vec<LogId>,
    /// There were others, which cannot be read.
    pub(super) is_damaged: bool,
}

/// What could not be read of a log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    /// Rows of it are stored, but not what it is.
    pub(super) rows: bool,
    /// Its head.
    pub(super) head: bool,
    /// Its fork proof, or what its recovery key has said.
    pub(super) fork: bool,
    /// What is held of it.
    pub(super) held: bool,
}
