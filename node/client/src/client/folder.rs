//! Finding the node that runs on a data folder.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::transport::{Http, Transport};
use super::{Client, Error, Place};
use crate::data_dir::DataDir;
use crate::keys::{self, Token};

/// How long the node whose address lies in the data folder may take to say who
/// it is.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where else than at the address in its data folder a node may listen: one that
/// could not write it down is where its options say, most often.
pub type Elsewhere = fn(&DataDir) -> Option<SocketAddr>;

/// A node that runs on a data folder.
#[derive(Debug)]
pub struct RunningNode {
    http: Http,
    data_dir: DataDir,
    elsewhere: Elsewhere,
}

impl RunningNode {
    /// The node whose address lies in the data folder, if it is this folder's: the
    /// port of one that was killed may have gone to another program. `None` if
    /// there is none, or it does not say who it is in 10 s.
    ///
    /// # Errors
    /// The key in the folder cannot be read, or the system has no room for a
    /// client.
    pub async fn find(data_dir: &DataDir, elsewhere: Elsewhere) -> Result<Option<Self>, Error> {
        if !data_dir.is_initialised() {
            return Ok(None);
        }
        let Some(address) = data_dir.api_addr().or_else(|| elsewhere(data_dir)) else {
            return Ok(None);
        };
        if address.port() == 0 {
            return Ok(None);
        }
        let expected = keys::load_key(&data_dir.key_file())?.public().to_peer_id();
        let http = Http::new(format!("http://{address}"))?;
        let probe = Client::new(Transport::Http(http), Place::Named);
        match tokio::time::timeout(PROBE_TIMEOUT, probe.peer_id()).await {
            Ok(Ok(peer)) if peer == expected.to_string() => {
                if let Transport::Http(http) = probe.transport {
                    let data_dir = data_dir.clone();
                    return Ok(Some(Self {
                        http,
                        data_dir,
                        elsewhere,
                    }));
                }
            }
            Ok(Ok(peer)) => tracing::debug!(%address, peer, "another node is there"),
            Ok(Err(error)) => tracing::debug!(%address, "no node answers: {error}"),
            Err(_) => tracing::debug!(%address, "no node answers in time"),
        }
        Ok(None)
    }

    /// Where its API is: scheme, host and port.
    #[must_use]
    pub fn url(&self) -> Arc<str> {
        self.http.base()
    }

    /// A client of it, with the token of its folder.
    ///
    /// # Errors
    /// The token cannot be read.
    pub fn client(self) -> Result<Client, Error> {
        let token = Token::load(&self.data_dir.token_file())?;
        let place = Place::Folder(self.data_dir, self.elsewhere);
        Ok(Client::new(Transport::Http(self.http), place).with_token(token))
    }
}

impl Client {
    /// To the node that runs on this data folder; it is found anew when it was
    /// restarted, on whatever port.
    ///
    /// # Errors
    /// There is no node in the folder ([`Error::NoNode`]), its key or token cannot be
    /// read ([`Error::Secret`]), or it does not run ([`Error::NotRunning`]).
    pub async fn to_data_dir(data_dir: &DataDir) -> Result<Self, Error> {
        if !data_dir.is_initialised() {
            return Err(Error::no_node_in(data_dir));
        }
        match RunningNode::find(data_dir, |_| None).await? {
            Some(node) => node.client(),
            None => Err(Error::not_running(data_dir)),
        }
    }
}
