//! What an owner with two histories can sign and show: announcements, extensions
//! and fork proofs, altered on their way.

use bytes::{Bytes, BytesMut};
use headwater_protocols::head::{Head, SignedHead, Tree};
use headwater_protocols::id::LogId;
use headwater_protocols::identity::{PublicKey, SigningKey};
use headwater_protocols::log::{Announcement, Extension, ForkProof, Node, Relation, Shown};
use headwater_protocols::manifest::SignedManifest;
use headwater_protocols::merkle::{CompactRange, Hash, join_hashes, subtree_root};
use headwater_protocols::record::{Record, put_record};
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::v1;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use prost::Message;

use crate::memory::bounded;

const LOG: LogId = LogId([7; 32]);

/// Records of a branch.
const LENGTH: u64 = 48;

/// The script begins with what the branches have in common; then it says one
/// thing after the other.
pub fn trees(bytes: &[u8]) {
    let mut script = Unstructured::new(bytes);
    let _ = run(&mut script);
}

fn run(script: &mut Unstructured<'_>) -> Result<()> {
    let common = u64::from(script.arbitrary::<u8>()?) % (LENGTH + 1);
    let branches = Branches::new(common);
    for _ in 0..3 {
        match script.arbitrary::<u8>()? % 3 {
            0 => branches.announce(script)?,
            1 => branches.extend(script)?,
            _ => branches.fork(script)?,
        }
    }
    Ok(())
}

/// Two histories of one owner.
struct Branches {
    key: SigningKey,
    owner: PublicKey,
    manifest: SignedManifest,
    common: u64,
    leaves: [Vec<Hash>; 2],
}

fn record(branch: usize, common: u64, index: u64) -> Record {
    let name = if index < common {
        ""
    } else {
        ["a", "b"][branch]
    };
    Record::new(Timestamp(index as i64), format!("{name}{index}").as_bytes())
}

/// Changes a few bytes, or none.
fn altered(script: &mut Unstructured<'_>, bytes: Bytes) -> Result<Bytes> {
    let mut bytes = BytesMut::from(&bytes[..]);
    for _ in 0..script.arbitrary::<u8>()? % 3 {
        let (place, change) = script.arbitrary::<(u16, u8)>()?;
        if !bytes.is_empty() {
            let place = usize::from(place) % bytes.len();
            bytes[place] ^= change;
        }
    }
    if script.arbitrary::<u8>()? % 16 == 15 {
        let end = usize::from(script.arbitrary::<u16>()?) % (bytes.len() + 1);
        bytes.truncate(end);
    }
    Ok(bytes.freeze())
}

impl Branches {
    fn new(common: u64) -> Self {
        let key = SigningKey::from_secret(&mut [1; 32]);
        let leaves = [0, 1].map(|branch| {
            let records = (0..LENGTH).map(|index| record(branch, common, index));
            records.map(|record| record.leaf()).collect()
        });
        let owner = key.public();
        // Of some records only the hashes of their chunks are left.
        let manifest = crate::world::manifest(&key, 2, 20).sign(&key);
        Self {
            manifest: manifest.expect("it is a manifest"),
            key,
            owner,
            common,
            leaves,
        }
    }

    /// A branch and a size of it.
    fn pick(&self, script: &mut Unstructured<'_>) -> Result<(usize, u64)> {
        let [branch, size] = script.arbitrary::<[u8; 2]>()?;
        Ok((usize::from(branch % 2), u64::from(size) % (LENGTH + 1)))
    }

    fn range(&self, branch: usize, from: u64, to: u64) -> CompactRange {
        let mut range = CompactRange::empty(from);
        for index in from..to {
            let leaf = self.leaves[branch][index as usize];
            range
                .append_leaf(leaf, &mut |_, _| ())
                .expect("it is a small tree");
        }
        range
    }

    fn root(&self, branch: usize, size: u64) -> Hash {
        self.range(branch, 0, size).root().expect("it begins at 0")
    }

    fn head(&self, branch: usize, size: u64) -> SignedHead {
        let root = self.root(branch, size);
        Head::of_tree(LOG, Tree { size, root }, Timestamp(size as i64)).sign(&self.key)
    }

    /// Records that a state of one branch and one of the other begin with alike.
    fn shared(&self, one: (usize, u64), other: (usize, u64)) -> u64 {
        let sizes = one.1.min(other.1);
        if one.0 == other.0 {
            sizes
        } else {
            sizes.min(self.common)
        }
    }

    /// Of which branch a head is, if of any.
    fn branch_of(&self, head: &Head) -> Option<(usize, u64)> {
        let size = head.size;
        let mut all = (0..2)
            .filter(|_| size <= LENGTH)
            .map(|branch| (branch, size));
        all.find(|&(branch, size)| self.root(branch, size) == head.root)
    }

    fn check_nodes(&self, branch: usize, nodes: &[Node]) {
        for (subtree, hash) in nodes {
            let leaves = &self.leaves[branch][subtree.begin() as usize..subtree.end() as usize];
            let mut range = CompactRange::empty(subtree.begin());
            for leaf in leaves {
                range
                    .append_leaf(*leaf, &mut |_, _| ())
                    .expect("it is a small tree");
            }
            assert_eq!(subtree_root(leaves.to_vec()), *hash);
            assert_eq!(range.hashes(), [*hash]);
        }
    }

    fn announce(&self, script: &mut Unstructured<'_>) -> Result<()> {
        let (branch, size) = self.pick(script)?;
        let first = u64::from(script.arbitrary::<u8>()?) % (size + 1);
        let mut records = BytesMut::new();
        for index in first..size {
            put_record(&mut records, record(branch, self.common, index).as_bytes());
        }
        let head = self.head(branch, size);
        let prefix = self.range(branch, 0, first);
        let whole = self.range(branch, 0, size);
        let sent = Announcement::encode(&head, &prefix, &records.freeze(), &whole);
        let bytes = altered(script, sent.clone())?;
        let verified = bounded("an announcement", bytes.len(), 64, || {
            Announcement::verify(&bytes, LOG, &self.owner, 99)
        });
        assert!(
            verified.is_ok() || bytes != sent,
            "what an owner announces is taken"
        );
        let Ok(announcement) = verified else {
            return Ok(());
        };
        let (branch, size) = self
            .branch_of(announcement.head())
            .expect("no other head was signed");
        let expected = (announcement.first()..size).map(|i| record(branch, self.common, i));
        let chunk = announcement.chunk();
        let records = chunk.into_iter().flat_map(|chunk| chunk.records());
        assert!(records.eq(expected), "records that the owner did not sign");
        self.check_nodes(branch, announcement.nodes());
        let (adopted_branch, adopted) = self.pick(script)?;
        let (one, other) = ((branch, size), (adopted_branch, adopted));
        let is_prefix = self.shared(one, other) == adopted;
        match announcement.relation(&self.head(adopted_branch, adopted).into()) {
            Relation::Extends | Relation::Renews | Relation::Same => assert!(is_prefix),
            Relation::Older => assert!(size < adopted),
            Relation::Unproven => assert!(adopted < announcement.first()),
            Relation::Other => panic!("no head here is an early one"),
            Relation::Fork(proof) => {
                assert!(!is_prefix);
                self.check_fork(*proof);
            }
        }
        Ok(())
    }

    fn extend(&self, script: &mut Unstructured<'_>) -> Result<()> {
        let (branch, size) = self.pick(script)?;
        let (adopted_branch, adopted) = self.pick(script)?;
        let from = adopted.min(size);
        let wire = v1::Extension {
            head: Some(self.head(branch, size).to_wire()),
            left: join_hashes(self.range(branch, 0, from).hashes()),
            right: join_hashes(self.range(branch, from, size).hashes()),
        };
        let bytes = altered(script, wire.encode_to_vec().into())?;
        let Ok(wire) = v1::Extension::decode(bytes.clone()) else {
            return Ok(());
        };
        let read = bounded("an extension", bytes.len(), 8, || {
            Extension::from_wire(wire, from, LOG, &self.owner)
        });
        let Ok(extension) = read else {
            return Ok(());
        };
        let (branch, size) = self
            .branch_of(&extension.head)
            .expect("no other head was signed");
        if let Ok((left, nodes)) = extension.proved() {
            assert_eq!(left.hashes(), self.range(branch, 0, from).hashes());
            self.check_nodes(branch, &nodes);
        }
        let is_prefix = self.shared((branch, size), (adopted_branch, adopted)) == adopted;
        match extension.check(&self.head(adopted_branch, adopted).into()) {
            Ok(Shown::Extends(nodes)) => {
                assert!(is_prefix);
                self.check_nodes(branch, &nodes);
            }
            Ok(Shown::Fork(proof)) => {
                assert!(!is_prefix);
                self.check_fork(*proof);
            }
            Ok(Shown::Other) => panic!("no head here is an early one"),
            Err(_) => {}
        }
        Ok(())
    }

    /// What was found here convinces everybody, and is the same everywhere.
    fn check_fork(&self, proof: ForkProof) {
        let again = ForkProof::verify(proof.to_wire(), LOG, &self.manifest);
        assert_eq!(again, Ok(proof));
    }

    fn fork(&self, script: &mut Unstructured<'_>) -> Result<()> {
        let [one, other] = [self.pick(script)?, self.pick(script)?];
        let (smaller, larger) = if one.1 <= other.1 {
            (one, other)
        } else {
            (other, one)
        };
        let unequal = smaller.1 < larger.1;
        let hashes = |range: CompactRange| -> Vec<Bytes> {
            let hashes = range.hashes().iter();
            hashes.map(|hash| Bytes::copy_from_slice(&hash.0)).collect()
        };
        let nodes = |from, to| match unequal {
            true => hashes(self.range(larger.0, from, to)),
            false => Vec::new(),
        };
        // What is said to be common, rightly or not.
        let claim = u64::from(script.arbitrary::<u8>()?) % (smaller.1 + 1);
        let rest = |(branch, size): (usize, u64)| {
            let first = (claim < size).then(|| self.range(branch, claim, claim + 1));
            let behind = (claim < size).then(|| self.range(branch, claim + 1, size));
            first.into_iter().chain(behind).flat_map(hashes).collect()
        };
        let [is_said, level] = script.arbitrary::<[u8; 2]>()?;
        let common = (is_said % 2 == 0).then(|| v1::Common {
            size: claim,
            tree: hashes(self.range(smaller.0, 0, claim)),
            smaller: rest(smaller),
            larger: rest(larger),
            level: u32::from(level).saturating_sub(250),
        });
        let wire = v1::ForkProof {
            smaller: Some(self.head(smaller.0, smaller.1).to_wire()),
            larger: Some(self.head(larger.0, larger.1).to_wire()),
            left: nodes(0, smaller.1),
            right: nodes(smaller.1, larger.1),
            common,
        };
        let bytes = altered(script, wire.encode_to_vec().into())?;
        let Ok(wire) = v1::ForkProof::decode(bytes.clone()) else {
            return Ok(());
        };
        let verified = bounded("a fork proof", bytes.len(), 16, || {
            ForkProof::verify(wire, LOG, &self.manifest)
        });
        let Ok(proof) = verified else {
            return Ok(());
        };
        let states = [&proof.smaller, &proof.larger];
        let [smaller, larger] =
            states.map(|head| self.branch_of(head).expect("no other was signed"));
        let shared = self.shared(smaller, larger);
        assert!(
            shared < smaller.1.min(larger.1),
            "one tree holds both heads"
        );
        if let Some(common) = &proof.common {
            // Neither more is said to be common than is, nor less.
            let end = common.size().saturating_add(1 << common.level);
            assert!((common.size()..end).contains(&shared));
        }
        self.check_fork(proof);
        Ok(())
    }
}
