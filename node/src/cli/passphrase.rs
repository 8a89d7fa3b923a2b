//! Passphrases of keys: from a terminal, without showing them, or from a file.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use zeroize::Zeroizing;

use super::Usage;
use crate::failure::usage;
use crate::keys::recovery::Passphrase;

/// Bytes that are read of a file: more than any passphrase may have, so that a
/// longer one is noticed.
const READ_BYTES: usize = 2 << 10;

/// Where the passphrase of a key is taken from.
#[derive(Args, Debug)]
pub(crate) struct PassphraseArgs {
    /// Ask for a passphrase, without which the file is of no use
    #[arg(long, conflicts_with = "passphrase_file")]
    passphrase: bool,
    /// Take the passphrase from this file (-: standard input)
    #[arg(long, value_name = "F")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// The one that a new key gets: typed twice, as nobody can find out a slip
    /// later.
    pub(super) fn of_new(&self) -> anyhow::Result<Option<Passphrase>> {
        if let Some(file) = &self.passphrase_file {
            return from_file(file).map(Some);
        }
        if !self.passphrase {
            return Ok(None);
        }
        let first = typed("passphrase for the key: ")?;
        let again = typed("once more: ")?;
        if *first != *again {
            return Err(Usage::error("these are two passphrases; nothing was made"));
        }
        of_bytes(first.as_bytes()).map(Some)
    }
}

/// Where the passphrase of a key that has one is taken from.
#[derive(Args, Debug)]
pub(crate) struct KnownPassphraseArgs {
    /// Take the passphrase of the key from this file (-: standard input) [default: asked
    /// for]
    #[arg(long, value_name = "F")]
    passphrase_file: Option<PathBuf>,
}

impl KnownPassphraseArgs {
    /// The one of a key that is opened.
    pub(super) fn of_known(&self) -> anyhow::Result<Passphrase> {
        match &self.passphrase_file {
            Some(file) => from_file(file),
            None => of_bytes(typed("passphrase of the key: ")?.as_bytes()),
        }
    }
}

fn typed(words: &str) -> anyhow::Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        let what = "a passphrase is asked for on a terminal, and standard input is none; use \
                    --passphrase-file";
        return Err(Usage::error(what));
    }
    let typed = rpassword::prompt_password(words).context("cannot read from the terminal")?;
    Ok(Zeroizing::new(typed))
}

fn from_file(file: &Path) -> anyhow::Result<Passphrase> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(READ_BYTES));
    let limit = READ_BYTES as u64;
    if file == Path::new("-") {
        let read = io::stdin().lock().take(limit).read_to_end(&mut bytes);
        read.context("cannot read the passphrase from standard input")?;
    } else {
        let shown = file.display();
        let file = File::open(file).with_context(|| format!("cannot open {shown}"));
        let read = file.map_err(usage)?.take(limit).read_to_end(&mut bytes);
        read.with_context(|| format!("cannot read {shown}"))?;
    }
    of_bytes(&bytes)
}

fn of_bytes(bytes: &[u8]) -> anyhow::Result<Passphrase> {
    Passphrase::new(bytes).map_err(|error| usage(error.into()))
}
