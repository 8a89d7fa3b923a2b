//! What subscribers say to each other on a stream's meta topic to find those
//! who have its history: a joiner says what it lacks, listeners that hold
//! something of it answer with offers, the joiner accepts a few, and both sides
//! connect. Offers and acceptances are sealed, so that a topic tells nobody else
//! who can be reached where.

pub mod allowance;
pub mod joiner;
pub mod listener;
mod synced;

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use crate::head::UnverifiedHead;
use crate::id::LogId;
use crate::limits::{
    MAX_ADDRESS_BYTES, MAX_JOIN_ATTEMPTS, MAX_JOIN_INTERVALS, MAX_LOG_SIZE, MAX_OFFERED_SERVERS,
    MAX_PEER_RECORD_BYTES, MAX_SEALED_ACCEPT_BYTES, MAX_SEALED_OFFER_BYTES,
};
use crate::manifest::UnverifiedManifest;
use crate::ranges::{Interval, IntervalSet};
use crate::sealed::{KEY_BYTES, OVERHEAD_BYTES, OpeningKey, Purpose, SealingKey};
use crate::wire::{WireError, decode, v1};

pub use synced::Synced;

/// Under which both sides of an accepted offer register at a rendezvous server.
pub type RendezvousKey = [u8; 32];

/// Where two peers that cannot reach each other register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The peer that serves.
    pub peer: PeerId,
    /// A multiaddr of it, in bytes.
    pub address: Bytes,
}

impl Server {
    fn to_wire(&self) -> v1::RendezvousServer {
        v1::RendezvousServer {
            peer: self.peer.to_bytes().into(),
            address: self.address.clone(),
        }
    }

    fn from_wire(wire: &v1::RendezvousServer) -> Result<Self, WireError> {
        let bad = || WireError::BadField {
            what: "a rendezvous server",
            field: "peer or address",
        };
        if wire.address.len() > MAX_ADDRESS_BYTES {
            return Err(bad());
        }
        Ok(Self {
            peer: PeerId::from_bytes(&wire.peer).map_err(|_| bad())?,
            address: Bytes::copy_from_slice(&wire.address),
        })
    }
}

/// What a joiner says: it follows the stream, lacks something, and knows nobody
/// who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Offers are sealed to it.
    pub key: SealingKey,
    /// Size of the head that it has adopted; 0 for none.
    pub size: u64,
    /// What it holds.
    pub held: IntervalSet,
    /// What it wishes for; `None`: everything that is missing.
    pub wish: Option<IntervalSet>,
    /// How often it has asked before in vain.
    pub attempt: u32,
    /// It knows the id of the stream only.
    pub lacks_manifest: bool,
}

impl Join {
    /// Reads a join.
    ///
    /// # Errors
    /// It has a field that it cannot have.
    pub fn from_wire(wire: &v1::Join) -> Result<Self, WireError> {
        let what = "a join";
        if wire.size > MAX_LOG_SIZE {
            return Err(bad(what, "size"));
        }
        if wire.attempt > MAX_JOIN_ATTEMPTS {
            return Err(bad(what, "attempt"));
        }
        let wish = intervals_from_wire(what, &wire.wish)?;
        Ok(Self {
            key: SealingKey::from_slice(&wire.key).ok_or_else(|| bad(what, "key"))?,
            size: wire.size,
            held: intervals_from_wire(what, &wire.held)?,
            wish: (!wish.is_empty()).then_some(wish),
            attempt: wire.attempt,
            lacks_manifest: wire.lacks_manifest,
        })
    }

    /// The message that says it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let wish = self.wish.as_ref().map(intervals_to_wire);
        message(v1::meta::Body::Join(v1::Join {
            key: key_bytes(self.key),
            size: self.size,
            held: intervals_to_wire(&self.held),
            wish: wish.unwrap_or_default(),
            attempt: self.attempt,
            lacks_manifest: self.lacks_manifest,
        }))
    }

    /// Whether a peer that has adopted a head of `size` and holds `held` has
    /// something for the joiner.
    #[must_use]
    pub fn is_served_by(&self, size: u64, held: &IntervalSet) -> bool {
        if self.lacks_manifest || size > self.size {
            return true;
        }
        let is_lacked = |from, to| {
            let mut lacked = self.held.missing(from, to);
            lacked.any(|gap| held.held(gap.from, gap.to).next().is_some())
        };
        match &self.wish {
            None => is_lacked(0, size),
            Some(wish) => (wish.intervals()).any(|part| is_lacked(part.from, part.to.min(size))),
        }
    }
}

/// What an offer says to the joiner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferContent {
    /// The manifest, for a joiner that lacks it.
    pub manifest: Option<UnverifiedManifest>,
    /// The head that the offerer has adopted.
    pub head: UnverifiedHead,
    /// What it holds.
    pub held: IntervalSet,
    /// Its signed peer record.
    pub record: Bytes,
    /// The acceptance is sealed to it.
    pub key: SealingKey,
    /// Where both can meet.
    pub rendezvous_key: RendezvousKey,
    /// Rendezvous servers that it is connected to.
    pub servers: Vec<Server>,
}

impl OfferContent {
    /// Seals the offer to a join; `author` makes it. `None` when the joiner's
    /// key is none, or the offer is too long.
    #[must_use]
    pub fn seal(
        &self,
        log: LogId,
        author: PeerId,
        to: SealingKey,
        random: [u8; 32],
    ) -> Option<Bytes> {
        let content = v1::OfferContent {
            manifest: self.manifest.as_ref().map(|manifest| v1::SignedManifest {
                manifest: manifest.bytes.clone(),
                signature: manifest.signature.clone(),
            }),
            head: Some(self.head.0.clone()),
            held: intervals_to_wire(&self.held),
            record: self.record.clone(),
            key: key_bytes(self.key),
            rendezvous_key: Bytes::copy_from_slice(&self.rendezvous_key),
            servers: self.servers.iter().map(Server::to_wire).collect(),
        };
        let plain = content.encode_to_vec();
        let sealed = to.seal(Purpose::Offer, &context(log, author), &plain, random)?;
        let offer = v1::Offer {
            to: key_bytes(to),
            sealed,
        };
        let fits = offer.sealed.len() <= MAX_SEALED_OFFER_BYTES;
        fits.then(|| message(v1::meta::Body::Offer(offer)))
    }

    /// Opens an offer that `author` made for a join of ours; `None` when it is
    /// none.
    #[must_use]
    pub fn open(log: LogId, author: PeerId, key: &OpeningKey, sealed: &[u8]) -> Option<Self> {
        let plain = key.open(Purpose::Offer, &context(log, author), sealed)?;
        Self::decode(plain).ok()
    }

    fn decode(plain: Bytes) -> Result<Self, WireError> {
        let what = "an offer";
        let wire: v1::OfferContent = decode(what, plain, MAX_SEALED_OFFER_BYTES)?;
        if wire.record.len() > MAX_PEER_RECORD_BYTES {
            return Err(bad(what, "peer record"));
        }
        if wire.servers.len() > MAX_OFFERED_SERVERS {
            return Err(bad(what, "list of servers"));
        }
        let servers: Result<_, _> = wire.servers.iter().map(Server::from_wire).collect();
        Ok(Self {
            manifest: wire.manifest.map(UnverifiedManifest::from),
            head: UnverifiedHead::try_from(wire.head)?,
            held: intervals_from_wire(what, &wire.held)?,
            record: Bytes::copy_from_slice(&wire.record),
            key: SealingKey::from_slice(&wire.key).ok_or_else(|| bad(what, "key"))?,
            rendezvous_key: rendezvous_key(what, &wire.rendezvous_key)?,
            servers: servers?,
        })
    }
}

/// An offer as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The key of the join.
    pub to: SealingKey,
    /// See [`OfferContent::open`].
    pub sealed: Bytes,
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// Its key or its box have a length that they cannot have.
    pub fn from_wire(wire: v1::Offer) -> Result<Self, WireError> {
        let what = "an offer";
        check_box(what, &wire.sealed, MAX_SEALED_OFFER_BYTES)?;
        Ok(Self {
            to: SealingKey::from_slice(&wire.to).ok_or_else(|| bad(what, "key"))?,
            sealed: wire.sealed,
        })
    }
}

/// What an acceptance says to the offerer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptContent {
    /// The joiner's signed peer record.
    pub record: Bytes,
    /// The one of the offer.
    pub rendezvous_key: RendezvousKey,
    /// Where both register if they cannot connect.
    pub server: Option<Server>,
}

impl AcceptContent {
    /// Seals the acceptance of an offer that was made to the join `from`;
    /// `author` accepts. `None` when the offerer's key is none.
    #[must_use]
    pub fn seal(
        &self,
        log: LogId,
        author: PeerId,
        from: SealingKey,
        to: SealingKey,
        random: [u8; 32],
    ) -> Option<Bytes> {
        let content = v1::AcceptContent {
            record: self.record.clone(),
            rendezvous_key: Bytes::copy_from_slice(&self.rendezvous_key),
            server: self.server.as_ref().map(Server::to_wire),
        };
        let plain = content.encode_to_vec();
        let sealed = to.seal(Purpose::Accept, &context(log, author), &plain, random)?;
        Some(message(v1::meta::Body::Accept(v1::Accept {
            from: key_bytes(from),
            to: key_bytes(to),
            sealed,
        })))
    }

    /// Opens an acceptance by `author` of an offer of ours; `None` when it is
    /// none.
    #[must_use]
    pub fn open(log: LogId, author: PeerId, key: &OpeningKey, sealed: &[u8]) -> Option<Self> {
        let plain = key.open(Purpose::Accept, &context(log, author), sealed)?;
        Self::decode(plain).ok()
    }

    fn decode(plain: Bytes) -> Result<Self, WireError> {
        let what = "an acceptance";
        let wire: v1::AcceptContent = decode(what, plain, MAX_SEALED_ACCEPT_BYTES)?;
        if wire.record.len() > MAX_PEER_RECORD_BYTES {
            return Err(bad(what, "peer record"));
        }
        Ok(Self {
            record: Bytes::copy_from_slice(&wire.record),
            rendezvous_key: rendezvous_key(what, &wire.rendezvous_key)?,
            server: wire.server.as_ref().map(Server::from_wire).transpose()?,
        })
    }
}

/// An acceptance as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The key of the join.
    pub from: SealingKey,
    /// The key in the offer.
    pub to: SealingKey,
    /// See [`AcceptContent::open`].
    pub sealed: Bytes,
}

impl Accept {
    /// Reads an acceptance.
    ///
    /// # Errors
    /// One of its keys or its box have a length that they cannot have.
    pub fn from_wire(wire: v1::Accept) -> Result<Self, WireError> {
        let what = "an acceptance";
        check_box(what, &wire.sealed, MAX_SEALED_ACCEPT_BYTES)?;
        Ok(Self {
            from: SealingKey::from_slice(&wire.from).ok_or_else(|| bad(what, "key"))?,
            to: SealingKey::from_slice(&wire.to).ok_or_else(|| bad(what, "key"))?,
            sealed: wire.sealed,
        })
    }
}

/// The first intervals of a set, as many as a join or an offer carries.
#[must_use]
pub fn summary(held: &IntervalSet) -> IntervalSet {
    held.intervals().take(MAX_JOIN_INTERVALS).collect()
}

/// What a box is bound to: another topic's, or another author's, does not open.
fn context(log: LogId, author: PeerId) -> Vec<u8> {
    [&log.0[..], &author.to_bytes()].concat()
}

fn message(body: v1::meta::Body) -> Bytes {
    v1::Meta { body: Some(body) }.encode_to_vec().into()
}

fn bad(what: &'static str, field: &'static str) -> WireError {
    WireError::BadField { what, field }
}

fn key_bytes(key: SealingKey) -> Bytes {
    Bytes::copy_from_slice(&key.0)
}

fn check_box(what: &'static str, sealed: &[u8], max: usize) -> Result<(), WireError> {
    let length = sealed.len();
    if length < OVERHEAD_BYTES || length > max {
        return Err(bad(what, "box"));
    }
    Ok(())
}

fn rendezvous_key(what: &'static str, bytes: &[u8]) -> Result<RendezvousKey, WireError> {
    let key: Result<[u8; KEY_BYTES], _> = bytes.try_into();
    key.map_err(|_| bad(what, "rendezvous key"))
}

fn intervals_from_wire(
    what: &'static str,
    wire: &[v1::Interval],
) -> Result<IntervalSet, WireError> {
    if wire.len() > MAX_JOIN_INTERVALS {
        return Err(bad(what, "list of intervals"));
    }
    let intervals = wire.iter().map(|one| Interval::from_wire(what, Some(one)));
    intervals.collect()
}

fn intervals_to_wire(set: &IntervalSet) -> Vec<v1::Interval> {
    let few = set.intervals().take(MAX_JOIN_INTERVALS);
    few.map(|Interval { from, to }| v1::Interval { from, to })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::another_peer;

    fn set(intervals: &[(u64, u64)]) -> IntervalSet {
        let intervals = intervals.iter().map(|&(from, to)| Interval { from, to });
        intervals.collect()
    }

    fn join(size: u64, held: &[(u64, u64)], wish: Option<&[(u64, u64)]>) -> Join {
        Join {
            key: SealingKey([1; 32]),
            size,
            held: set(held),
            wish: wish.map(set),
            attempt: 0,
            lacks_manifest: false,
        }
    }

    fn wire(join: &Join) -> v1::Join {
        match v1::Meta::decode(join.encode()).unwrap().body {
            Some(v1::meta::Body::Join(join)) => join,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_join_is_read_as_it_was_said() {
        for said in [
            join(0, &[], None),
            join(99, &[(0, 10), (20, 99)], Some(&[(10, 20)])),
        ] {
            assert_eq!(Join::from_wire(&wire(&said)), Ok(said));
        }
    }

    #[test]
    fn a_malformed_join_is_refused() {
        let good = wire(&join(99, &[(0, 10)], None));
        let interval = |from, to| v1::Interval { from, to };
        let twisted: [fn(&mut v1::Join); 5] = [
            |join| join.key = Bytes::from_static(&[1; 31]),
            |join| join.size = MAX_LOG_SIZE + 1,
            |join| join.attempt = MAX_JOIN_ATTEMPTS + 1,
            |join| join.held.push(v1::Interval { from: 5, to: 5 }),
            |join| join.wish = vec![v1::Interval { from: 5, to: 6 }; MAX_JOIN_INTERVALS + 1],
        ];
        for twist in twisted {
            let mut bad = good.clone();
            twist(&mut bad);
            assert!(Join::from_wire(&bad).is_err(), "{bad:?}");
        }
        let mut most = good;
        most.held = (0..MAX_JOIN_INTERVALS as u64)
            .map(|n| interval(2 * n, 2 * n + 1))
            .collect();
        assert!(Join::from_wire(&most).is_ok());
    }

    #[test]
    fn a_joiner_is_served_by_whoever_holds_something_that_it_lacks() {
        let half = join(100, &[(0, 50)], None);
        assert!(half.is_served_by(100, &set(&[(0, 100)])));
        assert!(half.is_served_by(100, &set(&[(99, 100)])));
        assert!(!half.is_served_by(100, &set(&[(0, 50)])));
        assert!(!half.is_served_by(60, &set(&[])));
        // A newer head is something, too.
        assert!(half.is_served_by(101, &set(&[])));

        let wishful = join(100, &[(0, 50)], Some(&[(40, 60)]));
        assert!(wishful.is_served_by(100, &set(&[(55, 56)])));
        assert!(!wishful.is_served_by(100, &set(&[(0, 50), (60, 100)])));
    }

    fn content(key: &OpeningKey) -> OfferContent {
        OfferContent {
            manifest: None,
            head: UnverifiedHead(v1::SignedHead {
                size: 7,
                signature: Bytes::from_static(b"signature"),
                ..v1::SignedHead::default()
            }),
            held: set(&[(0, 7)]),
            record: Bytes::from_static(b"record"),
            key: key.public(),
            rendezvous_key: [3; 32],
            servers: vec![Server {
                peer: another_peer(),
                address: Bytes::from_static(b"address"),
            }],
        }
    }

    #[test]
    fn an_offer_is_for_the_joiner_alone_and_counts_for_its_author_and_stream() {
        let log = LogId::of_manifest(b"x");
        let (author, other) = (another_peer(), another_peer());
        let joiner = OpeningKey::from_random([4; 32]);
        let content = content(&OpeningKey::from_random([5; 32]));
        let bytes = content.seal(log, author, joiner.public(), [6; 32]).unwrap();
        let Some(v1::meta::Body::Offer(offer)) = v1::Meta::decode(bytes).unwrap().body else {
            panic!("no offer");
        };
        let offer = Offer::from_wire(offer).unwrap();
        assert_eq!(offer.to, joiner.public());
        let open =
            |log, author, key: &OpeningKey| OfferContent::open(log, author, key, &offer.sealed);
        assert_eq!(open(log, author, &joiner), Some(content));
        assert_eq!(open(log, other, &joiner), None);
        assert_eq!(open(LogId::of_manifest(b"y"), author, &joiner), None);
        assert_eq!(open(log, author, &OpeningKey::from_random([7; 32])), None);
    }

    #[test]
    fn an_acceptance_is_for_the_offerer_alone() {
        let log = LogId::of_manifest(b"x");
        let author = another_peer();
        let offerer = OpeningKey::from_random([5; 32]);
        let content = AcceptContent {
            record: Bytes::from_static(b"record"),
            rendezvous_key: [3; 32],
            server: None,
        };
        let from = SealingKey([4; 32]);
        let bytes = content.seal(log, author, from, offerer.public(), [6; 32]);
        let bytes = bytes.unwrap();
        let Some(v1::meta::Body::Accept(accept)) = v1::Meta::decode(bytes).unwrap().body else {
            panic!("no acceptance");
        };
        let accept = Accept::from_wire(accept).unwrap();
        let opened = AcceptContent::open(log, author, &offerer, &accept.sealed);
        assert_eq!(opened, Some(content));
        assert_eq!(
            AcceptContent::open(log, another_peer(), &offerer, &accept.sealed),
            None
        );
    }

    #[test]
    fn boxes_of_an_impossible_length_are_refused() {
        let offer = |length| v1::Offer {
            to: Bytes::from_static(&[1; 32]),
            sealed: vec![0; length].into(),
        };
        assert!(Offer::from_wire(offer(OVERHEAD_BYTES)).is_ok());
        assert!(Offer::from_wire(offer(OVERHEAD_BYTES - 1)).is_err());
        assert!(Offer::from_wire(offer(MAX_SEALED_OFFER_BYTES + 1)).is_err());
    }
}
