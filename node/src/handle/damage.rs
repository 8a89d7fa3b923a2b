//! What is said of streams that the disk has damaged, for as long as it is so.

use headwater_protocols::engine::{Damage, LogStatus};
use headwater_protocols::id::LogId;

use super::{Node, Severity};

/// The name of the trouble with a stream.
pub(super) fn damage_of(log: LogId) -> String {
    format!("damage/{log}")
}

impl Node {
    /// Says what a stream lost, or that all of it is back.
    pub(super) fn note_damage(&self, status: &LogStatus) {
        let name = damage_of(status.log);
        let Some(damage) = &status.damage else {
            return self.trouble_ends(&name);
        };
        let advice = match (status.followed || status.owned, status.sources.is_empty()) {
            (false, _) => "follow it again, and it is fetched from its peers",
            (true, true) => {
                "it comes back by itself from a peer that has it; none is connected now"
            }
            (true, false) => "it comes back by itself from its peers",
        };
        self.trouble_begins(&name, Severity::Warning, said(status.log, damage), advice);
    }
}

fn said(log: LogId, damage: &Damage) -> String {
    let lost = match damage.records {
        0 => String::new(),
        1 => format!("record {}", damage.first),
        records => format!("{records} records from index {} on", damage.first),
    };
    match (&damage.what, damage.records) {
        (Some(what), 0) => format!("stream {log} is damaged on the disk: {what}"),
        (Some(what), _) => {
            format!("stream {log} is damaged on the disk: {what}; {lost} cannot be read")
        }
        (None, _) => format!("stream {log} is damaged on the disk: {lost} cannot be read"),
    }
}
