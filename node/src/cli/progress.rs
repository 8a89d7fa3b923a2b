//! Progress on a terminal; nothing at all where stderr is something else.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Redraws of what turns.
const TICK: Duration = Duration::from_millis(100);

/// Records out of a known number.
pub(crate) fn records(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    bar.set_style(style(
        "{bar:32} {human_pos}/{human_len} records  {per_sec}  {eta} left  {msg}",
    ));
    bar
}

/// Something of unknown length that is counted.
pub(crate) fn spinner(what: &'static str) -> ProgressBar {
    turning(what, "{spinner} {msg}  {human_pos} rows")
}

/// Bytes of unknown number.
pub(crate) fn bytes(what: &'static str) -> ProgressBar {
    turning(
        what,
        "{spinner} {msg}  {decimal_bytes}  {decimal_bytes_per_sec}",
    )
}

fn turning(what: &'static str, template: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_style(style(template));
    bar.set_message(what);
    if !bar.is_hidden() {
        bar.enable_steady_tick(TICK);
    }
    bar
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style
        .expect("the template is well-formed")
        .progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_templates_are_well_formed() {
        super::records(3).finish_and_clear();
        super::spinner("checking").finish_and_clear();
        super::bytes("exporting").finish_and_clear();
    }
}
