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
mod evidence;
mod fetch;
mod gaps;
mod grown;
mod head;
mod join;
pub mod limits;
mod line;
mod live;
mod live_places;
mod live_tail;
mod manifest_view;
mod new_name;
mod new_terms;
mod node_info;
mod observations;
mod openapi;
mod parts;
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
use axum::routing::{get, post, put};
use tower::ServiceBuilder;

pub use accepted::{Accepted, Accepting, Peer};
pub use date::keep_date;
pub use problem::ApiError;
pub use resolve::{Candidates, Meaning, Names, Unresolved, did_you_mean, similar};
pub use state::ApiState;
pub use view::{StreamBytes, invite_to, peer_view, stream_view};

use entrance::Entrance;
use limits::{MAX_BODY_BYTES, MAX_OBSERVATIONS_BODY_BYTES};

/// Every route of the API. A request without a socket behind it must name a
/// loopback host, as in `http://localhost/v1/node`.
pub fn router(state: ApiState) -> Router {
    // What is published is answered in a few words, and often.
    let observations = get(observations::read)
        .layer(compression::layer())
        .post(publish::publish)
        .layer(DefaultBodyLimit::max(MAX_OBSERVATIONS_BODY_BYTES));
    Router::new()
        .route("/", get(dashboard::show))
        .route("/open/{link}", get(dashboard::open))
        .route("/v1/links", post(dashboard::link))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .route("/health", get(node_info::health))
        .route("/ready", get(node_info::ready))
        .route("/v1/node", get(node_info::node))
        .route("/v1/peers", get(node_info::peers))
        .route("/v1/discover", get(discover::discover))
        .route("/v1/evidence", get(evidence::list))
        .route("/v1/evidence/{stream}", get(evidence::show))
        .route("/v1/chunks/{address}", get(retrieve::chunk))
        .route("/v1/join", get(join::read))
        .route("/v1/streams", get(streams::list).post(creation::create))
        .route(
            "/v1/streams/{id}",
            get(streams::show).delete(deletion::delete),
        )
        .route(
            "/v1/streams/{id}/subscription",
            put(streams::follow).delete(streams::unfollow),
        )
        .route(
            "/v1/streams/{id}/peers",
            get(streams::peers).post(streams::add_peers),
        )
        .route("/v1/streams/{id}/fetch", post(fetch::fetch))
        .route(
            "/v1/streams/{id}/scrub",
            get(scrub::show).post(scrub::begin),
        )
        .route("/v1/streams/{id}/reopen", post(streams::reopen))
        // For scripts of before it is another name of `reopen`, too.
        .route("/v1/streams/{id}/recovery", post(streams::recover))
        .route("/v1/streams/{id}/live", get(live::live))
        .route("/v1/streams/{id}/gaps", get(gaps::gaps))
        .route("/v1/streams/{id}/close", post(streams::close))
        .route("/v1/streams/{id}/head", get(proofs::head))
        .route("/v1/streams/{id}/checkpoint", get(proofs::checkpoint))
        .route("/v1/streams/{id}/heads", get(proofs::heads))
        .route("/v1/streams/{id}/proof/{index}", get(proofs::inclusion))
        .route("/v1/streams/{id}/consistency", get(proofs::consistency))
        .route("/v1/streams/{id}/export-proof", get(proofs::export))
        .route("/v1/unsigned", get(unsigned::list))
        .route(
            "/v1/unsigned/{name}",
            get(unsigned::show)
                .put(unsigned::import)
                .delete(unsigned::delete),
        )
        .route(
            "/v1/unsigned/{name}/observations",
            get(unsigned::observations),
        )
        .route("/v1/unsigned/{name}/walk", post(unsigned::walk))
        .fallback(problem::not_found)
        .layer(
            ServiceBuilder::new()
                .layer(compression::layer())
                .layer(DefaultBodyLimit::max(MAX_BODY_BYTES)),
        )
        .route("/v1/streams/{id}/observations", observations)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(Entrance(state.clone()))
        .with_state(state)
}
