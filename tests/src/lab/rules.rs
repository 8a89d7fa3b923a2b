//! The rules of the lab's routers.
//!
//! How a router drops is what decides whether hole punching works. Both nodes
//! dial at once, and the first packet to arrive always beats the other's way
//! out: a router that answered with RST, or let the packet make a conntrack
//! entry, would end the attempt. Home routers say nothing, and so do these.

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::Kind;

/// What a remapping router uses instead of a node's own port.
const REMAPPED_PORTS: &str = "20000-29999";

/// Of a machine that is its own firewall, over IPv4.
pub(super) const FIREWALL: &str = "\
*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
COMMIT
";

/// The same over IPv6: without neighbour discovery there is none at all.
pub(super) const FIREWALL_IP6: &str = "\
*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p ipv6-icmp -j ACCEPT
COMMIT
";

/// Of a dual-stack router, over IPv6.
pub(super) const DUAL_STACK_IP6: &str = "\
*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
-A FORWARD -i lan -j ACCEPT
-A FORWARD -i wan -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
COMMIT
";

/// What every router lets in and out over IPv4.
const FILTER: &str = "\
*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
-A INPUT -i wan -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -i wan -j DROP
-A FORWARD -i lan -j ACCEPT
-A FORWARD -i wan -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
";

/// Of a router over IPv4, with its address outside, and the machines inside with
/// the port that each may have forwarded.
pub(super) fn router(kind: Kind, outside: &str, inside: &[(Ipv4Addr, u16)]) -> String {
    let mut filter = FILTER.to_owned();
    let mut nat = "*nat\n".to_owned();
    if kind == Kind::FullCone {
        filter.push_str("-A FORWARD -i wan -m conntrack --ctstate DNAT -j ACCEPT\n");
        for (address, port) in inside {
            for protocol in ["tcp", "udp"] {
                let _ = writeln!(
                    nat,
                    "-A PREROUTING -i wan -p {protocol} --dport {port} -j DNAT --to-destination {address}"
                );
            }
        }
    }
    match kind {
        // The same port as inside while it is free, whomever it talks to.
        Kind::FullCone | Kind::PortRestricted => {
            nat.push_str("-A POSTROUTING -o wan -j MASQUERADE\n");
        }
        // Another port for everybody it talks to.
        Kind::Symmetric | Kind::DualStack => {
            nat.push_str("-A POSTROUTING -o wan -j MASQUERADE --random-fully\n");
        }
        // Another port than inside, the same one whomever it talks to.
        Kind::Remap => {
            for protocol in ["tcp", "udp"] {
                let _ = writeln!(
                    nat,
                    "-A POSTROUTING -o wan -p {protocol} -j SNAT --to-source {outside}:{REMAPPED_PORTS}"
                );
            }
        }
        // They have no router.
        Kind::Public | Kind::Firewall => {}
    }
    format!("{filter}COMMIT\n{nat}COMMIT\n")
}

/// What is done to all that goes in and out, over either protocol.
pub(super) fn both_ways(condition: Option<&str>) -> String {
    let rules = condition.map_or_else(String::new, |condition| {
        format!(
            "-A PREROUTING -i wan {condition} -j DROP\n-A POSTROUTING -o wan {condition} -j DROP\n"
        )
    });
    format!("*mangle\n{rules}COMMIT\n")
}
