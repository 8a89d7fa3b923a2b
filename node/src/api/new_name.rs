//! Whether a name may be given to a stream here, by `create` or as an alias:
//! nobody takes it for another stream, and nothing takes it for an id.

use axum::http::StatusCode;
use headwater_protocols::id::LogId;
use headwater_protocols::manifest::{Likeness, check_name, likeness};

use super::limits::MIN_ID_PART;
use super::problem::ApiError;
use super::resolve::{Names, spelled};

/// Refuses a name that is none, that is a part of an id, or that one of the
/// user's own names looks like. Those that other publishers have given bar no
/// name. `log` is the stream that is to be called so, if it is there.
///
/// # Errors
/// It cannot be taken; says why.
pub(super) fn require_unlike(
    names: Names<'_>,
    name: &str,
    log: Option<LogId>,
) -> Result<(), ApiError> {
    check_name(name).map_err(|error| ApiError::bad_request(error.to_string()))?;
    if let Some(known) = with_part(names, name) {
        let text = format!(
            "the name `{name}` is a part of the id of stream {known}, which it would be taken for; take \
             another one"
        );
        return Err(ApiError::bad_request(text));
    }
    let own = names.known.iter().filter(|status| status.owned);
    let own = own.filter_map(|status| Some((status.log, &*status.manifest.as_deref()?.name)));
    let given = own.chain(names.aliases.all());
    let mut others = given.filter(|(other, _)| Some(*other) != log);
    let alike = others.find_map(|(log, other)| Some((log, other, likeness(name, other)?)));
    let Some((log, other, how)) = alike else {
        return Ok(());
    };
    let how = match how {
        Likeness::Written => "is the same text, written with other characters",
        Likeness::Looks => "looks the same",
    };
    Err(ApiError::new(
        StatusCode::CONFLICT,
        format!(
            "the name `{}` {how}, as `{}`, which is what this node calls stream {log}; take another name",
            spelled(name),
            spelled(other)
        ),
    ))
}

/// The stream whose id has this text in it.
fn with_part(names: Names<'_>, name: &str) -> Option<LogId> {
    let known = names.known.iter().filter(|_| name.len() >= MIN_ID_PART);
    let mut known = known.map(|status| status.log);
    known.find(|log| log.to_string().contains(name))
}

/// Ids of the other streams here whose names a reader takes for those of this
/// one, which has these.
pub(super) fn lookalikes(names: Names<'_>, log: LogId, called: &[&str]) -> Vec<LogId> {
    let others = names.known.iter().filter(|status| status.log != log);
    let alike = others.filter(|status| {
        let name = status.manifest.as_deref().map(|manifest| &*manifest.name);
        let others = [name, names.aliases.of(status.log)].into_iter().flatten();
        others
            .into_iter()
            .any(|other| called.iter().any(|name| likeness(name, other).is_some()))
    });
    alike.map(|status| status.log).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headwater_protocols::engine::LogStatus;

    use super::super::view::tests::status;
    use super::*;
    use crate::aliases::Aliases;

    /// An own stream, and one of somebody else.
    fn known(own: &str, other: &str) -> Vec<Arc<LogStatus>> {
        let own = LogStatus {
            owned: true,
            ..status(own, 1, 0)
        };
        vec![Arc::new(own), Arc::new(status(other, 2, 0))]
    }

    fn refused(known: &[Arc<LogStatus>], name: &str) -> Option<(u16, String)> {
        let aliases = Aliases::default();
        let names = Names {
            known,
            aliases: &aliases,
        };
        let error = require_unlike(names, name, None).err()?;
        Some((error.problem().status, error.problem().detail.clone()))
    }

    #[test]
    fn a_part_of_an_id_is_no_name_wherever_it_stands() {
        let known = known("wind", "rain");
        let id = known[1].log.to_string();
        for part in [
            &id[id.len() - 8..],
            &id[id.len() - 6..],
            &id[20..40],
            &id[30..36],
        ] {
            let (status, detail) = refused(&known, part).unwrap();
            assert_eq!(status, 400, "{part}");
            assert!(detail.contains("id"), "{detail}");
        }
        for name in [&id[30..35], "temperature", "kernel"] {
            assert_eq!(refused(&known, name), None, "{name}");
        }
    }

    #[test]
    fn a_name_that_looks_like_an_own_one_is_refused_and_spelled() {
        let known = known("caf\u{e9}", "wind");
        let (status, detail) = refused(&known, "cafe\u{301}").unwrap();
        assert_eq!(status, 409);
        assert!(
            detail.contains("`cafe\\u{301}`") && detail.contains("same text"),
            "{detail}"
        );
        let (status, detail) = refused(&known, "\u{441}af\u{e9}").unwrap();
        assert_eq!(status, 409);
        assert!(
            detail.contains("\\u{441}") && detail.contains("looks the same"),
            "{detail}"
        );
        // A stream of somebody else takes no name away.
        assert_eq!(refused(&known, "w\u{456}nd"), None);
        assert_eq!(refused(&known, "wind"), None);
        assert_eq!(
            refused(&known, "caf\u{e9}"),
            None,
            "it is refused by who knows whose it is"
        );
    }

    #[test]
    fn an_alias_looks_like_none_but_that_of_its_stream() {
        let known = known("x", "wind");
        let mut aliases = Aliases::default();
        aliases.set(known[1].log, Some("h\u{f6}he")).unwrap();
        let names = Names {
            known: &known,
            aliases: &aliases,
        };
        assert!(require_unlike(names, "ho\u{308}he", None).is_err());
        assert!(require_unlike(names, "ho\u{308}he", Some(known[1].log)).is_ok());
    }

    #[test]
    fn streams_that_look_like_another_are_listed() {
        let known = known("wind", "w\u{456}nd");
        let aliases = Aliases::default();
        let names = Names {
            known: &known,
            aliases: &aliases,
        };
        assert_eq!(lookalikes(names, known[0].log, &["wind"]), [known[1].log]);
        assert!(lookalikes(names, known[0].log, &["rain"]).is_empty());
    }
}
