//! Rows that a thread of their own reads ahead of whoever looks at them: reading a file
//! and looking at its rows take about as long as each other.

use std::sync::mpsc;

use super::limits::{MAX_BYTES_IN_HAND, MAX_ROWS_IN_HAND};
use super::rows::{Row, RowError};

/// A row, and the place of its file.
type Placed = (usize, Result<Row, RowError>);

/// Hands the rows over in the order in which they are read. Whoever stops asking for
/// them ends the reading.
pub(crate) fn read_ahead(
    rows: impl Iterator<Item = Placed> + Send + 'static,
) -> impl Iterator<Item = Placed> {
    // One is read while another is looked at.
    let (sender, receiver) = mpsc::sync_channel(1);
    let reader = std::thread::spawn(move || send(rows, &sender));
    // Rows that end because nobody could read on are not all rows.
    let end = std::iter::once_with(move || match reader.join() {
        Ok(()) => Vec::new(),
        Err(panic) => std::panic::resume_unwind(panic),
    });
    receiver.into_iter().chain(end).flatten()
}

fn send(rows: impl Iterator<Item = Placed>, sender: &mpsc::SyncSender<Vec<Placed>>) {
    let (mut hand, mut bytes) = (Vec::with_capacity(MAX_ROWS_IN_HAND), 0);
    for row in rows {
        bytes += row.1.as_ref().map_or(0, |row| row.value.len());
        hand.push(row);
        if hand.len() < MAX_ROWS_IN_HAND && bytes < MAX_BYTES_IN_HAND {
            continue;
        }
        let full = std::mem::replace(&mut hand, Vec::with_capacity(MAX_ROWS_IN_HAND));
        if sender.send(full).is_err() {
            return;
        }
        bytes = 0;
    }
    // Nobody may want them any more.
    let _ = sender.send(hand);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use headwater_client::times::Moment;
    use headwater_protocols::manifest::ValueType;
    use headwater_protocols::time::Timestamp;

    use super::super::rows::BadRow;
    use super::super::value::ValueRules;
    use super::*;

    fn rows(count: usize, value: &'static str) -> impl Iterator<Item = Placed> + Send {
        let rules = ValueRules::new(ValueType::Text, 12);
        (0..count).map(move |place| {
            let moment = Moment::exact(Timestamp(place as i64));
            let bad = BadRow {
                line: place as u64,
                what: "bad".to_owned(),
            };
            let row = Row::new(moment, rules.of_text(value).unwrap());
            (
                place,
                if place % 7 == 3 {
                    Err(RowError::Bad(bad))
                } else {
                    Ok(row)
                },
            )
        })
    }

    #[test]
    fn all_rows_come_in_their_order() {
        for count in [0, 1, MAX_ROWS_IN_HAND, 3 * MAX_ROWS_IN_HAND + 5] {
            let read: Vec<_> = read_ahead(rows(count, "a")).collect();
            assert_eq!(read.len(), count);
            for (at, (place, row)) in read.iter().enumerate() {
                assert_eq!(*place, at);
                assert_eq!(row.is_err(), at % 7 == 3);
            }
        }
    }

    #[test]
    #[should_panic(expected = "row 5")]
    fn what_breaks_the_reading_breaks_the_looking() {
        let broken = rows(9, "a").inspect(|(place, _)| assert!(*place < 5, "row {place}"));
        read_ahead(broken).for_each(drop);
    }

    #[test]
    fn no_more_is_read_than_is_looked_at_soon() {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let endless = rows(usize::MAX, "a").inspect(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let mut ahead = read_ahead(endless);
        assert!(ahead.next().is_some());
        drop(ahead);
        // In the hand of the one, on the way, and being read.
        let bound = 4 * MAX_ROWS_IN_HAND;
        while Arc::strong_count(&read) > 1 {
            assert!(read.load(Ordering::Relaxed) <= bound);
            std::thread::yield_now();
        }
    }
}
