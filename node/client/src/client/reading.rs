//! Observations are read, and what is missing of them.

use futures::{Stream, TryStreamExt};
use http::Method;

use super::address::{address, stream_path};
use super::{ByteStream, Client, Error, Observation, bytes_of, observation};
use crate::query::{GapQuery, JoinQuery, Query};
use crate::times::Unit;
use crate::types::GapReport;

/// How many records are in none of the rows.
const LEFT_OUT: &str = "headwater-left-out";

impl Client {
    /// Observations, as they are read.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn observations(&self, name: &str, query: &Query) -> Result<ByteStream, Error> {
        Ok(self.thinned(name, query).await?.0)
    }

    /// The same; and how many records are in none of the rows of a query that has one for
    /// each span of time, because they are not what the manifest says.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn thinned(&self, name: &str, query: &Query) -> Result<(ByteStream, u64), Error> {
        let path = address(&stream_path(name, "/observations"), query)?;
        let answer = self.request(Method::GET, &path, None).await?;
        let left_out = answer.headers().get(LEFT_OUT);
        let left_out = left_out.and_then(|count| count.to_str().ok()?.parse().ok());
        Ok((bytes_of(answer), left_out.unwrap_or(0)))
    }

    /// Several streams as one table, as it is written.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn join(&self, query: &JoinQuery) -> Result<ByteStream, Error> {
        let path = address("/v1/join", query)?;
        let answer = self.request(Method::GET, &path, None).await?;
        Ok(bytes_of(answer))
    }

    /// The observations with these indexes, read one by one.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn records(
        &self,
        name: &str,
        query: &Query,
    ) -> Result<impl Stream<Item = Result<Observation, Error>> + use<>, Error> {
        let query = Query {
            format: Some("ndjson".to_owned()),
            ..query.clone()
        };
        Ok(observation::lines(self.observations(name, &query).await?))
    }

    /// The last observation of the greatest time that is not after this one
    /// (RFC 3339).
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn at_or_before(
        &self,
        name: &str,
        time: &str,
        unit: Option<Unit>,
    ) -> Result<Option<Observation>, Error> {
        let query = Query {
            at_or_before: Some(time.to_owned()),
            time_unit: unit,
            ..Query::default()
        };
        let mut found = std::pin::pin!(self.records(name, &query).await?);
        found.try_next().await
    }

    /// What is missing of a stream, what is there twice, and what came late.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn gaps(&self, name: &str, query: &GapQuery) -> Result<GapReport, Error> {
        self.get_by(&stream_path(name, "/gaps"), query).await
    }
}
