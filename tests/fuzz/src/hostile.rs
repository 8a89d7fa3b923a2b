//! What a hostile node can do: it has a real identity and a real engine, says
//! what that says, or says it altered, late, again, or to others.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use headwater_protocols::head::AdoptedHead;
use headwater_protocols::id::{LogId, Topic};
use headwater_protocols::meta::{Join, Synced};
use headwater_protocols::ranges::{Interval, IntervalSet};
use headwater_protocols::sealed::SealingKey;
use headwater_protocols::sim::{NodeId, Twisted};
use headwater_protocols::sync::Lane;
use headwater_protocols::wire::v1;
use headwater_protocols::wire::v1::frame::Body;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use prost::Message;

use crate::fields::altered;
use crate::world::{World, encoded, keep};

/// Frames that one action sends at most: enough to fill what has a bound of its
/// own, few enough for thousands of worlds a minute.
const MAX_REPEATS: u8 = 200;

/// How a hostile node treats what its engine says, from now on: of how many kinds
/// of frames it is, and what becomes of them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// A bit a kind of body.
    kinds: u32,
    what: u8,
    change: [u8; 3],
}

/// A hostile node.
pub(crate) struct Hostile {
    pub(crate) node: NodeId,
    manner: Rc<Cell<Manner>>,
}

impl Hostile {
    /// Makes a node hostile.
    pub(crate) fn new(world: &mut World, node: NodeId) -> Self {
        let manner = Rc::new(Cell::new(Manner::default()));
        let (heard, mannered) = (world.heard.clone(), manner.clone());
        let twist = move |frame: v1::Frame| {
            keep(&heard, &frame);
            let manner = mannered.get();
            if manner.kinds >> kind(&frame) & 1 == 0 {
                return Twisted::Frame(frame);
            }
            match manner.what % 4 {
                0 => Twisted::Nothing,
                1 => {
                    let size = frame.id;
                    Twisted::Bytes(altered(&encoded(&frame), manner.change, size))
                }
                // What was said before, by anybody, as the answer to this.
                2 => {
                    let heard = heard.borrow();
                    let earlier = heard.len() - 1 - usize::from(manner.change[0]) % heard.len();
                    let body = heard[earlier].body.clone();
                    Twisted::Frame(v1::Frame { id: frame.id, body })
                }
                _ => {
                    let bytes = encoded(&frame);
                    let end = usize::from(manner.change[0]) % bytes.len().max(1);
                    Twisted::Bytes(bytes.slice(..end))
                }
            }
        };
        world.sim.twist(node, Box::new(twist));
        Self { node, manner }
    }

    /// Takes other manners.
    pub(crate) fn change(&self, script: &mut Unstructured<'_>) -> Result<()> {
        self.manner.set(Manner {
            kinds: script.arbitrary()?,
            what: script.arbitrary()?,
            change: script.arbitrary()?,
        });
        Ok(())
    }

    /// Sends a frame that somebody has sent, altered or not, once or often.
    pub(crate) fn repeat(
        &self,
        world: &mut World,
        to: NodeId,
        script: &mut Unstructured<'_>,
    ) -> Result<()> {
        let [which, id, alters, times] = script.arbitrary::<[u8; 4]>()?;
        let change = script.arbitrary::<[u8; 3]>()?;
        let frame = {
            let heard = world.heard.borrow();
            let place = usize::from(which) % heard.len().max(1);
            heard.get(place).cloned()
        };
        let Some(mut frame) = frame else {
            return Ok(());
        };
        frame.id = frame.id.wrapping_add(u64::from(id % 8)).wrapping_sub(4);
        let mut bytes = encoded(&frame);
        for _ in 0..alters % 3 {
            bytes = altered(&bytes, change, frame.id);
        }
        for _ in 0..1.max(times.saturating_sub(u8::MAX - MAX_REPEATS)) {
            world.sim.send(self.node, to, lane(alters), bytes.clone());
        }
        Ok(())
    }

    /// Asks for something, whatever it may be.
    pub(crate) fn ask(
        &self,
        world: &mut World,
        to: NodeId,
        log: LogId,
        script: &mut Unstructured<'_>,
    ) -> Result<()> {
        let head = world.status(to, log).and_then(|status| status.head);
        let (known, root) = head.map_or((0, Bytes::new()), |head| {
            (head.size, Bytes::copy_from_slice(&head.root.0))
        });
        let [kind, times] = script.arbitrary::<[u8; 2]>()?;
        let at = |script: &mut Unstructured<'_>| -> Result<u64> {
            let near = script.arbitrary::<i8>()?;
            Ok(match near {
                i8::MIN => u64::MAX,
                -127 => 1 << 62,
                near if near < 0 => known.saturating_add_signed(near.into()),
                near => near.unsigned_abs().into(),
            })
        };
        let id = Bytes::copy_from_slice(&log.0);
        let body = match kind % 8 {
            0 => Body::GetManifest(v1::GetManifest { log: id }),
            1 => Body::GetHead(v1::GetHead {
                log: id,
                size: at(script)?,
                news: script.arbitrary()?,
            }),
            2 => {
                let mut intervals = Vec::new();
                for _ in 0..script.arbitrary::<u8>()? % 6 {
                    intervals.push(v1::Interval {
                        from: at(script)?,
                        to: at(script)?,
                    });
                }
                let [mode, priority] = script
                    .arbitrary::<[i8; 2]>()?
                    .map(|value| i32::from(value % 4));
                let size = if script.arbitrary()? {
                    known
                } else {
                    at(script)?
                };
                Body::GetRange(v1::GetRange {
                    log: id,
                    size,
                    intervals,
                    mode,
                    priority,
                    root,
                })
            }
            3 => Body::Extend(v1::Extend {
                log: id,
                from_size: at(script)?,
            }),
            4 => {
                use v1::retrieve::What;
                let what = match script.arbitrary::<u8>()? % 3 {
                    0 => What::Address(root.clone()),
                    1 => What::Index(at(script)?),
                    _ => What::Time(at(script)? as i64),
                };
                Body::Retrieve(v1::Retrieve {
                    log: id,
                    size: known,
                    what: Some(what),
                    root,
                })
            }
            5 => {
                let first = u32::from(script.arbitrary::<u8>()?);
                let bits = script.arbitrary::<[u8; 4]>()?.to_vec().into();
                Body::WantedHashes(v1::WantedHashes { first, bits })
            }
            6 => Body::Discover(v1::Discover {
                text: script.arbitrary()?,
            }),
            _ => Body::Cancel(v1::Cancel {}),
        };
        let first = u64::from(script.arbitrary::<u8>()?);
        for number in 0..1.max(times.saturating_sub(u8::MAX - MAX_REPEATS)) {
            let frame = v1::Frame {
                id: first + u64::from(number),
                body: Some(body.clone()),
            };
            world
                .sim
                .send(self.node, to, Lane::Control, encoded(&frame));
        }
        Ok(())
    }

    /// Says something on the meta topic of a stream.
    pub(crate) fn gossip(
        &self,
        world: &mut World,
        log: LogId,
        script: &mut Unstructured<'_>,
    ) -> Result<()> {
        let [kind, which, alters] = script.arbitrary::<[u8; 3]>()?;
        let change = script.arbitrary::<[u8; 3]>()?;
        let size = u64::from(change[1]);
        let message = match kind % 4 {
            0 => {
                let held: IntervalSet = (0..u64::from(which % 70))
                    .map(|hole| Interval {
                        from: 3 * hole,
                        to: 3 * hole + 1,
                    })
                    .collect();
                let join = Join {
                    key: SealingKey([which; 32]),
                    size,
                    held,
                    wish: None,
                    attempt: u32::from(change[0] % 8),
                    lacks_manifest: change[2] % 2 == 0,
                };
                join.encode()
            }
            1 => {
                let head = world
                    .status(world.honest[0], log)
                    .and_then(|status| status.head);
                let Some(head) = head.as_ref().and_then(AdoptedHead::signed) else {
                    return Ok(());
                };
                Synced::with(&head, world.sim.peer(self.node)).encode()
            }
            // What anybody said, said by this one.
            2 => {
                let said = world.sim.said();
                let Some(said) = said.get(usize::from(which) % said.len().max(1)) else {
                    return Ok(());
                };
                let body = Some(said.body.clone());
                v1::Meta { body }.encode_to_vec().into()
            }
            _ => {
                let head = world.status(self.node, log).and_then(|status| status.head);
                let Some(head) = head.as_ref().and_then(AdoptedHead::signed) else {
                    return Ok(());
                };
                let body = Some(v1::meta::Body::Head(head.to_wire()));
                v1::Meta { body }.encode_to_vec().into()
            }
        };
        let message = match alters % 3 {
            0 => altered(&message, change, size),
            _ => message,
        };
        world.sim.gossip(self.node, Topic::Meta(log), &message);
        Ok(())
    }

    /// Says again on the data topic what was told as news, altered or not.
    pub(crate) fn announce(
        &self,
        world: &mut World,
        log: LogId,
        script: &mut Unstructured<'_>,
    ) -> Result<()> {
        let [which, alters] = script.arbitrary::<[u8; 2]>()?;
        let change = script.arbitrary::<[u8; 3]>()?;
        let news: Vec<Bytes> = (world.heard.borrow().iter())
            .filter_map(|frame| match &frame.body {
                Some(Body::Head(head)) if !head.news.is_empty() => Some(head.news.clone()),
                _ => None,
            })
            .collect();
        let Some(news) = news.get(usize::from(which) % news.len().max(1)) else {
            return Ok(());
        };
        let news = match alters % 3 {
            0 => altered(news, change, which.into()),
            _ => news.clone(),
        };
        world.sim.gossip(self.node, Topic::Data(log), &news);
        Ok(())
    }
}

fn lane(dice: u8) -> Lane {
    [Lane::Control, Lane::Urgent, Lane::Bulk][usize::from(dice) % 3]
}

/// A number for each kind of frame.
fn kind(frame: &v1::Frame) -> u32 {
    match &frame.body {
        None => 0,
        Some(Body::GetManifest(_)) => 1,
        Some(Body::GetHead(_)) => 2,
        Some(Body::GetRange(_)) => 3,
        Some(Body::WantedHashes(_)) => 4,
        Some(Body::Extend(_)) => 5,
        Some(Body::Cancel(_)) => 6,
        Some(Body::Retrieve(_)) => 7,
        Some(Body::Discover(_)) => 8,
        Some(Body::Manifest(_)) => 9,
        Some(Body::Head(_)) => 10,
        Some(Body::OfferedHashes(_)) => 11,
        Some(Body::Delivery(_)) => 12,
        Some(Body::Done(_)) => 13,
        Some(Body::Extension(_)) => 14,
        Some(Body::Refused(_)) => 15,
        Some(Body::Retrieved(_)) => 16,
        Some(Body::Discovered(_)) => 17,
        Some(Body::Evidence(_)) => 18,
    }
}
