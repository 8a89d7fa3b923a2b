//! What the rows of a file tell of how they are written. All rows are looked at:
//! the first one alone may be the odd one out. Where they do not tell, nothing
//! is guessed, and the flag is named that says it.

use headwater_client::times::{TimeError, TimeForm, Unit, can_be_meant};
use headwater_protocols::manifest::ValueType;

use super::number_text::{Look, is_identifier};
use super::unclear::Flag;

/// Texts that are read before it is said that none of them is a time.
const TRIED: u64 = 100;

/// Patterns of times that are common, and are proposed where a text is of one.
const PATTERNS: &[&str] = &[
    "%Y%m%d",
    "%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y.%m.%d %H:%M:%S",
    "%Y-%m",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y",
    "%b %d %Y",
    "%b %e %Y",
    "%b %d, %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y%m%d%H%M%S",
    "%Y%m%d %H%M",
];

/// How many rows have something, and the first of them.
#[derive(Clone, Debug, Default)]
struct Seen {
    count: u64,
    first: Option<(u64, String)>,
    /// What is wrong with the first as a number.
    advice: Option<&'static str>,
}

impl Seen {
    fn add(&mut self, line: u64, text: &str) {
        self.count += 1;
        if self.first.is_none() {
            self.first = Some((line, shown(text)));
        }
    }

    fn add_value(&mut self, line: u64, text: &str, look: Look) {
        if self.first.is_none() {
            self.advice = look.advice();
        }
        self.add(line, text);
    }

    /// The first of them, for people.
    fn first(&self) -> String {
        let (line, text) = self.first.clone().unwrap_or_default();
        format!("line {line}: `{text}`")
    }
}

fn shown(text: &str) -> String {
    crate::wording::printable(&text.chars().take(64).collect::<String>())
}

/// The times of all rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimeCensus {
    /// Numbers by the unit in which they can be meant.
    units: [Seen; Unit::ALL.len()],
    /// Numbers that are no time of our years in any unit.
    unlike: Seen,
    words: Seen,
    /// One of the first words is a time of RFC 3339.
    is_iso: bool,
}

impl TimeCensus {
    /// Looks at the time of a row.
    pub(crate) fn add(&mut self, line: u64, text: &str) {
        let number = match text.parse::<i64>() {
            Ok(number) => Some(number),
            Err(_) => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
                let digits = whole.strip_prefix('-').unwrap_or(whole);
                if !are_digits(digits) || !are_digits(fraction) {
                    return self.word(line, text);
                }
                whole.parse().ok()
            }
        };
        let is_meant = |unit: &Unit| {
            let time = number.and_then(|number| unit.time(number));
            time.is_some_and(can_be_meant)
        };
        match Unit::ALL.iter().position(is_meant) {
            Some(unit) => self.units[unit].add(line, text),
            None => self.unlike.add(line, text),
        }
    }

    fn word(&mut self, line: u64, text: &str) {
        self.words.add(line, text);
        if !self.is_iso && self.words.count <= TRIED {
            // One that is no time, such as of the 31st of June, tells the form, too.
            let not_of_it = |error| matches!(error, TimeError::NotRfc3339 { .. });
            self.is_iso = !TimeForm::Iso.read(text).is_err_and(not_of_it);
        }
    }

    /// How the times are written.
    ///
    /// # Errors
    /// The rows do not tell; says what to say.
    pub(crate) fn form(&self) -> Result<TimeForm, String> {
        let mut known = (0..Unit::ALL.len()).filter(|&unit| self.units[unit].count > 0);
        let (first, second) = (known.next(), known.next());
        let numbers: u64 = self.units.iter().map(|seen| seen.count).sum();
        if self.words.count >= numbers + self.unlike.count {
            // Without a row there is nothing to be read wrongly.
            return match self.is_iso || self.words.count == 0 {
                true => Ok(TimeForm::Iso),
                false => Err(self.words_of_no_form()),
            };
        }
        if let (Some(one), Some(other)) = (first, second) {
            return Err(format!(
                "its times may be {} ({}) or {} ({}); say which with --time-unit {} or {}",
                Unit::ALL[one],
                self.units[one].first(),
                Unit::ALL[other],
                self.units[other].first(),
                Unit::ALL[one].symbol(),
                Unit::ALL[other].symbol()
            ));
        }
        match first {
            Some(unit) if self.units[unit].count >= self.unlike.count => {
                Ok(TimeForm::Unix(Unit::ALL[unit]))
            }
            Some(unit) => Err(format!(
                "most of its times are numbers that are none from 1990 to 2100 in any unit ({}), while some may be {} \
                 ({}); say which they are with --time-unit s, ms, us or ns",
                self.unlike.first(),
                Unit::ALL[unit],
                self.units[unit].first()
            )),
            None => Err(self.numbers_of_no_unit()),
        }
    }

    fn words_of_no_form(&self) -> String {
        let (_, text) = self.words.first.clone().unwrap_or_default();
        format!(
            "its times are of no known form ({}); {}",
            self.words.first(),
            pattern_advice(&text)
        )
    }

    fn numbers_of_no_unit(&self) -> String {
        let (_, text) = self.unlike.first.clone().unwrap_or_default();
        let advice = match patterns_of(&text)[..] {
            [] => String::new(),
            _ => format!(", or {}", pattern_advice(&text)),
        };
        format!(
            "its times are numbers that are none from 1990 to 2100 in any unit ({}); say what they count with --time-unit \
             s, ms, us or ns{advice}",
            self.unlike.first()
        )
    }
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The common patterns that read a text.
fn patterns_of(text: &str) -> Vec<&'static str> {
    let reads = |pattern: &&&str| {
        let form: Result<TimeForm, _> = pattern.parse();
        form.is_ok_and(|form| form.read(text).is_ok())
    };
    PATTERNS.iter().filter(reads).copied().collect()
}

/// What to say of a time that is of no form that is found out.
pub(crate) fn pattern_advice(text: &str) -> String {
    let found = patterns_of(text);
    if found.is_empty() {
        return "say how they are written with --time-format, such as \"%d.%m.%Y %H:%M\""
            .to_owned();
    }
    let quoted: Vec<_> = found
        .iter()
        .map(|pattern| format!("\"{pattern}\""))
        .collect();
    format!("say --time-format {}", quoted.join(" or "))
}

/// The values of all rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct ValueCensus {
    rows: u64,
    /// Finite numbers.
    pub(crate) numbers: u64,
    with_point: Seen,
    commas: Seen,
    ambiguous: Seen,
    missing: Seen,
    /// Words with a digit, which may be numbers that are not read. Hashes and ids
    /// are not.
    with_digit: Seen,
    words: Seen,
}

impl ValueCensus {
    /// Looks at the value of a row.
    pub(crate) fn add(&mut self, line: u64, text: &str) {
        self.rows += 1;
        let look = Look::of(text);
        let has_digit = |text: &str| text.contains(|c: char| c.is_ascii_digit());
        let seen = match look {
            Look::Number => {
                self.numbers += 1;
                if text.contains('.') {
                    self.with_point.add(line, text);
                }
                return;
            }
            Look::DecimalComma => &mut self.commas,
            Look::Ambiguous => &mut self.ambiguous,
            Look::Missing => &mut self.missing,
            Look::Thousands | Look::WithUnit | Look::TooLarge => &mut self.with_digit,
            Look::Other if has_digit(text) && !is_identifier(text) => &mut self.with_digit,
            Look::Other => &mut self.words,
        };
        seen.add_value(line, text, look);
    }

    /// Whether the comma is the decimal sign: where it does not separate the
    /// fields, and the numbers can be read in no other way.
    pub(crate) fn decimal_comma(&self, comma_delimits: bool) -> bool {
        let fractions = self.commas.count + self.ambiguous.count;
        !comma_delimits
            && self.commas.count > 0
            && self.with_point.count == 0
            && (self.numbers + fractions) * 2 > self.rows
    }

    /// What the values are, if that is not told.
    pub(crate) fn proposal(&self) -> Flag {
        match self.commas.count + self.ambiguous.count {
            0 => Flag::Text,
            _ => Flag::DecimalComma,
        }
    }

    /// What the values are.
    ///
    /// # Errors
    /// The rows do not tell; says what to say.
    pub(crate) fn value_type(&self, decimal_comma: bool) -> Result<ValueType, String> {
        let with_comma = if decimal_comma {
            self.commas.count + self.ambiguous.count
        } else {
            0
        };
        let numbers = self.numbers + with_comma;
        if numbers > 0 && numbers * 2 >= self.rows {
            return Ok(ValueType::Number);
        }
        let likely = [
            &self.commas,
            &self.ambiguous,
            &self.with_digit,
            &self.missing,
        ];
        let odd = likely.into_iter().find(|seen| seen.count > 0);
        let Some(odd) = odd.or((numbers > 0).then_some(&self.words)) else {
            return Ok(ValueType::Text);
        };
        let how_many = match numbers {
            0 => "no value is a number".to_owned(),
            _ => format!("only {numbers} of {} values are numbers", self.rows),
        };
        // About the value that is shown, and no other.
        let advice = odd
            .advice
            .map_or(String::new(), |advice| format!("; {advice}"));
        Err(format!(
            "{how_many} ({}){advice}; what they are is said with --value-type number or text",
            odd.first()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(times: &[&str]) -> Result<TimeForm, String> {
        let mut census = TimeCensus::default();
        for (line, text) in (2..).zip(times) {
            census.add(line, text);
        }
        census.form()
    }

    #[test]
    fn the_unit_of_times_is_told_by_all_rows() {
        let unit = |name: &str| Ok(name.parse::<TimeForm>().unwrap());
        assert_eq!(form(&["1700000000", "1700000001"]), unit("unix"));
        assert_eq!(
            form(&["0", "1700000000123", "1700000001123"]),
            unit("unix-ms")
        );
        assert_eq!(form(&["1700000000123456"]), unit("unix-us"));
        assert_eq!(form(&["1700000000", "1700000000.25"]), unit("unix-decimal"));
        assert_eq!(
            form(&["n/a", "2024-01-01 00:00:00", "2024-01-01T01:00:00Z"]),
            unit("iso")
        );
    }

    #[test]
    fn where_the_times_do_not_tell_the_flag_is_named() {
        let refused = |times: &[&str]| form(times).unwrap_err();
        let two = refused(&["1700000000", "1700000000123"]);
        assert!(
            two.contains("seconds (line 2: `1700000000`) or milliseconds (line 3"),
            "{two}"
        );
        for times in [
            &["0", "1", "2"][..],
            &["0", "1", "1700000000"],
            &["-5"],
            &["99999999999999999999"],
        ] {
            let error = refused(times);
            assert!(
                error.contains("--time-unit") && error.contains("line 2"),
                "{error}"
            );
        }
        assert!(refused(&["20240501", "20240502"]).contains("\"%Y%m%d\""));
        let error = refused(&["01.05.2024 12:00"]);
        assert!(
            error.contains("--time-format \"%d.%m.%Y %H:%M\""),
            "{error}"
        );
        let error = refused(&["05/06/2024"]);
        assert!(error.contains("\"%d/%m/%Y\" or \"%m/%d/%Y\""), "{error}");
        assert!(refused(&["soon", "later"]).contains("`soon`"));
        // These are of the form, and no times.
        for text in [
            "2024-05-01T12:30:60Z",
            "2024-05-01T12:30:61",
            "2024-06-31",
            "2024-05-01 25:00",
            "2024-05-01T12:00:00+25:00",
        ] {
            assert_eq!(form(&[text]), Ok(TimeForm::Iso), "{text}");
        }
        assert_eq!(form(&["1700000000123.5"]), Ok(TimeForm::Unix(Unit::Millis)));
    }

    fn census(values: &[&str]) -> ValueCensus {
        let mut census = ValueCensus::default();
        for (line, text) in (2..).zip(values) {
            census.add(line, text);
        }
        census
    }

    #[test]
    fn values_are_numbers_or_words_or_it_is_asked_for() {
        let value_type = |values: &[&str]| census(values).value_type(false);
        assert_eq!(value_type(&["1", "2.5", "n/a"]), Ok(ValueType::Number));
        assert_eq!(value_type(&["calm", "wind", "NW"]), Ok(ValueType::Text));
        assert_eq!(value_type(&["14057b7e1a08ee11"]), Ok(ValueType::Text));
        for (values, words) in [
            (&["1,5", "2,5"][..], "--decimal-comma"),
            (&["1.5 C", "2.5 C"], "--value-type"),
            (&["1,234.5"], "thousands separators"),
            (&["NaN", "NaN"], "no value is a number"),
            (
                &["1,234.5", "x", "1,5"],
                "(line 4: `1,5`); it has a decimal comma: say --decimal-comma",
            ),
            (
                &["1,234.5", "x", "y"],
                "(line 2: `1,234.5`); it has thousands",
            ),
            (
                &["9e999"],
                "(line 2: `9e999`); it is beyond the largest number",
            ),
            (&["station 7"], "--value-type number or text"),
            (
                &["1", "calm", "wind"],
                "only 1 of 3 values are numbers (line 3: `calm`)",
            ),
        ] {
            let error = value_type(values).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_decimal_comma_is_found_out_where_it_is_nothing_else() {
        let found = |values: &[&str]| census(values).decimal_comma(false);
        assert!(found(&["1,5", "2", "1,500"]));
        assert!(!found(&["1,500", "2,500"]));
        assert!(!found(&["1,5", "2.5"]));
        assert!(!found(&["1", "2"]));
        assert!(!census(&["1,5", "2,5"]).decimal_comma(true));
        assert_eq!(
            census(&["1,5", "2,5"]).value_type(true),
            Ok(ValueType::Number)
        );
    }
}
