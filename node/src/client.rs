//! Finding the node for a command: the one that runs on a data folder, or else
//! the folder itself, opened here. Each command is written once, whether a node
//! runs or not.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use futures::future::BoxFuture;
use headwater_client::data_dir::{DataDir, Lock, LockError};
use headwater_client::keys::{self, Token};
use headwater_client::{Answer, Error, InProcess, Request, RunningNode, TOKEN_VARIABLE};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::aliases::Aliases;
use crate::api;
use crate::config::Config;
use crate::failure::for_now;
use crate::runtime::{self, Running};

/// How long a data folder may be in use by another process before a command
/// gives up: other commands are done sooner, and a node that starts or stops
/// takes about as long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a data folder that is in use is looked at.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// How long a process that waits for a data folder may take to see that it is
/// free: it looks all the time.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(2);

/// A node, as a command sees it.
#[derive(Debug)]
pub struct Client {
    api: headwater_client::Client,
    data_dir: DataDir,
    /// While the data folder is open here.
    opened: Option<Opened>,
}

/// A data folder that is open in this process.
#[derive(Debug)]
struct Opened {
    running: Running,
    lock: Lock,
}

impl Deref for Client {
    type Target = headwater_client::Client;

    fn deref(&self) -> &Self::Target {
        &self.api
    }
}

impl Client {
    /// To the node at this URL. The token is that of the environment, or else,
    /// for a node on this machine, that of the data folder.
    ///
    /// # Errors
    /// It is no URL of an API.
    pub fn to_url(url: &str, data_dir: &DataDir) -> anyhow::Result<Self> {
        let mut api = headwater_client::Client::to_url(url)?;
        let token = match std::env::var(TOKEN_VARIABLE) {
            Ok(token) => Some(Token::new(token.trim())),
            // Another machine has no business with this one's token.
            Err(_) if api.is_of_this_machine() => Token::load(&data_dir.token_file()).ok(),
            Err(_) => None,
        };
        if let Some(token) = token {
            api = api.with_token(token);
        }
        Ok(Self::of(api, data_dir))
    }

    /// To the node that runs on this data folder; when none does, the folder is
    /// opened here, without a network.
    ///
    /// # Errors
    /// There is no node in the folder, another process keeps it busy, or it is
    /// damaged.
    pub async fn to_data_dir(data_dir: &DataDir) -> anyhow::Result<Self> {
        if !data_dir.is_initialised() {
            return Err(Error::no_node_in(data_dir).into());
        }
        let keypair = keys::load_key(&data_dir.key_file())?;
        match claim(data_dir).await? {
            Claim::Running(node) => Ok(Self::of(node.client()?, data_dir)),
            Claim::Ours(lock) => {
                data_dir.forget_addresses(&lock);
                let token = Token::load_or_create(&data_dir.token_file())?;
                Self::open(data_dir, &keypair, token, lock).await
            }
        }
    }

    fn of(api: headwater_client::Client, data_dir: &DataDir) -> Self {
        Self {
            api,
            data_dir: data_dir.clone(),
            opened: None,
        }
    }

    async fn open(
        data_dir: &DataDir,
        keypair: &libp2p::identity::Keypair,
        token: Token,
        lock: Lock,
    ) -> anyhow::Result<Self> {
        let config = config_of(data_dir);
        let marks = marks(data_dir, &config)?;
        let store = data_dir.store_dir();
        let aliases = Aliases::load(&data_dir.aliases_file())?;
        let running = runtime::start_offline(&store, keypair, &config, marks.as_deref()).await?;
        let state = api::ApiState::new(running.node.clone(), token.secret())
            .with_data_dir(data_dir.path())
            .with_aliases(aliases);
        let api = headwater_client::Client::in_process(Offline(api::router(state)));
        let opened = Opened { running, lock };
        Ok(Self {
            api: api.with_token(token),
            data_dir: data_dir.clone(),
            opened: Some(opened),
        })
    }

    /// Refuses when no node runs.
    ///
    /// # Errors
    /// No node runs; says how to start one.
    pub fn require_network(&self, what: &str) -> anyhow::Result<()> {
        if self.opened.is_some() {
            let dir = self.data_dir.path().display();
            let start = self.data_dir.command("run");
            let error = anyhow!(
                "{what} needs a running node, and none runs on {dir}; start it with: {start}"
            );
            return Err(for_now(error));
        }
        Ok(())
    }

    /// Whether the data folder is open here, and another process waits for it.
    #[must_use]
    pub fn is_in_the_way(&self) -> bool {
        self.opened.is_some() && self.data_dir.is_wanted()
    }

    /// Ends the connection. When the data folder is open here, everything is
    /// written and it is closed.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn close(self) -> anyhow::Result<()> {
        // The store is closed when nobody has it any more.
        drop(self.api);
        let Some(Opened { running, lock }) = self.opened else {
            return Ok(());
        };
        let result = running.stop().await;
        // Not before the store is closed.
        drop(lock);
        result
    }
}

/// The API of a node that runs in this process, without a network.
#[derive(Debug)]
struct Offline(Router);

impl InProcess for Offline {
    fn answer(&self, request: Request) -> BoxFuture<'static, Answer> {
        let mut request = request.map(Body::from);
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().insert(header::HOST, host);
        let answer = self.0.clone().oneshot(request);
        Box::pin(async {
            match answer.await {
                Ok(answer) => answer.map(|body| body.map_err(Into::into).boxed_unsync()),
                Err(never) => match never {},
            }
        })
    }
}

/// The folder's config. One that cannot be read is the concern of `run`.
fn config_of(data_dir: &DataDir) -> Config {
    Config::read_if_there(&data_dir.config_file()).unwrap_or_else(|error| {
        tracing::warn!("{error:#}");
        Config::default()
    })
}

/// The folder of the marks of what was signed, if there is to be one.
///
/// # Errors
/// It would lie in the data folder.
pub fn marks(data_dir: &DataDir, config: &Config) -> anyhow::Result<Option<PathBuf>> {
    Ok(data_dir.mark_dir(config.mark_dir.as_deref())?)
}

/// Where the API is by the folder's config.
fn configured(data_dir: &DataDir) -> Option<SocketAddr> {
    let config = config_of(data_dir);
    Some(config.api_listen)
}

/// Who may use a data folder.
#[derive(Debug)]
pub enum Claim {
    /// This process.
    Ours(Lock),
    /// A node that runs on it.
    Running(RunningNode),
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
        if let Some(node) = RunningNode::find(data_dir, configured).await? {
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

/// Waits until the process that wanted the data folder has it.
pub async fn until_taken(data_dir: &DataDir) {
    let deadline = Instant::now() + TAKEN_TIMEOUT;
    while data_dir.is_wanted() && Instant::now() < deadline {
        tokio::time::sleep(BUSY_PAUSE).await;
    }
    // Of a process that has ended meanwhile.
    data_dir.forget_wanted();
}
