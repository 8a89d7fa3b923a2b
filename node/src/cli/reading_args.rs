//! What a user can say of how a file is written.

use clap::{Args, ValueEnum};
use headwater_client::times::{TimeForm, Unit};

use super::Usage;
use crate::import::delimiter::Delimiter;
use crate::import::dialect::Said;
use crate::import::folds::Pass;
use crate::import::time_zone::Zone;

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
    repeated_hour: Option<Which>,
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

/// Which of the two times is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Before they were put back
    First,
    /// After they were put back
    Second,
}

impl ReadingArgs {
    /// Which of two times is meant at which the clocks showed the same.
    pub(crate) fn repeated_hour(&self) -> Option<Pass> {
        self.repeated_hour.map(|which| match which {
            Which::First => Pass::First,
            Which::Second => Pass::Second,
        })
    }

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
            is_typed: false,
        };
        if let Some(form) = said.form.clone() {
            said.times(form).map_err(Usage::error)?;
        }
        Ok(said)
    }
}
