//! What cannot be asked, voted, shown or timed: each by its code, and nothing has happened.

use super::{asked, opened};
use crate::breakout::{entered, open};
use crate::{id_of, joined, meeting, ok, refused, server};
use serde_json::{Value, json};

fn poll_of(options: impl IntoIterator<Item = String>) -> Value {
    let options: Vec<String> = options.into_iter().collect();
    json!({ "question": "Which?", "options": options, "results": "live" })
}

fn options(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("option {number}")).collect()
}

/// A poll with this in the place of what is right.
fn poll_with(name: &str, value: Value) -> Value {
    let mut poll = poll_of(options(2));
    poll[name] = value;
    poll
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_code_and_changes_nothing() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let vic = joined(&server, &id, "vic", "viewer").await;
    let bot = joined(&server, &id, "bot", "agent").await;
    let rooms = open(&ada, json!({ "rooms": [{ "name": "One", "participants": [id_of(&eve)] }] })).await;
    entered(&eve, &rooms[0]).await;
    let poll = opened(&ada, poll_of(options(20))).await;
    let many = opened(&ada, poll_with("multiple", json!(true))).await;
    let closed = opened(&ada, poll_of(options(2))).await;
    ok(&ada, "poll.close", json!({ "poll": closed })).await;
    let question = asked(&bob, "Which?", false).await;
    let answered = asked(&bob, "When?", true).await;
    ok(&ada, "question.answer", json!({ "question": answered, "live": true })).await;
    let dismissed = asked(&bob, "Why?", false).await;
    ok(&ada, "question.dismiss", json!({ "question": dismissed })).await;
    ok(&ada, "timer.start", json!({ "duration_s": 3_600 })).await;
    let (ada_id, bob_id, bot_id) = (id_of(&ada), id_of(&bob), id_of(&bot));
    let head = server.rest.log(&id).await.unwrap().len();

    let nobody = uuid::Uuid::now_v7().to_string();
    let vote = |poll: &str, choices: Value| json!({ "poll": poll, "choices": choices });
    let up = |question: &str| json!({ "question": question, "up": true });
    let spot = |people: &[&String]| json!({ "participants": people });
    let strangers: Vec<String> = (0..26).map(|_| uuid::Uuid::now_v7().to_string()).collect();
    let table = [
        (&ada, "poll.open", poll_of(options(21)), "bad_request"),
        (&ada, "poll.open", poll_of(options(1)), "bad_request"),
        (&ada, "poll.open", poll_of([]), "bad_request"),
        (&ada, "poll.open", poll_of(["Yes".to_owned(), " Yes ".to_owned()]), "bad_request"),
        (&ada, "poll.open", poll_of(["Yes".to_owned(), " ".to_owned()]), "bad_request"),
        (&ada, "poll.open", poll_of(["Yes".to_owned(), "x".repeat(201)]), "too_large"),
        (&ada, "poll.open", poll_with("question", json!("")), "bad_request"),
        (&ada, "poll.open", poll_with("question", json!("x".repeat(501))), "too_large"),
        (&ada, "poll.open", poll_with("results", json!("never")), "bad_request"),
        (&ada, "poll.open", poll_with("results", Value::Null), "bad_request"),
        (&ada, "poll.open", poll_with("options", json!("Yes")), "bad_request"),
        (&ada, "poll.open", poll_with("duration_s", json!(0)), "bad_request"),
        (&ada, "poll.open", poll_with("duration_s", json!(-1)), "bad_request"),
        (&ada, "poll.open", poll_with("duration_s", json!(86_401)), "bad_request"),
        (&bob, "poll.open", poll_of(options(2)), "not_permitted"),
        (&bob, "poll.vote", vote(&poll, json!([])), "bad_request"),
        (&bob, "poll.vote", vote(&poll, json!([20])), "bad_request"),
        (&bob, "poll.vote", vote(&poll, json!([-1])), "bad_request"),
        (&bob, "poll.vote", vote(&poll, json!([4_294_967_296_u64])), "bad_request"),
        (&bob, "poll.vote", vote(&poll, json!(0)), "bad_request"),
        (&bob, "poll.vote", vote(&poll, json!([0, 1])), "bad_request"),
        (&bob, "poll.vote", vote(&many, json!([1, 1])), "bad_request"),
        (&bob, "poll.vote", vote(&many, json!([0, 2])), "bad_request"),
        (&bob, "poll.vote", vote(&closed, json!([0])), "wrong_state"),
        (&bob, "poll.vote", vote(&nobody, json!([0])), "not_found"),
        (&bob, "poll.vote", vote(&question, json!([0])), "not_found"),
        (&vic, "poll.vote", vote(&poll, json!([0])), "not_permitted"),
        (&bot, "poll.vote", vote(&poll, json!([0])), "not_permitted"),
        (&eve, "poll.vote", vote(&poll, json!([0])), "not_found"),
        (&ada, "poll.close", json!({ "poll": closed }), "wrong_state"),
        (&ada, "poll.close", json!({ "poll": nobody }), "not_found"),
        (&bob, "poll.close", json!({ "poll": poll }), "not_permitted"),
        (&bob, "question.ask", json!({ "text": " " }), "bad_request"),
        (&bob, "question.ask", json!({ "text": "x".repeat(501) }), "too_large"),
        (&bob, "question.ask", json!({ "text": "so\u{0}" }), "bad_request"),
        (&bob, "question.ask", json!({ "anonymous": true }), "bad_request"),
        (&vic, "question.ask", json!({ "text": "May I?" }), "not_permitted"),
        (&bob, "question.vote", up(&answered), "wrong_state"),
        (&bob, "question.vote", up(&dismissed), "wrong_state"),
        (&bob, "question.vote", up(&nobody), "not_found"),
        (&eve, "question.vote", up(&question), "not_found"),
        (&vic, "question.vote", up(&question), "not_permitted"),
        (&bob, "question.vote", json!({ "question": question }), "bad_request"),
        (&ada, "question.answer", json!({ "question": question }), "bad_request"),
        (&ada, "question.answer", json!({ "question": question, "text": "So.", "live": true }), "bad_request"),
        (&ada, "question.answer", json!({ "question": question, "text": "" }), "bad_request"),
        (&ada, "question.answer", json!({ "question": question, "text": "x".repeat(4_001) }), "too_large"),
        (&ada, "question.answer", json!({ "question": answered, "live": true }), "wrong_state"),
        (&ada, "question.answer", json!({ "question": nobody, "live": true }), "not_found"),
        (&bob, "question.answer", json!({ "question": question, "live": true }), "not_permitted"),
        (&ada, "question.dismiss", json!({ "question": dismissed }), "wrong_state"),
        (&bob, "question.dismiss", json!({ "question": question }), "not_permitted"),
        (&ada, "timer.start", json!({ "duration_s": 0 }), "bad_request"),
        (&ada, "timer.start", json!({ "duration_s": 86_401 }), "bad_request"),
        (&ada, "timer.start", json!({ "duration_s": 60, "title": "" }), "bad_request"),
        (&ada, "timer.start", json!({ "duration_s": 60, "title": "x".repeat(201) }), "too_large"),
        (&ada, "timer.start", json!({ "duration_s": 60 }), "wrong_state"),
        (&bob, "timer.start", json!({ "duration_s": 60 }), "not_permitted"),
        (&bob, "timer.stop", json!({}), "not_permitted"),
        (&ada, "spotlight.set", spot(&[&bob_id, &nobody]), "not_found"),
        (&ada, "spotlight.set", spot(&[&bob_id, &ada_id, &bob_id]), "bad_request"),
        (&ada, "spotlight.set", spot(&[&bot_id]), "not_found"),
        (&ada, "spotlight.set", json!({ "participants": strangers }), "capacity"),
        (&ada, "spotlight.set", json!({ "participants": bob_id }), "bad_request"),
        (&ada, "spotlight.set", json!({}), "bad_request"),
        (&bob, "spotlight.set", spot(&[&bob_id]), "not_permitted"),
        (&ada, "screen.request", json!({}), "conflict"),
        (&bob, "screen.request", json!({}), "conflict"),
        (&vic, "screen.request", json!({}), "not_permitted"),
    ];
    for (client, kind, data, code) in table {
        assert_eq!(refused(client, kind, data.clone()).await, code, "{kind} {data}");
    }
    assert_eq!(server.rest.log(&id).await.unwrap().len(), head, "nothing has happened");
    ok(&bob, "poll.vote", vote(&poll, json!([19]))).await;
    ok(&bob, "poll.vote", vote(&many, json!([1, 0]))).await;
}

#[tokio::test]
async fn a_room_and_a_person_have_so_many_open_and_no_more() {
    let server = server(&[("CONVOKE_QUESTIONS_OPEN_MAX", "22")]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let mut polls = Vec::new();
    for number in 0..10 {
        let anonymous = number % 2 == 0;
        polls.push(opened(&ada, poll_with("anonymous", json!(anonymous))).await);
    }
    assert_eq!(refused(&ada, "poll.open", poll_of(options(2))).await, "capacity");
    ok(&ada, "poll.close", json!({ "poll": polls[0] })).await;
    opened(&ada, poll_of(options(2))).await;

    let mut questions = Vec::new();
    for number in 0..20 {
        questions.push(asked(&bob, &format!("question {number}"), number % 2 == 0).await);
    }
    for anonymous in [true, false] {
        let one_more = json!({ "text": "one more", "anonymous": anonymous });
        assert_eq!(refused(&bob, "question.ask", one_more).await, "capacity", "a person's, anonymous or not");
    }
    asked(&eve, "another's", false).await;
    asked(&eve, "another's, anonymously", true).await;
    assert_eq!(refused(&eve, "question.ask", json!({ "text": "too many" })).await, "capacity", "the room's");
    ok(&ada, "question.dismiss", json!({ "question": questions[0] })).await;
    ok(&bob, "question.ask", json!({ "text": "one more" })).await;
    // Another room has its own.
    let rooms = open(&ada, json!({ "rooms": [{ "name": "One", "participants": [id_of(&ada), id_of(&eve)] }] })).await;
    entered(&ada, &rooms[0]).await;
    entered(&eve, &rooms[0]).await;
    opened(&ada, poll_of(options(2))).await;
    asked(&eve, "in a room of its own", false).await;
}
