//! The NAT lab: the network of `scripts/testnet up N --nat … --bare`.

mod node;

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::binary;
use crate::namespace::Namespace;

pub use node::{LOOK_AGAIN, LabNode, Transport};

/// Exit code of the script when this machine does not let us have a lab.
const NO_NAMESPACES: i32 = 3;

/// What a node is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let mut kinds = Self::ALL.into_iter().chain([Self::DualStack]);
        let kind = kinds.find(|kind| kind.to_string() == text);
        kind.with_context(|| format!("no kind of router is called {text}"))
    }
}

/// Where a node is to run.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its number, from 1.
    pub node: usize,
    /// What it is behind.
    pub kind: Kind,
    /// The half of the network that it is in, when that is cut in two.
    pub half: String,
    /// The node's machine.
    pub namespace: Namespace,
    /// Its own address.
    pub address: Ipv4Addr,
    /// The port that its router forwards, if it does that.
    pub port: u16,
    /// Its own address of IPv6, if it has that.
    pub address6: Option<Ipv6Addr>,
}

impl Place {
    fn parse(row: &str) -> Result<Self> {
        let cells: Vec<_> = row.split('\t').collect();
        let [
            node,
            kind,
            half,
            namespace,
            _router,
            address,
            port,
            address6,
        ] = cells[..]
        else {
            bail!("this is no row of places: {row}");
        };
        Ok(Self {
            node: node.parse()?,
            kind: kind.parse()?,
            half: half.to_owned(),
            namespace: Namespace::named(namespace),
            address: address.parse()?,
            port: port.parse()?,
            address6: (address6 != "-").then(|| address6.parse()).transpose()?,
        })
    }
}

/// A network of namespaces, which goes down with the value.
#[derive(Debug)]
pub struct Lab {
    folder: TempDir,
    places: Vec<Place>,
}

impl Lab {
    /// A public place, and one behind a router of its own for each kind; `None`
    /// where the machine does not allow it, which is said.
    ///
    /// # Errors
    /// It cannot be put up. In CI it must be allowed.
    pub fn up(kinds: &[Kind]) -> Result<Option<Self>> {
        Self::with(kinds, 1)
    }

    /// As [`Lab::up`], with several places behind each router, in turn.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn with(kinds: &[Kind], behind_each: usize) -> Result<Option<Self>> {
        let folder = tempfile::Builder::new().prefix("headwater-lab").tempdir()?;
        let mut lab = Self {
            folder,
            places: Vec::new(),
        };
        let names: Vec<_> = kinds.iter().map(Kind::to_string).collect();
        let count = (kinds.len() * behind_each + 1).to_string();
        let output = lab.script(&["up", &count, "--nat", &names.join(","), "--bare"])?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(NO_NAMESPACES) {
            let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            ensure!(!in_ci, "this must not be skipped in CI: {errors}");
            #[allow(clippy::print_stderr, reason = "a test that did nothing must say so")]
            {
                eprintln!("skipped: {errors}");
            }
            return Ok(None);
        }
        ensure!(output.status.success(), "{errors}");
        let rows = fs::read_to_string(lab.dir().join("places"))?;
        lab.places = rows.lines().map(Place::parse).collect::<Result<_>>()?;
        Ok(Some(lab))
    }

    /// Two routers of each kind, each with a place behind it.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn with_two_of_each() -> Result<Option<Self>> {
        Self::with_two_of(&Kind::ALL)
    }

    /// Two routers of these kinds, each with a place behind it.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn with_two_of(kinds: &[Kind]) -> Result<Option<Self>> {
        Self::up(&[kinds, kinds].concat())
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("net")
    }

    fn script(&self, args: &[&str]) -> Result<Output> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/testnet");
        let output = Command::new(script)
            .args(args)
            .env("HEADWATER_TESTNET_DIR", self.dir())
            .env("HEADWATER_BIN", binary())
            .env("HEADWATER_PREBUILT", "1")
            .output()?;
        Ok(output)
    }

    /// Runs a command of `scripts/testnet`, such as `cut`.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, args: &[&str]) -> Result<()> {
        let output = self.script(args)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "testnet {args:?}: {errors}");
        Ok(())
    }

    /// The public place, where a bootstrap node and relay belongs.
    ///
    /// # Panics
    /// Never: there is always one.
    #[must_use]
    pub fn first(&self) -> &Place {
        &self.places[0]
    }

    /// Where node `node` belongs, counted from 1.
    ///
    /// # Panics
    /// There is no such place.
    #[must_use]
    pub fn place(&self, node: usize) -> &Place {
        &self.places[node - 1]
    }

    /// The places behind the routers, in the order of their kinds.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places[1..]
    }

    /// The first place of a kind, and the second.
    ///
    /// # Panics
    /// There are not two.
    #[must_use]
    pub fn two(&self, kind: Kind) -> [&Place; 2] {
        let mut of_kind = self.places().iter().filter(|place| place.kind == kind);
        [(); 2].map(|()| of_kind.next().expect("there are two of each"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.script(&["down"]);
    }
}
