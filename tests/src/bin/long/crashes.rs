//! Nodes are killed, stopped, or lose their power at work: at publishing, at
//! following, importing, dropping and deleting. A round is one world of a
//! publisher and a follower, and some cycles of work, end, restart and judgement.

mod importer;
mod pipe;
mod poster;
mod world;

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

use crate::client::LOOK_AGAIN;
use crate::dice::Dice;
use crate::tally::Outcome;
use importer::Importer;
use pipe::Pipe;
use poster::Posters;
use world::World;

/// Cycles that one world goes through.
pub(crate) const CYCLES_A_ROUND: u64 = 10;

/// How long a command may have a folder for itself.
const FREE: Duration = Duration::from_secs(30);

/// Who ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victims {
    Publisher,
    Follower,
    Both,
}

impl Victims {
    pub(crate) fn has_publisher(self) -> bool {
        self != Self::Follower
    }

    pub(crate) fn has_follower(self) -> bool {
        self != Self::Publisher
    }
}

/// How they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// kill -9.
    Killed,
    /// SIGTERM.
    Stopped,
    /// The disk of the one that has one of its own loses its power.
    PowerCut,
}

/// What one cycle is.
#[derive(Clone, Debug)]
struct Plan {
    victims: Victims,
    end: End,
    /// The work until then.
    runs: Duration,
    posters: u64,
    pipes: bool,
    imports: bool,
    /// The follower deletes a stream that it follows.
    deletes: bool,
    /// The publisher deletes a stream of its own.
    deletes_own: bool,
    /// The follower was away, and has something to catch up on.
    catches_up: bool,
}

impl Plan {
    fn draw(dice: &mut Dice) -> Self {
        let victims = [
            (Victims::Publisher, 50),
            (Victims::Follower, 30),
            (Victims::Both, 20),
        ];
        let ends = [(End::Killed, 60), (End::Stopped, 15), (End::PowerCut, 25)];
        // Most faults are found early: where files are opened, and at the first
        // writes.
        let longest_ms = if dice.chance(40) { 60 } else { 700 };
        Self {
            victims: *dice.weighted(&victims).unwrap_or(&Victims::Both),
            end: *dice.weighted(&ends).unwrap_or(&End::Killed),
            runs: Duration::from_millis(dice.below(longest_ms)),
            posters: dice.below(4),
            pipes: dice.chance(40),
            imports: dice.chance(30),
            deletes: dice.chance(25),
            deletes_own: dice.chance(20),
            catches_up: dice.chance(30),
        }
    }
}

/// One world and its cycles.
pub(crate) async fn round(seed: u64, cycles: u64, outcome: &mut Outcome) -> Result<()> {
    let mut dice = Dice::new(seed);
    let mut world = World::new(&mut dice).await?;
    for number in 0..cycles {
        let plan = Plan::draw(&mut dice);
        let cycled = cycle(&mut world, &plan, &mut dice, outcome).await;
        let cycled = cycled.with_context(|| format!("cycle {number}, {plan:?}"));
        outcome.count("cycles");
        outcome.check("a cycle did not leave all as it was promised", cycled);
        if !outcome.is_good() {
            // What comes after it says nothing.
            break;
        }
    }
    world.keep_logs(outcome);
    outcome.add("acknowledged", world.acknowledged());
    Ok(())
}

async fn cycle(
    world: &mut World,
    plan: &Plan,
    dice: &mut Dice,
    outcome: &mut Outcome,
) -> Result<()> {
    if plan.catches_up {
        world.publish_while_the_follower_is_away(dice).await?;
    }
    let posters = Posters::start(world, plan.posters, dice);
    let pipe = match plan.pipes {
        true => Some(Pipe::start(world)?),
        false => None,
    };
    let importer = match plan.imports {
        true => Some(Importer::start(world, dice)?),
        false => None,
    };
    let deletion = plan.deletes.then(|| world.delete_spare(dice));
    let own_deletion = match plan.deletes_own {
        true => Some(world.delete_own(dice).await?),
        false => None,
    };

    sleep(plan.runs).await;
    let how = world.end(plan.victims, plan.end).await?;
    outcome.count(how);
    posters.stop().await?;
    launch(world, plan.victims, pipe.as_ref()).await?;

    if let Some(deletion) = deletion {
        outcome.count("deletions of a followed stream");
        world.follow_again(deletion.await?).await?;
    }
    if let Some(deletion) = own_deletion {
        outcome.count("deletions of an own stream");
        world.judge_own_deletion(deletion).await?;
    }
    if let Some(pipe) = pipe {
        outcome.count("pipes");
        pipe.finish(world).await.context("the pipe")?;
    }
    if let Some(importer) = importer {
        outcome.count("imports");
        let ended = importer.finish(world).await;
        outcome.count(ended.context("the import")?);
    }
    world.post_again(outcome).await?;
    world.judge().await
}

/// Launches the victims again. A command that began while the node did not run
/// may have opened the folder itself: then the node has to wait for its end.
async fn launch(world: &mut World, victims: Victims, pipe: Option<&Pipe>) -> Result<()> {
    let until = Instant::now() + FREE;
    loop {
        let Err(error) = world.launch(victims).await else {
            return Ok(());
        };
        let is_in_use = format!("{error:#}").contains("is in use by process");
        if !is_in_use || Instant::now() > until {
            return Err(error);
        }
        if let Some(pipe) = pipe {
            pipe.close();
        }
        sleep(LOOK_AGAIN).await;
    }
}
