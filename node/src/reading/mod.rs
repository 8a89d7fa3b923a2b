//! The records of streams, as they can be read now: whoever exports them or answers
//! with them gets them here, and nowhere else.
//!
//! What a stream's status alone tells, of what was asked for, is in [`extent`]: what
//! is kept, what is disputed, what only a later version reads. [`Records`] are what the store
//! has of it, by index and by time. Nothing here knows which store that is.

mod by_time;
mod chunks;
pub mod extent;
mod holes;
pub mod limits;
mod records;
mod select;
mod unreadable;

pub use by_time::{ByTime, Disorder, Room, Timed};
pub use records::Records;
pub use select::{Order, Selection, visit};
pub use unreadable::Unreadable;

#[cfg(test)]
pub(crate) mod tests;
