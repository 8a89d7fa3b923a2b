use std::time::Duration;

use proptest::prelude::*;

use super::*;

const THERE: Whence = Whence::There(1);
const ELSEWHERE: Whence = Whence::There(2);

fn ago(millis: u64) -> Instant {
    Instant::now() - Duration::from_millis(millis)
}

fn half_open(whence: Whence, millis: u64) -> (Whence, Claim) {
    (whence, Claim::Asks(ago(millis)))
}

fn idle(whence: Whence, millis: u64, is_trusted: bool) -> (Whence, Claim) {
    let claim = match is_trusted {
        true => Claim::IdlesTrusted(ago(millis)),
        false => Claim::Idles(ago(millis)),
    };
    (whence, claim)
}

fn answered(whence: Whence) -> (Whence, Claim) {
    (whence, Claim::Answered)
}

fn ranks(all: &[(Whence, Claim)]) -> Ranks {
    let mut ranks = Ranks::default();
    for (number, (whence, claim)) in (0..).zip(all) {
        ranks.change(number, *whence, None, Some(*claim));
    }
    ranks
}

fn admit_from(whence: Whence, all: &[(Whence, Claim)]) -> Admission {
    ranks(all).admit(whence, 4, Instant::now())
}

#[test]
fn the_newest_half_open_one_of_the_greediest_address_goes_first() {
    let all = [
        half_open(THERE, 9_000),
        half_open(ELSEWHERE, 4_000),
        half_open(THERE, 5_000),
        idle(Whence::Here, 90_000, false),
    ];
    assert_eq!(admit_from(Whence::Here, &all[..3]), Admission::Free);
    assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(2));
}

#[test]
fn nobody_goes_without_a_moment_to_ask_as_long_as_there_is_somebody_else() {
    let mut all = [30, 2_000, 20, 10].map(|millis| half_open(Whence::Here, millis));
    assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(1));
    all[1] = half_open(Whence::Here, 25);
    // The one that had the longest of it.
    assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(0));
    all[3] = idle(Whence::Here, 500, false);
    assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(0));
    all[3] = idle(Whence::Here, 2_000, false);
    assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(3));
}

#[test]
fn who_asks_for_nothing_goes_before_who_has_a_token_and_who_is_answered_stays() {
    let mut all = [
        answered(Whence::Here),
        idle(Whence::Here, 9_000, true),
        idle(Whence::Here, 100, false),
        idle(Whence::Here, 200, false),
    ];
    assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(3));
    all[2] = answered(Whence::Here);
    all[3] = answered(Whence::Here);
    assert_eq!(admit_from(Whence::Here, &all), Admission::Instead(1));
    all[1] = answered(Whence::Here);
    assert_eq!(admit_from(Whence::Here, &all), Admission::Refused);
}

#[test]
fn another_machine_has_half_of_the_places_and_this_one_all() {
    let all = [answered(THERE), answered(THERE)];
    assert_eq!(admit_from(THERE, &all), Admission::Refused);
    assert_eq!(admit_from(ELSEWHERE, &all), Admission::Free);
    let all = [answered(THERE), idle(THERE, 5, false)];
    assert_eq!(admit_from(THERE, &all), Admission::Instead(1));
    let all = [(); 3].map(|()| answered(Whence::Here));
    assert_eq!(admit_from(Whence::Here, &all), Admission::Free);
}

/// Who goes first when everybody is looked at.
fn by_looking_at_all(
    all: &BTreeMap<u64, (Whence, Claim)>,
    of: Option<Whence>,
    now: Instant,
) -> Option<u64> {
    let greediest = |since: &dyn Fn(Claim) -> Option<Instant>| {
        let mut found: BTreeMap<Whence, Vec<(Instant, u64)>> = BTreeMap::new();
        for (&number, &(whence, claim)) in all {
            if of.is_none_or(|of| of == whence)
                && let Some(since) = since(claim)
            {
                found.entry(whence).or_default().push((since, number));
            }
        }
        let most = found.into_values().max_by_key(Vec::len);
        most.unwrap_or_default()
    };
    let asks = |claim| match claim {
        Claim::Asks(since) => Some(since),
        _ => None,
    };
    let idles = |claim| match claim {
        Claim::Idles(since) => Some(since),
        _ => None,
    };
    let trusted = |claim| match claim {
        Claim::IdlesTrusted(since) => Some(since),
        _ => None,
    };
    let had_time = |since: &Instant| now.saturating_duration_since(*since) >= HEAD_GRACE;
    let half = greediest(&|claim| asks(claim).filter(had_time));
    let idle = greediest(&|claim| idles(claim).filter(had_time));
    let (asking, idling) = (greediest(&asks), greediest(&idles));
    let just_come = match idling.len() > asking.len() {
        true => idling,
        false => asking,
    };
    let first = half.iter().max().or_else(|| idle.iter().min());
    let first = first.or_else(|| just_come.iter().min()).copied();
    let first = first.or_else(|| greediest(&trusted).into_iter().min());
    first.map(|(_, number)| number)
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
enum Step {
    Claims(u64, u8),
    Goes(u64),
    Passes(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..24_u64, 0..5_u8).prop_map(|(number, claim)| Step::Claims(number, claim)),
        2 => (0..24_u64).prop_map(Step::Goes),
        2 => (0..700_u64).prop_map(Step::Passes),
    ]
}

proptest! {
    #[test]
    fn the_order_that_is_kept_is_the_one_that_is_found_by_looking_at_all(
        steps in proptest::collection::vec(step(), 1..120)
    ) {
        let (mut ranks, mut all) = (Ranks::default(), BTreeMap::new());
        let mut now = Instant::now();
        for step in steps {
            let (number, claim) = match step {
                Step::Passes(millis) => {
                    now += Duration::from_millis(millis);
                    continue;
                }
                Step::Goes(number) => (number, None),
                Step::Claims(number, claim) => (number, Some(match claim {
                    0 => Claim::Asks(now),
                    1 => Claim::Idles(now),
                    2 => Claim::IdlesTrusted(now),
                    3 => Claim::Answered,
                    _ => Claim::AnsweredTrusted,
                })),
            };
            let whence = match number % 4 {
                0 => Whence::Here,
                other => Whence::There(other),
            };
            let before = all.get(&number).map(|(_, claim)| *claim);
            ranks.change(number, whence, before, claim);
            match claim {
                Some(claim) => drop(all.insert(number, (whence, claim))),
                None => drop(all.remove(&number)),
            }
            for of in [None, Some(Whence::Here), Some(THERE)] {
                prop_assert_eq!(ranks.dispensable(of, now), by_looking_at_all(&all, of, now));
            }
            let strangers = all.values().filter(|(_, claim)| *claim == Claim::Answered);
            prop_assert_eq!(ranks.strangers_answered(), strangers.count());
            prop_assert_eq!(ranks.all, all.len());
        }
        for number in 0..24 {
            if let Some((whence, claim)) = all.remove(&number) {
                ranks.change(number, whence, Some(claim), None);
            }
        }
        prop_assert!(ranks.by_whence.is_empty());
        let groups = [&ranks.asks, &ranks.just_asks, &ranks.idles, &ranks.just_idles];
        for group in groups.into_iter().chain([&ranks.idles_trusted]) {
            prop_assert!(group.by_whence.is_empty() && group.by_number.is_empty());
            prop_assert!(group.in_order.is_empty());
        }
    }
}
