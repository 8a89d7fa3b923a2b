//! A node's API.

use std::fs;

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::TestNode;
use crate::{LOOK_AGAIN, PATIENCE};

impl TestNode {
    /// A URL of the node's API.
    ///
    /// # Errors
    /// The node does not run.
    pub fn url(&self, path: &str) -> Result<String> {
        if let Some(api) = self.api {
            return Ok(format!("http://{api}{path}"));
        }
        let address = fs::read_to_string(self.dir().join("api.addr"))?;
        Ok(format!("http://{}{path}", address.trim()))
    }

    /// The token of the node's API.
    ///
    /// # Errors
    /// There is none.
    pub fn token(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir().join("token"))?
            .trim()
            .to_owned())
    }

    /// `GET` of the node's API, which must succeed.
    ///
    /// # Errors
    /// It fails.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let url = self.url(path)?;
        let request = async move {
            let answer = reqwest::get(url).await?;
            let status = answer.status();
            let body = answer.text().await?;
            ensure!(status.is_success(), "GET {path}: {status}: {body}");
            Ok(serde_json::from_str(&body)?)
        };
        self.ask(request).await
    }

    /// Publishes observations, one JSON object a line, over the node's API.
    ///
    /// # Errors
    /// It is refused.
    pub async fn append(&self, stream: &str, ndjson: impl Into<String>) -> Result<Value> {
        let url = self.url(&format!("/v1/streams/{stream}/observations"))?;
        let (token, ndjson) = (self.token()?, ndjson.into());
        let request = async move {
            let request = reqwest::Client::new().post(url).bearer_auth(token);
            let request = request.header("content-type", "application/x-ndjson");
            let answer = request.body(ndjson).send().await?;
            let status = answer.status();
            let body = answer.text().await?;
            ensure!(status.is_success(), "POST to {stream}: {status}: {body}");
            Ok(serde_json::from_str(&body)?)
        };
        self.ask(request).await
    }

    /// Waits until the stream, as `GET /v1/streams/{id}` shows it, is as wanted.
    ///
    /// # Errors
    /// It does not become so within the patience of a test.
    pub async fn until(&self, stream: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.until_get(&format!("/v1/streams/{stream}"), wanted)
            .await
    }

    /// Waits until `GET` of this path of the node's API is as wanted.
    ///
    /// # Errors
    /// It does not become so within the patience of a test.
    pub async fn until_get(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            let last = match self.get(path).await {
                Ok(shown) if wanted(&shown) => return Ok(shown),
                Ok(shown) => shown.to_string(),
                Err(error) => format!("{error:#}"),
            };
            if started.elapsed() > PATIENCE {
                bail!("never became as wanted; last: {last}\nlog: {}", self.log());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the stream has `size` records and all are held, verified and
    /// fsynced.
    ///
    /// # Errors
    /// It does not within the patience of a test.
    pub async fn until_synced(&self, stream: &str, size: u64) -> Result<Value> {
        let wanted = |shown: &Value| shown["size"] == size && shown["synced"] == true;
        self.until(stream, wanted).await
    }
}
