//! What a line of the log belongs to: a request of the API, a peer, a stream. Each is a
//! span of tracing, which is there when the program tells more than usual (`-v`), and
//! costs nothing otherwise. What other crates say meanwhile belongs to it, too.

use std::sync::atomic::{AtomicU64, Ordering};

use headwater_protocols::id::LogId;
use libp2p::PeerId;
use tracing::{Span, debug_span};

/// A request of the API. They are numbered from the start of the program. What is asked
/// for is left out, since it may show a token.
pub(crate) fn request(method: &impl std::fmt::Display, path: &str) -> Span {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let span = debug_span!("request", id = tracing::field::Empty, %method, path);
    if !span.is_disabled() {
        span.record("id", REQUESTS.fetch_add(1, Ordering::Relaxed));
    }
    span
}

/// What is done because of a peer.
pub(crate) fn peer(id: &PeerId) -> Span {
    debug_span!("peer", %id)
}

/// What is done about a stream.
pub(crate) fn stream(id: LogId) -> Span {
    debug_span!("stream", %id)
}
