//! `run`: the node, until it is told to stop.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use headwater_client::data_dir::DataDir;
use libp2p::identity::Keypair;
use serde::Serialize;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::open_files::Shares;
use super::output::{StdoutClosed, printable};
use super::signals::Signals;
use super::whereabouts::{Whereabouts, sorted};
use super::{Invocation, exit, init, listen, open_files};
use crate::aliases::Aliases;
use crate::api::{self, ApiState};
use crate::client::{Claim, claim, marks};
use crate::config::flags::Flags;
use crate::config::{Config, Role};
use crate::failure::for_now;
use crate::handle::impossible_time;
use crate::keys::NetworkKey;
use crate::net::limits::{MAX_CONNECTIONS, MAX_PUBLIC_CONNECTIONS};
use crate::runtime::{self, Running, RuntimeConfig, Services};

/// How long the first address may take: it is there as soon as the system has
/// bound the port.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Quiet time after which all addresses are taken to be there. They come one by
/// one, within milliseconds.
const SETTLED: Duration = Duration::from_millis(100);

/// How long requests may take to end after the signal to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Run the node (a new data folder is initialised, as by `init`)
#[derive(Args, Debug)]
#[command(
    after_help = format!("SIGTERM, SIGINT (Ctrl-C) and SIGHUP (unless nohup started it) end it cleanly. What is not given
here is read from config.toml, at the start.\n\n{}", exit::HELP)
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    options: Flags<Config>,
}

/// What `--json` prints once the node listens.
#[derive(Serialize)]
struct Started {
    peer_id: String,
    addresses: Vec<String>,
    api: String,
    data_dir: String,
    roles: Vec<&'static str>,
    /// Fingerprint of the private network's key.
    private_network: Option<String>,
    initialised: bool,
}

pub(super) async fn run(invocation: &Invocation, args: RunArgs) -> anyhow::Result<()> {
    // From now on a signal ends the node cleanly, however far it has come.
    let mut signals = Signals::new()?;
    let data_dir = invocation.data_dir()?;
    data_dir.create()?;
    if !clock_is_possible(&mut signals).await {
        return Ok(());
    }
    let lock = match claim(&data_dir).await? {
        Claim::Ours(lock) => lock,
        Claim::Running(node) => {
            return Err(for_now(anyhow!(
                "a node runs on {} already, with its API at {}; end it first, or name another \
                 folder with --data-dir",
                data_dir.path().display(),
                node.url()
            )));
        }
    };
    let is_new = !data_dir.is_initialised();
    let (keypair, token) = init::create(&data_dir, &lock)?;
    let mut config = configure(invocation, &data_dir, &args)?;
    let network_key = (config.private_network.as_deref())
        .map(NetworkKey::load)
        .transpose()?;
    let fingerprint = network_key.as_ref().map(NetworkKey::fingerprint);
    let api = ApiListener::bind(&config).await?;
    config.listen = listen::addresses(&config)?;
    data_dir.forget_addresses(&lock);
    let aliases = Aliases::load(&data_dir.aliases_file())?;

    let shares = open_files::allow(wanted_connections(&config))?;
    let mut running = start(&data_dir, &config, shares, keypair, network_key).await?;
    let mut state = ApiState::new(running.node.clone(), token.secret())
        .with_roles(config.roles.iter().map(|role| role.as_str()))
        .with_private_network(fingerprint.clone())
        .with_data_dir(data_dir.path())
        .with_hosts(config.api_hosts.clone())
        .with_connections(shares.api, shares.tarpit)
        .with_named_tokens(&data_dir.tokens_file())
        .with_aliases(aliases);
    if api.needs_token_to_read {
        state = state.guarding_reading();
    }
    let server = api.serve(state);
    let ended = tokio::select! {
        ended = announce(invocation, &data_dir, &config, &running, &server, is_new) => ended,
        () = signals.wait() => Ok(None),
    };
    let ended = match ended {
        Ok(Some(address_task)) => {
            let ended = tokio::select! {
                () = signals.wait() => Ok(()),
                () = running.failed() => Err(anyhow::anyhow!("the network has ended by itself; its last words are above")),
                error = server.failed() => Err(error),
            };
            address_task.abort();
            ended
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    tracing::info!("stopping");
    server.stop().await;
    data_dir.forget_addresses(&lock);
    running.stop().await?;
    ended
}

/// Between two looks at a clock that cannot be right.
const CLOCK_PAUSE: Duration = Duration::from_millis(500);

/// Waits until the system's clock shows a time that can be: a node would sign by
/// it, and what it is made of knows no time before 1970. Commands work on the folder
/// meanwhile. `false` if a signal came first.
async fn clock_is_possible(signals: &mut Signals) -> bool {
    let Some(why) = impossible_time() else {
        return true;
    };
    tracing::error!("{why}; the node waits for that");
    while impossible_time().is_some() {
        if timeout(CLOCK_PAUSE, signals.wait()).await.is_ok() {
            return false;
        }
    }
    tracing::info!("the system's clock was set; the node starts");
    true
}

fn configure(
    invocation: &Invocation,
    data_dir: &DataDir,
    args: &RunArgs,
) -> anyhow::Result<Config> {
    let mut config = match &invocation.config {
        Some(path) => Config::read(path)?,
        None => Config::read_if_there(&data_dir.config_file())?,
    };
    config.change(&args.options)?;
    Ok(config)
}

/// Connections to peers, if enough files may be open.
fn wanted_connections(config: &Config) -> u32 {
    let is_public = config.roles.iter().any(|role| role.is_public());
    (config.max_connections).unwrap_or(if is_public {
        MAX_PUBLIC_CONNECTIONS
    } else {
        MAX_CONNECTIONS
    })
}

async fn start(
    data_dir: &DataDir,
    config: &Config,
    shares: Shares,
    keypair: Keypair,
    network_key: Option<NetworkKey>,
) -> anyhow::Result<Running> {
    let mut runtime = RuntimeConfig::new(data_dir.store_dir(), keypair);
    runtime.options = config.clone();
    runtime.marks = marks(data_dir, config)?;
    runtime.network_key = network_key;
    runtime.services = Services {
        discovery: config.is(Role::Bootstrap),
        relay: config.is(Role::Relay).then_some(config.relay),
    };
    runtime.peer_cache = Some(data_dir.peers_file());
    // Whoever is there for newcomers also lets them hear of each other.
    runtime.introduces = runtime.services != Services::default();
    runtime.connections = shares.connections;
    runtime.pending_connections = shares.pending;
    runtime.dials = shares.dials;
    let started = runtime::start(runtime).await;
    started.map_err(|error| open_files::explain(error, shares.connections))
}

/// Waits until the node listens, writes its addresses down and says them. From
/// then on a task keeps the written ones up to date.
async fn announce(
    invocation: &Invocation,
    data_dir: &DataDir,
    config: &Config,
    running: &Running,
    server: &Server,
    is_new: bool,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    let mut changes = running.node.watch_addresses();
    if !config.listen.is_empty() {
        let first = timeout(LISTEN_TIMEOUT, changes.wait_for(|all| !all.is_empty())).await;
        if first
            .map_err(anyhow::Error::from)
            .and_then(|got| Ok(got.map(drop)?))
            .is_err()
        {
            return Err(for_now(anyhow!(
                "the node listens nowhere after {} s; see its log, and choose other addresses with --listen",
                LISTEN_TIMEOUT.as_secs()
            )));
        }
        while let Ok(Ok(())) = timeout(SETTLED, changes.changed()).await {}
    }
    let addresses = changes.borrow_and_update().clone();
    let mut whereabouts = Whereabouts::new(data_dir.clone(), server.reachable_at());
    whereabouts.write(&addresses);
    let started = Started {
        peer_id: running.node.local_peer().to_string(),
        addresses: sorted(&addresses),
        api: format!("http://{}", server.reachable_at()),
        data_dir: data_dir.path().display().to_string(),
        roles: config.roles.iter().map(|role| role.as_str()).collect(),
        private_network: server.state.private_network().map(str::to_owned),
        initialised: is_new,
    };
    match say(invocation, config, &started) {
        // Whoever started the node does not want to hear of it.
        Err(error) if error.is::<StdoutClosed>() => {}
        said => said?,
    }
    Ok(Some(tokio::spawn(whereabouts.keep(changes))))
}

fn say(invocation: &Invocation, config: &Config, started: &Started) -> anyhow::Result<()> {
    let out = invocation.out;
    if out.json {
        return out.json(started);
    }
    if started.initialised {
        out.line(format!(
            "created a new node in {}",
            printable(&started.data_dir)
        ))?;
    }
    out.line(format!("{} {}", out.dim("peer id "), started.peer_id))?;
    let mut label = "address ";
    for address in &started.addresses {
        out.line(format!("{} {address}", out.dim(label)))?;
        label = "        ";
    }
    if let Some(key) = &started.private_network {
        out.line(format!("{} private, key {key}…", out.dim("network ")))?;
    }
    out.line(format!("{} {}", out.dim("api     "), started.api))?;
    out.line(format!(
        "{} {}",
        out.dim("data    "),
        printable(&started.data_dir)
    ))?;
    match started.addresses.first() {
        Some(best) if config.bootstrap.is_empty() => {
            out.line("No bootstrap node is set, so this node waits for others. On the second machine, run:")?;
            let key = match &config.private_network {
                Some(_) => " --private-network FILE",
                None => "",
            };
            out.line(format!("  headwater run --bootstrap {best}{key}"))
        }
        _ => Ok(()),
    }
}

/// The port of the API, bound before anything else is started.
struct ApiListener {
    listener: TcpListener,
    address: SocketAddr,
    needs_token_to_read: bool,
}

impl ApiListener {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let wanted = config.api_listen;
        let listener = match listen_on(wanted) {
            Ok(listener) => listener,
            Err(error) => {
                let failure = listen::not_bound(&error);
                return Err(failure.mark(match error.kind() {
                    ErrorKind::AddrInUse => anyhow!(
                        "port {} is in use by another program, perhaps another node: the API cannot \
                         listen on {wanted}; name another address with --api-listen (port 0 takes any \
                         free one)",
                        wanted.port()
                    ),
                    _ => anyhow!(
                        "the API cannot listen on {wanted}: {error}; name another address with \
                         --api-listen"
                    ),
                }));
            }
        };
        let address = listener
            .local_addr()
            .context("the API's port is not known")?;
        let needs_token_to_read = config.api.needs_token_to_read(wanted.ip());
        if !address.ip().is_loopback() {
            let reading = match needs_token_to_read {
                true => "reading needs a token, too (headwater token new NAME --read-only)",
                false => "everybody who reaches it can read (api.read_needs_token = false)",
            };
            tracing::warn!(%address, "the API can be reached from other machines, without encryption; {reading}");
        }
        Ok(Self {
            listener,
            address,
            needs_token_to_read,
        })
    }

    fn serve(self, state: ApiState) -> Server {
        let (stop, stopped) = oneshot::channel::<()>();
        let router = api::router(state.clone());
        let service = router.into_make_service_with_connect_info::<api::Peer>();
        let listener = api::Accepting::new(self.listener, &state);
        let serve = axum::serve(listener, service).with_graceful_shutdown(async {
            // Dropped without a word, it means the same.
            let _ = stopped.await;
        });
        let (failure, failed) = watch::channel(None);
        let task = tokio::spawn(async move {
            if let Err(error) = serve.await {
                failure.send_replace(Some(error.to_string()));
            }
        });
        Server {
            address: self.address,
            state,
            stop,
            task,
            failed,
        }
    }
}

/// Connections that wait to be accepted: a flood must not make the system leave
/// those unanswered that come in the same second.
const BACKLOG: u32 = 4_096;

fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As tokio's own does, so that a node that is started anew gets its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The API while it is served.
struct Server {
    address: SocketAddr,
    state: ApiState,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    failed: watch::Receiver<Option<String>>,
}

impl Server {
    /// Where this machine's commands reach it.
    fn reachable_at(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }

    /// Waits until it ends by itself.
    async fn failed(&self) -> anyhow::Error {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(error) => anyhow::anyhow!(
                "the API has failed: {}",
                error.as_deref().unwrap_or_default()
            ),
            Err(_) => anyhow::anyhow!("the API has ended by itself"),
        }
    }

    /// Lets requests end, then cuts off those that do not.
    async fn stop(self) {
        self.state.stop();
        let _ = self.stop.send(());
        let mut task = self.task;
        if timeout(DRAIN_TIMEOUT, &mut task).await.is_err() {
            tracing::debug!("requests are cut off");
            task.abort();
        }
    }
}
