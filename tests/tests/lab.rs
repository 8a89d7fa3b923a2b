//! The NAT lab itself: what its routers do to plain UDP and TCP, and what its
//! commands do to the network. Were they wrong, every test that uses the lab
//! would prove something else than it says.

mod ipv6;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::lab::{Kind, Lab, Place};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, timeout};

/// How long something is awaited that must not come. What does come takes a
/// millisecond.
const SILENCE: Duration = Duration::from_millis(300);

/// How long two nodes try to reach each other.
const PUNCH: Duration = Duration::from_secs(2);

/// A UDP socket on the node's machine.
fn udp(place: &Place, port: u16) -> Result<UdpSocket> {
    udp_at(place, (Ipv4Addr::UNSPECIFIED, port).into())
}

fn udp_at(place: &Place, at: SocketAddr) -> Result<UdpSocket> {
    let bind = || -> Result<std::net::UdpSocket> {
        let socket = std::net::UdpSocket::bind(at)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    Ok(UdpSocket::from_std(place.namespace.enter(bind)??)?)
}

/// A TCP socket on the node's machine, which shares its port with others.
fn tcp(place: &Place, port: u16) -> Result<TcpSocket> {
    tcp_at(place, (Ipv4Addr::UNSPECIFIED, port).into())
}

fn tcp_at(place: &Place, at: SocketAddr) -> Result<TcpSocket> {
    let open = || match at {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = place.namespace.enter(open)??;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(at)?;
    Ok(socket)
}

fn listen(place: &Place, port: u16) -> Result<TcpListener> {
    Ok(tcp(place, port)?.listen(16)?)
}

/// Where a socket of a public place is reached.
fn address(place: &Place, port: u16) -> SocketAddr {
    SocketAddrV4::new(place.address, port).into()
}

/// The next packet, and from where; `None` after silence.
async fn heard(socket: &UdpSocket, patience: Duration) -> Option<(String, SocketAddr)> {
    let mut buffer = [0; 64];
    let (size, from) = timeout(patience, socket.recv_from(&mut buffer))
        .await
        .ok()?
        .ok()?;
    Some((String::from_utf8_lossy(&buffer[..size]).into_owned(), from))
}

/// Under which address a UDP socket is seen by a public one.
async fn udp_seen(from: &UdpSocket, by: &Place, at: &UdpSocket) -> Result<SocketAddr> {
    let port = at.local_addr()?.port();
    from.send_to(b"who am I", address(by, port)).await?;
    let (_, seen) = heard(at, PUNCH).await.context("it did not get out")?;
    at.send_to(b"you", seen).await?;
    let answer = heard(from, PUNCH).await.context("no answer got in")?;
    ensure!(answer.0 == "you", "{answer:?}");
    Ok(seen)
}

/// Under which address a TCP port is seen by a public place. The connection is
/// returned, because a router forgets a port with the last one.
async fn tcp_seen(
    from: &Place,
    by: &Place,
    at: &TcpListener,
) -> Result<(SocketAddr, TcpStream, TcpStream)> {
    let port = at.local_addr()?.port();
    let ours = tcp(from, from.port)?.connect(address(by, port)).await?;
    let (theirs, seen) = timeout(PUNCH, at.accept()).await??;
    Ok((seen, ours, theirs))
}

/// Checks what two public places see of a node against its router's name.
fn ensure_mapping(place: &Place, one: SocketAddr, other: SocketAddr) -> Result<()> {
    let own = SocketAddr::new(IpAddr::V4(place.address), place.port);
    let inside = matches!(place.kind, Kind::Public | Kind::Firewall);
    ensure!((one.ip() == own.ip()) == inside, "{one} of {own}");
    let alike = match place.kind {
        Kind::Symmetric | Kind::DualStack => one.port() != other.port(),
        Kind::Remap => one == other && (20_000..30_000).contains(&one.port()),
        Kind::Public | Kind::Firewall => one == own && other == own,
        Kind::FullCone | Kind::PortRestricted => one == other && one.port() == own.port(),
    };
    ensure!(alike, "{}: {own} is seen as {one} and {other}", place.kind);
    Ok(())
}

#[tokio::test]
async fn each_router_maps_and_filters_udp_as_its_name_says() -> Result<()> {
    let Some(lab) = Lab::with_two_of_each()? else {
        return Ok(());
    };
    let [one, other] = [lab.first(), lab.two(Kind::Public)[0]];
    let stranger = lab.two(Kind::Public)[1];
    let (at_one, at_other) = (udp(one, 4000)?, udp(other, 4000)?);
    let other_port = udp(one, 4001)?;
    let at_stranger = udp(stranger, 4000)?;
    for place in lab.places().iter().skip(1) {
        if place.node == stranger.node {
            continue;
        }
        let kind = place.kind;
        let ours = udp(place, place.port)?;
        let first = udp_seen(&ours, one, &at_one).await?;
        let second = udp_seen(&ours, other, &at_other).await?;
        ensure_mapping(place, first, second)?;
        // The same machine from another port, and a machine never spoken to.
        for (who, socket) in [("port", &other_port), ("stranger", &at_stranger)] {
            socket.send_to(who.as_bytes(), first).await?;
            let got_in = heard(&ours, SILENCE).await.is_some();
            ensure!(got_in == kind.is_open(), "{kind}: a {who} got in: {got_in}");
        }
        // Those that it spoke to still get in.
        at_one.send_to(b"again", first).await?;
        let again = heard(&ours, PUNCH).await;
        ensure!(again.is_some(), "{kind}: an answer did not get in");
    }
    Ok(())
}

#[tokio::test]
async fn each_router_maps_and_filters_tcp_as_its_name_says() -> Result<()> {
    let Some(lab) = Lab::with_two_of_each()? else {
        return Ok(());
    };
    let [one, other] = [lab.first(), lab.two(Kind::Public)[0]];
    let stranger = lab.two(Kind::Public)[1];
    let (at_one, at_other) = (listen(one, 4000)?, listen(other, 4000)?);
    for place in lab.places().iter().skip(1) {
        if place.node == stranger.node {
            continue;
        }
        let kind = place.kind;
        let listener = listen(place, place.port)?;
        let (first, ..) = &tcp_seen(place, one, &at_one).await?;
        let (second, ..) = &tcp_seen(place, other, &at_other).await?;
        ensure_mapping(place, *first, *second)?;
        let dial = tcp(stranger, 0)?.connect(*first);
        match timeout(SILENCE, dial).await {
            Ok(Ok(_)) => ensure!(kind.is_open(), "{kind}: a stranger got in"),
            // A router that answers ends every attempt to punch a hole.
            Ok(Err(error)) => bail!("{kind}: a stranger was told {error}"),
            Err(_) => ensure!(!kind.is_open(), "{kind}: a stranger did not get in"),
        }
        drop(listener);
    }
    Ok(())
}

/// Sends to where the other is thought to be, then to where it is heard from;
/// whether it was heard.
async fn punch_udp(socket: &UdpSocket, other: SocketAddr) -> Result<bool> {
    let started = Instant::now();
    let (mut target, mut found) = (other, false);
    // A few more after the other was heard, so that it hears, too.
    let mut more = 3;
    while started.elapsed() < PUNCH && more > 0 {
        socket.send_to(b"punch", target).await?;
        match heard(socket, Duration::from_millis(50)).await {
            Some((word, from)) if word == "punch" => {
                (target, found) = (from, true);
                more -= 1;
            }
            _ => more -= usize::from(found),
        }
    }
    Ok(found)
}

#[tokio::test]
async fn holes_are_punched_over_udp_but_where_a_symmetric_router_meets_a_closed_one() -> Result<()>
{
    let Some(lab) = Lab::with_two_of_each()? else {
        return Ok(());
    };
    let at_first = udp(lab.first(), 4000)?;
    for (place, a) in Kind::ALL.into_iter().enumerate() {
        for b in Kind::ALL.into_iter().skip(place) {
            let (one, other) = (lab.two(a)[0], lab.two(b)[1]);
            let (left, right) = (udp(one, one.port)?, udp(other, other.port)?);
            let left_seen = udp_seen(&left, lab.first(), &at_first).await?;
            let right_seen = udp_seen(&right, lab.first(), &at_first).await?;
            let both =
                tokio::try_join!(punch_udp(&left, right_seen), punch_udp(&right, left_seen))?;
            let wanted = a.meets(b);
            ensure!(both == (wanted, wanted), "{a} and {b}: {both:?}");
        }
    }
    Ok(())
}

/// Dials from the port that the other has been told of, and listens there.
async fn punch_tcp(place: &Place, listener: &TcpListener, other: SocketAddr) -> bool {
    let dial = async {
        loop {
            if let Ok(from) = listener.local_addr()
                && let Ok(socket) = tcp_at(place, from)
                && socket.connect(other).await.is_ok()
            {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let either = async {
        tokio::select! {
            () = dial => {}
            _ = listener.accept() => {}
        }
    };
    timeout(PUNCH, either).await.is_ok()
}

#[tokio::test]
async fn holes_are_punched_over_tcp_but_where_a_symmetric_router_meets_a_closed_one() -> Result<()>
{
    let Some(lab) = Lab::with_two_of_each()? else {
        return Ok(());
    };
    let at_first = listen(lab.first(), 4000)?;
    for (place, a) in Kind::ALL.into_iter().enumerate() {
        for b in Kind::ALL.into_iter().skip(place) {
            let (one, other) = (lab.two(a)[0], lab.two(b)[1]);
            let (left, right) = (listen(one, one.port)?, listen(other, other.port)?);
            let (left_seen, ..) = &tcp_seen(one, lab.first(), &at_first).await?;
            let (right_seen, ..) = &tcp_seen(other, lab.first(), &at_first).await?;
            let both = tokio::join!(
                punch_tcp(one, &left, *right_seen),
                punch_tcp(other, &right, *left_seen)
            );
            let wanted = a.meets(b);
            ensure!(both == (wanted, wanted), "{a} and {b}: {both:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_router_that_was_rebooted_has_forgotten_who_may_come_in() -> Result<()> {
    let Some(lab) = Lab::up(&[Kind::PortRestricted, Kind::Firewall])? else {
        return Ok(());
    };
    let server = udp(lab.first(), 4000)?;
    for place in lab.places() {
        let ours = udp(place, place.port)?;
        let seen = udp_seen(&ours, lab.first(), &server).await?;
        server.send_to(b"before", seen).await?;
        ensure!(heard(&ours, PUNCH).await.is_some());
        lab.run(&["reboot-router", &place.node.to_string()])?;
        server.send_to(b"after", seen).await?;
        let got_in = heard(&ours, SILENCE).await;
        ensure!(got_in.is_none(), "{}: {got_in:?}", place.kind);
        udp_seen(&ours, lab.first(), &server).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_network_that_is_cut_in_two_loses_what_crosses_until_it_is_healed() -> Result<()> {
    let Some(lab) = Lab::up(&[Kind::Public, Kind::Public])? else {
        return Ok(());
    };
    let server = udp(lab.first(), 4000)?;
    let [near, far] = [lab.place(2), lab.place(3)];
    ensure!(near.half == lab.first().half && far.half != near.half);
    let (near, far) = (udp(near, 4000)?, udp(far, 4000)?);
    udp_seen(&far, lab.first(), &server).await?;
    lab.run(&["cut"])?;
    udp_seen(&near, lab.first(), &server).await?;
    ensure!(udp_seen(&far, lab.first(), &server).await.is_err());
    lab.run(&["heal"])?;
    udp_seen(&far, lab.first(), &server).await?;
    Ok(())
}

/// Seconds that a download of a megabyte takes.
async fn download_s(from: &Place, server: &TcpListener, to: &Place) -> Result<f64> {
    const BYTES: usize = 1_000_000;
    let port = server.local_addr()?.port();
    let mut ours = tcp(to, 0)?.connect(address(from, port)).await?;
    let (mut theirs, _) = server.accept().await?;
    let started = Instant::now();
    let send = async {
        theirs.write_all(&vec![0; BYTES]).await?;
        theirs.shutdown().await
    };
    let mut bytes = Vec::new();
    tokio::try_join!(send, ours.read_to_end(&mut bytes))?;
    ensure!(bytes.len() == BYTES);
    Ok(started.elapsed().as_secs_f64())
}

#[tokio::test]
async fn a_rate_is_capped_and_a_share_is_lost_until_told_otherwise() -> Result<()> {
    let Some(lab) = Lab::up(&[Kind::PortRestricted])? else {
        return Ok(());
    };
    let (server, place) = (listen(lab.first(), 4000)?, lab.place(2));
    lab.run(&["limit", "2", "8mbit"])?;
    let capped = download_s(lab.first(), &server, place).await?;
    ensure!((0.8..4.0).contains(&capped), "a megabyte took {capped} s");
    lab.run(&["limit", "2", "off"])?;
    let free = download_s(lab.first(), &server, place).await?;
    ensure!(free < 0.4, "a megabyte took {free} s");

    let (at_first, ours) = (udp(lab.first(), 4000)?, udp(place, place.port)?);
    let arrived = async |packets: usize| -> Result<usize> {
        for _ in 0..packets {
            ours.send_to(b"x", address(lab.first(), 4000)).await?;
        }
        let mut count = 0;
        while heard(&at_first, SILENCE).await.is_some() {
            count += 1;
        }
        Ok(count)
    };
    lab.run(&["lose", "2", "30%"])?;
    let count = arrived(200).await?;
    // 140 are expected; less than 100 or more than 180 are six deviations away.
    ensure!((100..180).contains(&count), "{count} of 200 arrived");
    lab.run(&["lose", "2", "off"])?;
    let count = arrived(200).await?;
    ensure!(count == 200, "{count} of 200 arrived");
    Ok(())
}

#[tokio::test]
async fn the_way_between_the_halves_takes_as_long_as_it_is_told_to() -> Result<()> {
    let Some(lab) = Lab::up(&[Kind::Public, Kind::PortRestricted])? else {
        return Ok(());
    };
    let server = udp(lab.first(), 4000)?;
    let [near, far] = [
        udp(lab.place(2), 4000)?,
        udp(lab.place(3), lab.place(3).port)?,
    ];
    let round_trip = async |from: &UdpSocket| -> Result<Duration> {
        // The first ones find out who is where, and on a machine that does other things,
        // too, may get lost; the fastest of those behind them tells how long the way is.
        let mut lost = 0;
        while let Err(error) = udp_seen(from, lab.first(), &server).await {
            lost += 1;
            ensure!(lost < 5, "{error:#}");
            // What is late is not taken for the next one.
            for socket in [&server, from] {
                while heard(socket, SILENCE).await.is_some() {}
            }
        }
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let started = Instant::now();
            udp_seen(from, lab.first(), &server).await?;
            fastest = fastest.min(started.elapsed());
        }
        Ok(fastest)
    };
    lab.run(&["delay", "50"])?;
    let (to_near, to_far) = (round_trip(&near).await?, round_trip(&far).await?);
    ensure!(to_near < Duration::from_millis(50), "{to_near:?}");
    let wanted = Duration::from_millis(100)..Duration::from_millis(200);
    ensure!(wanted.contains(&to_far), "{to_far:?}");
    lab.run(&["cut"])?;
    ensure!(udp_seen(&far, lab.first(), &server).await.is_err());
    lab.run(&["heal"])?;
    ensure!(round_trip(&far).await? >= Duration::from_millis(100));
    lab.run(&["delay", "off"])?;
    let to_far = round_trip(&far).await?;
    ensure!(to_far < Duration::from_millis(50), "{to_far:?}");
    Ok(())
}
