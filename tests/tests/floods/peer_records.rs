//! Peer records by the thousand: forged ones, which cost the sender its
//! connection, and true ones of peers that are nowhere.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::StreamExt;
use headwater_protocols::limits::MAX_TOLD_PEERS;
use headwater_protocols::peers::{Answer, Question, Told};
use libp2p::core::PeerRecord;
use libp2p::identity::Keypair;
use libp2p::request_response::{self, Message};
use libp2p::swarm::SwarmEvent;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::attacker::{Attacker, BehaviourEvent};
use super::victim::Victim;

const LIMITS: &str = "max_connections = 64\nmax_connections_per_ip = 16";

/// How long the flood lasts.
const FLOOD: Duration = Duration::from_secs(6);

/// How many attack at a time.
const ATTACKERS: u64 = 8;

/// How long whoever has lied may wait for the end of its connection, far more
/// than it takes on a busy machine.
const DROPPED_WITHIN: Duration = Duration::from_secs(30);

/// What they have done.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    identities: u64,
    records: u64,
    dropped: u64,
}

/// The record of somebody who has never been anywhere, perhaps `forged`.
fn record(number: u64, forged: bool) -> Result<Vec<u8>> {
    let port = 1 + number % 60_000;
    let address = format!("/ip4/127.0.0.2/tcp/{port}").parse()?;
    let key = Keypair::generate_ed25519();
    let record = PeerRecord::new_interop(&key, vec![address])?;
    let mut bytes = record.into_signed_envelope().into_protobuf_encoding();
    if forged && let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    Ok(bytes)
}

/// One identity after the other asks with records that are not its own, and
/// answers with records of others. Whoever has told `forged` ones goes on until
/// it is dropped.
async fn tell(victim: String, forged: bool, until: Instant) -> Result<Said> {
    let mut said = Said::default();
    while Instant::now() < until {
        let mut attacker = Attacker::who_tells(&victim).await?;
        if !attacker.connect().await? {
            attacker.work(Duration::from_millis(100)).await;
            continue;
        }
        said.identities += 1;
        let mut asks = Instant::now();
        let ends = match forged {
            true => until + DROPPED_WITHIN,
            false => until,
        };
        while attacker.is_connected() && Instant::now() < ends {
            if asks <= Instant::now() {
                asks += Duration::from_millis(20);
                let question = Question {
                    count: MAX_TOLD_PEERS,
                    record: record(said.records, forged)?.into(),
                    ..Question::default()
                };
                said.records += 1;
                attacker.ask(question.encode());
            }
            let event = timeout_at(asks, attacker.swarm.select_next_some()).await;
            if let Ok(SwarmEvent::Behaviour(BehaviourEvent::Peers(
                request_response::Event::Message {
                    message: Message::Request { channel, .. },
                    ..
                },
            ))) = event
            {
                let mut answer = Answer::default();
                for _ in 0..MAX_TOLD_PEERS {
                    answer.peers.push(Told {
                        record: record(said.records, forged)?.into(),
                        subscribed: [0].into(),
                    });
                    said.records += 1;
                }
                attacker.answer(channel, answer.encode());
            }
        }
        said.dropped += u64::from(!attacker.is_connected());
    }
    Ok(said)
}

async fn flood(forged: bool) -> Result<(Victim, Said)> {
    let name = if forged {
        "forged records"
    } else {
        "records of nobody"
    };
    let mut victim = Victim::start(LIMITS).await?;
    let (address, until) = (victim.detour(), Instant::now() + FLOOD);
    let mut all = Said::default();
    let flood = async {
        let mut attackers = JoinSet::new();
        for _ in 0..ATTACKERS {
            attackers.spawn(tell(address.clone(), forged, until));
        }
        while let Some(attacker) = attackers.join_next().await {
            let Said {
                identities,
                records,
                dropped,
            } = attacker??;
            all.identities += identities;
            all.records += records;
            all.dropped += dropped;
        }
        println!("{name}: {all:?}");
        Ok(())
    };
    let used = victim.endures(name, flood, 64 << 10, 40).await?;
    used.ensure_less_than_two_processors(FLOOD)?;
    victim.calms_down().await?;
    Ok((victim, all))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_passes_on_forged_records_is_dropped_each_time() -> Result<()> {
    let (victim, said) = flood(true).await?;
    ensure!(said.identities >= ATTACKERS, "that is no flood: {said:?}");
    ensure!(
        said.dropped == said.identities,
        "not all were dropped: {said:?}"
    );
    ensure!(victim.node.log().contains("false peer record"));
    ensure!(victim.attackers().await? == 0, "some are still connected");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_peers_that_are_nowhere_fill_neither_memory_nor_dials() -> Result<()> {
    let (_victim, said) = flood(false).await?;
    ensure!(said.records > 1_000, "that is no flood: {said:?}");
    Ok(())
}
