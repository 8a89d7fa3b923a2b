//! What a peer missed, told with the answer to its question for the head:
//! whoever missed little has everything after one round trip.

use libp2p_identity::PeerId;

use super::Engine;
use super::gossip_forms::announcement_has_more;
use super::log_state::LogState;
use super::trees::{few_records, nodes_between};
use crate::head::AdoptedHead;
use crate::id::LogId;
use crate::log::{AdmitError, Announcement};
use crate::merkle::{CompactRange, join_hashes};
use crate::store::{History, Store, StoreError};
use crate::sync::provider::Work;
use crate::time::Timestamp;
use crate::wire::v1;

impl<S: Store> Engine<S> {
    /// Adds to an answer what the asker has missed since its head: the records,
    /// or at least what shows that the head extends its own; and what that took.
    ///
    /// # Errors
    /// The store fails.
    pub(super) fn add_news(
        &self,
        answer: &mut v1::HeadState,
        state: &LogState,
        ask: &v1::GetHead,
    ) -> Result<Work, StoreError> {
        let (Some(key), Some(head)) = (state.key(), state.head_for_others()) else {
            return Ok(Work::default());
        };
        let size = ask.size;
        if size == 0 || size >= head.size {
            return Ok(Work::default());
        }
        let history = History::new(&self.store, key);
        let Some(left) = nodes_between(&history, 0, size)? else {
            return Ok(Work::of(&history));
        };
        // What is disputed is nobody's history.
        let is_whole = !state.is_limited() || state.last_head() == Some(head);
        let is_ours = is_whole && state.holds(size, head.size);
        let records = if ask.news && is_ours {
            few_records(&history, size, head.size)?
        } else {
            None
        };
        if let Some(records) = records
            && let Ok(prefix) = CompactRange::from_hashes(0, size, left.clone())
        {
            answer.news = Announcement::encode(head, &prefix, &records, &prefix);
        } else if let Some(right) = nodes_between(&history, size, head.size)? {
            answer.left = join_hashes(&left);
            answer.right = join_hashes(&right);
        }
        Ok(Work::of(&history))
    }

    /// Takes what came with a head that a peer was asked for when `from` was the
    /// adopted one.
    ///
    /// # Errors
    /// It is false.
    pub(super) fn take_news(
        &mut self,
        peer: PeerId,
        log: LogId,
        answer: v1::HeadState,
        from: Option<&AdoptedHead>,
        now: Timestamp,
    ) -> Result<(), AdmitError> {
        let Some(from) = from else {
            return Ok(());
        };
        if !answer.news.is_empty() {
            let state = self.logs.get(&log);
            let Some(manifest) = state.and_then(LogState::manifest) else {
                return Ok(());
            };
            let (owner, max) = (&manifest.publisher, manifest.max_value_bytes());
            match Announcement::verify(&answer.news, log, owner, max) {
                Ok(announcement) => {
                    self.announced(peer, log, &announcement, now);
                }
                // A later version says it in another form: that is no offence, and what was
                // missed is fetched by its range.
                Err(_) if announcement_has_more(&answer.news) => {}
                Err(error) => return Err(error),
            }
        } else if !answer.left.is_empty() || !answer.right.is_empty() {
            let extension = v1::Extension {
                head: answer.head,
                left: answer.left,
                right: answer.right,
            };
            self.take_extension(peer, log, extension, from, now)?;
        }
        Ok(())
    }
}
