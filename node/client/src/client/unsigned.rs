//! Histories that nobody signed.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use headwater_protocols::time::Timestamp;
use http::Method;

use super::address::{address, encode};
use super::{
    ByteStream, Client, Error, NDJSON, bytes_of, observation, parse, read_json, read_whole,
};
use crate::query::{TextFormat, UnsignedQuery, WalkQuery};
use crate::times::text::to_text;
use crate::types::{UnsignedView, WalkNews};

impl Client {
    /// The histories that nobody signed.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn unsigned(&self) -> Result<Vec<UnsignedView>, Error> {
        self.get("/v1/unsigned").await
    }

    /// Keeps observations, one JSON object `{time, value}` a line, as one.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn import_unsigned(&self, name: &str, ndjson: Bytes) -> Result<UnsignedView, Error> {
        let body = Some((NDJSON, ndjson));
        let answer = self.request(Method::PUT, &path(name, ""), body).await?;
        parse(&read_whole(answer).await?)
    }

    /// Deletes one; what it was.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn delete_unsigned(&self, name: &str) -> Result<UnsignedView, Error> {
        let answer = self.request(Method::DELETE, &path(name, ""), None).await?;
        parse(&read_whole(answer).await?)
    }

    /// The observations of one, as they are read.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn unsigned_observations(
        &self,
        name: &str,
        format: TextFormat,
    ) -> Result<ByteStream, Error> {
        let query = UnsignedQuery {
            format: Some(format),
        };
        let path = address(&path(name, "/observations"), &query)?;
        Ok(bytes_of(self.request(Method::GET, &path, None).await?))
    }

    /// Takes one from peers, or goes on with it, while what comes is read.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn walk(
        &self,
        name: &str,
        before: Option<Timestamp>,
        deadline: Duration,
    ) -> Result<impl Stream<Item = Result<WalkNews, Error>> + use<>, Error> {
        let query = WalkQuery {
            before: before.map(to_text),
            time_unit: None,
            deadline_ms: Some(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)),
        };
        let path = address(&path(name, "/walk"), &query)?;
        let answer = self.request(Method::POST, &path, None).await?;
        Ok(observation::parsed_lines(bytes_of(answer), |line| {
            read_json(line, "the node sent something that is no progress")
        }))
    }
}

fn path(name: &str, rest: &str) -> String {
    format!("/v1/unsigned/{}{rest}", encode(name))
}
