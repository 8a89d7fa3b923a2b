//! Records that others publish while files are on their way into a stream: if a
//! row that is still to come is one of them, somebody publishes the same files.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use anyhow::{Context, bail};
use futures::TryStreamExt;
use headwater_client::Query;
use headwater_client::times::text::to_text;
use headwater_protocols::time::Timestamp;

use super::batch::{Batch, BatchWriter};
use super::output::printable;
use super::target::Target;

/// Records that are kept at most: who publishes the same rows is met with the
/// first of them.
const MAX_OTHERS: usize = 1 << 16;

/// What others have published, as a batch would say it: the hashes of its lines,
/// which may be long.
#[derive(Debug, Default)]
pub(super) struct Others {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Others {
    /// Adds the records of a stream from one index to another.
    ///
    /// # Errors
    /// The node is lost.
    pub(super) async fn add(
        &mut self,
        target: &Target<'_>,
        from: u64,
        to: u64,
    ) -> anyhow::Result<()> {
        let query = Query {
            from: Some(from.to_string()),
            to: Some(to.to_string()),
            ..Query::default()
        };
        let records = target.client.records(&target.id, &query).await;
        let records = records.context("while looking at what others have published")?;
        let mut records = std::pin::pin!(records);
        let mut line = BatchWriter::new(target.rules.clone());
        while self.hashes.len() < MAX_OTHERS {
            let Some(record) = records.try_next().await? else {
                break;
            };
            line.push(target.row_of(&record)?);
            if let Some(line) = line.take() {
                let line = line.ndjson.trim_ascii_end();
                self.hashes.insert(self.hasher.hash_one(line));
            }
        }
        Ok(())
    }

    /// Refuses a batch of which others have published a row.
    ///
    /// # Errors
    /// They have.
    pub(super) fn ensure_none_in(&self, batch: &Batch) -> anyhow::Result<()> {
        if self.hashes.is_empty() {
            return Ok(());
        }
        let is_there = |line: &&[u8]| self.hashes.contains(&self.hasher.hash_one(*line));
        if let Some(line) = (batch.ndjson.split(|&byte| byte == b'\n')).find(is_there) {
            bail!(
                "somebody else publishes the same rows at the same time, such as {}; --resume goes on behind \
                 those that the stream has, --again appends all of them",
                shown(line)
            );
        }
        Ok(())
    }
}

/// A line of a batch for people, who read no microseconds.
fn shown(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let row = line
        .strip_prefix(r#"{"time":"#)
        .and_then(|row| row.split_once(','));
    let with_text = row.and_then(|(micros, rest)| {
        let time = to_text(Timestamp(micros.parse().ok()?));
        Some(format!(r#"{{"time":"{time}",{rest}"#))
    });
    printable(&with_text.unwrap_or_else(|| line.into_owned()))
}
