//! What can happen in a trial.

use super::lies::lie;
use super::*;

impl Trial {
    /// The publisher of an honest stream appends some records.
    fn publish(&mut self) {
        let number = self.below(self.streams.len() as u64) as usize;
        let Stream {
            log, owner, twin, ..
        } = self.streams[number];
        if twin.is_some() || self.down.contains(&owner) {
            return;
        }
        let count = match self.below(8) {
            0 => self.below(2_000),
            1 | 2 => self.below(300),
            _ => 1 + self.below(20),
        };
        let size = self.size(owner, log);
        let records = (size..size + count).map(|index| record_of(number, index, ""));
        let command = Command::Publish {
            log,
            records: records.collect(),
            expect_size: Some(size),
        };
        let id = self.sim.command(owner, command);
        self.streams[number].open.push(id);
    }

    /// Size of the adopted head.
    fn size(&self, node: NodeId, log: LogId) -> u64 {
        let status = self.sim.status(node, log);
        let head = status.and_then(|status| status.head);
        head.map_or(0, |head| head.size)
    }

    pub(super) fn crash(&mut self, node: NodeId) {
        let crash = match self.one_in(2) {
            true => Crash::Process,
            false => {
                let unsynced = self.sim.store(node).unsynced() as u64;
                Crash::Power(self.below(unsynced + 1) as usize)
            }
        };
        self.sim.crash(node, crash);
        // What was not on the disk is fetched once more.
        self.checked.retain(|&(of, _), _| of != node);
        self.waiting.retain(|&(of, ..)| of != node);
        for stream in &mut self.streams {
            if stream.owner == node {
                stream.open.clear();
            }
        }
        self.down.insert(node);
    }

    pub(super) fn reopen(&mut self, node: NodeId) {
        if self.down.remove(&node) {
            if self.one_in(2) {
                self.sim.store(node).fail_while(None);
            }
            self.sim.reopen(node);
        }
    }

    /// A user waits for a record or the latest one before a time.
    fn retrieve(&mut self) {
        let node = self.one_of(&self.honest.clone());
        let number = self.below(self.streams.len() as u64) as usize;
        let log = self.streams[number].log;
        if self.down.contains(&node) || self.streams[number].twin.is_some() {
            return;
        }
        let place = self.below(self.size(node, log) + 2);
        let what = match self.one_in(2) {
            true => Retrieval::Index(log, place),
            false => Retrieval::Time(log, Timestamp(place as i64 / 3)),
        };
        let id = self.sim.command(node, Command::Retrieve(what));
        let until = self.sim.now().plus(RETRIEVAL_TIMEOUT_US + SECOND);
        self.waiting.push((node, id, until));
    }

    /// Connects or disconnects a pair.
    fn toggle(&mut self, a: NodeId, b: NodeId) {
        if !self.connect(a, b) {
            self.sim.cut(a, b);
        }
    }

    /// Two groups that do not see each other.
    fn part(&mut self) {
        let nodes = self.nodes();
        let sides: Vec<_> = nodes.iter().map(|_| self.one_in(2)).collect();
        for (i, &a) in nodes.iter().enumerate() {
            for (j, &b) in nodes.iter().enumerate().skip(i + 1) {
                if sides[i] != sides[j] {
                    self.sim.cut(a, b);
                }
            }
        }
    }

    /// The twins show themselves to one node each, never to the same one.
    pub(super) fn show_twins(&mut self) {
        let honest = self.honest.clone();
        for number in 0..self.streams.len() {
            let Stream { owner, twin, .. } = self.streams[number];
            let Some(twin) = twin else { continue };
            for &node in &self.nodes() {
                self.sim.cut(owner, node);
                self.sim.cut(twin, node);
            }
            let place = self.below(honest.len() as u64) as usize;
            self.connect(owner, honest[place]);
            self.connect(twin, honest[(place + 1) % honest.len()]);
        }
    }

    fn set_network(&mut self) {
        let least = 1_000 * (1 + self.below(40));
        let rates = [30_000, 1_000_000, 100_000_000];
        let config = NetworkConfig {
            latency_us: (least, least + 1_000 * self.below(300)),
            gossip_loss: self.below(90) as f64 / 100.0,
            gossip_duplication: self.below(50) as f64 / 100.0,
            bytes_per_second: rates[self.below(3) as usize],
            ..NetworkConfig::default()
        };
        self.sim.set_network(config);
    }

    /// The clock of a follower is set to something else, or to what it should be.
    fn set_clock(&mut self, node: NodeId) {
        let off = [0, 30, -30, 3_600, -3_600, 10 << 25, -(10 << 25)];
        let seconds = off[self.below(off.len() as u64) as usize];
        if self.streams.iter().all(|stream| stream.owner != node) {
            self.sim.set_clock(node, seconds * SECOND as i64);
        }
    }

    fn lie(&mut self) {
        if self.liars.is_empty() {
            return;
        }
        let liar = self.one_of(&self.liars.clone());
        let seed = self.dice.next_u64();
        self.sim.twist(liar, lie(seed));
        if self.one_in(3) && !self.down.contains(&liar) {
            let mut noise = vec![0; self.below(200) as usize];
            self.dice.fill_bytes(&mut noise);
            let number = self.below(self.streams.len() as u64) as usize;
            let topic = Topic::Data(self.streams[number].log);
            self.sim.gossip(liar, topic, &noise.into());
        }
    }

    /// Of a disk that is full, or of which nobody knows what it has.
    fn disk_error(&mut self) -> StoreError {
        match self.one_in(2) {
            true => StoreError::Full("0 bytes left".to_owned()),
            false => StoreError::Unclear("fsync failed".to_owned()),
        }
    }

    /// One thing happens.
    pub(super) fn act(&mut self) {
        let nodes = self.nodes();
        let (a, b) = (self.one_of(&nodes), self.one_of(&nodes));
        match self.below(28) {
            0..6 => self.publish(),
            6..10 => self.toggle(a, b),
            10 | 11 if a != b => self.sim.reset_streams(a, b),
            12 | 13 if !self.down.contains(&a) => self.crash(a),
            14..17 => self.reopen(a),
            17 => {
                let commits = self.below(10);
                let error = self.disk_error();
                self.sim.store(a).fail_after(commits, error);
            }
            18 => self.set_network(),
            25 => {
                let error = self.disk_error();
                self.sim.store(a).fail_while(Some(error));
            }
            26 | 27 => self.sim.store(a).fail_while(None),
            19 => self.part(),
            20 => self.lie(),
            21 | 22 => self.retrieve(),
            23 => self.show_twins(),
            24 => self.set_clock(a),
            _ => {}
        }
    }

    /// Lets time go by, and looks at everybody again and again.
    pub(super) fn wait(&mut self) {
        let long = self.one_in(8);
        for _ in 0..1 + self.below(4) {
            let pause = self.below(if long { 20 * SECOND } else { SECOND / 2 });
            self.sim.run_for(pause);
            self.check();
        }
    }
}
