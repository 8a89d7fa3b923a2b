//! A small internet of network namespaces.
//!
//! ```text
//!     node 1   node 2     router 2 (NAT)   router 3 (NAT)
//!        │        │          │     └ node 3   │   └ node 4
//!        └─ west ─┴───┐      │                │
//!                     └─── cable ──── east ───┘
//! ```
//!
//! West and east are bridges in a namespace of their own, so nothing of it is in
//! the machine's own one, and a namespace that is deleted takes everything along.
//! Public machines are in 198.51.100.0/24 and 2001:db8::/64, the WAN sides of the
//! routers in 203.0.113.0/24 (all set aside for documentation), the LANs in
//! 10.0.0.0/16. What has no route is lost without a word, as in the real one.
//!
//! Behind a dual-stack router, as from a provider that has no IPv4 addresses left,
//! IPv4 is mapped as by a symmetric router. Over IPv6 everybody has an address of
//! their own, in 2001:db8:SITE::/64, and the router lets in what answers only. All
//! of 2001:db8::/32 is one link, on which a router speaks for those behind it: so
//! each half goes on by itself when the network is cut.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::tools::{self, ip, set};
use super::{Half, Kind, Place, rules};
use crate::namespace::Namespace;

/// Most nodes: a byte of their addresses is their number.
const MOST_NODES: usize = 250;

/// A network, or one that is to be.
#[derive(Debug)]
pub struct Network {
    /// What its namespaces' names begin with.
    prefix: String,
    /// Its folder, for a log.
    pub(super) folder: PathBuf,
    pub(super) places: Vec<Place>,
}

impl Network {
    /// The network of a folder, with the places that there are. Each folder's has
    /// names of its own, so that several run side by side.
    #[must_use]
    pub fn new(folder: &Path, places: Vec<Place>) -> Self {
        let digest = Sha256::digest(format!("{}\n", folder.display()));
        let prefix = format!(
            "headwater-{:02x}{:02x}{:02x}",
            digest[0], digest[1], digest[2]
        );
        Self {
            prefix,
            folder: folder.to_owned(),
            places,
        }
    }

    /// Whether there can be one on this machine.
    ///
    /// # Errors
    /// [`super::Refused`] with the reason, if not.
    pub fn allowed(&self) -> Result<()> {
        tools::allowed(&self.space("trial"))
    }

    /// Whether so many nodes have places in it.
    ///
    /// # Errors
    /// They have not.
    pub fn ensure_has_places(&self, count: usize) -> Result<()> {
        ensure!(
            count <= MOST_NODES,
            "at most {MOST_NODES} nodes have a place behind routers"
        );
        Ok(())
    }

    /// Puts it up: node 1 is public, the others are behind one router for each
    /// kind, in turn.
    ///
    /// # Errors
    /// A step fails; what was made is left, for [`Network::down`].
    pub fn up(&mut self, count: usize, kinds: &[Kind]) -> Result<()> {
        ensure!(!kinds.is_empty(), "name the kinds of routers");
        self.ensure_has_places(count)?;
        self.internet_up()?;
        self.add(1, Kind::Public, 0)?;
        for node in 2..=count {
            let turn = (node - 2) % kinds.len();
            self.add(node, kinds[turn], turn + 1)?;
        }
        Ok(())
    }

    /// Takes down whatever there is, also what a program that was killed has left,
    /// with what runs in it.
    ///
    /// # Errors
    /// A namespace cannot be deleted.
    pub fn down(&self) -> Result<()> {
        for namespace in self.namespaces() {
            tools::delete(&namespace)?;
        }
        Ok(())
    }

    /// The namespaces that are there.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Namespace> {
        Namespace::of_prefix(&format!("{}-", self.prefix))
    }

    /// Whether it has not gone with a restart of the machine.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.internet().exists()
    }

    /// Where each node is, in the order of their numbers.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Where a node is.
    ///
    /// # Errors
    /// There is no such node.
    pub fn place(&self, node: usize) -> Result<&Place> {
        let found = self.places.iter().find(|place| place.node == node);
        found.with_context(|| {
            let nodes: Vec<_> = (self.places.iter())
                .map(|place| place.node.to_string())
                .collect();
            format!("there is no node {node}; there are: {}", nodes.join(" "))
        })
    }

    /// A machine for a node, and a router of this number if it needs one that is
    /// not there yet.
    ///
    /// # Errors
    /// A step fails.
    pub fn add(&mut self, node: usize, kind: Kind, site: usize) -> Result<()> {
        self.ensure_has_places(node.max(site))?;
        let namespace = self.machine(node);
        let half = if site > 0 && site.is_multiple_of(2) {
            Half::East
        } else {
            Half::West
        };
        tools::add(&namespace)?;
        let place = match kind {
            Kind::Public | Kind::Firewall => self.plug_public(node, kind, half, namespace)?,
            _ => {
                let router = self.router(site);
                if !router.exists() {
                    self.router_up(site, half)?;
                }
                let address = private_address(site, node)?;
                lan_join(&router, &namespace, site, node, address)?;
                let address6 = match kind {
                    Kind::DualStack => Some(lan_join_ip6(&router, &namespace, site, node)?),
                    _ => None,
                };
                Place {
                    node,
                    kind,
                    half,
                    namespace,
                    router,
                    address,
                    port: port_of(node)?,
                    address6,
                }
            }
        };
        let router = place.router.clone();
        self.places.push(place);
        self.set_rules(kind, &router)
    }

    fn plug_public(
        &self,
        node: usize,
        kind: Kind,
        half: Half,
        namespace: Namespace,
    ) -> Result<Place> {
        let address = Ipv4Addr::new(198, 51, 100, byte(node)?);
        let address6: Ipv6Addr = format!("2001:db8::{node}").parse()?;
        let (name, gateway) = (format!("n{node}"), "198.51.100.254");
        self.plug(&namespace, half, &name, address, gateway)?;
        ip(
            &namespace,
            &format!("address add {address6}/32 dev wan nodad\n"),
        )?;
        Ok(Place {
            node,
            kind,
            half,
            router: namespace.clone(),
            namespace,
            address,
            port: port_of(node)?,
            address6: Some(address6),
        })
    }

    fn internet_up(&self) -> Result<()> {
        let internet = self.internet();
        tools::add(&internet)?;
        ip(
            &internet,
            "\
link add west type bridge mcast_snooping 0
link add east type bridge mcast_snooping 0
link add cable type veth peer name cable-end
link set cable master west up
link set cable-end master east up
address add 198.51.100.254/24 dev west
address add 203.0.113.254/24 dev west
link set west up
link set east up
link set lo up
route add blackhole default
",
        )?;
        set(&internet, "ipv4/ip_forward", 1)
    }

    pub(super) fn router_up(&self, site: usize, half: Half) -> Result<()> {
        let router = self.router(site);
        let outside = Ipv4Addr::new(203, 0, 113, byte(site)?);
        tools::add(&router)?;
        let name = format!("r{site}");
        self.plug(&router, half, &name, outside, "203.0.113.254")?;
        ip(
            &router,
            &format!(
                "\
link add lan type bridge mcast_snooping 0
address add 10.0.{site}.1/24 dev lan
link set lan up
"
            ),
        )?;
        set(&router, "ipv4/ip_forward", 1)
    }

    /// The interface `wan` of a machine, in the internet.
    fn plug(
        &self,
        namespace: &Namespace,
        half: Half,
        name: &str,
        address: Ipv4Addr,
        gateway: &str,
    ) -> Result<()> {
        // What is not in the same net is on the same bridges all the same.
        let other = if address.octets()[0] == 203 {
            "198.51.100.0/24"
        } else {
            "203.0.113.0/24"
        };
        let machine = namespace.name();
        ip(
            &self.internet(),
            &format!(
                "\
link add {name} type veth peer name wan netns {machine}
link set {name} master {half} up
"
            ),
        )?;
        ip(
            namespace,
            &format!(
                "\
link set lo up
address add {address}/24 dev wan
link set wan up
route add {other} dev wan
route add default via {gateway}
"
            ),
        )
    }

    /// Replaces all the rules of a router, or of a machine that is its own
    /// firewall.
    pub(super) fn set_rules(&self, kind: Kind, router: &Namespace) -> Result<()> {
        let ip4 = |rules: &str| tools::restore(router, "iptables-restore", rules);
        let ip6 = |rules: &str| tools::restore(router, "ip6tables-restore", rules);
        match kind {
            Kind::Public => return Ok(()),
            Kind::Firewall => {
                ip4(rules::FIREWALL)?;
                return ip6(rules::FIREWALL_IP6);
            }
            _ => {}
        }
        let inside: Vec<_> = (self.places.iter())
            .filter(|place| place.router == *router)
            .map(|place| (place.address, place.port))
            .collect();
        ip4(&rules::router(
            kind,
            &tools::address_of(router, "wan")?,
            &inside,
        ))?;
        match kind {
            Kind::DualStack => ip6(rules::DUAL_STACK_IP6),
            _ => Ok(()),
        }
    }

    fn space(&self, name: &str) -> Namespace {
        Namespace::named(&format!("{}-{name}", self.prefix))
    }

    /// The one with the two bridges.
    pub(super) fn internet(&self) -> Namespace {
        self.space("net")
    }

    pub(super) fn router(&self, site: usize) -> Namespace {
        self.space(&format!("r{site}"))
    }

    fn machine(&self, node: usize) -> Namespace {
        self.space(&format!("n{node}"))
    }

    /// The internet's end of the cable to a router, or to a machine without one.
    pub(super) fn socket<'a>(&self, router: &'a Namespace) -> &'a str {
        let name = router.name();
        name.rsplit_once('-').map_or(name, |(_, socket)| socket)
    }
}

/// Where a node listens, and what a full cone forwards to it.
pub(super) fn port_of(node: usize) -> Result<u16> {
    Ok(4600 + u16::try_from(node)?)
}

pub(super) fn private_address(site: usize, node: usize) -> Result<Ipv4Addr> {
    Ok(Ipv4Addr::new(10, 0, byte(site)?, byte(node)?))
}

/// A number as a part of an address.
pub(super) fn byte(number: usize) -> Result<u8> {
    let byte = u8::try_from(number).ok().filter(|byte| *byte < 254);
    byte.with_context(|| format!("no address has {number} in it: this goes for low numbers only"))
}

/// Plugs a machine into the LAN of a router.
pub(super) fn lan_join(
    router: &Namespace,
    namespace: &Namespace,
    site: usize,
    node: usize,
    address: Ipv4Addr,
) -> Result<()> {
    let machine = namespace.name();
    ip(
        router,
        &format!(
            "\
link add n{node} type veth peer name lan netns {machine}
link set n{node} master lan up
"
        ),
    )?;
    ip(
        namespace,
        &format!(
            "\
link set lo up
address add {address}/24 dev lan
link set lan up
route add default via 10.0.{site}.1
"
        ),
    )
}

/// IPv6 as well; the machine's address.
fn lan_join_ip6(
    router: &Namespace,
    namespace: &Namespace,
    site: usize,
    node: usize,
) -> Result<Ipv6Addr> {
    let address: Ipv6Addr = format!("2001:db8:{site}::{node}").parse()?;
    ip(
        router,
        &format!(
            "\
address replace 2001:db8:ffff::{site}/32 dev wan nodad
address replace 2001:db8:{site}::1/64 dev lan nodad
neighbour add proxy {address} dev wan
"
        ),
    )?;
    ip(
        namespace,
        &format!(
            "\
address add {address}/64 dev lan nodad
route add default via 2001:db8:{site}::1
"
        ),
    )?;
    set(router, "ipv6/conf/all/forwarding", 1)?;
    set(router, "ipv6/conf/wan/proxy_ndp", 1)?;
    // For others a router would answer up to a second later.
    set(router, "ipv6/neigh/wan/proxy_delay", 0)?;
    Ok(address)
}
