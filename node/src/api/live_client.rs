//! One client that follows a stream: what it gets next.
//!
//! Records are read from the store at the client's pace: a slow one costs a
//! batch of memory and never slows the node. Those who wait at the end share one
//! read of what is new. One that takes nothing for a while is dropped, so that its
//! place is free.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use headwater_client::types::{Ended, Reset};
use headwater_export::{RecordObject, Shape};
use headwater_protocols::engine::LogStatus;
use headwater_protocols::store::Store;
use headwater_reading::extent::{in_dispute, require_readable};
use headwater_reading::{Records, Selection};
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, watch};

use super::event_id::Epoch;
use super::limits::{LIVE_BATCH, LIVE_BATCH_BYTES, LIVE_FAREWELL};
use super::line::{Cut, Line};
use super::live_places::LivePlace;
use super::live_reader::LiveReader;
use super::live_said::{Observation, Said};
use super::live_tail::LiveTail;
use super::problem::ApiError;
use super::state::{ApiState, not_come_yet};

/// One client that follows a stream.
pub(super) struct Live {
    state: ApiState,
    watch: watch::Receiver<Arc<LogStatus>>,
    tail: Arc<LiveTail>,
    /// The client wants nothing before this record.
    began: u64,
    /// The record to send next; not known while no head has come.
    next: Option<u64>,
    /// What the client may have.
    reader: LiveReader,
    /// The rows of the stream are others than when it had its first live client.
    were_replaced: bool,
    ready: VecDeque<Observation>,
    /// The last word was sent.
    ended: bool,
    /// What was said of its end when all was sent.
    told_end: Option<Ended>,
    /// The connection, if there is a socket.
    line: Option<Arc<Line>>,
    _place: LivePlace,
}

/// Where a client begins.
pub(super) struct Begin {
    /// It wants nothing before this record.
    pub(super) began: u64,
    /// The record to send first; not known while no head has come.
    pub(super) next: Option<u64>,
    /// What it may have.
    pub(super) reader: LiveReader,
    /// The rows of the stream are others than when it had its first live client.
    pub(super) were_replaced: bool,
}

impl Live {
    /// A client that holds this place, and this connection if there is a socket.
    pub(super) fn new(
        state: ApiState,
        watch: watch::Receiver<Arc<LogStatus>>,
        begin: Begin,
        line: Option<Arc<Line>>,
        place: LivePlace,
    ) -> Self {
        let log = watch.borrow().log;
        let tail = state.live_tails().of(log);
        Self {
            state,
            watch,
            tail,
            began: begin.began,
            next: begin.next,
            reader: begin.reader,
            were_replaced: begin.were_replaced,
            ready: VecDeque::new(),
            ended: false,
            told_end: None,
            line,
            _place: place,
        }
    }

    /// The connection, if there is a socket.
    pub(super) fn line(&self) -> Option<Arc<Line>> {
        self.line.clone()
    }

    /// How long its client may take nothing.
    pub(super) fn patience(&self) -> Duration {
        self.state.live_patience()
    }

    /// The next record; `None` when the node stops or the store fails.
    async fn next(&mut self) -> Option<Said> {
        loop {
            // Marked as seen before it is read, so that what comes while the
            // history is read wakes us again.
            let status = self.watch.borrow_and_update().clone();
            self.drop_disputed(&status);
            if let Some(reset) = self.reset(&status) {
                return Some(Said::Reset(reset));
            }
            if let Some(observation) = self.ready.pop_front() {
                self.reader.gets(observation.index);
                let epoch = Epoch::needed(&status, self.were_replaced);
                return Some(Said::Observation(observation, epoch));
            }
            if let Some(end) = self.end_at_dispute(&status) {
                return Some(end);
            }
            if self.ended {
                return None;
            }
            if self.read(status.clone()).await {
                continue;
            }
            if let Some(ended) = self.end(&status) {
                return Some(Said::Ended(ended));
            }
            tokio::select! {
                changed = self.watch.changed() => {
                    if changed.is_err() && !self.state.stopping().is_cancelled() {
                        return Some(self.end_at_deletion());
                    }
                    changed.ok()?;
                }
                () = self.state.stopping().cancelled() => return None,
            }
        }
    }

    /// What was read before a fork was known is not sent any more.
    fn drop_disputed(&mut self, status: &LogStatus) {
        let Some(from) = status.disputed_from else {
            return;
        };
        while let Some(last) = self.ready.pop_back_if(|last| last.index >= from) {
            self.next = Some(last.index);
        }
    }

    /// Says what does not count any more of that which the client may have.
    fn reset(&mut self, status: &LogStatus) -> Option<Reset> {
        if self.reader.are_rows_of_another_tree(status) {
            self.ready.clear();
            self.were_replaced = true;
            // What was read of it and not sent is read again, of the tree that counts.
            self.next = self
                .next
                .map(|next| next.min(self.reader.has().max(self.began)));
        }
        let from = self.reader.disowned_from(status)?;
        let begin = self.began.max(from);
        self.next = self.next.map(|next| next.min(begin));
        self.told_end = None;
        let recovered = status.recovered.as_ref()?;
        Some(Reset {
            from,
            successor: recovered.successor().map(|log| log.to_string()),
        })
    }

    /// Says once, and again when it changes, that the stream has come to its end, and
    /// that the client has all of it.
    fn end(&mut self, status: &LogStatus) -> Option<Ended> {
        let size = status.ends_at()?;
        let successor = match &status.recovered {
            Some(recovered) => recovered.successor(),
            None => status.successor(),
        };
        let is_all = status.usable_size() == size && self.next.is_some_and(|next| next >= size);
        let ended = Ended {
            size,
            successor: successor.map(|log| log.to_string()),
        };
        if !is_all || self.told_end.as_ref() == Some(&ended) {
            return None;
        }
        self.told_end = Some(ended.clone());
        Some(ended)
    }

    /// Says once that nothing more comes, because only one of two histories has
    /// it.
    fn end_at_dispute(&mut self, status: &LogStatus) -> Option<Said> {
        let from = is_disputed(status, self.next).filter(|_| !self.ended)?;
        self.ended = true;
        let error = ApiError::from(in_dispute(status, from));
        let problem = serde_json::to_string(error.problem()).unwrap_or_default();
        Some(Said::End(problem))
    }

    /// Says once that nothing more comes, because the stream was deleted.
    fn end_at_deletion(&mut self) -> Said {
        self.ended = true;
        let log = self.watch.borrow().log;
        let text = format!("stream {log} was deleted here; follow it again to read it");
        let error = ApiError::new(StatusCode::GONE, text);
        Said::End(serde_json::to_string(error.problem()).unwrap_or_default())
    }

    /// Reads what follows without a gap; false when nothing does.
    async fn read(&mut self, status: Arc<LogStatus>) -> bool {
        let Some(size) = status.head.as_ref().map(|_| status.usable_size()) else {
            return false;
        };
        // What was dropped by the stream's retention is left out: the next index
        // shows it.
        let next = *self
            .next
            .insert(self.next.unwrap_or(size).max(status.begin));
        // It may have come since, with something that is not known here.
        let is_read = status.manifest.is_some() && require_readable(&status).is_ok();
        if next >= size || !is_read {
            return false;
        }
        let log = status.log;
        let found = self.tail.read(&status, next, || {
            let status = status.clone();
            (self.state).with_records(status, move |records| read(records, next))
        });
        match found.await {
            Ok(observations) => {
                self.next = Some(next + observations.len() as u64);
                self.ready.extend(observations.iter().cloned());
            }
            Err(error) => {
                let detail = &error.problem().detail;
                tracing::warn!(%log, next, detail, "a live stream cannot go on before the next change");
            }
        }
        !self.ready.is_empty()
    }
}

/// The records, from a task of its own that ends when the client takes none for
/// so long, is gone, or the node stops.
///
/// A connection that is given has to end soon after, whatever still waits there.
pub(super) fn handed_over(
    mut live: Live,
    patience: Duration,
    line: Option<Arc<Line>>,
) -> mpsc::Receiver<Said> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let said = tokio::select! {
                said = live.next() => said,
                () = sender.closed() => None,
            };
            let Some(said) = said else {
                return;
            };
            match sender.send_timeout(said, patience).await {
                Ok(()) => {}
                Err(SendTimeoutError::Closed(_)) => return,
                Err(SendTimeoutError::Timeout(_)) => {
                    tracing::debug!("a live client takes nothing more and is dropped");
                    drop(live);
                    // Should it take something after all, it hears why.
                    let _ = sender.send_timeout(Said::TooSlow, LIVE_FAREWELL).await;
                    drop(sender);
                    tokio::time::sleep(LIVE_FAREWELL).await;
                    let now = Instant::now();
                    let stands_still =
                        |line: &Arc<Line>| line.standing().has_stalled(now, LIVE_FAREWELL);
                    if let Some(line) = line.filter(stands_still) {
                        line.cut(Cut::Stalled);
                    }
                    return;
                }
            }
        }
    });
    receiver
}

/// From where on the stream is disputed, if nothing before that is left to be
/// sent.
pub(super) fn is_disputed(status: &LogStatus, next: Option<u64>) -> Option<u64> {
    let next = next?;
    let from = status.disputed_from?;
    let is_in_it = match (&status.recovered, status.ends_at()) {
        // It is said what counts, and nothing more comes.
        (Some(_), _) => false,
        // Nor of what was closed, to who has nothing beyond its end.
        (None, Some(_)) => next > from,
        (None, None) => next >= from,
    };
    is_in_it.then_some(from)
}

/// The next records that are held.
fn read<S: Store + ?Sized>(
    records: &Records<'_, S>,
    next: u64,
) -> Result<Vec<Observation>, ApiError> {
    let status = records.status();
    let manifest = status
        .manifest
        .as_ref()
        .ok_or_else(|| not_come_yet(status))?;
    let to = records.run_end(next)?.min(next.saturating_add(LIVE_BATCH));
    if to <= next {
        return Ok(Vec::new());
    }
    let mut object = RecordObject::new(Shape::of(manifest));
    let (mut observations, mut bytes) = (Vec::new(), 0);
    records.visit(&Selection::indexes(next, to), |index, record| {
        // The rest is read when these were taken.
        if bytes >= LIVE_BATCH_BYTES {
            return Ok(());
        }
        let mut json = Vec::new();
        object.put(&mut json, index, record);
        bytes += json.len();
        let json = String::from_utf8_lossy(&json).into();
        observations.push(Observation { index, json });
        Ok::<_, ApiError>(())
    })?;
    Ok(observations)
}

#[cfg(test)]
mod tests {
    use headwater_protocols::ranges::{Interval, IntervalSet};
    use headwater_protocols::store::{LogKey, MemoryStore};

    use super::super::view::tests::{put_seconds, status};
    use super::*;

    #[test]
    fn events_end_before_a_hole_and_go_on_when_it_is_filled() {
        let key = LogKey {
            number: 1,
            chunk_level: 2,
        };
        let store = MemoryStore::new();
        let mut held = IntervalSet::default();
        let mut put = |from, to| put_seconds(&store, key, &mut held, from, to);
        put(0, 6);
        put(9, 12);
        let mut status = status("temperature", 1, 11);
        status.held = vec![Interval { from: 0, to: 6 }, Interval { from: 9, to: 12 }];
        status.key = Some(key);
        let count = |status: &LogStatus, next| {
            let records = Records::of(status, &store).unwrap();
            read(&records, next).unwrap().len()
        };
        // To the end of the chunk, to the hole, none in it, and not beyond the head.
        assert_eq!(
            [0, 3, 4, 6, 8].map(|next| count(&status, next)),
            [4, 1, 2, 0, 0]
        );
        assert_eq!(
            [9, 11, 12, u64::MAX].map(|next| count(&status, next)),
            [2, 0, 0, 0]
        );
        put(6, 9);
        status.held = vec![Interval { from: 0, to: 12 }];
        assert_eq!([6, 8].map(|next| count(&status, next)), [2, 3]);
    }
}
