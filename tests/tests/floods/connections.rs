//! Many connections, whole and half-open ones, from one address.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_tests::TestNode;
use headwater_tests::hostile::{open, tcp_address};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::attacker::Attacker;
use super::victim::{Usage, Victim};

const MAX_PER_IP: usize = 8;

/// Connections at a time whose other end says nothing.
const SILENT: u64 = 200;

const LIMITS: &str = "max_connections = 64\nmax_connections_per_ip = 8";

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_identities_of_one_address_take_no_more_than_its_share() -> Result<()> {
    let mut victim = Victim::start(LIMITS).await?;
    let address = victim.detour();
    let mut connected = 0;
    let flood = async {
        let mut attackers = JoinSet::new();
        for i in 0..300 {
            let address = address.clone();
            attackers.spawn(async move {
                // They come over two seconds, so that the first are there.
                sleep(Duration::from_millis(7 * i)).await;
                let mut attacker = Attacker::new(&address).await?;
                let connected = attacker.connect().await?;
                attacker.work(Duration::from_millis(4_000 - 7 * i)).await;
                anyhow::Ok(connected && attacker.is_connected())
            });
        }
        while let Some(attacker) = attackers.join_next().await {
            connected += usize::from(attacker??);
        }
        Ok(())
    };
    victim
        .endures("300 identities", flood, 64 << 10, 40)
        .await?;
    ensure!(
        (1..=MAX_PER_IP).contains(&connected),
        "{connected} connections from one address"
    );
    let log = victim.node.log();
    let said = log
        .lines()
        .filter(|line| line.contains("connections were refused"));
    ensure!(
        (1..10).contains(&said.count()),
        "refusals are not said, or each is"
    );
    Ok(())
}

/// The figure in docs/operating.md and config.toml, for what a stranger needs who
/// speaks every protocol but follows nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_costs_about_as_much_as_the_documents_say() -> Result<()> {
    const CONNECTIONS: u32 = 150;
    let limits = "max_connections = 512\nmax_connections_per_ip = 256";
    let victim = Victim::start(limits).await?;
    let address = victim.detour();
    let mut attackers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let address = address.clone();
        attackers.spawn(async move {
            let mut attacker = Attacker::new(&address).await?;
            attacker.connect_patiently().await?;
            attacker.work(Duration::from_secs(4)).await;
            ensure!(attacker.is_connected(), "the connection was closed");
            Ok(attacker)
        });
    }
    let mut connected = Vec::new();
    while let Some(attacker) = attackers.join_next().await {
        connected.push(attacker??);
    }
    let after = Usage::of(victim.pid()?)?;
    let grown = after.rss_kb.saturating_sub(victim.before.rss_kb);
    let each = grown / u64::from(CONNECTIONS);
    println!("{CONNECTIONS} connections: {grown} KB more, {each} KB each");
    ensure!(each <= 200, "{each} KB for a connection");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_of_one_address_keep_nobody_else_out() -> Result<()> {
    let mut victim = Victim::start(LIMITS).await?;
    let target = tcp_address(&victim.address()?)?;
    let invite = victim.node.invite(&victim.stream)?;
    let stream = victim.stream.clone();
    let opened = AtomicU64::new(0);
    let flood = async {
        let silent = |_| async {
            loop {
                if let Ok(stream) = open(target).await {
                    opened.fetch_add(1, Ordering::Relaxed);
                    // It says nothing, until it is closed.
                    let _ = closed(&stream).await;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let silent = futures::future::join_all((0..SILENT).map(silent));
        let newcomer = async {
            // As long as it takes until all are there, and have come again.
            while opened.load(Ordering::Relaxed) < 2 * SILENT {
                sleep(Duration::from_millis(20)).await;
            }
            let started = Instant::now();
            let newcomer = TestNode::start(&[]).await?;
            newcomer.run(&["follow", &invite])?;
            let in_step = |shown: &Value| shown["held_records"].as_u64() >= Some(3);
            newcomer.until(&stream, in_step).await?;
            anyhow::Ok(started.elapsed())
        };
        // The flood goes on until the newcomer is in step.
        let took = tokio::select! {
            took = newcomer => took?,
            _ = silent => unreachable!("they never end"),
        };
        let opened = opened.load(Ordering::Relaxed);
        println!("half-open: {opened} were opened, a newcomer was in step after {took:?}");
        Ok(())
    };
    victim
        .endures("half-open connections", flood, 64 << 10, 40)
        .await?;
    Ok(())
}

/// Waits until the other end closes a connection.
async fn closed(stream: &TcpStream) -> Result<()> {
    let mut buffer = [0; 1_024];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
