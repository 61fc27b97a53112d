//! Recordings as they are asked of LiveKit Egress, which is a double here: it keeps what it was asked,
//! and answers what the test says, over HTTP and in LiveKit's own encoding.

use super::{a_room, opened};
use convoke_actors::ports::{MeetingKey, Recorder, TakeOrder};
use convoke_domain::recording::{Format, Part, TakeState, path_of};
use convoke_domain::shapes::Source;
use convoke_domain::{ParticipantId, RecordingId};
use livekit_protocol::{
    AudioCodec, EgressInfo, EgressStatus, EncodedFileType, FileInfo, ListEgressRequest, ListEgressResponse,
    RoomCompositeEgressRequest, StopEgressRequest, TokenPagination, TrackEgressRequest, VideoCodec, egress_info,
    room_composite_egress_request, track_egress_request,
};
use prost::Message;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// A status, and the body for it.
type Answer = (u16, Vec<u8>);
type Answers = dyn Fn(&str, &[u8]) -> Answer + Send + Sync;
/// The methods that were called, in lower case, and what with.
type Asked = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

#[derive(Clone)]
struct Double {
    url: String,
    asked: Asked,
}

impl Double {
    async fn start(answers: impl Fn(&str, &[u8]) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answers): (Asked, Arc<Answers>) = (Arc::default(), Arc::new(answers));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&answers)));
            }
        });
        Self { url, asked }
    }

    /// What a method was called with, each time.
    fn calls<Q: Message + Default>(&self, method: &str) -> Vec<Q> {
        let asked = self.asked.lock().unwrap();
        let of_it = asked.iter().filter(|(called, _)| called == method);
        of_it.map(|(_, body)| Q::decode(body.as_slice()).unwrap()).collect()
    }

    fn recorder(&self, objects_url: &str, egress_path: &str) -> Arc<dyn Recorder> {
        let mut settings = vec![
            ("livekit_url", self.url.as_str()),
            ("livekit_api_key", "key"),
            ("livekit_api_secret", "0123456789abcdef0123456789abcdef"),
            ("objects_url", objects_url),
        ];
        if !egress_path.is_empty() {
            settings.push(("egress_objects_path", egress_path));
        }
        opened(&settings).recorder
    }
}

/// One request a connection.
async fn serve(mut stream: TcpStream, asked: Asked, answers: Arc<Answers>) {
    let mut bytes = Vec::new();
    let (head, mut body) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break (String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase(), bytes[end + 4..].to_vec());
        }
    };
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    while body.len() < length {
        if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
            return;
        }
    }
    assert!(head.contains("authorization: bearer ey") && head.contains("content-type: application/protobuf"), "{head}");
    let method = head.split_whitespace().nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
    let (status, answer) = answers(&method, &body);
    asked.lock().unwrap().push((method, body));
    let kind = if status == 200 { "application/protobuf" } else { "application/json" };
    let length = answer.len();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&answer).await;
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    (status, serde_json::json!({ "code": code, "msg": message }).to_string().into_bytes())
}

fn order(part: Part, format: Format) -> TakeOrder {
    let (room, recording) = (a_room(), RecordingId(Uuid::now_v7()));
    let path = path_of(&room.key.tenant, room.key.meeting, &format!("2026-11-21-{recording}"), &part);
    TakeOrder { room, recording, part, format, path }
}

/// Egress as it answers a request: with it, and a name.
fn begun(method: &str, body: &[u8]) -> Answer {
    let request = match method {
        "startroomcompositeegress" => {
            egress_info::Request::RoomComposite(RoomCompositeEgressRequest::decode(body).unwrap())
        }
        _ => egress_info::Request::Track(TrackEgressRequest::decode(body).unwrap()),
    };
    let info = EgressInfo { egress_id: "EG_1".to_owned(), request: Some(request), ..EgressInfo::default() };
    (200, info.encode_to_vec())
}

#[tokio::test]
async fn a_room_is_recorded_into_the_folder_as_egress_sees_it() {
    let double = Double::start(begun).await;
    let recorder = double.recorder("file:///data/objects", "/out/");
    assert!(recorder.is_there());
    let order = order(Part::Composite(2), Format::Mp4);
    let take = recorder.begin(&order).await.unwrap();
    assert_eq!((take.id.as_str(), take.part.as_str(), take.state), ("EG_1", "composite.2", TakeState::Starting));
    assert_eq!(take.file, format!("{}.mp4", order.path));

    let [request] = &double.calls::<RoomCompositeEgressRequest>("startroomcompositeegress")[..] else { panic!() };
    assert_eq!(request.room_name, format!("{}_main_0", order.room.key.meeting));
    assert!(!request.audio_only && !request.layout.is_empty());
    let [file] = &request.file_outputs[..] else { panic!() };
    assert_eq!(file.filepath, format!("/out/{}.mp4", order.path));
    assert_eq!(file.file_type(), EncodedFileType::Mp4);
    assert!(file.output.is_none() && file.disable_manifest);
    let Some(room_composite_egress_request::Options::Advanced(encoding)) = &request.options else { panic!() };
    assert_eq!((encoding.audio_codec(), encoding.video_codec()), (AudioCodec::Aac, VideoCodec::H264Main));
}

#[tokio::test]
async fn webm_and_sound_alone_are_asked_for_as_egress_knows_them() {
    let double = Double::start(begun).await;
    let recorder = double.recorder("file:///data/objects", "");
    let (webm, sound) = (order(Part::Composite(0), Format::Webm), order(Part::Audio(0), Format::Mp4));
    assert!(recorder.begin(&webm).await.unwrap().file.ends_with(".webm"));
    assert!(recorder.begin(&sound).await.unwrap().file.ends_with(".ogg"));
    let [webm, sound] = &double.calls::<RoomCompositeEgressRequest>("startroomcompositeegress")[..] else { panic!() };
    assert!(webm.file_outputs[0].filepath.starts_with("/data/objects/acme/"));
    let codecs = |request: &RoomCompositeEgressRequest| match &request.options {
        Some(room_composite_egress_request::Options::Advanced(told)) => (told.audio_codec(), told.video_codec()),
        _ => panic!(),
    };
    assert_eq!(codecs(webm), (AudioCodec::Opus, VideoCodec::Vp8));
    assert_eq!(webm.file_outputs[0].file_type(), EncodedFileType::DefaultFiletype);
    assert!(sound.audio_only && !webm.audio_only);
    assert_eq!((codecs(sound).0, sound.file_outputs[0].file_type()), (AudioCodec::Opus, EncodedFileType::Ogg));
}

#[tokio::test]
async fn a_track_is_recorded_into_the_bucket() {
    let double = Double::start(begun).await;
    let recorder = double.recorder("s3://bucket/prefix", "");
    let participant = ParticipantId(Uuid::now_v7());
    let part = Part::Track { participant, source: Source::Audio, track: "TR_1".to_owned() };
    let order = order(part, Format::Mp4);
    let take = recorder.begin(&order).await.unwrap();
    assert_eq!((take.participant, take.source), (Some(participant), Some(Source::Audio)));
    assert_eq!(take.file, order.path, "Egress gives it an ending");
    let [request] = &double.calls::<TrackEgressRequest>("starttrackegress")[..] else { panic!() };
    assert_eq!(request.track_id, "TR_1");
    let Some(track_egress_request::Output::File(file)) = &request.output else { panic!() };
    assert_eq!(file.filepath, format!("prefix/{}", order.path));
    let Some(livekit_protocol::direct_file_output::Output::S3(upload)) = &file.output else { panic!() };
    assert_eq!(upload.bucket, "bucket");
}

#[tokio::test]
async fn a_refusal_is_told_and_its_secrets_are_not() {
    let secret = "AKIAIOSFODNN7EXAMPLE/0123456789abcdefghij";
    let double =
        Double::start(move |_, _| refusal(500, "internal", &format!("egress not connected with {secret}"))).await;
    let recorder = double.recorder("file:///data/objects", "");
    let refused = recorder.begin(&order(Part::Composite(0), Format::Mp4)).await.unwrap_err().to_string();
    assert_eq!(refused, "the media server: internal: egress not connected with …");
}

#[tokio::test]
async fn what_has_ended_or_is_not_known_is_ended() {
    let double = Double::start(|_, body| {
        let id = StopEgressRequest::decode(body).unwrap().egress_id;
        match id.as_str() {
            "EG_runs" => (200, EgressInfo::default().encode_to_vec()),
            "EG_ended" => refusal(412, "failed_precondition", "egress with status EGRESS_COMPLETE cannot be stopped"),
            "EG_unknown" => refusal(404, "not_found", "egress does not exist"),
            _ => refusal(503, "unavailable", "no response from servers"),
        }
    })
    .await;
    let recorder = double.recorder("file:///data/objects", "");
    for take in ["EG_runs", "EG_ended", "EG_unknown"] {
        recorder.end(take).await.unwrap();
    }
    assert!(recorder.end("EG_away").await.unwrap_err().to_string().contains("no response from servers"));
    assert_eq!(double.calls::<StopEgressRequest>("stopegress").len(), 4);
}

#[tokio::test]
async fn takes_are_listed_once_for_all_meetings_and_over_all_pages() {
    let (one, other) = (order(Part::Composite(0), Format::Mp4), order(Part::Audio(1), Format::Mp4));
    let file = |order: &TakeOrder, ending: &str| FileInfo {
        filename: format!("/out/{}.{ending}", order.path),
        size: 4_711,
        duration: 2_000_000_000,
        ..FileInfo::default()
    };
    let info = |id: &str, status: EgressStatus, file: FileInfo| EgressInfo {
        egress_id: id.to_owned(),
        status: status.into(),
        file_results: vec![file],
        ..EgressInfo::default()
    };
    let first = vec![
        info("EG_1", EgressStatus::EgressComplete, file(&one, "mp4")),
        info(
            "EG_strange",
            EgressStatus::EgressActive,
            FileInfo { filename: "x.mp4".to_owned(), ..FileInfo::default() },
        ),
    ];
    let second = vec![
        info("EG_2", EgressStatus::EgressActive, file(&one, "mp4")),
        info("EG_3", EgressStatus::EgressLimitReached, file(&other, "ogg")),
    ];
    let double = Double::start(move |_, body| {
        let asked = ListEgressRequest::decode(body).unwrap();
        assert!(!asked.active && asked.room_name.is_empty(), "those that have ended are wanted too");
        let token = TokenPagination { token: "next".to_owned() };
        let page = match asked.page_token {
            None => ListEgressResponse { items: first.clone(), next_page_token: Some(token) },
            Some(asked) if asked == token => ListEgressResponse { items: second.clone(), next_page_token: None },
            Some(_) => return refusal(400, "invalid_argument", "no such page"),
        };
        (200, page.encode_to_vec())
    })
    .await;
    let recorder = double.recorder("file:///data/objects", "");
    let age = Duration::from_secs(30);
    let nobody = MeetingKey { meeting: convoke_domain::MeetingId(Uuid::now_v7()), ..one.room.key.clone() };
    let (ones, others, none) = tokio::join!(
        recorder.takes(&one.room.key, age),
        recorder.takes(&other.room.key, age),
        recorder.takes(&nobody, age)
    );
    let ones = ones.unwrap().by_recording.remove(&one.recording).unwrap();
    let told: Vec<_> = ones.iter().map(|take| (take.id.as_str(), take.state, take.bytes)).collect();
    assert_eq!(told, [("EG_1", TakeState::Complete, Some(4_711)), ("EG_2", TakeState::Active, Some(4_711))]);
    let others = others.unwrap().by_recording.remove(&other.recording).unwrap();
    assert_eq!((others[0].state, others[0].duration_ms), (TakeState::Complete, Some(2_000)));
    assert!(none.unwrap().by_recording.is_empty());
    assert_eq!(double.calls::<ListEgressRequest>("listegress").len(), 2, "two pages, once");
    recorder.takes(&one.room.key, Duration::ZERO).await.unwrap();
    assert_eq!(double.calls::<ListEgressRequest>("listegress").len(), 4, "it was wanted new");
}

#[tokio::test]
async fn who_does_not_answer_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let double = Double { url, asked: Arc::default() };
    let recorder = double.recorder("file:///data/objects", "");
    let listed = recorder.takes(&a_room().key, Duration::ZERO).await.unwrap_err().to_string();
    let ended = recorder.end("EG_1").await.unwrap_err().to_string();
    assert_eq!((listed.as_str(), ended.as_str()), ("the media server: no answer in time", listed.as_str()));
}
