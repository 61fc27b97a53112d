//! WB: whiteboards. What is drawn on them is not here: a board has a log of its own.

use crate::breakout::{CLOSE, CLOSE_NOW, Two, entered, go, named, open, rooms};
use crate::common::*;
use convoke_domain::command::Nothing;
use convoke_domain::shapes::{LobbyPolicy, Role, SettingsPatch, WhiteboardPolicy};
use convoke_domain::turn::Reply;
use convoke_domain::whiteboard::{BoardRight, CreateWhiteboard, Whiteboard, WhiteboardAccess};
use convoke_domain::*;
use std::collections::BTreeSet;
use uuid::Uuid;

fn plain(name: &str) -> CreateWhiteboard {
    CreateWhiteboard { name: name.to_owned(), ..CreateWhiteboard::default() }
}

fn in_room(room: RoomId) -> CreateWhiteboard {
    CreateWhiteboard { room: Some(room), ..plain("Sketch") }
}

fn from(source: WhiteboardId) -> CreateWhiteboard {
    CreateWhiteboard { copy_of: Some(source), ..plain("Copy") }
}

fn limited_to(access: WhiteboardAccess) -> CreateWhiteboard {
    CreateWhiteboard { access: Some(access), ..plain("Sketch") }
}

fn create(wanted: CreateWhiteboard) -> Command {
    Command::CreateWhiteboard(wanted)
}

fn rename(whiteboard: WhiteboardId, name: &str) -> Command {
    Command::UpdateWhiteboard { whiteboard, name: Some(name.to_owned()), access: None }
}

fn allow(whiteboard: WhiteboardId, access: WhiteboardAccess) -> Command {
    Command::UpdateWhiteboard { whiteboard, name: None, access: Some(access) }
}

fn delete(whiteboard: WhiteboardId) -> Command {
    Command::DeleteWhiteboard { whiteboard }
}

fn look(whiteboard: WhiteboardId) -> Command {
    Command::OpenWhiteboard { whiteboard }
}

fn copy(whiteboard: WhiteboardId, rooms: Option<&[RoomId]>) -> Command {
    Command::CopyWhiteboard { whiteboard, rooms: rooms.map(<[RoomId]>::to_vec) }
}

fn keep(whiteboard: WhiteboardId) -> Command {
    Command::KeepWhiteboard { whiteboard }
}

fn merge(from: RoomId, into: RoomId) -> Command {
    Command::MergeRooms { from: vec![from], into }
}

/// The boards that were made, changed or deleted by the last input.
fn told(scene: &Scene) -> Vec<Whiteboard> {
    let boards = scene.recorded.iter().filter_map(|recorded| match &recorded.event {
        Event::WhiteboardCreated { whiteboard, .. }
        | Event::WhiteboardUpdated { whiteboard, .. }
        | Event::WhiteboardDeleted { whiteboard, .. } => Some(whiteboard.clone()),
        _ => None,
    });
    boards.collect()
}

fn makes(scene: &mut Scene, device: &Device, wanted: CreateWhiteboard) -> WhiteboardId {
    scene.does(device, create(wanted));
    assert_eq!(scene.kinds(), ["whiteboard.created"]);
    told(scene)[0].id
}

/// What a device's person may do on a board: as the meeting says it, and as it answers them.
fn right(scene: &mut Scene, device: &Device, board: WhiteboardId) -> Option<BoardRight> {
    let said = scene.state.whiteboards.get(&board).and_then(|shape| {
        let member = scene.find(device).expect("somebody the meeting knows");
        scene.state.board_right(member, shape)
    });
    let answered = match scene.ask(device, look(board)) {
        Ok(Reply::Whiteboard { id, writable }) => {
            assert_eq!(id, board);
            Some(if writable { BoardRight::Draw } else { BoardRight::Look })
        }
        Ok(other) => panic!("no way to a board: {other:?}"),
        Err(refusal) => {
            assert_eq!(refusal.code, Code::NotFound, "{refusal}");
            None
        }
    };
    assert!(scene.recorded.is_empty(), "WB6: opening is no event");
    assert_eq!(said, answered, "WB3: said and answered alike");
    let seen = scene.state.whiteboards_for(scene.member(device)).any(|shown| shown.id == board);
    assert_eq!(seen, said.is_some(), "WB10: the view shows what one sees");
    said
}

fn refused_to_backend(scene: &mut Scene, command: Command, code: Code) {
    let refusal = scene.operator(command).expect_err("a refusal");
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(scene.recorded.is_empty());
}

fn policy(policy: WhiteboardPolicy) -> SettingsPatch {
    SettingsPatch { whiteboard: Some(policy), ..SettingsPatch::default() }
}

const DRAW: Option<BoardRight> = Some(BoardRight::Draw);
const LOOK: Option<BoardRight> = Some(BoardRight::Look);

/// Ann hosts, Bob takes part, Vic views; all in the main room.
fn cast() -> (Scene, Device, Device, Device) {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let vic = scene.enters("Vic", Role::Viewer);
    (scene, ann, bob, vic)
}

fn small(whiteboards_max: usize, whiteboards_total_max: usize) -> Limits {
    Limits { whiteboards_max, whiteboards_total_max, ..Limits::default() }
}

#[test]
fn wb1_a_board_has_a_name_and_is_in_the_room_of_whoever_made_it() {
    let (mut scene, _, bob, vic) = cast();
    let bobs = scene.id(&bob);
    for (name, code) in [
        (String::new(), Code::BadRequest),
        (" \n ".to_owned(), Code::BadRequest),
        ("a\0b".to_owned(), Code::BadRequest),
        ("a\u{7}b".to_owned(), Code::BadRequest),
        ("é".repeat(129), Code::TooLarge),
    ] {
        scene.refused(&bob, create(plain(&name)), code);
        assert!(scene.recorded.is_empty());
    }
    scene.refused(&vic, create(plain("x")), Code::NotPermitted);
    let id = makes(&mut scene, &bob, plain(&format!(" {} ", "é".repeat(128))));
    let made = Whiteboard {
        id,
        room: RoomId::Main,
        name: "é".repeat(128),
        access: WhiteboardAccess::Everyone,
        by: Some(bobs),
        named_by: None,
    };
    let created = Event::WhiteboardCreated { whiteboard: made.clone(), copy_of: None, by: Some(bobs) };
    assert_eq!(scene.event("whiteboard.created").event, created);
    assert_eq!(scene.state.whiteboards[&id], made);
    let other = makes(&mut scene, &bob, plain(&made.name));
    assert!(other > id, "another of the same name, in the order of their making");
}

#[test]
fn wb1_leads_and_the_backend_make_boards_in_any_open_room() {
    let Two { mut scene, ann, bob, first, second, .. } = Two::open();
    let nowhere = RoomId::Breakout(Uuid::from_u128(9));
    let own = makes(&mut scene, &bob, plain("Sketch"));
    assert_eq!(scene.state.whiteboards[&own].room, first, "the room one is in");
    makes(&mut scene, &bob, in_room(first));
    scene.refused(&bob, create(in_room(second)), Code::NotPermitted);
    scene.refused(&bob, create(in_room(RoomId::Main)), Code::NotPermitted);
    for room in [RoomId::Main, first, second] {
        let made = makes(&mut scene, &ann, in_room(room));
        assert_eq!(scene.state.whiteboards[&made].room, room);
        scene.operator(create(in_room(room))).expect("made");
        assert_eq!((told(&scene)[0].room, told(&scene)[0].by), (room, None));
    }
    scene.operator(create(plain("Sketch"))).expect("made");
    assert_eq!(told(&scene)[0].room, RoomId::Main);
    scene.refused(&ann, create(in_room(nowhere)), Code::NotFound);
    refused_to_backend(&mut scene, create(in_room(nowhere)), Code::NotFound);
    scene.does(&ann, Command::CloseRooms { room: Some(second), now: true });
    scene.refused(&ann, create(in_room(second)), Code::WrongState);
    scene.does(&ann, CLOSE);
    scene.refused(&bob, create(plain("x")), Code::WrongState);
    scene.refused(&ann, create(in_room(first)), Code::WrongState);
}

#[test]
fn wb1_boards_are_prepared_before_anybody_comes() {
    let mut scene = Scene::with(|settings| settings.whiteboard = WhiteboardPolicy::Hosts);
    scene.operator(create(limited_to(WhiteboardAccess::Nobody))).expect("made");
    let board = told(&scene)[0].id;
    assert_eq!(scene.event("whiteboard.created").audience, Audience::RoomAndLeads(RoomId::Main));
    let bob = scene.enters("Bob", Role::Participant);
    assert_eq!(right(&mut scene, &bob, board), LOOK);
    let (host, guest) = (scene.user("Uma", Role::Host), scene.guest("Gus"));
    for device in [&host, &guest] {
        let refusal = scene.token(device, create(plain("x"))).expect_err("not inside");
        assert_eq!(refusal.code, Code::WrongState);
    }
}

#[test]
fn wb1_where_hosts_make_boards_others_change_nothing() {
    let (mut scene, ann, bob, _) = cast();
    let cohost = scene.enters("Cox", Role::Cohost);
    let board = makes(&mut scene, &bob, plain("Sketch"));
    scene.settings(&ann, policy(WhiteboardPolicy::Hosts));
    for command in
        [create(plain("x")), create(from(board)), rename(board, "x"), delete(board), keep(board), rename(board, "")]
    {
        scene.refused(&bob, command, Code::NotPermitted);
    }
    assert_eq!(right(&mut scene, &bob, board), DRAW, "who draws is said by the board");
    for device in [&ann, &cohost] {
        let own = makes(&mut scene, device, plain("x"));
        scene.does(device, rename(board, &format!("By {}", device.name)));
        scene.does(device, keep(board));
        scene.does(device, delete(own));
    }
    scene.operator(rename(board, "By nobody")).expect("renamed");
    scene.settings(&ann, policy(WhiteboardPolicy::Everyone));
    scene.does(&bob, rename(board, "Mine"));
}

#[test]
fn wb2_whoever_leads_sees_all_boards_and_others_those_of_their_room() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    let cohost = scene.enters("Cox", Role::Cohost);
    let vic = scene.enters("Vic", Role::Viewer);
    let agent = scene.enters("Agent", Role::Agent);
    scene.does(&agent, go(first));
    let board = makes(&mut scene, &bob, plain("Sketch"));
    let main = makes(&mut scene, &ann, plain("Main"));
    let of =
        |scene: &mut Scene, board| [&ann, &cohost, &bob, &cid, &vic, &agent].map(|device| right(scene, device, board));
    assert_eq!(of(&mut scene, board), [DRAW, DRAW, DRAW, None, None, LOOK]);
    assert_eq!(of(&mut scene, main), [DRAW, DRAW, None, None, LOOK, None]);
    let cids = scene.id(&cid);
    for command in [rename(board, "x"), delete(board), create(from(board)), rename(board, ""), keep(board), look(board)]
    {
        scene.refused(&cid, command, Code::NotFound);
    }
    scene.does(&ann, role(cids, Role::Cohost));
    assert_eq!(right(&mut scene, &cid, board), DRAW, "at once");
    scene.does(&ann, role(cids, Role::Participant));
    assert_eq!(right(&mut scene, &cid, board), None);
    scene.does(&ann, go(second));
    assert_eq!(of(&mut scene, board), [DRAW, DRAW, DRAW, None, None, LOOK]);
    let unknown = WhiteboardId(Uuid::from_u128(9));
    for command in [rename(unknown, "x"), delete(unknown), look(unknown), create(from(unknown)), copy(unknown, None)] {
        scene.refused(&ann, command, Code::NotFound);
    }
    for command in [rename(unknown, "x"), delete(unknown), keep(unknown), create(from(unknown)), copy(unknown, None)] {
        refused_to_backend(&mut scene, command, Code::NotFound);
    }
}

/// Whoever goes elsewhere leaves their boards behind, and has them again on return.
#[test]
fn wb2_a_board_of_another_room_is_not_there_for_its_maker_either() {
    let (mut scene, ann, bob, _) = cast();
    let board = makes(&mut scene, &bob, plain("Sketch"));
    let bobs = scene.id(&bob);
    scene.does(&ann, open(rooms(&[named("First", &[bobs])])));
    assert_eq!(right(&mut scene, &bob, board), None);
    for command in [rename(board, "x"), delete(board), keep(board), create(from(board))] {
        scene.refused(&bob, command, Code::NotFound);
    }
    scene.does(&bob, leave());
    scene.does(&ann, CLOSE_NOW);
    scene.join(&bob).expect("back");
    assert_eq!(right(&mut scene, &bob, board), DRAW);
    scene.does(&bob, rename(board, "Mine"));
}

#[test]
fn wb2_whoever_is_not_inside_sees_none() {
    let mut scene = Scene::with(|settings| settings.lobby = LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let cohost = scene.enters("Cox", Role::Cohost);
    let board = makes(&mut scene, &ann, plain("Sketch"));
    let waiting = scene.waits("Wim");
    let coxs = scene.id(&cohost);
    scene.does(&ann, to_lobby(coxs));
    for device in [&waiting, &cohost] {
        assert!(scene.state.whiteboards_for(scene.member(device)).next().is_none());
        for command in [look(board), create(plain("x")), create(from(board)), rename(board, "x"), delete(board)] {
            scene.refused(device, command.clone(), Code::WrongState);
            let refusal = scene.token(device, command).expect_err("not inside");
            assert_eq!(refusal.code, Code::WrongState);
        }
    }
    scene.does(&ann, leave());
    assert!(scene.state.whiteboards_for(scene.member(&ann)).next().is_none());
    assert_eq!(scene.state.whiteboards.len(), 1, "the board is there");
}

#[test]
fn wb3_who_draws() {
    let (mut scene, ann, bob, vic) = cast();
    let cohost = scene.enters("Cox", Role::Cohost);
    let recorder = scene.enters("Rec", Role::Recorder);
    let board = makes(&mut scene, &ann, plain("Sketch"));
    let of = |scene: &mut Scene| [&ann, &cohost, &bob, &vic, &recorder].map(|device| right(scene, device, board));
    assert_eq!(of(&mut scene), [DRAW, DRAW, DRAW, LOOK, LOOK]);
    scene.does(&cohost, allow(board, WhiteboardAccess::Hosts));
    assert_eq!(of(&mut scene), [DRAW, DRAW, LOOK, LOOK, LOOK]);
    scene.does(&ann, allow(board, WhiteboardAccess::Nobody));
    assert_eq!(of(&mut scene), [LOOK; 5]);
    scene.operator(allow(board, WhiteboardAccess::Hosts)).expect("said");
    let (bobs, vics) = (scene.id(&bob), scene.id(&vic));
    scene.does(&ann, role(bobs, Role::Cohost));
    assert_eq!(of(&mut scene), [DRAW, DRAW, DRAW, LOOK, LOOK], "with the role");
    scene.does(&ann, allow(board, WhiteboardAccess::Everyone));
    scene.does(&ann, role(bobs, Role::Viewer));
    scene.does(&ann, role(vics, Role::Participant));
    assert_eq!(of(&mut scene), [DRAW, DRAW, LOOK, DRAW, LOOK]);
}

#[test]
fn wb4_the_maker_renames_and_leads_say_who_draws() {
    let (mut scene, ann, bob, vic) = cast();
    let cid = scene.enters("Cid", Role::Participant);
    let board = makes(&mut scene, &bob, plain("Sketch"));
    scene.refused(&cid, rename(board, "x"), Code::NotPermitted);
    scene.refused(&vic, rename(board, "x"), Code::NotPermitted);
    scene.refused(&bob, allow(board, WhiteboardAccess::Hosts), Code::NotPermitted);
    scene.refused(&bob, create(limited_to(WhiteboardAccess::Nobody)), Code::NotPermitted);
    let both = |name: &str, access| Command::UpdateWhiteboard {
        whiteboard: board,
        name: Some(name.to_owned()),
        access: Some(access),
    };
    scene.refused(&bob, both("x", WhiteboardAccess::Hosts), Code::NotPermitted);
    for (name, code) in [("", Code::BadRequest), ("\u{1b}[2J", Code::BadRequest), (&*"é".repeat(129), Code::TooLarge)]
    {
        scene.refused(&bob, rename(board, name), code);
        scene.refused(&ann, rename(board, name), code);
    }
    assert_eq!(scene.state.whiteboards[&board].name, "Sketch");
    scene.does(&bob, both(" Plan ", WhiteboardAccess::Everyone));
    let (anns, bobs) = (scene.id(&ann), scene.id(&bob));
    let plan = Whiteboard {
        id: board,
        room: RoomId::Main,
        name: "Plan".to_owned(),
        access: WhiteboardAccess::Everyone,
        by: Some(bobs),
        named_by: None,
    };
    let renamed = Event::WhiteboardUpdated { whiteboard: plan.clone(), by: Some(bobs) };
    assert_eq!(scene.event("whiteboard.updated").event, renamed);
    let nothing = Command::UpdateWhiteboard { whiteboard: board, name: None, access: None };
    for command in [both("Plan", WhiteboardAccess::Everyone), rename(board, "Plan "), nothing] {
        scene.does(&bob, command);
        assert!(scene.recorded.is_empty(), "nothing changed");
    }
    scene.does(&ann, both("Ours", WhiteboardAccess::Hosts));
    let (name, access) = ("Ours".to_owned(), WhiteboardAccess::Hosts);
    let ours = Whiteboard { name, access, named_by: Some(anns), ..plan };
    let changed = Event::WhiteboardUpdated { whiteboard: ours.clone(), by: Some(anns) };
    assert_eq!(scene.event("whiteboard.updated").event, changed);
    scene.does(&bob, both("Ours", WhiteboardAccess::Hosts));
    scene.does(&bob, rename(board, "Mine"));
    let mine = Whiteboard { name: "Mine".to_owned(), named_by: None, ..ours };
    assert_eq!(scene.state.whiteboards[&board], mine, "as it was otherwise");
    scene.does(&bob, keep(board));
    assert!(scene.recorded.is_empty(), "WB6: keeping is no event");
    scene.refused(&cid, keep(board), Code::NotPermitted);
    scene.does(&ann, role(bobs, Role::Viewer));
    for command in [rename(board, "x"), keep(board), delete(board)] {
        scene.refused(&bob, command, Code::NotPermitted);
    }
}

/// Nobody made the backend's boards: they are not everybody's.
#[test]
fn wb4_what_the_backend_made_is_changed_by_leads() {
    let (mut scene, ann, bob, _) = cast();
    scene.operator(create(plain("Sketch"))).expect("made");
    let board = told(&scene)[0].id;
    scene.refused(&bob, rename(board, "x"), Code::NotPermitted);
    scene.refused(&bob, delete(board), Code::NotPermitted);
    scene.does(&ann, rename(board, "x"));
    scene.operator(rename(board, "y")).expect("renamed");
    scene.operator(keep(board)).expect("kept");
}

#[test]
fn wb5_the_maker_and_leads_delete() {
    let (mut scene, ann, bob, vic) = cast();
    let cid = scene.enters("Cid", Role::Participant);
    let boards = [(); 3].map(|()| makes(&mut scene, &bob, plain("Sketch")));
    scene.refused(&cid, delete(boards[0]), Code::NotPermitted);
    scene.refused(&vic, delete(boards[0]), Code::NotPermitted);
    let whole = scene.state.whiteboards[&boards[0]].clone();
    scene.does(&bob, delete(boards[0]));
    let bobs = scene.id(&bob);
    let deleted = Event::WhiteboardDeleted { whiteboard: whole, by: Some(bobs) };
    assert_eq!(scene.event("whiteboard.deleted").event, deleted);
    scene.refused(&bob, delete(boards[0]), Code::NotFound);
    assert_eq!(right(&mut scene, &bob, boards[0]), None);
    scene.does(&ann, delete(boards[1]));
    scene.operator(delete(boards[2])).expect("deleted");
    assert!(scene.state.whiteboards.is_empty());
}

#[test]
fn wb5_after_the_end_the_backend_deletes() {
    let Two { mut scene, ann, bob, first, .. } = Two::open();
    let board = makes(&mut scene, &bob, plain("Sketch"));
    let main = makes(&mut scene, &ann, plain("Main"));
    scene.does(&ann, Command::EndMeeting(Nothing {}));
    assert_eq!(scene.state.whiteboards[&board].room, first, "boards outlive the meeting");
    for device in [&ann, &bob] {
        assert!(scene.state.whiteboards_for(scene.member(device)).next().is_none(), "WB2");
        scene.refused(device, delete(board), Code::WrongState);
        let refusal = scene.token(device, delete(board)).expect_err("not the backend");
        assert_eq!(refusal.code, Code::WrongState);
    }
    let stranger = scene.user("Uma", Role::Host);
    assert_eq!(scene.token(&stranger, delete(board)).expect_err("not the backend").code, Code::WrongState);
    for command in [create(plain("x")), rename(board, "x"), look(board), copy(board, None), keep(board)] {
        refused_to_backend(&mut scene, command, Code::WrongState);
    }
    for board in [board, main] {
        scene.operator(delete(board)).expect("deleted");
        assert_eq!(scene.kinds(), ["whiteboard.deleted"]);
        refused_to_backend(&mut scene, delete(board), Code::NotFound);
    }
}

#[test]
fn wb6_a_board_is_opened_in_person() {
    let (mut scene, ann, bob, _) = cast();
    let board = makes(&mut scene, &ann, plain("Sketch"));
    refused_to_backend(&mut scene, look(board), Code::NotPermitted);
    assert_eq!(scene.token(&bob, look(board)), Ok(Reply::Whiteboard { id: board, writable: true }));
    // The same number again is answered again: it had no effect.
    let number = scene.state.sessions[&bob.session].last_id + 1;
    for _ in 0..2 {
        let by = By::Session { session: bob.session, id: number };
        let reply = scene.take(Input::Command { by, command: look(board) });
        assert_eq!(reply, Ok(Reply::Whiteboard { id: board, writable: true }));
    }
}

#[test]
fn wb7_a_new_board_begins_with_what_is_on_one_that_is_seen() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    let source = makes(&mut scene, &bob, plain("Sketch"));
    scene.does(&ann, allow(source, WhiteboardAccess::Nobody));
    let before = scene.state.whiteboards[&source].clone();
    let copied = makes(&mut scene, &bob, from(source));
    let bobs = scene.id(&bob);
    let whole = Whiteboard {
        id: copied,
        room: first,
        name: "Copy".to_owned(),
        access: WhiteboardAccess::Everyone,
        by: Some(bobs),
        named_by: None,
    };
    let created = Event::WhiteboardCreated { whiteboard: whole, copy_of: Some(source), by: Some(bobs) };
    assert_eq!(scene.event("whiteboard.created").event, created);
    assert_eq!(scene.state.whiteboards[&source], before, "the source stays as it is");
    scene.refused(&cid, create(from(source)), Code::NotFound);
    scene.does(&ann, CLOSE_NOW);
    scene.refused(&bob, create(from(source)), Code::NotFound);
    let again = makes(&mut scene, &ann, from(source));
    assert_eq!(scene.state.whiteboards[&again].room, RoomId::Main, "case 14: also from a closed room");
    scene.operator(create(from(source))).expect("copied");
    assert!(!scene.state.is_open(second));
}

#[test]
fn wb7_copies_for_many_rooms() {
    let Two { mut scene, ann, bob, first, second, .. } = Two::open();
    let source = makes(&mut scene, &ann, limited_to(WhiteboardAccess::Hosts));
    let nowhere = RoomId::Breakout(Uuid::from_u128(9));
    let anns = scene.id(&ann);
    let copies = |scene: &Scene| {
        let boards = told(scene);
        let is_copy = |recorded: &Recorded| match &recorded.event {
            Event::WhiteboardCreated { copy_of, .. } => *copy_of == Some(source),
            _ => false,
        };
        assert!(scene.recorded.iter().all(is_copy));
        assert!(boards.iter().all(|board| board.name == "Sketch" && board.access == WhiteboardAccess::Hosts));
        assert_eq!(boards.iter().map(|board| board.id).collect::<BTreeSet<_>>().len(), boards.len());
        boards.into_iter().map(|board| (board.room, board.by)).collect::<BTreeSet<_>>()
    };
    for (rooms, code) in
        [(&[][..], Code::BadRequest), (&[first, first], Code::BadRequest), (&[first, nowhere], Code::NotFound)]
    {
        scene.refused(&ann, copy(source, Some(rooms)), code);
    }
    scene.refused(&bob, copy(source, None), Code::NotPermitted);
    scene.does(&ann, copy(source, None));
    assert_eq!(copies(&scene), [(first, Some(anns)), (second, Some(anns))].into());
    scene.operator(copy(source, Some(&[second, RoomId::Main]))).expect("copied");
    assert_eq!(copies(&scene), [(RoomId::Main, None), (second, None)].into(), "also beside the source");
    // Not beside the source, where that is one of the rooms.
    let theirs = scene.state.whiteboards_in(first).next().expect("a copy").id;
    scene.does(&ann, copy(theirs, None));
    assert_eq!(told(&scene).iter().map(|board| board.room).collect::<Vec<_>>(), [second]);
    scene.does(&ann, Command::CloseRooms { room: Some(second), now: false });
    scene.refused(&ann, copy(source, Some(&[first, second])), Code::WrongState);
    scene.refused(&ann, copy(theirs, None), Code::WrongState);
    scene.does(&ann, copy(source, None));
    assert_eq!(copies(&scene), [(first, Some(anns))].into(), "a closing room is none that is open");
    scene.does(&ann, CLOSE_NOW);
    scene.refused(&ann, copy(source, None), Code::WrongState);
    scene.does(&ann, copy(theirs, Some(&[RoomId::Main])));
    assert_eq!(told(&scene).len(), 1, "case 14: from a closed room");
}

#[test]
fn wb7_a_copy_has_one_effect() {
    let Two { mut scene, ann, .. } = Two::open();
    let source = makes(&mut scene, &ann, plain("Sketch"));
    let number = scene.state.sessions[&ann.session].last_id + 1;
    for _ in 0..2 {
        let by = By::Session { session: ann.session, id: number };
        scene.take(Input::Command { by, command: copy(source, None) }).expect("copied");
    }
    assert!(scene.recorded.is_empty());
    let request = Uuid::from_u128(77);
    for _ in 0..2 {
        scene.take(Input::Once { request, by: By::Operator, command: copy(source, None) }).expect("copied");
    }
    assert!(scene.recorded.is_empty());
    assert_eq!(scene.state.whiteboards.len(), 5);
}

#[test]
fn wb8_a_room_and_a_meeting_have_so_many_boards() {
    let mut scene = Scene::limited(small(2, 5), |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&ann, open(rooms(&[named("First", &[bobs]), named("Second", &[])])));
    let [first, second] = crate::breakout::ids(&scene)[..] else { panic!("two rooms") };
    let main = makes(&mut scene, &ann, plain("1"));
    makes(&mut scene, &bob, plain("2"));
    let full = makes(&mut scene, &bob, plain("3"));
    scene.refused(&bob, create(plain("x")), Code::Capacity);
    refused_to_backend(&mut scene, create(in_room(first)), Code::Capacity);
    scene.refused(&ann, copy(main, None), Code::Capacity);
    assert_eq!(scene.state.whiteboards.len(), 3, "into all or none");
    scene.does(&ann, copy(main, Some(&[second])));
    scene.refused(&ann, copy(main, Some(&[RoomId::Main, second])), Code::Capacity);
    scene.does(&ann, copy(main, Some(&[second])));
    scene.refused(&ann, create(plain("x")), Code::Capacity);
    assert_eq!(scene.state.whiteboards.len(), 5, "of the meeting");
    scene.does(&bob, delete(full));
    makes(&mut scene, &ann, plain("4"));
    assert_eq!(scene.state.whiteboards.len(), 5);
}

#[test]
fn wb8_wb9_a_merge_loses_no_board() {
    let mut scene = Scene::limited(small(2, 50), |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&ann, open(rooms(&[named("First", &[bobs]), named("Second", &[])])));
    let [first, second] = crate::breakout::ids(&scene)[..] else { panic!("two rooms") };
    let boards = [first, first, second, second].map(|room| makes(&mut scene, &ann, in_room(room)));
    let main = makes(&mut scene, &ann, plain("Main"));
    scene.does(&ann, merge(first, second));
    assert_eq!(scene.state.whiteboards_in(second).map(|board| board.id).collect::<Vec<_>>(), boards);
    assert_eq!(scene.state.whiteboards_in(first).count(), 0);
    assert_eq!(scene.state.whiteboards[&main].room, RoomId::Main);
    assert_eq!(right(&mut scene, &bob, boards[0]), DRAW, "their people go along");
    for board in &boards[..3] {
        scene.refused(&bob, create(plain("x")), Code::Capacity);
        scene.does(&ann, delete(*board));
    }
    makes(&mut scene, &bob, plain("room again"));
}

#[test]
fn wb9_leads_elsewhere_are_shown_where_boards_went() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    let cohost = scene.enters("Cox", Role::Cohost);
    let vic = scene.enters("Vic", Role::Viewer);
    scene.does(&cohost, go(first));
    let [anns, bobs, cids, coxs, vics] = [&ann, &bob, &cid, &cohost, &vic].map(|device| scene.id(device));
    makes(&mut scene, &bob, plain("Sketch"));
    let before = scene.state.member(anns).expect("Ann").view_seq;
    let vics_before = scene.state.member(vics).expect("Vic").view_seq;
    scene.does(&ann, merge(first, second));
    let mut shown = entered(&scene);
    shown.sort();
    let mut all = [anns, bobs, cids, coxs];
    all.sort();
    assert_eq!(shown, all, "each once");
    let merged = scene.event("breakout.merged").seq;
    assert!(before <= merged && scene.state.member(anns).expect("Ann").view_seq > merged, "no replay across it");
    assert_eq!(scene.state.member(vics).expect("Vic").view_seq, vics_before);
    assert!(scene.state.whiteboards_for(scene.member(&ann)).all(|board| board.room == second));

    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    makes(&mut scene, &ann, plain("Main"));
    scene.does(&ann, merge(first, second));
    let shown: BTreeSet<ParticipantId> = entered(&scene).into_iter().collect();
    assert_eq!(shown, [&bob, &cid].map(|device| scene.id(device)).into(), "nothing went that Ann sees");
}

/// Case 14: what was drawn in a breakout room was gone once it closed.
#[test]
fn wb9_case_14_a_board_outlives_its_room() {
    let limits = Limits { rooms_kept_max: 2, ..Limits::default() };
    let mut scene = Scene::limited(limits, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&ann, open(rooms(&[named("First", &[bobs])])));
    let board = makes(&mut scene, &bob, plain("Sketch"));
    let room = scene.state.whiteboards[&board].room;
    scene.does(&ann, CLOSE_NOW);
    for is_forgotten in [false, true] {
        assert_eq!(scene.state.rooms.contains_key(&room), !is_forgotten);
        assert_eq!(scene.state.whiteboards[&board].room, room);
        assert_eq!((right(&mut scene, &ann, board), right(&mut scene, &bob, board)), (DRAW, None));
        scene.does(&ann, rename(board, if is_forgotten { "Old" } else { "Older" }));
        assert_eq!(scene.event("whiteboard.updated").audience, Audience::RoomAndLeads(room));
        scene.does(&ann, copy(board, Some(&[RoomId::Main])));
        if !is_forgotten {
            scene.does(&ann, open(rooms(&[named("Other", &[]), named("Another", &[])])));
        }
    }
    scene.does(&ann, delete(board));
}

#[test]
fn wb10_events_are_for_those_who_see_the_board() {
    let Two { mut scene, ann, bob, first, second, .. } = Two::open();
    let board = makes(&mut scene, &bob, plain("Sketch"));
    assert_eq!(scene.event("whiteboard.created").audience, Audience::RoomAndLeads(first));
    scene.does(&ann, rename(board, "Plan"));
    assert_eq!(scene.event("whiteboard.updated").audience, Audience::RoomAndLeads(first), "not where Ann is");
    scene.does(&ann, copy(board, None));
    assert_eq!(scene.event("whiteboard.created").audience, Audience::RoomAndLeads(second));
    scene.does(&bob, delete(board));
    assert_eq!(scene.event("whiteboard.deleted").audience, Audience::RoomAndLeads(first));
}

#[test]
fn wb10_a_snapshot_of_the_meeting_has_its_boards() {
    let Two { mut scene, ann, bob, .. } = Two::open();
    let board = makes(&mut scene, &bob, plain("Sketch"));
    let text = serde_json::to_string(&scene.state).expect("a snapshot");
    let read: Meeting = serde_json::from_str(&text).expect("a snapshot is read");
    assert_eq!(read, scene.state);
    assert_eq!(read.whiteboards[&board].name, "Sketch");
    let shown = serde_json::to_value(&read.whiteboards[&board]).expect("a shape");
    let keys: Vec<&str> = shown.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["access", "by", "id", "name", "room"]);
    scene.does(&ann, delete(board));
    assert!(!serde_json::to_string(&scene.state).expect("a snapshot").contains(&board.to_string()));
}

#[test]
fn wb11_the_boards_of_an_erased_person_are_nobodys() {
    for is_over in [false, true] {
        let (mut scene, ann, bob, _) = cast();
        let bobs = scene.id(&bob);
        let others = makes(&mut scene, &ann, plain("Plan"));
        let board = makes(&mut scene, &bob, plain("Robert's address"));
        let gone = makes(&mut scene, &bob, plain("Robert's other address"));
        scene.does(&bob, rename(board, "Robert's house"));
        scene.does(&ann, delete(gone));
        if is_over {
            scene.does(&ann, Command::EndMeeting(Nothing {}));
        }
        scene.take(Input::Erase(bob.user.clone().expect("a user"))).expect("erased");
        assert_eq!(told(&scene).len(), 1);
        let event = scene.event("whiteboard.updated");
        assert_eq!(event.audience, Audience::RoomAndLeads(RoomId::Main), "told to those who see it");
        let shape = &scene.state.whiteboards[&board];
        assert_eq!((shape.name.as_str(), shape.by), (redact::ERASED_NAME, None));
        assert_eq!(scene.state.whiteboards[&others].name, "Plan");
        if !is_over {
            scene.does(&ann, rename(board, "Ours"));
            scene.join(&bob).expect("somebody new");
            scene.refused(&bob, rename(board, "x"), Code::NotPermitted);
        }
        // Overwriting may come late: what was said of the board since stays.
        let mut log = scene.log.clone();
        for recorded in &mut log {
            redact::person(&mut recorded.event, bobs);
        }
        let text = serde_json::to_string(&log).expect("a log");
        assert!(!text.contains("Robert"), "{text}");
        let mut folded = apply::create(&log[0]).expect("a meeting");
        for recorded in &log[1..] {
            apply::apply(&mut folded, recorded, &scene.limits);
        }
        assert_eq!(folded, scene.state, "LG6");
    }
}

#[test]
fn wb11_names_that_an_erased_person_gave_are_gone_from_others_boards_and_from_copies() {
    let (mut scene, ann, bob, _) = cast();
    let cid = scene.enters("Cid", Role::Cohost);
    let (bobs, cids) = (scene.id(&bob), scene.id(&cid));
    let board = makes(&mut scene, &bob, plain("Robert's address"));
    scene.does(&ann, copy(board, Some(&[RoomId::Main])));
    let first = told(&scene)[0].id;
    scene.does(&cid, copy(first, Some(&[RoomId::Main])));
    let second = told(&scene)[0].id;
    assert_eq!(scene.state.whiteboards[&second].named_by, Some(bobs), "it went along twice");
    // Renamed they tell of whoever did that, and of nobody where it is the one whose they are.
    scene.does(&ann, copy(board, Some(&[RoomId::Main])));
    let own = told(&scene)[0].id;
    scene.does(&ann, rename(own, "Plan"));
    assert_eq!(scene.state.whiteboards[&own].named_by, None);
    let renamed = makes(&mut scene, &ann, plain("Sketch"));
    scene.does(&cid, rename(renamed, "Cidney's house"));
    scene.does(&ann, allow(renamed, WhiteboardAccess::Hosts));
    assert_eq!(scene.state.whiteboards[&renamed].named_by, Some(cids));
    for (device, gone) in [(&bob, bobs), (&cid, cids)] {
        scene.take(Input::Erase(device.user.clone().expect("a user"))).expect("erased");
        assert!(scene.state.whiteboards.values().all(|board| !board.tells_of(gone)), "nobody's, and by nobody");
    }
    let shown = |id| (scene.state.whiteboards[&id].name.as_str(), scene.state.whiteboards[&id].by);
    let anns = Some(scene.id(&ann));
    assert_eq!([shown(first), shown(second)], [(redact::ERASED_NAME, anns), (redact::ERASED_NAME, None)]);
    assert_eq!([shown(own), shown(renamed)], [("Plan", anns), (redact::ERASED_NAME, anns)]);
    let mut log = scene.log.clone();
    for recorded in &mut log {
        redact::person(&mut recorded.event, bobs);
        redact::person(&mut recorded.event, cids);
    }
    let text = serde_json::to_string(&log).expect("a log");
    assert!(!text.contains("Robert") && !text.contains("Cidney"), "{text}");
    let mut folded = apply::create(&log[0]).expect("a meeting");
    for recorded in &log[1..] {
        apply::apply(&mut folded, recorded, &scene.limits);
    }
    assert_eq!(folded, scene.state, "LG6");
}
