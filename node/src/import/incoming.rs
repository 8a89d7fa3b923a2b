//! Observations as they come in: a JSON object, an array of them, or NDJSON.
//!
//! The token of a value is kept as it was written. One bad item and nothing is
//! taken; every bad item is named by its place.

use std::borrow::Cow;
use std::fmt;

use headwater_client::base64;
use headwater_client::json_value;
use headwater_client::object;
use headwater_client::times::{self, Moment, TimeNotes, Unit};
use headwater_client::types::ItemProblem;
use headwater_protocols::limits::{MAX_PUBLISH_BYTES, MAX_PUBLISH_RECORDS};
use headwater_protocols::manifest::{Manifest, ValueType};
use headwater_protocols::number;
use headwater_protocols::record::Record;
use headwater_protocols::time::Timestamp;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::limits::MAX_LISTED_ERRORS;
use super::row::RowRules;
use super::row_object::Observation;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An object, or an array of objects.
    Json,
    /// An object a line; blank lines do not count, but have a place.
    Ndjson,
}

/// What was said beside a body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// That of times that are numbers, where they do not say it themselves.
    pub(crate) time_unit: Option<Unit>,
    /// Times far ahead of now are meant, whatever follows from them.
    pub(crate) far_ahead: bool,
}

/// What a body holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) records: Vec<Record>,
    /// What was done to observations that were not quite as they are kept.
    pub(crate) notes: Vec<String>,
}

/// Why nothing of a body is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotTaken {
    pub(crate) why: Why,
    /// What happened, and what to do.
    pub(crate) detail: String,
    /// The items that are bad, as far as they are listed.
    pub(crate) items: Vec<ItemProblem>,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The body cannot be read, or an item is bad.
    Bad,
    /// It is written in a way that is not read here.
    OtherForm,
    /// It is more than one request may carry.
    TooLarge,
}

impl NotTaken {
    fn because(why: Why, detail: impl Into<String>) -> Self {
        Self {
            why,
            detail: detail.into(),
            items: Vec::new(),
        }
    }

    fn bad(detail: impl Into<String>) -> Self {
        Self::because(Why::Bad, detail)
    }
}

/// Reads the observations of a body for a stream with this manifest. Those
/// without a time get `now`.
///
/// # Errors
/// The body cannot be read, an item is bad, or there are more than one request
/// may carry.
pub(crate) fn observations(
    form: Form,
    body: &[u8],
    manifest: &Manifest,
    now: Timestamp,
    terms: Terms,
) -> Result<Incoming, NotTaken> {
    if body.starts_with(GZIP) {
        let detail = "the body is gzip, which is not read; send it as it is. Nothing was stored";
        return Err(NotTaken::because(Why::OtherForm, detail));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        NotTaken::bad(format!(
            "the body is not UTF-8 at byte {at}; nothing was stored"
        ))
    })?;
    // Some programs begin every text with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut batch = Batch::new(manifest, now, terms);
    match form {
        Form::Json => batch.json(text)?,
        Form::Ndjson => batch.ndjson(text)?,
    }
    batch.finish()
}

/// One observation. Both are kept as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    /// There, also where it is null.
    #[serde(borrow, default, deserialize_with = "times::there")]
    time: Option<&'a RawValue>,
    time_unit: Option<Unit>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// With what a gzip file begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// What has been read of a body so far.
struct Batch {
    value_type: ValueType,
    /// Of a stream with columns.
    rows: Option<RowRules>,
    max_value_bytes: usize,
    now: Timestamp,
    unit: Option<Unit>,
    /// What is later is refused.
    latest: Option<Timestamp>,
    records: Vec<Record>,
    times: TimeNotes,
    /// Numbers that are kept in another way than they were given.
    rewritten: usize,
    bytes: usize,
    errors: Vec<ItemProblem>,
    bad: usize,
    /// More than one request may carry.
    is_too_large: bool,
}

impl Batch {
    fn new(manifest: &Manifest, now: Timestamp, terms: Terms) -> Self {
        let refuses_far = manifest.ordered && !terms.far_ahead;
        Self {
            value_type: manifest.value_type,
            rows: RowRules::of(manifest),
            max_value_bytes: manifest.max_value_bytes(),
            now,
            unit: terms.time_unit,
            latest: refuses_far.then(|| times::soon(now)),
            records: Vec::new(),
            times: TimeNotes::default(),
            rewritten: 0,
            bytes: 0,
            errors: Vec::new(),
            bad: 0,
            is_too_large: false,
        }
    }

    fn json(&mut self, text: &str) -> Result<(), NotTaken> {
        if !text.trim_ascii_start().starts_with('[') {
            // The usual one is gone through once; what is wrong with another is
            // found out at leisure.
            if let Ok(record) = self.read(text.trim_ascii_start()) {
                self.take(record);
                return Ok(());
            }
            let raw = serde_json::from_str::<&RawValue>(text).map_err(not_json)?;
            self.item(0, raw.get());
            return Ok(());
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let read = Items(self).deserialize(&mut json).and_then(|()| json.end());
        match read {
            Err(_) if self.is_too_large => Err(too_large()),
            read => read.map_err(not_json),
        }
    }

    fn ndjson(&mut self, text: &str) -> Result<(), NotTaken> {
        for (place, line) in text.lines().enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            self.item(place, line);
            if self.is_too_large {
                return Err(too_large());
            }
        }
        Ok(())
    }

    fn item(&mut self, place: usize, json: &str) {
        match self.read(json) {
            Ok(record) => self.take(record),
            Err(detail) => {
                self.bad += 1;
                if self.errors.len() < MAX_LISTED_ERRORS {
                    self.errors.push(ItemProblem { place, detail });
                }
            }
        }
        self.is_too_large =
            self.records.len() + self.bad > MAX_PUBLISH_RECORDS || self.bytes > MAX_PUBLISH_BYTES;
    }

    fn take(&mut self, record: Record) {
        self.bytes += record.as_bytes().len();
        self.records.push(record);
    }

    fn read(&mut self, json: &str) -> Result<Record, String> {
        if let Some(rows) = &self.rows {
            let item = Observation::parse(rows, json)?;
            let moment = self.moment(item.time, item.time_unit)?;
            return self.record(moment, &item.row);
        }
        if !json.starts_with('{') {
            return Err("is not an object with `value` and, if it has one, `time`".to_owned());
        }
        let item: Item<'_> = object::from_json(json).map_err(|error| without_place(&error))?;
        let moment = self.moment(item.time, item.time_unit)?;
        let (value, is_rewritten) = value(self.value_type, item.value)?;
        let record = self.record(moment, &value)?;
        let checked = self.value_type.check(&value);
        checked.map_err(|why| format!("the value {} {why}", shown(item.value.get())))?;
        self.rewritten += usize::from(is_rewritten);
        Ok(record)
    }

    fn moment(&self, time: Option<&RawValue>, unit: Option<Unit>) -> Result<Moment, String> {
        let (unit, now) = (unit.or(self.unit), self.now);
        let moment = match time {
            Some(time) => times::of_json(time.get(), unit, Some(now))
                .and_then(|moment| times::observed(moment, time.get()))
                .map_err(|error| format!("the time {error}"))?,
            None => Moment::exact(now),
        };
        if self.latest.is_some_and(|latest| moment.time > latest) {
            let why = times::not_soon(moment.time);
            return Err(format!(
                "{why}; say far_ahead=true in the address if it is meant"
            ));
        }
        Ok(moment)
    }

    fn record(&mut self, moment: Moment, value: &[u8]) -> Result<Record, String> {
        let (bytes, max) = (value.len(), self.max_value_bytes);
        if bytes > max {
            return Err(format!(
                "the value has {bytes} bytes, more than the {max} of this stream, which its chunk_level \
                 sets and which never change"
            ));
        }
        self.times.add(&moment, self.now);
        Ok(Record::new(moment.time, value))
    }

    fn finish(mut self) -> Result<Incoming, NotTaken> {
        if self.bad > 0 {
            let all = self.records.len() + self.bad;
            let (bad, listed) = (self.bad, self.errors.len());
            let cut = if listed < bad {
                format!("; the first {listed} are listed")
            } else {
                String::new()
            };
            let detail =
                format!("{bad} of {all} observations are bad, and nothing was stored{cut}");
            return Err(NotTaken {
                items: self.errors,
                ..NotTaken::bad(detail)
            });
        }
        if self.records.is_empty() {
            return Err(NotTaken::bad("the body has no observations"));
        }
        let mut notes = self.times.fresh();
        notes.extend(match self.rewritten {
            0 => None,
            1 => Some("1 number is kept as JSON writes it".to_owned()),
            count => Some(format!("{count} numbers are kept as JSON writes them")),
        });
        Ok(Incoming {
            records: self.records,
            notes,
        })
    }
}

/// Reads the elements of an array one at a time, so that a long one is given up
/// early.
struct Items<'a>(&'a mut Batch);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of observations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut place = 0;
        while let Some(raw) = items.next_element::<&RawValue>()? {
            self.0.item(place, raw.get());
            place += 1;
            if self.0.is_too_large {
                return Err(de::Error::custom("too large"));
            }
        }
        Ok(())
    }
}

/// The bytes that are kept of a JSON token, and whether they are another token
/// of the same number.
fn value(value_type: ValueType, json: &RawValue) -> Result<(Cow<'_, [u8]>, bool), String> {
    let token = json.get();
    let kept = match value_type {
        ValueType::Json => {
            json_value::check_parsed(json).map_err(|why| format!("the value {why}"))?;
            Cow::Borrowed(token.as_bytes())
        }
        // Fields of CSV files come as strings.
        ValueType::Number if token.starts_with('"') => {
            let given = string(token)?;
            let given = given.trim();
            let number = number::json_token(given).unwrap_or(Cow::Borrowed(given));
            let is_rewritten = number != given;
            return Ok((Cow::Owned(number.as_bytes().to_vec()), is_rewritten));
        }
        ValueType::Number => Cow::Borrowed(token.as_bytes()),
        ValueType::Text => Cow::Owned(string(token)?.into_bytes()),
        ValueType::Bytes => {
            let bytes = base64::decode(string(token)?.as_bytes());
            bytes.map(Cow::Owned).map_err(|error| {
                format!("the value is not base64 with padding (RFC 4648, section 4): {error}")
            })?
        }
    };
    Ok((kept, false))
}

fn string(token: &str) -> Result<String, String> {
    if !token.starts_with('"') {
        return Err(format!("the value {} is not a JSON string", shown(token)));
    }
    serde_json::from_str(token)
        .map_err(|error| format!("the value is not a JSON string: {}", without_place(&error)))
}

/// What an error quotes of a token.
fn shown(token: &str) -> String {
    const LONGEST: usize = 60;
    let mut text: String = token.chars().take(LONGEST).collect();
    if text.len() < token.len() {
        text.push('…');
    }
    format!("`{text}`")
}

/// An error within an item, whose line and column would mislead.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

fn not_json(error: serde_json::Error) -> NotTaken {
    NotTaken::bad(format!(
        "the body is not JSON: {error}; nothing was stored. NDJSON needs `Content-Type: application/x-ndjson`"
    ))
}

fn too_large() -> NotTaken {
    let detail = format!(
        "a request may carry {MAX_PUBLISH_RECORDS} observations of {MAX_PUBLISH_BYTES} bytes together; nothing was stored, split it"
    );
    NotTaken::because(Why::TooLarge, detail)
}

#[cfg(test)]
#[path = "incoming/tests.rs"]
mod tests;
