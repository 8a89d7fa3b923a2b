//! Peers whose gossip costs too much: what they say is false, or they claim to
//! be subscribed to more than there is room for. Gossipsub alone stops listening
//! to the former, but goes on decoding and checking what they send; and it
//! bounds the topics of each peer, generously because a node may follow 10,000
//! streams, so that some hundred who only claim to would fill the memory.

use std::collections::BTreeMap;

use libp2p::PeerId;
use tokio::time::Instant;

use super::gossip::Gossip;
use super::limits::{DROP_SCORE, GRAYLIST_SCORE, MAX_STRIKES, MAX_SUBSCRIPTIONS, SCORES_EVERY};

/// Looks at the scores and subscriptions once in a while.
#[derive(Debug)]
pub(super) struct GossipOffenders {
    due: Instant,
    /// How often those who are not listened to were found so.
    strikes: BTreeMap<PeerId, u32>,
    /// Somebody has subscribed since the subscriptions were counted.
    subscribed: bool,
}

impl GossipOffenders {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now + SCORES_EVERY,
            strikes: BTreeMap::new(),
            subscribed: false,
        }
    }

    /// When [`liars`](Self::liars) and [`hoarders`](Self::hoarders) are to be
    /// asked for; from then on it is later.
    pub(super) fn next_due(&self) -> Instant {
        self.due
    }

    /// Whether that is now.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + SCORES_EVERY;
        }
        is_due
    }

    /// Notes that a peer has subscribed to a topic.
    pub(super) fn subscribed(&mut self) {
        self.subscribed = true;
    }

    /// Those whose gossip is false, all at once or on and on.
    pub(super) fn liars(&mut self, gossip: &Gossip) -> Vec<PeerId> {
        let scores = (gossip.peer_protocol())
            .filter_map(|(&peer, _)| Some((peer, gossip.peer_score(&peer)?)));
        self.strike(scores)
    }

    fn strike(&mut self, scores: impl Iterator<Item = (PeerId, f64)>) -> Vec<PeerId> {
        let mut gone = Vec::new();
        let before = std::mem::take(&mut self.strikes);
        // Who is at zero again, or is gone, is forgotten.
        for (peer, score) in scores.filter(|(_, score)| *score < 0.0) {
            let strikes = before.get(&peer).copied().unwrap_or(0);
            let strikes = strikes + u32::from(score < GRAYLIST_SCORE);
            if score < DROP_SCORE || strikes >= MAX_STRIKES {
                gone.push(peer);
            } else if strikes > 0 {
                self.strikes.insert(peer, strikes);
            }
        }
        gone
    }

    /// Those with most topics, as long as all together have too many.
    pub(super) fn hoarders(&mut self, gossip: &Gossip) -> Vec<PeerId> {
        if !std::mem::take(&mut self.subscribed) {
            return Vec::new();
        }
        let counts = gossip
            .all_peers()
            .map(|(&peer, topics)| (peer, topics.len()));
        beyond(counts.collect(), MAX_SUBSCRIPTIONS)
    }
}

/// Those with most, without whom the rest is within the bound.
fn beyond(mut counts: Vec<(PeerId, usize)>, bound: usize) -> Vec<PeerId> {
    let mut total: usize = counts.iter().map(|(_, count)| count).sum();
    counts.sort_unstable_by_key(|(_, count)| *count);
    let mut gone = Vec::new();
    while total > bound
        && let Some((peer, count)) = counts.pop()
    {
        total -= count;
        gone.push(peer);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lies_on_and_on_goes_although_gossipsub_has_stopped_counting() {
        let mut offenders = GossipOffenders::new(Instant::now());
        let [slow, fast, once] = [(); 3].map(|()| PeerId::random());
        let mut gone = Vec::new();
        for look in 0..MAX_STRIKES {
            // Not listened to, the score rises, until the next lie.
            let scores = [(slow, -81.0), (once, if look == 0 { -90.0 } else { -10.0 })];
            gone.extend(offenders.strike(scores.into_iter()));
        }
        assert_eq!(gone, [slow]);
        assert_eq!(
            offenders.strike([(fast, DROP_SCORE - 1.0)].into_iter()),
            [fast]
        );
        assert!(offenders.strikes.is_empty());
    }

    #[test]
    fn those_with_most_topics_go_until_the_rest_has_room() {
        let peers: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
        let counts: Vec<_> = peers.iter().copied().zip([10, 40, 20, 30]).collect();
        assert_eq!(beyond(counts.clone(), 100), []);
        assert_eq!(beyond(counts.clone(), 60), [peers[1]]);
        assert_eq!(beyond(counts, 59), [peers[1], peers[3]]);
    }
}
