//! What clients are shown of a meeting, as JSON: snapshots, views, pages of the roster. The first
//! page of the roster is kept encoded, because a thousand people who join at once all get it.

use super::rooms::media_room;
use crate::frame;
use crate::ports::{Doors, Media, MediaRequest, MeetingKey, Ticket};
use convoke_domain::breakout::{Breakout, Help};
use convoke_domain::poll::LivePoll;
use convoke_domain::question::LiveQuestion;
use convoke_domain::recording::{LiveRecording, Recording};
use convoke_domain::shapes::{LobbyEntry, Media as Publishing, Message, Participant, Room, Timer};
use convoke_domain::state::Member;
use convoke_domain::whiteboard::Whiteboard;
use convoke_domain::{
    Meeting, Millis, ParticipantId, PollId, QuestionId, RecordingId, RoomId, Seq, SessionId, To, rights,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// People on one page of the roster.
pub const PAGE: usize = 200;
/// The latest messages in a view.
const MESSAGES: usize = 50;
/// The latest questions in a view that are not open any more; and polls.
const SETTLED: usize = 20;

#[derive(Serialize)]
struct Myself<'a> {
    participant: &'a Participant,
    session: SessionId,
    permissions: Vec<&'static str>,
    /// What they said to being recorded, by recording, of those that are not over.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    consents: BTreeMap<RecordingId, bool>,
}

#[derive(Serialize)]
struct MediaState {
    participant: ParticipantId,
    media: Publishing,
}

#[derive(Serialize)]
struct ShownBreakout<'a> {
    #[serde(flatten)]
    set: &'a Breakout,
    /// For hosts and cohosts: who waits for one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a [Help]>,
}

#[derive(Serialize)]
struct View<'a> {
    room: RoomId,
    hands: &'a RawValue,
    messages: &'a RawValue,
    questions: &'a RawValue,
    polls: &'a RawValue,
    whiteboards: Vec<&'a Whiteboard>,
    /// What this person chose in polls that are open, and the open questions that they are for.
    votes: BTreeMap<PollId, &'a [u32]>,
    upvotes: Vec<QuestionId>,
    /// What people in the room publish; whoever is not listed, nothing.
    states: &'a RawValue,
    media: &'a RawValue,
}

#[derive(Serialize)]
struct Snapshot<'a> {
    server_at: Millis,
    seq: Seq,
    last_id: u64,
    resume_token: String,
    meeting: &'a convoke_domain::shapes::MeetingInfo,
    #[serde(rename = "self")]
    myself: Myself<'a>,
    participants: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    participants_next: Option<ParticipantId>,
    rooms: Vec<&'a Room>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lobby: Option<Vec<LobbyEntry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breakout: Option<ShownBreakout<'a>>,
    view: View<'a>,
    /// Those that something is still to come of, and the latest of the others.
    recordings: Vec<&'a Recording>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timer: Option<&'a Timer>,
    /// Who is to be seen first, in that order.
    spotlight: &'a [ParticipantId],
    /// For hosts and cohosts: who would like to share their screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    screen_requests: Option<&'a [ParticipantId]>,
}

#[derive(Serialize)]
struct Entered<'a> {
    #[serde(rename = "self")]
    myself: Myself<'a>,
    /// For whoever became a host or cohost: calls for help stand in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    breakout: Option<ShownBreakout<'a>>,
    view: View<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lobby: Option<Vec<LobbyEntry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    screen_requests: Option<&'a [ParticipantId]>,
}

/// The first page of the roster, encoded, until somebody on it changes.
#[derive(Default)]
pub struct Roster {
    first: Option<FirstPage>,
}

struct FirstPage {
    json: Box<RawValue>,
    next: Option<ParticipantId>,
    last: Option<ParticipantId>,
}

impl Roster {
    /// Somebody changed: the page is made anew if it shows them or has room for them.
    pub fn changed(&mut self, who: ParticipantId) {
        if self.first.as_ref().is_some_and(|page| page.next.is_none() || page.last.is_none_or(|last| who <= last)) {
            self.first = None;
        }
    }

    pub fn clear(&mut self) {
        self.first = None;
    }

    fn first(&mut self, state: &Meeting) -> &FirstPage {
        self.first.get_or_insert_with(|| {
            let (people, next) = page(state, None);
            let last = people.last().map(|p| p.id);
            FirstPage { json: raw(&people), next, last }
        })
    }
}

/// What everybody in a room is shown of it, encoded, as long as nothing happens: many who enter at
/// once are shown the same.
#[derive(Default)]
pub struct Views {
    at: Seq,
    /// By room, and by whether one leads.
    rooms: BTreeMap<(RoomId, bool), SharedView>,
    /// Whoever wrote or was written to in private is shown more than that.
    whispering: BTreeSet<ParticipantId>,
}

struct RoomView {
    messages: Arc<RawValue>,
    shared: SharedView,
}

#[derive(Clone)]
struct SharedView {
    hands: Arc<RawValue>,
    /// For whoever neither wrote nor was written to in private.
    messages: Option<Arc<RawValue>>,
    questions: Arc<RawValue>,
    polls: Arc<RawValue>,
    states: Arc<RawValue>,
}

impl Views {
    fn of(&mut self, state: &Meeting, member: &Member) -> RoomView {
        if self.at != state.seq {
            let private = |message: &Message| match message.to {
                To::Participant(to) => [message.from, Some(to)],
                To::Room | To::Everyone => [None, None],
            };
            let whispering = state.messages.values().flat_map(|live| private(&live.message)).flatten();
            *self = Self { at: state.seq, rooms: BTreeMap::new(), whispering: whispering.collect() };
        }
        let (room, leads) = (member.participant.room, member.leads());
        let messages = || raw(&state.readable_messages(member, MESSAGES)).into();
        let whispers = self.whispering.contains(&member.participant.id);
        let shared = self.rooms.entry((room, leads)).or_insert_with(|| SharedView {
            hands: raw(&state.hands_in(room)).into(),
            messages: None,
            questions: raw(&state.questions_in(room, leads, SETTLED)).into(),
            polls: raw(&state.polls_in(room, leads, SETTLED)).into(),
            states: states(state, room),
        });
        let messages = match whispers {
            true => messages(),
            false => Arc::clone(shared.messages.get_or_insert_with(messages)),
        };
        RoomView { messages, shared: shared.clone() }
    }
}

fn recordings(state: &Meeting) -> Vec<&Recording> {
    let over = state.recordings.values().rev().filter(|live| live.is_over()).take(SETTLED);
    let mut shown: Vec<&Recording> = state.unfinished().chain(over).map(|live| &live.recording).collect();
    shown.sort_by_key(|recording| recording.id);
    shown
}

/// What people in the room publish.
fn states(state: &Meeting, room: RoomId) -> Arc<RawValue> {
    let is_publishing = |p: &&Participant| p.room == room && p.media != Publishing::default();
    let people = state.people().map(|member| &member.participant).filter(is_publishing);
    let states: Vec<MediaState> = people.map(|p| MediaState { participant: p.id, media: p.media }).collect();
    raw(&states).into()
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_default()
}

fn page(state: &Meeting, after: Option<ParticipantId>) -> (Vec<&Participant>, Option<ParticipantId>) {
    use std::ops::Bound;
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut people: Vec<&Participant> = state
        .inside
        .range((start, Bound::Unbounded))
        .filter_map(|id| state.member(*id))
        .filter(|member| !member.is_service())
        .map(|member| &member.participant)
        .take(PAGE.saturating_add(1))
        .collect();
    let more = people.len() > PAGE;
    people.truncate(PAGE);
    let next = if more { people.last().map(|p| p.id) } else { None };
    (people, next)
}

/// Where a snapshot comes from.
pub struct Shown<'a> {
    pub key: &'a MeetingKey,
    pub state: &'a Meeting,
    pub member: &'a Member,
    pub session: SessionId,
    pub doors: &'a dyn Doors,
    pub media: &'a dyn Media,
}

impl<'a> Shown<'a> {
    pub fn resume_token(&self) -> String {
        let participant = self.member.participant.id;
        self.doors.resume_token(&Ticket { key: self.key.clone(), session: self.session, participant })
    }

    pub fn credentials(&self) -> Box<RawValue> {
        let request = MediaRequest {
            room: media_room(self.state, self.key, self.member.participant.room),
            participant: self.member.participant.id,
            session: self.session,
            name: self.member.participant.name.clone(),
            role: self.member.participant.role,
            may: self.state.may_publish_all(self.member),
        };
        RawValue::from_string(self.media.credentials(&request)).unwrap_or_default()
    }

    fn myself(&self) -> Myself<'a> {
        Myself {
            participant: &self.member.participant,
            session: self.session,
            permissions: rights::of(self.member.participant.role),
            consents: self.consents(),
        }
    }

    fn consents(&self) -> BTreeMap<RecordingId, bool> {
        let said = |live: &LiveRecording| Some((live.recording.id, *live.consents.get(&self.member.participant.id)?));
        self.state.unfinished().filter_map(said).collect()
    }

    fn view<'b>(&'b self, view: &'b RoomView, media: &'b RawValue) -> View<'b> {
        let RoomView { messages, shared } = view;
        let (room, own) = (self.member.participant.room, self.member.participant.id);
        let polls = self.state.polls.values().filter(|live| live.is_open() && live.poll.room == room);
        let choices = |live: &'b LivePoll| {
            let voter = self.state.known_as(live.poll.id.0, own);
            Some((live.poll.id, live.votes.get(&voter)?.as_slice()))
        };
        let questions = self.state.questions.values().filter(|live| live.is_open() && live.question.room == room);
        let is_for = |live: &&LiveQuestion| live.voters.contains(&self.state.known_as(live.question.id.0, own));
        View {
            room,
            hands: &shared.hands,
            messages,
            questions: &shared.questions,
            polls: &shared.polls,
            whiteboards: self.state.whiteboards_for(self.member).collect(),
            votes: polls.filter_map(choices).collect(),
            upvotes: questions.filter(is_for).map(|live| live.question.id).collect(),
            states: &shared.states,
            media,
        }
    }

    fn screen_requests(&self) -> Option<&'a [ParticipantId]> {
        self.member.leads().then_some(self.state.screen_requests.as_slice())
    }

    fn breakout(&self) -> Option<ShownBreakout<'a>> {
        let set = self.state.breakout.as_ref()?;
        Some(ShownBreakout { set: &set.shown, help: self.member.leads().then_some(set.help.as_slice()) })
    }

    fn lobby(&self) -> Option<Vec<LobbyEntry>> {
        self.member.leads().then(|| self.state.lobby())
    }

    pub fn snapshot(&self, roster: &mut Roster, views: &mut Views, server_at: Millis, last_id: u64) -> String {
        let media = self.credentials();
        let shared = views.of(self.state, self.member);
        let first = roster.first(self.state);
        frame::json(&Snapshot {
            server_at,
            seq: self.state.seq,
            last_id,
            resume_token: self.resume_token(),
            meeting: &self.state.info,
            myself: self.myself(),
            participants: &first.json,
            participants_next: first.next,
            rooms: self.state.rooms.values().collect(),
            lobby: self.lobby(),
            breakout: self.breakout(),
            view: self.view(&shared, &media),
            recordings: recordings(self.state),
            timer: self.state.timer.as_ref(),
            spotlight: &self.state.spotlight,
            screen_requests: self.screen_requests(),
        })
    }

    pub fn entered(&self, views: &mut Views) -> String {
        let media = self.credentials();
        let shared = views.of(self.state, self.member);
        let breakout = self.breakout().filter(|_| self.member.leads());
        let (view, lobby) = (self.view(&shared, &media), self.lobby());
        let screen_requests = self.screen_requests();
        frame::json(&Entered { myself: self.myself(), breakout, view, lobby, screen_requests })
    }

    pub fn waiting(&self, last_id: u64) -> String {
        let token = self.resume_token();
        format!(r#"{{"waiting":true,"last_id":{last_id},"resume_token":{}}}"#, frame::json(&token))
    }

    pub fn resumed(&self, last_id: u64) -> String {
        let media = self.credentials();
        format!(r#"{{"resumed":true,"last_id":{last_id},"media":{}}}"#, media.get())
    }
}

/// A page of the roster after somebody, as an answer.
pub fn roster_page(state: &Meeting, after: Option<ParticipantId>) -> String {
    #[derive(Serialize)]
    struct Page<'a> {
        participants: Vec<&'a Participant>,
        #[serde(skip_serializing_if = "Option::is_none")]
        participants_next: Option<ParticipantId>,
    }
    let (participants, participants_next) = page(state, after);
    frame::json(&Page { participants, participants_next })
}
