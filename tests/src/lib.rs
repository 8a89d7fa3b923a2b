//! Real nodes for tests: processes of the `headwater` binary, each with its own
//! data folder, ports chosen by the system; and nodes inside the test's process.

pub mod hostile;
mod in_process;
pub mod js_peer;
mod kept_port;
pub mod lab;
mod manifest;
mod namespace;
pub mod python;
mod slow_link;
pub mod small_disk;
mod test_node;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::kill;
use nix::unistd::Pid;

pub use in_process::InProcessNode;
pub use js_peer::JsPeer;
pub use kept_port::KeptPort;
pub use manifest::numbers_manifest;
pub use namespace::Namespace;
pub use nix::sys::signal::Signal;
pub use slow_link::SlowLink;
pub use small_disk::SmallDisk;
pub use test_node::TestNode;

/// Longest wait for anything that a test awaits: far more than it takes on a
/// busy machine, so that only what never comes fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Exit status of a command that did not bring about what was asked.
pub const FAILED: i32 = 1;

/// Exit status of wrong usage or configuration: trying again does not help.
pub const USAGE: i32 = 2;

/// Exit status of what failed for now: trying again may help.
pub const FOR_NOW: i32 = 3;

/// Pause between two looks at a state that cannot be awaited otherwise.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The binary under test: `HEADWATER_BIN`, or the one that was built beside
/// the test.
///
/// # Panics
/// There is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("HEADWATER_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    let beside = (test.ancestors())
        .map(|dir| dir.join("headwater"))
        .find(|path| path.is_file());
    beside.expect("headwater is not built; run scripts/test")
}

/// Sends a signal to a process that the test has started.
///
/// # Errors
/// It has ended.
pub fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
    Ok(())
}
