//! The stream that is published to, and what it has already.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use futures::TryStreamExt;
use headwater_client::data_dir::quoted;
use headwater_client::invite;
use headwater_client::times::{self, Moment};
use headwater_client::types::{RoleView, StreamView};
use headwater_client::{Error, Observation, Query};
use headwater_protocols::engine::CommandError;
use headwater_protocols::id::LogId;

use super::output::printable;
use crate::api::{did_you_mean, similar};
use crate::client::Client;
use crate::import::rows::Row;
use crate::import::time_order::TimeOrder;
use crate::import::value::{Taken, ValueRules};
use crate::runtime::wall_time;

/// The stream that is published to.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) client: &'a Client,
    pub(crate) id: String,
    /// The first record that is kept.
    pub(crate) begin: u64,
    pub(crate) size: u64,
    pub(crate) rules: ValueRules,
    /// What it asks of times, if they never go back.
    pub(crate) order: Option<TimeOrder>,
    /// Times far ahead of now are meant.
    pub(crate) far_ahead: bool,
}

impl<'a> Target<'a> {
    pub(super) async fn find(
        client: &'a Client,
        name: &str,
        far_ahead: bool,
    ) -> anyhow::Result<Self> {
        match client.own_stream(name).await {
            Ok(stream) => Self::of(client, stream, far_ahead),
            Err(error) => Err(unknown(client, name, error).await),
        }
    }

    fn of(client: &'a Client, stream: StreamView, far_ahead: bool) -> anyhow::Result<Self> {
        if stream.role != RoleView::Publisher {
            bail!(
                "stream {} belongs to another publisher; only its owner can publish to it",
                stream.id
            );
        }
        // Before anything is read or waited for: a pipe may bring its first row tomorrow.
        require_no_end(&stream)?;
        let rules = ValueRules::of(&stream);
        let rules = rules.with_context(|| format!("stream {} has no manifest yet", stream.id))?;
        Ok(Self {
            client,
            order: TimeOrder::of(&stream, far_ahead, wall_time()),
            far_ahead,
            id: stream.id,
            begin: stream.begin,
            size: stream.size,
            rules,
        })
    }

    /// Whether the stream has this size or more, and this row before it.
    ///
    /// # Errors
    /// The node is lost.
    pub(crate) async fn has(&self, size: u64, last: &Row) -> anyhow::Result<bool> {
        let stream = self.client.stream(&self.id).await?;
        Ok(stream.size >= size && self.stored(size - 1).await? == *last)
    }

    /// The row that is stored at this index.
    ///
    /// # Errors
    /// There is none, or the node is lost.
    pub(crate) async fn stored(&self, index: u64) -> anyhow::Result<Row> {
        let query = Query {
            from: Some(index.to_string()),
            to: Some((index + 1).to_string()),
            ..Query::default()
        };
        let first = self.first_of(&query).await?;
        let (found, row) =
            first.with_context(|| format!("stream {} has no record {index}", self.id))?;
        ensure!(
            found == index,
            "the node sent record {found} instead of {index}"
        );
        Ok(row)
    }

    /// The first record that answers, and where it is.
    ///
    /// # Errors
    /// The node is lost, or refuses the question.
    pub(crate) async fn first_of(&self, query: &Query) -> anyhow::Result<Option<(u64, Row)>> {
        let records = self.client.records(&self.id, query).await?;
        let record = std::pin::pin!(records).try_next().await?;
        record
            .map(|record| Ok((record.index, self.row_of(&record)?)))
            .transpose()
    }

    /// The row that a record was.
    ///
    /// # Errors
    /// The node sent something that this stream cannot have.
    pub(crate) fn row_of(&self, record: &Observation) -> anyhow::Result<Row> {
        let time = times::exact(&record.time.to_string())?;
        let value = match self.rules.rows() {
            Some(rows) => rows.as_signed(&record.value).map(Taken::plain),
            None => self.rules.of_json(&record.value),
        };
        Ok(Row::new(
            Moment::exact(time),
            value.map_err(anyhow::Error::msg)?,
        ))
    }
}

/// Refuses a stream to which nothing can be published any more, in the words with which
/// its node would refuse a record.
fn require_no_end(stream: &StreamView) -> anyhow::Result<()> {
    let for_good = (stream.stopped.as_ref()).filter(|_| stream.stopped_since.is_none());
    if let Some(why) = for_good {
        return Err(CommandError::StoppedForGood(why.clone()).into());
    }
    if !stream.closed {
        return Ok(());
    }
    let log = stream.id.parse()?;
    let successor = stream.successor.as_ref().map(|id| id.parse());
    let successor = successor.transpose()?;
    Err(CommandError::Ended { log, successor }.into())
}

/// Of a name that no stream has, one was meant that this node publishes, or a
/// new one.
async fn unknown(client: &Client, name: &str, error: Error) -> anyhow::Error {
    let is_name = name.parse::<LogId>().is_err() && !name.starts_with(invite::SCHEME);
    if !is_name || error.status() != Some(404) {
        return error.into();
    }
    let streams = client.streams().await.unwrap_or_default();
    let own = (streams.iter()).filter(|stream| stream.role == RoleView::Publisher);
    let similar = similar(name, own.map(|stream| stream.name.as_str()));
    let meant = match did_you_mean(&similar) {
        none if none.is_empty() => ";".to_owned(),
        meant => meant,
    };
    anyhow::anyhow!(
        "this node has no stream with the name or id `{}`{meant} a new one is made with: \
         headwater stream create {}",
        printable(name),
        quoted(Path::new(name))
    )
}
