//! What is written down of a log beside its records: its row, its heads, whose its
//! number is, and what is to be deleted.

use bytes::Bytes;
use prost::Message;

use crate::head::SignedHead;
use crate::id::LogId;
use crate::log::ForkProof;
use crate::ranges::{Interval, IntervalSet};
use crate::store::tables::{DELETIONS, HeadKind, head_key, index_key, name_key};
use crate::store::{Batch, Table};
use crate::wire::v1;

/// Writes a row of a log, and by its number, which log it is.
pub(super) fn put_row(batch: &mut Batch, log: LogId, row: &v1::StoredLog) {
    batch.put(Table::Logs, log.0, row.encode_to_vec());
    put_name(batch, log, row);
}

/// Writes the adopted head of a log.
pub(super) fn put_head(batch: &mut Batch, number: u32, head: &SignedHead) {
    let row = v1::StoredHead {
        log: Bytes::copy_from_slice(&head.log.0),
        head: Some(head.to_wire()),
    };
    let key = head_key(number, HeadKind::Adopted);
    batch.put(Table::Heads, key, row.encode_to_vec());
}

/// What a row says behind the id of the log.
const FOLLOWED: u8 = 1;
const OWNED: u8 = 2;

/// What is known of a log by its number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) log: LogId,
    pub(super) followed: bool,
    pub(super) owned: bool,
}

impl Name {
    pub(super) fn of_row(row: &[u8]) -> Option<Self> {
        let (log, &[flags]) = row.split_at_checked(size_of::<LogId>())? else {
            return None;
        };
        Some(Self {
            log: LogId::from_slice(log)?,
            followed: flags & FOLLOWED != 0,
            owned: flags & OWNED != 0,
        })
    }
}

/// Writes the row of a number.
pub(super) fn put_name(batch: &mut Batch, log: LogId, row: &v1::StoredLog) {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let flags = flag(row.followed, FOLLOWED) | flag(row.owned, OWNED);
    let name = [&log.0[..], &[flags]].concat();
    batch.put(Table::Meta, name_key(row.number), name);
}

/// Forgets whose number it was.
pub(super) fn forget_name(batch: &mut Batch, number: u32) {
    batch.delete(Table::Meta, name_key(number));
}

/// Writes what is to be deleted of the rows of a number.
pub(super) fn put_deletion(batch: &mut Batch, number: u32, deletion: &v1::StoredDeletion) {
    batch.put(Table::Meta, deletion_key(number), deletion.encode_to_vec());
}

/// Has rows not deleted that were to be.
pub(super) fn forget_deletion(batch: &mut Batch, number: u32) {
    batch.delete(Table::Meta, deletion_key(number));
}

/// The key of what is being deleted.
pub(super) fn deletion_key(number: u32) -> Vec<u8> {
    [DELETIONS, &number.to_be_bytes()].concat()
}

/// Writes a fork proof.
pub(super) fn put_fork(batch: &mut Batch, number: u32, fork: &ForkProof) {
    let row = fork.to_wire().encode_to_vec();
    batch.put(Table::Heads, head_key(number, HeadKind::Fork), row);
}

/// Writes what is held of a log in place of what is stored of that.
pub(super) fn put_held(batch: &mut Batch, number: u32, held: &IntervalSet) {
    let rows = [0, u64::MAX].map(|index| index_key(number, index));
    batch.delete_range(Table::Held, rows[0], rows[1]);
    for Interval { from, to } in held.intervals() {
        let row = index_key(number, from);
        batch.put(Table::Held, row, to.to_be_bytes().to_vec());
    }
}
