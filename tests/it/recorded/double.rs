//! A LiveKit whose media nobody needs: RoomService and Egress as LiveKit speaks them over HTTP, with a
//! recorder that does what a test says, writes real files where it was told to, and can misbehave.

use convoke_loadtest::rest::{Rest, now_s};
use convoke_loadtest::webhook::{LIVEKIT, PATH};
use livekit_protocol::{
    CreateRoomRequest, DeleteRoomRequest, DirectFileOutput, EgressInfo, EgressStatus, EncodedFileOutput, FileInfo,
    ListEgressResponse, ListParticipantsResponse, ListRoomsResponse, Room, RoomCompositeEgressRequest, S3Upload,
    StopEgressRequest, TrackEgressRequest, direct_file_output, egress_info, encoded_file_output, track_egress_request,
};
use object_store::ObjectStoreExt;
use prost::Message;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A call has two seconds.
const LATE: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(60);

/// How it takes what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Well,
    /// Does nothing, and says that it cannot.
    Errors,
    /// Does nothing, and says nothing.
    Silent,
    /// Does it, and nobody hears that it did.
    Unheard,
    /// Does it, and says so when whoever asked has nearly given up.
    Late,
}

#[derive(Default)]
pub struct State {
    pub egresses: Vec<EgressInfo>,
    pub rooms: BTreeSet<String>,
    /// What it was asked to stop, each time.
    pub stops: Vec<String>,
    /// Methods that were called, whatever came of it.
    pub called: Vec<String>,
    webhooks: u64,
}

/// How it behaves, and how at one call.
type Manners = (Manner, Option<(&'static str, Manner)>);

#[derive(Clone)]
pub struct Double {
    url: String,
    state: Arc<Mutex<State>>,
    manner: Arc<Mutex<Manners>>,
    changed: Arc<watch::Sender<()>>,
}

type Answer = (u16, Vec<u8>);

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    (status, json!({ "code": code, "msg": message }).to_string().into_bytes())
}

fn said(message: &impl Message) -> Answer {
    (200, message.encode_to_vec())
}

fn nanos() -> i64 {
    i64::try_from(crate::breakout::now_ms()).unwrap() * 1_000_000
}

impl Double {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let double = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::default(),
            manner: Arc::new(Mutex::new((Manner::Well, None))),
            changed: Arc::new(watch::Sender::new(())),
        };
        let server = double.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        double
    }

    pub fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("CONVOKE_LIVEKIT_URL", self.url.clone()),
            ("CONVOKE_LIVEKIT_API_KEY", LIVEKIT.key.to_owned()),
            ("CONVOKE_LIVEKIT_API_SECRET", LIVEKIT.secret.to_owned()),
        ]
    }

    /// From now on, for whatever it is asked.
    pub fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = (manner, None);
    }

    /// From now on, for this method alone.
    pub fn be_at(&self, method: &'static str, manner: Manner) {
        self.manner.lock().unwrap().1 = Some((method, manner));
    }

    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap())
    }

    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = self.look(&mut look) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| {
            panic!("the recorder waited in vain for: {what}; {:?}", self.look(|s| s.called.clone()))
        })
    }

    /// Waits until it was asked to record this often, and gives the last of it.
    pub async fn begun(&self, count: usize) -> String {
        let last = |state: &State| state.egresses.get(count - 1).map(|info| info.egress_id.clone());
        self.until("a beginning", last).await
    }

    /// Waits until it was asked to stop it.
    pub async fn stopped(&self, id: &str) {
        self.until("an end", |state| state.stops.iter().any(|stopped| stopped == id).then_some(())).await;
    }

    /// Waits until it was asked this again, so often from now on.
    pub async fn asked(&self, method: &str, times: usize) {
        let count = |state: &State| state.called.iter().filter(|called| *called == method).count();
        let before = self.look(count);
        self.until(method, |state| (count(state) >= before + times).then_some(())).await;
    }

    pub fn info(&self, id: &str) -> EgressInfo {
        self.look(|state| state.egresses.iter().find(|info| info.egress_id == id).unwrap().clone())
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut EgressInfo)) -> EgressInfo {
        let mut state = self.state.lock().unwrap();
        let info = state.egresses.iter_mut().find(|info| info.egress_id == id).unwrap();
        change(info);
        info.updated_at = nanos();
        info.clone()
    }

    /// It records.
    pub fn runs(&self, id: &str) -> EgressInfo {
        self.change(id, |info| {
            info.set_status(EgressStatus::EgressActive);
            info.started_at = nanos();
        })
    }

    pub fn fails(&self, id: &str, why: &str) -> EgressInfo {
        self.change(id, |info| {
            info.set_status(EgressStatus::EgressFailed);
            info.ended_at = nanos();
            info.error = why.to_owned();
        })
    }

    /// It has ended, and its file is where it is to be.
    pub async fn completes(&self, id: &str, content: &str) -> EgressInfo {
        let (path, upload) = target(&self.info(id));
        write(&path, upload.as_ref(), content).await;
        self.change(id, |info| {
            info.set_status(EgressStatus::EgressComplete);
            info.ended_at = nanos();
            info.file_results = vec![FileInfo {
                filename: path,
                size: i64::try_from(content.len()).unwrap(),
                duration: 7_000_000_000,
                started_at: info.started_at,
                ended_at: info.ended_at,
                ..FileInfo::default()
            }];
        })
    }

    /// It knows nothing of it any more.
    pub fn forgets(&self, id: &str) {
        self.state.lock().unwrap().egresses.retain(|info| info.egress_id != id);
    }

    /// Tells a node by webhook, as LiveKit does.
    pub async fn tells(&self, node: &Rest, event: &str, info: &EgressInfo) {
        let number = {
            let mut state = self.state.lock().unwrap();
            state.webhooks += 1;
            state.webhooks
        };
        let body = json!({ "event": event, "id": format!("EV_{number}"), "createdAt": now_s().to_string(), "egressInfo": info });
        let body = body.to_string();
        let taken = node.send("POST", PATH, &[("authorization", &LIVEKIT.token(&body))], Some(&body)).await.unwrap();
        assert_eq!(taken.status, 200, "{}", taken.body);
    }

    /// One request a connection.
    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        let (head, mut body) = loop {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break (String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase(), bytes[end + 4..].to_vec());
            }
        };
        let length =
            head.split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
        while body.len() < length {
            if stream.read_buf(&mut body).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let method = head.split_whitespace().nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
        let (general, of_one) = *self.manner.lock().unwrap();
        let manner = of_one.filter(|(of, _)| *of == method).map_or(general, |(_, manner)| manner);
        let answer = match manner {
            Manner::Errors => refusal(503, "unavailable", "no response from servers"),
            Manner::Silent => (0, Vec::new()),
            Manner::Well | Manner::Unheard | Manner::Late => self.answer(&method, &body),
        };
        self.state.lock().unwrap().called.push(method);
        self.changed.send_replace(());
        match manner {
            Manner::Silent | Manner::Unheard => {
                // Until whoever asked gives up.
                let _ = stream.read_u8().await;
                return;
            }
            Manner::Late => tokio::time::sleep(LATE).await,
            Manner::Well | Manner::Errors => {}
        }
        let (status, answer) = answer;
        let kind = if status == 200 { "application/protobuf" } else { "application/json" };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&answer).await;
    }

    fn answer(&self, method: &str, body: &[u8]) -> Answer {
        let mut state = self.state.lock().unwrap();
        match method {
            "createroom" => {
                let name = CreateRoomRequest::decode(body).unwrap().name;
                state.rooms.insert(name.clone());
                said(&Room { sid: format!("RM_{name}"), name, ..Room::default() })
            }
            "listrooms" => {
                let room = |name: &String| Room { sid: format!("RM_{name}"), name: name.clone(), ..Room::default() };
                said(&ListRoomsResponse { rooms: state.rooms.iter().map(room).collect() })
            }
            "deleteroom" => {
                // Whatever records a room ends with it.
                let name = DeleteRoomRequest::decode(body).unwrap().room;
                state.rooms.remove(&name);
                let there = state.egresses.iter_mut().filter(|info| info.room_name == name && is_alive(info));
                there.for_each(|info| info.set_status(EgressStatus::EgressEnding));
                (200, Vec::new())
            }
            "listparticipants" => said(&ListParticipantsResponse::default()),
            "startroomcompositeegress" => {
                let request = RoomCompositeEgressRequest::decode(body).unwrap();
                let room = request.room_name.clone();
                begin(&mut state, room, egress_info::Request::RoomComposite(request))
            }
            "starttrackegress" => {
                let request = TrackEgressRequest::decode(body).unwrap();
                let room = request.room_name.clone();
                begin(&mut state, room, egress_info::Request::Track(request))
            }
            "listegress" => said(&ListEgressResponse { items: state.egresses.clone(), next_page_token: None }),
            "stopegress" => stop(&mut state, &StopEgressRequest::decode(body).unwrap().egress_id),
            _ => refusal(404, "not_found", "participant does not exist"),
        }
    }
}

fn is_alive(info: &EgressInfo) -> bool {
    matches!(info.status(), EgressStatus::EgressStarting | EgressStatus::EgressActive)
}

fn begin(state: &mut State, room_name: String, request: egress_info::Request) -> Answer {
    if !state.rooms.contains(&room_name) {
        return refusal(404, "not_found", "requested room does not exist");
    }
    let egress_id = format!("EG_{}", uuid::Uuid::now_v7().simple());
    let room_id = format!("RM_{room_name}");
    let info = EgressInfo { egress_id, room_id, room_name, request: Some(request), ..EgressInfo::default() };
    state.egresses.push(info.clone());
    said(&info)
}

fn stop(state: &mut State, id: &str) -> Answer {
    state.stops.push(id.to_owned());
    match state.egresses.iter_mut().find(|info| info.egress_id == id) {
        None => refusal(404, "not_found", "egress does not exist"),
        Some(info) if !is_alive(info) => refusal(412, "failed_precondition", "it cannot be stopped"),
        Some(info) => {
            info.set_status(EgressStatus::EgressEnding);
            said(info)
        }
    }
}

/// Where its file is to be.
fn target(info: &EgressInfo) -> (String, Option<S3Upload>) {
    match info.request.as_ref().unwrap() {
        egress_info::Request::RoomComposite(request) => {
            let [EncodedFileOutput { filepath, output, .. }] = &request.file_outputs[..] else { panic!("one file") };
            let upload = output.as_ref().map(|output| match output {
                encoded_file_output::Output::S3(upload) => upload.clone(),
                _ => panic!("it knows S3 alone"),
            });
            (filepath.clone(), upload)
        }
        egress_info::Request::Track(request) => {
            let Some(track_egress_request::Output::File(file)) = &request.output else { panic!("a file") };
            let DirectFileOutput { filepath, output, .. } = file;
            let upload = output.as_ref().map(|output| match output {
                direct_file_output::Output::S3(upload) => upload.clone(),
                _ => panic!("it knows S3 alone"),
            });
            (format!("{filepath}.ogg"), upload)
        }
        _ => panic!("it was asked for something else"),
    }
}

/// With what it was given, and nothing else.
async fn write(path: &str, upload: Option<&S3Upload>, content: &str) {
    let Some(upload) = upload else {
        let path = std::path::Path::new(path);
        tokio::fs::create_dir_all(path.parent().unwrap()).await.unwrap();
        return tokio::fs::write(path, content).await.unwrap();
    };
    let bucket = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(&upload.endpoint)
        .with_region(&upload.region)
        .with_bucket_name(&upload.bucket)
        .with_access_key_id(&upload.access_key)
        .with_secret_access_key(&upload.secret)
        .with_virtual_hosted_style_request(!upload.force_path_style)
        .with_allow_http(true)
        .build()
        .unwrap();
    bucket.put(&object_store::path::Path::parse(path).unwrap(), content.to_owned().into()).await.unwrap();
}
