//! A recording from its start to its download.

use super::{Manner, Stage, is_told, told};
use crate::hooks::Hooks;
use crate::recordings::bucket::Gate;
use crate::recordings::path_of;
use crate::{id_of, ok};
use convoke_loadtest::client::Client;
use serde_json::{Value, json};

const LIFE: [&str; 5] = ["pending", "recording", "stopping", "processing", "completed"];

fn content() -> String {
    (0..10_000).map(|number| format!("{number:05} ")).collect()
}

/// Begins, runs, stops, is finished; everybody is told of each step once.
async fn is_made(stage: &Stage, id: &str, people: &[&Client]) -> String {
    let begun = json!({ "meeting_id": id, "options": { "format": "mp4" } });
    let recording = stage.record(begun).await;
    let egress = stage.double.begun(1).await;
    stage.double.tells(stage.rest(), "egress_started", &stage.double.info(&egress)).await;
    for client in people {
        is_told(client, &recording, "pending").await;
    }
    stage.runs(&egress).await;
    for client in people {
        is_told(client, &recording, "recording").await;
    }
    let stop = json!({ "meeting_id": id, "recording_id": recording });
    let stopped = stage.rest().api("POST", "/recordings/stop", Some(stop)).await.unwrap();
    assert_eq!((stopped.status, &stopped.json()["recordings"][0]["id"]), (200, &json!(recording)), "{}", stopped.body);
    stage.double.stopped(&egress).await;
    stage.double.tells(stage.rest(), "egress_updated", &stage.double.info(&egress)).await;
    for client in people {
        is_told(client, &recording, "processing").await;
    }
    stage.completes(&egress, &content()).await;
    for client in people {
        is_told(client, &recording, "completed").await;
        assert_eq!(told(&client.record(), &recording), LIFE);
    }
    recording
}

async fn is_listed(stage: &Stage, id: &str, recording: &str) {
    let listed = stage.rest().api("GET", &format!("/recordings?meeting={id}"), None).await.unwrap().json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    let told = &listed["items"][0];
    assert_eq!((&told["id"], &told["status"], &told["room"]), (&json!(recording), &json!("completed"), &json!("main")));
    assert_eq!((&told["bytes"], &told["duration_ms"]), (&json!(content().len()), &json!(7_000)));
    let shown = stage.shown(recording).await;
    let [file] = &shown["files"].as_array().unwrap()[..] else { panic!("{shown}") };
    assert_eq!((&file["state"], &file["part"]), (&json!("complete"), &json!("composite.0")));
}

#[tokio::test]
async fn into_a_bucket_and_from_there_to_whoever_has_the_link() {
    let private = [("CONVOKE_WEBHOOK_ALLOW_PRIVATE", "yes"), ("CONVOKE_WEBHOOK_WAIT_MS", "20")];
    let Some(stage) = Stage::in_bucket(1, &Gate::new(false), &private).await else { return };
    let hooks = Hooks::start(&[]).await;
    let endpoint = json!({ "url": hooks.url, "types": ["recording.changed"] });
    let made = stage.rest().api("POST", "/admin/webhooks", Some(endpoint)).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    let (id, ada) = stage.meeting(json!({})).await;
    let bob = stage.joined(&id, "bob", "participant").await;
    let recording = is_made(&stage, &id, &[&ada, &bob]).await;
    is_listed(&stage, &id, &recording).await;

    let (url, client, whole) = (stage.link(&recording).await, reqwest::Client::new(), content());
    assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), whole);
    let part = client.get(&url).header("range", "bytes=600-1199").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.text().await.unwrap().as_str()), (206, &whole[600..1_200]));
    let altered = client.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61")).send().await.unwrap();
    assert_eq!(altered.status().as_u16(), 403);

    // An integrator heard of each step, in the log's words.
    let mut received = hooks.has_received(LIFE.len()).await;
    received.sort_by_key(|one| one.json()["data"]["seq"].as_u64());
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(received.iter().all(|one| one.kind() == "recording.changed" && one.verifies(&secret)));
    let statuses: Vec<Value> = received.iter().map(|one| one.json()["data"]["recording"]["status"].clone()).collect();
    assert_eq!(json!(statuses), json!(LIFE));
}

#[tokio::test]
async fn into_a_folder_and_from_there_by_our_own_link() {
    let Some(stage) = Stage::in_folder(1, &[("CONVOKE_LINK_TTL_S_MAX", "60")]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    // One that takes its time over everything.
    stage.double.be(Manner::Late);
    let recording = is_made(&stage, &id, &[&ada]).await;
    is_listed(&stage, &id, &recording).await;
    let (path, whole) = (path_of(&stage.link(&recording).await), content());
    let get = async |path: &str, headers: &[(&str, &str)]| stage.rest().send("GET", path, headers, None).await.unwrap();
    assert_eq!(get(&path, &[]).await.body, whole);
    let folder = stage.place.0.join("objects/acme").join(&id);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "one file, where it belongs");
    let part = get(&path, &[("range", "bytes=600-1199")]).await;
    assert_eq!((part.status, part.body.as_str()), (206, &whole[600..1_200]));
    assert_eq!(get(&format!("{path}x"), &[]).await.status, 403, "altered");
    // One that holds for a second.
    let short = format!("/recordings/{recording}/link");
    let short = stage.rest().api("POST", &short, Some(json!({ "ttl_s": 1 }))).await.unwrap().json();
    let short = path_of(short["url"].as_str().unwrap());
    crate::recordings::until("the link has expired", async || get(&short, &[]).await.status == 410).await;
}

/// It is stopped with the meeting, and its file is finished after the end.
#[tokio::test]
async fn a_meeting_that_ends_while_it_is_recorded_keeps_its_recording() {
    let Some(stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    stage.runs(&egress).await;
    is_told(&ada, &recording, "recording").await;
    ok(&ada, "meeting.end", json!({})).await;
    stage.double.stopped(&egress).await;
    assert_eq!(told(&ada.record(), &recording), LIFE[..3]);
    stage.completes(&egress, "the end").await;
    stage.becomes(&recording, "completed").await;
    let path = path_of(&stage.link(&recording).await);
    assert_eq!(stage.rest().send("GET", &path, &[], None).await.unwrap().body, "the end");
    let log = stage.rest().log(&id).await.unwrap();
    let at = |kind: &str| log.iter().rposition(|event| event["type"] == kind).unwrap();
    assert!(at("meeting.ended") < at("recording.changed"), "the file was finished after the end");
}

/// Each room has a recording of its own, and whoever asks later finds it by the room.
#[tokio::test]
async fn breakout_rooms_are_recorded_each_by_itself() {
    let Some(stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let bob = stage.joined(&id, "bob", "participant").await;
    let cyd = stage.joined(&id, "cyd", "participant").await;
    let rooms = json!([
        { "name": "Red", "participants": [id_of(&bob)] },
        { "name": "Blue", "participants": [id_of(&cyd)] },
    ]);
    let rooms = crate::breakout::open(&ada, json!({ "rooms": rooms, "assign": "manual", "record": true })).await;
    stage.double.begun(2).await;
    let egresses = stage.double.look(|state| state.egresses.clone());
    assert_eq!(egresses.len(), 2);
    for egress in &egresses {
        stage.runs(&egress.egress_id).await;
    }
    let listed = async || {
        let path = format!("/recordings?meeting={id}&status=recording");
        stage.rest().api("GET", &path, None).await.unwrap().json()["items"].as_array().unwrap().clone()
    };
    crate::recordings::until("both are recorded", async || listed().await.len() == 2).await;
    // The other rooms' recordings run on.
    let of_room = |items: &[Value], room: &str| -> String {
        let [one] = &items.iter().filter(|item| item["room"] == room).collect::<Vec<_>>()[..] else {
            panic!("{items:?}")
        };
        one["id"].as_str().unwrap().to_owned()
    };
    let (items, [red, blue]) = (listed().await, &rooms[..]) else { panic!("{rooms:?}") };
    let (reds, blues) = (of_room(&items, red), of_room(&items, blue));
    assert_ne!(reds, blues);
    let stop = json!({ "meeting_id": id, "recording_id": reds });
    assert_eq!(stage.rest().api("POST", "/recordings/stop", Some(stop)).await.unwrap().status, 200);
    let of_red = |room: &str| egresses.iter().find(|info| info.room_name.contains(room)).unwrap().egress_id.clone();
    let (reds_egress, blues_egress) = (of_red(red), of_red(blue));
    stage.double.stopped(&reds_egress).await;
    stage.completes(&reds_egress, "what was said in Red").await;
    stage.becomes(&reds, "completed").await;
    assert_eq!(stage.shown(&blues).await["status"], json!("recording"));
    // With the rooms' end the other one ends, too.
    ok(&ada, "breakout.close", json!({ "now": true })).await;
    stage.double.stopped(&blues_egress).await;
    stage.completes(&blues_egress, "what was said in Blue").await;
    stage.becomes(&blues, "completed").await;
    let named = stage.rest().api("GET", &format!("/recordings?meeting={id}&q=red"), None).await.unwrap().json();
    assert_eq!(named["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect::<Vec<_>>(), [&json!(reds)]);
    for (recording, room, words) in [(&reds, red, "what was said in Red"), (&blues, blue, "what was said in Blue")] {
        assert_eq!(stage.shown(recording).await["room"], json!(room));
        let path = path_of(&stage.link(recording).await);
        assert_eq!(stage.rest().send("GET", &path, &[], None).await.unwrap().body, words);
    }
    assert!(stage.double.look(|state| state.egresses.len()) == 2, "nothing else was begun");
}
