//! The decisions, one file a concern. Each checks everything first and then emits; the table of
//! `rights` is asked here, once, for every command.

pub mod attention;
pub mod breakout;
pub mod captions;
pub mod chat;
pub mod hands;
pub mod lifecycle;
pub mod lobby;
pub mod moderation;
pub mod polls;
pub mod presence;
pub mod questions;
pub mod recordings;
pub mod roles;
pub mod whiteboards;

use crate::command::{Command, Input};
use crate::effect::{CloseCode, Signal};
use crate::event::Event;
use crate::ids::{Millis, RoomId, SessionId};
use crate::limits::Limits;
use crate::rejection::Rejection;
use crate::rights;
use crate::shapes::Participant;
use crate::state::Meeting;
use crate::turn::{Caller, Reply, Turn};

pub fn decide(turn: &mut Turn<'_>, input: Input) -> Result<Reply, Rejection> {
    match input {
        Input::Create(_) => Err(Rejection::conflict("the meeting exists already")),
        Input::Join(join) => presence::join(turn, join),
        Input::SessionLost(session) => presence::lost(turn, session),
        Input::SessionBack(session) => presence::back(turn, session),
        Input::Refused { rejection } => Err(rejection),
        Input::Recovered => lifecycle::recovered(turn),
        Input::Seen(seen) => recordings::observe(turn, seen),
        Input::Erase(user) => moderation::erase(turn, &user),
        Input::Tick => Ok(Reply::Done),
        Input::Once { request, .. } if turn.state.requests.contains(&request) => Ok(Reply::Done),
        Input::Command { by, command } | Input::Once { by, command, .. } => {
            if turn.state.info.status.is_over() && !outlives_meeting(&command) {
                let over = Rejection::wrong_state("the meeting is over").closing(CloseCode::MeetingEnded);
                return Err(over);
            }
            if let crate::command::By::Session { session, id } = &by
                && let Some(answer) = answered(turn, *session, *id)
            {
                return answer;
            }
            let caller = turn.caller(&by)?;
            let action = action_of(&command);
            if !rights::may(caller.role, action) {
                return Err(Rejection::not_permitted(format!("a {} may not {action}", caller.role.as_str())));
            }
            command_of(turn, &by, &caller, command)
        }
    }
}

/// What can be done when the meeting is over.
fn outlives_meeting(command: &Command) -> bool {
    matches!(command, Command::DeleteMessage { .. } | Command::DeleteWhiteboard { .. })
}

/// The answer to a number that was taken before: it has no second effect, whoever lets it through.
fn answered(turn: &Turn<'_>, session: crate::ids::SessionId, id: u64) -> Option<Result<Reply, Rejection>> {
    let known = turn.state.sessions.get(&session)?;
    if known.last_id == 0 || id > known.last_id {
        return None;
    }
    Some(turn.state.outcome_of(session, id, turn.limits).map(|_| Reply::Done))
}

fn command_of(
    turn: &mut Turn<'_>,
    by: &crate::command::By,
    caller: &Caller,
    command: Command,
) -> Result<Reply, Rejection> {
    if let Command::Leave { all, transfer_to } = command {
        return presence::leave(turn, by, caller, all, transfer_to);
    }
    if !caller.is_inside && (must_wait(turn, caller) || !may_from_outside(&command)) {
        return Err(Rejection::wrong_state("you are not in the meeting"));
    }
    match command {
        Command::Leave { .. } => Ok(Reply::Done),
        Command::StartMeeting(_) => lifecycle::start(turn, caller),
        Command::EndMeeting(_) => lifecycle::end_by(turn, caller),
        Command::CancelMeeting => lifecycle::cancel(turn),
        Command::UpdateMeeting { title, settings, scheduled_at } => {
            lifecycle::update(turn, caller, title, settings, scheduled_at)
        }
        Command::AdmitGuest(whom) => lobby::admit(turn, caller, &whom),
        Command::DenyGuest(whom) => lobby::deny(turn, caller, &whom),
        Command::MessageLobby { text } => lobby::message(turn, caller, text),
        Command::SetRole { participant, role } => roles::set(turn, caller, participant, role),
        Command::Rename { participant, name } => moderation::rename(turn, caller, participant, &name),
        Command::Mute { whom, source } => moderation::mute(turn, caller, &whom, source),
        Command::Permit { whom, source, allowed } => moderation::permit(turn, caller, &whom, source, allowed),
        Command::SetMedia { audio, video, screen } => moderation::set_media(turn, caller, audio, video, screen),
        Command::SetQuality { quality } => moderation::set_quality(turn, caller, quality),
        Command::Remove { participant, ban } => moderation::remove(turn, caller, participant, ban),
        Command::SendToLobby(one) => lobby::send_back(turn, caller, one.participant),
        Command::ListParticipants { cursor } => Ok(Reply::Roster { after: cursor }),
        Command::RaiseHand(_) => hands::raise(turn, caller),
        Command::LowerHand(whom) => hands::lower(turn, caller, &whom),
        Command::React { emoji } => hands::react(turn, caller, emoji),
        Command::PostMessage { to, text, reply_to } => chat::post(turn, caller, to, text, reply_to),
        Command::EditMessage { message, text } => chat::edit(turn, caller, message, text),
        Command::DeleteMessage { message } => chat::delete(turn, caller, message),
        Command::ReactToMessage { message, emoji, on } => chat::react(turn, caller, message, emoji, on),
        Command::AskQuestion { text, anonymous } => questions::ask(turn, caller, &text, anonymous),
        Command::VoteForQuestion { question, up } => questions::vote(turn, caller, question, up),
        Command::AnswerQuestion { question, text, live } => questions::answer(turn, caller, question, text, live),
        Command::DismissQuestion { question } => questions::dismiss(turn, caller, question),
        Command::OpenPoll(wanted) => polls::open(turn, caller, wanted),
        Command::Vote { poll, choices } => polls::vote(turn, caller, poll, choices),
        Command::ClosePoll { poll } => polls::close(turn, caller, poll),
        Command::StartTimer { duration_s, title } => attention::start_timer(turn, caller, duration_s, title),
        Command::StopTimer(_) => attention::stop_timer(turn, caller),
        Command::SetSpotlight { participants } => attention::spotlight(turn, caller, participants),
        Command::RequestScreen(_) => attention::ask_for_screen(turn, caller),
        Command::PublishCaption(caption) => captions::publish(turn, caller, caption),
        Command::PlanBreakout(plan) => breakout::open::plan(turn, caller, plan),
        Command::OpenBreakout(wanted) => breakout::open::open(turn, caller, wanted),
        Command::MovePeople { moves } => breakout::moving::move_people(turn, caller, &moves),
        Command::JoinRoom { room } => breakout::moving::join(turn, caller, room),
        Command::ExtendBreakout { by_s, ends_at } => breakout::closing::extend(turn, caller, by_s, ends_at),
        Command::AddRoom { name } => breakout::open::add(turn, caller, &name),
        Command::RenameRoom { room, name } => breakout::open::rename(turn, caller, room, &name),
        Command::Broadcast { text } => breakout::broadcast(turn, caller, &text),
        Command::RequestHelp(_) => breakout::help(turn, caller),
        Command::MergeRooms { from, into } => breakout::moving::merge(turn, caller, from, into),
        Command::CloseRooms { room, now } => breakout::closing::close(turn, caller, room, now),
        Command::StartRecording(wanted) => recordings::start(turn, caller, wanted),
        Command::StopRecording { recording } => recordings::stop(turn, caller, recording),
        Command::ConsentToRecording { recording, given } => recordings::consent(turn, caller, recording, given),
        Command::CreateWhiteboard(wanted) => whiteboards::create(turn, caller, wanted),
        Command::UpdateWhiteboard { whiteboard, name, access } => {
            whiteboards::update(turn, caller, whiteboard, name.as_deref(), access)
        }
        Command::DeleteWhiteboard { whiteboard } => whiteboards::delete(turn, caller, whiteboard),
        Command::OpenWhiteboard { whiteboard } => whiteboards::open(turn, caller, whiteboard),
        Command::CopyWhiteboard { whiteboard, rooms } => whiteboards::copy(turn, caller, whiteboard, rooms),
        Command::KeepWhiteboard { whiteboard } => whiteboards::keep(turn, caller, whiteboard),
        Command::RequestMedia(_) => moderation::request_media(turn, caller),
        Command::MeshSignal { to, data } => moderation::mesh(turn, by, caller, to, data.0),
        Command::Invite { invitations } => lifecycle::invite(turn, invitations),
    }
}

/// What a command shows of itself in passing, if that is all it does: it needs no log, and so goes on
/// while that is out of reach.
pub fn passing(
    state: &Meeting,
    session: SessionId,
    command: &Command,
    now: Millis,
    limits: &Limits,
) -> Option<(RoomId, Signal)> {
    let member = state.session_member(session).filter(|member| member.is_inside())?;
    let Participant { id, role, room, .. } = member.participant;
    if !rights::may(role, action_of(command)) {
        return None;
    }
    match command {
        Command::React { emoji } => {
            let emoji = checked(emoji, "emoji", limits.emoji_chars_max).ok()?;
            Some((room, Signal::ReactionShown { participant: id, emoji }))
        }
        Command::SetQuality { quality } => Some((room, Signal::QualityShown { participant: id, quality: *quality })),
        Command::PublishCaption(caption) if !caption.is_final => {
            let caption = captions::check(state, id, caption.clone(), now, limits).ok()?;
            Some((caption.room, Signal::CaptionShown { caption }))
        }
        _ => None,
    }
}

/// Whoever was removed or sent back has no say until they are let in again.
fn must_wait(turn: &Turn<'_>, caller: &Caller) -> bool {
    caller.participant.and_then(|id| turn.state.member(id)).is_some_and(|member| member.must_wait)
}

/// What a host's token may do over REST before its person is inside.
fn may_from_outside(command: &Command) -> bool {
    matches!(
        command,
        Command::StartMeeting(_) | Command::EndMeeting(_) | Command::Invite { .. } | Command::PlanBreakout(_)
    )
}

fn action_of(command: &Command) -> &'static str {
    match command {
        Command::Leave { .. } => "leave",
        Command::StartMeeting(_) => "meeting.start",
        Command::EndMeeting(_) | Command::CancelMeeting => "meeting.end",
        Command::UpdateMeeting { .. } => "meeting.update",
        Command::AdmitGuest(_) => "lobby.admit",
        Command::DenyGuest(_) => "lobby.deny",
        Command::MessageLobby { .. } => "lobby.message",
        Command::SetRole { .. } => "participant.set_role",
        Command::Rename { .. } => "participant.rename",
        Command::Mute { .. } => "participant.mute",
        Command::Permit { .. } => "participant.permit",
        Command::SetMedia { .. } => "participant.set_media",
        Command::SetQuality { .. } => "participant.set_quality",
        Command::Remove { .. } => "participant.remove",
        Command::SendToLobby(_) => "participant.to_lobby",
        Command::ListParticipants { .. } => "participants.list",
        Command::RaiseHand(_) => "hand.raise",
        Command::LowerHand(_) => "hand.lower",
        Command::React { .. } => "reaction.send",
        Command::PostMessage { .. } => "chat.post",
        Command::EditMessage { .. } => "chat.edit",
        Command::DeleteMessage { .. } => "chat.delete",
        Command::ReactToMessage { .. } => "chat.react",
        Command::AskQuestion { .. } => "question.ask",
        Command::VoteForQuestion { .. } => "question.vote",
        Command::AnswerQuestion { .. } => "question.answer",
        Command::DismissQuestion { .. } => "question.dismiss",
        Command::OpenPoll(_) => "poll.open",
        Command::Vote { .. } => "poll.vote",
        Command::ClosePoll { .. } => "poll.close",
        Command::StartTimer { .. } => "timer.start",
        Command::StopTimer(_) => "timer.stop",
        Command::SetSpotlight { .. } => "spotlight.set",
        Command::RequestScreen(_) => "screen.request",
        Command::PublishCaption(_) => "caption.publish",
        Command::PlanBreakout(_) => "breakout.plan",
        Command::OpenBreakout(_) => "breakout.open",
        Command::MovePeople { .. } => "breakout.move",
        Command::JoinRoom { .. } => "breakout.join",
        Command::ExtendBreakout { .. } => "breakout.extend",
        Command::AddRoom { .. } => "breakout.add",
        Command::RenameRoom { .. } => "breakout.rename",
        Command::Broadcast { .. } => "breakout.broadcast",
        Command::RequestHelp(_) => "breakout.help",
        Command::MergeRooms { .. } => "breakout.merge",
        Command::CloseRooms { .. } => "breakout.close",
        Command::StartRecording(_) => "recording.start",
        Command::StopRecording { .. } => "recording.stop",
        Command::ConsentToRecording { .. } => "recording.consent",
        Command::CreateWhiteboard(_) => "whiteboard.create",
        Command::UpdateWhiteboard { .. } => "whiteboard.update",
        Command::DeleteWhiteboard { .. } => "whiteboard.delete",
        Command::OpenWhiteboard { .. } => "whiteboard.open",
        Command::CopyWhiteboard { .. } => "whiteboard.copy",
        Command::KeepWhiteboard { .. } => "whiteboard.update",
        Command::RequestMedia(_) => "media.request",
        Command::MeshSignal { .. } => "mesh.signal",
        Command::Invite { .. } => "invitations.create",
    }
}

/// Trims a text and holds it to its limit in characters.
pub fn checked(text: &str, what: &'static str, chars_max: usize) -> Result<String, Rejection> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Rejection::bad_request(format!("the {what} is empty")));
    }
    if text.chars().count() > chars_max {
        return Err(Rejection::too_large(format!("the {what} is longer than {chars_max} characters")));
    }
    if text.chars().any(|c| c == '\0' || (c.is_control() && !matches!(c, '\n' | '\t' | '\r'))) {
        return Err(Rejection::bad_request(format!("the {what} has control characters")));
    }
    Ok(text.to_owned())
}

/// The participant who asks; a backend is not one.
pub fn person(caller: &Caller) -> Result<crate::ids::ParticipantId, Rejection> {
    caller.participant.ok_or_else(|| Rejection::not_permitted("only a participant can do this"))
}

/// Ends these sessions: writes it down and closes their sockets.
pub fn close_sessions(
    turn: &mut Turn<'_>,
    sessions: Vec<crate::ids::SessionId>,
    end: crate::event::SessionEnd,
    code: CloseCode,
) {
    if sessions.is_empty() {
        return;
    }
    for session in &sessions {
        turn.emit(Event::SessionClosed { session: *session, end });
    }
    turn.tell_after(crate::effect::Effect::Close { sessions, code });
}
