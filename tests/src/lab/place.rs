//! Where a node of the lab is, and what it is behind.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::namespace::Namespace;

/// What a node is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing: a public address.
    Public,
    /// A router that passes on whatever comes for the node's port.
    FullCone,
    /// A router that passes on answers only, and keeps the node's port.
    PortRestricted,
    /// A router with another port for everybody the node talks to.
    Symmetric,
    /// A router that passes on answers only, with one other port.
    Remap,
    /// A public address where nothing but answers gets in.
    Firewall,
    /// A router that is symmetric over IPv4; over IPv6 the node has an address of
    /// its own, where nothing but answers gets in.
    DualStack,
}

impl Kind {
    /// All that differ over IPv4.
    pub const ALL: [Self; 6] = [
        Self::Public,
        Self::FullCone,
        Self::PortRestricted,
        Self::Symmetric,
        Self::Remap,
        Self::Firewall,
    ];

    /// All that there are.
    fn each() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain([Self::DualStack])
    }

    /// Their names.
    #[must_use]
    pub fn names() -> String {
        let names: Vec<_> = Self::each().map(|kind| kind.to_string()).collect();
        names.join(" ")
    }

    /// Whether strangers get in.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Public | Self::FullCone)
    }

    /// Whether two nodes can be connected without a relay: where one's port is
    /// anybody's guess, the other must let strangers in. (Where both have IPv6,
    /// that is what they are to use.)
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        match (self == Self::Symmetric, other == Self::Symmetric) {
            (true, true) => false,
            (true, false) => other.is_open(),
            (false, true) => self.is_open(),
            (false, false) => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Public => "public",
            Self::FullCone => "full-cone",
            Self::PortRestricted => "port-restricted",
            Self::Symmetric => "symmetric",
            Self::Remap => "remap",
            Self::Firewall => "firewall",
            Self::DualStack => "dual-stack",
        })
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::each().find(|kind| kind.to_string() == text);
        found.with_context(|| {
            let names = Self::names();
            format!("there is no router of the kind {text}; there are: {names}")
        })
    }
}

/// A half of the network, which a cut parts from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// That of node 1.
    West,
    /// That of every second router.
    East,
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::West => "west",
            Self::East => "east",
        })
    }
}

/// Where a node is to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Its number, from 1.
    pub node: usize,
    /// What it is behind.
    pub kind: Kind,
    /// The half of the network that it is in, when that is cut in two.
    pub half: Half,
    /// The node's machine.
    pub namespace: Namespace,
    /// The machine of its router; its own, when it has none.
    pub router: Namespace,
    /// Its own address.
    pub address: Ipv4Addr,
    /// The port that its router forwards, if it does that.
    pub port: u16,
    /// Its own address of IPv6, if it has that.
    pub address6: Option<Ipv6Addr>,
}

impl Place {
    /// Whether there is a machine between it and the internet.
    pub(super) fn is_behind_router(&self) -> bool {
        self.router != self.namespace
    }

    /// The interface of its machine.
    pub(super) fn device(&self) -> &'static str {
        if self.is_behind_router() {
            "lan"
        } else {
            "wan"
        }
    }

    /// A line for whoever starts programs there: number, kind, half, namespace, the
    /// namespace of its router (of itself, when it has none), address, port, IPv6
    /// address (- for none).
    #[must_use]
    pub fn row(&self) -> String {
        let address6 = (self.address6).map_or_else(|| "-".to_owned(), |it| it.to_string());
        format!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{address6}",
            self.node,
            self.kind,
            self.half,
            self.namespace.name(),
            self.router.name(),
            self.address,
            self.port,
        )
    }
}
