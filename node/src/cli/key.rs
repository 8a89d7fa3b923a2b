//! `key`: keys that are kept outside of the node.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use serde::Serialize;

use super::output::shown_path;
use super::passphrase::PassphraseArgs;
use super::{Invocation, Usage};
use crate::keys::recovery::{RecoveryKey, Shown, public_path, show as show_file};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Recovery keys, which end a stream whose node's key was lost or stolen: new
    #[command(subcommand)]
    Recovery(RecoveryCommand),
    Show(ShowArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryCommand {
    New(NewArgs),
}

/// Make a recovery key: FILE, which is secret, and FILE.pub; nothing is overwritten
#[derive(Args, Debug)]
#[command(
    after_help = "Streams that are created with `stream create --recovery FILE.pub` can be ended with FILE, should the key \
                  of their node be lost or stolen (`stream recover S --key FILE`): whatever that key signs, FILE says which head is the last. So \
                  FILE is the stronger of the two: whoever has it can disown such a stream from its first record \
                  on. Keep it where the node is not, in two copies in two places; it is text, and can be printed \
                  or written down. With a passphrase the file alone is of no use, and lost with the passphrase."
)]
pub(crate) struct NewArgs {
    /// Where to write it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Show what a recovery key is, from FILE or FILE.pub, without its secret
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The secret file, or its public half
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the public half, as it stands in FILE.pub
    #[arg(long)]
    public: bool,
}

/// What `--json` prints of a new key.
#[derive(Serialize)]
struct Made {
    file: String,
    public_file: String,
    fingerprint: String,
    passphrase: bool,
}

/// What `--json` prints of a file.
#[derive(Serialize)]
struct ShownKey {
    kind: &'static str,
    secret: bool,
    passphrase: bool,
    fingerprint: String,
    signature_type: u8,
    signing_key: String,
    reader_key: String,
    kem: u16,
    kdf: u16,
    aead: u16,
}

pub(super) fn dispatch(invocation: &Invocation, command: &KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Recovery(RecoveryCommand::New(args)) => new(invocation, args),
        KeyCommand::Show(args) => show(invocation, args),
    }
}

fn new(invocation: &Invocation, args: &NewArgs) -> anyhow::Result<()> {
    if args.file.extension().is_some_and(|ending| ending == "pub") {
        let file = shown_path(&args.file);
        let what =
            format!("{file} is to be secret; name it without .pub, which its public half has");
        return Err(Usage::error(what));
    }
    let path = std::path::absolute(&args.file)?;
    let passphrase = args.passphrase.of_new()?;
    let key = RecoveryKey::create(&path, passphrase.as_ref())?;
    let public_path = public_path(&path);
    let fingerprint = HEXLOWER.encode(&key.public().recovery());
    let out = invocation.out;
    if out.json {
        return out.json(&Made {
            file: path.display().to_string(),
            public_file: public_path.display().to_string(),
            fingerprint,
            passphrase: passphrase.is_some(),
        });
    }
    let (file, public_file) = (shown_path(&path), shown_path(&public_path));
    out.line(format!("made the recovery key {fingerprint}"))?;
    out.line(format!("  {file} is secret; {public_file} is not"))?;
    out.line(format!(
        "Put {file} into a drawer, and a copy of it (a stick, or on paper: it is text) into another one \
         elsewhere, then remove it from this machine."
    ))?;
    out.line(
        "It is the stronger key: whoever has it can disown a stream that names it, from its first record on.",
    )?;
    out.line("Streams name it when they are created, and never later:")?;
    out.line(format!(
        "  headwater stream create NAME --recovery {public_file}"
    ))
}

fn show(invocation: &Invocation, args: &ShowArgs) -> anyhow::Result<()> {
    let shown = show_file(&args.file)?;
    let out = invocation.out;
    if args.public && !out.json {
        return out.line(shown.public.to_text().trim_end());
    }
    if out.json {
        return out.json(&of_shown(&shown));
    }
    let what = match (shown.is_secret, shown.has_passphrase) {
        (false, _) => "the public half of a recovery key",
        (true, false) => "a recovery key: secret, and without a passphrase",
        (true, true) => "a recovery key: secret, under a passphrase",
    };
    let key = of_shown(&shown);
    out.line(format!("{} is {what}", shown_path(&args.file)))?;
    out.line(format!("fingerprint  {}", key.fingerprint))?;
    out.line(format!("signing key  {}", key.signing_key))?;
    out.line(format!("reader key   {}", key.reader_key))
}

fn of_shown(shown: &Shown) -> ShownKey {
    let public = &shown.public;
    ShownKey {
        kind: "recovery",
        secret: shown.is_secret,
        passphrase: shown.has_passphrase,
        fingerprint: HEXLOWER.encode(&public.recovery()),
        signature_type: public.signature_type,
        signing_key: HEXLOWER.encode(&public.signing_key),
        reader_key: HEXLOWER.encode(&public.reader_key),
        kem: public.suite.kem,
        kdf: public.suite.kdf,
        aead: public.suite.aead,
    }
}
