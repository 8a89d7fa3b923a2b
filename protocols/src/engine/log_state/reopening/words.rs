//! Why a log of ours is reopened, and what it waits for, in words.

use super::{Reopening, ReopeningStatus, Why};
use crate::engine::log_state::LogState;
use crate::limits::{EARLY_FOLLOWERS, REOPENING_FOLLOWERS, UNCLEAN_WAIT_US};

impl LogState {
    /// How its reopening stands, if it is under way.
    pub(in crate::engine) fn reopening_status(&self) -> Option<ReopeningStatus> {
        let reopening = self.reopening()?;
        Some(ReopeningStatus {
            why: self.why_reopening(reopening),
            mark: self.mark(),
            followers: self.known_followers().to_vec(),
            answers: reopening.answers.list(),
        })
    }

    /// Why, and what it waits for.
    fn why_reopening(&self, reopening: &Reopening) -> String {
        if reopening.twin.is_some() {
            return "another node signs it with the same key right now; stop that one, then have \
                    peers asked again: headwater stream reopen"
                .to_owned();
        }
        self.cause(reopening) + &self.what_is_missing(reopening) + &self.what_opens_it(reopening)
    }

    fn cause(&self, reopening: &Reopening) -> String {
        match &reopening.why {
            Why::Copied => {
                "this data folder is a copy, or was restored or moved to another disk".to_owned()
            }
            Why::Behind { known, here } => format!(
                "others know {known} records of it that were signed with its key, and here were \
                 {here}: this data folder is a copy, or was restored from one"
            ),
            Why::Asked => "what others know of it is asked for".to_owned(),
            Why::Deleted => {
                "it was deleted here, and all of it must come back from its peers first".to_owned()
            }
            Why::Marked { .. } if self.mark().is_some_and(|mark| mark.closed) => {
                "it was closed here for good, and the store does not have its end: it was damaged, \
                 or an older one was put back"
                    .to_owned()
            }
            Why::Marked { here } => {
                let signed = self.mark().map_or(0, |mark| mark.size);
                format!(
                    "{signed} records of it were signed here, and the store has {here}: it was \
                     damaged, or an older one was put back"
                )
            }
            Why::Damaged(what) => format!("a part of the store is lost ({what})"),
            Why::Unclean => "the node did not end well, and a running node asks its followers \
                             for a moment whether they have more of it"
                .to_owned(),
        }
    }

    fn what_is_missing(&self, reopening: &Reopening) -> String {
        match (&reopening.why, self.mark()) {
            (Why::Marked { .. } | Why::Deleted, _) => String::new(),
            (_, Some(mark)) if mark.closed && self.closing().is_none() => {
                "; it was closed here for good, which nothing may follow".to_owned()
            }
            (_, Some(mark)) if mark.size > reopening.here => format!(
                "; {} records of it were signed with its key, and here are {}: opened without them, \
                 it has two histories",
                mark.size, reopening.here
            ),
            _ => String::new(),
        }
    }

    fn what_opens_it(&self, reopening: &Reopening) -> String {
        let counting = reopening.answers.counting(self.known_followers());
        let known = self.known_followers().len();
        let answered = reopening.answers.len();
        match &reopening.why {
            // No word opens it.
            _ if self.mark().is_some_and(|mark| mark.closed) && self.closing().is_none() => {
                "; it is shown as closed when a peer has given back its end. Nothing can be published \
                 to it in any case: create another stream"
                    .to_owned()
            }
            // An empty log has nothing to be taken for the whole of.
            Why::Deleted if answered == 0 => {
                ". No peer that follows it has said yet how much there is; it opens by itself when \
                 all that was published is back. If nobody has it any more it stays stopped: begin \
                 another one with `headwater stream create`"
                    .to_owned()
            }
            Why::Deleted => "; it opens by itself when all of that is here".to_owned(),
            Why::Marked { .. } | Why::Damaged(_) if self.mark().is_some() => {
                "; it opens by itself when a peer has given back what is \
                                   missing. If nobody has it: headwater stream reopen \
                                   --none-is-larger, with --give-up, says that it is lost"
                    .to_owned()
            }
            Why::Unclean => {
                let seconds = UNCLEAN_WAIT_US / 1_000_000;
                format!("; it opens by itself within {seconds} s if they have not")
            }
            Why::Copied
            | Why::Behind { .. }
            | Why::Asked
            | Why::Damaged(_)
            | Why::Marked { .. } => {
                let answers = match answered {
                    0 => "no peer that follows it has said yet how much there is".to_owned(),
                    _ => reopening.answers.words(),
                };
                let opens = if known < REOPENING_FOLLOWERS {
                    "fewer than two followers are known to have had all of it, so that you have \
                     to say that nothing more was published"
                        .to_owned()
                } else {
                    let one_of_the_first = match known > EARLY_FOLLOWERS {
                        true => ", one of the first of them,",
                        false => "",
                    };
                    format!(
                        "it opens by itself when two of the {known} followers that had all of it\
                         {one_of_the_first} have answered ({counting} so far) and what they have is here; or say that \
                         nothing more was published"
                    )
                };
                format!("; {answers}; {opens}: headwater stream reopen --none-is-larger")
            }
        }
    }
}
