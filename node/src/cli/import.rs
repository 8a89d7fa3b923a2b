//! `import`: files that older programs wrote, into a stream of this node's own or
//! into a history that nobody signs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{ArgGroup, Args};
use headwater_client::times;
use headwater_client::types::{Gaps, NewStream, RoleView, StreamView, UnsignedView, ValueTypeView};
use headwater_export::GapFinder;
use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;
use headwater_protocols::manifest::ValueType;
use headwater_protocols::time::Timestamp;
use serde::Serialize;

use super::ask::asking;
use super::file_append::{Appended, ndjson};
use super::file_check::{Checked, Looking, check};
use super::file_form::FileForm;
use super::from_peers::{self, Asked};
use super::gaps::of_times;
use super::json_error::Reported;
use super::output::{counted, printable, shown_path};
use super::publish_file::{accept, look_at, publish, publish_checked, show};
use super::reading_args::ReadingArgs;
use super::stream::value_types;
use super::target::Target;
use super::terms::TermsArgs;
use super::unsigned::described;
use super::{Invocation, Usage, duration};
use crate::client::Client;
use crate::import::file_kind::Expected;
use crate::import::file_source::Source;
use crate::import::files::{FilePart, Files, PartForm};
use crate::import::folds::RepeatedHours;
use crate::import::old_csv::{OldCsv, Survey};
use crate::import::old_layout::Layout;
use crate::import::time_order::TimeOrder;
use crate::import::unclear::{Flag, unclear};
use crate::import::value::ValueRules;
use crate::runtime::wall_time;

/// Import CSV files of older programs, or histories of peers, that nobody signed
#[derive(Args, Clone, Debug)]
#[command(
    group = ArgGroup::new("where").args(["to", "create", "unsigned", "from_peers"]),
    group = ArgGroup::new("what").required(true).multiple(true).args(["to", "create", "unsigned", "from_peers", "check"]),
    after_help = "The files have the columns ts,value or ts,value,hash or date_time,value,id, with or without that
header; which, and how times and numbers are written, is found out from all rows, and shown. Where the
rows do not tell, the files are refused, with the option that says it; on a terminal it is asked for.
They are checked wholly first: one bad row and nothing is stored. Gaps, duplicates, what is out of order and what the hashes say are
reported; all of that is imported as it is. For other CSV files see `headwater publish --file`.

Files that begin before the end of the stream, or of the files ahead of them, are refused, and so are
those that have their rows twice: --resume goes on behind the rows that the stream has, also of a file
that has grown, and --again appends all of them.

What is imported into a stream is signed by this node. Where nobody should vouch for it, --unsigned
keeps it apart, under a name by which peers can ask for it; --from-peers takes such a history from
connected peers, step by step, as far as two thirds of those who answer agree. It goes on where it
ended before. See also `headwater unsigned`."
)]
pub(crate) struct ImportArgs {
    /// The files, the oldest first; `-` is stdin
    #[arg(
        required_unless_present = "from_peers",
        conflicts_with = "from_peers",
        value_name = "FILE"
    )]
    files: Vec<PathBuf>,
    /// Into this stream of this node: id, part of it, or name
    #[arg(long, value_name = "STREAM")]
    to: Option<String>,
    /// Into a new stream of this name
    #[arg(long, value_name = "NAME")]
    create: Option<String>,
    /// Into a new history of this name that nobody signs
    #[arg(long, value_name = "NAME")]
    unsigned: Option<String>,
    /// No file: take the history of this name, that nobody signed, from peers
    #[arg(long, value_name = "NAME")]
    from_peers: Option<String>,
    /// What lies before this time is taken from peers: RFC 3339 (UTC if it has no
    /// offset), a date, 3d for three days ago, or a number with --time-unit [default:
    /// now]
    #[arg(long, value_name = "TIME", conflicts_with = "files")]
    before: Option<String>,
    /// How long the answers of peers to one question are waited for
    #[arg(long, value_name = "D", conflicts_with = "files", default_value = "5s", value_parser = duration::parse)]
    deadline: Duration,
    /// Only look, and say what would be imported
    #[arg(long, conflicts_with = "from_peers")]
    check: bool,
    /// What the values are, if that is not found out: number, text, json, bytes
    #[arg(long, value_name = "TYPE", conflicts_with = "to", value_parser = value_types())]
    value_type: Option<ValueTypeView>,
    /// The unit of the values of the new stream
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        requires = "create"
    )]
    unit: String,
    /// Where the values of the new stream come from
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        requires = "create"
    )]
    source: String,
    /// The usual time between two observations, such as 1h; that of the new stream
    #[arg(long, value_name = "D", value_parser = duration::parse_positive)]
    cadence: Option<Duration>,
    #[command(flatten)]
    terms: TermsArgs,
    #[command(flatten)]
    reading: ReadingArgs,
    /// The columns of files without a header, where the rows do not tell: ts,value or
    /// ts,value,hash or date_time,value,id
    #[arg(long, value_name = "NAMES", conflicts_with = "from_peers", value_parser = str::parse::<Layout>)]
    columns: Option<Layout>,
    /// Go on behind those rows of the files that the stream has already
    #[arg(long, requires = "to", conflicts_with_all = ["create", "unsigned", "from_peers"])]
    resume: bool,
    /// Append the files also where they begin before the end of the stream, or of
    /// the files ahead of them, or have their rows twice
    #[arg(long, conflicts_with = "from_peers")]
    again: bool,
    /// Leave out bad rows, and list them
    #[arg(long)]
    skip_bad: bool,
    /// Give up when the node stays away for so long, such as 60s [default: wait
    /// as long as it takes]
    #[arg(long, value_name = "D", conflicts_with_all = ["unsigned", "check"], value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// List at most so many gaps, duplicates, …; all are counted
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Imported {
    /// The stream, unless the files were only looked at.
    stream: Option<String>,
    /// Where its new records are.
    #[serde(flatten)]
    published: Option<Appended>,
    /// The history that nobody signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsigned: Option<UnsignedView>,
    files: Vec<FileReport>,
    rows: u64,
    bad_rows: u64,
    times: Gaps,
    /// Why the files would not be imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The times that the clocks of the files' zone showed twice, if one was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated_hours: Option<RepeatedHours>,
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    #[serde(flatten)]
    survey: Survey,
}

impl ImportArgs {
    /// What lies before this time is taken from peers.
    fn before(&self) -> anyhow::Result<Option<Timestamp>> {
        let (before, unit) = (self.before.as_deref(), self.reading.time_unit);
        let moment = before.map(|text| times::of_text(text, unit, Some(wall_time())));
        let moment = moment.transpose();
        let moment = moment.map_err(|error| Usage::error(format!("--before: {error}")))?;
        Ok(moment.map(|moment| moment.time))
    }
}

pub(super) async fn import(invocation: &Invocation, args: &ImportArgs) -> anyhow::Result<()> {
    if let Some(name) = &args.from_peers {
        let asked = Asked {
            name,
            before: args.before()?,
            deadline: args.deadline,
        };
        return from_peers::take(invocation, asked, args.timeout).await;
    }
    // What comes once cannot be read again behind a question.
    let comes_once = |file: &PathBuf| file.as_os_str() == "-" || !file.is_file();
    let is_silent = args.check || args.files.iter().any(comes_once);
    let mut args = args.clone();
    asking(invocation, is_silent, async |flag| {
        match flag {
            None => {}
            Some(Flag::Again) => args.again = true,
            Some(Flag::Resume) => args.resume = true,
            Some(Flag::SkipBad) => args.skip_bad = true,
            Some(Flag::DecimalComma) => args.reading.decimal_comma = true,
            Some(Flag::Text) => args.value_type = Some(ValueTypeView::Text),
        }
        import_files(invocation, &args).await
    })
    .await
}

async fn import_files(invocation: &Invocation, args: &ImportArgs) -> anyhow::Result<()> {
    if args.create.is_none() && args.terms.are_given() {
        let what = "--tag, --licence, --content-type, --ordered, --recovery, --witness and --about are said of \
                    a stream that is created (--create), and never change";
        return Err(Usage::error(what));
    }
    let old = survey(args).await?;
    let files = Files {
        parts: old.iter().map(|(source, old)| part(source, old)).collect(),
        // Of a stream that is there it is asked.
        order: (args.create.is_some() && args.terms.are_ordered())
            .then(|| TimeOrder::new(args.reading.far_ahead, wall_time())),
        looked_at: None,
    };
    let form = FileForm {
        files,
        resume: args.resume,
        again: args.again,
        skip_bad: args.skip_bad,
        timeout: args.timeout,
    };
    let form = form.with_local_times(args.reading.repeated_hour()).await?;
    let old: Vec<_> = old.into_iter().map(|(_, old)| old).collect();
    let mut unsigned = None;
    let (stream, published, checked) = if let Some(name) = &args.unsigned {
        let (kept, checked) = keep_unsigned(invocation, args, &form, &old, name).await?;
        unsigned = kept;
        (None, None, checked)
    } else if args.to.is_some() || args.create.is_some() {
        invocation
            .with_client(async |client| match (&args.to, &args.create) {
                (Some(name), _) => import_to(invocation, client, args, &form, name).await,
                (None, Some(name)) => create(invocation, client, args, &form, &old, name).await,
                (None, None) => Err(Usage::error("name a stream with --to or --create")),
            })
            .await?
    } else {
        (None, None, check_new(args, &form, &old).await?)
    };
    if args.check {
        show(invocation, &form, &checked);
    }
    let report = |(path, old): (&PathBuf, OldCsv)| FileReport {
        file: path.display().to_string(),
        survey: old.survey,
    };
    // With --check, too, a bad row is a failure: that is what one looks for.
    let wrong = args.check.then(|| checked.ensure_good(&form)).transpose();
    let imported = Imported {
        stream,
        published,
        unsigned,
        files: args.files.iter().zip(old).map(report).collect(),
        rows: checked.good,
        bad_rows: checked.bad.count(),
        times: checked.times,
        error: wrong.as_ref().err().map(|error| format!("{error:#}")),
        repeated_hours: form.files.repeated_hours(),
    };
    say(invocation, &imported)?;
    wrong.map(|_| ()).map_err(Reported::error)
}

/// Looks at each file once.
async fn survey(args: &ImportArgs) -> anyhow::Result<Vec<(Source, OldCsv)>> {
    let (files, mut said) = (args.files.clone(), args.reading.said()?);
    said.is_typed = args.to.is_some();
    let (columns, skip_bad) = (args.columns.clone(), args.skip_bad);
    let one = move |path: &PathBuf| {
        let source = Source::of(path, Expected::Csv)?;
        let old = OldCsv::survey(&source, &said, columns.as_ref(), skip_bad);
        let old = old.with_context(|| format!("cannot import {}", source.name))?;
        Ok((source, old))
    };
    tokio::task::spawn_blocking(move || files.iter().map(one).collect()).await?
}

fn part(source: &Source, old: &OldCsv) -> FilePart {
    FilePart {
        source: source.clone(),
        form: PartForm::Csv(old.columns.clone(), old.dialect.clone()),
        left_out: Vec::new(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What was said, or what the values of all files tell.
///
/// # Errors
/// They do not tell, or one file tells this and another that.
fn value_type(args: &ImportArgs, old: &[OldCsv]) -> anyhow::Result<ValueType> {
    if let Some(said) = args.value_type {
        return Ok(said.into());
    }
    let mut all = None;
    for (path, old) in args.files.iter().zip(old) {
        let found = old.values.value_type(old.dialect.decimal_comma);
        let found = found.map_err(|why| {
            let flag = old.values.proposal();
            let error = anyhow::anyhow!("cannot import {}: {why}", shown_path(path));
            unclear(flag, error)
        })?;
        ensure!(
            *all.get_or_insert(found) == found,
            "the values of some files are numbers, and those of others are texts; say which with --value-type"
        );
    }
    Ok(all.unwrap_or(ValueType::Number))
}

/// Checks the files for a stream that is not there.
async fn check_new(args: &ImportArgs, form: &FileForm, old: &[OldCsv]) -> anyhow::Result<Checked> {
    let rules = ValueRules::new(value_type(args, old)?, DEFAULT_CHUNK_LEVEL);
    let looking = Looking {
        finder: GapFinder::new(args.cadence.map(micros), args.limit),
        skip: 0,
        first: 0,
    };
    check(form, rules, looking).await
}

/// The stream and what was published to it, unless it was only looked at.
type Done = (Option<String>, Option<Appended>, Checked);

async fn create(
    invocation: &Invocation,
    client: &Client,
    args: &ImportArgs,
    form: &FileForm,
    old: &[OldCsv],
    name: &str,
) -> anyhow::Result<Done> {
    let known = client.streams().await?;
    let is_it = |stream: &&StreamView| stream.name == name && stream.role == RoleView::Publisher;
    if let Some(stream) = known.iter().find(is_it) {
        bail!(
            "this node has a stream `{name}` already; to import into it say --to {id}, and to go on with a broken \
             import --to {id} --resume",
            id = stream.id
        );
    }
    // Nothing is created for a file that is refused.
    let checked = check_new(args, form, old).await?;
    if args.check {
        return Ok((None, None, checked));
    }
    accept(invocation, form, &checked)?;
    let stream = NewStream {
        name: name.to_owned(),
        source: args.source.clone(),
        unit: args.unit.clone(),
        value_type: Some(ValueTypeView::from(value_type(args, old)?)),
        cadence_us: args.cadence.map_or(0, micros),
        ..args.terms.clone().into_new()?
    };
    let id = client.create(&stream, false).await?.id;
    let target = Target::find(client, &id, args.reading.far_ahead).await?;
    let published = publish_checked(invocation, &target, form, 0, &checked).await;
    let published = published
        .with_context(|| format!("stream {id} was created; from now on it is `--to {id}`"))?;
    Ok((Some(id), Some(published), checked))
}

/// Keeps the files as a history that nobody signs.
async fn keep_unsigned(
    invocation: &Invocation,
    args: &ImportArgs,
    form: &FileForm,
    old: &[OldCsv],
    name: &str,
) -> anyhow::Result<(Option<UnsignedView>, Checked)> {
    let checked = check_new(args, form, old).await?;
    if args.check {
        return Ok((None, checked));
    }
    accept(invocation, form, &checked)?;
    let rules = ValueRules::new(value_type(args, old)?, DEFAULT_CHUNK_LEVEL);
    let rows = ndjson(form, rules, &checked).await?;
    let kept = invocation
        .with_client(async |client| Ok(client.import_unsigned(name, rows.into()).await?))
        .await?;
    Ok((Some(kept), checked))
}

async fn import_to(
    invocation: &Invocation,
    client: &Client,
    args: &ImportArgs,
    form: &FileForm,
    name: &str,
) -> anyhow::Result<Done> {
    let target = Target::find(client, name, args.reading.far_ahead).await?;
    let cadence_us = match args.cadence {
        Some(cadence) => Some(micros(cadence)),
        None => client.stream(&target.id).await?.cadence_us,
    };
    let finder = GapFinder::new(cadence_us, args.limit);
    let mut form = form.clone();
    form.files.order = target.order;
    let form = &form;
    if args.check {
        let (_, checked) = look_at(&target, form, finder).await?;
        return Ok((None, None, checked));
    }
    let (published, checked) = publish(invocation, &target, form, finder).await?;
    Ok((Some(target.id.clone()), Some(published), checked))
}

fn say(invocation: &Invocation, imported: &Imported) -> anyhow::Result<()> {
    let out = invocation.out;
    if out.json {
        return out.json(imported);
    }
    for FileReport { file, survey } in &imported.files {
        out.line(format!(
            "{}: {}",
            printable(file),
            printable(&survey.to_string())
        ))?;
    }
    out.line(counted(imported.rows, "good row"))?;
    for line in of_times(&imported.times) {
        out.line(format!("  {line}"))?;
    }
    let hours = imported.repeated_hours.iter();
    for line in hours.flat_map(RepeatedHours::described) {
        out.line(format!("  {line}"))?;
    }
    if let Some(unsigned) = &imported.unsigned {
        return out.line(format!("kept {}", described(unsigned)));
    }
    match (&imported.stream, imported.published) {
        (Some(stream), Some(published)) => {
            out.line(format!("{}, in stream {stream}", published.said()))
        }
        _ => out.line("nothing was published"),
    }
}
