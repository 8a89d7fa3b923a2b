//! Publishing lines from stdin as they come.

use std::io::{self, BufReader, IsTerminal};
use std::time::Duration;

use anyhow::{Context, bail};
use headwater_client::Patience;
use headwater_client::data_dir::LockError;
use headwater_client::times::Unit;
use headwater_client::types::Published;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use super::batch::{Batch, BatchWriter};
use super::delivery::{Delivery, Undelivered, interrupted};
use super::of_node::is_lost;
use super::output::counted;
use super::target::Target;
use super::{Invocation, exit};
use crate::client::{Client, until_taken};
use crate::import::line_input::{Line, LineForm, Lines, looks_like_ndjson};
use crate::import::rows::{BadRow, BadRows, Row, RowError, RowNotes};
use crate::import::time_order::InOrder;
use crate::runtime::wall_time;

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// Rows that are handed over at a time, at most: a tenth of a batch, so that
/// reading and publishing overlap.
const ROWS_AT_ONCE: usize = 4_096;

/// Bytes of values that are handed over at a time, at most, and once more by a
/// last long one.
const BYTES_AT_ONCE: usize = 1 << 20;

/// Hand-overs that wait. Together with the bounds above this bounds the memory
/// that a fast input takes up.
const WAITING: usize = 4;

/// How often is looked whether another process waits for the data folder.
const LOOK_AROUND: Duration = Duration::from_millis(200);

/// How lines are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) ndjson: bool,
    pub(super) time_unit: Option<Unit>,
    /// Years before 1000 are meant.
    pub(super) any_year: bool,
    /// Times far ahead of now are meant, whatever follows from them.
    pub(super) far_ahead: bool,
    pub(super) plain: bool,
    pub(super) skip_bad: bool,
    /// How long the node may stay away.
    pub(super) timeout: Option<Duration>,
}

/// What was read at once.
type Read = Vec<Result<Row, RowError>>;

/// Publishes until stdin ends. A node that starts on a folder that is open here
/// gets it, and then the lines.
pub(super) async fn publish(
    invocation: &Invocation,
    name: &str,
    how: How,
) -> anyhow::Result<Published> {
    let mut lines = None;
    let mut name = name.to_owned();
    let mut given_up_at: Option<Instant> = None;
    loop {
        let round = async |client: &Client| {
            let target = Target::find(client, &name, how.far_ahead).await?;
            let lines = match &mut lines {
                Some(lines) => lines,
                None => lines.insert(Stdin::open(invocation, &target, how)?),
            };
            // What was a part of an id may be one of several later.
            name = target.id.clone();
            publish_to(invocation, &target, how, lines).await
        };
        let result = invocation.with_client(round).await;
        match (result, &lines) {
            (Ok(End::OfLines(published)), _) => return Ok(published),
            (Ok(End::Wanted), _) => {
                tracing::debug!("another process wants the data folder, and gets it");
                until_taken(&invocation.data_dir()?).await;
                given_up_at = how.timeout.map(|timeout| Instant::now() + timeout);
            }
            // A node that has taken over may take long to start.
            (Err(error), Some(lines)) if lines.is_handed_over && is_held(&error) => {
                if given_up_at.is_some_and(|end| Instant::now() >= end) {
                    return Err(exit::with_words(&error, &lines.progress.said()));
                }
            }
            (Err(error), Some(lines)) if lines.is_handed_over => {
                return Err(exit::with_words(&error, &lines.progress.said()));
            }
            (Err(error), _) => return Err(error),
        }
    }
}

fn is_held(error: &anyhow::Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes
        .into_iter()
        .any(|lock| matches!(lock, LockError::Held { .. }))
}

/// Why nothing more is published for now.
enum End {
    OfLines(Published),
    /// Another process waits for the data folder.
    Wanted,
}

/// What is read, and what has become of it.
struct Stdin {
    queue: mpsc::Receiver<Read>,
    progress: Progress,
    is_handed_over: bool,
}

impl Stdin {
    fn open(invocation: &Invocation, target: &Target<'_>, how: How) -> anyhow::Result<Self> {
        if io::stdin().is_terminal() {
            let what = if how.ndjson { "object" } else { "value" };
            invocation
                .out
                .note(format!("reading one {what} a line; end with Ctrl-D"));
        }
        let form = LineForm {
            ndjson: how.ndjson,
            rules: target.rules.clone(),
            time_unit: how.time_unit,
            any_year: how.any_year,
        };
        let in_order = InOrder::new(target.order);
        let (rows, queue) = mpsc::channel(WAITING);
        // Not a task: reading from a terminal would keep the runtime from ending.
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || read(form, how.plain, in_order, &rows))
            .context("cannot start a thread")?;
        Ok(Self {
            queue,
            progress: Progress::new(target.size),
            is_handed_over: false,
        })
    }
}

async fn publish_to(
    invocation: &Invocation,
    target: &Target<'_>,
    how: How,
    lines: &mut Stdin,
) -> anyhow::Result<End> {
    let tell = |what: &str| invocation.out.note(what);
    let delivery = Delivery::new(target, Patience::new(how.timeout, &tell))?;
    let result = append_all(invocation, target, delivery, how, lines).await;
    if let Ok(true) = result {
        lines.is_handed_over = true;
        return Ok(End::Wanted);
    }
    // From here on what is wrong is said once, with what came before.
    lines.is_handed_over = false;
    let progress = &lines.progress;
    if !progress.bad.is_empty() && how.skip_bad {
        invocation.out.note(format!("left out {}", progress.bad));
    }
    match result {
        Ok(_) => Ok(End::OfLines(progress.interval)),
        Err(error) => Err(exit::with_words(&error, &progress.said())),
    }
}

/// How far publishing has come.
struct Progress {
    interval: Published,
    records: u64,
    /// Records that were sent, and whose answer was not waited for.
    unknown: u64,
    bad: BadRows,
    notes: RowNotes,
}

impl Progress {
    fn new(size: u64) -> Self {
        Self {
            interval: Published {
                from: size,
                to: size,
            },
            records: 0,
            unknown: 0,
            bad: BadRows::default(),
            notes: RowNotes::default(),
        }
    }

    fn add(&mut self, published: Published) {
        if self.records == 0 {
            self.interval = published;
        }
        self.interval.to = published.to;
        self.records += published.to - published.from;
    }

    fn said(&self) -> String {
        let mut said = match self.records {
            0 if self.unknown == 0 => "nothing was published".to_owned(),
            0 => "nothing is known to be published".to_owned(),
            1 => format!(
                "1 record came before and is published, at index {}",
                self.interval.from
            ),
            records => format!(
                "{} came before and are published, up to index {}",
                counted(records, "record"),
                self.interval.to - 1
            ),
        };
        if self.unknown > 0 {
            let last = counted(self.unknown, "record");
            said.push_str(&format!(
                "; whether the last batch ({last}) is stored shows when the node is back"
            ));
        }
        said
    }
}

/// Returns whether another process waits for the data folder; else the lines
/// have ended.
async fn append_all(
    invocation: &Invocation,
    target: &Target<'_>,
    mut delivery: Delivery<'_>,
    how: How,
    lines: &mut Stdin,
) -> anyhow::Result<bool> {
    let Stdin {
        queue, progress, ..
    } = lines;
    let mut batch = BatchWriter::new(target.rules.clone());
    let mut look = interval(LOOK_AROUND);
    loop {
        let first = tokio::select! {
            read = queue.recv() => read,
            () = delivery.interrupted() => return Err(interrupted()),
            _ = look.tick() => match target.client.is_in_the_way() {
                true => return Ok(true),
                false => continue,
            },
        };
        let Some(first) = first else {
            return Ok(false);
        };
        // Whatever came while the last batch was on its way goes together.
        let mut next = Some(first);
        let mut stop = None;
        while let Some(read) = next {
            stop = push_all(read, how, &mut batch, progress);
            next = match stop.is_some() || batch.is_full() {
                true => None,
                false => queue.try_recv().ok(),
            };
        }
        let notes = progress.notes.fresh();
        notes.iter().for_each(|note| invocation.out.note(note));
        // The good lines before a bad one are published: they came first.
        if let Some(batch) = batch.take() {
            append(&mut delivery, &batch, progress).await?;
        }
        if let Some(error) = stop {
            return Err(error);
        }
    }
}

async fn append(
    delivery: &mut Delivery<'_>,
    batch: &Batch,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    match delivery.append(batch).await {
        Ok(published) => {
            progress.add(published);
            Ok(())
        }
        Err(Undelivered::Failed(error)) => {
            if is_lost(&error) {
                progress.unknown = batch.records as u64;
            }
            Err(error)
        }
        Err(Undelivered::Interrupted(published)) => {
            match published {
                Some(published) => progress.add(published),
                None => progress.unknown = batch.records as u64,
            }
            Err(interrupted())
        }
    }
}

/// Returns why there is an end, if there is one.
fn push_all(
    read: Read,
    how: How,
    batch: &mut BatchWriter,
    progress: &mut Progress,
) -> Option<anyhow::Error> {
    let now = wall_time();
    for row in read {
        match row {
            Ok(row) => {
                progress.notes.add(&row, now);
                batch.push(row);
            }
            Err(RowError::Bad(row)) if how.skip_bad => progress.bad.add(row),
            Err(RowError::Bad(row)) => {
                return Some(anyhow::anyhow!(
                    "{row}; correct it, or leave such lines out with --skip-bad"
                ));
            }
            Err(RowError::Read(error)) => return Some(error),
        }
    }
    None
}

/// Reads stdin to its end, or until nobody wants it any more.
fn read(form: LineForm, plain: bool, mut in_order: InOrder, rows: &mpsc::Sender<Read>) {
    let mut lines = Lines::new(
        BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock()),
        form.clone(),
    );
    let mut begun = plain || form.ndjson;
    loop {
        let mut read = Vec::new();
        let mut bytes = 0;
        let more = loop {
            let line = match lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => break false,
                Err(error) => {
                    let (error, goes_on) = match error {
                        RowError::Bad(_) => (error, true),
                        RowError::Read(error) => {
                            (RowError::Read(error.context("cannot read stdin")), false)
                        }
                    };
                    read.push(Err(error));
                    break goes_on;
                }
            };
            if !begun && let Err(error) = refuse_ndjson(&line.bytes) {
                read.push(Err(RowError::Read(error)));
                break false;
            }
            begun = true;
            bytes += line.bytes.len();
            push_row(&mut read, &form, &line, &mut in_order);
            // A line that has not come whole may be long in coming.
            let waits = !lines.input().buffer().contains(&b'\n');
            if waits || read.len() >= ROWS_AT_ONCE || bytes >= BYTES_AT_ONCE {
                break true;
            }
        };
        let sent = read.is_empty() || rows.blocking_send(read).is_ok();
        if !more || !sent {
            return;
        }
    }
}

fn push_row(read: &mut Read, form: &LineForm, line: &Line, in_order: &mut InOrder) {
    let number = line.number;
    match form.row(&line.bytes, Some(wall_time())) {
        Ok(Some(row)) => read.push(in_order.check(row.on_line(number))),
        Ok(None) => {}
        Err(what) => read.push(Err(RowError::Bad(BadRow { line: number, what }))),
    }
}

/// What is published cannot be taken back, so a likely mistake is not.
fn refuse_ndjson(line: &[u8]) -> anyhow::Result<()> {
    if looks_like_ndjson(line) {
        bail!(
            "the first line looks like an observation in NDJSON; say --ndjson if it is one, or \
             --plain if the whole line is the value"
        );
    }
    Ok(())
}
