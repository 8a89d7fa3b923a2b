//! A stream by what its user calls it. The name of one that was followed just now
//! comes with its manifest, some round trips later, and the next command may call
//! it so already.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::address::stream_path;
use super::{Client, Error};
use crate::types::StreamView;

/// How long names that are on their way are waited for: some round trips and
/// handshakes.
const NAME_TIMEOUT: Duration = Duration::from_secs(3);

/// How often is looked whether they have come.
const NAME_PAUSE: Duration = Duration::from_millis(20);

impl Client {
    /// One of the node's streams, by id, a part of it, name, or invite.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn stream(&self, name: &str) -> Result<StreamView, Error> {
        let deadline = Instant::now() + NAME_TIMEOUT;
        loop {
            let unknown = match self.get(&stream_path(name, "")).await {
                Err(error) if error.status() == Some(404) && self.url().is_some() => error,
                answer => return answer,
            };
            if Instant::now() >= deadline || !self.awaits_names().await? {
                return Err(unknown);
            }
            sleep(NAME_PAUSE).await;
        }
    }

    /// Whether there is a stream whose name is not known yet, and somebody who
    /// may send it.
    async fn awaits_names(&self) -> Result<bool, Error> {
        let is_awaited = |stream: &StreamView| {
            let somebody = !stream.known_peers.is_empty() || !stream.sources.is_empty();
            stream.followed && stream.name.is_empty() && somebody
        };
        Ok(self.streams().await?.iter().any(is_awaited))
    }
}
