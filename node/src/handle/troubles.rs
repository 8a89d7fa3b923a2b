//! What is wrong with a node now. A trouble ends by itself when its cause ends;
//! the log has a line when it begins and one when it ends.

use std::collections::BTreeMap;
use std::sync::Mutex;

use headwater_protocols::time::Timestamp;

use super::{Node, lock, wall_time};

/// Troubles that are kept. Those of single streams could be as many as streams.
const MAX_TROUBLES: usize = 256;

/// How bad a trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The node does its work; somebody should look at it.
    Warning,
    /// The node cannot do its work, or a part of it.
    Failure,
}

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Names it, and is the same as long as it lasts: `disk`, `damage/<stream>`.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// When it began.
    pub since: Timestamp,
    /// What happened, to what.
    pub what: String,
    /// What to do about it.
    pub advice: String,
}

/// All that is wrong now, by name.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<BTreeMap<String, Trouble>>);

impl Node {
    /// What is wrong now, by name.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        lock(&self.shared.troubles.0).values().cloned().collect()
    }

    /// Notes that something is wrong. What is known already is logged no more,
    /// but its words are brought up to date.
    pub(crate) fn trouble_begins(
        &self,
        name: &str,
        severity: Severity,
        what: String,
        advice: &str,
    ) {
        let mut troubles = lock(&self.shared.troubles.0);
        if let Some(known) = troubles.get_mut(name) {
            known.severity = severity;
            known.what = what;
            known.advice = advice.to_owned();
            return;
        }
        match severity {
            Severity::Warning => tracing::warn!(trouble = name, "{what}; {advice}"),
            Severity::Failure => tracing::error!(trouble = name, "{what}; {advice}"),
        }
        if troubles.len() >= MAX_TROUBLES {
            return;
        }
        let trouble = Trouble {
            name: name.to_owned(),
            severity,
            since: wall_time(),
            what,
            advice: advice.to_owned(),
        };
        troubles.insert(name.to_owned(), trouble);
    }

    /// Notes that something is right again, if it was wrong.
    pub(crate) fn trouble_ends(&self, name: &str) {
        if lock(&self.shared.troubles.0).remove(name).is_some() {
            tracing::info!(trouble = name, "it is over");
        }
    }
}
