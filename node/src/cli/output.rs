//! What commands print: results on stdout, notes on stderr, colour on terminals
//! alone.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

use super::terminal::{columns, cut, harmless, harmless_json, width};
use crate::wording::printable_lines;
pub(crate) use crate::wording::{counted, grouped, printable};

/// Whoever read stdout has gone (`headwater tail … | head`): there is nothing
/// left to do, and nothing to complain of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stdout was closed")]
pub(crate) struct StdoutClosed;

/// Where a command's results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
    colour: bool,
    /// Whether stdout is one, which obeys what it is sent.
    terminal: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            json,
            colour: terminal && colour_is_wanted(),
            terminal,
        }
    }

    /// Prints a line of text.
    ///
    /// # Errors
    /// Stdout was closed, or its disk is full.
    pub(crate) fn line(self, text: impl Display) -> anyhow::Result<()> {
        let text = text.to_string();
        Self::write(|out| writeln!(out, "{}", harmless(&text)))
    }

    /// Prints a JSON value as one line.
    ///
    /// # Errors
    /// Stdout was closed, or its disk is full.
    pub(crate) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(value)?;
        if self.terminal {
            line = harmless_json(&line);
        }
        line.push('\n');
        Self::bytes(line.as_bytes())
    }

    /// Passes bytes on as they are.
    ///
    /// # Errors
    /// Stdout was closed, or its disk is full.
    pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
        Self::write(|out| out.write_all(bytes))
    }

    fn write(print: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match print(&mut out).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
            Err(error) => Err(anyhow::Error::new(error).context("cannot write to stdout")),
        }
    }

    /// Tells the user something that is no result.
    pub(crate) fn note(self, text: impl Display) {
        // Without stderr nobody is there to be told.
        let text = text.to_string();
        let _ = writeln!(io::stderr().lock(), "{}", harmless(&text));
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.styled("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.styled("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.styled("31", text)
    }

    fn styled(self, code: &str, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

fn colour_is_wanted() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !is_dumb && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

pub(crate) fn colour_on_stderr() -> bool {
    colour_is_wanted() && io::stderr().is_terminal()
}

/// Says why a command failed.
pub(crate) fn error(error: &anyhow::Error) {
    let label = match colour_on_stderr() {
        true => "\x1b[31merror:\x1b[0m",
        false => "error:",
    };
    // Without stderr nobody is there to be told.
    let error = printable_lines(&format!("{error:#}"));
    let _ = writeln!(io::stderr().lock(), "{label} {error}");
}

/// A path, in one line and with nothing in it that a terminal would obey.
pub(crate) fn shown_path(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
    /// On the left, and cut off where the line has no room for all of it.
    Cut,
}

/// Rows under a header, in aligned columns.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, the header first.
    pub(crate) fn lines(&self, output: Output) -> Vec<String> {
        self.lines_within(output, columns())
    }

    fn lines_within(&self, output: Output, room: Option<usize>) -> Vec<String> {
        let mut widths: Vec<usize> = (self.columns.iter().enumerate())
            .map(|(i, (name, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(i));
                cells
                    .map(|cell| width(cell))
                    .chain([width(name)])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        if let Some(room) = room {
            self.shrink(&mut widths, room);
        }
        let header: Vec<String> = self
            .columns
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let header = output.dim(&self.aligned(&header, &widths));
        let rows = self.rows.iter().map(|row| self.aligned(row, &widths));
        std::iter::once(header).chain(rows).collect()
    }

    /// Takes from the widest columns that may be cut until the lines have room.
    fn shrink(&self, widths: &mut [usize], room: usize) {
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(room);
        while over > 0 {
            let can_be_cut = |(i, wide): &(usize, &mut usize)| {
                self.columns[*i].1 == Align::Cut && **wide > NARROWEST
            };
            let cut = widths.iter_mut().enumerate().filter(can_be_cut);
            let Some((_, widest)) = cut.max_by_key(|(_, wide)| **wide) else {
                return;
            };
            *widest -= 1;
            over -= 1;
        }
    }

    fn aligned(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        let cells = cells.iter().zip(widths).zip(&self.columns);
        for (place, ((cell, &wide), (_, align))) in cells.enumerate() {
            if place > 0 {
                line.push_str(GAP);
            }
            let cell = match align {
                Align::Cut => cut(cell, wide),
                Align::Left | Align::Right => cell.into(),
            };
            let padding = " ".repeat(wide.saturating_sub(width(&cell)));
            match align {
                Align::Left | Align::Cut => line.extend([&*cell, &padding]),
                Align::Right => line.extend([&*padding, &cell]),
            }
        }
        line.trim_end().to_owned()
    }
}

/// What stands between two columns.
const GAP: &str = "  ";

/// A column is not cut to less.
const NARROWEST: usize = 8;

/// 210_944 → 210.9 kB.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{number} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// How long ago something was, in one unit.
pub(crate) fn ago(milliseconds: u64) -> String {
    match milliseconds / 1000 {
        0 => "just now".to_owned(),
        _ => format!("{} ago", span(milliseconds)),
    }
}

/// How long ago a head was signed, or how far it is dated ahead of our clock.
pub(crate) fn signed_ago(milliseconds: i64) -> String {
    match milliseconds {
        ..=-1_000 => format!("dated {} ahead", span(milliseconds.unsigned_abs())),
        _ => ago(u64::try_from(milliseconds).unwrap_or(0)),
    }
}

/// A time span in its largest unit.
pub(crate) fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The last eight characters of an id: all ids begin alike.
pub(crate) fn short(id: &str) -> &str {
    let start = id.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    &id[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Output = Output {
        json: false,
        colour: false,
        terminal: false,
    };

    #[test]
    fn columns_are_aligned_and_colour_takes_no_room() {
        let colour = Output {
            colour: true,
            ..PLAIN
        };
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("SIZE", Align::Right),
            ("", Align::Left),
        ]);
        table.row(["wind".to_owned(), "8,759".to_owned(), colour.good("synced")]);
        table.row(["temperature".to_owned(), "1".to_owned(), String::new()]);
        assert_eq!(
            table.lines(PLAIN),
            [
                "NAME          SIZE",
                "wind         8,759  \x1b[32msynced\x1b[0m",
                "temperature      1",
            ]
        );
        assert_eq!(table.lines(colour)[0], "\x1b[2mNAME          SIZE\x1b[0m");
    }

    #[test]
    fn wide_characters_stand_under_each_other() {
        let mut table = Table::new(&[("NAME", Align::Cut), ("SIZE", Align::Right)]);
        for name in ["温度", "🌊", "wind"] {
            table.row([name.to_owned(), "1".to_owned()]);
        }
        let lines = table.lines_within(PLAIN, None);
        assert_eq!(
            lines,
            ["NAME  SIZE", "温度     1", "🌊       1", "wind     1"]
        );
        assert!(lines.iter().all(|line| width(line) == 10));
    }

    #[test]
    fn a_table_keeps_to_the_columns_that_there_are() {
        let mut table = Table::new(&[
            ("NAME", Align::Cut),
            ("ID", Align::Left),
            ("DESCRIPTION", Align::Cut),
        ]);
        table.row(["wind", "5q7eaavvu", "at the pier, 10 m above the water"].map(str::to_owned));
        let lines = |room| table.lines_within(PLAIN, Some(room));
        assert_eq!(
            lines(80)[1],
            "wind  5q7eaavvu  at the pier, 10 m above the water"
        );
        assert_eq!(lines(35)[1], "wind  5q7eaavvu  at the pier, 10 m…");
        // What names the stream stays, whatever the room.
        assert_eq!(lines(3)[1], "wind  5q7eaavvu  at the …");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(210_944), "210.9 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(u64::MAX), "18446.7 PB");
        assert_eq!(ago(999), "just now");
        assert_eq!(ago(119_999), "119 s ago");
        assert_eq!(ago(172_800_000), "2 days ago");
        assert_eq!(short("bafkreif3"), "afkreif3");
        assert_eq!(short("°C"), "°C");
    }
}
