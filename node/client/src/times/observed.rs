//! Times of observations, which are signed for ever: what cannot be meant is
//! refused, unless it is said that it is.

use headwater_protocols::time::Timestamp;

use super::error::TimeError;
use super::limits::FIRST_YEAR;
use super::moment::Moment;
use super::{number, shown};

/// Refuses a text of a year before 1000. Numbers have a unit that says what they
/// are.
///
/// # Errors
/// It lies before that year. The text, or token of JSON, is what errors quote.
pub fn observed(moment: Moment, written: &str) -> Result<Moment, TimeError> {
    if !is_early(moment.time) {
        return Ok(moment);
    }
    let text = written.trim().trim_matches('"');
    match number::Decimal::parse(text) {
        Some(_) => Ok(moment),
        None => observed_text(moment, text),
    }
}

/// The same of what no unit was said of, such as `010524` for the pattern
/// `%d%m%Y`.
///
/// # Errors
/// It lies before that year.
pub fn observed_text(moment: Moment, text: &str) -> Result<Moment, TimeError> {
    match is_early(moment.time) {
        true => Err(TimeError::Early(shown(text.trim()))),
        false => Ok(moment),
    }
}

/// Whether a text of this time is one that [`observed`] refuses.
#[must_use]
pub fn is_early(time: Timestamp) -> bool {
    time < FIRST_YEAR
}

#[cfg(test)]
mod tests {
    use super::super::{TimeForm, Unit, of_json};
    use super::*;

    #[test]
    fn a_year_of_two_digits_is_no_year() {
        let read = |token: &str, unit| {
            let moment = of_json(token, unit, None).unwrap();
            observed(moment, token).map_err(|error| error.to_string())
        };
        for text in ["\"0024-05-01\"", "\"0999-12-31T23:59:59.999999Z\""] {
            let error = read(text, None).unwrap_err();
            assert!(error.contains("before the year 1000"), "{error}");
            assert!(error.contains("time_unit") && error.contains("--any-year"));
        }
        for text in ["\"1000-01-01T00:00:00Z\"", "\"1750-01-01\""] {
            assert!(read(text, None).is_ok(), "{text}");
        }
        // Whoever says the unit means it.
        for number in ["-61409188200", "\"-61409188200\""] {
            assert!(read(number, Some(Unit::Seconds)).is_ok(), "{number}");
        }
        let form: TimeForm = "%d.%m.%Y".parse().unwrap();
        let slip = form.read("01.05.24").unwrap();
        assert!(is_early(slip.time) && observed(slip, "01.05.24").is_err());
        let form: TimeForm = "%d%m%Y".parse().unwrap();
        let slip = form.read("010524").unwrap();
        assert!(observed_text(slip, "010524").is_err());
    }
}
