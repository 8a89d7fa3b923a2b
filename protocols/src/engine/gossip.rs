//! What is heard on the topics of a log: judged, stored, passed on or not.

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::gossip_forms::{announcement_has_more, meta_has_more};
use super::log_state::LogState;
use super::says::Says;
use super::{Engine, Verdict};
use crate::head::{SignedHead, UnverifiedHead};
use crate::id::{LogId, Topic};
use crate::limits::{MAX_EARLY_ANNOUNCEMENTS, MAX_GOSSIP_BYTES};
use crate::log::{AdmitError, Announcement, ForkProof, Relation};
use crate::manifest::SignedManifest;
use crate::record::Record;
use crate::store::{Durability, ReadError, Store};
use crate::time::Timestamp;
use crate::wire::v1::meta::Body;
use crate::wire::{decode, v1};

impl<S: Store> Engine<S> {
    /// Judges a gossip message.
    pub(super) fn gossip(
        &mut self,
        from: PeerId,
        author: PeerId,
        topic: Topic,
        data: &Bytes,
        now: Timestamp,
    ) -> Verdict {
        let result = match topic {
            Topic::Data(log) => {
                let Some(manifest) = self.followed_manifest(log) else {
                    self.keep_early(from, log, data);
                    return Verdict::Ignore;
                };
                let max = manifest.max_value_bytes();
                Announcement::verify(data, log, &manifest.publisher, max).map(|announcement| {
                    if let Some(state) = self.logs.get_mut(&log) {
                        state.heard_by_gossip(announcement.head().size);
                    }
                    self.note_clock(author, log, announcement.head(), now);
                    self.announced(from, log, &announcement, now)
                })
            }
            Topic::Meta(log) => self.meta(from, author, log, data, now),
        };
        result.unwrap_or_else(|_| match topic {
            // What a later version says is no offence; it is not passed on by who
            // cannot check it.
            Topic::Data(_) if announcement_has_more(data) => Verdict::Ignore,
            Topic::Data(_) | Topic::Meta(_) => Verdict::Reject,
        })
    }

    /// Keeps an announcement that cannot be judged before the manifest is there:
    /// whoever passed it on may have nothing else of the log.
    fn keep_early(&mut self, from: PeerId, log: LogId, data: &Bytes) {
        let is_followed = self.logs.get(&log).is_some_and(LogState::is_followed);
        let has_place = self.early.contains_key(&log) || self.early.len() < MAX_EARLY_ANNOUNCEMENTS;
        if is_followed && has_place && data.len() <= MAX_GOSSIP_BYTES {
            self.early.insert(log, (from, data.clone()));
        }
    }

    /// Judges the announcement that came before the manifest did.
    pub(super) fn take_early(&mut self, log: LogId, now: Timestamp) {
        if let Some((from, data)) = self.early.remove(&log) {
            // It was not passed on, so that nobody waits for a verdict; and
            // nobody could have checked it, so that a false one is nobody's
            // fault.
            self.gossip(from, from, Topic::Data(log), &data, now);
        }
    }

    /// The manifest of a log that is followed here, once it is known.
    fn followed_manifest(&self, log: LogId) -> Option<&SignedManifest> {
        let followed = self.logs.get(&log).filter(|state| state.is_followed());
        followed.and_then(LogState::manifest)
    }

    /// Takes records that somebody announced, or told when asked.
    pub(super) fn announced(
        &mut self,
        from: PeerId,
        log: LogId,
        announcement: &Announcement,
        now: Timestamp,
    ) -> Verdict {
        let head = announcement.head();
        self.heard_of_own(from, log, head, now);
        if !self.is_timely(log, head) {
            return Verdict::Ignore;
        }
        let Some(state) = self.logs.get_mut(&log) else {
            return Verdict::Ignore;
        };
        let known = state.source_has_live(from, announcement.first(), head.size);
        if announcement.chunk().is_some() {
            state.source_delivered(from);
        }
        if !state.takes_heads() || state.is_past_end(head.size) {
            return Verdict::Ignore;
        }
        let relation = match state.adopted() {
            None => Relation::Extends,
            Some(adopted) => announcement.relation(adopted),
        };
        let first = announcement.first().max(state.begin());
        let brings_records = !state.holds(first, head.size);
        let verdict = match relation {
            Relation::Older if self.contradicts_older(from, log, head, now) => Verdict::Accept,
            Relation::Older => Verdict::Ignore,
            Relation::Same if announcement.chunk().is_none() || !brings_records => Verdict::Ignore,
            Relation::Same | Relation::Renews | Relation::Extends => {
                self.admit(log, announcement, now);
                Verdict::Accept
            }
            Relation::Unproven => {
                self.ask_extension(from, log, now);
                Verdict::Accept
            }
            Relation::Other => {
                self.is_other_history(log);
                Verdict::Ignore
            }
            Relation::Fork(proof) => {
                self.take_fork(log, proof, Some(from), now);
                self.ask_past_closing(from, log, head, now);
                Verdict::Accept
            }
        };
        if !known && self.peers.get(&from).is_some_and(|peer| peer.ready) {
            self.ask_about(from, log, now);
        }
        self.schedule(log, now);
        verdict
    }

    /// Whether a head is the largest one heard, or not a minute behind that. What
    /// our own clock shows is no matter: either may be wrong, and its owner alone
    /// can sign a larger one.
    fn is_timely(&mut self, log: LogId, head: &SignedHead) -> bool {
        let Some(state) = self.logs.get_mut(&log) else {
            return false;
        };
        let (is_timely, is_larger) = state.hear(head);
        if is_larger {
            self.changed.insert(log);
        }
        is_timely
    }

    /// Stores the head, the nodes and the records of an announcement that
    /// extends what was adopted, in one write.
    fn admit(&mut self, log: LogId, announcement: &Announcement, now: Timestamp) {
        let Some(state) = self.logs.get_mut(&log) else {
            return;
        };
        if state.adopted().is_none() {
            state.live_from(announcement.first());
        }
        // Records that were missed may come with an older head of the same tree.
        let announced = announcement.head();
        let adopted = state.signed_head();
        let newer = adopted
            .filter(|adopted| adopted.size == announced.size)
            .filter(|adopted| adopted.closing.is_some() || adopted.time > announced.time);
        let head = newer.unwrap_or(announced).clone();
        let bytes = announcement
            .chunk()
            .map_or(0, |chunk| chunk.encoded.bytes.len());
        let full = self.room.for_all < bytes as u64;
        let begin = state.begin_at(head.size);
        let Some(mut admission) = state.admission(&self.store) else {
            return;
        };
        let mut result = Ok(());
        let mut taken = 0;
        if let Some(chunk) = announcement.chunk().filter(|_| !full) {
            let records: Vec<Record> = chunk.records().collect();
            // What nobody has to keep is not taken at all.
            let first = announcement.first().max(begin).min(announced.size);
            let skipped = (first - announcement.first()) as usize;
            taken = (records.len() - skipped) as u64;
            result = admission.put_records(first, &records[skipped..], &chunk.leaves[skipped..]);
            self.room.take(bytes);
        }
        admission.put_nodes(announcement.nodes());
        let mut batch = admission.finish();
        state.put_adopted(&mut batch, &head);
        let result = result.and_then(|()| {
            (self.store.commit(batch, Durability::Written)).map_err(ReadError::Store)
        });
        if result.is_ok() {
            self.outputs.counters.live += taken;
            self.adopted(log, head, now);
        }
        self.stored(log, result);
    }

    fn meta(
        &mut self,
        from: PeerId,
        author: PeerId,
        log: LogId,
        data: &Bytes,
        now: Timestamp,
    ) -> Result<Verdict, AdmitError> {
        let meta: v1::Meta = decode("a meta message", data.clone(), MAX_GOSSIP_BYTES)?;
        if meta_has_more(data) {
            return Ok(Verdict::Ignore);
        }
        match meta.body {
            Some(Body::Head(head)) => self.meta_head((from, author), log, head, now),
            Some(Body::Fork(fork)) => self.meta_fork(log, fork, now),
            Some(Body::Recovered(recovered)) => Ok(self.meta_recovered(log, recovered, now)),
            Some(Body::Join(join)) => Ok(self.join_heard(author, log, &join, now)?),
            Some(Body::Offer(offer)) => Ok(self.offer_heard(author, log, offer, now)?),
            Some(Body::Accept(accept)) => Ok(self.accept_heard(author, log, accept, now)?),
            Some(Body::Synced(synced)) => Ok(self.synced_heard(author, log, &synced, now)?),
            // A kind of message that a later version knows.
            None => Ok(Verdict::Ignore),
        }
    }

    fn meta_head(
        &mut self,
        (from, author): (PeerId, PeerId),
        log: LogId,
        head: v1::SignedHead,
        now: Timestamp,
    ) -> Result<Verdict, AdmitError> {
        if self.followed_manifest(log).is_none() {
            return Ok(Verdict::Ignore);
        }
        let head = UnverifiedHead::try_from(Some(head))?;
        let Some(head) = self.verify_head(log, head)? else {
            return Ok(Verdict::Ignore);
        };
        self.heard_of_own(from, log, &head, now);
        self.note_clock(author, log, &head, now);
        if !self.is_timely(log, &head) {
            return Ok(Verdict::Ignore);
        }
        let is_new = self.consider(from, log, &head, now);
        Ok(if is_new {
            Verdict::Accept
        } else {
            Verdict::Ignore
        })
    }

    fn meta_recovered(&mut self, log: LogId, said: v1::Recovered, now: Timestamp) -> Verdict {
        if self.followed_manifest(log).is_none() {
            return Verdict::Ignore;
        }
        match self.recovery_heard(log, said, None, now) {
            Ok(true) => Verdict::Accept,
            Ok(false) => Verdict::Ignore,
            Err(_) => Verdict::Reject,
        }
    }

    fn meta_fork(
        &mut self,
        log: LogId,
        fork: v1::ForkProof,
        now: Timestamp,
    ) -> Result<Verdict, AdmitError> {
        let says = Says::of_wire(&fork);
        let is_news = (self.logs.get(&log)).is_some_and(|state| state.takes_proof(says, now));
        let Some(manifest) = self.followed_manifest(log).filter(|_| is_news) else {
            return Ok(Verdict::Ignore);
        };
        let fork = ForkProof::verify(fork, log, manifest)?;
        self.take_fork(log, Box::new(fork), None, now);
        Ok(Verdict::Accept)
    }
}
