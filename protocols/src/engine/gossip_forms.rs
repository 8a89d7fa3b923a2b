//! Which fields of a gossip message are known here. One with others comes from a
//! later version: it is no offence, and not passed on by who cannot check it.

use crate::wire::{Field, Form, Shape, has_more};

const fn bytes(number: u32) -> Field {
    Field::many(number, Shape::Bytes)
}

const fn number(number: u32) -> Field {
    Field::one(number, Shape::Varint)
}

const HEAD: Form = Form {
    what: "a signed head",
    fields: &[number(1), bytes(2), number(3), bytes(4), bytes(5), bytes(6)],
};
const FORK: Form = Form {
    what: "a fork proof",
    fields: &[
        Field::one(1, Shape::Message(&HEAD)),
        Field::one(2, Shape::Message(&HEAD)),
        bytes(3),
        bytes(4),
        Field::one(6, Shape::Message(&COMMON)),
    ],
};
const COMMON: Form = Form {
    what: "what two trees have in common",
    fields: &[number(1), bytes(2), bytes(3), bytes(4), number(5)],
};
const INTERVAL: Form = Form {
    what: "an interval",
    fields: &[number(1), number(2)],
};
const JOIN: Form = Form {
    what: "a join",
    fields: &[
        bytes(1),
        number(2),
        Field::many(3, Shape::Message(&INTERVAL)),
        Field::many(4, Shape::Message(&INTERVAL)),
        number(5),
        number(6),
    ],
};
const OFFER: Form = Form {
    what: "an offer",
    fields: &[bytes(1), bytes(2)],
};
const ACCEPT: Form = Form {
    what: "an acceptance",
    fields: &[bytes(1), bytes(2), bytes(3)],
};
const SYNCED: Form = Form {
    what: "a notice",
    fields: &[number(1), bytes(2), bytes(3)],
};
/// The statements have a form of their own, which is held against them.
const RECOVERED: Form = Form {
    what: "what a recovery key has said",
    fields: &[bytes(1)],
};
const META: Form = Form {
    what: "a meta message",
    fields: &[
        Field::one(1, Shape::Message(&HEAD)),
        Field::one(2, Shape::Message(&FORK)),
        Field::one(3, Shape::Message(&JOIN)),
        Field::one(4, Shape::Message(&OFFER)),
        Field::one(5, Shape::Message(&ACCEPT)),
        Field::one(6, Shape::Message(&SYNCED)),
        Field::one(7, Shape::Message(&RECOVERED)),
    ],
};
const ANNOUNCEMENT: Form = Form {
    what: "an announcement",
    fields: &[
        Field::one(1, Shape::Message(&HEAD)),
        number(2),
        bytes(3),
        bytes(4),
    ],
};

/// Whether an announcement has fields that are not known.
pub(super) fn announcement_has_more(message: &[u8]) -> bool {
    has_more(message, &ANNOUNCEMENT)
}

/// Whether a meta message has.
pub(super) fn meta_has_more(message: &[u8]) -> bool {
    has_more(message, &META)
}
