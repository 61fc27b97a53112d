//! What is asked of the read models: who reads which messages, what pages hold, whose a thing is.

use super::read_models::{Story, each, follow, projections};
use super::{TenantId, key};
use convoke::projections::{Place, Projections, Reader};
use convoke_actors::ports::MeetingKey;
use convoke_domain::shapes::Role;
use convoke_domain::{Command, Input, UserId};
use serde_json::{Value, json};

pub async fn texts(asked: &Projections, key: &MeetingKey, reader: Reader) -> Vec<String> {
    let page = asked.messages(key, None, reader, 0, 100).await.unwrap();
    let text = |data: &str| serde_json::from_str::<Value>(data).unwrap()["text"].as_str().unwrap().to_owned();
    page.items.iter().map(|(_, data)| text(data.get())).collect()
}

#[tokio::test]
async fn messages_are_read_by_those_they_are_for() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, ada_id) = story.join("ada", Role::Host);
        let (bob, bob_id) = story.join("bob", Role::Participant);
        let (_, eve_id) = story.join("eve", Role::Participant);
        story.say(ada, "chat.post", json!({ "to": "room", "text": "to the room" }));
        story.say(bob, "chat.post", json!({ "to": ada_id, "text": "to ada" }));
        story.say(ada, "chat.post", json!({ "to": "everyone", "text": "to all" }));
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 100, std::slice::from_ref(&asked)).await;
        let all = ["to the room", "to ada", "to all"];
        assert_eq!(texts(&asked, &key, Reader::Tenant).await, all, "{name}");
        assert_eq!(texts(&asked, &key, Reader::Participant(ada_id)).await, all, "{name}");
        assert_eq!(texts(&asked, &key, Reader::Participant(bob_id)).await, all, "{name}");
        assert_eq!(texts(&asked, &key, Reader::Participant(eve_id)).await, ["to the room", "to all"], "{name}");
        let stranger = convoke_domain::ParticipantId(uuid::Uuid::now_v7());
        assert_eq!(texts(&asked, &key, Reader::Participant(stranger)).await, ["to all"], "{name}");
        let elsewhere = asked.messages(&key, Some("elsewhere"), Reader::Tenant, 0, 100).await.unwrap();
        assert!(elsewhere.items.is_empty(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_changes_about_a_message_or_a_person_changes_their_row() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, _) = story.join("ada", Role::Host);
        let (bob, bob_id) = story.join("bob", Role::Participant);
        story.say(ada, "chat.post", json!({ "to": "room", "text": "first" }));
        let first = story.last_said();
        story.say(ada, "chat.post", json!({ "to": "room", "text": "second" }));
        let asked = projections(&opened);
        let follower = std::slice::from_ref(&asked);
        story.say(bob, "leave", json!({}));
        story.join("bob", Role::Viewer);
        story.say(ada, "participant.rename", json!({ "participant": bob_id, "name": "Robert" }));
        story.say(ada, "participant.set_role", json!({ "participant": bob_id, "role": "cohost" }));
        story.say(ada, "chat.edit", json!({ "message": first, "text": "edited" }));
        story.say(ada, "chat.react", json!({ "message": first, "emoji": "👍", "on": true }));
        story.pass(1_000);
        story.play(Input::Tick);
        follow(&opened, &key, &story.rows, 1, follower).await;

        let page = asked.messages(&key, None, Reader::Tenant, 0, 1).await.unwrap();
        let shown: Value = serde_json::from_str(page.items[0].1.get()).unwrap();
        assert_eq!((&shown["text"], &shown["reactions"]), (&json!("edited"), &json!({ "👍": 1 })), "{name}");
        let next: i64 = page.next.unwrap().parse().unwrap();
        let rest = asked.messages(&key, None, Reader::Tenant, next, 1).await.unwrap();
        assert!(rest.items[0].1.get().contains("second") && rest.next.is_none(), "it stays where it stood, {name}");

        let stays = asked.attendances(&key, Place::START, 10).await.unwrap().items;
        let told: Vec<_> = stays.iter().map(|s| (s.name.as_str(), s.role.as_str(), s.left_at.is_some())).collect();
        let expected = [("ada", "host", false), ("bob", "participant", true), ("Robert", "cohost", false)];
        assert_eq!(told, expected, "a stay that is over keeps its name, {name}");
        assert_eq!(stays[1].duration_ms, stays[1].left_at.map(|left| left - stays[1].joined_at), "{name}");
        let user = UserId("bob".into());
        assert_eq!(asked.participant_of(&key, &user).await.unwrap(), Some(bob_id), "{name}");
        assert_eq!(asked.meetings_of(&key.tenant, &user).await.unwrap(), [(key.clone(), bob_id)], "{name}");
        assert!(asked.meetings_of(&TenantId("other".into()), &user).await.unwrap().is_empty(), "{name}");
        assert_eq!(asked.attendances_of(&key, bob_id).await.unwrap().len(), 2, "{name}");
    })
    .await;
}

#[tokio::test]
async fn meetings_are_found_by_status_and_title_and_in_pages() {
    each(async |name, opened| {
        let asked = projections(&opened);
        let mut keys = Vec::new();
        for number in 0..5 {
            let key = key();
            let mut story = Story::begin(&key);
            let title = Some(format!("Planning 100% {number}"));
            story.operator(Command::UpdateMeeting { title, settings: None, scheduled_at: None });
            if number == 3 {
                story.operator(Command::CancelMeeting);
            }
            follow(&opened, &key, &story.rows, 10, std::slice::from_ref(&asked)).await;
            keys.push(key);
        }
        let tenant = &keys[0].tenant;
        let newest: Vec<_> = keys.iter().rev().map(|key| key.meeting.0).collect();
        let first = asked.meetings(tenant, None, None, None, 2).await.unwrap();
        assert_eq!(first.items.iter().map(|(id, _)| *id).collect::<Vec<_>>(), newest[..2], "{name}");
        let cursor = first.next.unwrap().parse().ok();
        let second = asked.meetings(tenant, None, None, cursor, 3).await.unwrap();
        assert_eq!(second.items.iter().map(|(id, _)| *id).collect::<Vec<_>>(), newest[2..], "{name}");
        assert!(second.next.is_none(), "{name}");
        let found = async |status, text| asked.meetings(tenant, status, text, None, 10).await.unwrap().items.len();
        assert_eq!(found(Some("cancelled"), None).await, 1, "{name}");
        assert_eq!(found(Some("scheduled"), Some("PLANNING")).await, 4, "{name}");
        assert_eq!(found(None, Some("100% 2")).await, 1, "{name}");
        assert_eq!(found(None, Some("nowhere")).await, 0, "{name}");
        let other = TenantId("other".into());
        assert!(asked.meetings(&other, None, None, None, 10).await.unwrap().items.is_empty(), "{name}");
        let foreign = MeetingKey { tenant: other, ..keys[0].clone() };
        assert!(asked.meeting(&foreign).await.unwrap().is_none(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn an_invitation_is_found_by_the_digest_of_its_code() {
    each(async |name, opened| {
        let (key, other) = (key(), key());
        let asked = projections(&opened);
        let mut story = Story::begin(&key);
        for number in 0..3 {
            story.invite(&format!("guest{number}@example.org"), &format!("digest {number}"));
        }
        follow(&opened, &key, &story.rows, 1, std::slice::from_ref(&asked)).await;
        follow(&opened, &other, &Story::begin(&other).rows, 1, std::slice::from_ref(&asked)).await;
        let (found, id, role) = asked.invitation("digest 1").await.unwrap().unwrap();
        assert_eq!((&found, role), (&key, Role::Cohost), "{name}");
        assert!(asked.invitation("digest 9").await.unwrap().is_none(), "{name}");
        let page = asked.invitations(&key, None, 2).await.unwrap();
        assert_eq!((page.items[1].id, page.items[1].email.as_str()), (id, "guest1@example.org"), "{name}");
        let rest = asked.invitations(&key, page.next.unwrap().parse().ok(), 2).await.unwrap();
        assert_eq!((rest.items.len(), rest.next), (1, None), "{name}");
        assert!(asked.invitations(&other, None, 2).await.unwrap().items.is_empty(), "{name}");
    })
    .await;
}
