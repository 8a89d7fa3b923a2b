//! Proof files are accepted by a verifier that shares no code with us.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use data_encoding::{BASE64, HEXLOWER};
use headwater_tests::TestNode;
use serde_json::Value;
use sha2::Sha256;

const RECORDS: u64 = 1_000;

fn text<'a>(proof: &'a Value, field: &str) -> Result<&'a str> {
    proof[field]
        .as_str()
        .with_context(|| format!("no {field} in {proof}"))
}

fn number(proof: &Value, field: &str) -> Result<u64> {
    proof[field]
        .as_u64()
        .with_context(|| format!("no {field} in {proof}"))
}

fn root(proof: &Value, root: &str, size: &str) -> Result<RootHash<Sha256>> {
    let hash: [u8; 32] = HEXLOWER
        .decode(text(proof, root)?.as_bytes())?
        .try_into()
        .ok()
        .context("a root has 32 bytes")?;
    Ok(RootHash::new(hash.into(), number(proof, size)?))
}

/// The hashes of a path, end to end.
fn path(proof: &Value) -> Result<Vec<u8>> {
    let hashes = proof["path"].as_array().context("no path")?;
    let mut bytes = Vec::new();
    for hash in hashes {
        let hash = hash.as_str().context("a hash is text")?;
        bytes.extend(HEXLOWER.decode(hash.as_bytes())?);
    }
    Ok(bytes)
}

/// What a script of `tests/vectors` says.
fn python(script: &str, arguments: &[&Path]) -> Result<String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let read = Command::new("python3")
        .arg(scripts.join(script))
        .args(arguments)
        .output()
        .context("python3")?;
    let errors = String::from_utf8_lossy(&read.stderr);
    let said = String::from_utf8(read.stdout)?;
    ensure!(read.status.success(), "{said}{errors}");
    Ok(said)
}

/// Lets one go through a file of `docs/vectors`.
fn read_vectors(script: &str, file: &str, says: &str) -> Result<()> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors");
    let said = python(script, &[&vectors.join(file)])?;
    ensure!(said.contains(says), "{said}");
    Ok(())
}

/// The size and the root in the checkpoint of a proof file, which was signed by the
/// publisher that the file names.
fn signed_tree(proof: &str) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), proof)?;
    python("heads.py", &[Path::new("--proof"), file.path()])
}

#[test]
fn the_manifests_of_the_documents_are_read_by_another_implementation() -> Result<()> {
    read_vectors("manifests.py", "manifests.json", "10 manifests read")
}

#[test]
fn the_heads_of_the_documents_are_made_and_read_by_another_implementation() -> Result<()> {
    read_vectors("heads.py", "heads.json", "13 heads read")
}

#[test]
fn the_recoveries_of_the_documents_are_made_and_read_by_another_implementation() -> Result<()> {
    read_vectors("recoveries.py", "recoveries.json", "11 recoveries read")
}

#[test]
fn the_rows_of_the_documents_are_read_by_another_implementation() -> Result<()> {
    read_vectors("rows.py", "rows.json", "240 rows read")
}

#[test]
fn inclusion_and_consistency_proofs_are_accepted_by_another_implementation() -> Result<()> {
    let node = TestNode::new()?;
    let stream = node.create("numbers")?;
    node.publish_numbers(&stream, 0, RECORDS)?;
    for index in [0, 1, 255, 256, 511, 767, 768, 998, 999] {
        let file = node.run(&["prove", &stream, &index.to_string()])?;
        let proof: Value = serde_json::from_str(&file)?;
        let signed = format!("{RECORDS} {}\n", text(&proof, "root")?);
        ensure!(signed_tree(&file)? == signed, "{file}");
        let tree = root(&proof, "root", "size")?;
        let record = BASE64.decode(text(&proof, "record")?.as_bytes())?;
        let path = InclusionProof::<Sha256>::try_from_bytes(path(&proof)?)?;
        tree.verify_inclusion(&record, index, &path)?;
        ensure!(tree.verify_inclusion(&record, index ^ 1, &path).is_err());
    }
    for (first, second) in [(1, 2), (255, 256), (256, 1_000), (700, 701), (999, 1_000)] {
        let (m, n) = (first.to_string(), second.to_string());
        let proof = node.run(&["prove", &stream, "--consistency", &m, &n])?;
        let proof: Value = serde_json::from_str(&proof)?;
        let old = root(&proof, "first_root", "first_size")?;
        let new = root(&proof, "second_root", "second_size")?;
        ensure!((old.num_leaves(), new.num_leaves()) == (first, second));
        let path = ConsistencyProof::<Sha256>::try_from_bytes(path(&proof)?)?;
        new.verify_consistency(&old, &path)?;
    }
    Ok(())
}
