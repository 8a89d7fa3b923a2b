//! A file uses only what stands below it. The floors are those of
//! ARCHITECTURE.md, lowest first.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read the sources fails"
)]

mod sizes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PROTOCOLS: &[&str] = &[
    "backoff",
    "limits",
    "time",
    "id",
    "bucket",
    "number",
    "row",
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
    "base64",
    "object",
    "json_value",
    "times",
    "cell",
    "data_dir",
    "keys",
    "invite",
    "proof",
    "types",
    "query",
    "client",
];

const NODE: &[&str] = &[
    "failure", "spans", "wording", "import", "config", "keys", "aliases", "mark", "store",
    "instance", "handle", "net", "runtime", "api", "client", "cli",
];

/// Crates below `node` that are one room each: every file of them has a floor.
const WALLED: &[&str] = &["node/reading", "node/export"];

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

#[test]
fn no_files_go_in_a_circle() {
    for (package, rooms) in [
        ("protocols", PROTOCOLS),
        ("node/client", CLIENT),
        ("node", NODE),
    ] {
        for room in rooms {
            let found = circles_in(&sources_of(package, room));
            assert_eq!(found, Vec::<String>::new(), "{package}: {room}");
        }
    }
    for package in WALLED {
        let found = circles_in(&files_of(package));
        assert_eq!(found, Vec::<String>::new(), "{package}");
    }
}

#[test]
fn a_circle_of_files_is_found() {
    let files = [
        ("a", "use super::b::{self, Thing};\nuse crate::other::a;"),
        ("b", "use super::{c::Thing, d};"),
        ("c", "fn f() { crate::room::a::f() }"),
        (
            "d",
            "use super::Thing;\n#[cfg(test)]\nmod tests { use super::super::a; }",
        ),
        ("a/child", "use super::Thing;"),
    ];
    let files = files.map(|(name, text)| (module(&format!("room/{name}.rs")), text.to_owned()));
    let found = circles_in(&files);
    assert_eq!(
        found,
        [
            "room::a uses room::b",
            "room::b uses room::c",
            "room::c uses room::a"
        ]
    );
    assert_eq!(circles_in(&files[1..]), Vec::<String>::new());
}

/// What the rooms of the network want done is done with the swarm in one place.
#[test]
fn no_room_of_the_network_has_the_swarm() {
    let mut has = 0;
    for (module, text) in sources("net") {
        let is_its_own = module.get(1).is_some_and(|part| part == "swarm");
        let takes = text.contains("Swarm<Behaviour>");
        assert!(!takes || is_its_own, "{}", module.join("::"));
        has += usize::from(takes);
    }
    assert!(has > 0, "the swarm is called otherwise");
}

/// What is here of a stream, and what of it counts, is found out in one room.
#[test]
fn records_are_read_in_one_room() {
    let rooms = ["api", "client", "cli"].map(sources);
    let export = files_of("node/export");
    for (module, text) in rooms.iter().flatten().chain(&export) {
        assert!(!text.contains("History::new"), "{}", module.join("::"));
    }
}

/// An upload and a command read files alike.
#[test]
fn files_are_read_without_a_terminal_http_a_clock_or_the_node() {
    for (module, text) in sources("import") {
        for foreign in [
            "clap",
            "indicatif",
            "axum",
            "tokio",
            "libp2p",
            "wall_time",
            "::now()",
        ] {
            assert!(
                !text.contains(foreign),
                "{} has {foreign}",
                module.join("::")
            );
        }
    }
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
/// or C++ at all; nor does whoever changes a crate below `node`.
#[test]
fn what_stands_below_node_is_rust_and_has_no_store_and_no_swarm() {
    let lock = Lock::read();
    for package in ["headwater-client", "headwater-reading", "headwater-export"] {
        let needed = lock.needed_by(package);
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
            assert!(!needed.contains(heavy), "{package} needs {heavy}");
        }
        for light in ["headwater-protocols", "libp2p-identity"] {
            assert!(needed.contains(light), "{package}: {light}");
        }
    }
    assert!(lock.needed_by("headwater-client").contains("reqwest"));
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
                // What tells the time zone on Haiku compiles C++, there alone.
                if dependency == "iana-time-zone-haiku" {
                    continue;
                }
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

/// A file's place among the modules.
type Module = Vec<String>;

fn module(path: &str) -> Module {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// The files of a room of `node`, without their tests.
fn sources(room: &str) -> Vec<(Module, String)> {
    sources_of("node", room)
}

/// The files of a room, without their tests.
fn sources_of(package: &str, room: &str) -> Vec<(Module, String)> {
    let mut found = files_of(package);
    found.retain(|(module, _)| module[0] == room);
    assert!(!found.is_empty(), "there is no room {room}");
    found
}

/// The files of a package, without their tests.
fn files_of(package: &str) -> Vec<(Module, String)> {
    let src = root().join(package).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let files = files.iter().filter_map(|file| {
        let inside = file.strip_prefix(&src).unwrap().to_str().unwrap();
        (!inside.contains("tests")).then(|| {
            let text = fs::read_to_string(file).unwrap();
            (module(inside), without_tests(&text).to_owned())
        })
    });
    let found: Vec<_> = files.collect();
    assert!(found.len() > 5, "the sources of {package} were not found");
    found
}

/// Tests stand at the end of a file, or in one of their own.
pub(super) fn without_tests(text: &str) -> &str {
    const BEGIN: &str = "\n#[cfg(test)]\n";
    let is_inside = |at: &usize| {
        let line = text[at + BEGIN.len()..].lines().next().unwrap();
        line.contains("mod ") && line.contains('{')
    };
    let mut begins = text.match_indices(BEGIN).map(|(at, _)| at);
    &text[..begins.find(is_inside).unwrap_or(text.len())]
}

/// Which files use which, of those that stand in a circle or above one. A file and
/// those below it in its folder are one.
fn circles_in(files: &[(Module, String)]) -> Vec<String> {
    let modules: BTreeSet<&Module> = files.iter().map(|(module, _)| module).collect();
    let mut arrows = BTreeSet::new();
    for (user, text) in files {
        for path in paths(without_tests(text), user) {
            let used = (1..=path.len()).rev().map(|length| path[..length].to_vec());
            let used = used.into_iter().find(|prefix| modules.contains(prefix));
            let used = used.filter(|used| !used.starts_with(user) && !user.starts_with(used));
            arrows.extend(used.map(|used| (user.clone(), used)));
        }
    }
    loop {
        let users: BTreeSet<Module> = arrows.iter().map(|(user, _)| user.clone()).collect();
        let left: BTreeSet<_> = arrows
            .iter()
            .filter(|(_, used)| users.contains(used))
            .cloned()
            .collect();
        if left.len() == arrows.len() {
            break;
        }
        arrows = left;
    }
    let named =
        |(user, used): &(Module, Module)| format!("{} uses {}", user.join("::"), used.join("::"));
    arrows.iter().map(named).collect()
}

/// The paths that a file of this place names, from the root on.
fn paths(text: &str, place: &Module) -> Vec<Module> {
    let mut found = Vec::new();
    for (start, from) in [
        ("crate::", 0),
        ("self::", place.len()),
        ("super::", place.len() - 1),
    ] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            let is_start = before.is_none_or(|c| !c.is_alphanumeric() && !"_:".contains(c));
            if is_start {
                expand(
                    &text[at + start.len()..],
                    place[..from].to_vec(),
                    &mut found,
                );
            }
        }
    }
    found
}

/// The paths that begin with `before` and go on with this text.
fn expand(text: &str, mut before: Module, found: &mut Vec<Module>) {
    let text = text.trim_start();
    if let Some(list) = text.strip_prefix('{') {
        let (mut depth, mut from) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    expand(&list[from..at], before.clone(), found);
                    from = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    match name {
        "super" => drop(before.pop()),
        "self" | "" => {}
        name => before.push(name.to_owned()),
    }
    match rest.strip_prefix("::") {
        Some(rest) => expand(rest, before, found),
        None => found.push(before),
    }
}

pub(super) fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
