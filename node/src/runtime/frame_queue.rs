//! Frames that wait for the engine, the most important lane first: an answer
//! that somebody waits for does not stand behind a history.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::net::limits::INBOUND_FRAMES;
use crate::net::sync_streams::{InboundFrame, Lane};

/// Half of what may wait is in the channel, half is sorted here.
pub(super) const IN_CHANNEL: usize = INBOUND_FRAMES / 2;
const SORTED: usize = INBOUND_FRAMES - IN_CHANNEL;

/// More important frames in a row before one of the least important lane: a
/// flood of questions must not hold up a history for good.
const IN_A_ROW: usize = 15;

/// What the sync streams deliver.
#[derive(Debug)]
pub(super) struct FrameQueue {
    channel: mpsc::Receiver<InboundFrame>,
    lanes: [VecDeque<InboundFrame>; 3],
    /// More important frames taken since the last one of the last lane.
    in_a_row: usize,
}

impl FrameQueue {
    pub(super) fn new(channel: mpsc::Receiver<InboundFrame>) -> Self {
        Self {
            channel,
            lanes: Default::default(),
            in_a_row: 0,
        }
    }

    /// The next frame; `None` when none will come. Nothing is lost when it is
    /// dropped before it is ready.
    pub(super) async fn next(&mut self) -> Option<InboundFrame> {
        if let Some(frame) = self.try_next() {
            return Some(frame);
        }
        let frame = self.channel.recv().await?;
        self.sort(frame);
        self.try_next()
    }

    /// The next frame, if there is one.
    pub(super) fn try_next(&mut self) -> Option<InboundFrame> {
        let mut waiting: usize = self.lanes.iter().map(VecDeque::len).sum();
        while waiting < SORTED
            && let Ok(frame) = self.channel.try_recv()
        {
            self.sort(frame);
            waiting += 1;
        }
        let [control, urgent, bulk] = &mut self.lanes;
        if self.in_a_row < IN_A_ROW
            && let Some(frame) = control.pop_front().or_else(|| urgent.pop_front())
        {
            self.in_a_row += 1;
            return Some(frame);
        }
        self.in_a_row = 0;
        let last = bulk.pop_front();
        last.or_else(|| control.pop_front())
            .or_else(|| urgent.pop_front())
    }

    fn sort(&mut self, frame: InboundFrame) {
        let [control, urgent, bulk] = &mut self.lanes;
        let lane = match frame.lane {
            Lane::Control => control,
            Lane::Urgent => urgent,
            Lane::Bulk => bulk,
        };
        lane.push_back(frame);
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

    /// A queue with these frames in its channel.
    fn queue(frames: impl IntoIterator<Item = (Lane, u8)>) -> FrameQueue {
        let (sender, channel) = mpsc::channel(1_000);
        for (lane, number) in frames {
            sender.try_send(frame(lane, number)).unwrap();
        }
        FrameQueue::new(channel)
    }

    async fn all(mut queue: FrameQueue) -> Vec<(Lane, u8)> {
        let mut taken = Vec::new();
        while let Some(frame) = queue.next().await {
            taken.push((frame.lane, frame.bytes[0]));
        }
        taken
    }

    #[tokio::test]
    async fn what_is_urgent_does_not_stand_behind_a_history() {
        use Lane::{Bulk, Control, Urgent};
        let queue = queue([
            (Bulk, 0),
            (Bulk, 1),
            (Urgent, 2),
            (Control, 3),
            (Bulk, 4),
            (Urgent, 5),
        ]);
        let expected = [
            (Control, 3),
            (Urgent, 2),
            (Urgent, 5),
            (Bulk, 0),
            (Bulk, 1),
            (Bulk, 4),
        ];
        assert_eq!(all(queue).await, expected);
    }

    #[tokio::test]
    async fn a_history_goes_on_under_a_flood_and_each_lane_keeps_its_order() {
        let flood = (0..200).map(|number| (Lane::Control, number));
        let history = (0..10).map(|number| (Lane::Bulk, number));
        let taken = all(queue(history.chain(flood))).await;
        let of = |lane: Lane| -> Vec<u8> {
            let taken = taken.iter().filter(|(of, _)| *of == lane);
            taken.map(|(_, number)| *number).collect()
        };
        assert_eq!(of(Lane::Control), (0..200).collect::<Vec<_>>());
        assert_eq!(of(Lane::Bulk), (0..10).collect::<Vec<_>>());
        let third = taken.iter().position(|one| *one == (Lane::Bulk, 2));
        assert_eq!(third, Some(3 * IN_A_ROW + 2));
    }
}
