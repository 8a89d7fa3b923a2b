//! Where two peers that cannot reach each other meet: both register under a key
//! that only they know, each gets what the other said of itself, and the entry
//! goes. The server learns the hash of the key, and who met whom.

use std::collections::{BTreeMap, VecDeque};

use libp2p_identity::PeerId;
use sha2::{Digest, Sha256};

use crate::limits::{MAX_RENDEZVOUS, MAX_RENDEZVOUS_PER_PEER, RENDEZVOUS_US};
use crate::time::Timestamp;

/// What a key is registered under: SHA-256 of a domain and the key, so that the
/// server could not pass for one of the two.
#[must_use]
pub fn key_hash(key: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"headwater/1/rendezvous\0");
    hash.update(key);
    hash.finalize().into()
}

/// What becomes of a registration. `T` is what a peer says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered<T> {
    /// Nobody else has come yet.
    Waiting,
    /// The other one is here.
    Matched {
        /// Who it is.
        other: PeerId,
        /// What it said.
        theirs: T,
        /// What the one says that has just registered.
        ours: T,
    },
    /// The key was used by two others, or there is no room.
    Refused,
}

#[derive(Debug)]
enum Entry<T> {
    Waiting(PeerId, T),
    /// Two have met: until its end the key is of no use to anybody.
    Spent,
}

/// The registrations of a server. Call [`expire`](Self::expire) now and then;
/// [`register`](Self::register) does so too.
#[derive(Debug)]
pub struct Rendezvous<T> {
    entries: BTreeMap<[u8; 32], Entry<T>>,
    ends: VecDeque<(Timestamp, [u8; 32])>,
    waiting: BTreeMap<PeerId, usize>,
}

impl<T> Default for Rendezvous<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            ends: VecDeque::new(),
            waiting: BTreeMap::new(),
        }
    }
}

impl<T> Rendezvous<T> {
    /// Registers a peer under the hash of a key for 60 seconds. Whoever
    /// registers twice renews what it says, not the time.
    pub fn register(
        &mut self,
        hash: [u8; 32],
        peer: PeerId,
        says: T,
        now: Timestamp,
    ) -> Registered<T> {
        self.expire(now);
        match self.entries.get_mut(&hash) {
            Some(Entry::Spent) => return Registered::Refused,
            Some(Entry::Waiting(first, said)) if *first == peer => {
                *said = says;
                return Registered::Waiting;
            }
            Some(entry) => {
                let Entry::Waiting(other, theirs) = std::mem::replace(entry, Entry::Spent) else {
                    return Registered::Refused;
                };
                self.leaves(other);
                let ours = says;
                return Registered::Matched {
                    other,
                    theirs,
                    ours,
                };
            }
            None => {}
        }
        let of_peer = self.waiting.get(&peer).copied().unwrap_or(0);
        if self.entries.len() >= MAX_RENDEZVOUS || of_peer >= MAX_RENDEZVOUS_PER_PEER {
            return Registered::Refused;
        }
        self.entries.insert(hash, Entry::Waiting(peer, says));
        self.ends.push_back((now.plus(RENDEZVOUS_US), hash));
        self.waiting.insert(peer, of_peer + 1);
        Registered::Waiting
    }

    /// Takes a registration back: the peer is gone, say.
    pub fn withdraw(&mut self, hash: [u8; 32], peer: PeerId) {
        if let Some(entry) = self.entries.get_mut(&hash)
            && matches!(entry, Entry::Waiting(first, _) if *first == peer)
        {
            *entry = Entry::Spent;
            self.leaves(peer);
        }
    }

    /// When the next registration ends.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// Ends the registrations whose time is over; those that met nobody.
    pub fn expire(&mut self, now: Timestamp) -> Vec<([u8; 32], PeerId)> {
        let mut ended = Vec::new();
        while let Some((_, hash)) = self.ends.pop_front_if(|(end, _)| *end <= now) {
            if let Some(Entry::Waiting(peer, _)) = self.entries.remove(&hash) {
                self.leaves(peer);
                ended.push((hash, peer));
            }
        }
        ended
    }

    fn leaves(&mut self, peer: PeerId) {
        if let Some(count) = self.waiting.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::another_peer;

    const NOW: Timestamp = Timestamp(0);

    fn hash(n: u64) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        key_hash(&key)
    }

    #[test]
    fn two_that_register_under_one_key_get_each_other_and_a_third_gets_nothing() {
        let mut rendezvous = Rendezvous::default();
        let [one, other, third] = [(); 3].map(|()| another_peer());
        assert_eq!(
            rendezvous.register(hash(1), one, "one", NOW),
            Registered::Waiting
        );
        // Asking twice is not meeting oneself.
        assert_eq!(
            rendezvous.register(hash(1), one, "me", NOW),
            Registered::Waiting
        );
        assert_eq!(
            rendezvous.register(hash(2), other, "other", NOW),
            Registered::Waiting
        );
        let met = rendezvous.register(hash(1), other, "other", NOW);
        let (theirs, ours) = ("me", "other");
        let expected = Registered::Matched {
            other: one,
            theirs,
            ours,
        };
        assert_eq!(met, expected);
        for late in [third, one, other] {
            assert_eq!(
                rendezvous.register(hash(1), late, "late", NOW),
                Registered::Refused
            );
        }
    }

    #[test]
    fn a_registration_ends_after_a_minute() {
        let mut rendezvous = Rendezvous::default();
        let [one, other] = [(); 2].map(|()| another_peer());
        rendezvous.register(hash(1), one, (), NOW);
        assert_eq!(rendezvous.next_end(), Some(NOW.plus(RENDEZVOUS_US)));
        assert!(rendezvous.expire(NOW.plus(RENDEZVOUS_US - 1)).is_empty());
        let end = NOW.plus(RENDEZVOUS_US);
        assert_eq!(rendezvous.expire(end), [(hash(1), one)]);
        assert_eq!(
            rendezvous.register(hash(1), other, (), end),
            Registered::Waiting
        );
    }

    #[test]
    fn who_is_gone_meets_nobody() {
        let mut rendezvous = Rendezvous::default();
        let [one, other] = [(); 2].map(|()| another_peer());
        rendezvous.register(hash(1), one, (), NOW);
        rendezvous.withdraw(hash(1), other);
        rendezvous.withdraw(hash(1), one);
        assert!(rendezvous.waiting.is_empty());
        assert_eq!(
            rendezvous.register(hash(1), other, (), NOW),
            Registered::Refused
        );
    }

    #[test]
    fn a_flood_stays_within_the_bounds_and_passes() {
        let mut rendezvous = Rendezvous::default();
        let loud = another_peer();
        let taken = |rendezvous: &mut Rendezvous<()>, n, peer| {
            rendezvous.register(hash(n), peer, (), NOW) == Registered::Waiting
        };
        let count = (0..1_000)
            .filter(|&n| taken(&mut rendezvous, n, loud))
            .count();
        assert_eq!(count, MAX_RENDEZVOUS_PER_PEER);
        for n in 1_000..3 * MAX_RENDEZVOUS as u64 {
            taken(&mut rendezvous, n, another_peer());
        }
        assert_eq!(rendezvous.entries.len(), MAX_RENDEZVOUS);
        assert_eq!(
            rendezvous.expire(NOW.plus(RENDEZVOUS_US)).len(),
            MAX_RENDEZVOUS
        );
        assert!(rendezvous.entries.is_empty() && rendezvous.waiting.is_empty());
    }
}
