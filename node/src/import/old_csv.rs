//! CSV files of the forms that older programs wrote: `ts,value[,hash]` and
//! `date_time,value,id`, with or without that header.

use std::fmt;

use anyhow::bail;
use blake2::digest::consts::U8;
use blake2::{Blake2s, Digest};
use serde::Serialize;

use super::csv_input::Columns;
use super::csv_records::{RecordError, Records};
use super::delimiter::Delimiter;
use super::dialect::{Dialect, Said};
use super::extra_column::is_split_number;
use super::file_source::Source;
use super::guess::{TimeCensus, ValueCensus};
use super::old_layout::{Layout, layout, text};
use crate::wording::printable;

/// A file of an old form, as far as one look at its rows tells.
#[derive(Clone, Debug)]
pub(crate) struct OldCsv {
    pub(crate) columns: Columns,
    pub(crate) dialect: Dialect,
    pub(crate) values: ValueCensus,
    pub(crate) survey: Survey,
}

/// What the columns beside time and value say.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Survey {
    /// The columns, as they were understood.
    pub(crate) form: String,
    /// Whether the file names them in its first line.
    pub(crate) has_header: bool,
    /// How its rows are written, as far as it was said or found out.
    pub(crate) reading: String,
    /// Its rows, good and bad.
    pub(crate) rows: u64,
    /// Those of them whose value is a finite number.
    pub(crate) numbers: u64,
    /// What the column `hash` says.
    pub(crate) hashes: Option<Hashes>,
    /// What the column `id` says.
    pub(crate) ids: Option<Ids>,
}

/// The hashes of rows, each of which covers the row before.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub(crate) struct Hashes {
    /// Rows whose hash is that of the row before and of this row.
    pub(crate) right: u64,
    /// Rows whose hash is another one.
    pub(crate) wrong: u64,
    /// The line of the first of those.
    pub(crate) first_wrong_line: Option<u64>,
    /// The first row has a hash that no first row has: rows before it were cut
    /// off, or it was changed.
    pub(crate) begins_within: bool,
}

/// The ids of rows.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ids {
    /// One for all rows: that of the stream.
    Same,
    /// A number that rises: that of the row.
    Rising,
    /// Several that come to and fro: rows of several streams.
    Mixed,
}

impl OldCsv {
    /// Finds out the form, and reads the file to its end.
    ///
    /// # Errors
    /// It cannot be read, or is of no old form, or its rows belong to several
    /// streams, or do not tell how they are written.
    pub(crate) fn survey(
        source: &Source,
        said: &Said,
        columns: Option<&Layout>,
        skip_bad: bool,
    ) -> anyhow::Result<Self> {
        let (delimiter, layout) = layout(source, said.delimiter, columns, skip_bad)?;
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
                Err(RecordError::Misquoted { .. }) => look.rows += 1,
                Err(RecordError::Unclosed { .. }) => {
                    look.rows += 1;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if columns.is_none() {
            look.ensure_no_fractions(&layout, delimiter)?;
        }
        if look.rows == 0 {
            bail!("it has no rows");
        }
        if look.ids == Some(Ids::Mixed) {
            bail!(
                "its ids come to and fro, so that its rows are those of several streams; cut it apart by id first"
            );
        }
        let dialect = said.dialect(delimiter, &look.times, &look.values);
        let dialect = dialect.map_err(anyhow::Error::msg)?;
        Ok(Self {
            columns: layout.columns(),
            survey: Survey {
                form: layout.columns.join(","),
                has_header: layout.has_header,
                reading: dialect.to_string(),
                rows: look.rows,
                numbers: look.values.numbers,
                hashes: look.hashes.map(|chain| chain.found),
                ids: look.ids,
            },
            values: look.values,
            dialect,
        })
    }
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
    /// A row whose value and third field cannot be two parts of one number.
    has_third: bool,
    /// The first row in which they can, with its line.
    fraction: Option<(u64, String)>,
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
            has_third: false,
            fraction: None,
        }
    }

    fn row<R: std::io::Read>(&mut self, layout: &Layout, records: &Records<R>) {
        let field = |place: usize| text(records.get(place).unwrap_or_default());
        let (time, value) = (field(layout.time), field(layout.value));
        let line = records.line();
        self.rows += 1;
        self.times.add(line, &time);
        self.values.add(line, &value);
        // A row that is torn, or has a field too many, is a bad one.
        if records.len() != layout.columns.len() {
            return;
        }
        if let (Some(chain), Some(place)) = (&mut self.hashes, layout.hash) {
            chain.row(&time, &value, &field(place), line);
        }
        if let Some(place) = layout.id {
            self.id(&field(place));
        }
        if let (3, Some(third)) = (records.len(), layout.id.or(layout.hash)) {
            let third = field(third);
            if !is_split_number(&value, &third) {
                self.has_third |= !third.is_empty();
            } else if self.fraction.is_none() {
                self.fraction = Some((line, printable(&format!("{value},{third}"))));
            }
        }
    }

    /// Refuses numbers whose decimal comma was taken for the end of the field,
    /// unless a header tells the columns or a row does.
    fn ensure_no_fractions(&self, layout: &Layout, delimiter: Delimiter) -> anyhow::Result<()> {
        let hashes = self.hashes.as_ref().map_or(0, |chain| chain.found.right);
        let is_told = layout.has_header || self.has_third || hashes > 0;
        let Some((line, text)) = self.fraction.as_ref().filter(|_| !is_told) else {
            return Ok(());
        };
        if delimiter != Delimiter::COMMA {
            return Ok(());
        }
        bail!(
            "`{text}` in line {line} may be one number with a decimal comma, or a value and {}, and no row tells which; if it \
             is one number, write such numbers in quotation marks, or another delimiter between the fields (--decimal-comma, \
             --delimiter); if it is not, say --columns {}",
            if layout.hash.is_some() {
                "a hash"
            } else {
                "an id"
            },
            layout.columns.join(",")
        )
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
        use crate::wording::{counted, grouped};
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
    use headwater_client::times::TimeForm;

    fn survey(text: &str) -> anyhow::Result<OldCsv> {
        survey_with(text, false)
    }

    fn survey_with(text: &str, skip_bad: bool) -> anyhow::Result<OldCsv> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.csv");
        std::fs::write(&path, text).unwrap();
        let source = Source::of(&path, Expected::Csv).unwrap();
        OldCsv::survey(&source, &Said::default(), None, skip_bad)
    }

    fn refused(text: &str) -> String {
        survey(text).unwrap_err().to_string()
    }

    #[test]
    fn a_bad_first_row_is_one_that_can_be_left_out() {
        let rows = "2024-01-01,1.5,7\n2024-01-02,2.5,7\n2024-01-03,3.5,7\n";
        for bad in [
            "2024-01-0",
            "2024-01-01,\"1\"5,7",
            "2024-01-01,1.5,7,8",
            "\0\0\0\0",
        ] {
            for bad in [format!("{bad}\n"), format!("{bad}\n{bad}\n")] {
                let text = format!("{bad}{rows}");
                let error = format!("{:#}", survey(&text).unwrap_err());
                assert!(error.contains("--skip-bad"), "{bad:?}: {error}");
                let survey = survey_with(&text, true).unwrap().survey;
                assert_eq!(
                    (&*survey.form, survey.has_header),
                    ("date_time,value,id", false)
                );
                assert_eq!(survey.rows, 3 + bad.lines().count() as u64, "{bad:?}");
            }
        }
        // What names columns is no bad row, also where it names none of an old form.
        for header in ["time,temperature", "value,ts,unit"] {
            let error = survey_with(&format!("{header}\n{rows}"), true).map(|old| old.survey.form);
            assert!(error.is_err(), "{header}: {error:?}");
        }
        assert!(survey_with("2024-01-0\n2024-01-\n", true).is_err());
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
            (format!("{at},1,0011223344556a77\n"), "ts,value,hash", false),
            (
                format!("Date_Time,value,id\n{at},1,7\n"),
                "date_time,value,id",
                true,
            ),
            (format!("{at},1.5,7\n"), "date_time,value,id", false),
            (format!("{at},1,a7-x\n"), "date_time,value,id", false),
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
            format!("{at};1;7"),
        ] {
            let found = survey(&text).unwrap();
            let said = &found.survey.reading;
            assert_eq!(found.dialect.times.form, TimeForm::Iso);
            assert_eq!(found.dialect.decimal_comma, text.contains("1,5"), "{text}");
            assert!(said.contains("found out; else say --delimiter"), "{said}");
        }
        let comma = survey(&format!("ts,value\n{at},1.5\n"))
            .unwrap()
            .survey
            .reading;
        assert!(!comma.contains("separated"), "{comma}");
    }

    #[test]
    fn a_decimal_comma_that_separates_fields_is_no_value() {
        let at = "2024-05-01T12:00:00Z";
        for rows in [
            &["1,5"][..],
            &["1,5", "1,6", "1,7"],
            &["-1,5", "2,5"],
            &["1.234,5", "2,5"],
            &["1,5,7"],
            &["0,5488135039273248", "1,0011223344556677"],
            &["1,05", "1,5e3"],
        ] {
            let rows = rows.iter().map(|row| format!("{at},{row}\n"));
            let error = refused(&rows.collect::<String>());
            assert!(error.contains("decimal comma"), "{error}");
            assert!(
                error.contains("line 1") || error.contains("first row"),
                "{error}"
            );
        }
        assert!(refused(&format!("{at},1,5\n{at},1,5\n")).contains("--columns date_time,value,id"));
        // Something else tells that the third field is none of the number.
        for rows in [["1.5,7", "2,7"], ["1,7", "calm,7"], ["1,a7", "2,a7"]] {
            let rows = rows.iter().map(|row| format!("{at},{row}\n"));
            let found = survey(&rows.collect::<String>()).unwrap();
            assert_eq!(found.survey.form, "date_time,value,id");
        }
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
        let torn = survey("2024-01-01,1.5,7\n2024-01-02,2.5\n2024-01-03,2.5,7\n");
        assert_eq!(torn.unwrap().survey.ids, Some(Ids::Same));
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
