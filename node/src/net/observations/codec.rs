//! Questions and answers on a substream.

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use headwater_protocols::limits::{MAX_OBSERVATIONS_ANSWER_BYTES, MAX_OBSERVATIONS_QUESTION_BYTES};
use headwater_protocols::quorum::{Answer, Question};
use libp2p::{StreamProtocol, request_response};

/// Reads and writes them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ObservationsCodec;

impl request_response::Codec for ObservationsCodec {
    type Protocol = StreamProtocol;
    type Request = Question;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Question>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read(io, MAX_OBSERVATIONS_QUESTION_BYTES).await?;
        Question::decode(bytes).map_err(malformed)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read(io, MAX_OBSERVATIONS_ANSWER_BYTES).await?;
        Answer::decode(bytes).map_err(malformed)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        question: Question,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&question.encode()).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Answer,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&answer.encode()).await
    }
}

/// Reads to the end of the other side's half, which comes after `max` bytes at
/// the latest.
async fn read(io: &mut (impl AsyncRead + Unpin + Send), max: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    io.take(limit).read_to_end(&mut bytes).await?;
    // A peer that stops says nothing, which is no answer of no observations.
    match bytes.is_empty() {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(bytes.into()),
    }
}

fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_endless_message_is_read_no_further_than_its_bound() {
        let endless = &mut futures::io::repeat(0x0a);
        for max in [
            MAX_OBSERVATIONS_QUESTION_BYTES,
            MAX_OBSERVATIONS_ANSWER_BYTES,
        ] {
            assert_eq!(read(endless, max).await.unwrap().len(), max + 1);
        }
        let bytes = Bytes::from(vec![0x0a; MAX_OBSERVATIONS_ANSWER_BYTES + 1]);
        assert!(read(&mut &b""[..], 1).await.is_err());
        let error = Answer::decode(bytes).unwrap_err().to_string();
        assert!(error.contains("more than the"), "{error}");
    }
}
