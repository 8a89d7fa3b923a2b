use std::time::Duration;

use libp2p::identity::Keypair;

use super::*;

/// Connections at most, of a node with a book of the smallest size.
const CONNECTIONS: usize = 512;

const NOW: Timestamp = Timestamp(1_000_000_000);

const MOMENT: Duration = Duration::from_micros(1);

fn record_of(key: &Keypair, addresses: &[&str]) -> Arc<SignedRecord> {
    let addresses = addresses.iter().map(|text| text.parse().unwrap());
    SignedRecord::sign(key, addresses.collect()).unwrap().into()
}

fn record(address: &str) -> Arc<SignedRecord> {
    record_of(&Keypair::generate_ed25519(), &[address])
}

fn newer(record: &SignedRecord, address: &str) -> Arc<SignedRecord> {
    let mut newer = record.clone();
    newer.seq += 1;
    newer.addresses = vec![address.parse().unwrap()];
    newer.into()
}

fn book() -> PeerBook {
    PeerBook::new(PeerId::random(), CONNECTIONS)
}

fn stream(number: u8) -> LogId {
    LogId::of_manifest(&[number])
}

/// Choices that differ, and are the same in each run.
fn random() -> impl FnMut() -> u64 {
    let mut state = 1_u64;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    }
}

#[test]
fn of_two_records_the_newer_one_counts() {
    let mut book = book();
    let source = Some(PeerId::random());
    let old = record("/ip4/192.0.2.1/tcp/1");
    let peer = old.peer;
    assert!(book.hear(old.clone(), source, Reach::World, NOW));
    let new = newer(&old, "/ip4/198.51.100.1/tcp/1");
    assert!(book.hear(new.clone(), source, Reach::World, NOW));
    assert!(!book.hear(old.clone(), source, Reach::World, NOW));
    // Not even from the peer itself: somebody may play it back.
    assert!(!book.hear(old, None, Reach::World, NOW));
    assert_eq!(book.addresses(&peer), &new.addresses[..]);
}

#[test]
fn only_addresses_that_are_of_use_are_kept() {
    let mut book = book();
    let key = Keypair::generate_ed25519();
    let peer = key.public().to_peer_id();
    let near = "/ip4/127.0.0.1/tcp/1";
    let far = "/ip4/192.0.2.1/tcp/1";
    let named = format!("{far}/p2p/{peer}");
    let told = record_of(&key, &[near, &named]);
    book.hear(told, Some(PeerId::random()), Reach::World, NOW);
    assert_eq!(book.addresses(&peer), [far.parse().unwrap()]);
    // Of no use at all, and our own.
    assert!(!book.hear(record(near), None, Reach::World, NOW));
    let own = record(far);
    let mut book = PeerBook::new(own.peer, CONNECTIONS);
    assert!(!book.hear(own, None, Reach::World, NOW));
    assert_eq!(book.len(), 0);
}

#[test]
fn one_peer_cannot_fill_the_book_and_what_it_told_lately_counts() {
    let mut book = book();
    let honest = record("/ip4/192.0.2.1/tcp/1");
    book.hear(honest.clone(), Some(PeerId::random()), Reach::World, NOW);
    let liar = Some(PeerId::random());
    let mut last = None;
    for number in 0..MAX_PEERS_PER_SOURCE + 50 {
        // Each from another part of the address space.
        let told = record(&format!("/ip4/{}.1.2.3/tcp/1", number % 88 + 11));
        last = Some(told.peer);
        let later = NOW.plus(u64::try_from(number).unwrap());
        assert!(book.hear(told, liar, Reach::World, later));
    }
    assert_eq!(book.len(), MAX_PEERS_PER_SOURCE + 1);
    assert!(!book.addresses(&honest.peer).is_empty());
    assert!(!book.addresses(&last.unwrap()).is_empty());
}

#[test]
fn one_part_of_the_address_space_cannot_fill_the_book() {
    let mut book = book();
    let max = book.max_per_group;
    for number in 0..max + 50 {
        let told = record(&format!("/ip4/10.1.{number}.1/tcp/1"));
        book.hear(told, Some(PeerId::random()), Reach::Site, NOW);
        let told = record(&format!("/ip4/198.51.{number}.1/tcp/1"));
        book.hear(told, Some(PeerId::random()), Reach::World, NOW);
        let told = record(&format!("/ip6/2001:db8:{number:x}::1/tcp/1"));
        book.hear(told, Some(PeerId::random()), Reach::World, NOW);
        let told = record(&format!("/dns/n{number}.example.org/tcp/1"));
        book.hear(told, Some(PeerId::random()), Reach::World, NOW);
    }
    // A private network is one neighbourhood however many nodes it has.
    assert_eq!(book.len(), max * 4 + 50);
    // A peer that is there itself takes the place of one that was heard of.
    let itself = record("/ip4/198.51.250.1/tcp/1");
    assert!(book.hear(itself.clone(), None, Reach::World, NOW));
    assert!(!book.addresses(&itself.peer).is_empty());
    assert_eq!(book.len(), max * 4 + 50);
    // Who moves to another part, or is gone, leaves its place to others.
    let moved = newer(&itself, "/ip4/203.0.113.1/tcp/1");
    assert!(book.hear(moved, None, Reach::World, NOW));
    let told = record("/ip4/198.51.251.1/tcp/1");
    let source = Some(PeerId::random());
    assert!(book.hear(told.clone(), source, Reach::World, NOW));
    let more = record("/ip4/198.51.252.1/tcp/1");
    assert!(!book.hear(more.clone(), source, Reach::World, NOW));
    book.remove(&told.peer);
    assert!(book.hear(more, source, Reach::World, NOW));
}

#[test]
fn a_node_with_many_connections_knows_more_peers_than_those() {
    let book = PeerBook::new(PeerId::random(), 4_096);
    assert_eq!((book.max, book.max_per_group), (8_192, 512));
    let small = PeerBook::new(PeerId::random(), 16);
    assert_eq!(small.max, MIN_KNOWN_PEERS);
}

#[test]
fn what_our_own_limits_refuse_is_no_failure_of_the_peer() {
    let mut book = book();
    let heard = record("/ip4/192.0.2.1/tcp/1");
    book.hear(heard.clone(), Some(PeerId::random()), Reach::World, NOW);
    let mut now = NOW;
    for _ in 0..2 * MAX_DIAL_FAILURES {
        assert_eq!(book.anybody(now, &mut random()).len(), 1);
        book.not_dialled(&heard.peer, now);
        assert!(book.anybody(now, &mut random()).is_empty());
        now += REFUSED_DIAL_REST;
    }
}

#[test]
fn a_full_book_forgets_whom_it_only_heard_of_and_never_whom_it_met() {
    let mut book = book();
    book.max = 10;
    let met: Vec<PeerId> = (0..10)
        .map(|number| {
            let itself = record(&format!("/ip4/{}.0.0.1/tcp/1", number + 11));
            book.hear(itself.clone(), None, Reach::World, NOW);
            if number > 0 {
                book.connected(&itself.peer, NOW);
                book.closed(&itself.peer, NOW);
            }
            itself.peer
        })
        .collect();
    assert_eq!(book.len(), 10);
    let told = record("/ip4/100.0.0.1/tcp/1");
    assert!(book.hear(told.clone(), Some(PeerId::random()), Reach::World, NOW));
    assert!(book.addresses(&met[0]).is_empty());
    let more = record("/ip4/101.0.0.1/tcp/1");
    let source = Some(PeerId::random());
    assert!(book.hear(more, source, Reach::World, NOW.plus(1)));
    assert!(book.addresses(&told.peer).is_empty());
    assert!(met[1..].iter().all(|peer| !book.addresses(peer).is_empty()));
}

#[test]
fn a_lost_peer_is_tried_again_soon_and_one_that_never_answers_is_forgotten() {
    let mut book = book();
    let lost = record("/ip4/192.0.2.1/tcp/1");
    let peer = lost.peer;
    book.hear(lost, None, Reach::World, NOW);
    book.subscribed(&peer, stream(1));
    book.connected(&peer, NOW);
    let candidates = |book: &PeerBook, now| book.candidates(stream(1), None, now, &mut random());
    assert!(candidates(&book, NOW).is_empty());
    book.closed(&peer, NOW);
    let mut now = NOW;
    let mut dials = 0;
    while now.since(NOW) < 60_000_000 {
        if !candidates(&book, now).is_empty() {
            dials += 1;
            book.dial_failed(&peer, now);
        }
        now = now.plus(500_000);
    }
    assert!((8..=12).contains(&dials), "{dials}");
    book.connected(&peer, now);
    book.closed(&peer, now);
    assert!(!candidates(&book, now + PEER_BACKOFF.first()).is_empty());

    let heard = record("/ip4/192.0.2.2/tcp/1");
    book.hear(heard.clone(), Some(peer), Reach::World, NOW);
    for _ in 0..MAX_DIAL_FAILURES {
        assert!(!book.addresses(&heard.peer).is_empty());
        book.dial_failed(&heard.peer, NOW);
    }
    assert!(book.addresses(&heard.peer).is_empty());
}

#[test]
fn the_publisher_is_dialled_first_and_the_others_in_any_order() {
    let mut book = book();
    let peers: Vec<PeerId> = (1..=20)
        .map(|number| {
            let record = record(&format!("/ip4/{}.0.0.1/tcp/1", number + 10));
            book.hear(record.clone(), None, Reach::World, NOW);
            book.subscribed(&record.peer, stream(1));
            record.peer
        })
        .collect();
    let publisher = peers[11];
    let mut random = random();
    let mut order = |publisher| -> Vec<PeerId> {
        let found = book.candidates(stream(1), publisher, NOW, &mut random);
        found.into_iter().map(|(peer, _)| peer).collect()
    };
    let (first, second) = (order(Some(publisher)), order(Some(publisher)));
    assert_eq!((first[0], second[0]), (publisher, publisher));
    assert_eq!((first.len(), second.len()), (20, 20));
    assert_ne!(first, second);
    assert!(
        book.candidates(stream(2), None, NOW, &mut random)
            .is_empty()
    );
}

#[test]
fn a_peer_that_is_not_subscribed_to_what_others_told_is_no_candidate_any_more() {
    let mut book = book();
    let told = record("/ip4/192.0.2.1/tcp/1");
    book.hear(told.clone(), Some(PeerId::random()), Reach::World, NOW);
    for number in 1..=2 {
        book.subscribed(&told.peer, stream(number));
    }
    book.subscribed_to_no_others(&told.peer, &[stream(2), stream(3)].into());
    let candidates = |number| {
        book.candidates(stream(number), None, NOW, &mut random())
            .len()
    };
    assert_eq!((candidates(1), candidates(2), candidates(3)), (0, 1, 0));
    assert_eq!(book.by_stream.len(), 1);
}

#[test]
fn others_are_told_of_peers_known_at_first_hand_from_all_parts() {
    let mut book = book();
    let there = |book: &mut PeerBook, address: &str| {
        let record = record(address);
        book.hear(record.clone(), None, Reach::Machine, NOW);
        book.connected(&record.peer, NOW);
        record.peer
    };
    let crowd: Vec<_> = (0..30)
        .map(|number| there(&mut book, &format!("/ip4/198.51.100.{number}/tcp/1")))
        .collect();
    let asker = there(&mut book, "/ip4/192.0.2.1/tcp/1");
    let alone = there(&mut book, "/ip4/203.0.113.1/tcp/1");
    let near = there(&mut book, "/ip4/127.0.0.1/tcp/1");
    let heard = record("/ip4/20.0.0.1/tcp/1");
    book.hear(heard.clone(), Some(alone), Reach::World, NOW);
    let gone = there(&mut book, "/ip4/30.0.0.1/tcp/1");
    book.closed(&gone, NOW);

    let mut random = random();
    let mut tell = |reach, subscribers: &[PeerId], streams, now| -> Vec<PeerId> {
        let place = |&peer: &PeerId| (peer, BTreeSet::from([0]));
        let asking = Asking {
            asker,
            reach,
            count: 8,
            for_streams: streams,
            subscribed: subscribers.iter().map(place).collect(),
        };
        let told = book.tell(&asking, now, &mut random);
        told.into_iter().map(|(record, _)| record.peer).collect()
    };
    let told = tell(Reach::World, &[], false, NOW);
    assert_eq!(told.len(), 8);
    // One of the crowd, one that is alone and one that left a moment ago come
    // before the second of the crowd.
    assert!(told[..3].contains(&alone) && told[..3].contains(&gone));
    for stranger in [asker, near, heard.peer] {
        assert!(!told.contains(&stranger));
    }
    let later = NOW + TOLD_AFTER_CLOSE + MOMENT;
    assert!(!tell(Reach::World, &[], false, later)[..3].contains(&gone));
    // Whoever is on this machine reaches those who are, too.
    let told = tell(Reach::Machine, &[near], true, NOW);
    assert_eq!(told[0], near);
    assert_eq!(told.len(), 1 + UNRELATED_TOLD);
    // Subscribers come first, however many others there are.
    let told = tell(Reach::World, &crowd[..6], true, NOW);
    assert!(told[..6].iter().all(|peer| crowd[..6].contains(peer)));
}

#[test]
fn what_nobody_speaks_of_any_more_is_forgotten() {
    let mut book = book();
    let heard = record("/ip4/192.0.2.1/tcp/1");
    book.hear(heard.clone(), Some(PeerId::random()), Reach::World, NOW);
    book.subscribed(&heard.peer, stream(1));
    let met = record("/ip4/192.0.2.2/tcp/1");
    book.hear(met.clone(), None, Reach::World, NOW);
    book.connected(&met.peer, NOW);
    let much_later = NOW + 10 * MET_PEER_FOR;
    book.expire(NOW + KNOWN_PEER_FOR);
    assert_eq!(book.len(), 2);
    book.expire(much_later);
    assert_eq!(book.met(9).len(), 1);
    assert_eq!((book.len(), book.by_stream.len()), (1, 0));
    book.closed(&met.peer, much_later);
    book.expire(much_later + MET_PEER_FOR + MOMENT);
    assert_eq!(book.len(), 0);
}

#[test]
fn the_peers_of_our_streams_are_remembered_first() {
    let mut book = book();
    for number in 1..=20 {
        let record = record(&format!("/ip4/{}.0.0.1/tcp/1", number + 10));
        book.hear(record.clone(), None, Reach::World, NOW);
        if number != 20 {
            book.connected(&record.peer, NOW.plus(number));
        }
        if number % 5 == 0 {
            book.subscribed(&record.peer, stream(1));
        }
    }
    let met = book.met(5);
    let times: Vec<u64> = met.iter().map(|peer| peer.met.since(NOW)).collect();
    assert_eq!(times, [15, 10, 5, 19, 18]);
    let mut again = PeerBook::new(PeerId::random(), CONNECTIONS);
    for peer in met.clone() {
        again.remember(peer, NOW.plus(20));
    }
    assert_eq!(again.met(9), met);
    assert_eq!(again.of_stream(stream(1)).count(), 3);
    // After a fortnight it is no use.
    let mut late = PeerBook::new(PeerId::random(), CONNECTIONS);
    late.remember(met[0].clone(), NOW + 2 * MET_PEER_FOR);
    assert_eq!(late.len(), 0);
}
