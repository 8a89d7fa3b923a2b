//! `publish`: one value, lines on stdin, or a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use headwater_client::Patience;
use headwater_client::times::{self, Moment, TimeError};
use headwater_client::types::Published;
use headwater_export::GapFinder;
use serde::Serialize;

use super::ask::asking;
use super::batch::BatchWriter;
use super::delivery::{Delivery, Undelivered, said};
use super::file_append::Appended;
use super::file_form::FileForm;
use super::reading_args::ReadingArgs;
use super::target::Target;
use super::{Invocation, Usage, duration, publish_file, publish_lines};
use crate::client::Client;
use crate::import::csv_header::Headers;
use crate::import::csv_input::Columns;
use crate::import::dialect::Said;
use crate::import::file_kind::Expected;
use crate::import::file_source::Source;
use crate::import::files::{FilePart, Files, PartForm};
use crate::import::folds::RepeatedHours;
use crate::import::named_csv;
use crate::import::parquet_input::ParquetForm;
use crate::import::rows::{Row, RowNotes};
use crate::import::unclear::Flag;
use crate::import::value::ValueRules;
use crate::runtime::wall_time;

/// Append observations to a stream of this node.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Without VALUE and --file, lines are read from stdin, and each is published as it comes:
a value a line with the time of its arrival, or with --ndjson an object a line:
  {\"time\":\"2024-05-01T12:00:00Z\",\"value\":4.0}
  {\"time\":1714564800.25,\"time_unit\":\"s\",\"value\":4.0}
Of a stream with columns a value is an object with their names, or an array in their order, and in
NDJSON they stand beside the time:
  {\"time\":\"2024-05-01T12:00:00Z\",\"temperature\":4.0,\"sky\":null}
Its files have a column of each name; an empty field is null.

A time that is finer than a microsecond is rounded down, and one without an offset is UTC; both are
said, and so are times before 1990 and in the future. A leap second is the last microsecond before the
next second.

A file is checked wholly first: one bad row and nothing is published. How it is written is found out
from all of its rows and shown before anything is signed; where they do not tell, it is refused, with
the option that says it. A file that begins before the end of the stream, or has its rows twice, is
refused, too: --resume goes on behind the rows that the stream has, also of a file that has grown,
--again appends them all. On a terminal these are asked for.

When the node goes away meanwhile, values, lines and files wait until it is back and go on; nothing is
lost, and nothing is published twice."
)]
pub(crate) struct PublishArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// A single value
    #[arg(allow_negative_numbers = true, conflicts_with_all = ["file", "ndjson"])]
    value: Option<String>,
    /// When it was observed (RFC 3339, UTC if it has no offset; or so long ago, such
    /// as 1h; now, if it is left out)
    #[arg(long, value_name = "T", requires = "value")]
    time: Option<String>,
    /// A CSV file with a header, or a Parquet file, which has the columns of the
    /// stream, if it has some, and a column of times; with --ndjson a file of one
    /// object a line. `-` is stdin
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,
    /// The column of the times
    #[arg(long, value_name = "T", requires = "file", conflicts_with = "ndjson")]
    time_column: Option<String>,
    /// The column of the values, of a stream without columns
    #[arg(long, value_name = "V", requires = "file", conflicts_with = "ndjson")]
    value_column: Option<String>,
    /// What the file calls a column of the stream, if not as the stream does; may be
    /// said for several. Columns of the file that the stream does not have are left
    /// out
    #[arg(long, value_name = "NAME=HEADER", value_parser = column_header, requires = "file", conflicts_with = "ndjson")]
    column: Vec<(String, String)>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Go on behind those rows of the file that the stream has already
    #[arg(long, requires = "file", conflicts_with = "value")]
    resume: bool,
    /// Append the file also where it begins before the end of the stream, or has its
    /// rows twice
    #[arg(long, requires = "file", conflicts_with = "value")]
    again: bool,
    /// Leave out bad rows, and list them
    #[arg(long, conflicts_with = "value")]
    skip_bad: bool,
    /// Each line is an object: {"time":…,"value":…}
    #[arg(long)]
    ndjson: bool,
    /// Each line is a value, even if it looks like an observation in NDJSON
    #[arg(long, conflicts_with_all = ["ndjson", "value", "file"])]
    plain: bool,
    /// Give up when the node stays away for so long, such as 60s [default: wait
    /// as long as it takes]
    #[arg(long, value_name = "D", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

pub(super) async fn publish(invocation: &Invocation, args: PublishArgs) -> anyhow::Result<()> {
    if let Some(flag) = args.reading.of_csv().filter(|_| args.time_column.is_none()) {
        let instead = match (flag, args.ndjson) {
            ("--time-zone" | "--repeated-hour", true) => {
                "; in NDJSON a time has its offset behind it, as 2024-05-01T12:00:00+02:00, or is UTC"
            }
            (_, true) => {
                "; in NDJSON a time is RFC 3339 or a number with --time-unit, and a value is JSON"
            }
            (_, false) => ": --file F --time-column T --value-column V",
        };
        return Err(Usage::error(format!("{flag} is for CSV files{instead}")));
    }
    let out = invocation.out;
    if let Some(path) = &args.file {
        let published = publish_named(invocation, path, &args).await?;
        return match out.json {
            true => out.json(&published),
            false => out.line(published.appended.said()),
        };
    }
    let moment = (args.time.as_deref())
        .map(|text| time_of(text, &args.reading))
        .transpose()
        .map_err(|error| Usage::error(format!("--time: {error}")))?;
    let published = match &args.value {
        Some(value) => {
            let tell = |what: &str| out.note(what);
            let patience = Patience::new(args.timeout, &tell);
            let publish = async |client: &Client| {
                let target = Target::find(client, &args.stream, args.reading.far_ahead).await?;
                publish_one(invocation, &target, value, moment, patience).await
            };
            invocation.with_client(publish).await?
        }
        None => {
            let how = publish_lines::How {
                ndjson: args.ndjson,
                time_unit: args.reading.time_unit,
                any_year: args.reading.any_year,
                far_ahead: args.reading.far_ahead,
                plain: args.plain,
                skip_bad: args.skip_bad,
                timeout: args.timeout,
            };
            publish_lines::publish(invocation, &args.stream, how).await?
        }
    };
    if out.json {
        return out.json(&published);
    }
    out.line(said(published))
}

/// Publishes a file, and asks where it is not clear what is meant.
async fn publish_named(
    invocation: &Invocation,
    path: &Path,
    args: &PublishArgs,
) -> anyhow::Result<FilePublished> {
    let file = named_file(path, args).await?;
    let mut args = args.clone();
    asking(invocation, path.as_os_str() == "-", async |flag| {
        match flag {
            None | Some(Flag::Text) => {}
            Some(Flag::Again) => args.again = true,
            Some(Flag::Resume) => args.resume = true,
            Some(Flag::SkipBad) => args.skip_bad = true,
            Some(Flag::DecimalComma) => args.reading.decimal_comma = true,
        }
        let publish = async |client: &Client| {
            let target = Target::find(client, &args.stream, args.reading.far_ahead).await?;
            let form = file.form(&target, &args).await?;
            let finder = GapFinder::new(None, 0);
            let publish = publish_file::publish(invocation, &target, &form, finder);
            let (appended, _) = publish.await?;
            anyhow::Ok(FilePublished {
                appended,
                repeated_hours: form.files.repeated_hours(),
            })
        };
        invocation.with_client(publish).await
    })
    .await
}

fn time_of(text: &str, reading: &ReadingArgs) -> Result<Moment, TimeError> {
    let moment = times::of_text(text, reading.time_unit, Some(wall_time()))?;
    match reading.any_year {
        true => Ok(moment),
        false => times::observed(moment, text),
    }
}

/// What `--json` prints of a file.
#[derive(Serialize)]
struct FilePublished {
    #[serde(flatten)]
    appended: Appended,
    /// The times that the clocks of the file's zone showed twice, if one was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated_hours: Option<RepeatedHours>,
}

/// A file, and which columns of it are meant; `None` for NDJSON.
struct NamedFile {
    source: Source,
    columns: Option<Columns>,
}

async fn named_file(path: &Path, args: &PublishArgs) -> anyhow::Result<NamedFile> {
    let columns = match (&args.time_column, &args.value_column) {
        (Some(time), Some(value)) => Some(Columns::Named {
            time: time.clone(),
            value: value.clone(),
        }),
        (Some(time), None) => Some(Columns::Table {
            time: time.clone(),
            headers: Headers::default(),
        }),
        _ if args.ndjson => None,
        _ => {
            return Err(Usage::error(
                "--file needs the columns to read, --time-column T and, unless the stream has columns itself, \
                 --value-column V, or --ndjson",
            ));
        }
    };
    let expected = if columns.is_some() {
        Expected::Table
    } else {
        Expected::Ndjson
    };
    let path = path.to_owned();
    let source = tokio::task::spawn_blocking(move || Source::of(&path, expected)).await??;
    Ok(NamedFile { source, columns })
}

/// Refuses one column for rows, and rows for one value.
fn fits(columns: &Columns, target: &Target<'_>) -> anyhow::Result<()> {
    match (columns, target.rules.rows()) {
        (Columns::Table { .. }, None) => Err(Usage::error(
            "the stream has one value a record: say which column has it, --value-column V",
        )),
        (Columns::Named { .. }, Some(rows)) => Err(Usage::error(format!(
            "the stream has columns, which are read by their names ({}): leave off --value-column",
            rows.listed()
        ))),
        _ => Ok(()),
    }
}

/// The columns, with what the file calls those of the stream.
fn with_headers(
    columns: &Columns,
    target: &Target<'_>,
    args: &PublishArgs,
) -> anyhow::Result<Columns> {
    fits(columns, target)?;
    match (columns, target.rules.rows()) {
        (Columns::Table { time, .. }, Some(rows)) => Ok(Columns::Table {
            time: time.clone(),
            headers: Headers::new(&args.column, rows).map_err(Usage::error)?,
        }),
        (Columns::Table { .. } | Columns::Named { .. } | Columns::Placed { .. }, _) => {
            if !args.column.is_empty() {
                return Err(Usage::error(
                    "--column is for streams with columns; of this one say --value-column V",
                ));
            }
            Ok(columns.clone())
        }
    }
}

/// How a file of columns is read, and which of them are not.
fn table_form(
    source: &Source,
    columns: Columns,
    said: &Said,
    rules: &ValueRules,
) -> anyhow::Result<(PartForm, Vec<String>)> {
    if source.is_parquet() {
        let form = ParquetForm::of(&source.file()?, &columns, said, rules)?;
        let left_out = form.not_read(source.file()?, rules)?;
        return Ok((PartForm::Parquet(form), left_out));
    }
    let dialect = named_csv::dialect(source, &columns, said, rules)?;
    let left_out = named_csv::not_read(source, &columns, dialect.delimiter, rules)?;
    Ok((PartForm::Csv(columns, dialect), left_out))
}

fn column_header(text: &str) -> Result<(String, String), String> {
    let (name, header) =
        (text.split_once('=')).ok_or_else(|| format!("`{text}` is not NAME=HEADER"))?;
    Ok((name.trim().to_owned(), header.trim().to_owned()))
}

impl NamedFile {
    /// How it is read into this stream.
    async fn form(&self, target: &Target<'_>, args: &PublishArgs) -> anyhow::Result<FileForm> {
        let (form, left_out) = match &self.columns {
            None => {
                let form = PartForm::Ndjson {
                    time_unit: args.reading.time_unit,
                    any_year: args.reading.any_year,
                };
                (form, Vec::new())
            }
            Some(columns) => {
                let mut said = args.reading.said()?;
                said.is_typed = true;
                let source = self.source.clone();
                let columns = with_headers(columns, target, args)?;
                let rules = target.rules.clone();
                let find = move || table_form(&source, columns, &said, &rules);
                let found = tokio::task::spawn_blocking(find).await?;
                found.with_context(|| format!("cannot read {}", self.source.name))?
            }
        };
        let files = Files {
            parts: vec![FilePart {
                source: self.source.clone(),
                form,
                left_out,
            }],
            order: target.order,
            looked_at: None,
        };
        let form = FileForm {
            files,
            resume: args.resume,
            again: args.again,
            skip_bad: args.skip_bad,
            timeout: args.timeout,
        };
        form.with_local_times(args.reading.repeated_hour()).await
    }
}

async fn publish_one(
    invocation: &Invocation,
    target: &Target<'_>,
    value: &str,
    moment: Option<Moment>,
    patience: Patience<'_>,
) -> anyhow::Result<Published> {
    let now = wall_time();
    let moment = moment.unwrap_or(Moment::exact(now));
    let taken = target.rules.of_value_alone(value).map_err(Usage::error)?;
    let row = Row::new(moment, taken);
    if let Some(order) = target.order {
        order.check(row.time).map_err(Usage::error)?;
    }
    let mut notes = RowNotes::default();
    notes.add(&row, now);
    (notes.fresh().iter()).for_each(|note| invocation.out.note(note));
    let mut batch = BatchWriter::new(target.rules.clone());
    batch.push(row);
    let batch = batch.take().context("a batch with a row is not empty")?;
    match Delivery::new(target, patience)?.append(&batch).await {
        Ok(published) | Err(Undelivered::Interrupted(Some(published))) => Ok(published),
        Err(Undelivered::Failed(error)) => Err(error),
        Err(Undelivered::Interrupted(None)) => bail!(
            "interrupted; whether the value is stored shows when the node is back: headwater tail {}",
            target.id
        ),
    }
}
