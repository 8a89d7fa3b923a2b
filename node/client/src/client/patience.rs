//! Waiting until a node that was lost is back.

use std::time::Duration;

use anyhow::Context;
use headwater_protocols::backoff::Backoff;
use tokio::time::{Instant, sleep, timeout};

use super::folder::{PROBE_TIMEOUT, RunningNode};
use super::lost::Lost;
use super::transport::Transport;
use super::{Client, Place};

/// Before a node that is away is looked for again.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(1));

/// How long a node may stay away, and who is told that it is waited for.
pub struct Patience<'a> {
    limit: Option<Duration>,
    tell: &'a dyn Fn(&str),
}

impl std::fmt::Debug for Patience<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patience")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<'a> Patience<'a> {
    /// As long as it takes, or so long.
    pub fn new(limit: Option<Duration>, tell: &'a dyn Fn(&str)) -> Self {
        Self { limit, tell }
    }

    /// Does something with the node until it comes about. When the node is lost
    /// on the way it is waited for, and the same is done again: it must be safe
    /// to do twice.
    ///
    /// # Errors
    /// It fails for another reason, or the node stays away for too long.
    pub async fn retry<T>(
        &self,
        client: &Client,
        mut work: impl AsyncFnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut absence = None;
        loop {
            match work().await {
                Ok(value) => {
                    if absence.is_some() {
                        self.is_back();
                    }
                    return Ok(value);
                }
                Err(error) if Lost::is_cause_of(&error) => {
                    let absence = absence.get_or_insert_with(Absence::begin);
                    self.wait(client, absence, error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits, after an error that [`Lost::is_cause_of`], until the node answers
    /// again. Says once that it waits.
    ///
    /// # Errors
    /// It stays away for too long; the error is the one that was given.
    pub async fn wait(
        &self,
        client: &Client,
        absence: &mut Absence,
        error: anyhow::Error,
    ) -> anyhow::Result<()> {
        if client.url().is_none() {
            // Nobody else starts a node that runs in this process.
            return Err(error);
        }
        if !std::mem::replace(&mut absence.said, true) {
            self.say_that_it_waits(&format!("{error:#}; waiting until it is back"));
        }
        loop {
            let over = self.limit.map(|limit| absence.since + limit);
            if over.is_some_and(|over| Instant::now() >= over) {
                return Err(error).context("the node stays away");
            }
            sleep(BACKOFF.next(&mut absence.looked)).await;
            if client.find_again().await {
                return Ok(());
            }
        }
    }

    /// Says for what is waited, if it is.
    pub fn say_that_it_waits(&self, what: &str) {
        if self.limit != Some(Duration::ZERO) {
            (self.tell)(what);
        }
    }

    /// Says that what was waited for goes on.
    pub fn is_back(&self) {
        (self.tell)("the node is back; going on");
    }
}

/// A node that is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Absence {
    since: Instant,
    /// How often it was looked for.
    looked: u32,
    said: bool,
}

impl Absence {
    /// It was lost just now.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            since: Instant::now(),
            looked: 0,
            said: false,
        }
    }
}

impl Client {
    /// Looks whether the node answers, and where: the address is read anew from
    /// the data folder, unless the user named it.
    async fn find_again(&self) -> bool {
        let Transport::Http(http) = &self.transport else {
            return true;
        };
        let Place::Folder(data_dir, elsewhere) = &self.place else {
            let answer = timeout(PROBE_TIMEOUT, self.peer_id());
            return answer.await.is_ok_and(|answer| answer.is_ok());
        };
        match RunningNode::find(data_dir, *elsewhere).await {
            Ok(Some(found)) => {
                http.move_to(found.url());
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::debug!("{error:#}");
                false
            }
        }
    }
}
