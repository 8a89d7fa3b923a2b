//! Honest nodes with an honest publisher, among them hostile peers.

use headwater_protocols::engine::Command;
use headwater_protocols::id::LogId;
use headwater_protocols::sim::{Crash, NodeId};
use headwater_protocols::sync::retrieval::Retrieval;
use libfuzzer_sys::arbitrary::{Result, Unstructured};

use crate::hostile::Hostile;
use crate::memory::bounded;
use crate::world::{MINUTE, SECOND, WORLD_BYTES, World, manifest, record};

/// Actions of one script.
const MAX_ACTIONS: usize = 48;

/// Identities that a hostile peer takes, one after the other.
const MAX_IDENTITIES: usize = 4;

/// Virtual time in which everybody gets everything once all is over.
const CONVERGENCE: u64 = 7 * MINUTE;

/// A script of what a hostile peer does among honest nodes. In the end these hold
/// all that was published and nothing else, and blame nobody who is honest.
pub fn hostile_peer(bytes: &[u8]) {
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
    size: u64,
    retains: u64,
    hostile: Vec<Hostile>,
}

impl Scene {
    fn new(script: &mut Unstructured<'_>) -> Result<Self> {
        let [seed, level, size, kind] = script.arbitrary::<[u8; 4]>()?;
        let mut world = World::new(seed.into());
        let owner = world.add_honest();
        let retains = if kind % 4 == 3 { 20 } else { 0 };
        let manifest = manifest(world.sim.key(owner), level % 5, retains);
        let log = world.sim.create(owner, manifest);
        let followers = [(); 2].map(|()| world.add_honest());
        let mut scene = Self {
            world,
            log,
            size: 0,
            retains,
            hostile: Vec::new(),
        };
        scene.publish(size.into());
        for (i, node) in followers.into_iter().enumerate() {
            scene.follow(node, (kind >> i) % 2 == 0);
        }
        scene.world.sim.connect(followers[0], followers[1]);
        scene.world.sim.connect(owner, followers[0]);
        scene.add_hostile();
        Ok(scene)
    }

    fn follow(&mut self, node: NodeId, newest_first: bool) {
        let (log, peers) = (self.log, Vec::new());
        self.world.sim.command(
            node,
            Command::Follow {
                log,
                peers,
                newest_first,
            },
        );
        self.world.sim.run_for(0);
    }

    /// Another identity, connected to everybody.
    fn add_hostile(&mut self) {
        let node = self.world.sim.add_node();
        self.follow(node, false);
        for honest in self.world.honest.clone() {
            self.world.sim.connect(node, honest);
        }
        self.hostile.push(Hostile::new(&mut self.world, node));
    }

    fn publish(&mut self, count: u64) {
        let owner = self.world.honest[0];
        if count > 0 && !self.world.down.contains(&owner) {
            let records = (self.size..self.size + count).map(|index| record("", index));
            self.world.sim.publish(owner, self.log, records.collect());
            self.world.sim.run_for(0);
            self.size += count;
        }
    }

    fn act(&mut self, script: &mut Unstructured<'_>) -> Result<()> {
        let [action, whom] = script.arbitrary::<[u8; 2]>()?;
        let to = self.world.honest[usize::from(whom) % self.world.honest.len()];
        let (log, hostile) = (self.log, self.hostile.last().expect("there is one"));
        let node = hostile.node;
        let runs = !self.world.down.contains(&to);
        match action % 16 {
            0 | 1 => self.pass(whom),
            2 | 3 => hostile.repeat(&mut self.world, to, script)?,
            4 | 5 if runs => hostile.ask(&mut self.world, to, log, script)?,
            6 | 7 => hostile.change(script)?,
            8 => hostile.gossip(&mut self.world, log, script)?,
            9 => hostile.announce(&mut self.world, log, script)?,
            10 => self.publish(u64::from(whom % 40)),
            11 if runs => drop(self.world.sim.connect(node, to)),
            12 => self.world.sim.reset_streams(node, to),
            13 if self.hostile.len() < MAX_IDENTITIES => self.add_hostile(),
            14 if runs => {
                let index = u64::from(script.arbitrary::<u8>()?);
                let lookup = Command::Retrieve(Retrieval::Index(log, index));
                self.world.sim.command(to, lookup);
            }
            15 if runs => {
                self.world.sim.crash(to, Crash::Process);
                self.world.down.push(to);
            }
            15 => self.reopen(to),
            _ => {}
        }
        Ok(())
    }

    fn reopen(&mut self, node: NodeId) {
        self.world.down.retain(|&down| down != node);
        self.world.sim.reopen(node);
    }

    /// Lets time go by, mostly not much of it, and looks at everybody.
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
            if !self.world.down.contains(&node) {
                self.world
                    .check_held(node, self.log, |index, held| record("", index) == *held);
            }
        }
    }

    /// The hostile ones are gone, and everybody gets everything.
    fn end(&mut self) {
        for hostile in &self.hostile {
            self.world.sim.crash(hostile.node, Crash::Process);
        }
        let honest = self.world.honest.clone();
        for &node in &honest {
            if self.world.down.contains(&node) {
                self.reopen(node);
            }
        }
        self.world.sim.connect_line(&honest);
        self.publish(1);
        let (log, size) = (self.log, self.size);
        let is_done = |sim: &headwater_protocols::sim::Sim| {
            honest.iter().all(|&node| {
                let status = sim.status(node, log).expect("it is followed");
                let adopted = status.head.map(|head| head.size);
                adopted == Some(size)
                    && status.synced_size == size
                    && status.held_records == size - status.begin
            })
        };
        let done = self.world.sim.run_while(CONVERGENCE, |sim| !is_done(sim));
        assert!(done, "{}", self.summary());
        for &node in &honest {
            let begin = self
                .world
                .status(node, log)
                .map_or(0, |status| status.begin);
            assert!(self.retains > 0 || begin == 0, "something was dropped");
        }
        self.check();
    }

    fn summary(&self) -> String {
        let stand = |&node: &NodeId| {
            let status = self.world.status(node, self.log)?;
            let head = status.head.map(|head| head.size);
            let (held, sources) = (status.held, status.sources.len());
            Some(format!(
                "{node:?}: head {head:?} of {}, held {held:?}, {sources} sources",
                self.size
            ))
        };
        let all: Vec<_> = self.world.honest.iter().filter_map(stand).collect();
        format!("{}; {:?}", all.join("; "), self.world.sim.accusations())
    }
}
