//! The store and the engine are opened, with what is known of how the last run has
//! ended, and of what it had signed.

use std::path::PathBuf;
use std::sync::Arc;

use headwater_protocols::engine::{Engine, Settings};
use headwater_protocols::identity::SigningKey;
use headwater_protocols::store::StoreError;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

use super::mark_keeper::{Found, LateMarks, MarkKeeper};
use super::{lost_writes, scrub_thread};
use crate::handle::{Asked, Node, Severity, now};
use crate::instance::{Instance, Started};
use crate::mark::MarkFile;
use crate::store::{Mended, Reserve, RocksStore};

/// What it takes.
pub(super) struct Opening {
    /// Folder of the store.
    pub(super) store_dir: PathBuf,
    /// Folder of the mark, if one is known.
    pub(super) mark_dir: Option<PathBuf>,
    /// The key of the streams that the node publishes.
    pub(super) key: SigningKey,
    /// Who the node is.
    pub(super) local: PeerId,
    /// What the engine is told, beside what is found out here.
    pub(super) settings: Settings,
    /// Whether there are peers to be asked.
    pub(super) has_network: bool,
}

/// What is open.
pub(super) struct Opened {
    pub(super) engine: Engine<Arc<RocksStore>>,
    pub(super) node: Node,
    /// This start, where it could be noted in the store.
    pub(super) started: Option<Started>,
    pub(super) keeper: (MarkKeeper, LateMarks),
}

impl Opening {
    /// Opens all of it, on a thread that may block. The node has these ways to the
    /// engine and to the network.
    ///
    /// # Errors
    /// The store cannot be opened or read, or the system gives no thread.
    pub(super) fn open(
        mut self,
        commands: mpsc::Sender<Asked>,
        dial: mpsc::UnboundedSender<Multiaddr>,
    ) -> anyhow::Result<Opened> {
        let store = Arc::new(RocksStore::open(&self.store_dir)?);
        if let Some(StoreError::Full(_)) = store.failure() {
            // What is kept back may be enough to delete something.
            Reserve::of(&self.store_dir).give_back();
            // The engine tries it again.
            let _ = store.reopen();
        }
        let node = Node::new(store.clone(), commands, dial, self.local);
        let found = Found::open(self.mark_dir.as_deref(), &node);
        let starts = found.file().and_then(MarkFile::starts);
        let instance = Instance::of(&store, &self.store_dir, starts)?;
        self.settle(&store, &found, &instance);
        let stays_unclear = self.settings.ended_badly && !self.has_network;
        let found = match stays_unclear {
            // It would say nothing of what was signed before it.
            true => Found::Missing("there was one, and it is missing".to_owned()),
            false => found,
        };
        if let Some(mended) = store.mended() {
            self.settle_mended(&node, mended);
        }
        let engine = Engine::open(store.clone(), self.key, &self.settings, now());
        let engine = engine.map_err(|error: StoreError| {
            let dir = self.store_dir.display();
            anyhow::Error::new(error).context(format!("cannot read the store in {dir}"))
        })?;
        note_forgotten(&node, engine.forgotten());
        // From here on the engine remembers what is to be reopened. Where nothing
        // can be written, what was is still true.
        let started = match store.failure() {
            None => (instance.renew(&store))
                .inspect_err(|error| tracing::warn!("{error:#}"))
                .ok(),
            Some(_) => None,
        };
        let starts = started.map_or(0, |started| started.starts);
        let marks = self.mark_dir.as_deref();
        let keeper = MarkKeeper::start(&node, marks, found, starts, self.has_network)?;
        // What only a running node can find out is still open after a command.
        let started = started.filter(|_| !stays_unclear);
        for log in engine.logs().collect::<Vec<_>>() {
            if let Some(status) = engine.status(log) {
                if let Some(reopening) = status.reopening.as_ref().filter(|_| self.has_network) {
                    tracing::warn!(stream = %log, "not open for writing: {}", reopening.why);
                }
                node.set_stream(status);
            }
        }
        Ok(Opened {
            engine,
            node,
            started,
            keeper,
        })
    }

    /// Tells the engine what the mark and the folder say of the last run.
    fn settle(&mut self, store: &RocksStore, found: &Found, instance: &Instance) {
        let settings = &mut self.settings;
        settings.copied = instance.is_copy() || matches!(found, Found::InUse(_));
        settings.marks = found.marks();
        settings.lost = store.lost_writes().map(lost_writes::words);
        // A command cannot ask anybody, so it signs nothing where a mark is missing
        // that there was.
        let marked = found.file().and_then(MarkFile::starts);
        let asks = self.has_network || marked.is_none() && instance.had_starts();
        settings.ended_badly = asks && !instance.ended_well();
        if found.file().is_some_and(|file| file.damaged() > 0) && !instance.ended_well() {
            // Whatever it says nothing about may be one of those.
            let what = "the node did not end well, and parts of its mark cannot be read";
            settings.lost.get_or_insert_with(|| what.to_owned());
        }
    }

    /// Tells the engine, and the user, of a store that had to be mended.
    fn settle_mended(&mut self, node: &Node, mended: &Mended) {
        scrub_thread::tell(mended);
        self.settings.lost_rows = mended.is_rebuilt || !mended.lost.is_empty();
        if self.settings.lost_rows {
            // Heads that were signed may be lost, too.
            (self.settings.lost).get_or_insert_with(|| mended.what.join("; "));
        }
        note_mended(node, mended);
    }
}

/// Says that streams are not known any more. Which they were nobody can say.
fn note_forgotten(node: &Node, streams: usize) {
    if streams == 0 {
        return;
    }
    let what = format!(
        "the store is damaged, and of {streams} of its streams records are left and not what they \
         are: they are not followed any more"
    );
    let advice = "compare `headwater list` with what you followed, and follow what is missing again, \
                  by its id or invite (`aliases` in the data folder has ids that were named)";
    node.trouble_begins("forgotten", Severity::Failure, what, advice);
}

/// Says what was done to open a damaged store, until all of it was read.
fn note_mended(node: &Node, mended: &Mended) {
    let kept = match &mended.kept {
        Some(kept) => format!("; what was replaced is kept in {}", kept.display()),
        None => String::new(),
    };
    let what = format!(
        "the store was damaged and is repaired: {}{kept}",
        mended.what.join("; ")
    );
    let advice = match mended.is_rebuilt || !mended.lost.is_empty() {
        true => "all that is held is being read, and what is lost comes back from peers",
        false => "nothing of it was lost; look at the disk",
    };
    node.trouble_begins("damage", Severity::Warning, what, advice);
}
