//! `join`: several streams as one table.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use headwater_client::JoinQuery;
use headwater_client::times::Unit;

use super::export::{ExportFormat, Wanted, remove_stale_proof, save, written};
use super::namesakes::say_namesakes;
use super::{Invocation, duration};
use crate::client::Client;

/// Write several streams as one table: the latest value of each at each time
#[derive(Args, Debug)]
#[command(
    after_help = "The columns are time and the name of each stream, or what it is called here (follow --as); names
that several have are followed by _ and the end of the id. A row has, of each stream, the latest
value at or before its time (of several at one time the last one), and nothing where there is none. Rows
are in the order of time. In CSV what is missing is nothing at all, and an empty text is \"\"."
)]
pub(crate) struct JoinArgs {
    /// The streams: id, part of it, or name
    #[arg(required = true, value_name = "STREAM")]
    streams: Vec<String>,
    /// One of them: its observations make the rows [default: the first]
    #[arg(long, value_name = "STREAM", conflicts_with = "every")]
    on: Option<String>,
    /// A row for each multiple of this time since 1970 (UTC), such as 1h; without both
    /// --from and --to at most 32,000,000 rows
    #[arg(long, value_name = "D", value_parser = duration::parse_positive)]
    every: Option<Duration>,
    /// Leave out values that are older than the row by more than this
    #[arg(long, value_name = "D", value_parser = duration::parse)]
    tolerance: Option<Duration>,
    /// Rows from this time on: RFC 3339 (UTC if it has no offset), a date, or 3d for
    /// three days ago
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Rows before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The unit of --from and --to where they are numbers since 1970: s, ms, us or
    /// ns
    #[arg(long, value_name = "UNIT", value_parser = str::parse::<Unit>)]
    time_unit: Option<Unit>,
    /// How the table is written [default: csv; ndjson for --json on stdout]
    #[arg(long, value_enum)]
    format: Option<ExportFormat>,
    /// CSV for spreadsheets, which run texts such as =1+2: these stand behind a ' then,
    /// and are not what was signed
    #[arg(long)]
    safe_csv: bool,
    /// The file to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn join(invocation: &Invocation, args: &JoinArgs) -> anyhow::Result<()> {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let every_us = args.every.map(micros);
    let wanted = Wanted {
        format: args.format,
        safe_csv: args.safe_csv,
        output: args.output.as_deref(),
    };
    let (_, format) = wanted.format(invocation.out)?;
    let bytes = invocation
        .with_client(async |client| {
            let mut streams = Vec::with_capacity(args.streams.len());
            for name in &args.streams {
                let stream = client.stream(name).await?;
                say_namesakes(invocation.out, name, &stream);
                streams.push(stream.id);
            }
            let on = match &args.on {
                Some(name) => Some(client.stream(name).await?.id),
                None => None,
            };
            let query = JoinQuery {
                streams: streams.join(","),
                on,
                every_us,
                tolerance_us: args.tolerance.map(micros),
                from: args.from.clone(),
                to: args.to.clone(),
                time_unit: args.time_unit,
                format: Some(format.to_owned()),
                ..JoinQuery::default()
            };
            write(client, args, &query).await
        })
        .await?;
    remove_stale_proof(invocation, args.output.as_deref())?;
    written(invocation, args.output.as_deref(), bytes, None)
}

async fn write(client: &Client, args: &JoinArgs, query: &JoinQuery) -> anyhow::Result<u64> {
    // The file is opened once the node has agreed.
    let table = client.join(query).await?;
    save(table, args.output.as_deref(), "joining").await
}
