//! One outbound lane: a queue of frames and the substream that they go to.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use futures::AsyncWrite;
use headwater_protocols::sync::frame_cost;
use libp2p::Stream;
use tokio::time::{Duration, Instant};

use super::{
    Lane,
    packing::{FORM_BYTES, Packer},
    upgrade::Negotiated,
};

/// What remains of a frame is written straight from its own memory from this
/// size on; less is gathered with what follows. yamux cuts writes at 16 KiB.
const DIRECT_BYTES: usize = 16 * 1024;

/// A lane moves when at least this much of it does in the time of a stall: a peer
/// that takes a byte now and then would hold what waits for it for good. The
/// slowest line that a relay allows has four times as much.
pub(super) const LEAST_PROGRESS_BYTES: usize = 16 * 1024;

/// Sent bytes are reported when this many have gathered, or when nothing is
/// left to write.
const REPORT_BYTES: usize = 64 * 1024;

/// Places that an empty queue keeps.
const KEPT_PLACES: usize = 1_024;

/// An opening that fails, or an open substream that breaks, is tried once more.
const MAX_FAILURES: u8 = 1;

/// A lane towards the remote.
pub(super) struct OutboundLane {
    lane: Lane,
    write_buffer_bytes: usize,
    queue: VecDeque<Bytes>,
    /// What the frames in it cost.
    queued_cost: usize,
    state: State,
    failures: u8,
    /// What the muxer accepted, not yet reported.
    unreported: usize,
    last_progress: Instant,
    /// Bytes that the muxer has accepted since then.
    moved: usize,
}

enum State {
    Closed,
    Opening,
    Open(Box<Writer>),
}

/// Whether a lane may be opened again after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    Reopen,
    GiveUp,
}

impl OutboundLane {
    pub(super) fn new(lane: Lane, write_buffer_bytes: usize) -> Self {
        Self {
            lane,
            write_buffer_bytes,
            queue: VecDeque::new(),
            queued_cost: 0,
            state: State::Closed,
            failures: 0,
            unreported: 0,
            last_progress: Instant::now(),
            moved: 0,
        }
    }

    pub(super) fn push(&mut self, frame: Bytes) {
        if !self.is_outstanding() {
            self.has_moved(Instant::now());
        }
        self.queued_cost += frame_cost(frame.len());
        self.queue.push_back(frame);
    }

    /// What the frames cost that wait here.
    pub(super) fn queued_cost(&self) -> usize {
        self.queued_cost
    }

    fn has_moved(&mut self, now: Instant) {
        self.last_progress = now;
        self.moved = 0;
    }

    /// Forgets the queue, and gives its memory back.
    fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.queued_cost = 0;
        self.unreported = 0;
    }

    /// Forgets the queue and what was not reported; a frame that is partly
    /// written is finished, because the remote would take its end for a breach,
    /// but counts for nothing.
    pub(super) fn discard(&mut self) {
        self.clear();
        match &mut self.state {
            State::Open(writer) => writer.disown(),
            State::Closed | State::Opening => {}
        }
    }

    /// True once whenever a substream has to be requested.
    pub(super) fn start_opening(&mut self, eagerly: bool) -> bool {
        let wanted = matches!(self.state, State::Closed) && (eagerly || !self.queue.is_empty());
        if wanted {
            self.state = State::Opening;
        }
        wanted
    }

    pub(super) fn opened(&mut self, negotiated: Negotiated) {
        self.has_moved(Instant::now());
        self.state = State::Open(Box::new(Writer::new(negotiated, self.lane)));
    }

    pub(super) fn opening_failed(&mut self) -> AfterFailure {
        self.state = State::Closed;
        self.failures += 1;
        if self.failures > MAX_FAILURES {
            AfterFailure::GiveUp
        } else {
            AfterFailure::Reopen
        }
    }

    /// The substream broke: what was queued is gone with what was in flight.
    pub(super) fn broken(&mut self) -> AfterFailure {
        self.clear();
        self.opening_failed()
    }

    /// Writes until nothing is left, the muxer accepts no more, or `budget` is
    /// used up (then the task is woken again).
    pub(super) fn write(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> io::Result<()> {
        let State::Open(writer) = &mut self.state else {
            return Ok(());
        };
        loop {
            if *budget == 0 && writer.is_busy(&self.queue) {
                cx.waker().wake_by_ref();
                return Ok(());
            }
            let begun = writer.gather(&mut self.queue, self.write_buffer_bytes);
            self.queued_cost -= begun;
            if self.queue.is_empty() && self.queue.capacity() > KEPT_PLACES {
                self.queue = VecDeque::new();
            }
            match writer.poll_step(cx)? {
                Poll::Ready(Step::Wrote { bytes, payload }) => {
                    let now = Instant::now();
                    *budget = budget.saturating_sub(bytes);
                    self.unreported += payload;
                    self.moved += bytes;
                    if self.moved >= LEAST_PROGRESS_BYTES {
                        self.last_progress = now;
                        self.moved = 0;
                    }
                    if let Some(packer) = &mut writer.packer {
                        packer.wrote(bytes, now);
                    }
                }
                Poll::Ready(Step::Idle) => return Ok(()),
                Poll::Pending => {
                    writer.packer.as_mut().into_iter().for_each(Packer::full);
                    return Ok(());
                }
            }
        }
    }

    /// What to report as sent, if it is time to.
    pub(super) fn take_report(&mut self) -> Option<usize> {
        let due =
            self.unreported >= REPORT_BYTES || (self.unreported > 0 && !self.is_outstanding());
        due.then(|| std::mem::take(&mut self.unreported))
    }

    /// When the lane counts as stalled, unless it moves before.
    pub(super) fn stalls_at(&self, timeout: Duration) -> Option<Instant> {
        self.is_outstanding().then(|| self.last_progress + timeout)
    }

    fn is_outstanding(&self) -> bool {
        match &self.state {
            State::Open(writer) => writer.is_busy(&self.queue),
            State::Closed | State::Opening => !self.queue.is_empty(),
        }
    }
}

enum Step {
    Wrote { bytes: usize, payload: usize },
    Idle,
}

struct Writer {
    stream: Stream,
    /// Gathered bytes, and how many of them are written.
    buffer: Vec<u8>,
    written: usize,
    /// What the gathered bytes stand for, as below.
    buffered_payload: usize,
    /// What is not yet gathered or written of the frame begun last.
    rest: Bytes,
    /// The part of the frame's cost that it stands for; nothing if it was
    /// discarded.
    rest_payload: usize,
    flushed: bool,
    /// Where frames may be compressed.
    packer: Option<Packer>,
}

impl Writer {
    fn new(negotiated: Negotiated, lane: Lane) -> Self {
        Self {
            stream: negotiated.stream,
            buffer: vec![lane.to_byte()],
            written: 0,
            buffered_payload: 0,
            rest: Bytes::new(),
            rest_payload: 0,
            flushed: true,
            packer: negotiated.is_packed.then(Packer::default),
        }
    }

    fn is_busy(&self, queue: &VecDeque<Bytes>) -> bool {
        !queue.is_empty() || !self.buffer.is_empty() || !self.rest.is_empty() || !self.flushed
    }

    fn disown(&mut self) {
        self.buffered_payload = 0;
        self.rest_payload = 0;
    }

    /// Begins with a frame: its length goes into the buffer, and its form.
    fn begin(&mut self, frame: Bytes) {
        self.rest_payload = frame_cost(frame.len());
        let (form, body) = match &mut self.packer {
            None => (None, frame),
            Some(packer) => {
                let (form, body) = packer.pack(frame);
                (Some(form), body)
            }
        };
        let len = body.len() + form.map_or(0, |_| FORM_BYTES);
        let mut prefix = unsigned_varint::encode::usize_buffer();
        let prefix = unsigned_varint::encode::usize(len, &mut prefix);
        self.buffer.extend_from_slice(prefix);
        self.buffer.extend(form);
        self.rest = body;
    }

    /// The part of the cost that the next bytes of the rest stand for.
    fn count(&mut self, bytes: usize) -> usize {
        let payload = match bytes == self.rest.len() {
            true => self.rest_payload,
            false => self.rest_payload * bytes / self.rest.len(),
        };
        self.rest_payload -= payload;
        payload
    }

    /// Fills the empty buffer: whole small frames up to `limit`, or as much of a
    /// large one as makes a full write of its beginning or end. Returns what the
    /// frames cost that it takes from the queue.
    fn gather(&mut self, queue: &mut VecDeque<Bytes>, limit: usize) -> usize {
        let mut begun = 0;
        if !self.buffer.is_empty() {
            return begun;
        }
        loop {
            if self.rest.is_empty() {
                let Some(frame) = queue.pop_front() else {
                    return begun;
                };
                begun += frame_cost(frame.len());
                self.begin(frame);
            }
            let is_large = self.rest.len() >= DIRECT_BYTES;
            if is_large && self.buffer.is_empty() {
                return begun;
            }
            let limit = if is_large { DIRECT_BYTES } else { limit };
            let room = limit.saturating_sub(self.buffer.len());
            let taken = room.min(self.rest.len());
            self.buffered_payload += self.count(taken);
            self.buffer.extend_from_slice(&self.rest.split_to(taken));
            if !self.rest.is_empty() || self.buffer.len() >= limit {
                return begun;
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<Step>> {
        let stream = Pin::new(&mut self.stream);
        let from_buffer = !self.buffer.is_empty();
        let next = if from_buffer {
            &self.buffer[self.written..]
        } else {
            &self.rest[..]
        };
        if next.is_empty() {
            if self.flushed {
                return Ok(Poll::Ready(Step::Idle));
            }
            return Ok(match stream.poll_flush(cx)? {
                Poll::Ready(()) => {
                    self.flushed = true;
                    Poll::Ready(Step::Idle)
                }
                Poll::Pending => Poll::Pending,
            });
        }
        let bytes = match stream.poll_write(cx, next)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(bytes) => bytes,
            Poll::Pending => return Ok(Poll::Pending),
        };
        self.flushed = false;
        let payload = if from_buffer {
            self.written += bytes;
            if self.written == self.buffer.len() {
                self.buffer.clear();
                self.written = 0;
                std::mem::take(&mut self.buffered_payload)
            } else {
                0
            }
        } else {
            let payload = self.count(bytes);
            self.rest.advance(bytes);
            payload
        };
        Ok(Poll::Ready(Step::Wrote { bytes, payload }))
    }
}
