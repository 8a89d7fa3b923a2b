//! Times and spans, as people and programs write them.

use headwater_client::times::text::{FIRST_RFC3339, LAST_RFC3339, to_text};
use headwater_client::times::{
    Bound, Moment, TimeForm, Unit, bound, exact, of_json, of_text, span,
};
use headwater_protocols::time::Timestamp;

use crate::memory::bounded;

const NOW: Timestamp = Timestamp(1_780_000_000_000_000);

/// The first byte says in which unit numbers are. The rest is a time; of two lines
/// the first one is the form of the second.
pub fn times(bytes: &[u8]) {
    let Some((unit, bytes)) = bytes.split_first() else {
        return;
    };
    let unit = Unit::ALL.get(usize::from(*unit) % 5).copied();
    if let Some(micros) = bytes.first_chunk::<8>() {
        written(Timestamp(i64::from_le_bytes(*micros)));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    bounded("a time", text.len(), 64, || {
        read(text, unit);
        spans(text);
        forms(text);
    });
}

/// What is written is read as the same.
fn written(time: Timestamp) {
    let text = to_text(time);
    assert_eq!(exact(&text).ok(), Some(time), "{text}");
    if (FIRST_RFC3339..=LAST_RFC3339).contains(&time) {
        let moment = of_text(&text, None, None).expect("a time of RFC 3339");
        assert_eq!(moment, Moment::exact(time));
    }
}

fn read(text: &str, unit: Option<Unit>) {
    if let Ok(time) = exact(text) {
        written(time);
    }
    let moment = of_text(text, unit, Some(NOW));
    if let Ok(moment) = &moment {
        written(moment.time);
        // A range begins at the time itself, or behind what was cut off.
        if let Ok(Bound::Time(begin)) = bound(text, unit, NOW) {
            assert!(begin >= moment.time);
            assert!(moment.is_cut || moment.is_leap || begin == moment.time);
        }
    }
    // Only spans need to know what time it is.
    if let Ok(without) = of_text(text, unit, None) {
        assert_eq!(Ok(without), moment);
    }
    // JSON says the same in a string.
    let quoted = serde_json::to_string(text).expect("a text");
    assert_eq!(of_json(&quoted, unit, Some(NOW)), moment);
    let _ = of_json(text, unit, Some(NOW));
}

fn spans(text: &str) {
    if let Ok(duration) = span::parse(text) {
        let shown = span::text(duration);
        let again = span::parse(&shown).expect("it was written so");
        // In two units, the rest is left off.
        assert!(again <= duration);
        assert_eq!(span::text(again), shown);
    }
}

fn forms(text: &str) {
    let Some((form, text)) = text.split_once('\n') else {
        return;
    };
    let Ok(form) = form.parse::<TimeForm>() else {
        return;
    };
    if let Ok(moment) = form.read(text) {
        written(moment.time);
    }
}
