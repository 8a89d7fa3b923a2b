//! What peers answer: which answer belongs to which question stands here, and nowhere
//! else. Whoever takes it judges what it says.

use libp2p_identity::PeerId;

use super::Engine;
use super::requests::{Request, RequestKind};
use crate::store::Store;
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::frame::Body;
use crate::wire::v1::refused::Why;

/// What a peer has done that answers with what belongs to another question.
const SOMETHING_ELSE: &str = "answers something else than was asked";

impl<S: Store> Engine<S> {
    /// Takes an answer. One that nobody waits for any more is ignored.
    pub(super) fn answered(&mut self, peer: PeerId, id: u64, body: Body, now: Timestamp) {
        let Some(request) = self.requests.get(id).filter(|asked| asked.peer == peer) else {
            return;
        };
        if let RequestKind::Range(_) = request.kind {
            return self.range_answered(peer, id, body, now);
        }
        let Some(request) = self.requests.remove(id) else {
            return;
        };
        let result = match (&request.kind, body) {
            (_, Body::Refused(refused)) => return self.refused(request, &refused, now),
            (RequestKind::Manifest(log), Body::Manifest(manifest)) => {
                self.take_manifest(peer, *log, manifest, now)
            }
            (RequestKind::Head { log, from, .. }, Body::Head(head)) => {
                self.take_head_state(peer, *log, *head, from.as_ref(), now)
            }
            (RequestKind::Extend(log, from, begin), Body::Extension(extension)) => {
                self.shown(peer, *log, extension, (from, *begin), now)
            }
            (RequestKind::Search(log), Body::Extension(extension)) => {
                self.take_search_answer(*log, extension, now)
            }
            (RequestKind::Retrieve { .. }, Body::Retrieved(answer)) => {
                return self.retrieved(request, &answer, now);
            }
            (RequestKind::Discover(command), Body::Discovered(answer)) => {
                return self.discovered(peer, *command, answer);
            }
            _ => {
                self.ban_for(peer, request.log(), SOMETHING_ELSE.to_owned());
                return self.failed(request, now);
            }
        };
        if let Err(error) = result {
            self.ban(peer, request.log(), &error);
        }
    }

    /// The same for records, which come in parts.
    fn range_answered(&mut self, peer: PeerId, id: u64, body: Body, now: Timestamp) {
        // Any part that comes shows that the peer is at work.
        self.requests.keep_waiting(id, now);
        let log = self.requests.get(id).and_then(Request::log);
        let Some((log, state)) = log.and_then(|log| Some((log, self.logs.get_mut(&log)?))) else {
            return;
        };
        if state.manifest().is_none() || !state.fetches() {
            // The log was stopped in the meantime.
            return self.withdraw(id, now);
        }
        match body {
            Body::OfferedHashes(offer) => self.hashes_offered((peer, log), id, &offer, now),
            Body::Delivery(delivery) => self.chunks_delivered((peer, log), id, delivery, now),
            Body::Refused(refused) if refused.why() == Why::Busy => self.peer_is_busy(id, now),
            Body::Done(_) | Body::Refused(_) => {
                self.joining.refused(log, peer, now);
                if let Some(request) = self.requests.remove(id) {
                    self.failed(request, now);
                }
            }
            _ => self.misled(id, peer, log, SOMETHING_ELSE.to_owned(), now),
        }
    }

    /// A peer does not answer a question.
    fn refused(&mut self, request: Request, refused: &v1::Refused, now: Timestamp) {
        let (peer, log) = (request.peer, request.log());
        let extends = match &request.kind {
            RequestKind::Retrieve { .. } | RequestKind::Discover(_) => {
                return self.failed(request, now);
            }
            RequestKind::Extend(_, from, begin) if refused.why() == Why::NotHeld => {
                Some((from.clone(), *begin))
            }
            _ => None,
        };
        if let Some(log) = log {
            self.joining.refused(log, peer, now);
        }
        self.failed(request, now);
        if let (Some((from, begin)), Some(log)) = (extends, log)
            && let Some(state) = self.logs.get_mut(&log)
        {
            state.extension_refused(peer, &from, begin);
        }
    }
}
