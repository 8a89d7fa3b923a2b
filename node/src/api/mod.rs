//! The local HTTP API: what users, scripts and the commands talk to.
//!
//! [`router`] needs no socket, so that a command on a stopped node calls it in
//! its own process. Every error is an RFC 9457 problem. [`auth`] tells who is
//! let in: writing needs a token, and reading too where the node is told so.

mod accept;
mod accepted;
mod asker;
pub mod auth;
mod body_room;
mod bounds;
mod browsers;
mod byte_range;
mod caller;
mod choice;
mod compression;
mod content_type;
mod creation;
mod crowd;
mod dashboard;
mod date;
mod deletion;
mod discover;
mod elsewhere;
mod entrance;
mod etag;
mod event_id;
mod evidence;
mod fetch;
mod gaps;
mod head;
mod join;
pub mod limits;
mod line;
mod live;
mod live_client;
mod live_places;
mod live_reader;
mod live_said;
mod live_tail;
mod manifest_view;
mod new_name;
mod new_terms;
mod node_info;
mod observations;
mod openapi;
mod parts;
mod peer;
mod places;
mod problem;
mod proofs;
mod publish;
mod ranks;
mod request_coding;
mod requests;
mod resolve;
mod retention;
mod retrieve;
mod scrub;
mod sessions;
mod socket;
mod spool;
mod state;
mod stream_body;
mod streams;
mod tarpit;
mod thinning;
mod token_file;
mod told;
mod unsigned;
mod view;
mod waiting;
mod whence;
mod work;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use tower::ServiceBuilder;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

pub use accepted::{Accepted, Accepting};
pub use date::keep_date;
pub use peer::Peer;
pub use problem::ApiError;
pub use resolve::{Candidates, Meaning, Names, Unresolved, did_you_mean, similar};
pub use state::ApiState;
pub use view::{StreamBytes, invite_to, peer_view, stream_view};

use entrance::Entrance;
use limits::{MAX_BODY_BYTES, MAX_OBSERVATIONS_BODY_BYTES};

/// Every route of the API. A request without a socket behind it must name a
/// loopback host, as in `http://localhost/v1/node`.
pub fn router(state: ApiState) -> Router {
    let (routes, _) = routes().split_for_parts();
    let (observations, _) = observations().split_for_parts();
    routes
        .route("/", get(dashboard::show))
        .route("/open/{link}", get(dashboard::open))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .fallback(problem::not_found)
        .layer(
            ServiceBuilder::new()
                .layer(compression::layer())
                .layer(DefaultBodyLimit::max(MAX_BODY_BYTES)),
        )
        .merge(observations)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(Entrance(state.clone()))
        .with_state(state)
}

/// The routes for programs, whose paths and methods each handler says: this is what
/// the description is made from, too.
fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(dashboard::link))
        .routes(routes!(node_info::health))
        .routes(routes!(node_info::ready))
        .routes(routes!(node_info::node))
        .routes(routes!(node_info::peers))
        .routes(routes!(discover::discover))
        .routes(routes!(evidence::list))
        .routes(routes!(evidence::show))
        .routes(routes!(retrieve::chunk))
        .routes(routes!(join::read))
        .routes(routes!(streams::list, creation::create))
        .routes(routes!(streams::show, deletion::delete))
        .routes(routes!(streams::follow, streams::unfollow))
        .routes(routes!(streams::peers, streams::add_peers))
        .routes(routes!(fetch::fetch))
        .routes(routes!(scrub::show, scrub::begin))
        .routes(routes!(streams::reopen))
        // For scripts of before it is another name of `reopen`, too.
        .routes(routes!(streams::recover))
        .routes(routes!(streams::close))
        .routes(routes!(live::live))
        .routes(routes!(gaps::gaps))
        .routes(routes!(proofs::head))
        .routes(routes!(proofs::checkpoint))
        .routes(routes!(proofs::heads))
        .routes(routes!(proofs::inclusion))
        .routes(routes!(proofs::consistency))
        .routes(routes!(proofs::export))
        .routes(routes!(unsigned::list))
        .routes(routes!(unsigned::show, unsigned::import, unsigned::delete))
        .routes(routes!(unsigned::observations))
        .routes(routes!(unsigned::walk))
}

/// The one route whose bodies are larger, and whose answers are compressed for those
/// alone who read: what is published is answered in a few words, and often.
fn observations() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(observations::read).layer(compression::layer()))
        .routes(routes!(publish::publish).layer(DefaultBodyLimit::max(MAX_OBSERVATIONS_BODY_BYTES)))
}

/// What is said of all routes, without what holds for the whole API.
fn described() -> utoipa::openapi::OpenApi {
    routes().merge(observations()).into_openapi()
}
