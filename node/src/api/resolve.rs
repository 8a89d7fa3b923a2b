//! Which stream a text names: a full id, an invite, a name, what the user calls
//! it, or an unambiguous beginning or ending of its id.

use std::fmt;
use std::sync::Arc;

use headwater_client::invite::{self, InviteError};
use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;
use headwater_protocols::manifest::{Likeness, check_name, is_invisible, likeness};
use strsim::damerau_levenshtein;

use super::limits::{
    MAX_LISTED_CANDIDATES, MAX_SIMILAR, MAX_SIMILAR_BYTES, MAX_SLIPS, MIN_ID_PART,
};
use crate::aliases::Aliases;

/// What a text is to be understood as where several streams fit it: anybody can
/// call a stream as another one is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// This node's own stream before those of others: to read.
    Reading,
    /// This node's own streams: to publish.
    Own,
    /// The streams of others before this node's own: to follow and unfollow.
    Others,
    /// One alone, whoever publishes it: to delete.
    OnlyOne,
}

/// A text that names no stream, or several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// None of those that are known here.
    #[error("no stream that is known here has the name or id `{text}`{}", did_you_mean(.similar))]
    Unknown {
        /// The text, as it can be shown.
        text: String,
        /// What names streams and looks like it, the most similar first.
        similar: Vec<String>,
    },
    /// The id of a stream of which nothing is known here.
    #[error("stream {log} is not known here{}", stranger(*.log, .similar))]
    Stranger {
        /// The id.
        log: LogId,
        /// Ids of known streams that look like it.
        similar: Vec<String>,
    },
    /// An invite that cannot be read.
    #[error("{error}{}", did_you_mean(.similar))]
    Invite {
        /// What is wrong with it.
        error: InviteError,
        /// What names streams and looks like what it names.
        similar: Vec<String>,
    },
    /// The beginning or the end of an id, and too little of it.
    #[error(
        "`{0}` is a part of the id of a stream that is known here, but less than the \
         {MIN_ID_PART} characters that name one; give more of it (`headwater list` shows the last 8)"
    )]
    TooShort(String),
    /// Several.
    #[error("`{text}` may be any of {candidates}; give more of the id")]
    Ambiguous {
        /// The text, as it can be shown.
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

/// What is known of streams, to find the one that a text names.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The streams.
    pub known: &'a [Arc<LogStatus>],
    /// What the user calls some of them.
    pub aliases: &'a Aliases,
}

impl Names<'_> {
    /// The stream that `text` names.
    ///
    /// # Errors
    /// None is named, or several are.
    pub fn resolve(&self, text: &str, meaning: Meaning) -> Result<LogId, Unresolved> {
        if text.starts_with(invite::SCHEME) {
            return match invite::parse(text) {
                Ok(invite) => self.known(invite.stream),
                Err(error) => Err(self.bad_invite(text, error)),
            };
        }
        if let Ok(log) = text.parse::<LogId>() {
            return self.known(log);
        }
        if let Some(log) = self.by_name_of_ours(text, meaning)? {
            return Ok(log);
        }
        let fitting =
            (self.known.iter()).filter(|status| has_name(text, status) || has_part(text, status));
        if let Some(log) = self.choose(text, meaning, fitting.collect())? {
            return Ok(log);
        }
        match self.choose(text, meaning, self.written_otherwise(text))? {
            Some(log) => Ok(log),
            None => Err(self.unresolved(text)),
        }
    }

    /// The streams whose names are this text, written with other characters: what
    /// keyboards and file names give for one is not the same everywhere.
    fn written_otherwise(&self, text: &str) -> Vec<&Arc<LogStatus>> {
        let is_it = |name: &str| likeness(text, name) == Some(Likeness::Written);
        let fitting = self.known.iter().filter(|status| {
            let name = status.manifest.as_deref().map(|manifest| &*manifest.name);
            let name = name.filter(|name| check_name(name).is_ok());
            name.is_some_and(is_it) || self.aliases.of(status.log).is_some_and(is_it)
        });
        // Nobody means a text with what cannot be seen.
        fitting.filter(|_| check_name(text).is_ok()).collect()
    }

    /// Ids of the other streams that have the name by which `log` was found.
    #[must_use]
    pub fn namesakes(&self, text: &str, log: LogId) -> Vec<LogId> {
        let others = self.known.iter().filter(|status| status.log != log);
        let others = others.filter(|status| has_name(text, status));
        others.map(|status| status.log).collect()
    }

    /// The stream of this node's own that is called so.
    #[must_use]
    pub fn own(&self, name: &str) -> Option<&Arc<LogStatus>> {
        let mut own = self.known.iter().filter(|status| status.owned);
        own.find(|status| has_exact_name(name, status))
    }

    fn known(&self, log: LogId) -> Result<LogId, Unresolved> {
        if self.known.iter().any(|status| status.log == log) {
            return Ok(log);
        }
        let ids = self.known.iter().map(|status| status.log.to_string());
        let ids: Vec<_> = ids.collect();
        let similar = similar(&log.to_string(), ids.iter().map(String::as_str));
        Err(Unresolved::Stranger { log, similar })
    }

    /// What this node's user has named comes before what others have: its own
    /// streams, and those that have an alias.
    fn by_name_of_ours(&self, text: &str, meaning: Meaning) -> Result<Option<LogId>, Unresolved> {
        if matches!(meaning, Meaning::Reading | Meaning::Own) {
            let own = self.known.iter().filter(|status| status.owned);
            let own = own.filter(|status| has_exact_name(text, status));
            if let Some(log) = one_of(text, own.collect())? {
                return Ok(Some(log));
            }
        }
        let alias = self.aliases.stream(text);
        Ok(alias.filter(|&log| self.known.iter().any(|status| status.log == log)))
    }

    fn choose(
        &self,
        text: &str,
        meaning: Meaning,
        fitting: Vec<&Arc<LogStatus>>,
    ) -> Result<Option<LogId>, Unresolved> {
        let first: Vec<_> = match meaning {
            Meaning::Reading | Meaning::Own => {
                fitting.iter().copied().filter(|s| s.owned).collect()
            }
            Meaning::Others => fitting.iter().copied().filter(|s| !s.owned).collect(),
            Meaning::OnlyOne => Vec::new(),
        };
        match one_of(text, first)? {
            Some(log) => Ok(Some(log)),
            None => one_of(text, fitting),
        }
    }

    /// Why nothing has this name.
    fn unresolved(&self, text: &str) -> Unresolved {
        let is_part = |status: &Arc<LogStatus>| {
            let id = status.log.to_string();
            id.starts_with(text) || id.ends_with(text)
        };
        if !text.is_empty() && text.len() < MIN_ID_PART && self.known.iter().any(is_part) {
            return Unresolved::TooShort(shown(text));
        }
        Unresolved::Unknown {
            text: shown(text),
            similar: self.similar(text),
        }
    }

    fn bad_invite(&self, text: &str, error: InviteError) -> Unresolved {
        let named = text.trim_start_matches(invite::SCHEME);
        let named = named.split('?').next().unwrap_or_default();
        let similar = match &error {
            InviteError::Stream(_) => self.similar(named),
            _ => Vec::new(),
        };
        Unresolved::Invite { error, similar }
    }

    /// What names streams and may have been meant by this text: names, aliases,
    /// and as much of ids.
    fn similar(&self, text: &str) -> Vec<String> {
        let manifests = self
            .known
            .iter()
            .filter_map(|status| status.manifest.as_ref());
        let names = manifests.map(|manifest| manifest.name.as_str());
        let names = names.filter(|name| check_name(name).is_ok());
        let names: Vec<&str> = names.chain(self.aliases.names()).collect();
        let alike = names.iter().filter(|name| likeness(text, name).is_some());
        let alike: Vec<String> = alike.take(MAX_SIMILAR).map(|name| spelled(name)).collect();
        if !alike.is_empty() {
            return alike;
        }
        let found = similar(text, names.into_iter());
        if !found.is_empty() || text.len() < MIN_ID_PART || !text.is_ascii() {
            return found;
        }
        let ids = self.known.iter().map(|status| status.log.to_string());
        let parts: Vec<String> = ids.flat_map(|id| ends_of(&id, text.len())).collect();
        // Of a few characters each one counts.
        let slips = (text.len() / 8).clamp(1, MAX_SLIPS);
        let parts = parts.iter().map(String::as_str);
        within(text, parts, slips)
    }
}

/// The beginning and the end of an id, of this length.
fn ends_of(id: &str, len: usize) -> [String; 2] {
    let len = len.min(id.len());
    [id[..len].to_owned(), id[id.len() - len..].to_owned()]
}

/// The only one of these; nothing if there is none.
fn one_of(text: &str, named: Vec<&Arc<LogStatus>>) -> Result<Option<LogId>, Unresolved> {
    match named.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.log)),
        several => {
            let candidates = several.iter().map(|status| (status.log, name_of(status)));
            Err(Unresolved::Ambiguous {
                text: shown(text),
                candidates: Candidates(candidates.collect()),
            })
        }
    }
}

/// A text as an error can show it.
fn shown(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars().take(128) {
        match is_invisible(c) {
            true => safe.extend(c.escape_unicode()),
            false => safe.push(c),
        }
    }
    safe
}

/// A name, with the characters spelled that another one could be taken for.
pub(super) fn spelled(name: &str) -> String {
    let spell = |c: char| match c.is_ascii() && !is_invisible(c) {
        true => c.to_string(),
        false => c.escape_unicode().to_string(),
    };
    name.chars().map(spell).collect()
}

/// The names that a text may be a slip of, the most similar first.
#[must_use]
pub fn similar<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // One slip in a short name, one in three characters of a longer one.
    let most = (text.chars().count() / 3).clamp(1, MAX_SLIPS);
    within(text, names, most)
}

/// Those that differ in at most so many characters.
fn within<'a>(text: &str, names: impl Iterator<Item = &'a str>, most: usize) -> Vec<String> {
    let text: String = text.chars().take(MAX_SIMILAR_BYTES).collect();
    let text = text.to_lowercase();
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

fn stranger(log: LogId, similar: &[String]) -> String {
    match did_you_mean(similar) {
        none if none.is_empty() => {
            format!("; follow it first, with: headwater follow {log}")
        }
        meant => format!("{meant} Else follow it first, with: headwater follow {log}"),
    }
}

/// Whether a stream is called so, by a name that can be typed and is no id.
fn has_name(text: &str, status: &LogStatus) -> bool {
    has_exact_name(text, status) && check_name(text).is_ok()
}

fn has_exact_name(text: &str, status: &LogStatus) -> bool {
    status.manifest.as_ref().is_some_and(|m| m.name == text)
}

fn has_part(text: &str, status: &LogStatus) -> bool {
    let id = status.log.to_string();
    text.len() >= MIN_ID_PART && (id.starts_with(text) || id.ends_with(text))
}

fn name_of(status: &LogStatus) -> String {
    let name = status.manifest.as_ref().map(|m| shown(&m.name));
    let name = name.unwrap_or_else(|| "not synced yet".to_owned());
    match status.owned {
        true => format!("{name}, this node's own"),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::status;
    use super::*;

    /// Names of streams of others, then of own ones.
    fn known(others: &[&str], own: &[&str]) -> Vec<Arc<LogStatus>> {
        let others = others.iter().map(|name| (name, false));
        let all = others.chain(own.iter().map(|name| (name, true)));
        let status = |((&name, owned), secret): ((&&str, bool), u8)| LogStatus {
            owned,
            ..status(name, secret, 0)
        };
        all.zip(1..).map(status).map(Arc::new).collect()
    }

    fn resolve(text: &str, known: &[Arc<LogStatus>]) -> Result<LogId, Unresolved> {
        meant(text, known, Meaning::Reading)
    }

    fn meant(text: &str, known: &[Arc<LogStatus>], meaning: Meaning) -> Result<LogId, Unresolved> {
        let aliases = Aliases::default();
        let aliases = &aliases;
        Names { known, aliases }.resolve(text, meaning)
    }

    #[test]
    fn a_stream_is_named_by_its_id_by_parts_of_it_by_an_invite_and_by_its_name() {
        let known = known(&["pressure", "temperature", "temperature"], &[]);
        let log = known[1].log;
        let id = log.to_string();
        let invite = format!("headwater:{id}?peer=");
        let invite = &invite[..invite.len() - 6];
        for text in [&id, &id[..40], &id[id.len() - 6..], &log.short(), invite] {
            assert_eq!(resolve(text, &known), Ok(log), "{text}");
        }
        assert_eq!(resolve("pressure", &known), Ok(known[0].log));
    }

    #[test]
    fn a_stream_of_somebody_else_takes_no_name_away() {
        let known = known(&["temperature", "temperature", "wind"], &["temperature"]);
        let own = known[3].log;
        for meaning in [Meaning::Reading, Meaning::Own] {
            assert_eq!(meant("temperature", &known, meaning), Ok(own));
        }
        // What is meant of others is not to be guessed.
        for (meaning, candidates) in [(Meaning::Others, 2), (Meaning::OnlyOne, 3)] {
            let error = meant("temperature", &known, meaning).unwrap_err();
            assert!(
                matches!(&error, Unresolved::Ambiguous { candidates: all, .. } if all.0.len() == candidates),
                "{error}"
            );
        }
        // That it cannot be published to is said by who wants to.
        assert_eq!(meant("wind", &known, Meaning::Own), Ok(known[2].log));
        let aliases = Aliases::default();
        let names = Names {
            known: &known,
            aliases: &aliases,
        };
        let namesakes = [known[0].log, known[1].log];
        assert_eq!(names.namesakes("temperature", own), namesakes);
    }

    #[test]
    fn the_end_of_an_own_id_is_not_taken_away_by_a_name() {
        // Ends of ids without a digit look like words, which may be names.
        let names = (0..).map(|n| format!("mine{n}"));
        let ends = names.map(|name| (known(&["x"], &[&*name])[1].log.short(), name));
        let mut ends = ends.filter(|(end, _)| check_name(end).is_err());
        let (end, name) = ends.next().unwrap();
        let own = known(&["x"], &[&*name]);
        let known = known(&[&end], &[&*name]);
        assert_eq!(known[1].log, own[1].log);
        // What looks like a part of an id names nothing else.
        assert!(check_name(&end).is_err(), "{end}");
        for meaning in [Meaning::Reading, Meaning::Own, Meaning::OnlyOne] {
            assert_eq!(meant(&end, &known, meaning), Ok(known[1].log));
        }
        let part = &end[2..];
        let known = self::known(&[part], &[&*name]);
        if check_name(part).is_ok() {
            let error = meant(part, &known, Meaning::OnlyOne).unwrap_err();
            assert!(error.to_string().contains("this node's own"), "{error}");
        }
    }

    #[test]
    fn what_the_user_calls_a_stream_names_it() {
        let known = known(&["temperature", "temperature"], &[]);
        let mut aliases = Aliases::default();
        aliases.set(known[1].log, Some("berlin")).unwrap();
        aliases.set(LogId([9; 32]), Some("gone")).unwrap();
        let names = Names {
            known: &known,
            aliases: &aliases,
        };
        for meaning in [Meaning::Reading, Meaning::Others, Meaning::OnlyOne] {
            assert_eq!(names.resolve("berlin", meaning), Ok(known[1].log));
        }
        let error = names.resolve("berln", Meaning::Reading).unwrap_err();
        assert!(error.to_string().contains("`berlin`?"), "{error}");
        assert!(names.resolve("gone", Meaning::Reading).is_err());
    }

    #[test]
    fn a_name_is_found_however_it_is_written_and_one_that_looks_like_it_is_spelled() {
        let known = known(&["h\u{f6}he", "w\u{456}nd"], &[]);
        assert_eq!(resolve("ho\u{308}he", &known), Ok(known[0].log));
        assert_eq!(resolve("w\u{456}nd", &known), Ok(known[1].log));
        let error = resolve("wind", &known).unwrap_err().to_string();
        assert!(error.ends_with("did you mean `w\\u{456}nd`?"), "{error}");
        // The one that is called exactly so comes before.
        let both = super::tests::known(&["h\u{f6}he", "ho\u{308}he"], &[]);
        assert_eq!(resolve("ho\u{308}he", &both), Ok(both[1].log));
    }

    #[test]
    fn what_names_nothing_says_what_may_have_been_meant() {
        let known = known(&["pressure", "temperature", "temperature"], &[]);
        let said = |text: &str| resolve(text, &known).unwrap_err().to_string();
        let id = known[0].log.to_string();
        let end = &id[id.len() - 8..];
        let last = if end.ends_with('a') { 'b' } else { 'a' };
        let slip = format!("{}{last}", &end[..7]);
        for (text, meant) in [
            ("temperatur", "temperature"),
            ("PRESSURE", "pressure"),
            ("perssure", "pressure"),
            ("headwater:pressur", "pressure"),
            ("headwater:pressur?peer=/ip4/192.0.2.1/tcp/1", "pressure"),
            (&slip, end),
        ] {
            let said = said(text);
            assert!(
                said.ends_with(&format!("; did you mean `{meant}`?")),
                "{text}: {said}"
            );
        }
        for text in ["", "press", "wind", "x"] {
            let said = said(text);
            assert!(
                said.ends_with(&format!("the name or id `{text}`")),
                "{said}"
            );
        }
        assert!(!said("\x1b[2J").contains('\x1b'));
    }

    #[test]
    fn an_id_that_is_not_known_is_to_be_followed_and_a_short_part_to_be_longer() {
        let known = known(&["pressure", "bafkre"], &[]);
        let stranger = LogId([7; 32]).to_string();
        let error = resolve(&stranger, &known).unwrap_err().to_string();
        assert!(
            error.ends_with(&format!(
                "; follow it first, with: headwater follow {stranger}"
            )),
            "{error}"
        );
        let id = known[0].log.to_string();
        for part in [&id[id.len() - 5..], "bafk"] {
            let error = resolve(part, &known).unwrap_err();
            assert_eq!(error, Unresolved::TooShort(part.to_owned()));
            assert!(error.to_string().contains("6 characters"), "{error}");
        }
        // One character of it is another one.
        let mut slip = known[0].log;
        slip.0[0] ^= 1;
        let error = resolve(&slip.to_string(), &known).unwrap_err().to_string();
        assert!(error.contains(&format!("mean `{id}`?")), "{error}");
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
        let known = known(&["pressure", "temperature", "temperature", "bafkre"], &[]);
        let error = resolve("temperature", &known).unwrap_err().to_string();
        assert!(error.contains(&known[1].log.to_string()), "{error}");
        assert!(error.contains(&known[2].log.to_string()), "{error}");
        assert!(!error.contains("pressure"), "{error}");
        // All ids begin alike, whatever somebody calls a stream.
        let error = resolve("bafkre", &known).unwrap_err();
        assert!(
            matches!(error, Unresolved::Ambiguous { candidates, .. } if candidates.0.len() == 4)
        );
    }

    #[test]
    fn a_name_that_nobody_can_type_names_nothing_and_is_shown_escaped() {
        let known = known(&["a\x1b[2J\nb", "bafkreiabc", " lead", "wind", "wind"], &[]);
        for status in &known[..3] {
            let name = &status.manifest.as_ref().unwrap().name;
            assert!(matches!(
                resolve(name, &known),
                Err(Unresolved::Unknown { .. })
            ));
            let log = status.log;
            assert_eq!(resolve(&log.to_string(), &known), Ok(log));
        }
        let error = resolve("bafkrei", &known).unwrap_err().to_string();
        assert!(error.contains("(a\\u{1b}[2J\\u{a}b)"), "{error}");
    }

    #[test]
    fn a_long_list_of_candidates_is_cut() {
        let known = known(&["x"; 39], &[]);
        let error = resolve("x", &known).unwrap_err().to_string();
        assert!(error.contains(" and 29 more"), "{error}");
    }
}
