//! Honest followers of a hostile owner, who signs whatever it likes.

use bytes::{Bytes, BytesMut};
use headwater_protocols::head::{AdoptedHead, Closing, Head, SignedHead};
use headwater_protocols::id::{LogId, Topic};
use headwater_protocols::identity::SigningKey;
use headwater_protocols::log::Announcement;
use headwater_protocols::merkle::{CompactRange, Hash, join_hashes};
use headwater_protocols::record::put_record;
use headwater_protocols::sim::{Crash, NodeId, Sim};
use headwater_protocols::sync::Lane;
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::v1;
use headwater_protocols::wire::v1::frame::Body;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use prost::Message;

use crate::fields::altered;
use crate::hostile::Hostile;
use crate::memory::bounded;
use crate::world::{MINUTE, SECOND, WORLD_BYTES, World, encoded, manifest, record};

/// Actions of one script.
const MAX_ACTIONS: usize = 40;

/// Virtual time in which what one follower knows comes to all.
const CONVERGENCE: u64 = 10 * MINUTE;

/// Records of a branch at most.
const LENGTH: u64 = 120;

/// The names of the branches.
const BRANCHES: [&str; 2] = ["a", "b"];

/// A script of what a hostile owner does to its followers. Whatever they hold is
/// proved by a head that it signed; none of them blames another one; and what one
/// of them knows of a fork, all know in the end.
pub fn hostile_owner(bytes: &[u8]) {
    bounded("a world", WORLD_BYTES, 1, || play(bytes));
}

fn play(bytes: &[u8]) {
    let mut script = Unstructured::new(bytes);
    if let Ok(mut scene) = Scene::new(&mut script) {
        for _ in 0..MAX_ACTIONS {
            if script.is_empty() || scene.act(&mut script).is_err() {
                break;
            }
        }
        scene.end();
    }
}

struct Scene {
    world: World,
    log: LogId,
    key: SigningKey,
    /// Records that both branches begin with.
    common: u64,
    /// What each of its two nodes has published.
    sizes: [u64; 2],
    hostile: [Hostile; 2],
}

impl Scene {
    fn new(script: &mut Unstructured<'_>) -> Result<Self> {
        let [seed, level, common, more] = script.arbitrary::<[u8; 4]>()?;
        let mut world = World::new(seed.into());
        let key = SigningKey::from_secret(&mut [70; 32]);
        let nodes = [(); 2].map(|()| world.sim.add_node_with_key(key.clone()));
        let manifest = manifest(&key, level % 5, 0);
        let mut log = LogId([0; 32]);
        for node in nodes {
            log = world.sim.create(node, manifest.clone());
        }
        let hostile = nodes.map(|node| Hostile::new(&mut world, node));
        let mut scene = Self {
            world,
            log,
            key,
            common: u64::from(common) % (LENGTH / 2),
            sizes: [0; 2],
            hostile,
        };
        for branch in 0..2 {
            scene.publish(branch, scene.common + u64::from(more % 8));
        }
        for _ in 0..3 {
            let node = scene.world.add_honest();
            scene.world.sim.follow(node, log);
        }
        scene.world.sim.run_for(0);
        let honest = scene.world.honest.clone();
        scene.world.sim.connect_line(&honest);
        scene.show(0, 0);
        Ok(scene)
    }

    /// The record at an index of a branch.
    fn record(&self, branch: usize, index: u64) -> headwater_protocols::record::Record {
        let name = if index < self.common {
            ""
        } else {
            BRANCHES[branch]
        };
        record(name, index)
    }

    fn publish(&mut self, branch: usize, count: u64) {
        let from = self.sizes[branch];
        let to = (from + count).min(LENGTH);
        if from < to {
            let records = (from..to).map(|index| self.record(branch, index)).collect();
            let node = self.hostile[branch].node;
            self.world.sim.publish(node, self.log, records);
            self.world.sim.run_for(0);
            self.sizes[branch] = to;
        }
    }

    /// One node of the owner meets a follower; the other one must not know it.
    fn show(&mut self, branch: usize, whom: u8) {
        let to = self.follower(whom);
        self.world.sim.cut(self.hostile[1 - branch].node, to);
        self.world.sim.connect(self.hostile[branch].node, to);
    }

    fn follower(&self, whom: u8) -> NodeId {
        self.world.honest[usize::from(whom) % self.world.honest.len()]
    }

    fn range(&self, branch: usize, from: u64, to: u64) -> CompactRange {
        let mut range = CompactRange::empty(from);
        for index in from..to {
            let leaf = self.record(branch, index).leaf();
            range
                .append_leaf(leaf, &mut |_, _| ())
                .expect("it is a small tree");
        }
        range
    }

    /// A head that the owner signs: of a branch, or of nothing at all.
    fn head(&self, script: &mut Unstructured<'_>) -> Result<(usize, u64, SignedHead)> {
        let [branch, size, lies, later] = script.arbitrary::<[u8; 4]>()?;
        let branch = usize::from(branch % 2);
        let size = u64::from(size) % (LENGTH + 1);
        let root = self.range(branch, 0, size).root().expect("it begins at 0");
        let ahead = i64::from(later as i8) * SECOND as i64;
        let head = Head {
            log: self.log,
            size: if lies == 0 { 1 << 61 } else { size },
            root: if lies == 1 && size > 0 {
                Hash([9; 32])
            } else {
                root
            },
            time: Timestamp(self.world.sim.now().0 + ahead),
            closing: match lies {
                2 => Some(Closing {
                    successor: Some(LogId([3; 32])),
                }),
                3 => Some(Closing { successor: None }),
                _ => None,
            },
            lines: (lies == 4)
                .then(|| "of later".to_owned())
                .into_iter()
                .collect(),
        };
        Ok((branch, size, head.sign(&self.key)))
    }

    fn act(&mut self, script: &mut Unstructured<'_>) -> Result<()> {
        let [action, whom] = script.arbitrary::<[u8; 2]>()?;
        let to = self.follower(whom);
        let branch = usize::from(whom >> 7);
        let log = self.log;
        match action % 16 {
            0 | 1 => self.pass(whom),
            2 => self.publish(branch, u64::from(whom % 16)),
            3 => self.show(branch, whom),
            4 => self.hostile[branch].change(script)?,
            5 => self.hostile[branch].repeat(&mut self.world, to, script)?,
            6 => self.hostile[branch].ask(&mut self.world, to, log, script)?,
            7 => self.hostile[branch].gossip(&mut self.world, log, script)?,
            8 => self.hostile[branch].announce(&mut self.world, log, script)?,
            9 | 10 => self.announce(branch, script)?,
            11 => self.gossip_head(branch, script)?,
            12 => self.extend(branch, to, script)?,
            13 => self.accuse(branch, to, script)?,
            14 => self.world.sim.cut(self.hostile[branch].node, to),
            _ => {
                self.world.sim.crash(to, Crash::Process);
                self.world.sim.reopen(to);
            }
        }
        Ok(())
    }

    /// Announces any records of a branch, below a head that it has signed.
    fn announce(&mut self, from: usize, script: &mut Unstructured<'_>) -> Result<()> {
        let (branch, size, head) = self.head(script)?;
        let [first, alters] = script.arbitrary::<[u8; 2]>()?;
        let first = u64::from(first) % (size + 1);
        let mut records = BytesMut::new();
        for index in first..size {
            put_record(&mut records, self.record(branch, index).as_bytes());
        }
        let [prefix, whole] = [first, size].map(|end| self.range(branch, 0, end));
        let mut bytes = Announcement::encode(&head, &prefix, &records.freeze(), &whole);
        if alters % 4 == 3 {
            bytes = altered(&bytes, script.arbitrary()?, size);
        }
        let node = self.hostile[from].node;
        self.world.sim.gossip(node, Topic::Data(self.log), &bytes);
        Ok(())
    }

    fn gossip_head(&mut self, from: usize, script: &mut Unstructured<'_>) -> Result<()> {
        let (.., head) = self.head(script)?;
        let body = Some(v1::meta::Body::Head(head.to_wire()));
        let bytes = Bytes::from(v1::Meta { body }.encode_to_vec());
        let node = self.hostile[from].node;
        self.world.sim.gossip(node, Topic::Meta(self.log), &bytes);
        Ok(())
    }

    /// Shows how a head extends another one, as an answer to any question.
    fn extend(&mut self, from: usize, to: NodeId, script: &mut Unstructured<'_>) -> Result<()> {
        let (branch, size, head) = self.head(script)?;
        let [at, id, news] = script.arbitrary::<[u8; 3]>()?;
        let at = u64::from(at) % (size + 1);
        let join = |range: CompactRange| join_hashes(range.hashes());
        let (left, right) = (
            join(self.range(branch, 0, at)),
            join(self.range(branch, at, size)),
        );
        let head = Some(head.to_wire());
        let log = Bytes::copy_from_slice(&self.log.0);
        let held = vec![v1::Interval {
            from: 0,
            to: size.max(1),
        }];
        let body = match news % 2 {
            0 => Body::Extension(v1::Extension { head, left, right }),
            _ => Body::Head(Box::new(v1::HeadState {
                log,
                head,
                held,
                left,
                right,
                ..Default::default()
            })),
        };
        let frame = v1::Frame {
            id: u64::from(id % 24),
            body: Some(body),
        };
        let node = self.hostile[from].node;
        self.world
            .sim
            .send(node, to, Lane::Control, encoded(&frame));
        Ok(())
    }

    /// Brings a fork proof of two of its heads, right or not.
    fn accuse(&mut self, from: usize, to: NodeId, script: &mut Unstructured<'_>) -> Result<()> {
        let [one, other] = [self.head(script)?, self.head(script)?];
        let (smaller, larger) = if one.1 <= other.1 {
            (one, other)
        } else {
            (other, one)
        };
        let hashes = |range: CompactRange| -> Vec<Bytes> {
            let hashes = range.hashes().iter();
            hashes.map(|hash| Bytes::copy_from_slice(&hash.0)).collect()
        };
        let claim = u64::from(script.arbitrary::<u8>()?) % (smaller.1 + 1);
        let unequal = smaller.1 < larger.1;
        let nodes = |from, to| match unequal {
            true => hashes(self.range(larger.0, from, to)),
            false => Vec::new(),
        };
        let rest = |branch, size| {
            let first = (claim < size).then(|| self.range(branch, claim, claim + 1));
            let behind = (claim < size).then(|| self.range(branch, claim + 1, size));
            first.into_iter().chain(behind).flat_map(hashes).collect()
        };
        let common = script.arbitrary::<bool>()?.then(|| v1::Common {
            size: claim,
            tree: hashes(self.range(smaller.0, 0, claim)),
            smaller: rest(smaller.0, smaller.1),
            larger: rest(larger.0, larger.1),
            level: 0,
        });
        let fork = v1::ForkProof {
            left: nodes(0, smaller.1),
            right: nodes(smaller.1, larger.1),
            smaller: Some(smaller.2.to_wire()),
            larger: Some(larger.2.to_wire()),
            common,
        };
        let node = self.hostile[from].node;
        if script.arbitrary()? {
            let body = Some(v1::meta::Body::Fork(fork));
            let bytes = Bytes::from(v1::Meta { body }.encode_to_vec());
            self.world.sim.gossip(node, Topic::Meta(self.log), &bytes);
        } else {
            let log = Bytes::copy_from_slice(&self.log.0);
            let body = Some(Body::Evidence(Box::new(v1::Evidence {
                log,
                fork: Some(fork),
                recovered: None,
            })));
            let frame = encoded(&v1::Frame { id: 0, body });
            self.world.sim.send(node, to, Lane::Control, frame);
        }
        Ok(())
    }

    fn pass(&mut self, how_long: u8) {
        let pause = match how_long {
            0..200 => u64::from(how_long) * 5_000,
            200..250 => u64::from(how_long - 199) * SECOND,
            _ => 2 * MINUTE,
        };
        self.world.sim.run_for(pause);
        self.check();
    }

    fn check(&self) {
        self.world.check_blame();
        for &node in &self.world.honest {
            self.world.check_held(node, self.log, |index, held| {
                (0..2).any(|branch| self.record(branch, index) == *held)
            });
            self.check_dispute(node);
        }
    }

    /// What is in both histories at most is undisputed.
    fn check_dispute(&self, node: NodeId) {
        let Some(status) = self.world.status(node, self.log) else {
            return;
        };
        let (Some(fork), Some(from)) = (&status.fork, status.disputed_from) else {
            assert!(status.fork.is_none() && status.disputed_from.is_none());
            return;
        };
        if fork.is_of_closing() {
            // The end counts, whatever the other head's tree is.
            assert!(from <= fork.smaller.size);
            return;
        }
        let is_of = |head: &SignedHead, branch: usize| {
            head.size <= LENGTH && self.range(branch, 0, head.size).root() == Some(head.root)
        };
        for branch in 0..2 {
            if is_of(&fork.smaller, branch) && is_of(&fork.larger, 1 - branch) {
                assert!(fork.smaller.size > self.common, "one tree holds both heads");
                assert!(
                    from <= self.common,
                    "disputed from {from} instead of {}",
                    self.common
                );
            }
        }
    }

    /// The owner is gone; its followers come to know the same.
    fn end(&mut self) {
        for hostile in &self.hostile {
            self.world.sim.crash(hostile.node, Crash::Process);
        }
        let honest = self.world.honest.clone();
        self.world.sim.connect_all(&honest);
        self.world.sim.run_for(SECOND);
        let log = self.log;
        let know = |sim: &Sim| {
            let states = honest.iter().filter_map(|&node| sim.status(node, log));
            let known = states.filter(|status| status.manifest.is_some());
            let forks: Vec<_> = known.map(|status| status.fork.is_some()).collect();
            (forks.iter().filter(|&&fork| fork).count(), forks.len())
        };
        // Whoever has proof tells all others; whoever has none finds it by asking.
        self.world.sim.run_while(CONVERGENCE, |sim| {
            let (forked, all) = know(sim);
            (0 < forked && forked < all) || !is_alike(sim, &honest, log)
        });
        self.check();
        let (forked, all) = know(&self.world.sim);
        assert!(
            forked == 0 || forked == all,
            "{forked} of {all} know of the fork"
        );
        let alike = is_alike(&self.world.sim, &honest, log);
        assert!(forked > 0 || alike, "two trees of one size, and no fork");
    }
}

/// Whether no two nodes have other trees of one size.
fn is_alike(sim: &Sim, nodes: &[NodeId], log: LogId) -> bool {
    let states = nodes.iter().filter_map(|&node| sim.status(node, log));
    let heads: Vec<_> = states
        .filter(|status| status.fork.is_none())
        .filter_map(|status| status.head)
        .collect();
    let is_other =
        |one: &AdoptedHead, other: &AdoptedHead| one.size == other.size && one.root != other.root;
    !heads
        .iter()
        .any(|one| heads.iter().any(|other| is_other(one, other)))
}
