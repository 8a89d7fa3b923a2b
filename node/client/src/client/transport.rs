//! The two ways to the API: over HTTP to a node that runs, or straight into the
//! API of one that runs in this process.

use std::error;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Uri;
use http::uri::PathAndQuery;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use super::Error;
use super::lost::{Lost, root_cause};

/// How long a running node may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request, whose URI has a path only.
pub type Request = http::Request<Bytes>;

/// An answer, whose body comes as it is read.
pub type Answer = http::Response<Body>;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn error::Error + Send + Sync>>;

/// The API of a node that runs in this process, or what stands for one in the tests
/// of a program:
///
/// ```
/// use futures::future::{BoxFuture, FutureExt};
/// use headwater_client::{Answer, Client, InProcess, Request};
/// use http_body_util::{BodyExt, Full};
///
/// /// A node that knows no streams.
/// #[derive(Debug)]
/// struct Empty;
///
/// impl InProcess for Empty {
///     fn answer(&self, request: Request) -> BoxFuture<'static, Answer> {
///         assert_eq!(request.uri(), "/v1/streams");
///         let body = Full::from("[]").map_err(Into::into).boxed_unsync();
///         async { Answer::new(body) }.boxed()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), headwater_client::Error> {
/// let node = Client::in_process(Empty);
/// assert!(node.streams().await?.is_empty());
/// # Ok(())
/// # }
/// ```
pub trait InProcess: Debug + Send + Sync {
    /// Answers a request.
    fn answer(&self, request: Request) -> BoxFuture<'static, Answer>;
}

/// How requests reach the API.
#[derive(Debug)]
pub(super) enum Transport {
    Http(Http),
    InProcess(Box<dyn InProcess>),
}

/// A node that runs in another process.
#[derive(Debug)]
pub(super) struct Http {
    http: reqwest::Client,
    /// Scheme, host and port; they change when the node is started anew.
    base: RwLock<Arc<str>>,
}

impl Transport {
    /// Sends a request.
    ///
    /// # Errors
    /// No node answers.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, Error> {
        match self {
            Self::Http(http) => http.send(request).await,
            Self::InProcess(node) => Ok(node.answer(request).await),
        }
    }
}

impl Http {
    /// To the node at this address.
    ///
    /// # Errors
    /// The system has no room for a client.
    pub(super) fn new(base: String) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            // A proxy in the environment is not for the loopback.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| Error::SetUp(root_cause(&error).to_string()))?;
        let base = RwLock::new(base.into());
        Ok(Self { http, base })
    }

    pub(super) fn base(&self) -> Arc<str> {
        let base = self.base.read().unwrap_or_else(PoisonError::into_inner);
        base.clone()
    }

    /// The node is there from now on.
    pub(super) fn move_to(&self, base: Arc<str>) {
        *self.base.write().unwrap_or_else(PoisonError::into_inner) = base;
    }

    async fn send(&self, mut request: Request) -> Result<Answer, Error> {
        let path = (request.uri().path_and_query()).map_or("/", PathAndQuery::as_str);
        let base = self.base();
        let not_written = |why: &dyn error::Error| Error::Request(root_cause(why).to_string());
        let uri: Result<Uri, _> = format!("{base}{path}").parse();
        *request.uri_mut() = uri.map_err(|error| not_written(&error))?;
        let request = reqwest::Request::try_from(request).map_err(|error| not_written(&error))?;
        let answer = self.http.execute(request).await.map_err(|error| {
            let (base, cause) = (base.to_string(), root_cause(&error).to_string());
            match error.is_connect() {
                true => Lost::Absent { base, cause },
                false => Lost::Unanswered { base, cause },
            }
        })?;
        let answer = http::Response::<reqwest::Body>::from(answer);
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}
