//! Observations are read, and what is missing of them.

use futures::{Stream, TryStreamExt};
use http::Method;

use super::query::{put_range, put_unit};
use super::{
    ByteStream, Client, Error, GapQuery, JoinQuery, Observation, Query, bytes_of, encode,
    observation, stream_path,
};
use crate::times::Unit;
use crate::types::GapReport;

impl Client {
    /// Observations, as they are read.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn observations(&self, name: &str, query: &Query) -> Result<ByteStream, Error> {
        let mut path = stream_path(name, &format!("/observations?format={}", query.format));
        put_range(&mut path, &query.from, &query.to, query.time_unit);
        if let Some(time) = &query.at_or_before {
            path.push_str(&format!("&at_or_before={}", encode(time)));
        }
        if let Some(limit) = query.limit {
            path.push_str(&format!("&limit={limit}"));
        }
        if query.with_proof {
            path.push_str("&with_proof=true");
        }
        if let Some(columns) = &query.columns {
            path.push_str(&format!("&columns={}", encode(columns)));
        }
        let answer = self.request(Method::GET, &path, None).await?;
        Ok(bytes_of(answer))
    }

    /// Several streams as one table, as it is written.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn join(&self, query: &JoinQuery) -> Result<ByteStream, Error> {
        let streams: Vec<_> = query.streams.iter().map(|id| encode(id)).collect();
        let mut path = format!(
            "/v1/join?format={}&streams={}",
            query.format,
            streams.join(",")
        );
        if let Some(on) = &query.on {
            path.push_str(&format!("&on={}", encode(on)));
        }
        put_range(&mut path, &query.from, &query.to, query.time_unit);
        for (key, value) in [
            ("every_us", query.every_us),
            ("tolerance_us", query.tolerance_us),
        ] {
            if let Some(value) = value {
                path.push_str(&format!("&{key}={value}"));
            }
        }
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
            format: "ndjson",
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
        let mut query = format!("format=ndjson&at_or_before={}", encode(time));
        put_unit(&mut query, unit);
        let path = stream_path(name, &format!("/observations?{query}"));
        let answer = self.request(Method::GET, &path, None).await?;
        let mut found = std::pin::pin!(observation::lines(bytes_of(answer)));
        found.try_next().await
    }

    /// What is missing of a stream, what is there twice, and what came late.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn gaps(&self, name: &str, query: &GapQuery) -> Result<GapReport, Error> {
        let mut path = stream_path(name, &format!("/gaps?limit={}", query.limit));
        put_range(&mut path, &query.from, &query.to, query.time_unit);
        if let Some(cadence_us) = query.cadence_us {
            path.push_str(&format!("&cadence_us={cadence_us}"));
        }
        self.get(&path).await
    }
}
