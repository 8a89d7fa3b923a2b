//! Which stream a text names: a full id, an unambiguous beginning or ending of
//! one, or a name.

use std::fmt;
use std::sync::Arc;

use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;
use strsim::damerau_levenshtein;

use super::limits::{
    MAX_LISTED_CANDIDATES, MAX_SIMILAR, MAX_SIMILAR_BYTES, MAX_SLIPS, MIN_ID_PART,
};

/// A text that names no stream, or several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// None of those that are known here.
    #[error("no stream that is known here has the name or id `{text}`{}", did_you_mean(.similar))]
    Unknown {
        /// The text.
        text: String,
        /// Names of streams that look like it, the most similar first.
        similar: Vec<String>,
    },
    /// The id of a stream of which nothing is known here.
    #[error("stream {0} is not known here; follow it first, with: headwater follow {0}")]
    Stranger(LogId),
    /// The beginning or the end of an id, and too little of it.
    #[error(
        "`{0}` is a part of the id of a stream that is known here, but less than the \
         {MIN_ID_PART} characters that name one; give more of it (`headwater list` shows the last 8)"
    )]
    TooShort(String),
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
    if let Ok(log) = text.parse::<LogId>() {
        let is_known = known.iter().any(|status| status.log == log);
        return if is_known {
            Ok(log)
        } else {
            Err(Unresolved::Stranger(log))
        };
    }
    let mut named: Vec<_> = known.iter().filter(|status| names(text, status)).collect();
    match named.len() {
        0 => Err(unresolved(text, known)),
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

/// Why nothing has this name.
fn unresolved(text: &str, known: &[Arc<LogStatus>]) -> Unresolved {
    let shown: String = text.chars().take(128).collect();
    let is_part = |status: &Arc<LogStatus>| {
        let id = status.log.to_string();
        id.starts_with(text) || id.ends_with(text)
    };
    if !text.is_empty() && text.len() < MIN_ID_PART && known.iter().any(is_part) {
        return Unresolved::TooShort(shown);
    }
    let manifests = known.iter().filter_map(|status| status.manifest.as_ref());
    let similar = similar(&shown, manifests.map(|manifest| manifest.name.as_str()));
    Unresolved::Unknown {
        text: shown,
        similar,
    }
}

/// The names that a text may be a slip of, the most similar first.
#[must_use]
pub fn similar<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let text = text.to_lowercase();
    // One slip in a short name, one in three characters of a longer one.
    let most = (text.chars().count() / 3).clamp(1, MAX_SLIPS);
    let mut found: Vec<(usize, &str)> = names
        .filter(|name| {
            name.len() <= MAX_SIMILAR_BYTES && name.len().abs_diff(text.len()) <= 4 * most
        })
        .map(|name| (damerau_levenshtein(&text, &name.to_lowercase()), name))
        .filter(|(slips, name)| *slips <= most && *slips < name.chars().count())
        .collect();
    found.sort_unstable();
    found.dedup();
    let names = found.into_iter().take(MAX_SIMILAR);
    names.map(|(_, name)| name.to_owned()).collect()
}

/// `; did you mean …?`, if there is something that was meant.
#[must_use]
pub fn did_you_mean(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!("; did you mean `{}`?", names.join("` or `")),
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
    fn what_names_nothing_says_what_may_have_been_meant() {
        let known = known();
        let said = |text: &str| resolve(text, &known).unwrap_err().to_string();
        for (text, meant) in [
            ("temperatur", "`temperature`"),
            ("PRESSURE", "`pressure`"),
            ("perssure", "`pressure`"),
        ] {
            let said = said(text);
            assert!(
                said.ends_with(&format!("; did you mean {meant}?")),
                "{said}"
            );
        }
        for text in ["", "press", "wind", "x"] {
            let said = said(text);
            assert!(
                said.ends_with(&format!("the name or id `{text}`")),
                "{said}"
            );
        }
    }

    #[test]
    fn an_id_that_is_not_known_is_to_be_followed_and_a_short_part_to_be_longer() {
        let known = known();
        let stranger = LogId([7; 32]).to_string();
        let error = resolve(&stranger, &known).unwrap_err().to_string();
        assert!(
            error.contains(&format!("headwater follow {stranger}")),
            "{error}"
        );
        let id = known[0].log.to_string();
        for part in [&id[id.len() - 5..], "bafk"] {
            let error = resolve(part, &known).unwrap_err();
            assert_eq!(error, Unresolved::TooShort(part.to_owned()));
            assert!(error.to_string().contains("6 characters"), "{error}");
        }
    }

    #[test]
    fn a_name_is_meant_by_what_differs_in_few_characters() {
        let names = ["wind", "wine", "wind speed", "ab", "a"];
        let similar = |text| similar(text, names.into_iter());
        assert_eq!(similar("wnid"), ["wind"]);
        assert_eq!(similar("win"), ["wind", "wine"]);
        assert_eq!(similar("wind sped"), ["wind speed"]);
        // Nothing of a name is left.
        assert!(similar("b").iter().all(|name| name != "a"));
        assert!(similar("guidance").is_empty());
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
