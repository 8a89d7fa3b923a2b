//! Finding the node: the one that runs on a data folder, or else the folder
//! itself, opened here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::http::Uri;
use headwater_client::data_dir::{DataDir, Lock, LockError};
use headwater_client::failure::usage;
use tokio::time::Instant;

use super::Client;
use super::transport::{Http, InProcess, Transport};
use crate::aliases::Aliases;
use crate::api;
use crate::config::Config;
use crate::runtime;
use headwater_client::keys::{self, Token};

/// How long a data folder may be in use by another process before a command
/// gives up: other commands are done sooner, and a node that starts or stops
/// takes about as long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a data folder that is in use is looked at.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// How long a process that waits for a data folder may take to see that it is
/// free: it looks all the time.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the node whose address lies in the data folder may take to say who
/// it is.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Environment variable with the token for a node named by `--api` whose data
/// folder is not at hand.
pub const TOKEN_VARIABLE: &str = "HEADWATER_API_TOKEN";

impl Client {
    /// To the node at this URL. The token is that of the environment, or else,
    /// for a node on this machine, that of the data folder.
    ///
    /// # Errors
    /// It is no URL of an API.
    pub fn to_url(url: &str, data_dir: &DataDir) -> anyhow::Result<Self> {
        let base = parse_base(url).map_err(usage)?;
        let token = match std::env::var(TOKEN_VARIABLE) {
            Ok(token) => Some(Token::new(token.trim())),
            // Another machine has no business with this one's token.
            Err(_) if is_loopback(&base) => Token::load(&data_dir.token_file()).ok(),
            Err(_) => None,
        };
        let transport = Transport::Http(Http::new(base)?);
        let mut client = Self::new(transport, token, data_dir.clone(), None);
        client.is_named = true;
        Ok(client)
    }

    /// To the node that runs on this data folder; when none does, the folder is
    /// opened here, without a network.
    ///
    /// # Errors
    /// There is no node in the folder, another process keeps it busy, or it is
    /// damaged.
    pub async fn to_data_dir(data_dir: &DataDir) -> anyhow::Result<Self> {
        if !data_dir.is_initialised() {
            return Err(no_node_in(data_dir));
        }
        let keypair = keys::load_key(&data_dir.key_file())?;
        match claim(data_dir).await? {
            Claim::Running(http) => {
                let token = Token::load(&data_dir.token_file())?;
                let transport = Transport::Http(http.0);
                Ok(Self::new(transport, Some(token), data_dir.clone(), None))
            }
            Claim::Ours(lock) => {
                data_dir.forget_addresses(&lock);
                let token = Token::load_or_create(&data_dir.token_file())?;
                Self::open(data_dir, &keypair, token, lock).await
            }
        }
    }

    async fn open(
        data_dir: &DataDir,
        keypair: &libp2p::identity::Keypair,
        token: Token,
        lock: Lock,
    ) -> anyhow::Result<Self> {
        let config = config_of(data_dir);
        let mark_dir = data_dir.mark_dir(config.mark_dir.as_deref())?;
        let (store, max_disk) = (data_dir.store_dir(), config.max_disk);
        let aliases = Aliases::load(&data_dir.aliases_file())?;
        let running =
            runtime::start_offline(&store, keypair, max_disk, mark_dir.as_deref()).await?;
        let state = api::ApiState::new(running.node.clone(), token.secret())
            .with_data_dir(data_dir.path())
            .with_aliases(aliases);
        let node = InProcess::new(api::router(state), running);
        let transport = Transport::InProcess(Box::new(node));
        Ok(Self::new(
            transport,
            Some(token),
            data_dir.clone(),
            Some(lock),
        ))
    }
}

/// The folder's config. One that cannot be read is the concern of `run`.
fn config_of(data_dir: &DataDir) -> Config {
    let mut config = Config::default();
    if let Err(error) = config.set_from_file(&data_dir.config_file(), false) {
        tracing::warn!("{error:#}");
    }
    config
}

/// Who may use a data folder.
#[derive(Debug)]
pub enum Claim {
    /// This process.
    Ours(Lock),
    /// A node that runs on it.
    Running(RunningNode),
}

/// The way to a node that runs.
#[derive(Debug)]
pub struct RunningNode(Http);

impl RunningNode {
    /// Where its API is.
    #[must_use]
    pub fn url(&self) -> Arc<str> {
        self.0.base()
    }
}

/// Claims a data folder for this process, or finds the node that runs on it.
/// Another command that has it will be done soon, and is waited for.
///
/// # Errors
/// Another process keeps it and does not answer.
pub async fn claim(data_dir: &DataDir) -> anyhow::Result<Claim> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        // The address of a node that was killed stays behind; its lock does not.
        let held = match data_dir.lock() {
            Ok(lock) => {
                data_dir.forget_wanted();
                return Ok(Claim::Ours(lock));
            }
            Err(error @ LockError::Io { .. }) => return Err(error.into()),
            Err(error @ LockError::Held { .. }) => error,
        };
        if let Some(node) = running_node(data_dir).await? {
            data_dir.forget_wanted();
            return Ok(Claim::Running(node));
        }
        if Instant::now() >= deadline {
            data_dir.forget_wanted();
            return Err(held).context(
                "no answer: another command may be busy, or the node starts or stops; try again, \
                 or see the node's log",
            );
        }
        // A command that reads a pipe without end makes way.
        data_dir.want();
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

impl Client {
    /// Whether the data folder is open here, and another process waits for it.
    #[must_use]
    pub fn is_in_the_way(&self) -> bool {
        self.url().is_none() && self.data_dir.is_wanted()
    }
}

/// Waits until the process that wanted the data folder has it.
pub async fn until_taken(data_dir: &DataDir) {
    let deadline = Instant::now() + TAKEN_TIMEOUT;
    while data_dir.is_wanted() && Instant::now() < deadline {
        tokio::time::sleep(BUSY_PAUSE).await;
    }
    // Of a process that has ended meanwhile.
    data_dir.forget_wanted();
}

/// The node whose address lies in the data folder, if it is this folder's: the
/// port of one that was killed may have gone to another program.
async fn running_node(data_dir: &DataDir) -> anyhow::Result<Option<RunningNode>> {
    if !data_dir.is_initialised() {
        return Ok(None);
    }
    // A node that could not write it down is where the config says, most often.
    let address = (data_dir.api_addr()).unwrap_or_else(|| config_of(data_dir).api_listen);
    if address.port() == 0 {
        return Ok(None);
    }
    let expected = keys::load_key(&data_dir.key_file())?.public().to_peer_id();
    let transport = Transport::Http(Http::new(format!("http://{address}"))?);
    let probe = Client::new(transport, None, data_dir.clone(), None);
    match tokio::time::timeout(PROBE_TIMEOUT, probe.peer_id()).await {
        Ok(Ok(peer)) if peer == expected.to_string() => match probe.into_transport() {
            Transport::Http(http) => return Ok(Some(RunningNode(http))),
            Transport::InProcess(_) => {}
        },
        Ok(Ok(peer)) => tracing::debug!(%address, peer, "another node is there"),
        Ok(Err(error)) => tracing::debug!(%address, "no node answers: {error:#}"),
        Err(_) => tracing::debug!(%address, "no node answers in time"),
    }
    Ok(None)
}

/// Nothing was ever created in this folder.
#[must_use]
pub fn no_node_in(data_dir: &DataDir) -> anyhow::Error {
    usage(anyhow!(
        "there is no node in {}; create one with: {}",
        data_dir.path().display(),
        data_dir.command("init")
    ))
}

/// The way to the node that runs on a data folder, if one answers.
pub(super) async fn node_on(data_dir: &DataDir) -> anyhow::Result<Option<Http>> {
    Ok(running_node(data_dir).await?.map(|node| node.0))
}

fn parse_base(url: &str) -> anyhow::Result<String> {
    let with_scheme = match url.contains("://") {
        true => url.to_owned(),
        false => format!("http://{url}"),
    };
    let not_a_url =
        || format!("`{url}` is not the URL of a node's API, such as http://127.0.0.1:8600");
    let uri: Uri = with_scheme.parse().ok().with_context(not_a_url)?;
    if uri.scheme_str() == Some("https") {
        bail!(
            "`{url}`: the API speaks http; over a network, use an SSH tunnel to the node's machine"
        );
    }
    let authority = uri.authority().with_context(not_a_url)?;
    if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
        bail!(not_a_url());
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        bail!("`{url}` has a path; name the scheme, host and port only");
    }
    Ok(format!("http://{authority}"))
}

fn is_loopback(base: &str) -> bool {
    let uri: Option<Uri> = base.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_scheme_host_and_port() {
        let base = |url| parse_base(url).map_err(|error| error.to_string());
        assert_eq!(base("127.0.0.1:8600").unwrap(), "http://127.0.0.1:8600");
        assert_eq!(base("http://[::1]:8600/").unwrap(), "http://[::1]:8600");
        assert!(
            base("https://127.0.0.1")
                .unwrap_err()
                .contains("SSH tunnel")
        );
        assert!(
            base("http://127.0.0.1/v1")
                .unwrap_err()
                .contains("has a path")
        );
        for wrong in ["", "ftp://x", "http://", "a b", "http://u:p@x"] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_token_is_for_this_machine_only() {
        for here in [
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost",
            "http://127.9.9.9",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for away in [
            "http://192.0.2.1:1",
            "http://localhost.example:1",
            "http://[2001:db8::1]",
        ] {
            assert!(!is_loopback(away), "{away}");
        }
    }
}
