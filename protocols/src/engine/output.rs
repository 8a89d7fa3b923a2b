//! What the engine wants done.

use bytes::Bytes;
use libp2p_identity::PeerId;

use super::{CommandError, Counters, Mark, Reply};
use crate::id::{LogId, Topic};
use crate::meta::Server;
use crate::store::StoreError;
use crate::sync::Lane;

/// Something is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send a frame on a sync stream.
    Send(PeerId, Lane, Bytes),
    /// Subscribe to a topic.
    Subscribe(Topic),
    /// Unsubscribe from a topic.
    Unsubscribe(Topic),
    /// Publish a message.
    Publish(Topic, Bytes),
    /// Connect to a peer, if it is not connected yet.
    Dial {
        /// The peer.
        peer: PeerId,
        /// The stream for which it is of use.
        log: LogId,
        /// Its signed peer record, not verified: it must be this peer's.
        record: Bytes,
    },
    /// Meet a peer that could not be connected to, at a rendezvous server, and
    /// connect at the same moment as it does.
    Meet {
        /// The peer.
        peer: PeerId,
        /// The stream for which it is of use.
        log: LogId,
        /// What both register under: see [`crate::rendezvous::key_hash`].
        hash: [u8; 32],
        /// The server.
        server: Server,
    },
    /// Tell the transport whether a gossip message is passed on.
    Verdict {
        /// The message.
        id: Bytes,
        /// The peer that passed it on.
        from: PeerId,
        /// What to do with it.
        verdict: Verdict,
    },
    /// A command's answer.
    Reply(u64, Result<Reply, CommandError>),
    /// Close the connections to a peer that broke the rules, and do not talk
    /// to it for a while.
    Ban(PeerId, Misbehaviour),
    /// Make what was written so far survive the loss of power, beside everything
    /// else: it takes as long as the disk needs for what is not there yet. Answer
    /// with [`Input::Synced`](super::Input::Synced); there is one at a time.
    Sync,
    /// A write failed: nothing more is written before the disk works again.
    Stopped(StoreError),
    /// The disk works again, and what it has was read back.
    Resumed,
    /// The disk has no room for so many bytes, which were to be published.
    Refused(u64),
    /// Open the store anew, if it can only be written after that, and write
    /// something that survives the loss of power. Answer with
    /// [`Input::Probed`](super::Input::Probed); there is one at a time.
    Probe,
    /// Have the disk give back the room of the rows with this log number, which
    /// were deleted, beside everything else. Answer with [`Input::Reclaimed`](super::Input::Reclaimed).
    Reclaim(u32),
    /// Have the disk give back the room of this log number's chunks before the
    /// second number, which were dropped, beside everything else. Nobody waits
    /// for it, and it does no harm if it is not done.
    ReclaimChunks(u32, u64),
    /// Everything that was suspected was read, and what follows is done; up to
    /// this repair of the store.
    Audited(u64),
    /// A head of a log of ours was signed: note it outside of the store before
    /// what comes after this leaves the node. A store that says less than was
    /// noted is not written to when it is opened again.
    Signed(LogId, Mark),
    /// The state of a log changed; it is not known any more if it has none.
    Changed(LogId),
    /// What was counted since the store was opened; told with a commit when it is
    /// more than was told last.
    Counted(Counters),
}

/// What is done with a gossip message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is passed on.
    Accept,
    /// It is not passed on; nobody is to blame.
    Ignore,
    /// It is false: it is not passed on, and who sent it loses score.
    Reject,
}

/// What a peer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    /// The log that it was about, when one was.
    pub log: Option<LogId>,
    /// What was wrong, in words.
    pub what: String,
}
