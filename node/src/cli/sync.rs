//! `sync`: how far a stream is in step, and waiting until it is.

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{ArgGroup, Args};
use headwater_client::Patience;
use headwater_client::query::FetchQuery;
use headwater_client::times::Unit;
use headwater_client::types::{FetchView, RoleView, StreamView};
use headwater_protocols::backoff::Backoff;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::time::Instant;

use super::output::{Output, counted, grouped, printable};
use super::standing::gaps;
use super::{Invocation, duration, progress};
use crate::client::Client;
use crate::failure::for_now;

/// Before the node is asked, and asked again. A short stream is in step within
/// milliseconds.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(5), Duration::from_millis(100));

/// How long nobody may have the stream before that is said, and said anew when it
/// changes.
const SILENCE: Duration = Duration::from_secs(5);

/// Show how far a stream is in step; with --wait, until all of it is held,
/// verified and safe on disk; with --from or --to, fetch these records first
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("range").args(["from", "to"]).multiple(true))]
pub(crate) struct SyncArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// Fetch what lies between this index or time (RFC 3339, a date, or 3d for three
    /// days ago) and --to before the rest; --wait ends when it is held
    #[arg(long, value_name = "INDEX|TIME")]
    from: Option<String>,
    /// Up to this index or time, which is left out
    #[arg(long, value_name = "INDEX|TIME")]
    to: Option<String>,
    /// The unit of --from and --to where they are numbers since 1970: s, ms, us or ns.
    /// Without it a whole number is an index
    #[arg(long, value_name = "UNIT", requires = "range", value_parser = str::parse::<Unit>)]
    time_unit: Option<Unit>,
    /// Wait until it is in step
    #[arg(long)]
    wait: bool,
    /// Give up after this time, such as 60s
    #[arg(long, value_name = "D", requires = "wait", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Synced<'a> {
    id: &'a str,
    synced: bool,
    size: u64,
    held_records: u64,
    missing_records: u64,
    root: Option<&'a str>,
    sources: &'a [String],
    /// Records that came while this command waited.
    received: u64,
    elapsed_ms: u64,
}

pub(super) async fn sync(invocation: &Invocation, args: &SyncArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (stream, part, received) = invocation
        .with_client(async |client| {
            client.require_network("sync")?;
            let first = client.stream(&args.stream).await?;
            let before = first.held_records;
            let part = match (&args.from, &args.to) {
                (None, None) => None,
                (from, to) => {
                    refuse_hopeless(&first)?;
                    let query = FetchQuery {
                        from: from.clone(),
                        to: to.clone(),
                        time_unit: args.time_unit,
                    };
                    Some(client.fetch(&first.id, &query).await?)
                }
            };
            let stream = match args.wait {
                true => {
                    let waiting = Waiting {
                        client,
                        part,
                        begun,
                        limit: args.timeout,
                        out: invocation.out,
                    };
                    waiting.wait(first).await?
                }
                false => first,
            };
            let received = stream.held_records.saturating_sub(before);
            Ok((stream, part, received))
        })
        .await?;
    let elapsed = begun.elapsed();
    let out = invocation.out;
    if out.json {
        return out.json(&Synced {
            id: &stream.id,
            synced: stream.synced,
            size: stream.size,
            held_records: stream.held_records,
            missing_records: stream.missing_records,
            root: stream.root.as_deref(),
            sources: &stream.sources,
            received,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        });
    }
    if let Some(part) = part {
        out.line(said_of(part, &stream))?;
    }
    out.line(said(&stream))?;
    if received > 0 {
        let per_s = received as f64 / elapsed.as_secs_f64();
        out.line(format!(
            "{} came in {:.1} s ({} a second)",
            counted(received, "record"),
            elapsed.as_secs_f64(),
            grouped(per_s as u64)
        ))?;
    }
    stream
        .sources
        .iter()
        .try_for_each(|source| out.line(format!("source  {source}")))
}

fn all_are(records: u64) -> String {
    match records {
        1 => "the only record is".to_owned(),
        records => format!("all {} are", counted(records, "record")),
    }
}

fn said(stream: &StreamView) -> String {
    if let Some(end) = stream.recovered.as_ref().filter(|_| stream.synced) {
        return format!(
            "all that counts is held, verified and safe: its recovery key has ended the stream with {}",
            counted(end.size, "record")
        );
    }
    if let Some(end) = stream.ends_at.filter(|_| stream.forked && stream.synced) {
        return format!(
            "all that counts is held, verified and safe: the stream was closed with {}",
            counted(end, "record")
        );
    }
    if stream.disputed_from.is_some() && stream.synced {
        return match stream.usable_size() {
            1 => "the record that is not disputed is held, verified and safe".to_owned(),
            size => format!(
                "the {} that are not disputed are held, verified and safe",
                counted(size, "record")
            ),
        };
    }
    if stream.begin > 0 && stream.synced {
        let kept = all_are(stream.size.saturating_sub(stream.begin));
        return format!(
            "in step: from index {} on {kept} held, verified and safe; those before were dropped by \
             the stream's retention",
            stream.begin
        );
    }
    match stream.synced {
        true => format!("in step: {} held, verified and safe", all_are(stream.size)),
        false => format!("not in step: {}", lack(stream)),
    }
}

/// What keeps a stream from being in step.
fn lack(stream: &StreamView) -> String {
    let missing = missing(stream);
    match &stream.stopped {
        Some(why) => format!("{missing}; nothing is written: {}", printable(why)),
        None if stream.waits_for_room => format!(
            "{missing}; the disk, or max_disk, leaves no room for them (headwater doctor says more)"
        ),
        None => missing,
    }
}

fn missing(stream: &StreamView) -> String {
    if stream.root.is_none() {
        return "no head of the publisher has come yet".to_owned();
    }
    if stream.damaged_records > 0 {
        let damaged = counted(stream.damaged_records, "record");
        return format!("{damaged} of it were damaged on the disk, and are fetched again");
    }
    let are = |missing| if missing == 1 { "is" } else { "are" };
    match stream.missing_records {
        0 => "everything has come, and is being made safe on disk".to_owned(),
        missing if stream.ends_at.is_some() && stream.size > 0 && stream.usable_size() == 0 => {
            format!(
                "{} of the last head {} missing; what is here is of another tree",
                counted(missing, "record"),
                are(missing)
            )
        }
        missing => format!(
            "{} of {} {} missing (index {})",
            grouped(missing),
            counted(stream.counted_size(), "record"),
            are(missing),
            gaps(stream)
        ),
    }
}

/// Waits until a stream, or a part of it, is in step.
struct Waiting<'a> {
    client: &'a Client,
    part: Option<FetchView>,
    begun: Instant,
    limit: Option<Duration>,
    out: Output,
}

impl Waiting<'_> {
    async fn wait(&self, mut stream: StreamView) -> anyhow::Result<StreamView> {
        let bar = progress::records(stream.counted_size());
        bar.set_position(usable_held(&stream));
        bar.reset_eta();
        let tell = |what: &str| bar.suspend(|| self.out.note(what));
        let mut teller = Teller::new(self.begun);
        let id = stream.id.clone();
        let mut asked = 0;
        while !is_here(&stream, self.part) {
            refuse_hopeless(&stream)?;
            if self.is_over() {
                bar.finish_and_clear();
                return Err(self.gives_up(&stream));
            }
            if let Some(said) = teller.say(&stream, Instant::now()) {
                tell(&format!("{}{said}", self.company(&stream).await));
            }
            tokio::time::sleep(BACKOFF.next(&mut asked)).await;
            let left = self
                .limit
                .map(|limit| limit.saturating_sub(self.begun.elapsed()));
            let patience = Patience::new(left, &tell);
            stream = (patience.retry(self.client, async || self.client.stream(&id).await)).await?;
            show(&bar, &stream);
        }
        bar.finish_and_clear();
        refuse_forked(&stream)?;
        Ok(stream)
    }

    fn is_over(&self) -> bool {
        (self.limit).is_some_and(|limit| self.begun.elapsed() >= limit)
    }

    fn gives_up(&self, stream: &StreamView) -> anyhow::Error {
        for_now(anyhow!(
            "stream {id} is not in step after {}: {}; {}",
            duration::text(self.limit.unwrap_or_default()),
            lack(stream),
            from_whom(stream),
            id = stream.id
        ))
    }

    /// What is to be said first when nobody is connected at all.
    async fn company(&self, stream: &StreamView) -> &'static str {
        if !stream.sources.is_empty() {
            return "";
        }
        match self.client.node().await {
            Ok(node) if node.connections == 0 => "nobody is connected to this node; ",
            _ => "",
        }
    }
}

/// From whom a stream comes, as far as it decides what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Somebody who is connected has it.
    Coming,
    /// Somebody who is connected follows it, and has nothing of it either.
    NoHead,
    /// Those who are known for it are not connected.
    Unreached,
    /// Nobody is known for it.
    NobodyKnown,
}

impl Standing {
    fn of(stream: &StreamView) -> Self {
        match (stream.sources.is_empty(), stream.known_peers.is_empty()) {
            (false, _) if stream.root.is_none() => Self::NoHead,
            (false, _) => Self::Coming,
            (true, false) => Self::Unreached,
            (true, true) => Self::NobodyKnown,
        }
    }
}

/// Says why nothing comes, once it has lasted, and when that changes.
struct Teller {
    said: Standing,
    not_before: Instant,
}

impl Teller {
    /// Usually a source is there soon.
    fn new(begun: Instant) -> Self {
        Self {
            said: Standing::Coming,
            not_before: begun + SILENCE,
        }
    }

    fn say(&mut self, stream: &StreamView, now: Instant) -> Option<String> {
        let standing = Standing::of(stream);
        if standing == self.said || now < self.not_before {
            return None;
        }
        self.said = standing;
        self.not_before = now + SILENCE;
        let whom = from_whom(stream);
        Some(match standing {
            Standing::Coming => whom,
            Standing::NoHead | Standing::Unreached | Standing::NobodyKnown => {
                format!("{}; {whom}; waiting on", lack(stream))
            }
        })
    }
}

/// Whether what is waited for is held: a part of the stream, or all of it and
/// safe on disk.
fn is_here(stream: &StreamView, part: Option<FetchView>) -> bool {
    part.map_or(stream.synced, |part| {
        let (from, to) = (
            part.from.max(stream.begin),
            part.to.min(stream.counted_size()),
        );
        let usable = stream.usable_size();
        let holds = |held: &(u64, u64)| held.0 <= from && to <= held.1.min(usable);
        stream.root.is_some() && (from >= to || stream.held.iter().any(holds))
    })
}

/// How a part of a stream stands that was to be fetched first.
fn said_of(part: FetchView, stream: &StreamView) -> String {
    let to = part.to.min(stream.counted_size());
    match is_here(stream, Some(part)) {
        true if part.from >= to => "nothing lies in this range".to_owned(),
        true if to - part.from == 1 => format!("record {} is held and verified", part.from),
        true => format!(
            "the records {} to {} are held and verified",
            part.from,
            to - 1
        ),
        false => "these records are fetched before the rest".to_owned(),
    }
}

/// All that is not disputed is here, and yet the stream is not in step with its
/// publisher, who has two.
fn refuse_forked(stream: &StreamView) -> anyhow::Result<()> {
    // Where there is a last head, what is beyond it or beside it is nobody's history.
    if stream.disputed_from.is_some() && stream.ends_at.is_none() {
        bail!(
            "stream {id} will not be in step: its publisher signed two histories. All that both begin \
             with is held, verified and safe ({common}); the rest is disputed. The evidence: \
             headwater evidence show {id}",
            id = stream.id,
            common = counted(stream.usable_size(), "record")
        );
    }
    Ok(())
}

/// Records that are held and count.
fn usable_held(stream: &StreamView) -> u64 {
    let size = stream.counted_size();
    size.saturating_sub(stream.missing_records)
}

fn show(bar: &ProgressBar, stream: &StreamView) {
    bar.set_length(stream.counted_size());
    bar.set_position(usable_held(stream));
    bar.set_message(format!(
        "from {}",
        counted(stream.sources.len() as u64, "peer")
    ));
}

/// What no waiting will mend.
fn refuse_hopeless(stream: &StreamView) -> anyhow::Result<()> {
    if stream.role == RoleView::Follower && !stream.followed {
        bail!(
            "stream {id} is not followed; follow it with: headwater follow {id}",
            id = stream.id
        );
    }
    if stream.role == RoleView::Publisher && stream.usable_size() < stream.counted_size() {
        bail!(
            "stream {id} will not be in step here: this node has published it, and takes nothing of it \
             from others; {missing}. Follow it from another node",
            id = stream.id,
            missing = missing(stream)
        );
    }
    Ok(())
}

fn from_whom(stream: &StreamView) -> String {
    match (stream.sources.as_slice(), stream.known_peers.as_slice()) {
        ([], []) => "no peer that has it is known; follow it again by an invite".to_owned(),
        ([], known) => format!(
            "none of the peers that are known for it can be reached: {}",
            known.join(", ")
        ),
        (sources, _) => format!("it comes from {}", sources.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::tests::stream;
    use super::*;

    #[test]
    fn a_part_is_here_when_all_of_it_that_is_kept_and_not_disputed_is_held() {
        let mut stream = stream();
        stream.held = vec![(0, 256), (512, 8_000)];
        let here = |stream: &StreamView, from, to| is_here(stream, Some(FetchView { from, to }));
        // Without a head nobody knows what there is.
        assert!(!here(&stream, 0, 256));
        stream.root = Some("00".to_owned());
        assert!(here(&stream, 0, 256) && here(&stream, 600, 700));
        assert!(!here(&stream, 0, 257) && !here(&stream, 7_000, 9_000));
        stream.begin = 512;
        assert!(here(&stream, 100, 700) && here(&stream, 100, 200));
        stream.disputed_from = Some(8_000);
        assert!(here(&stream, 7_000, u64::MAX));
        let said = |from, to| said_of(FetchView { from, to }, &stream);
        assert_eq!(
            said(600, 700),
            "the records 600 to 699 are held and verified"
        );
        assert_eq!(said(9_000, 9_500), "nothing lies in this range");
        stream.held.clear();
        assert!(!here(&stream, 600, 700));
    }

    #[test]
    fn what_is_missing_and_from_whom_is_told() {
        let mut stream = stream();
        assert_eq!(lack(&stream), "no head of the publisher has come yet");
        stream.root = Some("00".to_owned());
        assert_eq!(
            lack(&stream),
            "1,015 of 8,759 records are missing (index 256 to 511, 8000 to 8758)"
        );
        assert_eq!(from_whom(&stream), "it comes from 12D3KooW");
        stream.sources.clear();
        assert!(from_whom(&stream).contains("no peer that has it is known"));
        stream.known_peers.push("/ip4/192.0.2.1/tcp/1".to_owned());
        assert!(from_whom(&stream).contains("can be reached: /ip4/192.0.2.1/tcp/1"));
        // Of a forked stream only what both histories begin with is waited for.
        stream.disputed_from = Some(600);
        stream.missing_records = 256;
        assert_eq!(
            lack(&stream),
            "256 of 600 records are missing (index 256 to 511)"
        );
        assert_eq!(usable_held(&stream), 344);
    }

    #[test]
    fn a_stream_whose_last_head_is_not_here_is_not_in_step() {
        let mut stream = stream();
        stream.root = Some("00".to_owned());
        stream.ends_at = Some(9_000);
        stream.missing_records = 1_256;
        assert_eq!(
            said(&stream),
            "not in step: 1,256 of 9,000 records are missing (index 256 to 511, 8000 to 8999)"
        );
        stream.disputed_from = Some(0);
        stream.missing_records = 9_000;
        assert_eq!(
            said(&stream),
            "not in step: 9,000 records of the last head are missing; what is here is of another tree"
        );
        let part = Some(FetchView { from: 0, to: 256 });
        assert!(!is_here(&stream, part) && refuse_hopeless(&stream).is_ok());
        stream.role = RoleView::Publisher;
        let why = refuse_hopeless(&stream).unwrap_err().to_string();
        assert!(why.contains("Follow it from another node"), "{why}");
    }

    #[test]
    fn waiting_ends_at_once_where_it_is_hopeless() {
        let mut stream = stream();
        assert!(refuse_hopeless(&stream).is_ok());
        stream.followed = false;
        assert!(
            refuse_hopeless(&stream)
                .unwrap_err()
                .to_string()
                .contains("headwater follow")
        );
        stream.forked = true;
        assert!(refuse_forked(&stream).is_ok());
        stream.disputed_from = Some(3);
        assert!(
            refuse_forked(&stream)
                .unwrap_err()
                .to_string()
                .contains("two histories")
        );
    }
}
