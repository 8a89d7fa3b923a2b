//! The way of received frames to the engine: a bounded channel for each lane,
//! so that neither an answer that somebody waits for nor a live record stands
//! behind a history.

use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::{InboundFrame, Lane};

/// More important frames in a row before one of the least important lane: a
/// flood of questions must not hold up a history for good.
const IN_A_ROW: usize = 15;

/// Takes the frames of all connections.
#[derive(Clone, Debug)]
pub struct FrameSender {
    lanes: [mpsc::Sender<InboundFrame>; 3],
}

/// Gives them out, the most important lane first.
#[derive(Debug)]
pub struct FrameReceiver {
    lanes: [mpsc::Receiver<InboundFrame>; 3],
    /// More important frames taken since the last one of the last lane.
    in_a_row: usize,
}

/// Channels of `places` frames for each lane.
#[must_use]
pub fn frame_channel(places: usize) -> (FrameSender, FrameReceiver) {
    let [control, urgent, bulk] = Lane::ALL.map(|_| mpsc::channel(places));
    let sender = FrameSender {
        lanes: [control.0, urgent.0, bulk.0],
    };
    let receiver = FrameReceiver {
        lanes: [control.1, urgent.1, bulk.1],
        in_a_row: 0,
    };
    (sender, receiver)
}

impl FrameSender {
    /// The ends for one connection, by lane.
    pub(super) fn into_polled(self) -> [PollSender<InboundFrame>; 3] {
        self.lanes.map(PollSender::new)
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
            Some(frame) = control.recv() => frame,
            Some(frame) = urgent.recv() => frame,
            Some(frame) = last.recv(), if bulk => frame,
            else => return None,
        };
        Some(self.count(frame))
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
        Some(self.count(frame))
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
        let (sender, receiver) = frame_channel(1_000);
        for (lane, number) in frames {
            let to = &sender.lanes[lane.index()];
            to.try_send(frame(lane, number)).unwrap();
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
}
