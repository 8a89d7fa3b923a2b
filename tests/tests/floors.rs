//! A file uses only what stands below it. The floors are those of
//! ARCHITECTURE.md, lowest first.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read the sources fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PROTOCOLS: &[&str] = &[
    "limits",
    "time",
    "id",
    "bucket",
    "number",
    "wire",
    "identity",
    "sealed",
    "merkle",
    "record",
    "kind",
    "manifest",
    "head",
    "recovery",
    "ranges",
    "log",
    "store",
    "peers",
    "quorum",
    "sync",
    "meta",
    "rendezvous",
    "engine",
    "sim",
];

const CLIENT: &[&str] = &[
    "failure", "object", "times", "data_dir", "keys", "invite", "proof", "types", "client",
];

const NODE: &[&str] = &[
    "json_value",
    "wording",
    "import",
    "config",
    "keys",
    "aliases",
    "mark",
    "store",
    "instance",
    "handle",
    "net",
    "runtime",
    "reading",
    "export",
    "api",
    "client",
    "cli",
];

#[test]
fn every_import_in_protocols_points_downwards() {
    assert_eq!(upward_imports("protocols", PROTOCOLS), Vec::<String>::new());
}

#[test]
fn every_import_in_the_client_points_downwards() {
    assert_eq!(upward_imports("node/client", CLIENT), Vec::<String>::new());
}

#[test]
fn every_import_in_node_points_downwards() {
    assert_eq!(upward_imports("node", NODE), Vec::<String>::new());
}

#[test]
fn an_upward_import_is_found() {
    let found = upward(
        "record",
        "use crate::{id::LogId, engine::Input};",
        PROTOCOLS,
    );
    assert_eq!(found, ["record uses engine"]);
    let found = upward("record", "let x = crate::sync::Lane::Bulk;", PROTOCOLS);
    assert_eq!(found, ["record uses sync"]);
    let found = upward("engine", "use crate::record::Record;", PROTOCOLS);
    assert!(found.is_empty());
    let found = upward("engine", "use crate::unheard_of::Thing;", PROTOCOLS);
    assert_eq!(found, ["engine uses unheard_of, which has no floor"]);
}

/// The protocols crate knows nothing of the world: no clock, no sockets, no
/// disk, no tokio, and of libp2p the identities only.
#[test]
fn the_protocols_crate_depends_on_nothing_that_touches_the_world() {
    let manifest = fs::read_to_string(root().join("protocols/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("[build-dependencies]").next().unwrap();
    for foreign in [
        "tokio",
        "libp2p.",
        "rocksdb",
        "futures",
        "rand.",
        "axum",
        "headwater.",
    ] {
        assert!(
            !dependencies.lines().any(|line| line.starts_with(foreign)),
            "protocols depends on {foreign}"
        );
    }
}

/// A program that talks to a node compiles neither RocksDB nor a swarm, nor any C
/// or C++ at all.
#[test]
fn what_the_client_depends_on_is_rust_and_has_no_store_and_no_swarm() {
    let lock = Lock::read();
    let needed = lock.needed_by("headwater-client");
    for heavy in [
        "headwater",
        "rocksdb",
        "libp2p",
        "libp2p-swarm",
        "axum",
        "bindgen",
        "cc",
        "cmake",
    ] {
        assert!(!needed.contains(heavy), "headwater-client needs {heavy}");
    }
    for light in ["headwater-protocols", "libp2p-identity", "reqwest"] {
        assert!(needed.contains(light), "{light}");
    }
    let needed = lock.needed_by("headwater");
    for heavy in ["headwater-client", "rocksdb", "libp2p-swarm", "cc"] {
        assert!(needed.contains(heavy), "{heavy}");
    }
}

/// Cargo.lock: what each package depends on, for all targets, and with what only
/// its tests need.
struct Lock(BTreeMap<String, BTreeSet<String>>);

impl Lock {
    fn read() -> Self {
        let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
        let mut packages = BTreeMap::<String, BTreeSet<String>>::new();
        for package in text.split("[[package]]").skip(1) {
            // Of a name with several versions it is as if all were one.
            let quoted = |line: &str| line.split('"').nth(1).unwrap().to_owned();
            let name = package.lines().find(|line| line.starts_with("name = "));
            let needed = packages.entry(quoted(name.unwrap())).or_default();
            let lines = package.lines().filter(|line| line.starts_with(" \""));
            needed.extend(lines.map(|line| {
                let dependency = quoted(line);
                dependency.split(' ').next().unwrap().to_owned()
            }));
        }
        Self(packages)
    }

    fn needed_by<'a>(&'a self, package: &'a str) -> BTreeSet<&'a str> {
        let mut needed = BTreeSet::new();
        let mut open = vec![package];
        while let Some(package) = open.pop() {
            for dependency in &self.0[package] {
                if needed.insert(dependency.as_str()) {
                    open.push(dependency);
                }
            }
        }
        needed
    }
}

fn upward_imports(package: &str, floors: &[&str]) -> Vec<String> {
    let src = root().join(package).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 10, "the sources of {package} were not found");
    let mut found = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap();
        let room = room.trim_end_matches(".rs");
        if ["lib", "main"].contains(&room) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let upward = upward(room, &text, floors).into_iter();
        found.extend(upward.map(|what| format!("{}: {what}", inside.display())));
    }
    found
}

/// What of the rooms that `text` names stands on the floor of `room` or above.
fn upward(room: &str, text: &str, floors: &[&str]) -> Vec<String> {
    let floor = |name: &str| floors.iter().position(|&room| room == name);
    let mut found = Vec::new();
    for name in named_rooms(text) {
        match (floor(&name), floor(room)) {
            (_, None) => found.push(format!("{room} has no floor")),
            _ if name == room => {}
            (None, _) => found.push(format!("{room} uses {name}, which has no floor")),
            (Some(used), Some(user)) if used > user => {
                found.push(format!("{room} uses {name}"));
            }
            _ => {}
        }
    }
    found
}

/// The rooms in `crate::room…` and `crate::{room…, room…}`.
fn named_rooms(text: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut name = String::new();
            let mut taking = true;
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => {
                        rooms.extend((!name.is_empty()).then(|| std::mem::take(&mut name)));
                        taking = true;
                        continue;
                    }
                    c if depth == 1 && taking && is_name(c) => {
                        name.push(c);
                        continue;
                    }
                    c if c.is_whitespace() => continue,
                    _ => {}
                }
                taking = false;
                if depth == 0 {
                    break;
                }
            }
            rooms.extend((!name.is_empty()).then_some(name));
        } else {
            let name: String = rest.chars().take_while(|&c| is_name(c)).collect();
            rooms.extend((!name.is_empty()).then_some(name));
        }
    }
    rooms
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
