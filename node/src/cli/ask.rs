//! Questions on a terminal: what is refused because it is not clear is done when
//! its user says so, as the flag would have it.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::bail;

use super::Invocation;
use super::output;

/// The flag that says what is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Again,
    Resume,
    SkipBad,
    DecimalComma,
    Text,
}

impl Flag {
    /// The question that it answers.
    fn question(self) -> &'static str {
        match self {
            Self::Again => "append all rows in any case (--again)?",
            Self::Resume => "go on behind the rows that the stream has (--resume)?",
            Self::SkipBad => "leave out the bad rows (--skip-bad)?",
            Self::DecimalComma => "is the comma the decimal sign (--decimal-comma)?",
            Self::Text => "are the values texts (--value-type text)?",
        }
    }
}

/// Why something was refused that a flag would allow. It is shown as the error
/// alone.
#[derive(Debug)]
struct Unclear {
    flag: Flag,
    error: anyhow::Error,
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl Error for Unclear {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The same error, which this flag would answer.
pub(super) fn unclear(flag: Flag, error: anyhow::Error) -> anyhow::Error {
    Unclear { flag, error }.into()
}

/// Does something that takes flags, and where one is missing asks for it, unless
/// it is silent or nobody is there to be asked.
///
/// # Errors
/// It fails, or was not meant.
pub(super) async fn asking<T>(
    invocation: &Invocation,
    is_silent: bool,
    mut attempt: impl AsyncFnMut(Option<Flag>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let can_ask = !is_silent && can_ask(invocation);
    let mut said = Vec::new();
    loop {
        let error = match attempt(said.last().copied()).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
        let flag = causes.next().map(|unclear: &Unclear| unclear.flag);
        let Some(flag) = flag.filter(|flag| can_ask && !said.contains(flag)) else {
            return Err(error);
        };
        output::error(&error);
        if !is_yes(flag.question().to_owned()).await? {
            bail!("nothing was published");
        }
        said.push(flag);
    }
}

/// Whether somebody is there to be asked.
pub(super) fn can_ask(invocation: &Invocation) -> bool {
    !invocation.out.json && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// What somebody answers who has read the question.
pub(super) async fn is_yes(question: String) -> anyhow::Result<bool> {
    let answer = tokio::task::spawn_blocking(move || {
        write!(io::stderr().lock(), "{question} [y/N] ")?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        io::Result::Ok(answer)
    });
    let answer = answer.await??;
    Ok(matches!(&*answer.trim().to_ascii_lowercase(), "y" | "yes"))
}
