//! The signals that ask a command to end.

use std::fs;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The bit of SIGHUP, signal 1, in a mask of the kernel's.
const HANGUP_BIT: u64 = 1;

/// SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal is gone). From when this is
/// made on they do not end the process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None when the process was started not to care, as by `nohup`.
    hang_up: Option<Signal>,
}

impl Signals {
    /// # Errors
    /// The system does not let us.
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hang_up = (!ignores_hang_up(&status)).then(|| listen(SignalKind::hangup()));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: hang_up.transpose()?,
        })
    }

    /// Waits for one of them.
    pub(super) async fn wait(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hang_up => {}
        }
    }
}

/// Whether a process with this status, as /proc has it, ignores SIGHUP.
fn ignores_hang_up(status: &str) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANGUP_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_started_to_outlive_its_terminal_is_known() {
        let ignores = |mask| {
            ignores_hang_up(&format!(
                "Name:\tx\nSigBlk:\t1\nSigIgn:\t{mask}\nSigCgt:\t1\n"
            ))
        };
        assert!(ignores("0000000000000001"));
        assert!(ignores("0000000000001003"));
        assert!(!ignores("0000000000001000"));
        assert!(!ignores_hang_up(""));
    }
}
