//! What every handler needs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_protocols::engine::LogStatus;
use headwater_protocols::id::LogId;
use headwater_reading::{Records, Unreadable};
use tokio_util::sync::CancellationToken;

use super::auth::LocalTrust;
use super::body_room::BodyRooms;
use super::caller::Client;
use super::crowd::Crowd;
use super::limits::{MAX_API_CONNECTIONS, MAX_TARPIT, STALLED_LIVE};
use super::live_places::{LivePlace, LivePlaces};
use super::live_reader::FirstRows;
use super::live_tail::LiveTails;
use super::places::{Place, Places};
use super::problem::ApiError;
use super::resolve::{Meaning, Names};
use super::spool::Spools;
use super::told::Told;
use super::work::{Work, blocking, working};
use crate::aliases::Aliases;
use crate::handle::Node;
use crate::store::Patient;

/// What the API needs to know. Cheap to clone, which axum does several times a
/// request.
#[derive(Clone, Debug)]
pub struct ApiState(Arc<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    node: Node,
    trust: Arc<LocalTrust>,
    roles: Arc<[String]>,
    private_network: Option<Arc<str>>,
    data_dir: Option<Arc<Path>>,
    started: Instant,
    crowd: Arc<Crowd>,
    aliases: Arc<Mutex<Aliases>>,
    /// Held while a name is given, so that two do not get the same one.
    naming: Arc<tokio::sync::Mutex<()>>,
    live: Arc<LivePlaces>,
    live_patience: Duration,
    live_tails: Arc<LiveTails>,
    first_rows: Arc<FirstRows>,
    places: Arc<Places>,
    bodies: BodyRooms,
    spools: Arc<Spools>,
    told: Arc<Told>,
    stopping: CancellationToken,
}

impl ApiState {
    /// The API of a node. Writing needs `token`; an empty one lets nobody write.
    #[must_use]
    pub fn new(node: Node, token: impl Into<String>) -> Self {
        let trust = LocalTrust::new(token.into(), Vec::new());
        let trust = trust.of_node(&node.local_peer().to_string());
        Self(Arc::new(Parts {
            crowd: Arc::new(Crowd::new(node.clone(), MAX_API_CONNECTIONS, MAX_TARPIT)),
            node,
            trust: Arc::new(trust),
            roles: Arc::new([]),
            private_network: None,
            data_dir: None,
            started: Instant::now(),
            aliases: Arc::default(),
            naming: Arc::default(),
            live: Arc::default(),
            live_patience: STALLED_LIVE,
            live_tails: Arc::default(),
            first_rows: Arc::default(),
            places: Arc::default(),
            bodies: BodyRooms::default(),
            spools: Arc::default(),
            told: Arc::default(),
            stopping: CancellationToken::new(),
        }))
    }

    fn parts(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }

    /// Shows what the node does for others: `peer`, `bootstrap`, …
    #[must_use]
    pub fn with_roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.parts().roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Shows in which private network the node is, by the fingerprint of its
    /// key.
    #[must_use]
    pub fn with_private_network(mut self, fingerprint: Option<String>) -> Self {
        self.parts().private_network = fingerprint.map(Into::into);
        self
    }

    /// Shows how many bytes this folder has.
    #[must_use]
    pub fn with_data_dir(mut self, data_dir: impl Into<PathBuf>) -> Self {
        self.parts().data_dir = Some(data_dir.into().into());
        self
    }

    /// With what the user calls streams of others.
    #[must_use]
    pub fn with_aliases(mut self, aliases: Aliases) -> Self {
        self.parts().aliases = Arc::new(Mutex::new(aliases));
        self
    }

    /// Takes requests that are addressed to these names or addresses too
    /// (without a port), beside the loopback ones.
    #[must_use]
    pub fn with_hosts(mut self, hosts: Vec<String>) -> Self {
        self.parts().trust = Arc::new(LocalTrust::clone(&self.0.trust).with_hosts(hosts));
        self
    }

    /// Takes the tokens that programs were given, which are in this file.
    #[must_use]
    pub fn with_named_tokens(mut self, file: &Path) -> Self {
        self.parts().trust = Arc::new(LocalTrust::clone(&self.0.trust).with_named_tokens(file));
        self
    }

    /// Lets nobody read without a token, or the dashboard's session.
    #[must_use]
    pub fn guarding_reading(mut self) -> Self {
        self.parts().trust = Arc::new(LocalTrust::clone(&self.0.trust).guarding_reading());
        self
    }

    /// Has no more connections than this at a time.
    #[must_use]
    pub fn with_connections(mut self, most: usize, tarpit: usize) -> Self {
        self.parts().crowd = Arc::new(Crowd::new(self.0.node.clone(), most, tarpit));
        self
    }

    /// Drops live clients that take nothing for so long, [`STALLED_LIVE`] unless
    /// it is said.
    #[must_use]
    pub fn with_live_patience(mut self, patience: Duration) -> Self {
        self.parts().live_patience = patience;
        self
    }

    /// Ends the live streams, so that a server that waits for its connections
    /// can stop.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }

    pub(super) fn trust(&self) -> Arc<LocalTrust> {
        self.0.trust.clone()
    }

    pub(super) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(super) fn crowd(&self) -> &Arc<Crowd> {
        &self.0.crowd
    }

    pub(super) fn roles(&self) -> &[String] {
        &self.0.roles
    }

    /// The fingerprint of the key of the private network that the node is in.
    #[must_use]
    pub fn private_network(&self) -> Option<&str> {
        self.0.private_network.as_deref()
    }

    pub(super) fn data_dir(&self) -> Option<Arc<Path>> {
        self.0.data_dir.clone()
    }

    pub(super) fn live_patience(&self) -> Duration {
        self.0.live_patience
    }

    pub(super) fn live_tails(&self) -> &LiveTails {
        &self.0.live_tails
    }

    /// How the rows of streams were numbered when they had their first live client.
    pub(super) fn first_rows(&self) -> &FirstRows {
        &self.0.first_rows
    }

    pub(super) fn started(&self) -> Instant {
        self.0.started
    }

    pub(super) fn spools(&self) -> &Arc<Spools> {
        &self.0.spools
    }

    pub(super) fn told(&self) -> &Told {
        &self.0.told
    }

    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// The stream that a path names, to read it.
    pub(super) fn stream(&self, text: &str) -> Result<Arc<LogStatus>, ApiError> {
        self.stream_meant(text, Meaning::Reading)
    }

    /// The stream that a path names.
    pub(super) fn stream_meant(
        &self,
        text: &str,
        meaning: Meaning,
    ) -> Result<Arc<LogStatus>, ApiError> {
        if let Ok(log) = text.parse::<LogId>()
            && let Some(status) = self.0.node.stream(log)
        {
            return Ok(status);
        }
        let known = self.0.node.streams();
        let aliases = self.aliases();
        let (known, aliases) = (&*known, &*aliases);
        let log = Names { known, aliases }.resolve(text, meaning)?;
        let status = known.iter().find(|status| status.log == log).cloned();
        status.ok_or_else(|| ApiError::internal(format!("stream {log} has vanished")))
    }

    /// What the user calls streams of others.
    pub(super) fn aliases(&self) -> MutexGuard<'_, Aliases> {
        self.0
            .aliases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to give a name, one at a time.
    pub(super) async fn naming(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.naming.lock().await
    }

    /// The places of live streams.
    #[cfg(test)]
    pub(super) fn live(&self) -> &LivePlaces {
        &self.0.live
    }

    /// Room for bodies that are read into memory.
    pub(super) fn bodies(&self) -> &BodyRooms {
        &self.0.bodies
    }

    /// A place among the live streams, until it is dropped.
    pub(super) fn live_place(&self, client: &Client) -> Result<LivePlace, ApiError> {
        self.0.live.enter(client)
    }

    /// A place among those who read histories and need so much memory, until it
    /// is dropped.
    pub(super) async fn place(&self, client: &Client, mebibytes: usize) -> Result<Place, ApiError> {
        self.0.places.enter(client, mebibytes).await
    }

    /// Looks through the history of a stream, in turns with all who read.
    pub(super) async fn look_through<T: Send + 'static>(
        &self,
        client: &Client,
        status: Arc<LogStatus>,
        look: impl FnOnce(&Records<'_, Patient<'_>>, &mut Work) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = self.place(client, 1).await?;
        let store = self.0.node.store().clone();
        working(place, move |work| {
            look(&Records::of(&status, &Patient::new(&store))?, work)
        })
        .await
    }

    /// Reads the records of a stream on a thread that may block.
    pub(super) async fn with_records<T: Send + 'static>(
        &self,
        status: Arc<LogStatus>,
        read: impl FnOnce(&Records<'_, Patient<'_>>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let store = self.0.node.store().clone();
        blocking(move || read(&Records::of(&status, &Patient::new(&store))?)).await
    }
}

/// The answer while nothing of a stream has come.
pub(super) fn not_come_yet(status: &LogStatus) -> ApiError {
    Unreadable::NotComeYet(status.log).into()
}
