//! Connections that come when there are too many.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::runtime::Handle;

use super::Api;
use crate::api::crowd::{Crowd, Entry, Membership};

async fn enter(crowd: &Arc<Crowd>) -> Membership {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    match crowd.enter(address).await {
        Entry::Taken(membership) => membership,
        Entry::Refused => panic!("nobody is let in"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_costs_no_look_at_those_who_stay() {
    let api = Api::start().await;
    let crowd = Arc::new(Crowd::new(api.state.node().clone(), 2, 0));
    let answered = enter(&crowd).await;
    answered.line.asked(false);
    let half = enter(&crowd).await;
    let (told, entered) = mpsc::channel();
    let held = answered.line.held();
    std::thread::spawn({
        let (crowd, runtime) = (crowd.clone(), Handle::current());
        move || told.send(runtime.block_on(enter(&crowd)))
    });
    let third = entered.recv_timeout(Duration::from_secs(5)).unwrap();
    drop(held);
    assert!(half.line.is_cut() && !answered.line.is_cut());
    assert!(!third.line.is_cut());
}

#[tokio::test]
async fn who_is_gone_leaves_its_place_to_a_stranger() {
    let api = Api::start().await;
    let crowd = Arc::new(Crowd::new(api.state.node().clone(), 4, 0));
    let mut answered = Vec::new();
    for _ in 0..4 {
        assert!(crowd.has_room_for_strangers());
        answered.push(enter(&crowd).await);
        answered[answered.len() - 1].line.asked(false);
    }
    assert!(!crowd.has_room_for_strangers());
    answered[0].line.trust(true);
    assert!(crowd.has_room_for_strangers());
    answered[0].line.trust(false);
    assert!(!crowd.has_room_for_strangers());
    drop(answered.pop());
    assert!(crowd.has_room_for_strangers());
}
