//! Commands to a node, which end in time or are ended.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_tests::TestNode;
use tokio::time::timeout;

/// How long a command may take.
const ENDS: Duration = Duration::from_secs(120);

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) is_success: bool,
    pub(crate) answer: String,
    pub(crate) errors: String,
}

/// Waits until a command that was started has ended.
pub(crate) async fn ended(child: tokio::process::Child) -> Result<Ended> {
    let ended = timeout(ENDS, child.wait_with_output()).await;
    let output: Output = ended.context("the command does not end")??;
    Ok(Ended {
        is_success: output.status.success(),
        answer: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a command, which may fail.
pub(crate) async fn attempt(node: &TestNode, args: &[&str]) -> Result<Ended> {
    let mut child = node.spawn(args)?;
    drop(child.stdin.take());
    let ended = ended(child).await;
    ended.with_context(|| format!("headwater {args:?}"))
}

/// Runs a command, which must succeed; its answer.
pub(crate) async fn run(node: &TestNode, args: &[&str]) -> Result<String> {
    let ended = attempt(node, args).await?;
    let errors = ended.errors;
    ensure!(ended.is_success, "headwater {args:?}: {errors}");
    Ok(ended.answer)
}
