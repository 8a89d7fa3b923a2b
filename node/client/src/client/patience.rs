//! Waiting until a node that was lost is back.

use std::time::Duration;

use headwater_protocols::backoff::Backoff;
use tokio::time::{Instant, sleep, timeout};

use super::folder::{PROBE_TIMEOUT, RunningNode};
use super::transport::Transport;
use super::{Client, Error, Place};

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
        mut work: impl AsyncFnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut absence = None;
        loop {
            match work().await {
                Ok(value) => {
                    if absence.is_some() {
                        self.is_back();
                    }
                    return Ok(value);
                }
                Err(error) if error.is_lost() => {
                    let absence = absence.get_or_insert_with(Absence::begin);
                    self.wait(client, absence, error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits, after an error that [is one of a lost node](Error::is_lost), until the
    /// node answers again. Says once that it waits.
    ///
    /// # Errors
    /// It stays away for too long ([`Error::StaysAway`]), or runs in this process: the
    /// error is the one that was given.
    pub async fn wait(
        &self,
        client: &Client,
        absence: &mut Absence,
        error: Error,
    ) -> Result<(), Error> {
        match self.look_for(client, absence, &error.to_string()).await {
            Search::Found => Ok(()),
            Search::InVain => Err(Error::StaysAway(Box::new(error))),
            Search::Hopeless => Err(error),
        }
    }

    /// The same for whoever has errors of another kind: `why` says in words that the
    /// node was lost.
    pub async fn look_for(&self, client: &Client, absence: &mut Absence, why: &str) -> Search {
        if client.url().is_none() {
            return Search::Hopeless;
        }
        if !std::mem::replace(&mut absence.said, true) {
            self.say_that_it_waits(&format!("{why}; waiting until it is back"));
        }
        loop {
            let over = self.limit.map(|limit| absence.since + limit);
            if over.is_some_and(|over| Instant::now() >= over) {
                return Search::InVain;
            }
            sleep(BACKOFF.next(&mut absence.looked)).await;
            if client.find_again().await {
                return Search::Found;
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

/// What came of looking for a node that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// It answers again.
    Found,
    /// It stays away for longer than there is patience.
    InVain,
    /// It runs in this process, and nobody else starts it.
    Hopeless,
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
                tracing::debug!("{error}");
                false
            }
        }
    }
}
