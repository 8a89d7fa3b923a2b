//! `network`: the key of a private network.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Invocation;
use super::output::shown_path;
use crate::keys::NetworkKey;

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    New(NewArgs),
}

/// Make the key of a new private network; nothing is overwritten
#[derive(Args, Debug)]
#[command(
    after_help = "The file has the form that other libp2p programs use (swarm.key). Copy it to every node of the \
                  network; whoever has it is in."
)]
pub(crate) struct NewArgs {
    /// Where to write it
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Made {
    file: String,
    fingerprint: String,
}

pub(super) fn dispatch(invocation: &Invocation, command: &NetworkCommand) -> anyhow::Result<()> {
    match command {
        NetworkCommand::New(args) => new(invocation, args),
    }
}

fn new(invocation: &Invocation, args: &NewArgs) -> anyhow::Result<()> {
    // The lines below are for copying, from wherever.
    let path = std::path::absolute(&args.file)?;
    let fingerprint = NetworkKey::create(&path)?.fingerprint();
    let out = invocation.out;
    if out.json {
        let file = path.display().to_string();
        return out.json(&Made { file, fingerprint });
    }
    let file = shown_path(&path);
    out.line(format!(
        "made the key {fingerprint}… of a private network in {file}"
    ))?;
    out.line("Copy it to every node of the network, in a safe way, and run each with:")?;
    out.line(format!("  headwater run --private-network {file}"))
}
