//! Questions and answers on a substream. Signatures are checked here, in the
//! task of the connection: the swarm's own has no time for them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use headwater_protocols::limits::{MAX_PEERS_ANSWER_BYTES, MAX_PEERS_REQUEST_BYTES};
use headwater_protocols::peers::{Answer, Question, Told};
use libp2p::{StreamProtocol, request_response};

use super::super::peer_question::Request;
use super::super::peer_record::{RecordError, SignedRecord};

/// An answer, with all its records checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(super) record: Option<Arc<SignedRecord>>,
    pub(super) peers: Vec<(Arc<SignedRecord>, BTreeSet<usize>)>,
    pub(super) busy: bool,
    /// What was false in it.
    pub(super) falsehood: Option<String>,
}

/// Reads and writes them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeersCodec;

impl request_response::Codec for PeersCodec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Response;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read(io, MAX_PEERS_REQUEST_BYTES).await?;
        request(Question::decode(bytes).map_err(malformed)?)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read(io, MAX_PEERS_ANSWER_BYTES).await?;
        response(Answer::decode(bytes).map_err(malformed)?)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let question = Question {
            streams: request.streams,
            count: request.count,
            record: bytes_of(request.record.as_ref()),
        };
        io.write_all(&question.encode()).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Response,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let told = |(record, subscribed): (Arc<SignedRecord>, BTreeSet<usize>)| Told {
            record: record.bytes.clone(),
            subscribed,
        };
        let answer = Answer {
            record: bytes_of(response.record.as_ref()),
            peers: response.peers.into_iter().map(told).collect(),
            busy: response.busy,
        };
        io.write_all(&answer.encode()).await
    }
}

/// Reads to the end of the other side's half, which comes after `max` bytes at
/// the latest.
async fn read(io: &mut (impl AsyncRead + Unpin + Send), max: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    io.take(limit).read_to_end(&mut bytes).await?;
    Ok(bytes.into())
}

fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn bytes_of(record: Option<&Arc<SignedRecord>>) -> Bytes {
    record.map_or_else(Bytes::new, |record| record.bytes.clone())
}

fn request(question: Question) -> io::Result<Request> {
    let mut falsehood = None;
    let record = check(question.record, &mut falsehood);
    Ok(Request {
        streams: question.streams,
        count: question.count,
        record,
        falsehood,
    })
}

fn response(answer: Answer) -> io::Result<Response> {
    let mut falsehood = None;
    let record = check(answer.record, &mut falsehood);
    let mut peers = Vec::new();
    for told in answer.peers {
        let record = check(told.record, &mut falsehood);
        peers.extend(record.map(|record| (record, told.subscribed)));
    }
    Ok(Response {
        record,
        peers,
        busy: answer.busy,
        falsehood,
    })
}

/// Checks a record, unless something was false already.
fn check(bytes: Bytes, falsehood: &mut Option<String>) -> Option<Arc<SignedRecord>> {
    if bytes.is_empty() || falsehood.is_some() {
        return None;
    }
    match SignedRecord::verify(bytes) {
        Ok(record) => Some(Arc::new(record)),
        Err(RecordError::Foreign(_)) => None,
        Err(error @ RecordError::False(_)) => {
            *falsehood = Some(error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;
    use libp2p::identity::Keypair;
    use libp2p::request_response::Codec;

    use super::*;

    const PROTOCOL: StreamProtocol = StreamProtocol::new("/test");

    fn record() -> Arc<SignedRecord> {
        let address = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let key = Keypair::generate_ed25519();
        Arc::new(SignedRecord::sign(&key, vec![address]).unwrap())
    }

    #[tokio::test]
    async fn an_answer_with_a_forged_record_is_told_apart_and_nothing_after_it_is_taken() {
        let good = record();
        let mut forged = SignedRecord::clone(&record());
        let mut bytes = forged.bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        forged.bytes = bytes.into();
        let told = |record: Arc<SignedRecord>| (record, BTreeSet::from([1]));
        let mut answer = Response {
            peers: vec![told(good.clone())],
            ..Response::default()
        };
        let mut wire = Cursor::new(Vec::new());
        (PeersCodec
            .write_response(&PROTOCOL, &mut wire, answer.clone())
            .await)
            .unwrap();
        wire.set_position(0);
        let read = PeersCodec
            .read_response(&PROTOCOL, &mut wire)
            .await
            .unwrap();
        assert_eq!((read.peers, read.falsehood), (answer.peers.clone(), None));

        answer.peers = [good.clone(), forged.into(), good].map(told).into();
        let mut wire = Cursor::new(Vec::new());
        (PeersCodec
            .write_response(&PROTOCOL, &mut wire, answer)
            .await)
            .unwrap();
        wire.set_position(0);
        let read = PeersCodec
            .read_response(&PROTOCOL, &mut wire)
            .await
            .unwrap();
        assert_eq!(read.peers.len(), 1);
        assert!(read.falsehood.unwrap().contains("false peer record"));
    }

    #[tokio::test]
    async fn an_endless_question_is_read_no_further_than_its_bound() {
        let mut endless = futures::io::repeat(0x0a);
        let error = (PeersCodec.read_request(&PROTOCOL, &mut endless).await).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("more than the"), "{error}");
    }
}
