//! The edges of a board's socket: what is no message, what is too much, who is not let in, and who does not
//! read. Each has its end, and nobody else notices.

use super::painter::Painter;
use super::{Way, person};
use crate::{meeting, ok, server};
use convoke_loadtest::board::ELEMENTS;
use convoke_loadtest::board::door::{Address, make_board};
use convoke_loadtest::board::wire::{Dialect, Frame};
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as Part;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use yrs::{Doc, Map, Transact, any};

struct Place {
    server: Server,
    meeting: String,
    host: Client,
    board: String,
    way: Way,
}

async fn place(settings: &[(&str, &str)]) -> Place {
    let server = server(settings).await;
    let meeting = meeting(&server, json!({})).await;
    let host = person(&server, &meeting, "ada", "host").await;
    let board = make_board(&host, "Plan").await.unwrap();
    let way = Way::ask(&host, &board).await;
    Place { server, meeting, host, board, way }
}

/// A message in several frames, with a ping between them, as is allowed.
fn in_parts(painter: &Painter, message: &[u8], parts: usize) {
    let size = message.len().div_ceil(parts);
    for (number, part) in message.chunks(size).enumerate() {
        let kind = if number == 0 { Data::Binary } else { Data::Continue };
        let is_last = (number + 1) * size >= message.len();
        painter.raw(Message::Frame(Part::message(part.to_vec(), OpCode::Data(kind), is_last)));
        painter.raw(Message::Ping(vec![1].into()));
    }
}

fn update(painter: &Painter, key: &str, says: &str) -> Vec<u8> {
    Dialect::default().write(&Frame::Update(&painter.paints(key, says))).to_vec()
}

#[tokio::test]
async fn a_message_may_come_in_parts_and_what_is_none_closes_its_socket_alone() {
    let Place { server, way, .. } = place(&[]).await;
    let good = Painter::new(&way).await;
    let parted = Painter::new(&way).await;
    in_parts(&parted, &update(&parted, "in parts", &"x".repeat(100_000)), 7);
    good.sees("in parts").await;
    parted.draws("whole", "and on");
    good.sees("whole").await;

    let large = Painter::new(&way).await;
    in_parts(&large, &vec![0; (4 << 20) + 1], 9);
    assert_eq!(large.closed().await, 4500, "too large in all, none of its parts is");
    let whole = Painter::new(&way).await;
    whole.raw(Message::binary(vec![0; (4 << 20) + 1]));
    assert_eq!(whole.closed().await, 4500);
    let text = Painter::new(&way).await;
    text.raw(Message::text("hello"));
    assert_eq!(text.closed().await, 4500);
    let loose = Painter::new(&way).await;
    loose.raw(Message::Frame(Part::message(vec![0, 2, 0], OpCode::Data(Data::Continue), true)));
    assert_eq!(loose.closed().await, 4500, "it continues nothing");
    let broken = Painter::new(&way).await;
    in_parts(&broken, &[0, 2, 200, 200, 200], 1);
    assert_eq!(broken.closed().await, 4500);
    let twice = Painter::new(&way).await;
    twice.raw(Message::Frame(Part::message(vec![0], OpCode::Data(Data::Binary), false)));
    twice.draws("between", "the parts of another");
    assert_eq!(twice.closed().await, 4500);

    good.draws("after all", "goes on");
    parted.sees("after all").await;
    assert!(!good.seen().has("between"));
    assert_eq!((good.seen().closed, parted.seen().closed), (None, None));
    let metrics = server.rest.send("GET", "/metrics", &[], None).await.unwrap().body;
    let updates = "convoke_whiteboard_updates_total 3";
    for series in ["convoke_whiteboards_open 1", updates, "convoke_whiteboard_refused_total{reason=\"too_large\"} 2"] {
        assert!(metrics.contains(series), "{series} is not in {metrics}");
    }
}

/// Whoever draws, and goes in the same moment: with a word, or lost.
async fn draws_and_goes(server: &Server, way: &Way, strokes: std::ops::Range<u32>, says_so: bool) {
    let stream = TcpStream::connect(&server.rest.host).await.unwrap();
    let address = format!("ws://{}{}", server.rest.host, way.address().target);
    let mut socket = client_async(address, stream).await.unwrap().0;
    socket.next().await.unwrap().unwrap();
    let doc = Doc::with_client_id(u64::from(strokes.start));
    let elements = doc.get_or_insert_map(ELEMENTS);
    for stroke in strokes {
        let key = format!("{stroke}");
        let mut writing = doc.transact_mut();
        elements.insert(&mut writing, key.clone(), any!({ "id": key, "says": "at last" }));
        let update = writing.encode_update_v1();
        drop(writing);
        let message = Dialect::default().write(&Frame::Update(&update)).to_vec();
        // What is fed goes out together.
        socket.feed(Message::binary(message)).await.unwrap();
    }
    if says_so {
        let _ = socket.feed(Message::Close(None)).await;
    }
    let _ = socket.flush().await;
}

#[tokio::test]
async fn what_somebody_drew_in_the_moment_in_which_they_went_is_there() {
    // Read so slowly that it is found out meanwhile that nobody is there any more.
    let slow = [("CONVOKE_WHITEBOARD_MESSAGES_PER_S", "200"), ("CONVOKE_WHITEBOARD_MESSAGES_BURST", "20")];
    let Place { server, host: _host, way, .. } = place(&slow).await;
    for (round, (strokes, says_so)) in (1..).zip([(1, true), (400, true), (1, false), (400, false)]) {
        let (begin, end) = (round * 1_000, round * 1_000 + strokes);
        draws_and_goes(&server, &way, begin..end, says_so).await;
        let fresh = Painter::new(&way).await;
        let all = |seen: &super::painter::Seen| (begin..end).all(|stroke| seen.has(&stroke.to_string())).then_some(());
        fresh.until(&format!("{strokes} strokes"), all).await;
    }
}

#[tokio::test]
async fn only_the_token_of_a_board_opens_it_and_it_stands_in_no_log() {
    let Place { server, meeting, host, board, way } = place(&[("CONVOKE_LOG_LEVEL", "debug")]).await;
    let another = make_board(&host, "Another").await.unwrap();
    let others = Way::ask(&host, &another).await;
    let with = |token: &str| Way { token: token.to_owned(), ..way.clone() };
    let join = server.rest.key.join_token(&meeting, Some("eve"), "eve", "host");
    let resume = host.record().snapshot.as_ref().unwrap()["resume_token"].as_str().unwrap().to_owned();
    let mut forged = way.token.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'B' } else { 'A' });
    for token in ["", "nonsense", &others.token, &join, &resume, &forged] {
        let refused = Painter::with(yrs::Doc::new(), &with(token)).await.err();
        assert_eq!(refused, Some(401), "{token}");
    }
    let path = Address { target: format!("/ws/whiteboards/{board}"), ..way.address() };
    let refused = server.rest.send("GET", &path.target, &[], None).await.unwrap();
    assert_eq!(refused.status, 401, "no token at all");
    // The right one, at a page of somebody else's.
    let headers = |origin| {
        [
            ("origin", origin),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ]
    };
    let target = way.address().target;
    let evil = server.rest.send("GET", &target, &headers("https://evil.example"), None).await.unwrap();
    assert_eq!(evil.status, 403, "{}", evil.body);
    let painter = Painter::new(&way).await;
    painter.draws("a", "first");
    painter.until("its own", |seen| (seen.updates == 1).then_some(())).await;
    painter.raw(Message::text("no message"));
    assert_eq!(painter.closed().await, 4500);
    ok(&host, "hand.lower", json!({})).await;
    let log = server.log();
    assert!(log.contains("/ws/whiteboards/{id}"), "the log tells of requests: {log}");
    for secret in [&way.token, &others.token, &join, &resume, &forged] {
        assert!(!log.contains(secret.as_str()));
    }
    assert!(!log.contains("token="), "nor of any address");
    assert!(!server.rest.send("GET", "/metrics", &[], None).await.unwrap().body.contains(&way.token));
}

#[tokio::test]
async fn whoever_does_not_read_is_dropped_and_the_others_draw_on() {
    let fast = [("CONVOKE_WHITEBOARD_MESSAGES_PER_S", "1000000"), ("CONVOKE_PROGRESS_S", "600")];
    let Place { server, way, .. } = place(&fast).await;
    let (ada, bob) = (Painter::new(&way).await, Painter::new(&way).await);
    ada.draws("first", "of all");
    bob.sees("first").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(server.rest.host.parse().unwrap()).await.unwrap();
    let address = format!("ws://{}{}", server.rest.host, way.address().target);
    let mut stalled = client_async(address, stream).await.unwrap().0;
    stalled.next().await.unwrap().unwrap();
    // From here on this socket is never read again.
    let metrics = || async { server.rest.send("GET", "/metrics", &[], None).await.unwrap().body };
    let dropped = "convoke_sockets_dropped_total{reason=\"slow_consumer\"} 1";
    let mut drawn = 1;
    while !metrics().await.contains(dropped) {
        ada.draws("large", &format!("{drawn}{}", "x".repeat(200_000)));
        drawn += 1;
        bob.until("what was drawn", |seen| (seen.updates == drawn).then_some(())).await;
        assert!(drawn < 1_000, "the stalled socket was never dropped");
    }
    ada.draws("last", "of all");
    bob.sees("last").await;
    assert_eq!((ada.seen().closed, bob.seen().closed), (None, None));
}

#[tokio::test]
async fn many_who_open_a_board_of_some_megabytes_at_once_all_get_it_whole() {
    let Place { server: _server, way, .. } = place(&[]).await;
    let ada = Painter::new(&way).await;
    for number in 0..6 {
        ada.draws(&format!("e{number}"), &format!("{number}").repeat(900_000));
    }
    ada.until("its own", |seen| (seen.updates == 6).then_some(())).await;
    let all = ada.seen().document();
    let coming = (0..20).map(|_| {
        let way = way.clone();
        tokio::spawn(async move { Painter::new(&way).await })
    });
    let people: Vec<_> = coming.collect();
    let mut others = Vec::new();
    for person in people {
        let person = person.await.unwrap();
        person.until("the whole of it", |seen| (seen.elements().len() == 6).then_some(())).await;
        assert!(person.seen().document() == all);
        others.push(person);
    }
    // And all of them are at the board.
    ada.draws("last", "for all");
    for person in &others {
        person.sees("last").await;
        assert_eq!(person.seen().closed, None);
    }
}
