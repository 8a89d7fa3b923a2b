//! Requests that a page of somebody else is behind. A browser lets any page send
//! them to this machine; the page cannot read the answers, but each has made the
//! node work, and some would make it ask its peers.
//!
//! So nothing below `/v1` is answered that a page elsewhere has embedded or
//! fetched. A link that somebody follows there shows what it leads to, unless
//! peers would have to be asked for it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::browsers;
use super::caller::Caller;
use super::problem::ApiError;

/// What a browser says about where a request comes from.
pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Whether the browser says so. It says nothing under a name that it does not
/// take for safe (no loopback name, no TLS); the page of another origin gets no
/// answer to read there, either.
pub(super) fn comes_from_another_page(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| site != "same-origin" && site != "none")
}

/// Whether it is a link that somebody has followed, and no part of a page.
fn is_followed(headers: &HeaderMap) -> bool {
    let is = |name: HeaderName, value: &str| headers.get(name).is_some_and(|given| given == value);
    is(SEC_FETCH_MODE, "navigate") && is(SEC_FETCH_DEST, "document")
}

/// Refuses what a page elsewhere has made a browser ask.
pub(super) fn refuse_parts_of_pages(uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let is_part = comes_from_another_page(headers) && !is_followed(headers);
    match is_part && uri.path().starts_with("/v1/") {
        true => Err(forbidden(
            "a page of another origin is behind the request; only the node's own pages may have it answered",
        )),
        false => Ok(()),
    }
}

/// Whether peers may be asked for what a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeersMayBeAsked(bool);

impl PeersMayBeAsked {
    pub(super) const NOT: Self = Self(false);

    /// Whoever shows a token, and a page of the node itself, may have peers asked,
    /// and a program that is no browser. Of a browser that does not say where it
    /// comes from nobody knows.
    pub(super) fn of(headers: &HeaderMap, addressed: &Authority, caller: &Caller) -> Self {
        let says = headers.contains_key(SEC_FETCH_SITE);
        let is_elsewhere = comes_from_another_page(headers) || refers_elsewhere(headers, addressed);
        let is_known = says || *caller != Caller::Unknown || !browsers::is_one(headers);
        Self(is_known && !is_elsewhere)
    }

    /// Refuses where they may not.
    pub(super) fn require(self) -> Result<(), ApiError> {
        match self.0 {
            true => Ok(()),
            false => Err(forbidden(
                "peers would have to be asked for this, which a page of another origin cannot have done; open \
                 the address itself, or show a token",
            )),
        }
    }
}

/// A request without a door before it is one of this program.
impl<S: Sync> FromRequestParts<S> for PeersMayBeAsked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or(Self(true)))
    }
}

fn refers_elsewhere(headers: &HeaderMap, addressed: &Authority) -> bool {
    headers.get_all(header::REFERER).iter().any(|referer| {
        let referer = Uri::try_from(referer.as_bytes()).ok();
        !referer.is_some_and(|referer| referer.authority() == Some(addressed))
    })
}

fn forbidden(detail: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        headers.collect()
    }

    const BROWSER: (&str, &str) = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");

    #[test]
    fn parts_of_pages_elsewhere_are_refused_and_links_are_followed() {
        let check = |path: &str, headers: &[(&'static str, &str)]| {
            refuse_parts_of_pages(&path.parse().unwrap(), &map(headers)).is_ok()
        };
        for site in ["cross-site", "same-site"] {
            let site = ("sec-fetch-site", site);
            assert!(!check("/v1/streams", &[site]));
            assert!(!check(
                "/v1/streams",
                &[site, ("sec-fetch-mode", "no-cors")]
            ));
            let navigates = ("sec-fetch-mode", "navigate");
            let framed = [site, navigates, ("sec-fetch-dest", "iframe")];
            assert!(!check("/v1/streams", &framed));
            let followed = [site, navigates, ("sec-fetch-dest", "document")];
            assert!(check("/v1/streams", &followed));
            assert!(check("/docs", &[site]));
        }
        for site in ["same-origin", "none"] {
            assert!(check("/v1/streams", &[("sec-fetch-site", site)]));
        }
        assert!(check("/v1/streams", &[BROWSER]));
    }

    #[test]
    fn peers_are_asked_for_programs_tokens_and_own_pages_and_for_nobody_elsewhere() {
        let addressed = Authority::from_static("localhost:8600");
        let may = |headers: &[(&'static str, &str)], caller: Caller| {
            PeersMayBeAsked::of(&map(headers), &addressed, &caller).0
        };
        let from = |site| ("sec-fetch-site", site);
        assert!(may(&[], Caller::Unknown));
        assert!(may(&[("user-agent", "curl/8")], Caller::Unknown));
        assert!(may(&[BROWSER, from("same-origin")], Caller::Unknown));
        assert!(may(&[BROWSER, from("none")], Caller::Unknown));
        assert!(may(&[BROWSER], Caller::Owner));
        let own = ("referer", "http://localhost:8600/");
        assert!(may(&[own], Caller::Unknown));
        // A browser that says nothing, or says that it comes from elsewhere.
        assert!(!may(&[BROWSER], Caller::Unknown));
        assert!(!may(&[("user-agent", "Opera/9.80")], Caller::Unknown));
        for caller in [Caller::Unknown, Caller::Owner] {
            assert!(!may(&[from("cross-site")], caller.clone()));
            assert!(!may(&[from("same-site")], caller.clone()));
            let other = ("referer", "http://example.org/");
            assert!(!may(&[other], caller));
        }
        assert!(!may(&[("referer", "http://localhost:1/")], Caller::Unknown));
    }
}
