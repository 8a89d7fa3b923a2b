//! Who asks for parts of an answer.

use std::convert::Infallible;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderName;
use axum::http::header::{AUTHORIZATION, COOKIE, FORWARDED, USER_AGENT};
use axum::http::request::Parts;
use sha2::{Digest, Sha256};

use super::peer::{Connection, Peer};

/// What tells clients apart beside their address. A proxy says whom it asks
/// for; whoever makes that up is only told apart from himself.
const HEADERS: [HeaderName; 6] = [
    AUTHORIZATION,
    COOKIE,
    USER_AGENT,
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
];

/// A client: the address that it asks from, the token that it shows, and what
/// it calls itself. Two programs that have all of this in common are one, but for
/// their connections.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    known_by: [u8; 32],
    connection: Connection,
}

impl Asker {
    fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let address = peer.map(|ConnectInfo(peer)| peer.address().ip());
        let mut hash = Sha256::new();
        hash.update(format!("{address:?}"));
        for name in HEADERS {
            for value in parts.headers.get_all(&name) {
                // Headers have no line breaks in them.
                hash.update(format!("\n{name}:"));
                hash.update(value.as_bytes());
            }
        }
        let connection = peer.map(|ConnectInfo(peer)| peer.connection());
        Self {
            known_by: hash.finalize().into(),
            connection: connection.unwrap_or_default(),
        }
    }

    /// The connection of this request.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What names a question of this client.
    pub(super) fn about(&self, resource: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.known_by)
            .chain_update(resource)
            .finalize()
            .into()
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn asker(address: &str, headers: &[(&str, &str)]) -> Asker {
        let mut request = Request::new(());
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let peer = Peer::of(address.parse().unwrap());
        request.extensions_mut().insert(ConnectInfo(peer));
        Asker::of(&request.into_parts().0)
    }

    #[test]
    fn a_client_is_told_by_address_token_and_name_and_not_by_its_port() {
        let own = asker("127.0.0.1:1000", &[("user-agent", "polars")]);
        let again = asker("127.0.0.1:2000", &[("user-agent", "polars")]);
        assert_eq!(own.about("a"), again.about("a"));
        assert_eq!(own.about("a"), own.about("a"));
        assert_ne!(own.about("a"), own.about("b"));
        let token = ("authorization", "Bearer secret");
        for other in [
            asker("127.0.0.2:1000", &[("user-agent", "polars")]),
            asker("127.0.0.1:1000", &[("user-agent", "pandas")]),
            asker("127.0.0.1:1000", &[("user-agent", "polars"), token]),
            asker(
                "127.0.0.1:1000",
                &[("user-agent", "polars"), ("x-forwarded-for", "10.0.0.7")],
            ),
        ] {
            assert_ne!(own.about("a"), other.about("a"));
        }
    }
}
