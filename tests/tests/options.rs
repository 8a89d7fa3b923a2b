//! An option of the node is said in few places: its field with its default, what
//! is refused, what uses it, and what explains it. Whatever else has to say its name
//! (a struct that hands it on, a list of flags) would have to be changed with it.
//!
//! Counted are, where the option has its field, each item that names it; elsewhere
//! each struct of settings that has it again, and each file that reads it; the
//! template of config.toml and the documents, together, as one; each script that sets
//! it in a file. Sentences that name it to a user are not.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read the sources fails"
)]

use std::fs;

use super::floors::{collect, root, without_tests};

/// Places in which an option may be said.
const MOST_PLACES: usize = 5;

/// The files that have options, as fields with their defaults.
const HOMES: [&str; 3] = ["config.rs", "config/api.rs", "config/relay.rs"];

/// What options are read from.
const OWNERS: [&str; 5] = ["config", "options", "args", "limits", "settings"];

#[test]
fn an_option_is_said_in_at_most_five_places() {
    let sources = sources();
    let options = options(&sources);
    assert!(options.len() > 25, "{options:?}");
    let template = root().join("node/src/config/template.toml");
    let template = fs::read_to_string(template).unwrap();
    for option in &options {
        let mut places = said_in(option, &sources);
        assert!(places.len() > 1, "nobody uses {option}: {places:?}");
        assert!(is_set(&template, &option.name), "{option} is not explained");
        places.push("the documents".to_owned());
        places.extend(scripts_that_set(&option.name));
        assert!(places.len() <= MOST_PLACES, "{option}: {places:?}");
    }
}

#[test]
fn an_option_that_is_handed_on_is_found() {
    let home = "
pub struct Config {
    /// Peers that are enough.
    pub min_peers: usize,
}
impl Config {
    fn check(&self) -> bool {
        self.min_peers < MOST
    }
    fn other(&self) {
        // Not of min_peers.
        say(\"min_peers\");
    }
}";
    let user = "
struct RunArgs {
    min_peers: Option<usize>,
}
struct View {
    min_peers: usize,
}
fn start(config: &Config) {
    let peers = config.min_peers;
    config.min_peers();
}";
    let sources = [("config.rs", home), ("cli/run.rs", user)];
    let sources = sources.map(|(file, text)| (file.to_owned(), bare(text)));
    let option = Opt {
        home: "config.rs".to_owned(),
        name: "min_peers".to_owned(),
    };
    let expected = [
        "config.rs: Config",
        "config.rs: check",
        "cli/run.rs: RunArgs",
        "cli/run.rs",
    ];
    assert_eq!(said_in(&option, &sources), expected);
}

/// A field of the node's options.
#[derive(Debug)]
struct Opt {
    home: String,
    name: String,
}

impl std::fmt::Display for Opt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(f)
    }
}

/// All options, but not the tables that have some.
fn options(sources: &[(String, String)]) -> Vec<Opt> {
    let homes = (sources.iter()).filter(|(file, _)| HOMES.contains(&file.as_str()));
    let of_home = |(home, text): &(String, String)| {
        let fields = text.lines().filter_map(|line| {
            let (field, rest) = line.strip_prefix("        pub ")?.split_once(": ")?;
            let (kind, _default) = rest.split_once(" = ")?;
            let is_table = kind.ends_with("Options") || kind.ends_with("Limits");
            (!is_table).then(|| Opt {
                home: home.clone(),
                name: field.to_owned(),
            })
        });
        fields.collect::<Vec<_>>()
    };
    homes.flat_map(of_home).collect()
}

/// Where the code says an option: at home each item that names it, elsewhere each
/// struct of settings that has it, and each file that reads it.
fn said_in(option: &Opt, sources: &[(String, String)]) -> Vec<String> {
    let mut places = Vec::new();
    let naming = sources
        .iter()
        .filter(|(_, text)| text.contains(&option.name));
    for (file, text) in naming {
        if *file == option.home {
            let items = items(text).into_iter();
            let saying = items.filter(|item| item.words().any(|(_, word)| word == option.name));
            places.extend(saying.map(|item| format!("{file}: {}", item.name)));
        } else if !file.starts_with("config") {
            let structs = items(text).into_iter().filter(Item::has_settings);
            let having = structs.filter(|item| item.has_field(&option.name));
            places.extend(having.map(|item| format!("{file}: {}", item.name)));
            places.extend(reads(text, &option.name).then(|| file.clone()));
        }
    }
    places
}

/// A function, struct or constant.
struct Item<'a> {
    name: &'a str,
    is_struct: bool,
    /// With what stands above it.
    text: String,
}

impl Item<'_> {
    fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        words(&self.text)
    }

    /// Whether it carries what a user may choose: from the command line, or by its
    /// name.
    fn has_settings(&self) -> bool {
        let endings = ["Config", "Options", "Args", "Settings", "Limits", "Bounds"];
        let is_named_so = endings.iter().any(|ending| self.name.ends_with(ending));
        let derives = (self.text.lines()).filter(|line| line.contains("derive("));
        let mut derived = derives.flat_map(words);
        self.is_struct && (is_named_so || derived.any(|(_, word)| word == "Args"))
    }

    fn has_field(&self, name: &str) -> bool {
        let is_it = |(at, word): (usize, &str)| {
            word == name && self.text[at + word.len()..].starts_with(':')
        };
        self.words().any(is_it)
    }
}

/// The items of a file, methods among them.
fn items(text: &str) -> Vec<Item<'_>> {
    let mut items = Vec::<Item<'_>>::new();
    let mut above = String::new();
    for line in text.lines() {
        if let Some((keyword, name)) = begun(line) {
            items.push(Item {
                name,
                is_struct: keyword == "struct",
                text: String::new(),
            });
        }
        above.push_str(line);
        above.push('\n');
        if line.trim_start().starts_with("#[") {
            // It may be of the next item.
            continue;
        }
        match items.last_mut() {
            Some(item) => item.text.push_str(&std::mem::take(&mut above)),
            None => above.clear(),
        }
    }
    items
}

/// What begins in a line, and its name.
fn begun(line: &str) -> Option<(&str, &str)> {
    let indent = line.len() - line.trim_start().len();
    let mut words = words(line).map(|(_, word)| word);
    let kinds = ["fn", "struct", "enum", "const", "static", "type"];
    let modifiers = ["pub", "crate", "super", "in", "net", "async"];
    let first = words.find(|word| !modifiers.contains(word))?;
    let next = words.next()?;
    match (indent, first, next) {
        (0 | 4, "const", "fn") => Some(("fn", words.next()?)),
        (0 | 4, kind, name) if kinds.contains(&kind) => Some((kind, name)),
        _ => None,
    }
}

/// Whether a text reads the field from something that has options.
fn reads(text: &str, field: &str) -> bool {
    let mut before = ("", 0);
    words(text).any(|(at, word)| {
        let (owner, end) = before;
        before = (word, at + word.len());
        let is_field = text[end..at] == *"." && !text[at + word.len()..].starts_with('(');
        word == field && is_field && OWNERS.contains(&owner)
    })
}

/// The words of a text, with their places.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_in_word = |c: char| c.is_alphanumeric() || c == '_';
    let pieces = text.split(move |c: char| !is_in_word(c));
    let begin = text.as_ptr() as usize;
    let pieces = pieces.map(move |piece| (piece.as_ptr() as usize - begin, piece));
    pieces.filter(|(_, piece)| !piece.is_empty())
}

/// Code without comments and without what stands between quotes.
fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => quoted(rest),
            // A letter, and not a lifetime.
            '\'' if rest.starts_with("'\"'") => 3,
            _ => {
                bare.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    bare
}

/// The length of what begins with a quote, with the one at its end.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

/// Whether a file of options sets one, be it in a comment.
fn is_set(text: &str, option: &str) -> bool {
    text.lines().any(|line| {
        let said = line.trim_start_matches(['#', ' ']).split_once(" = ");
        said.is_some_and(|(name, _)| name.rsplit('.').next() == Some(option))
    })
}

fn scripts_that_set(option: &str) -> Vec<String> {
    let files = fs::read_dir(root().join("scripts")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let setting = files.filter(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        is_set(&text, option)
    });
    setting.map(|file| file.display().to_string()).collect()
}

/// The files of the node, bare, without their tests.
fn sources() -> Vec<(String, String)> {
    let src = root().join("node/src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let named = files.iter().map(|file| {
        let inside = file.strip_prefix(&src).unwrap().to_str().unwrap();
        let text = fs::read_to_string(file).unwrap();
        (inside.to_owned(), bare(without_tests(&text)))
    });
    named.filter(|(file, _)| !file.contains("tests")).collect()
}
