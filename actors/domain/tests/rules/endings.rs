//! What ends a meeting and what does not, and limits that change while meetings stand.

use crate::common::*;
use convoke_domain::shapes::{LobbyPolicy, Role, Settings, SettingsPatch, Status};
use convoke_domain::turn::{Now, begin};
use convoke_domain::*;

/// Case 24: a hundred people were sent home by a wrong click. Only the one command does that.
#[test]
fn mt4_no_way_of_going_ends_the_meeting() {
    for going in 0..4 {
        let mut scene = Scene::new();
        let ann = scene.enters("Ann", Role::Host);
        let bob = scene.enters("Bob", Role::Participant);
        let anns = scene.id(&ann);
        match going {
            0 => scene.does(&ann, leave()),
            1 => scene.does(&ann, Command::Leave { all: true, transfer_to: None }),
            2 => {
                scene.lost(&ann);
                scene.pass(scene.limits.grace_ms);
            }
            _ => drop(scene.operator(remove(anns)).expect("removed")),
        }
        assert!(!scene.is_inside(&ann) && scene.is_inside(&bob), "way {going}");
        assert_eq!(scene.state.info.status, Status::Live, "way {going}");
        assert_eq!(scene.closed(&bob), None);
        scene.does(&bob, say("still here"));
    }
}

/// Case 38: timers ended with the moderator who had started them.
#[test]
fn mt8_the_end_stands_when_whoever_set_it_goes() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.settings(&ann, SettingsPatch { max_duration_s: Some(Some(600)), ..SettingsPatch::default() });
    let ends_at = scene.state.info.ends_at;
    assert_eq!(ends_at, Some(START + 600_000));
    scene.does(&ann, leave());
    assert_eq!(scene.state.info.ends_at, ends_at);
    scene.pass(599_999);
    assert!(scene.is_inside(&bob));
    scene.pass(1);
    assert_eq!(scene.state.info.status, Status::Ended);
}

#[test]
fn mt1_the_default_of_seats_is_cut_to_what_the_server_allows() {
    let few = Limits { participants_max: 2, ..Limits::default() };
    let mut scene = Scene::limited(few.clone(), |_| {});
    assert_eq!(scene.state.info.settings.max_participants, 2);
    scene.enters("Ann", Role::Participant);
    scene.enters("Bob", Role::Participant);
    let cid = scene.user("Cid", Role::Participant);
    assert_eq!(scene.join(&cid).expect_err("full").code, Code::Capacity);
    let named = Settings { max_participants: 3, ..Settings::default() };
    let now = Now { at: START, entropy: 0 };
    assert_eq!(begin(create_with(named), now, &few).expect_err("more than there are").code, Code::BadRequest);
}

#[test]
fn mt10_a_limit_that_was_lowered_binds_what_is_changed() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.limits.participants_max = 2;
    let seats = |max| SettingsPatch { max_participants: Some(max), ..SettingsPatch::default() };
    scene.settings(&ann, SettingsPatch { lobby: Some(LobbyPolicy::Everyone), ..SettingsPatch::default() });
    assert_eq!(scene.state.info.settings.lobby, LobbyPolicy::Everyone);
    scene.refused(&ann, update(seats(3)), Code::BadRequest);
    scene.settings(&ann, seats(2));
}
