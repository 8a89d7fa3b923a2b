//! What is wrong with the disk: one trouble, whether it cannot be written or has
//! hardly any room left.

use std::sync::{Mutex, MutexGuard, PoisonError};

use headwater_protocols::store::StoreError;

use crate::handle::{Node, Severity};
use crate::store::Space;

/// The trouble's name.
const NAME: &str = "disk";

/// Begins the trouble and ends it.
#[derive(Debug)]
pub(super) struct DiskTrouble {
    node: Node,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why nothing can be written.
    stopped: Option<StoreError>,
    /// What the disk has, when that is too little.
    full: Option<Space>,
    /// Bytes of the largest publish that it was too little for.
    refused: u64,
}

impl DiskTrouble {
    pub(super) fn new(node: Node) -> Self {
        let state = Mutex::default();
        Self { node, state }
    }

    /// Writing failed, or works again.
    pub(super) fn stopped(&self, why: Option<StoreError>) {
        self.change(|state| state.stopped = why);
    }

    /// The disk has too little room.
    pub(super) fn full(&self, space: Space) {
        self.change(|state| state.full = Some(space));
    }

    /// The disk has enough room, also for what was refused.
    pub(super) fn has_room(&self) {
        self.change(|state| (state.full, state.refused) = (None, 0));
    }

    /// Something of this many bytes was refused, because it has no room.
    pub(super) fn refused(&self, bytes: u64) {
        self.change(|state| state.refused = state.refused.max(bytes));
    }

    /// Bytes of the largest publish that was refused since there was room.
    pub(super) fn largest_refused(&self) -> u64 {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        match words(&state) {
            Some((what, advice)) => {
                (self.node).trouble_begins(NAME, Severity::Failure, what, advice);
            }
            None => self.node.trouble_ends(NAME),
        }
    }
}

/// What is wrong, and what to do.
fn words(state: &State) -> Option<(String, &'static str)> {
    const MAKE_ROOM: &str =
        "make room, or delete streams (headwater stream delete S); writing goes on by itself";
    if let Some(StoreError::Full(_)) = &state.stopped {
        let what = "the disk is full: nothing is published or fetched; what is held can be read";
        return Some((what.to_owned(), MAKE_ROOM));
    }
    if let Some(error) = &state.stopped {
        let why = error.to_string();
        return Some(if why.contains("Read-only file system") {
            let what = "the disk is mounted read-only: nothing is published or fetched; what is \
                        held can be read";
            let advice = "mount it for writing; a start is not needed then";
            (what.to_owned(), advice)
        } else if why.contains("Too many open files") {
            let what = "too many files are open, so that nothing is published or fetched";
            let advice = "raise the limit (LimitNOFILE of the service, or `ulimit -n`)";
            (what.to_owned(), advice)
        } else {
            let what = format!("writing failed, so that nothing is published or fetched: {why}");
            let advice = "look at the disk and the system's log; writing is tried again and goes \
                          on by itself";
            (what, advice)
        });
    }
    let space = state.full?;
    let what = format!(
        "the disk is full: nothing is published or fetched, but what is small; what is left ({} \
         of {} bytes) is kept so that streams can be deleted",
        space.free, space.total
    );
    Some((what, MAKE_ROOM))
}
