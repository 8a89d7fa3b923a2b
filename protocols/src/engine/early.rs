//! Logs of a folder of version 0.1.0. Our own heads are signed anew: the trees are the
//! same. What was followed stays readable, proved against the head that was adopted
//! then, of which nobody is told; a new one must begin with its tree.

use prost::Message;

use super::Engine;
use super::log_state::LogState;
use super::rows::put_head;
use crate::head::{AdoptedHead, EarlyHead, SignedHead};
use crate::id::LogId;
use crate::identity::PublicKey;
use crate::log::ForkProof;
use crate::store::around::readable;
use crate::store::tables::{HeadKind, head_key};
use crate::store::{Batch, Durability, Store, StoreError, Table};
use crate::wire::v1;

/// Why nothing more of a log is taken whose owner signs another tree than the early one.
const OTHER: &str = "its publisher signs another history than the one that was verified here by \
                     version 0.1.0, which cannot be proved to others any more; what is here stays \
                     readable; to have the other one, delete the stream and follow it again";

/// The same, of one whose owner forked before.
const FORKED_EARLY: &str = "version 0.1.0 has found that its publisher signed two histories, which \
                            cannot be proved to others any more";

impl LogState {
    /// Writes the head that is adopted now, in place of an early one if there is.
    pub(super) fn put_adopted(&self, batch: &mut Batch, head: &SignedHead) {
        put_head(batch, self.number(), head);
        if matches!(self.adopted(), Some(AdoptedHead::Early(_))) {
            batch.delete(
                Table::Heads,
                head_key(self.number(), HeadKind::EarlyAdopted),
            );
        }
    }

    /// Writes the rows of the adopted head again.
    pub(super) fn put_adopted_again(&self, batch: &mut Batch) {
        match self.adopted() {
            None => {}
            Some(AdoptedHead::Signed(head)) => put_head(batch, self.number(), head),
            Some(AdoptedHead::Early(head)) => {
                let key = head_key(self.number(), HeadKind::EarlyAdopted);
                batch.put(Table::Heads, key, head.to_wire().encode_to_vec());
            }
        }
    }

    /// Takes what an early proof leaves: no more than both histories begin with.
    fn set_early_fork(&mut self, common: u64) {
        self.set_forked_early(common);
        self.stop_for_good(FORKED_EARLY.to_owned());
    }
}

impl<S: Store> Engine<S> {
    /// The owner signs another history than the early head: that cannot be proved in
    /// the forms of today, so that it ends here. Returns whether that is news.
    pub(super) fn is_other_history(&mut self, log: LogId) -> bool {
        let Some(state) = self.logs.get_mut(&log).filter(|state| state.is_writable()) else {
            return false;
        };
        state.stop_for_good(OTHER.to_owned());
        self.changed.insert(log);
        true
    }

    /// The head of a log that version 0.1.0 adopted.
    pub(super) fn load_early_head(
        &self,
        log: LogId,
        number: u32,
        owner: &PublicKey,
    ) -> Result<Option<EarlyHead>, StoreError> {
        let key = head_key(number, HeadKind::EarlyAdopted);
        let Some(bytes) = self.store.get(Table::Heads, &key)? else {
            return Ok(None);
        };
        let damaged = |error: &dyn std::fmt::Display| StoreError::Damaged(error.to_string());
        let wire = v1::EarlySignedHead::decode(bytes).map_err(|error| damaged(&error))?;
        let head = EarlyHead::verify(wire, log, owner);
        head.map(Some).map_err(|error| damaged(&error))
    }

    /// Takes over what version 0.1.0 has stored of a log: our own heads are signed
    /// anew, in one write a log, so that a crash in between leaves each as it was or
    /// as it is to be. What is written is synced with the end of the start.
    pub(super) fn carry_over(
        &mut self,
        log: LogId,
        state: &mut LogState,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        let ours = state
            .manifest()
            .is_some_and(|manifest| manifest.publisher == self.key.public());
        if let Some(AdoptedHead::Early(early)) = state.adopted()
            && ours
        {
            let head = early.sign_anew(&self.key);
            state.put_adopted(&mut batch, &head);
            state.replace_adopted(head);
        }
        self.carry_fork(log, state, ours, &mut batch)?;
        if batch.is_empty() {
            return Ok(());
        }
        self.store.commit(batch, Durability::Written)
    }

    fn carry_fork(
        &self,
        log: LogId,
        state: &mut LogState,
        ours: bool,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let row = head_key(state.number(), HeadKind::EarlyFork);
        let (Some(key), Some(manifest)) = (state.key(), state.manifest().cloned()) else {
            return Ok(());
        };
        let bytes = match readable(self.store.get(Table::Heads, &row))? {
            Some(Some(bytes)) => bytes,
            Some(None) => return Ok(()),
            // Whether there is one cannot be told, and mostly there is none: the table is
            // damaged, which is said. Who has the other history tells of it again.
            None => return Ok(()),
        };
        let Ok(early) = v1::EarlyForkProof::decode(bytes) else {
            state.set_early_fork(0);
            return Ok(());
        };
        let anew = |head: &Option<v1::EarlySignedHead>| {
            let head = EarlyHead::verify(head.clone()?, log, &manifest.publisher).ok()?;
            Some(head.sign_anew(&self.key).to_wire())
        };
        let proof = v1::ForkProof {
            smaller: anew(&early.smaller).filter(|_| ours),
            larger: anew(&early.larger).filter(|_| ours),
            left: early.left,
            right: early.right,
            common: None,
        };
        match ForkProof::verify(proof.clone(), log, &manifest) {
            Ok(fork) => {
                let fork_row = head_key(key.number, HeadKind::Fork);
                batch.put(Table::Heads, fork_row, proof.encode_to_vec());
                batch.delete(Table::Heads, row);
                // What cannot be read of it is not undisputed.
                readable(self.set_fork(state, key, Box::new(fork)))?;
                state.stop_for_good(state.why_forked().to_owned());
            }
            Err(_) => {
                let common = early.common.or(early.early_common);
                state.set_early_fork(common.map_or(0, |common| common.size));
            }
        }
        Ok(())
    }
}
