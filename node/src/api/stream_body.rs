//! An answer that is sent while it is written, in constant memory: a thread
//! that may block writes blocks into a short queue, the connection takes them.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use futures::StreamExt;
use headwater_protocols::store::ReadError;
use headwater_reading::Unreadable;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::limits::{BLOCK_BYTES, QUEUED_BLOCKS, STALLED_READ};
use super::places::Place;
use super::problem::ApiError;

/// What the writing thread tells the connection.
enum Part {
    Block(Bytes),
    Failed(ApiError),
    /// All was written. Without it the answer is cut off and not ended, so that
    /// nobody takes a part for the whole.
    End,
}

/// Collects what is written into blocks.
pub(super) struct BlockWriter {
    block: BytesMut,
    /// Gone once the client is.
    parts: Option<mpsc::Sender<Part>>,
    place: Place,
    runtime: Handle,
}

impl BlockWriter {
    fn send(&mut self, part: Part) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let parts = self.parts.as_ref().ok_or_else(gone)?;
        let goes_on = match parts.try_send(part) {
            Ok(()) => self.place.take_turns(&self.runtime),
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(part)) => {
                self.place.stall();
                let send = parts.send_timeout(part, STALLED_READ);
                let sent = self.runtime.block_on(send).is_ok();
                sent && self.place.go_on(&self.runtime)
            }
        };
        if goes_on {
            return Ok(());
        }
        self.parts = None;
        Err(gone())
    }

    fn send_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = self.block.split().freeze();
        self.send(Part::Block(block))
    }
}

impl Write for BlockWriter {
    /// At most what the block still takes: encoders write megabytes at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(BLOCK_BYTES - self.block.len())];
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            self.send_block()?;
        }
        Ok(bytes.len())
    }

    /// A block is sent when it is full or the answer ends: writers flush before
    /// the end, too, and small blocks cost a hand-over each.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why writing an answer ended early.
#[derive(Debug)]
pub(super) enum WriteError {
    /// It cannot be answered.
    Failed(ApiError),
    /// The client is gone or does not read.
    Gone,
}

impl From<io::Error> for WriteError {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<ApiError> for WriteError {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unreadable> for WriteError {
    fn from(error: Unreadable) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

/// The body that `write` writes at this place, on a thread of its own. When it fails before
/// the first block is full, that is an error of the request; when it fails
/// later, the connection is cut off.
pub(super) async fn written_by<F>(place: Place, write: F) -> Result<Body, ApiError>
where
    F: FnOnce(&mut BlockWriter) -> Result<(), WriteError> + Send + 'static,
{
    let (sender, mut parts) = mpsc::channel(QUEUED_BLOCKS);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut writer = BlockWriter {
            block: BytesMut::with_capacity(BLOCK_BYTES),
            parts: Some(sender),
            place,
            runtime,
        };
        let written = write(&mut writer);
        // A client that is gone needs no last word.
        let _ = match written {
            Ok(()) => writer.send_block().and_then(|()| writer.send(Part::End)),
            Err(WriteError::Failed(error)) => writer.send(Part::Failed(error)),
            Err(WriteError::Gone) => Ok(()),
        };
    });
    let first = match parts.recv().await {
        Some(Part::Block(block)) => block,
        Some(Part::End) => return Ok(Body::empty()),
        Some(Part::Failed(error)) => return Err(error),
        None => return Err(ApiError::internal("reading the history was cut off")),
    };
    let rest = futures::stream::unfold(State::Next(Some(first), parts), next);
    // Compression asks once more after the end.
    Ok(Body::from_stream(rest.fuse()))
}

enum State {
    Next(Option<Bytes>, mpsc::Receiver<Part>),
    Over,
}

async fn next(state: State) -> Option<(io::Result<Bytes>, State)> {
    let State::Next(first, mut parts) = state else {
        return None;
    };
    if let Some(first) = first {
        return Some((Ok(first), State::Next(None, parts)));
    }
    match parts.recv().await {
        Some(Part::Block(block)) => Some((Ok(block), State::Next(None, parts))),
        Some(Part::End) => None,
        Some(Part::Failed(error)) => {
            let detail = error.problem().detail.clone();
            tracing::warn!(detail, "an answer was cut off");
            Some((Err(io::Error::other(detail)), State::Over))
        }
        None => {
            let cut_off = io::Error::from(io::ErrorKind::UnexpectedEof);
            Some((Err(cut_off), State::Over))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use http_body_util::BodyExt;

    use super::super::places::tests::place;
    use super::*;

    async fn read(
        write: impl FnOnce(&mut BlockWriter) -> Result<(), WriteError> + Send + 'static,
    ) -> Result<Bytes, String> {
        let body = written_by(place().await, write)
            .await
            .map_err(|e| e.problem().detail.clone())?;
        let collected = body.collect().await.map_err(|error| error.to_string())?;
        Ok(collected.to_bytes())
    }

    #[tokio::test]
    async fn what_is_written_arrives_whole_and_in_order() {
        let lines =
            |range: std::ops::Range<u32>| range.map(|i| format!("{i}\n")).collect::<String>();
        let expected = lines(0..200_000);
        let written = read(|out| {
            for i in 0..200_000 {
                writeln!(out, "{i}")?;
            }
            Ok(())
        });
        assert!(written.await.unwrap() == expected);
        assert!(read(|_| Ok(())).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_long_write_is_many_blocks() {
        let bytes = BLOCK_BYTES * 40 + 1;
        let body = written_by(place().await, move |out| {
            out.write_all(b"x")?;
            Ok(out.write_all(&vec![b'x'; bytes])?)
        });
        let mut body = body.await.unwrap();
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let block = frame.unwrap().into_data().unwrap();
            assert!(block.len() <= BLOCK_BYTES, "{}", block.len());
            read += block.len();
        }
        assert_eq!(read, bytes + 1);
    }

    #[tokio::test]
    async fn a_failure_before_the_first_block_is_an_error_of_the_request() {
        let failed = read(|out| {
            out.write_all(b"a few bytes")?;
            Err(ApiError::new(StatusCode::CONFLICT, "a hole").into())
        });
        assert_eq!(failed.await, Err("a hole".to_owned()));
    }

    #[tokio::test]
    async fn a_failure_later_and_a_panic_cut_the_answer_off() {
        let failed = read(|out| {
            out.write_all(&[b'x'; BLOCK_BYTES])?;
            Err(ApiError::internal("the disk").into())
        });
        assert!(failed.await.unwrap_err().contains("the disk"));
        let cut_off = read(|out| {
            out.write_all(&[b'x'; BLOCK_BYTES])?;
            panic!("a defect");
        });
        assert!(cut_off.await.is_err());
    }

    #[tokio::test]
    async fn writing_ends_when_the_client_goes() {
        let (ended, end) = tokio::sync::oneshot::channel();
        let body = written_by(place().await, move |out| {
            let result =
                std::iter::repeat_with(|| out.write_all(&[b'x'; BLOCK_BYTES])).find(Result::is_err);
            let _ = ended.send(());
            result.map_or(Ok(()), |error| error.map_err(Into::into))
        });
        drop(body.await.unwrap());
        end.await.unwrap();
    }
}
