//! Every limit of a meeting, by name, with the unit last in the name. The server's configuration
//! fills this in; the rules read it. A limit that is reached is an answer with a stable code.

use crate::ids::Millis;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// People in the meeting at once; services and hosts are not refused by it.
    pub participants_max: u32,
    /// People waiting in the lobby at once.
    pub lobby_max: u32,
    /// Devices of one participant at once.
    pub sessions_per_participant_max: usize,
    /// People who left and are still remembered; the one gone longest is forgotten first.
    pub gone_max: usize,
    /// Ended sessions whose numbering is still remembered.
    pub closed_sessions_max: usize,
    /// Answers kept a session for retries.
    pub answers_kept_max: usize,
    /// Requests of backends that are remembered, so that a repetition has no second effect.
    pub requests_kept_max: usize,
    pub bans_max: usize,
    pub title_chars_max: usize,
    pub name_chars_max: usize,
    pub chat_chars_max: usize,
    pub emoji_chars_max: usize,
    /// Different emoji on one message.
    pub reactions_per_message_max: usize,
    /// Messages that can still be edited, deleted or reacted to; older ones are history.
    pub live_messages_max: usize,
    pub question_chars_max: usize,
    /// Open questions of one room.
    pub questions_open_max: usize,
    /// Open questions of one person.
    pub questions_of_one_max: usize,
    /// Questions that are remembered; the earliest that is not open is forgotten first.
    pub questions_kept_max: usize,
    pub poll_options_max: usize,
    pub poll_option_chars_max: usize,
    /// Open polls of one room.
    pub polls_open_max: usize,
    /// Polls that are remembered; the earliest that is closed is forgotten first.
    pub polls_kept_max: usize,
    /// People in the spotlight at once.
    pub spotlight_max: usize,
    pub caption_chars_max: usize,
    pub invitations_max: usize,
    /// Breakout rooms that are not closed, at once.
    pub breakout_rooms_max: usize,
    /// Rooms that are remembered, closed ones included.
    pub rooms_kept_max: usize,
    /// Whether there is a media server, whose rooms are begun anew to shut somebody out.
    pub has_media_server: bool,
    pub has_recorder: bool,
    /// Recordings that are under way at once.
    pub recordings_at_once_max: usize,
    /// Recordings that are remembered, those under way besides.
    pub recordings_kept_max: usize,
    /// Runs of the recorder of one recording.
    pub takes_max: usize,
    /// How long the recorder may take to begin, in milliseconds.
    pub recording_start_ms: Millis,
    /// How long a recorded room may be empty, in milliseconds.
    pub recording_empty_ms: Millis,
    /// How long one recording may be, in milliseconds.
    pub recording_ms_max: Millis,
    /// How long the recorder may take to stop, in milliseconds.
    pub recording_stop_ms: Millis,
    /// How long the recorder may take to finish the files, in milliseconds.
    pub recording_processing_ms: Millis,
    /// How long the recorder may be out of reach, in milliseconds.
    pub recording_away_ms: Millis,
    /// The wait before an automatic recording that failed is tried again; it doubles. In milliseconds.
    pub recording_retry_ms: Millis,
    /// Failures in a row after which an automatic recording is not tried again.
    pub recording_failures_max: u32,
    /// Whiteboards of one room.
    pub whiteboards_max: usize,
    /// Whiteboards of all rooms of a meeting.
    pub whiteboards_total_max: usize,
    /// How long a lost session may take to come back, in milliseconds.
    pub grace_ms: Millis,
    /// How long a meeting stays open with nobody in it, in milliseconds.
    pub empty_ms: Millis,
    /// Least time between two counts of one thing that many do, in milliseconds.
    pub count_interval_ms: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            participants_max: 1_000,
            lobby_max: 1_000,
            sessions_per_participant_max: 5,
            gone_max: 5_000,
            closed_sessions_max: 4_096,
            answers_kept_max: 64,
            requests_kept_max: 256,
            bans_max: 1_000,
            title_chars_max: 200,
            name_chars_max: 128,
            chat_chars_max: 4_000,
            emoji_chars_max: 16,
            reactions_per_message_max: 20,
            live_messages_max: 2_000,
            question_chars_max: 500,
            questions_open_max: 200,
            questions_of_one_max: 20,
            questions_kept_max: 1_000,
            poll_options_max: 20,
            poll_option_chars_max: 200,
            polls_open_max: 10,
            polls_kept_max: 500,
            spotlight_max: 25,
            caption_chars_max: 1_000,
            invitations_max: 1_000,
            breakout_rooms_max: 100,
            rooms_kept_max: 500,
            has_media_server: true,
            has_recorder: true,
            recordings_at_once_max: 120,
            recordings_kept_max: 500,
            takes_max: 1_000,
            recording_start_ms: 60_000,
            recording_empty_ms: 30_000,
            recording_ms_max: 6 * 3_600_000,
            recording_stop_ms: 300_000,
            recording_processing_ms: 6 * 3_600_000,
            recording_away_ms: 600_000,
            recording_retry_ms: 30_000,
            recording_failures_max: 3,
            whiteboards_max: 50,
            whiteboards_total_max: 500,
            grace_ms: 30_000,
            empty_ms: 300_000,
            count_interval_ms: 500,
        }
    }
}
