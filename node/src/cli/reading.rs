//! How a CSV file is written: what its user has said, and what was found out of
//! the rest.

use std::fmt;

use clap::Args;
use headwater_client::times::{TimeForm, Unit};

use super::Usage;
use super::delimiter::Delimiter;
use super::folds::Pass;
use super::guess::{TimeCensus, ValueCensus};
use super::time_reader::TimeReading;
use super::time_zone::{LocalTimes, Zone};

/// What a user can say of how a CSV file is written.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReadingArgs {
    /// How times are written, if that is not found out: iso (RFC 3339; UTC if
    /// there is no offset), unix, unix-ms, unix-us, unix-ns (whole, or with a
    /// fraction), or a pattern as "%d.%m.%Y %H:%M"
    #[arg(long, value_name = "FORM", value_parser = str::parse::<TimeForm>)]
    time_format: Option<TimeForm>,
    /// The unit of times that are numbers: s, ms, us or ns since 1970. In CSV it is
    /// found out, elsewhere they must be microseconds without it
    #[arg(long, value_name = "UNIT", conflicts_with = "time_format", value_parser = str::parse::<Unit>)]
    pub(crate) time_unit: Option<Unit>,
    /// The time zone of times without an offset, such as Europe/Berlin [default:
    /// UTC]. Hours that the clocks show twice are told by the order of all rows, or
    /// they are bad rows
    #[arg(long, value_name = "TZ", value_parser = str::parse::<Zone>)]
    time_zone: Option<Zone>,
    /// Which time is meant in an hour that the clocks show twice, where the order of
    /// the rows does not tell
    #[arg(long, value_name = "WHICH", value_enum, requires = "time_zone")]
    pub(crate) repeated_hour: Option<Pass>,
    /// Take times of years before 1000, too, which are slips such as 24 for 2024 mostly
    #[arg(long)]
    pub(crate) any_year: bool,
    /// Take times more than a day ahead of now also into a stream whose times are
    /// ordered: nothing can be published behind them before then
    #[arg(long)]
    pub(crate) far_ahead: bool,
    /// What stands between the fields of a CSV file, if that is not found out:
    /// one character, or tab, semicolon, pipe, space
    #[arg(long, value_name = "C", value_parser = str::parse::<Delimiter>)]
    delimiter: Option<Delimiter>,
    /// Numbers have a decimal comma (1,5)
    #[arg(long)]
    pub(crate) decimal_comma: bool,
}

impl ReadingArgs {
    /// A flag that was said and is of CSV files alone.
    pub(crate) fn of_csv(&self) -> Option<&'static str> {
        let said = [
            ("--time-zone", self.time_zone.is_some()),
            ("--repeated-hour", self.repeated_hour.is_some()),
            ("--time-format", self.time_format.is_some()),
            ("--delimiter", self.delimiter.is_some()),
            ("--decimal-comma", self.decimal_comma),
        ];
        let first = said.into_iter().find(|(_, is_said)| *is_said);
        first.map(|(flag, _)| flag)
    }

    /// # Errors
    /// A time zone for times that count since 1970.
    pub(crate) fn said(&self) -> anyhow::Result<Said> {
        let unit = self.time_unit.map(TimeForm::Unix);
        let said = Said {
            form: self.time_format.clone().or(unit),
            zone: self.time_zone.clone(),
            any_year: self.any_year,
            delimiter: self.delimiter,
            decimal_comma: self.decimal_comma,
        };
        if let Some(form) = said.form.clone() {
            said.times(form).map_err(Usage::error)?;
        }
        Ok(said)
    }
}

/// What was said of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) form: Option<TimeForm>,
    zone: Option<Zone>,
    any_year: bool,
    pub(crate) delimiter: Option<Delimiter>,
    pub(crate) decimal_comma: bool,
}

/// How the rows of a file are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) delimiter: Delimiter,
    pub(crate) times: TimeReading,
    pub(crate) decimal_comma: bool,
    /// What nobody has said, though it is unusual.
    found_out: (bool, bool),
}

impl Said {
    /// How times of this form are read.
    fn times(&self, form: TimeForm) -> Result<TimeReading, String> {
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
    pub(crate) fn reading(
        &self,
        delimiter: Delimiter,
        times: &TimeCensus,
        values: &ValueCensus,
    ) -> Result<Reading, String> {
        let form = match &self.form {
            Some(form) => form.clone(),
            None => times.form()?,
        };
        let decimal_comma =
            self.decimal_comma || values.decimal_comma(delimiter == Delimiter::COMMA);
        Ok(Reading {
            decimal_comma,
            ..self.plain(delimiter, form)?
        })
    }

    /// What was said, where the rows need not be looked at.
    ///
    /// # Errors
    /// A time zone for times that count since 1970.
    pub(crate) fn plain(&self, delimiter: Delimiter, form: TimeForm) -> Result<Reading, String> {
        Ok(Reading {
            delimiter,
            times: self.times(form)?,
            decimal_comma: self.decimal_comma,
            found_out: (self.delimiter.is_none(), !self.decimal_comma),
        })
    }
}

impl fmt::Display for Reading {
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
            let how = found_out(comma, "--value-type text");
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
        let reading = Said::default().reading(semicolon, &times, &values).unwrap();
        assert_eq!(
            reading.to_string(),
            "times are milliseconds since 1970 (found out; else say --time-unit); fields are separated by `;` (found out; \
             else say --delimiter); numbers have a decimal comma (found out; else say --value-type text)"
        );
        let said = Said {
            form: Some(TimeForm::Iso),
            delimiter: Some(semicolon),
            decimal_comma: true,
            zone: Some("Europe/Berlin".parse().unwrap()),
            any_year: false,
        };
        assert_eq!(
            said.reading(semicolon, &times, &values)
                .unwrap()
                .to_string(),
            "times are RFC 3339, in Europe/Berlin where they have no offset; fields are separated by `;`; numbers have a \
             decimal comma"
        );
    }

    #[test]
    fn a_time_zone_for_numbers_is_a_mistake() {
        let (times, values) = census(&[("1700000000", "1")]);
        let said = Said {
            zone: Some("Europe/Berlin".parse().unwrap()),
            ..Said::default()
        };
        let error = said.reading(Delimiter::COMMA, &times, &values).unwrap_err();
        assert!(
            error.contains("leave off --time-zone Europe/Berlin"),
            "{error}"
        );
    }
}
