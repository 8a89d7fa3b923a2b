//! `publish`: one value, lines on stdin, or a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use futures::TryStreamExt;
use headwater_protocols::id::LogId;
use headwater_protocols::time::Timestamp;

use super::batch::{Batch, BatchWriter};
use super::csv_input::Columns;
use super::output::printable;
use super::publish_file::{FileForm, FilePart};
use super::rows::{Row, RowNotes};
use super::time_form::TimeForm;
use super::value::ValueRules;
use super::{Invocation, Usage, duration, publish_file, publish_lines};
use crate::api::types::{Published, RoleView, StreamView};
use crate::api::{did_you_mean, similar};
use crate::client::{ApiError, Client, Query};
use crate::data_dir::quoted;
use crate::invite;
use crate::runtime::wall_time;
use crate::times::{self, Moment, Unit};

/// Append observations to a stream of this node.
#[derive(Args, Debug)]
#[command(
    after_help = "Without VALUE and --file, lines are read from stdin, and each is published as it comes:
a value a line with the time of its arrival, or with --ndjson an object a line:
  {\"time\":\"2024-05-01T12:00:00Z\",\"value\":4.0}
  {\"time\":1714564800.25,\"time_unit\":\"s\",\"value\":4.0}

A time that is finer than a microsecond is rounded down, and one without an offset is UTC; both are
said. A leap second is the last microsecond before the next second.

A file is checked wholly first. If one row is bad, every bad row is listed and nothing is published.

When the node goes away meanwhile, lines and files wait until it is back and go on; nothing is lost,
and nothing is published twice."
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
    /// The unit of times that are numbers: s, ms, us or ns since 1970. Without it
    /// they must be microseconds
    #[arg(long, value_name = "UNIT", value_parser = str::parse::<Unit>, conflicts_with = "time_format")]
    time_unit: Option<Unit>,
    /// A CSV file with a header; with --ndjson a file of one object a line
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,
    /// The column of the times
    #[arg(long, value_name = "T", requires = "file", conflicts_with = "ndjson")]
    time_column: Option<String>,
    /// The column of the values
    #[arg(long, value_name = "V", requires = "file", conflicts_with = "ndjson")]
    value_column: Option<String>,
    /// How the times of the file are written: iso (RFC 3339; UTC if it has no
    /// offset), unix, unix-ms, unix-us, unix-ns (whole, or with a fraction), or a
    /// pattern as "%d.%m.%Y %H:%M"
    #[arg(long, value_name = "FORM", requires = "time_column", value_parser = str::parse::<TimeForm>)]
    time_format: Option<TimeForm>,
    /// Go on where an earlier, broken run with the same file has ended
    #[arg(long, requires = "file")]
    resume: bool,
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
    #[arg(long, value_name = "D", conflicts_with = "value", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

pub(super) async fn publish(invocation: &Invocation, args: PublishArgs) -> anyhow::Result<()> {
    let file = args
        .file
        .as_deref()
        .map(|path| file_form(path, &args))
        .transpose()?;
    let moment = (args.time.as_deref())
        .map(|text| times::of_text(text, args.time_unit, Some(wall_time())))
        .transpose()
        .map_err(|error| Usage::error(format!("--time: {error}")))?;
    let published = invocation
        .with_client(async |client| {
            let target = Target::find(client, &args.stream).await?;
            match (&file, &args.value) {
                (Some(file), _) => publish_file::publish(invocation, &target, file).await,
                (None, Some(value)) => publish_one(invocation, &target, value, moment).await,
                (None, None) => {
                    let how = publish_lines::How {
                        ndjson: args.ndjson,
                        time_unit: args.time_unit,
                        plain: args.plain,
                        skip_bad: args.skip_bad,
                        timeout: args.timeout,
                    };
                    publish_lines::publish(invocation, &target, how).await
                }
            }
        })
        .await?;
    let out = invocation.out;
    if out.json {
        return out.json(&published);
    }
    out.line(said(published))
}

pub(super) fn said(published: Published) -> String {
    let Published { from, to } = published;
    match to.saturating_sub(from) {
        0 => "nothing to publish".to_owned(),
        1 => format!("published, at index {from}"),
        records => format!(
            "published {}, at the indexes {from} to {}",
            super::output::counted(records, "record"),
            to - 1
        ),
    }
}

fn file_form(path: &std::path::Path, args: &PublishArgs) -> anyhow::Result<FileForm> {
    let columns = match (&args.time_column, &args.value_column) {
        (Some(time), Some(value)) => Some(Columns::Named {
            time: time.clone(),
            value: value.clone(),
        }),
        _ if args.ndjson => None,
        _ => {
            return Err(Usage::error(
                "--file needs the columns to read, --time-column T and --value-column V, or --ndjson",
            ));
        }
    };
    let time_form = (args.time_format.clone()).or(args.time_unit.map(TimeForm::Unix));
    let part = FilePart {
        path: path.to_owned(),
        columns,
        time_form: time_form.unwrap_or_default(),
        time_unit: args.time_unit,
    };
    Ok(FileForm {
        parts: vec![part],
        resume: args.resume,
        skip_bad: args.skip_bad,
        timeout: args.timeout,
    })
}

/// The stream that is published to.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) client: &'a Client,
    pub(crate) id: String,
    pub(crate) size: u64,
    pub(crate) rules: ValueRules,
}

impl<'a> Target<'a> {
    pub(super) async fn find(client: &'a Client, name: &str) -> anyhow::Result<Self> {
        match client.stream(name).await {
            Ok(stream) => Self::of(client, stream),
            Err(error) => Err(unknown(client, name, error).await),
        }
    }

    fn of(client: &'a Client, stream: StreamView) -> anyhow::Result<Self> {
        if stream.role != RoleView::Publisher {
            bail!(
                "stream {} belongs to another publisher; only its owner can publish to it",
                stream.id
            );
        }
        let rules = ValueRules::of(&stream);
        let rules = rules.with_context(|| format!("stream {} has no manifest yet", stream.id))?;
        Ok(Self {
            client,
            id: stream.id,
            size: stream.size,
            rules,
        })
    }

    /// Publishes a batch that begins at no index in particular.
    ///
    /// # Errors
    /// The node refuses it, or is lost; then it is not known whether the batch
    /// was published.
    pub(crate) async fn append(&self, batch: Batch) -> anyhow::Result<Published> {
        self.client.publish(&self.id, batch.ndjson, None).await
    }

    /// Whether the stream has this size or more, and this row before it.
    ///
    /// # Errors
    /// The node is lost.
    pub(crate) async fn has(&self, size: u64, last: &Row) -> anyhow::Result<bool> {
        let stream = self.client.stream(&self.id).await?;
        Ok(stream.size >= size && self.stored(size - 1).await? == *last)
    }

    /// The row that is stored at this index.
    ///
    /// # Errors
    /// There is none, or the node is lost.
    pub(crate) async fn stored(&self, index: u64) -> anyhow::Result<Row> {
        let query = Query {
            from: Some(index.to_string()),
            to: Some((index + 1).to_string()),
            ..Query::default()
        };
        let records = self.client.records(&self.id, &query).await?;
        let record = std::pin::pin!(records).try_next().await?;
        let record = record.with_context(|| format!("stream {} has no record {index}", self.id))?;
        ensure!(
            record.index == index,
            "the node sent record {} instead of {index}",
            record.index
        );
        let value = self
            .rules
            .of_json(&record.value)
            .map_err(anyhow::Error::msg)?;
        let time = times::exact(&record.time.to_string())?;
        Ok(Row::new(Moment::exact(time), value))
    }
}

/// Of a name that no stream has, one was meant that this node publishes, or a
/// new one.
async fn unknown(client: &Client, name: &str, error: anyhow::Error) -> anyhow::Error {
    let refused = error.downcast_ref::<ApiError>();
    let is_name = name.parse::<LogId>().is_err() && !name.starts_with(invite::SCHEME);
    if !is_name || refused.is_none_or(|refused| refused.status() != 404) {
        return error;
    }
    let streams = client.streams().await.unwrap_or_default();
    let own = (streams.iter()).filter(|stream| stream.role == RoleView::Publisher);
    let similar = similar(name, own.map(|stream| stream.name.as_str()));
    let meant = match did_you_mean(&similar) {
        none if none.is_empty() => ";".to_owned(),
        meant => meant,
    };
    anyhow::anyhow!(
        "this node has no stream with the name or id `{}`{meant} a new one is made with: \
         headwater stream create {}",
        printable(name),
        quoted(Path::new(name))
    )
}

pub(super) fn time_argument(text: &str) -> Result<Timestamp, String> {
    let moment = times::of_text(text, None, Some(wall_time()));
    moment
        .map(|moment| moment.time)
        .map_err(|error| format!("time {error}"))
}

async fn publish_one(
    invocation: &Invocation,
    target: &Target<'_>,
    value: &str,
    moment: Option<Moment>,
) -> anyhow::Result<Published> {
    let now = wall_time();
    let moment = moment.unwrap_or(Moment::exact(now));
    let row = Row::new(moment, target.rules.of_text(value).map_err(Usage::error)?);
    let mut notes = RowNotes::default();
    notes.add(&row, now);
    (notes.fresh().iter()).for_each(|note| invocation.out.note(note));
    let mut batch = BatchWriter::new(target.rules);
    batch.push(row);
    let batch = batch.take().context("a batch with a row is not empty")?;
    target.append(batch).await
}
