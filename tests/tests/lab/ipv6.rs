//! What a dual-stack router does to IPv6.

use std::net::{Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use headwater_tests::lab::{Kind, Lab, Place};
use tokio::time::timeout;

use super::{PUNCH, SILENCE, heard, punch_tcp, punch_udp, tcp_at, udp_at};

/// Where a place is.
fn own(place: &Place, port: u16) -> Result<SocketAddr> {
    let ip = place.address6.context("it has no IPv6")?;
    Ok((ip, port).into())
}

fn any(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

#[tokio::test]
async fn over_ipv6_everybody_has_an_own_address_at_which_answers_alone_get_in() -> Result<()> {
    let Some(lab) = Lab::up(&[Kind::DualStack, Kind::Public, Kind::DualStack])? else {
        return Ok(());
    };
    let (server, stranger) = (lab.first(), lab.place(3));
    let at_server = udp_at(server, any(4000))?;
    let at_stranger = udp_at(stranger, any(4000))?;
    let tcp_server = tcp_at(server, any(4000))?.listen(16)?;
    for place in [lab.place(2), lab.place(4)] {
        let outside = own(place, place.port)?;
        let ours = udp_at(place, any(place.port))?;
        let _listener = tcp_at(place, any(place.port))?.listen(16)?;
        for early in [&at_server, &at_stranger] {
            early.send_to(b"too early", outside).await?;
        }
        ensure!(heard(&ours, SILENCE).await.is_none(), "it got in");
        ours.send_to(b"who am I", own(server, 4000)?).await?;
        let (_, seen) = heard(&at_server, PUNCH).await.context("not out")?;
        ensure!(seen == outside, "{outside} is seen as {seen}");
        at_server.send_to(b"you", seen).await?;
        ensure!(heard(&ours, PUNCH).await.is_some(), "no answer got in");
        at_stranger.send_to(b"stranger", seen).await?;
        ensure!(heard(&ours, SILENCE).await.is_none(), "a stranger got in");

        // And over TCP, where a router must not answer in its place.
        let dial = tcp_at(stranger, any(0))?.connect(outside);
        ensure!(timeout(SILENCE, dial).await.is_err(), "a stranger got in");
        let dial = tcp_at(place, any(place.port))?.connect(own(server, 4000)?);
        let (_ours, theirs) = tokio::join!(dial, timeout(PUNCH, tcp_server.accept()));
        let (_, seen) = theirs??;
        ensure!(seen == outside, "{outside} is seen as {seen}");
    }
    Ok(())
}

#[tokio::test]
async fn two_that_begin_at_once_get_through_two_ipv6_firewalls() -> Result<()> {
    let Some(lab) = Lab::with_two_of(&[Kind::DualStack])? else {
        return Ok(());
    };
    let [one, other] = lab.two(Kind::DualStack);
    let (to_one, to_other) = (own(one, one.port)?, own(other, other.port)?);
    let udp = [udp_at(one, any(one.port))?, udp_at(other, any(other.port))?];
    let both = tokio::try_join!(punch_udp(&udp[0], to_other), punch_udp(&udp[1], to_one))?;
    ensure!(both == (true, true), "UDP: {both:?}");
    let tcp = [one, other].map(|place| {
        tcp_at(place, any(place.port))?
            .listen(16)
            .map_err(anyhow::Error::from)
    });
    let [left, right] = tcp;
    let (left, right) = (left?, right?);
    let both = tokio::join!(
        punch_tcp(one, &left, to_other),
        punch_tcp(other, &right, to_one)
    );
    ensure!(both == (true, true), "TCP: {both:?}");
    // What a router has forgotten does not get in any more.
    lab.run(&["reboot-router", &one.node.to_string()])?;
    udp[1].send_to(b"after", to_one).await?;
    while let Some((word, _)) = heard(&udp[0], SILENCE).await {
        ensure!(word != "after", "it got in");
    }
    Ok(())
}
