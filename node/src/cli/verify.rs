//! `verify`: checks a proof file, or a file that was exported with its proof,
//! with nothing but the stream's id.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use headwater_client::invite;
use headwater_client::proof::{Proved, ProvedRuns, Verified};
use headwater_client::times::text::to_text;
use headwater_export::put_json;
use headwater_protocols::head::SignedHead;
use headwater_protocols::id::LogId;
use headwater_protocols::manifest::{SignedManifest, ValueType};
use headwater_protocols::record::Record;
use serde::Serialize;
use serde_json::value::RawValue;

use super::export::proof_of;
use super::output::{Output, counted, printable};
use super::{Invocation, Usage};

/// Bytes of a proof file at most: a manifest and a record of 1 MiB in base64,
/// and a few hundred hashes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Check a proof file or a file exported with its proof; no node and no network is needed
#[derive(Args, Debug)]
#[command(
    after_help = "Without --stream the file only shows something of the stream that it names itself: its id
is printed, to be compared with one that you trust, and the exit status is 1."
)]
pub(crate) struct VerifyArgs {
    /// The proof file (- for stdin), or the exported Parquet or CSV file
    file: PathBuf,
    /// The id of the stream that it must be about
    #[arg(long, value_name = "ID")]
    stream: Option<String>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown {
    /// The proof holds, and it is about the stream that was asked for.
    verified: bool,
    /// Whether a stream was asked for.
    stream_compared: bool,
    stream: String,
    name: String,
    publisher: String,
    /// Records below the signed head.
    size: u64,
    root: String,
    head_time: String,
    #[serde(flatten)]
    proved: ShownProved,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownProved {
    Record {
        index: u64,
        time: String,
        /// As NDJSON has it.
        value: Box<RawValue>,
        /// The token that was given, or base64.
        #[serde(skip)]
        text: String,
    },
    Consistency {
        first_size: u64,
        first_root: String,
        second_size: u64,
        second_root: String,
    },
    Export {
        from: u64,
        to: u64,
    },
}

pub(super) fn verify(invocation: &Invocation, args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let expected = args.stream.as_deref().map(stream_id).transpose()?;
    let file = args.file.display();
    let shown = match exported(&args.file, expected)? {
        Some(proved) => shown_export(&proved, expected.is_some()),
        None => {
            let json = read(&args.file).with_context(|| format!("cannot read {file}"))?;
            let verified = headwater_client::proof::verify(&json, expected);
            let verified = verified.with_context(|| format!("{file} proves nothing"))?;
            shown(&verified, expected.is_some())
        }
    };
    let out = invocation.out;
    match out.json {
        true => out.json(&shown)?,
        false => say(&shown, out)?,
    }
    Ok(match expected {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

/// Checks an exported file; `None` when it is another file.
fn exported(file: &Path, expected: Option<LogId>) -> anyhow::Result<Option<ProvedRuns>> {
    let name = file.display();
    let beside = proof_of(file);
    let proved = if is_parquet(file) {
        headwater_export::verify_parquet(file, expected)
    } else if beside.is_file() {
        let proof = read(&beside).with_context(|| format!("cannot read {}", beside.display()))?;
        headwater_export::verify_csv(file, &proof, expected)
    } else if is_csv(file) {
        bail!(
            "{name} is an exported CSV file, and the file with its proof, {}, is missing; put it \
             beside it, or export again with --with-proof",
            beside.display()
        );
    } else {
        return Ok(None);
    };
    let proved = proved.with_context(|| format!("{name} is not what it should be"));
    proved.map(Some)
}

/// By its header. What is no regular file cannot be read twice.
fn is_csv(file: &Path) -> bool {
    const HEADER: &[u8] = b"index,time,value";
    let begins = || -> std::io::Result<bool> {
        if !file.metadata()?.is_file() {
            return Ok(false);
        }
        let mut begin = [0; HEADER.len()];
        File::open(file)?.read_exact(&mut begin)?;
        Ok(begin == HEADER)
    };
    begins().unwrap_or(false)
}

/// By the mark at either end, of which one may be damaged.
fn is_parquet(file: &Path) -> bool {
    let is_mark = |from: SeekFrom| -> std::io::Result<bool> {
        let mut file = File::open(file)?;
        if !file.metadata()?.is_file() {
            return Ok(false);
        }
        file.seek(from)?;
        let mut mark = [0; 4];
        file.read_exact(&mut mark)?;
        Ok(&mark == b"PAR1")
    };
    is_mark(SeekFrom::Start(0)).unwrap_or(false) || is_mark(SeekFrom::End(-4)).unwrap_or(false)
}

/// A whole id: a part of one, or a name, could be that of another stream too.
pub(super) fn stream_id(text: &str) -> anyhow::Result<LogId> {
    if text.starts_with(invite::SCHEME) {
        return Ok(invite::parse(text)?.stream);
    }
    text.parse()
        .map_err(|error| Usage::error(format!("--stream needs a whole stream id: {error}")))
}

pub(super) fn read(path: &std::path::Path) -> anyhow::Result<String> {
    let input: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path)?),
    };
    let mut text = String::new();
    input.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        bail!("it is longer than any proof ({MAX_FILE_BYTES} bytes)");
    }
    Ok(text)
}

fn shown_export(proved: &ProvedRuns, stream_compared: bool) -> Shown {
    let ProvedRuns {
        manifest,
        head,
        from,
        to,
        ..
    } = proved;
    let (from, to) = (*from, *to);
    shown_with(
        manifest,
        head,
        ShownProved::Export { from, to },
        stream_compared,
    )
}

fn shown(verified: &Verified, stream_compared: bool) -> Shown {
    let manifest = &verified.manifest;
    let proved = match &verified.proved {
        Proved::Record { index, record } => ShownProved::Record {
            index: *index,
            time: to_text(record.time()),
            value: value_json(record, manifest.value_type),
            text: value_text(record, manifest.value_type),
        },
        Proved::Consistency {
            first_size,
            first_root,
            second_size,
            second_root,
        } => ShownProved::Consistency {
            first_size: *first_size,
            first_root: first_root.to_string(),
            second_size: *second_size,
            second_root: second_root.to_string(),
        },
    };
    shown_with(manifest, &verified.head, proved, stream_compared)
}

fn shown_with(
    manifest: &SignedManifest,
    head: &SignedHead,
    proved: ShownProved,
    stream_compared: bool,
) -> Shown {
    Shown {
        verified: stream_compared,
        stream_compared,
        stream: manifest.stream().to_string(),
        name: manifest.name.clone(),
        publisher: manifest.publisher.peer_id().to_string(),
        size: head.size,
        root: head.root.to_string(),
        head_time: to_text(head.time),
        proved,
    }
}

/// The value as one of JSON: a number is a number.
fn value_json(record: &Record, value_type: ValueType) -> Box<RawValue> {
    let mut json = Vec::new();
    put_json(&mut json, value_type, &record.value());
    let json = String::from_utf8(json)
        .ok()
        .and_then(|json| RawValue::from_string(json).ok());
    json.unwrap_or_else(|| RawValue::NULL.to_owned())
}

/// The token that was given, or base64.
fn value_text(record: &Record, value_type: ValueType) -> String {
    let value = record.value();
    match (value_type, std::str::from_utf8(&value)) {
        (ValueType::Number | ValueType::Text | ValueType::Json, Ok(text)) => text.to_owned(),
        _ => data_encoding::BASE64.encode(&value),
    }
}

fn say(shown: &Shown, out: Output) -> anyhow::Result<()> {
    let line = |label: &str, text: &str| {
        out.line(format!("  {} {text}", out.dim(&format!("{label:<10}"))))
    };
    match shown.stream_compared {
        true => out.line(out.good("the proof holds"))?,
        false => out.line("the proof agrees with itself")?,
    }
    line("stream", &shown.stream)?;
    line("name", &printable(&shown.name))?;
    line("publisher", &shown.publisher)?;
    line(
        "head",
        &format!(
            "{}, signed {}",
            counted(shown.size, "record"),
            shown.head_time
        ),
    )?;
    line("root", &shown.root)?;
    match &shown.proved {
        ShownProved::Record {
            index, time, text, ..
        } => {
            line("index", &index.to_string())?;
            line("time", time)?;
            line("value", &printable(text))?;
        }
        ShownProved::Consistency {
            first_size,
            first_root,
            second_size,
            second_root,
        } => {
            line(
                "first",
                &format!("{}, root {first_root}", counted(*first_size, "record")),
            )?;
            line(
                "second",
                &format!("{}, root {second_root}", counted(*second_size, "record")),
            )?;
            out.line(
                "The first tree is the beginning of the second: nothing was changed or removed.",
            )?;
        }
        ShownProved::Export { from, to } => {
            line("records", &format!("[{from}, {to})"))?;
            out.line("Every byte of the file follows from what the publisher signed.")?;
        }
    }
    if !shown.stream_compared {
        out.note(
            "the stream's id was not compared with one that you trust; say which stream it must be \
             with --stream ID",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_by_its_whole_id() {
        let id = LogId([3; 32]);
        assert_eq!(stream_id(&id.to_string()).unwrap(), id);
        assert_eq!(stream_id(&format!("headwater:{id}")).unwrap(), id);
        assert!(stream_id(&id.short()).unwrap_err().is::<Usage>());
        assert!(stream_id("wind").is_err());
    }

    #[test]
    fn an_exported_csv_file_without_its_proof_names_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wind.csv");
        std::fs::write(&path, "index,time,value\n").unwrap();
        let missing = exported(&path, None).unwrap_err().to_string();
        assert!(
            missing.contains("wind.csv.proof.json, is missing"),
            "{missing}"
        );
        std::fs::write(&path, "{}").unwrap();
        assert!(exported(&path, None).unwrap().is_none());
        std::fs::write(proof_of(&path), "{}").unwrap();
        assert!(exported(&path, None).is_err());
    }

    #[test]
    fn a_file_that_is_too_long_to_be_a_proof_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proof.json");
        std::fs::write(&path, vec![b' '; 5 << 20]).unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .contains("longer than any proof")
        );
        assert!(read(&folder.path().join("none")).is_err());
    }
}
