//! What live readers of a stream hear that its recovery key has ended.

use headwater_protocols::engine::LogStatus;
use headwater_protocols::head::SignedHead;
use headwater_protocols::id::LogId;
use headwater_protocols::identity::{ED25519, SigningKey, key_hash};
use headwater_protocols::log::ForkProof;
use headwater_protocols::recovery::{Recovered, Recovery};
use headwater_protocols::time::Timestamp;
use headwater_protocols::wire::v1;

use super::*;

/// A stream of eleven records, of which the node can be told anything.
struct Told {
    api: Api,
    path: String,
    status: LogStatus,
}

impl Told {
    async fn new() -> Self {
        let api = Api::start().await;
        let id = api.create("temperature").await;
        let path = format!("/v1/streams/{id}");
        let observations = format!("{path}/observations");
        assert_eq!(api.call("POST", &observations, items(0..11)).await.0, 201);
        let log: LogId = id.parse().unwrap();
        let status = LogStatus::clone(&api.state.node().stream(log).unwrap());
        Self { api, path, status }
    }

    fn set(&mut self, change: impl FnOnce(&mut LogStatus)) {
        change(&mut self.status);
        self.api.state.node().set_stream(self.status.clone());
    }

    fn head(&self) -> SignedHead {
        let head = self.status.head.as_ref().unwrap();
        head.signed().unwrap().clone()
    }

    /// The recovery key picks the head that is here.
    fn recover(&mut self) {
        let drawer = SigningKey::from_secret(&mut [55; 32]);
        let recovery = Recovery {
            head: self.head(),
            successor: None,
            issued: Timestamp(1),
        };
        let said = v1::Recovered {
            statements: vec![recovery.sign(&drawer).to_wire()],
        };
        let publisher = self.status.manifest.as_ref().unwrap().publisher.clone();
        let by = key_hash(ED25519, &drawer.public().to_bytes());
        let recovered = Recovered::verify(said, self.status.log, &publisher, Some(&by)).unwrap();
        self.set(|status| status.recovered = Some(Box::new(recovered)));
    }

    /// It is known that the publisher has signed two trees, and not where they part.
    fn fork(&mut self) {
        let head = self.head();
        let fork = ForkProof {
            left: vec![head.root],
            right: Vec::new(),
            smaller: head.clone(),
            larger: head,
            common: None,
        };
        self.set(|status| status.fork = Some(Box::new(fork)));
    }

    async fn live_from(&self, from: u64) -> Events {
        let path = format!("{}/live?from={from}", self.path);
        Events(self.api.send("GET", &path, Body::empty()).await.into_body())
    }

    /// Of a client that has got the event of this id.
    async fn live_after(&self, id: &str) -> Events {
        let path = format!("{}/live?from=2", self.path);
        let back = [("last-event-id", id)];
        let answer = self.api.with_headers("GET", &path, &back).await;
        assert_eq!(answer.status(), 200, "{id}");
        Events(answer.into_body())
    }
}

struct Events(Body);

impl Events {
    /// The id of the next record, or the other event.
    async fn next(&mut self) -> String {
        loop {
            let frame = self.0.frame().await.unwrap().unwrap();
            let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
            let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            if let Some(id) = value("id: ") {
                return id.to_owned();
            }
            let data = || serde_json::from_str::<Value>(value("data: ").unwrap()).unwrap();
            match value("event: ") {
                Some("reset") => return format!("reset {}", data()["from"]),
                Some("ended") => return format!("ended {}", data()["size"]),
                _ => {}
            }
        }
    }

    async fn all<const N: usize>(&mut self) -> [String; N] {
        let mut all = [const { String::new() }; N];
        for one in &mut all {
            *one = self.next().await;
        }
        all
    }
}

#[tokio::test]
async fn live_readers_hear_each_time_that_less_of_what_they_have_counts() {
    let mut told = Told::new().await;
    let mut events = told.live_from(9).await;
    assert_eq!(events.all().await, ["9", "10"]);
    // All that the client may have counts, and that is all.
    told.recover();
    assert_eq!(events.all().await, ["reset 11", "ended 11"]);
    assert_eq!(told.live_from(9).await.all().await, ["9", "10", "ended 11"]);
    // It turns out that nothing that is here tells.
    told.set(|status| status.disputed_from = Some(0));
    assert_eq!(events.next().await, "reset 0");
    // More of it counts again, of which the client has nothing.
    told.set(|status| status.disputed_from = None);
    assert_eq!(events.all().await, ["9", "10", "ended 11"]);
    for _ in 0..2 {
        told.set(|status| status.disputed_from = Some(10));
        assert_eq!(events.next().await, "reset 10");
        told.set(|status| status.disputed_from = None);
        assert_eq!(events.all().await, ["10", "ended 11"]);
    }
    told.set(|status| {
        let key = status.key.as_mut().unwrap();
        key.number += 1;
    });
    assert_eq!(events.next().await, "reset 0");
}

#[tokio::test]
async fn who_is_there_hears_of_the_end_and_who_comes_later_of_what_he_may_have() {
    let mut told = Told::new().await;
    let mut first = told.live_from(0).await;
    assert_eq!(first.next().await, "0");
    told.recover();
    told.set(|status| status.disputed_from = Some(5));
    // Some records may have been on their way already.
    let mut events = first.all::<5>().await.to_vec();
    events.sort_unstable();
    assert_eq!(events, ["1", "2", "3", "4", "reset 5"]);
    assert_eq!(told.live_from(4).await.next().await, "4");
    // Who asks for more may have it.
    assert_eq!(told.live_from(8).await.next().await, "reset 5");
    assert_eq!(told.live_after("3").await.next().await, "4");
    assert_eq!(told.live_after("5").await.next().await, "reset 5");
}

#[tokio::test]
async fn what_was_the_latest_is_not_answered_with_nothing_where_nothing_that_is_here_counts() {
    let mut told = Told::new().await;
    let latest = format!("{}/observations?at_or_before=1970-01-01", told.path);
    assert_eq!(told.api.call("GET", &latest, Value::Null).await.0, 200);
    told.fork();
    told.set(|status| status.disputed_from = Some(0));
    assert_eq!(told.api.call("GET", &latest, Value::Null).await.0, 409);
    told.recover();
    assert_eq!(told.api.call("GET", &latest, Value::Null).await.0, 409);
    told.set(|status| status.disputed_from = None);
    assert_eq!(told.api.call("GET", &latest, Value::Null).await.0, 200);
}

#[tokio::test]
async fn who_comes_back_with_what_may_be_another_history_hears_so_first() {
    let mut told = Told::new().await;
    // A stream that was never recovered: an id is an index.
    told.fork();
    assert_eq!(told.live_from(9).await.all().await, ["9", "10"]);
    // One that was, and never was another one.
    told.set(|status| status.fork = None);
    told.recover();
    assert_eq!(told.live_after("9").await.all().await, ["10", "ended 11"]);
    // It was, or may have been.
    told.fork();
    let root = told.head().root.to_string();
    let of = |index: u64| format!("{index}@{}", &root[..8]);
    let mut events = told.live_after("9").await;
    assert_eq!(events.all().await, ["reset 0".to_owned(), of(0), of(1)]);
    assert_eq!(told.live_after(&of(8)).await.all().await, [of(9), of(10)]);
    let other = told.live_after("9@00000000").await.next().await;
    assert_eq!(other, "reset 0");
    // The same is known where the rows were replaced meanwhile.
    told.set(|status| {
        status.fork = None;
        status.key.as_mut().unwrap().number += 1;
    });
    assert_eq!(told.live_after("9").await.next().await, "reset 0");

    let live = format!("{}/live", told.path);
    for wrong in ["x", "9@", "9@xyz", ""] {
        let back = [("last-event-id", wrong)];
        let refused = told.api.with_headers("GET", &live, &back).await;
        assert_eq!(refused.status(), 400, "{wrong}");
    }
}
