//! What no time can be meant to be, with the reason for its bound.

use headwater_protocols::time::Timestamp;

/// Seconds by which a place can be ahead of UTC or behind: under 16 hours. Today it
/// is 14 at most; the farthest in the time zone database is 15:56:08, of Manila
/// before 1844.
pub(super) const MAX_OFFSET_S: i32 = 16 * 3_600 - 1;

/// 1000-01-01T00:00:00Z. What is observed and written with a year of one to three
/// digits is a slip nearly always, such as 24 where two digits were not expected.
pub(super) const FIRST_YEAR: Timestamp = Timestamp(-30_610_224_000_000_000);

/// What lies so far ahead of now is said. No zone is farther from UTC than 14
/// hours, so that beyond a day it is a forecast or a mistake.
pub(super) const FAR_US: u64 = 86_400_000_000;
