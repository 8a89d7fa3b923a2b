//! Trust for a browser: a link that is good once and for a short time, and the
//! session that it opens, which a cookie names. Each has an expiry.
//!
//! Both live in this process alone: a node that starts again knows neither. Of
//! the secrets only the hashes are kept, so that comparing them tells nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::limits::{LINK_LIFE, MAX_LINKS, MAX_SESSIONS, SESSION_LIFE};
use super::problem::ApiError;

/// Bytes of a secret: as hard to guess as the token.
const SECRET_BYTES: usize = 32;

/// What a secret is known by.
type Hash = [u8; 32];

fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// The links that nobody has opened yet, and the sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    /// The cookie's name. Ports do not part cookies: another node of this
    /// machine needs another name.
    cookie: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    links: Secrets,
    sessions: Secrets,
}

impl Sessions {
    /// None yet, for the node with this id.
    pub(super) fn new(node: &str) -> Self {
        let short: Vec<_> = node.chars().rev().take(8).collect();
        let short: String = short.into_iter().rev().collect();
        Self {
            cookie: format!("headwater-{short}"),
            known: Mutex::default(),
        }
    }

    /// A new link; its secret.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn new_link(&self, now: Instant) -> Result<String, ApiError> {
        self.change(|known| known.links.add(now, LINK_LIFE, MAX_LINKS))
    }

    /// Opens a session through a link, which is good no more then. The session's
    /// secret; `None` when the link is not known, used, or too old.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn open(&self, link: &str, now: Instant) -> Result<Option<String>, ApiError> {
        self.change(|known| {
            if !known.links.take(&hash(link), now) {
                return Ok(None);
            }
            let secret = known.sessions.add(now, SESSION_LIFE, MAX_SESSIONS)?;
            Ok(Some(secret))
        })
    }

    /// Whether a request carries the cookie of a session.
    pub(super) fn is_open(&self, headers: &HeaderMap, now: Instant) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter();
        let cookies = cookies.filter_map(|cookies| cookies.to_str().ok());
        let mut secrets = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(name, _)| *name == self.cookie)
            .map(|(_, secret)| hash(secret));
        // A browser sends one; another program of this machine may have set a
        // second one.
        secrets.any(|secret| self.change(|known| known.sessions.has(&secret, now)))
    }

    /// The value of `Set-Cookie` for a session. Pages of other sites do not get
    /// it sent, and no script reads it.
    pub(super) fn set_cookie(&self, secret: &str) -> String {
        let (cookie, life) = (&self.cookie, SESSION_LIFE.as_secs());
        format!("{cookie}={secret}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict")
    }

    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Secrets that are good for a while, the oldest first.
#[derive(Debug, Default)]
struct Secrets(Vec<(Hash, Instant)>);

impl Secrets {
    fn forget_old(&mut self, now: Instant) {
        self.0.retain(|(_, until)| now < *until);
    }

    /// A new one. Where there are too many, the oldest makes way.
    fn add(&mut self, now: Instant, life: Duration, most: usize) -> Result<String, ApiError> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| {
            ApiError::internal(format!("the system has no random bytes: {error}"))
        })?;
        let secret = HEXLOWER.encode(&bytes);
        self.forget_old(now);
        if self.0.len() >= most {
            self.0.remove(0);
        }
        self.0.push((hash(&secret), now + life));
        Ok(secret)
    }

    fn has(&mut self, secret: &Hash, now: Instant) -> bool {
        self.forget_old(now);
        self.0.iter().any(|(known, _)| known == secret)
    }

    fn take(&mut self, secret: &Hash, now: Instant) -> bool {
        let is_known = self.has(secret, now);
        self.0.retain(|(known, _)| known != secret);
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, value.parse().unwrap());
        headers
    }

    fn pair(sessions: &Sessions, secret: &str) -> HeaderMap {
        let set = sessions.set_cookie(secret);
        cookie(set.split(';').next().unwrap())
    }

    #[test]
    fn a_link_opens_one_session_and_only_for_a_while() {
        let sessions = Sessions::new("12D3KooWabcdefgh");
        let now = Instant::now();
        let link = sessions.new_link(now).unwrap();
        let late = sessions.new_link(now).unwrap();
        assert_eq!(sessions.open("", now).unwrap(), None);
        assert_eq!(sessions.open(&link[1..], now).unwrap(), None);
        let secret = sessions.open(&link, now).unwrap().unwrap();
        assert_eq!(sessions.open(&link, now).unwrap(), None);
        assert_eq!(sessions.open(&late, now + LINK_LIFE).unwrap(), None);

        let session = pair(&sessions, &secret);
        assert!(sessions.is_open(&session, now));
        let last = now + SESSION_LIFE - Duration::from_secs(1);
        assert!(sessions.is_open(&session, last));
        assert!(!sessions.is_open(&session, now + SESSION_LIFE));
        // It is over, whatever the clock says next.
        assert!(!sessions.is_open(&session, now));
    }

    #[test]
    fn a_session_is_named_by_its_own_cookie_alone() {
        let sessions = Sessions::new("12D3KooWabcdefgh");
        let now = Instant::now();
        let link = sessions.new_link(now).unwrap();
        let secret = sessions.open(&link, now).unwrap().unwrap();
        let is_open = |value: &str| sessions.is_open(&cookie(value), now);
        assert!(is_open(&format!("a=b; headwater-abcdefgh={secret}; c=d")));
        assert!(is_open(&format!(
            "headwater-abcdefgh=x;headwater-abcdefgh={secret}"
        )));
        for wrong in [
            String::new(),
            secret.clone(),
            format!("headwater={secret}"),
            format!("headwater-abcdefgh={}", &secret[1..]),
            format!("headwater-abcdefgh={secret}0"),
            format!("headwater-abcdefgh={}", HEXLOWER.encode(&hash(&secret))),
            format!("headwater-abcdefgh={link}"),
        ] {
            assert!(!is_open(&wrong), "{wrong}");
        }
        let another = Sessions::new("12D3KooWabcdefgh");
        assert!(!another.is_open(&pair(&sessions, &secret), now));
    }

    #[test]
    fn links_and_sessions_are_bounded_and_the_oldest_make_way() {
        let sessions = Sessions::new("x");
        let now = Instant::now();
        let open = || {
            let link = sessions.new_link(now).unwrap();
            sessions.open(&link, now).unwrap().unwrap()
        };
        let first = open();
        let others: Vec<_> = (0..MAX_SESSIONS).map(|_| open()).collect();
        assert!(!sessions.is_open(&pair(&sessions, &first), now));
        for secret in &others {
            assert!(sessions.is_open(&pair(&sessions, secret), now));
        }
        let links: Vec<_> = (0..=MAX_LINKS)
            .map(|_| sessions.new_link(now).unwrap())
            .collect();
        assert_eq!(sessions.open(&links[0], now).unwrap(), None);
        assert!(sessions.open(&links[1], now).unwrap().is_some());
    }
}
