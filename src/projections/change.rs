//! What an event changes in the read models: pure, so that it can be read and tested by itself.

use convoke_domain::breakout::{Breakout, Move, OpenRooms};
use convoke_domain::caption::Caption;
use convoke_domain::event::{LeaveReason, Recorded};
use convoke_domain::poll::{LivePoll, Poll};
use convoke_domain::question::Question;
use convoke_domain::recording::{Recording, Take};
use convoke_domain::shapes::{Invitation, MeetingInfo, Message, Participant, Room};
use convoke_domain::whiteboard::Whiteboard;
use convoke_domain::{Event, MessageId, Millis, ParticipantId, PollId, RecordingId, RoomId, Seq, UserId, WhiteboardId};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Meeting(Box<MeetingInfo>),
    Known {
        user: UserId,
        participant: ParticipantId,
    },
    /// Whether somebody is a host or cohost from here on.
    Leads {
        participant: ParticipantId,
        leads: bool,
    },
    StayBegins {
        seq: Seq,
        participant: Box<Participant>,
    },
    StayEnds {
        participant: ParticipantId,
        at: Millis,
    },
    /// Users who stand on a list of rooms.
    Listed {
        users: Vec<UserId>,
    },
    /// Whether somebody was sent away and not let in since.
    Out {
        participant: ParticipantId,
        is_out: bool,
    },
    AllStaysEnd {
        at: Millis,
    },
    /// People are in other rooms than before, all at once.
    Moved {
        seq: Seq,
        at: Millis,
        moves: Vec<Move>,
    },
    Renamed {
        participant: Box<Participant>,
    },
    Message {
        seq: Seq,
        message: Box<Message>,
    },
    Reactions {
        message: Box<Message>,
    },
    MessageGone {
        id: MessageId,
    },
    Caption {
        seq: Seq,
        caption: Box<Caption>,
    },
    HandRaised {
        seq: Seq,
        participant: ParticipantId,
    },
    /// A set of rooms takes the place of the one before.
    RoomsOpened {
        rooms: Vec<Room>,
    },
    /// Some rooms of the set are as they are here.
    Rooms {
        rooms: Vec<Room>,
    },
    /// What was said and drawn in these rooms belongs to another, and they are closed.
    Merged {
        from: Vec<RoomId>,
        into: RoomId,
    },
    /// What is left of the set.
    Breakout(Option<Box<Breakout>>),
    AllRoomsClose,
    Question {
        seq: Seq,
        question: Box<Question>,
        answered_by: Option<ParticipantId>,
    },
    Poll {
        seq: Seq,
        poll: Box<Poll>,
    },
    /// Somebody's choices take the place of those before. Whether they may be kept, the poll says.
    Voted {
        poll: PollId,
        voter: Uuid,
        choices: Vec<u32>,
    },
    Invitation(Box<Invitation>),
    Recording(Box<Recording>),
    Take {
        recording: RecordingId,
        take: Box<Take>,
    },
    Consent {
        recording: RecordingId,
        participant: ParticipantId,
        given: bool,
        at: Millis,
    },
    WhiteboardMade {
        at: Millis,
        whiteboard: Box<Whiteboard>,
    },
    WhiteboardChanged {
        at: Millis,
        whiteboard: Box<Whiteboard>,
    },
    WhiteboardGone(WhiteboardId),
    Erased {
        participant: ParticipantId,
    },
}

pub fn changes(recorded: &Recorded) -> Vec<Change> {
    let at = recorded.at;
    match &recorded.event {
        Event::MeetingCreated { meeting, breakout, .. } => {
            [Change::Meeting(Box::new(meeting.clone()))].into_iter().chain(breakout.as_ref().map(listed)).collect()
        }
        Event::BreakoutPlanned { plan, .. } => plan.iter().map(listed).collect(),
        Event::BreakoutAssigned { users, .. } => vec![Change::Listed { users: users.keys().cloned().collect() }],
        Event::MeetingStarted { meeting, .. }
        | Event::MeetingUpdated { meeting, .. }
        | Event::MeetingCancelled { meeting } => vec![Change::Meeting(Box::new(meeting.clone()))],
        Event::MeetingEnded { meeting, .. } => {
            vec![Change::Meeting(Box::new(meeting.clone())), Change::AllStaysEnd { at }, Change::AllRoomsClose]
        }
        Event::SessionOpened { participant, person: Some(person), .. } => match &person.user {
            Some(user) => vec![Change::Known { user: user.clone(), participant: *participant }],
            None => Vec::new(),
        },
        Event::ParticipantJoined { participant } => {
            let begins = Change::StayBegins { seq: recorded.seq, participant: Box::new(participant.clone()) };
            // Whoever comes in is what they were when they left, or is a host again.
            let leads = participant.role.leads().then(|| leads(participant, true));
            [begins].into_iter().chain(leads).collect()
        }
        // A stand-in's role is given back by then; whoever is sent away has no more say.
        Event::ParticipantLeft { participant, reason, .. } => {
            let ends = Change::StayEnds { participant: participant.id, at };
            let is_out = *reason == LeaveReason::ToLobby;
            let out = is_out.then_some(Change::Out { participant: participant.id, is_out });
            [ends, leads(participant, participant.role.leads() && !is_out)].into_iter().chain(out).collect()
        }
        Event::ParticipantRemoved { participant, .. } => {
            let out = Change::Out { participant: participant.id, is_out: true };
            vec![Change::StayEnds { participant: participant.id, at }, leads(participant, false), out]
        }
        // Whoever was sent away comes in by no other door.
        Event::LobbyAdmitted { participant, .. } => vec![Change::Out { participant: *participant, is_out: false }],
        Event::Renamed { participant, .. } => vec![Change::Renamed { participant: Box::new(participant.clone()) }],
        Event::RoleChanged { participant, acting, .. } => {
            let renamed = Change::Renamed { participant: Box::new(participant.clone()) };
            // A stand-in reads as what they were: the meeting may end before they step back.
            let leads = (!acting).then(|| leads(participant, participant.role.leads()));
            [renamed].into_iter().chain(leads).collect()
        }
        Event::ParticipantsMoved { moves, .. } => {
            vec![Change::Moved { seq: recorded.seq, at, moves: moves.clone() }]
        }
        Event::BreakoutOpened { rooms, breakout, .. } => {
            vec![Change::RoomsOpened { rooms: rooms.clone() }, left(Some(breakout))]
        }
        Event::BreakoutChanged { rooms, breakout, .. } => {
            vec![Change::Rooms { rooms: rooms.clone() }, left(Some(breakout))]
        }
        Event::BreakoutMerged { from, into, breakout, .. } => {
            vec![Change::Merged { from: from.clone(), into: *into }, left(breakout.as_ref())]
        }
        Event::BreakoutClosed { rooms, breakout, .. } => {
            vec![Change::Rooms { rooms: rooms.clone() }, left(breakout.as_ref())]
        }
        Event::ChatPosted { message } | Event::ChatEdited { message } | Event::BreakoutBroadcast { message, .. } => {
            vec![Change::Message { seq: recorded.seq, message: Box::new(message.clone()) }]
        }
        Event::ChatReacted { message } => vec![Change::Reactions { message: Box::new(message.clone()) }],
        Event::ChatDeleted { message, .. } => vec![Change::MessageGone { id: message.id }],
        Event::CaptionRecorded { caption } => {
            vec![Change::Caption { seq: recorded.seq, caption: Box::new(caption.clone()) }]
        }
        Event::HandRaised { hand } => vec![Change::HandRaised { seq: recorded.seq, participant: hand.participant }],
        Event::QuestionAsked { question }
        | Event::QuestionVoted { question }
        | Event::QuestionDismissed { question, .. } => vec![asked(recorded.seq, question, None)],
        Event::QuestionAnswered { question, by } => vec![asked(recorded.seq, question, *by)],
        // Nobody has voted yet: that is told to nobody, and shown to those who lead.
        Event::PollOpened { poll, .. } => vec![polled(recorded.seq, LivePoll::new(poll.clone()).shown(true))],
        Event::PollCounted { poll } | Event::PollClosed { poll, .. } => vec![polled(recorded.seq, poll.clone())],
        Event::PollVoted { poll, voter, choices } => {
            vec![Change::Voted { poll: *poll, voter: *voter, choices: choices.clone() }]
        }
        Event::InvitationCreated { invitation } => vec![Change::Invitation(Box::new(invitation.clone()))],
        Event::RecordingChanged { recording, .. } => vec![Change::Recording(Box::new(recording.clone()))],
        Event::TakeChanged { recording, take } => {
            vec![Change::Take { recording: *recording, take: Box::new(take.clone()) }]
        }
        Event::RecordingConsented { recording, participant, given } => {
            vec![Change::Consent { recording: *recording, participant: *participant, given: *given, at }]
        }
        Event::WhiteboardCreated { whiteboard, .. } => {
            vec![Change::WhiteboardMade { at, whiteboard: Box::new(whiteboard.clone()) }]
        }
        Event::WhiteboardUpdated { whiteboard, .. } => {
            vec![Change::WhiteboardChanged { at, whiteboard: Box::new(whiteboard.clone()) }]
        }
        Event::WhiteboardDeleted { whiteboard, .. } => vec![Change::WhiteboardGone(whiteboard.id)],
        Event::PersonErased { participant } => vec![Change::Erased { participant: *participant }],
        _ => Vec::new(),
    }
}

fn listed(plan: &OpenRooms) -> Change {
    Change::Listed { users: plan.rooms.iter().flat_map(|room| room.users.clone()).collect() }
}

fn asked(seq: Seq, question: &Question, answered_by: Option<ParticipantId>) -> Change {
    Change::Question { seq, question: Box::new(question.clone()), answered_by }
}

fn polled(seq: Seq, poll: Poll) -> Change {
    Change::Poll { seq, poll: Box::new(poll) }
}

fn left(breakout: Option<&Breakout>) -> Change {
    Change::Breakout(breakout.map(|breakout| Box::new(breakout.clone())))
}

fn leads(participant: &Participant, leads: bool) -> Change {
    Change::Leads { participant: participant.id, leads }
}
