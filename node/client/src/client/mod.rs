//! The client: what a program asks of a node, and hears from it.

mod address;
mod error;
mod folder;
mod live;
mod lost;
mod naming;
mod observation;
mod patience;
mod problem;
mod proofs;
mod publishing;
mod reading;
mod sse;
mod transport;
mod unsigned;
mod url;

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::request::Builder;
use http::{HeaderValue, Method, header};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{Error, UrlError};
pub use folder::{Elsewhere, RunningNode};
pub use lost::Lost;
pub use observation::{Observation, TimeText};
pub use patience::{Absence, Patience, Search};
pub use problem::ApiError;
pub use sse::{Event, EventError, EventReader};
pub use transport::{Answer, Body, InProcess, Request};
pub use url::TOKEN_VARIABLE;

use crate::data_dir::DataDir;
use crate::keys::Token;
use crate::query::{CreateQuery, DeleteQuery, DiscoverQuery, FetchQuery, ListQuery, ShowQuery};
use crate::types::{
    Close, CreatedStream, DashboardLink, DeletedStream, DiscoveryView, FetchView, Health,
    NewStream, NodeView, PeerView, Recover, Reopen, ScrubView, StreamPeerView, StreamView,
    Subscription,
};
use address::{address, stream_path};
use transport::Transport;

/// Bytes of an answer that is read whole, at most: a list of 10,000 streams
/// with their holes.
const MAX_ANSWER_BYTES: usize = 256 << 20;

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A node, as its user sees it.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    token: Option<Token>,
    place: Place,
}

/// Where a node is looked for that was lost.
#[derive(Debug)]
enum Place {
    /// Where it was: the user named it by its URL, or it runs in this process.
    Named,
    /// Where its data folder says, or where else it may be.
    Folder(DataDir, Elsewhere),
}

/// Bytes as they come.
pub type ByteStream = BoxStream<'static, Result<Bytes, Error>>;

impl Client {
    fn new(transport: Transport, place: Place) -> Self {
        Self {
            transport,
            token: None,
            place,
        }
    }

    /// To the API of a node that runs in this process.
    pub fn in_process(api: impl InProcess + 'static) -> Self {
        Self::new(Transport::InProcess(Box::new(api)), Place::Named)
    }

    /// With what the node asks its callers for: everybody who writes, and where it
    /// is told so whoever reads, too.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Where the API listens: scheme, host and port. `None` when the node runs in
    /// this process.
    #[must_use]
    pub fn url(&self) -> Option<Arc<str>> {
        match &self.transport {
            Transport::Http(http) => Some(http.base()),
            Transport::InProcess(_) => None,
        }
    }

    /// Sends a request and returns the answer when it is a success.
    ///
    /// # Errors
    /// No node answers ([`Error::Lost`]), it refuses ([`Error::Refused`]), or what
    /// answers is none ([`Error::NotUnderstood`]).
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(HeaderValue, Bytes)>,
    ) -> Result<Answer, Error> {
        self.send_whole(self.head_of(method, path), body).await
    }

    /// The head of a request.
    fn head_of(&self, method: Method, path: &str) -> Builder {
        let request = http::Request::builder().method(method).uri(path);
        match &self.token {
            Some(token) => {
                let token = format!("Bearer {}", token.secret());
                request.header(header::AUTHORIZATION, token)
            }
            None => request,
        }
    }

    async fn send_whole(
        &self,
        mut request: Builder,
        body: Option<(HeaderValue, Bytes)>,
    ) -> Result<Answer, Error> {
        let body = match body {
            Some((kind, bytes)) => {
                request = request.header(header::CONTENT_TYPE, kind);
                bytes
            }
            None => Bytes::new(),
        };
        let request = request.body(body).map_err(|why| Error::request(&why))?;
        let answer = self.transport.send(request).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        Err(ApiError::from_answer(status, &read_whole(answer).await?).into())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        parse(&read_whole(self.request(Method::GET, path, None).await?).await?)
    }

    async fn get_by<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, Error> {
        self.get(&address(path, query)?).await
    }

    async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<Bytes, Error> {
        let body = serde_json::to_vec(body).map_err(|why| Error::Request(why.to_string()))?;
        read_whole(
            self.request(method, path, Some((JSON, body.into())))
                .await?,
        )
        .await
    }

    /// The node itself.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn node(&self) -> Result<NodeView, Error> {
        self.get("/v1/node").await
    }

    /// Its peer id, which it tells everybody who may call it.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn peer_id(&self) -> Result<String, Error> {
        let request = http::Request::get("/health").body(Bytes::new());
        let request = request.map_err(|why| Error::request(&why))?;
        let answer = self.transport.send(request).await?;
        let status = answer.status();
        let body = read_whole(answer).await?;
        // A node that cannot do its work says so there, and who it is all the same.
        let health: Health = match parse(&body) {
            Ok(health) => health,
            Err(_) => return Err(ApiError::from_answer(status, &body).into()),
        };
        if !health.peer_id.is_empty() {
            return Ok(health.peer_id);
        }
        // A version that does not say it there.
        Ok(self.node().await?.peer_id)
    }

    /// A link that opens its dashboard once.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn dashboard_link(&self) -> Result<DashboardLink, Error> {
        let answer = self.request(Method::POST, "/v1/links", None).await?;
        parse(&read_whole(answer).await?)
    }

    /// The peers that it is connected to.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn peers(&self) -> Result<Vec<PeerView>, Error> {
        self.get("/v1/peers").await
    }

    /// The peers of a stream, its publisher first.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn stream_peers(&self, name: &str) -> Result<Vec<StreamPeerView>, Error> {
        let id = self.stream(name).await?.id;
        self.get(&format!("/v1/streams/{id}/peers")).await
    }

    /// The streams that it knows.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn streams(&self) -> Result<Vec<StreamView>, Error> {
        self.get("/v1/streams").await
    }

    /// The same, with what each takes on the disk.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn streams_on_disk(&self) -> Result<Vec<StreamView>, Error> {
        self.get_by("/v1/streams", &ListQuery { disk: true }).await
    }

    /// Searches the public streams that connected peers know.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn discover(&self, text: &str) -> Result<DiscoveryView, Error> {
        let query = DiscoverQuery { q: text.to_owned() };
        self.get_by("/v1/discover", &query).await
    }

    /// One of the node's own, if any is named so.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn own_stream(&self, name: &str) -> Result<StreamView, Error> {
        let query = ShowQuery { own: true };
        self.get_by(&stream_path(name, ""), &query).await
    }

    /// Creates a stream; or names the one that has the name already and is as this
    /// one would be.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn create(
        &self,
        stream: &NewStream,
        if_not_exists: bool,
    ) -> Result<CreatedStream, Error> {
        let path = address("/v1/streams", &CreateQuery { if_not_exists })?;
        parse(&self.send(Method::POST, &path, stream).await?)
    }

    /// Keeps a stream in step with its publisher.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn follow(&self, name: &str, how: &Subscription) -> Result<StreamView, Error> {
        let path = stream_path(name, "/subscription");
        parse(&self.send(Method::PUT, &path, how).await?)
    }

    /// Has some records fetched before all others; which these are.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn fetch(&self, name: &str, query: &FetchQuery) -> Result<FetchView, Error> {
        let path = address(&stream_path(name, "/fetch"), query)?;
        let answer = self.request(Method::POST, &path, None).await?;
        parse(&read_whole(answer).await?)
    }

    /// Has all that is held of a stream read and hashed.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn begin_scrub(&self, name: &str) -> Result<ScrubView, Error> {
        let path = stream_path(name, "/scrub");
        let answer = self.request(Method::POST, &path, None).await?;
        parse(&read_whole(answer).await?)
    }

    /// How far that has come.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn scrub(&self, name: &str) -> Result<ScrubView, Error> {
        self.get(&stream_path(name, "/scrub")).await
    }

    /// Stops that.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn unfollow(&self, name: &str) -> Result<StreamView, Error> {
        let path = stream_path(name, "/subscription");
        let answer = self.request(Method::DELETE, &path, None).await?;
        parse(&read_whole(answer).await?)
    }

    /// Forgets a stream and deletes what is held of it; one that the node
    /// publishes only if `own`.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn delete(&self, name: &str, own: bool) -> Result<DeletedStream, Error> {
        let path = address(&stream_path(name, ""), &DeleteQuery { own })?;
        let answer = self.request(Method::DELETE, &path, None).await?;
        parse(&read_whole(answer).await?)
    }

    /// Has peers asked what they know of a stream of the node's own, or opens it
    /// at once.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn reopen(&self, name: &str, how: &Reopen) -> Result<(), Error> {
        let path = stream_path(name, "/reopen");
        self.send(Method::POST, &path, how).await.map(drop)
    }

    /// Closes a stream of the node's own for good.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn close_stream(&self, name: &str, how: &Close) -> Result<StreamView, Error> {
        let path = stream_path(name, "/close");
        parse(&self.send(Method::POST, &path, how).await?)
    }

    /// Ends a stream in the word of its recovery key.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn recover(&self, name: &str, how: &Recover) -> Result<StreamView, Error> {
        let path = stream_path(name, "/recovery");
        parse(&self.send(Method::POST, &path, how).await?)
    }
}

async fn read_whole(answer: Answer) -> Result<Bytes, Error> {
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES);
    let body = body.collect().await;
    let body = body.map_err(|error| Lost::cut_off(error.as_ref()))?;
    Ok(body.to_bytes())
}

fn bytes_of(answer: Answer) -> ByteStream {
    let bytes = answer.into_body().into_data_stream();
    bytes
        .map(|piece| piece.map_err(|error| Lost::cut_off(error.as_ref()).into()))
        .boxed()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    read_json(
        body,
        "the node's answer is not the expected JSON; it may be of another version than this command",
    )
}

/// Reads JSON that a node has sent; `what` says that it is not what it should be.
fn read_json<T: DeserializeOwned>(json: &[u8], what: &'static str) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|cause| {
        let cause = cause.to_string();
        Error::NotUnderstood { what, cause }
    })
}
