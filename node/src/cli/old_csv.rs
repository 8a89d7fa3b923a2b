//! CSV files of the forms that older programs wrote: `ts,value[,hash]` and
//! `date_time,value,id`, with or without that header.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use blake2::digest::consts::U8;
use blake2::{Blake2s, Digest};
use csv::{ByteRecord, ReaderBuilder, Terminator};
use serde::Serialize;

use super::csv_input::Columns;
use super::time_form::TimeForm;
use crate::times::Unit;

/// A file of an old form, as far as one look at its rows tells.
#[derive(Clone, Debug)]
pub(super) struct OldCsv {
    pub(super) columns: Columns,
    pub(super) time_form: TimeForm,
    pub(super) survey: Survey,
}

/// What the columns beside time and value say.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(super) struct Survey {
    /// The columns, as they were understood.
    pub(super) form: String,
    /// Whether the file names them in its first line.
    pub(super) has_header: bool,
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
    /// streams.
    pub(super) fn survey(path: &Path, time_form: Option<&TimeForm>) -> anyhow::Result<Self> {
        let file = File::open(path)?;
        // Lines are counted as when the rows are checked.
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            // So that the last line, too, has an end by which it is counted.
            .from_reader(file.chain(&b"\n"[..]));
        let mut row = ByteRecord::new();
        let mut layout = None;
        let mut look = None;
        while reader.read_byte_record(&mut row)? {
            let fields: Vec<_> = row.iter().map(text).collect();
            if fields.iter().all(|field| field.is_empty()) {
                continue;
            }
            let layout: &Layout = match &mut layout {
                Some(layout) => layout,
                none => {
                    let found = none.insert(Layout::of(&fields)?);
                    if found.has_header {
                        continue;
                    }
                    found
                }
            };
            let field = |place: usize| fields.get(place).map_or("", |field| &**field);
            let look = match &mut look {
                Some(look) => look,
                none => none.insert(Look::new(layout, field(layout.time), time_form)?),
            };
            // The line on which the row ends; those of old files have one each.
            let line = reader.position().line().saturating_sub(1);
            look.row(layout, &fields, line);
        }
        let layout = layout.context("it is empty")?;
        let form = layout.columns.join(",");
        let has_header = layout.has_header;
        let columns = layout.columns();
        let Some(look) = look else {
            bail!("it has no rows");
        };
        if look.ids == Some(Ids::Mixed) {
            bail!(
                "its ids come to and fro, so that its rows are those of several streams; cut it apart by id first"
            );
        }
        Ok(Self {
            columns,
            time_form: look.time_form,
            survey: Survey {
                form,
                has_header,
                rows: look.rows,
                numbers: look.numbers,
                hashes: look.hashes.map(|chain| chain.found),
                ids: look.ids,
            },
        })
    }
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
        if !(2..=3).contains(&first.len()) || time_form_of(time).is_none() {
            bail!(
                "it is of no old form: those have the columns ts,value or ts,value,hash or date_time,value,id, and this \
                 begins with `{}`; for others say `headwater publish STREAM --file FILE --time-column T --value-column V`",
                names.join(",").chars().take(200).collect::<String>()
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

/// How a time is written, by its look: a number is told by its digits, of which
/// seconds have ten from 2001 to 2286.
fn time_form_of(text: &str) -> Option<TimeForm> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return match digits.len() {
            1..=11 => Some(TimeForm::Unix(Unit::Seconds)),
            12..=14 => Some(TimeForm::Unix(Unit::Millis)),
            15..=17 => Some(TimeForm::Unix(Unit::Micros)),
            _ => None,
        };
    }
    [TimeForm::Unix(Unit::Seconds), TimeForm::Iso]
        .into_iter()
        .find(|form| form.read(text).is_ok())
}

/// What is noticed row by row.
struct Look {
    time_form: TimeForm,
    numbers: u64,
    hashes: Option<HashChain>,
    ids: Option<Ids>,
    first_id: Option<String>,
    last_id: Option<u64>,
    rows: u64,
}

impl Look {
    fn new(layout: &Layout, time: &str, form: Option<&TimeForm>) -> anyhow::Result<Self> {
        let form = form.cloned().or_else(|| time_form_of(time));
        let shown: String = time.chars().take(64).collect();
        Ok(Self {
            time_form: form.with_context(|| {
                format!(
                    "its first time, `{shown}`, is of no known form; say which with --time-format"
                )
            })?,
            numbers: 0,
            hashes: layout.hash.map(|_| HashChain::default()),
            ids: None,
            first_id: None,
            last_id: None,
            rows: 0,
        })
    }

    fn row(&mut self, layout: &Layout, fields: &[impl AsRef<str>], line: u64) {
        let field = |place: usize| fields.get(place).map_or("", AsRef::as_ref);
        let value = field(layout.value);
        self.rows += 1;
        self.numbers += u64::from(value.parse().is_ok_and(f64::is_finite));
        if let (Some(chain), Some(place)) = (&mut self.hashes, layout.hash) {
            chain.row(field(layout.time), value, field(place), line);
        }
        if let Some(place) = layout.id {
            self.id(field(place));
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
        write!(f, "{}, {header} a header", self.form)?;
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
    use super::*;

    fn survey(text: &str) -> anyhow::Result<OldCsv> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.csv");
        std::fs::write(&path, text).unwrap();
        OldCsv::survey(&path, None)
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
        assert_eq!(survey(&format!("{at},calm\n")).unwrap().survey.numbers, 0);
    }

    #[test]
    fn times_are_told_by_their_look() {
        for (text, form) in [
            ("2024-01-01T00:00:00", TimeForm::Iso),
            ("2024-01-01 00:00:00+00:00", TimeForm::Iso),
            ("1700000000", TimeForm::Unix(Unit::Seconds)),
            ("1700000000123", TimeForm::Unix(Unit::Millis)),
            ("1700000000123456", TimeForm::Unix(Unit::Micros)),
            ("1700000000.123456", TimeForm::Unix(Unit::Seconds)),
        ] {
            assert_eq!(time_form_of(text), Some(form), "{text}");
        }
        for wrong in ["", "-", "soon", "123456789012345678"] {
            assert_eq!(time_form_of(wrong), None, "{wrong}");
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
