//! `scripts/testnet`: a local network of nodes, also behind routers. The opening
//! comment of the script is its help.

mod commands;
mod folder;
mod node;
mod stream;
mod table;
mod words;

use std::error::Error as _;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use headwater_tests::lab::{Event, Kind, Refused};

use folder::Folder;

/// Exit status of wrong usage.
const USAGE: u8 = 2;

/// Exit status when the machine does not let us have a lab.
const NO_LAB: u8 = 3;

const SCRIPT: &str = include_str!("../../../../scripts/testnet");

#[derive(Debug, Parser)]
#[command(name = "scripts/testnet", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up {
        #[arg(value_parser = count)]
        count: usize,
        #[arg(long, value_delimiter = ',')]
        nat: Vec<Kind>,
        #[arg(long, requires = "nat")]
        bare: bool,
    },
    Status,
    Add {
        kind: Option<Kind>,
    },
    Kill {
        #[arg(value_parser = number)]
        node: usize,
    },
    Restart {
        #[arg(value_parser = number)]
        node: usize,
    },
    Down,
    #[command(flatten)]
    Event(Event),
}

fn count(text: &str) -> Result<usize> {
    let count = text.parse().ok().filter(|count| *count >= 2);
    count.context("up needs a number of nodes, 2 or more: a bootstrap node and a publisher")
}

fn number(text: &str) -> Result<usize> {
    text.parse().with_context(|| {
        format!("{text} is no number of a node; scripts/testnet status shows them")
    })
}

fn main() -> ExitCode {
    let done = match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command),
        Err(error) => return explain(&error),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("testnet: {error:#}");
    match error.is::<Refused>() {
        true => ExitCode::from(NO_LAB),
        false => ExitCode::FAILURE,
    }
}

fn run(command: Command) -> Result<()> {
    let folder = Folder::named_by_environment()?;
    match command {
        Command::Up { count, nat, bare } => commands::up(&folder, count, &nat, bare),
        Command::Status => commands::status(&folder),
        Command::Add { kind } => commands::add(&folder, kind),
        Command::Kill { node } => commands::kill(&folder, node),
        Command::Restart { node } => commands::restart(&folder, node),
        Command::Down => commands::down(&folder),
        Command::Event(event) => commands::happen(&folder, &event),
    }
}

/// Says what is wrong with a command line, or how it is to be.
fn explain(error: &clap::Error) -> ExitCode {
    if error.kind() == ErrorKind::DisplayHelp {
        words::line(&usage());
        return ExitCode::SUCCESS;
    }
    // A value that was read and refused.
    if let (ErrorKind::ValueValidation, Some(why)) = (error.kind(), error.source()) {
        eprintln!("testnet: {why}");
        return ExitCode::FAILURE;
    }
    if error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let said = error.to_string();
        let what: Vec<_> = (said.lines().map(str::trim))
            .take_while(|line| !line.is_empty())
            .collect();
        let what = what.join(" ");
        eprintln!("testnet: {}\n", what.trim_start_matches("error: "));
    }
    eprintln!("{}", usage());
    ExitCode::from(USAGE)
}

/// The script's opening comment.
fn usage() -> String {
    let comment = SCRIPT
        .lines()
        .skip(1)
        .map_while(|line| line.strip_prefix('#'));
    let lines: Vec<_> = comment
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    lines.join("\n")
}
