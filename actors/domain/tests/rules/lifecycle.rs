//! MT: the meeting's life and its deadlines.

use crate::common::*;
use convoke_domain::command::{NewInvitation, Nothing};
use convoke_domain::event::EndReason;
use convoke_domain::shapes::{LobbyPolicy, Role, Settings, SettingsPatch, Status};
use convoke_domain::turn::{Reply, begin};
use convoke_domain::*;
use uuid::Uuid;

const END: Command = Command::EndMeeting(Nothing {});
const START_IT: Command = Command::StartMeeting(Nothing {});

fn ended(scene: &Scene) -> Option<EndReason> {
    scene.recorded.iter().find_map(|recorded| match &recorded.event {
        Event::MeetingEnded { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn mt1_a_meeting_is_made_scheduled_and_within_its_limits() {
    assert_eq!(Scene::new().state.info.status, Status::Scheduled);
    let limits = Limits::default();
    let refused = |change: fn(&mut convoke_domain::command::Create)| {
        let mut create = create_with(Settings::default());
        change(&mut create);
        begin(create, Now { at: START, entropy: 0 }, &limits).expect_err("refused").code
    };
    assert_eq!(refused(|c| c.title = " \n ".to_owned()), Code::BadRequest);
    assert_eq!(refused(|c| c.title = "x".repeat(201)), Code::TooLarge);
    assert_eq!(refused(|c| c.settings.max_participants = 0), Code::BadRequest);
    assert_eq!(refused(|c| c.settings.max_participants = 1_001), Code::BadRequest);
    assert_eq!(refused(|c| c.settings.max_duration_s = Some(0)), Code::BadRequest);
    assert_eq!(refused(|c| c.settings.host_absent_end_s = Some(8 * 24 * 3_600)), Code::BadRequest);
    assert_eq!(refused(|c| c.recurrence = Some("x".repeat(501))), Code::TooLarge);
}

#[test]
fn mt1_a_meeting_is_made_once() {
    let mut scene = Scene::new();
    let again = Input::Create(create_with(Settings::default()));
    assert_eq!(scene.take(again).expect_err("made already").code, Code::Conflict);
}

#[test]
fn mt2_the_first_person_inside_makes_it_live() {
    let mut scene = Scene::new();
    scene.enters("Bob", Role::Participant);
    assert_eq!(scene.kinds(), ["session.opened", "meeting.started", "participant.joined"]);
    assert_eq!(scene.state.info.started_at, Some(START));
    scene.enters("Cid", Role::Participant);
    assert_eq!(scene.kinds(), ["session.opened", "participant.joined"]);
}

#[test]
fn mt2_whoever_waits_does_not_make_it_live() {
    let mut scene = Scene::with(|s| s.join_before_host = false);
    scene.waits("Bob");
    assert_eq!(scene.state.info.status, Status::Scheduled);
}

#[test]
fn mt2_a_service_does_not_start_the_meeting() {
    let mut scene = Scene::new();
    let recorder = scene.guest_as("Recorder", Role::Recorder);
    scene.join(&recorder).expect("a service comes in");
    assert!(scene.is_inside(&recorder));
    assert_eq!(scene.state.info.status, Status::Scheduled);
    scene.pass(scene.limits.empty_ms * 2);
    assert_eq!(scene.state.info.status, Status::Scheduled, "an early recorder ends no meeting");
    scene.enters("Bob", Role::Participant);
    assert_eq!(scene.state.info.status, Status::Live);
}

#[test]
fn mt2_hosts_cohosts_and_the_backend_start_it_and_nobody_else() {
    for (who, may) in [(Role::Host, true), (Role::Cohost, true), (Role::Participant, false), (Role::Viewer, false)] {
        let mut scene = Scene::new();
        let device = scene.user("Ann", who);
        assert_eq!(scene.token(&device, START_IT).is_ok(), may, "{who:?}");
    }
    let mut scene = Scene::new();
    scene.operator(START_IT).expect("started");
    assert_eq!(scene.kinds(), ["meeting.started"]);
}

#[test]
fn mt3_only_a_scheduled_meeting_is_started_or_cancelled() {
    let mut scene = Scene::new();
    scene.operator(START_IT).expect("started");
    assert_eq!(scene.operator(START_IT).expect_err("live already").code, Code::WrongState);
    assert_eq!(scene.operator(Command::CancelMeeting).expect_err("live already").code, Code::WrongState);
}

#[test]
fn mt3_cancelling_reaches_those_who_wait() {
    let mut scene = Scene::with(|s| s.join_before_host = false);
    let bob = scene.waits("Bob");
    scene.operator(Command::CancelMeeting).expect("cancelled");
    assert_eq!(scene.closed(&bob), Some(CloseCode::MeetingEnded));
    assert!(!scene.is_waiting(&bob) && !scene.state.is_attended(), "nothing of it lives on");
    assert_eq!(scene.join(&bob).expect_err("over").close, Some(CloseCode::MeetingEnded));
}

/// Case 23: those who wait are told of the end.
#[test]
fn mt4_the_end_reaches_everybody_and_leaves_nothing() {
    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    scene.does(&ann, Command::RaiseHand(Nothing {}));
    scene.does(&ann, END);
    assert_eq!(ended(&scene), Some(EndReason::Ended));
    assert_eq!(scene.closed(&bob), Some(CloseCode::MeetingEnded));
    assert_eq!(scene.closed(&ann), Some(CloseCode::MeetingEnded));
    let state = &scene.state;
    assert!(state.sessions.is_empty() && state.inside.is_empty() && state.waiting.is_empty() && state.hands.is_empty());
    assert_eq!(deadlines::next_at(&scene.state, &scene.limits), None);
    assert_eq!(scene.ask(&ann, say("still here?")).expect_err("over").code, Code::WrongState);
}

#[test]
fn mt4_only_a_host_or_the_backend_ends_it() {
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    for who in [Role::Cohost, Role::Participant, Role::Viewer] {
        let device = scene.enters(who.as_str(), who);
        scene.refused(&device, END, Code::NotPermitted);
    }
    scene.operator(END).expect("ended");
}

#[test]
fn mt4_after_the_end_the_backend_still_deletes_and_erases() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, say("a secret"));
    let message = scene.message_id();
    scene.does(&ann, END);
    scene.operator(Command::DeleteMessage { message }).expect("deleted");
    assert_eq!(scene.kinds(), ["chat.deleted"]);
    scene.take(Input::Erase(ann.user.clone().expect("a user"))).expect("erased");
    assert_eq!(scene.kinds(), ["participant.erased"]);
}

#[test]
fn mt5_the_duration_counts_from_the_start_and_can_be_changed() {
    let mut scene = Scene::with(|s| s.max_duration_s = Some(3_600));
    let ann = scene.enters("Ann", Role::Host);
    assert_eq!(scene.state.info.ends_at, Some(START + 3_600_000));
    scene.settings(&ann, SettingsPatch { max_duration_s: Some(Some(7_200)), ..SettingsPatch::default() });
    assert_eq!(scene.state.info.ends_at, Some(START + 7_200_000));
    scene.pass(7_200_000 - 1);
    assert_eq!(ended(&scene), None);
    scene.pass(1);
    assert_eq!(ended(&scene), Some(EndReason::MaxDuration));
}

#[test]
fn mt5_a_shorter_duration_is_no_way_to_end_the_meeting() {
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    let coco = scene.enters("Coco", Role::Cohost);
    scene.pass(60_000);
    let last = |s| update(SettingsPatch { max_duration_s: Some(Some(s)), ..SettingsPatch::default() });
    scene.refused(&coco, last(60), Code::Conflict);
    scene.does(&coco, last(61));
}

#[test]
fn mt5_the_duration_can_be_taken_away() {
    let mut scene = Scene::with(|s| s.max_duration_s = Some(60));
    let ann = scene.enters("Ann", Role::Host);
    scene.settings(&ann, SettingsPatch { max_duration_s: Some(None), ..SettingsPatch::default() });
    scene.pass(120_000);
    assert_eq!(scene.state.info.status, Status::Live);
}

#[test]
fn mt6_an_empty_meeting_ends_after_its_time() {
    let mut scene = Scene::new();
    let bob = scene.enters("Bob", Role::Participant);
    scene.does(&bob, leave());
    scene.pass(299_999);
    assert_eq!(ended(&scene), None);
    scene.pass(1);
    assert_eq!(ended(&scene), Some(EndReason::Empty));
}

#[test]
fn mt6_somebody_coming_in_keeps_it_and_services_or_the_lobby_do_not() {
    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Guests);
    let bob = scene.enters("Bob", Role::Participant);
    scene.does(&bob, leave());
    scene.pass(299_999);
    scene.join(&bob).expect("back");
    scene.pass(1_000_000);
    assert_eq!(scene.state.info.status, Status::Live);
    let agent = scene.guest_as("Agent", Role::Agent);
    scene.join(&agent).expect("a service");
    let guest = scene.guest("Guest");
    assert!(matches!(scene.join(&guest), Ok(Reply::Waiting(_))));
    scene.does(&bob, leave());
    scene.pass(300_000);
    assert_eq!(ended(&scene), Some(EndReason::Empty));
    assert_eq!(scene.closed(&guest), Some(CloseCode::MeetingEnded));
}

#[test]
fn mt7_it_ends_when_its_hosts_have_been_gone_for_long() {
    let mut scene = Scene::with(|s| s.host_absent_end_s = Some(600));
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Bob", Role::Participant);
    scene.does(&ann, leave());
    scene.pass(599_999);
    assert_eq!(ended(&scene), None);
    scene.pass(1);
    assert_eq!(ended(&scene), Some(EndReason::HostAbsent));
}

#[test]
fn mt7_a_host_who_returns_in_time_keeps_it() {
    let mut scene = Scene::with(|s| s.host_absent_end_s = Some(600));
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Bob", Role::Participant);
    scene.does(&ann, leave());
    scene.pass(599_000);
    scene.join(&ann).expect("back");
    scene.pass(3_600_000);
    assert_eq!(scene.state.info.status, Status::Live);
}

#[test]
fn mt7_a_meeting_without_hosts_is_not_ended_for_want_of_one() {
    let mut scene = Scene::with(|s| s.host_absent_end_s = Some(600));
    scene.enters("Bob", Role::Participant);
    scene.pass(3_600_000);
    assert_eq!(scene.state.info.status, Status::Live);
}

#[test]
fn mt7_a_disconnected_host_is_there_until_the_grace_is_over() {
    let mut scene = Scene::with(|s| s.host_absent_end_s = Some(10));
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Bob", Role::Participant);
    scene.lost(&ann);
    scene.pass(29_999);
    assert_eq!(scene.state.leaderless_since, None);
    scene.pass(1);
    assert_eq!(scene.state.leaderless_since, Some(scene.now));
    scene.pass(10_000);
    assert_eq!(ended(&scene), Some(EndReason::HostAbsent));
}

#[test]
fn mt8_a_deadline_fires_once_and_before_a_late_command() {
    let mut scene = Scene::with(|s| s.max_duration_s = Some(60));
    let ann = scene.enters("Ann", Role::Host);
    scene.now += 60_000;
    // Nobody ticked: the command itself brings the time, and meets a meeting that is over.
    let late = scene.ask(&ann, say("one more thing")).expect_err("too late");
    assert_eq!(late.code, Code::WrongState);
    assert_eq!(scene.kinds(), ["meeting.ended"]);
    assert_eq!(scene.closed(&ann), Some(CloseCode::MeetingEnded));
    scene.pass(60_000);
    assert!(scene.recorded.is_empty(), "a deadline takes effect once");
}

#[test]
fn mt8_deadlines_fire_earliest_first() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.lost(&bob);
    scene.now += 1;
    scene.lost(&ann);
    scene.pass(60_000);
    let gone: Vec<ParticipantId> = scene
        .recorded
        .iter()
        .filter_map(|r| match &r.event {
            Event::ParticipantLeft { participant, .. } => Some(participant.id),
            _ => None,
        })
        .collect();
    assert_eq!(gone, [scene.id(&bob), scene.id(&ann)]);
    assert!(!scene.kinds().contains(&"meeting.host_changed"), "nobody was left to step in");
}

#[test]
fn mt8_a_deadline_holds_though_the_input_is_refused() {
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.lost(&bob);
    scene.now += 30_000;
    let refused = scene.take(Input::Refused { rejection: Rejection::bad_request("nonsense") });
    assert_eq!(refused.expect_err("refused").code, Code::BadRequest);
    assert_eq!(scene.kinds(), ["session.closed", "participant.left"]);
}

/// Cases 35 and 36: a restart neither ends the meeting nor keeps people's places for ever.
#[test]
fn mt9_recovery_gives_everybody_a_fresh_grace() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Bob", Role::Participant);
    scene.lost(&ann);
    scene.now += 3_600_000;
    scene.take(Input::Recovered).expect("recovered");
    assert_eq!(scene.kinds(), ["meeting.recovered"]);
    scene.pass(29_999);
    assert!(scene.is_inside(&ann));
    scene.pass(1);
    assert!(!scene.is_inside(&ann), "the place is free again");
    scene.join(&ann).expect("and can be taken again");
    assert!(scene.is_inside(&ann));
}

#[test]
fn mt9_emptiness_and_absence_start_anew_but_not_the_duration() {
    let mut scene = Scene::with(|s| s.host_absent_end_s = Some(600));
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, leave());
    scene.now += 299_000;
    scene.take(Input::Recovered).expect("recovered");
    scene.pass(299_999);
    assert_eq!(scene.state.info.status, Status::Live);
    scene.pass(1);
    assert_eq!(ended(&scene), Some(EndReason::Empty));

    let mut scene = Scene::with(|s| s.host_absent_end_s = Some(600));
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Bob", Role::Participant);
    scene.does(&ann, leave());
    scene.now += 599_000;
    scene.take(Input::Recovered).expect("recovered");
    scene.pass(599_999);
    assert_eq!(ended(&scene), None);
    scene.pass(1);
    assert_eq!(ended(&scene), Some(EndReason::HostAbsent));

    let mut scene = Scene::with(|s| s.max_duration_s = Some(60));
    scene.enters("Bob", Role::Participant);
    scene.now += 60_000;
    scene.take(Input::Recovered).expect("recovered");
    assert!(scene.recorded.is_empty(), "nobody was absent");
    scene.pass(0);
    assert_eq!(ended(&scene), Some(EndReason::MaxDuration));
}

/// Case 25: a plain participant switched the waiting room off.
#[test]
fn mt10_plain_participants_change_no_settings() {
    let off = || update(SettingsPatch { lobby: Some(LobbyPolicy::Off), ..SettingsPatch::default() });
    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Guests);
    let cohost = scene.enters("Coco", Role::Cohost);
    for who in [Role::Participant, Role::Viewer] {
        let device = scene.enters(who.as_str(), who);
        scene.refused(&device, off(), Code::NotPermitted);
    }
    scene.does(&cohost, off());
    assert_eq!(scene.state.info.settings.lobby, LobbyPolicy::Off);
}

#[test]
fn mt10_a_patch_changes_what_it_names_and_keeps_within_the_ranges() {
    let mut scene = Scene::with(|s| s.locked = true);
    let ann = scene.enters("Ann", Role::Host);
    let patch = |max| SettingsPatch { max_participants: Some(max), ..SettingsPatch::default() };
    scene.refused(&ann, update(patch(0)), Code::BadRequest);
    scene.refused(&ann, update(patch(1_001)), Code::BadRequest);
    scene.settings(&ann, patch(5));
    assert_eq!(scene.kinds(), ["meeting.updated"]);
    assert!(scene.state.info.settings.locked);
    scene.settings(&ann, patch(5));
    assert!(scene.recorded.is_empty(), "no change is no event");
    let title = Command::UpdateMeeting { title: Some(" Daily ".to_owned()), settings: None, scheduled_at: None };
    scene.does(&ann, title);
    assert_eq!(scene.state.info.title, "Daily");
    let later = Command::UpdateMeeting { title: None, settings: None, scheduled_at: Some(START) };
    scene.refused(&ann, later, Code::WrongState);
}

#[test]
fn mt10_fewer_seats_throw_nobody_out() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.settings(&ann, SettingsPatch { max_participants: Some(1), locked: Some(true), ..SettingsPatch::default() });
    assert!(scene.is_inside(&bob));
    assert_eq!(scene.join(&bob.other(1)), Ok(Reply::Inside(scene.id(&bob))));
}

#[test]
fn mt11_invitations_have_a_limit() {
    let mut scene = Scene::limited(Limits { invitations_max: 2, ..Limits::default() }, |_| {});
    let new = |n| NewInvitation {
        id: InvitationId(Uuid::from_u128(n)),
        email: "ann@example.org".to_owned(),
        role: Role::Participant,
        code_digest: "digest".to_owned(),
    };
    let invite = |numbers: &[u128]| Command::Invite { invitations: numbers.iter().map(|n| new(*n)).collect() };
    scene.operator(invite(&[1])).expect("invited");
    assert_eq!(scene.operator(invite(&[2, 3])).expect_err("too many").code, Code::Capacity);
    scene.operator(invite(&[2])).expect("invited");
    assert_eq!(scene.recorded[0].audience, Audience::Nobody);
}

#[test]
fn mt12_a_clock_that_ran_back_is_not_followed() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.now += 60_000;
    scene.does(&ann, say("later"));
    scene.now -= 50_000;
    scene.does(&ann, say("sooner?"));
    assert_eq!(scene.recorded[0].at, START + 60_000);
}
