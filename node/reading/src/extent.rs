//! What may be read of a stream, as its status tells it: what is kept, what both of
//! two histories have, and what this version knows how to read.

use headwater_client::proof::disputed;
use headwater_protocols::engine::LogStatus;

use crate::selection::Selection;
use crate::unreadable::Unreadable;

/// Refuses to read records that only a later version knows how to.
///
/// # Errors
/// It is one of these.
pub fn require_readable(status: &LogStatus) -> Result<(), Unreadable> {
    let newer = status.manifest.as_ref().and_then(|one| one.too_new());
    match newer {
        None => Ok(()),
        Some(&newer) => {
            let log = status.log;
            Err(Unreadable::TooNew { log, newer })
        }
    }
}

/// A selection below `size` as far as records are kept: from the beginning means
/// from the first one that is.
///
/// # Errors
/// Records are asked for by their indexes that are not.
pub fn kept(status: &LogStatus, selection: Selection, size: u64) -> Result<Selection, Unreadable> {
    let begin = status.begin.min(size);
    let to = selection.to.min(size);
    let selection = Selection { to, ..selection };
    let (from, to) = selection.needed();
    if from >= begin || from >= to {
        return Ok(selection);
    }
    if selection.from > 0 || to <= begin {
        return Err(dropped(status, from));
    }
    Ok(Selection {
        from: begin,
        ..selection
    })
}

/// Refuses to answer about a record that was dropped.
///
/// # Errors
/// It was.
pub fn require_kept(status: &LogStatus, index: u64) -> Result<(), Unreadable> {
    match index < status.begin {
        true => Err(dropped(status, index)),
        false => Ok(()),
    }
}

pub(super) fn dropped(status: &LogStatus, index: u64) -> Unreadable {
    let (log, begin) = (status.log, status.begin);
    Unreadable::Dropped { log, index, begin }
}

/// Refuses records that only one of two histories has, where they are asked for by
/// their indexes. An open end is where both end.
///
/// # Errors
/// They reach beyond what both have.
pub fn require_undisputed(status: &LogStatus, selection: &Selection) -> Result<(), Unreadable> {
    let Some(disputed_from) = status.disputed_from else {
        return Ok(());
    };
    let size = status.head.as_ref().map_or(0, |head| head.size);
    let closed = Selection {
        to: selection.to.min(size),
        ..*selection
    };
    let reaches = match selection.to {
        u64::MAX => selection.from >= disputed_from && selection.from < size,
        _ => {
            let (from, to) = closed.needed();
            from < to && to > disputed_from
        }
    };
    match reaches {
        true => Err(in_dispute(status, disputed_from)),
        false => Ok(()),
    }
}

/// Refuses to say which record is the latest until some time where nothing that is here
/// counts. That a stream has ended with nothing is known.
///
/// # Errors
/// It is so.
pub fn require_any_undisputed(status: &LogStatus) -> Result<(), Unreadable> {
    let size = status.head.as_ref().map_or(0, |head| head.size);
    match status.disputed_from {
        Some(0) if size > 0 && status.ends_at() != Some(0) => Err(in_dispute(status, 0)),
        Some(_) | None => Ok(()),
    }
}

/// What is said where what is asked for is disputed from this index on.
#[must_use]
pub fn in_dispute(status: &LogStatus, from: u64) -> Unreadable {
    Unreadable::Disputed(disputed(status, from))
}

/// Refuses a stream of which anything that only one of two histories has is here. Of a
/// recovered stream there is no doubt once all that counts is known.
///
/// # Errors
/// There is such a thing, or nothing of the stream has come.
pub fn require_no_dispute(status: &LogStatus) -> Result<(), Unreadable> {
    let head = status.head.as_ref();
    let size = head.ok_or(Unreadable::NotComeYet(status.log))?.size;
    let end = status.recovered.as_ref().map(|end| end.tree().size);
    match status.disputed_from {
        Some(from) if from < size && end != Some(from) => Err(in_dispute(status, from)),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Order;
    use crate::tests::{KEY, all_held};

    #[test]
    fn the_beginning_is_the_first_record_that_is_kept_and_those_before_are_gone() {
        let mut status = all_held(KEY, 100);
        status.begin = 40;
        let from = |from, to| {
            let kept = kept(&status, Selection::indexes(from, to), 100);
            kept.map(|kept| (kept.from, kept.to))
        };
        assert_eq!(from(0, u64::MAX), Ok((40, 100)));
        assert_eq!(from(0, 41), Ok((40, 41)));
        assert_eq!(from(40, 60), Ok((40, 60)));
        // Nothing is asked for.
        assert_eq!(from(0, 0), Ok((0, 0)));
        for (first, to) in [(1, 60), (39, 40), (0, 40), (0, 1)] {
            let gone = from(first, to);
            assert!(
                matches!(gone, Err(Unreadable::Dropped { begin: 40, .. })),
                "{first} to {to}"
            );
        }
        let last = Selection {
            limit: Some(3),
            order: Order::Descending,
            ..Selection::indexes(5, 100)
        };
        assert_eq!(kept(&status, last, 100), Ok(last));
        assert!(require_kept(&status, 40).is_ok());
        let gone = require_kept(&status, 39).unwrap_err();
        assert!(gone.to_string().contains("retention"));
    }
}
