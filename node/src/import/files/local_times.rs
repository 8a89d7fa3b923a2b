//! Files with local times: one look at all of them, before any row is read, finds
//! out which times are meant in the hours that the clocks show twice.

use std::sync::Arc;

use anyhow::Context;

use headwater_protocols::limits::DEFAULT_CHUNK_LEVEL;
use headwater_protocols::manifest::ValueType;

use super::super::csv_input::{CsvForm, CsvRows};
use super::super::file_source::Fingerprint;
use super::super::folds::{FoldSurvey, Folds, Pass};
use super::super::time_reader::TimeReading;
use super::super::value::ValueRules;
use super::{FilePart, Files, PartForm};

/// What was found out of local times.
#[derive(Clone, Debug)]
pub(crate) struct LookedAt {
    pub(crate) folds: Arc<Folds>,
    /// Of the files that were looked at: what was found out is of no others.
    pub(crate) fingerprints: Vec<Fingerprint>,
}

impl Files {
    /// Whether there are local times that clocks show twice: only then a file has to
    /// be opened to look at them.
    pub(crate) fn have_local_times(&self) -> bool {
        self.zone().is_some()
    }

    /// Looks at the local times of all files.
    ///
    /// # Errors
    /// One cannot be read.
    pub(crate) fn with_local_times(self, said: Option<Pass>) -> anyhow::Result<Self> {
        match self.zone() {
            Some(zone) => self.look_at(&zone, said),
            None => Ok(self),
        }
    }

    /// The zone of the local times, if its clocks show some twice.
    fn zone(&self) -> Option<String> {
        self.parts.iter().find_map(|part| {
            let zone = part.form.times()?.local.as_ref()?.zone();
            (!zone.is_fixed()).then(|| zone.name().to_owned())
        })
    }

    fn look_at(mut self, zone: &str, said: Option<Pass>) -> anyhow::Result<Self> {
        let fingerprints = self.fingerprints()?;
        let mut survey = FoldSurvey::default();
        for (file, part) in self.parts.iter().enumerate() {
            let looked = part.look_at_local_times(file, &mut survey);
            looked.with_context(|| format!("cannot read {}", part.source.name))?;
        }
        let folds = Arc::new(survey.finish(zone, said));
        for (file, part) in self.parts.iter_mut().enumerate() {
            if let Some(times) = part.form.times_mut() {
                let local = times.local.take();
                times.local = local.map(|local| local.told_by(file, Arc::clone(&folds)));
            }
        }
        self.looked_at = Some(LookedAt {
            folds,
            fingerprints,
        });
        Ok(self)
    }
}

impl PartForm {
    /// How its times are read, unless each says it itself.
    fn times(&self) -> Option<&TimeReading> {
        match self {
            Self::Csv(_, dialect) => Some(&dialect.times),
            Self::Parquet(form) => Some(&form.times),
            Self::Ndjson { .. } => None,
        }
    }

    fn times_mut(&mut self) -> Option<&mut TimeReading> {
        match self {
            Self::Csv(_, dialect) => Some(&mut dialect.times),
            Self::Parquet(form) => Some(&mut form.times),
            Self::Ndjson { .. } => None,
        }
    }
}

impl FilePart {
    fn look_at_local_times(&self, file: usize, survey: &mut FoldSurvey) -> anyhow::Result<()> {
        let (columns, dialect) = match &self.form {
            PartForm::Csv(columns, dialect) => (columns, dialect),
            PartForm::Parquet(form) => {
                let opened = self.source.file()?;
                return form.look_at_local_times(opened, file, |row| survey.add(row));
            }
            PartForm::Ndjson { .. } => return Ok(()),
        };
        let form = CsvForm {
            columns: columns.clone(),
            dialect: dialect.clone(),
            // Values are not looked at.
            rules: ValueRules::new(ValueType::Number, DEFAULT_CHUNK_LEVEL),
        };
        let rows = CsvRows::open(self.source.open()?, &form)?;
        rows.look_at_local_times(file, |row| survey.add(row))
    }
}
