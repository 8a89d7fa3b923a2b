//! `evidence`: publishers that signed two histories of one stream.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use headwater_client::proof::{ProvedFork, verify_evidence};
use headwater_client::times::text::to_text;
use headwater_client::types::{EvidenceFile, EvidenceView};
use serde::Serialize;

use super::Invocation;
use super::output::{Align, Output, Table, counted, grouped, printable, short, shown_path};
use super::target_file::Target;
use super::verify::{read, stream_id};

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    List(EvidenceListArgs),
    Show(EvidenceShowArgs),
    Verify(EvidenceVerifyArgs),
}

/// List the streams whose publisher signed two histories
#[derive(Args, Debug)]
pub(crate) struct EvidenceListArgs {}

/// Show the evidence against the publisher of a stream, or write it to a file
#[derive(Args, Debug)]
#[command(
    after_help = "Whoever has the file can check it, with nothing else: headwater evidence verify FILE"
)]
pub(crate) struct EvidenceShowArgs {
    /// The stream: id, part of it, or name
    stream: String,
    /// The file to write (- for stdout)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Check an evidence file; no node and no network is needed
#[derive(Args, Debug)]
pub(crate) struct EvidenceVerifyArgs {
    /// The evidence file (- for stdin)
    file: PathBuf,
    /// The id of the stream that it must be about
    #[arg(long, value_name = "ID")]
    stream: Option<String>,
}

pub(super) async fn dispatch(
    invocation: &Invocation,
    command: EvidenceCommand,
) -> anyhow::Result<()> {
    match command {
        EvidenceCommand::List(args) => list(invocation, &args).await,
        EvidenceCommand::Show(args) => show(invocation, &args).await,
        EvidenceCommand::Verify(args) => verify(invocation, &args),
    }
}

async fn list(invocation: &Invocation, _args: &EvidenceListArgs) -> anyhow::Result<()> {
    let all = invocation
        .with_client(async |client| Ok(client.evidence().await?))
        .await?;
    let out = invocation.out;
    if out.json {
        return all.iter().try_for_each(|one| out.json(one));
    }
    if all.is_empty() {
        out.note("no publisher of a stream here is known to have signed two histories");
        return Ok(());
    }
    let lines = table(&all).lines(out);
    lines.into_iter().try_for_each(|line| out.line(line))
}

fn table(all: &[EvidenceView]) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Cut),
        ("ID", Align::Left),
        ("PUBLISHER", Align::Left),
        ("SIZES", Align::Right),
        ("DISPUTED FROM", Align::Right),
    ]);
    for one in all {
        table.row([
            printable(&one.name),
            short(&one.stream).to_owned(),
            one.publisher.clone(),
            format!(
                "{} and {}",
                grouped(one.first_size),
                grouped(one.second_size)
            ),
            one.disputed_from.to_string(),
        ]);
    }
    table
}

async fn show(invocation: &Invocation, args: &EvidenceShowArgs) -> anyhow::Result<()> {
    let file: EvidenceFile = invocation
        .with_client(async |client| Ok(client.evidence_of(&args.stream).await?))
        .await?;
    let mut json = serde_json::to_vec_pretty(&file)?;
    json.push(b'\n');
    let out = invocation.out;
    let Some(path) = &args.output else {
        if out.json {
            return out.json(&file);
        }
        // What is shown is what the file proves, and nothing else.
        let proved = verify_evidence(&String::from_utf8_lossy(&json), None)?;
        return say(&Shown::of(&proved), out);
    };
    let mut target = Target::open(Some(path))?;
    target.write(&json)?;
    target.finish()?;
    if path.as_os_str() == "-" {
        return Ok(());
    }
    match out.json {
        true => out.json(&Written {
            file: path.display().to_string(),
        }),
        false => out.line(format!("wrote {}", shown_path(path))),
    }
}

/// What `show --json` prints when there is a file.
#[derive(Serialize)]
struct Written {
    file: String,
}

fn verify(invocation: &Invocation, args: &EvidenceVerifyArgs) -> anyhow::Result<()> {
    let expected = args.stream.as_deref().map(stream_id).transpose()?;
    let file = args.file.display();
    let json = read(&args.file).with_context(|| format!("cannot read {file}"))?;
    let proved =
        verify_evidence(&json, expected).with_context(|| format!("{file} proves nothing"))?;
    let shown = Shown::of(&proved);
    let out = invocation.out;
    match out.json {
        true => out.json(&shown),
        false => say(&shown, out),
    }
}

/// What `verify --json` prints.
#[derive(Serialize)]
struct Shown {
    verified: bool,
    stream: String,
    name: String,
    publisher: String,
    first: ShownHead,
    second: ShownHead,
    /// Records that both begin with; absent where nobody has found it out.
    common_size: Option<u64>,
}

#[derive(Serialize)]
struct ShownHead {
    size: u64,
    root: String,
    time: String,
    /// Whether it closes the stream.
    closed: bool,
    /// Id of the stream that continues it, if it says so.
    successor: Option<String>,
}

impl Shown {
    fn of(proved: &ProvedFork) -> Self {
        let head = |head: &headwater_protocols::head::SignedHead| ShownHead {
            size: head.size,
            root: head.root.to_string(),
            time: to_text(head.time),
            closed: head.closing.is_some(),
            successor: (head.closing)
                .and_then(|closing| closing.successor)
                .map(|log| log.to_string()),
        };
        Self {
            verified: true,
            stream: proved.manifest.stream().to_string(),
            name: proved.manifest.name.clone(),
            publisher: proved.manifest.publisher.peer_id().to_string(),
            first: head(&proved.fork.smaller),
            second: head(&proved.fork.larger),
            common_size: proved.common_size(),
        }
    }
}

fn say(shown: &Shown, out: Output) -> anyhow::Result<()> {
    let line = |label: &str, text: &str| {
        out.line(format!("  {} {text}", out.dim(&format!("{label:<10}"))))
    };
    // Of one that went on, the trees may show nothing.
    let what = match shown.first.closed {
        true => "the publisher closed this stream, and signed something else of it besides",
        false => "the publisher signed two histories of this stream",
    };
    out.line(out.bad(what))?;
    line("publisher", &shown.publisher)?;
    line("stream", &shown.stream)?;
    line("name", &printable(&shown.name))?;
    for (label, head) in [("first", &shown.first), ("second", &shown.second)] {
        let size = counted(head.size, "record");
        let end = match (head.closed, &head.successor) {
            (false, _) => String::new(),
            (true, None) => "; closed, and nothing continues it".to_owned(),
            (true, Some(id)) => format!("; closed, and {id} continues it"),
        };
        line(
            label,
            &format!("{size}, signed {}, root {}{end}", head.time, head.root),
        )?;
    }
    match shown.common_size {
        Some(size) => {
            let text = format!("both begin with the same {}", counted(size, "record"));
            line("common", &text)
        }
        None => line("common", "not known"),
    }
}
