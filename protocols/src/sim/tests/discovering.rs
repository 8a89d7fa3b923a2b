//! Searching for streams among peers.

use super::*;
use crate::engine::{Command, CommandError, Discovery, Reply};
use crate::limits::{DISCOVER_TIMEOUT_US, MAX_DISCOVERIES, MAX_TOLD_STREAMS};
use crate::manifest::Visibility;

fn named(sim: &Sim, node: NodeId, name: &str) -> Manifest {
    Manifest {
        name: name.to_owned(),
        ..manifest(sim.key(node), 3)
    }
}

fn search(sim: &mut Sim, node: NodeId, text: &str) -> Discovery {
    let id = sim.command(node, Command::Discover(text.to_owned()));
    sim.run_for(DISCOVER_TIMEOUT_US + SECOND);
    match sim.reply(node, id) {
        Some(Ok(Reply::Discovered(found))) => (**found).clone(),
        other => panic!("a search gave {other:?}"),
    }
}

fn names(found: &Discovery) -> Vec<&str> {
    let streams = found.streams.iter();
    let mut names: Vec<_> = streams.map(|one| one.manifest.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_peers_know_is_found_once_with_all_who_know_it() {
    for seed in 0..5 {
        let mut sim = Sim::new(seed);
        let nodes: Vec<_> = (0..4).map(|_| sim.add_node()).collect();
        let wind = named(&sim, nodes[0], "wind");
        let wind = sim.create(nodes[0], wind);
        let rain = named(&sim, nodes[1], "rain and wind");
        let rain = sim.create(nodes[1], rain);
        let own = named(&sim, nodes[3], "my wind");
        sim.create(nodes[3], own);
        sim.publish(nodes[0], wind, records(0, 5));
        sim.follow(nodes[2], wind);
        sim.run_for(0);
        sim.connect_all(&nodes);
        sim.run_for(MINUTE);

        let found = search(&mut sim, nodes[3], "WIND");
        assert_eq!((found.asked, found.answered), (3, 3), "seed {seed}");
        assert_eq!(names(&found), ["my wind", "rain and wind", "wind"]);
        let first = &found.streams[0];
        assert_eq!(first.manifest.stream(), wind);
        assert_eq!(first.head.as_ref().unwrap().size, 5);
        assert_eq!((first.peers.len(), first.is_known), (2, false));
        let found = search(&mut sim, nodes[3], "rain");
        assert_eq!(found.streams[0].manifest.stream(), rain);
        assert_eq!(names(&search(&mut sim, nodes[3], "snow")), [""; 0]);
    }
}

#[test]
fn private_streams_never_leave() {
    let mut sim = Sim::new(1);
    let (owner, asker) = (sim.add_node(), sim.add_node());
    for (name, visibility) in [
        ("secret wind", Visibility::Private),
        ("wind", Visibility::Public),
    ] {
        let manifest = Manifest {
            visibility: Some(visibility),
            nonce: None,
            ..named(&sim, owner, name)
        };
        let signed = manifest.sign_as_it_is(sim.key(owner)).unwrap();
        sim.create_signed(owner, signed);
    }
    sim.connect(owner, asker);
    sim.run_for(SECOND);
    assert_eq!(names(&search(&mut sim, asker, "")), ["wind"]);
}

#[test]
fn an_answer_is_bounded_and_a_peer_that_asks_without_end_is_refused() {
    let mut sim = Sim::new(2);
    let (owner, asker) = (sim.add_node(), sim.add_node());
    for number in 0..2 * MAX_TOLD_STREAMS {
        let manifest = named(&sim, owner, &format!("stream {number}"));
        sim.create(owner, manifest);
    }
    sim.connect(owner, asker);
    sim.run_for(SECOND);
    assert_eq!(search(&mut sim, asker, "").streams.len(), MAX_TOLD_STREAMS);
    sim.run_for(MINUTE);

    let ids: Vec<_> = (0..MAX_DISCOVERIES + 1)
        .map(|_| sim.command(asker, Command::Discover(String::new())))
        .collect();
    sim.run_for(0);
    let many = CommandError::TooManySearches(MAX_DISCOVERIES);
    assert_eq!(sim.reply(asker, ids[MAX_DISCOVERIES]), Some(&Err(many)));
    sim.run_for(SECOND / 2);
    // A search that is refused has no answer; it ends all the same.
    let found = search(&mut sim, asker, "");
    assert_eq!(found.asked, 1);
    assert!(sim.accusations().is_empty());
}

#[test]
fn a_peer_that_does_not_answer_keeps_nobody_waiting() {
    let mut sim = Sim::new(3);
    let nodes: Vec<_> = (0..3).map(|_| sim.add_node()).collect();
    let wind = named(&sim, nodes[0], "wind");
    sim.create(nodes[0], wind);
    sim.connect_all(&nodes);
    sim.run_for(SECOND);
    sim.twist(nodes[1], Box::new(|_| Twisted::Nothing));
    let found = search(&mut sim, nodes[2], "wind");
    assert_eq!((found.asked, found.answered), (2, 1));
    assert_eq!(names(&found), ["wind"]);
}

#[test]
fn an_altered_manifest_accuses_whoever_told_it() {
    let mut sim = Sim::new(4);
    let nodes: Vec<_> = (0..3).map(|_| sim.add_node()).collect();
    for &node in &nodes[..2] {
        let wind = named(&sim, node, &format!("wind {}", node.0));
        sim.create(node, wind);
    }
    sim.connect_all(&nodes);
    sim.run_for(SECOND);
    sim.twist(
        nodes[1],
        Box::new(|mut frame| {
            if let Some(v1::frame::Body::Discovered(answer)) = &mut frame.body {
                for stream in &mut answer.streams {
                    let manifest = stream.manifest.as_mut().unwrap();
                    let mut signature = manifest.signature.to_vec();
                    signature[5] ^= 1;
                    manifest.signature = signature.into();
                }
            }
            Twisted::Frame(frame)
        }),
    );
    let found = search(&mut sim, nodes[2], "wind");
    assert_eq!(names(&found), ["wind 0"]);
    let accused: Vec<_> = sim.accusations().iter().map(|one| one.of).collect();
    assert_eq!(accused, [nodes[1]]);
}
