//! How a log stands, for those who watch.

use libp2p_identity::PeerId;

use super::{Damage, Lag, ReopeningStatus};
use crate::head::{AdoptedHead, SignedHead};
use crate::id::LogId;
use crate::log::ForkProof;
use crate::manifest::SignedManifest;
use crate::ranges::Interval;
use crate::recovery::Recovered;
use crate::store::LogKey;
use crate::time::Timestamp;

/// How a log stands, for those who watch.
#[derive(Clone, Debug)]
pub struct LogStatus {
    /// The log.
    pub log: LogId,
    /// Its manifest, once a peer has sent it.
    pub manifest: Option<SignedManifest>,
    /// Where its rows are.
    pub key: Option<LogKey>,
    /// Whether it is ours.
    pub owned: bool,
    /// Whether it is kept in step.
    pub followed: bool,
    /// Whether the latest records are filled in first.
    pub newest_first: bool,
    /// The head that everything held is proved against.
    pub head: Option<AdoptedHead>,
    /// What is held, at most 1,024 intervals.
    pub held: Vec<Interval>,
    /// Records that are held.
    pub held_records: u64,
    /// Records before this one were dropped, or are not fetched, as the manifest
    /// allows.
    pub begin: u64,
    /// Size up to which everything is held and survives the loss of power.
    pub synced_size: u64,
    /// Records delivered to others since the node started.
    pub served_records: u64,
    /// Peers that have something of it.
    pub sources: Vec<PeerId>,
    /// Whether something that is missing is not fetched because the disk has no
    /// room for it.
    pub waits_for_room: bool,
    /// Whether records that the clock makes too old are kept all the same, because
    /// it was set ahead and nobody has confirmed it yet.
    pub holds_back: bool,
    /// Microseconds by which the publisher's clock is ahead of ours, as its heads
    /// were heard; negative if it is behind; `None` while none was heard live.
    pub clock_ahead_us: Option<i64>,
    /// What is missing here, compared with them.
    pub lag: Lag,
    /// Multiaddrs that the user gave.
    pub peers: Vec<String>,
    /// What its recovery key has said.
    pub recovered: Option<Box<Recovered>>,
    /// Proof that its owner forked.
    pub fork: Option<Box<ForkProof>>,
    /// Of a forked log: the first index that not both branches are known to
    /// have in common. Of a recovered one: the first that is disowned, if any is
    /// here. From here on nothing counts as verified.
    pub disputed_from: Option<u64>,
    /// What the disk has damaged of it, until that is right again.
    pub damage: Option<Damage>,
    /// Why nothing more is written to it, if it does not go on by itself.
    pub stopped_for_good: Option<String>,
    /// Why nothing is written to it before the disk works again, in words, and
    /// since when.
    pub stopped: Option<(String, Timestamp)>,
    /// Why nothing is written to a log of our own before peers were asked, or
    /// the user has decided, and what they have said.
    pub reopening: Option<ReopeningStatus>,
    /// Of a log of our own: followers that are known to have had all of it.
    pub known_followers: usize,
}

impl LogStatus {
    /// The head that counts, as others can check it: of a log that has a last head, by its
    /// recovery key or because it was closed and went on, that one, whatever was adopted
    /// beyond it.
    #[must_use]
    pub fn counted_head(&self) -> Option<&SignedHead> {
        let last = match (&self.recovered, &self.fork) {
            (Some(recovered), _) => Some(recovered.head()),
            (None, Some(fork)) if fork.is_of_closing() => Some(&fork.smaller),
            (None, _) => None,
        };
        let adopted = self.head.as_ref()?;
        let last = last.filter(|last| last.size <= adopted.size);
        last.or_else(|| adopted.signed())
    }

    /// Records that are compared with the adopted head where they are held. Where
    /// nothing shows how much of a recovered stream counts, these are all: what is
    /// damaged of it may be why.
    #[must_use]
    pub fn proved_size(&self) -> u64 {
        let size = self.head.as_ref().map_or(0, |head| head.size);
        match (self.usable_size(), &self.recovered) {
            (0, Some(_)) => size,
            (usable, _) => usable,
        }
    }

    /// Whether it is clear which records count, so that peers are asked for what is
    /// missing: of a forked stream only where it has a last head.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let is_end = |fork: &ForkProof| fork.is_of_closing();
        self.recovered.is_some() || self.fork.as_deref().is_none_or(is_end)
    }

    /// Whether nothing of a recovered stream counts: those peers that it has are none that
    /// have what does.
    #[must_use]
    pub fn lacks_end(&self) -> bool {
        let end = self.recovered.as_ref().map_or(0, |end| end.tree().size);
        end > 0 && self.usable_size() == 0
    }

    /// Records that count for good, where it has a last head: by its recovery key, or
    /// because it was closed. That many may not be here, and what is may be of another tree.
    #[must_use]
    pub fn ends_at(&self) -> Option<u64> {
        match (&self.recovered, &self.fork) {
            (Some(recovered), _) => Some(recovered.tree().size),
            (None, Some(fork)) => fork.is_of_closing().then_some(fork.smaller.size),
            (None, None) if self.disputed_from.is_some() => None,
            (None, None) => {
                let head = self.head.as_ref()?;
                head.closing.map(|_| head.size)
            }
        }
    }

    /// What continues it by the word of its owner: of a log that was ended in two ways
    /// only what both name.
    #[must_use]
    pub fn successor(&self) -> Option<LogId> {
        match &self.fork {
            Some(fork) => fork.successor(),
            None => self.head.as_ref()?.closing?.successor,
        }
    }

    /// Records that are verified once they are held: those below the adopted
    /// head that are not disputed.
    #[must_use]
    pub fn usable_size(&self) -> u64 {
        let size = self.head.as_ref().map_or(0, |head| head.size);
        self.disputed_from.map_or(size, |from| from.min(size))
    }
}
