//! A file of options: read, and its mistakes told with their place.

use std::fs;
use std::io;
use std::path::Path;

use crate::failure::usage;
use anyhow::{Context, anyhow};
use serde::de::DeserializeOwned;
use strsim::damerau_levenshtein;
use toml::de::{DeTable, DeValue};

/// Letters that may differ between what was written and what was meant.
const MISSPELT: usize = 3;

/// An option has a value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {why}")]
pub(super) struct Refused {
    /// As the file calls it, with the table that it stands in: `relay.max_circuits`.
    pub(super) option: &'static str,
    /// And what to do.
    pub(super) why: String,
}

impl Refused {
    pub(super) fn new(option: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { option, why }
    }
}

/// The text of a file; `None` when there is none.
///
/// # Errors
/// It cannot be read, or is no text.
pub(super) fn text(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read(path) {
        Ok(text) => match String::from_utf8(text) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(usage(anyhow!(
                "{} is damaged: it is not text; restore it, or remove it to have the defaults",
                path.display()
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let stays = is_the_wrong_one(&error);
            let error = Err(error).with_context(|| cannot_read(path));
            match stays {
                true => error.map_err(usage),
                false => error,
            }
        }
    }
}

/// What is said of a file that cannot be read.
pub(super) fn cannot_read(path: &Path) -> String {
    format!("cannot read the config {}", path.display())
}

/// Whether a file that cannot be read is the wrong one, or not to be read by
/// this user: both stay so.
fn is_the_wrong_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidData
    )
}

/// The options that a text says.
///
/// # Errors
/// It is no TOML, or has an option that is unknown, or of which the value is of
/// another kind. The words are several lines long and show the place.
pub(super) fn options<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let said = error.to_string();
        let meant = meant(error.message());
        format!("{}{}", said.trim_end(), meant.unwrap_or_default())
    })
}

/// What was meant by an option that is unknown. serde names it first, and then all
/// that there are.
fn meant(message: &str) -> Option<String> {
    let names = message.strip_prefix("unknown field ")?;
    let mut names = names.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let distance = |name: &&str| damerau_levenshtein(name, unknown);
    let nearest = names.min_by_key(distance)?;
    // Of short names nothing would be left.
    let most = MISSPELT.min(nearest.len() / 3);
    (distance(&nearest) <= most).then(|| format!("; did you mean `{nearest}`?"))
}

/// The line of a text, from 1 on, in which an option is said.
pub(super) fn line_of(text: &str, option: &str) -> Option<usize> {
    let mut table = DeTable::parse(text).ok()?.into_inner();
    let mut line = None;
    for name in option.split('.') {
        let (key, value) = (table.into_iter()).find(|(key, _)| key.get_ref() == name)?;
        line = Some(1 + text[..key.span().start].matches('\n').count());
        table = match value.into_inner() {
            DeValue::Table(inner) => inner,
            _ => DeTable::default(),
        };
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_option_is_found_in_tables_as_well() {
        let text = "# a = 1\nb = 2\n\n[c]\nd = 3\ne.f = [\n4]\n";
        assert_eq!(line_of(text, "b"), Some(2));
        assert_eq!(line_of(text, "c.d"), Some(5));
        assert_eq!(line_of(text, "c.e.f"), Some(6));
        for nowhere in ["a", "c.b", "b.d", "x"] {
            assert_eq!(line_of(text, nowhere), None, "{nowhere}");
        }
        assert_eq!(line_of("relay.d = 1", "relay.d"), Some(1));
        assert_eq!(line_of("no toml", "no"), None);
    }

    #[test]
    fn a_name_that_is_nearly_one_is_told_with_what_was_meant() {
        let of = |unknown: &str| {
            meant(&format!(
                "unknown field `{unknown}`, expected one of `listen`, `mdns`, `max_disk`"
            ))
        };
        assert_eq!(of("max_dsik").unwrap(), "; did you mean `max_disk`?");
        assert_eq!(of("listn").unwrap(), "; did you mean `listen`?");
        assert_eq!(of("mdn").unwrap(), "; did you mean `mdns`?");
        assert_eq!(of("md"), None);
        assert_eq!(of("colour"), None);
        let one = "unknown field `read_needs_tokens`, expected `read_needs_token`";
        assert!(meant(one).unwrap().contains("`read_needs_token`"));
        assert_eq!(
            meant("invalid type: integer `3`, expected a sequence"),
            None
        );
    }
}
