//! The URL by which a user names a node.

use std::net::IpAddr;

use http::Uri;

use super::transport::{Http, Transport};
use super::{Client, Error, Place, UrlError};

/// Environment variable with the token for a node that is named by its URL, and
/// whose data folder is not at hand.
pub const TOKEN_VARIABLE: &str = "HEADWATER_API_TOKEN";

impl Client {
    /// To the node at this URL: `http`, a host and a port, such as
    /// `http://127.0.0.1:8600`; the scheme may be left off. Nothing is sent yet.
    ///
    /// # Errors
    /// It is no URL of an API ([`Error::Url`]), or the system has no room for a client.
    pub fn to_url(url: &str) -> Result<Self, Error> {
        let base = parse_base(url)?;
        Ok(Self::new(Transport::Http(Http::new(base)?), Place::Named))
    }

    /// Whether the API is reached over the loopback of this machine: another one
    /// has no business with the tokens that lie here.
    #[must_use]
    pub fn is_of_this_machine(&self) -> bool {
        self.url().is_none_or(|base| is_loopback(&base))
    }
}

fn parse_base(url: &str) -> Result<String, UrlError> {
    let with_scheme = match url.contains("://") {
        true => url.to_owned(),
        false => format!("http://{url}"),
    };
    let not_a_url = || UrlError::NotAUrl(url.to_owned());
    let uri: Uri = with_scheme.parse().map_err(|_| not_a_url())?;
    if uri.scheme_str() == Some("https") {
        return Err(UrlError::Https(url.to_owned()));
    }
    let authority = uri.authority().ok_or_else(not_a_url)?;
    if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
        return Err(not_a_url());
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(UrlError::HasPath(url.to_owned()));
    }
    Ok(format!("http://{authority}"))
}

fn is_loopback(base: &str) -> bool {
    let uri: Option<Uri> = base.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_scheme_host_and_port() {
        let base = |url| parse_base(url).map_err(|error| error.to_string());
        assert_eq!(base("127.0.0.1:8600").unwrap(), "http://127.0.0.1:8600");
        assert_eq!(base("http://[::1]:8600/").unwrap(), "http://[::1]:8600");
        assert!(
            base("https://127.0.0.1")
                .unwrap_err()
                .contains("SSH tunnel")
        );
        assert!(
            base("http://127.0.0.1/v1")
                .unwrap_err()
                .contains("has a path")
        );
        for wrong in ["", "ftp://x", "http://", "a b", "http://u:p@x"] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_token_is_for_this_machine_only() {
        for here in [
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost",
            "http://127.9.9.9",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for away in [
            "http://192.0.2.1:1",
            "http://localhost.example:1",
            "http://[2001:db8::1]",
        ] {
            assert!(!is_loopback(away), "{away}");
        }
    }
}
