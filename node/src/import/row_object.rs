//! A row that is an object: with the names of columns, in any order, and beside them
//! when it was observed.

use std::borrow::Cow;
use std::fmt;

use headwater_client::times::Unit;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::row::RowRules;
use crate::wording::printable;

impl RowRules {
    /// The row of an array or an object.
    ///
    /// # Errors
    /// The stream cannot take it; says why.
    pub(crate) fn of_json(&self, json: &RawValue) -> Result<Vec<u8>, String> {
        let token = json.get();
        match token.as_bytes().first() {
            Some(b'[') => self.of_array(token),
            Some(b'{') => {
                let object = Observation::of_object(self, token, Whole::Row)?;
                match object.time {
                    None => Ok(object.row),
                    Some(_) => Err(
                        "it has a `time`, which is no column of the stream and stands \
                         beside the row (--time T, or lines with --ndjson)"
                            .to_owned(),
                    ),
                }
            }
            _ => Err(format!(
                "it is no row: that is an object with the names of columns, or an array in their order ({})",
                self.listed()
            )),
        }
    }

    /// The value of a record that is in the stream, as it is shown: the bytes that were
    /// signed, which others may be than those that are taken to publish.
    ///
    /// # Errors
    /// It is no object; says why.
    pub(crate) fn as_signed(&self, json: &RawValue) -> Result<Vec<u8>, String> {
        let Fields(fields) = serde_json::from_str(json.get()).map_err(|error| error.to_string())?;
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name == wanted);
            found.map_or("null", |(_, token)| token.get())
        };
        // All of a value that its cells do not say.
        if let Ok(Some(text)) = serde_json::from_str::<Option<String>>(field("token")) {
            return Ok(text.into_bytes());
        }
        let cells: Vec<_> = (self.columns().iter())
            .map(|column| field(&column.name))
            .collect();
        let rest = field("rest").strip_prefix('[');
        let end = rest.map_or_else(|| "]".to_owned(), |rest| format!(",{rest}"));
        Ok(format!("[{}{end}", cells.join(",")).into_bytes())
    }
}

/// What was read of an observation.
#[derive(Clone, Debug)]
pub(crate) struct Observation<'a> {
    /// When it was observed, as it is written, if that is said.
    pub(crate) time: Option<&'a RawValue>,
    /// What that counts, if it is a number.
    pub(crate) time_unit: Option<Unit>,
    /// The array that is kept.
    pub(crate) row: Vec<u8>,
}

/// What an object may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// An observation, which may have its row as `value`.
    Observation,
    /// A row alone.
    Row,
}

impl<'a> Observation<'a> {
    /// Reads an observation for a stream with these columns.
    ///
    /// # Errors
    /// It is none, or the stream cannot take it; says why.
    pub(crate) fn parse(rules: &RowRules, json: &'a str) -> Result<Self, String> {
        let json = json.trim_ascii();
        match json.as_bytes().first() {
            Some(b'[') => Ok(Self {
                time: None,
                time_unit: None,
                row: rules.of_array(json)?,
            }),
            Some(b'{') => Self::of_object(rules, json, Whole::Observation),
            _ => Err(format!(
                "it is neither an object with the names of columns nor an array in their order ({})",
                rules.listed()
            )),
        }
    }

    fn of_object(rules: &RowRules, json: &'a str, whole: Whole) -> Result<Self, String> {
        let Fields(fields) = serde_json::from_str(json).map_err(|error| {
            let text = error.to_string();
            let end = text.rfind(" at line ").unwrap_or(text.len());
            text[..end].to_owned()
        })?;
        let mut found = Found {
            tokens: vec![None; rules.columns().len()],
            ..Found::default()
        };
        for (turn, (name, token)) in fields.iter().enumerate() {
            // Most objects have their fields in the order of the columns.
            let is_next =
                |place: &usize| rules.columns().get(*place).is_some_and(|c| c.name == *name);
            let place = Some(turn.wrapping_sub(found.others))
                .filter(is_next)
                .or_else(|| rules.place(name));
            match place {
                Some(place) => once(&mut found.tokens[place], token.get(), name)?,
                None => found.other(name, token, rules, whole)?,
            }
        }
        found.finish(rules)
    }
}

/// What was found in an object so far.
#[derive(Default)]
struct Found<'a> {
    tokens: Vec<Option<&'a str>>,
    time: Option<&'a RawValue>,
    time_unit: Option<&'a RawValue>,
    index: Option<&'a RawValue>,
    rest: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
    /// Fields that are no columns.
    others: usize,
}

impl<'a> Found<'a> {
    /// A field that is no column.
    fn other(
        &mut self,
        name: &str,
        token: &'a RawValue,
        rules: &RowRules,
        whole: Whole,
    ) -> Result<(), String> {
        self.others += 1;
        let field = match name {
            "time" => &mut self.time,
            "time_unit" => &mut self.time_unit,
            // Exports have it; a new place is given to each record.
            "index" if whole == Whole::Observation => &mut self.index,
            "rest" => &mut self.rest,
            "value" if whole == Whole::Observation => &mut self.value,
            _ => {
                let name: String = name.chars().take(64).collect();
                return Err(format!(
                    "there is no column `{}`; there are: {}",
                    printable(&name),
                    rules.listed()
                ));
            }
        };
        once(field, token, name)
    }

    fn finish(self, rules: &RowRules) -> Result<Observation<'a>, String> {
        let unit = self.time_unit.map(|unit| serde_json::from_str(unit.get()));
        let time_unit = unit
            .transpose()
            .map_err(|error| format!("time_unit: {error}"))?;
        // Where there is none it is shown as null.
        let rest = self.rest.filter(|rest| rest.get() != "null");
        let is_by_name = rest.is_some() || self.tokens.iter().any(Option::is_some);
        let row = match self.value {
            Some(_) if is_by_name => {
                return Err(
                    "it has the row as `value` and columns beside it; leave one off".to_owned(),
                );
            }
            Some(value) => rules.of_json(value)?,
            None if is_by_name => {
                let rest: Option<Vec<&RawValue>> = rest
                    .map(|rest| serde_json::from_str(rest.get()))
                    .transpose()
                    .map_err(|_| "`rest` is not an array".to_owned())?;
                rules.of_tokens(&self.tokens, &rest.unwrap_or_default())?
            }
            None => {
                return Err(format!(
                    "it has no value for any column; there are: {}",
                    rules.listed()
                ));
            }
        };
        Ok(Observation {
            time: self.time,
            time_unit,
            row,
        })
    }
}

fn once<T>(field: &mut Option<T>, token: T, name: &str) -> Result<(), String> {
    match field.replace(token) {
        None => Ok(()),
        Some(_) => Err(format!("it has `{}` twice", printable(name))),
    }
}

/// The fields of an object in their order, each with its token.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name that is copied only where it is written with escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(OfObject)
    }
}

struct OfObject;

impl<'de> Visitor<'de> for OfObject {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the names of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((Name(name), token)) = object.next_entry()? {
            fields.push((name, token));
        }
        Ok(Fields(fields))
    }
}
