//! What terminals, spreadsheets and shells get.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use headwater_tests::{TestNode, USAGE, binary};
use serde_json::{Value, json};

use super::{ensure_says, json_lines, path};

/// Clears the screen, and sets the title.
const CODES: &str = "calm\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}1m, 温度";

/// A stream of texts with one value.
fn texts(node: &TestNode, name: &str, value: &str) -> Result<String> {
    let created = node.json(&["stream", "create", name, "--value-type", "text"])?;
    node.run(&["publish", name, value, "--time", "2024-05-01T12:00:00Z"])?;
    Ok(created["id"].as_str().unwrap_or_default().to_owned())
}

/// What a command writes to a terminal, and with which status it ends.
fn on_terminal(node: &TestNode, columns: &str, args: &[&str]) -> Result<(bool, String)> {
    typed_on_terminal(node, columns, args, "")
}

/// The same, where somebody types this.
fn typed_on_terminal(
    node: &TestNode,
    columns: &str,
    args: &[&str],
    typed: &str,
) -> Result<(bool, String)> {
    let quoted = args.iter().map(|arg| format!(" '{arg}'"));
    let line = format!(
        "{} --data-dir {}{}",
        binary().display(),
        node.dir().display(),
        quoted.collect::<String>()
    );
    let mut script = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("HEADWATER_MARK_DIR", node.mark_dir())
        .env("TERM", "xterm")
        .env("COLUMNS", columns)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut keyboard = script.stdin.take().context("no stdin")?;
    keyboard.write_all(typed.as_bytes())?;
    drop(keyboard);
    let output = script.wait_with_output()?;
    Ok((output.status.success(), String::from_utf8(output.stdout)?))
}

#[test]
fn a_terminal_gets_nothing_to_obey_and_files_and_pipes_get_the_bytes() -> Result<()> {
    let node = TestNode::new()?;
    let id = texts(&node, "sky", CODES)?;
    let file = path(&node, "sky.csv")?;
    let colours = [
        "\u{1b}[2m",
        "\u{1b}[0m",
        "\u{1b}[1m",
        "\u{1b}[31m",
        "\u{1b}[32m",
    ];
    for args in [
        &["export", "sky"][..],
        &["export", "sky", "--format", "ndjson"],
        &["export", "sky", "--json"],
        &["join", "sky"],
        &["tail", "sky"],
        &["tail", "sky", "--json"],
        &["prove", "sky", "0"],
        &["show", "sky"],
        &["show", "sky\u{1b}[2J"],
        &["publish", "sky\u{1b}[2J", "1"],
        &["verify", "/nonexistent\u{1b}[2J"],
    ] {
        let (_, shown) = on_terminal(&node, "200", args)?;
        let plain = colours
            .iter()
            .fold(shown, |shown, code| shown.replace(code, ""));
        let obeyed = |c: char| c.is_control() && !"\r\n\t".contains(c);
        ensure!(!plain.contains(obeyed), "{args:?}: {plain:?}");
        ensure!(!plain.is_empty(), "{args:?}");
    }
    let (_, shown) = on_terminal(&node, "200", &["tail", "sky", "--json"])?;
    let shown: Value = serde_json::from_str(shown.trim())?;
    ensure!(shown["value"] == CODES, "{shown}");
    let (_, shown) = on_terminal(&node, "200", &["export", "sky"])?;
    ensure_says(&shown, &["\\u{1b}[2J", "\\u{9b}1m, 温度"])?;

    let expected = format!("\"{CODES}\"\n");
    ensure!(node.export("sky")?.ends_with(&expected));
    node.run(&["export", "sky", "-o", &file])?;
    ensure!(fs::read_to_string(&file)?.ends_with(&expected));
    ensure!(json_lines(&node.run(&["export", &id, "--json"])?)?[0]["value"] == CODES);
    Ok(())
}

#[test]
fn the_name_of_a_file_is_nothing_to_obey_either() -> Result<()> {
    const RED: &str = "x\u{1b}[31m\n\u{1b}[2Jy";
    let node = TestNode::new()?;
    texts(&node, "sky", "calm")?;
    let file = path(&node, RED)?;
    let key = path(&node, &format!("key{RED}"))?;
    let missing = path(&node, &format!("missing{RED}"))?;
    for args in [
        &["export", "sky", "-o", &file][..],
        &["prove", "sky", "0", "-o", &file],
        &["join", "sky", "-o", &file],
        &["network", "new", &key],
        &["verify", &file],
        &["import", &missing, "--check"],
        &["publish", "sky", "--file", &missing, "--ndjson"],
        &["--data-dir", &missing, "init"],
        &["--data-dir", &missing, "init"],
    ] {
        let output = node.command(args)?;
        for bytes in [output.stdout, output.stderr] {
            let said = String::from_utf8(bytes)?;
            ensure!(!said.contains('\u{1b}'), "{args:?}: {said:?}");
        }
    }
    let said = node.run(&["export", "sky", "-o", &file])?;
    ensure_says(&said, &["\\u{1b}[31m\\u{a}"])
}

#[test]
fn what_is_not_clear_is_asked_on_a_terminal_alone() -> Result<()> {
    let node = TestNode::new()?;
    node.create("days")?;
    let file = path(&node, "days.csv")?;
    let publish = [
        "publish",
        "days",
        "--file",
        &file,
        "--time-column",
        "ts",
        "--value-column",
        "value",
    ];
    let size = || Ok::<_, anyhow::Error>(node.show("days")?["size"].as_u64());
    fs::write(
        &file,
        "ts,value\n2024-05-01,1\n2024-05-02,x\n2024-05-03,3\n",
    )?;
    for no in ["n\n", "\n", "perhaps\n"] {
        let (done, said) = typed_on_terminal(&node, "200", &publish, no)?;
        ensure!(!done && size()? == Some(0), "{said}");
        ensure_says(
            &said,
            &["1 bad row", "(--skip-bad)? [y/N]", "nothing was published"],
        )?;
    }
    let (done, said) = typed_on_terminal(&node, "200", &publish, "y\n")?;
    ensure!(done && size()? == Some(2), "{said}");
    // One question behind the other, and none that a flag answers.
    fs::write(
        &file,
        "ts,value\n2024-05-01,1\n2024-05-03,3\n2024-05-04,4\n2024-05-05,x\n",
    )?;
    let (done, said) = typed_on_terminal(&node, "200", &publish, "yes\ny\n")?;
    ensure!(done && size()? == Some(3), "{said}");
    ensure_says(&said, &["(--skip-bad)? [y/N]", "(--resume)? [y/N]"])?;
    let with_flag = [&publish[..], &["--skip-bad", "--resume"]].concat();
    let (done, said) = typed_on_terminal(&node, "200", &with_flag, "")?;
    ensure!(done && !said.contains("[y/N]"), "{said}");
    // A program is not asked.
    let as_json = [&publish[..], &["--json"]].concat();
    let (done, said) = typed_on_terminal(&node, "200", &as_json, "y\n")?;
    ensure!(
        !done && !said.contains("[y/N]") && size()? == Some(3),
        "{said}"
    );
    ensure!(!node.fails(&publish)?.contains("[y/N]"));

    let comma = path(&node, "comma.csv")?;
    fs::write(&comma, "ts,value\n2024-05-01,\"1,5\"\n2024-05-02,\"2,5\"\n")?;
    let (done, said) = typed_on_terminal(
        &node,
        "200",
        &["import", &comma, "--create", "comma"],
        "y\n",
    )?;
    ensure!(done, "{said}");
    ensure_says(&said, &["(--decimal-comma)? [y/N]"])?;
    ensure!(node.show("comma")?["value_type"] == "number");
    Ok(())
}

#[test]
fn a_dumb_terminal_gets_no_colours_and_tables_keep_to_the_columns() -> Result<()> {
    let node = TestNode::new()?;
    for name in ["温度 am Hafen, 2 m über dem Wasser, gemittelt", "🌊 height"] {
        node.create(name)?;
    }
    let wide = node.run(&["list"])?;
    let ids = |list: &str| {
        // Where the second column begins, in columns of a terminal.
        list.lines()
            .skip(1)
            .filter_map(|line| {
                line.split("  ")
                    .find(|cell| cell.len() == 8)
                    .map(str::to_owned)
            })
            .collect::<Vec<_>>()
    };
    ensure!(
        wide.contains("gemittelt") && ids(&wide).len() == 2,
        "{wide}"
    );
    let (_, narrow) = on_terminal(&node, "80", &["list"])?;
    ensure!(
        narrow.contains('…') && !narrow.contains("gemittelt"),
        "{narrow}"
    );
    for id in ids(&wide) {
        ensure!(narrow.contains(&id), "{narrow}");
    }
    ensure!(narrow.contains("\u{1b}[2m"), "{narrow}");
    let dumb = Command::new("script")
        .args([
            "-qec",
            &format!(
                "{} --data-dir {} list",
                binary().display(),
                node.dir().display()
            ),
            "/dev/null",
        ])
        .env("HEADWATER_MARK_DIR", node.mark_dir())
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .output()?;
    let dumb = String::from_utf8(dumb.stdout)?;
    ensure!(!dumb.contains('\u{1b}') && dumb.contains("NAME"), "{dumb}");
    Ok(())
}

#[test]
fn a_spreadsheet_runs_nothing_of_a_safe_csv() -> Result<()> {
    let node = TestNode::new()?;
    texts(&node, "=sky", "=cmd|'/c calc'!A0")?;
    let output = node.command(&["export", "=sky", "--safe-csv"])?;
    let csv = String::from_utf8(output.stdout)?;
    ensure!(csv.ends_with(",'=cmd|'/c calc'!A0\n"), "{csv}");
    ensure_says(&String::from_utf8(output.stderr)?, &["not what was signed"])?;
    let csv = node.run(&["join", "=sky", "--safe-csv"])?;
    ensure!(
        csv.starts_with("time,'=sky\n") && csv.contains(",'=cmd"),
        "{csv}"
    );
    ensure!(node.export("=sky")?.ends_with(",=cmd|'/c calc'!A0\n"));
    let file = path(&node, "file")?;
    for wrong in [
        &["export", "=sky", "--safe-csv", "--with-proof", "-o", &file][..],
        &["export", "=sky", "--safe-csv", "--format", "ndjson"],
        &["export", "=sky", "--safe-csv", "--json"],
        &["export", "=sky", "--format", "csv", "--json"],
    ] {
        node.fails_with(USAGE, wrong)?;
    }
    Ok(())
}

#[test]
fn numbers_with_a_sign_and_times_are_taken_where_they_are_meant() -> Result<()> {
    let node = TestNode::new()?;
    node.create("x")?;
    node.run(&["publish", "x", "-.5", "--time", "2024-05-01T12:00:00Z"])?;
    node.run(&["publish", "x", "-3", "--time", "2024-05-01T13:00:00Z"])?;
    let last = json_lines(&node.run(&["tail", "x", "-n", "-1", "--json"])?)?;
    ensure!(last.len() == 1 && last[0]["value"] == -3, "{last:?}");
    for (time, index) in [
        ("2024-05-01T12:00:00Z", 0),
        ("2024-05-01T12:59:59Z", 0),
        ("2024-05-02T00:00:00Z", 1),
    ] {
        let proof: Value = serde_json::from_str(&node.run(&["prove", "x", time])?)?;
        ensure!(proof["index"] == index, "{time}: {proof}");
    }
    node.fails(&["prove", "x", "2023-01-01T00:00:00Z"])?;
    node.fails_with(USAGE, &["prove", "x", "soon"])?;
    node.fails_with(USAGE, &["tail", "x", "-n", "-f"])?;
    node.fails_with(USAGE, &["publish", "x", "-.x"])?;
    Ok(())
}

#[test]
fn what_stands_beside_a_proof_is_refused() -> Result<()> {
    let node = TestNode::new()?;
    let id = node.create("x")?;
    node.run(&["publish", "x", "1.5"])?;
    let file = path(&node, "proof.json")?;
    node.run(&["prove", "x", "0", "-o", &file])?;
    node.run(&["verify", &file, "--stream", &id])?;
    let text = fs::read_to_string(&file)?;
    let mut proof: Value = serde_json::from_str(&text)?;
    proof["value"] = json!("999.9");
    fs::write(&file, proof.to_string())?;
    let said = node.fails(&["verify", &file, "--stream", &id])?;
    ensure_says(&said, &["`value`"])?;
    fs::write(&file, text.replacen('{', "{\"index\": 7,", 1))?;
    let said = node.fails(&["verify", &file, "--stream", &id])?;
    ensure_says(&said, &["duplicate", "`index`"])
}
