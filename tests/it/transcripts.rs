//! Transcripts through the front door, from a recording that is completed to text, subtitles and JSON, by a
//! double of Deepgram that answers as its documentation says.

use crate::breakout::{as_bearer, now_ms};
use crate::hooks::Hooks;
use crate::recordings::{Place, until};
use crate::tape::Tape;
use convoke::adapters::store;
use convoke_domain::caption::Caption;
use convoke_domain::recording::{Part, Recording, RecordingKind, RecordingStatus};
use convoke_domain::shapes::{Role, Source};
use convoke_domain::{Event, ParticipantId, RoomId};
use convoke_loadtest::rest::Response;
use convoke_loadtest::server::Server;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "dg-s3cret-of-this-test";
const SPEAKERS: &str = include_str!("../fixtures/deepgram/speakers.json");
const GERMAN: &str = include_str!("../fixtures/deepgram/german.json");
const ENGLISH: &str = include_str!("../fixtures/deepgram/english.json");
const TOO_MANY: &str = include_str!("../fixtures/deepgram/too_many.json");
const UNSUPPORTED: &str = include_str!("../fixtures/deepgram/unsupported.json");

/// What was asked of the double.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: String,
    body: String,
}

/// Answers first as it is told to (a status and a body), then by what it is given.
#[derive(Clone)]
struct Double {
    url: String,
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Double {
    async fn start(answers: &[(u16, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let double = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            asked: Arc::default(),
        };
        let server = double.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        double
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    async fn serve(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut path, mut headers, mut length) = (String::new(), String::new(), 0_usize);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                if path.is_empty() {
                    path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                } else if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                headers.push_str(line);
                headers.push('\n');
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            let body = String::from_utf8(body).unwrap();
            let told = self.answers.lock().unwrap().pop_front();
            let (status, answer) = told.unwrap_or(match body.as_str() {
                "by ada" => (200, GERMAN),
                "by bob" => (200, ENGLISH),
                _ if path.contains("language=xx") => (400, UNSUPPORTED),
                _ => (200, SPEAKERS),
            });
            self.asked.lock().unwrap().push(Asked { path, headers, body });
            let wait = if status == 429 { "retry-after: 1\r\n" } else { "" };
            let head = format!("HTTP/1.1 {status} x\r\n{wait}content-length: {}\r\n\r\n", answer.len());
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

/// A meeting with a recording of two tracks and one of the room alone.
struct Scene {
    place: Place,
    tape: Tape,
    ada: ParticipantId,
    bob: ParticipantId,
    tracks: Recording,
    room: Recording,
}

impl Scene {
    fn new() -> Self {
        let (place, from) = (Place::new(), now_ms() - 20_000);
        let mut tape = Tape::begin("load", "Weekly");
        let (ada, bob) = (tape.join("ada", Role::Host), tape.join("bob", Role::Participant));
        let recording = tape.recording(RecordingKind::Composite, from);
        let mut files = vec![(tape.take(&recording, &Part::Composite(0), "mp4", Some(7)), "by all")];
        for (participant, text) in [(ada, "by ada"), (bob, "by bob")] {
            let part = Part::Track { participant, source: Source::Audio, track: text.replace(' ', "_") };
            files.push((tape.take(&recording, &part, "ogg", Some(6)), text));
        }
        let tracks = tape.ended(&recording, RecordingStatus::Completed, from + 9_000);
        let recording = tape.recording(RecordingKind::Composite, from + 10_000);
        files.push((tape.take(&recording, &Part::Composite(0), "mp4", Some(7)), "by all"));
        let room = tape.ended(&recording, RecordingStatus::Completed, from + 19_000);
        for (participant, lang, text, at) in
            [(bob, "en-GB", "Good mourning Ada", 600), (ada, "de", "Wie geht's?", 4_000), (ada, "de", "Später", 12_000)]
        {
            let (start_at, end_at) = (from + at, from + at + 900);
            let (lang, text) = (lang.to_owned(), text.to_owned());
            let caption = Caption { participant, room: RoomId::Main, lang, text, start_at, end_at, is_final: true };
            tape.say(Event::CaptionRecorded { caption });
        }
        for (take, text) in files {
            let file = place.0.join("objects").join(&take.file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        Self { place, tape, ada, bob, tracks, room }
    }

    async fn serve(&mut self, settings: &[(&str, &str)]) -> Server {
        let url = format!("sqlite://{}/convoke.db", self.place.0.display());
        let opened = store::open(&url).await.unwrap();
        opened.db.migrate().await.unwrap();
        self.tape.write(&opened).await;
        opened.db.close().await;
        // The lock of the file goes with it.
        drop(opened);
        let objects = format!("file://{}/objects", self.place.0.display());
        let own = [
            ("CONVOKE_DATABASE_URL", url.as_str()),
            ("CONVOKE_OBJECTS_URL", &objects),
            ("CONVOKE_WEBHOOK_ALLOW_PRIVATE", "yes"),
            ("CONVOKE_TRANSCRIPTION_WAIT_MS", "50"),
            ("CONVOKE_LOG_LEVEL", "trace"),
        ];
        let server = crate::server(&[&own, settings].concat()).await;
        crate::recordings::listed(&server, 2).await;
        server
    }

    fn path(&self, recording: &Recording) -> String {
        format!("/recordings/{}/transcripts", recording.id)
    }
}

async fn api(server: &Server, method: &str, path: &str, body: Option<Value>) -> Response {
    server.rest.api(method, path, body).await.unwrap()
}

async fn told(server: &Server) -> Hooks {
    let hooks = Hooks::start(&[]).await;
    let new = json!({ "url": hooks.url, "types": ["transcript.completed", "transcript.failed"] });
    assert_eq!(api(server, "POST", "/admin/webhooks", Some(new)).await.status, 201);
    hooks
}

#[tokio::test]
async fn tracks_become_a_transcript_in_every_format() {
    let mut scene = Scene::new();
    let double = Double::start(&[(429, TOO_MANY)]).await;
    let deepgram = [
        ("CONVOKE_TRANSCRIBER", "deepgram"),
        ("CONVOKE_DEEPGRAM_URL", double.url.as_str()),
        ("CONVOKE_DEEPGRAM_API_KEY", KEY),
        ("CONVOKE_TRANSCRIPTIONS_AT_ONCE", "1"),
    ];
    let server = scene.serve(&deepgram).await;
    let (path, meeting) = (scene.path(&scene.tracks), scene.tape.key.meeting.to_string());
    let hooks = told(&server).await;
    let host = server.rest.key.join_token(&meeting, Some("ada"), "ada", "host");
    let guest = server.rest.key.join_token(&meeting, Some("bob"), "bob", "host");
    for method in ["GET", "POST"] {
        assert_eq!(as_bearer(&server, &guest, method, &path, None).await.0, 403, "{method}");
    }
    for bad in [json!({ "language": "e%" }), json!({ "language": "" }), json!({ "colour": 1 })] {
        assert_eq!(api(&server, "POST", &path, Some(bad.clone())).await.status, 422, "{bad}");
    }
    for bad in ["format=pdf", "format=json&language=e_", "format=json&source=rumour"] {
        assert_eq!(api(&server, "GET", &format!("{path}?{bad}"), None).await.status, 422, "{bad}");
    }
    let alone = format!("{path}?format=json&source=transcription");
    assert_eq!(api(&server, "GET", &alone, None).await.status, 404, "nobody asked for one");
    assert!(double.asked().is_empty(), "nothing is transcribed of itself");

    let (status, asked) = as_bearer(&server, &host, "POST", &path, Some(json!({}))).await;
    assert_eq!(
        (status, &asked["items"][0]["language"], &asked["items"][0]["files"]),
        (202, &json!("detect"), &json!(2))
    );
    let message = hooks.has_received(1).await.remove(0).json();
    let data = &message["data"];
    assert_eq!((&message["type"], &data["language"]), (&json!("transcript.completed"), &json!("detect")), "{message}");
    let expected = (&json!(scene.tracks.id), &json!(meeting), &json!(2), &json!(0));
    assert_eq!((&data["recording_id"], &data["meeting_id"], &data["files"], &data["failed"]), expected);
    let list = api(&server, "GET", &path, None).await.json();
    assert_eq!(
        (&list["items"][0]["status"], &list["items"][0]["error"]),
        (&json!("completed"), &Value::Null),
        "{list}"
    );

    // One was refused at first; each file went as it is, to be transcribed in whatever is spoken.
    let asked = double.asked();
    assert_eq!(asked.iter().map(|one| one.body.as_str()).collect::<Vec<_>>(), ["by ada", "by bob", "by ada"]);
    let query = "/v1/listen?model=nova-3&smart_format=true&punctuate=true&utterances=true&detect_language=true";
    for one in &asked {
        let headers = one.headers.to_lowercase();
        assert_eq!(one.path, query);
        assert!(headers.contains(&format!("authorization: token {KEY}")), "{headers}");
        assert!(headers.contains("content-type: audio/ogg") && headers.contains("content-length: 6"), "{headers}");
    }
    assert!(!server.log().contains(KEY), "the key is in no log");

    let read = async |query: &str| api(&server, "GET", &format!("{path}?{query}"), None).await;
    let txt = read("format=txt").await;
    assert_eq!(txt.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(txt.body, "ada: Guten Morgen, Bob.\nbob: Good morning, Ada.\nada: Wie geht's?\n");
    let srt = "1\n00:00:00,500 --> 00:00:01,600\nada: Guten Morgen, Bob.\n\n\
        2\n00:00:00,500 --> 00:00:01,600\nbob: Good morning, Ada.\n\n\
        3\n00:00:04,000 --> 00:00:04,900\nada: Wie geht's?\n\n";
    assert_eq!(read("format=srt").await.body, srt);
    let vtt = "WEBVTT\n\n00:00:00.500 --> 00:00:01.600\n<v bob>Good morning, Ada.\n\n";
    assert_eq!(read("format=vtt&language=en").await.body, vtt);
    let from = scene.tracks.started_at.unwrap();
    let german = read("format=json&language=de").await.json();
    let line = |text: &str, origin: &str, from: u64, to: u64| {
        json!({ "participant": scene.ada, "name": "ada", "origin": origin, "lang": "de", "text": text,
            "start_at": from, "end_at": to })
    };
    let first = line("Guten Morgen, Bob.", "transcription", from + 500, from + 1_600);
    assert_eq!(german, json!({ "items": [first, line("Wie geht's?", "caption", from + 4_000, from + 4_900)] }));
    assert_eq!(read("format=txt&source=transcription&language=de").await.body, "ada: Guten Morgen, Bob.\n");
    let captions = read("format=txt&source=captions").await.body;
    assert_eq!(captions, "bob: Good mourning Ada\nada: Wie geht's?\n", "what was said later is not of this recording");
    assert_eq!(read("format=txt&language=fr").await.status, 404);
    let page = read("format=json&limit=2").await.json();
    let rest = read(&format!("format=json&cursor={}", page["next"].as_str().unwrap())).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (2, 1));

    // What is there is not paid for twice; what somebody said is theirs, and goes with them.
    assert_eq!(api(&server, "POST", &path, None).await.json()["items"][0]["status"], json!("completed"));
    assert_eq!(double.asked().len(), 3);
    let export = api(&server, "GET", "/users/bob/export", None).await.json();
    assert_eq!(export["meetings"][0]["transcribed"][0]["text"], json!("Good morning, Ada."), "{export}");
    assert_eq!(export["meetings"][0]["participant"], json!(scene.bob));
    assert_eq!(api(&server, "DELETE", "/users/bob", None).await.status, 200);
    assert_eq!(read("format=txt").await.body, "ada: Guten Morgen, Bob.\nada: Wie geht's?\n");
    let recording = format!("/recordings/{}", scene.tracks.id);
    assert_eq!(api(&server, "DELETE", &recording, None).await.status, 204);
    assert_eq!(read("format=txt").await.status, 404);
}

#[tokio::test]
async fn what_is_completed_is_transcribed_of_itself_and_failures_are_told() {
    let mut scene = Scene::new();
    let double = Double::start(&[]).await;
    let deepgram = [
        ("CONVOKE_TRANSCRIBER", "deepgram"),
        ("CONVOKE_DEEPGRAM_URL", double.url.as_str()),
        ("CONVOKE_DEEPGRAM_API_KEY", KEY),
        ("CONVOKE_TRANSCRIPTION_AUTOMATIC", "yes"),
    ];
    let server = scene.serve(&deepgram).await;
    let path = scene.path(&scene.room);
    let text = format!("{path}?format=txt&source=transcription");
    until("the recording is transcribed", async || api(&server, "GET", &text, None).await.status == 200).await;
    let expected =
        "Speaker 1: Good morning, everybody.\nSpeaker 2: Morning. Shall we begin?\nSpeaker 1: Yes, please.\n";
    assert_eq!(api(&server, "GET", &text, None).await.body, expected);
    assert!(double.asked().iter().any(|one| one.path.ends_with("&detect_language=true&diarize=true")));
    let json = api(&server, "GET", &format!("{path}?format=json"), None).await.json();
    let origins: Vec<_> = json["items"].as_array().unwrap().iter().map(|one| one["speaker"].clone()).collect();
    assert_eq!(origins, [json!(1), Value::Null, json!(2), json!(1)], "a caption in another language stands: {json}");

    let hooks = told(&server).await;
    let (keyed, body) = ([("idempotency-key", "once")], json!({ "language": "xx" }).to_string());
    for _ in 0..2 {
        let bearer = format!("Bearer {}", server.rest.key.api_token());
        let headers = [keyed[0], ("authorization", bearer.as_str())];
        let asked = server.rest.send("POST", &format!("/api/v1{path}"), &headers, Some(&body)).await.unwrap();
        assert_eq!(asked.status, 202, "{}", asked.body);
    }
    // Others may be done meanwhile.
    let mut count = 1;
    let message = loop {
        let all = hooks.has_received(count).await;
        if let Some(message) = all.iter().map(|one| one.json()).find(|one| one["type"] == "transcript.failed") {
            break message;
        }
        count = all.len() + 1;
    };
    assert_eq!(message["data"]["language"], json!("xx"));
    let refused = api(&server, "GET", &format!("{path}?format=srt&language=xx"), None).await;
    let problem = refused.json();
    assert_eq!((refused.status, &problem["code"]), (409, &json!("wrong_state")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("cannot read the file"), "{problem}");
    assert!(!problem.to_string().contains("corrupt"), "what the service said is not repeated");
    assert_eq!(double.asked().iter().filter(|one| one.path.contains("language=xx")).count(), 1, "it is for good");
}

#[tokio::test]
async fn where_no_transcriber_is_configured_it_says_so_and_captions_can_be_read() {
    let mut scene = Scene::new();
    let server = scene.serve(&[]).await;
    let path = scene.path(&scene.tracks);
    let says_so = |answer: Response| {
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (409, &json!("wrong_state")), "{problem}");
        assert_eq!(problem["detail"], json!("no transcriber is configured"));
    };
    says_so(api(&server, "POST", &path, None).await);
    says_so(api(&server, "GET", &format!("{path}?format=vtt&source=transcription"), None).await);
    says_so(api(&server, "GET", &format!("{path}?format=vtt&language=fr"), None).await);
    assert_eq!(api(&server, "GET", &path, None).await.json(), json!({ "items": [] }));
    let captions = api(&server, "GET", &format!("{path}?format=txt&language=en"), None).await;
    assert_eq!((captions.status, captions.body.as_str()), (200, "bob: Good mourning Ada\n"));
    let none = api(&server, "GET", &format!("{path}?format=txt&source=captions&language=fr"), None).await;
    assert_eq!(none.status, 404);
}
