//! Rows put together into the bodies of requests.

use std::io::Write;

use bytes::Bytes;
use headwater_client::times::Unit;
use headwater_protocols::limits::MAX_PUBLISH_RECORDS;

use crate::import::rows::Row;
use crate::import::value::ValueRules;

/// Bytes of a batch at most. Half of what the API takes, because the last value
/// (up to 1 MiB, and escaped six times as long) may come on top.
const BATCH_BYTES: usize = 8 << 20;

/// What the times of a batch count: numbers are written and read faster than texts, and
/// mean any year.
pub(crate) const TIME_UNIT: Unit = Unit::Micros;

/// NDJSON that grows row by row.
#[derive(Debug)]
pub(crate) struct BatchWriter {
    rules: ValueRules,
    /// Each row says it for itself.
    says_unit: bool,
    ndjson: Vec<u8>,
    records: usize,
    last: Option<Row>,
}

/// Rows that are published together.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) ndjson: Bytes,
    pub(crate) records: usize,
    /// The last one, by which the batch is known again in the stream.
    pub(crate) last: Row,
}

impl BatchWriter {
    /// For requests that say [`TIME_UNIT`].
    pub(crate) fn new(rules: ValueRules) -> Self {
        Self {
            rules,
            says_unit: false,
            ndjson: Vec::new(),
            records: 0,
            last: None,
        }
    }

    /// For what says nothing beside the rows.
    pub(crate) fn with_unit(rules: ValueRules) -> Self {
        Self {
            says_unit: true,
            ..Self::new(rules)
        }
    }

    pub(crate) fn push(&mut self, row: Row) {
        let micros = row.time.0;
        let written = match self.says_unit {
            true => {
                let unit = TIME_UNIT.symbol();
                write!(self.ndjson, r#"{{"time":{micros},"time_unit":"{unit}","#)
            }
            false => write!(self.ndjson, r#"{{"time":{micros},"#),
        };
        debug_assert!(written.is_ok(), "memory takes any number");
        self.rules.put_field(&mut self.ndjson, &row.value);
        self.ndjson.extend_from_slice(b"}\n");
        self.records += 1;
        self.last = Some(row);
    }

    /// Whether it is time to publish what there is.
    pub(crate) fn is_full(&self) -> bool {
        self.records >= MAX_PUBLISH_RECORDS || self.ndjson.len() >= BATCH_BYTES
    }

    /// The rows since the last call; `None` when there are none.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        let last = self.last.take()?;
        let ndjson = std::mem::take(&mut self.ndjson);
        self.ndjson.reserve(ndjson.len());
        let records = std::mem::take(&mut self.records);
        Some(Batch {
            ndjson: ndjson.into(),
            records,
            last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_protocols::manifest::ValueType;
    use headwater_protocols::time::Timestamp;

    use headwater_client::times::Moment;

    fn row(time: i64, value: &str) -> Row {
        let rules = ValueRules::new(ValueType::Text, 0);
        let moment = Moment::exact(Timestamp(time));
        Row::new(moment, rules.of_text(value).unwrap())
    }

    #[test]
    fn a_batch_is_one_object_a_line() {
        let mut writer = BatchWriter::new(ValueRules::new(ValueType::Number, 8));
        assert!(writer.take().is_none());
        writer.push(row(1_000_000, "4.0"));
        writer.push(row(i64::MAX, "4"));
        let batch = writer.take().unwrap();
        assert_eq!(
            batch.ndjson,
            "{\"time\":1000000,\"value\":4.0}\n\
             {\"time\":9223372036854775807,\"value\":4}\n"
        );
        assert_eq!((batch.records, batch.last), (2, row(i64::MAX, "4")));
        assert!(writer.take().is_none());
        let mut alone = BatchWriter::with_unit(ValueRules::new(ValueType::Text, 8));
        alone.push(row(-1, "a"));
        assert_eq!(
            alone.take().unwrap().ndjson,
            "{\"time\":-1,\"time_unit\":\"us\",\"value\":\"a\"}\n"
        );
    }

    #[test]
    fn a_batch_ends_before_it_is_too_large_for_the_api() {
        let mut writer = BatchWriter::new(ValueRules::new(ValueType::Text, 0));
        let long = "\u{1}".repeat(1 << 20);
        while !writer.is_full() {
            writer.push(row(0, &long));
        }
        assert!(
            writer.take().unwrap().ndjson.len() < crate::api::limits::MAX_OBSERVATIONS_BODY_BYTES
        );
        let mut writer = BatchWriter::new(ValueRules::new(ValueType::Number, 0));
        while !writer.is_full() {
            writer.push(row(0, "1"));
        }
        assert_eq!(writer.take().unwrap().records, MAX_PUBLISH_RECORDS);
    }
}
