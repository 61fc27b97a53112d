//! PO: polls.

use super::*;
use crate::breakout::{CLOSE_NOW, Two, go};
use convoke_domain::command::Nothing;
use convoke_domain::poll::PollState;
use convoke_domain::shapes::Role;

fn cast() -> (Scene, Device, Device, Device) {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    (scene, ann, bob, cid)
}

fn with_options(options: &[&str]) -> OpenPoll {
    OpenPoll { options: options.iter().map(|text| (*text).to_owned()).collect(), ..poll(Results::Live) }
}

#[test]
fn po1_a_poll_has_a_question_and_different_options() {
    let (mut scene, ann, bob, _) = cast();
    scene.refused(&bob, open(poll(Results::Live)), Code::NotPermitted);
    let numbers: Vec<String> = (0..21).map(|n| n.to_string()).collect();
    let many: Vec<&str> = numbers.iter().map(String::as_str).collect();
    for options in [&[][..], &["one"], &["same", " same "], &["a", " "], &many] {
        scene.refused(&ann, open(with_options(options)), Code::BadRequest);
    }
    scene.refused(&ann, open(with_options(&["a", &"é".repeat(201)])), Code::TooLarge);
    let question = |question: String| OpenPoll { question, ..poll(Results::Live) };
    scene.refused(&ann, open(question(" ".to_owned())), Code::BadRequest);
    scene.refused(&ann, open(question("é".repeat(501))), Code::TooLarge);
    for duration_s in [0, 86_401] {
        let wanted = OpenPoll { duration_s: Some(duration_s), ..poll(Results::Live) };
        scene.refused(&ann, open(wanted), Code::BadRequest);
    }
    scene.does(&ann, open(with_options(&many[..20])));
    let opened = told(&scene, "poll.opened");
    assert_eq!((opened.options.len(), opened.counts, opened.voters), (20, Some(vec![0; 20]), Some(0)));
}

#[test]
fn po1_a_room_has_so_many_open_polls() {
    let mut scene = Scene::limited(Limits { polls_open_max: 2, ..Limits::default() }, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let first = opens(&mut scene, &ann, poll(Results::Live));
    opens(&mut scene, &ann, poll(Results::Live));
    scene.refused(&ann, open(poll(Results::Live)), Code::Capacity);
    scene.does(&ann, close(first));
    opens(&mut scene, &ann, poll(Results::Live));
}

/// Others counted whoever came back a second time.
#[test]
fn po2_one_vote_a_person_from_any_device_and_however_often_they_come_back() {
    for anonymous in [false, true] {
        let (mut scene, ann, bob, _) = cast();
        let id = opens(&mut scene, &ann, OpenPoll { anonymous, ..poll(Results::Live) });
        let other = bob.other(7);
        scene.join(&other).expect("another device");
        scene.does(&bob, vote(id, &[0]));
        scene.does(&other, vote(id, &[1]));
        scene.does(&bob, leave());
        scene.join(&bob).expect("again");
        scene.does(&bob, vote(id, &[1]));
        assert!(scene.recorded.is_empty(), "that is their choice already");
        for device in [&bob, &other] {
            scene.lost(device);
        }
        scene.pass(scene.limits.grace_ms);
        assert!(!scene.is_inside(&bob));
        scene.join(&bob).expect("again");
        scene.does(&bob, vote(id, &[0]));
        scene.does(&ann, close(id));
        let closed = told(&scene, "poll.closed");
        assert_eq!((closed.counts, closed.voters), (Some(vec![1, 0]), Some(1)));
    }
}

#[test]
fn po2_what_is_no_vote() {
    let (mut scene, ann, bob, _) = cast();
    let vic = scene.enters("Vic", Role::Viewer);
    let one = opens(&mut scene, &ann, poll(Results::Live));
    let several = opens(&mut scene, &ann, OpenPoll { multiple: true, ..poll(Results::Live) });
    scene.refused(&vic, vote(one, &[0]), Code::NotPermitted);
    scene.refused(&bob, vote(one, &[]), Code::BadRequest);
    scene.refused(&bob, vote(one, &[2]), Code::BadRequest);
    scene.refused(&bob, vote(one, &[0, 1]), Code::BadRequest);
    scene.refused(&bob, vote(several, &[1, 0, 1]), Code::BadRequest);
    scene.refused(&bob, vote(PollId(uuid::Uuid::from_u128(9)), &[0]), Code::NotFound);
    scene.does(&bob, vote(several, &[1, 0]));
    scene.pass(1);
    scene.does(&bob, vote(several, &[0, 1]));
    assert!(scene.recorded.is_empty(), "the order of choices means nothing");
    assert_eq!(scene.state.polls[&several].counts, [1, 1]);
}

#[test]
fn po3_it_closes_once_by_whoever_leads() {
    let (mut scene, ann, bob, _) = cast();
    let id = opens(&mut scene, &ann, poll(Results::Live));
    scene.refused(&bob, close(id), Code::NotPermitted);
    scene.does(&bob, vote(id, &[1]));
    scene.does(&ann, close(id));
    assert_eq!(told(&scene, "poll.closed").counts, Some(vec![0, 1]), "what was not told yet is in it");
    scene.refused(&bob, vote(id, &[0]), Code::WrongState);
    scene.refused(&ann, close(id), Code::WrongState);
    assert_eq!(deadlines::next_at(&scene.state, &scene.limits), None, "nothing is left to tell");
}

#[test]
fn po3_no_vote_overtakes_the_deadline() {
    let (mut scene, ann, bob, cid) = cast();
    let id = opens(&mut scene, &ann, OpenPoll { duration_s: Some(30), ..poll(Results::Live) });
    assert_eq!(told(&scene, "poll.opened").ends_at, Some(scene.now + 30_000));
    scene.now += 29_999;
    scene.does(&bob, vote(id, &[0]));
    scene.now += 1;
    scene.refused(&cid, vote(id, &[1]), Code::WrongState);
    let closed = scene.recorded.iter().filter(|r| r.event.kind() == "poll.closed").count();
    assert_eq!(closed, 1);
    assert_eq!(told(&scene, "poll.closed").counts, Some(vec![1, 0]));
    scene.pass(60_000);
    assert!(scene.recorded.is_empty(), "once");
}

/// Case 11: polls did not work in breakout rooms. Case 14: they were gone once the room closed.
#[test]
fn po3_a_poll_in_a_breakout_room_ends_with_it_and_its_result_stays() {
    let Two { mut scene, ann, bob, cid, first, .. } = Two::open();
    scene.does(&ann, go(first));
    let id = opens(&mut scene, &ann, OpenPoll { anonymous: true, ..poll(Results::Closed) });
    assert_eq!(scene.event("poll.opened").audience, Audience::Room(first));
    scene.refused(&cid, vote(id, &[0]), Code::NotFound);
    scene.does(&bob, vote(id, &[1]));
    scene.does(&ann, go(RoomId::Main));
    scene.does(&ann, CLOSE_NOW);
    assert_eq!(scene.kinds()[..3], ["anonymity.ended", "poll.closed", "breakout.closed"]);
    assert_eq!(scene.event("poll.closed").audience, Audience::Room(first), "while they are there");
    let kept = scene.state.polls_in(RoomId::Main, true, 20);
    assert_eq!((kept[0].state, kept[0].counts.clone()), (PollState::Closed, Some(vec![0, 1])));
    assert_eq!(scene.state.polls_in(RoomId::Main, false, 20), [], "to leads, as nobody can go there any more");
}

/// A host in the main room may be the only one who may see the result.
#[test]
fn po4_the_hosts_result_reaches_them_where_they_are() {
    let Two { mut scene, ann, bob, first, .. } = Two::open();
    scene.does(&ann, go(first));
    let id = opens(&mut scene, &ann, poll(Results::Hosts));
    scene.does(&bob, vote(id, &[1]));
    scene.does(&ann, go(RoomId::Main));
    let anns = scene.id(&ann);
    scene.does(&ann, CLOSE_NOW);
    let told = scene.recorded.iter().rfind(|r| r.event.kind() == "poll.counted").expect("the result");
    assert_eq!(told.audience, Audience::Only([anns].into()));
    assert!(scene.effects.contains(&Effect::Entered(anns)), "and they are shown what is left of the room");
}

#[test]
fn po3_a_merge_ends_the_polls_of_the_rooms_that_go() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    scene.does(&ann, go(second));
    let stays = opens(&mut scene, &ann, poll(Results::Live));
    scene.does(&ann, go(first));
    let goes = opens(&mut scene, &ann, poll(Results::Live));
    scene.does(&bob, vote(goes, &[0]));
    scene.does(&ann, Command::MergeRooms { from: vec![first], into: second });
    assert_eq!(scene.kinds()[1..3], ["poll.closed", "breakout.merged"]);
    let polls = scene.state.polls_in(second, false, 20);
    let ids: Vec<(PollId, PollState)> = polls.iter().map(|poll| (poll.id, poll.state)).collect();
    assert_eq!(ids, [(stays, PollState::Open), (goes, PollState::Closed)]);
    for device in [&bob, &cid] {
        scene.does(device, vote(stays, &[1]));
    }
}

#[test]
fn po3_the_meetings_end_closes_them_all() {
    let (mut scene, ann, bob, _) = cast();
    let id = opens(&mut scene, &ann, poll(Results::Closed));
    scene.does(&bob, vote(id, &[0]));
    scene.does(&ann, Command::EndMeeting(Nothing {}));
    assert_eq!(scene.kinds()[1..], ["poll.closed", "meeting.ended"]);
    assert_eq!(told(&scene, "poll.closed").counts, Some(vec![1, 0]));
}

#[test]
fn po3_a_poll_outlives_whoever_opened_it() {
    let (mut scene, ann, bob, _) = cast();
    let id = opens(&mut scene, &ann, OpenPoll { duration_s: Some(60), ..poll(Results::Live) });
    scene.does(&ann, leave());
    scene.does(&bob, vote(id, &[0]));
    scene.pass(60_000);
    assert_eq!(told(&scene, "poll.closed").counts, Some(vec![1, 0]));
}

#[test]
fn po4_counts_are_told_at_most_twice_a_second() {
    let (mut scene, ann, ..) = cast();
    let id = opens(&mut scene, &ann, poll(Results::Live));
    let many: Vec<Device> = (0..10).map(|n| scene.enters(&format!("P{n}"), Role::Participant)).collect();
    let mut told = Vec::new();
    for device in &many {
        scene.now += 100;
        scene.does(device, vote(id, &[0]));
        let counted = scene.recorded.iter().filter(|r| r.event.kind() == "poll.counted");
        told.extend(counted.map(|r| r.at));
    }
    assert!(told.len() >= 2 && told.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{told:?}");
    scene.pass(500);
    assert_eq!(self::told(&scene, "poll.counted").counts, Some(vec![10, 0]), "the last count is told");
}

#[test]
fn po4_who_is_told_what() {
    let cases = [
        (Results::Live, Some(vec![1, 0]), Some(1), Some(vec![1, 0])),
        (Results::Closed, None, Some(1), Some(vec![1, 0])),
        (Results::Hosts, None, None, None),
    ];
    for (results, open_counts, open_voters, closed_counts) in cases {
        let (mut scene, ann, bob, _) = cast();
        let id = opens(&mut scene, &ann, poll(results));
        scene.does(&bob, vote(id, &[0]));
        scene.pass(1_000);
        let counted = told(&scene, "poll.counted");
        let shown = scene.state.polls[&id].shown(false);
        assert_eq!((shown.counts.clone(), shown.voters), (open_counts.clone(), open_voters), "{results:?}");
        if results == Results::Hosts {
            let hosts = Audience::Only([scene.id(&ann)].into());
            assert_eq!(scene.event("poll.counted").audience, hosts);
            assert_eq!(counted.counts, Some(vec![1, 0]));
        } else {
            assert_eq!(scene.event("poll.counted").audience, Audience::Room(RoomId::Main));
            assert_eq!((counted.counts, counted.voters), (open_counts, open_voters));
        }
        scene.does(&ann, close(id));
        assert_eq!(told(&scene, "poll.closed").counts, closed_counts, "{results:?}");
        assert_eq!(scene.state.polls[&id].shown(false).counts, closed_counts);
        assert_eq!(scene.state.polls[&id].shown(true).counts, Some(vec![1, 0]), "hosts see the end of all");
        if results == Results::Hosts {
            assert_eq!(scene.kinds(), ["poll.closed", "poll.counted"]);
            assert_eq!(told(&scene, "poll.counted").counts, Some(vec![1, 0]));
        }
    }
}

/// Case 33: a late joiner did not get the open poll.
#[test]
fn po6_whoever_comes_is_shown_the_open_polls_and_the_latest_results() {
    let (mut scene, ann, ..) = cast();
    let ids: Vec<PollId> = (0..4).map(|_| opens(&mut scene, &ann, poll(Results::Live))).collect();
    for id in &ids[..3] {
        scene.does(&ann, close(*id));
    }
    let shown: Vec<PollId> = scene.state.polls_in(RoomId::Main, false, 2).iter().map(|poll| poll.id).collect();
    assert_eq!(shown, ids[1..]);
}

#[test]
fn po6_the_latest_are_remembered_and_open_ones_always() {
    let limits = Limits { polls_kept_max: 2, ..Limits::default() };
    let mut scene = Scene::limited(limits, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let open = opens(&mut scene, &ann, poll(Results::Live));
    let closed: Vec<PollId> = (0..3)
        .map(|_| {
            let id = opens(&mut scene, &ann, poll(Results::Live));
            scene.does(&ann, close(id));
            id
        })
        .collect();
    let known: Vec<PollId> = scene.state.polls.keys().copied().collect();
    assert_eq!(known, [open, closed[2]]);
}
