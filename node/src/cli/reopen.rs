//! `stream reopen`: a stream of our own that may have more elsewhere.

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;
use tokio::time::Instant;

use super::output::counted;
use super::show::reopening_lines;
use super::{Invocation, Usage, duration};
use crate::api::types::{Reopen, RoleView, StreamView};
use crate::client::Client;
use crate::failure::for_now;

/// Pause before the node is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the peers may take, unless it is said.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Open streams of this node's own for writing again, after the data folder was
/// copied or restored
#[derive(Args, Debug)]
#[command(
    after_help = "Without --none-is-larger the peers that follow the stream are asked how much they know of it;
it opens when all of that is here. Say --none-is-larger only if nothing was published from any
other copy of the data folder since this one was made: otherwise the publisher signs two
histories, and everybody will know."
)]
pub(crate) struct ReopenArgs {
    /// The stream: id, part of it, or name [default: all that wait for it]
    stream: Option<String>,
    /// No other copy has published more: open it at once
    #[arg(long)]
    none_is_larger: bool,
    /// Give up after this time
    #[arg(long, value_name = "D", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

impl ReopenArgs {
    /// What `stream recover` meant when it had this name.
    pub(super) fn of_recover(
        stream: Option<String>,
        none_is_larger: bool,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            stream,
            none_is_larger,
            timeout,
        }
    }
}

pub(super) async fn reopen(invocation: &Invocation, args: &ReopenArgs) -> anyhow::Result<()> {
    let until = Instant::now() + args.timeout.unwrap_or(TIMEOUT);
    let reopened = invocation
        .with_client(async |client| {
            if !args.none_is_larger {
                client.require_network("asking the peers of a stream")?;
            }
            let mut reopened = Vec::new();
            for id in wanted(client, args).await? {
                reopened.push(one(client, &id, args.none_is_larger, until).await?);
            }
            Ok(reopened)
        })
        .await?;
    let out = invocation.out;
    if reopened.is_empty() {
        out.note("no stream of this node waits to be reopened");
    }
    for stream in &reopened {
        match out.json {
            true => out.json(stream)?,
            false => out.line(format!(
                "{} is open for writing, with {}",
                stream.id,
                counted(stream.size, "record")
            ))?,
        }
    }
    Ok(())
}

async fn wanted(client: &Client, args: &ReopenArgs) -> anyhow::Result<Vec<String>> {
    if let Some(name) = &args.stream {
        return Ok(vec![client.stream(name).await?.id]);
    }
    let streams = client.streams().await?;
    let waiting = streams
        .into_iter()
        .filter(|stream| stream.reopening.is_some());
    Ok(waiting.map(|stream| stream.id).collect())
}

async fn one(
    client: &Client,
    id: &str,
    none_is_larger: bool,
    until: Instant,
) -> anyhow::Result<StreamView> {
    if none_is_larger {
        warn_of_loss(&client.stream(id).await?);
    }
    client.reopen(id, &Reopen { none_is_larger }).await?;
    loop {
        let stream = client.stream(id).await?;
        let Some(reopening) = &stream.reopening else {
            return finished(stream);
        };
        if Instant::now() >= until {
            return Err(for_now(anyhow!(
                "stream {id} is still not open for writing: {}",
                reopening.why
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says who said what, and what is given up, before it is.
fn warn_of_loss(stream: &StreamView) {
    let Some(reopening) = &stream.reopening else {
        return;
    };
    for (what, line) in reopening_lines(reopening) {
        eprintln!("{what}: {line}");
    }
    let here = counted(stream.size, "record");
    match reopening.signed_size {
        Some(signed) if signed > stream.size => eprintln!(
            "given up: {} of what this node has signed; the stream goes on after {here}, and if anybody \
             has more, it is forked for ever",
            counted(signed - stream.size, "record")
        ),
        _ => eprintln!(
            "given up: whatever was published beyond {here}; if anybody has it, the stream is forked \
             for ever"
        ),
    }
}

fn finished(stream: StreamView) -> anyhow::Result<StreamView> {
    let id = &stream.id;
    match (&stream.stopped, stream.role) {
        (Some(why), _) => bail!("stream {id} is stopped: {why}"),
        (None, RoleView::Follower) => Err(Usage::error(format!(
            "stream {id} belongs to another publisher"
        ))),
        (None, RoleView::Publisher) => Ok(stream),
    }
}
