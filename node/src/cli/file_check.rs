//! Files are read to their end before anything of them is published.

use anyhow::{anyhow, ensure};
use headwater_client::times::soon;
use headwater_client::times::text::to_text;
use headwater_client::types::Gaps;
use headwater_export::GapFinder;

use super::coming_rows::ComingRows;
use super::file_form::FileForm;
use super::limits::MAX_ROWS_AHEAD;
use super::progress;
use crate::import::file_overlaps::{Overlap, Overlaps};
use crate::import::file_range::Range;
use crate::import::file_repeats::{Repeated, Repeats};
use crate::import::file_source::Fingerprint;
use crate::import::read_ahead::read_ahead;
use crate::import::rows::{BadRows, RowError, RowNotes};
use crate::import::unclear::{Flag, unclear};
use crate::import::value::ValueRules;
use crate::runtime::wall_time;

/// What files hold.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) good: u64,
    pub(super) bad: BadRows,
    /// What was done to rows that were not quite as they are kept.
    pub(super) notes: Vec<String>,
    /// What the times of the rows say that are to be published.
    pub(super) times: Gaps,
    /// From where to where these rows go.
    pub(super) range: Range,
    /// Those of them that lie ahead of us, as far as they are looked at.
    pub(super) ahead: ComingRows,
    /// The first file that does not lie behind those before it.
    overlap: Option<Overlap>,
    /// Rows that are there twice.
    pub(super) repeated: Option<Repeated>,
    /// Shows whether they were changed since.
    fingerprints: Vec<Fingerprint>,
}

/// What is done with the rows that are checked.
#[derive(Debug)]
pub(super) struct Looking {
    pub(super) finder: GapFinder,
    /// So many of them are in the stream already.
    pub(super) skip: u64,
    /// The index that the first of the others gets.
    pub(super) first: u64,
}

impl Checked {
    /// # Errors
    /// The files would not be taken: a row is bad, or there twice.
    pub(super) fn ensure_good(&self, form: &FileForm) -> anyhow::Result<()> {
        self.ensure_once(form)?;
        let is = if self.bad.count() == 1 { "is" } else { "are" };
        ensure!(
            form.skip_bad || self.bad.is_empty(),
            "there {is} {}",
            self.bad
        );
        Ok(())
    }

    /// # Errors
    /// A file begins before the end of those ahead of it, or has its rows twice.
    pub(super) fn ensure_once(&self, form: &FileForm) -> anyhow::Result<()> {
        if form.again {
            return Ok(());
        }
        if let Some(overlap) = self.overlap {
            let error = anyhow!(
                "{} begins before the end of the files ahead of it, so that rows would be there twice or out of order: those \
                 reach to {}, and its earliest row is of {}; name each file once, in the order of their times, or, to append \
                 all of them, say --again",
                form.files.name_of(overlap.place),
                to_text(overlap.latest),
                to_text(overlap.earliest)
            );
            return Err(unclear(Flag::Again, error));
        }
        if let Some(repeated) = self.repeated.as_ref().filter(|repeated| repeated.is_run) {
            let error = anyhow!(
                "{} has rows twice: {}; take them out, or, to append all of them, say --again",
                form.files.name(),
                repeated.said(&form.files)
            );
            return Err(unclear(Flag::Again, error));
        }
        Ok(())
    }

    /// # Errors
    /// The files were changed.
    pub(super) fn ensure_unchanged(&self, form: &FileForm) -> anyhow::Result<()> {
        ensure!(
            form.files.fingerprints()? == self.fingerprints,
            "{} changed while being read; nothing was published",
            form.files.name()
        );
        Ok(())
    }
}

/// Reads the files to their end.
///
/// # Errors
/// One cannot be read.
pub(super) async fn check(
    form: &FileForm,
    rules: ValueRules,
    looking: Looking,
) -> anyhow::Result<Checked> {
    let fingerprints = form.files.fingerprints()?;
    let before = form.files.looked_at.as_ref();
    ensure!(
        before.is_none_or(|before| before.fingerprints == fingerprints),
        "{} changed while being read; nothing was published",
        form.files.name()
    );
    let form = form.clone();
    let bar = progress::spinner("checking");
    let task = tokio::task::spawn_blocking(move || {
        let Looking {
            mut finder,
            skip,
            first,
        } = looking;
        let mut good = 0;
        let mut bad = BadRows::default().numbered(form.files.have_no_lines());
        let (mut notes, now) = (RowNotes::default(), wall_time());
        let mut range = Range::new(&rules, soon(now));
        let mut ahead = ComingRows::default();
        let (mut overlaps, mut repeats) = (Overlaps::default(), Repeats::new());
        for (place, row) in read_ahead(form.files.rows_by_part(rules)) {
            match row {
                Ok(row) => {
                    let is_ahead = row.time > soon(now);
                    if !is_ahead {
                        overlaps.observe(place, row.time);
                    }
                    repeats.observe(place, &row);
                    if good >= skip {
                        if is_ahead && ahead.len() < MAX_ROWS_AHEAD {
                            ahead.push(place, &row);
                        }
                        finder.observe(first + (good - skip), row.time, &row.value);
                        range.add(&row);
                        notes.add(&row, now);
                    }
                    good += 1;
                    if good % 4_096 == 0 {
                        bar.set_position(good);
                    }
                }
                Err(RowError::Bad(row)) => bad.add(row),
                Err(RowError::Read(error)) => return Err(error),
            }
        }
        bar.finish_and_clear();
        Ok(Checked {
            good,
            bad,
            notes: notes.fresh(),
            times: finder.finish(),
            range,
            ahead,
            overlap: overlaps.found,
            repeated: repeats.finish(),
            fingerprints,
        })
    });
    task.await?
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::file_form::tests::{csv, rules};
    use super::*;

    fn looking(first: u64, skip: u64) -> Looking {
        Looking {
            finder: GapFinder::new(None, 1),
            skip,
            first,
        }
    }

    #[tokio::test]
    async fn a_file_is_checked_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let text = "date,wind\n2010-01-01,1\nx,2\n2010-01-02,3\n2010-01-03,y\n";
        let form = csv(folder.path(), text);
        let checked = check(&form, rules(), looking(5, 0)).await.unwrap();
        assert_eq!((checked.good, checked.times.records), (2, 2));
        assert!(
            checked
                .bad
                .to_string()
                .starts_with("2 bad rows\n  line 3: ")
        );
        // Rows that the stream has already are counted, and no more.
        let checked = check(&form, rules(), looking(6, 1)).await.unwrap();
        assert_eq!((checked.good, checked.times.records), (2, 1));
        assert_eq!(checked.range.first().unwrap().value, b"3");
    }

    #[tokio::test]
    async fn several_files_are_one_run_of_rows_and_bad_ones_name_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let [mut form, two] = ["one", "two"].map(|name| {
            let folder = folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            csv(&folder, "date,wind\n2010-01-01,1\nx,2\n2010-01-01,1\n")
        });
        form.files.parts.extend(two.files.parts);
        let checked = check(&form, rules(), looking(10, 0)).await.unwrap();
        assert_eq!((checked.good, checked.times.duplicates), (4, 3));
        assert_eq!(checked.times.first_duplicates[0].index, 11);
        let bad = checked.bad.to_string();
        assert!(
            bad.contains("one/weather.csv)") && bad.contains("two/weather.csv)"),
            "{bad}"
        );
        fs::remove_file(folder.path().join("two/weather.csv")).unwrap();
        let missing = check(&form, rules(), looking(0, 0)).await;
        assert!(missing.unwrap_err().to_string().contains("two/weather.csv"));
    }
}
