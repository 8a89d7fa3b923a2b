//! Times and spans as people and programs write them: the one place where every
//! door (API, NDJSON, CSV, flags) reads them, so that a text means the same
//! wherever it comes in.
//!
//! - RFC 3339 and its relatives of ISO 8601. Without an offset it is UTC, and
//!   without a time of day midnight.
//! - Numbers since the Unix epoch in a unit that is said. Without one they are
//!   microseconds, and only such as can be meant: see [`Unit`].
//! - Spans such as `3d`: so long before now.
//!
//! Offsets that no place has are refused, and of observations texts of years before
//! 1000, which are slips: see [`observed()`].
//!
//! What is finer than a microsecond is rounded down, which keeps the order. A
//! leap second is the last microsecond of the second before it, which keeps the
//! order, too.

mod error;
pub mod form;
mod iso;
mod leap;
mod limits;
mod moment;
mod notes;
mod number;
mod observed;
mod read;
pub mod span;
pub mod text;
mod unit;
mod written;

pub use error::TimeError;
pub use form::TimeForm;
pub use iso::parse_rfc3339;
pub use moment::Moment;
pub use notes::{TimeNotes, not_soon, soon};
pub use observed::{is_early, observed, observed_text};
pub use read::{Bound, bound, epoch_unit, exact, of_json, of_text, there};
pub use unit::{Unit, can_be_meant};
pub use written::{Local, Written};

/// What an error quotes of a text.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
