//! What a program needs to talk to a Headwater node, without being one: the types
//! of its HTTP API, and a client. Nothing here knows of a store or a swarm, and
//! nothing compiles C++.
//!
//! Begin with [`Client`]. [`Client::to_data_dir`] finds the node that runs on a
//! folder of this machine, and has its token; [`Client::to_url`] takes the URL of its
//! API, and [`Client::with_token`] the token. Then [`Client::streams`] lists what the
//! node knows, [`Client::records`] reads, [`Client::live`] follows,
//! [`Client::publish`] writes.
//!
//! ```no_run
//! use futures::TryStreamExt;
//! use headwater_client::{Client, Error, Query};
//!
//! # async fn first_five() -> Result<(), Error> {
//! let node = Client::to_url("http://127.0.0.1:8600")?;
//! let query = Query { limit: Some(5), ..Query::default() };
//! let mut first = std::pin::pin!(node.records("temperature", &query).await?);
//! while let Some(observation) = first.try_next().await? {
//!     println!("{}  {}", observation.time, observation.value);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/follow.rs` is a whole program. What goes wrong is an [`Error`]: what a node
//! refuses ([`Error::Refused`], with the status and the words of the answer), a node
//! that is away, or goes away ([`Error::Lost`], for which [`Patience`] waits), and what
//! no node is, or has:
//!
//! ```no_run
//! use headwater_client::data_dir::DataDir;
//! use headwater_client::{Client, Error};
//!
//! # async fn size() -> Result<u64, Error> {
//! let node = Client::to_data_dir(&DataDir::of_user()?).await?;
//! let size = match node.stream("temperature").await {
//!     Ok(stream) => stream.size,
//!     Err(Error::Refused(refused)) if refused.status() == 404 => 0,
//!     Err(error) => return Err(error),
//! };
//! # Ok(size)
//! # }
//! ```
//!
//! What a node says need not be believed: [`proof`] checks, with the id of a stream
//! alone, that a record is what its publisher has signed
//! ([`proof::ProofFileError`], where it is not).
//!
//! Without the feature `http`, which is on by default, there is no client: the types,
//! proofs and times alone, and nothing that opens a socket.

pub mod base64;
pub mod cell;
#[cfg(feature = "http")]
mod client;
pub mod data_dir;
pub mod invite;
pub mod json_value;
pub mod keys;
pub mod object;
pub mod proof;
pub mod query;
pub mod times;
pub mod types;

#[cfg(feature = "http")]
pub use client::{
    Absence, Answer, ApiError, Body, ByteStream, Client, Elsewhere, Error, Event, EventError,
    EventReader, InProcess, Lost, Observation, Patience, Request, RunningNode, Search,
    TOKEN_VARIABLE, TimeText, UrlError,
};
pub use query::{GapQuery, JoinQuery, Publishing, Query};
