//! `something | headwater publish S`: lines that come while the node ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::world::World;
use crate::command::ended;
use crate::ledger::Rows;

/// Pause between two writes, and lines of one.
const PAUSE: Duration = Duration::from_millis(2);
const LINES: u64 = 20;

/// A command that publishes what comes from a pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    child: Child,
    /// Writes until it is stopped; the values that went into the pipe.
    writer: JoinHandle<Vec<u64>>,
    stop: Arc<AtomicBool>,
    /// Records of the stream before.
    before: u64,
}

impl Pipe {
    /// Starts one.
    pub(crate) fn start(world: &World) -> Result<Self> {
        let stream = world.piped();
        let mut child = world.publisher.spawn(&["publish", &stream.id, "--plain"])?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let before = stream.ledger.size();
        let writer = tokio::spawn(async move {
            let mut written = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let values = stream.ledger.fresh(LINES);
                let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
                // Whether the last lines were taken nobody knows.
                written.extend(values);
                if stdin.write_all(lines.as_bytes()).await.is_err() {
                    break;
                }
                sleep(PAUSE).await;
            }
            written
        });
        Ok(Self {
            child,
            writer,
            stop,
            before,
        })
    }

    /// Nothing more comes from the pipe.
    pub(crate) fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Ends the pipe; what is stored must be what the command says.
    pub(crate) async fn finish(self, world: &World) -> Result<()> {
        self.close();
        let written = self.writer.await?;
        let ended = ended(self.child).await?;
        let said = ended.errors;
        let stream = world.piped();
        let client = world.publisher_client();
        let rows = Rows::of_csv(&client.export(&stream.id).await?)?;
        let stored: Vec<_> = rows.values().skip(usize::try_from(self.before)?).collect();
        let stored_count = stored.len() as u64;
        // Nobody else writes it: the lines are there from the first one on.
        ensure!(
            written.starts_with(&stored),
            "{stored_count} records of {} lines are not the first lines: {said}",
            written.len()
        );
        let promised = match ended.is_success {
            // It may have been answered after the power was gone.
            _ if world.lost_power => 0,
            true => written.len() as u64,
            false => said_to_be_published(&said),
        };
        ensure!(
            stored_count >= promised,
            "{promised} of {} lines were said to be published, {stored_count} are: {said}",
            written.len()
        );
        stream.ledger.acknowledge(self.before, &stored);
        Ok(())
    }
}

/// The number in `1,234 records came before and are published`.
fn said_to_be_published(said: &str) -> u64 {
    let number = said.split(" came before and are published").next();
    let words = number.unwrap_or_default().rsplit(' ');
    let number = words.skip(1).map(|word| word.replace(',', "")).next();
    let is_said = said.contains(" came before and are published");
    let number = number
        .filter(|_| is_said)
        .and_then(|text| text.parse().ok());
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broken_publish_says_is_read() {
        let said = "error: the node is gone; 1,373 records came before and are published, up to index 5372";
        assert_eq!(said_to_be_published(said), 1_373);
        let said = "error: the node is gone; 1 record came before and are published, up to index 0";
        assert_eq!(said_to_be_published(said), 1);
        assert_eq!(
            said_to_be_published("error: no node; nothing was published"),
            0
        );
        assert_eq!(said_to_be_published(""), 0);
    }
}
