//! How a CSV file is written: what its user has said, and what was found out of
//! the rest.

use std::fmt;

use headwater_client::times::TimeForm;

use super::delimiter::Delimiter;
use super::guess::{TimeCensus, ValueCensus};
use super::time_reader::TimeReading;
use super::time_zone::{LocalTimes, Zone};

/// What was said of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) form: Option<TimeForm>,
    pub(crate) zone: Option<Zone>,
    pub(crate) any_year: bool,
    pub(crate) delimiter: Option<Delimiter>,
    pub(crate) decimal_comma: bool,
    /// The stream is there, so that its type of values is not to be said any more.
    pub(crate) is_typed: bool,
}

/// How the rows of a file are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) delimiter: Delimiter,
    pub(crate) times: TimeReading,
    pub(crate) decimal_comma: bool,
    /// What nobody has said, though it is unusual.
    found_out: (bool, bool),
    is_typed: bool,
}

impl Said {
    /// How times of this form are read.
    ///
    /// # Errors
    /// A time zone for times that count since 1970.
    pub(crate) fn times(&self, form: TimeForm) -> Result<TimeReading, String> {
        let reading = TimeReading {
            form,
            local: self.zone.clone().map(LocalTimes::new),
            is_found_out: self.form.is_none(),
            any_year: self.any_year,
        };
        match (&reading.form, &self.zone) {
            (TimeForm::Unix(unit), Some(zone)) => Err(format!(
                "its times are {unit} since 1970, which is the same moment in every time zone; leave off --time-zone {}",
                zone.name()
            )),
            _ => Ok(reading),
        }
    }

    /// What was said, and what the rows tell of the rest.
    ///
    /// # Errors
    /// They do not tell; says what to say.
    pub(crate) fn dialect(
        &self,
        delimiter: Delimiter,
        times: &TimeCensus,
        values: &ValueCensus,
    ) -> Result<Dialect, String> {
        let form = match &self.form {
            Some(form) => form.clone(),
            None => times.form()?,
        };
        let decimal_comma =
            self.decimal_comma || values.decimal_comma(delimiter == Delimiter::COMMA);
        Ok(Dialect {
            decimal_comma,
            ..self.plain(delimiter, form)?
        })
    }

    /// What was said, where the rows need not be looked at.
    ///
    /// # Errors
    /// A time zone for times that count since 1970.
    pub(crate) fn plain(&self, delimiter: Delimiter, form: TimeForm) -> Result<Dialect, String> {
        Ok(Dialect {
            delimiter,
            times: self.times(form)?,
            decimal_comma: self.decimal_comma,
            found_out: (self.delimiter.is_none(), !self.decimal_comma),
            is_typed: self.is_typed,
        })
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.times.described())?;
        let (delimiter, comma) = self.found_out;
        let found_out = |is: bool, flag: &str| match is {
            true => format!(" (found out; else say {flag})"),
            false => String::new(),
        };
        if self.delimiter != Delimiter::COMMA {
            let how = found_out(delimiter, "--delimiter");
            write!(f, "; fields are separated by {}{how}", self.delimiter)?;
        }
        if self.decimal_comma {
            let how = match self.is_typed && comma {
                true => " (found out)".to_owned(),
                false => found_out(comma, "--value-type text"),
            };
            write!(f, "; numbers have a decimal comma{how}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(rows: &[(&str, &str)]) -> (TimeCensus, ValueCensus) {
        let (mut times, mut values) = (TimeCensus::default(), ValueCensus::default());
        for (line, (time, value)) in (2..).zip(rows) {
            times.add(line, time);
            values.add(line, value);
        }
        (times, values)
    }

    #[test]
    fn what_was_found_out_is_said_with_its_flag() {
        let (times, values) = census(&[("1700000000123", "1,5")]);
        let semicolon: Delimiter = ";".parse().unwrap();
        let dialect = Said::default().dialect(semicolon, &times, &values).unwrap();
        assert_eq!(
            dialect.to_string(),
            "times are milliseconds since 1970 (found out; else say --time-unit); fields are separated by `;` (found out; \
             else say --delimiter); numbers have a decimal comma (found out; else say --value-type text)"
        );
        let said = Said {
            form: Some(TimeForm::Iso),
            delimiter: Some(semicolon),
            decimal_comma: true,
            zone: Some("Europe/Berlin".parse().unwrap()),
            any_year: false,
            is_typed: false,
        };
        assert_eq!(
            said.dialect(semicolon, &times, &values)
                .unwrap()
                .to_string(),
            "times are RFC 3339, in Europe/Berlin where they have no offset; fields are separated by `;`; numbers have a \
             decimal comma"
        );
    }

    #[test]
    fn nobody_is_told_to_say_a_type_that_the_stream_has() {
        let (times, values) = census(&[("2024-01-01", "1,5")]);
        let typed = Said {
            is_typed: true,
            ..Said::default()
        };
        let reading = typed.dialect(";".parse().unwrap(), &times, &values);
        let said = reading.unwrap().to_string();
        assert!(
            said.ends_with("numbers have a decimal comma (found out)"),
            "{said}"
        );
    }

    #[test]
    fn a_time_zone_for_numbers_is_a_mistake() {
        let (times, values) = census(&[("1700000000", "1")]);
        let said = Said {
            zone: Some("Europe/Berlin".parse().unwrap()),
            ..Said::default()
        };
        let error = said.dialect(Delimiter::COMMA, &times, &values).unwrap_err();
        assert!(
            error.contains("leave off --time-zone Europe/Berlin"),
            "{error}"
        );
    }
}
