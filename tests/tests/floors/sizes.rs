//! How long a file and a function may be: what is longer has more than one noun.

use std::fs;

use super::{collect, root, without_tests};

/// Lines of a file, its own tests included.
const FILE_LINES: usize = 600;

/// Lines of a function, from `fn` to its end.
const FUNCTION_LINES: usize = 80;

#[test]
fn no_file_is_longer_than_600_lines_and_no_function_than_80() {
    let mut long = Vec::new();
    let mut functions = 0;
    for package in [
        "protocols",
        "node/client",
        "node/reading",
        "node/export",
        "node",
    ] {
        let src = root().join(package).join("src");
        let mut files = Vec::new();
        collect(&src, &mut files);
        for file in files {
            let inside = file.strip_prefix(root()).unwrap().display().to_string();
            if inside.contains("tests") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let lines = text.lines().count();
            if lines > FILE_LINES {
                long.push(format!("{inside}: {lines} lines"));
            }
            for (name, lines) in lengths(without_tests(&text)) {
                functions += 1;
                if lines > FUNCTION_LINES {
                    long.push(format!("{inside}: {name} has {lines} lines"));
                }
            }
        }
    }
    assert_eq!(long, Vec::<String>::new());
    assert!(functions > 3_000, "{functions} functions were found");
}

#[test]
fn the_lines_of_a_function_are_counted_whatever_stands_in_its_texts() {
    let text = r##"
/// fn not_one() {
trait Named {
    fn name(&self) -> [u8; 4];
    fn short(&self) -> char { '{' }
}

fn long<'a>(
    text: &'a str,
) -> &'a str {
    // }
    let brace = "\"}";
    let other = r#"" } "#;
    match text {
        _ => brace,
    }
}
"##;
    let found = lengths(text);
    assert_eq!(found, [("short".to_owned(), 1), ("long".to_owned(), 10)]);
}

/// The functions of a text, each with its lines.
fn lengths(text: &str) -> Vec<(String, usize)> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at..];
        let name = rest["fn ".len()..].split(|c: char| !c.is_alphanumeric() && c != '_');
        let name = name.into_iter().next().unwrap_or_default();
        if let Some(end) = end_of_function(rest).filter(|_| !name.is_empty()) {
            let lines = rest[..end].matches('\n').count() + 1;
            found.push((name.to_owned(), lines));
        }
    }
    found
}

/// Where a function ends that begins here; `None` if it has no body, or is a type.
fn end_of_function(code: &str) -> Option<usize> {
    let (mut brackets, mut braces) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' if braces == 0 => brackets += 1,
            ')' | ']' if braces == 0 => brackets -= 1,
            ';' if brackets == 0 && braces == 0 => return None,
            '{' if brackets == 0 => braces += 1,
            '}' if braces > 1 => braces -= 1,
            '}' if braces == 1 => return Some(at),
            _ => {}
        }
    }
    None
}

/// A text without its comments, strings and characters, line by line.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let left_out = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => end_of_string(rest),
            'r' if !code.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                end_of_raw_string(rest).unwrap_or(0)
            }
            '\'' => end_of_character(rest).unwrap_or(0),
            _ => 0,
        };
        if left_out == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..left_out].chars().filter(|&c| c == '\n'));
            rest = &rest[left_out..];
        }
    }
    code
}

fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The end of `r"…"` or `r#"…"#`.
fn end_of_raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    let inside = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end)?;
    Some(text.len() - inside.len() + length + end.len())
}

/// The end of `'…'`; `None` for a lifetime.
fn end_of_character(text: &str) -> Option<usize> {
    let inside = &text[1..];
    let first = inside.chars().next()?;
    let length = match first {
        '\\' => 1 + inside[1..].chars().next()?.len_utf8(),
        _ => first.len_utf8(),
    };
    let end = match inside.starts_with("\\u") {
        true => inside.find('\'')?,
        false => length,
    };
    inside[end..].starts_with('\'').then_some(1 + end + 1)
}
