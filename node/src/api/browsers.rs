//! Whether a request comes from a browser: whoever uses one may have been led to it
//! by a page of somebody else.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// What browsers alone call themselves with: all of them, and whatever wants to
/// be taken for one. No page can make them say something else in what it embeds.
const NAMES: [&[u8]; 2] = [b"Mozilla/", b"Opera/"];

/// What browsers say with a request, and hardly anybody else.
const SAID_BY_BROWSERS: [HeaderName; 6] = [
    header::ORIGIN,
    header::REFERER,
    header::COOKIE,
    header::ACCEPT_LANGUAGE,
    header::UPGRADE_INSECURE_REQUESTS,
    header::DNT,
];

/// What browsers take for a page and for what stands on one, and readers of data
/// do not.
const ON_PAGES: [&str; 7] = [
    "html",
    "image/",
    "video/",
    "audio/",
    "font/",
    "text/css",
    "javascript",
];

/// Whether it says that it is one.
pub(super) fn is_one(headers: &HeaderMap) -> bool {
    let agents = headers.get_all(header::USER_AGENT).iter();
    let mut agents = agents.map(HeaderValue::as_bytes);
    agents.any(|agent| NAMES.iter().any(|name| agent.starts_with(name)))
}

/// Whether it has anything of one. What browsers say of a request (`Sec-Fetch-…`)
/// they leave off without TLS, unless it is to this machine.
pub(super) fn may_be_one(headers: &HeaderMap) -> bool {
    let accepts_pages = headers.get_all(header::ACCEPT).iter().any(|accept| {
        let accept = String::from_utf8_lossy(accept.as_bytes()).to_ascii_lowercase();
        ON_PAGES.iter().any(|kind| accept.contains(kind))
    });
    accepts_pages
        || is_one(headers)
        || SAID_BY_BROWSERS
            .iter()
            .any(|name| headers.contains_key(name))
        || headers.keys().any(|name| name.as_str().starts_with("sec-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_says_it_is_a_browser_is_one_wherever_it_says_so() {
        let of = |agents: &[&str]| {
            let agents = agents
                .iter()
                .map(|agent| (header::USER_AGENT, agent.parse().unwrap()));
            agents.collect::<HeaderMap>()
        };
        for agents in [
            &["Mozilla/5.0 (X11; Linux x86_64)"][..],
            &["Opera/9.80 (J2ME/MIDP; Opera Mini/4.2)"],
            &["a proxy", "Mozilla/5.0"],
        ] {
            assert!(is_one(&of(agents)) && may_be_one(&of(agents)), "{agents:?}");
        }
        for agents in [
            &[][..],
            &["curl/8.5.0"],
            &["python-requests/2.32 Mozilla/5.0"],
        ] {
            assert!(
                !is_one(&of(agents)) && !may_be_one(&of(agents)),
                "{agents:?}"
            );
        }
    }
}
