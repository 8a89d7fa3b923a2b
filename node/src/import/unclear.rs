//! What is refused because it is not clear, and the flag that would say what is
//! meant.

use std::error::Error;
use std::fmt;

/// The flag that says what is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    Again,
    Resume,
    SkipBad,
    DecimalComma,
    Text,
}

/// Why something was refused that a flag would allow. It is shown as the error
/// alone.
#[derive(Debug)]
pub(crate) struct Unclear {
    pub(crate) flag: Flag,
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
pub(crate) fn unclear(flag: Flag, error: anyhow::Error) -> anyhow::Error {
    Unclear { flag, error }.into()
}
