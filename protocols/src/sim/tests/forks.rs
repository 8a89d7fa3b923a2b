//! Owners that sign two trees.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::engine::CommandError;
use crate::log::ForkProof;
use crate::sync::Lane;

/// Two engines with one key. Their stream begins alike and goes on differently:
/// `a` is followed, `b` is not connected to anybody.
struct Forked {
    sim: Sim,
    log: LogId,
    a: NodeId,
    b: NodeId,
    follower: NodeId,
}

fn branch(name: &str, from: u64, to: u64) -> Vec<Record> {
    let record = |i| Record::new(Timestamp(i as i64), format!("{name}{i}").as_bytes());
    (from..to).map(record).collect()
}

impl Forked {
    /// Both begin with `common` records; `a` goes on to `m`, `b` to `n`.
    fn new(seed: u64, common: u64, m: u64, n: u64) -> Self {
        let mut sim = Sim::new(seed);
        let key = SigningKey::from_secret(&mut [77; 32]);
        let a = sim.add_node_with_key(key.clone());
        let b = sim.add_node_with_key(key.clone());
        let log = sim.create(a, manifest(&key, 2));
        assert_eq!(sim.create(b, manifest(&key, 2)), log);
        for (node, name, size) in [(a, "a", m), (b, "b", n)] {
            sim.publish(node, log, records(0, common));
            sim.publish(node, log, branch(name, common, size));
        }
        let follower = sim.add_node();
        sim.follow(follower, log);
        sim.connect(follower, a);
        sim.run_for(MINUTE);
        let status = sim.status(follower, log).unwrap();
        assert_eq!((status.held_records, status.fork), (m, None));
        Self {
            sim,
            log,
            a,
            b,
            follower,
        }
    }

    /// Lets the follower meet the other branch.
    fn meet(&mut self) {
        self.sim.cut(self.follower, self.a);
        self.sim.connect(self.follower, self.b);
        self.sim.run_for(30 * SECOND);
    }

    /// A node has a proof that anybody can check.
    fn is_proved(&self, node: NodeId) {
        let status = self.sim.status(node, self.log).unwrap();
        let proof = status.fork.expect("the fork is proved");
        let wire = proof.to_wire();
        let manifest = status.manifest.expect("it is known");
        let checked = ForkProof::verify(wire, self.log, &manifest).unwrap();
        assert_eq!(checked, *proof);
    }
}

#[test]
fn two_heads_of_one_size_are_proof_of_a_fork_and_nothing_more_is_adopted() {
    let mut forked = Forked::new(1, 3, 9, 9);
    forked.meet();
    forked.is_proved(forked.follower);
    let head = |forked: &Forked| forked.sim.status(forked.follower, forked.log).unwrap().head;
    let before = head(&forked);
    forked.sim.publish(forked.b, forked.log, branch("b", 9, 20));
    forked.sim.run_for(MINUTE);
    forked.sim.cut(forked.follower, forked.b);
    forked.sim.publish(forked.a, forked.log, branch("a", 9, 20));
    forked.sim.connect(forked.follower, forked.a);
    forked.sim.run_for(MINUTE);
    assert_eq!(head(&forked), before);
    assert!(forked.sim.accusations().is_empty());
}

#[test]
fn an_extension_that_is_another_branch_is_proof_of_a_fork() {
    for (common, m, n) in [(0, 1, 2), (3, 9, 17), (8, 9, 10), (15, 16, 33), (0, 31, 32)] {
        let mut forked = Forked::new(2, common, m, n);
        forked.meet();
        forked.is_proved(forked.follower);
        let status = forked.sim.status(forked.follower, forked.log).unwrap();
        assert_eq!(status.head.unwrap().size, m);
        assert!(forked.sim.accusations().is_empty());
    }
}

#[test]
fn what_both_branches_begin_with_is_found_exactly_and_stays_usable() {
    let cases = [
        (0, 1, 2),
        (0, 9, 9),
        (3, 9, 9),
        (3, 9, 17),
        (8, 9, 10),
        (15, 16, 33),
        (16, 40, 24),
        (31, 32, 40),
        (100, 130, 120),
        (64, 65, 65),
    ];
    for (seed, (common, m, n)) in (0..).zip(cases) {
        let mut forked = Forked::new(seed, common, m, n);
        let (follower, log) = (forked.follower, forked.log);
        forked.meet();
        forked.is_proved(follower);
        let status = forked.sim.status(follower, log).unwrap();
        let found = status.fork.as_ref().unwrap().common_size();
        assert_eq!(
            (found, status.disputed_from),
            (common, Some(common)),
            "{m} {n}"
        );
        // Who comes later learns of it, and gets what is not disputed.
        let late = forked.sim.add_node();
        forked.sim.follow(late, log);
        forked.sim.connect(late, follower);
        forked.sim.run_for(30 * SECOND);
        forked.is_proved(late);
        let status = forked.sim.status(late, log).unwrap();
        assert_eq!(status.disputed_from, Some(common), "{m} {n}");
        assert_eq!(status.held_records, common);
        assert!(status.synced_size >= common);
        check_held(&forked.sim, late, log, record);
        // From whom it has it does not matter, nor which branch that one has.
        let last = forked.sim.add_node();
        forked.sim.follow(last, log);
        forked.sim.connect(last, late);
        forked.sim.connect(last, forked.b);
        forked.sim.run_for(30 * SECOND);
        assert_eq!(forked.sim.status(last, log).unwrap().held_records, common);
        assert!(forked.sim.accusations().is_empty());
        for crash in [Crash::Process, Crash::Power(0)] {
            forked.sim.crash(late, crash);
            forked.sim.reopen(late);
            let status = forked.sim.status(late, log).unwrap();
            assert_eq!(
                (status.disputed_from, status.held_records),
                (Some(common), common)
            );
        }
    }
}

/// A follower that knows the addresses of the chunks of `a`'s branch and has none
/// of them, and then meets the other branch.
fn sparse(seed: u64, common: u64, m: u64, n: u64) -> (Forked, NodeId) {
    let mut forked = Forked::new(seed, common, m, n);
    let (a, log) = (forked.a, forked.log);
    let no_chunks = |frame: v1::Frame| match frame.body {
        Some(v1::frame::Body::Delivery(_)) => Twisted::Nothing,
        _ => Twisted::Frame(frame),
    };
    forked.sim.twist(a, Box::new(no_chunks));
    let sparse = forked.sim.add_node();
    forked.sim.follow(sparse, log);
    forked.sim.connect(sparse, a);
    // Others would tell it all of so short a stream as news.
    forked.sim.run_for(SECOND);
    forked.sim.untwist(a);
    forked.sim.cut(sparse, a);
    let status = forked.sim.status(sparse, log).unwrap();
    assert_eq!((status.held_records, status.head.unwrap().size), (0, m));
    forked.sim.connect(sparse, forked.b);
    forked.sim.run_for(MINUTE);
    (forked, sparse)
}

#[test]
fn a_follower_without_the_chunk_in_which_the_branches_part_finds_that_chunk() {
    for (seed, (common, m, n)) in (0..).zip([
        (90, 99, 120),
        (90, 120, 100),
        (0, 9, 9),
        (7, 8, 8),
        (64, 80, 72),
        (95, 97, 96),
    ]) {
        let (mut forked, sparse) = sparse(seed, common, m, n);
        let log = forked.log;
        forked.is_proved(sparse);
        let status = forked.sim.status(sparse, log).unwrap();
        let (before, level) = (common / 4 * 4, 2);
        let found = status.fork.and_then(|fork| fork.common).map(|common| {
            let size = common.size();
            (size, common.level)
        });
        assert_eq!(found, Some((before, level)), "{common} {m} {n}");
        assert_eq!(
            (status.disputed_from, status.held_records),
            (Some(before), before)
        );
        check_held(&forked.sim, sparse, log, record);

        // Whoever has the records knows better, and says so.
        let full = forked.follower;
        forked.meet();
        forked.sim.connect(sparse, full);
        forked.sim.run_for(MINUTE);
        let status = forked.sim.status(sparse, log).unwrap();
        assert_eq!(status.disputed_from, Some(common), "{common} {m} {n}");
        assert_eq!(status.held_records, common);
        assert!(forked.sim.accusations().is_empty());
    }
}

/// Questions for heads that a node asks within a minute.
fn asks_within_a_minute(sim: &mut Sim, node: NodeId) -> u32 {
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    sim.twist(
        node,
        Box::new(move |frame| {
            if let Some(v1::frame::Body::GetHead(_)) = frame.body {
                count.set(count.get() + 1);
            }
            Twisted::Frame(frame)
        }),
    );
    sim.run_for(MINUTE);
    sim.untwist(node);
    asked.get()
}

#[test]
fn a_follower_that_is_behind_the_common_part_gets_all_of_it_and_no_more() {
    for seed in 0..5 {
        let mut sim = Sim::new(seed);
        let key = SigningKey::from_secret(&mut [77; 32]);
        let [a, b] = [(); 2].map(|()| sim.add_node_with_key(key.clone()));
        let log = sim.create(a, manifest(&key, 2));
        sim.create(b, manifest(&key, 2));
        sim.publish(a, log, records(0, 50));
        sim.publish(b, log, records(0, 80));
        let [witness, behind] = [(); 2].map(|()| {
            let node = sim.add_node();
            sim.follow(node, log);
            sim.connect(node, a);
            node
        });
        sim.run_for(MINUTE);
        assert_eq!(sim.status(behind, log).unwrap().held_records, 50);
        sim.cut(behind, a);
        sim.publish(a, log, records(50, 80));
        sim.publish(a, log, branch("a", 80, 100));
        sim.publish(b, log, branch("b", 80, 110));
        sim.run_for(MINUTE);
        sim.connect(witness, b);
        sim.run_for(30 * SECOND);
        let disputed = |sim: &Sim, node| sim.status(node, log).unwrap().disputed_from;
        assert_eq!(disputed(&sim, witness), Some(80));

        sim.connect(behind, witness);
        sim.run_for(30 * SECOND);
        let status = sim.status(behind, log).unwrap();
        assert_eq!(
            (
                status.disputed_from,
                status.synced_size,
                status.held_records
            ),
            (Some(80), 80, 80),
            "seed {seed}"
        );
        let history = History::new(&**sim.store(behind), status.key.unwrap());
        assert!((0..80).all(|index| history.record(index) == Ok(record(index))));
        assert!(sim.accusations().is_empty());
        for node in [witness, behind] {
            let asked = asks_within_a_minute(&mut sim, node);
            assert!(asked <= 10, "{asked} questions");
        }
    }
}

#[test]
fn an_owner_that_meets_its_other_branch_closes_the_log_for_good() {
    let mut forked = Forked::new(5, 3, 9, 12);
    let (follower, log, a, b) = (forked.follower, forked.log, forked.a, forked.b);
    forked.meet();
    forked.is_proved(b);
    forked.sim.cut(follower, b);
    forked.sim.connect(follower, a);
    forked.sim.run_for(30 * SECOND);
    forked.is_proved(a);
    for owner in [a, b] {
        forked.sim.crash(owner, Crash::Process);
        forked.sim.reopen(owner);
        let id = forked.sim.publish(owner, log, branch("c", 20, 21));
        forked.sim.run_for(0);
        let refused = forked.sim.reply(owner, id);
        assert!(
            matches!(refused, Some(Err(CommandError::NotOpen(_)))),
            "{refused:?}"
        );
    }
}

#[test]
fn an_announcement_of_another_branch_is_proof_of_a_fork() {
    // The announcement reaches back before what the follower adopted.
    let mut forked = Forked::new(3, 5, 9, 7);
    let (follower, log) = (forked.follower, forked.log);
    let other = forked.sim.add_node();
    forked.sim.follow(other, log);
    forked.sim.connect(other, forked.b);
    forked.sim.run_for(30 * SECOND);
    // What the other one tells does not come by sync.
    forked.sim.twist(other, Box::new(|_| Twisted::Nothing));
    forked.sim.connect(follower, other);
    forked.sim.run_for(5 * SECOND);
    assert!(forked.sim.status(follower, log).unwrap().fork.is_none());
    forked.sim.publish(forked.b, log, branch("b", 7, 14));
    forked.sim.run_for(SECOND);
    forked.is_proved(follower);
}

#[test]
fn a_fork_proof_is_passed_on_and_survives_a_restart() {
    let mut forked = Forked::new(4, 3, 9, 12);
    let (follower, log) = (forked.follower, forked.log);
    // One who knows the follower only, and keeps to the first branch.
    let friend = forked.sim.add_node();
    forked.sim.follow(friend, log);
    forked.sim.connect(friend, follower);
    forked.sim.run_for(30 * SECOND);
    forked.meet();
    forked.is_proved(follower);
    forked.is_proved(friend);
    for crash in [Crash::Process, Crash::Power(0)] {
        forked.sim.crash(friend, crash);
        forked.sim.reopen(friend);
        forked.is_proved(friend);
    }
    forked.sim.publish(forked.a, log, branch("a", 9, 30));
    forked.sim.connect(friend, forked.a);
    forked.sim.run_for(MINUTE);
    assert_eq!(
        forked.sim.status(friend, log).unwrap().head.unwrap().size,
        9
    );
    assert!(forked.sim.accusations().is_empty());
}

#[test]
fn whoever_asks_about_another_tree_of_that_size_is_told_so() {
    let mut world = World::new(7, 2, 30);
    let (owner, log) = (world.owner, world.log);
    let asker = world.sim.add_node();
    world.sim.connect(asker, owner);
    world.sim.run_for(SECOND);
    let whys = Rc::new(std::cell::RefCell::new(Vec::new()));
    let heard = whys.clone();
    world.sim.twist(
        owner,
        Box::new(move |frame| {
            if let Some(v1::frame::Body::Refused(refused)) = &frame.body {
                heard.borrow_mut().push(refused.why());
            }
            Twisted::Frame(frame)
        }),
    );
    let log = Bytes::copy_from_slice(&log.0);
    for size in [30, 17] {
        let (log, root) = (log.clone(), Bytes::from_static(&[7; 32]));
        let range = v1::GetRange {
            log: log.clone(),
            size,
            intervals: vec![v1::Interval { from: 0, to: 9 }],
            root: root.clone(),
            ..v1::GetRange::default()
        };
        let what = Some(v1::retrieve::What::Index(3));
        let retrieve = v1::Retrieve {
            log,
            size,
            root,
            what,
        };
        let bodies = [
            v1::frame::Body::GetRange(range),
            v1::frame::Body::Retrieve(retrieve),
        ];
        for body in bodies {
            world
                .sim
                .send(asker, owner, Lane::Control, encoded(body, size));
        }
    }
    world.sim.run_for(SECOND);
    assert_eq!(*whys.borrow(), [v1::refused::Why::OtherTree; 4]);
}

/// Proofs of a fork that say less of what both branches begin with than there is,
/// as whoever knows both can make them.
fn proofs_that_say_less(forked: &Forked, node: NodeId) -> Vec<v1::ForkProof> {
    let status = forked.sim.status(node, forked.log).unwrap();
    let proof = status.fork.unwrap();
    let hashes = |engine: NodeId, from: u64, to: u64| -> Vec<Bytes> {
        let status = forked.sim.status(engine, forked.log).unwrap();
        let history = History::new(&**forked.sim.store(engine), status.key.unwrap());
        let cover = crate::merkle::cover(from, to, crate::merkle::MAX_LEVEL);
        let hash = |subtree| {
            crate::merkle::Nodes::node(&history, subtree)
                .unwrap()
                .unwrap()
        };
        let hashes = cover.map(hash);
        hashes.map(|hash| Bytes::copy_from_slice(&hash.0)).collect()
    };
    let rest = |engine, said, size| {
        [
            hashes(engine, said, said + 1),
            hashes(engine, said + 1, size),
        ]
        .concat()
    };
    let said = |said: u64| v1::ForkProof {
        common: Some(v1::Common {
            size: said,
            tree: hashes(forked.a, 0, said),
            smaller: rest(forked.a, said, proof.smaller.size),
            larger: rest(forked.b, said, proof.larger.size),
            level: 0,
        }),
        ..proof.to_wire()
    };
    (0..16).map(said).collect()
}

#[test]
fn who_says_less_of_the_common_part_than_there_is_is_dropped_and_changes_nothing() {
    let mut forked = Forked::new(11, 90, 99, 120);
    let (log, follower) = (forked.log, forked.follower);
    // It knows both branches already, and learns of the fork before the others.
    let liar = forked.sim.add_node();
    forked.sim.connect(follower, liar);
    forked.meet();
    let lies = proofs_that_say_less(&forked, follower);
    let late = forked.sim.add_node();
    forked.sim.follow(late, log);
    forked.sim.connect(late, liar);
    forked.sim.connect(late, forked.a);
    forked.sim.run_for(MINUTE);
    // It meets the lies first, and the other branch then.
    for fork in lies {
        let evidence = v1::Evidence {
            recovered: None,
            log: Bytes::copy_from_slice(&log.0),
            fork: Some(fork),
        };
        let body = v1::frame::Body::Evidence(Box::new(evidence));
        forked.sim.send(liar, late, Lane::Control, encoded(body, 0));
    }
    forked.sim.run_for(SECOND);
    assert_eq!(forked.sim.status(late, log).unwrap().fork, None);
    assert!(forked.sim.accusations().iter().all(|one| one.of == liar));
    assert_eq!(forked.sim.accusations().len(), 1);
    forked.sim.connect(late, follower);
    forked.sim.run_for(MINUTE);
    let status = forked.sim.status(late, log).unwrap();
    assert_eq!((status.disputed_from, status.held_records), (Some(90), 99));
}
