//! What can happen to a network.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;

use super::network::{byte, lan_join, port_of, private_address};
use super::tools::{self, ip, set};
use super::{Half, Kind, Network, Place, rules};
use crate::LOOK_AGAIN;
use crate::namespace::Namespace;

/// How long the slow cable may take to come or to go.
const PLUGGED: Duration = Duration::from_secs(5);

/// How long a router is away that reboots.
const REBOOTS: Duration = Duration::from_secs(1);

/// Added to a node's number in its second address, and to that of its site when it
/// has gone to another network.
const MOVED: usize = 100;

/// What is said of a network that is not there any more.
pub const GONE: &str = "the network's namespaces are gone, as after a restart of the machine; remove what is left with: scripts/testnet down";

/// Something that happens to the network, in the words of `scripts/testnet`.
#[derive(Clone, Debug, Subcommand)]
#[allow(missing_docs, reason = "what its fields are stands with each event")]
pub enum Event {
    /// The router of a node is away for a moment, and has forgotten all connections
    /// when it is back.
    RebootRouter {
        #[arg(value_parser = node)]
        node: usize,
    },
    /// The router of a node knows none of its connections any more, nor does it
    /// take up one in the middle. Its cable stays plugged, so that neither end
    /// hears of it.
    Forget {
        #[arg(value_parser = node)]
        node: usize,
    },
    /// A node gets another address in the same network. The old one is dead: what
    /// comes for it, or still leaves from it, is lost.
    Move {
        #[arg(value_parser = node)]
        node: usize,
    },
    /// A node gets the address that it had before it moved.
    Return {
        #[arg(value_parser = node)]
        node: usize,
    },
    /// A node goes to another network of the same household: its router leads from
    /// one to the other.
    Part {
        #[arg(value_parser = node)]
        node: usize,
    },
    /// A node goes behind a new router, as from the Wi-Fi to the phone.
    Roam {
        #[arg(value_parser = node)]
        node: usize,
        kind: Kind,
    },
    /// Packets above so many bytes are lost at a node's place, each way, and nobody
    /// is told.
    Hole {
        #[arg(value_parser = node)]
        node: usize,
        #[arg(value_parser = bytes)]
        bytes: Setting<u16>,
    },
    /// What goes in and out at a node's place has a rate, in tc's words (10mbit).
    Limit {
        #[arg(value_parser = node)]
        node: usize,
        #[arg(value_parser = rate)]
        rate: Setting<String>,
    },
    /// A share of the packets is lost at a node's place, each way.
    Lose {
        #[arg(value_parser = node)]
        node: usize,
        #[arg(value_parser = percent)]
        percent: Setting<f64>,
    },
    /// What goes from one half to the other is so long on its way.
    Delay {
        #[arg(value_parser = milliseconds)]
        ms: Setting<u16>,
    },
    /// The halves do not reach each other.
    Cut,
    /// They do again.
    Heal,
}

/// A value, or that things are as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting<T> {
    /// As they were.
    Off,
    /// So much.
    To(T),
}

fn node(text: &str) -> Result<usize> {
    text.parse()
        .with_context(|| format!("{text} is no number of a node"))
}

/// Reads a setting by a reader of its values.
fn setting<T>(text: &str, what: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Setting<T>> {
    match text {
        "off" => Ok(Setting::Off),
        _ => Ok(Setting::To(
            read(text).with_context(|| format!("{text} is not {what}"))?,
        )),
    }
}

fn bytes(text: &str) -> Result<Setting<u16>> {
    let what = "a size in bytes (of three or four digits); write off to lose nothing";
    let is_size = |bytes: &u16| (100..10_000).contains(bytes);
    setting(text, what, |text| text.parse().ok().filter(is_size))
}

fn milliseconds(text: &str) -> Result<Setting<u16>> {
    let what = "a delay in milliseconds (below 10,000); write off for none";
    let is_delay = |ms: &u16| (1..10_000).contains(ms);
    setting(text, what, |text| text.parse().ok().filter(is_delay))
}

fn percent(text: &str) -> Result<Setting<f64>> {
    let what = "a share such as 2%; write off to lose nothing";
    let is_share = |share: &f64| (0.0..100.0).contains(share);
    setting(text, what, |text| {
        let number = text.strip_suffix('%').unwrap_or(text);
        number.parse().ok().filter(is_share)
    })
}

/// `tc` says whether it is one.
fn rate(text: &str) -> Result<Setting<String>> {
    setting(text, "a rate", |text| Some(text.to_owned()))
}

impl Network {
    /// Lets something happen to it.
    ///
    /// # Errors
    /// There is no such node, it cannot happen to it, or a step fails.
    pub fn apply(&mut self, event: &Event) -> Result<()> {
        ensure!(self.is_there(), "{GONE}");
        tools::ensure_root()?;
        match event {
            Event::RebootRouter { node } => self.reboot(*node),
            Event::Forget { node } => self.forget(*node),
            Event::Move { node } => self.move_on(*node),
            Event::Return { node } => self.move_back(*node),
            Event::Part { node } => self.part(*node),
            Event::Roam { node, kind } => self.roam(*node, *kind),
            Event::Hole { node, bytes } => self.hole(*node, bytes),
            Event::Limit { node, rate } => self.limit(*node, rate),
            Event::Lose { node, percent } => self.lose(*node, percent),
            Event::Delay { ms } => self.delay(ms),
            Event::Cut => self.set_cable("down"),
            Event::Heal => self.set_cable("up"),
        }
    }

    /// Where a node with a router, or a firewall, is.
    fn with_router(&self, node: usize) -> Result<&Place> {
        let place = self.place(node)?;
        ensure!(place.kind != Kind::Public, "node {node} has no router");
        Ok(place)
    }

    fn reboot(&self, node: usize) -> Result<()> {
        let place = self.with_router(node)?;
        let router = &place.router;
        let (internet, socket) = (self.internet(), self.socket(router));
        // At the other end of the cable: its own addresses and routes stay.
        ip(&internet, &format!("link set {socket} down\n"))?;
        thread::sleep(REBOOTS);
        self.set_rules(place.kind, router)?;
        tools::run_in(router, "conntrack", &["-F"], "")?;
        tools::run_in(router, "conntrack", &["-F", "-f", "ipv6"], "")?;
        ip(&internet, &format!("link set {socket} up\n"))
    }

    fn forget(&self, node: usize) -> Result<()> {
        let router = &self.with_router(node)?.router;
        set(router, "netfilter/nf_conntrack_tcp_loose", 0)?;
        // What it does not know would leave it with an address of the LAN.
        let unknown = "-t mangle -I FORWARD -m conntrack --ctstate INVALID -j DROP";
        iptables(router, unknown)?;
        tools::run_in(router, "conntrack", &["-F"], "").map(drop)
    }

    fn move_on(&mut self, node: usize) -> Result<()> {
        let [_, second] = self.addresses(node)?;
        let address = self.place(node)?.address;
        ensure!(address != second, "node {node} has moved before");
        self.change_address(node, second)
    }

    fn move_back(&mut self, node: usize) -> Result<()> {
        let [first, _] = self.addresses(node)?;
        let place = self.place(node)?;
        ensure!(place.address != first, "node {node} has not moved");
        // Nothing else is in there but what buries it.
        iptables(&place.namespace, "-t raw -F")?;
        self.change_address(node, first)
    }

    /// The first and the second address of a node in the network where it is.
    fn addresses(&self, node: usize) -> Result<[Ipv4Addr; 2]> {
        let [a, b, c, _] = self.place(node)?.address.octets();
        let with = |last| Ipv4Addr::new(a, b, c, last);
        Ok([with(byte(node)?), with(byte(node + MOVED)?)])
    }

    fn change_address(&mut self, node: usize, moved: Ipv4Addr) -> Result<()> {
        let place = self.place(node)?;
        let (old, device) = (place.address, place.device());
        bury(place)?;
        let [a, b, c, _] = old.octets();
        let (other, gateway) = if place.is_behind_router() {
            (String::new(), Ipv4Addr::new(a, b, c, 1))
        } else {
            let other = format!("route add 203.0.113.0/24 dev {device}\n");
            (other, Ipv4Addr::new(198, 51, 100, 254))
        };
        ip(
            &place.namespace,
            &format!(
                "\
address del {old}/24 dev {device}
address add {moved}/24 dev {device}
{other}route add default via {gateway}
"
            ),
        )?;
        self.place_mut(node)?.address = moved;
        Ok(())
    }

    fn part(&mut self, node: usize) -> Result<()> {
        let place = self.place(node)?;
        let old = place.address;
        let [10, 0, site, _] = old.octets() else {
            bail!("node {node} is not in the first network behind a router");
        };
        let parted = Ipv4Addr::new(10, 1, site, byte(node)?);
        let router = &place.router;
        ip(
            router,
            &format!("address replace 10.1.{site}.1/24 dev lan\n"),
        )?;
        // It says where a shorter way is, which leads out of the other's network.
        set(router, "ipv4/conf/all/send_redirects", 0)?;
        set(router, "ipv4/conf/lan/send_redirects", 0)?;
        ip(
            &place.namespace,
            &format!(
                "\
address del {old}/24 dev lan
address add {parted}/24 dev lan
route add default via 10.1.{site}.1
"
            ),
        )?;
        self.place_mut(node)?.address = parted;
        Ok(())
    }

    fn roam(&mut self, node: usize, kind: Kind) -> Result<()> {
        ensure!(
            !matches!(kind, Kind::Public | Kind::Firewall | Kind::DualStack),
            "there is no router of the kind {kind} to go behind"
        );
        let place = self.place(node)?;
        let site = node + MOVED;
        let (router, moved) = (self.router(site), private_address(site, node)?);
        ensure!(!router.exists(), "node {node} has gone before");
        bury(place)?;
        let machine = place.namespace.clone();
        ip(&machine, &format!("link del {}\n", place.device()))?;
        self.router_up(site, Half::East)?;
        lan_join(&router, &machine, site, node, moved)?;
        let port = port_of(node)?;
        let place = self.place_mut(node)?;
        *place = Place {
            node,
            kind,
            half: Half::East,
            namespace: machine,
            router: router.clone(),
            address: moved,
            port,
            address6: None,
        };
        self.set_rules(kind, &router)
    }

    fn place_mut(&mut self, node: usize) -> Result<&mut Place> {
        let found = self.places.iter_mut().find(|place| place.node == node);
        found.with_context(|| format!("there is no node {node}"))
    }

    /// The interfaces on the way hand over packets as they go over a wire, not many
    /// of them in one.
    fn hole(&self, node: usize, bytes: &Setting<u16>) -> Result<()> {
        let place = self.place(node)?;
        let one_by_one = |device: &str| format!("link set {device} gso_max_segs 1\n");
        ip(&place.namespace, &one_by_one(place.device()))?;
        ip(&place.router, &one_by_one("wan"))?;
        ip(&self.internet(), &one_by_one(self.socket(&place.router)))?;
        let condition = match bytes {
            Setting::Off => None,
            Setting::To(bytes) => Some(format!("-m length --length {}:65535", bytes + 1)),
        };
        let rules = rules::both_ways(condition.as_deref());
        tools::restore(&place.router, "iptables-restore", &rules)
    }

    fn lose(&self, node: usize, percent: &Setting<f64>) -> Result<()> {
        let router = &self.place(node)?.router;
        let condition = match percent {
            Setting::Off => None,
            Setting::To(percent) => {
                let probability = percent / 100.0;
                Some(format!(
                    "-m statistic --mode random --probability {probability}"
                ))
            }
        };
        let rules = rules::both_ways(condition.as_deref());
        tools::restore(router, "iptables-restore", &rules)?;
        tools::restore(router, "ip6tables-restore", &rules)
    }

    fn limit(&self, node: usize, rate: &Setting<String>) -> Result<()> {
        let router = &self.place(node)?.router;
        let internet = self.internet();
        for (namespace, device) in [(router, "wan"), (&internet, self.socket(router))] {
            // There may be none.
            let _ = tools::tc(namespace, &["qdisc", "delete", "dev", device, "root"]);
            let Setting::To(rate) = rate else {
                continue;
            };
            // A queue of 200 ms is what home routers are like on a good day.
            let args =
                format!("qdisc add dev {device} root tbf rate {rate} burst 64kb latency 200ms");
            let args: Vec<_> = args.split(' ').collect();
            tools::tc(namespace, &args).with_context(|| {
                format!("{rate} is not a rate such as 10mbit; write off to lift the cap")
            })?;
        }
        Ok(())
    }

    /// Whether the two halves reach each other.
    fn set_cable(&self, way: &str) -> Result<()> {
        let internet = self.internet();
        let cable = if has_slow_cable(&internet) {
            "slow-west"
        } else {
            "cable"
        };
        ip(&internet, &format!("link set {cable} {way}\n"))
    }

    fn delay(&self, ms: &Setting<u16>) -> Result<()> {
        let internet = self.internet();
        if has_slow_cable(&internet) {
            // Nothing else runs there, and its devices go with it.
            tools::kill_all(&internet)?;
            wait_until("the slow cable goes", || !has_slow_cable(&internet))?;
        }
        ip(&internet, "link set cable up\n")?;
        let Setting::To(ms) = ms else {
            return Ok(());
        };
        let program = slow_cable()?;
        let log_path = self.folder.join("slow-cable.log");
        let log = File::create(&log_path)?;
        let errors = log.try_clone()?;
        let spawn = || {
            Command::new(program)
                .args([&ms.to_string(), "slow-west", "slow-east"])
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(errors)
                // Ctrl-C is not for it.
                .process_group(0)
                .spawn()
        };
        let mut cable = internet.enter(spawn)?.context("cannot run slow-cable")?;
        // Whoever still runs when it ends takes its status.
        thread::spawn(move || cable.wait());
        let log = log_path.display();
        wait_until(&format!("the slow cable comes; see {log}"), || {
            tools::has_device(&internet, "slow-east")
        })?;
        ip(
            &internet,
            "\
link set cable down
link set slow-west master west up
link set slow-east master east up
",
        )
    }
}

/// Nothing comes for a node's address any more, and nothing leaves from it.
fn bury(place: &Place) -> Result<()> {
    let address = place.address;
    iptables(
        &place.namespace,
        &format!("-t raw -A PREROUTING -d {address} -j DROP"),
    )?;
    iptables(
        &place.namespace,
        &format!("-t raw -A OUTPUT -s {address} -j DROP"),
    )
}

fn iptables(namespace: &Namespace, args: &str) -> Result<()> {
    let args: Vec<_> = args.split(' ').collect();
    tools::run_in(namespace, "iptables", &args, "").map(drop)
}

/// Whether the cable that takes its time is plugged.
fn has_slow_cable(internet: &Namespace) -> bool {
    tools::has_device(internet, "slow-west")
}

/// The program, which is built with the one that runs.
fn slow_cable() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let beside = (this.ancestors())
        .map(|dir| dir.join("slow-cable"))
        .find(|path| path.is_file());
    beside.with_context(|| {
        let this = this.display();
        format!("slow-cable is missing beside {this}; build it with: scripts/test")
    })
}

fn wait_until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let until = Instant::now() + PLUGGED;
    while !holds() {
        ensure!(Instant::now() < until, "gave up after {PLUGGED:?}: {what}");
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}
