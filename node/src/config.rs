//! The node's options: what `config.toml` says, and what `run` is told beside
//! it. A flag wins over the file.
//!
//! An option is a field of [`Config`]: what the field says of itself is the help of
//! its flag, if it has one, and the file has it under the field's name.

pub mod access;
pub mod api;
mod file;
pub mod flags;
mod options;
pub mod relay;
mod role;
mod size;
mod text;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::failure::usage;
use anyhow::anyhow;
use clap::{ArgAction, Args};
use headwater_client::object;
use headwater_protocols::limits::OFFER_PERCENT;
use ipnet::IpNet;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde::Deserialize;

use access::{AccessLists, AccessRule, loopback};
use api::ApiOptions;
use file::Refused;
use flags::Flags;
use options::options;
use relay::RelayLimits;
pub use role::Role;
pub use size::Size;
use text::Text;

/// What `init` writes: every option with its default, commented out.
pub const TEMPLATE: &str = include_str!("config/template.toml");

options! {
    /// The options of a node.
    #[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq)]
    #[serde(default, deny_unknown_fields)]
    #[allow(rustdoc::broken_intra_doc_links, reason = "`[default: 4]` of a flag is no link")]
    pub struct Config {
        /// Multiaddrs to listen on; port 0 takes any free one [default: TCP and
        /// QUIC on port 4600]
        #[arg(long, value_name = "MA", num_args = 1.., value_parser = Multiaddr::read)]
        #[serde(deserialize_with = "text::list")]
        pub listen: Vec<Multiaddr> = everywhere(4600),

        /// Multiaddrs at which others reach this node, when it cannot find out
        #[arg(long, value_name = "MA", num_args = 1.., value_parser = Multiaddr::read)]
        #[serde(deserialize_with = "text::list")]
        pub external: Vec<Multiaddr> = Vec::new(),

        /// Nodes to stay connected to, each multiaddr with its /p2p/ id
        #[arg(long, value_name = "MA", num_args = 1.., value_parser = Multiaddr::read)]
        #[serde(deserialize_with = "text::list")]
        pub bootstrap: Vec<Multiaddr> = Vec::new(),

        /// Where the local API listens [default: 127.0.0.1:8600]
        #[arg(long, value_name = "IP:PORT", value_parser = SocketAddr::read)]
        #[serde(deserialize_with = "text::one")]
        pub api_listen: SocketAddr = ([127, 0, 0, 1], 8600).into(),

        /// What the node does for others: peer, bootstrap (introduces newcomers),
        /// relay (connects those behind routers) [default: peer]
        #[arg(
            long = "role", value_name = "ROLE", value_delimiter = ',', num_args = 1..,
            value_parser = Role::read
        )]
        #[serde(deserialize_with = "text::list")]
        pub roles: Vec<Role> = vec![Role::Peer],

        /// Peers of a stream below which the node looks for more, 0 to 64 [default: 4]
        #[arg(long, value_name = "N")]
        // Where everybody has four, the network falls apart with a probability of
        // nearly nothing, and one peer in ten that goes away takes all four with it
        // once in 10,000; 100 streams without a peer in common still fit into the
        // default number of connections.
        pub min_peers: usize = 4,

        /// What the node's streams may take on the disk, such as 20GiB [default: no
        /// bound]
        #[arg(long, value_name = "SIZE", value_parser = Size::read)]
        #[serde(deserialize_with = "text::optional")]
        pub max_disk: Option<Size> = None,

        /// Find peers in the local network by mDNS, and be found there
        #[arg(
            long, action = ArgAction::Set, num_args = 0, default_missing_value = "true",
            hide_possible_values = true
        )]
        pub mdns: bool = false,

        /// Established connections at most [default: 512; 4096 for a bootstrap node
        /// or relay]
        #[arg(long, value_name = "N")]
        pub max_connections: Option<u32> = None,

        /// Connections from one IP address (IPv6: one /64) at most [default: a
        /// sixteenth of all]
        #[arg(long, value_name = "N")]
        pub max_connections_per_ip: Option<u32> = None,

        /// Peer ids and IP networks that are the only ones to connect with
        #[arg(long, value_name = "PEER|NET", num_args = 1.., value_parser = AccessRule::read)]
        #[serde(deserialize_with = "text::list")]
        pub allow: Vec<AccessRule> = Vec::new(),

        /// Peer ids and IP networks that are not connected with
        #[arg(long, value_name = "PEER|NET", num_args = 1.., value_parser = AccessRule::read)]
        #[serde(deserialize_with = "text::list")]
        pub deny: Vec<AccessRule> = Vec::new(),

        /// Key of a private network (`headwater network new`): the node speaks only
        /// with those who have the same one
        #[arg(long, value_name = "FILE")]
        pub private_network: Option<PathBuf> = None,

        /// How likely, in percent, one who joins a stream is answered.
        #[arg(skip)]
        pub offer_percent: u32 = OFFER_PERCENT,

        /// Names under which the API may be called, beside the loopback ones.
        #[arg(skip)]
        pub api_hosts: Vec<String> = Vec::new(),

        /// Who may do what over the API.
        #[arg(skip)]
        #[serde(deserialize_with = "object::one")]
        pub api: ApiOptions = ApiOptions::default(),

        /// Bytes a second that may go through relays.
        #[arg(skip)]
        // Live records of some hundred streams, and a history of 100 MB in two
        // minutes, of bandwidth that others pay for.
        pub relayed_bytes_per_second: u64 = 1 << 20,

        /// The folder of the mark; absent: the user's folder for states. (Its flag
        /// is one that every command has.)
        #[arg(skip)]
        pub mark_dir: Option<PathBuf> = None,

        /// Networks whose addresses are not limited by themselves.
        #[arg(skip)]
        #[serde(deserialize_with = "text::list")]
        pub ip_limits_exempt: Vec<IpNet> = loopback().into(),

        /// What is relayed for others, with the role `relay`.
        #[arg(skip)]
        #[serde(deserialize_with = "object::one")]
        pub relay: RelayLimits = RelayLimits::default(),
    }
}

/// TCP and QUIC over IPv4 and IPv6, at all addresses of the machine.
fn everywhere(port: u16) -> Vec<Multiaddr> {
    let texts = [
        format!("/ip4/0.0.0.0/tcp/{port}"),
        format!("/ip4/0.0.0.0/udp/{port}/quic-v1"),
        format!("/ip6/::/tcp/{port}"),
        format!("/ip6/::/udp/{port}/quic-v1"),
    ];
    let parsed = texts.map(|text| text.parse().expect("it is written as addresses are"));
    parsed.into()
}

impl Config {
    /// What a file says.
    ///
    /// # Errors
    /// The file is missing or cannot be read, or has an option that is unknown or
    /// malformed.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        match file::text(path)? {
            Some(text) => Self::parse(&text, path),
            None => Err(usage(anyhow!("{}: there is none", file::cannot_read(path)))),
        }
    }

    /// What a file says, or the defaults where there is none.
    ///
    /// # Errors
    /// As [`Self::read`], of a file that is there.
    pub fn read_if_there(path: &Path) -> anyhow::Result<Self> {
        match file::text(path)? {
            Some(text) => Self::parse(&text, path),
            None => Ok(Self::default()),
        }
    }

    fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let named = path.display();
        let mut config: Self =
            file::options(text).map_err(|why| usage(anyhow!("in {named}: {why}")))?;
        // What a user writes beside a file is looked for there.
        if let Some(folder) = path.parent() {
            for path in [&mut config.private_network, &mut config.mark_dir] {
                *path = path.take().map(|path| folder.join(path));
            }
        }
        config.check().map_err(|refused| {
            let line = file::line_of(text, refused.option);
            let line = line.map_or_else(String::new, |line| format!(", line {line}"));
            usage(anyhow!("in {named}{line}: {refused}"))
        })?;
        Ok(config)
    }

    /// Takes over what flags say.
    ///
    /// # Errors
    /// A value makes no sense.
    pub fn change(&mut self, flags: &Flags<Self>) -> anyhow::Result<()> {
        flags.change(self).map_err(|error| usage(error.into()))?;
        self.check().map_err(|Refused { option, why }| {
            usage(anyhow!("--{}: {why}", option.replace('_', "-")))
        })
    }

    /// Refuses values that make no sense: a limit that keeps everybody out, say.
    fn check(&self) -> Result<(), Refused> {
        /// Eight streams without a peer in common then fill the connections.
        const MOST_PEERS: usize = 64;
        /// A gossip mesh of six, two sources, and twice as many for who comes.
        const FEWEST_CONNECTIONS: u32 = 16;
        /// The log of writes alone takes up to 64 MiB while the node is busy, and
        /// counts.
        const LEAST_DISK: Size = Size(16 << 20);

        let refuse = |option, why: String| Err(Refused::new(option, why));
        // Without the peer id anybody who has taken over the address would do.
        let names_nobody =
            |address: &&Multiaddr| !matches!(address.iter().last(), Some(Protocol::P2p(_)));
        if let Some(address) = self.bootstrap.iter().find(names_nobody) {
            let why = format!(
                "{address} lacks the node's peer id; copy the whole address that the other node \
                 prints, with /p2p/12D3KooW… at its end"
            );
            return refuse("bootstrap", why);
        }
        if self.roles.is_empty() {
            let why = "the list is empty; name at least one of: peer, bootstrap, relay";
            return refuse("roles", why.to_owned());
        }
        if self.offer_percent > 100 {
            let why = format!(
                "{} is no percentage; name a number from 0 to 100",
                self.offer_percent
            );
            return refuse("offer_percent", why);
        }
        if self.relayed_bytes_per_second == 0 {
            let why = "with 0 nothing would ever arrive through a relay; name a number of bytes, \
                       such as 1048576";
            return refuse("relayed_bytes_per_second", why.to_owned());
        }
        if let Some(size) = self.max_disk.filter(|size| *size < LEAST_DISK) {
            let why =
                format!("{size} are too little for a node to work with; allow at least 16 MiB");
            return refuse("max_disk", why);
        }
        if self.min_peers > MOST_PEERS {
            let why = format!(
                "{} peers for each stream are too many to look for; ask for at most {MOST_PEERS}",
                self.min_peers
            );
            return refuse("min_peers", why);
        }
        if let Some(few) = (self.max_connections).filter(|some| *some < FEWEST_CONNECTIONS) {
            let why = format!(
                "{few} is too few for a node that is part of a network; allow at least \
                 {FEWEST_CONNECTIONS}"
            );
            return refuse("max_connections", why);
        }
        if self.max_connections_per_ip == Some(0) {
            let why = "with 0 nobody could connect; allow at least 1";
            return refuse("max_connections_per_ip", why.to_owned());
        }
        self.relay.check()
    }

    /// Whether the node has a role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Who may be connected with.
    #[must_use]
    pub fn access(&self) -> AccessLists {
        AccessLists {
            allow: self.allow.clone(),
            deny: self.deny.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
