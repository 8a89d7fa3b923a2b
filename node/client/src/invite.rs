//! Invites: one text that names a stream and peers that have it, to be pasted
//! on another machine: `headwater:<stream id>?peer=<multiaddr>&peer=…`.

use std::fmt::Display;

use headwater_protocols::id::{LogId, ParseIdError};
use multiaddr::{Multiaddr, Protocol};
use strsim::damerau_levenshtein;

/// What every invite begins with.
pub const SCHEME: &str = "headwater:";

/// Peers in one invite at most, so that a pasted text cannot make a node dial
/// without end.
const MAX_PEERS: usize = 32;

/// Characters of a parameter that is not known, in an error.
const SHOWN_PARAMETER: usize = 32;

/// A stream, and peers that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The stream.
    pub stream: LogId,
    /// Multiaddrs with peer ids, the best one first.
    pub peers: Vec<Multiaddr>,
}

/// A text that is no invite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It begins with something else.
    #[error("`{0}` is no invite: an invite begins with `{SCHEME}`")]
    Scheme(String),
    /// What it names is no stream.
    #[error("the invite names no stream: {0}")]
    Stream(ParseIdError),
    /// A peer in it is no multiaddr.
    #[error(
        "the invite's peer `{0}` is not a multiaddr (such as /ip4/192.0.2.1/tcp/4600/p2p/12D3…)"
    )]
    Peer(String),
    /// A peer in it lacks its id.
    #[error(
        "the invite's peer `{0}` lacks its peer id (/p2p/12D3… at the end); copy the whole invite"
    )]
    PeerId(String),
    /// A `%` that does not begin two hex digits, or bytes that are no text.
    #[error("the invite has a malformed percent-encoding in `{0}`; copy the whole invite")]
    Encoding(String),
    /// A parameter that was meant to be a peer, most likely.
    #[error("the invite has `{0}=`; did you mean `peer=`?")]
    Slip(String),
    /// Another parameter, which may be what matters.
    #[error(
        "the invite has `{0}`, which this version does not know; copy the whole invite, or take a \
         newer version"
    )]
    Unknown(String),
    /// More peers than anybody needs.
    #[error("the invite names more than {MAX_PEERS} peers")]
    TooMany,
}

/// Writes an invite.
#[must_use]
pub fn format(stream: LogId, peers: impl IntoIterator<Item = impl Display>) -> String {
    let mut text = format!("{SCHEME}{stream}");
    for (i, peer) in peers.into_iter().take(MAX_PEERS).enumerate() {
        text.push_str(if i == 0 { "?peer=" } else { "&peer=" });
        encode(&peer.to_string(), &mut text);
    }
    text
}

/// Reads an invite. What is not known of it is refused: what a later version says
/// by it may matter, and what is a slip is missed much later.
///
/// # Errors
/// It is not an invite, or was cut off in a place that shows.
pub fn parse(text: &str) -> Result<Invite, InviteError> {
    let text = text.trim();
    let rest = text
        .strip_prefix(SCHEME)
        .ok_or_else(|| InviteError::Scheme(text.to_owned()))?;
    let (stream, query) = rest.split_once('?').unwrap_or((rest, ""));
    let stream = stream.parse().map_err(InviteError::Stream)?;
    let mut peers = Vec::new();
    for parameter in query.split('&') {
        if parameter.is_empty() {
            continue;
        }
        let Some(peer) = parameter.strip_prefix("peer=") else {
            return Err(unknown(parameter));
        };
        if peers.len() == MAX_PEERS {
            return Err(InviteError::TooMany);
        }
        peers.push(parse_peer(&decode(peer)?)?);
    }
    Ok(Invite { stream, peers })
}

fn unknown(parameter: &str) -> InviteError {
    let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
    let is_short = name.len() <= 2 * "peer".len();
    if is_short && damerau_levenshtein(&name.to_lowercase(), "peer") <= 1 {
        return InviteError::Slip(name.to_owned());
    }
    InviteError::Unknown(name.chars().take(SHOWN_PARAMETER).collect())
}

fn parse_peer(text: &str) -> Result<Multiaddr, InviteError> {
    let peer: Multiaddr = text
        .parse()
        .map_err(|_| InviteError::Peer(text.to_owned()))?;
    match peer.iter().last() {
        Some(Protocol::P2p(_)) => Ok(peer),
        _ => Err(InviteError::PeerId(text.to_owned())),
    }
}

/// Percent-encodes what could end a parameter or be changed on the way. What
/// multiaddrs are made of stays readable.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                into.push(char::from(byte));
            }
            _ => into.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn decode(text: &str) -> Result<String, InviteError> {
    let malformed = || InviteError::Encoding(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = digit().zip(digit()).ok_or_else(malformed)?;
        bytes.push((high << 4 | low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEER: &str =
        "/ip4/192.0.2.1/tcp/4600/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    fn stream() -> LogId {
        LogId([7; 32])
    }

    #[test]
    fn an_invite_is_readable() {
        let text = format(stream(), [PEER, PEER]);
        assert_eq!(
            text,
            format!("headwater:{}?peer={PEER}&peer={PEER}", stream())
        );
        assert_eq!(
            format(stream(), [] as [&str; 0]),
            format!("headwater:{}", stream())
        );
    }

    #[test]
    fn an_invite_from_a_link_is_read_too() {
        let link = PEER.replace('/', "%2f").replace("12D3", "%31%32D3");
        let text = format!(" headwater:{}?peer={link}&\n", stream());
        let invite = parse(&text).unwrap();
        assert_eq!(invite.stream, stream());
        assert_eq!(invite.peers, [PEER.parse().unwrap()]);
    }

    #[test]
    fn what_is_no_invite_is_refused_with_the_reason() {
        let with = |query: &str| parse(&format!("headwater:{}?{query}", stream())).unwrap_err();
        assert!(matches!(parse("weather"), Err(InviteError::Scheme(_))));
        assert!(matches!(
            parse("headwater:weather"),
            Err(InviteError::Stream(_))
        ));
        assert!(matches!(with("peer=x"), InviteError::Peer(_)));
        assert!(matches!(
            with("peer=/ip4/192.0.2.1/tcp/4600"),
            InviteError::PeerId(_)
        ));
        for broken in ["peer=%", "peer=%2", "peer=%zz", "peer=%ff"] {
            assert!(matches!(with(broken), InviteError::Encoding(_)), "{broken}");
        }
        for slip in ["pear", "peers", "Peer", "pere", "per"] {
            let error = with(&format!("{slip}={PEER}"));
            assert_eq!(error, InviteError::Slip(slip.to_owned()));
        }
        for other in ["name=x", "key=", "p", "peer"] {
            let error = with(&format!("peer={PEER}&{other}"));
            let name = other.split('=').next().unwrap().to_owned();
            let expected = match other {
                "peer" => InviteError::Slip(name),
                _ => InviteError::Unknown(name),
            };
            assert_eq!(error, expected);
        }
        // It says once what is wrong.
        let error = parse("headwater:nope").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the invite names no stream: `nope` is not a CID"
        );
        assert!(std::error::Error::source(&error).is_none());
        let many = vec![format!("peer={PEER}"); MAX_PEERS + 1].join("&");
        assert_eq!(with(&many), InviteError::TooMany);
    }

    proptest! {
        #[test]
        fn an_invite_is_read_as_it_was_written(
            stream in any::<[u8; 32]>(),
            peers in prop::collection::vec((any::<[u8; 4]>(), any::<u16>(), any::<[u8; 32]>()), 0..MAX_PEERS),
        ) {
            let stream = LogId(stream);
            let peers: Vec<Multiaddr> = peers
                .into_iter()
                .map(|(ip, port, mut secret)| {
                    let key = libp2p_identity::Keypair::ed25519_from_bytes(&mut secret).unwrap();
                    Multiaddr::from(std::net::Ipv4Addr::from(ip))
                        .with(Protocol::Tcp(port))
                        .with(Protocol::P2p(key.public().to_peer_id()))
                })
                .collect();
            let text = format(stream, &peers);
            prop_assert_eq!(parse(&text), Ok(Invite { stream, peers }));
        }

        #[test]
        fn percent_encoding_returns_any_text(text in "\\PC*") {
            let mut encoded = String::new();
            encode(&text, &mut encoded);
            prop_assert!(!encoded.contains(['&', '?', '#', ' ', '\'']));
            prop_assert_eq!(decode(&encoded), Ok(text));
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "(headwater:)?\\PC*") {
            let _ = parse(&text);
        }
    }
}
