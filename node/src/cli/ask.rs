//! Questions on a terminal: what is refused because it is not clear is done when
//! its user says so, as the flag would have it.

use std::io::{self, IsTerminal, Write};

use anyhow::bail;

use super::Invocation;
use super::output;
use crate::import::unclear::{Flag, Unclear};

/// The question that a flag answers.
fn question(flag: Flag) -> &'static str {
    match flag {
        Flag::Again => "append all rows in any case (--again)?",
        Flag::Resume => "go on behind the rows that the stream has (--resume)?",
        Flag::SkipBad => "leave out the bad rows (--skip-bad)?",
        Flag::DecimalComma => "is the comma the decimal sign (--decimal-comma)?",
        Flag::Text => "are the values texts (--value-type text)?",
    }
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
        if !is_yes(question(flag).to_owned()).await? {
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
