//! `follow` and `unfollow`.

use std::time::{Duration, Instant};

use clap::Args;
use headwater_client::invite;
use headwater_client::types::{StreamView, Subscription};

use super::Invocation;
use super::namesakes::say_lookalikes;
use super::output::{counted, printable};
use crate::client::Client;

/// How long it may take until somebody who has a stream is found at the addresses that
/// were given: a dial, and a question. Whoever follows many streams one after the other
/// waits as often.
const UNTIL_FOUND: Duration = Duration::from_millis(500);

/// How long somebody who has it may take to send its manifest.
const UNTIL_NAMED: Duration = Duration::from_secs(10);

/// How often it is looked whether it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Keep a stream in step with its publisher
#[derive(Args, Debug)]
pub(crate) struct FollowArgs {
    /// The stream: an invite, or its id
    #[arg(value_name = "STREAM|INVITE")]
    stream: String,
    /// Get the latest observations first
    #[arg(long)]
    newest_first: bool,
    /// Call it so on this node, whatever its publisher calls it; '' takes that back
    #[arg(long = "as", value_name = "NAME")]
    alias: Option<String>,
}

/// Stop following a stream; what is held of it stays
#[derive(Args, Debug)]
pub(crate) struct UnfollowArgs {
    /// The stream: id, part of it, or name
    stream: String,
}

pub(super) async fn follow(invocation: &Invocation, args: &FollowArgs) -> anyhow::Result<()> {
    let peers = match args.stream.starts_with(invite::SCHEME) {
        true => invite::parse(&args.stream)?.peers,
        false => Vec::new(),
    };
    let how = Subscription {
        peers: peers.iter().map(ToString::to_string).collect(),
        newest_first: args.newest_first,
        alias: args.alias.clone(),
    };
    let (stream, runs) = invocation
        .with_client(async |client| {
            let stream = client.follow(&args.stream, &how).await?;
            let runs = client.url().is_some();
            let stream = match runs && stream.alias.is_none() {
                true => named(client, stream).await?,
                false => stream,
            };
            Ok((stream, runs))
        })
        .await?;
    let out = invocation.out;
    if !runs {
        out.note("no node runs on this data folder: the stream is followed from the next `headwater run` on");
    } else if how.peers.is_empty() && stream.known_peers.is_empty() && stream.sources.is_empty() {
        out.note("no peer that has it is known; an invite (`headwater show` on a node that has it) names some");
    }
    say_lookalikes(out, &stream);
    match out.json {
        true => out.json(&stream),
        false => match stream.alias.as_ref().unwrap_or(&stream.name) {
            name if name.is_empty() => out.line(format!(
                "following {}; its name has not come yet",
                stream.id
            )),
            name => out.line(format!("following {}, {}", stream.id, printable(name))),
        },
    }
}

/// The stream once its name has come, by which the next command may call it. That
/// takes a round trip to somebody who has it.
async fn named(client: &Client, mut stream: StreamView) -> anyhow::Result<StreamView> {
    let begun = Instant::now();
    // Who has nothing but an id has to look for somebody first, which takes longer than
    // anybody waits for a command.
    let has_address = !stream.known_peers.is_empty();
    while has_address && stream.name.is_empty() {
        let patience = match stream.sources.is_empty() {
            true => UNTIL_FOUND,
            false => UNTIL_NAMED,
        };
        if begun.elapsed() > patience {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        stream = client.stream(&stream.id).await?;
    }
    Ok(stream)
}

pub(super) async fn unfollow(invocation: &Invocation, args: &UnfollowArgs) -> anyhow::Result<()> {
    let stream = invocation
        .with_client(async |client| Ok(client.unfollow(&args.stream).await?))
        .await?;
    let out = invocation.out;
    match out.json {
        true => out.json(&stream),
        false => out.line(format!(
            "no longer following {}; {} of it {}",
            stream.id,
            counted(stream.held_records, "record"),
            if stream.held_records == 1 {
                "stays"
            } else {
                "stay"
            }
        )),
    }
}
