//! Joins and offers by the thousand, each of them well made: from one identity
//! after the other, because those who say too much are dropped.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::StreamExt;
use headwater_protocols::head::{Head, Tree, UnverifiedHead};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::SigningKey;
use headwater_protocols::limits::{ACCEPTED_OFFERS, OFFER_BURST, OFFER_EVERY_US};
use headwater_protocols::manifest::{SignedManifest, UnverifiedManifest};
use headwater_protocols::merkle::Hash;
use headwater_protocols::meta::{Join, OfferContent};
use headwater_protocols::ranges::IntervalSet;
use headwater_protocols::sealed::{OpeningKey, SealingKey};
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::{decode, v1};
use headwater_tests::numbers_manifest;
use libp2p::core::PeerRecord;
use libp2p::gossipsub::{self, IdentTopic};
use libp2p::identity::Keypair;
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

/// Streams of the victim that are asked for. On one of them alone, fewer joins
/// are considered than offers may be made.
const STREAMS: usize = 8;

/// So that no two messages are the same.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// 32 bytes that nobody has used.
fn fresh() -> [u8; 32] {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

/// What somebody says who has nothing of the stream, not even its manifest.
fn join() -> Vec<u8> {
    let join = Join {
        key: SealingKey(fresh()),
        size: 0,
        held: IntervalSet::new(),
        wish: None,
        // Who has asked before is answered the more likely.
        attempt: 3,
        lacks_manifest: true,
    };
    join.encode().to_vec()
}

/// The meta topic of a stream.
fn meta_topic(stream: &str) -> Result<IdentTopic> {
    let log: LogId = stream.parse()?;
    Ok(IdentTopic::new(log.meta_topic()))
}

/// The body of what is said on a meta topic.
fn body(data: &[u8]) -> Option<v1::meta::Body> {
    let data = Bytes::copy_from_slice(data);
    let meta: v1::Meta = decode("meta", data, 1 << 20).ok()?;
    meta.body
}

/// The next thing that is said, and by whom.
async fn heard(attacker: &mut Attacker, until: Instant) -> Option<gossipsub::Message> {
    loop {
        let event = timeout_at(until, attacker.swarm.select_next_some()).await;
        if let SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message {
            message,
            ..
        })) = event.ok()?
        {
            return Some(message);
        }
    }
}

/// Says so many things as fast as it can, until it is dropped or the time is
/// over; how many.
async fn shout(
    attacker: &mut Attacker,
    topics: &[IdentTopic],
    until: Instant,
    say: impl Fn() -> Vec<u8>,
) -> u64 {
    let mut said = 0;
    let mut topics = topics.iter().cycle();
    while attacker.is_connected() && Instant::now() < until {
        let gossip = &mut attacker.swarm.behaviour_mut().gossip;
        for topic in topics.by_ref().take(50) {
            // Its own queue may be full.
            said += u64::from(gossip.publish(topic.clone(), say()).is_ok());
        }
        attacker.work(Duration::from_millis(5)).await;
    }
    said
}

/// One identity after the other says joins; how many there were, and how much
/// they said.
async fn shout_joins(
    victim: String,
    topics: Vec<IdentTopic>,
    until: Instant,
) -> Result<(u64, u64)> {
    let (mut identities, mut said) = (0, 0);
    while Instant::now() < until {
        let mut attacker = Attacker::new(&victim).await?;
        attacker.subscribe(&topics)?;
        if !attacker.connect().await? {
            attacker.work(Duration::from_millis(100)).await;
            continue;
        }
        identities += 1;
        attacker.work(Duration::from_millis(300)).await;
        said += shout(&mut attacker, &topics, until, join).await;
    }
    Ok((identities, said))
}

/// Offers of the victim that somebody hears who says nothing.
async fn count_offers(victim: String, topics: &[IdentTopic], until: Instant) -> Result<u64> {
    let mut observer = Attacker::new(&victim).await?;
    observer.subscribe(topics)?;
    observer.connect_patiently().await?;
    let mut offers = 0;
    while let Some(message) = heard(&mut observer, until).await {
        let is_offer = matches!(body(&message.data), Some(v1::meta::Body::Offer(_)));
        offers += u64::from(is_offer && message.source == Some(observer.victim));
    }
    Ok(offers)
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_by_the_thousand_are_answered_at_a_bounded_rate() -> Result<()> {
    let mut victim = Victim::start(LIMITS).await?;
    let mut topics = vec![meta_topic(&victim.stream)?];
    for number in 1..STREAMS {
        let stream = victim.node.create(&format!("asked for {number}"))?;
        victim.node.publish_numbers(&stream, 0, 1)?;
        topics.push(meta_topic(&stream)?);
    }
    let (address, started) = (victim.detour(), Instant::now());
    let until = started + FLOOD;
    let flood = async {
        let observer = count_offers(address.clone(), &topics, until);
        let mut attackers = JoinSet::new();
        for _ in 0..ATTACKERS {
            attackers.spawn(shout_joins(address.clone(), topics.clone(), until));
        }
        let offers = observer.await?;
        let (mut identities, mut said) = (0, 0);
        while let Some(attacker) = attackers.join_next().await {
            let (theirs, more) = attacker??;
            identities += theirs;
            said += more;
        }
        let micros = u64::try_from(started.elapsed().as_micros())?;
        let most = OFFER_BURST + micros / OFFER_EVERY_US;
        println!("joins: {identities} identities said {said}, and got {offers} offers of {most}");
        ensure!(said > 2_000, "that is no flood");
        ensure!((1..=most).contains(&offers), "{offers} offers, not {most}");
        Ok(())
    };
    let used = victim.endures("joins", flood, 64 << 10, 40).await?;
    used.ensure_less_than_two_processors(FLOOD)?;
    victim.calms_down().await
}

/// A stream of the attackers' own, whose head is true: only so are their offers
/// considered at all.
struct Bait {
    manifest: SignedManifest,
    head: UnverifiedHead,
}

impl Bait {
    fn new() -> Result<Self> {
        let key = SigningKey::from_secret(&mut fresh());
        let manifest = numbers_manifest(key.public(), "bait");
        let manifest = manifest.sign(&key)?;
        let root = Hash([3; 32]);
        let tree = Tree { size: 1_000, root };
        let head = Head::of_tree(manifest.stream(), tree, Timestamp(1));
        let head = UnverifiedHead(head.sign(&key).to_wire());
        Ok(Self { manifest, head })
    }

    fn topic(&self) -> IdentTopic {
        IdentTopic::new(self.manifest.stream().meta_topic())
    }

    /// An offer of everything by `key`, at an address where nobody is, or with a
    /// record whose signature is `forged`.
    fn offer(&self, key: &Keypair, to: SealingKey, forged: bool) -> Result<Vec<u8>> {
        let nowhere = ["/ip4/127.0.0.2/tcp/9", "/ip4/127.0.0.2/udp/9/quic-v1"];
        let nowhere: Result<_, _> = nowhere.iter().map(|text| text.parse()).collect();
        let record = PeerRecord::new(key, nowhere?)?;
        let mut record = record.into_signed_envelope().into_protobuf_encoding();
        if forged && let Some(last) = record.last_mut() {
            *last ^= 1;
        }
        let mut held = IntervalSet::new();
        let _ = held.insert(0, 1_000);
        let content = OfferContent {
            manifest: Some(UnverifiedManifest::from(self.manifest.to_wire())),
            head: self.head.clone(),
            held,
            record: record.into(),
            key: OpeningKey::from_random(fresh()).public(),
            rendezvous_key: fresh(),
            servers: Vec::new(),
        };
        let author = key.public().to_peer_id();
        let offer = content.seal(self.manifest.stream(), author, to, fresh());
        Ok(offer.context("the offer does not fit")?.to_vec())
    }
}

/// The same offer to somebody else.
fn redirected(offer: &[u8], from: &SealingKey) -> Vec<u8> {
    let mut offer = offer.to_vec();
    if let Some(at) = offer.windows(32).position(|window| window == from.0) {
        offer[at..at + 32].copy_from_slice(&fresh());
    }
    offer
}

/// What those who make offers have done.
#[derive(Debug, Default)]
struct Offering {
    identities: u64,
    /// The keys of the joins that they have heard.
    joins: BTreeSet<Vec<u8>>,
    /// Joins that they have answered.
    answered: u64,
    said: u64,
}

/// One identity after the other waits for a join of the victim, answers it, and
/// then offers to nobody until it is dropped.
async fn shout_offers(
    victim: String,
    bait: &Bait,
    forged: bool,
    until: Instant,
) -> Result<Offering> {
    let mut done = Offering::default();
    let topics = [bait.topic()];
    while Instant::now() < until {
        let mut attacker = Attacker::new(&victim).await?;
        attacker.subscribe(&topics)?;
        if !attacker.connect().await? {
            attacker.work(Duration::from_millis(100)).await;
            continue;
        }
        done.identities += 1;
        let patience = until.min(Instant::now() + Duration::from_secs(3));
        while let Some(message) = heard(&mut attacker, patience).await {
            let Some(v1::meta::Body::Join(join)) = body(&message.data) else {
                continue;
            };
            done.joins.insert(join.key.to_vec());
            let to = SealingKey::from_slice(&join.key).context("no key")?;
            let offer = bait.offer(&attacker.keypair, to, forged)?;
            let gossip = &mut attacker.swarm.behaviour_mut().gossip;
            let published = gossip.publish(topics[0].clone(), offer.clone());
            done.answered += u64::from(published.is_ok());
            done.said += shout(&mut attacker, &topics, until, || redirected(&offer, &to)).await;
            break;
        }
    }
    Ok(done)
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_by_the_thousand_lead_the_joiner_nowhere_and_cost_it_little() -> Result<()> {
    let mut victim = Victim::start(LIMITS).await?;
    let bait = Bait::new()?;
    let stream = bait.manifest.stream().to_string();
    victim.node.run(&["follow", &stream])?;
    let (address, until) = (victim.detour(), Instant::now() + FLOOD);
    let mut all = Offering::default();
    let flood = async {
        let attackers = (0..ATTACKERS)
            .map(|number| shout_offers(address.clone(), &bait, number % 2 == 0, until));
        for done in futures::future::try_join_all(attackers).await? {
            all.identities += done.identities;
            all.joins.extend(done.joins);
            all.answered += done.answered;
            all.said += done.said;
        }
        ensure!(all.answered > 0 && all.said > 2_000, "that is no flood");
        Ok(())
    };
    let used = victim.endures("offers", flood, 64 << 10, 40).await?;
    used.ensure_less_than_two_processors(FLOOD)?;
    victim.calms_down().await?;
    let shown = victim.node.show(&stream)?;
    let sources = shown["sources"].as_array().context("no sources")?;
    ensure!(sources.is_empty(), "they were believed: {shown}");
    // Of all that was offered it has followed up a few.
    let log = victim.node.log();
    let of_bait = log.lines().filter(|line| line.contains(&stream));
    let taken = of_bait.filter(|line| {
        line.contains("dialling a peer found on the meta topic")
            || line.contains("its record is false")
    });
    let (taken, most) = (taken.count(), all.joins.len() * ACCEPTED_OFFERS);
    println!(
        "offers: {} identities answered {} times to {} joins, and said {}; {taken} of {most} taken",
        all.identities,
        all.answered,
        all.joins.len(),
        all.said
    );
    ensure!(
        (1..=most).contains(&taken),
        "{taken} were taken, not {most}"
    );
    Ok(())
}
