//! A file of a data folder is damaged: a bit flips, bytes are overwritten, its
//! end is cut off, it is emptied, or gone. A round is a small world of its own:
//! a publisher and a follower in step, records in tables and in the log of
//! writes; one of them ends, one of its files is damaged, and what it does then
//! is judged, alone first and then with the other one.

mod files;
mod follower;
mod publisher;
mod world;

use anyhow::Result;
use headwater_tests::TestNode;
use serde_json::{Map, json};

use crate::dice::Dice;
use crate::launch::relaunch;
use crate::tally::{Outcome, progress};
use files::{Damage, Kind};
use world::World;

/// Whose folder is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Publisher,
    Follower,
}

/// One world, one damage.
pub(crate) async fn round(seed: u64, outcome: &mut Outcome) -> Result<()> {
    let mut dice = Dice::new(seed);
    let side = match dice.chance(50) {
        true => Side::Publisher,
        false => Side::Follower,
    };
    let mut world = World::new(&mut dice).await?;
    world.end_both(&mut dice).await?;
    let node = match side {
        Side::Publisher => &world.publisher,
        Side::Follower => &world.follower,
    };
    let damage = Damage::draw(node, &mut dice)?;
    damage.apply()?;
    outcome.count(format!("{side:?} {}", damage.kind.name()));

    let mut found = Outcome::default();
    let judged = match side {
        Side::Publisher => publisher::judge(&mut world, &damage, &mut found).await,
        Side::Follower => follower::judge(&mut world, &damage, &mut found).await,
    };
    found.check("the trial did not come to its end", judged);
    let facts = json!({
        "side": format!("{side:?}"),
        "file": damage.relative(),
        "kind": damage.kind.name(),
        "damage": damage.how(),
    });
    found.keep_log("publisher", &world.publisher);
    found.keep_log("follower", &world.follower);
    found.explain(facts.as_object().unwrap_or(&Map::new()));
    outcome.take(found);
    Ok(())
}

/// What became of the start on a damaged folder.
enum Start {
    /// It runs.
    Runs,
    /// It ended by itself, with these words.
    Refused(String),
}

/// Starts a node on a damaged folder. A refusal must say which file it is
/// about, and be no crash.
async fn start(node: &mut TestNode, damage: &Damage, found: &mut Outcome) -> Start {
    let before = node.log().len();
    // Damaged ones must not be in its way.
    let launched = match damage.kind {
        Kind::Addresses => node.launch().await,
        _ => relaunch(node).await,
    };
    let Err(error) = launched else {
        found.count("starts");
        return Start::Runs;
    };
    let log = node.log();
    let said = log.get(before..).unwrap_or(&log).to_owned();
    found.count(format!("refusals for {}", damage.kind.name()));
    let error = format!("{error:#}");
    if error.contains("signal") || said.contains("panicked") || error.contains("does not start") {
        found.violation("the node crashes or hangs at its start", error);
    } else if !says_error_about(&said, damage) {
        found.violation("a refused start does not name the file", last_error(&said));
    }
    progress(&format!(
        "refused, {}: {}",
        damage.relative(),
        last_error(&said)
    ));
    Start::Refused(said)
}

/// Whether the words of a refusal name the file that is damaged.
fn says_error_about(said: &str, damage: &Damage) -> bool {
    last_error(said).contains(&damage.file_name())
}

/// What a node says last.
fn last_error(said: &str) -> String {
    let error = said.rfind("\nerror: ").map(|at| &said[at..]);
    error.unwrap_or(said).trim().to_owned()
}

/// Whether a follower may refuse to start because of this file: only where it
/// is its own and not what others have.
fn may_refuse(kind: Kind) -> bool {
    matches!(kind, Kind::Key | Kind::Token | Kind::Tokens | Kind::Config)
}
