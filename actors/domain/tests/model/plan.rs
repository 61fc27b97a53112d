//! What may happen to a meeting, as data: a plan is a list of steps, drawn at random and printed
//! in full when it fails. People and sessions are named by small numbers, so that steps meet: a
//! step's number means one of those there are at that time, wherever there are any.

use convoke_domain::breakout::Assign;
use convoke_domain::shapes::{LobbyPolicy, Role, WhiteboardPolicy};
use convoke_domain::whiteboard::WhiteboardAccess;
use proptest::prelude::*;

pub const USERS: u8 = 4;
pub const SESSIONS_OF_USER: u8 = 3;
pub const GUESTS: u8 = 3;
/// Counts round everybody the meeting knows, and nobody.
const TARGETS: u8 = 60;

#[derive(Clone, Debug)]
pub enum Step {
    Join {
        user: Option<u8>,
        session: u8,
        role: Role,
    },
    Lost(Which),
    Back(Which),
    Pass(u64),
    Ask(Asker, Deed),
    /// The last numbered command once more, under its number.
    AskAgain,
    /// The last join once more.
    JoinAgain,
    Erase(u8),
    Recovered,
}

/// A session: one of those that are open; one of a lead's, if there is one; or this, open or not.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    Open(u8),
    Lead(u8),
    This(u8),
}

#[derive(Clone, Debug)]
pub enum Asker {
    Session(Which),
    Operator,
    Token { user: Option<u8>, role: Role },
}

#[derive(Clone, Debug)]
pub enum Deed {
    Leave { all: bool, to: Option<u8> },
    Start,
    End,
    Cancel,
    Update(Patch),
    Admit(Option<u8>),
    Deny(Option<u8>),
    TellLobby,
    SetRole(u8, Role),
    Rename(u8),
    Mute(Option<u8>),
    Permit(Option<u8>, bool),
    Media(bool, bool),
    Remove { whom: u8, ban: bool },
    ToLobby(u8),
    List,
    Raise,
    Lower(Whose),
    React,
    Say(Option<u8>),
    Edit(u8),
    Delete(u8),
    ReactTo(u8, bool),
    Invite,
    Rooms(RoomDeed),
    Boards(BoardDeed),
}

/// People and rooms by number, as everywhere.
#[derive(Clone, Debug)]
pub enum RoomDeed {
    Open {
        rooms: u8,
        assign: Assign,
        listed: Vec<(u8, u8)>,
        users: Vec<(u8, u8)>,
        duration_s: Option<u32>,
        grace_s: u32,
        may_return: bool,
    },
    Move(Vec<(u8, u8)>),
    Go(u8),
    Extend {
        by_s: Option<u32>,
        in_ms: Option<i64>,
    },
    Add,
    Rename(u8),
    Broadcast,
    Help,
    Merge {
        from: Vec<u8>,
        into: u8,
    },
    Close {
        room: Option<u8>,
        now: bool,
    },
}

/// Boards, rooms and names by number.
#[derive(Clone, Debug)]
pub enum BoardDeed {
    Create { name: u8, room: Option<u8>, copy_of: Option<u8>, access: Option<WhiteboardAccess> },
    Update { board: u8, name: Option<u8>, access: Option<WhiteboardAccess> },
    Delete(u8),
    Open(u8),
    Copy { board: u8, rooms: Option<Vec<u8>> },
    Keep(u8),
}

/// The first is no name.
pub fn board_name(number: u8) -> String {
    if number == 0 { " ".to_owned() } else { format!("Board {number}") }
}

#[derive(Clone, Debug)]
pub enum Whose {
    Own,
    Of(u8),
    All,
}

#[derive(Clone, Debug, Default)]
pub struct Patch {
    pub lobby: Option<LobbyPolicy>,
    pub before_host: Option<bool>,
    pub locked: Option<bool>,
    pub seats: Option<u32>,
    pub duration_s: Option<Option<u32>>,
    pub absent_s: Option<Option<u32>>,
    pub boards: Option<WhiteboardPolicy>,
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        6 => Just(Role::Participant),
        4 => Just(Role::Host),
        2 => Just(Role::Cohost),
        1 => Just(Role::Viewer),
        1 => Just(Role::Agent),
    ]
}

fn any_session() -> impl Strategy<Value = u8> {
    0..USERS * SESSIONS_OF_USER + GUESTS
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        4 => any::<u8>().prop_map(Which::Open),
        4 => any::<u8>().prop_map(Which::Lead),
        1 => any_session().prop_map(Which::This),
    ]
}

fn join() -> impl Strategy<Value = Step> {
    let user = (0..USERS, 0..SESSIONS_OF_USER, role());
    let own = user.prop_map(|(u, n, role)| Step::Join { user: Some(u), session: u * SESSIONS_OF_USER + n, role });
    let guest = (0..GUESTS, role());
    let guest = guest.prop_map(|(n, role)| Step::Join { user: None, session: USERS * SESSIONS_OF_USER + n, role });
    let clash = (prop::option::of(0..USERS), any_session(), role());
    let clash = clash.prop_map(|(user, session, role)| Step::Join { user, session, role });
    prop_oneof![8 => own, 4 => guest, 1 => clash]
}

fn lobby() -> impl Strategy<Value = LobbyPolicy> {
    prop_oneof![Just(LobbyPolicy::Off), Just(LobbyPolicy::Guests), Just(LobbyPolicy::Everyone)]
}

pub fn patch() -> impl Strategy<Value = Patch> {
    prop_oneof![
        lobby().prop_map(|lobby| Patch { lobby: Some(lobby), ..Patch::default() }),
        any::<bool>().prop_map(|on| Patch { before_host: Some(on), ..Patch::default() }),
        any::<bool>().prop_map(|on| Patch { locked: Some(on), ..Patch::default() }),
        (0u32..6).prop_map(|n| Patch { seats: Some(n), ..Patch::default() }),
        prop::option::of(60u32..600).prop_map(|s| Patch { duration_s: Some(s), ..Patch::default() }),
        prop::option::of(10u32..120).prop_map(|s| Patch { absent_s: Some(s), ..Patch::default() }),
        prop_oneof![3 => Just(WhiteboardPolicy::Everyone), 1 => Just(WhiteboardPolicy::Hosts)]
            .prop_map(|policy| Patch { boards: Some(policy), ..Patch::default() }),
    ]
}

/// The settings that a meeting begins with.
pub fn beginning() -> impl Strategy<Value = Patch> {
    let usual_seats = prop_oneof![2 => Just(100u32), 1 => 1u32..5];
    let absent = prop_oneof![3 => Just(None), 1 => (10u32..120).prop_map(Some)];
    (lobby(), any::<bool>(), usual_seats, absent).prop_map(|(lobby, before_host, seats, absent_s)| Patch {
        lobby: Some(lobby),
        before_host: Some(before_host),
        seats: Some(seats),
        absent_s: Some(absent_s),
        ..Patch::default()
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    let whom = 0..TARGETS;
    let one_or_all = || prop::option::weighted(0.6, 0..TARGETS);
    let whose = prop_oneof![Just(Whose::Own), (0..TARGETS).prop_map(Whose::Of), Just(Whose::All)];
    prop_oneof![
        6 => (any::<bool>(), prop::option::weighted(0.3, 0..TARGETS)).prop_map(|(all, to)| Deed::Leave { all, to }),
        1 => prop_oneof![6 => Just(Deed::Start), 1 => Just(Deed::End), 1 => Just(Deed::Cancel)],
        6 => patch().prop_map(Deed::Update),
        6 => one_or_all().prop_map(Deed::Admit),
        2 => one_or_all().prop_map(Deed::Deny),
        1 => Just(Deed::TellLobby),
        6 => (whom.clone(), role()).prop_map(|(whom, role)| Deed::SetRole(whom, role)),
        2 => whom.clone().prop_map(Deed::Rename),
        1 => one_or_all().prop_map(Deed::Mute),
        1 => (one_or_all(), any::<bool>()).prop_map(|(whom, allowed)| Deed::Permit(whom, allowed)),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(audio, screen)| Deed::Media(audio, screen)),
        5 => (whom.clone(), prop::bool::weighted(0.3)).prop_map(|(whom, ban)| Deed::Remove { whom, ban }),
        4 => whom.clone().prop_map(Deed::ToLobby),
        1 => Just(Deed::List),
        4 => Just(Deed::Raise),
        3 => whose.prop_map(Deed::Lower),
        1 => Just(Deed::React),
        4 => one_or_all().prop_map(Deed::Say),
        2 => any::<u8>().prop_map(Deed::Edit),
        2 => any::<u8>().prop_map(Deed::Delete),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(message, on)| Deed::ReactTo(message, on)),
        1 => Just(Deed::Invite),
        25 => room_deed().prop_map(Deed::Rooms),
        14 => board_deed().prop_map(Deed::Boards),
    ]
}

fn room_deed() -> impl Strategy<Value = RoomDeed> {
    // Few rooms are remembered by a plan, so that numbers meet; the last ones are the present set's.
    let room = || 0..12u8;
    let pairs = |most| prop::collection::vec((0..TARGETS, room()), 0..most);
    let assign = prop_oneof![Just(Assign::Manual), Just(Assign::Automatic), Just(Assign::Themselves)];
    let users = prop::collection::vec((0..USERS, room()), 0..2);
    let duration = prop::option::weighted(0.7, 0u32..200);
    let open = (0..5u8, assign, pairs(3), users, duration, prop_oneof![Just(0u32), Just(10)], any::<bool>());
    let open = open.prop_map(|(rooms, assign, listed, users, duration_s, grace_s, may_return)| RoomDeed::Open {
        rooms,
        assign,
        listed,
        users,
        duration_s,
        grace_s,
        may_return,
    });
    let extend = (prop::option::of(0u32..200), prop::option::of(-5_000i64..100_000));
    let merge = (prop::collection::vec(room(), 0..3), room());
    let close = (prop::option::of(room()), any::<bool>());
    prop_oneof![
        8 => open,
        6 => pairs(4).prop_map(RoomDeed::Move),
        6 => room().prop_map(RoomDeed::Go),
        3 => extend.prop_map(|(by_s, in_ms)| RoomDeed::Extend { by_s, in_ms }),
        2 => Just(RoomDeed::Add),
        1 => room().prop_map(RoomDeed::Rename),
        1 => Just(RoomDeed::Broadcast),
        1 => Just(RoomDeed::Help),
        4 => merge.prop_map(|(from, into)| RoomDeed::Merge { from, into }),
        3 => close.prop_map(|(room, now)| RoomDeed::Close { room, now }),
    ]
}

fn board_deed() -> impl Strategy<Value = BoardDeed> {
    let (room, board, name) = (|| 0..12u8, || 0..8u8, || prop_oneof![1 => Just(0u8), 9 => 1..4u8]);
    let access =
        || prop_oneof![Just(WhiteboardAccess::Everyone), Just(WhiteboardAccess::Hosts), Just(WhiteboardAccess::Nobody)];
    let rarely = || prop::option::weighted(0.3, access());
    let create = (name(), prop::option::weighted(0.5, room()), prop::option::weighted(0.3, board()), rarely());
    let create = create.prop_map(|(name, room, copy_of, access)| BoardDeed::Create { name, room, copy_of, access });
    let update = (board(), prop::option::of(name()), rarely());
    let copy = (board(), prop::option::of(prop::collection::vec(room(), 0..3)));
    prop_oneof![
        6 => create,
        7 => update.prop_map(|(board, name, access)| BoardDeed::Update { board, name, access }),
        2 => board().prop_map(BoardDeed::Delete),
        2 => board().prop_map(BoardDeed::Open),
        3 => copy.prop_map(|(board, rooms)| BoardDeed::Copy { board, rooms }),
        1 => board().prop_map(BoardDeed::Keep),
    ]
}

fn asker() -> impl Strategy<Value = Asker> {
    prop_oneof![
        10 => which().prop_map(Asker::Session),
        2 => Just(Asker::Operator),
        1 => (prop::option::of(0..USERS), role()).prop_map(|(user, role)| Asker::Token { user, role }),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let moments = prop_oneof![4 => 0u64..5_000, 3 => Just(30_000u64), 1 => 30_000u64..130_000, 1 => Just(300_000u64)];
    prop_oneof![
        12 => join(),
        4 => which().prop_map(Step::Lost),
        3 => which().prop_map(Step::Back),
        4 => moments.prop_map(Step::Pass),
        30 => (asker(), deed()).prop_map(|(asker, deed)| Step::Ask(asker, deed)),
        2 => Just(Step::AskAgain),
        1 => Just(Step::JoinAgain),
        1 => prop_oneof![1 => (0..USERS).prop_map(Step::Erase), 2 => Just(Step::Recovered)],
    ]
}

/// Four people are inside, the first a host, and two breakout rooms are open.
pub fn board_scene() -> Vec<Step> {
    let join = |number: u8| {
        let role = if number == 0 { Role::Host } else { Role::Participant };
        Step::Join { user: Some(number), session: number * SESSIONS_OF_USER, role }
    };
    let open = RoomDeed::Open {
        rooms: 2,
        assign: Assign::Themselves,
        listed: vec![(2, 0), (3, 1)],
        users: Vec::new(),
        duration_s: None,
        grace_s: 10,
        may_return: true,
    };
    let opened = Step::Ask(Asker::Operator, Deed::Rooms(open));
    (0..USERS).map(join).chain([opened]).collect()
}

/// Mostly what is done to whiteboards, in few rooms that change.
pub fn board_step() -> impl Strategy<Value = Step> {
    let rooms = || 0..4u8;
    let merge = (prop::collection::vec(rooms(), 1..3), rooms());
    let role = prop_oneof![4 => Just(Role::Participant), 2 => Just(Role::Cohost), 1 => Just(Role::Viewer)];
    let policy = prop_oneof![Just(WhiteboardPolicy::Everyone), Just(WhiteboardPolicy::Hosts)];
    let deed = prop_oneof![
        60 => board_deed().prop_map(Deed::Boards),
        8 => rooms().prop_map(|room| Deed::Rooms(RoomDeed::Go(room))),
        3 => merge.prop_map(|(from, into)| Deed::Rooms(RoomDeed::Merge { from, into })),
        1 => (prop::option::of(rooms()), any::<bool>())
            .prop_map(|(room, now)| Deed::Rooms(RoomDeed::Close { room, now })),
        4 => (0..USERS + 1, role).prop_map(|(whom, role)| Deed::SetRole(whom, role)),
        4 => policy.prop_map(|policy| Deed::Update(Patch { boards: Some(policy), ..Patch::default() })),
        1 => (0..USERS + 1).prop_map(Deed::ToLobby),
        1 => Just(Deed::Leave { all: true, to: None }),
        1 => Just(Deed::End),
    ];
    let asker = prop_oneof![
        8 => any::<u8>().prop_map(|number| Asker::Session(Which::Open(number))),
        4 => any::<u8>().prop_map(|number| Asker::Session(Which::Lead(number))),
        2 => Just(Asker::Operator),
        1 => (0..USERS).prop_map(|user| Asker::Token { user: Some(user), role: Role::Host }),
    ];
    prop_oneof![
        40 => (asker, deed).prop_map(|(asker, deed)| Step::Ask(asker, deed)),
        2 => Just(Step::AskAgain),
        1 => join(),
        1 => (0..USERS).prop_map(Step::Erase),
        1 => Just(Step::Pass(1_000)),
    ]
}
