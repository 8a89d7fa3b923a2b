//! `unsigned`: histories that nobody signed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use headwater_client::query::TextFormat;
use headwater_client::types::UnsignedView;

use super::Invocation;
use super::export::{remove_stale_proof, save, written};
use super::output::{Align, Table, counted, grouped, printable};

#[derive(Debug, Subcommand)]
pub(crate) enum UnsignedCommand {
    List(ListArgs),
    Export(ExportArgs),
    Delete(DeleteArgs),
}

/// List the histories that nobody signed
#[derive(Args, Debug)]
#[command(
    after_help = "Nothing proves them. They come from files (headwater import FILE --unsigned NAME) or from peers
(headwater import --from-peers NAME)."
)]
pub(crate) struct ListArgs {}

/// Write the observations of a history that nobody signed, the earliest first
#[derive(Args, Debug)]
#[command(after_help = "Every row has a column or field `unsigned` that says true.")]
pub(crate) struct ExportArgs {
    /// Its name
    name: String,
    /// How they are written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The file to write (- for stdout)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    #[default]
    Csv,
    Ndjson,
}

/// Delete a history that nobody signed
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// Its name
    name: String,
}

pub(super) async fn dispatch(
    invocation: &Invocation,
    command: UnsignedCommand,
) -> anyhow::Result<()> {
    match command {
        UnsignedCommand::List(_) => list(invocation).await,
        UnsignedCommand::Export(args) => export(invocation, &args).await,
        UnsignedCommand::Delete(args) => delete(invocation, &args).await,
    }
}

async fn list(invocation: &Invocation) -> anyhow::Result<()> {
    let all = invocation
        .with_client(async |client| Ok(client.unsigned().await?))
        .await?;
    let out = invocation.out;
    if out.json {
        return all.iter().try_for_each(|one| out.json(one));
    }
    if all.is_empty() {
        out.note("there is no history here that nobody signed");
        return Ok(());
    }
    let lines = table(&all).lines(out);
    lines.into_iter().try_for_each(|line| out.line(line))
}

fn table(all: &[UnsignedView]) -> Table {
    let mut table = Table::new(&[
        ("UNSIGNED", Align::Cut),
        ("STATE", Align::Left),
        ("OBSERVATIONS", Align::Right),
        ("EARLIEST", Align::Left),
        ("LATEST", Align::Left),
        ("TOLD TO PEERS", Align::Left),
    ]);
    let time = |time: &Option<String>| printable(time.as_deref().unwrap_or("none"));
    for one in all {
        table.row([
            printable(&one.name),
            printable(&one.state),
            grouped(one.observations),
            time(&one.earliest),
            time(&one.latest),
            if one.told_to_peers { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table
}

async fn export(invocation: &Invocation, args: &ExportArgs) -> anyhow::Result<()> {
    let format = match args.format {
        Format::Csv => TextFormat::Csv,
        Format::Ndjson => TextFormat::Ndjson,
    };
    let bytes = invocation
        .with_client(async |client| {
            let rows = client.unsigned_observations(&args.name, format).await?;
            save(rows, args.output.as_deref(), "exporting").await
        })
        .await?;
    remove_stale_proof(invocation, args.output.as_deref())?;
    written(invocation, args.output.as_deref(), bytes, None)
}

async fn delete(invocation: &Invocation, args: &DeleteArgs) -> anyhow::Result<()> {
    let deleted = invocation
        .with_client(async |client| Ok(client.delete_unsigned(&args.name).await?))
        .await?;
    let out = invocation.out;
    match out.json {
        true => out.json(&deleted),
        false => out.line(format!("deleted {}", described(&deleted))),
    }
}

/// What there is of a history, for people.
pub(super) fn described(history: &UnsignedView) -> String {
    let name = printable(&history.name);
    let mut text = format!("unsigned history `{name}`: ");
    text.push_str(&counted(history.observations, "observation"));
    if let (Some(earliest), Some(latest)) = (&history.earliest, &history.latest) {
        let (earliest, latest) = (printable(earliest), printable(latest));
        text.push_str(&format!(" from {earliest} to {latest}"));
    }
    if history.on_one_word > 0 {
        let count = grouped(history.on_one_word);
        text.push_str(&format!(", {count} of them on the word of one peer alone"));
    }
    text
}
