//! Every message of `proto/`, as it is decoded: from peers, and from our own disk.

use std::fmt::Debug;

use bytes::Bytes;
use headwater_protocols::limits::{
    MAX_FRAME_BYTES, MAX_FRAME_FIELDS, MAX_GOSSIP_BYTES, MAX_MANIFEST_BYTES, MAX_PEER_RECORD_BYTES,
    MAX_SIGNED_HEAD_BYTES,
};
use headwater_protocols::wire::{decode, decode_canonical, decode_frame, v1};
use headwater_protocols::{peers, quorum};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::memory::bounded;

/// The first byte says which message the others are to be.
pub fn messages(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(bytes);
    match kind % 20 {
        0 => frame(bytes),
        1 => round_trip::<v1::Meta>(bytes, MAX_GOSSIP_BYTES),
        2 => canonical::<v1::Announcement>(bytes, MAX_GOSSIP_BYTES),
        3 => round_trip::<v1::SignedHead>(bytes, MAX_SIGNED_HEAD_BYTES),
        4 => canonical::<v1::Manifest>(bytes, MAX_MANIFEST_BYTES),
        5 => peers_question(bytes),
        6 => peers_answer(bytes),
        7 => observations_question(bytes),
        8 => observations_answer(bytes),
        9 => round_trip::<v1::Registration>(bytes, MAX_PEER_RECORD_BYTES),
        10 => round_trip::<v1::Meeting>(bytes, MAX_PEER_RECORD_BYTES),
        // These are read from files alone, as long as they are.
        11 => round_trip::<v1::StoredLog>(bytes, usize::MAX),
        12 => round_trip::<v1::StoredDeletion>(bytes, usize::MAX),
        13 => round_trip::<v1::StoredHistory>(bytes, usize::MAX),
        14 => round_trip::<v1::PeerCache>(bytes, usize::MAX),
        15 => round_trip::<v1::StoredHead>(bytes, usize::MAX),
        16 => round_trip::<v1::ForkProof>(bytes, usize::MAX),
        // What is in the boxes that subscribers seal for each other.
        17 => round_trip::<v1::OfferContent>(bytes, MAX_GOSSIP_BYTES),
        18 => round_trip::<v1::AcceptContent>(bytes, MAX_GOSSIP_BYTES),
        _ => dense_frame(&bytes),
    }
}

/// Bytes of memory that a byte of a message may become: an empty element of a
/// list has two bytes, and those of most lists 64 in memory at most, of which a
/// list that grows has up to three times as many.
const TIMES: u64 = 96;

/// The same of frames, which may be large: packed numbers of one byte become four.
const TIMES_OF_FRAME: u64 = 12;

/// What the fields of a frame take up at most.
const FIELDS_BYTES: usize = MAX_FRAME_FIELDS * 128 * 3;

/// A frame of a sync stream.
fn frame(bytes: Bytes) {
    let charged = bytes.len() + FIELDS_BYTES / TIMES_OF_FRAME as usize;
    let read = bounded("a frame", charged, TIMES_OF_FRAME, || {
        decode_frame(bytes.clone())
    });
    assert!(
        read.is_err() || bytes.len() <= MAX_FRAME_BYTES,
        "too long, and decoded"
    );
    if let Ok(frame) = read {
        let again = frame.encode_to_vec();
        assert_eq!(decode_frame(again.into()), Ok(frame));
    }
}

/// The largest frame that has nothing but these bytes, again and again, in its
/// body: few of them make much memory.
fn dense_frame(bytes: &[u8]) {
    if let [tag, element @ ..] = bytes
        && !element.is_empty()
    {
        let body = element.repeat((MAX_FRAME_BYTES - 16) / element.len());
        let mut bytes = Vec::new();
        encode_key(
            u32::from(tag % 24) + 1,
            WireType::LengthDelimited,
            &mut bytes,
        );
        encode_varint(body.len() as u64, &mut bytes);
        bytes.extend(body);
        frame(bytes.into());
    }
}

fn read<M: Message + Default>(bytes: &Bytes, max: usize) -> Option<M> {
    let read = bounded(std::any::type_name::<M>(), bytes.len(), TIMES, || {
        decode::<M>("a message", bytes.clone(), max)
    });
    assert!(read.is_err() || bytes.len() <= max, "too long, and decoded");
    read.ok()
}

fn round_trip<M: Message + Default + PartialEq + Debug>(bytes: Bytes, max: usize) {
    if let Some(message) = read::<M>(&bytes, max) {
        let again = Bytes::from(message.encode_to_vec());
        assert_eq!(again.len(), message.encoded_len());
        let same = decode::<M>("a message", again, usize::MAX);
        assert_eq!(same.as_ref(), Ok(&message));
    }
}

/// What is signed has one encoding alone.
fn canonical<M: Message + Default + PartialEq + Debug>(bytes: Bytes, max: usize) {
    round_trip::<M>(bytes.clone(), max);
    if let Ok(message) = decode_canonical::<M>("a message", &bytes, max) {
        assert_eq!(message.encode_to_vec(), bytes);
    }
}

/// What is read of some bytes is the same after it was written.
fn rewritten<T: PartialEq + Debug, E: Debug + PartialEq>(
    bytes: Bytes,
    decode: impl Fn(Bytes) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<T> {
    let what = std::any::type_name::<T>();
    let message = bounded(what, bytes.len(), TIMES, || decode(bytes.clone())).ok()?;
    let same = decode(encode(&message).into());
    assert_eq!(same.as_ref(), Ok(&message));
    Some(message)
}

fn peers_question(bytes: Bytes) {
    rewritten(bytes, peers::Question::decode, peers::Question::encode);
}

fn peers_answer(bytes: Bytes) {
    rewritten(bytes, peers::Answer::decode, peers::Answer::encode);
}

fn observations_question(bytes: Bytes) {
    rewritten(bytes, quorum::Question::decode, quorum::Question::encode);
}

fn observations_answer(bytes: Bytes) {
    let encode = |answer: &quorum::Answer| answer.clone().encode();
    let Some(answer) = rewritten(bytes, quorum::Answer::decode, encode) else {
        return;
    };
    let question = quorum::Question {
        history: quorum::HistoryId([1; 32]),
        before: headwater_protocols::time::Timestamp(1 << 50),
        groups: 3,
    };
    if let (Ok(()), quorum::Answer::Groups { groups, .. }) = (answer.check(&question), &answer) {
        assert!(groups.len() <= question.groups);
        let falls = groups.windows(2).all(|pair| pair[0].time > pair[1].time);
        assert!(falls && groups.iter().all(|group| group.time < question.before));
    }
}
