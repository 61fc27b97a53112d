//! What may happen to a meeting, as data: a plan is a list of steps, drawn at random and printed
//! in full when it fails. People and sessions are named by small numbers, so that steps meet: a
//! step's number means one of those there are at that time, wherever there are any.

use convoke_domain::shapes::{LobbyPolicy, Role};
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
