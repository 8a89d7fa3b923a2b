//! The two ways to the API: over loopback to the node that runs, or straight
//! into the same router of a node that runs in this process without a network.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Request, Response, Uri, header};
use bytes::Bytes;
use tower::ServiceExt;

use super::lost::Lost;
use crate::runtime::Running;

/// How long a running node may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How requests reach the API.
#[derive(Debug)]
pub(super) enum Transport {
    Http(Http),
    InProcess(Box<InProcess>),
}

/// A node that runs in another process.
#[derive(Debug)]
pub(super) struct Http {
    http: reqwest::Client,
    /// Scheme, host and port; they change when the node is started anew.
    base: RwLock<Arc<str>>,
}

/// A node that runs here, without a network.
#[derive(Debug)]
pub(super) struct InProcess {
    router: Router,
    running: Running,
}

impl Transport {
    /// Sends a request, whose URI has a path only.
    ///
    /// # Errors
    /// No node answers.
    pub(super) async fn send(&self, request: Request<Bytes>) -> anyhow::Result<Response<Body>> {
        match self {
            Self::Http(http) => http.send(request).await,
            Self::InProcess(node) => node.send(request).await,
        }
    }
}

impl Http {
    /// To the node at this address.
    ///
    /// # Errors
    /// The system has no room for a client.
    pub(super) fn new(base: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            // A proxy in the environment is not for the loopback.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .context("cannot set up an HTTP client")?;
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

    async fn send(&self, mut request: Request<Bytes>) -> anyhow::Result<Response<Body>> {
        let path = (request.uri().path_and_query()).map_or("/", PathAndQuery::as_str);
        let base = self.base();
        let not_a_url = || format!("`{base}` is not the URL of a node's API");
        let uri: Uri = format!("{base}{path}").parse().with_context(not_a_url)?;
        *request.uri_mut() = uri;
        let request = reqwest::Request::try_from(request).with_context(not_a_url)?;
        let answer = self.http.execute(request).await.map_err(|error| {
            let (base, cause) = (base.to_string(), root_cause(&error).to_string());
            match error.is_connect() {
                true => Lost::Absent { base, cause },
                false => Lost::Unanswered { base, cause },
            }
        })?;
        Ok(Response::<reqwest::Body>::from(answer).map(Body::new))
    }
}

impl InProcess {
    pub(super) fn new(router: Router, running: Running) -> Self {
        Self { router, running }
    }

    async fn send(&self, request: Request<Bytes>) -> anyhow::Result<Response<Body>> {
        let mut request = request.map(Body::from);
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().insert(header::HOST, host);
        match self.router.clone().oneshot(request).await {
            Ok(answer) => Ok(answer),
            Err(never) => match never {},
        }
    }

    /// Stops the node: everything is written when this returns.
    ///
    /// # Errors
    /// The engine failed.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        // The store is closed when nobody has it any more.
        drop(self.router);
        self.running.stop().await
    }
}

/// The innermost cause: the outer ones repeat the URL, or each other.
pub(super) fn root_cause(error: &dyn std::error::Error) -> &dyn std::error::Error {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
