//! Streams that have the same name as another one, or one that looks like it.

use headwater_client::types::{RoleView, StreamView};

use super::output::{Output, printable, short};

/// Says which other streams have names that look like the one of this stream.
pub(super) fn say_lookalikes(out: Output, stream: &StreamView) {
    let others: Vec<&str> = stream.lookalikes.iter().map(|id| short(id)).collect();
    if !others.is_empty() {
        out.note(format!(
            "the name of {} looks like that of {}, written with other characters; the ids tell them apart",
            short(&stream.id),
            others.join(", ")
        ));
    }
}

/// Says whose stream was meant by a name that several have.
pub(super) fn say_namesakes(out: Output, text: &str, stream: &StreamView) {
    say_lookalikes(out, stream);
    let others: Vec<&str> = stream.namesakes.iter().map(|id| short(id)).collect();
    let whose = match (stream.role, &stream.alias) {
        _ if others.is_empty() => return,
        (_, Some(alias)) if alias == text => "the one that has this alias",
        (RoleView::Publisher, _) => "this node's own",
        (RoleView::Follower, _) => "the one",
    };
    out.note(format!(
        "`{}` is {}, {whose}; {} the name, too, and {} named by the id: {}",
        printable(text),
        short(&stream.id),
        match others.len() {
            1 => "another stream has".to_owned(),
            number => format!("{number} others have"),
        },
        if others.len() == 1 { "is" } else { "are" },
        others.join(", ")
    ));
}
