//! A program that uses a node's API, and knows what it was promised.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::TestNode;
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long an answer may take. A node that waits for its disk answers later
/// than one that works.
const ANSWER: Duration = Duration::from_secs(40);

/// How long it may take until a node that was launched answers.
const ANSWERS: Duration = Duration::from_secs(30);

/// Pause between two looks.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What came of a publish.
#[derive(Clone, Debug)]
pub(crate) enum Posted {
    /// The node says that the records are safe.
    Acknowledged { from: u64, to: u64 },
    /// The node says that they are not taken.
    Refused { status: u16, why: String },
    /// There was no answer: nobody knows.
    Unknown(String),
}

/// The API of a running node.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    /// Of a node, as soon as it answers.
    pub(crate) async fn of(node: &TestNode) -> Result<Self> {
        let until = Instant::now() + ANSWERS;
        loop {
            let error = match Self::connect(node).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            if Instant::now() > until {
                return Err(error.context("the node does not answer"));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn connect(node: &TestNode) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER)
            .tcp_nodelay(true)
            .build()?;
        // A damaged one is whatever the node makes of it.
        let token = std::fs::read(node.dir().join("token")).unwrap_or_default();
        let token = String::from_utf8_lossy(&token).trim().to_owned();
        let base = node.url("")?;
        let client = Self { http, base, token };
        client.json("/v1/node").await?.context("no /v1/node")?;
        Ok(client)
    }

    /// `GET`: the status and the body.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String)> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        let status = answer.status().as_u16();
        // A body that breaks off is no answer.
        let body = answer.text().await.context("the answer breaks off")?;
        Ok((status, body))
    }

    /// `GET` of JSON; `None` for what is not there.
    pub(crate) async fn json(&self, path: &str) -> Result<Option<Value>> {
        let (status, body) = self.get(path).await?;
        if status == 404 {
            return Ok(None);
        }
        ensure!(status == 200, "GET {path}: {status}: {body}");
        let value = serde_json::from_str(&body);
        Ok(Some(value.with_context(|| format!("GET {path}: {body}"))?))
    }

    /// A stream; `None` if it is not known.
    pub(crate) async fn stream(&self, id: &str) -> Result<Option<Value>> {
        self.json(&format!("/v1/streams/{id}")).await
    }

    /// A stream that must be known.
    pub(crate) async fn known_stream(&self, id: &str) -> Result<Value> {
        let shown = self.stream(id).await?;
        shown.with_context(|| format!("the stream {id} is not known any more"))
    }

    /// The export of a stream as CSV.
    pub(crate) async fn export(&self, id: &str) -> Result<String> {
        let path = format!("/v1/streams/{id}/observations?format=csv");
        let (status, body) = self.get(&path).await?;
        ensure!(status == 200, "the export of {id}: {status}: {body}");
        Ok(body)
    }

    /// Streams whose publishers are known to have signed two histories.
    pub(crate) async fn no_evidence(&self) -> Result<()> {
        let evidence = self.json("/v1/evidence").await?.context("no evidence")?;
        ensure!(
            evidence.as_array().is_some_and(Vec::is_empty),
            "two histories were signed: {evidence}"
        );
        Ok(())
    }

    /// The node's peer id.
    pub(crate) async fn peer_id(&self) -> Result<String> {
        let node = self.json("/v1/node").await?.context("no /v1/node")?;
        Ok(node["peer_id"].as_str().context("no peer id")?.to_owned())
    }

    /// What the node says is wrong with it, if it says so.
    pub(crate) async fn troubles(&self) -> Result<Option<String>> {
        let node = self.json("/v1/node").await?.context("no /v1/node")?;
        let troubles = &node["troubles"];
        let said = troubles.as_array().is_some_and(|all| !all.is_empty());
        Ok(said.then(|| troubles.to_string()))
    }

    /// The status of `GET /health`.
    pub(crate) async fn health(&self) -> Result<u16> {
        Ok(self.get("/health").await?.0)
    }

    /// Publishes values, which name their request if they have a key.
    pub(crate) async fn post(&self, id: &str, values: &[u64], key: Option<&str>) -> Posted {
        let rows = values
            .iter()
            .map(|value| format!("{{\"value\":{value}}}\n"));
        self.post_lines(id, rows.collect(), key).await
    }

    /// Publishes observations, one JSON object a line.
    pub(crate) async fn post_lines(&self, id: &str, lines: String, key: Option<&str>) -> Posted {
        let url = format!("{}/v1/streams/{id}/observations", self.base);
        let mut request = self.http.post(url).bearer_auth(&self.token);
        request = request.header("content-type", "application/x-ndjson");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = match request.body(lines).send().await {
            Ok(answer) => answer,
            Err(error) => return Posted::Unknown(format!("{error:#}")),
        };
        let status = answer.status();
        let body = match answer.text().await {
            Ok(body) => body,
            Err(error) => return Posted::Unknown(format!("{error:#}")),
        };
        if !status.is_success() {
            let status = status.as_u16();
            return Posted::Refused { status, why: body };
        }
        let interval = serde_json::from_str::<Value>(&body).ok();
        let interval =
            interval.and_then(|said| Some((said["from"].as_u64()?, said["to"].as_u64()?)));
        match interval {
            Some((from, to)) => Posted::Acknowledged { from, to },
            None => Posted::Unknown(body),
        }
    }

    /// `DELETE` of a stream; whether it was done.
    pub(crate) async fn delete(&self, id: &str, own: bool) -> Result<bool> {
        let url = format!("{}/v1/streams/{id}?own={own}", self.base);
        let answer = self
            .http
            .delete(url)
            .bearer_auth(&self.token)
            .send()
            .await?;
        Ok(answer.status().is_success())
    }

    /// Waits until a stream is as wanted, at most so long; the stream then.
    pub(crate) async fn until(
        &self,
        id: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let until = Instant::now() + patience;
        loop {
            let last = match self.stream(id).await {
                Ok(Some(shown)) if wanted(&shown) => return Ok(shown),
                Ok(Some(shown)) => shown.to_string(),
                Ok(None) => "the stream is not known".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > until {
                let s = patience.as_secs();
                bail!("the stream did not become as wanted in {s} s; last: {last}");
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}
