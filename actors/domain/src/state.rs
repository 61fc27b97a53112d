//! The state of a meeting: everything that the log says, folded up. It is rebuilt from the log or
//! from a snapshot and the log after it, so nothing here may come from anywhere else. The sets
//! that only speed up a question (`inside`, `waiting`, `leads`) are kept by `apply` alone.

use crate::breakout::{BreakoutSet, OpenRooms, PlannedRoom};
use crate::ids::{
    MessageId, Millis, ParticipantId, PollId, QuestionId, RecordingId, RoomId, Seq, SessionId, TenantId, UserId,
    WhiteboardId,
};
use crate::limits::Limits;
use crate::poll::{LivePoll, Poll};
use crate::question::{LiveQuestion, Question};
use crate::recording::{Automatic, LiveRecording};
use crate::rejection::Rejection;
use crate::shapes::{
    Connection, Hand, LobbyEntry, Media, MeetingInfo, Message, Participant, Role, Room, RoomState, Source, Timer,
};
use crate::veil::Veil;
use crate::whiteboard::Whiteboard;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Standing {
    Waiting { since_at: Millis, awaits_host: bool },
    Inside,
    Gone { at: Millis },
    Removed { at: Millis },
}

/// What a host allowed or forbade this person; absent means as the meeting's settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permits {
    pub audio: Option<bool>,
    pub video: Option<bool>,
    pub screen: Option<bool>,
}

impl Permits {
    pub fn of(&mut self, source: Source) -> &mut Option<bool> {
        match source {
            Source::Audio => &mut self.audio,
            Source::Video => &mut self.video,
            Source::Screen => &mut self.screen,
        }
    }
    pub fn says(self, source: Source) -> Option<bool> {
        match source {
            Source::Audio => self.audio,
            Source::Video => self.video,
            Source::Screen => self.screen,
        }
    }
}

/// Open questions that one view shows.
const OPEN_SHOWN_MAX: usize = 200;
/// Rooms of before that are remembered of one person: a captioner may be late.
const ROOMS_BEFORE_MAX: usize = 16;

/// A person the meeting has met, whether inside, waiting or gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub participant: Participant,
    pub standing: Standing,
    /// Came with the role of host: is host again on return.
    pub original_host: bool,
    /// Stands in for an absent host; the role to give back.
    pub acting_from: Option<Role>,
    /// Was let in from the lobby once, so a short absence does not mean waiting again.
    pub admitted: bool,
    /// Was removed or sent back: waits in the lobby whatever the settings say.
    pub must_wait: bool,
    pub banned: bool,
    /// What a host said to this person by name; it holds in every room.
    pub permits: Permits,
    /// What a host said to everybody in the room; it ends with the stay there.
    #[serde(default)]
    pub room_permits: Permits,
    /// What was muted, and not turned on since, with the event that said so.
    #[serde(default)]
    pub mutes: BTreeMap<Source, Seq>,
    /// No replay begins before this: what this person may see changed there.
    pub view_seq: Seq,
    pub sessions: BTreeSet<SessionId>,
    /// The rooms that they were in before, each with the time at which they left it; the latest last.
    #[serde(default)]
    pub rooms_before: Vec<(Millis, RoomId)>,
    /// The identity of somebody without a user.
    pub guest: Option<SessionId>,
}

impl Member {
    pub fn is_inside(&self) -> bool {
        self.standing == Standing::Inside
    }
    pub fn is_waiting(&self) -> bool {
        matches!(self.standing, Standing::Waiting { .. })
    }
    pub fn leads(&self) -> bool {
        self.is_inside() && self.participant.role.leads()
    }
    pub fn is_service(&self) -> bool {
        self.participant.role.is_service()
    }

    /// The room they were in at that time; none, if that is not remembered.
    pub fn room_at(&self, at: Millis) -> Option<RoomId> {
        let is_cut = self.rooms_before.len() >= ROOMS_BEFORE_MAX;
        match self.rooms_before.iter().position(|(until, _)| at < *until) {
            // Since when they were in the oldest that is remembered, nobody knows.
            Some(0) if is_cut => None,
            Some(place) => self.rooms_before.get(place).map(|(_, room)| *room),
            None => Some(self.participant.room),
        }
    }

    /// They are in this room from now on.
    pub fn is_in(&mut self, room: RoomId, at: Millis) {
        if self.participant.room != room {
            self.rooms_before.push((at, self.participant.room));
            if self.rooms_before.len() > ROOMS_BEFORE_MAX {
                self.rooms_before.remove(0);
            }
            self.participant.room = room;
        }
    }
}

/// One device: the numbering of its commands outlives its sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub participant: ParticipantId,
    /// The highest command number that had an effect.
    pub last_id: u64,
    /// The seq that each of the latest effective commands was answered with.
    pub answers: BTreeMap<u64, Seq>,
    /// Since when it has had no socket.
    pub lost_at: Option<Millis>,
    /// Numbers that had an effect, and nobody knows any more which: what was done anonymously is among
    /// them.
    #[serde(default)]
    pub untold: BTreeSet<u64>,
}

impl Session {
    /// A number that had an effect, of which nobody is told where it is.
    pub fn had_effect(&mut self, id: u64, limits: &Limits) {
        self.last_id = self.last_id.max(id);
        if !self.answers.contains_key(&id) {
            self.untold.insert(id);
        }
        while self.untold.len() > limits.answers_kept_max {
            self.untold.pop_first();
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveMessage {
    pub message: Message,
    /// Who reacted how; clients see the counts only.
    pub reactors: BTreeMap<String, BTreeSet<ParticipantId>>,
    /// When the counts were last told.
    pub counted_at: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    pub tenant: TenantId,
    pub info: MeetingInfo,
    pub seq: Seq,
    /// The last event's time; the meeting's clock never runs backwards.
    pub at: Millis,
    pub members: BTreeMap<ParticipantId, Member>,
    pub users: BTreeMap<UserId, ParticipantId>,
    pub guests: BTreeMap<SessionId, ParticipantId>,
    pub sessions: BTreeMap<SessionId, Session>,
    /// Sessions that ended by losing their socket, oldest first: numbering goes on if they return.
    pub closed: Vec<(SessionId, Session)>,
    /// Sessions without a socket, with the time they lost it.
    pub lost: BTreeMap<SessionId, Millis>,
    pub inside: BTreeSet<ParticipantId>,
    pub waiting: BTreeSet<ParticipantId>,
    pub leads: BTreeSet<ParticipantId>,
    /// People gone or removed, in the order they went.
    pub gone: Vec<ParticipantId>,
    pub rooms: BTreeMap<RoomId, Room>,
    /// Raised hands, in the order they were raised.
    pub hands: Vec<Hand>,
    pub messages: BTreeMap<MessageId, LiveMessage>,
    /// Messages, questions and polls whose counts changed and are not told yet, with the time they are due.
    pub counts_due: BTreeMap<Uuid, Millis>,
    #[serde(default)]
    pub questions: BTreeMap<QuestionId, LiveQuestion>,
    #[serde(default)]
    pub polls: BTreeMap<PollId, LivePoll>,
    /// The anonymous polls and questions that are open, with the keys of their pseudonyms.
    #[serde(default)]
    pub veils: BTreeMap<Uuid, Veil>,
    #[serde(default)]
    pub timer: Option<Timer>,
    /// Who is to be seen first, in that order.
    #[serde(default)]
    pub spotlight: Vec<ParticipantId>,
    /// Who asked to share their screen and was not answered, in that order.
    #[serde(default)]
    pub screen_requests: Vec<ParticipantId>,
    /// Since when nobody has been inside a live meeting.
    pub empty_since: Option<Millis>,
    /// Since when a live meeting that had a host or cohost has had none.
    pub leaderless_since: Option<Millis>,
    pub invitations: u32,
    /// The latest requests of backends that had an effect, oldest first.
    #[serde(default)]
    pub requests: Vec<Uuid>,
    /// The present set of breakout rooms.
    #[serde(default)]
    pub breakout: Option<BreakoutSet>,
    /// What was stored beforehand for a set to come.
    #[serde(default)]
    pub breakout_plan: Option<OpenRooms>,
    /// Where what belonged to a room that was merged belongs now.
    #[serde(default)]
    pub merged_into: BTreeMap<RoomId, RoomId>,
    /// The set before, to be used again.
    #[serde(default)]
    pub last_layout: Vec<PlannedRoom>,
    #[serde(default)]
    pub recordings: BTreeMap<RecordingId, LiveRecording>,
    /// Recordings that something is still to come of.
    #[serde(default)]
    pub unfinished: BTreeSet<RecordingId>,
    /// Recordings that people are asked for their consent to.
    #[serde(default)]
    pub asking: BTreeSet<RecordingId>,
    /// How automatic recordings of rooms fared.
    #[serde(default)]
    pub automatic: BTreeMap<RoomId, Automatic>,
    #[serde(default)]
    pub whiteboards: BTreeMap<WhiteboardId, Whiteboard>,
    /// How often a room's media was begun anew, to shut somebody out.
    #[serde(default)]
    pub generations: BTreeMap<RoomId, u32>,
}

impl Meeting {
    pub fn member(&self, id: ParticipantId) -> Option<&Member> {
        self.members.get(&id)
    }

    pub fn session_member(&self, session: SessionId) -> Option<&Member> {
        self.members.get(&self.sessions.get(&session)?.participant)
    }

    /// The member that a user, or for guests a session, stands for.
    pub fn find(&self, user: Option<&UserId>, session: SessionId) -> Option<&Member> {
        let id = match user {
            Some(user) => self.users.get(user)?,
            None => self.guests.get(&session)?,
        };
        self.members.get(id)
    }

    /// People inside, services not counted.
    pub fn people_inside(&self) -> usize {
        self.people().count()
    }

    pub fn people(&self) -> impl Iterator<Item = &Member> {
        self.inside.iter().filter_map(|id| self.members.get(id)).filter(|m| !m.is_service())
    }

    pub fn has_host(&self) -> bool {
        self.leads.iter().filter_map(|id| self.members.get(id)).any(|m| m.participant.role == Role::Host)
    }

    /// Whether somebody has a socket here, so that the meeting must be woken if its owner dies.
    pub fn is_attended(&self) -> bool {
        self.sessions.len() > self.lost.len()
    }

    pub fn lobby(&self) -> Vec<LobbyEntry> {
        let mut entries: Vec<LobbyEntry> = self
            .waiting
            .iter()
            .filter_map(|id| self.members.get(id))
            .filter_map(|m| match m.standing {
                Standing::Waiting { since_at, .. } => Some(entry_of(m, since_at)),
                _ => None,
            })
            .collect();
        entries.sort_by_key(|e| (e.since_at, e.participant));
        entries
    }

    /// The latest messages that this person may read in their present room, oldest first.
    pub fn readable_messages(&self, member: &Member, most: usize) -> Vec<&Message> {
        let mut found: Vec<&Message> = self
            .messages
            .values()
            .rev()
            .map(|live| &live.message)
            .filter(|message| message.is_readable_by(member))
            .take(most)
            .collect();
        found.reverse();
        found
    }

    pub fn inside_of(&self, room: RoomId) -> Vec<ParticipantId> {
        self.in_room(&self.inside, room)
    }

    pub fn leads_of(&self, room: RoomId) -> Vec<ParticipantId> {
        self.in_room(&self.leads, room)
    }

    fn in_room(&self, people: &BTreeSet<ParticipantId>, room: RoomId) -> Vec<ParticipantId> {
        let is_there = |id: &&ParticipantId| self.members.get(id).is_some_and(|m| m.participant.room == room);
        people.iter().filter(is_there).copied().collect()
    }

    pub fn hands_in(&self, room: RoomId) -> Vec<Hand> {
        let in_room = |hand: &&Hand| self.members.get(&hand.participant).is_some_and(|m| m.participant.room == room);
        self.hands.iter().filter(in_room).copied().collect()
    }

    /// The questions of a room that are open, and the latest that are not: those with the most votes
    /// first, then the earlier ones.
    pub fn questions_in(&self, room: RoomId, leads: bool, settled_most: usize) -> Vec<Question> {
        let here = || self.questions.values().filter(|live| self.is_shown_in(live.question.room, room, leads));
        let mut settled: Vec<&LiveQuestion> = here().filter(|live| !live.is_open()).collect();
        settled.sort_by_key(|live| std::cmp::Reverse(live.asked));
        settled.truncate(settled_most);
        let in_order = |live: &&LiveQuestion| (std::cmp::Reverse(live.votes), live.asked);
        let mut found: Vec<&LiveQuestion> = here().filter(|live| live.is_open()).collect();
        found.sort_by_key(in_order);
        // Merges may bring more together than a room can be asked.
        found.truncate(OPEN_SHOWN_MAX);
        found.extend(settled);
        found.sort_by_key(in_order);
        found.into_iter().map(LiveQuestion::counted).collect()
    }

    /// The polls of a room that are open, and the latest that are closed, in the order they were opened.
    pub fn polls_in(&self, room: RoomId, leads: bool, closed_most: usize) -> Vec<Poll> {
        let here = || self.polls.values().filter(|live| self.is_shown_in(live.poll.room, room, leads));
        let closed = here().filter(|live| !live.is_open()).count();
        let mut skip = closed.saturating_sub(closed_most);
        let is_shown = |live: &&LivePoll| {
            live.is_open() || {
                let is_skipped = skip > 0;
                skip = skip.saturating_sub(1);
                !is_skipped
            }
        };
        here().filter(is_shown).map(|live| live.shown(leads)).collect()
    }

    /// Whether what belongs to a room is shown in another: there, and in the main room to those who lead,
    /// when it is closed and nobody can go there any more.
    fn is_shown_in(&self, of: RoomId, room: RoomId, leads: bool) -> bool {
        let is_closed = || self.rooms.get(&of).is_none_or(|room| room.state == RoomState::Closed);
        of == room || (leads && room == RoomId::Main && is_closed())
    }

    /// As whom somebody takes part in a poll or stands behind a question: themselves, or a pseudonym.
    pub fn known_as(&self, of: Uuid, participant: ParticipantId) -> Uuid {
        self.veils.get(&of).map_or(participant.0, |veil| veil.pseudonym(participant))
    }

    /// What came of a number that a session has taken: the seq of its last event, if that may be told.
    pub fn outcome_of(&self, session: SessionId, id: u64, limits: &Limits) -> Result<Option<Seq>, Rejection> {
        let nothing = || Rejection::unavailable("this command had no effect; send it as a new one");
        let known = self.sessions.get(&session).ok_or_else(nothing)?;
        if let Some(seq) = known.answers.get(&id) {
            return Ok(Some(*seq));
        }
        let is_veiled = |veil: &Veil| veil.taken.get(&session).is_some_and(|taken| taken.contains(&id));
        if known.untold.contains(&id) || self.veils.values().any(is_veiled) {
            return Ok(None);
        }
        // What may be in flight is kept; of what is older nobody knows any more.
        let kept = u64::try_from(limits.answers_kept_max).unwrap_or(u64::MAX);
        if id <= known.last_id.saturating_sub(kept) {
            return Err(Rejection::bad_request("this number is too old to be answered again"));
        }
        Err(nothing())
    }

    /// The latest numbers of each session that had an effect, in runs; of all alike, whether or not they
    /// took some under a veil.
    pub fn numbers(&self, limits: &Limits) -> BTreeMap<SessionId, Vec<(u64, u64)>> {
        let is_gone = |id: &SessionId| !self.sessions.contains_key(id);
        let closed = self.closed.iter().map(|(id, session)| (id, session)).filter(|(id, _)| is_gone(id));
        let all = self.sessions.iter().chain(closed).filter(|(_, session)| session.last_id > 0);
        let runs = |(id, session): (&SessionId, &Session)| {
            let veiled = self.veils.values().filter_map(|veil| veil.taken.get(id)).flatten();
            let numbers: BTreeSet<u64> = session.answers.keys().chain(&session.untold).chain(veiled).copied().collect();
            let mut runs: Vec<(u64, u64)> = Vec::new();
            for number in numbers.into_iter().rev().take(limits.answers_kept_max) {
                match runs.last_mut() {
                    Some((first, _)) if *first == number.saturating_add(1) => *first = number,
                    _ => runs.push((number, number)),
                }
            }
            (*id, runs)
        };
        all.map(runs).collect()
    }

    /// What this person may publish just now.
    pub fn may_publish_all(&self, member: &Member) -> Media {
        if self.is_withheld(member) {
            return Media::default();
        }
        let may = |source| self.is_allowed(member, source);
        Media { audio: may(Source::Audio), video: may(Source::Video), screen: may(Source::Screen) }
    }

    /// Recordings that something is still to come of.
    pub fn unfinished(&self) -> impl Iterator<Item = &LiveRecording> {
        self.unfinished.iter().filter_map(|id| self.recordings.get(id))
    }

    /// Whether the room they are in is recorded, and their consent is missing.
    pub fn is_withheld(&self, member: &Member) -> bool {
        let Participant { id, room, .. } = member.participant;
        let asking = || self.asking.iter().filter_map(|id| self.recordings.get(id));
        !member.is_service() && asking().any(|live| live.recording.room == room && live.withholds(id))
    }

    /// Recordings of which the recorder may still have something to say.
    pub fn open_recordings(&self) -> impl Iterator<Item = &LiveRecording> {
        self.recordings.values().filter(|live| live.is_open())
    }

    pub fn generation(&self, room: RoomId) -> u32 {
        self.generations.get(&room).copied().unwrap_or_default()
    }

    /// Whether so many people are in the room, services not counted.
    pub fn counts_at_least(&self, room: RoomId, people: u32) -> bool {
        let there = self.people().filter(|member| member.participant.room == room);
        let people = usize::try_from(people).unwrap_or(usize::MAX);
        there.take(people).count() == people
    }

    /// Whether somebody has a socket here, or something goes on that has to be looked after.
    pub fn is_busy(&self) -> bool {
        self.is_attended() || !self.unfinished.is_empty()
    }

    /// Whether this person may publish from this source just now.
    pub fn may_publish(&self, member: &Member, source: Source) -> bool {
        !self.is_withheld(member) && self.is_allowed(member, source)
    }

    /// What the roles, the settings and the hosts' words say, whatever is recorded.
    fn is_allowed(&self, member: &Member, source: Source) -> bool {
        if member.participant.role.leads() {
            return true;
        }
        if member.participant.role == Role::Viewer {
            return false;
        }
        let in_breakout = member.participant.room != RoomId::Main;
        let general = match source {
            // In a breakout room people talk, however the main room is kept.
            Source::Audio => self.info.settings.allow_unmute || in_breakout,
            Source::Video => true,
            Source::Screen => self.info.settings.allow_screen_share,
        };
        member.permits.says(source).or(member.room_permits.says(source)).unwrap_or(general)
    }
}

impl Message {
    pub fn is_readable_by(&self, member: &Member) -> bool {
        let id = member.participant.id;
        match self.to {
            crate::ids::To::Everyone => true,
            crate::ids::To::Room => self.room == member.participant.room,
            crate::ids::To::Participant(to) => self.from == Some(id) || to == id,
        }
    }
}

pub fn entry_of(member: &Member, since_at: Millis) -> LobbyEntry {
    LobbyEntry {
        participant: member.participant.id,
        name: member.participant.name.clone(),
        user: member.participant.user.clone(),
        since_at,
    }
}

/// A person as they are first written down, before they are inside or waiting.
pub fn new_member(
    id: ParticipantId,
    name: String,
    user: Option<UserId>,
    role: Role,
    at: Millis,
    guest: Option<SessionId>,
) -> Member {
    Member {
        participant: Participant {
            id,
            user,
            name,
            role,
            room: RoomId::Main,
            state: Connection::Connected,
            joined_at: at,
            media: Media::default(),
            hand_at: None,
        },
        standing: Standing::Gone { at },
        original_host: role == Role::Host,
        acting_from: None,
        admitted: false,
        must_wait: false,
        banned: false,
        permits: Permits::default(),
        room_permits: Permits::default(),
        mutes: BTreeMap::new(),
        view_seq: Seq(0),
        sessions: BTreeSet::new(),
        rooms_before: Vec::new(),
        guest,
    }
}
