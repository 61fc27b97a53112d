//! The model's whiteboards, written from `SPEC.md` (WB): which there are, where, by whom, and who may do
//! what to them. A board is known by its place in a list, in the order of their making.

use crate::deeds::Who;
use crate::plan::{BoardDeed, board_name};
use crate::roster::{Roster, is_lead, is_service};
use convoke_domain::shapes::{Role, RoomState};
use convoke_domain::whiteboard::{BoardRight, Whiteboard, WhiteboardAccess};
use convoke_domain::{Audience, Event, Limits, Meeting, Recorded, RoomId, WhiteboardId, redact, state};

pub struct ModelBoard {
    id: Option<WhiteboardId>,
    room: usize,
    name: String,
    access: WhiteboardAccess,
    /// A place in the list of people.
    by: Option<usize>,
    /// As `by`, of whoever gave the name, if that is somebody else.
    named_by: Option<usize>,
}

#[derive(Default)]
pub struct Boards {
    pub list: Vec<ModelBoard>,
    pub is_hosts_only: bool,
}

/// A number means one of the boards there are, or none.
fn chosen(number: u8, boards: usize) -> Option<usize> {
    Some(usize::from(number) % (boards + 1)).filter(|board| *board < boards)
}

/// The same number, on the meeting's side: ids are in the order of their making.
pub fn id(state: &Meeting, number: u8) -> WhiteboardId {
    let found = chosen(number, state.whiteboards.len()).and_then(|board| state.whiteboards.keys().nth(board));
    found.copied().unwrap_or(WhiteboardId(uuid::Uuid::from_u128(u128::MAX)))
}

pub fn has(role: Role, deed: &BoardDeed) -> bool {
    match deed {
        BoardDeed::Open(_) => true,
        BoardDeed::Copy { .. } => is_lead(role),
        _ => is_lead(role) || role == Role::Participant,
    }
}

impl Roster {
    fn here(&self, who: &Who) -> usize {
        who.person.map_or(crate::rooms::MAIN, |i| self.people[i].room)
    }

    /// WB2.
    fn seen(&self, who: &Who, number: u8) -> Option<usize> {
        let board = chosen(number, self.boards.list.len())?;
        (is_lead(who.role) || self.boards.list[board].room == self.here(who)).then_some(board)
    }

    /// WB1, WB4.
    fn changeable(&self, who: &Who, number: u8) -> Option<usize> {
        let board = self.seen(who, number)?;
        let is_theirs = who.person.is_some() && self.boards.list[board].by == who.person;
        (is_lead(who.role) || (is_theirs && !self.boards.is_hosts_only)).then_some(board)
    }

    /// WB8.
    fn has_room(&self, rooms: &[usize]) -> bool {
        let in_room = |room: &usize| self.boards.list.iter().filter(|board| board.room == *room).count();
        rooms.iter().all(|room| in_room(room) < self.limits.whiteboards_max)
            && self.boards.list.len() + rooms.len() <= self.limits.whiteboards_total_max
    }

    fn open_room(&self, number: u8) -> Option<usize> {
        self.rooms.chosen(number).filter(|room| self.rooms.is_open(*room))
    }

    fn is_name(name: u8) -> bool {
        !board_name(name).trim().is_empty()
    }

    pub fn board_deed(&mut self, who: &Who, deed: &BoardDeed) -> bool {
        let leads = is_lead(who.role);
        match deed {
            BoardDeed::Create { name, room, copy_of, access } => {
                let here = self.here(who);
                let room = match room {
                    Some(number) => self.open_room(*number),
                    None => Some(here).filter(|room| self.rooms.is_open(*room)),
                };
                let Some(room) = room.filter(|room| leads || *room == here) else { return false };
                let is_source_seen = copy_of.is_none_or(|number| self.seen(who, number).is_some());
                let access = access.unwrap_or_default();
                if !Self::is_name(*name)
                    || !is_source_seen
                    || (self.boards.is_hosts_only && !leads)
                    || (access != WhiteboardAccess::Everyone && !leads)
                    || !self.has_room(&[room])
                {
                    return false;
                }
                let (name, by) = (board_name(*name), who.person);
                self.boards.list.push(ModelBoard { id: None, room, name, access, by, named_by: None });
                true
            }
            BoardDeed::Copy { board, rooms } => {
                let Some(source) = self.seen(who, *board) else { return false };
                let ModelBoard { room, name, access, by: maker, named_by, .. } = &self.boards.list[source];
                let (name, access, by) = (name.clone(), *access, who.person);
                let namer = if named_by.is_some() { *named_by } else { *maker };
                let named_by = if namer == by { None } else { namer };
                let rooms = match rooms {
                    Some(listed) => listed.iter().map(|number| self.open_room(*number)).collect(),
                    None => Some((1..self.rooms.list.len()).filter(|r| self.rooms.is_open(*r) && r != room).collect()),
                };
                let Some(rooms): Option<Vec<usize>> = rooms else { return false };
                let different: std::collections::BTreeSet<usize> = rooms.iter().copied().collect();
                if rooms.is_empty() || different.len() != rooms.len() || !self.has_room(&rooms) {
                    return false;
                }
                for room in rooms {
                    self.boards.list.push(ModelBoard { id: None, room, name: name.clone(), access, by, named_by });
                }
                true
            }
            BoardDeed::Update { board, name, access } => {
                let Some(board) = self.changeable(who, *board) else { return false };
                let is_said = access.is_some_and(|access| access != self.boards.list[board].access);
                if name.is_some_and(|name| !Self::is_name(name)) || (is_said && !leads) {
                    return false;
                }
                let board = &mut self.boards.list[board];
                if let Some(name) = name.map(board_name).filter(|name| *name != board.name) {
                    board.name = name;
                    board.named_by = if who.person == board.by { None } else { who.person };
                }
                board.access = access.unwrap_or(board.access);
                true
            }
            BoardDeed::Delete(board) => {
                let board = self.changeable(who, *board);
                board.map(|board| self.boards.list.remove(board)).is_some()
            }
            BoardDeed::Open(board) => who.person.is_some() && self.seen(who, *board).is_some(),
            BoardDeed::Keep(board) => self.changeable(who, *board).is_some(),
        }
    }

    /// WB9.
    pub fn merge_boards(&mut self, from: &[usize], into: usize) {
        for board in self.boards.list.iter_mut().filter(|board| from.contains(&board.room)) {
            board.room = into;
        }
    }

    /// WB11.
    pub fn disown(&mut self, person: usize) {
        for board in &mut self.boards.list {
            if board.by == Some(person) || board.named_by == Some(person) {
                board.by = board.by.filter(|maker| *maker != person);
                board.named_by = None;
                redact::ERASED_NAME.clone_into(&mut board.name);
            }
        }
    }

    /// The ids of those that are new.
    pub fn learn_boards(&mut self, recorded: &[Recorded]) {
        for recorded in recorded {
            let Event::WhiteboardCreated { whiteboard, .. } = &recorded.event else { continue };
            let room = self.rooms.list.iter().position(|room| room.id == Some(whiteboard.room)).expect("a room");
            let mut new = self.boards.list.iter_mut().filter(|board| board.id.is_none() && board.room == room);
            new.next().expect("a board that the model has made").id = Some(whiteboard.id);
        }
        self.boards.list.sort_by_key(|board| board.id);
    }

    /// The meeting's boards are the model's.
    pub fn same_boards(&self, state: &Meeting) {
        let boards: Vec<Whiteboard> = state.whiteboards.values().cloned().collect();
        let whole = |board: &ModelBoard| Whiteboard {
            id: board.id.expect("a board that was made has an id"),
            room: self.rooms.list[board.room].id.expect("a room that was opened has an id"),
            name: board.name.clone(),
            access: board.access,
            by: board.by.map(|i| self.people[i].id),
            named_by: board.named_by.map(|i| self.people[i].id),
        };
        assert_eq!(boards, self.boards.list.iter().map(whole).collect::<Vec<_>>(), "WB");
        for p in &self.people {
            let member = state.member(p.id).expect("somebody known");
            for (board, shape) in self.boards.list.iter().zip(&boards) {
                let sees = p.is_inside() && !self.is_over() && (is_lead(p.role) || p.room == board.room);
                let draws = match board.access {
                    WhiteboardAccess::Everyone => is_lead(p.role) || p.role == Role::Participant,
                    WhiteboardAccess::Hosts => is_lead(p.role),
                    WhiteboardAccess::Nobody => false,
                };
                let right = sees.then_some(if draws { BoardRight::Draw } else { BoardRight::Look });
                assert_eq!(state.board_right(member, shape), right, "WB2, WB3: {p:?} {shape:?}");
            }
        }
    }
}

/// What is true of everybody's rights at any time, whoever is forgotten.
pub fn hold(state: &Meeting) {
    let is_closed = |id: RoomId| state.rooms.get(&id).is_none_or(|room| room.state == RoomState::Closed);
    for member in state.members.values() {
        let leads = member.is_inside() && is_lead(member.participant.role);
        for board in state.whiteboards.values() {
            let right = state.board_right(member, board);
            let is_there = member.is_inside() && member.participant.room == board.room;
            assert!(right.is_none() || leads || is_there, "WB2: {member:?} {board:?}");
            assert!(leads || !is_closed(board.room) || right.is_none(), "WB9: a closed room's are for leads");
            let may_draw = member.participant.role != Role::Viewer && !is_service(member.participant.role);
            assert!(right != Some(BoardRight::Draw) || may_draw, "WB3: {member:?} {board:?}");
        }
        let shown: Vec<&Whiteboard> = state.whiteboards_for(member).collect();
        assert!(shown.is_sorted_by_key(|board| board.id));
        assert!(shown.iter().all(|board| state.board_right(member, board).is_some()), "WB10");
    }
}

fn hears(member: &state::Member, audience: &Audience) -> bool {
    let (id, room, leads) = (member.participant.id, member.participant.room, is_lead(member.participant.role));
    match audience {
        Audience::Nobody => false,
        Audience::Everyone => true,
        Audience::Leads => leads,
        Audience::Room(of) => *of == room,
        Audience::RoomAndLeads(of) => leads || *of == room,
        Audience::Only(people) => people.contains(&id),
    }
}

/// WB8, WB10: what is true of an event of a board, with the state before it and after it.
pub fn follow(before: &Meeting, after: &Meeting, recorded: &Recorded, limits: &Limits) {
    let board = match &recorded.event {
        Event::WhiteboardCreated { whiteboard, .. } => {
            assert!(!before.whiteboards.contains_key(&whiteboard.id), "a new id");
            let there = after.whiteboards.values().filter(|board| board.room == whiteboard.room).count();
            assert!(there <= limits.whiteboards_max, "WB8: none is added to a full room");
            assert!(after.whiteboards.len() <= limits.whiteboards_total_max, "WB8: nor to a full meeting");
            whiteboard
        }
        Event::WhiteboardUpdated { whiteboard, .. } => {
            assert_ne!(&before.whiteboards[&whiteboard.id], whiteboard, "WB4: something changed");
            whiteboard
        }
        Event::WhiteboardDeleted { whiteboard, .. } => {
            assert_eq!(&before.whiteboards[&whiteboard.id], whiteboard, "WB5: told whole");
            assert!(!after.whiteboards.contains_key(&whiteboard.id));
            whiteboard
        }
        _ => return,
    };
    for member in before.members.values().filter(|member| member.is_inside()) {
        let sees = is_lead(member.participant.role) || member.participant.room == board.room;
        assert_eq!(hears(member, &recorded.audience), sees, "WB10: {member:?} {recorded:?}");
    }
}
