//! What the engine knows of one log.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;

use super::LogStatus;
use super::clock::ClockGap;
use super::echo::Echo;
use super::followers::Followers;
use super::fork_search::Search;
use super::reopening::{Mark, Reopening};
use super::retention::Kept;
use super::stopping::Stopped;
use crate::head::{AdoptedHead, SignedHead, Tree};
use crate::id::LogId;
use crate::limits::{
    BUSY_HEAD_POLL_US, HEAD_POLL_US, HEAD_RENEWAL_US, MAX_HEAD_POLL_US, MAX_INTERVALS,
    MAX_RECENT_HEADS, MAX_SOURCES, REQUEST_TIMEOUT_US,
};
use crate::log::{Appender, ForkProof};
use crate::manifest::SignedManifest;
use crate::ranges::IntervalSet;
use crate::recovery::Recovered;
use crate::store::LogKey;
use crate::sync::scheduler::{Order, Scheduler};
use crate::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::stored_log::Reopening as Stored;

/// One log.
#[derive(Debug)]
pub(super) struct LogState {
    pub(super) number: u32,
    pub(super) manifest: Option<SignedManifest>,
    pub(super) followed: bool,
    pub(super) peers: Vec<String>,
    pub(super) adopted: Option<AdoptedHead>,
    /// The trees of the adopted head and of those before it, by size: what
    /// offers are checked against. Of a forked log, only what is not disputed.
    pub(super) recent: BTreeMap<u64, Tree>,
    pub(super) held: IntervalSet,
    /// What was held and is not any more, because the disk has damaged it.
    pub(super) damaged: IntervalSet,
    /// What else of it was damaged, in words, until it is right again.
    pub(super) unreadable: Option<String>,
    /// Where what is kept of it begins.
    pub(super) kept: Kept,
    pub(super) fork: Option<Box<ForkProof>>,
    /// What its recovery key has said: how much of it counts, whatever its owner has
    /// signed.
    pub(super) recovered: Option<Box<Recovered>>,
    /// It was recovered, and what is here is of another tree than the last head's, or
    /// nothing here tells: it is fetched anew from whoever has that one whole.
    pub(super) unsure: bool,
    /// It was recovered, and this tree was shown to be none that grows into the last
    /// head's.
    pub(super) beside: Option<Tree>,
    /// When a proof that it went on after its end was last taken.
    pub(super) ended_at: Option<Timestamp>,
    /// How many of these were taken, of ends of ever smaller sizes.
    pub(super) ends: u32,
    /// When the last of its earlier heads was kept, as far as it is known.
    pub(super) past_kept: Option<Timestamp>,
    /// Version 0.1.0 has found that it forked, and nobody since.
    pub(super) forked_early: bool,
    /// Of a forked log: records from the beginning on that are not disputed.
    pub(super) undisputed: u64,
    /// The search for what both branches begin with.
    pub(super) search: Option<Search>,
    /// What both branches begin with was found by a search of ours.
    pub(super) searched: bool,
    /// The peer with whom it was last not found, and until when it is not asked
    /// again.
    pub(super) vain_search: Option<(PeerId, Timestamp)>,
    /// Ours: written here and nowhere else.
    pub(super) owned: bool,
    /// Ours, but others may know more of it than is here.
    pub(super) reopening: Option<Reopening>,
    /// Ours: what was signed of it, as was known outside of the store at the
    /// start.
    pub(super) mark: Option<Mark>,
    /// Ours: who has had all of it.
    pub(super) followers: Followers,
    /// Why nothing more is written, whatever the disk does.
    pub(super) stopped_for_good: Option<String>,
    /// Why nothing is written before the disk works again.
    pub(super) stopped: Option<Stopped>,
    /// How long it was waited, when it was stopped last, before it was read again.
    pub(super) reread_us: u64,
    /// Only of our own logs that are open for writing.
    pub(super) appender: Option<Appender>,
    /// When the head of our own log is signed again.
    pub(super) renew_at: Option<Timestamp>,
    pub(super) scheduler: Scheduler,
    /// An extension that was asked for and has not come.
    pub(super) extending: Option<PeerId>,
    pub(super) echo: Echo,
    /// Peers that did not show an extension, and until when others are asked.
    pub(super) failed_extensions: BTreeMap<PeerId, Timestamp>,
    /// A larger head was heard, and nobody has shown yet that it extends ours.
    pub(super) unproven: bool,
    /// The newest time of the largest heads that were heard.
    pub(super) heard: Option<Timestamp>,
    /// The size of these.
    pub(super) timed_size: u64,
    /// The largest size of a head that was heard.
    pub(super) heard_size: u64,
    /// How far its owner's clock is ahead of ours.
    pub(super) clock_gap: ClockGap,
    /// Time of the newest head with which everything was held here.
    pub(super) complete_at: Option<Timestamp>,
    /// Something was fetched since the others were told that all is here.
    pub(super) has_fetched: bool,
    /// When they were told last.
    pub(super) told_synced: Option<Timestamp>,
    /// Who has told us so, of a tree of which size.
    pub(super) told_by: BTreeMap<PeerId, u64>,
    pub(super) synced_size: u64,
    /// When a source is asked for its head again.
    pub(super) poll_at: Option<Timestamp>,
    /// How often one was asked: each time it is another's turn.
    pub(super) polls: usize,
}

impl LogState {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            manifest: None,
            followed: false,
            peers: Vec::new(),
            adopted: None,
            recent: BTreeMap::new(),
            held: IntervalSet::default(),
            damaged: IntervalSet::default(),
            unreadable: None,
            kept: Kept::default(),
            fork: None,
            recovered: None,
            unsure: false,
            beside: None,
            ended_at: None,
            ends: 0,
            past_kept: None,
            forked_early: false,
            undisputed: 0,
            search: None,
            searched: false,
            vain_search: None,
            owned: false,
            reopening: None,
            mark: None,
            followers: Followers::default(),
            stopped_for_good: None,
            stopped: None,
            reread_us: 0,
            appender: None,
            renew_at: None,
            scheduler: Scheduler::default(),
            extending: None,
            echo: Echo::default(),
            failed_extensions: BTreeMap::new(),
            unproven: false,
            heard: None,
            timed_size: 0,
            heard_size: 0,
            clock_gap: ClockGap::default(),
            complete_at: None,
            has_fetched: false,
            told_synced: None,
            told_by: BTreeMap::new(),
            synced_size: 0,
            poll_at: None,
            polls: 0,
        }
    }

    /// Takes the manifest, which says who publishes the log.
    pub(super) fn set_manifest(&mut self, manifest: SignedManifest) {
        self.scheduler.publisher = Some(manifest.publisher.peer_id());
        self.manifest = Some(manifest);
    }

    /// Where the rows are; not known before the manifest is.
    pub(super) fn key(&self) -> Option<LogKey> {
        self.manifest.as_ref().map(|manifest| LogKey {
            number: self.number,
            chunk_level: manifest.chunk_level,
        })
    }

    /// The adopted head, as others can be told of it.
    pub(super) fn signed_head(&self) -> Option<&SignedHead> {
        self.adopted.as_ref().and_then(AdoptedHead::signed)
    }

    /// The last head that counts, where it was closed and went on, or recovered.
    pub(super) fn last_head(&self) -> Option<&SignedHead> {
        match (&self.recovered, &self.fork) {
            (Some(recovered), _) => Some(recovered.head()),
            (None, Some(fork)) if fork.is_of_closing() => Some(&fork.smaller),
            (None, _) => None,
        }
    }

    /// What others are told when they ask: of a log that has a last head that one, as
    /// soon as its tree is known here. So whoever was behind it comes to it, and not
    /// past it.
    pub(super) fn head_for_others(&self) -> Option<&SignedHead> {
        match self.last_head() {
            Some(last) if self.undisputed == last.size => Some(last),
            _ => self.signed_head(),
        }
    }

    /// Whether a head is behind the last one that counts.
    pub(super) fn is_past_end(&self, size: u64) -> bool {
        self.last_head().is_some_and(|last| size > last.size)
    }

    pub(super) fn size(&self) -> u64 {
        self.adopted.as_ref().map_or(0, |head| head.size)
    }

    /// Records that are wanted: what is not disputed up to the adopted head.
    pub(super) fn target(&self) -> u64 {
        match self.is_limited() {
            false => self.size(),
            true => self.undisputed,
        }
    }

    /// Whether not all that its owner has signed counts.
    pub(super) fn is_limited(&self) -> bool {
        self.fork.is_some() || self.forked_early || self.recovered.is_some()
    }

    /// Records that are held without a gap from where what is kept begins.
    pub(super) fn held_size(&self) -> u64 {
        self.held.prefix(self.begin())
    }

    /// Records of a log of ours that are here: some may be missing below a tree
    /// that is whole.
    pub(super) fn here(&self) -> u64 {
        let size = self.appender.as_ref().map(Appender::size);
        size.unwrap_or_else(|| self.held_size())
    }

    /// Everything that is wanted is held.
    pub(super) fn is_complete(&self) -> bool {
        let target = self.target();
        self.adopted.is_some()
            && !self.unsure
            && (target == 0 || self.held.contains(self.begin(), target))
    }

    /// Takes a head that was proved, and makes it the one that counts.
    pub(super) fn set_adopted(&mut self, head: impl Into<AdoptedHead>) {
        let head = head.into();
        let is_new = self.adopted.is_none();
        self.recent.insert(head.size, head.tree());
        if self.recent.len() > MAX_RECENT_HEADS {
            self.recent.pop_first();
        }
        self.note_time(&head);
        self.adopted = Some(head);
        self.unproven = false;
        self.failed_extensions.clear();
        self.begin_by_number(is_new);
    }

    /// The head that was adopted before the node started.
    pub(super) fn set_stored_head(&mut self, head: AdoptedHead) {
        self.adopted = Some(head.clone());
        self.set_adopted(head);
    }

    /// Notes that a peer was asked for an extension and has answered or not:
    /// until a head is adopted it is not asked again for a while.
    pub(super) fn extension_failed(&mut self, peer: PeerId, now: Timestamp) {
        self.extending = None;
        self.failed_extensions.retain(|_, until| *until > now);
        if self.failed_extensions.len() < MAX_SOURCES {
            let until = now.plus(REQUEST_TIMEOUT_US);
            self.failed_extensions.insert(peer, until);
        }
    }

    /// Nothing more is written to this log.
    pub(super) fn stop_for_good(&mut self, why: String) {
        self.stopped_for_good.get_or_insert(why);
    }

    /// Whether anything may be written to it.
    pub(super) fn is_writable(&self) -> bool {
        self.stopped_for_good.is_none() && self.stopped.is_none()
    }

    /// Whether records from peers are taken. Our own logs take some only while
    /// they are reopened.
    pub(super) fn takes(&self) -> bool {
        let is_writer = self.owned && self.reopening.is_none();
        self.followed && !is_writer && self.is_writable()
    }

    /// Whether heads from peers are taken: of a forked log, only until its tree
    /// reaches to where the branches part, and of a recovered one to its end.
    pub(super) fn takes_heads(&self) -> bool {
        let forked = self.fork.as_ref().map(|fork| fork.common_size());
        let end = self.recovered_tree().map(|tree| tree.size).or(forked);
        self.takes() && !self.is_beside() && end.is_none_or(|end| self.size() < end)
    }

    /// Whether something is missing, or may be, and nobody is known who has it.
    pub(super) fn lacks_source(&self) -> bool {
        // Whoever knows more of it than its owner may be out of reach, too.
        let alone = (self.reopening.as_ref()).is_some_and(Reopening::knows_nobody);
        let lacks = alone || !self.is_complete();
        self.fetches() && lacks && !self.scheduler.is_supplied(&self.held, self.target())
    }

    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        if let Some(stopped) = &self.stopped {
            return stopped.retry_at;
        }
        let is_open = self.grows();
        let renew_at = self.renew_at.filter(|_| is_open);
        let polls = self.poll_at.into_iter().chain(self.echo.due);
        let poll_at = polls.min().filter(|_| self.fetches());
        let cool = self.scheduler.next_cool();
        let reopening = self.reopening.as_ref().and_then(Reopening::due);
        let followers = self.followers.due().filter(|_| is_open);
        let times = renew_at.into_iter().chain(cool).chain(poll_at);
        let times = times.chain(reopening).chain(followers);
        times.chain(self.kept.due()).min()
    }

    /// Whether a source may be asked again after a failure.
    pub(super) fn is_warm(&mut self, now: Timestamp) -> bool {
        let due = self.scheduler.next_cool().is_some_and(|at| at <= now);
        self.scheduler.warm(now);
        due
    }

    /// The sources and subscribers that are to be asked now: all of them while
    /// something is missing, otherwise one, in turn.
    pub(super) fn take_polls(
        &mut self,
        (now, time): (Timestamp, Timestamp),
        subscribers: impl FnOnce() -> Vec<PeerId>,
    ) -> Vec<PeerId> {
        if !self.fetches() || self.poll_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let sources = self.scheduler.sources().map(|(&peer, _)| peer);
        let mut peers: Vec<_> = sources.chain(subscribers()).collect();
        peers.sort_unstable();
        peers.dedup();
        if peers.is_empty() {
            self.poll_at = None;
            return peers;
        }
        if !self.is_complete() || self.unproven {
            self.poll_at = Some(now.plus(BUSY_HEAD_POLL_US));
            return peers;
        }
        self.poll_at = Some(now.plus(self.head_poll_us(time)));
        self.polls = self.polls.wrapping_add(1);
        vec![peers[self.polls % peers.len()]]
    }

    /// Microseconds until somebody is asked for the head again, when nothing is
    /// missing: a quarter of the time for which the log has been quiet, within
    /// bounds. What gossip has lost is then late by a quarter for each neighbour
    /// that is asked before one that has it. `time` is what our clock shows; its
    /// owner's may show another one.
    pub(super) fn head_poll_us(&self, time: Timestamp) -> u64 {
        let theirs = (time.0).saturating_add(self.clock_gap.ahead_us().unwrap_or(0));
        let quiet = (self.adopted.as_ref()).map_or(0, |head| Timestamp(theirs).since(head.time));
        (quiet / 4).clamp(HEAD_POLL_US, MAX_HEAD_POLL_US)
    }

    /// Microseconds after which the head of our own log is signed again.
    pub(super) fn renewal_us(&self) -> u64 {
        let cadence = self.manifest.as_ref().map_or(0, |m| m.cadence_us);
        cadence.max(HEAD_RENEWAL_US)
    }

    pub(super) fn status(&self, log: LogId, served_records: u64) -> LogStatus {
        LogStatus {
            log,
            manifest: self.manifest.clone(),
            key: self.key(),
            owned: self.owned,
            followed: self.followed,
            newest_first: self.scheduler.order == Order::NewestFirst,
            head: self.adopted.clone(),
            held: self.held.intervals().take(MAX_INTERVALS).collect(),
            held_records: self.held.len(),
            begin: self.begin(),
            synced_size: self.synced_size,
            served_records,
            sources: self.scheduler.sources().map(|(&peer, _)| peer).collect(),
            waits_for_room: false,
            holds_back: self.kept.holds_back(),
            clock_ahead_us: self.clock_gap.ahead_us(),
            lag: self.lag(),
            peers: self.peers.clone(),
            fork: self.fork.clone(),
            recovered: self.recovered.clone(),
            disputed_from: match &self.recovered {
                Some(_) => Some(self.undisputed).filter(|&from| from < self.size()),
                None => self.is_limited().then_some(self.undisputed),
            },
            damage: self.damage(),
            stopped_for_good: self.stopped_for_good.clone(),
            stopped: (self.stopped.as_ref())
                .map(|stopped| (stopped.why.to_string(), stopped.since)),
            reopening: self.reopening_status(),
            known_followers: self.followers.known().len(),
        }
    }

    /// The row of [`Table::Logs`](crate::store::Table::Logs).
    pub(super) fn to_stored(&self) -> v1::StoredLog {
        v1::StoredLog {
            number: self.number,
            manifest: self.manifest.as_ref().map(SignedManifest::to_wire),
            followed: self.followed,
            peers: self.peers.clone(),
            newest_first: self.scheduler.order == Order::NewestFirst,
            owned: self.owned,
            reopening: (self.reopening.as_ref())
                .map_or(Stored::No, |reopening| reopening.to_stored(self.mark))
                .into(),
            deleted: false,
            followers: self.followers.to_stored(),
        }
    }
}
