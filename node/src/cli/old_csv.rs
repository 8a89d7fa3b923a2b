//! CSV files of the forms that older programs wrote: `ts,value[,hash]` and
//! `date_time,value,id`, with or without that header.

use std::fmt;

use anyhow::{Context, bail};
use blake2::digest::consts::U8;
use blake2::{Blake2s, Digest};
use serde::Serialize;

use super::csv_input::Columns;
use super::csv_records::{RecordError, Records};
use super::delimiter::Delimiter;
use super::file_source::Source;
use super::guess::{TimeCensus, ValueCensus};
use super::output::printable;
use super::reading::{Reading, Said};

/// A file of an old form, as far as one look at its rows tells.
#[derive(Clone, Debug)]
pub(super) struct OldCsv {
    pub(super) columns: Columns,
    pub(super) reading: Reading,
    pub(super) values: ValueCensus,
    pub(super) survey: Survey,
}

/// What the columns beside time and value say.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(super) struct Survey {
    /// The columns, as they were understood.
    pub(super) form: String,
    /// Whether the file names them in its first line.
    pub(super) has_header: bool,
    /// How its rows are written, as far as it was said or found out.
    pub(super) reading: String,
    /// Its rows, good and bad.
    pub(super) rows: u64,
    /// Those of them whose value is a finite number.
    pub(super) numbers: u64,
    /// What the column `hash` says.
    pub(super) hashes: Option<Hashes>,
    /// What the column `id` says.
    pub(super) ids: Option<Ids>,
}

/// The hashes of rows, each of which covers the row before.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub(super) struct Hashes {
    /// Rows whose hash is that of the row before and of this row.
    pub(super) right: u64,
    /// Rows whose hash is another one.
    pub(super) wrong: u64,
    /// The line of the first of those.
    pub(super) first_wrong_line: Option<u64>,
    /// The first row has a hash that no first row has: rows before it were cut
    /// off, or it was changed.
    pub(super) begins_within: bool,
}

/// The ids of rows.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ids {
    /// One for all rows: that of the stream.
    Same,
    /// A number that rises: that of the row.
    Rising,
    /// Several that come to and fro: rows of several streams.
    Mixed,
}

/// Which column is where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    time: usize,
    value: usize,
    hash: Option<usize>,
    id: Option<usize>,
    columns: Vec<String>,
    has_header: bool,
}

impl OldCsv {
    /// Finds out the form, and reads the file to its end.
    ///
    /// # Errors
    /// It cannot be read, or is of no old form, or its rows belong to several
    /// streams, or do not tell how they are written.
    pub(super) fn survey(source: &Source, said: &Said) -> anyhow::Result<Self> {
        let (delimiter, layout) = layout(source, said.delimiter)?;
        let mut records = Records::new(source.open()?, delimiter.byte());
        if layout.has_header {
            records.advance()?;
        }
        let mut look = Look::new(&layout);
        loop {
            match records.advance() {
                Ok(true) => look.row(&layout, &records),
                Ok(false) => break,
                // It is counted as a row, and called a bad one, by who checks it.
                Err(RecordError::Unclosed { .. }) => {
                    look.rows += 1;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if look.rows == 0 {
            bail!("it has no rows");
        }
        if look.ids == Some(Ids::Mixed) {
            bail!(
                "its ids come to and fro, so that its rows are those of several streams; cut it apart by id first"
            );
        }
        let reading = said.reading(delimiter, &look.times, &look.values);
        let reading = reading.map_err(anyhow::Error::msg)?;
        Ok(Self {
            columns: layout.columns(),
            survey: Survey {
                form: layout.columns.join(","),
                has_header: layout.has_header,
                reading: reading.to_string(),
                rows: look.rows,
                numbers: look.values.numbers,
                hashes: look.hashes.map(|chain| chain.found),
                ids: look.ids,
            },
            values: look.values,
            reading,
        })
    }
}

/// What the first row tells, with the delimiter that makes it one of an old form.
fn layout(source: &Source, said: Option<Delimiter>) -> anyhow::Result<(Delimiter, Layout)> {
    let mut first_error = None;
    let delimiters = said.map_or(Delimiter::FOUND_OUT.to_vec(), |said| vec![said]);
    for delimiter in delimiters {
        let mut records = Records::new(source.open()?, delimiter.byte());
        if !records.advance()? {
            bail!("it is empty");
        }
        let fields: Vec<_> = records.fields().map(text).collect();
        match Layout::of(&fields) {
            Ok(layout) => return Ok((delimiter, layout)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.context("there is no delimiter to try")?)
}

fn text(field: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(field.trim_ascii())
}

impl Layout {
    /// By the first row: a header, or an observation.
    fn of(first: &[impl AsRef<str>]) -> anyhow::Result<Self> {
        let names: Vec<_> = (first.iter())
            .map(|field| field.as_ref().to_ascii_lowercase())
            .collect();
        let place = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&&**name));
        let is_known = |name: &String| TIMES.contains(&&**name) || OTHERS.contains(&&**name);
        if let (Some(time), Some(value)) = (place(TIMES), place(&["value"]))
            && names.iter().all(is_known)
        {
            return Ok(Self {
                time,
                value,
                hash: place(&["hash"]),
                id: place(&["id"]),
                columns: names,
                has_header: true,
            });
        }
        let time = first.first().map_or("", AsRef::as_ref);
        if !(2..=3).contains(&first.len()) || !is_like_a_time(time) {
            let begin: String = names.join(",").chars().take(200).collect();
            bail!(
                "it is of no old form: those have the columns ts,value or ts,value,hash or date_time,value,id, and this \
                 begins with `{}`; for others say `headwater publish STREAM --file FILE --time-column T --value-column V`",
                printable(&begin)
            );
        }
        let third = first.get(2).map(AsRef::as_ref);
        let is_hash = third.is_some_and(|third| third.len() == 16 && is_hex(third));
        let has_id = third.is_some() && !is_hash;
        let columns = match (is_hash, has_id) {
            (true, _) => &["ts", "value", "hash"][..],
            (false, true) => &["date_time", "value", "id"],
            (false, false) => &["ts", "value"],
        };
        Ok(Self {
            time: 0,
            value: 1,
            hash: is_hash.then_some(2),
            id: has_id.then_some(2),
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            has_header: false,
        })
    }

    fn columns(&self) -> Columns {
        Columns::Placed {
            time: self.time,
            value: self.value,
            count: self.columns.len(),
            has_header: self.has_header,
        }
    }
}

/// What the old forms call their times.
const TIMES: &[&str] = &["ts", "date_time"];

/// What they call the rest.
const OTHERS: &[&str] = &["value", "hash", "id"];

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a row that begins with this text may be an observation and no header:
/// it begins with digits, and is no longer than times are.
fn is_like_a_time(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let is_one_field = !text.contains([';', '\t', '|']) && text.len() <= 40;
    is_one_field && unsigned.starts_with(|c: char| c.is_ascii_digit()) && digits * 2 >= text.len()
}

/// What is noticed row by row.
struct Look {
    times: TimeCensus,
    values: ValueCensus,
    hashes: Option<HashChain>,
    ids: Option<Ids>,
    first_id: Option<String>,
    last_id: Option<u64>,
    rows: u64,
}

impl Look {
    fn new(layout: &Layout) -> Self {
        Self {
            times: TimeCensus::default(),
            values: ValueCensus::default(),
            hashes: layout.hash.map(|_| HashChain::default()),
            ids: None,
            first_id: None,
            last_id: None,
            rows: 0,
        }
    }

    fn row<R: std::io::Read>(&mut self, layout: &Layout, records: &Records<R>) {
        let field = |place: usize| text(records.get(place).unwrap_or_default());
        let (time, value) = (field(layout.time), field(layout.value));
        let line = records.line();
        self.rows += 1;
        self.times.add(line, &time);
        self.values.add(line, &value);
        if let (Some(chain), Some(place)) = (&mut self.hashes, layout.hash) {
            chain.row(&time, &value, &field(place), line);
        }
        if let Some(place) = layout.id {
            self.id(&field(place));
        }
    }

    fn id(&mut self, id: &str) {
        let number = id.parse::<u64>().ok();
        let rises = self.last_id.zip(number).is_some_and(|(last, id)| id > last);
        self.last_id = number;
        let Some(first) = &self.first_id else {
            self.first_id = Some(id.to_owned());
            self.ids = Some(Ids::Same);
            return;
        };
        let same = first == id;
        self.ids = match self.ids {
            Some(Ids::Same) if same => Some(Ids::Same),
            Some(Ids::Rising) if rises => Some(Ids::Rising),
            // The second row tells which of the two it is.
            Some(Ids::Same) if rises && self.rows == 2 => Some(Ids::Rising),
            _ => Some(Ids::Mixed),
        };
    }
}

/// Each hash is 64 bits of BLAKE2s over the hash of the row before (nothing, for
/// the first row), the time and the value, as texts without anything between
/// them.
#[derive(Debug, Default)]
struct HashChain {
    before: Option<String>,
    found: Hashes,
}

impl HashChain {
    fn row(&mut self, time: &str, value: &str, hash: &str, line: u64) {
        let is_right = |before: &str| hash.eq_ignore_ascii_case(&row_hash(before, time, value));
        match &self.before {
            None if !is_right("") => self.found.begins_within = true,
            Some(before) if !is_right(before) => {
                self.found.wrong += 1;
                self.found.first_wrong_line.get_or_insert(line);
            }
            None | Some(_) => self.found.right += 1,
        }
        // What the file says counts, so that one changed row is one wrong hash.
        self.before = Some(hash.to_ascii_lowercase());
    }
}

fn row_hash(before: &str, time: &str, value: &str) -> String {
    let hash = Blake2s::<U8>::new()
        .chain_update(before)
        .chain_update(time)
        .chain_update(value)
        .finalize();
    data_encoding::HEXLOWER.encode(&hash)
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = if self.has_header { "with" } else { "without" };
        write!(f, "{}, {header} a header; {}", self.form, self.reading)?;
        if let Some(hashes) = &self.hashes {
            write!(f, "; {hashes}")?;
        }
        match self.ids {
            None | Some(Ids::Mixed) => Ok(()),
            Some(Ids::Same) => f.write_str("; one id, which is left out"),
            Some(Ids::Rising) => f.write_str("; ids that number the rows, which are left out"),
        }
    }
}

impl fmt::Display for Hashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use super::output::{counted, grouped};
        let of = counted(self.right + self.wrong, "hash").replace("hashs", "hashes");
        match self.first_wrong_line {
            None => write!(f, "{of}, all right")?,
            Some(line) => write!(
                f,
                "{of}, {} of them wrong (the first in line {line}): these rows were changed, or others between were left \
                 out, or the numbers were written anew",
                grouped(self.wrong)
            )?,
        }
        if self.begins_within {
            f.write_str("; the first row follows others that are not here, or was changed")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::file_kind::Expected;
    use super::*;
    use crate::times::TimeForm;

    fn survey(text: &str) -> anyhow::Result<OldCsv> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.csv");
        std::fs::write(&path, text).unwrap();
        OldCsv::survey(&Source::of(&path, Expected::Csv).unwrap(), &Said::default())
    }

    fn refused(text: &str) -> String {
        survey(text).unwrap_err().to_string()
    }

    /// As hashlib.blake2s(("" + "2024-01-01 00:00:00.000000" + "1.5").encode(),
    /// digest_size=8) has it, and so on.
    const HASHED: &str = "2024-01-01 00:00:00.000000,1.5,4d8f695a04b7e36e\n\
                          2024-01-01 00:01:00.000000,2.0,fdec5ad42f9a5ff2\n\
                          2024-01-01 00:02:00.000000,2.5,225ae3035e77c956\n";

    #[test]
    fn the_old_forms_are_told_apart_by_their_first_row() {
        let at = "2024-01-01 00:00:00.000000";
        for (text, form, has_header) in [
            (format!("ts,value\n{at},1\n"), "ts,value", true),
            (format!("{at},1\r\n"), "ts,value", false),
            (
                format!("\u{feff}ts,value,hash\n{at},1,0011223344556677"),
                "ts,value,hash",
                true,
            ),
            (format!("{at},1,0011223344556677\n"), "ts,value,hash", false),
            (
                format!("Date_Time,value,id\n{at},1,7\n"),
                "date_time,value,id",
                true,
            ),
            (format!("{at},1,7\n"), "date_time,value,id", false),
            (
                "id,value,ts\n7,1,1700000000\n".to_owned(),
                "id,value,ts",
                true,
            ),
        ] {
            let found = survey(&text).unwrap().survey;
            assert_eq!(
                (&*found.form, found.has_header),
                (form, has_header),
                "{text}"
            );
            assert_eq!((found.rows, found.numbers), (1, 1));
        }
        assert!(refused("date,pressure,wind\n2010,1,2\n").contains("no old form"));
        assert!(refused("a,b\n").contains("begins with `a,b`"));
        assert_eq!(refused(""), "it is empty");
        assert_eq!(refused("ts,value\n"), "it has no rows");
        assert!(refused("ts,value\nsoon,1\n").contains("`soon`"));
        assert!(refused("1.2.3.4,5\n").contains("of no known form"));
        assert_eq!(survey(&format!("{at},calm\n")).unwrap().survey.numbers, 0);
    }

    #[test]
    fn the_delimiter_is_found_by_the_first_row() {
        let at = "2024-01-01 00:00:00";
        for text in [
            format!("ts;value\n{at};1,5\n"),
            format!("{at};1,5\n"),
            format!("ts\tvalue\n{at}\t1.5"),
            format!("ts|value|hash\n{at}|1.5|0011223344556677"),
        ] {
            let found = survey(&text).unwrap();
            let said = &found.survey.reading;
            assert_eq!(found.reading.times.form, TimeForm::Iso);
            assert_eq!(found.reading.decimal_comma, text.contains("1,5"), "{text}");
            assert!(said.contains("found out; else say --delimiter"), "{said}");
        }
        let comma = survey(&format!("ts,value\n{at},1.5\n"))
            .unwrap()
            .survey
            .reading;
        assert!(!comma.contains("separated"), "{comma}");
    }

    #[test]
    fn a_chain_of_hashes_is_checked_row_by_row() {
        let hashes = |text: &str| survey(text).unwrap().survey.hashes.unwrap();
        let right = hashes(HASHED);
        assert_eq!(
            (right.right, right.wrong, right.begins_within),
            (3, 0, false)
        );
        let changed = hashes(&HASHED.replace(",2.0,", ",2.1,"));
        assert_eq!((changed.right, changed.wrong), (2, 1));
        assert_eq!(changed.first_wrong_line, Some(2));
        let rows: Vec<_> = HASHED.lines().collect();
        let cut = hashes(&rows[1..].join("\n"));
        assert_eq!((cut.right, cut.wrong, cut.begins_within), (1, 0, true));
        let without_one = hashes(&format!("ts,value,hash\n{}\n{}", rows[0], rows[2]));
        assert_eq!(without_one.first_wrong_line, Some(3));
    }

    #[test]
    fn rows_of_several_streams_are_refused() {
        let ids = |ids: &[&str]| {
            let row = |id| format!("2024-01-01 00:00:00,1,{id}\n");
            let rows: String = ids.iter().map(row).collect();
            survey(&format!("date_time,value,id\n{rows}")).map(|old| old.survey.ids)
        };
        assert_eq!(ids(&["7", "7", "7"]).unwrap(), Some(Ids::Same));
        assert_eq!(ids(&["1", "2", "5"]).unwrap(), Some(Ids::Rising));
        for mixed in [
            &["7", "8", "7"][..],
            &["7", "7", "8"],
            &["a", "b"],
            &["1", "2", "2"],
        ] {
            let error = ids(mixed).unwrap_err().to_string();
            assert!(error.contains("several streams"), "{error}");
        }
    }
}
