//! The commands of the program, on a data folder of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::process::PeakMemory;

/// The core of what is measured on one.
pub(crate) const CORE: usize = 0;

/// What a command took.
pub(crate) struct Run {
    pub(crate) seconds: f64,
    pub(crate) peak_mb: f64,
}

/// The program, which is built beside this one.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own.with_file_name("headwater");
    ensure!(binary.is_file(), "{} is not built", binary.display());
    Ok(binary)
}

/// A command on a data folder.
pub(crate) struct Headwater(anyhow::Result<Command>);

pub(crate) fn headwater(data: &Path) -> Headwater {
    Headwater(binary().map(|binary| {
        let mut command = Command::new(binary);
        command.arg("--data-dir").arg(data);
        command
    }))
}

impl Headwater {
    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        if let Ok(command) = &mut self.0 {
            command.arg(arg);
        }
        self
    }

    pub(crate) fn args<const N: usize>(self, args: [&str; N]) -> Self {
        args.iter().fold(self, |command, arg| command.arg(arg))
    }

    pub(crate) fn run(self) -> anyhow::Result<()> {
        let output = self.0?.stdin(Stdio::null()).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{errors}");
        Ok(())
    }

    /// Runs it pinned to one core, or on all of them.
    pub(crate) fn measured(self, cores: Cores) -> anyhow::Result<Run> {
        let plain = self.0?;
        let mut command = match cores {
            Cores::All => plain,
            Cores::One => {
                let mut pinned = Command::new("taskset");
                pinned.args(["--cpu-list", &CORE.to_string()]);
                pinned.arg(plain.get_program()).args(plain.get_args());
                pinned
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn().context("cannot start the command")?;
        let peak = PeakMemory::watch_id(child.id());
        let status = child.wait()?;
        let seconds = start.elapsed().as_secs_f64();
        ensure!(status.success(), "{command:?} failed");
        Ok(Run {
            seconds,
            peak_mb: peak.end_mb()?,
        })
    }
}

/// How many processors a command may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    One,
    All,
}
