//! `tail`: the latest observations, then every new one.

use std::time::Duration;

use clap::Args;
use futures::{Stream, TryStreamExt};
use headwater_client::times::Unit;
use headwater_client::types::{Ended, Problem, Reset, StreamView};
use headwater_client::{Absence, ApiError, Error, Event, Lost, Observation, Patience, Query};

use super::namesakes::say_namesakes;
use super::of_node::{self, is_lost};
use super::output::{Output, printable};
use super::standing::disputed;
use super::{Invocation, duration};
use crate::client::Client;

/// Observations that are shown when nothing is said.
const DEFAULT_COUNT: u64 = 10;

/// Print the latest observations; with --follow, then every new one
#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// How many; -N means N, as tail(1) has it [default: 10]
    #[arg(
        short = 'n', long = "count", value_name = "N", conflicts_with = "from",
        allow_hyphen_values = true, value_parser = count,
    )]
    count: Option<u64>,
    /// From this index or time on: RFC 3339 (UTC if it has no offset), a date, or
    /// 3d for three days ago
    #[arg(long, value_name = "INDEX|TIME")]
    from: Option<String>,
    /// The unit of --from where it is a number since 1970: s, ms, us or ns.
    /// Without it a whole number is an index
    #[arg(long, value_name = "UNIT", requires = "from", value_parser = str::parse::<Unit>)]
    time_unit: Option<Unit>,
    /// Go on with every new observation, until the stream has come to its end
    #[arg(short, long)]
    follow: bool,
    /// Give up when the node stays away for so long, such as 60s [default: wait
    /// as long as it takes]
    #[arg(long, value_name = "D", requires = "follow", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

pub(super) async fn tail(invocation: &Invocation, args: &TailArgs) -> anyhow::Result<()> {
    invocation
        .with_client(async |client| {
            if args.follow {
                client.require_network("tail --follow")?;
            }
            let stream = client.stream(&args.stream).await?;
            say_namesakes(invocation.out, &args.stream, &stream);
            let count = args.count.unwrap_or(DEFAULT_COUNT);
            let size = stream.usable_size();
            let from = match &args.from {
                Some(text) => Begin {
                    text: text.clone(),
                    unit: args.time_unit,
                },
                None => Begin::index(first(&stream, size, count)),
            };
            let disputed_from = stream.disputed_from.filter(|_| stream.ends_at.is_none());
            if let Some(from) = disputed_from {
                let what = disputed(from, stream.size);
                invocation.out.note(format!(
                    "the publisher signed two histories; disputed: {what}"
                ));
            }
            match args.follow {
                true => live(client, &stream.id, from, args.timeout, invocation.out).await,
                false => history(client, &stream.id, from, invocation.out).await,
            }
        })
        .await
}

/// What is said when a recovery key has ended the stream.
fn reset(data: &str) -> String {
    let end: Reset = serde_json::from_str(data).unwrap_or_default();
    let next = end.successor.map_or_else(String::new, |id| {
        format!("; {} continues it", printable(&id))
    });
    format!(
        "the stream's recovery key has ended it: what came from index {} on is disowned; what counts of \
         that comes anew{next}",
        end.from
    )
}

/// What is said when the stream has come to its end.
fn ended(data: &str) -> String {
    let end: Ended = serde_json::from_str(data).unwrap_or_default();
    let next = end.successor.map_or_else(String::new, |id| {
        format!("; {} continues it", printable(&id))
    });
    format!(
        "the stream has ended with {} records, and nothing more comes{next}",
        end.size
    )
}

fn count(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('-').unwrap_or(text);
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let count = number.parse().ok().filter(|_| is_number);
    count.ok_or_else(|| "it is not a number of observations, such as 10".to_owned())
}

/// The first of the latest records, of those that are kept.
fn first(stream: &StreamView, size: u64, count: u64) -> u64 {
    size.saturating_sub(count).max(stream.begin).min(size)
}

/// Where to begin.
struct Begin {
    /// An index, or a time.
    text: String,
    /// What it counts since 1970, if it is such a number.
    unit: Option<Unit>,
}

impl Begin {
    fn index(index: u64) -> Self {
        Self {
            text: index.to_string(),
            unit: None,
        }
    }
}

async fn history(client: &Client, id: &str, from: Begin, out: Output) -> anyhow::Result<()> {
    let query = Query {
        from: Some(from.text),
        time_unit: from.unit,
        ..Query::default()
    };
    let records = client.records(id, &query).await?;
    let mut records = std::pin::pin!(records);
    while let Some(record) = records.try_next().await? {
        print(&record, out)?;
    }
    Ok(())
}

/// Goes on behind the last one when the node was away.
async fn live(
    client: &Client,
    id: &str,
    from: Begin,
    timeout: Option<Duration>,
    out: Output,
) -> anyhow::Result<()> {
    let tell = |what: &str| out.note(what);
    let patience = Patience::new(timeout, &tell);
    let mut absence: Option<Absence> = None;
    let mut last: Option<String> = None;
    loop {
        let events = match &last {
            // It may have been another history, which an index does not tell.
            Some(last) => client.live_after(id, last).await,
            None => client.live(id, &from.text, from.unit).await,
        };
        let error = match events {
            Ok(events) => {
                absence.take().inspect(|_| patience.is_back());
                print_all(events, &mut last, id, out).await
            }
            Err(error) => Err(error.into()),
        };
        let Err(error) = error else {
            return Ok(());
        };
        if !is_lost(&error) {
            return Err(error);
        }
        let absence = absence.get_or_insert_with(Absence::begin);
        of_node::wait(&patience, client, absence, error).await?;
    }
}

/// Prints what comes, and notes the id of what came last.
async fn print_all(
    mut events: impl Stream<Item = Result<Event, Error>> + Unpin,
    last: &mut Option<String>,
    id: &str,
    out: Output,
) -> anyhow::Result<()> {
    while let Some(event) = events.try_next().await? {
        match event.kind.as_str() {
            "message" => {
                let record = Observation::parse(event.data.as_bytes())?;
                print(&record, out)?;
                *last = Some(event.id);
            }
            "error" => return Err(refusal(&event.data)),
            "reset" => out.note(reset(&event.data)),
            "ended" => {
                out.note(ended(&event.data));
                return Ok(());
            }
            other => tracing::debug!(kind = other, "an event that this version does not know"),
        }
    }
    Err(Error::from(Lost::Ended(id.to_owned())).into())
}

fn refusal(data: &str) -> anyhow::Error {
    match serde_json::from_str::<Problem>(data) {
        Ok(problem) => Error::from(ApiError { problem }).into(),
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
    fn a_number_of_observations_may_have_a_minus() {
        assert_eq!(count("5"), Ok(5));
        assert_eq!(count("-1"), Ok(1));
        for wrong in ["", "-", "--1", "+5", "-f", "1.5"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }

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
