//! What a file is by its first bytes, where it is not the text that it was given
//! as.

/// What Parquet files begin with.
const PARQUET: &[u8] = b"PAR1";

/// Files that are told by their first bytes, and what to do with them.
const BY_MAGIC: &[(&[u8], &str)] = &[
    (
        PARQUET,
        "a Parquet file; it is read by: headwater publish STREAM --file FILE --time-column T",
    ),
    (
        b"\x1f\x8b",
        "packed (gzip); unpack it first: gunzip, or zcat FILE into `--file -` or `import -`",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "packed (zstd); unpack it first: unzstd",
    ),
    (b"BZh", "packed (bzip2); unpack it first: bunzip2"),
    (b"\xfd7zXZ\0", "packed (xz); unpack it first: unxz"),
    (b"\x04\x22\x4d\x18", "packed (lz4); unpack it first: unlz4"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"ARROW1", "an Arrow (Feather) file; write it as CSV first"),
    (
        b"\xff\xff\xff\xff",
        "an Arrow stream; write it as CSV first",
    ),
    (
        b"SQLite format 3\0",
        "an SQLite database; write its table as CSV first",
    ),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file; write it as CSV first"),
    (b"CDF\x01", "a NetCDF file; write it as CSV first"),
    (b"CDF\x02", "a NetCDF file; write it as CSV first"),
    (b"Obj\x01", "an Avro file; write it as CSV first"),
    (b"ORC", "an ORC file; write it as CSV first"),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Excel file; save it as CSV first",
    ),
    (b"%PDF-", "a PDF"),
    (b"\x7fELF", "a program"),
];

/// What stands within a ZIP archive that is a spreadsheet.
const SHEETS: &[(&[u8], &str)] = &[
    (b"xl/", "an Excel file (xlsx); save it as CSV first"),
    (
        b"[Content_Types].xml",
        "an Excel file (xlsx); save it as CSV first",
    ),
    (
        b"application/vnd.oasis.opendocument",
        "an OpenDocument file; save it as CSV first",
    ),
];

const UTF16: &str = "text in UTF-16; write it in UTF-8 first: iconv -f UTF-16 -t UTF-8 FILE, or save it as CSV UTF-8";

/// The text that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Csv,
    Ndjson,
    /// CSV or Parquet.
    Table,
    /// A list in JSON, or a table.
    Columns,
}

/// What begins like this and is not what is expected; `None` where it may be.
pub(crate) fn mistaken(first: &[u8], expected: Expected) -> Option<&'static str> {
    let by_magic = BY_MAGIC.iter().find(|(magic, _)| first.starts_with(magic));
    let takes_parquet = matches!(expected, Expected::Table | Expected::Columns);
    if takes_parquet && first.starts_with(PARQUET) {
        return None;
    }
    if let Some((_, what)) = by_magic {
        return Some(what);
    }
    if first.starts_with(b"PK\x03\x04") {
        let near = &first[..first.len().min(4096)];
        let has = |part: &[u8]| near.windows(part.len()).any(|window| window == part);
        let sheet = SHEETS.iter().find(|(part, _)| has(part));
        return Some(sheet.map_or("a ZIP archive; unpack it first", |(_, what)| what));
    }
    if is_utf16(first) {
        return Some(UTF16);
    }
    let mut lines = first.split(|&byte| byte == b'\n');
    let first_line = lines.next().unwrap_or_default();
    // Behind a row that is zeros, because a program was stopped while it wrote it,
    // there may be text.
    if first_line.contains(&0) && !is_text(lines) {
        return Some("not text: there are zero bytes in its first line");
    }
    let text = first.trim_ascii_start();
    let lower = text[..text.len().min(16)].to_ascii_lowercase();
    if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") {
        return Some("a page of HTML: perhaps an error page instead of the file");
    }
    if lower.starts_with(b"<?xml") {
        return Some("XML; write it as CSV first");
    }
    let is_object = lower.starts_with(b"{\"") || lower.starts_with(b"[{");
    (matches!(expected, Expected::Csv | Expected::Table) && is_object)
        .then_some("JSON and not CSV; for one object a line say `headwater publish STREAM --file FILE --ndjson`")
}

/// Lines that are looked at behind a first one that is no text.
const LINES_LOOKED_AT: usize = 64;

/// Whether most of these lines are text.
fn is_text<'a>(lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let is_plain = |line: &[u8]| {
        let text = std::str::from_utf8(line).ok();
        text.is_some_and(|text| !text.contains(|c: char| c.is_control() && !"\t\r".contains(c)))
    };
    let lines = lines.filter(|line| !line.is_empty()).take(LINES_LOOKED_AT);
    let (plain, other): (Vec<_>, Vec<_>) = lines.partition(|line| is_plain(line));
    plain.len() > other.len()
}

/// By its byte order mark, or because every second byte is zero.
fn is_utf16(first: &[u8]) -> bool {
    if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        return true;
    }
    let look = &first[..first.len().min(64)];
    let zeros = |odd: usize| {
        look.iter()
            .skip(odd)
            .step_by(2)
            .filter(|&&byte| byte == 0)
            .count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    look.len() >= 8 && even.min(odd) == 0 && even.max(odd) * 2 >= look.len() * 9 / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_called_by_its_name() {
        let csv = |first: &[u8]| mistaken(first, Expected::Csv).unwrap_or("");
        for (first, name) in [
            (&b"PAR1\x15\x04\x15"[..], "Parquet"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"PK\x03\x04\x14\0\x06\0xl/workbook.xml", "Excel"),
            (b"PK\x03\x04\x14\0old.csv", "ZIP"),
            (b"\xff\xfet\0s\0", "UTF-16"),
            (b"t\0s\0,\0v\0a\0l\0", "UTF-16"),
            (b"\0t\0s\0,\0v\0a\0l", "UTF-16"),
            (&[0; 4096], "zero bytes"),
            (b"\x7f\0\x01\n\0\0\n\xfe\x03\nabc\n", "zero bytes"),
            (b"<!DOCTYPE html><html>", "HTML"),
            (b"{\"time\":1,\"value\":2}\n", "--ndjson"),
        ] {
            assert!(csv(first).contains(name), "{name}: {}", csv(first));
        }
        assert!(mistaken(b"PAR1", Expected::Ndjson).is_some());
    }

    #[test]
    fn text_is_taken_for_what_it_is() {
        for first in [
            &b""[..],
            b"ts,value\n",
            b"ts,value\n2024-01-01,nul\0x\n",
            b"\xef\xbb\xbfts,value\n",
            "Zeit;Höhe\n".as_bytes(),
            b"\"ts\",\"value\"\n",
            b"\x04\n",
            b"\0\0\0\n2024-01-01,1\n2024-01-02,2\n",
        ] {
            assert_eq!(mistaken(first, Expected::Csv), None);
        }
        assert_eq!(
            mistaken(b"{\"time\":1,\"value\":2}\n", Expected::Ndjson),
            None
        );
    }
}
