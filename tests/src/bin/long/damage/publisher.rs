//! A publisher whose folder is damaged: it does not lose in silence what it
//! acknowledged, and it never signs a second history.

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::Instant;

use super::files::Damage;
use super::world::{Export, MENDED, Stream, World, export, until_right};
use super::{Start, start};
use crate::client::{Client, Posted};
use crate::command::{attempt, run};
use crate::launch::relaunch;
use crate::tally::Outcome;

pub(super) async fn judge(world: &mut World, damage: &Damage, found: &mut Outcome) -> Result<()> {
    if let Start::Refused(_) = start(&mut world.publisher, damage, found).await {
        return Ok(());
    }
    let client = Client::of(&world.publisher).await?;
    let id = client.peer_id().await?;
    let said = client.troubles().await?;
    if id != world.publisher_id && said.is_none() {
        let words = format!("{} became {id}", world.publisher_id);
        found.violation("the node has another identity, and says nothing", words);
    }
    // The follower is away: this is where forks begin.
    for stream in &mut world.streams {
        alone(&client, stream, found).await?;
        publish(&client, stream, found).await?;
    }
    relaunch(&mut world.follower).await?;
    world.introduce().await?;
    let follower = Client::of(&world.follower).await?;
    with_the_follower(world, &client, &follower, found).await?;
    if !found.is_good() {
        return Ok(());
    }
    go_on(world, &client, &follower, found).await?;
    for client in [&client, &follower] {
        found.check("a fork", client.no_evidence().await);
    }
    Ok(())
}

/// Why nothing can be published to a stream, as far as it says so.
fn is_stopped(shown: &Value) -> bool {
    let is_stopped = shown["stopped"].is_string() && shown["stopped_since"].is_null();
    shown["reopening"].is_object() || is_stopped
}

/// What is missing while nobody else is there is said, and the stream is
/// stopped for writing.
async fn alone(client: &Client, stream: &Stream, found: &mut Outcome) -> Result<()> {
    let said = client.troubles().await?;
    let Some(shown) = client.stream(&stream.id).await? else {
        match said {
            Some(_) => found.count("own streams that are unknown, which is said"),
            None => found.violation("an own stream is unknown, and nothing is said", ""),
        }
        return Ok(());
    };
    let is_said = said.is_some() || is_stopped(&shown);
    if shown["size"].as_u64().context("size")? < stream.size && !is_said {
        let words = format!("{} of {} records", shown["size"], stream.size);
        found.violation("acknowledged records are missing in silence", words);
    }
    let exported = export(client, stream).await;
    let words = format!("{exported:?}");
    match exported {
        Export::Right => found.count("exports that are right before anybody is there"),
        Export::Wrong(_) => found.violation("an export is wrong", words),
        Export::Short(_) if !is_said => found.violation("an export is short in silence", words),
        Export::Short(_) | Export::Fails(_) => {
            found.count("exports of own streams that are short or fail, and it is said");
        }
    }
    Ok(())
}

/// Publishes one record: after all that was acknowledged, or not at all.
async fn publish(client: &Client, stream: &mut Stream, found: &mut Outcome) -> Result<()> {
    match client.post(&stream.id, &[stream.size], None).await {
        Posted::Acknowledged { from, to } => {
            if from != stream.size {
                let words = format!("at index {from} of {}", stream.size);
                found.violation("a publish begins a second history", words);
                return Ok(());
            }
            stream.size = to;
            found.count("publishes after a damage");
        }
        Posted::Refused { status, why } => {
            found.count(format!("publishes refused with {status}"));
            let said = client.troubles().await?.is_some();
            let shown = client.stream(&stream.id).await?;
            if !said && !shown.is_some_and(|shown| is_stopped(&shown)) {
                found.count("refusals that only the publish itself says");
            }
            if why.is_empty() {
                found.violation("a publish is refused without a word", status.to_string());
            }
        }
        Posted::Unknown(why) => found.violation("a publish has no answer", why),
    }
    Ok(())
}

/// The follower has everything: there is no fork, and what the publisher lost
/// comes back.
async fn with_the_follower(
    world: &World,
    publisher: &Client,
    follower: &Client,
    found: &mut Outcome,
) -> Result<()> {
    let until = Instant::now() + MENDED;
    for stream in &world.streams {
        let right = until_right(follower, stream, until).await;
        found.check("the follower is not in step", right);
        if publisher.stream(&stream.id).await?.is_none() {
            found.count("own streams that are followed again to have them back");
            let invite = format!("headwater:{}?peer={}", stream.id, world.follower.address()?);
            run(&world.publisher, &["follow", &invite]).await?;
        }
    }
    // What nobody else has: followers may have seen all of it.
    let until = Instant::now() + MENDED;
    for stream in &world.streams {
        let right = until_right(publisher, stream, until).await;
        found.check(
            "acknowledged records do not come back to the publisher",
            right,
        );
    }
    for client in [publisher, follower] {
        found.check("a fork", client.no_evidence().await);
    }
    Ok(())
}

/// Where the user has to decide, it is decided; then publishing goes on.
async fn go_on(
    world: &mut World,
    publisher: &Client,
    follower: &Client,
    found: &mut Outcome,
) -> Result<()> {
    if publisher.peer_id().await? != world.publisher_id {
        return Ok(());
    }
    for stream in &mut world.streams {
        let shown = publisher.known_stream(&stream.id).await?;
        if is_stopped(&shown) {
            found.count("own streams that the user opens");
            // Nobody has what the mark says beyond what is here, or the peer would
            // have given it back.
            let signed = shown["reopening"]["signed_size"].as_u64().unwrap_or(0);
            let lost = signed.saturating_sub(shown["size"].as_u64().unwrap_or(0));
            let lost = lost.to_string();
            let mut args = vec!["stream", "reopen", &stream.id, "--none-is-larger"];
            if lost != "0" {
                args.extend(["--give-up", &lost]);
            }
            let opened = attempt(&world.publisher, &args).await?;
            if !opened.is_success {
                found.violation("an own stream cannot be opened again", opened.errors);
                continue;
            }
        }
        let before = stream.size;
        publish(publisher, stream, found).await?;
        if stream.size == before {
            found.violation("nothing can be published any more", "");
        }
        let until = Instant::now() + MENDED;
        let right = until_right(follower, stream, until).await;
        found.check("the follower does not get what is published later", right);
    }
    Ok(())
}
