//! The file of peers that were useful: a node that comes back finds them again
//! although all bootstrap nodes are gone.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use headwater_client::data_dir::{Access, write_whole};
use headwater_protocols::id::LogId;
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::v1;
use prost::Message;
use tokio::task::JoinHandle;

use super::super::addresses::Reach;
use super::super::limits::{
    CACHE_WRITE, FIRST_CACHE_WRITE, MAX_CACHED_PEERS, MAX_PEER_CACHE_BYTES,
    MAX_STREAMS_PER_KNOWN_PEER, MET_PEER_FOR,
};
use super::super::peer_book::{MetPeer, PeerBook};
use super::super::peer_record::SignedRecord;

/// Where the peers are kept, and when they were written last.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    due: Timestamp,
    written: Bytes,
    writing: Option<JoinHandle<()>>,
}

impl Cache {
    /// The file at this place; what stands in it goes into the book. A file
    /// that cannot be read is told of, and written anew.
    pub(super) fn open(path: PathBuf, book: &mut PeerBook, now: Timestamp) -> Self {
        match read(&path) {
            Ok(peers) => {
                // By a clock that is far ahead all of them are forgotten: rather
                // they are believed to have been met half that time ago.
                let newest = peers.iter().map(|peer| peer.met).max();
                let age = newest.map_or(Duration::ZERO, |newest| now.duration_since(newest));
                let late = match age > MET_PEER_FOR {
                    true => age - MET_PEER_FOR / 2,
                    false => Duration::ZERO,
                };
                for mut peer in peers {
                    peer.met += late;
                    book.remember(peer, now);
                }
                tracing::debug!(peers = book.len(), "peers of earlier times are known");
            }
            Err(error) => tracing::warn!("{error:#}; the node goes on without it"),
        }
        Self {
            path,
            due: now + FIRST_CACHE_WRITE,
            written: Bytes::new(),
            writing: None,
        }
    }

    /// Whether the file is to be written now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let is_busy = (self.writing.as_ref()).is_some_and(|task| !task.is_finished());
        now >= self.due && !is_busy
    }

    /// Writes the file, if anything has changed, away from the swarm's task.
    pub(super) fn write(&mut self, book: &PeerBook, now: Timestamp) {
        self.due = now + CACHE_WRITE;
        if let Some(bytes) = self.changed(book) {
            let path = self.path.clone();
            self.writing = Some(tokio::task::spawn_blocking(move || write(&path, &bytes)));
        }
    }

    /// Writes the file at the end.
    pub(super) async fn close(mut self, book: &PeerBook) {
        if let Some(task) = self.writing.take() {
            // A panic there was told of.
            let _ = task.await;
        }
        if let Some(bytes) = self.changed(book) {
            let path = self.path;
            let _ = tokio::task::spawn_blocking(move || write(&path, &bytes)).await;
        }
    }

    fn changed(&mut self, book: &PeerBook) -> Option<Bytes> {
        let met = book.met(MAX_CACHED_PEERS);
        // Nobody was met in this life or the last: what others wrote stays.
        if met.is_empty() {
            return None;
        }
        let bytes = encode(&met);
        let is_new = bytes != self.written;
        self.written = bytes.clone();
        is_new.then_some(bytes)
    }
}

fn write(path: &Path, bytes: &[u8]) {
    // Whom one talks to is nobody else's business.
    if let Err(error) = write_whole(path, bytes, Access::Owner) {
        tracing::warn!("{error}; the node will not find these peers again by itself");
    }
}

fn encode(peers: &[MetPeer]) -> Bytes {
    let cached = |peer: &MetPeer| v1::CachedPeer {
        record: peer.record.bytes.clone(),
        met_us: peer.met.0,
        reach: match peer.reach {
            Reach::World => 0,
            Reach::Site => 1,
            Reach::Machine => 2,
        },
        streams: (peer.streams.iter())
            .map(|stream| Bytes::copy_from_slice(&stream.0))
            .collect(),
    };
    let peers = peers.iter().map(cached).collect();
    v1::PeerCache { peers }.encode_to_vec().into()
}

/// The peers in the file. A damaged one among them is left out: each record is
/// signed.
fn read(path: &Path) -> anyhow::Result<Vec<MetPeer>> {
    let what = || format!("cannot read the peers in {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.with_context(what)?,
    };
    let mut bytes = Vec::new();
    let mut file = file.take(MAX_PEER_CACHE_BYTES + 1);
    let length = file.read_to_end(&mut bytes).with_context(what)?;
    let fits = u64::try_from(length).is_ok_and(|length| length <= MAX_PEER_CACHE_BYTES);
    ensure!(fits, "{} is too long for a file of peers", path.display());
    let cache = v1::PeerCache::decode(Bytes::from(bytes)).with_context(what)?;
    let peers = cache.peers.into_iter().take(MAX_CACHED_PEERS);
    Ok(peers.filter_map(met_peer).collect())
}

fn met_peer(cached: v1::CachedPeer) -> Option<MetPeer> {
    let streams = cached.streams.iter().take(MAX_STREAMS_PER_KNOWN_PEER);
    Some(MetPeer {
        record: SignedRecord::verify(cached.record).ok()?.into(),
        met: Timestamp(cached.met_us),
        reach: match cached.reach {
            0 => Reach::World,
            1 => Reach::Site,
            2 => Reach::Machine,
            _ => return None,
        },
        streams: streams.filter_map(|id| LogId::from_slice(id)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use libp2p::PeerId;
    use libp2p::identity::Keypair;

    use super::*;

    fn peer(reach: Reach) -> MetPeer {
        let key = Keypair::generate_ed25519();
        let addresses = ["/ip4/127.0.0.1/tcp/1", "/ip4/192.0.2.1/tcp/1"];
        let addresses = addresses.map(|text| text.parse().unwrap());
        MetPeer {
            record: SignedRecord::sign(&key, addresses.into()).unwrap().into(),
            met: Timestamp(1_000_000),
            reach,
            streams: [LogId::of_manifest(b"x")].into(),
        }
    }

    #[tokio::test]
    async fn peers_are_found_again_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers");
        let now = Timestamp(2_000_000);
        let mut book = PeerBook::new(PeerId::random(), 512);
        let cache = Cache::open(path.clone(), &mut book, now);
        let (near, far) = (peer(Reach::Machine), peer(Reach::World));
        book.remember(near.clone(), now);
        book.remember(far.clone(), now);
        cache.close(&book).await;

        let mut again = PeerBook::new(PeerId::random(), 512);
        Cache::open(path.clone(), &mut again, now);
        let mut found = again.met(9);
        found.sort_by_key(|peer| peer.reach);
        assert_eq!(found, [near.clone(), far.clone()]);
        assert_eq!(again.addresses(&near.record.peer).len(), 2);
        assert_eq!(again.addresses(&far.record.peer).len(), 1);

        // A record that was changed is left out, the other one stays.
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        // Whatever stands there, the node starts.
        for damaged in [&bytes[..bytes.len() - 1], b"x", b"", &[0xff; 64]] {
            fs::write(&path, damaged).unwrap();
            Cache::open(path.clone(), &mut PeerBook::new(PeerId::random(), 512), now);
        }
        let mut book = PeerBook::new(PeerId::random(), 512);
        Cache::open(folder.path().into(), &mut book, now)
            .close(&book)
            .await;
    }
}
