//! The folder of a network: a folder for each node, and one file that says what
//! cannot be seen. Which nodes run is asked of the system, by their command lines,
//! so that no number of a process is kept that may be another's by now.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::{env, io};

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::Namespace;
use headwater_tests::lab::{Network, Place};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::node::Node;

/// Also marks the folder as ours to remove.
const STATE: &str = "testnet.json";

/// What there was instead when this was a script (0.1.0), the mark first.
const EARLIER: [&str; 2] = ["testnet.stream", "slow-cable.pid"];

/// For whoever starts programs of their own on the machines.
const PLACES: &str = "places";

/// What the lab writes there.
const SLOW_CABLE_LOG: &str = "slow-cable.log";

pub(crate) const NO_NETWORK: &str = "there is no network; start one with: scripts/testnet up N";

/// How far a network has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// `up` is at work, or was broken off.
    Starting {
        /// The id of the stream, once there is one.
        stream: Option<String>,
    },
    /// It has no nodes, and is to have none.
    Bare,
    /// All of it was there.
    Complete {
        /// The id of the stream that all follow.
        stream: String,
    },
}

/// What is known of a network.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) stage: Stage,
    /// Where the nodes are; none if they are on this machine, without routers.
    #[serde(default)]
    pub(crate) places: Vec<Place>,
}

impl State {
    /// The id of the stream.
    pub(crate) fn stream(&self) -> Option<&str> {
        match &self.stage {
            Stage::Starting { stream } => stream.as_deref(),
            Stage::Bare => None,
            Stage::Complete { stream } => Some(stream),
        }
    }
}

/// The folder of a network, whether there is one or not.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// That no other command is at work on a network.
#[derive(Debug)]
pub(crate) struct Claim {
    _locked: File,
}

impl Folder {
    /// That of `HEADWATER_TESTNET_DIR`, or else the usual one.
    pub(crate) fn named_by_environment() -> Result<Self> {
        let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let path = match (named("HEADWATER_TESTNET_DIR"), named("XDG_STATE_HOME")) {
            (Some(dir), _) => dir.into(),
            (None, Some(state)) => Path::new(&state).join("headwater/testnet"),
            (None, None) => {
                let home = named("HOME").context(
                    "neither HEADWATER_TESTNET_DIR nor HOME says where the network is to live",
                )?;
                Path::new(&home).join(".local/state/headwater/testnet")
            }
        };
        let path =
            real_path(&path).with_context(|| format!("{} cannot be a folder", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a network is there, however much of it.
    pub(crate) fn has_network(&self) -> bool {
        [STATE, EARLIER[0]]
            .iter()
            .any(|mark| self.path.join(mark).exists())
    }

    /// What is known of the network.
    pub(crate) fn state(&self) -> Result<State> {
        ensure!(self.has_network(), "{NO_NETWORK}");
        let path = self.path.join(STATE);
        ensure!(
            path.exists(),
            "an earlier version has started the network in {}; end it with: scripts/testnet down",
            self.path.display()
        );
        let state = fs::read(&path).map_err(anyhow::Error::from);
        let state = state.and_then(|text| Ok(serde_json::from_slice(&text)?));
        state.with_context(|| {
            let path = path.display();
            format!(
                "{path} cannot be read; remove the network with scripts/testnet down, and start it again"
            )
        })
    }

    /// Keeps it, so that it is whole whenever this program is killed.
    pub(crate) fn keep(&self, state: &State) -> Result<()> {
        if !state.places.is_empty() {
            let rows: Vec<_> = state.places.iter().map(Place::row).collect();
            self.replace(PLACES, format!("{}\n", rows.join("\n")).as_bytes())?;
        }
        self.replace(STATE, &serde_json::to_vec(state)?)
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<()> {
        let (path, new) = (self.path.join(name), self.path.join(new_name(name)));
        let written = fs::write(&new, content).and_then(|()| fs::rename(&new, &path));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Makes the folder if need be, and keeps other commands from it.
    pub(crate) fn create(&self) -> Result<Claim> {
        let path = self.path.display();
        fs::create_dir_all(&self.path).with_context(|| format!("cannot make the folder {path}"))?;
        self.claim()
    }

    /// Keeps other commands from the network for as long as the value lives.
    pub(crate) fn claim(&self) -> Result<Claim> {
        let path = self.path.display();
        let folder = File::open(&self.path).with_context(|| format!("cannot open {path}"))?;
        match folder.try_lock() {
            Ok(()) => Ok(Claim { _locked: folder }),
            Err(TryLockError::WouldBlock) => bail!(
                "another scripts/testnet is at work on the network in {path}; call again when it has ended, or end it"
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {path}"))
            }
        }
    }

    /// Whether another command is at work on the network.
    pub(crate) fn is_claimed(&self) -> bool {
        self.has_network() && self.claim().is_err()
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        Ok(self.entries()?.is_empty())
    }

    fn entries(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot read {}", self.path.display()))?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    /// The numbers of the nodes, in order.
    pub(crate) fn nodes(&self) -> Result<Vec<usize>> {
        let entries = self.entries()?;
        let mut nodes: Vec<_> = (entries.iter())
            .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
            .filter(|name| self.is_of_node(name))
            .filter_map(|name| name.parse().ok())
            .collect();
        nodes.sort_unstable();
        Ok(nodes)
    }

    /// Whether nothing is in a folder but what a node has, if that.
    fn is_of_node(&self, name: &str) -> bool {
        let entries = fs::read_dir(self.path.join(name));
        let is_known = |entry: io::Result<fs::DirEntry>| {
            let known = ["data", "mark", "log", "commands.log"];
            entry.is_ok_and(|entry| known.iter().any(|name| entry.file_name() == *name))
        };
        entries.is_ok_and(|mut entries| entries.all(is_known))
    }

    /// A node of the network, on its machine.
    pub(crate) fn node(&self, number: usize, places: &[Place]) -> Node {
        let place = places.iter().find(|place| place.node == number);
        let namespace: Option<Namespace> = place.map(|place| place.namespace.clone());
        Node::new(number, self.path.join(number.to_string()), namespace)
    }

    /// Its network behind routers, whether there is one or not.
    pub(crate) fn network(&self, places: Vec<Place>) -> Network {
        Network::new(&self.path, places)
    }

    /// The nodes that run, whoever has started them: what runs on the data folder of
    /// one.
    pub(crate) fn running(&self) -> Result<BTreeMap<usize, Pid>> {
        let mut running = BTreeMap::new();
        for entry in fs::read_dir("/proc").context("cannot see which nodes run")? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(pid) = name.and_then(|name| name.parse().ok()) else {
                continue;
            };
            // It may have ended meanwhile.
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            if let Some(node) = self.node_of(&String::from_utf8_lossy(&line)) {
                running.insert(node, Pid::from_raw(pid));
            }
        }
        Ok(running)
    }

    /// Which node a command line is of.
    fn node_of(&self, line: &str) -> Option<usize> {
        let mut args = line.split('\0').skip_while(|arg| *arg != "--data-dir");
        let data = Path::new(args.nth(1)?);
        let home = data.strip_prefix(&self.path).ok()?.parent()?;
        (args.next()? == "run").then(|| home.to_str()?.parse().ok())?
    }

    /// Removes what a network has left; an error names what is not of it.
    pub(crate) fn remove(&self) -> Result<()> {
        let new = [PLACES, STATE].map(new_name);
        let new = new.iter().map(String::as_str);
        let names = new.chain([SLOW_CABLE_LOG, PLACES]);
        // The marks last, so that one that was broken off can be done again.
        for name in names.chain(EARLIER.into_iter().rev()).chain([STATE]) {
            remove(fs::remove_file, &self.path.join(name))?;
        }
        let foreign = self.entries()?;
        ensure!(
            foreign.is_empty(),
            "the network is removed, but its folder {} also has what is not of it: {}; remove that, or name another folder in HEADWATER_TESTNET_DIR",
            self.path.display(),
            foreign.join(", ")
        );
        remove(fs::remove_dir, &self.path)
    }

    /// Removes what nodes have written after their folder was taken from them, which is
    /// no data, and the folder unless something else is in it.
    pub(crate) fn remove_remains<'n>(&self, nodes: impl Iterator<Item = &'n usize>) -> Result<()> {
        for number in nodes {
            let home = self.path.join(number.to_string());
            if !home.join("data").exists() && self.is_of_node(&number.to_string()) {
                remove(fs::remove_dir_all, &home)?;
            }
        }
        match self.is_empty()? {
            true => remove(fs::remove_dir, &self.path),
            false => Ok(()),
        }
    }

    /// Removes the folder of a node.
    pub(crate) fn remove_node(&self, number: usize) -> Result<()> {
        remove(fs::remove_dir_all, &self.path.join(number.to_string()))
    }
}

fn new_name(name: &str) -> String {
    format!("{name}.new")
}

/// Removes what may not be there.
fn remove(how: impl FnOnce(PathBuf) -> io::Result<()>, path: &Path) -> Result<()> {
    match how(path.to_owned()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The path without links, as far as it exists: the names of namespaces are made
/// from it.
fn real_path(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut missing = Vec::new();
    for ancestor in path.ancestors() {
        match ancestor.canonicalize() {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |dir, name| dir.join(name))),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Err(_) => missing.push(ancestor.file_name().context("a part of it is ..")?),
        }
    }
    bail!("it is nowhere")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_the_folder_on_which_it_runs() {
        let path = PathBuf::from("/tmp/net");
        let folder = Folder { path };
        let node_of = |line: &str| folder.node_of(&line.replace(' ', "\0"));
        let line = "headwater --data-dir /tmp/net/12/data run --api-listen 127.0.0.1:0";
        assert_eq!(node_of(line), Some(12));
        for other in [
            "headwater --data-dir /tmp/net/12/data status --json",
            "headwater --data-dir /tmp/net2/12/data run",
            "headwater --data-dir /tmp/net/12 run",
            "headwater --data-dir /tmp/net/x/data run",
            "headwater --data-dir",
            "less /tmp/net/12/data",
            "",
        ] {
            assert_eq!(node_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_kept_is_read_again_and_the_rest_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = real_path(&dir.path().join("not/there")).unwrap();
        let folder = Folder { path };
        assert!(!folder.has_network() && folder.state().is_err());
        let claim = folder.create().unwrap();
        assert!(folder.claim().is_err(), "two are at work");
        drop(claim);
        let stream = Some("id".to_owned());
        let state = State {
            stage: Stage::Starting { stream },
            places: Vec::new(),
        };
        folder.keep(&state).unwrap();
        assert_eq!(folder.state().unwrap().stream(), Some("id"));
        fs::write(folder.path().join("mine"), "").unwrap();
        let error = folder.remove().unwrap_err().to_string();
        assert!(error.contains("mine"), "{error}");
        assert!(!folder.has_network());
        fs::remove_file(folder.path().join("mine")).unwrap();
        folder.remove().unwrap();
        assert!(!folder.path().exists());
    }
}
