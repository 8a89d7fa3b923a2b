//! Who gets a place, and who has to go.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::line::Line;
use super::super::whence::Whence;
use super::*;

pub(in super::super) fn client(address: &str, caller: Caller) -> Client {
    let address: SocketAddr = format!("{address}:1").parse().unwrap();
    let line = Line::new(address, Instant::now());
    Client {
        who: (Some(Whence::of(address.ip())), caller),
        line: Some(Arc::new(line)),
    }
}

pub(in super::super) fn stranger() -> Client {
    client("127.0.0.1", Caller::Unknown)
}

/// A place of its own.
pub(in super::super) async fn place() -> Place {
    enter(&Arc::new(Places::default()), &stranger(), 1).await
}

pub(in super::super) async fn enter(places: &Arc<Places>, client: &Client, size: usize) -> Place {
    places.enter(client, size).await.unwrap()
}

#[tokio::test]
async fn who_waits_for_its_client_lets_another_work() {
    let places = Arc::new(Places::with_turns(1));
    let first = enter(&places, &stranger(), 1).await;
    let next = tokio::spawn({
        let places = places.clone();
        async move { enter(&places, &stranger(), 1).await }
    });
    tokio::task::yield_now().await;
    assert!(!next.is_finished());
    first.stall();
    let next = next.await.unwrap();
    // It goes on when the other one is done.
    let goes_on = tokio::task::spawn_blocking(move || first.go_on(&Handle::current()));
    drop(next);
    assert!(goes_on.await.unwrap());
}

#[tokio::test]
async fn the_next_turn_is_that_of_whoever_has_fewest() {
    let places = Arc::new(Places::with_turns(2));
    let busy = client("192.0.2.1", Caller::Unknown);
    let mut working = vec![
        enter(&places, &busy, 1).await,
        enter(&places, &busy, 1).await,
    ];
    let later = |client: Client| {
        let places = places.clone();
        tokio::spawn(async move { enter(&places, &client, 1).await })
    };
    let same = later(busy.clone());
    tokio::task::yield_now().await;
    let named = later(client("192.0.2.1", Caller::Named("notebook".to_owned())));
    tokio::task::yield_now().await;
    working.pop();
    let named = named.await.unwrap();
    assert!(!same.is_finished());
    drop(named);
    same.await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_has_to_go_when_others_need_its_room() {
    let places = Arc::new(Places::with_turns(1_000));
    let size = READ_MEBIBYTES / 4;
    let clients = [(); 3].map(|()| stranger());
    let mut all = Vec::new();
    for client in &clients {
        all.push(enter(&places, client, size).await);
    }
    // The last quarter is for those who show a token.
    let busy = places.enter_within(&stranger(), size, LOOK_AGAIN).await;
    let busy = busy.unwrap_err();
    assert_eq!(busy.problem().status, 503);
    let owner = client("127.0.0.1", Caller::Owner);
    let own = enter(&places, &owner, size).await;
    assert!(all.iter().all(|place| !place.is_told_to_go()));

    all[1].stall();
    let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    let stalls = |place: &Place| place.change(|reader| reader.doing = Doing::Stalls(long_ago));
    stalls(&all[1]);
    clients[1].line.as_ref().unwrap().stalls_since(long_ago);
    // Its connection has just taken a part of a block.
    stalls(&all[0]);
    clients[0]
        .line
        .as_ref()
        .unwrap()
        .stalls_since(Instant::now());
    all[2].stall();
    let waits = tokio::spawn({
        let places = places.clone();
        async move { enter(&places, &owner, size).await }
    });
    while !clients[1].line.as_ref().unwrap().is_cut() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    assert!(all[1].is_told_to_go());
    assert!(!all[0].is_told_to_go() && !all[2].is_told_to_go());
    drop(all.remove(1));
    drop((waits.await.unwrap(), own));
}

impl Places {
    pub(in super::super) fn taken(&self) -> usize {
        self.locked().readers.len()
    }
}

impl Place {
    fn is_told_to_go(&self) -> bool {
        self.change(|reader| matches!(reader.doing, Doing::Leaves)) == Some(true)
    }
}
