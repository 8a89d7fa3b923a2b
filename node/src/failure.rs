//! What a failure means for whoever would try again. An error carries it from
//! where it is known to where the program ends.

use std::error::Error;
use std::fmt;

/// What a failure means; its number is the program's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What was asked for did not come about.
    Failed = 1,
    /// It was asked for in a way that cannot come about: wrong flags, a wrong
    /// configuration. Trying again does not help.
    Usage = 2,
    /// It did not come about for now: trying again may help.
    ForNow = 3,
}

impl Failure {
    /// The program's exit status.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        self as u8
    }

    /// The same error, which means this.
    #[must_use]
    pub fn mark(self, error: anyhow::Error) -> anyhow::Error {
        let failure = self;
        Marked { failure, error }.into()
    }

    /// What an error was marked with, or one that led to it: the outermost mark
    /// counts.
    #[must_use]
    pub fn marked(error: &anyhow::Error) -> Option<Self> {
        let mut marks = error.chain().filter_map(|error| error.downcast_ref());
        marks.next().map(|marked: &Marked| marked.failure)
    }
}

/// Marks an error of wrong usage or configuration.
#[must_use]
pub fn usage(error: anyhow::Error) -> anyhow::Error {
    Failure::Usage.mark(error)
}

/// Marks an error that may be gone when the same is tried again.
#[must_use]
pub fn for_now(error: anyhow::Error) -> anyhow::Error {
    Failure::ForNow.mark(error)
}

/// An error and what it means. It is shown as the error alone.
#[derive(Debug)]
struct Marked {
    failure: Failure,
    error: anyhow::Error,
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl Error for Marked {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_mark_is_found_below_what_was_said_later_and_does_not_show() {
        let plain = || anyhow!("no such role").context("in config.toml");
        let marked = usage(plain());
        assert_eq!(format!("{marked:#}"), format!("{:#}", plain()));
        let outer = Err::<(), _>(marked)
            .context("cannot start")
            .map_err(|error| error.context("run"))
            .unwrap_err();
        assert_eq!(
            format!("{outer:#}"),
            "run: cannot start: in config.toml: no such role"
        );
        assert_eq!(Failure::marked(&outer), Some(Failure::Usage));
        assert_eq!(Failure::marked(&plain()), None);
    }

    #[test]
    fn the_outermost_mark_counts() {
        let error = for_now(usage(anyhow!("x")).context("y"));
        assert_eq!(Failure::marked(&error), Some(Failure::ForNow));
        assert_eq!(Failure::ForNow.exit_status(), 3);
    }
}
