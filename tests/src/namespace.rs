//! Network namespaces: other machines, as far as the network goes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};
use tokio::runtime;

/// Where `ip netns` has a file for each. It does not outlive the machine's restart.
const NAMESPACES: &str = "/var/run/netns";

/// A network namespace that `ip netns` has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// The namespace of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let name = name.to_owned();
        Self { name }
    }

    /// All that there are whose names begin like this, in order.
    #[must_use]
    pub fn of_prefix(prefix: &str) -> Vec<Self> {
        // Before the first one is made there is no such folder.
        let entries = std::fs::read_dir(NAMESPACES).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names.into_iter().map(|name| Self { name }).collect()
    }

    /// As `ip netns` calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.file().exists()
    }

    fn file(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }

    /// Does something inside, on a thread of its own. Sockets and processes
    /// that are made there stay there, whoever uses them later.
    ///
    /// # Errors
    /// The namespace is gone, or may not be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let name = &self.name;
        let file = File::open(self.file()).with_context(|| format!("no namespace {name}"))?;
        let inside = || {
            setns(file, CloneFlags::CLONE_NEWNET)?;
            anyhow::Ok(work())
        };
        let ended = thread::scope(|scope| scope.spawn(inside).join());
        match ended {
            Ok(result) => result.with_context(|| format!("cannot enter the namespace {name}")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs what makes its sockets as it goes, such as an HTTP client.
    ///
    /// # Errors
    /// As [`Namespace::enter`].
    pub fn block_on<T: Send>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.enter(|| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime?.block_on(work)
        })?
    }
}
