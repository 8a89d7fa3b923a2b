//! Cuts an inbound substream into frames.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures::AsyncRead;
use libp2p::Stream;
use unsigned_varint::decode;

use super::heard::Heard;

/// Read at once while no large frame is under way; a muxer's frame.
const SCRATCH_BYTES: usize = 16 * 1024;

/// A frame's memory grows by doubling from here, so that a peer has to send
/// half of what it makes us allocate.
const FIRST_BYTES: usize = 256 * 1024;

/// Reads one inbound substream.
pub(super) struct Reader {
    stream: Stream,
    /// Read, and not yet taken: `scratch[start..end]`.
    scratch: Box<[u8]>,
    start: usize,
    end: usize,
    partial: Option<Partial>,
    /// Bytes read so far.
    received: u64,
    heard: Arc<Heard>,
}

/// A frame of `len` bytes of which `filled` are there.
struct Partial {
    bytes: BytesMut,
    filled: usize,
    len: usize,
}

/// Why no frame can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// The substream ended inside a frame or its length.
    Cut,
    BadLength,
    TooLarge(usize),
}

impl Reader {
    pub(super) fn new(stream: Stream, heard: Arc<Heard>) -> Self {
        Self {
            stream,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            partial: None,
            received: 0,
            heard,
        }
    }

    /// Bytes that were read so far, if the last of them are a part of a frame.
    pub(super) fn inside_frame(&self) -> Option<u64> {
        let is_inside = self.partial.is_some() || self.start < self.end;
        is_inside.then_some(self.received)
    }

    /// The first byte of the substream; `None` when there is none.
    pub(super) fn poll_lane(&mut self, cx: &mut Context<'_>) -> Poll<Option<u8>> {
        if self.start == self.end && !ready!(self.poll_fill(cx)) {
            return Poll::Ready(None);
        }
        let byte = self.scratch[self.start];
        self.start += 1;
        Poll::Ready(Some(byte))
    }

    /// The next frame; `None` when the substream ended between two frames.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        max_bytes: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        loop {
            if self.partial.is_some() {
                return self.poll_partial(cx).map(|frame| frame.map(Some));
            }
            let unread = &self.scratch[self.start..self.end];
            match decode::usize(unread) {
                Ok((len, _)) if len > max_bytes => {
                    return Poll::Ready(Err(ReadError::TooLarge(len)));
                }
                Ok((len, rest)) => {
                    self.start = self.end - rest.len();
                    if let Some(frame) = rest.get(..len) {
                        self.start += len;
                        return Poll::Ready(Ok(Some(Bytes::copy_from_slice(frame))));
                    }
                    self.partial = Some(Partial::new(len, rest));
                    self.start = self.end;
                }
                Err(decode::Error::Insufficient) => {
                    let is_between = unread.is_empty();
                    match ready!(self.poll_fill(cx)) {
                        true => {}
                        false if is_between => return Poll::Ready(Ok(None)),
                        false => return Poll::Ready(Err(ReadError::Cut)),
                    }
                }
                Err(_) => return Poll::Ready(Err(ReadError::BadLength)),
            }
        }
    }

    fn poll_partial(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ReadError>> {
        while let Some(partial) = &mut self.partial {
            if partial.filled == partial.len {
                break;
            }
            let read = Pin::new(&mut self.stream).poll_read(cx, partial.space());
            match ready!(read) {
                Ok(0) | Err(_) => return Poll::Ready(Err(ReadError::Cut)),
                Ok(bytes) => {
                    partial.filled += bytes;
                    self.received += bytes as u64;
                }
            }
            self.heard.note();
        }
        let bytes = self.partial.take().map(|partial| partial.bytes);
        Poll::Ready(Ok(bytes.unwrap_or_default().freeze()))
    }

    /// Reads more into the scratch space; false when there is no more, be it an
    /// end or an error: yamux shows a reset as an end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.scratch.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let space = &mut self.scratch[self.end..];
        let read: io::Result<usize> = ready!(Pin::new(&mut self.stream).poll_read(cx, space));
        let bytes = read.unwrap_or(0);
        self.end += bytes;
        if bytes > 0 {
            self.received += bytes as u64;
            self.heard.note();
        }
        Poll::Ready(bytes > 0)
    }
}

impl Partial {
    /// `begun` is shorter than `len`.
    fn new(len: usize, begun: &[u8]) -> Self {
        let mut bytes = BytesMut::zeroed(len.min(FIRST_BYTES));
        bytes[..begun.len()].copy_from_slice(begun);
        Self {
            bytes,
            filled: begun.len(),
            len,
        }
    }

    /// Where to read to; not empty while the frame is incomplete.
    fn space(&mut self) -> &mut [u8] {
        if self.filled == self.bytes.len() {
            let grown = self.len.min(self.bytes.len() * 2);
            self.bytes.resize(grown, 0);
        }
        &mut self.bytes[self.filled..]
    }
}
