//! What a false node says.

use super::*;

/// A lie that a node tells from now on.
pub(super) fn lie(seed: u64) -> Twist {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let kind = dice.next_u64() % 9;
    let mut earlier: Vec<Body> = Vec::new();
    Box::new(move |mut frame| {
        let Some(body) = &mut frame.body else {
            return Twisted::Frame(frame);
        };
        if dice.next_u64() % 3 == 0 {
            return Twisted::Frame(frame);
        }
        match (kind, &mut *body) {
            // It claims more than it has.
            (0, Body::Head(state)) => {
                let to = [1 << 62, 5_000][dice.next_u64() as usize % 2];
                state.held = vec![v1::Interval { from: 0, to }];
            }
            (1, Body::OfferedHashes(offer)) => garble(&mut offer.addresses, &mut dice),
            (2, Body::Delivery(delivery)) => {
                let place = dice.next_u64() as usize % delivery.chunks.len().max(1);
                if let Some(chunk) = delivery.chunks.get_mut(place) {
                    garble(chunk, &mut dice);
                }
            }
            (3, Body::OfferedHashes(_) | Body::Delivery(_) | Body::Done(_)) => {
                return Twisted::Nothing;
            }
            (4, _) => return Twisted::Nothing,
            // What it said before, it says again.
            (5, _) => {
                earlier.push(body.clone());
                let place = dice.next_u64() as usize % earlier.len();
                *body = earlier[place].clone();
            }
            (6, _) => {
                let mut bytes = Bytes::from(frame.encode_to_vec());
                garble(&mut bytes, &mut dice);
                return Twisted::Bytes(bytes);
            }
            (7, Body::Head(state)) => garble(&mut state.news, &mut dice),
            (8, Body::Head(state)) => {
                if let Some(head) = &mut state.head {
                    garble(&mut head.root, &mut dice);
                }
            }
            _ => {}
        }
        Twisted::Frame(frame)
    })
}

/// Changes one bit.
fn garble(bytes: &mut Bytes, dice: &mut ChaCha8Rng) {
    let mut changed = bytes.to_vec();
    if !changed.is_empty() {
        let place = dice.next_u64() as usize % changed.len();
        changed[place] ^= 1 << (dice.next_u64() % 8);
    }
    *bytes = changed.into();
}
