//! `tail`: the latest observations, then every new one.

use anyhow::bail;
use clap::Args;
use futures::TryStreamExt;

use super::Invocation;
use super::output::{Output, printable};
use super::stream::disputed;
use crate::api::types::{Problem, StreamView};
use crate::client::{ApiError, Client, Observation, Query};

/// Observations that are shown when nothing is said.
const DEFAULT_COUNT: u64 = 10;

/// Print the latest observations; with --follow, then every new one
#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// How many [default: 10]
    #[arg(short = 'n', long = "count", value_name = "N", conflicts_with = "from")]
    count: Option<u64>,
    /// From this index or time (RFC 3339) on
    #[arg(long, value_name = "INDEX|TIME")]
    from: Option<String>,
    /// Go on with every new observation
    #[arg(short, long)]
    follow: bool,
}

pub(super) async fn tail(invocation: &Invocation, args: &TailArgs) -> anyhow::Result<()> {
    invocation
        .with_client(async |client| {
            if args.follow {
                client.require_network("tail --follow")?;
            }
            let stream = client.stream(&args.stream).await?;
            let count = args.count.unwrap_or(DEFAULT_COUNT);
            let size = stream.usable_size();
            let from =
                (args.from.clone()).unwrap_or_else(|| first(&stream, size, count).to_string());
            if let Some(from) = stream.disputed_from {
                let what = disputed(from, stream.size);
                invocation.out.note(format!(
                    "the publisher signed two histories; disputed: {what}"
                ));
            }
            match args.follow {
                true => live(client, &stream.id, &from, invocation.out).await,
                false => history(client, &stream.id, from, invocation.out).await,
            }
        })
        .await
}

/// The first of the latest records, of those that are kept.
fn first(stream: &StreamView, size: u64, count: u64) -> u64 {
    size.saturating_sub(count).max(stream.begin).min(size)
}

async fn history(client: &Client, id: &str, from: String, out: Output) -> anyhow::Result<()> {
    let query = Query {
        from: Some(from),
        ..Query::default()
    };
    let records = client.records(id, &query).await?;
    let mut records = std::pin::pin!(records);
    while let Some(record) = records.try_next().await? {
        print(&record, out)?;
    }
    Ok(())
}

async fn live(client: &Client, id: &str, from: &str, out: Output) -> anyhow::Result<()> {
    let mut events = client.live(id, from).await?;
    while let Some(event) = events.try_next().await? {
        match event.kind.as_str() {
            "message" => print(&Observation::parse(event.data.as_bytes())?, out)?,
            "error" => return Err(refusal(&event.data)),
            other => tracing::debug!(kind = other, "an event that this version does not know"),
        }
    }
    bail!("the node has ended the live stream of {id}; it may have been stopped")
}

fn refusal(data: &str) -> anyhow::Error {
    match serde_json::from_str::<Problem>(data) {
        Ok(problem) => ApiError { problem }.into(),
        Err(_) => anyhow::anyhow!("the node has ended the live stream: {}", printable(data)),
    }
}

fn print(record: &Observation, out: Output) -> anyhow::Result<()> {
    if out.json {
        return out.json(record);
    }
    let index = out.dim(&format!("{:>8}", record.index));
    out.line(format!("{index}  {}  {}", record.time, shown(record)))
}

/// A value as a person reads it: a text without its quotes.
fn shown(record: &Observation) -> String {
    let token = record.value.get();
    match serde_json::from_str::<String>(token) {
        Ok(text) => printable(&text),
        Err(_) => printable(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_as_a_person_reads_it() {
        let shown = |value: &str| {
            let json = format!(r#"{{"index":0,"time":"x","value":{value}}}"#);
            shown(&Observation::parse(json.as_bytes()).unwrap())
        };
        assert_eq!(shown("4.0"), "4.0");
        assert_eq!(shown(r#""calm""#), "calm");
        assert_eq!(shown(r#"{"mag": 1.20}"#), r#"{"mag": 1.20}"#);
        assert_eq!(shown(r#""\u001b[2J""#), "\\u{1b}[2J");
    }
}
