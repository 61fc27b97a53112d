//! AN: what is done anonymously. The strongest of these plays the same meeting twice, with two people
//! in each other's place: when it is over, nothing that was written down may differ.

use super::*;
use convoke_domain::command::Nothing;
use convoke_domain::shapes::Role;
use std::collections::BTreeSet;

fn folded(log: &[Recorded], limits: &Limits) -> Meeting {
    let mut state = apply::create(&log[0]).expect("a meeting");
    for recorded in &log[1..] {
        apply::apply(&mut state, recorded, limits);
    }
    state
}

/// The log as it is after the overwriting that its events ask for.
fn overwritten(log: &[Recorded]) -> Vec<Recorded> {
    let mut of = BTreeSet::new();
    for recorded in log {
        if let Event::AnonymityEnded { of: ended, .. } = &recorded.event {
            of.extend(ended);
        }
    }
    let mut log = log.to_vec();
    for recorded in &mut log {
        redact::anonymous(recorded, &of);
    }
    log
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("written down")
}

fn secret(results: Results) -> OpenPoll {
    OpenPoll { anonymous: true, ..poll(results) }
}

/// What the log says of what was done anonymously.
fn veiled(scene: &Scene) -> Vec<&Recorded> {
    scene.log.iter().filter(|recorded| recorded.event.veiled_by().is_some()).collect()
}

#[test]
fn an1_neither_event_nor_cause_names_anybody() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let poll = opens(&mut scene, &ann, secret(Results::Live));
    scene.does(&bob, vote(poll, &[0]));
    scene.does(&bob, vote(poll, &[1]));
    let question = asks(&mut scene, &bob, "Why?", true);
    scene.does(&bob, up(question, true));
    let rows = veiled(&scene);
    assert_eq!(rows.len(), 4);
    let causes: BTreeSet<SessionId> = rows.iter().filter_map(|recorded| recorded.cause).map(|c| c.session).collect();
    assert_eq!(causes.len(), 4, "each is covered differently");
    let numbers: Vec<u64> = rows.iter().filter_map(|recorded| recorded.cause).map(|c| c.id).collect();
    assert!(numbers.iter().all(|number| *number > 1_000), "nor is whose number is missing told: {numbers:?}");
    for named in [bob.session.0, scene.id(&bob).0] {
        assert!(!text(&rows).contains(&named.to_string()), "{}", text(&rows));
    }
    assert!(scene.log.iter().filter(|r| r.event.kind() == "anonymity.begun").all(|r| r.cause.is_none()));
    assert_eq!(scene.state.questions[&question].question.by, None);
    assert_eq!(scene.state.polls[&poll].counts, [0, 1], "and a vote can be changed all the same");
    let state = &scene.state;
    let shown = text(&(state.polls_in(RoomId::Main, true, 9), state.questions_in(RoomId::Main, true, 9)));
    assert!(!shown.contains(&scene.id(&bob).to_string()), "hosts are not told either");
}

/// Ann opens a poll and the two take part, as the first and the second. Each does as many commands.
fn played(first: usize, results: Results) -> Scene {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let two = [scene.enters("Bob", Role::Participant), scene.enters("Cid", Role::Participant)];
    let poll = opens(&mut scene, &ann, secret(results));
    let acting = [&two[first], &two[1 - first]];
    let questions: Vec<QuestionId> =
        acting.iter().zip(["Why?", "How?"]).map(|(who, text)| asks(&mut scene, who, text, true)).collect();
    for (number, who) in acting.iter().enumerate() {
        scene.now += 700;
        scene.does(who, vote(poll, &[u32::try_from(number).expect("small")]));
        scene.does(who, up(questions[number], true));
    }
    scene.now += 700;
    scene.does(acting[0], vote(poll, &[1]));
    scene.does(acting[1], vote(poll, &[0]));
    scene.pass(700);
    scene.does(&ann, close(poll));
    scene.does(&ann, answer(questions[0], "Because."));
    scene.does(&ann, Command::DismissQuestion { question: questions[1] });
    scene
}

#[test]
fn an2_had_they_changed_places_the_log_would_read_the_same() {
    for results in [Results::Live, Results::Closed, Results::Hosts] {
        let (one, other) = (played(0, results), played(1, results));
        assert_ne!(one.log, other.log, "before it is overwritten it can tell");
        let (log, others) = (overwritten(&one.log), overwritten(&other.log));
        assert_eq!(text(&log), text(&others), "{results:?}");
        assert_eq!(text(&one.state), text(&other.state));
        assert_eq!(folded(&log, &one.limits), one.state, "LG6");
        assert_eq!(overwritten(&log), log, "overwriting twice is overwriting once");
        assert!(one.state.veils.is_empty());
        let counted = log.iter().filter(|r| r.event.kind() == "poll.counted").map(text).collect::<Vec<_>>();
        let is_told = |row: &String| row.contains("counts") || row.contains("voters");
        let told: Vec<&String> = counted.iter().filter(|row| is_told(row)).collect();
        assert!(counted.len() > 2 && told.iter().all(|row| row.contains(r#""state":"closed""#)), "{told:?}");
        let polled = log.iter().filter(|r| r.event.kind() == "poll.voted").map(text).collect::<Vec<_>>();
        assert!(polled.len() == 4 && polled.iter().all(|row| !row.contains("cause")), "{polled:?}");
    }
}

#[test]
fn an2_the_key_is_nowhere() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let poll = opens(&mut scene, &ann, secret(Results::Live));
    let key = match &scene.event("anonymity.begun").event {
        Event::AnonymityBegun { key, .. } => key.to_string(),
        other => panic!("no key: {other:?}"),
    };
    let pseudonym = scene.state.known_as(poll.0, scene.id(&bob)).to_string();
    scene.does(&bob, vote(poll, &[0]));
    assert!(text(&scene.state).contains(&key) && text(&scene.log).contains(&pseudonym));
    assert!(!format!("{:?}", scene.state.veils).contains(&key), "nor is it printed");
    scene.does(&ann, close(poll));
    for said in [text(&scene.state), text(&overwritten(&scene.log))] {
        assert!(!said.contains(&key) && !said.contains(&pseudonym), "{said}");
    }
}

#[test]
fn an2_the_end_of_the_meeting_destroys_every_key() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let poll = opens(&mut scene, &ann, secret(Results::Hosts));
    scene.does(&bob, vote(poll, &[0]));
    asks(&mut scene, &bob, "Why?", true);
    scene.does(&ann, Command::EndMeeting(Nothing {}));
    assert!(scene.state.veils.is_empty());
    let log = overwritten(&scene.log);
    assert_eq!(folded(&log, &scene.limits), scene.state);
    let rows: Vec<&Recorded> = log.iter().filter(|recorded| recorded.event.veiled_by().is_some()).collect();
    assert!(rows.iter().all(|recorded| recorded.cause.is_none()));
}

fn again(scene: &mut Scene, device: &Device, id: u64, command: Command) -> Result<turn::Reply, Rejection> {
    scene.take(Input::Command { by: By::Session { session: device.session, id }, command })
}

#[test]
fn an3_a_number_has_one_effect_under_a_veil_and_behind_it() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.does(&bob, say("hello"));
    let question = asks(&mut scene, &bob, "Why?", true);
    again(&mut scene, &bob, 2, ask("Why?", true)).expect("done already");
    assert!(scene.recorded.is_empty());
    let outcome = |scene: &Scene, id| scene.state.outcome_of(bob.session, id, &scene.limits);
    assert_eq!(outcome(&scene, 2), Ok(None), "it had an effect; nobody is told where");
    assert!(matches!(outcome(&scene, 1), Ok(Some(_))));
    scene.does(&ann, answer(question, "Because."));
    again(&mut scene, &bob, 2, ask("Why?", true)).expect("done already");
    assert!(scene.recorded.is_empty());
    assert_eq!(outcome(&scene, 2), Ok(None), "that it had an effect is still known");
    assert!(matches!(outcome(&scene, 1), Ok(Some(_))), "what was done by name is known as before");
    // Whoever rebuilds the meeting from the overwritten log says the same, and counts on from there.
    let rebuilt = folded(&overwritten(&scene.log), &scene.limits);
    assert_eq!(rebuilt.sessions[&bob.session].last_id, 2);
    assert_eq!(rebuilt.outcome_of(bob.session, 2, &scene.limits), Ok(None));
    scene.does(&bob, say("again"));
}

#[test]
fn an3_numbers_outlast_a_lost_session_and_start_anew_behind_a_leave() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    let poll = opens(&mut scene, &ann, secret(Results::Live));
    for device in [&bob, &cid] {
        scene.does(device, vote(poll, &[0]));
    }
    scene.lost(&bob);
    scene.pass(scene.limits.grace_ms);
    scene.does(&cid, leave());
    scene.does(&ann, close(poll));
    assert_eq!(folded(&overwritten(&scene.log), &scene.limits), scene.state);
    for device in [&bob, &cid] {
        scene.join(device).expect("again");
    }
    assert_eq!(scene.state.sessions[&bob.session].last_id, 1);
    assert_eq!(scene.state.sessions[&cid.session].last_id, 0);
    assert_eq!(folded(&overwritten(&scene.log), &scene.limits), scene.state);
}

#[test]
fn an3_a_number_that_starts_anew_is_not_one_of_before() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let poll = opens(&mut scene, &ann, secret(Results::Live));
    again(&mut scene, &bob, 5, vote(poll, &[0])).expect("voted");
    again(&mut scene, &bob, 6, leave()).expect("left");
    scene.join(&bob).expect("anew");
    again(&mut scene, &bob, 1, say("hello")).expect("said");
    again(&mut scene, &bob, 2, vote(poll, &[1])).expect("another choice");
    assert_eq!((scene.state.messages.len(), scene.state.polls[&poll].counts.clone()), (1, vec![0, 1]));
    scene.does(&ann, close(poll));
    assert_eq!(scene.state.sessions[&bob.session].last_id, 2, "the numbers of before are not its own");
}

#[test]
fn an4_what_was_said_anonymously_belongs_to_nobody() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let named = asks(&mut scene, &bob, "My name is Robert, why?", false);
    let unnamed = asks(&mut scene, &bob, "Why?", true);
    scene.does(&ann, answer(named, "Because."));
    let open = asks(&mut scene, &bob, "Is it Robert's turn?", false);
    let bobs = scene.id(&bob);
    scene.take(Input::Erase(bob.user.clone().expect("a user"))).expect("erased");
    assert!(!scene.state.questions[&open].is_open(), "whoever is forgotten asks nothing any more");
    assert_eq!(scene.state.questions[&named].question.text, "");
    assert_eq!(scene.state.questions[&named].question.answer.as_deref(), Some("Because."));
    assert_eq!(scene.state.questions[&unnamed].question.text, "Why?");
    let mut log = scene.log.clone();
    for recorded in &mut log {
        redact::person(&mut recorded.event, bobs);
    }
    assert!(!text(&log).contains("Robert"));
    assert_eq!(folded(&log, &scene.limits), scene.state);
    let anns = scene.id(&ann);
    scene.take(Input::Erase(ann.user.clone().expect("a user"))).expect("erased");
    assert_eq!(scene.state.questions[&named].question.answer, None, "an answer is its author's");
    for recorded in &mut log {
        redact::person(&mut recorded.event, anns);
    }
    assert!(!text(&log).contains("Because"));
}
