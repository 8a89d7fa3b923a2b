//! What a command that failed prints with `--json`, beside what stderr says.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;

use headwater_client::types::Problem;
use serde::Serialize;

use super::of_node;
use super::output::Output;
use crate::failure::Failure;

/// One JSON object, the last line on stdout.
#[derive(Serialize)]
struct Failed<'a> {
    /// As stderr says it.
    error: String,
    exit_status: u8,
    /// What the API answered, if it was that.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a Problem>,
}

/// Prints why a command failed.
pub(super) fn print(out: Output, error: &anyhow::Error, failure: Failure) {
    if !out.json || error.chain().any(|cause| cause.is::<Reported>()) {
        return;
    }
    let failed = Failed {
        error: format!("{error:#}"),
        exit_status: failure.exit_status(),
        problem: of_node::refused(error).map(|refused| &refused.problem),
    };
    // Without stdout nobody is there to be told.
    let _ = out.json(&failed);
}

/// Prints why arguments were not understood, if they ask for JSON.
pub(super) fn print_usage(arguments: &[OsString], error: &clap::Error) {
    let is = |argument: &OsString, flag: &str| argument.as_os_str() == OsStr::new(flag);
    let mut flags = (arguments.iter()).take_while(|argument| !is(argument, "--"));
    let asks = flags.any(|argument| is(argument, "--json"));
    if !asks || !error.use_stderr() {
        return;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim();
    let error = anyhow::Error::msg(text.to_owned());
    print(Output::new(true), &error, Failure::Usage);
}

/// A failure that what was printed says itself, such as a report of what is
/// wrong.
#[derive(Debug)]
pub(super) struct Reported(anyhow::Error);

impl Reported {
    pub(super) fn error(error: anyhow::Error) -> anyhow::Error {
        Self(error).into()
    }

    /// What it is besides.
    pub(super) fn cause(&self) -> &anyhow::Error {
        &self.0
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Error for Reported {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
