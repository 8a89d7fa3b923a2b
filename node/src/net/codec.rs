//! One protobuf message each way on a substream, which ends with its half of it.

use std::io;
use std::marker::PhantomData;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use headwater_protocols::wire::WireError;
use libp2p::{StreamProtocol, request_response};

/// A question, or its answer.
pub(crate) trait Message: Sized + Send {
    /// Bytes that it has at most. No more of them are read.
    const MAX_BYTES: usize;

    /// Whether no bytes are a message. Otherwise they are a peer that stops.
    const MAY_BE_EMPTY: bool = false;

    /// # Errors
    /// These bytes are none, or too many.
    fn decode(bytes: Bytes) -> Result<Self, WireError>;

    /// Its bytes.
    fn encode(self) -> Vec<u8>;
}

/// Reads and writes questions `Q` and answers `A`, in the task of the connection.
#[derive(Debug)]
pub(crate) struct Codec<Q, A>(PhantomData<fn() -> (Q, A)>);

impl<Q, A> Clone for Codec<Q, A> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<Q, A> Default for Codec<Q, A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Q: Message + 'static, A: Message + 'static> request_response::Codec for Codec<Q, A> {
    type Protocol = StreamProtocol;
    type Request = Q;
    type Response = A;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Q>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<A>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        question: Q,
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
        answer: A,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&answer.encode()).await
    }
}

/// Reads to the end of the other side's half, which comes one byte behind the bound at
/// the latest.
async fn read<M: Message>(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<M> {
    let mut bytes = Vec::new();
    let most = u64::try_from(M::MAX_BYTES).unwrap_or(u64::MAX);
    io.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .await?;
    if bytes.is_empty() && !M::MAY_BE_EMPTY {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    M::decode(bytes.into()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use futures::io::{Cursor, repeat};
    use headwater_protocols::wire::{decode, v1};
    use libp2p::request_response::Codec as _;
    use prost::Message as _;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test");
    const MAX_BYTES: usize = 100;

    /// Its fields do not matter.
    impl Message for v1::PeersAnswer {
        const MAX_BYTES: usize = MAX_BYTES;

        fn decode(bytes: Bytes) -> Result<Self, WireError> {
            decode("an answer", bytes, MAX_BYTES)
        }

        fn encode(self) -> Vec<u8> {
            self.encode_to_vec()
        }
    }

    /// The same, where no bytes are one.
    #[derive(Debug)]
    struct Lenient(v1::PeersAnswer);

    impl Message for Lenient {
        const MAX_BYTES: usize = MAX_BYTES;
        const MAY_BE_EMPTY: bool = true;

        fn decode(bytes: Bytes) -> Result<Self, WireError> {
            Message::decode(bytes).map(Self)
        }

        fn encode(self) -> Vec<u8> {
            Message::encode(self.0)
        }
    }

    type Messages = Codec<v1::PeersAnswer, Lenient>;

    fn message() -> v1::PeersAnswer {
        v1::PeersAnswer {
            record: Bytes::from_static(b"record"),
            ..v1::PeersAnswer::default()
        }
    }

    #[tokio::test]
    async fn a_message_is_read_as_it_was_written() {
        let mut codec = Messages::default();
        let mut wire = Cursor::new(Vec::new());
        let written = codec.write_request(&PROTOCOL, &mut wire, message()).await;
        written.unwrap();
        wire.set_position(0);
        let read = codec.read_request(&PROTOCOL, &mut wire).await;
        assert_eq!(read.unwrap(), message());
    }

    #[tokio::test]
    async fn an_endless_message_is_read_no_further_than_its_bound() {
        let mut codec = Messages::default();
        let error = (codec.read_request(&PROTOCOL, &mut repeat(0x0a)).await).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("more than the"), "{error}");

        let mut longer = Cursor::new(vec![0x0a; 10 * MAX_BYTES]);
        let read = codec.read_response(&PROTOCOL, &mut longer).await;
        assert!(read.is_err());
        assert_eq!(longer.position(), MAX_BYTES as u64 + 1);
    }

    #[tokio::test]
    async fn no_bytes_are_a_message_where_its_kind_says_so() {
        let mut codec = Messages::default();
        let nothing = &mut &b""[..];
        let error = codec.read_request(&PROTOCOL, nothing).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let read = codec.read_response(&PROTOCOL, nothing).await.unwrap();
        assert_eq!(read.0, v1::PeersAnswer::default());
    }
}
