//! Which column is where in a file of an old form: by its header, by its first
//! row, or by what its user says.

use std::str::FromStr;

use anyhow::{Context, anyhow, bail};

use super::csv_input::Columns;
use super::csv_records::Records;
use super::delimiter::Delimiter;
use super::extra_column::{DECIMAL_COMMAS, Extra, is_hash, is_id, is_split_number};
use super::file_source::Source;
use super::limits::MAX_BAD_FIRST;
use super::unclear::{Flag, unclear};
use crate::wording::{counted, printable};

/// Which column is where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) time: usize,
    pub(crate) value: usize,
    pub(crate) hash: Option<usize>,
    pub(crate) id: Option<usize>,
    pub(crate) columns: Vec<String>,
    pub(crate) has_header: bool,
}

/// What the first row tells, with the delimiter that makes it one of an old form.
/// Where bad rows are left out, the first of those that is none tells it, of a file
/// without a header.
///
/// # Errors
/// It cannot be read, or its first row is none of an old form.
pub(crate) fn layout(
    source: &Source,
    said: Option<Delimiter>,
    columns: Option<&Layout>,
    skip_bad: bool,
) -> anyhow::Result<(Delimiter, Layout)> {
    let delimiters = said.map_or(Delimiter::FOUND_OUT.to_vec(), |said| vec![said]);
    let mut first_error = None;
    // A row that is bad with one delimiter may be right with another.
    let rows = if skip_bad {
        &[1, MAX_BAD_FIRST][..]
    } else {
        &[1]
    };
    for (&rows, &delimiter) in rows
        .iter()
        .flat_map(|rows| delimiters.iter().map(move |d| (rows, d)))
    {
        match by_first_rows(source, delimiter, columns, rows)? {
            Ok(layout) => return Ok((delimiter, layout)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let NoLayout { why, is_bad_row } = first_error.context("there is no delimiter to try")?;
    Err(match is_bad_row && !skip_bad {
        true => unclear(
            Flag::SkipBad,
            anyhow!("{why:#}; correct that row, or leave such rows out with --skip-bad"),
        ),
        false => why,
    })
}

/// Why a row tells no layout.
struct NoLayout {
    why: anyhow::Error,
    /// It is a row that is bad, and neither a header nor of another form.
    is_bad_row: bool,
}

/// What the first of so many rows tells that is not bad.
fn by_first_rows(
    source: &Source,
    delimiter: Delimiter,
    columns: Option<&Layout>,
    rows: usize,
) -> anyhow::Result<Result<Layout, NoLayout>> {
    let mut records = Records::new(source.open()?, delimiter.byte());
    let mut first_error = None;
    for row in 0..rows {
        let found = match records.advance() {
            Ok(false) if row == 0 => bail!("it is empty"),
            Ok(false) => break,
            Ok(true) => {
                let fields: Vec<_> = records.fields().map(text).collect();
                Layout::with(&fields, columns)
            }
            // Quotation marks may stand right with another delimiter.
            Err(error) => match error.bad_line() {
                Some(line) => Err(NoLayout {
                    why: anyhow::Error::new(error).context(format!("line {line} is bad")),
                    is_bad_row: true,
                }),
                None => return Err(error.into()),
            },
        };
        match found {
            // What stands ahead of a header is not told from what is no row.
            Ok(layout) if row > 0 && layout.has_header => break,
            Ok(layout) => return Ok(Ok(layout)),
            Err(error) => {
                let goes_on = error.is_bad_row;
                first_error.get_or_insert(error);
                if !goes_on {
                    break;
                }
            }
        }
    }
    Ok(Err(
        first_error.context("it has no row that tells its columns")?
    ))
}

/// A field, for those who look at it.
pub(crate) fn text(field: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(field.trim_ascii())
}

/// What `--columns` says, of files without a header.
impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let named = Self::named(&names).map_err(|error| error.to_string())?;
        let layout = named
            .ok_or_else(|| format!("`{text}` are no columns of an old form; {FORMS} are read"))?;
        Ok(Self {
            has_header: false,
            ..layout
        })
    }
}

/// The old forms.
const FORMS: &str = "files with the columns ts,value or ts,value,hash or date_time,value,id";

impl Layout {
    /// By the first row, or by what was said where that is no header.
    fn with(first: &[impl AsRef<str>], said: Option<&Self>) -> Result<Self, NoLayout> {
        let other_form = |why| NoLayout {
            why,
            is_bad_row: false,
        };
        let Some(said) = said else {
            let is_row = begins_as_row(first) || has_control(first);
            return Self::of(first).map_err(|why| NoLayout {
                why,
                is_bad_row: is_row,
            });
        };
        if Self::named(first).map_err(other_form)?.is_some() {
            let why = anyhow!("it names its columns in its first line; leave off --columns");
            return Err(other_form(why));
        }
        if first.len() != said.columns.len() {
            let why = anyhow!(
                "its first row has {} and not the columns {}; say what stands between them with --delimiter",
                counted(first.len() as u64, "field"),
                said.columns.join(",")
            );
            // Nobody says --columns of a file with a header.
            return Err(NoLayout {
                why,
                is_bad_row: true,
            });
        }
        Ok(said.clone())
    }

    /// By a header; `None` where it is none.
    fn named(first: &[impl AsRef<str>]) -> anyhow::Result<Option<Self>> {
        let names: Vec<_> = (first.iter())
            .map(|field| field.as_ref().to_ascii_lowercase())
            .collect();
        let places = |wanted: &[&str]| {
            let is_wanted = |(_, name): &(usize, &String)| wanted.contains(&&***name);
            let places = names.iter().enumerate().filter(is_wanted);
            places.map(|(place, _)| place).collect::<Vec<_>>()
        };
        let is_known = |name: &String| TIMES.contains(&&**name) || OTHERS.contains(&&**name);
        let (times, values) = (places(TIMES), places(&["value"]));
        if times.is_empty() || values.is_empty() || !names.iter().all(is_known) {
            return Ok(None);
        }
        let (hashes, ids) = (places(&["hash"]), places(&["id"]));
        for (places, what) in [
            (&times, "times"),
            (&values, "values"),
            (&hashes, "hashes"),
            (&ids, "ids"),
        ] {
            if places.len() > 1 {
                bail!(
                    "it has more than one column of {what}, and which is meant is not told: `{}`; leave one, or name other \
                     columns with `headwater publish STREAM --file FILE --time-column T --value-column V`",
                    names.join(",")
                );
            }
        }
        let only = |places: &[usize]| places.first().copied();
        Ok(only(&times).zip(only(&values)).map(|(time, value)| Self {
            time,
            value,
            hash: only(&hashes),
            id: only(&ids),
            columns: names,
            has_header: true,
        }))
    }

    /// By the first row: a header, or an observation.
    fn of(first: &[impl AsRef<str>]) -> anyhow::Result<Self> {
        if let Some(named) = Self::named(first)? {
            return Ok(named);
        }
        if first.iter().all(|field| field.as_ref().is_empty()) {
            bail!("its first row has no texts, only what stands between them; {FORMS} are read");
        }
        if !(2..=4).contains(&first.len()) || !begins_as_row(first) {
            bail!(
                "it is of no old form: {FORMS} are read, and this begins with `{}`; for others say `headwater publish STREAM --file \
                 FILE --time-column T --value-column V`",
                shown(first)
            );
        }
        let third = first.get(2).map(AsRef::as_ref);
        let is_hash = third.is_some_and(is_hash);
        if first.len() == 4 || third.is_some_and(|third| !is_hash && !is_id(third)) {
            let value = first.get(1).map_or("", AsRef::as_ref);
            let advice = match third.is_some_and(|third| is_split_number(value, third)) {
                true => format!("; {DECIMAL_COMMAS}"),
                false => String::new(),
            };
            bail!(
                "its first row has {} that are not those of an old form: {FORMS} are read, and this begins with `{}`{advice}",
                counted(first.len() as u64, "field"),
                shown(first)
            );
        }
        let columns = match (is_hash, third.is_some()) {
            (true, _) => &["ts", "value", "hash"][..],
            (false, true) => &["date_time", "value", "id"],
            (false, false) => &["ts", "value"],
        };
        Ok(Self {
            time: 0,
            value: 1,
            hash: is_hash.then_some(2),
            id: (third.is_some() && !is_hash).then_some(2),
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            has_header: false,
        })
    }

    /// The columns that are read.
    pub(crate) fn columns(&self) -> Columns {
        Columns::Placed {
            time: self.time,
            value: self.value,
            count: self.columns.len(),
            has_header: self.has_header,
            extra: self.extra(),
        }
    }
}

impl Layout {
    /// A header says what its column has; only hashes have one form alone.
    fn extra(&self) -> Option<(usize, Extra)> {
        let id = self.id.filter(|_| !self.has_header);
        (self.hash.map(|place| (place, Extra::Hash))).or(id.map(|place| (place, Extra::Id)))
    }
}

/// The beginning of a row, for people.
fn shown(fields: &[impl AsRef<str>]) -> String {
    let fields: Vec<_> = fields.iter().map(AsRef::as_ref).collect();
    printable(&fields.join(",").chars().take(200).collect::<String>())
}

/// What the old forms call their times.
const TIMES: &[&str] = &["ts", "date_time"];

/// What they call the rest.
const OTHERS: &[&str] = &["value", "hash", "id"];

/// Whether a row begins with a time, as no header does.
fn begins_as_row(fields: &[impl AsRef<str>]) -> bool {
    is_like_a_time(fields.first().map_or("", AsRef::as_ref))
}

/// Whether a row has what no text has, as a program leaves it that was stopped while
/// it wrote.
fn has_control(fields: &[impl AsRef<str>]) -> bool {
    fields
        .iter()
        .any(|field| field.as_ref().contains(char::is_control))
}

/// Whether a row that begins with this text may be an observation and no header:
/// it begins with digits, and is no longer than times are.
fn is_like_a_time(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let is_one_field = !text.contains([';', '\t', '|']) && text.len() <= 40;
    is_one_field && unsigned.starts_with(|c: char| c.is_ascii_digit()) && digits * 2 >= text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(first: &str) -> anyhow::Result<Layout> {
        Layout::of(&first.split(',').collect::<Vec<_>>())
    }

    #[test]
    fn columns_that_were_said_are_those_of_a_file_without_a_header() {
        let with = |first: &str, said: &str| {
            let said: Layout = said.parse().unwrap();
            Layout::with(&first.split(',').collect::<Vec<_>>(), Some(&said)).map_err(|no| no.why)
        };
        let found = with("2024-05-01,1,5", "date_time,value,id").unwrap();
        assert_eq!(
            (found.id, found.hash, found.has_header),
            (Some(2), None, false)
        );
        let error = |first: &str, said| with(first, said).unwrap_err().to_string();
        assert!(error("2024-05-01,1,5", "ts,value").contains("3 fields"));
        assert!(error("ts,value", "ts,value").contains("leave off --columns"));
        for wrong in ["ts", "ts,value,x", "ts,date_time,value", ""] {
            assert!(wrong.parse::<Layout>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_column_that_is_there_twice_is_refused() {
        for header in [
            "ts,value,value",
            "ts,ts,value",
            "ts,date_time,value",
            "ts,value,hash,HASH",
            "id,ts,value,id",
        ] {
            let error = of(header).unwrap_err().to_string();
            assert!(error.contains("more than one column of"), "{error}");
        }
    }

    #[test]
    fn a_third_field_is_a_hash_or_an_id_or_none_of_an_old_form() {
        let third = |row: &str| of(row).map(|layout| (layout.hash, layout.id));
        assert_eq!(third("2024-05-01,1.5").unwrap(), (None, None));
        assert_eq!(third("2024-05-01,1.5,7").unwrap(), (None, Some(2)));
        let hash = third("2024-05-01,1.5,4d8f695a04b7e36e").unwrap();
        assert_eq!(hash, (Some(2), None));
        for wrong in ["1,7.5", "1,5 C", "1,", "1.5,a,7", "1,-5"] {
            let error = third(&format!("2024-05-01,{wrong}"))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("not those of an old form"),
                "{wrong}: {error}"
            );
        }
        assert!(
            of("2024-05-01,1,5,7")
                .unwrap_err()
                .to_string()
                .contains("decimal comma")
        );
    }
}
