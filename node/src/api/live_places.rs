//! The places of live clients: each keeps a connection, a task, and what it has
//! not taken yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::caller::{Caller, Client, Who};
use super::limits::MAX_LIVE_STREAMS;
use super::problem::ApiError;
use super::whence::Whence;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct LivePlaces(Mutex<Vec<Who>>);

impl LivePlaces {
    fn locked(&self) -> MutexGuard<'_, Vec<Who>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.locked().len()
    }

    /// A place, until it is dropped. A tenth of all is for those who show a
    /// token, and another machine may have half of all.
    pub(super) fn enter(self: &Arc<Self>, client: &Client) -> Result<LivePlace, ApiError> {
        let who = client.who.clone();
        let mut taken = self.locked();
        let count =
            |is_meant: &dyn Fn(&Who) -> bool| taken.iter().filter(|who| is_meant(who)).count();
        let (whence, caller) = &who;
        let text = if taken.len() >= MAX_LIVE_STREAMS {
            format!("{MAX_LIVE_STREAMS} live streams are open already; close some")
        } else if *caller == Caller::Unknown
            && count(&|(_, caller)| *caller == Caller::Unknown) >= WITHOUT_TOKEN
        {
            format!(
                "{WITHOUT_TOKEN} live streams are open without a token; close some, or show a token (headwater \
                 token new NAME --read-only)"
            )
        } else if matches!(whence, Some(Whence::There(_)))
            && count(&|(known, _)| known == whence) >= FROM_ONE_ADDRESS
        {
            format!("{FROM_ONE_ADDRESS} live streams are open from this address; close some")
        } else {
            taken.push(who.clone());
            let places = self.clone();
            return Ok(LivePlace { places, who });
        };
        Err(ApiError::busy(text))
    }
}

/// Of all, for those who show no token.
const WITHOUT_TOKEN: usize = MAX_LIVE_STREAMS - MAX_LIVE_STREAMS / 10;

/// Of all, for one other machine.
const FROM_ONE_ADDRESS: usize = MAX_LIVE_STREAMS / 2;

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct LivePlace {
    places: Arc<LivePlaces>,
    who: Who,
}

impl Drop for LivePlace {
    fn drop(&mut self) {
        let mut taken = self.places.locked();
        if let Some(at) = taken.iter().position(|who| *who == self.who) {
            taken.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::tests::client;
    use super::*;

    #[test]
    fn five_hundred_need_no_token_and_another_machine_has_half() {
        let places = Arc::new(LivePlaces::default());
        let stranger = client("127.0.0.1", Caller::Unknown);
        let owner = client("127.0.0.1", Caller::Owner);
        const { assert!(WITHOUT_TOKEN > 500) };
        let mut all: Vec<_> = (0..WITHOUT_TOKEN)
            .map(|_| places.enter(&stranger).unwrap())
            .collect();
        assert!(places.enter(&stranger).is_err());
        let rest = MAX_LIVE_STREAMS - WITHOUT_TOKEN;
        all.extend((0..rest).map(|_| places.enter(&owner).unwrap()));
        assert!(places.enter(&owner).is_err());
        drop(all);
        assert_eq!(places.taken(), 0);

        let there = client("192.0.2.1", Caller::Named("notebook".to_owned()));
        let _all: Vec<_> = (0..FROM_ONE_ADDRESS)
            .map(|_| places.enter(&there).unwrap())
            .collect();
        assert!(places.enter(&there).is_err());
        assert!(places.enter(&stranger).is_ok());
    }
}
