//! Who may do what: one table, read by every decision and shown to clients as `permissions`.
//! A row names an action by its command's wire name and the roles that have it. What depends on
//! more than the role (an author's own message, chat policy, rank) is decided where it happens.

use crate::shapes::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    action: &'static str,
    host: bool,
    cohost: bool,
    participant: bool,
    viewer: bool,
    agent: bool,
}

const fn row(action: &'static str, who: &str) -> Row {
    let who = who.as_bytes();
    // Each row is written as five columns: host, cohost, participant, viewer, agent.
    let mut on = [false; 5];
    let mut column = 0;
    while column < who.len() && column < on.len() {
        #[allow(clippy::indexing_slicing)] // both bounds are in the loop's condition
        {
            on[column] = who[column] == b'y';
        }
        column += 1;
    }
    let [host, cohost, participant, viewer, agent] = on;
    Row { action, host, cohost, participant, viewer, agent }
}

const TABLE: &[Row] = &[
    row("leave", "yyyyy"),
    row("meeting.start", "yy---"),
    row("meeting.end", "y----"),
    row("meeting.update", "yy---"),
    row("lobby.admit", "yy---"),
    row("lobby.deny", "yy---"),
    row("lobby.message", "yy---"),
    row("participant.set_role", "yy---"),
    row("participant.rename", "yyyy-"),
    row("participant.mute", "yy---"),
    row("participant.permit", "yy---"),
    row("participant.set_media", "yyyyy"),
    row("participant.set_quality", "yyyy-"),
    row("participant.remove", "yy---"),
    row("participant.to_lobby", "yy---"),
    row("participants.list", "yyyyy"),
    row("hand.raise", "yyyy-"),
    row("hand.lower", "yyyy-"),
    row("reaction.send", "yyy--"),
    row("chat.post", "yyyyy"),
    row("chat.edit", "yyyyy"),
    row("chat.delete", "yyyyy"),
    row("chat.react", "yyyy-"),
    row("question.ask", "yyy--"),
    row("question.vote", "yyy--"),
    row("question.answer", "yy---"),
    row("question.dismiss", "yy---"),
    row("poll.open", "yy---"),
    row("poll.vote", "yyy--"),
    row("poll.close", "yy---"),
    row("timer.start", "yy---"),
    row("timer.stop", "yy---"),
    row("spotlight.set", "yy---"),
    row("screen.request", "yyy--"),
    row("caption.publish", "yyy-y"),
    row("breakout.plan", "yy---"),
    row("breakout.open", "yy---"),
    row("breakout.move", "yy---"),
    row("breakout.join", "yyyyy"),
    row("breakout.extend", "yy---"),
    row("breakout.add", "yy---"),
    row("breakout.rename", "yy---"),
    row("breakout.broadcast", "yy---"),
    row("breakout.help", "yyyy-"),
    row("breakout.merge", "yy---"),
    row("breakout.close", "yy---"),
    row("recording.start", "yy---"),
    row("recording.stop", "yy---"),
    row("recording.consent", "yyyy-"),
    row("whiteboard.create", "yyy--"),
    row("whiteboard.update", "yyy--"),
    row("whiteboard.delete", "yyy--"),
    row("whiteboard.open", "yyyyy"),
    row("whiteboard.copy", "yy---"),
    row("whiteboard.draw", "yyy--"),
    row("media.request", "yyyyy"),
    row("mesh.signal", "yyyyy"),
    row("invitations.create", "yy---"),
];

/// Whether a role has an action at all. Unknown actions belong to nobody.
pub fn may(role: Role, action: &str) -> bool {
    TABLE.iter().find(|row| row.action == action).is_some_and(|row| has(row, role))
}

/// Every action that a role has, for clients to show and hide their controls by.
pub fn of(role: Role) -> Vec<&'static str> {
    TABLE.iter().filter(|row| has(row, role)).map(|row| row.action).collect()
}

fn has(row: &Row, role: Role) -> bool {
    match role {
        Role::Host => row.host,
        Role::Cohost => row.cohost,
        Role::Participant => row.participant,
        Role::Viewer => row.viewer,
        Role::Agent | Role::Recorder => row.agent,
    }
}
