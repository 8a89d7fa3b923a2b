//! Clients in Python: the libraries that read the node's answers in practice.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::timeout;

/// How long a program may take: schemathesis needs 15 s, and on a machine that
/// compiles meanwhile ten times that.
const PATIENCE: Duration = Duration::from_secs(400);

/// A program of the environment that `scripts/setup --dev` makes; `None`, and a
/// word on standard error, when it could not make it.
///
/// # Errors
/// It is not there, and the variable `CI` is set.
pub fn program(name: &str) -> Result<Option<PathBuf>> {
    let path = folder().join(".venv/bin").join(name);
    if path.exists() {
        return Ok(Some(path));
    }
    let why = "the Python packages of the tests are not installed; run scripts/setup --dev";
    if std::env::var_os("CI").is_some() {
        bail!("{why}");
    }
    eprintln!("skipped: {why}");
    Ok(None)
}

/// Runs a script of `tests/python`; `None` as [`program`].
///
/// # Errors
/// It fails, or takes too long.
pub async fn run(script: &str, arguments: &[&str]) -> Result<Option<String>> {
    let Some(python) = program("python")? else {
        return Ok(None);
    };
    let mut command = Command::new(python);
    command.arg(folder().join(script)).args(arguments);
    let output = output(command).await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script} failed: {errors}");
    Ok(Some(String::from_utf8(output.stdout)?))
}

/// Waits for a program that was started here, which ends with the caller.
///
/// # Errors
/// It cannot be started, or takes too long.
pub async fn output(mut command: Command) -> Result<Output> {
    command
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null());
    let output = timeout(PATIENCE, command.output()).await;
    output
        .context("it takes too long")?
        .context("cannot be started")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}
