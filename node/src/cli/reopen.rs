//! `stream reopen`: a stream of our own that may have more elsewhere.

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;
use headwater_client::types::{Reopen, RoleView, StreamView};
use tokio::time::Instant;

use super::ask::{can_ask, is_yes};
use super::output::counted;
use super::standing::reopening_lines;
use super::{Invocation, Usage, duration};
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
histories, and everybody will know. Where this node itself has signed more than is here, which its
mark outside of the data folder tells, how many records are given up has to be said, too
(--give-up N); on a terminal it is asked for."
)]
pub(crate) struct ReopenArgs {
    /// The stream: id, part of it, or name [default: all that wait for it]
    stream: Option<String>,
    /// No other copy has published more: open it at once
    #[arg(long)]
    none_is_larger: bool,
    /// Beside that: go on without so many records that this node has signed and that
    /// nobody has any more
    #[arg(long, value_name = "N", requires_all = ["none_is_larger", "stream"])]
    give_up: Option<u64>,
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
            give_up: None,
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
            let wanted = wanted(client, args).await?;
            let mut hows = Vec::new();
            // Nothing is opened where one of them is not meant.
            for id in &wanted {
                hows.push(how(invocation, client, args, id).await?);
            }
            let mut reopened = Vec::new();
            for (id, how) in wanted.iter().zip(&hows) {
                reopened.push(one(client, id, how, until).await?);
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
                "{} is {}, with {}",
                stream.id,
                match stream.closed {
                    true => "closed for good",
                    false => "open for writing",
                },
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

/// What is said of a stream, and asked for where it is not.
async fn how(
    invocation: &Invocation,
    client: &Client,
    args: &ReopenArgs,
    id: &str,
) -> anyhow::Result<Reopen> {
    let (none_is_larger, said) = (args.none_is_larger, args.give_up);
    let mut how = Reopen {
        none_is_larger,
        give_up: said,
    };
    if !none_is_larger {
        return Ok(how);
    }
    let stream = client.stream(id).await?;
    warn_of_loss(&stream);
    let lost = lost(&stream);
    if lost == said.unwrap_or(0) {
        return Ok(how);
    }
    let records = counted(lost, "record");
    if lost == 0 {
        return Err(Usage::error(format!(
            "nothing of stream {id} that this node has signed is missing here; leave off --give-up"
        )));
    }
    let question = format!("give up {records} that this node has signed (--give-up {lost})?");
    if said.is_none() && can_ask(invocation) && is_yes(question).await? {
        how.give_up = Some(lost);
        return Ok(how);
    }
    Err(Usage::error(format!(
        "stream {id} was not opened: {records} that this node has signed would be given up; wait for a peer that has \
         them, or say --give-up {lost}, too"
    )))
}

async fn one(
    client: &Client,
    id: &str,
    how: &Reopen,
    until: Instant,
) -> anyhow::Result<StreamView> {
    client.reopen(id, how).await?;
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

/// Records that this node has signed, as the mark says, and that are not here.
fn lost(stream: &StreamView) -> u64 {
    let signed = (stream.reopening.as_ref()).and_then(|reopening| reopening.signed_size);
    signed.map_or(0, |signed| signed.saturating_sub(stream.size))
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
    match lost(stream) {
        lost if lost > 0 => eprintln!(
            "given up: {} of what this node has signed; the stream goes on after {here}, and if anybody \
             has more, it is forked for ever",
            counted(lost, "record")
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
