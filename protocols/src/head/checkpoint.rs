//! A head as a text: a checkpoint of C2SP tlog-checkpoint, and with the owner's
//! signature a note of C2SP signed-note. What is signed is the text. It follows from
//! the fields of a head in one way, so that it is read at the edges only: in files
//! and from whoever speaks the language of transparency logs.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use super::{Closing, Head, HeadError, SignedHead, UnverifiedHead, is_unknown_line};
use crate::id::LogId;
use crate::identity::{ED25519, PublicKey, SIGNATURE_BYTES};
use crate::limits::{MAX_CHECKPOINT_BYTES, MAX_HEAD_LINES};
use crate::merkle::Hash;
use crate::time::Timestamp;
use crate::wire::v1;

/// What a stream's id stands behind in its origin.
const ORIGIN: &str = "headwater/1/";
const TIME: &str = "time ";
const CLOSED: &str = "closed ";
/// In place of a successor's id where there is none.
const NO_SUCCESSOR: &str = "-";
/// What a line with a signature begins with: an em dash and a blank.
const SIGNATURE: &str = "\u{2014} ";
const KEY_ID_BYTES: usize = 4;

/// The words that the lines of a checkpoint begin with whose meaning is known.
pub(super) const KNOWN_WORDS: [&str; 2] = ["time", "closed"];

/// The text that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint(String);

impl Checkpoint {
    /// The text of a head.
    pub(super) fn of(head: &Head) -> Self {
        let root = BASE64.encode(&head.root.0);
        let origin = origin(head.log);
        let mut text = format!("{origin}\n{}\n{root}\n{TIME}{}\n", head.size, head.time.0);
        if let Some(Closing { successor }) = head.closing {
            match successor {
                Some(log) => writeln!(text, "{CLOSED}{log}"),
                None => writeln!(text, "{CLOSED}{NO_SUCCESSOR}"),
            }
            .expect("a text takes what is written to it");
        }
        for line in &head.lines {
            text.push_str(line);
            text.push('\n');
        }
        Self(text)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The origin of a stream's checkpoints, which is the name of its owner's key, too.
#[must_use]
pub fn origin(log: LogId) -> String {
    format!("{ORIGIN}{log}")
}

/// What tells the signature of a stream's owner from others in a note.
fn key_id(name: &str, owner: &PublicKey) -> [u8; KEY_ID_BYTES] {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(owner.to_bytes())
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

/// The verifier key of a stream, with which any tool that reads signed notes opens
/// its checkpoints: `name+id+base64`.
#[must_use]
pub fn verifier_key(log: LogId, owner: &PublicKey) -> String {
    let name = origin(log);
    let id = HEXLOWER.encode(&key_id(&name, owner));
    let key = BASE64.encode(&[&[ED25519][..], &owner.to_bytes()].concat());
    format!("{name}+{id}+{key}")
}

/// Why a text is no checkpoint of a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than any.
    #[error("a checkpoint has {bytes} bytes, more than the {MAX_CHECKPOINT_BYTES} allowed")]
    TooLong {
        /// Bytes of the text.
        bytes: usize,
    },
    /// Not in the form of a signed note.
    #[error("a text is no signed note: {0}")]
    Form(&'static str),
    /// A line that is not what a checkpoint has in this place.
    #[error("line {line} of a checkpoint, `{text}`, is not {expected}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What it says.
        text: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The checkpoint of another log.
    #[error("a checkpoint has the origin `{found}`, and that of this stream is `{expected}`")]
    Origin {
        /// That of the stream that was meant.
        expected: String,
        /// What the text says.
        found: String,
    },
    /// Nobody signed it under the name and the id of the owner's key.
    #[error("a checkpoint is not signed by the key of its stream ({0})")]
    NoSignature(String),
    /// Two signatures of the owner.
    #[error("a checkpoint has two signatures by the key of its stream")]
    TwoSignatures,
    /// It says the same as another text, which alone is signed.
    #[error("a checkpoint is not written as its fields are: {0}")]
    OtherText(&'static str),
    /// The fields are no head, or not signed.
    #[error(transparent)]
    Head(#[from] HeadError),
}

impl UnverifiedHead {
    /// Reads the note of a checkpoint of `log`. The signatures of others in it are
    /// not looked at.
    ///
    /// # Errors
    /// It is none, that of another log, or not the text that its fields give.
    pub fn from_note(note: &str, log: LogId, owner: &PublicKey) -> Result<Self, NoteError> {
        if note.len() > MAX_CHECKPOINT_BYTES {
            return Err(NoteError::TooLong { bytes: note.len() });
        }
        let (text, signatures) = note
            .split_once("\n\n")
            .ok_or(NoteError::Form("there is no empty line before signatures"))?;
        let signatures = signatures.strip_suffix('\n');
        let signatures = signatures.ok_or(NoteError::Form("its last line does not end"))?;
        let name = origin(log);
        let signature = owners_signature(signatures, &name, key_id(&name, owner))?;
        let mut lines = Lines { text, next: 0 };
        let found = lines.take().unwrap_or_default();
        if found != name {
            let found = found.escape_debug().to_string();
            let expected = name;
            return Err(NoteError::Origin { expected, found });
        }
        let size = lines.field("a size in decimal", number)?;
        let root = lines.field("a root: 32 bytes in base64", |line| {
            let bytes = BASE64.decode(line.as_bytes()).ok()?;
            Hash::from_slice(&bytes)
        })?;
        let time_us = lines.field(
            "`time` and microseconds since 1970: is it one of a Headwater stream?",
            |line| number(line.strip_prefix(TIME)?),
        )?;
        let closed = lines
            .peek()
            .and_then(|line| line.strip_prefix(CLOSED))
            .is_some();
        let closed = match closed {
            false => None,
            true => Some(lines.field("`closed` and a stream id or -", |line| {
                match line.strip_prefix(CLOSED)? {
                    NO_SUCCESSOR => Some(Bytes::new()),
                    id => {
                        let log: LogId = id.parse().ok()?;
                        Some(Bytes::copy_from_slice(&log.0))
                    }
                }
            })?),
        };
        let mut more = Vec::new();
        while let Some(line) = lines.take() {
            if !is_unknown_line(line) || more.len() == MAX_HEAD_LINES {
                return Err(lines.not(line, "a line that may stand there"));
            }
            more.push(line.to_owned());
        }
        let head = Self(v1::SignedHead {
            size,
            root: Bytes::copy_from_slice(&root.0),
            time_us,
            closed,
            lines: more,
            signature: Bytes::from(signature),
        });
        // The same number, id or hash could be written in another way, which nobody
        // has signed.
        let written = Checkpoint::of(&head.clone().into_head(log).map_err(HeadError::from)?);
        if written.as_str().strip_suffix('\n') != Some(text) {
            return Err(NoteError::OtherText(
                "numbers without leading zeros, ids and base64 as they are usually written",
            ));
        }
        Ok(head)
    }
}

/// The lines of a text, counted.
struct Lines<'a> {
    text: &'a str,
    next: usize,
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.text.split('\n').nth(self.next)
    }

    fn take(&mut self) -> Option<&'a str> {
        let line = self.peek();
        self.next += usize::from(line.is_some());
        line
    }

    fn field<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, NoteError> {
        let line = self.take().unwrap_or_default();
        read(line).ok_or_else(|| self.not(line, expected))
    }

    fn not(&self, line: &str, expected: &'static str) -> NoteError {
        NoteError::Line {
            line: self.next,
            text: line.escape_debug().to_string(),
            expected,
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal)
}

/// The signature under the owner's name and key id. Under that name others may sign,
/// too: what a line means is told by its id.
fn owners_signature(lines: &str, name: &str, id: [u8; KEY_ID_BYTES]) -> Result<Vec<u8>, NoteError> {
    let mut found = None;
    for line in lines.split('\n') {
        let form = NoteError::Form("a line below the empty one is no signature");
        let (of, signature) = line
            .strip_prefix(SIGNATURE)
            .and_then(|line| line.split_once(' '))
            .ok_or_else(|| form.clone())?;
        let signature = BASE64
            .decode(signature.as_bytes())
            .map_err(|_| form.clone())?;
        let (its_id, signature) = signature.split_first_chunk().ok_or(form)?;
        if of != name || *its_id != id {
            continue;
        }
        if signature.len() != SIGNATURE_BYTES {
            return Err(NoteError::Form("the owner's signature has not 64 bytes"));
        }
        if found.replace(signature.to_vec()).is_some() {
            return Err(NoteError::TwoSignatures);
        }
    }
    found.ok_or_else(|| NoteError::NoSignature(format!("{name}+{}", HEXLOWER.encode(&id))))
}

impl SignedHead {
    /// The signed note: the checkpoint, and below it the owner's signature.
    #[must_use]
    pub fn note(&self, owner: &PublicKey) -> String {
        let name = origin(self.log);
        let signature = [&key_id(&name, owner)[..], self.signature()].concat();
        let signature = BASE64.encode(&signature);
        format!("{}\n{SIGNATURE}{name} {signature}\n", self.checkpoint())
    }

    /// Reads the note of a checkpoint, and checks its signature.
    ///
    /// # Errors
    /// It is none of this log, or not signed by its owner.
    pub fn from_note(note: &str, log: LogId, owner: &PublicKey) -> Result<Self, NoteError> {
        Ok(UnverifiedHead::from_note(note, log, owner)?.verify(log, owner)?)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The time of a head as it is written: none is before 1970.
pub(super) fn time_us(time: Timestamp) -> u64 {
    u64::try_from(time.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SigningKey;
    use crate::merkle::empty_root;

    fn key() -> SigningKey {
        SigningKey::from_secret(&mut [1; 32])
    }

    fn head() -> Head {
        Head {
            log: LogId([5; 32]),
            size: 300,
            root: Hash([6; 32]),
            time: Timestamp(1_764_500_000_000_000),
            closing: None,
            lines: Vec::new(),
        }
    }

    fn closed(successor: Option<LogId>) -> Head {
        Head {
            closing: Some(Closing { successor }),
            ..head()
        }
    }

    fn note(head: &Head) -> String {
        head.clone().sign(&key()).note(&key().public())
    }

    fn read(note: &str) -> Result<SignedHead, NoteError> {
        SignedHead::from_note(note, head().log, &key().public())
    }

    #[test]
    fn a_checkpoint_is_the_text_that_its_fields_give() {
        let id = "bafkreiafaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifaucqkbifau";
        let next = "bafkreiaha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4";
        let root = "BgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgY=";
        assert_eq!(head().log.to_string(), id);
        let open = format!("headwater/1/{id}\n300\n{root}\ntime 1764500000000000\n");
        assert_eq!(head().checkpoint().as_str(), open);
        assert_eq!(
            closed(None).checkpoint().as_str(),
            format!("{open}closed -\n")
        );
        let successor = LogId([7; 32]);
        assert_eq!(successor.to_string(), next);
        let with_line = Head {
            lines: vec!["a word of later".to_owned()],
            ..closed(Some(successor))
        };
        assert_eq!(
            with_line.checkpoint().as_str(),
            format!("{open}closed {next}\na word of later\n")
        );
    }

    #[test]
    fn a_note_comes_back_as_the_head_that_it_was_made_of() {
        let empty = Head {
            size: 0,
            root: empty_root(),
            ..head()
        };
        let lines = Head {
            lines: vec!["ext 1".to_owned(), "ext 2".to_owned()],
            ..closed(Some(LogId([7; 32])))
        };
        for head in [head(), closed(None), empty, lines] {
            assert_eq!(*read(&note(&head)).unwrap(), head);
        }
    }

    #[test]
    fn signatures_of_others_are_passed_over_and_one_of_the_owner_is_needed() {
        let note = note(&head());
        let other = format!(
            "{SIGNATURE}witness.example/w1 {}\n",
            BASE64.encode(&[9; 76])
        );
        let (text, own) = note.split_once("\n\n").unwrap();
        for both in [
            format!("{text}\n\n{own}{other}"),
            format!("{text}\n\n{other}{own}"),
        ] {
            assert_eq!(*read(&both).unwrap(), head());
        }
        assert!(matches!(
            read(&format!("{text}\n\n{other}")),
            Err(NoteError::NoSignature(_))
        ));
        assert_eq!(
            read(&format!("{text}\n\n{own}{own}")),
            Err(NoteError::TwoSignatures)
        );
    }

    #[test]
    fn a_note_under_another_name_or_key_id_is_not_the_owners() {
        let own = note(&head());
        let (text, line) = own.split_once("\n\n").unwrap();
        let signature = line.trim_end().rsplit_once(' ').unwrap().1;
        let name = origin(head().log);
        let other_name = format!("{text}\n\n{SIGNATURE}{name}x {signature}\n");
        assert!(matches!(read(&other_name), Err(NoteError::NoSignature(_))));
        let mut bytes = BASE64.decode(signature.as_bytes()).unwrap();
        bytes[0] ^= 1;
        let other_id = format!("{text}\n\n{SIGNATURE}{name} {}\n", BASE64.encode(&bytes));
        assert!(matches!(read(&other_id), Err(NoteError::NoSignature(_))));
        bytes[0] ^= 1;
        bytes[20] ^= 1;
        let false_one = format!("{text}\n\n{SIGNATURE}{name} {}\n", BASE64.encode(&bytes));
        assert!(matches!(
            read(&false_one),
            Err(NoteError::Head(HeadError::Signature(_)))
        ));
    }

    #[test]
    fn a_text_that_its_fields_do_not_give_is_refused() {
        let note = note(&closed(Some(LogId([7; 32]))));
        let id = head().log.to_string();
        let next = LogId([7; 32]).to_string();
        for (from, to) in [
            ("\n300\n", "\n0300\n"),
            ("\n300\n", "\n+300\n"),
            ("\n300\n", "\n 300\n"),
            ("\n300\n", "\n99999999999999999999\n"),
            ("\n300\n", "\n9223372036854775808\n"),
            ("\n300\n", "\n0\n"),
            ("time 1", "time 01"),
            ("time 1", "time -1"),
            ("time 1", "time  1"),
            ("time 1", "Time 1"),
            ("time 1764500000000000", "time 9223372036854775808"),
            ("BgY=", "BgZ="),
            ("BgY=", "BgY"),
            ("closed baf", "closed  baf"),
            ("closed baf", "closed BAF"),
            (&next, &next[1..]),
            (&next, "\u{2013}"),
            (&next, &format!("{next}\nclosed -")),
            (&next, &format!("{next}\ntime 5")),
            (&next, &format!("{next}\n")),
            (&next, &format!("{next}\n\u{7}bell")),
            (&next, &format!("{next}\na\nb\nc\nd\ne")),
            (&next, &format!("{next}\r")),
            (&next, &id),
            ("headwater/1/", "headwater/2/"),
            (&id, &next),
        ] {
            let changed = note.replacen(from, to, 1);
            assert_ne!(changed, note, "{from}");
            let read = read(&changed);
            assert!(
                matches!(read, Err(ref error) if !matches!(error, NoteError::Head(HeadError::Signature(_)))),
                "{from:?} to {to:?}: {read:?}"
            );
        }
        for cut in 0..note.len() {
            if note.is_char_boundary(cut) {
                assert!(read(&note[..cut]).is_err(), "{cut}");
            }
        }
        let long = format!("{note}{}", "x".repeat(MAX_CHECKPOINT_BYTES));
        assert!(matches!(read(&long), Err(NoteError::TooLong { .. })));
    }

    #[test]
    fn the_verifier_key_is_that_of_c2sp() {
        let key = verifier_key(head().log, &key().public());
        let parts: Vec<_> = key.split('+').collect();
        assert_eq!(parts[0], origin(head().log));
        assert_eq!(parts[1].len(), 8);
        let bytes = BASE64
            .decode(key.splitn(3, '+').nth(2).unwrap().as_bytes())
            .unwrap();
        assert_eq!((bytes.len(), bytes[0]), (33, 1));
    }
}
