//! Which format a client takes best, by its header `Accept` (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

use headwater_export::Format;

/// What media types are called here.
const NAMES: [(&str, Format); 8] = [
    ("application/json", Format::Json),
    ("text/csv", Format::Csv),
    ("application/x-ndjson", Format::Ndjson),
    ("application/ndjson", Format::Ndjson),
    ("application/jsonl", Format::Ndjson),
    ("application/vnd.apache.arrow.stream", Format::Arrow),
    ("application/vnd.apache.arrow.file", Format::Feather),
    ("application/vnd.apache.parquet", Format::Parquet),
];

/// What is sent where a client takes several types and names none.
const RANGES: [(&str, Format); 3] = [
    ("*/*", Format::Json),
    ("application/*", Format::Json),
    ("text/*", Format::Csv),
];

/// What a type is worth of which nothing else is said, in thousandths.
const FULL: u16 = 1_000;

/// The format that is wanted most; of those that are wanted as much one that is
/// named, and named first. JSON where none of those that are known here is
/// wanted.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let values = headers.get_all(header::ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let wanted: Vec<(String, u16)> = texts.flat_map(|text| text.split(',')).map(wanted).collect();
    let named = known(&wanted, &NAMES);
    let is_named = |format| named.iter().any(|(named, _)| *named == format);
    // What is named is wanted as it says there.
    let others = known(&wanted, &RANGES).into_iter();
    let others = others.filter(|(format, _)| !is_named(*format));
    let mut best = (Format::Json, 0);
    for (format, weight) in named.iter().copied().chain(others) {
        if weight > best.1 {
            best = (format, weight);
        }
    }
    best.0
}

/// A type in small letters, and what it is worth.
fn wanted(text: &str) -> (String, u16) {
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or_default().trim();
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_weight = name.trim().eq_ignore_ascii_case("q");
        is_weight.then(|| weight(value.trim()))
    });
    (name.to_ascii_lowercase(), weight.unwrap_or(FULL))
}

/// At most three digits behind the point; what is written otherwise is as if
/// nothing was said.
fn weight(text: &str) -> u16 {
    let number = text.parse::<f32>().ok();
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    number.map_or(FULL, |number| (number * f32::from(FULL)).round() as u16)
}

fn known(wanted: &[(String, u16)], formats: &[(&str, Format)]) -> Vec<(Format, u16)> {
    let find = |(name, weight): &(String, u16)| {
        let known = formats.iter().find(|(known, _)| known == name);
        known.map(|(_, format)| (*format, *weight))
    };
    wanted.iter().filter_map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, value.parse().unwrap());
        }
        format(&headers)
    }

    #[test]
    fn what_is_wanted_most_is_sent() {
        for (accept, format) in [
            ("text/html, text/csv;q=0.9", Format::Csv),
            ("Application/X-NDJSON", Format::Ndjson),
            ("text/csv;q=0.1, application/x-ndjson", Format::Ndjson),
            ("text/csv;q=0.1,application/json;q=0.05", Format::Csv),
            (
                "text/csv; header=present; Q=0.2, application/jsonl;q=0.3",
                Format::Ndjson,
            ),
            (
                "application/vnd.apache.parquet;q=0.001, text/csv;q=0",
                Format::Parquet,
            ),
            // As much: the first one.
            ("text/csv, application/json", Format::Csv),
            ("application/json;q=0.5, text/csv;q=0.5", Format::Json),
            // What is no weight says nothing.
            ("text/csv;q=x, application/x-ndjson;q=0.9", Format::Csv),
        ] {
            assert_eq!(of(&[accept]), format, "{accept}");
        }
        assert_eq!(
            of(&["text/csv;q=0.5", "application/x-ndjson"]),
            Format::Ndjson
        );
    }

    #[test]
    fn who_takes_anything_gets_json_unless_another_is_wanted_as_much() {
        for (accept, format) in [
            ("*/*", Format::Json),
            ("text/html,application/xml;q=0.9,*/*;q=0.8", Format::Json),
            ("*/*, text/csv", Format::Csv),
            ("*/*, text/csv;q=0.5", Format::Json),
            ("*/*;q=0.1, text/csv;q=0.5", Format::Csv),
            ("*/*, application/json;q=0.1, text/csv;q=0.5", Format::Csv),
            ("text/*", Format::Csv),
            ("application/*;q=0.5, text/*;q=0.6", Format::Csv),
            ("image/png", Format::Json),
            ("text/csv;q=0", Format::Json),
            ("", Format::Json),
        ] {
            assert_eq!(of(&[accept]), format, "{accept}");
        }
        assert_eq!(of(&[]), Format::Json);
    }
}
