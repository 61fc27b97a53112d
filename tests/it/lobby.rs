//! The lobby and moderation, through the front door.

use crate::{client, id_of, joined, meeting, ok, refused, server};
use convoke_loadtest::client::{Client, Options};
use serde_json::json;

#[tokio::test]
async fn whoever_waits_sees_nothing_until_admitted() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({ "lobby": "everyone" })).await;
    let early = client(&server, &id, Some("bob"), "Bob", "participant");
    early.waiting().await.unwrap();
    let host = joined(&server, &id, "ada", "host").await;
    assert_eq!(host.record().snapshot.as_ref().unwrap()["lobby"][0]["name"], "Bob");
    ok(&host, "chat.post", json!({ "to": "everyone", "text": "secret" })).await;
    ok(&host, "lobby.message", json!({ "text": "one moment" })).await;
    early
        .until("the message", |r| r.notices.iter().any(|(kind, _)| kind == "lobby.message").then_some(()))
        .await
        .unwrap();
    assert!(early.record().heard.is_empty(), "the host's arrival let nobody in, and nothing leaked");
    assert_eq!(refused(&early, "chat.post", json!({ "to": "room", "text": "hi" })).await, "wrong_state");
    ok(&host, "lobby.admit", json!({ "all": true })).await;
    let snapshot = early.joined().await.unwrap();
    assert_eq!(snapshot["participants"].as_array().unwrap().len(), 2);
    ok(&early, "chat.post", json!({ "to": "room", "text": "hi" })).await;
}

#[tokio::test]
async fn denied_and_removed_and_banned() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({ "lobby": "guests" })).await;
    let host = joined(&server, &id, "ada", "host").await;
    let guest = client(&server, &id, None, "Guest", "participant");
    guest.waiting().await.unwrap();
    let entry = host.event("lobby.entered").await.unwrap();
    ok(&host, "lobby.deny", json!({ "participant": entry.data["entry"]["participant"] })).await;
    assert_eq!(guest.closed().await.unwrap(), 4505);

    let bob = joined(&server, &id, "bob", "participant").await;
    ok(&host, "participant.remove", json!({ "participant": id_of(&bob) })).await;
    assert_eq!(bob.closed().await.unwrap(), 4502);
    let again = client(&server, &id, Some("bob"), "Bob", "participant");
    again.waiting().await.unwrap();
    ok(&host, "lobby.admit", json!({ "all": true })).await;
    again.joined().await.unwrap();
    ok(&host, "participant.remove", json!({ "participant": id_of(&again), "ban": true })).await;
    assert_eq!(again.closed().await.unwrap(), 4503);
    let banned = client(&server, &id, Some("bob"), "Bob", "participant");
    assert_eq!(banned.closed().await.unwrap(), 4503);
}

#[tokio::test]
async fn back_to_the_lobby_and_a_locked_door() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let host = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    ok(&host, "participant.to_lobby", json!({ "participant": id_of(&bob) })).await;
    bob.until("self.waiting", |r| r.notices.iter().any(|(kind, _)| kind == "self.waiting").then_some(()))
        .await
        .unwrap();
    ok(&host, "meeting.update", json!({ "settings": { "locked": true } })).await;
    let late = client(&server, &id, Some("eve"), "Eve", "participant");
    assert_eq!(late.closed().await.unwrap(), 4505);
    let events = bob.record().heard.len();
    ok(&host, "chat.post", json!({ "to": "everyone", "text": "without bob" })).await;
    ok(&host, "lobby.admit", json!({ "all": true })).await;
    bob.until("self.admitted", |r| r.notices.iter().any(|(kind, _)| kind == "self.admitted").then_some(()))
        .await
        .unwrap();
    assert!(!bob.record().heard.iter().skip(events).any(|heard| heard.data.to_string().contains("without bob")));
}

#[tokio::test]
async fn roles_change_what_one_sees_and_may() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let host = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    assert_eq!(refused(&bob, "participant.mute", json!({ "all": true, "source": "audio" })).await, "not_permitted");
    ok(&host, "participant.set_role", json!({ "participant": id_of(&bob), "role": "cohost" })).await;
    let entered = bob
        .until("self.entered", |r| {
            r.notices.iter().find(|(kind, _)| kind == "self.entered").map(|(_, data)| data.clone())
        })
        .await
        .unwrap();
    assert_eq!(entered["self"]["participant"]["role"], "cohost");
    ok(&bob, "participant.mute", json!({ "all": true, "source": "audio" })).await;
    assert_eq!(refused(&bob, "participant.remove", json!({ "participant": id_of(&host) })).await, "not_permitted");
    assert_eq!(
        refused(&bob, "participant.set_role", json!({ "participant": id_of(&bob), "role": "host" })).await,
        "not_permitted"
    );
}

#[tokio::test]
async fn those_who_wait_are_told_of_the_end() {
    let server = server(&[]).await;
    for way in ["meeting.end", "/end", "cancel"] {
        let id = meeting(&server, json!({ "lobby": "everyone" })).await;
        let bob = client(&server, &id, Some("bob"), "Bob", "participant");
        bob.waiting().await.unwrap();
        let path = format!("/meetings/{id}");
        if way == "cancel" {
            assert_eq!(server.rest.api("DELETE", &path, None).await.unwrap().status, 204);
        } else {
            let host = joined(&server, &id, "ada", "host").await;
            if way == "/end" {
                assert_eq!(server.rest.api("POST", &format!("{path}/end"), None).await.unwrap().status, 200);
            } else {
                ok(&host, "meeting.end", json!({})).await;
            }
            assert_eq!(host.closed().await.unwrap(), 4504);
        }
        assert_eq!(bob.closed().await.unwrap(), 4504, "{way}");
        assert!(bob.record().heard.is_empty(), "{way}: they heard of nothing else");
    }
}

#[tokio::test]
async fn no_door_leads_round_the_lobby() {
    let server = server(&[]).await;
    let rest = &server.rest;
    let id = meeting(&server, json!({ "lobby": "everyone" })).await;
    let host = joined(&server, &id, "ada", "host").await;
    let made = json!({ "emails": ["a@example.org"], "role": "participant" });
    let made = rest.api("POST", &format!("/meetings/{id}/invitations"), Some(made)).await.unwrap().json();
    let accept = format!("/api/v1/invitations/{}/accept", made["items"][0]["code"].as_str().unwrap());
    let invited = rest.send("POST", &accept, &[], Some(r#"{"name":"Anna"}"#)).await.unwrap().json();
    let asked = json!({ "user": "bob", "name": "Bob", "role": "participant" });
    let asked = rest.api("POST", &format!("/meetings/{id}/tokens"), Some(asked)).await.unwrap().json();
    let offline = json!({ "token": rest.key.join_token(&id, None, "Telephone", "viewer") });
    for token in [invited, asked, offline] {
        let token = token["token"].as_str().unwrap().to_owned();
        Client::start(Options::new(&rest.host, token)).waiting().await.unwrap();
    }
    // Nor does an invitation give what only the backend gives.
    for role in ["recorder", "agent"] {
        let made = json!({ "emails": ["a@example.org"], "role": role });
        let refused = rest.api("POST", &format!("/meetings/{id}/invitations"), Some(made)).await.unwrap();
        assert_eq!(refused.status, 403, "{role}");
    }
    ok(&host, "chat.post", json!({ "to": "everyone", "text": "nobody else is here" })).await;
    let log = rest.log(&id).await.unwrap();
    assert_eq!(log.iter().filter(|event| event["type"] == "participant.joined").count(), 1);
}
