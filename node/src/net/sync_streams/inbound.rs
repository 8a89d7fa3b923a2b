//! The inbound lanes of a connection, and their way to the engine.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use libp2p::{PeerId, swarm::ConnectionId};
use tokio::time::Instant;

use super::{
    Config, FrameSender, InboundFrame, Lane, ProtocolError,
    frames::Delivery,
    heard::Heard,
    outbound::LEAST_PROGRESS_BYTES,
    packing::{FORM_BYTES, UnpackError, unpack, unpacked_len},
    reader::{ReadError, Reader},
    upgrade::Negotiated,
};

/// One substream a lane, and one more that is to replace an ended one.
const MAX_SUBSTREAMS: usize = Lane::ALL.len() + 1;

/// How long a new substream may leave its lane unnamed. Its first byte can be
/// stuck behind megabytes on a slow path.
const NAMING_TIMEOUT: Duration = Duration::from_secs(60);

/// Frames delivered in a row before the other work of the connection gets its
/// turn.
const MAX_DELIVERIES: usize = 64;

/// Reads the inbound lanes and delivers their frames, control before urgent
/// before bulk. While the channel of a lane is full, the lane holds at most one
/// frame and is not read, which the muxer turns into back-pressure on the
/// remote; the other lanes go on.
pub(super) struct Inbound {
    peer: PeerId,
    connection: ConnectionId,
    delivery: [Delivery; 3],
    heard: Arc<Heard>,
    lanes: [Option<InboundLane>; 3],
    waiting: Vec<Waiting>,
    /// The lane that ended inside a frame, and when that becomes a breach.
    cut: Option<(Lane, Instant)>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The peer is not announced to the engine yet: nothing is read.
    Gated,
    Reading,
    Shut,
}

struct InboundLane {
    reader: Reader,
    is_packed: bool,
    /// The next frame, packed if the lane is. It is read before room for it is
    /// reserved, because an idle connection must not hold a place in the channel,
    /// and unpacked after that.
    next: Option<Bytes>,
    /// Since when it is in the middle of a frame and has not moved, and how many
    /// bytes had been read then.
    still: Option<(Instant, u64)>,
}

impl InboundLane {
    /// Notes whether the lane moves, after it was read as far as it goes.
    fn note_progress(&mut self) {
        let inside = (self.reader.inside_frame()).filter(|_| self.next.is_none());
        self.still = inside.map(|received| match self.still {
            Some((since, before)) if received - before < LEAST_PROGRESS_BYTES as u64 => {
                (since, before)
            }
            _ => (Instant::now(), received),
        });
    }

    /// The bytes of the next frame.
    fn next_len(&self, max_bytes: usize) -> Option<Result<usize, UnpackError>> {
        let next = self.next.as_ref()?;
        Some(match self.is_packed {
            true => unpacked_len(next, max_bytes),
            false => Ok(next.len()),
        })
    }

    fn take_next(&mut self, max_bytes: usize) -> Option<Result<Bytes, UnpackError>> {
        let next = self.next.take()?;
        Some(match self.is_packed {
            true => unpack(&next, max_bytes),
            false => Ok(next),
        })
    }
}

/// The bytes of the largest frame of a lane.
fn max_bytes(lane: Lane, config: &Config) -> usize {
    match lane {
        Lane::Control => config.max_control_bytes,
        Lane::Urgent | Lane::Bulk => config.max_frame_bytes,
    }
}

/// A substream whose lane is not known, or is still taken.
struct Waiting {
    reader: Reader,
    is_packed: bool,
    lane: Option<Lane>,
    deadline: Option<Instant>,
}

impl Inbound {
    pub(super) fn new(
        peer: PeerId,
        connection: ConnectionId,
        delivery: FrameSender,
        heard: Arc<Heard>,
    ) -> Self {
        Self {
            peer,
            connection,
            delivery: delivery.into_deliveries(),
            heard,
            lanes: [None, None, None],
            waiting: Vec::new(),
            cut: None,
            state: State::Gated,
        }
    }

    /// Reading may begin.
    pub(super) fn open_gate(&mut self) {
        if self.state == State::Gated {
            self.state = State::Reading;
        }
    }

    /// Ends all substreams and refuses new ones.
    pub(super) fn shut(&mut self) {
        self.state = State::Shut;
        self.lanes = [None, None, None];
        self.waiting.clear();
        self.cut = None;
        self.delivery.iter_mut().for_each(Delivery::close);
    }

    /// Takes a new substream, or refuses it by dropping it.
    pub(super) fn accept(&mut self, negotiated: Negotiated) {
        let open = self.lanes.iter().flatten().count() + self.waiting.len();
        if self.state == State::Shut || open >= MAX_SUBSTREAMS {
            tracing::debug!(peer = %self.peer, open, "refused an inbound sync substream");
            return;
        }
        self.waiting.push(Waiting {
            reader: Reader::new(negotiated.stream, self.heard.clone()),
            is_packed: negotiated.is_packed,
            lane: None,
            deadline: None,
        });
    }

    /// Reads and delivers what there is, of the control lane only if questions are
    /// taken.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        takes_questions: bool,
    ) -> Result<(), ProtocolError> {
        if self.state != State::Reading {
            return Ok(());
        }
        for _ in 0..MAX_DELIVERIES {
            self.read_lanes(cx, config, takes_questions)?;
            if self.place_waiting(cx, config)? {
                continue;
            }
            if !self.deliver_one(cx, config)? {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// The next moment at which [`Inbound::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().filter_map(|waiting| waiting.deadline);
        waiting.chain(self.cut.map(|(_, deadline)| deadline)).min()
    }

    /// Judges what was tolerated for a while.
    pub(super) fn expire(&mut self, now: Instant, config: &Config) -> Result<(), ProtocolError> {
        if let Some((lane, deadline)) = self.cut
            && deadline <= now
        {
            return Err(ProtocolError::Truncated(lane));
        }
        let is_due = |waiting: &Waiting| waiting.deadline.is_some_and(|deadline| deadline <= now);
        // A substream that never named its lane is nobody's.
        self.waiting
            .retain(|waiting| waiting.lane.is_some() || !is_due(waiting));
        for waiting in self.waiting.iter_mut().filter(|waiting| is_due(waiting)) {
            let Some(lane) = waiting.lane else { continue };
            let occupant = &self.lanes[lane.index()];
            if occupant.as_ref().is_some_and(|lane| lane.next.is_none()) {
                return Err(ProtocolError::DuplicateLane(lane));
            }
            // The occupant is held up by ourselves: its end may not be seen yet.
            waiting.deadline = Some(now + config.grace);
        }
        Ok(())
    }

    /// When the lanes count as standing still, unless they move before.
    pub(super) fn stalls_at(&self, timeout: Duration) -> Option<Instant> {
        let still = self.lanes.iter().flatten().filter_map(|lane| lane.still);
        still.map(|(since, _)| since + timeout).min()
    }

    fn read_lanes(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        takes_questions: bool,
    ) -> Result<(), ProtocolError> {
        for lane in Lane::ALL {
            let slot = &mut self.lanes[lane.index()];
            let Some(open) = slot.as_mut().filter(|open| open.next.is_none()) else {
                continue;
            };
            if lane == Lane::Control && !takes_questions {
                // It stands still because of us.
                open.still = None;
                continue;
            }
            let max_bytes = max_bytes(lane, config);
            let form_bytes = if open.is_packed { FORM_BYTES } else { 0 };
            match open.reader.poll_frame(cx, max_bytes + form_bytes) {
                Poll::Pending => open.note_progress(),
                Poll::Ready(Ok(Some(frame))) => {
                    open.next = Some(frame);
                    open.note_progress();
                }
                Poll::Ready(Ok(None)) => *slot = None,
                Poll::Ready(Err(ReadError::Cut)) => {
                    *slot = None;
                    self.cut
                        .get_or_insert_with(|| (lane, Instant::now() + config.grace));
                }
                Poll::Ready(Err(ReadError::BadLength)) => {
                    return Err(ProtocolError::BadLength(lane));
                }
                Poll::Ready(Err(ReadError::TooLarge(bytes))) => {
                    return Err(ProtocolError::FrameTooLarge {
                        lane,
                        bytes,
                        max_bytes,
                    });
                }
            }
        }
        Ok(())
    }

    /// Learns the lanes of new substreams and puts them into free places; true
    /// when one was put.
    fn place_waiting(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
    ) -> Result<bool, ProtocolError> {
        let mut placed = false;
        for mut waiting in std::mem::take(&mut self.waiting) {
            if waiting.lane.is_none() {
                match waiting.reader.poll_lane(cx) {
                    Poll::Pending => {}
                    Poll::Ready(None) => continue,
                    Poll::Ready(Some(byte)) => {
                        let lane = Lane::from_byte(byte);
                        waiting.lane = Some(lane.ok_or(ProtocolError::UnknownLane(byte))?);
                        waiting.deadline = None;
                    }
                }
            }
            match waiting.lane {
                Some(lane) if self.lanes[lane.index()].is_none() => {
                    self.lanes[lane.index()] = Some(InboundLane {
                        reader: waiting.reader,
                        is_packed: waiting.is_packed,
                        next: None,
                        still: None,
                    });
                    placed = true;
                }
                lane => {
                    let patience = lane.map_or(NAMING_TIMEOUT, |_| config.grace);
                    waiting
                        .deadline
                        .get_or_insert_with(|| Instant::now() + patience);
                    self.waiting.push(waiting);
                }
            }
        }
        Ok(placed)
    }

    /// Delivers the most important frame that there is room for; false when there
    /// is none.
    fn deliver_one(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
    ) -> Result<bool, ProtocolError> {
        for lane in Lane::ALL {
            let max_bytes = max_bytes(lane, config);
            let Some(open) = self.lanes[lane.index()].as_mut() else {
                continue;
            };
            let Some(len) = open.next_len(max_bytes) else {
                continue;
            };
            let len = len.map_err(|error| breach(error, lane, max_bytes))?;
            let delivery = &mut self.delivery[lane.index()];
            match delivery.poll_reserve(cx, len) {
                Poll::Pending => continue,
                Poll::Ready(true) => {}
                Poll::Ready(false) => {
                    tracing::debug!(peer = %self.peer, "nobody takes sync frames any more");
                    self.shut();
                    return Ok(false);
                }
            }
            let Some(bytes) = open.take_next(max_bytes) else {
                continue;
            };
            let frame = InboundFrame {
                peer: self.peer,
                connection: self.connection,
                lane,
                bytes: bytes.map_err(|error| breach(error, lane, max_bytes))?,
            };
            // A closed channel shows at the next reservation.
            return Ok(delivery.send(frame));
        }
        Ok(false)
    }
}

/// A packed frame that cannot be read is the remote's fault.
fn breach(error: UnpackError, lane: Lane, max_bytes: usize) -> ProtocolError {
    match error {
        UnpackError::Malformed => ProtocolError::BadPacking(lane),
        UnpackError::TooLarge(bytes) => ProtocolError::FrameTooLarge {
            lane,
            bytes,
            max_bytes,
        },
    }
}
