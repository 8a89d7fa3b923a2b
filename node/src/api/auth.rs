//! Who may talk to the node: this machine, and whoever has the token.
//!
//! A page in a browser can send requests to the loopback addresses too. By
//! itself it cannot read the answers, unless its own name is made to point to
//! 127.0.0.1 (DNS rebinding): so the name that a request is addressed to must be
//! a loopback name, or one that the user configured. A request that a browser
//! makes on behalf of another page names that page as its origin: only the
//! dashboard's own origin is taken, another program's page on the same machine
//! is foreign too. Whatever changes something needs the node's token, or one that
//! a program was given; reading needs one where the node is told so.
//!
//! A token may also be the password of HTTP Basic, for readers that know nothing
//! else. Browsers send one that was typed once along with requests of any page,
//! too, so that it lets nobody change anything, counts for nothing in a request
//! that another page is behind, and browsers are not asked for it.
//!
//! The dashboard shows the cookie of its session in place of the token. A browser
//! sends that cookie along with requests of pages at other ports of this machine,
//! too, so that it counts only where the browser says that the request comes from
//! the node's own page.

use std::fmt;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;

use super::browsers;
use super::caller::Caller;
use super::elsewhere::{
    PeersMayBeAsked, SEC_FETCH_SITE, comes_from_another_page, refuse_parts_of_pages,
};
use super::problem::ApiError;
use super::sessions::Sessions;
use super::token_file::TokenFile;
use crate::keys::Rights;

/// How those are asked for a token who know nothing else.
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"headwater\", charset=\"UTF-8\"");

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
    /// The tokens that programs were given.
    named: Option<Arc<TokenFile>>,
    /// Whether reading needs a token, or a session.
    guards_reading: bool,
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
            named: None,
            guards_reading: false,
        }
    }

    /// Names the sessions of browsers after this node.
    #[must_use]
    pub fn of_node(mut self, node: &str) -> Self {
        self.sessions = Arc::new(Sessions::new(node));
        self
    }

    /// Takes the tokens in this file, too.
    #[must_use]
    pub fn with_named_tokens(mut self, file: &Path) -> Self {
        self.named = Some(Arc::new(TokenFile::new(file)));
        self
    }

    /// Lets nobody read without a token or a session.
    #[must_use]
    pub fn guarding_reading(mut self) -> Self {
        self.guards_reading = true;
        self
    }

    /// Whether reading needs a token or a session.
    #[must_use]
    pub fn guards_reading(&self) -> bool {
        self.guards_reading
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
    /// It is addressed to a foreign name, comes from a foreign page, or lacks a
    /// token that lets it do this.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let addressed = self.addressed(uri, headers)?;
        check_origin(headers, &addressed)?;
        if method.is_safe() {
            refuse_parts_of_pages(uri, headers)?;
        }
        // By method and not by route, so that a new route cannot forget it.
        let changes = !method.is_safe();
        if !changes && (!self.guards_reading || is_for_everybody(uri.path())) {
            return Ok(());
        }
        let is_own = match changes {
            true => comes_from_own_page(headers),
            false => !comes_from_another_page(headers),
        };
        if !headers.contains_key(header::AUTHORIZATION)
            && is_own
            && self.sessions.is_open(headers, Instant::now())
        {
            return Ok(());
        }
        match basic_password(headers) {
            None => self.check_tokens(given(headers), changes),
            Some(_) if changes => Err(unauthorized(
                "HTTP Basic is for reading alone; this needs the API token, in a header \
                 `Authorization: Bearer <token>`",
            )),
            Some(_) if !is_own => Err(forbidden(
                "a page of another origin is behind the request, and HTTP Basic does not count there",
            )),
            Some(password) => self.check_tokens(Some(&password), changes),
        }
    }

    /// Whether peers may be asked for what a request wants that was let in.
    pub(super) fn may_ask_peers(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        caller: &Caller,
    ) -> PeersMayBeAsked {
        match self.addressed(uri, headers) {
            Ok(addressed) => PeersMayBeAsked::of(headers, &addressed, caller),
            Err(_) => PeersMayBeAsked::NOT,
        }
    }

    /// By which token or session a request that was let in is known.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Caller {
        let password = basic_password(headers);
        if let Some(given) = password.as_deref().or_else(|| given(headers)) {
            let is_named = || self.named.as_ref()?.find(given).map(|token| token.name);
            return match self.token.is(given) {
                true => Caller::Owner,
                false => is_named().map_or(Caller::Unknown, Caller::Named),
            };
        }
        let is_own = !comes_from_another_page(headers);
        match is_own && self.sessions.is_open(headers, Instant::now()) {
            true => Caller::Owner,
            false => Caller::Unknown,
        }
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

    /// The answer to a request that is not let in.
    pub(super) fn refusal(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let mut response = self.check(method, uri, headers).err()?.into_response();
        if response.status() == StatusCode::UNAUTHORIZED && may_be_asked_for_basic(method, headers)
        {
            let headers = response.headers_mut();
            headers.append(header::WWW_AUTHENTICATE, BASIC);
        }
        Some(response)
    }

    /// Refuses whoever shows no token that is good for this.
    fn check_tokens(&self, given: Option<&[u8]>, changes: bool) -> Result<(), ApiError> {
        let other = given.filter(|given| !self.token.is(given));
        let named = other.and_then(|given| self.named.as_ref()?.find(given));
        match named {
            None => self.check_own(given),
            Some(token) if changes && token.rights == Rights::ReadOnly => Err(forbidden(format!(
                "the token `{}` is read-only: it may read everything and change nothing; \
                     publishing and other changes need the node's own token, or one that was made \
                     without --read-only",
                token.name
            ))),
            Some(_) => Ok(()),
        }
    }

    /// Refuses whoever does not show the node's own token.
    pub(super) fn check_token(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.check_own(given(headers))
    }

    fn check_own(&self, given: Option<&[u8]>) -> Result<(), ApiError> {
        match given {
            None => Err(unauthorized(
                "this needs the API token, in a header `Authorization: Bearer <token>`",
            )),
            Some(given) if self.token.is(given) => Ok(()),
            Some(_) => Err(unauthorized("this is not the API token of this node")),
        }
    }
}

fn unauthorized(why: &str) -> ApiError {
    let detail = format!(
        "{why}; the token is in the data folder of the node, and `headwater token new` makes \
         others for programs"
    );
    let error = ApiError::new(StatusCode::UNAUTHORIZED, detail);
    error.with_header(header::WWW_AUTHENTICATE, "Bearer")
}

/// What is answered without a token in any case: whether the node lives, and the
/// way in through a one-time link, with the page that tells of it.
fn is_for_everybody(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/ready") || path.starts_with("/open/")
}

/// The token that a request shows.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?;
    bearer(value.as_bytes())
}

/// The token in `Bearer <token>`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| token.trim_ascii())
}

/// The password in `Basic <user:password>`, whoever the user is; an empty one
/// where it is not in that form.
fn basic_password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, given) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let given = BASE64.decode(given.trim_ascii()).unwrap_or_default();
    let mut parts = given.splitn(2, |&byte| byte == b':');
    let password = parts.nth(1).unwrap_or_default();
    Some(password.to_vec())
}

/// Whether a client may be told that it may show a token by HTTP Basic: some do
/// not before they are asked. A browser would ask its user in a window of its
/// own, and then send it along with whatever asks there; so whoever has
/// anything of a browser is not asked.
fn may_be_asked_for_basic(method: &Method, headers: &HeaderMap) -> bool {
    method.is_safe() && !browsers::may_be_one(headers)
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

#[cfg(test)]
#[path = "auth/tests.rs"]
mod tests;
