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
mod selection;
mod unreadable;
mod visit;

pub use by_time::{ByTime, Disorder, Room, Timed};
pub use records::Records;
pub use selection::{Order, Selection};
pub use unreadable::Unreadable;
pub use visit::visit;

#[cfg(test)]
mod tests;
