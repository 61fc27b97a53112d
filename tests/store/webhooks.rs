//! Whom the read models have told, once and with their cursor; what an endpoint is given at a time;
//! what becomes of an endpoint that fails; what is sent again.

use super::hooks::{Hooks, Manner};
use super::key;
use super::read_models::{Story, each, follow, projections};
use super::rebuilding::on_database;
use convoke::adapters::store::Opened;
use convoke::outbox::{Deliverer, Fate, Leased, Policy, Queue};
use convoke::webhooks::{
    Change, Client, Delivery, ENDPOINTS_MAX, Endpoint, IN_FLIGHT_MAX, Made, New, Notice, REPLAY_MAX, Secrets, Webhooks,
    Window, disabled, enqueue,
};
use convoke_actors::ports::{EventRow, MeetingKey};
use convoke_domain::shapes::Role;
use convoke_domain::{Command, Input, TenantId, UserId};
use futures_util::future::join_all;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId(name.into())
}

fn webhooks(opened: &Opened) -> Webhooks {
    let client = Client::new(true).unwrap();
    Webhooks::new(opened.db.clone(), Arc::clone(&opened.store), Secrets::new("secret"), client, Arc::default())
}

async fn endpoint_at(opened: &Opened, of: &str, url: &str, types: &[&str]) -> Endpoint {
    let types = types.iter().map(|kind| (*kind).to_owned()).collect();
    let new = New { id: Uuid::now_v7(), url: url.into(), types, description: String::new() };
    match webhooks(opened).make(&tenant(of), &new).await.unwrap() {
        Made::Endpoint(endpoint) => *endpoint,
        Made::TooMany => panic!("there is room for one"),
    }
}

async fn endpoint(opened: &Opened, of: &str, types: &[&str]) -> Endpoint {
    endpoint_at(opened, of, "http://127.0.0.1:1/", types).await
}

async fn deliveries(opened: &Opened, of: &str, endpoint: &Endpoint) -> Vec<Delivery> {
    webhooks(opened).deliveries(&tenant(of), &endpoint.id, None, 200).await.unwrap().items
}

/// The types of what is to be sent to it, in the order of what happened.
async fn told(opened: &Opened, of: &str, endpoint: &Endpoint) -> Vec<String> {
    let mut all = deliveries(opened, of, endpoint).await;
    all.sort_by_key(|delivery| (delivery.at, delivery.row));
    all.into_iter().map(|delivery| delivery.kind).collect()
}

/// A meeting with people and a service in it, which ended a moment ago.
fn story(key: &MeetingKey) -> Story {
    let mut story = Story::begin(key);
    story.operator(Command::StartMeeting(Default::default()));
    let (ada, _) = story.join("ada", Role::Host);
    story.join("robot", Role::Agent);
    let (_, mallory) = story.join("mallory", Role::Participant);
    story.say(ada, "chat.post", json!({ "to": "room", "text": "words" }));
    story.say(ada, "participant.remove", json!({ "participant": mallory }));
    story.say(ada, "meeting.end", json!({}));
    story.rows = recent(story.rows);
    story
}

/// The same events, from now on.
fn recent(rows: Vec<EventRow>) -> Vec<EventRow> {
    let from = now() + 1_000;
    rows.into_iter().map(|row| EventRow { at: from + row.seq.0, ..row }).collect()
}

const TOLD: [&str; 5] =
    ["meeting.started", "participant.joined", "participant.joined", "participant.removed", "meeting.ended"];

#[tokio::test]
async fn webhook_rows_are_written_with_the_cursor_for_whoever_asked() {
    each(async |name, opened| {
        let all = endpoint(&opened, "acme", &[]).await;
        let ends = endpoint(&opened, "acme", &["meeting.ended", "meeting.cancelled"]).await;
        let off = endpoint(&opened, "acme", &["meeting.ended"]).await;
        let other = endpoint(&opened, "other", &[]).await;
        let change = Change { disabled: Some(true), ..Change::default() };
        webhooks(&opened).change(&tenant("acme"), &off.id, &change).await.unwrap();
        let key = key();
        // Two nodes that follow, a few events at a time.
        follow(&opened, &key, &story(&key).rows, 3, &[projections(&opened), projections(&opened)]).await;
        assert_eq!(told(&opened, "acme", &all).await, TOLD, "services are not told of, {name}");
        assert_eq!(told(&opened, "acme", &ends).await, ["meeting.ended"], "{name}");
        assert_eq!(told(&opened, "other", &other).await, [""; 0], "{name}: another tenant's affair");
        assert!(deliveries(&opened, "other", &all).await.is_empty(), "{name}: nor is it shown to another tenant");
        let missed = deliveries(&opened, "acme", &off).await;
        assert_eq!((missed.len(), missed[0].status), (1, "failed"), "kept for a replay, {name}");
        let ids: BTreeSet<String> = deliveries(&opened, "acme", &ends).await.into_iter().map(|one| one.id).collect();
        let same = deliveries(&opened, "acme", &all).await.iter().filter(|one| ids.contains(&one.id)).count();
        assert_eq!(same, 1, "one thing has one id wherever it is told, {name}");
        // An endpoint hears of nothing that was before it.
        let late = endpoint(&opened, "acme", &[]).await;
        let past = super::key();
        let mut rows = story(&past).rows;
        rows.iter_mut().for_each(|row| row.at = late.created_at - 1_000 + row.seq.0);
        follow(&opened, &past, &rows, 100, &[projections(&opened)]).await;
        assert_eq!(told(&opened, "acme", &late).await, [""; 0], "{name}");
    })
    .await;
}

#[tokio::test]
async fn webhook_rows_are_there_if_and_only_if_the_cursor_moved() {
    each(async |name, opened| {
        let all = endpoint(&opened, "acme", &[]).await;
        let (key, follower) = (key(), projections(&opened));
        follow(&opened, &key, &story(&key).rows, 100, &[]).await;
        on_database(&opened.db, "ALTER TABLE webhook_endpoints RENAME TO away").await;
        assert!(follower.catch_up(&key).await.is_err(), "{name}");
        on_database(&opened.db, "ALTER TABLE away RENAME TO webhook_endpoints").await;
        assert!(follower.meeting(&key).await.unwrap().is_none(), "the read models did not go on alone, {name}");
        follower.catch_up(&key).await.unwrap();
        assert_eq!(told(&opened, "acme", &all).await, TOLD, "{name}");
    })
    .await;
}

#[tokio::test]
async fn webhooks_are_not_told_again_when_read_models_are_rebuilt() {
    each(async |name, opened| {
        let all = endpoint(&opened, "acme", &[]).await;
        let (key, follower) = (key(), projections(&opened));
        follow(&opened, &key, &story(&key).rows, 100, std::slice::from_ref(&follower)).await;
        let first = deliveries(&opened, "acme", &all).await;
        follower.rebuild().await.unwrap();
        assert_eq!(deliveries(&opened, "acme", &all).await, first, "what waits, {name}");
        on_database(&opened.db, "UPDATE outbox SET done_at = created_at").await;
        follower.rebuild().await.unwrap();
        assert!(deliveries(&opened, "acme", &all).await.iter().all(|one| one.status == "delivered"), "{name}");
        // Three days later their rows are forgotten, and they are too old to be told.
        let days = |count: u64| count * 24 * 3_600 * 1_000;
        on_database(&opened.db, &format!("UPDATE outbox SET done_at = done_at - {}", days(4))).await;
        on_database(&opened.db, &format!("UPDATE events SET at = at - {}", days(3))).await;
        on_database(&opened.db, "UPDATE webhook_endpoints SET created_at = 1").await;
        assert_eq!(Queue::mail(opened.db.clone()).tidy().await.unwrap(), 0, "they are not mail, {name}");
        assert_eq!(Queue::webhooks(opened.db.clone()).tidy().await.unwrap(), 5, "{name}");
        follower.rebuild().await.unwrap();
        assert!(deliveries(&opened, "acme", &all).await.is_empty(), "{name}");
        // Yesterday's were told at the time; without their rows they would be told now.
        on_database(&opened.db, &format!("UPDATE events SET at = at + {}", days(2))).await;
        follower.rebuild().await.unwrap();
        assert_eq!(deliveries(&opened, "acme", &all).await.len(), 5, "the window is what keeps them out, {name}");
    })
    .await;
}

/// So many messages for one endpoint, through the door for what is no event.
async fn flood(opened: &Opened, of: &str, count: usize) {
    for number in 0..count {
        let key = format!("transcript:{of}-{number}-{}", Uuid::now_v7());
        let notice = Notice::message(tenant(of), None, "transcript.completed", now() + 1_000, &key, json!({}));
        assert_eq!(enqueue(&opened.db, &notice).await.unwrap(), 1);
    }
}

fn of<'a>(rows: &'a [Leased], endpoint: &Endpoint) -> Vec<&'a Leased> {
    rows.iter().filter(|row| row.target.as_ref().is_some_and(|target| target.endpoint == endpoint.id)).collect()
}

#[tokio::test]
async fn webhook_leases_leave_room_for_every_endpoint() {
    each(async |name, opened| {
        let busy = endpoint(&opened, "acme", &[]).await;
        flood(&opened, "acme", 20).await;
        let quiet = endpoint(&opened, "other", &[]).await;
        flood(&opened, "other", 1).await;
        let queue = Queue::webhooks(opened.db.clone());
        assert!(Queue::mail(opened.db.clone()).lease(100, super::LEASE).await.unwrap().is_empty(), "{name}: no mail");
        let first = queue.lease(100, super::LEASE).await.unwrap();
        assert_eq!((of(&first, &busy).len(), of(&first, &quiet).len()), (IN_FLIGHT_MAX, 1), "{name}");
        assert!(queue.lease(100, super::LEASE).await.unwrap().is_empty(), "what is on its way counts, {name}");
        let [one, two, ..] = of(&first, &busy)[..] else { panic!("{name}") };
        assert!(queue.settle(one, Fate::Done, None, Some(204)).await.unwrap(), "{name}");
        assert!(queue.settle(two, Fate::Again(super::LEASE), Some("why"), Some(500)).await.unwrap(), "{name}");
        let second = queue.lease(100, super::LEASE).await.unwrap();
        assert_eq!(of(&second, &busy).len(), 2, "two ended, so two begin, {name}");
        // What is sent again is due at once, and takes its turn behind what is under way.
        let again = Window { since_at: 0, until_at: None, all: true };
        assert_eq!(webhooks(&opened).replay(&tenant("acme"), &busy.id, again).await.unwrap().count, 1, "{name}");
        assert!(queue.lease(100, super::LEASE).await.unwrap().is_empty(), "{name}");
        // Of an endpoint that fails, one at a time.
        for row in first[2..].iter().chain(&second) {
            queue.settle(row, Fate::Done, None, None).await.unwrap();
        }
        on_database(&opened.db, "UPDATE webhook_endpoints SET failing_since = 1 WHERE tenant = 'acme'").await;
        assert_eq!(queue.lease(100, super::LEASE).await.unwrap().len(), 1, "{name}");
        assert!(queue.lease(100, super::LEASE).await.unwrap().is_empty(), "{name}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_leased_by_one_of_many_nodes() {
    each(async |name, opened| {
        endpoint(&opened, "acme", &[]).await;
        endpoint(&opened, "other", &[]).await;
        flood(&opened, "acme", 30).await;
        flood(&opened, "other", 30).await;
        let node = async || {
            let (queue, mut mine) = (Queue::webhooks(opened.db.clone()), Vec::new());
            while queue.is_due().await.unwrap() {
                for row in queue.lease(3, super::LEASE).await.unwrap() {
                    assert!(queue.settle(&row, Fate::Done, None, Some(200)).await.unwrap(), "{name}: it was another's");
                    mine.push(row.row);
                }
            }
            mine
        };
        let rows: Vec<i64> = join_all((0..3).map(|_| node())).await.concat();
        let distinct: BTreeSet<i64> = rows.iter().copied().collect();
        assert_eq!((rows.len(), distinct.len()), (60, 60), "{name}");
    })
    .await;
}

fn deliverer(opened: &Opened) -> Deliverer {
    let policy = Policy { at_once: 32, ..Policy::of_webhooks(3, Duration::ZERO) };
    Deliverer::new(Queue::webhooks(opened.db.clone()), Arc::new(webhooks(opened)), policy)
}

#[tokio::test]
async fn webhooks_say_nothing_of_whoever_was_erased_in_between() {
    each(async |name, opened| {
        let hooks = Hooks::start(&[Manner::Answer(500)]).await;
        let all = endpoint_at(&opened, "acme", &hooks.url, &["participant.joined"]).await;
        let (key, follower) = (key(), projections(&opened));
        let mut story = Story::begin(&key);
        story.join("mallory", Role::Participant);
        let written = story.rows.len();
        story.play(Input::Erase(UserId("mallory".into())));
        let rows = recent(story.rows);
        follow(&opened, &key, &rows[..written], 100, std::slice::from_ref(&follower)).await;
        let deliverer = deliverer(&opened);
        assert_eq!(deliverer.pass().await.unwrap(), 1, "{name}");
        let waiting = super::whole::everything(&opened.db).await;
        let outbox: Vec<&String> = waiting.iter().filter(|row| row.starts_with("outbox")).collect();
        assert!(outbox.len() == 1 && !outbox[0].contains("mallory"), "a row says nothing itself, {name}: {outbox:?}");
        super::read_models::append(&opened, &key, &rows[written..], &follower).await;
        assert_eq!(deliverer.pass().await.unwrap(), 1, "{name}");
        let [before, after] = &hooks.received()[..] else { panic!("{name}") };
        assert!(before.body.contains("mallory") && !after.body.contains("mallory"), "{name}: {}", after.body);
        assert_eq!(before.id(), after.id(), "{name}");
        let secret = Secrets::new("secret").secret(&tenant("acme"), &all.id, &all.id).unwrap();
        assert!(before.verifies(&secret) && after.verifies(&secret), "{name}");
        assert_eq!(after.json()["data"]["meeting_id"], json!(key.meeting), "{name}");
    })
    .await;
}

#[tokio::test]
async fn webhook_endpoints_that_fail_for_five_days_are_disabled_and_one_success_forgives() {
    each(async |name, opened| {
        let hooks = Hooks::start(&[Manner::Answer(500), Manner::Answer(204), Manner::Answer(503)]).await;
        let all = endpoint_at(&opened, "acme", &hooks.url, &[]).await;
        let (webhooks, deliverer) = (webhooks(&opened), deliverer(&opened));
        let acme = tenant("acme");
        let look = async || webhooks.endpoint(&acme, &all.id).await.unwrap().unwrap();
        flood(&opened, "acme", 1).await;
        deliverer.pass().await.unwrap();
        assert!(look().await.failing_since.is_some(), "{name}");
        deliverer.pass().await.unwrap();
        assert_eq!(look().await.failing_since, None, "{name}");
        let ago = |hours: u64| now() - hours * 3_600 * 1_000;
        let fail_since = async |at: u64| {
            on_database(&opened.db, &format!("UPDATE webhook_endpoints SET failing_since = {at}")).await;
        };
        flood(&opened, "acme", 1).await;
        fail_since(ago(119)).await;
        deliverer.pass().await.unwrap();
        assert!(!look().await.disabled, "{name}: not yet");
        hooks.then(&[Manner::Answer(500)]);
        fail_since(ago(121)).await;
        deliverer.pass().await.unwrap();
        let disabled = look().await;
        assert_eq!(disabled.disabled_reason.as_deref(), Some(disabled::FAILING), "{name}");
        // What waits is not sent any more, until it is asked for.
        let sent = hooks.received().len();
        deliverer.pass().await.unwrap();
        assert_eq!(
            (hooks.received().len(), deliveries(&opened, "acme", &all).await[0].status),
            (sent, "failed"),
            "{name}"
        );
        let enabled = Change { disabled: Some(false), ..Change::default() };
        let enabled = webhooks.change(&acme, &all.id, &enabled).await.unwrap().unwrap();
        assert!(!enabled.disabled && enabled.failing_since.is_none() && enabled.disabled_reason.is_none(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn webhook_replays_are_of_this_endpoint_and_have_an_end() {
    each(async |name, opened| {
        let (mine, other) = (endpoint(&opened, "acme", &[]).await, endpoint(&opened, "acme", &[]).await);
        let insert = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
             INSERT INTO outbox (tenant, meeting, topic, idempotency_key, payload, created_at, next_attempt_at, endpoint, \
             kind, dead_at) SELECT w.tenant, e.meeting, 'webhook', 'webhook:' || w.id || ':' || n.i, '', n.i, 0, w.id, \
             'meeting.ended', 1 FROM n CROSS JOIN webhook_endpoints w CROSS JOIN meeting_heads e",
            REPLAY_MAX + 1
        );
        let key = key();
        follow(&opened, &key, &Story::begin(&key).rows, 1, &[]).await;
        on_database(&opened.db, &insert).await;
        let (webhooks, acme) = (webhooks(&opened), tenant("acme"));
        let again = async |of: &str, since_at, until_at| {
            let window = Window { since_at, until_at, all: false };
            webhooks.replay(&tenant(of), &mine.id, window).await.unwrap()
        };
        assert_eq!(again("other", 0, None).await.count, 0, "another tenant sends nothing, {name}");
        assert_eq!(again("acme", 10, Some(12)).await.count, 2, "from then, and before then, {name}");
        let rest = again("acme", 0, None).await;
        assert_eq!((rest.count, rest.next_since_at), (REPLAY_MAX - 1, None), "{name}");
        on_database(&opened.db, "UPDATE outbox SET dead_at = 1").await;
        let most = again("acme", 0, None).await;
        let last = u64::try_from(REPLAY_MAX).unwrap() + 1;
        assert_eq!((most.count, most.next_since_at), (REPLAY_MAX, Some(last)), "{name}");
        assert_eq!(again("acme", last, None).await.count, 1, "{name}");
        let untouched = webhooks.deliveries(&acme, &other.id, None, 200).await.unwrap().items;
        assert!(untouched.iter().all(|one| one.status == "failed"), "{name}");
        assert!(webhooks.remove(&acme, &mine.id).await.unwrap() && !webhooks.remove(&acme, &mine.id).await.unwrap());
        assert!(deliveries(&opened, "acme", &mine).await.is_empty(), "they go with their endpoint, {name}");
    })
    .await;
}

#[tokio::test]
async fn webhook_endpoints_have_a_number_and_a_repetition_makes_none() {
    each(async |name, opened| {
        let (webhooks, acme) = (webhooks(&opened), tenant("acme"));
        let new = |id| New { id, url: "https://h.example/".into(), types: Vec::new(), description: String::new() };
        let ids: Vec<Uuid> = (0..ENDPOINTS_MAX + 5).map(|_| Uuid::now_v7()).collect();
        let all: Vec<New> = ids.iter().copied().map(new).collect();
        let made = join_all(all.iter().map(|new| webhooks.make(&acme, new))).await;
        let made: Vec<bool> = made.into_iter().map(|made| matches!(made.unwrap(), Made::Endpoint(_))).collect();
        assert_eq!(made.iter().filter(|is_made| **is_made).count(), ENDPOINTS_MAX, "at once, {name}");
        let known = ids[made.iter().position(|is_made| *is_made).unwrap()];
        assert!(matches!(webhooks.make(&acme, &new(known)).await.unwrap(), Made::Endpoint(_)), "again, {name}");
        assert_eq!(webhooks.endpoints(&acme).await.unwrap().len(), ENDPOINTS_MAX, "{name}");
        endpoint(&opened, "other", &[]).await;
    })
    .await;
}

#[tokio::test]
async fn webhook_secrets_rotate_once_a_request_and_the_former_one_ends() {
    each(async |name, opened| {
        let hooks = Hooks::start(&[]).await;
        let all = endpoint_at(&opened, "acme", &hooks.url, &[]).await;
        let (webhooks, deliverer, acme) = (webhooks(&opened), deliverer(&opened), tenant("acme"));
        let first = webhooks.secrets().secret(&acme, &all.id, &all.id).unwrap();
        let request = Uuid::now_v7();
        let second = webhooks.rotate(&acme, &all.id, request).await.unwrap().unwrap();
        assert_eq!(webhooks.rotate(&acme, &all.id, request).await.unwrap().unwrap(), second, "{name}");
        assert_eq!(webhooks.rotate(&tenant("other"), &all.id, Uuid::now_v7()).await.unwrap(), None, "{name}");
        let send = async || {
            webhooks.test(&acme, &all.id, Uuid::now_v7()).await.unwrap();
            deliverer.pass().await.unwrap();
            hooks.received().pop().unwrap()
        };
        let both = send().await;
        assert!(both.verifies(&first) && both.verifies(&second) && both.signatures() == 2, "{name}");
        on_database(&opened.db, "UPDATE webhook_endpoints SET former_until = 1").await;
        let alone = send().await;
        assert!(!alone.verifies(&first) && alone.verifies(&second) && alone.signatures() == 1, "{name}");
        let held = super::whole::everything(&opened.db).await.concat();
        for secret in [first, second] {
            assert!(!held.contains(&secret) && !held.contains(secret.trim_start_matches("whsec_")), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn webhooks_that_are_no_events_are_told_once_to_whoever_asked() {
    each(async |name, opened| {
        let asked = endpoint(&opened, "acme", &["transcript.completed"]).await;
        let not = endpoint(&opened, "acme", &["transcript.failed"]).await;
        let meeting = key().meeting;
        let notice = |data| {
            Notice::message(tenant("acme"), Some(meeting), "transcript.completed", now() + 1_000, "transcript:7", data)
        };
        assert_eq!(enqueue(&opened.db, &notice(json!({ "n": 1 }))).await.unwrap(), 1, "{name}");
        assert_eq!(webhooks(&opened).tell(&notice(json!({ "n": 2 }))).await.unwrap(), 0, "the same again, {name}");
        assert_eq!(deliveries(&opened, "acme", &asked).await[0].id, "msg_transcript_7", "{name}");
        assert!(deliveries(&opened, "acme", &not).await.is_empty(), "{name}");
    })
    .await;
}
