//! Which stream a text names: a full id, an unambiguous beginning or ending of
//! one, or a name.

use std::fmt;
use std::sync::Arc;

use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;

use super::limits::{MAX_LISTED_CANDIDATES, MIN_ID_PART};

/// A text that names no stream, or several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// None of those that are known here.
    #[error(
        "no stream that is known here has the name or id `{0}`; follow it first, by its full id and a peer"
    )]
    Unknown(String),
    /// Several.
    #[error("`{text}` may be any of {candidates}; give more of the id")]
    Ambiguous {
        /// The text.
        text: String,
        /// What it may be.
        candidates: Candidates,
    },
}

/// Streams that a text may mean: id and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates(pub Vec<(LogId, String)>);

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(all) = self;
        for (place, (log, name)) in all.iter().take(MAX_LISTED_CANDIDATES).enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{log} ({name})")?;
        }
        match all.len().checked_sub(MAX_LISTED_CANDIDATES) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

/// The stream that `text` names among those that are known.
///
/// # Errors
/// None is named, or several are.
pub fn resolve(text: &str, known: &[Arc<LogStatus>]) -> Result<LogId, Unresolved> {
    let unknown = || Unresolved::Unknown(text.chars().take(128).collect());
    if let Ok(log) = text.parse::<LogId>() {
        let is_known = known.iter().any(|status| status.log == log);
        return if is_known { Ok(log) } else { Err(unknown()) };
    }
    let mut named: Vec<_> = known.iter().filter(|status| names(text, status)).collect();
    match named.len() {
        0 => Err(unknown()),
        1 => Ok(named.remove(0).log),
        _ => {
            let candidates = named.iter().map(|status| (status.log, name_of(status)));
            Err(Unresolved::Ambiguous {
                text: text.chars().take(128).collect(),
                candidates: Candidates(candidates.collect()),
            })
        }
    }
}

fn names(text: &str, status: &LogStatus) -> bool {
    let has_name = status.manifest.as_ref().is_some_and(|m| m.name == text);
    let is_part = || {
        let id = status.log.to_string();
        text.len() >= MIN_ID_PART && (id.starts_with(text) || id.ends_with(text))
    };
    has_name || is_part()
}

fn name_of(status: &LogStatus) -> String {
    let name = status.manifest.as_ref().map(|m| m.name.clone());
    name.unwrap_or_else(|| "not synced yet".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::status;
    use super::*;

    fn known() -> Vec<Arc<LogStatus>> {
        ["pressure", "temperature", "temperature", "bafkre"]
            .iter()
            .zip(1..)
            .map(|(name, secret)| Arc::new(status(name, secret, 0)))
            .collect()
    }

    #[test]
    fn a_stream_is_named_by_its_id_by_parts_of_it_and_by_its_name() {
        let known = known();
        let log = known[1].log;
        let id = log.to_string();
        for text in [&id, &id[..40], &id[id.len() - 6..], &log.short()] {
            assert_eq!(resolve(text, &known), Ok(log), "{text}");
        }
        assert_eq!(resolve("pressure", &known), Ok(known[0].log));
    }

    #[test]
    fn what_names_nothing_says_to_follow_it() {
        let known = known();
        let stranger = LogId([7; 32]).to_string();
        let id = known[0].log.to_string();
        for text in [&stranger, "", "press", &id[id.len() - 5..], "PRESSURE"] {
            let error = resolve(text, &known).unwrap_err();
            assert!(matches!(error, Unresolved::Unknown(_)), "{text}");
            assert!(error.to_string().contains("follow it first"));
        }
    }

    #[test]
    fn what_names_several_lists_them() {
        let known = known();
        let error = resolve("temperature", &known).unwrap_err().to_string();
        assert!(error.contains(&known[1].log.to_string()), "{error}");
        assert!(error.contains(&known[2].log.to_string()), "{error}");
        assert!(!error.contains("pressure"), "{error}");
        // All ids begin alike, and a name may look like a beginning.
        let error = resolve("bafkre", &known).unwrap_err();
        assert!(
            matches!(error, Unresolved::Ambiguous { candidates, .. } if candidates.0.len() == 4)
        );
    }

    #[test]
    fn a_long_list_of_candidates_is_cut() {
        let known: Vec<_> = (1..40).map(|i| Arc::new(status("x", i, 0))).collect();
        let error = resolve("x", &known).unwrap_err().to_string();
        assert!(error.contains(" and 29 more"), "{error}");
    }
}
