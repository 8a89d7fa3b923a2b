//! A walk back through a history that nobody signed: peers are asked, and what
//! they agree on is stored.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use headwater_protocols::limits::MAX_ASKED_PEERS;
use headwater_protocols::quorum::kept::{self, KeepError, Kept, State};
use headwater_protocols::quorum::{Agreed, HistoryName, Input, Outcome, Output, Walk};
use headwater_protocols::time::Timestamp;
use tokio::sync::mpsc;

use crate::handle::{DiskState, HistoryClaim, Node, ObservationsAsked, PeerReply, now, wall_time};
use crate::net::limits::MAX_OPEN_QUESTIONS;
use crate::net::observations::prefix;

/// Why a history cannot be taken from peers.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The store is open without a node.
    #[error("no node runs, and there is nobody to ask; start it first")]
    NoNetwork,
    /// Somebody is at it.
    #[error("an unsigned history is being taken from peers or imported already; wait for its end")]
    InUse,
    /// There is a bound for the disk, and it is reached.
    #[error("there is no room for more history on the disk; raise --max-disk, or delete something")]
    NoRoom,
    /// The node is stopping.
    #[error("the node is stopping; start it again and repeat the command")]
    Stopping,
    /// The store.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// A thread has panicked.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// A history that is being taken from peers. It ends when it is dropped, and can
/// be taken up again.
#[derive(Debug)]
pub struct QuorumWalk {
    node: Node,
    /// What is being written when a walk is dropped keeps it, too.
    claim: Arc<HistoryClaim>,
    kept: Kept,
    walk: Option<Walk>,
    replies: (mpsc::Sender<PeerReply>, mpsc::Receiver<PeerReply>),
}

/// How a walk goes on.
#[derive(Debug)]
pub enum Step {
    /// More is stored.
    Stored,
    /// It is over.
    Ended(Outcome),
}

impl QuorumWalk {
    /// Begins a history with what lies before a time (now, if none is said), or
    /// goes on with it. Each round waits for answers until `deadline`.
    ///
    /// # Errors
    /// There is no network, no room, or another walk; or the name stands for
    /// something else.
    pub async fn begin(
        node: Node,
        name: HistoryName,
        before: Option<Timestamp>,
        deadline: Duration,
    ) -> Result<Self, WalkError> {
        if !node.has_network() {
            return Err(WalkError::NoNetwork);
        }
        let claim = node.claim_history(name.id(), true);
        let claim = Arc::new(claim.ok_or(WalkError::InUse)?);
        check_room(&node)?;
        let (store, held) = (node.store().clone(), claim.clone());
        let begun = tokio::task::spawn_blocking(move || {
            let _held = held;
            kept::begin_walk(&*store, &name, before, wall_time())
        });
        let kept = begun.await.context("beginning a history has failed")??;
        let walk = match kept.state {
            State::Asking { next, .. } => {
                let deadline_us = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX);
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).context("the system has no random bytes")?;
                let history = kept.name.id();
                Some(Walk::new(history, next, deadline_us, seed, now()))
            }
            State::Importing | State::Imported | State::Complete { .. } => None,
        };
        Ok(Self {
            node,
            claim,
            kept,
            walk,
            replies: mpsc::channel(MAX_ASKED_PEERS * MAX_OPEN_QUESTIONS),
        })
    }

    /// What there is of the history.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Goes on until something was stored, or it is over.
    ///
    /// # Errors
    /// The disk fails or is full, or the node is stopping.
    pub async fn step(&mut self) -> Result<Step, WalkError> {
        loop {
            let Some(walk) = &mut self.walk else {
                return Ok(Step::Ended(Outcome::Complete));
            };
            match walk.poll_output() {
                None => self.wait().await,
                Some(Output::WantPeers) => {
                    let peers = self.node.peers();
                    let peers = peers.iter().map(|status| (status.peer, prefix(status)));
                    walk.handle(Input::Peers(peers.collect()), now());
                }
                Some(Output::Ask {
                    round,
                    peers,
                    question,
                }) => {
                    let replies = self.replies.0.clone();
                    let asked = ObservationsAsked {
                        round,
                        peers,
                        question,
                        replies,
                    };
                    if !self.node.ask_observations(asked).await {
                        return Err(WalkError::Stopping);
                    }
                }
                Some(Output::Agreed(agreed)) => {
                    self.store(agreed).await?;
                    return Ok(Step::Stored);
                }
                Some(Output::Ended(outcome)) => {
                    self.walk = None;
                    return Ok(Step::Ended(outcome));
                }
            }
        }
    }

    async fn wait(&mut self) {
        let Some(walk) = &mut self.walk else {
            return;
        };
        let due = walk.poll_timeout();
        let wait = due.map_or(0, |due| due.since(now()));
        tokio::select! {
            Some(PeerReply { round, peer, reply }) = self.replies.1.recv() => {
                walk.handle(Input::Reply { round, peer, reply }, now());
            }
            () = tokio::time::sleep(Duration::from_micros(wait)) => walk.handle_timeout(now()),
        }
    }

    async fn store(&mut self, agreed: Agreed) -> Result<(), WalkError> {
        check_room(&self.node)?;
        let (store, held) = (self.node.store().clone(), self.claim.clone());
        let mut kept = self.kept.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let _held = held;
            kept::append(&*store, &mut kept, &agreed).map(|()| kept)
        });
        self.kept = stored.await.context("storing a history has failed")??;
        Ok(())
    }
}

/// Refuses more history where there is a bound and it is reached.
///
/// # Errors
/// [`WalkError::NoRoom`].
pub fn check_room(node: &Node) -> Result<(), WalkError> {
    match node.disk() {
        Some(disk) if disk.state != DiskState::Free => Err(WalkError::NoRoom),
        Some(_) | None => Ok(()),
    }
}
