//! What the engine has done since it was opened, in numbers: the one home of all that
//! is counted here. What comes in and goes out is counted where it passes, records
//! where they are written.

use std::collections::VecDeque;

use super::{Input, Output, Verdict};

/// Totals since the engine was opened; none ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records of our own streams that were made durable.
    pub published: u64,
    /// Others' records that came live, by gossip, or with an answer to a question for
    /// a head.
    pub live: u64,
    /// Others' records that were fetched as history.
    pub fetched: u64,
    /// Heads that were signed, those without new records included.
    pub heads_signed: u64,
    /// Frames of the sync streams that came.
    pub frames_in: u64,
    /// Bytes of these frames.
    pub frame_bytes_in: u64,
    /// Frames that were sent.
    pub frames_out: u64,
    /// Bytes of these frames.
    pub frame_bytes_out: u64,
    /// Gossip messages that were passed on.
    pub gossip_accepted: u64,
    /// Gossip messages that were not passed on, with nobody to blame.
    pub gossip_ignored: u64,
    /// Gossip messages that were false.
    pub gossip_rejected: u64,
    /// Gossip messages of our own.
    pub gossip_published: u64,
    /// Peers that broke the rules and were banned.
    pub bans: u64,
    /// Commands of users that were answered.
    pub commands: u64,
    /// Of these, those that were refused or failed.
    pub commands_failed: u64,
    /// Times that the disk could not be written.
    pub store_failures: u64,
}

impl Counters {
    /// Counts what comes in.
    pub(super) fn input(&mut self, input: &Input) {
        if let Input::Frame(_, bytes) = input {
            self.frames_in += 1;
            self.frame_bytes_in += bytes.len() as u64;
        }
    }

    /// Each by the name that it has outside.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 16] {
        // Whole, so that none is forgotten.
        let Self {
            published,
            live,
            fetched,
            heads_signed,
            frames_in,
            frame_bytes_in,
            frames_out,
            frame_bytes_out,
            gossip_accepted,
            gossip_ignored,
            gossip_rejected,
            gossip_published,
            bans,
            commands,
            commands_failed,
            store_failures,
        } = *self;
        [
            ("records_published", published),
            ("records_live", live),
            ("records_fetched", fetched),
            ("heads_signed", heads_signed),
            ("frames_in", frames_in),
            ("frame_bytes_in", frame_bytes_in),
            ("frames_out", frames_out),
            ("frame_bytes_out", frame_bytes_out),
            ("gossip_accepted", gossip_accepted),
            ("gossip_ignored", gossip_ignored),
            ("gossip_rejected", gossip_rejected),
            ("gossip_published", gossip_published),
            ("bans", bans),
            ("commands", commands),
            ("commands_failed", commands_failed),
            ("store_failures", store_failures),
        ]
    }

    /// Counts what goes out.
    fn output(&mut self, output: &Output) {
        match output {
            Output::Send(_, _, bytes) => {
                self.frames_out += 1;
                self.frame_bytes_out += bytes.len() as u64;
            }
            Output::Publish(..) => self.gossip_published += 1,
            Output::Verdict { verdict, .. } => match verdict {
                Verdict::Accept => self.gossip_accepted += 1,
                Verdict::Ignore => self.gossip_ignored += 1,
                Verdict::Reject => self.gossip_rejected += 1,
            },
            Output::Reply(_, reply) => {
                self.commands += 1;
                self.commands_failed += u64::from(reply.is_err());
            }
            Output::Ban(..) => self.bans += 1,
            Output::Signed(..) => self.heads_signed += 1,
            Output::Stopped(_) => self.store_failures += 1,
            _ => {}
        }
    }
}

/// What is to be done next, in order, and what was counted.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    queue: VecDeque<Output>,
    pub(super) counters: Counters,
    /// As they were told last.
    told: Counters,
}

impl Outputs {
    /// Has something done, after all that is in the queue.
    pub(super) fn push_back(&mut self, output: Output) {
        self.counters.output(&output);
        self.queue.push_back(output);
    }

    /// What is to be done next.
    pub(super) fn pop_front(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Has the counters told, if they are others than were told last.
    pub(super) fn tell_counters(&mut self) {
        if self.counters != self.told {
            self.told = self.counters;
            self.queue.push_back(Output::Counted(self.counters));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SigningKey;
    use crate::sync::Lane;
    use bytes::Bytes;

    #[test]
    fn what_passes_is_counted_and_told_once() {
        let mut outputs = Outputs::default();
        let frame = Bytes::from_static(b"frame");
        let peer = SigningKey::from_secret(&mut [1; 32]).public().peer_id();
        (outputs.counters).input(&Input::Frame(peer, frame.clone()));
        outputs.push_back(Output::Send(peer, Lane::Control, frame));
        outputs.tell_counters();
        outputs.tell_counters();
        assert!(matches!(outputs.pop_front(), Some(Output::Send(..))));
        let Some(Output::Counted(counters)) = outputs.pop_front() else {
            panic!("the counters were not told");
        };
        let wanted = Counters {
            frames_in: 1,
            frame_bytes_in: 5,
            frames_out: 1,
            frame_bytes_out: 5,
            ..Counters::default()
        };
        assert_eq!(counters, wanted);
        assert!(outputs.pop_front().is_none(), "nothing is told twice");
    }
}
