//! The text of a recovery key: what stands in its file and in that of its public
//! half, line by line. It is made to be copied by hand: what is read may have
//! other spaces, capitals, empty lines and remarks, and a checksum finds what was
//! copied wrongly. Pure: nothing is read from the disk here.

use std::fmt::Write;
use std::iter::Peekable;

use data_encoding::HEXLOWER;
use headwater_protocols::identity::key_hash;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::sealing::Sealing;
use crate::keys::limits::{MAX_KEY_BYTES, MAX_RECOVERY_FILE_BYTES};

/// The version of the form.
const VERSION: &str = "1";

/// What the first line of a secret file says before the version.
const SECRET: &str = "headwater recovery key";

/// What that of its public half says.
const PUBLIC: &str = "headwater recovery public key";

/// Digits that stand together.
const GROUP: usize = 8;

/// Bytes of the checksum.
const CHECK_BYTES: usize = 4;

/// Why a text is no recovery key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It is something else.
    #[error("it is no recovery key: its first line is neither `{SECRET} 1` nor `{PUBLIC} 1`")]
    Other,
    /// A later version has made it.
    #[error("it has version {0} of the form, and this program reads 1; use a newer headwater")]
    Newer(String),
    /// The secret file was given where the public half is wanted.
    #[error("it is the secret key itself; give the file that ends in .pub, and put this one away")]
    IsSecret,
    /// The public half was given where the key is wanted.
    #[error("it is only the public half; give the secret file, the one without .pub")]
    IsPublic,
    /// Longer than any key.
    #[error("it has {0} bytes, and no recovery key has more than {MAX_RECOVERY_FILE_BYTES}")]
    TooLong(usize),
    /// A line is not the one that should stand there.
    #[error("where the line `{expected}:` should stand there is {found}")]
    Line {
        /// The name of the line.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A line cannot be read.
    #[error("its line `{name}:` is wrong: {why}")]
    Value {
        /// The name of the line.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It was copied wrongly.
    #[error(
        "a character of it is wrong or missing, as its last line tells; compare it with its other copy"
    )]
    Check,
    /// The line `recovery` is not the hash of the key.
    #[error("its line `recovery:` is not the hash of its signing key")]
    Hash,
    /// Signatures of a type that this version does not know.
    #[error("it signs in a way that this program does not know (type {0}); use a newer headwater")]
    Signature(u8),
}

/// How readers' keys are used: the numbers of RFC 9180.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// How a key is wrapped for the reader: 0x0020, X25519 with HKDF-SHA-256.
    pub kem: u16,
    /// How keys are made of it: 0x0001, HKDF-SHA-256.
    pub kdf: u16,
    /// What it is encrypted with: 0x0003, ChaCha20-Poly1305.
    pub aead: u16,
}

impl Suite {
    /// The one that keys are made for.
    pub const X25519: Self = Self {
        kem: 0x0020,
        kdf: 0x0001,
        aead: 0x0003,
    };
}

/// What everybody may know of a recovery key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHalf {
    /// How it signs; 1: Ed25519.
    pub signature_type: u8,
    /// What its signatures are checked with.
    pub signing_key: Vec<u8>,
    /// How its reader key is used.
    pub suite: Suite,
    /// What is wrapped for it.
    pub reader_key: Vec<u8>,
}

impl PublicHalf {
    /// SHA-256 of the type and the signing key: what stands in manifests, and the
    /// key's fingerprint.
    #[must_use]
    pub fn recovery(&self) -> [u8; 32] {
        key_hash(self.signature_type, &self.signing_key)
    }

    fn text(&self, kind: &str) -> Zeroizing<String> {
        let Suite { kem, kdf, aead } = self.suite;
        // Long enough for what is to come: a text that grows leaves itself behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_RECOVERY_FILE_BYTES));
        let written = write!(
            text,
            "{kind} {VERSION}\nsignature-type: {}\nsigning-key: {}\n\
             hpke: kem={kem:04x} kdf={kdf:04x} aead={aead:04x}\nreader-key: {}\nrecovery: {}\n",
            self.signature_type,
            *grouped(&self.signing_key),
            *grouped(&self.reader_key),
            *grouped(&self.recovery()),
        );
        written.expect("a text takes what is written");
        text
    }

    /// The file of the public half.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.text(PUBLIC);
        add_check(&mut text);
        text.to_string()
    }

    /// Reads the file of a public half.
    ///
    /// # Errors
    /// It holds something else.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        match parse(text)? {
            (public, None) => Ok(public),
            (_, Some(_)) => Err(FormError::IsSecret),
        }
    }
}

/// The lines of a secret file, as they stand there: its secret may be sealed.
#[derive(Debug)]
pub(super) struct SecretFile {
    pub(super) public: PublicHalf,
    pub(super) sealing: Option<Sealing>,
    pub(super) secret: Zeroizing<Vec<u8>>,
}

impl SecretFile {
    /// All lines before the secret: what is authenticated with it.
    pub(super) fn head(public: &PublicHalf, sealing: Option<&Sealing>) -> Zeroizing<String> {
        let mut text = public.text(SECRET);
        let passphrase = sealing.map_or("none".to_owned(), Sealing::to_text);
        writeln!(text, "passphrase: {passphrase}").expect("a text takes what is written");
        text
    }

    pub(super) fn to_text(&self) -> Zeroizing<String> {
        let mut text = Self::head(&self.public, self.sealing.as_ref());
        let secret = grouped(&self.secret);
        writeln!(text, "secret: {}", *secret).expect("a text takes what is written");
        add_check(&mut text);
        text
    }

    pub(super) fn parse(text: &str) -> Result<Self, FormError> {
        match parse(text)? {
            (public, Some((sealing, secret))) => Ok(Self {
                public,
                sealing,
                secret,
            }),
            (_, None) => Err(FormError::IsPublic),
        }
    }
}

/// Reads either file, and says which it is: only a secret one has a secret.
pub(super) fn parse_public(text: &str) -> Result<(PublicHalf, Option<bool>), FormError> {
    let (public, secret) = parse(text)?;
    Ok((public, secret.map(|(sealing, _)| sealing.is_some())))
}

type Secret = (Option<Sealing>, Zeroizing<Vec<u8>>);

fn parse(text: &str) -> Result<(PublicHalf, Option<Secret>), FormError> {
    if text.len() > MAX_RECOVERY_FILE_BYTES {
        return Err(FormError::TooLong(text.len()));
    }
    let mut lines = Lines::new(text);
    let is_secret = lines.kind()?;
    let kind = lines.value("signature-type")?;
    // In the one form that is hashed: no sign, no zero in front.
    let signature_type = (kind.parse().ok())
        .filter(|number: &u8| *number > 0 && *number < 0x80 && number.to_string() == **kind);
    let public = PublicHalf {
        signature_type: signature_type
            .ok_or_else(|| wrong("signature-type", "it is no number from 1 to 127"))?,
        signing_key: lines.bytes("signing-key")?.to_vec(),
        suite: suite(&lines.value("hpke")?)?,
        reader_key: lines.bytes("reader-key")?.to_vec(),
    };
    let recovery = lines.bytes("recovery")?;
    let mut secret = None;
    if is_secret {
        let sealing = match &**lines.words("passphrase")? {
            "none" => None,
            text => Some(Sealing::parse(text).map_err(|why| wrong("passphrase", why))?),
        };
        secret = Some((sealing, lines.bytes("secret")?));
    }
    let check = lines.bytes("check")?;
    lines.end()?;
    // The checksum before all else that could be wrong: it is the likeliest.
    let before = match &secret {
        None => public.text(PUBLIC),
        Some((sealing, secret)) => {
            let mut text = SecretFile::head(&public, sealing.as_ref());
            let secret = grouped(secret);
            writeln!(text, "secret: {}", *secret).expect("a text takes what is written");
            text
        }
    };
    let is_hash = *recovery == public.recovery();
    if is_hash && *check != checksum(&before) {
        return Err(FormError::Check);
    }
    if !is_hash {
        // Whoever copied it wrongly has a wrong checksum, too.
        let given = before.replace(&**grouped(&public.recovery()), &grouped(&recovery));
        return Err(match *check == checksum(&Zeroizing::new(given)) {
            true => FormError::Hash,
            false => FormError::Check,
        });
    }
    Ok((public, secret))
}

fn suite(text: &str) -> Result<Suite, FormError> {
    let mut parts = text.split(' ');
    let mut part = |name: &str| {
        let digits = parts.next()?.strip_prefix(name)?.strip_prefix('=')?;
        let is_hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let read = (part("kem"), part("kdf"), part("aead"));
    match (read, parts.next()) {
        ((Some(kem), Some(kdf), Some(aead)), None) => Ok(Suite { kem, kdf, aead }),
        _ => Err(wrong(
            "hpke",
            "it should be like `kem=0020 kdf=0001 aead=0003`",
        )),
    }
}

fn wrong(name: &'static str, why: impl Into<String>) -> FormError {
    let why = why.into();
    FormError::Value { name, why }
}

fn checksum(text: &str) -> [u8; CHECK_BYTES] {
    let hash = Sha256::digest(text.as_bytes());
    *hash.first_chunk().expect("a hash is longer")
}

fn add_check(text: &mut String) {
    let check = HEXLOWER.encode(&checksum(text));
    writeln!(text, "check: {check}").expect("a text takes what is written");
}

/// Hex digits in groups, as one copies them by hand.
fn grouped(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2 + bytes.len() / 4 + 1));
    for (number, group) in bytes.chunks(GROUP / 2).enumerate() {
        if number > 0 {
            text.push(' ');
        }
        HEXLOWER.encode_append(group, &mut text);
    }
    text
}

/// The lines that count, one after the other.
struct Lines<'a> {
    lines: Peekable<Box<dyn Iterator<Item = &'a str> + 'a>>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines: Box<dyn Iterator<Item = &'a str> + 'a> = Box::new(lines);
        Self {
            lines: lines.peekable(),
        }
    }

    /// Whether the first line is that of a secret file.
    fn kind(&mut self) -> Result<bool, FormError> {
        let first = one_spaced(self.lines.next().unwrap_or_default());
        let (is_secret, version) = match (first.strip_prefix(SECRET), first.strip_prefix(PUBLIC)) {
            (Some(version), _) => (true, version),
            (None, Some(version)) => (false, version),
            (None, None) => return Err(FormError::Other),
        };
        match version.trim() {
            VERSION => Ok(is_secret),
            later if !later.is_empty() && later.bytes().all(|digit| digit.is_ascii_digit()) => {
                Err(FormError::Newer(later.to_owned()))
            }
            _ => Err(FormError::Other),
        }
    }

    fn value(&mut self, name: &'static str) -> Result<Zeroizing<String>, FormError> {
        let Some(line) = self.lines.next() else {
            let found = "the end".to_owned();
            let expected = name;
            return Err(FormError::Line { expected, found });
        };
        let (found, value) = line.split_once(':').unwrap_or((line, ""));
        if !found.trim_end().eq_ignore_ascii_case(name) {
            // Never what may be a secret.
            let is_name = found.len() <= 16 && found.len() < line.len();
            let found = match is_name {
                true => format!("`{}:`", found.escape_debug()),
                false => "something else".to_owned(),
            };
            let expected = name;
            return Err(FormError::Line { expected, found });
        }
        Ok(one_spaced(value))
    }

    /// A value of words, which may go on in the next line.
    fn words(&mut self, name: &'static str) -> Result<Zeroizing<String>, FormError> {
        let mut words = self.value(name)?;
        while let Some(more) = self.next_without_name() {
            words.push(' ');
            words.push_str(&one_spaced(more));
        }
        Ok(words)
    }

    /// A sheet of paper is narrower than a key: what has no name goes on.
    fn next_without_name(&mut self) -> Option<&'a str> {
        self.lines.next_if(|line| !line.contains(':'))
    }

    fn bytes(&mut self, name: &'static str) -> Result<Zeroizing<Vec<u8>>, FormError> {
        let first = self.value(name)?;
        // Long enough for all there may be: a text that grows leaves itself behind.
        let mut digits = Zeroizing::new(String::with_capacity(MAX_RECOVERY_FILE_BYTES));
        digits.extend(first.chars().filter(|digit| *digit != ' '));
        while let Some(more) = self.next_without_name() {
            digits.extend(one_spaced(more).chars().filter(|digit| *digit != ' '));
        }
        if let Some(at) = digits.find(|digit: char| !digit.is_ascii_hexdigit()) {
            let place = digits[..at].len() + 1;
            let why = format!("character {place}, without spaces, is no digit 0 to 9 or a to f");
            return Err(wrong(name, why));
        }
        if digits.len() % 2 == 1 {
            let why = format!(
                "it has {} digits: one is missing, or too many",
                digits.len()
            );
            return Err(wrong(name, why));
        }
        if digits.is_empty() || digits.len() > 2 * MAX_KEY_BYTES {
            let why = format!("it has {} digits", digits.len());
            return Err(wrong(name, why));
        }
        match HEXLOWER.decode(digits.as_bytes()) {
            Ok(bytes) => Ok(Zeroizing::new(bytes)),
            Err(_) => Err(wrong(name, "it is not written in hex digits")),
        }
    }

    fn end(&mut self) -> Result<(), FormError> {
        match self.lines.next() {
            None => Ok(()),
            Some(_) => Err(wrong("check", "something stands behind it")),
        }
    }
}

/// In lower case, with one space between words.
fn one_spaced(text: &str) -> Zeroizing<String> {
    let mut spaced = Zeroizing::new(String::with_capacity(text.len()));
    for word in text.split_whitespace() {
        if !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.extend(word.chars().map(|c| c.to_ascii_lowercase()));
    }
    spaced
}

/// What a manifest has of a recovery key: the hash that stands in the file of its
/// public half, or 64 hex digits.
///
/// # Errors
/// It is neither.
pub fn recovery_hash(text: &str) -> Result<[u8; 32], FormError> {
    let digits = text.trim();
    let is_hash = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hash {
        let decoded = HEXLOWER.decode(digits.to_ascii_lowercase().as_bytes());
        let hash = decoded.ok().and_then(|bytes| bytes.try_into().ok());
        return hash.ok_or(FormError::Other);
    }
    let public = PublicHalf::parse(text)?;
    Ok(public.recovery())
}
