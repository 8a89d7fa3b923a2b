//! What must be so at any moment, and in the end.

use super::*;

impl Trial {
    /// What must be so at any moment.
    pub(super) fn check(&mut self) {
        self.check_answers();
        for node in self.nodes() {
            if !self.down.contains(&node) {
                for stream in 0..self.streams.len() {
                    self.check_held(node, stream);
                }
            }
        }
        for accusation in self.sim.accusations() {
            let is_owner = self
                .streams
                .iter()
                .any(|stream| stream.twin == Some(accusation.of) || stream.owner == accusation.of);
            assert!(
                self.liars.contains(&accusation.by)
                    || !self.honest.contains(&accusation.of) && !is_owner,
                "an honest node is accused: {accusation:?}"
            );
        }
    }

    /// Nothing that was acknowledged is lost, and every request ends.
    fn check_answers(&mut self) {
        for stream in &mut self.streams {
            let (sim, owner) = (&self.sim, stream.owner);
            stream.open.retain(|&id| match sim.reply(owner, id) {
                Some(Ok(Reply::Published(interval))) => {
                    stream.acknowledged = stream.acknowledged.max(interval.to);
                    false
                }
                Some(Ok(other)) => panic!("a publication gave {other:?}"),
                Some(Err(_)) => false,
                None => true,
            });
        }
        let (sim, now) = (&self.sim, self.sim.now());
        let streams = &self.streams;
        self.waiting.retain(|&(node, id, until)| {
            let Some(reply) = sim.reply(node, id) else {
                assert!(now <= until, "{node:?} waits for ever");
                return true;
            };
            if let Ok(Reply::Retrieved(found)) = reply
                && let Found::Record { index, record, .. } = &**found
            {
                let is_true = |stream| record_of(stream, *index, "") == *record;
                assert!((0..streams.len()).any(is_true), "a false record was found");
            }
            false
        });
    }

    /// What a node claims to hold is what was published.
    fn check_held(&mut self, node: NodeId, number: usize) {
        let stream = &self.streams[number];
        let Some(status) = self.sim.status(node, stream.log) else {
            return;
        };
        if node == stream.owner {
            let signed = status.head.as_ref().map_or(0, |head| head.size);
            // What a crash has left without a head is signed when the disk works.
            let stored = status.held.first().map_or(0, |first| first.to);
            let size = match &status.stopped {
                Some(_) => signed.max(stored),
                None => signed,
            };
            assert!(
                size >= stream.acknowledged,
                "{} records were acknowledged, {size} are left",
                stream.acknowledged
            );
        }
        let Some(key) = status.key else {
            return;
        };
        let size = status.head.as_ref().map_or(0, |head| head.size);
        let history = History::new(&**self.sim.store(node), key);
        let checked = self.checked.entry((node, number)).or_default();
        for interval in &status.held {
            let is_unsigned = node == stream.owner && status.stopped.is_some();
            assert!(
                interval.to <= size || is_unsigned,
                "{interval:?} is held of {size}"
            );
            let new: Vec<_> = checked.missing(interval.from, interval.to).collect();
            for Interval { from, to } in new {
                for index in from..to {
                    let record = history.record(index).expect("what is held can be read");
                    let is = |branch| record == record_of(number, index, branch);
                    let is_branch = stream.twin.is_some() && index >= stream.common;
                    assert!(
                        is("") && !is_branch || is_branch && (is("a") || is("b")),
                        "{node:?} holds another record {index}: {record:?}"
                    );
                }
                let _ = checked.insert(from, to);
            }
        }
    }

    /// All faults end, and everybody comes to the same.
    pub(super) fn end(&mut self) {
        self.sim.set_network(NetworkConfig::default());
        for liar in self.liars.clone() {
            self.sim.untwist(liar);
        }
        for node in self.nodes() {
            self.reopen(node);
            self.sim.store(node).fail_while(None);
        }
        self.sim.connect_line(&self.honest.clone());
        self.show_twins();
        let (honest, streams) = (self.honest.clone(), &self.streams);
        let missing = |sim: &Sim| {
            let of = |stream: &Stream| {
                let done = honest.iter().all(|&node| is_done(sim, stream, node));
                (!done).then_some(stream.log)
            };
            streams.iter().find_map(of)
        };
        let done = (self.sim).run_while(CONVERGENCE, |sim| missing(sim).is_some());
        assert!(done, "{}", self.summary());
        self.check();
        self.check_alike();
    }

    /// Everybody holds all of the same tree, and can prove it.
    fn check_alike(&self) {
        for (number, stream) in self.streams.iter().enumerate() {
            if stream.twin.is_some() {
                continue;
            }
            let root = |node| {
                let head = self
                    .sim
                    .status(node, stream.log)
                    .expect("it is followed")
                    .head;
                head.filter(|head| head.size > 0).map(|head| head.root)
            };
            let expected = root(stream.owner);
            for &node in &self.honest {
                assert_eq!(root(node), expected);
                check_held(&self.sim, node, stream.log, |index| {
                    record_of(number, index, "")
                });
            }
        }
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        for (number, stream) in self.streams.iter().enumerate() {
            for &node in &self.honest {
                let status = self.sim.status(node, stream.log).expect("it is followed");
                let head = status.head.as_ref().map(|head| head.size);
                text += &format!(
                    "stream {number} (owner {:?}, twin {:?} from {}) at {node:?}: head {head:?}, \
                     held {:?}, synced {}, disputed from {:?}, stopped for good {:?}, stopped {:?}, {} sources\n",
                    stream.owner,
                    stream.twin,
                    stream.common,
                    status.held,
                    status.synced_size,
                    status.disputed_from,
                    status.stopped_for_good,
                    status.stopped,
                    status.sources.len(),
                );
            }
        }
        for node in self.nodes() {
            let state = &self.sim.nodes[node.0];
            text += &format!(
                "{node:?} is connected to {:?}, banned {:?}\n",
                state.neighbours.values(),
                state.banned
            );
        }
        format!("{text}{:?}", self.sim.accusations())
    }
}

/// Whether a node has all that is to be had of a stream.
fn is_done(sim: &Sim, stream: &Stream, node: NodeId) -> bool {
    let status = sim.status(node, stream.log);
    // What is in memory is not what the disk has before it was read back.
    let Some(status) = status.filter(|status| status.stopped.is_none()) else {
        return false;
    };
    if stream.twin.is_some() {
        return status
            .disputed_from
            .is_some_and(|from| from <= stream.common);
    }
    let size = |node| {
        let head = sim.status(node, stream.log).and_then(|status| status.head);
        head.map_or(0, |head| head.size)
    };
    let all = size(stream.owner);
    let begin = stream.begin(all);
    let kept: Vec<_> = [Interval {
        from: begin,
        to: all,
    }]
    .into_iter()
    .filter(|kept| !kept.is_empty())
    .collect();
    size(node) == all && status.held == kept && status.synced_size == all
}

impl Stream {
    /// Where what everybody keeps of so many records begins in the end.
    fn begin(&self, size: u64) -> u64 {
        match self.manifest.retain_us {
            0 => self.manifest.begin_by_number(size),
            _ => self.manifest.last_begin(size),
        }
    }
}
