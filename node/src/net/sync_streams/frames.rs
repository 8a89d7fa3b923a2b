//! The way of received frames to the engine: a bounded channel for each lane,
//! so that neither an answer that somebody waits for nor a live record stands
//! behind a history.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{PollSemaphore, PollSender};

use super::{InboundFrame, Lane};

/// Bytes for which a frame takes a part of the room of its channel.
const ROOM_UNIT: usize = 1024;

/// A frame, and the room that it takes until it is taken.
type Queued = (InboundFrame, OwnedSemaphorePermit);

/// More important frames in a row before one of the least important lane: a
/// flood of questions must not hold up a history for good.
const IN_A_ROW: usize = 15;

/// Takes the frames of all connections.
#[derive(Clone, Debug)]
pub struct FrameSender {
    lanes: [mpsc::Sender<Queued>; 3],
    /// What is left of the bytes that fit into each, in units.
    room: [Arc<Semaphore>; 3],
    room_units: usize,
}

/// Gives them out, the most important lane first.
#[derive(Debug)]
pub struct FrameReceiver {
    lanes: [mpsc::Receiver<Queued>; 3],
    /// More important frames taken since the last one of the last lane.
    in_a_row: usize,
}

/// Channels of `places` frames for each lane, and of about `bytes` of them: a
/// larger one finds room in an empty channel.
#[must_use]
pub fn frame_channel(places: usize, bytes: usize) -> (FrameSender, FrameReceiver) {
    let [control, urgent, bulk] = Lane::ALL.map(|_| mpsc::channel(places));
    let room_units = bytes / ROOM_UNIT + 1;
    let sender = FrameSender {
        lanes: [control.0, urgent.0, bulk.0],
        room: Lane::ALL.map(|_| Arc::new(Semaphore::new(room_units))),
        room_units,
    };
    let receiver = FrameReceiver {
        lanes: [control.1, urgent.1, bulk.1],
        in_a_row: 0,
    };
    (sender, receiver)
}

impl FrameSender {
    /// The ends for one connection, by lane.
    pub(super) fn into_deliveries(self) -> [Delivery; 3] {
        Lane::ALL.map(|lane| Delivery {
            sender: PollSender::new(self.lanes[lane.index()].clone()),
            room: PollSemaphore::new(self.room[lane.index()].clone()),
            room_units: self.room_units,
            reserved: None,
        })
    }
}

/// The way of one lane of one connection into its channel.
pub(super) struct Delivery {
    sender: PollSender<Queued>,
    room: PollSemaphore,
    room_units: usize,
    reserved: Option<OwnedSemaphorePermit>,
}

impl Delivery {
    /// Waits for room for a frame of so many bytes; false when nobody takes it.
    pub(super) fn poll_reserve(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<bool> {
        if self.reserved.is_none() {
            let units = (bytes / ROOM_UNIT + 1).min(self.room_units);
            let units = u32::try_from(units).unwrap_or(u32::MAX);
            self.reserved = ready!(self.room.poll_acquire_many(cx, units));
        }
        let place = ready!(self.sender.poll_reserve(cx));
        Poll::Ready(place.is_ok() && self.reserved.is_some())
    }

    /// Sends a frame for which there is room; false when there is none.
    pub(super) fn send(&mut self, frame: InboundFrame) -> bool {
        let reserved = self.reserved.take();
        reserved.is_some_and(|room| self.sender.send_item((frame, room)).is_ok())
    }

    /// Gives up what was reserved.
    pub(super) fn close(&mut self) {
        self.sender.close();
        self.reserved = None;
        // Also the place in the queue for more of it.
        self.room = PollSemaphore::new(self.room.clone_inner());
    }
}

impl FrameReceiver {
    /// The next frame, of the least important lane only if `bulk` says so;
    /// `None` when none will come. Nothing is lost when this is dropped before
    /// it is ready.
    pub async fn next(&mut self, bulk: bool) -> Option<InboundFrame> {
        if let Some(frame) = self.try_next(bulk) {
            return Some(frame);
        }
        let [control, urgent, last] = &mut self.lanes;
        let frame = tokio::select! {
            biased;
            Some(queued) = control.recv() => queued,
            Some(queued) = urgent.recv() => queued,
            Some(queued) = last.recv(), if bulk => queued,
            else => return None,
        };
        Some(self.count(frame.0))
    }

    /// The next frame that is there already.
    pub fn try_next(&mut self, bulk: bool) -> Option<InboundFrame> {
        let is_its_turn = self.in_a_row >= IN_A_ROW;
        let order = match (bulk, is_its_turn) {
            (true, true) => &[Lane::Bulk, Lane::Control, Lane::Urgent][..],
            (true, false) => &Lane::ALL,
            (false, _) => &[Lane::Control, Lane::Urgent],
        };
        let lanes = &mut self.lanes;
        let frame = (order.iter()).find_map(|lane| lanes[lane.index()].try_recv().ok())?;
        Some(self.count(frame.0))
    }

    fn count(&mut self, frame: InboundFrame) -> InboundFrame {
        self.in_a_row = match frame.lane {
            Lane::Control | Lane::Urgent => self.in_a_row + 1,
            Lane::Bulk => 0,
        };
        frame
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use libp2p::PeerId;
    use libp2p::swarm::ConnectionId;

    use super::*;

    fn frame(lane: Lane, number: u8) -> InboundFrame {
        InboundFrame {
            peer: PeerId::random(),
            connection: ConnectionId::new_unchecked(0),
            lane,
            bytes: Bytes::copy_from_slice(&[number]),
        }
    }

    /// Channels with these frames in them.
    fn holding(frames: impl IntoIterator<Item = (Lane, u8)>) -> (FrameSender, FrameReceiver) {
        let (sender, receiver) = frame_channel(1_000, 1 << 20);
        for (lane, number) in frames {
            let room = sender.room[lane.index()].clone().try_acquire_owned();
            let to = &sender.lanes[lane.index()];
            to.try_send((frame(lane, number), room.unwrap())).unwrap();
        }
        (sender, receiver)
    }

    async fn all((sender, mut receiver): (FrameSender, FrameReceiver)) -> Vec<(Lane, u8)> {
        drop(sender);
        let mut taken = Vec::new();
        while let Some(frame) = receiver.next(true).await {
            taken.push((frame.lane, frame.bytes[0]));
        }
        taken
    }

    #[tokio::test]
    async fn what_is_urgent_does_not_stand_behind_a_history() {
        use Lane::{Bulk, Control, Urgent};
        let frames = [
            (Bulk, 0),
            (Bulk, 1),
            (Urgent, 2),
            (Control, 3),
            (Bulk, 4),
            (Urgent, 5),
        ];
        let expected = [
            (Control, 3),
            (Urgent, 2),
            (Urgent, 5),
            (Bulk, 0),
            (Bulk, 1),
            (Bulk, 4),
        ];
        assert_eq!(all(holding(frames)).await, expected);
        let mut one_by_one = holding(frames);
        for expected in expected {
            let taken = one_by_one.1.try_next(true).unwrap();
            assert_eq!((taken.lane, taken.bytes[0]), expected);
        }
        assert_eq!(one_by_one.1.try_next(true), None);
    }

    #[tokio::test]
    async fn a_history_goes_on_under_a_flood_and_each_lane_keeps_its_order() {
        let flood = (0..200).map(|number| (Lane::Control, number));
        let history = (0..10).map(|number| (Lane::Bulk, number));
        let taken = all(holding(history.chain(flood))).await;
        let of = |lane: Lane| -> Vec<u8> {
            let taken = taken.iter().filter(|(of, _)| *of == lane);
            taken.map(|(_, number)| *number).collect()
        };
        assert_eq!(of(Lane::Control), (0..200).collect::<Vec<_>>());
        assert_eq!(of(Lane::Bulk), (0..10).collect::<Vec<_>>());
        let third = taken.iter().position(|one| *one == (Lane::Bulk, 2));
        assert_eq!(third, Some(3 * IN_A_ROW + 2));
    }

    #[tokio::test]
    async fn a_history_that_has_to_wait_loses_nothing_and_holds_up_nobody() {
        use Lane::{Bulk, Control, Urgent};
        let (_sender, mut receiver) = holding([(Bulk, 0), (Urgent, 1), (Control, 2)]);
        let mut next = async |bulk| receiver.next(bulk).await.map(|frame| frame.bytes[0]);
        assert_eq!(next(false).await, Some(2));
        assert_eq!(next(false).await, Some(1));
        assert_eq!(receiver.try_next(false), None);
        assert_eq!(receiver.try_next(true).map(|frame| frame.bytes[0]), Some(0));
    }

    #[tokio::test]
    async fn frames_wait_for_room_and_one_that_is_too_large_for_an_empty_channel() {
        let (sender, mut receiver) = frame_channel(10, 4 * ROOM_UNIT);
        let [_, _, mut one] = sender.clone().into_deliveries();
        let [_, _, mut other] = sender.into_deliveries();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(
            one.poll_reserve(&mut cx, 100 * ROOM_UNIT),
            Poll::Ready(true)
        );
        assert!(one.send(frame(Lane::Bulk, 1)));
        assert!(other.poll_reserve(&mut cx, 1).is_pending());
        assert!(receiver.try_next(true).is_some());
        assert_eq!(other.poll_reserve(&mut cx, 1), Poll::Ready(true));
        assert!(other.send(frame(Lane::Bulk, 2)));
        // There is room beside a small one.
        assert_eq!(one.poll_reserve(&mut cx, ROOM_UNIT), Poll::Ready(true));
    }
}
