//! The times of a file, row by row.

use headwater_client::times::Written;
use headwater_client::times::text::to_text;
use headwater_client::times::{self, Moment, TimeError, TimeForm, can_be_meant};

use super::folds::{LocalRow, RowPlace};
use super::guess::pattern_advice;
use super::time_zone::{LocalTimes, Zone};

/// How the times of a file are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeReading {
    pub(crate) form: TimeForm,
    /// What those without an offset are in; UTC, unless it is said.
    pub(crate) local: Option<LocalTimes>,
    /// Nobody has said the form.
    pub(crate) is_found_out: bool,
    /// Years before 1000 are meant.
    pub(crate) any_year: bool,
}

impl TimeReading {
    /// What the times are, for people.
    pub(crate) fn described(&self) -> String {
        let (mut said, flag) = match &self.form {
            TimeForm::Unix(unit) => (format!("times are {unit} since 1970"), "--time-unit"),
            TimeForm::Strptime(pattern) => (format!("times are of the form `{pattern}`"), ""),
            TimeForm::Iso => ("times are RFC 3339".to_owned(), "--time-format"),
        };
        if let Some(local) = &self.local {
            let zone = local.zone().name();
            said.push_str(&format!(", in {zone} where they have no offset"));
        }
        if self.is_found_out {
            said.push_str(&format!(" (found out; else say {flag})"));
        }
        said
    }

    /// Reads the times of a file from its beginning.
    pub(crate) fn reader(&self) -> TimeReader {
        TimeReader {
            reading: self.clone(),
            advice: None,
        }
    }
}

/// Reads the times of a file.
#[derive(Clone, Debug)]
pub(crate) struct TimeReader {
    reading: TimeReading,
    /// What to do about the first text that was no time: it is the same for the
    /// others, and takes long to find out.
    advice: Option<String>,
}

impl TimeReader {
    /// Reads the next time.
    ///
    /// # Errors
    /// It is none; says why.
    pub(crate) fn read(&mut self, text: &str, row: RowPlace) -> Result<Moment, String> {
        let written = match self.reading.form.written(text) {
            Ok(written) => written,
            Err(error) => return Err(self.advised(text, &error)),
        };
        let moment = self.moment(written, text, row)?;
        let is_meant = self.reading.any_year || matches!(self.reading.form, TimeForm::Unix(_));
        match is_meant {
            true => Ok(moment),
            false => times::observed_text(moment, text).map_err(|error| format!("time {error}")),
        }
    }

    /// The zone of the times without an offset, if it is said.
    pub(super) fn zone(&self) -> Option<&Zone> {
        self.reading.local.as_ref().map(LocalTimes::zone)
    }

    fn moment(&self, written: Written, text: &str, row: RowPlace) -> Result<Moment, String> {
        match (written, &self.reading.local) {
            (Written::Moment(moment), _) => self.likely(text, moment),
            (Written::Local(local), Some(zone)) => zone.at(local, row, text),
            (Written::Local(local), None) => {
                let moment = local.in_utc(text);
                moment.map_err(|error| format!("time {error}"))
            }
        }
    }

    /// How often the clocks of the zone showed it, of a row of the file at this
    /// place; `None` where there is no zone, or it is no local time.
    pub(crate) fn local_row(&self, text: &str, file: usize, row: RowPlace) -> Option<LocalRow> {
        let zone = self.reading.local.as_ref()?.zone();
        match self.reading.form.written(text) {
            Ok(Written::Local(local)) => Some(LocalRow {
                at: row.of_file(file),
                local: local.micros(),
                shown: zone.shown(local)?,
            }),
            Ok(Written::Moment(_)) | Err(_) => None,
        }
    }

    fn advised(&mut self, text: &str, error: &TimeError) -> String {
        let is_form = matches!(error, TimeError::NotRfc3339 { .. });
        if !is_form || !self.reading.is_found_out {
            return format!("time {error}");
        }
        let advice = self.advice.get_or_insert_with(|| pattern_advice(text));
        format!("time {error}; {advice}")
    }

    /// A number whose unit nobody has said must be one that can be meant.
    fn likely(&self, text: &str, moment: Moment) -> Result<Moment, String> {
        match self.reading.form {
            TimeForm::Unix(unit) if self.reading.is_found_out && !can_be_meant(moment.time) => {
                Err(format!(
                    "time `{text}` would be {} in {unit}, which the other rows are in; if it is meant, say the unit with \
                     --time-unit",
                    to_text(moment.time)
                ))
            }
            _ => Ok(moment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: RowPlace = RowPlace { row: 0, line: 2 };

    fn reader(form: &str, zone: Option<&str>, is_found_out: bool) -> TimeReader {
        let reading = TimeReading {
            form: form.parse().unwrap(),
            local: zone.map(|zone| LocalTimes::new(zone.parse().unwrap())),
            is_found_out,
            any_year: false,
        };
        reading.reader()
    }

    #[test]
    fn a_number_is_far_from_the_others_only_where_its_unit_was_said() {
        let read = |text: &str, is_found_out| reader("unix-ms", None, is_found_out).read(text, ROW);
        assert!(read("1700000000123", true).is_ok());
        let error = read("0", true).unwrap_err();
        assert!(
            error.contains("1970-01-01") && error.contains("--time-unit"),
            "{error}"
        );
        assert_eq!(read("0", false).map(|moment| moment.time.0), Ok(0));
    }

    #[test]
    fn a_zone_is_for_times_that_have_no_offset() {
        let mut reader = reader("iso", Some("Europe/Berlin"), false);
        let mut read = |text: &str| to_text(reader.read(text, ROW).unwrap().time)[..16].to_owned();
        assert_eq!(read("2024-05-01 12:00:00"), "2024-05-01T10:00");
        assert_eq!(read("2024-05-01T12:00:00Z"), "2024-05-01T12:00");
        assert_eq!(read("2024-05-01T12:00:00-02:00"), "2024-05-01T14:00");
        assert_eq!(read("2024-05-01"), "2024-04-30T22:00");
    }

    #[test]
    fn what_is_no_time_comes_with_the_pattern_that_reads_it() {
        let error = reader("iso", None, true)
            .read("01.05.2024", ROW)
            .unwrap_err();
        assert!(error.contains("--time-format \"%d.%m.%Y\""), "{error}");
        let said = reader("iso", None, false)
            .read("01.05.2024", ROW)
            .unwrap_err();
        assert!(!said.contains("%d"), "{said}");
        let leap = reader("iso", None, true).read("2024-05-01T12:30:60Z", ROW);
        assert!(!leap.unwrap_err().contains("--time-format"));
    }
}
