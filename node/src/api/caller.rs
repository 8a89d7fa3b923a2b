//! Whose requests are counted together where there is not enough for all.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use super::line::Line;
use super::peer::Peer;
use super::whence::Whence;

/// As whom a request is known, as far as shares go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Caller {
    /// Nobody with a token.
    Unknown,
    /// A program with this token.
    Named(String),
    /// Whoever has the node's own token, or the dashboard.
    Owner,
}

/// Who makes a request.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) who: Who,
    /// Its connection, if there is a socket.
    pub(super) line: Option<Arc<Line>>,
}

/// An address, if there is a socket, and whoever asks from there.
pub(super) type Who = (Option<Whence>, Caller);

impl Client {
    fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let line = peer.map(|ConnectInfo(peer)| peer.line().clone());
        let whence = line.as_ref().map(|line| line.standing().whence);
        let caller = parts.extensions.get().cloned();
        Self {
            who: (whence, caller.unwrap_or(Caller::Unknown)),
            line,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}
