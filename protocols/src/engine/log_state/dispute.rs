//! Forked logs, after an equivocation: the proof is kept and passed on, and what both
//! branches begin with is searched for, because that much is nobody's dispute.

use std::cmp::Ordering;

use bytes::Bytes;
use libp2p_identity::PeerId;
use prost::Message;

use crate::engine::fork_search::{Search, SearchError, Step, fork_with_smaller, holds};
use crate::engine::log_state::{LogState, put_log};
use crate::engine::requests::RequestKind;
use crate::engine::rows::put_fork;
use crate::engine::says::Says;
use crate::engine::trees::{beginning, nodes_between};
use crate::engine::{Engine, Output, subscribers};
use crate::head::{AdoptedHead, SignedHead, Tree};
use crate::id::{LogId, Topic};
use crate::limits::{MAX_ENDS_AT_ONCE, VAIN_SEARCH_PAUSE_US};
use crate::log::{AdmitError, Extension, ForkProof};
use crate::merkle::{CompactRange, Nodes, empty_root};
use crate::recovery::Recovered;
use crate::store::{Batch, Durability, History, LogKey, ReadError, Store, StoreError, Table};
use crate::sync::Lane;
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::frame::Body;

/// Why a forked log of our own is stopped.
const FORKED: &str = "two histories of it were signed with its key, which nothing can undo; create a \
                      new stream";
/// The same, where it is about its end.
const ENDED_TWICE: &str = "its end was signed with its key, and something that follows it, which \
                           nothing can undo; create a new stream";

/// What is known of a fork of a log, and how much of it is nobody's dispute.
#[derive(Debug, Default)]
pub(in crate::engine) struct Dispute {
    fork: Option<Box<ForkProof>>,
    /// Version 0.1.0 has found that it forked, and nobody since.
    forked_early: bool,
    /// Records from the beginning on that are not disputed.
    undisputed: u64,
    /// When a proof that it went on after its end was last taken.
    ended_at: Option<Timestamp>,
    /// How many of these were taken, of ends of ever smaller sizes.
    ends: u32,
    /// The search for what both branches begin with.
    search: Option<Search>,
    /// What both branches begin with was found by a search of ours.
    searched: bool,
    /// The peer with whom it was last not found, and until when it is not asked
    /// again.
    vain_search: Option<(PeerId, Timestamp)>,
}

impl Dispute {
    /// Goes on searching as before the log was read anew.
    pub(in crate::engine) fn take_over(&mut self, old: Self) {
        self.search = old.search;
        self.searched = old.searched;
        self.vain_search = old.vain_search;
    }
}

impl LogState {
    /// The proof that it forked, if there is one.
    pub(in crate::engine) fn fork(&self) -> Option<&ForkProof> {
        self.dispute.fork.as_deref()
    }

    /// Whether its owner has signed two histories, or something behind its end.
    pub(in crate::engine) fn is_forked(&self) -> bool {
        self.dispute.fork.is_some() || self.dispute.forked_early
    }

    /// Of a log of which not everything counts: how many records do.
    pub(in crate::engine) fn undisputed(&self) -> u64 {
        self.dispute.undisputed
    }

    /// Writes the fork proof, if there is one.
    pub(in crate::engine) fn put_fork(&self, batch: &mut Batch) {
        if let Some(fork) = self.fork() {
            put_fork(batch, self.number(), fork);
        }
    }

    /// Takes over the proof of a log that is begun anew, where that decides how much of
    /// it counts, whatever tree comes.
    pub(in crate::engine) fn keep_fork_of(&mut self, old: &Self) {
        self.dispute.fork = old
            .dispute
            .fork
            .clone()
            .filter(|_| old.last_head().is_some());
    }

    /// Takes what an early proof leaves: no more than both histories begin with.
    pub(in crate::engine) fn set_forked_early(&mut self, common: u64) {
        self.dispute.undisputed = common.min(self.size());
        self.dispute.forked_early = true;
    }

    /// The peer that was asked for what both branches begin with does not say it.
    pub(in crate::engine) fn end_search(&mut self) {
        self.dispute.search = None;
    }

    /// Why a log of ours is stopped that forked.
    pub(in crate::engine) fn why_forked(&self) -> &'static str {
        match self.fork() {
            Some(fork) if fork.is_of_closing() => ENDED_TWICE,
            _ => FORKED,
        }
    }

    /// Whether a fork proof says more than the one that is known.
    pub(in crate::engine) fn is_better_fork(&self, says: Says) -> bool {
        self.fork().is_none_or(|known| says > Says::of(known))
    }

    /// As [`is_better_fork`](Self::is_better_fork), of one that others tell. An owner can
    /// sign ends of ever smaller sizes: one of them is taken in a while.
    pub(in crate::engine) fn takes_proof(&self, says: Says, now: Timestamp) -> bool {
        let is_end = matches!(says, Says::WentOn(_));
        let is_early = self.dispute.ends >= MAX_ENDS_AT_ONCE
            && (self.dispute.ended_at).is_some_and(|at| at.plus(VAIN_SEARCH_PAUSE_US) > now);
        self.is_better_fork(says) && !(is_end && is_early)
    }
}

impl<S: Store> Engine<S> {
    /// Keeps a fork proof, if it says more than what is known: from now on only
    /// what both branches begin with counts. `from` is the peer that has the
    /// other branch, if we found out by ourselves.
    pub(in crate::engine) fn take_fork(
        &mut self,
        log: LogId,
        proof: Box<ForkProof>,
        from: Option<PeerId>,
        now: Timestamp,
    ) {
        let proof = match self.other_branch(log, &proof) {
            Ok(branch) => branch.unwrap_or(proof),
            Err(error) => return self.store_failed(log, &ReadError::Store(error)),
        };
        let is_better = |state: &LogState| state.is_better_fork(Says::of(&proof));
        if !self.logs.get(&log).is_some_and(is_better) {
            return;
        }
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let Some(key) = state.key() else {
            return;
        };
        let wire = proof.to_wire();
        let mut batch = Batch::new();
        put_fork(&mut batch, key.number, &proof);
        let tree = state.tree();
        let is_branch = [&proof.smaller, &proof.larger].map(|head| Some(head.tree()));
        let is_open = !state.is_ours() && state.recovered().is_none();
        if state.held().is_empty() && is_open && !is_branch.contains(&tree) {
            // One of the branches, so that there is something to prove against;
            // what is known of the tree before may be another one's.
            for table in [Table::Nodes, Table::Edges] {
                let ends = [key.number, key.number + 1].map(u32::to_be_bytes);
                batch.delete_range(table, ends[0], ends[1]);
            }
            state.put_adopted(&mut batch, &proof.smaller);
            state.forget_trees();
            state.set_adopted(proof.smaller.clone());
        }
        let tree = state.tree();
        if let Some(mut admission) = state.admission(&self.store) {
            let shown = tree.map_or_else(Vec::new, |tree| proof.nodes_of(tree));
            admission.put_nodes(&shown);
            batch.append(admission.finish());
        }
        state.write_no_more();
        let theirs = match tree == Some(proof.smaller.tree()) {
            true => proof.larger.clone(),
            false => proof.smaller.clone(),
        };
        if proof.is_of_closing() {
            state.dispute.ended_at = Some(now);
            state.dispute.ends = state.dispute.ends.saturating_add(1);
        }
        state.dispute.fork = Some(proof);
        state.put_fork_of_replaced(&mut batch);
        state.begin_by_last_head();
        if state.is_ours() {
            state.stop_for_good(state.why_forked().to_owned());
        }
        // Nothing more is adopted, so that nothing more has to be shown.
        state.expect_no_more();
        put_log(&mut batch, log, state);
        self.changed.insert(log);
        if let Err(error) = self.store.commit(batch, Durability::Synced) {
            self.store_failed(log, &ReadError::Store(error));
        }
        self.settle_dispute(log, now);
        self.drop_staged(log);
        self.withdraw_ranges(log, now);
        self.tell_fork(log, wire, from);
        if let Some(peer) = from {
            self.search_fork_point(peer, log, &theirs, now);
        }
        // More may be common than was thought.
        self.schedule(log, now);
    }

    /// Tells everybody of a fork, last the peer whose head has shown it.
    fn tell_fork(&mut self, log: LogId, wire: v1::ForkProof, from: Option<PeerId>) {
        let meta = v1::Meta {
            body: Some(v1::meta::Body::Fork(wire)),
        };
        let data = Bytes::from(meta.encode_to_vec());
        self.outputs
            .push_back(Output::Publish(Topic::Meta(log), data));
        // Gossip may have no mesh yet with whoever has just come, and an owner
        // asks nobody later.
        let others = subscribers(&self.peers, log).into_iter();
        for peer in others.filter(|&peer| Some(peer) != from).chain(from) {
            self.send_evidence(peer, log);
        }
    }

    /// Evidence that a peer gives without being asked.
    pub(in crate::engine) fn take_evidence(
        &mut self,
        peer: PeerId,
        wire: v1::Evidence,
        now: Timestamp,
    ) {
        let Some(log) = LogId::from_slice(&wire.log) else {
            return;
        };
        if let Some(recovered) = wire.recovered
            && let Err(error) = self.recovery_heard(log, recovered, Some(peer), now)
        {
            return self.ban_for(peer, Some(log), error.to_string());
        }
        let (Some(state), Some(fork)) = (self.logs.get(&log), wire.fork) else {
            return;
        };
        let news = state.takes_proof(Says::of_wire(&fork), now);
        let Some(manifest) = state.manifest().filter(|_| news) else {
            return;
        };
        match ForkProof::verify(fork, log, manifest) {
            Ok(proof) => {
                self.take_fork(log, Box::new(proof), None, now);
            }
            Err(error) => self.ban(peer, Some(log), &error),
        }
    }

    /// Where a log was closed and went on, and the tree that is here is not even that
    /// one, grown: the proof of that.
    fn other_branch(
        &self,
        log: LogId,
        proof: &ForkProof,
    ) -> Result<Option<Box<ForkProof>>, StoreError> {
        let state = self.logs.get(&log).filter(|_| proof.is_of_closing());
        let Some((key, adopted)) =
            state.and_then(|state| Some((state.key()?, state.signed_head()?)))
        else {
            return Ok(None);
        };
        let end = &proof.smaller;
        if adopted.size == end.size && adopted.root != end.root {
            return Ok(ForkProof::of_heads(adopted, end));
        }
        fork_with_smaller(&History::new(&self.store, key), end, adopted)
    }

    /// Tells a peer of the fork of a log, if there is one.
    pub(in crate::engine) fn send_evidence(&mut self, peer: PeerId, log: LogId) {
        let Some(state) = self.logs.get(&log) else {
            return;
        };
        let fork = state.fork().map(ForkProof::to_wire);
        let recovered = state.recovered().map(Recovered::to_wire);
        if fork.is_none() && recovered.is_none() {
            return;
        }
        if !self.peers.get(&peer).is_some_and(|peer| peer.ready) {
            return;
        }
        let evidence = v1::Evidence {
            log: Bytes::copy_from_slice(&log.0),
            fork,
            recovered,
        };
        self.reply_in(Lane::Control, peer, 0, Body::Evidence(Box::new(evidence)));
    }

    /// Compares a smaller head with the tree that is here; whether it is one of
    /// another branch.
    pub(in crate::engine) fn contradicts_older(
        &mut self,
        peer: PeerId,
        log: LogId,
        head: &SignedHead,
        now: Timestamp,
    ) -> bool {
        let Some(state) = self.logs.get(&log) else {
            return false;
        };
        let (Some(key), Some(adopted)) = (state.key(), state.adopted().cloned()) else {
            return false;
        };
        if state.tree_of(head.size) == Some(head.tree()) {
            return false;
        }
        let history = History::new(&self.store, key);
        let Some(signed) = adopted.signed() else {
            return match holds(&history, head) {
                Ok(Some(false)) => self.is_other_history(log),
                Ok(_) => false,
                Err(error) => {
                    self.store_failed(log, &ReadError::Store(error));
                    false
                }
            };
        };
        match fork_with_smaller(&history, head, signed) {
            Ok(Some(proof)) => {
                self.take_fork(log, proof, Some(peer), now);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.store_failed(log, &ReadError::Store(error));
                false
            }
        }
    }

    /// Finds out again what is not disputed, after a head was adopted or a
    /// proof has come.
    pub(in crate::engine) fn settle_dispute(&mut self, log: LogId, now: Timestamp) {
        if self.settle_recovery(log) {
            return;
        }
        let Some(state) = self.logs.get(&log) else {
            return;
        };
        // Of a log that was closed and went on, another tree may have been adopted since
        // that is as large as the closed one: a fork like any other, and better known so.
        if let Some(fork) = state
            .dispute
            .fork
            .clone()
            .filter(|fork| fork.is_of_closing())
        {
            match self.other_branch(log, &fork) {
                Ok(Some(branch)) => return self.take_fork(log, branch, None, now),
                Ok(None) => {}
                Err(error) => return self.store_failed(log, &ReadError::Store(error)),
            }
        }
        let Some(state) = self.logs.get(&log) else {
            return;
        };
        let (Some(key), Some(fork)) = (state.key(), state.fork()) else {
            return;
        };
        let history = History::new(&self.store, key);
        match agreement(&history, state.adopted(), fork) {
            Ok(tree) => self.agree_on(log, tree),
            Err(error) => self.store_failed(log, &ReadError::Store(error)),
        }
    }

    fn agree_on(&mut self, log: LogId, tree: Tree) {
        if let Some(state) = self.logs.get_mut(&log) {
            state.agree_on(tree);
        }
        self.changed.insert(log);
    }

    /// Takes a fork proof from the store.
    pub(in crate::engine) fn set_fork(
        &self,
        state: &mut LogState,
        key: LogKey,
        fork: Box<ForkProof>,
    ) -> Result<(), StoreError> {
        let history = History::new(&self.store, key);
        let tree = agreement(&history, state.adopted(), &fork)?;
        state.dispute.fork = Some(fork);
        state.begin_by_last_head();
        state.agree_on(tree);
        Ok(())
    }

    /// Begins to search for what is common, with a peer whose head is of another
    /// branch.
    pub(in crate::engine) fn search_fork_point(
        &mut self,
        peer: PeerId,
        log: LogId,
        theirs: &SignedHead,
        now: Timestamp,
    ) {
        let ready = self.peers.get(&peer).is_some_and(|peer| peer.ready);
        let Some(state) = self.logs.get_mut(&log).filter(|_| ready) else {
            return;
        };
        // What others say is common may be less than what is.
        let is_known = |fork: &ForkProof| fork.is_of_closing();
        let is_settled = state.dispute.searched || state.recovered().is_some();
        let known = state.fork().is_none_or(is_known) || is_settled;
        let vain =
            (state.dispute.vain_search).is_some_and(|(with, until)| with == peer && now < until);
        let Some(ours) = state.signed_head().filter(|_| !known && !vain) else {
            return;
        };
        let asked = ours.size.min(theirs.size);
        if state.dispute.search.is_some() || asked == 0 || ours.tree() == theirs.tree() {
            return;
        }
        self.ask_search(log, Search::new(peer, asked), now);
    }

    fn ask_search(&mut self, log: LogId, search: Search, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        let body = Body::Extend(v1::Extend {
            log: Bytes::copy_from_slice(&log.0),
            from_size: search.asked,
        });
        let peer = search.peer;
        state.dispute.search = Some(search);
        self.ask(peer, RequestKind::Search(log), body, now);
    }

    /// Takes an answer to the search: asks on, or has found it.
    pub(in crate::engine) fn take_search_answer(
        &mut self,
        log: LogId,
        wire: v1::Extension,
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let Some(state) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        let search = state.dispute.search.take();
        let (Some(search), Some(key), Some(ours), Some(manifest)) =
            (search, state.key(), state.signed_head(), state.manifest())
        else {
            return Ok(());
        };
        let extension = Extension::from_wire(wire, search.asked, log, &manifest.publisher)?;
        let left = extension.prefix()?;
        let history = History::new(&self.store, key);
        let begin = state.begin();
        let peer = search.peer;
        match search.step(&history, begin, ours, &extension, &left) {
            Ok(Step::Ask(search)) => self.ask_search(log, search, now),
            // Both branches may have gone on meanwhile: what would not convince
            // others is not kept.
            Ok(Step::Found(proof)) => match ForkProof::verify(proof.to_wire(), log, manifest) {
                Ok(proof) => {
                    state.dispute.searched = true;
                    self.take_fork(log, Box::new(proof), None, now);
                }
                Err(_) => state.searched_in_vain(peer, now),
            },
            Ok(Step::Nothing) => state.searched_in_vain(peer, now),
            Err(SearchError::Admit(error)) => return Err(error),
            Err(SearchError::Store(error)) => self.store_failed(log, &ReadError::Store(error)),
        }
        Ok(())
    }
}

impl LogState {
    /// What is here, and what a peer knows, does not tell where the branches part.
    /// That may change.
    fn searched_in_vain(&mut self, peer: PeerId, now: Timestamp) {
        self.dispute.vain_search = Some((peer, now.plus(VAIN_SEARCH_PAUSE_US)));
    }

    /// Only this much counts from now on.
    pub(in crate::engine) fn agree_on(&mut self, tree: Tree) {
        self.dispute.undisputed = tree.size;
        self.know_only(tree);
        // Of what was dropped for a larger tree something may count again.
        self.is_safe_only_to(tree.size.min(self.held_size()));
    }
}

/// What is not disputed of a log with this head here: as much of what both
/// branches of the proof begin with as is not another branch still.
fn agreement<S: Store + ?Sized>(
    history: &History<'_, S>,
    adopted: Option<&AdoptedHead>,
    fork: &ForkProof,
) -> Result<Tree, StoreError> {
    let nothing = Tree {
        size: 0,
        root: empty_root(),
    };
    let range = match (&fork.common, adopted) {
        (Some(common), Some(head)) if head.size < common.size() => return Ok(head.tree()),
        (Some(common), _) => common.tree.clone(),
        (None, Some(head)) if fork.is_of_closing() => {
            let end = fork.smaller.tree();
            return Ok(match head.size.cmp(&end.size) {
                Ordering::Less => head.tree(),
                Ordering::Equal if head.root == end.root => end,
                Ordering::Equal => nothing,
                Ordering::Greater => match beginning(history, end.size)? {
                    // Less of it shows nothing: it may be another tree's.
                    Some(tree) if tree == end => end,
                    _ => nothing,
                },
            });
        }
        (None, Some(head)) => {
            // Whoever has the smaller branch can compare it with the larger.
            let m = fork.smaller.size;
            let left = CompactRange::from_hashes(0, m, fork.left.clone()).ok();
            let ours = match head.size < m {
                true => None,
                false => nodes_between(history, 0, m)?,
            };
            let ours = ours.and_then(|ours| CompactRange::from_hashes(0, m, ours).ok());
            match (left, ours.and_then(|ours| ours.root())) {
                (Some(left), Some(root)) if root == fork.smaller.root => left,
                _ => return Ok(nothing),
            }
        }
        (None, None) => return Ok(nothing),
    };
    let mut agreed = CompactRange::empty(0);
    for (subtree, hash) in range.nodes() {
        let here = history.node(subtree)?;
        if here.is_some_and(|here| here != hash)
            || agreed.push(subtree, hash, &mut |_, _| ()).is_err()
        {
            break;
        }
    }
    Ok(Tree {
        size: agreed.end(),
        root: agreed.root().unwrap_or(nothing.root),
    })
}
