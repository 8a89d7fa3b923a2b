//! The README runs word for word, in order, on a first and on a second node; and
//! what documents name is there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::{binary, python};
use tokio::process::Command;
use tokio::time::timeout;

/// How long all of it may take; its slowest part waits for peers.
const PATIENCE: Duration = Duration::from_secs(400);

/// What stands for something that only its reader has, and what the test puts
/// there.
const PLACEHOLDERS: [(&str, &str); 3] = [
    ("'headwater:bafk…?peer=/ip4/…'", "\"$invite\""),
    ("follow bafk…", "follow \"$wind\""),
    ("--stream bafk…", "--stream \"$temperature\""),
];

/// What is done around the README's lines.
const BEGIN: &str = r#"
set -euo pipefail
ip link set lo up
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
until_runs() { # folder
    for _ in $(seq 600); do [[ -s $1/api.addr ]] && return; sleep 0.1; done
    echo "no node runs on $1" >&2; exit 1
}
until_predicted() {
    for _ in $(seq 600); do
        headwater show temperature-predicted >/dev/null 2>&1 && return; sleep 0.1
    done
    echo "nothing is predicted" >&2; exit 1
}
of_stream() { headwater show "$1" | grep -o "$2" | head -n 1; }
"#;

/// The lines of the README's blocks of shell code that begin behind this heading.
fn blocks(readme: &str, heading: &str) -> Result<Vec<Vec<String>>> {
    let (_, behind) = readme.split_once(heading).context("no such heading")?;
    let blocks = behind.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split_once("```"));
    Ok(blocks
        .map(|(lines, _)| lines.lines().map(str::to_owned).collect())
        .collect())
}

/// A line as it is run: with what its reader has, and beside the next ones if it
/// does not end by itself.
fn run(line: &str, has_pandas: bool) -> Result<String> {
    let mut line = line.to_owned();
    for (placeholder, value) in PLACEHOLDERS {
        line = line.replace(placeholder, value);
    }
    ensure!(!line.contains('…'), "what is to be put in `{line}`?");
    let command = line.split('#').next().unwrap_or_default().trim();
    if command.contains("--table") && !has_pandas {
        return Ok(format!(
            "{} # without pandas",
            command.replace("--table", "")
        ));
    }
    let ends = !command.starts_with("headwater run")
        && (!command.contains("predict.py") || command.contains("--once"));
    Ok(match (ends, command.starts_with("headwater run")) {
        (true, _) => line,
        (false, true) => format!(
            "{command} &\nuntil_runs \"${{HEADWATER_DATA_DIR:-$HOME/.local/share/headwater}}\""
        ),
        (false, false) => format!("{command} &\nengine=$!\nuntil_predicted\nkill $engine"),
    })
}

fn script(readme: &str, has_pandas: bool) -> Result<String> {
    let blocks = blocks(readme, "## By hand")?;
    let [first, created, second, followed, rest @ ..] = blocks.as_slice() else {
        bail!("the README has too few blocks");
    };
    let mut script = BEGIN.to_owned();
    let mut put = |block: &[String]| -> Result<()> {
        for line in block {
            script.push_str(&run(line, has_pandas)?);
            script.push('\n');
        }
        Ok(())
    };
    put(first)?;
    put(created)?;
    put(&[
        "invite=$(of_stream temperature \"headwater:bafk[^']*\")",
        "temperature=$(of_stream temperature 'bafk[a-z2-7]*')",
        "wind=$(of_stream wind 'bafk[a-z2-7]*')",
    ]
    .map(str::to_owned))?;
    put(second)?;
    put(followed)?;
    // What stands behind it is about one node, whichever that is.
    rest.iter().try_for_each(|block| put(block))?;
    put(&["unset HEADWATER_DATA_DIR".to_owned()])?;
    rest.iter().try_for_each(|block| put(block))?;
    Ok(script)
}

#[tokio::test]
async fn the_readme_runs_word_for_word_on_two_nodes() -> Result<()> {
    // Its ports are fixed ones, so that it needs a network of its own.
    let may = Command::new("unshare").args(["-n", "true"]).status().await;
    if !may.is_ok_and(|status| status.success()) {
        let why = "no network namespace can be made here";
        ensure!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let readme = fs::read_to_string(root.join("README.md"))?;
    let python = python::program("python")?;
    let script = script(&readme, python.is_some())?;
    let folder = tempfile::tempdir()?;
    let (home, here) = (folder.path().join("home"), folder.path().join("here"));
    for dir in [&home, &here, &folder.path().join("bin")] {
        fs::create_dir(dir)?;
    }
    symlink(binary(), folder.path().join("bin/headwater"))?;
    for part in ["tests", "scripts"] {
        symlink(root.join(part), here.join(part))?;
    }
    let mut path = folder.path().join("bin").into_os_string();
    let beside = python.as_deref().and_then(Path::parent);
    for part in beside.into_iter().chain([Path::new("/usr/sbin")]) {
        path.push(":");
        path.push(part);
    }
    path.push(":");
    path.push(std::env::var_os("PATH").context("no PATH")?);
    let mut command = Command::new("unshare");
    command
        .args(["-n", "bash", "-c", &script])
        .current_dir(&here)
        .env("HOME", &home)
        .env("PATH", path)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for variable in [
        "HEADWATER_DATA_DIR",
        "HEADWATER_MARK_DIR",
        "XDG_DATA_HOME",
        "XDG_STATE_HOME",
        "DISPLAY",
    ] {
        command.env_remove(variable);
    }
    let output = timeout(PATIENCE, command.output())
        .await
        .context("it takes too long")??;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{script}\n---\n{said}\n---\n{errors}"
    );
    let table = fs::read_to_string(here.join("weather.csv"))?;
    ensure!(
        table.starts_with("time,temperature,wind\n") && table.contains(",11.5,3.5"),
        "{table}"
    );
    ensure!(said.contains("the proof holds"), "{said}");
    Ok(())
}

#[test]
fn every_script_that_the_readme_names_is_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md"))?;
    let words = readme.split(|c: char| c.is_whitespace() || "`()[]".contains(c));
    let mut named: Vec<&str> = words.filter(|word| word.starts_with("scripts/")).collect();
    named.sort_unstable();
    named.dedup();
    ensure!(named.len() > 5, "{named:?}");
    for name in named {
        ensure!(root.join(name).exists(), "{name}");
    }
    Ok(())
}

/// Where files are named from.
const ROOMS: [&str; 6] = [
    "docs/",
    "node/",
    "proto/",
    "protocols/",
    "scripts/",
    "tests/",
];

#[test]
fn every_file_that_tells_where_something_lives_is_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for document in ["CONTRIBUTING.md", "docs/glossary.md"] {
        let text = fs::read_to_string(root.join(document))?;
        // What stands between backticks, and is a path and nothing else.
        let named = text.split('`').skip(1).step_by(2);
        let is_path = |name: &&str| {
            ROOMS.iter().any(|room| name.starts_with(room)) && !name.contains([' ', '…'])
        };
        let mut named: Vec<&str> = named.filter(is_path).collect();
        named.sort_unstable();
        named.dedup();
        ensure!(named.len() > 50, "{document} names {}", named.len());
        for name in named {
            ensure!(root.join(name).exists(), "{document}: {name}");
        }
    }
    Ok(())
}
