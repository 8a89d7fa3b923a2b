//! Commands on a node's folder.

use std::fs;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::TestNode;
use crate::{FAILED, PATIENCE, binary};

impl TestNode {
    /// Runs a command on this node's folder.
    ///
    /// # Errors
    /// The binary cannot be started.
    pub fn command(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary());
        command
            .arg("--data-dir")
            .arg(self.dir())
            .env("HEADWATER_MARK_DIR", self.mark_dir())
            .args(self.api.map(|api| format!("--api=http://{api}")))
            .args(args)
            .stdin(Stdio::null());
        Ok(self.there(|| command.output())??)
    }

    /// Runs a command that must succeed; its standard output.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "headwater {args:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a command that must fail; what it says on standard error.
    ///
    /// # Errors
    /// It succeeds, or ends with another status than 1.
    pub fn fails(&self, args: &[&str]) -> Result<String> {
        self.fails_with(FAILED, args)
    }

    /// Runs a command that must fail with this exit status; what it says on
    /// standard error.
    ///
    /// # Errors
    /// It ends otherwise.
    pub fn fails_with(&self, status: i32, args: &[&str]) -> Result<String> {
        let output = self.command(args)?;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(
            output.status.code() == Some(status),
            "headwater {args:?} ended with {} instead of {status}: {errors}",
            output.status
        );
        Ok(errors)
    }

    /// Starts a command on this node's folder, with pipes to it; it is killed
    /// when it is dropped.
    ///
    /// # Errors
    /// The binary cannot be started.
    pub fn spawn(&self, args: &[&str]) -> Result<tokio::process::Child> {
        let child = tokio::process::Command::new(binary())
            .arg("--data-dir")
            .arg(self.dir())
            .env("HEADWATER_MARK_DIR", self.mark_dir())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(child)
    }

    /// Runs a command with something on standard input.
    ///
    /// # Errors
    /// The binary cannot be started, or does not end.
    pub async fn command_with_input(&self, args: &[&str], input: &str) -> Result<Output> {
        let mut child = self.spawn(args)?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let write = async {
            // It may have ended before it has read everything.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let both = async { tokio::join!(write, child.wait_with_output()).1 };
        Ok(timeout(PATIENCE, both).await??)
    }

    /// Runs a command with `--json` that must succeed; its answer.
    ///
    /// # Errors
    /// It fails, or its answer is not JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.run(&[args, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("headwater {args:?} said {text}"))
    }

    /// `headwater show STREAM`.
    ///
    /// # Errors
    /// It fails.
    pub fn show(&self, stream: &str) -> Result<Value> {
        self.json(&["show", stream])
    }

    /// Creates a stream of numbers; its id.
    ///
    /// # Errors
    /// It fails.
    pub fn create(&self, name: &str) -> Result<String> {
        let created = self.json(&["stream", "create", name, "--value-type", "number"])?;
        let id = created["id"].as_str().context("no id")?;
        Ok(id.to_owned())
    }

    /// Publishes `count` numbers, one a second from 2020 on, starting with the
    /// `from`-th.
    ///
    /// # Errors
    /// It fails.
    pub fn publish_numbers(&self, stream: &str, from: u64, count: u64) -> Result<()> {
        let mut text = String::from("time,value\n");
        for i in from..from + count {
            use std::fmt::Write;
            writeln!(text, "{},{}.5", 1_577_836_800 + i, i)?;
        }
        let file = self.dir().join("numbers.csv");
        fs::write(&file, text)?;
        let file = file.to_str().context("path")?;
        self.run(&[
            "publish",
            stream,
            "--file",
            file,
            "--time-column",
            "time",
            "--value-column",
            "value",
            "--time-format",
            "unix",
        ])?;
        Ok(())
    }

    /// The stream's export as CSV.
    ///
    /// # Errors
    /// It fails.
    pub fn export(&self, stream: &str) -> Result<String> {
        self.run(&["export", stream, "--format", "csv"])
    }

    /// An invite to a stream, with this node's address.
    ///
    /// # Errors
    /// The node does not run, or does not know the stream.
    pub fn invite(&self, stream: &str) -> Result<String> {
        let shown = self.show(stream)?;
        Ok(shown["invite"].as_str().context("no invite")?.to_owned())
    }
}
