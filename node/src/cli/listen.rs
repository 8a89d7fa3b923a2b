//! Whether a node can listen where it is told to.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::anyhow;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::config::Config;
use crate::failure::Failure;

/// What an address is listened on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Tcp(SocketAddr),
    Udp(SocketAddr),
}

/// The addresses to listen on. Of the default ones, those over IPv6 are left
/// out where the machine has none.
///
/// # Errors
/// A port is in use. libp2p would not notice: it lets several sockets share a
/// TCP port (SO_REUSEPORT), and each of two nodes would get a part of the
/// connections that are meant for the other.
pub(super) fn addresses(config: &Config) -> anyhow::Result<Vec<Multiaddr>> {
    let mut addresses = config.listen.clone();
    if addresses == Config::default().listen && !has_ipv6() {
        addresses.retain(|address| !matches!(address.iter().next(), Some(Protocol::Ip6(_))));
    }
    for address in &addresses {
        if let Some(port) = port_of(address) {
            check(port, address)?;
        }
    }
    Ok(addresses)
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// The port that is bound; `None` when it is any free one, or the address is of
/// a kind that libp2p has to judge.
fn port_of(address: &Multiaddr) -> Option<Port> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::from(ip),
        Protocol::Ip6(ip) => IpAddr::from(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(0) | Protocol::Udp(0) => None,
        Protocol::Tcp(port) => Some(Port::Tcp((ip, port).into())),
        Protocol::Udp(port) => Some(Port::Udp((ip, port).into())),
        _ => None,
    }
}

fn check(port: Port, address: &Multiaddr) -> anyhow::Result<()> {
    let (bound, name, number) = match port {
        Port::Tcp(socket) => (TcpListener::bind(socket).map(drop), "TCP", socket.port()),
        Port::Udp(socket) => (UdpSocket::bind(socket).map(drop), "UDP", socket.port()),
    };
    let Err(error) = bound else {
        return Ok(());
    };
    let failure = not_bound(&error);
    Err(failure.mark(match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{name} port {number} is in use by another program, perhaps another node: cannot listen \
             on {address}; name another address with --listen (port 0 takes any free one)"
        ),
        _ => anyhow!("cannot listen on {address}: {error}; name another address with --listen"),
    }))
}

/// What it means that a port could not be bound: another program may end, and
/// an address may come with the network; a right that is missing stays so.
pub(super) fn not_bound(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::InvalidInput => Failure::Usage,
        _ => Failure::ForNow,
    }
}

/// How useful an address is to another machine, the best first: what can be
/// dialled from elsewhere before what cannot, TCP (faster for history) before
/// QUIC.
pub(super) fn usefulness(address: &Multiaddr) -> (u8, u8) {
    let reach = match address.iter().next() {
        Some(Protocol::Ip4(ip)) if ip.is_loopback() || ip.is_unspecified() => 3,
        Some(Protocol::Ip6(ip)) if ip.is_loopback() || ip.is_unspecified() => 3,
        Some(Protocol::Ip4(ip)) if ip.is_link_local() => 2,
        Some(Protocol::Ip6(ip)) if ip.is_unicast_link_local() => 2,
        Some(Protocol::Ip6(_)) => 1,
        _ => 0,
    };
    let transport = u8::from(!address.iter().any(|part| matches!(part, Protocol::Tcp(_))));
    (reach, transport)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str) -> Config {
        Config {
            listen: vec![listen.parse().unwrap()],
            ..Config::default()
        }
    }

    #[test]
    fn a_port_in_use_is_told_with_its_number_and_the_flag() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        let error = addresses(&config(&format!("/ip4/127.0.0.1/tcp/{port}")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("TCP port {port} is in use")) && error.contains("--listen"),
            "{error}"
        );

        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        let error = addresses(&config(&format!("/ip4/127.0.0.1/udp/{port}/quic-v1")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("UDP port {port} is in use")),
            "{error}"
        );

        drop(tcp);
        assert!(addresses(&config("/ip4/127.0.0.1/tcp/0")).is_ok());
        assert!(addresses(&config("/ip4/192.0.2.1/tcp/4600")).is_err());
    }

    #[test]
    fn what_another_machine_can_dial_comes_first() {
        let mut addresses: Vec<Multiaddr> = [
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip6/2001:db8::1/tcp/1",
            "/ip4/192.0.2.1/udp/1/quic-v1",
            "/ip4/192.0.2.1/tcp/1",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        let expected: Vec<Multiaddr> = [4, 3, 2, 1, 0].map(|i| addresses[i].clone()).to_vec();
        addresses.sort_by_key(usefulness);
        assert_eq!(addresses, expected);
    }
}
