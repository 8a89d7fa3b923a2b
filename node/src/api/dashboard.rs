//! The dashboard: the node and its streams on one page, which a browser gets
//! through a link that is good once.
//!
//! The page is one answer. Nothing of it comes from elsewhere, and its policy
//! names its own style and script by their hashes, so that nothing else runs.

use std::sync::LazyLock;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use data_encoding::BASE64;
use headwater_client::types::{DashboardLink, Problem};
use sha2::{Digest, Sha256};

use super::limits::LINK_LIFE;
use super::problem::ApiError;
use super::state::ApiState;

const STYLE: &str = include_str!("dashboard/style.css");
const SCRIPT: &str = include_str!("dashboard/script.js");
const HEAD: &str = include_str!("dashboard/head.html");
const PAGE: &str = include_str!("dashboard/page.html");
/// What stands before a link in its path.
pub(super) const LINKS: &str = "/open/";

const CLOSED: &str = include_str!("dashboard/closed.html");

/// `POST /v1/links`: for whoever has the token itself; a session makes no other.
#[utoipa::path(post, path = "/v1/links", tag = "node", summary = "A link that opens the dashboard once",
    security(("token" = [])),
    responses((status = 201, description = "The link", body = DashboardLink), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn link(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<DashboardLink>), ApiError> {
    let trust = state.trust();
    trust.check_token(&headers)?;
    let link = trust.sessions().new_link(Instant::now())?;
    let link = DashboardLink {
        path: format!("{LINKS}{link}"),
        expires_in_s: LINK_LIFE.as_secs(),
    };
    Ok((StatusCode::CREATED, Json(link)))
}

/// `GET /open/{link}`: opens a session and leads to the dashboard.
pub(super) async fn open(
    State(state): State<ApiState>,
    link: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Path(link) = link?;
    let ahead = [
        HeaderName::from_static("sec-purpose"),
        HeaderName::from_static("purpose"),
    ];
    // Whoever only looks ahead must not use it up.
    if method != Method::GET || ahead.iter().any(|name| headers.contains_key(name)) {
        let detail = "a link is opened by a GET, and not ahead of time";
        return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
    }
    let trust = state.trust();
    let Some(secret) = trust.sessions().open(&link, Instant::now())? else {
        return Ok(page(StatusCode::FORBIDDEN, &CLOSED_PAGE));
    };
    let cookie = HeaderValue::try_from(trust.sessions().set_cookie(&secret));
    let cookie = cookie.map_err(|_| ApiError::internal("the cookie cannot be written"))?;
    let headers = [
        (header::SET_COOKIE, cookie),
        (header::LOCATION, HeaderValue::from_static("/")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// `GET /`: the dashboard, or how to get to it.
pub(super) async fn show(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    match state.trust().sessions().is_open(&headers, Instant::now()) {
        true => page(StatusCode::OK, &OPEN_PAGE),
        false => page(StatusCode::OK, &CLOSED_PAGE),
    }
}

/// A page with what it may do.
struct Page {
    html: String,
    policy: String,
}

static OPEN_PAGE: LazyLock<Page> = LazyLock::new(|| Page::new(PAGE));
static CLOSED_PAGE: LazyLock<Page> = LazyLock::new(|| Page::new(CLOSED));

impl Page {
    fn new(body: &str) -> Self {
        let html = [HEAD, body].concat();
        let hash = |text: &str| BASE64.encode(&Sha256::digest(text.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        Self {
            html: html.replace("{STYLE}", STYLE).replace("{SCRIPT}", SCRIPT),
            policy,
        }
    }
}

fn page(status: StatusCode, page: &'static Page) -> Response {
    let mut response = (status, Html(page.html.as_str())).into_response();
    let headers = response.headers_mut();
    let own = [
        (header::CONTENT_SECURITY_POLICY, page.policy.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::VARY, "cookie"),
    ];
    for (name, value) in own {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}
