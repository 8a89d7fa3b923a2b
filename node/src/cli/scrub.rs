//! `scrub`: all that is held is read and hashed, and what is damaged comes back from
//! peers.

use std::time::Duration;

use clap::Args;
use headwater_client::types::{ScrubView, StreamView};
use tokio::time::Instant;

use super::json_error::Reported;
use super::output::{counted, grouped};
use super::{Invocation, duration};
use crate::client::Client;

/// Pause before the node is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Read and hash all that is held of a stream, or of all of them; what is damaged
/// is fetched again from peers
#[derive(Args, Debug)]
#[command(
    after_help = "It ends with an error if something is damaged that is not back: at once, or with --wait when
the time is over. A running node does the same by itself, slowly and for ever."
)]
pub(crate) struct ScrubArgs {
    /// The stream: id, part of it, or name [default: all of them]
    stream: Option<String>,
    /// Wait until what is damaged is back from peers
    #[arg(long)]
    wait: bool,
    /// Give up waiting after this time, such as 60s [default: 60s]
    #[arg(long, value_name = "D", requires = "wait", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

/// How long peers may take, unless it is said.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) async fn scrub(invocation: &Invocation, args: &ScrubArgs) -> anyhow::Result<()> {
    let scrubs = invocation
        .with_client(async |client| {
            let mut scrubs = Vec::new();
            for id in wanted(client, args.stream.as_deref()).await? {
                scrubs.push(one(client, &id, args).await?);
            }
            Ok(scrubs)
        })
        .await?;
    let out = invocation.out;
    for scrub in &scrubs {
        match out.json {
            true => out.json(scrub)?,
            false => out.line(said(scrub))?,
        }
    }
    if scrubs.is_empty() {
        out.note("no stream is known here");
    }
    let lost = scrubs.iter().find(|scrub| scrub.damaged_records > 0);
    match lost {
        // What was printed says so, too.
        Some(lost) => Err(Reported::error(anyhow::Error::msg(lacks(lost)))),
        None => Ok(()),
    }
}

async fn wanted(client: &Client, name: Option<&str>) -> anyhow::Result<Vec<String>> {
    let streams: Vec<StreamView> = match name {
        Some(name) => vec![client.stream(name).await?],
        None => client.streams().await?,
    };
    Ok(streams.into_iter().map(|stream| stream.id).collect())
}

async fn one(client: &Client, id: &str, args: &ScrubArgs) -> anyhow::Result<ScrubView> {
    let mut scrub = client.begin_scrub(id).await?;
    while scrub.running {
        tokio::time::sleep(PAUSE).await;
        scrub = client.scrub(id).await?;
    }
    if scrub.bad_records == 0 && scrub.damaged_records == 0 {
        return Ok(scrub);
    }
    // The engine looks for itself before it believes it.
    tokio::time::sleep(PAUSE).await;
    let until = Instant::now() + args.timeout.unwrap_or(TIMEOUT);
    loop {
        scrub = client.scrub(id).await?;
        if !args.wait || scrub.damaged_records == 0 || Instant::now() >= until {
            return Ok(scrub);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn said(scrub: &ScrubView) -> String {
    let read = format!(
        "{}: {} read and hashed ({} bytes)",
        scrub.id,
        counted(scrub.records, "record"),
        grouped(scrub.bytes)
    );
    if scrub.bad_records == 0 {
        return format!("{read}, nothing is damaged");
    }
    let parts = scrub
        .bad
        .iter()
        .map(|(from, to)| format!("{from} to {}", to - 1));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let state = match scrub.damaged_records {
        0 => "; they are back",
        _ => "",
    };
    format!(
        "{read}, {} damaged (index {parts}){state}",
        counted(scrub.bad_records, "record")
    )
}

fn lacks(scrub: &ScrubView) -> String {
    let lost = counted(scrub.damaged_records, "record");
    match scrub.sources.as_slice() {
        [] => format!(
            "{lost} of stream {} were damaged on the disk, and no peer that has them is connected; they \
             are fetched as soon as one is",
            scrub.id
        ),
        sources => format!(
            "{lost} of stream {} were damaged on the disk, and are not back yet; they come from {}, if \
             these have them",
            scrub.id,
            sources.join(", ")
        ),
    }
}
