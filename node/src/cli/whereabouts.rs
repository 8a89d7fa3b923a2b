//! The files that tell where a running node listens, by which commands and
//! scripts find it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use headwater_client::data_dir::{DataDir, FileError};
use libp2p::Multiaddr;
use tokio::sync::watch;
use tokio::time::timeout;

use super::listen;
use crate::store::Reserve;

/// How often it is tried again what could not be written.
const WRITTEN_AGAIN: Duration = Duration::from_secs(2);

/// Writes them.
#[derive(Debug)]
pub(super) struct Whereabouts {
    data_dir: DataDir,
    api: SocketAddr,
    /// Whether the last attempt went well.
    is_written: bool,
}

impl Whereabouts {
    /// Of the node with this API.
    pub(super) fn new(data_dir: DataDir, api: SocketAddr) -> Self {
        Self {
            data_dir,
            api,
            is_written: true,
        }
    }

    /// Writes both. Scripts take the one of the API as the sign that the node is
    /// ready. A disk that cannot be written must not keep from reading.
    pub(super) fn write(&mut self, addresses: &[Multiaddr]) {
        let addresses = sorted(addresses);
        let write = || {
            self.data_dir.write_node_addrs(&addresses)?;
            self.data_dir.write_api_addr(self.api)
        };
        let mut written = write();
        if written.as_ref().is_err_and(is_full) {
            // What is kept back is for this, too: without them nobody finds the
            // node to make room.
            Reserve::of(&self.data_dir.store_dir()).give_back();
            written = write();
        }
        let was_written = std::mem::replace(&mut self.is_written, written.is_ok());
        match written {
            Ok(()) => {}
            Err(error) if was_written => {
                let api = self.api;
                tracing::warn!("{error}; commands find the node with --api http://{api}");
            }
            Err(error) => tracing::debug!("{error}"),
        }
    }

    /// Keeps them as it is, until the node ends.
    pub(super) async fn keep(mut self, mut changes: watch::Receiver<Vec<Multiaddr>>) {
        loop {
            let changed = match self.is_written {
                true => Ok(changes.changed().await),
                false => timeout(WRITTEN_AGAIN, changes.changed()).await,
            };
            if let Ok(Err(_)) = changed {
                return;
            }
            let addresses = changes.borrow_and_update().clone();
            if changed.is_ok() {
                let addresses = sorted(&addresses);
                tracing::info!(?addresses, "the addresses have changed");
            }
            self.write(&addresses);
        }
    }
}

/// The most useful one first.
pub(super) fn sorted(addresses: &[Multiaddr]) -> Vec<String> {
    let mut addresses = addresses.to_vec();
    addresses.sort_by_key(listen::usefulness);
    addresses.iter().map(ToString::to_string).collect()
}

fn is_full(error: &FileError) -> bool {
    error.cause.kind() == ErrorKind::StorageFull
}
