//! The trials of `scripts/long`, a few rounds of each: what fails names its seed.
//! `scripts/test --long` does ten times as many.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use headwater_tests::binary;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::time::sleep;

/// How long one of them may take, on a machine that compiles meanwhile.
const PATIENCE: Duration = Duration::from_secs(600);

/// The seed of the first round: always the same one, so that what fails here is
/// what was changed; `scripts/test --long` and `scripts/long` throw new dice.
fn seed(is_long: bool) -> Result<u64> {
    match std::env::var("HEADWATER_SEED") {
        Ok(seed) => Ok(seed.parse()?),
        Err(_) if is_long => Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()),
        Err(_) => Ok(1),
    }
}

/// Runs so many rounds of a trial, or ten times as many.
async fn try_out(trial: &str, count: u64) -> Result<()> {
    let is_long = std::env::var_os("HEADWATER_LONG").is_some();
    let times = if is_long { 10 } else { 1 };
    let seed = seed(is_long)?;
    eprintln!("HEADWATER_SEED={seed}");
    let child = Command::new(env!("CARGO_BIN_EXE_long"))
        .args([trial, "--count", &(count * times).to_string()])
        .args(["--seed", &seed.to_string()])
        .env("HEADWATER_BIN", binary())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id().context("no process")?)?);
    let patience = PATIENCE * u32::try_from(times)?;
    let ending = tokio::spawn(async move {
        sleep(patience).await;
        // It ends its nodes then, and unmounts its disks.
        kill(pid, Signal::SIGTERM)
    });
    let output = child.wait_with_output().await?;
    ending.abort();
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}");
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{trial}: {said}");
    Ok(())
}

#[tokio::test]
async fn crashes_lose_nothing_and_fork_nobody() -> Result<()> {
    try_out("crashes", 30).await
}

#[tokio::test]
async fn damage_is_said_and_mended_and_forks_nobody() -> Result<()> {
    try_out("damage", 20).await
}

#[tokio::test]
async fn full_disks_do_no_harm_and_all_goes_on_by_itself() -> Result<()> {
    try_out("disk-full", 3).await
}
