//! Observations are published.

use bytes::Bytes;
use http::Method;

use super::address::{address, stream_path};
use super::{Client, Error, NDJSON, parse, read_whole};
use crate::query::Publishing;
use crate::types::Published;

/// The header that names a request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl Client {
    /// Appends observations, one JSON object `{time?, value}` a line.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn publish(
        &self,
        name: &str,
        ndjson: Bytes,
        how: Publishing,
    ) -> Result<Published, Error> {
        let path = address(&stream_path(name, "/observations"), &how)?;
        let answer = self
            .request(Method::POST, &path, Some((NDJSON, ndjson)))
            .await?;
        parse(&read_whole(answer).await?)
    }

    /// As [`Client::publish`], under a name of this request: sent again with the
    /// same name it is answered, and not done again.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn publish_once(
        &self,
        name: &str,
        ndjson: Bytes,
        how: Publishing,
        key: &str,
    ) -> Result<Published, Error> {
        let path = address(&stream_path(name, "/observations"), &how)?;
        let mut request = self.head_of(Method::POST, &path);
        request = request.header(IDEMPOTENCY_KEY, key);
        let answer = self.send_whole(request, Some((NDJSON, ndjson))).await?;
        parse(&read_whole(answer).await?)
    }
}
