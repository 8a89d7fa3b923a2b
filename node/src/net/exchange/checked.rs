//! Questions and answers, with their signatures checked: as they are read, in the task
//! of the connection, because the swarm's own has no time for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use headwater_protocols::limits::{MAX_PEERS_ANSWER_BYTES, MAX_PEERS_REQUEST_BYTES};
use headwater_protocols::peers::{Answer, Question, Told};
use headwater_protocols::wire::WireError;

use super::super::codec::Message;
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

impl Message for Request {
    const MAX_BYTES: usize = MAX_PEERS_REQUEST_BYTES;
    const MAY_BE_EMPTY: bool = true;

    fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let question = Question::decode(bytes)?;
        let mut falsehood = None;
        let record = check(question.record, &mut falsehood);
        Ok(Self {
            streams: question.streams,
            count: question.count,
            record,
            falsehood,
        })
    }

    fn encode(self) -> Vec<u8> {
        let question = Question {
            streams: self.streams,
            count: self.count,
            record: bytes_of(self.record.as_ref()),
        };
        question.encode()
    }
}

impl Message for Response {
    const MAX_BYTES: usize = MAX_PEERS_ANSWER_BYTES;
    const MAY_BE_EMPTY: bool = true;

    fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let answer = Answer::decode(bytes)?;
        let mut falsehood = None;
        let record = check(answer.record, &mut falsehood);
        let mut peers = Vec::new();
        for told in answer.peers {
            let record = check(told.record, &mut falsehood);
            peers.extend(record.map(|record| (record, told.subscribed)));
        }
        Ok(Self {
            record,
            peers,
            busy: answer.busy,
            falsehood,
        })
    }

    fn encode(self) -> Vec<u8> {
        let told = |(record, subscribed): (Arc<SignedRecord>, BTreeSet<usize>)| Told {
            record: record.bytes.clone(),
            subscribed,
        };
        let answer = Answer {
            record: bytes_of(self.record.as_ref()),
            peers: self.peers.into_iter().map(told).collect(),
            busy: self.busy,
        };
        answer.encode()
    }
}

fn bytes_of(record: Option<&Arc<SignedRecord>>) -> Bytes {
    record.map_or_else(Bytes::new, |record| record.bytes.clone())
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
    use libp2p::identity::Keypair;

    use super::*;

    fn record() -> Arc<SignedRecord> {
        let address = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let key = Keypair::generate_ed25519();
        Arc::new(SignedRecord::sign(&key, vec![address]).unwrap())
    }

    #[test]
    fn an_answer_with_a_forged_record_is_told_apart_and_nothing_after_it_is_taken() {
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
        let read = Response::decode(answer.clone().encode().into()).unwrap();
        assert_eq!((read.peers, read.falsehood), (answer.peers.clone(), None));

        answer.peers = [good.clone(), forged.into(), good].map(told).into();
        let read = Response::decode(answer.encode().into()).unwrap();
        assert_eq!(read.peers.len(), 1);
        assert!(read.falsehood.unwrap().contains("false peer record"));
    }

    #[test]
    fn nothing_is_an_answer_of_who_knows_nobody() {
        let nobody = Response::default();
        assert!(nobody.clone().encode().is_empty() && Response::MAY_BE_EMPTY);
        let read = Response::decode(Bytes::new()).unwrap();
        assert_eq!((read.peers, read.busy), (nobody.peers, nobody.busy));
    }
}
