//! What a node does for others.

use super::text::Text;

/// What a node does for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Publishes, follows, serves what it holds.
    Peer,
    /// Introduces newcomers to the network.
    Bootstrap,
    /// Connects those who cannot be reached directly.
    Relay,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Bootstrap => "bootstrap",
            Self::Relay => "relay",
        }
    }

    /// Whether a node with it is there for others more than for itself.
    #[must_use]
    pub fn is_public(self) -> bool {
        match self {
            Self::Bootstrap | Self::Relay => true,
            Self::Peer => false,
        }
    }
}

impl Text for Role {
    const WHAT: &'static str = "a role: peer, bootstrap, relay";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "peer" => Ok(Self::Peer),
            "bootstrap" => Ok(Self::Bootstrap),
            "relay" => Ok(Self::Relay),
            "storer" => Err(
                "this version of headwater does not have the role `storer`; it has: peer, \
                 bootstrap, relay"
                    .to_owned(),
            ),
            _ => Err(format!(
                "`{text}` is no role; there are: peer, bootstrap, relay"
            )),
        }
    }
}
