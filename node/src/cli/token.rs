//! `token`: tokens for programs. They are in the data folder, and a node that
//! runs on it sees each change at once.

use clap::{Args, Subcommand};
use headwater_client::Error;
use headwater_client::data_dir::DataDir;
use headwater_client::times::text::to_text;
use headwater_protocols::time::Timestamp;
use serde::Serialize;

use super::{Invocation, Usage};
use crate::handle::wall_time;
use crate::keys::{NamedTokens, Rights};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    New(NewArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Make a token for a program, and print it: only its hash is kept
#[derive(Args, Debug)]
#[command(
    after_help = "A program shows it in a header `Authorization: Bearer <token>`; the commands take it from \
                  HEADWATER_API_TOKEN. A running node takes it at once."
)]
pub(crate) struct NewArgs {
    /// What it is called: letters, digits, `-`, `_` and `.`
    #[arg(value_name = "NAME")]
    name: String,
    /// It may read, and nothing else
    #[arg(long)]
    read_only: bool,
}

/// Show the tokens: names, rights and when each was made
#[derive(Args, Debug)]
pub(crate) struct ListArgs {}

/// End a token; a running node refuses it at once
#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
}

/// What `new --json` prints.
#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    rights: Rights,
    token: &'a str,
}

/// What `list --json` prints for each.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    rights: Rights,
    created: String,
}

pub(super) fn dispatch(invocation: &Invocation, command: &TokenCommand) -> anyhow::Result<()> {
    if invocation.api.is_some() {
        let text = "tokens are in the data folder of the node; leave off --api, and run this on \
                    its machine";
        return Err(Usage::error(text));
    }
    let data_dir = invocation.data_dir()?;
    if !data_dir.is_initialised() {
        return Err(Error::no_node_in(&data_dir).into());
    }
    match command {
        TokenCommand::New(args) => new(invocation, &data_dir, args),
        TokenCommand::List(ListArgs {}) => list(invocation, &data_dir),
        TokenCommand::Revoke(args) => revoke(invocation, &data_dir, args),
    }
}

fn new(invocation: &Invocation, data_dir: &DataDir, args: &NewArgs) -> anyhow::Result<()> {
    let rights = match args.read_only {
        true => Rights::ReadOnly,
        false => Rights::ReadWrite,
    };
    let name = &args.name;
    let token = NamedTokens::change(&data_dir.tokens_file(), |tokens| {
        tokens.add(name, rights, wall_time())
    })?;
    let (out, token) = (invocation.out, token.secret());
    if out.json {
        return out.json(&Made {
            name,
            rights,
            token,
        });
    }
    out.line(token)?;
    out.note(format!(
        "This is the token `{name}` ({}). It is shown only now; end it with: headwater token revoke {name}",
        rights.as_str()
    ));
    Ok(())
}

fn list(invocation: &Invocation, data_dir: &DataDir) -> anyhow::Result<()> {
    let tokens = NamedTokens::load(&data_dir.tokens_file())?.tokens;
    let out = invocation.out;
    for token in &tokens {
        let listed = Listed {
            name: &token.name,
            rights: token.rights,
            created: to_text(Timestamp(token.created_us)),
        };
        if out.json {
            out.json(&listed)?;
        } else {
            out.line(format!(
                "{}  {}  made {}",
                listed.name,
                listed.rights.as_str(),
                listed.created
            ))?;
        }
    }
    if tokens.is_empty() && !out.json {
        out.note("there are none beside the node's own; make one with: headwater token new NAME");
    }
    Ok(())
}

fn revoke(invocation: &Invocation, data_dir: &DataDir, args: &RevokeArgs) -> anyhow::Result<()> {
    let name = &args.name;
    NamedTokens::change(&data_dir.tokens_file(), |tokens| tokens.revoke(name))?;
    let out = invocation.out;
    if out.json {
        return out.json(&serde_json::json!({ "revoked": name }));
    }
    out.line(format!("the token `{name}` opens nothing any more"))
}
