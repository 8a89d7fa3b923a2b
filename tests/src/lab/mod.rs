//! The NAT lab: nodes on machines of their own, behind routers of every kind, and
//! what can happen to their network. Tests have one each; `scripts/testnet up N
//! --nat …` puts up the same for the hand.

mod event;
mod network;
mod node;
mod place;
mod rules;
mod tools;
mod transport;

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use clap::Parser;
use tempfile::TempDir;

pub use event::{Event, GONE, Setting};
pub use network::Network;
pub use node::{LOOK_AGAIN, LabNode};
pub use place::{Half, Kind, Place};
pub use tools::Refused;
pub use transport::Transport;

/// A network of namespaces, which goes down with the value.
#[derive(Debug)]
pub struct Lab {
    network: Mutex<Network>,
    /// As they were at first, whatever has happened.
    places: Vec<Place>,
    /// Its name makes that of the network.
    _folder: TempDir,
}

/// A line of what happens.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    event: Event,
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
        let mut network = Network::new(folder.path(), Vec::new());
        if let Err(error) = network.allowed() {
            let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            ensure!(!in_ci, "this must not be skipped in CI: {error:#}");
            let Some(refused) = error.downcast_ref::<Refused>() else {
                return Err(error);
            };
            #[allow(clippy::print_stderr, reason = "a test that did nothing must say so")]
            {
                eprintln!("skipped: {refused}");
            }
            return Ok(None);
        }
        let put_up = network.up(kinds.len() * behind_each + 1, kinds);
        let lab = Self {
            places: network.places().to_vec(),
            network: Mutex::new(network),
            _folder: folder,
        };
        // What there is of one that failed goes down with the value.
        put_up.map(|()| Some(lab))
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

    /// Lets something happen to the network, in the words of `scripts/testnet`,
    /// such as `cut`.
    ///
    /// # Errors
    /// It fails, or is nothing that can happen.
    pub fn run(&self, args: &[&str]) -> Result<()> {
        let event = Line::try_parse_from(args)?.event;
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        network.apply(&event)
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
        let network = self.network.get_mut();
        let _ = network.unwrap_or_else(PoisonError::into_inner).down();
    }
}
