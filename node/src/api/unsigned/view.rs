//! How histories that nobody signed are shown.

use headwater_client::times::text::to_text;
use headwater_client::types::{SaidView, SilentView, UnsignedView, WalkReport};
use headwater_protocols::quorum::kept::{Kept, State};
use headwater_protocols::quorum::{Ballot, Report, Said};
use headwater_protocols::time::Timestamp;

/// Values of one time that a report shows, and characters of each: what people
/// compare by eye.
const SHOWN_VALUES: usize = 8;
const SHOWN_CHARACTERS: usize = 100;

/// What there is of a history.
pub(in crate::api) fn unsigned_view(kept: &Kept) -> UnsignedView {
    let (state, before, next) = match kept.state {
        State::Importing => ("importing", None, None),
        State::Imported => ("imported", None, None),
        State::Asking { before, next } => ("incomplete", Some(before), Some(next)),
        State::Complete { before } => ("complete", Some(before), None),
    };
    let (earliest, latest) = kept.extent.times.unzip();
    let text = |time: Option<Timestamp>| time.map(to_text);
    UnsignedView {
        unsigned: true,
        name: kept.name.to_string(),
        state: state.to_owned(),
        observations: kept.extent.observations,
        on_one_word: kept.extent.on_one_word,
        record_bytes: kept.extent.bytes,
        earliest: text(earliest),
        latest: text(latest),
        before: text(before),
        next: text(next),
        told_to_peers: kept.is_told(),
    }
}

/// Who said what.
pub(super) fn report_view(report: &Report) -> WalkReport {
    WalkReport {
        before: to_text(report.before),
        asked: report.asked,
        answered: report.answered,
        needed: report.needed,
        said: report.ballots.iter().map(said_view).collect(),
        silent: (report.silent.iter())
            .map(|(peer, why)| SilentView {
                peer: peer.to_string(),
                why: why.to_string(),
            })
            .collect(),
    }
}

fn said_view(ballot: &Ballot) -> SaidView {
    let group = match &ballot.said {
        Said::Group(group) => Some(group),
        Said::Nothing => None,
    };
    let values = group.map_or(&[][..], |group| &group.values);
    let shown = |value: &bytes::Bytes| {
        let text = String::from_utf8_lossy(value);
        text.chars().take(SHOWN_CHARACTERS).collect()
    };
    SaidView {
        time: group.map(|group| to_text(group.time)),
        values: values.iter().take(SHOWN_VALUES).map(shown).collect(),
        count: values.len(),
        votes: ballot.votes,
        peers: ballot.peers.iter().map(ToString::to_string).collect(),
        void: ballot.void.iter().map(ToString::to_string).collect(),
    }
}
