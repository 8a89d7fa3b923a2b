//! Network namespaces: other machines, as far as the network goes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use tokio::runtime;

/// A network namespace that `ip netns` has made.
#[derive(Clone, Debug)]
pub struct Namespace {
    file: PathBuf,
}

impl Namespace {
    /// The namespace of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let file = Path::new("/var/run/netns").join(name);
        Self { file }
    }

    /// Does something inside, on a thread of its own. Sockets and processes
    /// that are made there stay there, whoever uses them later.
    ///
    /// # Errors
    /// The namespace is gone, or may not be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let name = self.file.display();
        let file = File::open(&self.file).with_context(|| format!("no namespace {name}"))?;
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
