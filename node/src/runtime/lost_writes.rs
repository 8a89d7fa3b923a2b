//! Writes that the disk has lost: said until what they brought is back.

use std::time::Duration;

use headwater_protocols::engine::LogStatus;

use crate::handle::{Node, Severity};
use crate::store::LostWrites;

const TROUBLE: &str = "damage/log-of-writes";

/// Between two looks at whether everything is back.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is lost, in words.
pub(super) fn words(lost: &LostWrites) -> String {
    let LostWrites { file, at, behind } = lost;
    format!(
        "the log of writes {} is damaged at byte {at}, and {behind} bytes behind that are lost",
        file.display()
    )
}

/// Says that writes are lost, and that it is over once peers have given back
/// what they brought.
pub(super) fn tell(node: &Node, lost: &LostWrites) {
    node.trouble_begins(
        TROUBLE,
        Severity::Warning,
        words(lost),
        "a copy of it is kept beside the store; what is followed is fetched again from peers, and \
         own streams are not written to before all that was signed is back",
    );
    let node = node.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // Where no stream is known any more, nobody can say what is missing.
            let streams = node.streams();
            if !streams.is_empty() && streams.iter().all(|status| is_back(status)) {
                return node.trouble_ends(TROUBLE);
            }
        }
    });
}

/// Whether nothing of a stream is missing, as far as others tell.
fn is_back(status: &LogStatus) -> bool {
    if status.owned {
        return status.reopening.is_none();
    }
    !status.followed || !status.sources.is_empty() && status.lag.is_none()
}
