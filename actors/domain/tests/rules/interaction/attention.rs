//! AT: the timer, the spotlight, and the wish to share a screen.

use super::*;
use convoke_domain::command::Nothing;
use convoke_domain::shapes::{Role, SettingsPatch, Source, Timer};

fn start(duration_s: u32, title: Option<&str>) -> Command {
    Command::StartTimer { duration_s, title: title.map(str::to_owned) }
}

const STOP: Command = Command::StopTimer(Nothing {});
const REQUEST: Command = Command::RequestScreen(Nothing {});

fn spotlight(participants: &[ParticipantId]) -> Command {
    Command::SetSpotlight { participants: participants.to_vec() }
}

fn permit(participant: ParticipantId, source: Source, allowed: bool) -> Command {
    Command::Permit { whom: one(participant), source, allowed }
}

#[test]
fn at1_one_timer_at_a_time_for_everybody() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.refused(&bob, start(60, None), Code::NotPermitted);
    for wrong in [0, 86_401] {
        scene.refused(&ann, start(wrong, None), Code::BadRequest);
    }
    scene.refused(&ann, start(60, Some(" ")), Code::BadRequest);
    scene.refused(&ann, start(60, Some(&"é".repeat(201))), Code::TooLarge);
    scene.refused(&ann, STOP, Code::WrongState);
    scene.does(&ann, start(60, Some("Break")));
    assert_eq!(scene.event("timer.started").audience, Audience::Everyone);
    let timer = Timer { title: Some("Break".to_owned()), started_at: scene.now, ends_at: scene.now + 60_000 };
    assert_eq!(scene.state.timer, Some(timer.clone()));
    scene.refused(&ann, start(10, None), Code::WrongState);
    scene.does(&ann, STOP);
    assert_eq!(scene.event("timer.ended").event, Event::TimerEnded { timer, by: Some(scene.id(&ann)) });
    assert_eq!(scene.state.timer, None);
}

/// Case 38: timers ended with the moderator who had started them.
#[test]
fn at1_the_timer_goes_on_without_whoever_started_it() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Bob", Role::Participant);
    scene.does(&ann, start(60, None));
    scene.does(&ann, leave());
    scene.pass(59_999);
    assert!(scene.state.timer.is_some());
    scene.pass(1);
    assert_eq!(scene.kinds(), ["timer.ended"]);
    assert!(matches!(scene.event("timer.ended").event, Event::TimerEnded { by: None, .. }));
    scene.pass(60_000);
    assert!(scene.recorded.is_empty(), "once");
}

#[test]
fn at1_no_timer_outlives_the_meeting() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, start(60, None));
    scene.does(&ann, Command::EndMeeting(Nothing {}));
    assert_eq!(scene.state.timer, None);
}

#[test]
fn at2_the_spotlight_is_on_people_inside() {
    let mut scene = Scene::limited(Limits { spotlight_max: 2, ..Limits::default() }, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    let rec = scene.enters("Rec", Role::Recorder);
    let [anns, bobs, cids, recs] = [&ann, &bob, &cid, &rec].map(|device| scene.id(device));
    scene.refused(&bob, spotlight(&[bobs]), Code::NotPermitted);
    scene.refused(&ann, spotlight(&[anns, bobs, cids]), Code::Capacity);
    scene.refused(&ann, spotlight(&[bobs, bobs]), Code::BadRequest);
    scene.refused(&ann, spotlight(&[recs]), Code::NotFound);
    scene.does(&ann, spotlight(&[cids, bobs]));
    assert_eq!(scene.event("spotlight.changed").audience, Audience::Everyone);
    assert_eq!(scene.state.spotlight, [cids, bobs]);
    scene.does(&ann, spotlight(&[cids, bobs]));
    assert!(scene.recorded.is_empty(), "nothing changed");
    scene.does(&cid, leave());
    assert_eq!(scene.state.spotlight, [bobs], "whoever leaves is out of it");
    scene.refused(&ann, spotlight(&[cids]), Code::NotFound);
    scene.does(&ann, remove(bobs));
    assert_eq!(scene.state.spotlight, []);
    scene.does(&ann, spotlight(&[anns]));
    scene.does(&ann, spotlight(&[]));
    assert_eq!(scene.state.spotlight, []);
}

#[test]
fn at3_a_wish_to_share_is_told_once_until_it_is_answered() {
    let mut scene = Scene::with(|settings| settings.allow_screen_share = false);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let vic = scene.enters("Vic", Role::Viewer);
    let bobs = scene.id(&bob);
    scene.refused(&vic, REQUEST, Code::NotPermitted);
    scene.refused(&ann, REQUEST, Code::Conflict);
    scene.does(&bob, REQUEST);
    assert_eq!(scene.effects, [Effect::ScreenRequested(bobs)]);
    assert_eq!(scene.event("screen.asked").audience, Audience::Leads, "a lead who is away hears of it on return");
    assert_eq!(scene.state.screen_requests, [bobs]);
    scene.does(&bob, REQUEST);
    assert!(scene.recorded.is_empty() && scene.effects.is_empty(), "once");
    scene.does(&ann, permit(bobs, Source::Audio, true));
    assert_eq!(scene.state.screen_requests, [bobs], "that was about something else");
    scene.does(&ann, permit(bobs, Source::Screen, false));
    assert_eq!(scene.state.screen_requests, []);
    scene.does(&bob, REQUEST);
    scene.does(&ann, permit(bobs, Source::Screen, true));
    scene.refused(&bob, REQUEST, Code::Conflict);
}

#[test]
fn at3_a_wish_goes_with_its_person() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.settings(&ann, SettingsPatch { allow_screen_share: Some(false), ..SettingsPatch::default() });
    scene.does(&bob, REQUEST);
    scene.does(&bob, leave());
    assert_eq!(scene.state.screen_requests, []);
}
