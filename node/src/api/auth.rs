//! Who may talk to the node: this machine, and whoever has the token.
//!
//! A page in a browser can send requests to the loopback addresses too. By
//! itself it cannot read the answers, unless its own name is made to point to
//! 127.0.0.1 (DNS rebinding): so the name that a request is addressed to must be
//! a loopback name, or one that the user configured. A request that a browser
//! makes on behalf of another page names that page as its origin: only the
//! dashboard's own origin is taken, another program's page on the same machine
//! is foreign too. Whatever changes something needs the token.
//!
//! The dashboard shows the cookie of its session in place of the token. A browser
//! sends that cookie along with requests of pages at other ports of this machine,
//! too, so that it counts only where the browser says that the request comes from
//! the node's own page.

use std::fmt;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::ApiError;
use super::sessions::Sessions;

/// What a browser says about where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The secret that writing needs. It is not shown by `Debug`.
#[derive(Clone)]
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Compares in a time that does not depend on where the texts differ.
    fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let mut difference = u8::from(own.is_empty() || own.len() != given.len());
        for (a, b) in own.iter().zip(given) {
            difference |= black_box(a ^ b);
        }
        black_box(difference) == 0
    }
}

/// What a request must have to be let in.
#[derive(Clone, Debug)]
pub struct LocalTrust {
    token: Token,
    /// Names under which the node is reached beside the loopback ones, without
    /// a port.
    hosts: Vec<String>,
    sessions: Arc<Sessions>,
}

impl LocalTrust {
    /// Takes requests to loopback names and to `hosts` (names or addresses
    /// without a port). An empty token lets nobody write.
    #[must_use]
    pub fn new(token: String, hosts: Vec<String>) -> Self {
        Self {
            token: Token(token),
            hosts,
            sessions: Arc::new(Sessions::new("")),
        }
    }

    /// Names the sessions of browsers after this node.
    #[must_use]
    pub fn of_node(mut self, node: &str) -> Self {
        self.sessions = Arc::new(Sessions::new(node));
        self
    }

    /// Takes requests to these names too.
    #[must_use]
    pub fn with_hosts(mut self, hosts: Vec<String>) -> Self {
        self.hosts.extend(hosts);
        self
    }

    /// Decides on a request by its head alone.
    ///
    /// # Errors
    /// It is addressed to a foreign name, comes from a foreign page, or would
    /// change something without the token.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let addressed = self.addressed(uri, headers)?;
        check_origin(headers, &addressed)?;
        // By method and not by route, so that a new route cannot forget it.
        if method.is_safe() {
            return Ok(());
        }
        if !headers.contains_key(header::AUTHORIZATION)
            && comes_from_own_page(headers)
            && self.sessions.is_open(headers, Instant::now())
        {
            return Ok(());
        }
        self.check_token(headers)
    }

    /// The sessions of browsers.
    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The name that the request is addressed to.
    fn addressed(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, ApiError> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().map(HeaderValue::as_bytes);
        if hosts.next().is_some() {
            return Err(ApiError::bad_request("the request has two Host headers"));
        }
        let host = match host {
            Some(host) => Some(self.check_host(host)?),
            None => None,
        };
        // An absolute request target stands above the Host header (RFC 9112,
        // 3.2.2), so it is held to the same.
        let target = match uri.authority() {
            Some(authority) => Some(self.check_host(authority.as_str().as_bytes())?),
            None => None,
        };
        target
            .or(host)
            .ok_or_else(|| ApiError::bad_request("the request has no Host header"))
    }

    fn check_host(&self, host: &[u8]) -> Result<Authority, ApiError> {
        let authority = Authority::try_from(host).ok();
        let allowed = authority.filter(|authority| {
            let host = authority.host();
            let has_user = authority.as_str().contains('@');
            !has_user && (is_loopback(host) || self.is_configured(host))
        });
        allowed.ok_or_else(|| {
            let host: String = String::from_utf8_lossy(host).chars().take(100).collect();
            forbidden(format!(
                "the host `{host}` is no loopback name; use localhost or 127.0.0.1, or add the name to the configuration of the node"
            ))
        })
    }

    fn is_configured(&self, host: &str) -> bool {
        let bare = |host: &str| {
            let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
            inner.unwrap_or(host).to_ascii_lowercase()
        };
        self.hosts.iter().any(|known| bare(known) == bare(host))
    }

    /// Refuses whoever does not show the token itself.
    pub(super) fn check_token(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let given = headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| bearer(value.as_bytes()));
        let why = match given {
            None => "this needs the API token, in a header `Authorization: Bearer <token>`",
            Some(given) if self.token.is(given) => return Ok(()),
            Some(_) => "this is not the API token of this node",
        };
        let detail = format!("{why}; the token is in the data folder of the node");
        let error = ApiError::new(StatusCode::UNAUTHORIZED, detail);
        Err(error.with_header(header::WWW_AUTHENTICATE, "Bearer"))
    }
}

/// The token in `Bearer <token>`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| token.trim_ascii())
}

fn is_loopback(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address = address.parse::<Ipv6Addr>();
        return address.is_ok_and(|address| address.is_loopback());
    }
    let address = host.parse::<Ipv4Addr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Only the node's own pages may be behind a request.
fn check_origin(headers: &HeaderMap, addressed: &Authority) -> Result<(), ApiError> {
    for origin in headers.get_all(header::ORIGIN) {
        let uri = Uri::try_from(origin.as_bytes()).ok();
        let own = uri.is_some_and(|uri| {
            let web = matches!(uri.scheme_str(), Some("http" | "https"));
            web && uri.authority().is_some_and(|origin| origin == addressed)
        });
        if !own {
            return Err(forbidden(
                "the request comes from a page of another origin; only the node's own pages may talk to it",
            ));
        }
    }
    Ok(())
}

/// Whether the browser says so; a foreign origin was refused before.
fn comes_from_own_page(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    match (sites.next(), sites.next()) {
        (Some(site), None) => site == "same-origin",
        (Some(_), Some(_)) => false,
        (None, _) => headers.contains_key(header::ORIGIN),
    }
}

fn forbidden(detail: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, detail)
}

/// Lets in what [`LocalTrust::check`] lets in, before anything of the body is
/// read.
pub(super) async fn guard(
    State(trust): State<Arc<LocalTrust>>,
    request: Request,
    next: Next,
) -> Response {
    let checked = trust.check(request.method(), request.uri(), request.headers());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    // Values are whatever a publisher wrote; a browser must not guess that
    // they are a page.
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust() -> LocalTrust {
        LocalTrust::new(
            "secret".to_owned(),
            vec!["Node.lan".to_owned(), "fd00::1".to_owned()],
        )
    }

    fn status(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        match trust().check(&method, &uri.parse().unwrap(), &map) {
            Ok(()) => 200,
            Err(error) => error.problem().status,
        }
    }

    fn get(headers: &[(&'static str, &str)]) -> u16 {
        status(Method::GET, "/v1/node", headers)
    }

    #[test]
    fn loopback_names_with_any_port_and_configured_names_are_let_in() {
        for host in [
            "localhost",
            "LocalHost:1",
            "127.0.0.1:8600",
            "127.9.9.9",
            "[::1]",
            "[::1]:65535",
            "node.lan",
            "NODE.LAN:80",
            "[fd00::1]:8600",
        ] {
            assert_eq!(get(&[("host", host)]), 200, "{host}");
        }
    }

    #[test]
    fn foreign_and_odd_hosts_are_refused() {
        for host in [
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "localhost.",
            "0.0.0.0",
            "[::]",
            "[::2]",
            "[::ffff:127.0.0.1]",
            "127.1",
            "0x7f.0.0.1",
            "192.168.1.5:8600",
            "user@localhost",
            "localhost@example.org",
            "localhost/x",
            "",
            "[::1",
            "::1",
            "node.lan.org",
        ] {
            assert_eq!(get(&[("host", host)]), 403, "{host}");
        }
        assert_eq!(get(&[]), 400);
        assert_eq!(get(&[("host", "localhost"), ("host", "localhost")]), 400);
    }

    #[test]
    fn an_absolute_target_is_held_to_the_same() {
        let get = |uri, headers: &[_]| status(Method::GET, uri, headers);
        assert_eq!(get("http://localhost/v1/node", &[]), 200);
        assert_eq!(get("http://example.org/v1/node", &[]), 403);
        assert_eq!(
            get("http://example.org/v1/node", &[("host", "localhost")]),
            403
        );
        assert_eq!(
            get("http://localhost/v1/node", &[("host", "example.org")]),
            403
        );
    }

    #[test]
    fn only_the_nodes_own_origin_is_taken() {
        let from = |host, origin| get(&[("host", host), ("origin", origin)]);
        assert_eq!(from("localhost:8600", "http://localhost:8600"), 200);
        assert_eq!(from("[::1]:8600", "http://[::1]:8600"), 200);
        assert_eq!(from("node.lan", "https://NODE.lan"), 200);
        for origin in [
            "http://example.org",
            "null",
            "",
            "http://localhost:3000",
            "http://127.0.0.1:8600",
            "file://",
            "http://localhost:8600.example.org",
            "chrome-extension://localhost:8600",
        ] {
            assert_eq!(from("localhost:8600", origin), 403, "{origin}");
        }
        let two = [
            ("host", "localhost"),
            ("origin", "http://localhost"),
            ("origin", "http://x"),
        ];
        assert_eq!(get(&two), 403);
    }

    #[test]
    fn whatever_changes_something_needs_the_token() {
        let with = |method: Method, token: &str| {
            status(
                method,
                "http://localhost/v1/streams",
                &[("authorization", token)],
            )
        };
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(
                status(method.clone(), "http://localhost/v1/streams", &[]),
                401
            );
            assert_eq!(with(method.clone(), "Bearer secret"), 200);
            assert_eq!(with(method.clone(), "bearer  secret"), 200);
            for wrong in [
                "Bearer secre",
                "Bearer secret2",
                "Bearer",
                "Bearer ",
                "secret",
                "Basic secret",
            ] {
                assert_eq!(with(method.clone(), wrong), 401, "{wrong}");
            }
        }
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(with(method, "Bearer wrong"), 200);
        }
    }

    #[test]
    fn an_empty_token_lets_nobody_write_and_no_token_is_ever_shown() {
        let open = LocalTrust::new(String::new(), Vec::new());
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer "));
        let uri = Uri::from_static("http://localhost/");
        assert!(open.check(&Method::POST, &uri, &headers).is_err());
        assert!(!format!("{:?}", trust()).contains("secret"));
    }
}
