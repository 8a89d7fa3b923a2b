//! `stream create`, `list`, `show`.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::delete::{DeleteArgs, delete};
use super::discover::{DiscoverArgs, discover};
use super::follow::{FollowArgs, UnfollowArgs, follow, unfollow};
use super::gaps::GapsArgs;
use super::output::{
    Align, Output, Table, bytes, counted, grouped, printable, short, signed_ago, span,
};
use super::recover::{RecoverArgs, recover};
use super::{Invocation, duration};
use crate::api::types::{NewStream, RecoveryView, RoleView, StreamView, ValueTypeView};

#[derive(Debug, Subcommand)]
pub(crate) enum StreamCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Follow(FollowArgs),
    Unfollow(UnfollowArgs),
    Discover(DiscoverArgs),
    Delete(DeleteArgs),
    Peers(StreamPeersArgs),
    Gaps(GapsArgs),
    Recover(RecoverArgs),
}

/// Create a stream that this node publishes; its id is printed
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// A short name, which no other stream of this node has
    name: String,
    /// If this node has a stream of this name that is as this one would be, print
    /// its id; what is not said of it does not matter
    #[arg(long)]
    if_not_exists: bool,
    /// What the values are: number, text, json, bytes
    #[arg(long, value_name = "TYPE", default_value = "number", value_parser = value_types())]
    value_type: ValueTypeView,
    /// The unit of the values
    #[arg(long, default_value = "", hide_default_value = true)]
    unit: String,
    /// What a reader should know
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// Where the values come from
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    source: String,
    /// The stream that this one predicts: id, part of it, name, or invite
    #[arg(long, value_name = "S")]
    target: Option<String>,
    /// The usual time between two observations, such as 1h
    #[arg(long, value_name = "D", value_parser = duration::parse_positive)]
    cadence: Option<Duration>,
    /// A chunk is 2^K records, and a value at most 1 MiB / 2^K [default: 8]
    #[arg(long, value_name = "K")]
    chunk_level: Option<u8>,
    /// Everybody drops observations that are older, in whole chunks, such as 30d
    #[arg(long, value_name = "D", value_parser = duration::parse_positive)]
    retain_age: Option<Duration>,
    /// Everybody keeps this many of the latest observations, and drops whole
    /// chunks before them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    retain_records: Option<u64>,
    /// Keep the latest observation only: a value that changes [chunk level: 0]
    #[arg(long, conflicts_with = "retain_records")]
    latest_only: bool,
}

/// List the streams that this node knows
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Show what each takes on the disk, about
    #[arg(long)]
    disk: bool,
}

/// Show all that is known of a stream, and the invite for other machines
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The stream: id, part of it, or name
    stream: String,
}

/// List the peers that have a stream or follow it, its publisher first
#[derive(Args, Debug)]
pub(crate) struct StreamPeersArgs {
    /// The stream: id, part of it, or name
    stream: String,
}

pub(super) fn value_types() -> impl TypedValueParser<Value = ValueTypeView> {
    PossibleValuesParser::new(["number", "text", "json", "bytes"]).map(|name| match &*name {
        "text" => ValueTypeView::Text,
        "json" => ValueTypeView::Json,
        "bytes" => ValueTypeView::Bytes,
        _ => ValueTypeView::Number,
    })
}

pub(super) async fn dispatch(
    invocation: &Invocation,
    command: StreamCommand,
) -> anyhow::Result<()> {
    match command {
        StreamCommand::Create(args) => create(invocation, args).await,
        StreamCommand::List(args) => list(invocation, &args).await,
        StreamCommand::Show(args) => show(invocation, &args).await,
        StreamCommand::Follow(args) => follow(invocation, &args).await,
        StreamCommand::Unfollow(args) => unfollow(invocation, &args).await,
        StreamCommand::Discover(args) => discover(invocation, &args).await,
        StreamCommand::Delete(args) => delete(invocation, &args).await,
        StreamCommand::Peers(args) => peers(invocation, &args).await,
        StreamCommand::Gaps(args) => super::gaps::gaps(invocation, &args).await,
        StreamCommand::Recover(args) => recover(invocation, &args).await,
    }
}

async fn create(invocation: &Invocation, args: CreateArgs) -> anyhow::Result<()> {
    let micros = |duration: Option<Duration>| {
        let us = duration.map_or(0, |duration| duration.as_micros());
        u64::try_from(us).unwrap_or(u64::MAX)
    };
    let stream = NewStream {
        name: args.name,
        description: args.description,
        source: args.source,
        unit: args.unit,
        value_type: Some(args.value_type),
        cadence_us: micros(args.cadence),
        chunk_level: args.chunk_level,
        target: args.target,
        retain_age_us: micros(args.retain_age),
        retain_records: args.retain_records.unwrap_or(0),
        latest_only: args.latest_only,
        ..NewStream::default()
    };
    let created = invocation
        .with_client(async |client| {
            let created = client.create(&stream, args.if_not_exists).await?;
            let made = client.stream(&created.id).await?;
            say_lookalikes(invocation.out, &made);
            Ok(created)
        })
        .await?;
    let out = invocation.out;
    match out.json {
        true => out.json(&created),
        false => out.line(created.id),
    }
}

pub(super) async fn list(invocation: &Invocation, args: &ListArgs) -> anyhow::Result<()> {
    let streams = invocation
        .with_client(async |client| match args.disk {
            true => client.streams_on_disk().await,
            false => client.streams().await,
        })
        .await?;
    let out = invocation.out;
    if out.json {
        return streams.iter().try_for_each(|stream| out.json(stream));
    }
    if streams.is_empty() {
        out.note(
            "no streams yet; create one with `headwater stream create NAME`, or follow one with \
             `headwater follow INVITE`",
        );
        return Ok(());
    }
    table(&streams, out)
        .lines(out)
        .into_iter()
        .try_for_each(|line| out.line(line))
}

/// Streams at a glance.
pub(super) fn table(streams: &[StreamView], out: Output) -> Table {
    let with_disk = streams.iter().any(|stream| stream.disk_bytes.is_some());
    let with_alias = streams.iter().any(|stream| stream.alias.is_some());
    let predictions = streams.iter().any(|stream| stream.target.is_some());
    let mut columns = vec![
        ("NAME", Align::Cut),
        ("ID", Align::Left),
        ("ROLE", Align::Left),
        ("SIZE", Align::Right),
        ("HELD", Align::Right),
        ("LAG", Align::Right),
        ("HEAD", Align::Right),
        ("STATE", Align::Left),
    ];
    if with_disk {
        columns.insert(5, ("DISK", Align::Right));
    }
    if with_alias {
        columns.insert(0, ("ALIAS", Align::Cut));
    }
    if predictions {
        columns.push(("PREDICTS", Align::Cut));
    }
    let mut table = Table::new(&columns);
    for stream in streams {
        let target = stream.target.as_deref().map_or_else(String::new, |target| {
            let known = streams.iter().find(|known| known.id == target);
            known.map_or_else(|| short(target).to_owned(), name_of)
        });
        let mut cells = vec![
            name_of(stream),
            short(&stream.id).to_owned(),
            role(stream).to_owned(),
            grouped(stream.size),
            grouped(stream.held_records),
            grouped(stream.missing_records),
            stream
                .head_age_ms
                .map_or_else(|| "none yet".to_owned(), signed_ago),
            state(stream, out),
        ];
        if with_disk {
            cells.insert(5, stream.disk_bytes.map_or_else(String::new, bytes));
        }
        if with_alias {
            cells.insert(0, stream.alias.clone().unwrap_or_default());
        }
        table.row(cells.into_iter().chain(predictions.then_some(target)));
    }
    table
}

fn name_of(stream: &StreamView) -> String {
    match stream.name.is_empty() {
        true => "(not known yet)".to_owned(),
        false => printable(&stream.name),
    }
}

fn role(stream: &StreamView) -> &'static str {
    match stream.role {
        RoleView::Publisher => "publisher",
        RoleView::Follower => "follower",
    }
}

/// How a stream stands, in a word.
pub(super) fn state(stream: &StreamView, out: Output) -> String {
    if stream.forked {
        out.bad("forked")
    } else if stream.closed.is_some() {
        out.bad("closed")
    } else if stream.stopped.is_some() {
        out.bad("stopped")
    } else if stream.recovering.is_some() {
        out.bad("recovering")
    } else if stream.synced {
        out.good("synced")
    } else if stream.waits_for_room {
        out.bad("no room")
    } else if stream.role == RoleView::Follower && !stream.followed {
        "not followed".to_owned()
    } else if stream.sources.is_empty() {
        "no source".to_owned()
    } else {
        "syncing".to_owned()
    }
}

pub(super) async fn show(invocation: &Invocation, args: &ShowArgs) -> anyhow::Result<()> {
    let stream = invocation
        .with_client(async |client| client.stream(&args.stream).await)
        .await?;
    let out = invocation.out;
    say_namesakes(out, &args.stream, &stream);
    if out.json {
        return out.json(&stream);
    }
    out.line(out.bold(&name_of(&stream)))?;
    for (label, text) in described(&stream).into_iter().chain(standing(&stream, out)) {
        out.line(format!("  {} {text}", out.dim(&format!("{label:<12}"))))?;
    }
    out.line("To follow it on another machine:")?;
    // Quoted, because a shell would take `&` for an end.
    out.line(format!("  headwater follow '{}'", stream.invite))
}

/// Says which other streams have names that look like the one of this stream.
pub(super) fn say_lookalikes(out: Output, stream: &StreamView) {
    let others: Vec<&str> = stream.lookalikes.iter().map(|id| short(id)).collect();
    if !others.is_empty() {
        out.note(format!(
            "the name of {} looks like that of {}, written with other characters; the ids tell them apart",
            short(&stream.id),
            others.join(", ")
        ));
    }
}

/// Says whose stream was meant by a name that several have.
pub(super) fn say_namesakes(out: Output, text: &str, stream: &StreamView) {
    say_lookalikes(out, stream);
    let others: Vec<&str> = stream.namesakes.iter().map(|id| short(id)).collect();
    let whose = match (stream.role, &stream.alias) {
        _ if others.is_empty() => return,
        (_, Some(alias)) if alias == text => "the one that has this alias",
        (RoleView::Publisher, _) => "this node's own",
        (RoleView::Follower, _) => "the one",
    };
    out.note(format!(
        "`{}` is {}, {whose}; {} the name, too, and {} named by the id: {}",
        printable(text),
        short(&stream.id),
        match others.len() {
            1 => "another stream has".to_owned(),
            number => format!("{number} others have"),
        },
        if others.len() == 1 { "is" } else { "are" },
        others.join(", ")
    ));
}

async fn peers(invocation: &Invocation, args: &StreamPeersArgs) -> anyhow::Result<()> {
    let peers = invocation
        .with_client(async |client| {
            client.require_network("stream peers")?;
            client.stream_peers(&args.stream).await
        })
        .await?;
    let out = invocation.out;
    if out.json {
        return peers.iter().try_for_each(|peer| out.json(peer));
    }
    if peers.is_empty() {
        out.note("no peer of this stream is known yet");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("PEER", Align::Left),
        ("ROLE", Align::Left),
        ("CONNECTED", Align::Left),
        ("SOURCE", Align::Left),
        ("ADDRESS", Align::Left),
    ]);
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    for peer in peers {
        table.row([
            peer.peer_id,
            if peer.publisher { "publisher" } else { "" }.to_owned(),
            yes(peer.connected),
            yes(peer.source),
            peer.addresses.join(" "),
        ]);
    }
    let mut lines = table.lines(out).into_iter();
    lines.try_for_each(|line| out.line(line))
}

type Line = (&'static str, String);

/// What never changes.
fn described(stream: &StreamView) -> Vec<Line> {
    let mut lines = vec![("id", stream.id.clone())];
    lines.extend(stream.alias.clone().map(|alias| ("alias", alias)));
    lines.extend(
        stream
            .publisher
            .clone()
            .map(|publisher| ("publisher", publisher)),
    );
    for (label, text) in [
        ("description", &stream.description),
        ("source", &stream.source),
        ("unit", &stream.unit),
    ] {
        if !text.is_empty() {
            lines.push((label, printable(text)));
        }
    }
    if let (Some(value_type), Some(level)) = (stream.value_type, stream.chunk_level) {
        let kind = match value_type {
            ValueTypeView::Number => "number",
            ValueTypeView::Text => "text",
            ValueTypeView::Json => "json",
            ValueTypeView::Bytes => "bytes",
        };
        let chunk = counted(1_u64.checked_shl(level.into()).unwrap_or(0), "record");
        lines.push(("values", format!("{kind}, in chunks of {chunk}")));
    }
    let cadence = stream.cadence_us.map(Duration::from_micros);
    lines.extend(cadence.map(|cadence| ("cadence", duration::text(cadence))));
    lines.extend(retention(stream).map(|what| ("keeps", what)));
    lines.extend(stream.target.clone().map(|target| ("predicts", target)));
    lines.extend(stream.prior.clone().map(|prior| ("continues", prior)));
    lines.extend(stream.created.clone().map(|created| ("created", created)));
    lines
}

/// What is kept of it, if not everything.
fn retention(stream: &StreamView) -> Option<String> {
    let records = stream.retain_records.map(|records| match records {
        1 => "the latest record".to_owned(),
        records => format!("the latest {}", counted(records, "record")),
    });
    let age = stream.retain_age_us.map(Duration::from_micros);
    let age = age.map(|age| format!("records of the last {}", duration::text(age)));
    match (records, age) {
        (Some(records), Some(age)) => Some(format!("{records}, and of these {age}")),
        (records, age) => records.or(age),
    }
}

/// How it stands now.
fn standing(stream: &StreamView, out: Output) -> Vec<Line> {
    let followed = match (stream.role, stream.followed) {
        (RoleView::Publisher, _) => "this node publishes it".to_owned(),
        (RoleView::Follower, true) => "this node follows it".to_owned(),
        (RoleView::Follower, false) => "this node does not follow it".to_owned(),
    };
    let mut lines = vec![
        ("role", followed),
        ("state", state(stream, out)),
        ("size", counted(stream.size, "record")),
        ("held", held(stream)),
        ("records", bytes(stream.record_bytes)),
    ];
    if stream.role == RoleView::Follower {
        lines.insert(4, ("lag", lag(stream)));
    }
    let on_disk = stream.disk_bytes.map(bytes);
    lines.extend(on_disk.map(|bytes| ("disk", format!("about {bytes}"))));
    if stream.waits_for_room {
        let what = "the disk, or max_disk, leaves no room for what is missing; make room, delete \
                    streams, or allow more";
        lines.push(("no room", out.bad(what)));
    }
    lines.extend(stream.root.clone().map(|root| ("root", root)));
    if let (Some(time), Some(age_ms)) = (&stream.head_time, stream.head_age_ms) {
        lines.push(("head", format!("signed {time} ({})", signed_ago(age_ms))));
    }
    lines.extend(
        stream
            .sources
            .iter()
            .map(|source| ("source", source.clone())),
    );
    lines.extend(
        stream
            .known_peers
            .iter()
            .map(|peer| ("known peer", printable(peer))),
    );
    if stream.forked {
        let what = "the publisher signed two histories; nothing more is taken from it";
        lines.push(("forked", out.bad(what)));
        let show = format!("headwater evidence show {}", stream.id);
        lines.push(("evidence", show));
    }
    if let Some(from) = stream.disputed_from {
        lines.push(("disputed", out.bad(&disputed(from, stream.size))));
    }
    lines.extend(
        stream
            .closed
            .as_ref()
            .map(|why| ("closed", out.bad(&printable(why)))),
    );
    let stopped = stream.stopped.as_ref().zip(stream.stopped_since.as_ref());
    lines.extend(stopped.map(|(why, since)| {
        let why = printable(why);
        let text = format!("since {since}: {why}; it goes on by itself when the disk works again");
        ("stopped", out.bad(&text))
    }));
    let recovering = stream.recovering.as_ref();
    lines.extend(recovering.map(|why| ("recovering", out.bad(&printable(why)))));
    if let Some(recovery) = &stream.recovery {
        lines.extend(recovery_lines(recovery));
    }
    lines
}

/// What was signed of a stream that is recovered, and what peers say of it.
pub(super) fn recovery_lines(recovery: &RecoveryView) -> Vec<(&'static str, String)> {
    let signed = recovery.signed_size.zip(recovery.signed_time.as_ref());
    let signed = signed.map(|(size, time)| {
        let records = counted(size, "record");
        ("signed here", format!("{records}, the last at {time}"))
    });
    let answers = recovery.answers.iter().map(|answer| {
        let records = counted(answer.size, "record");
        let word = match answer.counts {
            true => "counts",
            false => "does not count",
        };
        let (peer, time) = (&answer.peer_id, &answer.signed);
        (
            "answer",
            format!("{peer} has {records}, signed {time} ({word})"),
        )
    });
    signed.into_iter().chain(answers).collect()
}

/// Which records are disputed.
pub(super) fn disputed(from: u64, size: u64) -> String {
    match size.checked_sub(from) {
        None | Some(0) => format!("everything from index {from} on"),
        Some(count) => format!(
            "{} from index {from} on; those before are in both histories",
            counted(count, "record")
        ),
    }
}

fn held(stream: &StreamView) -> String {
    let count = counted(stream.held_records, "record");
    let count = match stream.begin {
        0 => count,
        begin => format!("{count} from index {begin} on; those before were dropped"),
    };
    match stream.missing_records {
        0 => count,
        missing => format!("{count}, {} missing", grouped(missing)),
    }
}

/// How far the stream is behind its sources.
fn lag(stream: &StreamView) -> String {
    let lag = &stream.lag;
    let behind = match (lag.records, lag.ms) {
        (0, _) => "none".to_owned(),
        (records, Some(ms)) if ms > 0 => {
            format!("{}, {}", counted(records, "record"), span(ms))
        }
        (records, _) => counted(records, "record"),
    };
    match stream.sources.len() {
        0 => behind,
        sources => format!(
            "{behind}; in step with {} of {}, {} complete",
            lag.synced_sources,
            counted(sources as u64, "source"),
            lag.full_sources
        ),
    }
}

/// Indexes that are not held, the first few intervals of them. What is disputed
/// is not waited for.
pub(super) fn gaps(stream: &StreamView) -> String {
    const LISTED: usize = 3;
    let mut gaps = Vec::new();
    let size = stream.usable_size();
    let mut at = stream.begin.min(size);
    for (from, to) in stream.held.iter().copied().chain([(size, size)]) {
        let from = from.min(size);
        if at < from {
            gaps.push(format!("{at} to {}", from - 1));
        }
        at = at.max(to);
    }
    let more = if gaps.len() > LISTED { ", …" } else { "" };
    gaps.truncate(LISTED);
    gaps.join(", ") + more
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::types::LagView;

    pub(crate) fn stream() -> StreamView {
        StreamView {
            id: "bafkreif2pall7dybz7vecqka3zo24irdwabwdi4wc55jznaq75q7eaavvu".to_owned(),
            name: "wind".to_owned(),
            alias: None,
            namesakes: Vec::new(),
            lookalikes: Vec::new(),
            publisher: None,
            description: "at\x1b[2J the pier".to_owned(),
            source: String::new(),
            unit: "m/s".to_owned(),
            value_type: Some(ValueTypeView::Number),
            cadence_us: Some(3_600_000_000),
            chunk_level: Some(8),
            target: None,
            prior: None,
            created: None,
            role: RoleView::Follower,
            followed: true,
            size: 8_759,
            root: None,
            head_time: None,
            head_age_ms: Some(3_000),
            clock_ahead_ms: None,
            holds_back: false,
            held: vec![(0, 256), (512, 8_000)],
            held_records: 7_744,
            retain_age_us: None,
            retain_records: None,
            begin: 0,
            missing_records: 1_015,
            synced: false,
            lag: LagView {
                records: 1_020,
                ms: Some(65_000),
                synced_sources: 0,
                full_sources: 1,
            },
            record_bytes: 210_944,
            disk_bytes: None,
            waits_for_room: false,
            damaged_records: 0,
            served_records: 0,
            sources: vec!["12D3KooW".to_owned()],
            known_peers: Vec::new(),
            invite: "headwater:x".to_owned(),
            forked: false,
            disputed_from: None,
            recovering: None,
            recovery: None,
            known_followers: 0,
            closed: None,
            stopped: None,
            stopped_since: None,
        }
    }

    #[test]
    fn streams_are_listed_in_one_line_each() {
        let out = Output::new(false);
        let lines = table(&[stream()], out).lines(out);
        assert_eq!(lines.len(), 2);
        assert!(
            lines[1].starts_with("wind  5q7eaavvu"[..6].trim_end()),
            "{}",
            lines[1]
        );
        assert!(
            lines[1].contains("8,759")
                && lines[1].contains("1,015")
                && lines[1].ends_with("syncing")
        );
    }

    #[test]
    fn a_stream_of_predictions_says_of_what() {
        let out = Output::new(false);
        let mut predictions = stream();
        predictions.id = "bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned();
        predictions.target = Some(stream().id);
        let lines = table(&[stream(), predictions.clone()], out).lines(out);
        assert!(lines[0].ends_with("PREDICTS"), "{}", lines[0]);
        assert!(lines[1].ends_with("syncing"), "{}", lines[1]);
        assert!(lines[2].ends_with("wind"), "{}", lines[2]);
        let alone = table(&[predictions], out).lines(out);
        assert!(alone[1].ends_with(short(&stream().id)), "{}", alone[1]);
    }

    #[test]
    fn what_others_wrote_is_shown_without_what_a_terminal_obeys() {
        let lines = described(&stream());
        assert!(lines.contains(&("description", "at\\u{1b}[2J the pier".to_owned())));
        assert!(lines.contains(&("values", "number, in chunks of 256 records".to_owned())));
        assert!(lines.contains(&("cadence", "1h".to_owned())));
    }

    #[test]
    fn the_lag_is_told_in_records_time_and_sources() {
        let mut stream = stream();
        assert_eq!(
            lag(&stream),
            "1,020 records, 65 s; in step with 0 of 1 source, 1 complete"
        );
        stream.lag = LagView {
            ms: Some(0),
            synced_sources: 1,
            full_sources: 1,
            records: 0,
        };
        assert_eq!(lag(&stream), "none; in step with 1 of 1 source, 1 complete");
        stream.sources.clear();
        assert_eq!(lag(&stream), "none");
    }

    #[test]
    fn what_is_missing_is_told_by_its_indexes() {
        let mut stream = stream();
        assert_eq!(gaps(&stream), "256 to 511, 8000 to 8758");
        stream.held = (0..10).map(|i| (2 * i + 1, 2 * i + 2)).collect();
        assert_eq!(gaps(&stream), "0 to 0, 2 to 2, 4 to 4, …");
        stream.held = vec![(0, 8_759)];
        assert_eq!(gaps(&stream), "");
        stream.held = vec![(0, 50), (120, 150)];
        stream.disputed_from = Some(100);
        assert_eq!(gaps(&stream), "50 to 99");
    }
}
