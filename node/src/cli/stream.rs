//! `stream create`, `list`, `peers`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use headwater_client::types::{NewStream, RoleView, StreamView, ValueTypeView};

use super::close::{CloseArgs, close};
use super::columns::{self, Columns};
use super::delete::{DeleteArgs, delete};
use super::discover::{DiscoverArgs, discover};
use super::follow::{FollowArgs, UnfollowArgs, follow, unfollow};
use super::gaps::GapsArgs;
use super::namesakes::say_lookalikes;
use super::output::{Align, Output, Table, bytes, grouped, short, signed_ago};
use super::recover::{RecoverArgs, recover};
use super::reopen::{ReopenArgs, reopen};
use super::show::{ShowArgs, show};
use super::standing::{name_of, state};
use super::terms::TermsArgs;
use super::{Invocation, duration};

#[derive(Debug, Subcommand)]
pub(crate) enum StreamCommand {
    Create(Box<CreateArgs>),
    List(ListArgs),
    Show(ShowArgs),
    Follow(FollowArgs),
    Unfollow(UnfollowArgs),
    Discover(DiscoverArgs),
    Delete(DeleteArgs),
    Close(CloseArgs),
    Peers(StreamPeersArgs),
    Gaps(GapsArgs),
    Reopen(ReopenArgs),
    Recover(Box<RecoverArgs>),
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
    /// What the values are: number, text, json, bytes [default: number]
    #[arg(long, value_name = "TYPE", value_parser = value_types(), conflicts_with = "columns")]
    value_type: Option<ValueTypeView>,
    /// The columns of a stream whose records are rows, such as
    /// 'temperature:number:°C,sky:text': names, types (number, integer, text, bool, time,
    /// json, bytes), and units if they have some
    #[arg(long, value_name = "NAME:TYPE[:UNIT],…", value_parser = columns::parse)]
    columns: Option<Columns>,
    /// The same, as a CSV file has them (names, and types that fit all rows), as a
    /// Parquet file says them, or as a list in JSON:
    /// [{"name":…,"type":…,"unit":…,"description":…}]. They are shown before anything
    /// is signed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["columns", "value_type"])]
    columns_from: Option<PathBuf>,
    /// The column of that file that has the times [default: the first that has one in
    /// each row]
    #[arg(long, value_name = "T", requires = "columns_from")]
    time_column: Option<String>,
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
    #[command(flatten)]
    terms: TermsArgs,
}

/// List the streams that this node knows
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Show what each takes on the disk, about
    #[arg(long)]
    disk: bool,
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
        StreamCommand::Create(args) => create(invocation, *args).await,
        StreamCommand::List(args) => list(invocation, &args).await,
        StreamCommand::Show(args) => show(invocation, &args).await,
        StreamCommand::Follow(args) => follow(invocation, &args).await,
        StreamCommand::Unfollow(args) => unfollow(invocation, &args).await,
        StreamCommand::Discover(args) => discover(invocation, &args).await,
        StreamCommand::Delete(args) => delete(invocation, &args).await,
        StreamCommand::Close(args) => close(invocation, &args).await,
        StreamCommand::Peers(args) => peers(invocation, &args).await,
        StreamCommand::Gaps(args) => super::gaps::gaps(invocation, &args).await,
        StreamCommand::Reopen(args) => reopen(invocation, &args).await,
        StreamCommand::Recover(args) => recover(invocation, *args).await,
    }
}

async fn create(invocation: &Invocation, args: CreateArgs) -> anyhow::Result<()> {
    let micros = |duration: Option<Duration>| {
        let us = duration.map_or(0, |duration| duration.as_micros());
        u64::try_from(us).unwrap_or(u64::MAX)
    };
    let columns = match (&args.columns_from, args.columns) {
        (Some(file), _) => {
            columns::from_file(invocation, file, args.time_column.as_deref()).await?
        }
        (None, said) => said.map_or_else(Vec::new, |columns| columns.0),
    };
    let stream = NewStream {
        name: args.name,
        description: args.description,
        source: args.source,
        unit: args.unit,
        value_type: args.value_type,
        columns,
        cadence_us: micros(args.cadence),
        chunk_level: args.chunk_level,
        target: args.target,
        retain_age_us: micros(args.retain_age),
        retain_records: args.retain_records.unwrap_or(0),
        latest_only: args.latest_only,
        ..args.terms.into_new()?
    };
    let created = invocation
        .with_client(async |client| {
            let created = client.create(&stream, args.if_not_exists).await?;
            // It is there, whether or not more is known of it.
            if let Ok(made) = client.stream(&created.id).await {
                say_lookalikes(invocation.out, &made);
            }
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
            true => Ok(client.streams_on_disk().await?),
            false => Ok(client.streams().await?),
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

fn role(stream: &StreamView) -> &'static str {
    match stream.role {
        RoleView::Publisher => "publisher",
        RoleView::Follower => "follower",
    }
}

async fn peers(invocation: &Invocation, args: &StreamPeersArgs) -> anyhow::Result<()> {
    let peers = invocation
        .with_client(async |client| {
            client.require_network("stream peers")?;
            Ok(client.stream_peers(&args.stream).await?)
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use headwater_client::types::{LagView, ManifestView};

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
            manifest: ManifestView::default(),
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
            recovered: None,
            closed: false,
            successor: None,
            ends_at: None,
            forked: false,
            disputed_from: None,
            reopening: None,
            recovering: None,
            known_followers: 0,
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
}
