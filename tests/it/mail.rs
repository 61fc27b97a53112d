//! Invitations by mail, and what the server's log does not say of them.

use crate::smtp::Smtp;
use crate::{meeting, server};
use convoke_loadtest::client::{Client, Options};
use serde_json::json;

#[tokio::test]
async fn an_invitation_is_mailed_and_its_link_is_a_way_in() {
    let smtp = Smtp::start(&[]).await;
    let server = server(&[
        ("CONVOKE_SMTP_URL", &smtp.url),
        ("CONVOKE_MAIL_FROM", "Convoke <meet@example.org>"),
        ("CONVOKE_PUBLIC_URL", "https://meet.example"),
        ("CONVOKE_LOG_LEVEL", "trace"),
    ])
    .await;
    let rest = &server.rest;
    let id = meeting(&server, json!({})).await;
    let path = format!("/meetings/{id}/invitations");
    let emails = json!({ "emails": ["ada@example.org", "bob@example.org"], "role": "cohost" });
    let bearer = format!("Bearer {}", rest.key.api_token());
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "invite")];
    let api = format!("/api/v1{path}");
    for _ in 0..2 {
        let made = rest.send("POST", &api, &headers, Some(&emails.to_string())).await.unwrap();
        assert_eq!(made.status, 201);
    }
    let mails = smtp.has_received(2).await;
    let made = rest.send("POST", &api, &headers, Some(&emails.to_string())).await.unwrap().json();
    let listed = rest.api("GET", &path, None).await.unwrap().json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "a repeated POST invites once");
    for item in made["items"].as_array().unwrap() {
        let (email, code) = (item["email"].as_str().unwrap(), item["code"].as_str().unwrap());
        let mail = mails.iter().find(|mail| mail.to.contains(email)).unwrap();
        assert_eq!(mail.code(), code, "the link in the mail is the one in the answer");
        let accept = format!("/api/v1/invitations/{}/accept", mail.code());
        let token = rest.send("POST", &accept, &[], Some(r#"{"name":"Ada"}"#)).await.unwrap().json();
        let options = Options::new(&rest.host, token["token"].as_str().unwrap().to_owned());
        let invited = Client::start(options);
        assert_eq!(invited.joined().await.unwrap()["self"]["participant"]["role"], "cohost");
        let log = server.log();
        assert!(log.contains("answered"), "the log tells of requests");
        assert!(!log.contains(code) && !log.contains(email), "and neither codes nor addresses");
    }
    assert_eq!(smtp.received().len(), 2);
    let metrics = || async { rest.send("GET", "/metrics", &[], None).await.unwrap().body };
    while !metrics().await.contains("convoke_outbox_delivered_total 2") {
        tokio::task::yield_now().await;
    }
}
