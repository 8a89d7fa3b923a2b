//! A follower whose folder is damaged: it starts, never says what is not so, and
//! has everything again once its publisher is there.

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::files::{Damage, Kind};
use super::world::{Export, MENDED, Stream, World, export, until_right};
use super::{Start, may_refuse, start};
use crate::client::{Client, LOOK_AGAIN};
use crate::launch::relaunch;
use crate::tally::Outcome;

/// Looks until damage that was met is said.
const SAID_AFTER: u32 = 50;

pub(super) async fn judge(world: &mut World, damage: &Damage, found: &mut Outcome) -> Result<()> {
    if let Start::Refused(said) = start(&mut world.follower, damage, found).await {
        if !may_refuse(damage.kind) {
            found.violation("damage in followed data keeps the node from starting", said);
        }
        return Ok(());
    }
    let client = Client::of(&world.follower).await?;
    if client.json("/v1/streams").await.is_err() {
        found.violation("the streams are not listed", "");
    }
    for stream in &world.streams {
        alone(&client, stream, damage, found).await?;
    }

    relaunch(&mut world.publisher).await?;
    world.introduce().await?;
    let publisher = Client::of(&world.publisher).await?;
    let until = Instant::now() + MENDED;
    for stream in &world.streams {
        let mended = until_right(&client, stream, until).await;
        found.check("followed data is not mended", mended);
    }
    for client in [&client, &publisher] {
        found.check("a fork", client.no_evidence().await);
    }
    // What was mended stays so.
    world.follower.stop().await?;
    world.follower.launch().await?;
    let client = Client::of(&world.follower).await?;
    let until = Instant::now() + MENDED;
    for stream in &world.streams {
        let right = until_right(&client, stream, until).await;
        found.check("what was mended is damaged at the next start", right);
    }
    Ok(())
}

/// While nobody else is there, an export is right, or fails and the node says
/// why.
async fn alone(
    client: &Client,
    stream: &Stream,
    damage: &Damage,
    found: &mut Outcome,
) -> Result<()> {
    let exported = export(client, stream).await;
    let words = format!("{exported:?}");
    match exported {
        Export::Right => found.count("exports that are right before anybody is there"),
        Export::Wrong(_) => found.violation("an export is wrong", words),
        Export::Short(_) | Export::Fails(_) => {
            if is_said(client, stream).await? {
                found.count("damage that is said before anybody is there");
            } else if damage.kind == Kind::LogOfWrites && !damage.is_wrong_bytes() {
                // As if it had ended before it was written.
                found.count("followers that are behind, for all that they know");
            } else {
                found.violation("the node says nothing of what it lost", words);
            }
        }
    }
    Ok(())
}

/// Whether the node says that something is wrong: with it, or with the stream.
async fn is_said(client: &Client, stream: &Stream) -> Result<bool> {
    for _ in 0..SAID_AFTER {
        if client.troubles().await?.is_some() {
            return Ok(true);
        }
        if let Some(shown) = client.stream(&stream.id).await?
            && (shown["size"] == stream.size && shown["synced"] == false)
        {
            return Ok(true);
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(false)
}
