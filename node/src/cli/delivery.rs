//! Batches on their way into a stream: each is sent until it is known to be
//! stored, and is stored once, also when the node goes away and comes back
//! meanwhile.

use std::time::Duration;

use anyhow::Context;
use data_encoding::HEXLOWER;
use headwater_client::types::Published;
use headwater_client::{Absence, Error, Patience, Publishing};
use tokio::time::timeout;

use super::batch::{Batch, TIME_UNIT};
use super::of_node::{self, is_lost};
use super::others::Others;
use super::output::counted;
use super::signals::Signals;
use super::target::Target;

/// How long a batch that is on its way may still take when the user wants an
/// end.
const GRACE: Duration = Duration::from_secs(2);

/// How often a batch is sent to the end of a stream that others move meanwhile.
const ATTEMPTS: usize = 16;

/// The way into a stream.
pub(crate) struct Delivery<'a> {
    target: &'a Target<'a>,
    patience: Patience<'a>,
    signals: Signals,
    /// The size that the stream has, as long as nobody else publishes to it. A
    /// batch that says where it is to stand is not stored twice, and costs
    /// nothing; a name for each one costs one of the names that the node
    /// remembers.
    size: Option<u64>,
    /// What the names of batches begin with.
    name: String,
    named: u64,
    /// What others have published meanwhile.
    others: Others,
}

/// Why a batch was not delivered.
pub(crate) enum Undelivered {
    /// It failed, and was not stored as far as is known.
    Failed(anyhow::Error),
    /// The user wants an end; the batch was stored first, if it says so.
    Interrupted(Option<Published>),
}

impl From<anyhow::Error> for Undelivered {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl<'a> Delivery<'a> {
    /// Into this stream.
    ///
    /// # Errors
    /// The system has no random bytes, or no signals.
    pub(crate) fn new(target: &'a Target<'a>, patience: Patience<'a>) -> anyhow::Result<Self> {
        let mut name = [0; 16];
        getrandom::fill(&mut name)
            .map_err(|error| anyhow::anyhow!("the system has no random bytes: {error}"))?;
        Ok(Self {
            target,
            patience,
            signals: Signals::new()?,
            size: Some(target.size),
            name: HEXLOWER.encode(&name),
            named: 0,
            others: Others::default(),
        })
    }

    /// Waits until the user wants an end.
    pub(crate) async fn interrupted(&mut self) {
        self.signals.wait().await;
    }

    /// Appends a batch at the end of the stream, wherever that is.
    ///
    /// # Errors
    /// See [`Undelivered`].
    pub(crate) async fn append(&mut self, batch: &Batch) -> Result<Published, Undelivered> {
        let place = self.size;
        self.named += 1;
        let key = format!("{}-{}", self.name, self.named);
        let way = Way {
            target: self.target,
            patience: &self.patience,
        };
        let appending = async {
            if let Some(size) = place {
                match way.put_at(batch, size).await {
                    Err(error) if is_conflict(&error) && way.size().await? != size => {
                        tracing::debug!("somebody else publishes to the stream, too");
                    }
                    other => return other.map(|published| (published, true)),
                }
            }
            let published = way.put_once(batch, &key).await?;
            anyhow::Ok((published, false))
        };
        let (published, is_alone) = or_interrupted(appending, &mut self.signals).await?;
        self.size = is_alone.then_some(published.to);
        Ok(published)
    }

    /// The same, but only as long as nobody else publishes rows of the same
    /// files: what came between is looked at before the next attempt.
    ///
    /// # Errors
    /// See [`Undelivered`].
    pub(crate) async fn append_unless_there(
        &mut self,
        batch: &Batch,
    ) -> Result<Published, Undelivered> {
        self.named += 1;
        let key = format!("{}-{}", self.name, self.named);
        let (target, others) = (self.target, &mut self.others);
        let way = Way {
            target,
            patience: &self.patience,
        };
        let mut size = self.size.unwrap_or(target.size);
        let appending = async {
            others.ensure_none_in(batch)?;
            for _ in 0..ATTEMPTS {
                match way.put_at(batch, size).await {
                    Err(error) if is_conflict(&error) => {
                        let now = way.size().await?;
                        if now == size {
                            return Err(error);
                        }
                        others.add(target, size, now).await?;
                        others.ensure_none_in(batch)?;
                        size = now;
                    }
                    other => return other.map(|published| (published, true)),
                }
            }
            // Who publishes as fast as that is let by, and looked at behind it.
            let published = way.put_once(batch, &key).await?;
            let added = others.add(target, size, published.from).await;
            added
                .and_then(|()| others.ensure_none_in(batch))
                .with_context(|| {
                    let from = published.from;
                    format!("the last rows are in the stream, from index {from} on, all the same")
                })?;
            anyhow::Ok((published, true))
        };
        let (published, _) = or_interrupted(appending, &mut self.signals).await?;
        self.size = Some(published.to);
        Ok(published)
    }
}

/// Lets a batch arrive, also when the user wants an end, unless the node is away.
async fn or_interrupted(
    appending: impl Future<Output = anyhow::Result<(Published, bool)>>,
    signals: &mut Signals,
) -> Result<(Published, bool), Undelivered> {
    let mut appending = std::pin::pin!(appending);
    tokio::select! {
        done = &mut appending => return Ok(done?),
        () = signals.wait() => {}
    }
    match timeout(GRACE, appending).await {
        Ok(done) => Err(Undelivered::Interrupted(Some(done?.0))),
        Err(_) => Err(Undelivered::Interrupted(None)),
    }
}

/// What a batch needs on its way.
struct Way<'a> {
    target: &'a Target<'a>,
    patience: &'a Patience<'a>,
}

impl Way<'_> {
    async fn size(&self) -> anyhow::Result<u64> {
        let (client, id) = (self.target.client, &self.target.id);
        let stream = (self.patience).retry(client, async || client.stream(id).await);
        Ok(stream.await?.size)
    }

    /// Publishes a batch at the end of a stream of this size.
    async fn put_at(&self, batch: &Batch, size: u64) -> anyhow::Result<Published> {
        let to = size + batch.records as u64;
        let (client, id) = (self.target.client, &self.target.id);
        let how = Publishing {
            expect_size: Some(size),
            far_ahead: self.target.far_ahead,
            time_unit: Some(TIME_UNIT),
        };
        let send = async || client.publish(id, batch.ndjson.clone(), how).await;
        let find = async || {
            let is_there = self.target.has(to, &batch.last).await?;
            Ok(is_there.then_some(Published { from: size, to }))
        };
        self.put(send, find).await
    }

    /// Publishes a batch wherever the stream ends, under a name of its own.
    async fn put_once(&self, batch: &Batch, key: &str) -> anyhow::Result<Published> {
        let (client, id) = (self.target.client, &self.target.id);
        let how = Publishing {
            far_ahead: self.target.far_ahead,
            time_unit: Some(TIME_UNIT),
            ..Publishing::default()
        };
        let send = async || {
            client
                .publish_once(id, batch.ndjson.clone(), how, key)
                .await
        };
        self.put(send, async || Ok(None)).await
    }

    /// Sends until there is an answer. When one was lost on the way, what was
    /// sent may have come through without our hearing of it: `find` looks.
    async fn put(
        &self,
        send: impl AsyncFn() -> Result<Published, Error>,
        find: impl AsyncFn() -> anyhow::Result<Option<Published>>,
    ) -> anyhow::Result<Published> {
        let client = self.target.client;
        let mut absence: Option<Absence> = None;
        let mut not_open = NotOpen::default();
        loop {
            let mut error = match send().await {
                Ok(published) => {
                    absence.inspect(|_| self.patience.is_back());
                    return Ok(published);
                }
                Err(error) => anyhow::Error::from(error),
            };
            if absence.is_some() && !is_lost(&error) {
                match find().await {
                    Ok(Some(published)) => {
                        self.patience.is_back();
                        return Ok(published);
                    }
                    Ok(None) => match self.why_not_open(&error).await {
                        Some(why) => not_open.tell(self.patience, &why),
                        None => return Err(error),
                    },
                    Err(lost) if is_lost(&lost) => error = lost,
                    Err(_) => return Err(error),
                }
            } else if !is_lost(&error) {
                return Err(error);
            }
            let absence = absence.get_or_insert_with(Absence::begin);
            of_node::wait(self.patience, client, absence, error).await?;
        }
    }

    /// Why the stream was refused, if a node that has just come back still asks
    /// others what they know of it.
    async fn why_not_open(&self, error: &anyhow::Error) -> Option<String> {
        if !is_conflict(error) {
            return None;
        }
        let stream = self.target.client.stream(&self.target.id).await;
        Some(stream.ok()?.reopening?.why)
    }
}

/// What the user was told of a stream that is not open for writing.
#[derive(Default)]
struct NotOpen {
    cause: String,
}

impl NotOpen {
    /// Says why it is waited, and what ends that, once for each cause: who has
    /// answered so far changes all the time.
    fn tell(&mut self, patience: &Patience<'_>, why: &str) {
        let cause = why.split([';', '.']).next().unwrap_or_default();
        if self.cause == cause {
            return;
        }
        cause.clone_into(&mut self.cause);
        patience.say_that_it_waits(&format!(
            "the node is back, and the stream is not open for writing: {why}; waiting until it opens"
        ));
    }
}

fn is_conflict(error: &anyhow::Error) -> bool {
    of_node::is_status(error, 409)
}

/// What was published, for people.
pub(super) fn said(published: Published) -> String {
    let Published { from, to } = published;
    match to.saturating_sub(from) {
        0 => "nothing to publish".to_owned(),
        1 => format!("published, at index {from}"),
        records => format!(
            "published {}, at the indexes {from} to {}",
            counted(records, "record"),
            to - 1
        ),
    }
}

/// The user wants an end.
pub(super) fn interrupted() -> anyhow::Error {
    anyhow::anyhow!("interrupted")
}
