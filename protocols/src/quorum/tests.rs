//! The rules of the vote, one by one, and walks among honest and lying peers.

use std::collections::BTreeMap;

use super::kept::{self, Import, KeepError, Kept, State};
use super::tally::needed;
use super::*;
use crate::limits::{MAX_ANSWERED_GROUPS, MAX_ASKED_PEERS};
use crate::store::{MemoryStore, StoreError, Table};

const SECOND: u64 = 1_000_000;
const DEADLINE: u64 = 5 * SECOND;

fn peer(number: u8) -> PeerId {
    let mut secret = [9; 32];
    secret[0] = number;
    crate::identity::SigningKey::from_secret(&mut secret)
        .public()
        .peer_id()
}

fn id() -> HistoryId {
    HistoryName::new("weather of old").unwrap().id()
}

fn group(time: i64, values: &[&str]) -> Group {
    let values = values.iter().map(|v| Bytes::copy_from_slice(v.as_bytes()));
    Group {
        time: Timestamp(time),
        values: values.collect(),
    }
}

/// One observation at each of these times, the latest first.
fn history(times: impl DoubleEndedIterator<Item = i64>) -> Vec<Group> {
    times.rev().map(|t| group(t, &[&t.to_string()])).collect()
}

/// What a peer does when it is asked.
#[derive(Clone)]
enum Does {
    /// Answers from these groups, so many at a time.
    Tells(Vec<Group>, usize),
    Says(Reply),
    Nothing,
}

fn tells(groups: &[Group]) -> Does {
    Does::Tells(groups.to_vec(), MAX_ANSWERED_GROUPS)
}

impl Does {
    fn reply(&self, question: &Question) -> Option<Reply> {
        match self {
            Self::Nothing => None,
            Self::Says(reply) => Some(reply.clone()),
            Self::Tells(groups, most) => {
                let before = groups.iter().filter(|g| g.time < question.before);
                let mut groups: Vec<Group> = before.cloned().collect();
                let is_beginning = groups.len() <= *most;
                groups.truncate(*most);
                Some(Reply::Answer(Answer::Groups {
                    groups,
                    is_beginning,
                }))
            }
        }
    }
}

/// A walk among peers of certain prefixes, until it ends.
struct World {
    peers: BTreeMap<PeerId, (Prefix, Does)>,
    now: Timestamp,
    asked: Vec<(Vec<PeerId>, Timestamp)>,
    agreed: Vec<Agreed>,
}

impl World {
    /// Each peer in a prefix of its own.
    fn new(peers: impl IntoIterator<Item = Does>) -> Self {
        let peers = (0..).zip(peers);
        Self::with(peers.collect())
    }

    /// Each in the prefix with this number.
    fn with(peers: Vec<(u8, Does)>) -> Self {
        let peers = (0..).zip(peers);
        let peers = peers.map(|(n, (prefix, does))| (peer(n), (Prefix::V4([10, prefix]), does)));
        Self {
            peers: peers.collect(),
            now: Timestamp(0),
            asked: Vec::new(),
            agreed: Vec::new(),
        }
    }

    fn walk(&mut self, before: i64) -> Outcome {
        let mut walk = Walk::new(id(), Timestamp(before), DEADLINE, [1; 32], self.now);
        self.run(&mut walk)
    }

    fn run(&mut self, walk: &mut Walk) -> Outcome {
        for _ in 0..100_000 {
            let Some(output) = walk.poll_output() else {
                self.now = self.now.max(walk.poll_timeout().unwrap());
                walk.handle_timeout(self.now);
                continue;
            };
            match output {
                Output::WantPeers => {
                    let peers = self.peers.iter();
                    let peers = peers.map(|(peer, (prefix, _))| (*peer, prefix.clone()));
                    walk.handle(Input::Peers(peers.collect()), self.now);
                }
                Output::Ask {
                    round,
                    peers,
                    question,
                } => {
                    self.asked.push((peers.clone(), question.before));
                    for peer in peers {
                        if let Some(reply) = self.peers[&peer].1.reply(&question) {
                            self.now = self.now.plus(1_000);
                            walk.handle(Input::Reply { round, peer, reply }, self.now);
                        }
                    }
                }
                Output::Agreed(agreed) => self.agreed.push(agreed),
                Output::Ended(outcome) => {
                    assert_eq!((walk.poll_output(), walk.poll_timeout()), (None, None));
                    return outcome;
                }
            }
        }
        panic!("the walk does not end");
    }

    fn groups(&self) -> Vec<Group> {
        let groups = self.agreed.iter().flat_map(|agreed| &agreed.groups);
        groups.cloned().collect()
    }
}

fn report(outcome: Outcome) -> Report {
    match outcome {
        Outcome::Stopped(report) => report,
        Outcome::Complete => panic!("it is complete"),
    }
}

#[test]
fn two_thirds_are_rounded_up_and_one_alone_is_enough_only_when_one_was_asked() {
    let of_all = |n| needed(n, n);
    assert_eq!(
        [1, 2, 3, 4, 5, 6, 9, 64].map(of_all),
        [1, 2, 2, 3, 4, 4, 6, 43]
    );
    assert_eq!(needed(4, 3), 2);
    assert_eq!(needed(3, 1), 2);
    assert_eq!(needed(1, 1), 1);
}

#[test]
fn a_history_that_all_agree_on_is_taken_to_its_beginning() {
    let whole = history(0..2_000);
    let mut world = World::new([tells(&whole), tells(&whole), tells(&whole)]);
    assert_eq!(world.walk(i64::MAX), Outcome::Complete);
    assert_eq!(world.groups(), whole);
    let last = world.agreed.last().unwrap();
    assert!(last.is_beginning && !last.on_one_word);
    // As many as an answer holds come in one round.
    assert_eq!(world.asked.len(), 2_000_usize.div_ceil(MAX_ANSWERED_GROUPS));
    // And no more rounds than one is answered for.
    assert!(world.now >= Timestamp(3 * 50_000));
}

#[test]
fn one_liar_among_four_is_outvoted_whatever_it_says() {
    let whole = history(0..700);
    let mut changed = whole.clone();
    changed[600].values[0] = Bytes::from_static(b"666");
    let without_end: Vec<Group> = history(-500..700);
    for lie in [
        changed,
        history(0..650),
        without_end,
        Vec::new(),
        whole[..9].to_vec(),
    ] {
        for most in [1, 7, MAX_ANSWERED_GROUPS] {
            let liar = Does::Tells(lie.clone(), most);
            let honest = tells(&whole);
            let mut world = World::new([honest.clone(), liar, honest.clone(), honest]);
            assert_eq!(world.walk(10_000), Outcome::Complete);
            assert_eq!(world.groups(), whole);
            assert!(world.asked.len() < 4, "{}", world.asked.len());
        }
    }
}

#[test]
fn nothing_is_an_answer_and_counts() {
    let whole = history(0..10);
    let mut world = World::new([tells(&whole), tells(&whole), tells(&[])]);
    assert_eq!(world.walk(100), Outcome::Complete);
    assert_eq!(world.groups(), whole);

    let mut world = World::new([tells(&whole), tells(&[]), tells(&[])]);
    assert_eq!(world.walk(100), Outcome::Complete);
    assert_eq!(world.groups(), []);

    let mut world = World::new([tells(&whole), tells(&[])]);
    let report = report(world.walk(100));
    assert_eq!((report.asked, report.answered, report.needed), (2, 2, 2));
    let said: Vec<_> = report.ballots.iter().map(|b| (&b.said, b.votes)).collect();
    assert_eq!(
        said,
        [(&Said::Group(whole[0].clone()), 1), (&Said::Nothing, 1)]
    );
}

#[test]
fn those_who_refuse_are_no_answer_and_one_of_many_is_not_taken_at_its_word() {
    let whole = history(0..10);
    let refuses = Does::Says(Reply::Answer(Answer::Refused(Refusal::Unknown)));
    let (one, no) = (tells(&whole), &refuses);
    let mut world = World::new([one.clone(), one.clone(), no.clone(), no.clone(), no.clone()]);
    assert_eq!(world.walk(100), Outcome::Complete);
    assert_eq!(world.groups(), whole);

    let mut world = World::new([one.clone(), no.clone(), Does::Nothing]);
    let report = report(world.walk(100));
    assert_eq!((report.asked, report.answered, report.needed), (3, 1, 2));
    assert_eq!(report.ballots[0].votes, 1);
    let silent: Vec<_> = report.silent.into_iter().map(|(_, why)| why).collect();
    assert!(silent.contains(&Silence::Unknown) && silent.contains(&Silence::Late));
    assert_eq!(world.agreed, []);
}

#[test]
fn a_single_peer_is_taken_at_its_word_and_that_is_noted() {
    let whole = history(0..10);
    let mut world = World::new([tells(&whole)]);
    assert_eq!(world.walk(100), Outcome::Complete);
    assert_eq!(world.groups(), whole);
    assert!(world.agreed.iter().all(|agreed| agreed.on_one_word));
    // Whoever does not know such questions was not asked.
    let old = Does::Says(Reply::Silence(Silence::NotAsked));
    let mut world = World::new([tells(&whole), old]);
    assert_eq!(world.walk(100), Outcome::Complete);
    assert!(world.agreed[0].on_one_word);

    let none = report(World::new([]).walk(100));
    assert_eq!((none.asked, none.answered), (0, 0));
}

#[test]
fn all_peers_of_a_prefix_have_one_vote() {
    let (whole, lie) = (history(0..10), history(5..10));
    let (honest, liar) = (tells(&whole), tells(&lie));
    let mut peers = vec![(1, honest.clone()), (2, honest.clone())];
    peers.extend((0..20).map(|_| (3, liar.clone())));
    let mut world = World::with(peers);
    assert_eq!(world.walk(100), Outcome::Complete);
    assert_eq!(world.groups(), whole);
    // Twenty of one prefix are one who is asked.
    let mut world = World::with((0..20).map(|_| (3, liar.clone())).collect());
    assert_eq!(world.walk(100), Outcome::Complete);
    assert!(world.agreed[0].on_one_word);
}

#[test]
fn a_prefix_that_contradicts_itself_is_void_and_still_counts_as_an_answer() {
    let (whole, lie) = (history(0..10), history(0..9));
    let (honest, liar) = (tells(&whole), tells(&lie));
    // A liar beside one honest peer of three does not matter.
    let beside = vec![
        (1, honest.clone()),
        (1, liar.clone()),
        (2, honest.clone()),
        (3, honest.clone()),
    ];
    let mut world = World::with(beside);
    assert_eq!(world.walk(100), Outcome::Complete);
    assert_eq!(world.groups(), whole);
    // A liar beside each is not alone with its own votes then.
    let beside = vec![
        (1, honest.clone()),
        (1, liar.clone()),
        (2, honest),
        (2, liar.clone()),
        (3, liar.clone()),
        (4, liar),
    ];
    let report = report(World::with(beside).walk(100));
    assert_eq!((report.asked, report.answered, report.needed), (4, 4, 3));
    let lied = &report.ballots[0];
    assert_eq!((lied.votes, lied.peers.len(), lied.void.len()), (2, 4, 2));
    assert_eq!(
        (report.ballots[1].votes, report.ballots[1].void.len()),
        (0, 2)
    );
}

#[test]
fn where_agreement_ends_the_walk_stops_and_what_was_agreed_on_before_is_kept() {
    let whole = history(0..100);
    let mut other = whole.clone();
    other[60].values = vec![Bytes::from_static(b"other")];
    let mut world = World::new([tells(&whole), tells(&other)]);
    let report = report(world.walk(1_000));
    assert_eq!(world.groups(), whole[..60]);
    assert_eq!(report.before, whole[59].time);
    assert_eq!(
        (report.answered, report.needed, report.ballots.len()),
        (2, 2, 2)
    );
    // When one more comes, it goes on from there.
    let honest = (Prefix::V4([10, 9]), tells(&whole));
    world.peers.insert(peer(9), honest);
    assert_eq!(world.walk(report.before.0), Outcome::Complete);
    assert_eq!(world.groups(), whole);
}

#[test]
fn the_order_of_values_of_one_time_is_part_of_what_is_voted_on() {
    let one = [group(5, &["a", "b"])];
    let other = [group(5, &["b", "a"])];
    let report = report(World::new([tells(&one), tells(&other)]).walk(9));
    assert_eq!(report.ballots.len(), 2);
}

#[test]
fn absurd_answers_are_no_answers() {
    let question = Question {
        history: id(),
        before: Timestamp(100),
        groups: 4,
    };
    let long = "x".repeat(MAX_UNSIGNED_VALUE_BYTES + 1);
    let many = vec!["x"; MAX_GROUP_VALUES + 1];
    let large = "x".repeat(MAX_UNSIGNED_VALUE_BYTES);
    let not_text = Group {
        time: Timestamp(1),
        values: vec![Bytes::from_static(&[0xff])],
    };
    let absurd = [
        vec![group(100, &["now"])],
        vec![group(i64::MAX, &["later"])],
        vec![group(5, &["a"]), group(5, &["b"])],
        vec![group(5, &["a"]), group(6, &["b"])],
        vec![group(5, &[])],
        vec![group(5, &[&long])],
        vec![group(5, &many)],
        vec![group(5, &[&*large; 20])],
        vec![group(5, &[&*large; 10]), group(4, &[&*large; 10])],
        history(0..5),
        vec![not_text],
        Vec::new(),
    ];
    let whole = history(0..3);
    for groups in absurd {
        let answer = Answer::Groups {
            groups,
            is_beginning: false,
        };
        assert!(answer.check(&question).is_err(), "{answer:?}");
        if matches!(&answer, Answer::Groups { groups, .. } if groups.len() == 5) {
            continue;
        }
        let lies = Does::Says(Reply::Answer(answer));
        let mut world = World::new([tells(&whole), lies.clone(), lies, tells(&whole)]);
        assert_eq!(world.walk(100), Outcome::Complete);
        assert_eq!(world.groups(), whole);
    }
}

#[test]
fn the_walk_does_not_wait_for_those_who_cannot_change_the_outcome() {
    let whole = history(0..10);
    let honest = tells(&whole);
    let mut world = World::new([
        honest.clone(),
        honest.clone(),
        honest.clone(),
        Does::Nothing,
    ]);
    assert_eq!(world.walk(100), Outcome::Complete);
    assert!(world.now < Timestamp(0).plus(DEADLINE));
    // Two of four do not tell before the deadline; two of two who answered do.
    let mut world = World::new([honest.clone(), honest, Does::Nothing, Does::Nothing]);
    assert_eq!(world.walk(100), Outcome::Complete);
    assert_eq!(world.groups(), whole);
    assert!(world.now >= Timestamp(0).plus(DEADLINE));
}

#[test]
fn an_answer_that_comes_late_or_twice_or_from_a_stranger_is_not_heard() {
    let whole = history(0..10);
    let mut walk = Walk::new(id(), Timestamp(100), DEADLINE, [1; 32], Timestamp(0));
    let lie = Reply::Answer(Answer::Groups {
        groups: history(50..60),
        is_beginning: true,
    });
    walk.handle_timeout(Timestamp(0));
    assert_eq!(walk.poll_output(), Some(Output::WantPeers));
    let peers = [0, 1, 2].map(|n| (peer(n), Prefix::V4([1, n])));
    walk.handle(Input::Peers(peers.into()), Timestamp(0));
    let Some(Output::Ask {
        round, question, ..
    }) = walk.poll_output()
    else {
        panic!("nobody is asked");
    };
    let honest = Reply::Answer(Answer::Groups {
        groups: whole.clone(),
        is_beginning: true,
    });
    let mut reply = |round, n, reply: &Reply| {
        let (peer, reply) = (peer(n), reply.clone());
        walk.handle(Input::Reply { round, peer, reply }, Timestamp(1));
        walk.poll_output()
    };
    for n in [0, 1, 2, 7] {
        assert_eq!(reply(round - 1, n, &lie), None);
    }
    assert_eq!(reply(round, 7, &lie), None);
    assert_eq!(reply(round, 0, &honest), None);
    // A second answer does not replace the first.
    assert_eq!(reply(round, 0, &lie), None);
    let Some(Output::Agreed(agreed)) = reply(round, 1, &honest) else {
        panic!("no agreement");
    };
    assert_eq!((agreed.groups, question.before), (whole, Timestamp(100)));
    assert_eq!(
        reply(round, 2, &lie),
        Some(Output::Ended(Outcome::Complete))
    );
    assert_eq!(reply(round, 2, &lie), None);
}

#[test]
fn of_too_many_peers_every_prefix_is_asked_first_and_the_seed_decides() {
    let peers = (0..=254).map(|n| (if n < 200 { 0 } else { n }, tells(&history(0..3))));
    let mut world = World::with(peers.collect());
    assert_eq!(world.walk(100), Outcome::Complete);
    let asked = &world.asked[0].0;
    assert_eq!(asked.len(), MAX_ASKED_PEERS);
    let of_prefix = |peer: &&PeerId| world.peers[*peer].0 != Prefix::V4([10, 0]);
    assert_eq!(asked.iter().filter(of_prefix).count(), 55);
    let mut again = World {
        now: Timestamp(0),
        asked: Vec::new(),
        agreed: Vec::new(),
        peers: world.peers.clone(),
    };
    let mut walk = Walk::new(id(), Timestamp(100), DEADLINE, [1; 32], Timestamp(0));
    again.run(&mut walk);
    assert_eq!((&again.asked, &again.agreed), (&world.asked, &world.agreed));
    let mut walk = Walk::new(id(), Timestamp(100), DEADLINE, [2; 32], Timestamp(0));
    again.asked.clear();
    again.run(&mut walk);
    assert_ne!(again.asked, world.asked);
}

#[test]
fn prefixes_are_those_of_the_open_internet() {
    let of = |ip: &str| Prefix::of(peer(1), ip.parse().unwrap());
    assert_eq!(of("198.51.100.7"), of("198.51.0.1"));
    assert_eq!(of("198.51.100.7"), of("::ffff:198.51.0.1"));
    assert_ne!(of("198.51.100.7"), of("198.52.100.7"));
    assert_eq!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    for near in [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "::1",
        "fd00::1",
        "fe80::1",
    ] {
        assert_eq!(of(near), Prefix::Peer(peer(1)), "{near}");
    }
}

#[test]
fn a_name_is_one_visible_text() {
    for good in ["a", "wind, pier 3", "Wetter: früher", &"x".repeat(128)] {
        assert_eq!(HistoryName::new(good).unwrap().as_str(), good);
    }
    for bad in ["", " ", " a", "a\n", "a\0b", &"x".repeat(129)] {
        assert!(HistoryName::new(bad).is_err(), "{bad:?}");
    }
    // As `printf 'headwater unsigned history 1\0a' | sha256sum` has it.
    let id = HistoryName::new("a").unwrap().id();
    assert_eq!(data_encoding::HEXLOWER.encode(&id.0), ID_OF_A);
}

const ID_OF_A: &str = "fa5f62121e74785e52cae675b5b6df335b310274eafbb4cfe6573447fa9a8765";

#[test]
fn messages_are_read_as_they_were_written() {
    let question = Question {
        history: id(),
        before: Timestamp(-5),
        groups: MAX_ANSWERED_GROUPS,
    };
    assert_eq!(Question::decode(question.encode().into()), Ok(question));
    for groups in [0, MAX_ANSWERED_GROUPS + 1] {
        let question = Question { groups, ..question };
        assert!(Question::decode(question.encode().into()).is_err());
    }
    let large = "x".repeat(MAX_UNSIGNED_VALUE_BYTES);
    let mut answers = vec![
        Answer::Refused(Refusal::Unknown),
        Answer::Refused(Refusal::Busy),
        Answer::Groups {
            groups: vec![group(7, &["1", "", "ü"]), group(-7, &["2"])],
            is_beginning: true,
        },
    ];
    // The longest that is allowed.
    let longest = group(i64::MIN, &[&*large; 15]);
    assert!(longest.cost() <= MAX_OBSERVATIONS_BYTES);
    answers.push(Answer::Groups {
        groups: vec![longest],
        is_beginning: true,
    });
    let empty: Vec<&str> = vec![""; MAX_GROUP_VALUES];
    let empty = (0..62).map(|n| group(i64::MIN + n, &empty)).collect();
    answers.push(Answer::Groups {
        groups: empty,
        is_beginning: true,
    });
    for answer in answers {
        let bytes = answer.clone().encode();
        assert_eq!(Answer::decode(bytes.into()), Ok(answer));
    }
    assert!(Answer::decode(Bytes::from_static(&[0xff; 9])).is_err());
}

fn import(store: &MemoryStore, name: &str, rows: &[(i64, &str)]) -> Result<Kept, KeepError> {
    let mut import = Import::begin(store, HistoryName::new(name).unwrap())?;
    for (time, value) in rows {
        import.push(Timestamp(*time), Bytes::copy_from_slice(value.as_bytes()))?;
    }
    import.finish()
}

fn all(store: &MemoryStore, id: HistoryId) -> Vec<Group> {
    let mut groups = Vec::new();
    kept::visit_from_beginning(store, id, |group| {
        groups.push(group.clone());
        Ok::<_, StoreError>(())
    })
    .unwrap();
    groups
}

#[test]
fn an_imported_history_is_told_to_peers_in_answers_that_they_take() {
    let store = MemoryStore::new();
    // Out of order, with times that repeat, on both sides of 1970.
    let mut rows: Vec<(i64, String)> = (-3_000..3_000)
        .map(|t| (t / 2 * 10, t.to_string()))
        .collect();
    rows.swap(5, 900);
    let rows: Vec<(i64, &str)> = rows.iter().map(|(t, v)| (*t, v.as_str())).collect();
    let kept = import(&store, "weather of old", &rows).unwrap();
    assert_eq!(kept.extent.observations, 6_000);
    assert_eq!(
        kept.extent.times,
        Some((Timestamp(-15_000), Timestamp(14_990)))
    );
    let groups = all(&store, id());
    assert!(groups.windows(2).all(|pair| pair[0].time < pair[1].time));
    assert_eq!(
        groups.iter().map(|group| group.values.len()).sum::<usize>(),
        6_000
    );

    let mut before = Timestamp(i64::MAX);
    let mut told = Vec::new();
    loop {
        let question = Question {
            history: id(),
            before,
            groups: 100,
        };
        let answer = kept::answer(&store, &question).unwrap();
        answer.check(&question).unwrap();
        let Answer::Groups {
            groups,
            is_beginning,
        } = answer
        else {
            panic!("refused");
        };
        told.extend(groups);
        if is_beginning {
            break;
        }
        before = told.last().unwrap().time;
    }
    told.reverse();
    assert_eq!(told, groups);
    // Nothing lies before its first time, and before the beginning of time.
    for before in [Timestamp(-15_000), Timestamp(i64::MIN)] {
        let question = Question {
            history: id(),
            before,
            groups: 1,
        };
        let nothing = Answer::Groups {
            groups: vec![],
            is_beginning: true,
        };
        assert_eq!(kept::answer(&store, &question).unwrap(), nothing);
    }
}

#[test]
fn long_values_end_an_answer_and_not_the_history() {
    let store = MemoryStore::new();
    let large = "x".repeat(MAX_UNSIGNED_VALUE_BYTES);
    let rows: Vec<(i64, &str)> = (0..40).map(|t| (t, large.as_str())).collect();
    import(&store, "weather of old", &rows).unwrap();
    let question = Question {
        history: id(),
        before: Timestamp(100),
        groups: MAX_ANSWERED_GROUPS,
    };
    let answer = kept::answer(&store, &question).unwrap();
    answer.check(&question).unwrap();
    assert!(answer.clone().encode().len() <= crate::limits::MAX_OBSERVATIONS_ANSWER_BYTES);
    let Answer::Groups {
        groups,
        is_beginning,
    } = answer
    else {
        panic!("refused");
    };
    assert_eq!((groups.len(), is_beginning), (15, false));
}

#[test]
fn an_import_that_fails_or_is_cut_off_leaves_nothing_behind() {
    let store = MemoryStore::new();
    let many: Vec<(i64, &str)> = vec![(7, "x"); MAX_GROUP_VALUES + 1];
    let long = "x".repeat(MAX_UNSIGNED_VALUE_BYTES + 1);
    for bad in [&many[..], &[(1, "good"), (2, &long)]] {
        assert!(matches!(
            import(&store, "a", bad),
            Err(KeepError::Flaw { .. })
        ));
        assert_eq!(store.len(Table::Unsigned), 0);
    }
    for commits in 0..3 {
        store.fail_after(commits, StoreError::Full("no room".to_owned()));
        assert!(import(&store, "a", &[(1, "x")]).is_err());
        assert_eq!(kept::list(&store).unwrap(), []);
    }
    // The process ends in the middle of it.
    let mut cut = Import::begin(&store, HistoryName::new("a").unwrap()).unwrap();
    for n in 0..400 {
        let large = Bytes::from(vec![b'x'; MAX_UNSIGNED_VALUE_BYTES]);
        cut.push(Timestamp(n), large).unwrap();
    }
    std::mem::forget(cut);
    assert!(store.len(Table::Unsigned) > 200);
    assert_eq!(kept::list(&store).unwrap(), []);
    let kept = import(&store, "a", &[(1, "x")]).unwrap();
    assert_eq!(store.len(Table::Unsigned), 2);
    assert_eq!(kept::list(&store).unwrap(), [kept]);
    assert!(matches!(
        import(&store, "a", &[]),
        Err(KeepError::Exists(_))
    ));
    // What is imported survives the loss of power at once.
    store.lose_power(0);
    assert_eq!(store.len(Table::Unsigned), 2);
    kept::delete(&store, &HistoryName::new("a").unwrap()).unwrap();
    assert_eq!(store.len(Table::Unsigned), 0);
}

#[test]
fn a_walk_goes_on_where_it_was_when_the_process_ended() {
    let whole = history(0..1_500);
    let name = HistoryName::new("weather of old").unwrap();
    let store = MemoryStore::new();
    let mut world = World::new([tells(&whole), tells(&whole), tells(&whole)]);
    let mut rounds = 0;
    loop {
        let mut kept = kept::begin_walk(&store, &name, None, Timestamp(9_999)).unwrap();
        let State::Asking { before, next } = kept.state else {
            break;
        };
        assert_eq!(before, Timestamp(9_999));
        assert!(!kept.is_told());
        // One round, and then the process ends without a word.
        let mut walk = Walk::new(name.id(), next, DEADLINE, [1; 32], world.now);
        world.agreed.clear();
        world.run(&mut walk);
        kept::append(&store, &mut kept, &world.agreed[0]).unwrap();
        rounds += 1;
    }
    assert_eq!(rounds, 3);
    let mut found = all(&store, id());
    found.reverse();
    assert_eq!(found, whole);
    let kept = kept::find(&store, id()).unwrap().unwrap();
    assert_eq!(kept.extent.observations, 1_500);
    assert!(kept.is_told());
    // Complete means that it is on the disk.
    assert_eq!(store.unsynced(), 0);
    // What came after the time that was asked for is not known.
    let asked = |before| Question {
        history: id(),
        before: Timestamp(before),
        groups: 1,
    };
    let unknown = Answer::Refused(Refusal::Unknown);
    assert_eq!(kept::answer(&store, &asked(10_000)).unwrap(), unknown);
    assert_ne!(kept::answer(&store, &asked(9_999)).unwrap(), unknown);
    // It is begun neither with another end, nor over what was imported.
    let other = kept::begin_walk(&store, &name, Some(Timestamp(5)), Timestamp(0));
    assert!(matches!(other, Err(KeepError::OtherBound { .. })));
    import(&store, "a", &[(1, "x")]).unwrap();
    let imported = HistoryName::new("a").unwrap();
    let over = kept::begin_walk(&store, &imported, None, Timestamp(0));
    assert!(matches!(over, Err(KeepError::Exists(_))));
}

#[test]
fn a_walk_that_brought_nothing_binds_nobody() {
    let store = MemoryStore::new();
    let name = HistoryName::new("a").unwrap();
    for before in [5, 6] {
        let before = Timestamp(before);
        let kept = kept::begin_walk(&store, &name, Some(before), Timestamp(0)).unwrap();
        let next = before;
        assert_eq!(kept.state, State::Asking { before, next });
    }
    import(&store, "a", &[(1, "x")]).unwrap();
    assert_eq!(kept::list(&store).unwrap().len(), 1);
}

#[test]
fn what_one_peer_alone_vouches_for_is_not_told_to_others() {
    let name = HistoryName::new("weather of old").unwrap();
    let store = MemoryStore::new();
    let mut kept = kept::begin_walk(&store, &name, None, Timestamp(99)).unwrap();
    let mut world = World::new([tells(&history(0..3))]);
    assert_eq!(world.walk(99), Outcome::Complete);
    for agreed in &world.agreed {
        kept::append(&store, &mut kept, agreed).unwrap();
    }
    assert_eq!(
        kept.state,
        State::Complete {
            before: Timestamp(99)
        }
    );
    assert_eq!((kept.extent.on_one_word, kept.is_told()), (3, false));
    let question = Question {
        history: id(),
        before: Timestamp(9),
        groups: 1,
    };
    let unknown = Answer::Refused(Refusal::Unknown);
    assert_eq!(kept::answer(&store, &question).unwrap(), unknown);
}

#[test]
fn peers_that_agree_without_end_do_not_fill_the_disk() {
    let name = HistoryName::new("a").unwrap();
    let store = MemoryStore::new();
    let mut kept = kept::begin_walk(&store, &name, None, Timestamp(99)).unwrap();
    kept.extent.bytes = crate::limits::MAX_UNSIGNED_HISTORY_BYTES - 17;
    let before = kept.clone();
    let agreed = |groups: &[Group]| Agreed {
        groups: groups.to_vec(),
        next: Timestamp(0),
        is_beginning: false,
        on_one_word: false,
    };
    let too_long = kept::append(&store, &mut kept, &agreed(&history(0..2)));
    assert_eq!((too_long, &kept), (Err(KeepError::TooLong), &before));
    assert_eq!(all(&store, name.id()), []);
    kept::append(&store, &mut kept, &agreed(&history(0..1))).unwrap();
}

#[test]
fn a_failed_write_of_a_round_changes_nothing() {
    let name = HistoryName::new("weather of old").unwrap();
    let store = MemoryStore::new();
    let mut kept = kept::begin_walk(&store, &name, None, Timestamp(99)).unwrap();
    let before = kept.clone();
    let mut world = World::new([tells(&history(0..3)), tells(&history(0..3))]);
    world.walk(99);
    store.fail_after(0, StoreError::Full("no room".to_owned()));
    assert!(kept::append(&store, &mut kept, &world.agreed[0]).is_err());
    assert_eq!(kept, before);
    assert_eq!(kept::find(&store, id()).unwrap(), Some(before));
    assert_eq!(all(&store, id()), []);
}
