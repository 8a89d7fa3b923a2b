//! Which version of a growing file a request gets, and whether a part of it:
//! never a part that its client would put to a part of another version
//! (RFC 9110, 13 and 14).

use axum::http::{HeaderMap, header};

use super::byte_range::ByteRange;
use super::told::Last;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The entity tag of the version.
    pub(super) tag: String,
    /// The part of it; else it is the whole.
    pub(super) part: Option<ByteRange>,
}

/// Why nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The version that the client insists on is gone.
    Gone,
    /// The client would put what it gets behind a part of another version,
    /// whatever it is told.
    WouldBeAppended,
}

/// What a request says about versions and parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
    /// A request for the head alone has no parts.
    pub(super) is_head: bool,
    /// The version of this moment.
    pub(super) current: &'a str,
    /// The one that the client was told last.
    pub(super) told: Option<&'a Last>,
}

impl Asked<'_> {
    /// Decides; `is_kept` tells whether an earlier version can still be read.
    pub(super) fn choice(&self, is_kept: impl Fn(&str) -> bool) -> Result<Choice, Refusal> {
        let is_there = |tag: &str| tag == self.current || is_kept(tag);
        let range = ByteRange::asked(self.headers).filter(|_| !self.is_head);
        let insists = tags(self.headers, &header::IF_MATCH);
        let named = match insists.is_empty() || insists.contains(&"*") {
            true => None,
            false => {
                let found = insists.iter().find(|tag| is_there(tag));
                Some(*found.ok_or(Refusal::Gone)?)
            }
        };
        let tag = named.unwrap_or(self.current);
        let Some(range) = range else {
            return Ok(whole(tag));
        };
        if let Some(validator) = self.headers.get(header::IF_RANGE) {
            // A date, and a weak tag, are of no version that is known here.
            let validator = validator.to_str().unwrap_or_default().trim();
            let fits = named.is_none_or(|named| named == validator) && is_there(validator);
            return Ok(if fits {
                part(validator, range)
            } else {
                whole(tag)
            });
        }
        if let Some(named) = named {
            return Ok(part(named, range));
        }
        self.unnamed(range, is_there)
    }

    /// The choice for a client that names no version: what it was told.
    fn unnamed(
        &self,
        range: ByteRange,
        is_there: impl Fn(&str) -> bool,
    ) -> Result<Choice, Refusal> {
        let told = match self.told {
            // Whatever is sent would be put to a part of another version by one
            // of them.
            Some(Last::Mixed) => None,
            Some(Last::One(told)) => Some(told),
            None => None,
        };
        let told = told.filter(|told| is_there(&told.tag));
        match range {
            ByteRange::Between(..) => Ok(match told {
                Some(told) => part(&told.tag, range),
                None => whole(self.current),
            }),
            ByteRange::Last(_) if self.told == Some(&Last::Mixed) => Ok(whole(self.current)),
            ByteRange::Last(bytes) => Ok(match told.filter(|told| bytes > told.end) {
                Some(told) => part(&told.tag, range),
                None => part(self.current, range),
            }),
            ByteRange::From(1..) if appends_anything(self.headers) => Err(Refusal::WouldBeAppended),
            // Who goes on with a download has its beginning from a version that
            // only he knows.
            ByteRange::From(_) => Ok(whole(self.current)),
        }
    }
}

fn whole(tag: &str) -> Choice {
    Choice {
        tag: tag.to_owned(),
        part: None,
    }
}

fn part(tag: &str, range: ByteRange) -> Choice {
    Choice {
        part: Some(range),
        ..whole(tag)
    }
}

/// Whether a client goes on with a download by whatever it gets. `wget -c` takes
/// the whole of another version for what it has, skips as many bytes as that,
/// appends the rest, and ends with status 0 (seen with 1.21; http.c,
/// `rb_skip_startpos`).
fn appends_anything(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT);
    agent.is_some_and(|agent| agent.as_bytes().starts_with(b"Wget/1."))
}

/// The tags of a header. Ours have no commas in them.
pub(super) fn tags<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(',').map(str::trim))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::told::Version;
    use super::*;

    const NOW: &str = "\"now\"";
    const KEPT: &str = "\"kept\"";
    const GONE: &str = "\"gone\"";
    const MIXED: &str = "mixed";

    /// A request with these headers by a client that was told this.
    fn choice(told: Option<(&str, u64)>, headers: &[(&str, &str)]) -> Result<Choice, Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        let told = told.map(|(tag, end)| match tag {
            MIXED => Last::Mixed,
            tag => Last::One(Version {
                tag: tag.to_owned(),
                end,
            }),
        });
        let asked = Asked {
            headers: &map,
            is_head: false,
            current: NOW,
            told: told.as_ref(),
        };
        asked.choice(|tag| tag == KEPT)
    }

    fn is_whole(choice: Result<Choice, Refusal>) -> bool {
        choice == Ok(whole(NOW))
    }

    #[test]
    fn who_names_no_version_gets_parts_of_the_one_that_he_was_told() {
        let between = ByteRange::Between(2, 5);
        let asked = [("range", "bytes=2-5")];
        assert_eq!(choice(Some((NOW, 0)), &asked), Ok(part(NOW, between)));
        assert_eq!(choice(Some((KEPT, 0)), &asked), Ok(part(KEPT, between)));
        assert!(is_whole(choice(Some((GONE, 0)), &asked)));
        assert!(is_whole(choice(None, &asked)));
        for told in [None, Some((NOW, 0)), Some((KEPT, 0))] {
            for open in ["bytes=0-", "bytes=7-"] {
                assert!(is_whole(choice(told, &[("range", open)])), "{open}");
            }
        }
    }

    #[test]
    fn more_of_an_end_is_of_the_same_version_and_as_much_begins_anew() {
        let asked = [("range", "bytes=-100")];
        let last = ByteRange::Last(100);
        assert_eq!(choice(None, &asked), Ok(part(NOW, last)));
        assert_eq!(choice(Some((KEPT, 0)), &asked), Ok(part(KEPT, last)));
        assert_eq!(choice(Some((KEPT, 8)), &asked), Ok(part(KEPT, last)));
        assert_eq!(choice(Some((KEPT, 100)), &asked), Ok(part(NOW, last)));
        assert_eq!(choice(Some((GONE, 8)), &asked), Ok(part(NOW, last)));
    }

    #[test]
    fn two_clients_that_cannot_be_told_apart_get_no_parts() {
        for range in ["bytes=2-5", "bytes=-8", "bytes=7-", "bytes=0-"] {
            assert!(
                is_whole(choice(Some((MIXED, 0)), &[("range", range)])),
                "{range}"
            );
        }
        let named = [("range", "bytes=2-5"), ("if-range", KEPT)];
        let between = ByteRange::Between(2, 5);
        assert_eq!(choice(Some((MIXED, 0)), &named), Ok(part(KEPT, between)));
    }

    #[test]
    fn a_validator_stands_above_what_was_told() {
        let from = ByteRange::From(7);
        let with = |name, value| choice(Some((NOW, 0)), &[("range", "bytes=7-"), (name, value)]);
        assert_eq!(with("if-range", NOW), Ok(part(NOW, from)));
        assert_eq!(with("if-range", KEPT), Ok(part(KEPT, from)));
        for other in [GONE, "W/\"now\"", "Sat, 29 Oct 1994 19:43:31 GMT", "*"] {
            assert!(is_whole(with("if-range", other)), "{other}");
        }
        assert_eq!(with("if-match", NOW), Ok(part(NOW, from)));
        assert_eq!(with("if-match", "\"x\", \"kept\""), Ok(part(KEPT, from)));
        assert_eq!(with("if-match", GONE), Err(Refusal::Gone));
        assert_eq!(with("if-match", "W/\"now\""), Err(Refusal::Gone));
        assert!(is_whole(with("if-match", "*")));
        let both = [("range", "bytes=7-"), ("if-match", KEPT), ("if-range", NOW)];
        assert_eq!(choice(None, &both), Ok(whole(KEPT)));
    }

    #[test]
    fn a_client_that_appends_anything_is_sent_nothing_to_append() {
        let wget = |told, range| {
            let agent = ("user-agent", "Wget/1.21.3");
            choice(told, &[("range", range), agent])
        };
        for told in [None, Some((NOW, 0)), Some((KEPT, 0)), Some((GONE, 0))] {
            assert_eq!(wget(told, "bytes=7-"), Err(Refusal::WouldBeAppended));
            assert!(is_whole(wget(told, "bytes=0-")));
        }
    }

    #[test]
    fn without_a_range_it_is_the_whole() {
        assert!(is_whole(choice(Some((KEPT, 0)), &[])));
        assert!(is_whole(choice(None, &[("range", "bytes=1-2,4-5")])));
        assert!(is_whole(choice(None, &[("if-range", KEPT)])));
        let head = Asked {
            headers: &HeaderMap::from_iter([(header::RANGE, "bytes=2-5".parse().unwrap())]),
            is_head: true,
            current: NOW,
            told: None,
        };
        assert!(is_whole(head.choice(|_| true)));
    }
}
