//! Observations: a value at a time, from the publisher, kept by retention.

use super::{Rules, Terms, Unfit};
use crate::record::Record;
use crate::time::Timestamp;

/// The rules of streams of observations.
#[derive(Debug)]
pub(super) struct Observations;

impl Rules for Observations {
    fn check(&self, terms: Terms, record: &Record, last: Option<Timestamp>) -> Result<(), Unfit> {
        let (value, max) = (record.value(), terms.max_value_bytes);
        if value.len() > max {
            let bytes = value.len();
            return Err(Unfit::Value(format!(
                "has {bytes} bytes, more than the {max} of this stream, which its chunk level sets"
            )));
        }
        (terms.value_type.check(&value)).map_err(|why| Unfit::Value(why.to_owned()))?;
        match last.filter(|&last| terms.ordered && record.time() < last) {
            Some(last) => Err(Unfit::Before(last)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::ValueType;

    #[test]
    fn only_where_times_are_ordered_an_earlier_one_is_refused() {
        let terms = |ordered| Terms {
            value_type: ValueType::Number,
            max_value_bytes: 9,
            ordered,
        };
        let (early, late) = (Timestamp(1_000_000), Timestamp(2_000_000));
        let check = |ordered, time, last| {
            Observations.check(terms(ordered), &Record::new(time, b"1"), last)
        };
        for (ordered, time, last) in [
            (true, early, None),
            (true, early, Some(early)),
            (true, late, Some(early)),
            (false, early, Some(late)),
        ] {
            assert_eq!(check(ordered, time, last), Ok(()));
        }
        let why = check(true, early, Some(late));
        assert_eq!(why, Err(Unfit::Before(late)));
    }
}
