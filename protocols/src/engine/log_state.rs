//! What the engine knows of one log.

mod adoption;
mod authorship;
mod clock_gap;
pub(super) mod cursors;
mod dispute;
mod echo;
pub(super) mod followers;
mod holdings;
mod polls;
mod recovery;
pub(super) mod reopening;
mod replacement;
mod retention;
pub(super) mod stopping;

use super::LogStatus;
use super::rows::put_row;
use crate::head::SignedHead;
use crate::id::LogId;
use crate::limits::HEAD_RENEWAL_US;
use crate::log::{Appender, ForkProof};
use crate::manifest::SignedManifest;
use crate::store::{Batch, LogKey};
use crate::sync::scheduler::{Order, Scheduler};
use crate::time::Timestamp;
use crate::wire::v1;
use adoption::Adoption;
use authorship::Authorship;
use clock_gap::ClockGap;
use cursors::{Heard, Progress};
use dispute::Dispute;
use echo::Echo;
use followers::Followers;
use holdings::Holdings;
use polls::Polls;
use recovery::Recovery;
use replacement::Replaced;
use retention::Kept;
use stopping::Stops;

/// One log.
#[derive(Debug)]
pub(super) struct LogState {
    /// What its rows are stored under.
    number: u32,
    manifest: Option<SignedManifest>,
    followed: bool,
    /// Multiaddrs that the user gave.
    peers: Vec<String>,
    pub(super) adoption: Adoption,
    pub(super) holdings: Holdings,
    /// Where what is kept of it begins.
    pub(super) kept: Kept,
    pub(super) dispute: Dispute,
    pub(super) recovery: Recovery,
    pub(super) replaced: Replaced,
    /// When the last of its earlier heads was kept, as far as it is known.
    pub(super) past_kept: Option<Timestamp>,
    pub(super) authorship: Authorship,
    pub(super) stops: Stops,
    pub(super) scheduler: Scheduler,
    pub(super) echo: Echo,
    pub(super) heard: Heard,
    /// How far its owner's clock is ahead of ours.
    pub(super) clock_gap: ClockGap,
    pub(super) progress: Progress,
    pub(super) polls: Polls,
}

impl LogState {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            manifest: None,
            followed: false,
            peers: Vec::new(),
            adoption: Adoption::default(),
            holdings: Holdings::default(),
            kept: Kept::default(),
            dispute: Dispute::default(),
            recovery: Recovery::default(),
            replaced: Replaced::default(),
            past_kept: None,
            authorship: Authorship::default(),
            stops: Stops::default(),
            scheduler: Scheduler::default(),
            echo: Echo::default(),
            heard: Heard::default(),
            clock_gap: ClockGap::default(),
            progress: Progress::default(),
            polls: Polls::default(),
        }
    }

    /// A log as its row says that it is, without what only the manifest tells.
    pub(super) fn from_stored(row: &v1::StoredLog) -> Self {
        let mut state = Self::new(row.number);
        state.followed = row.followed;
        if row.owned {
            state.own();
            state.set_followers(Followers::from_stored(&row.followers));
        }
        state.peers.clone_from(&row.peers);
        if row.newest_first {
            state.scheduler.order = Order::NewestFirst;
        }
        state
    }

    /// The same log with nothing of it here, under another number.
    pub(super) fn anew(number: u32, old: &Self) -> Self {
        let mut state = Self::new(number);
        state.followed = old.followed;
        state.peers = old.peers.clone();
        state.scheduler.order = old.scheduler.order;
        if let Some(manifest) = old.manifest.clone() {
            state.set_manifest(manifest);
        }
        state
    }

    /// What its rows are stored under.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// What it is, once a peer has said it.
    pub(super) fn manifest(&self) -> Option<&SignedManifest> {
        self.manifest.as_ref()
    }

    /// Whether it is kept in step.
    pub(super) fn is_followed(&self) -> bool {
        self.followed
    }

    /// Has it kept in step from now on; whether it was before.
    pub(super) fn follow(&mut self) -> bool {
        std::mem::replace(&mut self.followed, true)
    }

    /// Has it not kept in step any more; whether it was before.
    pub(super) fn unfollow(&mut self) -> bool {
        std::mem::replace(&mut self.followed, false)
    }

    /// Follows it as its row says.
    pub(super) fn follow_as(&mut self, row: v1::StoredLog) {
        self.follow_replaced_as(&row);
        self.followed = row.followed;
        self.peers = row.peers;
        self.scheduler.order = match row.newest_first {
            true => Order::NewestFirst,
            false => Order::OldestFirst,
        };
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

    /// The last head that counts, where it was closed and went on, or recovered.
    pub(super) fn last_head(&self) -> Option<&SignedHead> {
        match (self.recovered(), self.fork()) {
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
            Some(last) if self.undisputed() == last.size => Some(last),
            _ => self.signed_head(),
        }
    }

    /// Whether a head is behind the last one that counts.
    pub(super) fn is_past_end(&self, size: u64) -> bool {
        self.last_head().is_some_and(|last| size > last.size)
    }

    /// Records that are wanted: what is not disputed up to the adopted head.
    pub(super) fn target(&self) -> u64 {
        match self.is_limited() {
            false => self.size(),
            true => self.undisputed(),
        }
    }

    /// Whether not all that its owner has signed counts.
    pub(super) fn is_limited(&self) -> bool {
        self.is_forked() || self.recovered().is_some()
    }

    /// Records of a log of ours that are here: some may be missing below a tree
    /// that is whole.
    pub(super) fn here(&self) -> u64 {
        let size = self.appender().map(Appender::size);
        size.unwrap_or_else(|| self.held_size())
    }

    /// Whether records from peers are taken. Our own logs take some only while
    /// they are reopened.
    pub(super) fn takes(&self) -> bool {
        let is_writer = self.is_ours() && self.reopening().is_none();
        self.followed && !is_writer && self.is_writable()
    }

    /// Whether heads from peers are taken: of a forked log, only until its tree
    /// reaches to where the branches part, and of a recovered one to its end.
    pub(super) fn takes_heads(&self) -> bool {
        let forked = self.fork().map(ForkProof::common_size);
        let end = self.recovered_tree().map(|tree| tree.size).or(forked);
        self.takes() && !self.is_beside() && end.is_none_or(|end| self.size() < end)
    }

    /// When its head is to be signed again.
    pub(super) fn renewal_due(&self) -> Option<Timestamp> {
        self.renew_at().filter(|_| self.grows())
    }

    /// Takes over what was known beside what is stored, when it was read anew.
    pub(super) fn take_over(&mut self, old: Self, now: Timestamp) {
        self.keep_sources(old.scheduler);
        self.stops.take_over(old.stops);
        self.keep_damage(old.holdings);
        self.authorship.take_over(old.authorship);
        self.dispute.take_over(old.dispute);
        self.adoption.take_over(old.adoption);
        self.echo = old.echo;
        self.heard = old.heard;
        self.clock_gap = old.clock_gap;
        self.progress.take_over(old.progress);
        self.poll_in_turn_of(&old.polls, now);
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
            owned: self.is_ours(),
            followed: self.followed,
            newest_first: self.scheduler.order == Order::NewestFirst,
            head: self.adopted().cloned(),
            held: self.told_held(),
            held_records: self.held().len(),
            begin: self.begin(),
            synced_size: self.synced_size(),
            served_records,
            sources: self.sources().map(|(&peer, _)| peer).collect(),
            waits_for_room: false,
            holds_back: self.holds_back(),
            clock_ahead_us: self.clock_ahead_us(),
            lag: self.lag(),
            peers: self.peers.clone(),
            fork: self.fork().cloned().map(Box::new),
            recovered: self.recovered().cloned().map(Box::new),
            disputed_from: match self.recovered() {
                Some(_) => Some(self.undisputed()).filter(|&from| from < self.size()),
                None => self.is_limited().then_some(self.undisputed()),
            },
            damage: self.damage(),
            stopped_for_good: self.stopped_for_good().map(str::to_owned),
            stopped: self.stopped_since(),
            reopening: self.reopening_status(),
            known_followers: self.known_followers().len(),
        }
    }

    /// The row of [`Table::Logs`](crate::store::Table::Logs).
    pub(super) fn to_stored(&self) -> v1::StoredLog {
        v1::StoredLog {
            number: self.stored_number(),
            manifest: self.manifest.as_ref().map(SignedManifest::to_wire),
            followed: self.followed,
            peers: self.peers.clone(),
            newest_first: self.scheduler.order == Order::NewestFirst,
            owned: self.is_ours(),
            reopening: self.stored_reopening().into(),
            deleted: false,
            followers: self.followers().map_or_else(Vec::new, Followers::to_stored),
        }
    }
}

/// Writes the row of a log.
pub(super) fn put_log(batch: &mut Batch, log: LogId, state: &LogState) {
    put_row(batch, log, &state.to_stored());
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    /// Places where a field is named that is no method.
    fn touches(source: &str, field: &str) -> bool {
        ["state.", "self.", "old."].iter().any(|owner| {
            let name = format!("{owner}{field}");
            source.match_indices(&name).any(|(at, _)| {
                let next = source[at + name.len()..].chars().next();
                next.is_none_or(|next| !next.is_alphanumeric() && !"_(".contains(next))
            })
        })
    }

    #[test]
    fn no_part_of_a_log_is_touched_from_more_than_four_files() {
        let own = include_str!("log_state.rs");
        let (_, fields) = own.split_once("pub(super) struct LogState {").unwrap();
        let (fields, _) = fields.split_once("\n}").unwrap();
        let parts = fields.lines().filter_map(|line| {
            let (name, _) = line.trim().strip_prefix("pub(super) ")?.split_once(':')?;
            Some(name)
        });
        let mut sources = Vec::new();
        let mut open = vec![PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/engine"
        ))];
        while let Some(folder) = open.pop() {
            for file in fs::read_dir(folder).unwrap() {
                let path = file.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    sources.push(fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut count = 0;
        for part in parts {
            let files = sources.iter().filter(|source| touches(source, part));
            let files = files.count();
            assert!((1..=4).contains(&files), "{part}: {files} files");
            count += 1;
        }
        assert!(count > 10, "{count} parts were found");
    }
}
