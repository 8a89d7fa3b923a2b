//! `GET /v1/streams/{id}/gaps`: what is missing of a stream, what is there
//! twice, and what came late.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use headwater_client::query::GapQuery;
use headwater_client::types::{GapReport, Problem};
use headwater_export::GapFinder;
use headwater_protocols::store::Store;
use headwater_reading::extent::require_readable;
use headwater_reading::{Records, Selection};

use super::bounds::{Range, positive_micros};
use super::caller::Client;
use super::limits::{LISTED_GAPS, MAX_LISTED_GAPS};
use super::problem::ApiError;
use super::state::{ApiState, not_come_yet};
use super::waiting::Written;
use crate::handle::wall_time;

/// Reads everything that is asked for that is held.
#[utoipa::path(get, path = "/v1/streams/{id}/gaps", tag = "observations", summary = "What is missing of a stream, what is there twice, and what came late",
    params(("id" = String, Path, description = "Stream id, a part of it of at least six characters, local name, or invite"), GapQuery),
    responses((status = 200, description = "What was found", body = GapReport), (status = "default", description = "An error (RFC 9457)", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn gaps(
    State(state): State<ApiState>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<GapQuery>, QueryRejection>,
    client: Client,
) -> Result<Response, ApiError> {
    let status = state.stream(&id?)?;
    let Query(options) = options?;
    let size = status.head.as_ref().map_or(0, |head| head.size);
    let wanted = Wanted::of(&options, size)?;
    let find = state.look_through(&client, status, move |records, work| {
        let report = report(records, &wanted, || work.step())?;
        Written::json(&report)
    });
    find.await?.for_client(state.crowd(), &client)
}

#[derive(Debug)]
struct Wanted {
    /// Which records, as far as the stream reaches.
    selection: Selection,
    cadence_us: Option<u64>,
    listed: usize,
}

impl Wanted {
    /// Of a stream of this size.
    fn of(options: &GapQuery, size: u64) -> Result<Self, ApiError> {
        let range = Range {
            from: options.from.as_deref(),
            to: options.to.as_deref(),
            unit: options.time_unit,
            now: wall_time(),
        };
        let cadence = options.cadence.as_deref();
        Ok(Self {
            selection: range.selection(size)?,
            cadence_us: positive_micros("cadence", cadence, options.cadence_us)?,
            listed: options.limit.unwrap_or(LISTED_GAPS).min(MAX_LISTED_GAPS),
        })
    }
}

fn report<S: Store>(
    records: &Records<'_, S>,
    wanted: &Wanted,
    mut step: impl FnMut() -> Result<(), ApiError>,
) -> Result<GapReport, ApiError> {
    let status = records.status();
    if status.head.is_none() {
        return Err(not_come_yet(status));
    }
    require_readable(status)?;
    let manifest = status.manifest.as_ref();
    let cadence_us = wanted.cadence_us.or(manifest.map(|m| m.cadence_us));
    let mut finder = GapFinder::new(cadence_us, wanted.listed);
    let size = records.size();
    let to = wanted.selection.to.min(size);
    // What was dropped by the stream's retention is no gap.
    let from = wanted.selection.from.max(records.begin()).min(to);
    let held = records.held(to)?;
    for interval in held.held(from, to) {
        finder.skip();
        let selection = Selection {
            from: interval.from,
            to: interval.to,
            ..wanted.selection
        };
        records.visit(&selection, |index, record| {
            finder.observe(index, record.time(), &record.value());
            step()
        })?;
    }
    let first_holes = held.missing(from, to).take(wanted.listed);
    Ok(GapReport {
        stream: status.log.to_string(),
        from,
        to,
        holes: held.missing(from, to).count() as u64,
        missing_in_holes: (to - from) - held.covered(from, to),
        first_holes: first_holes.map(|hole| (hole.from, hole.to)).collect(),
        disputed_from: status.disputed_from,
        times: finder.finish(),
    })
}

#[cfg(test)]
mod tests {
    use headwater_protocols::ranges::{Interval, IntervalSet};
    use headwater_protocols::store::{LogKey, MemoryStore};

    use super::super::view::tests::{put_seconds, status};
    use super::*;

    #[test]
    fn records_that_are_not_held_are_holes_and_no_gaps() {
        let key = LogKey {
            number: 1,
            chunk_level: 2,
        };
        let store = MemoryStore::new();
        let mut set = IntervalSet::default();
        let mut put = |from, to| put_seconds(&store, key, &mut set, from, to);
        put(0, 4);
        put(8, 12);
        let mut status = status("temperature", 1, 13);
        status.held = vec![Interval { from: 0, to: 4 }, Interval { from: 8, to: 12 }];
        status.key = Some(key);
        let records = Records::of(&status, &store).unwrap();
        let report = |options: GapQuery| {
            let wanted = Wanted::of(&options, 13).unwrap();
            report(&records, &wanted, || Ok(())).unwrap()
        };
        let cadence_us = Some(1_000_000);
        let all = report(GapQuery {
            cadence_us,
            ..GapQuery::default()
        });
        assert_eq!((all.from, all.to, all.times.records), (0, 13, 8));
        assert_eq!((all.holes, all.missing_in_holes), (2, 5));
        assert_eq!(all.first_holes, [(4, 8), (12, 13)]);
        assert_eq!((all.times.gaps, all.times.out_of_order), (0, 0));
        let part = report(GapQuery {
            from: Some("5".to_owned()),
            to: Some("9".to_owned()),
            limit: Some(0),
            ..GapQuery::default()
        });
        assert_eq!((part.holes, part.missing_in_holes), (1, 3));
        assert_eq!((part.times.records, part.first_holes.len()), (1, 0));
    }
}
