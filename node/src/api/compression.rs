//! Which answers are compressed on their way.

use axum::http::{HeaderMap, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

use headwater_export::Format;

/// Texts are compressed for those who say that they take it. Live events are
/// not, because they must leave at once, nor are columns: Parquet is already,
/// and Arrow is asked for because it is read as it is (of 3 million numbers it
/// takes twice the time, and not every reader knows that it was done).
pub(super) fn layer() -> CompressionLayer<impl Predicate> {
    let not = |format: Format| NotForContentType::const_new(format.media_type());
    let compressed = DefaultPredicate::new()
        .and(not(Format::Parquet))
        .and(not(Format::Arrow))
        .and(not(Format::Feather));
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(compressed)
}

/// Whether an answer in this format may be compressed for who asks so: its
/// bytes are then not those that its entity tag names.
pub(super) fn is_done(headers: &HeaderMap, format: Format) -> bool {
    let taken = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut taken = taken.filter_map(|value| value.to_str().ok());
    // Who refuses it (`gzip;q=0`) only gets a weaker tag.
    let is_taken = taken.any(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("gzip") || value.contains('*')
    });
    let is_text = match format {
        Format::Csv | Format::SafeCsv | Format::Ndjson | Format::Json => true,
        Format::Arrow | Format::Feather | Format::Parquet => false,
    };
    is_taken && is_text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compressed_for_who_takes_it_and_columns_for_nobody() {
        let done = |encoding: &str, format| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, encoding.parse().unwrap());
            is_done(&headers, format)
        };
        for format in [Format::Csv, Format::Ndjson, Format::Json] {
            assert!(done("gzip, deflate", format));
            assert!(done("br, *", format));
            assert!(!done("identity", format));
            assert!(!is_done(&HeaderMap::new(), format));
        }
        for format in [Format::Arrow, Format::Feather, Format::Parquet] {
            assert!(!done("gzip", format));
        }
    }
}
