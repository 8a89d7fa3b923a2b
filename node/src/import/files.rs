//! Files that are read one behind the other, and how each is read.

mod local_times;

use std::iter::once;

use anyhow::Context;
use headwater_client::times::Unit;

use self::local_times::LookedAt;
use super::csv_input::{Columns, CsvForm, CsvRows};
use super::dialect::Dialect;
use super::file_source::{Fingerprint, Source};
use super::folds::RepeatedHours;
use super::limits::BUFFER_BYTES;
use super::line_input::{LineForm, LineRows};
use super::parquet_input::{ParquetForm, ParquetRows};
use super::rows::{Row, RowError};
use super::time_order::{InOrder, TimeOrder};
use super::value::ValueRules;
use crate::wording::counted;

/// Files that are read one behind the other, and how.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) parts: Vec<FilePart>,
    /// What their stream asks of times, if they never go back.
    pub(crate) order: Option<TimeOrder>,
    /// What was found out of local times, where there may be some.
    pub(crate) looked_at: Option<LookedAt>,
}

/// A file, and how it is read.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    pub(crate) source: Source,
    pub(crate) form: PartForm,
    /// Columns of it that its stream does not have.
    pub(crate) left_out: Vec<String>,
}

/// How a file is read.
#[derive(Clone, Debug)]
pub(crate) enum PartForm {
    /// Its columns, and how they are written.
    Csv(Columns, Dialect),
    /// Its columns, which have types.
    Parquet(ParquetForm),
    /// One object a line.
    Ndjson {
        /// That of times that are numbers, where a line says none.
        time_unit: Option<Unit>,
        /// Years before 1000 are meant.
        any_year: bool,
    },
}

pub(crate) type Rows = Box<dyn Iterator<Item = Result<Row, RowError>> + Send>;

impl Files {
    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        match &self.parts[..] {
            [part] => part.source.name.clone(),
            parts => counted(parts.len() as u64, "file"),
        }
    }

    /// Whether a row is named by its number, because it stands on no line.
    pub(crate) fn have_no_lines(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.all(|part| matches!(part.form, PartForm::Parquet(_)))
    }

    /// What messages call one of several.
    pub(crate) fn name_of(&self, place: usize) -> String {
        let part = self.parts.get(place);
        part.map_or_else(|| self.name(), |part| part.source.name.clone())
    }

    /// The rows of all files, as the stream takes them. Each is opened when its turn comes, because there
    /// may be more of them than a process may have open.
    pub(crate) fn rows(&self, rules: ValueRules) -> Rows {
        Box::new(self.rows_by_part(rules).map(|(_, row)| row))
    }

    /// The same, each with the place of its file.
    pub(crate) fn rows_by_part(
        &self,
        rules: ValueRules,
    ) -> impl Iterator<Item = (usize, Result<Row, RowError>)> + Send + use<> {
        let several = self.parts.len() > 1;
        let names: Vec<_> = (self.parts.iter()).map(|p| p.source.name.clone()).collect();
        let mut in_order = InOrder::new(self.order);
        let parts = self.parts.clone().into_iter().enumerate();
        let rows = parts.flat_map(move |(place, part)| {
            let rows = part.rows(rules.clone());
            let rows = rows.unwrap_or_else(|error| Box::new(once(Err(RowError::Read(error)))));
            rows.map(move |row| (place, row))
        });
        rows.map(move |(place, row)| {
            let row = row.and_then(|row| in_order.check(row));
            let row = row.map_err(|error| match error {
                RowError::Bad(mut row) if several => {
                    row.what.push_str(&format!(" ({})", names[place]));
                    RowError::Bad(row)
                }
                other => other,
            });
            (place, row)
        })
    }

    /// The times that the clocks of a zone showed twice, where one was said.
    pub(crate) fn repeated_hours(&self) -> Option<RepeatedHours> {
        let looked_at = self.looked_at.as_ref();
        looked_at.map(|looked_at| looked_at.folds.report())
    }

    pub(crate) fn fingerprints(&self) -> anyhow::Result<Vec<Fingerprint>> {
        (self.parts.iter())
            .map(|part| part.source.fingerprint())
            .collect()
    }
}

impl FilePart {
    fn rows(&self, rules: ValueRules) -> anyhow::Result<Rows> {
        let cannot = format!("cannot read {}", self.source.name);
        let rows = self.open(rules).with_context(|| cannot.clone())?;
        Ok(Box::new(rows.map(move |row| match row {
            Err(RowError::Read(error)) => Err(RowError::Read(error.context(cannot.clone()))),
            other => other,
        })))
    }

    fn open(&self, rules: ValueRules) -> anyhow::Result<Rows> {
        Ok(match &self.form {
            PartForm::Parquet(form) => {
                Box::new(ParquetRows::open(self.source.file()?, form, rules)?)
            }
            PartForm::Csv(columns, dialect) => {
                let bytes = self.source.open()?;
                let form = CsvForm {
                    columns: columns.clone(),
                    dialect: dialect.clone(),
                    rules,
                };
                Box::new(CsvRows::open(bytes, &form)?)
            }
            &PartForm::Ndjson {
                time_unit,
                any_year,
            } => {
                let form = LineForm {
                    ndjson: true,
                    rules,
                    time_unit,
                    any_year,
                };
                let bytes = self.source.open()?;
                let bytes = std::io::BufReader::with_capacity(BUFFER_BYTES, bytes);
                Box::new(LineRows::new(bytes, form))
            }
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::Path;

    use headwater_protocols::manifest::ValueType;

    use super::super::delimiter::Delimiter;
    use super::super::dialect::Said;
    use super::super::file_kind::Expected;
    use super::*;
    use headwater_client::times::TimeForm;

    pub(crate) fn rules() -> ValueRules {
        ValueRules::new(ValueType::Number, 8)
    }

    pub(crate) fn csv(folder: &Path, text: &str) -> Files {
        let path = folder.join("weather.csv");
        fs::write(&path, text).unwrap();
        let columns = Columns::Named {
            time: "date".to_owned(),
            value: "wind".to_owned(),
        };
        let dialect = Said::default()
            .plain(Delimiter::COMMA, TimeForm::Iso)
            .unwrap();
        let part = FilePart {
            source: Source::of(&path, Expected::Csv).unwrap(),
            form: PartForm::Csv(columns, dialect),
            left_out: Vec::new(),
        };
        Files {
            parts: vec![part],
            order: None,
            looked_at: None,
        }
    }
}
