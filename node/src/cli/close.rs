//! `stream close`: the end of a stream of our own.

use anyhow::bail;
use clap::Args;
use headwater_client::types::{Close, RoleView, StreamView};
use headwater_protocols::id::LogId;

use super::ask::{can_ask, is_yes};
use super::output::{counted, printable};
use super::{Invocation, Usage};
use crate::client::Client;

/// Close a stream of this node's own for good
#[derive(Args, Debug)]
#[command(
    after_help = "Nothing can be published to it any more, from here or anywhere else, and nothing opens it again:
whoever signs something that follows the end proves that there were two histories. Its records
stay, and everybody who follows it learns of the end. On a terminal it asks first; without one, or
with --json, it says on stderr what it closes, and closes it."
)]
pub(crate) struct CloseArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// The stream that continues it: id, part of it, or name
    #[arg(long, value_name = "S2")]
    successor: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn close(invocation: &Invocation, args: &CloseArgs) -> anyhow::Result<()> {
    let closed = invocation
        .with_client(async |client| {
            let stream = client.stream(&args.stream).await?;
            if stream.role != RoleView::Publisher {
                return Err(Usage::error(format!(
                    "stream {} belongs to another publisher; only its owner can close it",
                    stream.id
                )));
            }
            let successor = match &args.successor {
                None => None,
                Some(name) => Some(successor_id(client, name).await?),
            };
            if !args.yes && !is_meant(invocation, &stream, successor.as_deref()).await? {
                bail!("nothing was closed");
            }
            Ok(client
                .close_stream(&stream.id, &Close { successor })
                .await?)
        })
        .await?;
    let out = invocation.out;
    match out.json {
        true => out.json(&closed),
        false => out.line(format!(
            "{} is closed, with {}",
            closed.id,
            counted(closed.size, "record")
        )),
    }
}

/// The whole id of a stream, which need not be known here.
pub(super) async fn successor_id(client: &Client, name: &str) -> anyhow::Result<String> {
    match name.parse::<LogId>() {
        Ok(log) => Ok(log.to_string()),
        Err(_) => Ok(client.stream(name).await?.id),
    }
}

/// What cannot be taken back is asked, or said where nobody is there to be asked: scripts
/// of before have no other word for it.
async fn is_meant(
    invocation: &Invocation,
    stream: &StreamView,
    successor: Option<&str>,
) -> anyhow::Result<bool> {
    if stream.closed || stream.recovered.is_some() {
        // Nothing ends by it: said again it is as it was, or it is refused.
        return Ok(true);
    }
    let name = printable(&stream.name);
    let size = counted(stream.size, "record");
    let next = successor.map_or_else(
        || "nothing continues it".to_owned(),
        |id| format!("{id} continues it"),
    );
    if can_ask(invocation) {
        return is_yes(format!("close {name} ({size}; {next}) for good?")).await;
    }
    (invocation.out).note(format!(
        "closing {name} ({size}; {next}) for good: nothing can be published to it any more, and nothing opens it again"
    ));
    Ok(true)
}
