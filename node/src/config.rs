//! The node's options: what `config.toml` says, and what `run` is told beside
//! it. A flag wins over the file.

pub mod access;
pub mod api;
pub mod relay;
pub mod size;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use headwater_protocols::limits::OFFER_PERCENT;
use ipnet::IpNet;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::Deserialize;

use access::{AccessLists, AccessRule, loopback, parse_network};
use api::ApiOptions;
use headwater_client::failure::usage;
use headwater_client::object;
use relay::{RelayLimits, RelayOptions};

/// Where a node listens for others: TCP and QUIC over IPv4 and IPv6.
const DEFAULT_LISTEN: [&str; 4] = [
    "/ip4/0.0.0.0/tcp/4600",
    "/ip4/0.0.0.0/udp/4600/quic-v1",
    "/ip6/::/tcp/4600",
    "/ip6/::/udp/4600/quic-v1",
];

/// Where the local API listens.
const DEFAULT_API_LISTEN: &str = "127.0.0.1:8600";

/// Peers of a stream below which a node looks for more. Where everybody has
/// four, the network falls apart with a probability of nearly nothing, and one
/// peer in ten that goes away takes all four with it once in 10,000; 100 streams
/// without a peer in common still fit into the default number of connections.
pub const DEFAULT_MIN_PEERS: usize = 4;

/// What may go through relays: live records of some hundred streams, and a
/// history of 100 MB in two minutes, of bandwidth that others pay for.
pub const DEFAULT_RELAYED_BYTES_PER_SECOND: u64 = 1 << 20;

/// The largest minimum that can be asked for: eight streams without a peer in
/// common then fill the connections.
const MAX_MIN_PEERS: usize = 64;
/// Fewest connections that may be asked for: a gossip mesh of six, two sources,
/// and twice as many for who comes.
const MIN_MAX_CONNECTIONS: u32 = 16;

/// The least that `max_disk` may be: the log of writes alone takes up to 64 MiB
/// while the node is busy, and counts.
const MIN_MAX_DISK: u64 = 16 << 20;

/// What `init` writes: every option with its default, commented out.
pub const TEMPLATE: &str = include_str!("config/template.toml");

/// What a node does for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Publishes, follows, serves what it holds.
    Peer,
    /// Introduces newcomers to the network.
    Bootstrap,
    /// Connects those who cannot be reached directly.
    Relay,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Bootstrap => "bootstrap",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "peer" => Ok(Self::Peer),
            "bootstrap" => Ok(Self::Bootstrap),
            "relay" => Ok(Self::Relay),
            "storer" => Err(
                "this version of headwater does not have the role `storer`; it has: peer, \
                 bootstrap, relay"
                    .to_owned(),
            ),
            _ => Err(format!(
                "`{text}` is no role; there are: peer, bootstrap, relay"
            )),
        }
    }
}

/// The options of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen on.
    pub listen: Vec<Multiaddr>,
    /// Nobody has chosen `listen`, so that what the machine lacks (IPv6, say)
    /// may be left out.
    pub listens_by_default: bool,
    /// Addresses at which others reach the node, when it cannot know.
    pub external: Vec<Multiaddr>,
    /// Addresses, with peer ids, to stay connected to.
    pub bootstrap: Vec<Multiaddr>,
    /// What the node does for others.
    pub roles: Vec<Role>,
    /// How likely, in percent, one who joins a stream is answered.
    pub offer_percent: u32,
    /// Where the local API listens.
    pub api_listen: SocketAddr,
    /// Names under which the API may be called, beside the loopback ones.
    pub api_hosts: Vec<String>,
    /// Whether reading needs a token, too; absent: where others than this machine
    /// can connect.
    pub read_needs_token: Option<bool>,
    /// The file with the key of the private network that the node is in.
    pub private_network: Option<PathBuf>,
    /// Established connections at most; absent: as many as the network's own
    /// limit says.
    pub max_connections: Option<u32>,
    /// Connected peers of a stream below which the node looks for more; 0:
    /// never.
    pub min_peers: usize,
    /// Bytes a second that may go through relays.
    pub relayed_bytes_per_second: u64,
    /// Bytes that the store may take on the disk; absent: as many as there are.
    pub max_disk: Option<u64>,
    /// The folder of the mark; absent: the user's folder for states.
    pub mark_dir: Option<PathBuf>,
    /// Whether peers of the local network are found by mDNS.
    pub mdns: bool,
    /// Connections from one IP address (of IPv6: one /64) at most; absent: a
    /// sixteenth of all.
    pub max_connections_per_ip: Option<u32>,
    /// Networks whose addresses are not limited by themselves.
    pub ip_limits_exempt: Vec<IpNet>,
    /// Who may be connected with.
    pub access: AccessLists,
    /// What is relayed for others, with the role `relay`.
    pub relay: RelayLimits,
}

/// What a user may have said, in a file or by flags. An absent option leaves
/// what was said before.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// See [`Config::listen`].
    pub listen: Option<Vec<String>>,
    /// See [`Config::external`].
    pub external: Option<Vec<String>>,
    /// See [`Config::bootstrap`].
    pub bootstrap: Option<Vec<String>>,
    /// See [`Config::roles`].
    pub roles: Option<Vec<String>>,
    /// See [`Config::offer_percent`].
    pub offer_percent: Option<u32>,
    /// See [`Config::api_listen`].
    pub api_listen: Option<String>,
    /// See [`Config::api_hosts`].
    pub api_hosts: Option<Vec<String>>,
    /// Who may do what over the API.
    #[serde(deserialize_with = "object::optional")]
    pub api: Option<ApiOptions>,
    /// See [`Config::private_network`].
    pub private_network: Option<PathBuf>,
    /// See [`Config::max_connections`].
    pub max_connections: Option<u32>,
    /// See [`Config::min_peers`].
    pub min_peers: Option<usize>,
    /// See [`Config::relayed_bytes_per_second`].
    pub relayed_bytes_per_second: Option<u64>,
    /// See [`Config::max_disk`]; a size such as `20GiB`.
    pub max_disk: Option<String>,
    /// See [`Config::mark_dir`].
    pub mark_dir: Option<PathBuf>,
    /// See [`Config::mdns`].
    pub mdns: Option<bool>,
    /// See [`Config::max_connections_per_ip`].
    pub max_connections_per_ip: Option<u32>,
    /// See [`Config::ip_limits_exempt`].
    pub ip_limits_exempt: Option<Vec<String>>,
    /// See [`AccessLists::allow`].
    pub allow: Option<Vec<String>>,
    /// See [`AccessLists::deny`].
    pub deny: Option<Vec<String>>,
    /// See [`Config::relay`].
    #[serde(deserialize_with = "object::optional")]
    pub relay: Option<RelayOptions>,
}

impl Default for Config {
    fn default() -> Self {
        let parse = |text: &str| text.parse().expect("the default is an address");
        Self {
            listen: DEFAULT_LISTEN.iter().map(|text| parse(text)).collect(),
            listens_by_default: true,
            external: Vec::new(),
            bootstrap: Vec::new(),
            roles: vec![Role::Peer],
            offer_percent: OFFER_PERCENT,
            api_listen: DEFAULT_API_LISTEN
                .parse()
                .expect("the default is an address"),
            api_hosts: Vec::new(),
            read_needs_token: None,
            private_network: None,
            max_connections: None,
            min_peers: DEFAULT_MIN_PEERS,
            relayed_bytes_per_second: DEFAULT_RELAYED_BYTES_PER_SECOND,
            max_disk: None,
            mark_dir: None,
            mdns: false,
            max_connections_per_ip: None,
            ip_limits_exempt: loopback().into(),
            access: AccessLists::default(),
            relay: RelayLimits::default(),
        }
    }
}

impl Config {
    /// Takes over what a user said.
    ///
    /// # Errors
    /// A value is not what its option needs.
    pub fn set(&mut self, options: Options) -> anyhow::Result<()> {
        self.take(options).map_err(usage)
    }

    fn take(&mut self, options: Options) -> anyhow::Result<()> {
        if let Some(listen) = options.listen {
            self.listen = addresses("listen", &listen)?;
            self.listens_by_default = false;
        }
        if let Some(external) = options.external {
            self.external = addresses("external", &external)?;
        }
        if let Some(bootstrap) = options.bootstrap {
            self.bootstrap = addresses("bootstrap", &bootstrap)?;
            require_peer_ids(&self.bootstrap)?;
        }
        if let Some(roles) = options.roles {
            let roles: Result<Vec<Role>, _> = roles.iter().map(|role| role.parse()).collect();
            self.roles = roles.map_err(anyhow::Error::msg)?;
            if self.roles.is_empty() {
                bail!("roles is empty; name at least one of: peer, bootstrap, relay");
            }
        }
        if let Some(percent) = options.offer_percent {
            if percent > 100 {
                bail!("offer_percent is {percent}; name a number from 0 to 100");
            }
            self.offer_percent = percent;
        }
        if let Some(address) = options.api_listen {
            self.api_listen = address.parse().ok().with_context(|| {
                format!("api-listen: `{address}` is not an IP address with a port, such as {DEFAULT_API_LISTEN}")
            })?;
        }
        if let Some(hosts) = options.api_hosts {
            self.api_hosts = hosts;
        }
        if let Some(api) = options.api {
            self.read_needs_token = api.read_needs_token.or(self.read_needs_token);
        }
        if let Some(bytes) = options.relayed_bytes_per_second {
            if bytes == 0 {
                bail!(
                    "relayed_bytes_per_second: with 0 nothing would ever arrive through a relay; \
                     name a number of bytes, such as {DEFAULT_RELAYED_BYTES_PER_SECOND}"
                );
            }
            self.relayed_bytes_per_second = bytes;
        }
        if let Some(size) = options.max_disk {
            self.max_disk = Some(max_disk(&size)?);
        }
        self.mark_dir = options.mark_dir.or(self.mark_dir.take());
        self.mdns = options.mdns.unwrap_or(self.mdns);
        if let Some(min_peers) = options.min_peers {
            if min_peers > MAX_MIN_PEERS {
                bail!(
                    "min-peers: {min_peers} peers for each stream are too many to look for; ask \
                     for at most {MAX_MIN_PEERS}"
                );
            }
            self.min_peers = min_peers;
        }
        if let Some(networks) = options.ip_limits_exempt {
            let networks: Result<Vec<IpNet>, _> =
                networks.iter().map(|text| parse_network(text)).collect();
            self.ip_limits_exempt =
                networks.map_err(|why| anyhow::anyhow!("ip_limits_exempt: {why}"))?;
        }
        if let Some(allow) = options.allow {
            self.access.allow = access_rules("allow", &allow)?;
        }
        if let Some(deny) = options.deny {
            self.access.deny = access_rules("deny", &deny)?;
        }
        if let Some(relay) = options.relay {
            self.relay.set(&relay)?;
        }
        self.private_network = options.private_network.or(self.private_network.take());
        self.max_connections = (options.max_connections).or(self.max_connections);
        self.max_connections_per_ip =
            (options.max_connections_per_ip).or(self.max_connections_per_ip);
        self.check_limits()
    }

    /// A limit that keeps everybody out is a mistake.
    fn check_limits(&self) -> anyhow::Result<()> {
        if let Some(max) = self.max_connections
            && max < MIN_MAX_CONNECTIONS
        {
            bail!(
                "max_connections: {max} is too few for a node that is part of a network; allow at \
                 least {MIN_MAX_CONNECTIONS}"
            );
        }
        if self.max_connections_per_ip == Some(0) {
            bail!("max_connections_per_ip: with 0 nobody could connect; allow at least 1");
        }
        Ok(())
    }

    /// Whether the node is there for others more than for itself.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.roles.iter().any(|role| match role {
            Role::Bootstrap | Role::Relay => true,
            Role::Peer => false,
        })
    }

    /// Whether reading needs a token, too: as it was said, or else where others
    /// than this machine can connect.
    #[must_use]
    pub fn requires_token_to_read(&self) -> bool {
        let is_local = self.api_listen.ip().is_loopback();
        self.read_needs_token.unwrap_or(!is_local)
    }

    /// Takes over what a file says.
    ///
    /// # Errors
    /// The file cannot be read, or has an option that is unknown or malformed.
    /// A missing one is an error where it is `required`.
    pub fn set_from_file(&mut self, path: &Path, required: bool) -> anyhow::Result<()> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => return Ok(()),
            Err(error) => {
                let is_wrong = names_the_wrong_file(&error);
                let error = Err::<(), _>(error)
                    .with_context(|| format!("cannot read the config {}", path.display()));
                return match is_wrong {
                    true => error.map_err(usage),
                    false => error,
                };
            }
        };
        let Ok(text) = String::from_utf8(text) else {
            return Err(usage(anyhow::anyhow!(
                "{} is damaged: it is not text; restore it, or remove it to have the defaults",
                path.display()
            )));
        };
        let mut options = toml::from_str::<Options>(&text)
            // The parser's word is several lines long and shows the place.
            .map_err(|error| {
                anyhow::anyhow!("in {}: {}", path.display(), error.to_string().trim_end())
            })
            .map_err(usage)?;
        if let (Some(file), Some(folder)) = (&mut options.private_network, path.parent()) {
            *file = folder.join(&file);
        }
        if let (Some(dir), Some(folder)) = (&mut options.mark_dir, path.parent()) {
            *dir = folder.join(&dir);
        }
        self.set(options)
            .with_context(|| format!("in {}", path.display()))
    }
}

/// Whether a file that cannot be read is the wrong one, or not to be read by
/// this user: both stay so.
fn names_the_wrong_file(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidData
    )
}

fn addresses(option: &str, texts: &[String]) -> anyhow::Result<Vec<Multiaddr>> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            anyhow::anyhow!("{option}: `{text}` is not a multiaddr such as /ip4/192.0.2.1/tcp/4600")
        })
    };
    texts.iter().map(parse).collect()
}

fn max_disk(size: &str) -> anyhow::Result<u64> {
    let bytes = size::parse(size).map_err(|why| anyhow::anyhow!("max_disk: {why}"))?;
    if bytes < MIN_MAX_DISK {
        bail!("max_disk: {size} is too little for a node to work with; allow at least 16 MiB");
    }
    Ok(bytes)
}

fn access_rules(option: &str, texts: &[String]) -> anyhow::Result<Vec<AccessRule>> {
    let rules: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
    rules.map_err(|why: String| anyhow::anyhow!("{option}: {why}"))
}

/// Without the peer id anybody who has taken over the address would do.
fn require_peer_ids(bootstrap: &[Multiaddr]) -> anyhow::Result<()> {
    for address in bootstrap {
        if !matches!(address.iter().last(), Some(Protocol::P2p(_))) {
            bail!(
                "bootstrap: {address} lacks the node's peer id; copy the whole address that the \
                 other node prints, with /p2p/12D3KooW… at its end"
            );
        }
    }
    Ok(())
}
