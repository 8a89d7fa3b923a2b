//! Joins, and the boxes that subscribers seal for each other.

use bytes::Bytes;
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::meta::{Accept, AcceptContent, Join, Offer, OfferContent};
use headwater_protocols::sealed::{OVERHEAD_BYTES, OpeningKey, Purpose, SealingKey};
use headwater_protocols::wire::v1;
use headwater_protocols::wire::v1::meta::Body;
use libp2p_identity::PeerId;
use prost::Message;

use crate::memory::bounded;

const LOG: LogId = LogId([7; 32]);
/// Beyond what is random in a box nothing may depend on it.
const RANDOM: [u8; 32] = [3; 32];

/// The first byte says what the others are: a box, what is in one, or a join.
pub fn boxes(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let author = SigningKey::from_secret(&mut [1; 32]).public().peer_id();
    let key = OpeningKey::from_random([2; 32]);
    match kind % 5 {
        0 => any_box(bytes, &key, author),
        1 => offer(bytes, &key, author),
        2 => accept(bytes, &key, author),
        3 => join(bytes),
        _ => any_key(bytes),
    }
}

fn context(author: PeerId) -> Vec<u8> {
    [&LOG.0[..], &author.to_bytes()].concat()
}

/// Nobody but who has the key seals what it opens, and what was sealed comes out.
fn any_box(bytes: &[u8], key: &OpeningKey, author: PeerId) {
    for purpose in [Purpose::Offer, Purpose::Accept] {
        assert_eq!(key.open(purpose, &context(author), bytes), None);
    }
    let sealed = key.public().seal(Purpose::Offer, bytes, bytes, RANDOM);
    let sealed = sealed.expect("it is a key");
    assert_eq!(sealed.len(), bytes.len() + OVERHEAD_BYTES);
    let opened = key.open(Purpose::Offer, bytes, &sealed);
    assert_eq!(opened.as_deref(), Some(bytes));
    assert_eq!(key.open(Purpose::Accept, bytes, &sealed), None);
    let mut altered = sealed.to_vec();
    let place = bytes
        .first()
        .map_or(0, |&place| usize::from(place) % altered.len());
    altered[place] ^= 0x10;
    assert_eq!(key.open(Purpose::Offer, bytes, &altered), None);
}

/// A key that forces the secret is none.
fn any_key(bytes: &[u8]) {
    let Some((public, plain)) = bytes.split_at_checked(32) else {
        return;
    };
    let public = SealingKey::from_slice(public).expect("32 bytes");
    let _ = public.seal(Purpose::Offer, b"", plain, RANDOM);
    let mut forced = vec![0; 32];
    forced.extend_from_slice(plain);
    assert_eq!(
        OpeningKey::from_random(RANDOM).open(Purpose::Offer, b"", &forced),
        None
    );
    assert_eq!(
        SealingKey([0; 32]).seal(Purpose::Offer, b"", plain, RANDOM),
        None
    );
}

fn body(message: Bytes) -> Body {
    let meta = v1::Meta::decode(message).expect("it was encoded");
    meta.body.expect("it was set")
}

fn offer(plain: &[u8], key: &OpeningKey, author: PeerId) {
    let sealed = key
        .public()
        .seal(Purpose::Offer, &context(author), plain, RANDOM);
    let sealed = sealed.expect("it is a key");
    let opened = bounded("an offer", plain.len(), 192, || {
        OfferContent::open(LOG, author, key, &sealed)
    });
    let Some(content) = opened else {
        return;
    };
    assert_eq!(
        OfferContent::open(LogId([8; 32]), author, key, &sealed),
        None
    );
    let Some(again) = content.seal(LOG, author, key.public(), RANDOM) else {
        return;
    };
    let Body::Offer(again) = body(again) else {
        panic!("an offer became something else");
    };
    let again = Offer::from_wire(again).expect("offers that are made can be read");
    assert_eq!(again.to, key.public());
    assert_eq!(
        OfferContent::open(LOG, author, key, &again.sealed),
        Some(content)
    );
}

fn accept(plain: &[u8], key: &OpeningKey, author: PeerId) {
    let sealed = key
        .public()
        .seal(Purpose::Accept, &context(author), plain, RANDOM);
    let sealed = sealed.expect("it is a key");
    let opened = bounded("an acceptance", plain.len(), 64, || {
        AcceptContent::open(LOG, author, key, &sealed)
    });
    let Some(content) = opened else {
        return;
    };
    let from = SealingKey([9; 32]);
    let again = content.seal(LOG, author, from, key.public(), RANDOM);
    let Body::Accept(again) = body(again.expect("it is a key")) else {
        panic!("an acceptance became something else");
    };
    let Ok(again) = Accept::from_wire(again) else {
        return;
    };
    assert_eq!((again.from, again.to), (from, key.public()));
    assert_eq!(
        AcceptContent::open(LOG, author, key, &again.sealed),
        Some(content)
    );
}

fn join(bytes: &[u8]) {
    let Ok(wire) = v1::Join::decode(bytes) else {
        return;
    };
    let read = bounded("a join", bytes.len(), 192, || Join::from_wire(&wire));
    let Ok(join) = read else {
        return;
    };
    let Body::Join(again) = body(join.encode()) else {
        panic!("a join became something else");
    };
    assert_eq!(Join::from_wire(&again), Ok(join.clone()));
    for size in [0, join.size, u64::MAX >> 2] {
        let _ = join.is_served_by(size, &join.held);
    }
}
