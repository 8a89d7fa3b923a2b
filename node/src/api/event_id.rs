//! The ids of live events, with which a client comes back: the index of the record. Where
//! a stream may have had another history here than the one that counts, its id also says
//! which one the record is of: an index alone would go on in the other one.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use headwater_protocols::engine::LogStatus;

/// Stands between the index and the epoch.
const SEPARATOR: char = '@';

/// Which history of a recovered stream a record is of: how the root of the tree begins
/// that counts. A node that was started anew, and every other one, calls it the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch([u8; 4]);

impl Epoch {
    /// That of what counts of a stream, if its recovery key has said so.
    pub(super) fn of_counted(status: &LogStatus) -> Option<Self> {
        let root = status.recovered.as_ref()?.tree().root;
        root.0.first_chunk().copied().map(Self)
    }

    /// The same, where clients may have got another history: the publisher has signed
    /// two, or the rows were replaced.
    pub(super) fn needed(status: &LogStatus, were_replaced: bool) -> Option<Self> {
        Self::of_counted(status).filter(|_| were_replaced || has_branches(status))
    }
}

/// Whether two trees of a stream are known. That it went on after its end is none.
fn has_branches(status: &LogStatus) -> bool {
    (status.fork.as_ref()).is_some_and(|fork| !fork.is_of_closing())
}

/// The id of a live event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    pub(super) index: u64,
    pub(super) epoch: Option<Epoch>,
}

impl EventId {
    /// The first record that need not be the one that counts, although a client that has
    /// this one may have it; `None` where its history is the one of the stream now.
    pub(super) fn parts_from(&self, status: &LogStatus, were_replaced: bool) -> Option<u64> {
        let counted = Epoch::of_counted(status)?;
        let is_same = match self.epoch {
            Some(epoch) => epoch == counted,
            None => Epoch::needed(status, were_replaced).is_none(),
        };
        let common = match &status.fork {
            Some(fork) if has_branches(status) => fork.common_size(),
            _ => 0,
        };
        (!is_same).then_some(common)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.index)?;
        match &self.epoch {
            None => Ok(()),
            Some(Epoch(root)) => write!(f, "{SEPARATOR}{}", HEXLOWER.encode(root)),
        }
    }
}

/// The text is no id of a live event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let (index, epoch) = match text.split_once(SEPARATOR) {
            None => (text, None),
            Some((index, epoch)) => (index, Some(epoch)),
        };
        let epoch = epoch.map(|epoch| {
            let root = HEXLOWER.decode(epoch.as_bytes()).map_err(|_| NoEventId)?;
            root.try_into().map(Epoch).map_err(|_| NoEventId)
        });
        Ok(Self {
            index: index.parse().map_err(|_| NoEventId)?,
            epoch: epoch.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is_one() {
        let of = |index, epoch| EventId { index, epoch };
        for (text, id) in [
            ("0", of(0, None)),
            ("18446744073709551615", of(u64::MAX, None)),
            ("29@5ccb1b1c", of(29, Some(Epoch([0x5c, 0xcb, 0x1b, 0x1c])))),
        ] {
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(id.to_string(), text);
        }
        for wrong in [
            "",
            "@",
            "x",
            "-1",
            "1@",
            "@5ccb1b1c",
            "1@5CCB1B1C",
            "1@5ccb1b",
            "1@5ccb1b1c00",
            "1@2@3",
        ] {
            assert_eq!(wrong.parse::<EventId>(), Err(NoEventId), "{wrong}");
        }
    }
}
