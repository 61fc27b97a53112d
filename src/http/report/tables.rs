//! The tables of the page, and how times are written in them.

use crate::projections::{Attendee, PollTold, QuestionTold, RoomTotals, Totals};
use convoke_domain::Millis;
use maud::{Markup, html};
use std::collections::HashMap;

/// The names of rooms, by their ids.
pub type Names<'a> = HashMap<&'a str, &'a str>;

/// A room that is not listed goes by its id.
fn named<'a>(names: &Names<'a>, room: &'a str) -> &'a str {
    names.get(room).copied().unwrap_or(room)
}

pub fn participants(people: &[Attendee]) -> Markup {
    html! {
        h2 { "Participants" }
        table {
            caption { (people.len()) " listed. Private messages are counted. What was done anonymously is not." }
            thead { tr {
                th scope="col" { "Name" }
                th scope="col" { "User" }
                th scope="col" { "Role" }
                @for column in ["Time inside", "Hands", "Messages", "Questions", "Polls", "Captions"] {
                    th.number scope="col" { (column) }
                }
            } }
            tbody {
                @for person in people {
                    tr {
                        th scope="row" { bdi { (person.name) } }
                        td { bdi { (person.user.as_deref().unwrap_or_default()) } }
                        td { (person.role) }
                        td.number { (duration(person.totals.inside_ms)) }
                        @let Totals { hands, messages, questions, polls, captions, .. } = person.totals;
                        @for count in [hands, messages, questions, polls, captions] { td.number { (count) } }
                    }
                }
            }
        }
    }
}

pub fn stays(people: &[Attendee], names: &Names<'_>) -> Markup {
    html! {
        h2 { "Attendance" }
        table {
            caption { "Each stay in a room." }
            thead { tr {
                @for column in ["Name", "Room", "Joined", "Left"] { th scope="col" { (column) } }
                th.number scope="col" { "Duration" }
            } }
            tbody {
                @for person in people {
                    @for stay in &person.stays {
                        tr {
                            th scope="row" { bdi { (person.name) } }
                            td { bdi { (named(names, &stay.room)) } }
                            td { (time(stay.joined_at)) }
                            td { @if let Some(at) = stay.left_at { (time(at)) } @else { "still there" } }
                            td.number { @if let Some(ms) = stay.duration_ms { (duration(ms)) } }
                        }
                    }
                }
            }
        }
    }
}

pub fn rooms(rooms: &[RoomTotals]) -> Markup {
    html! {
        h2 { "Rooms" }
        table {
            caption { "What was said in a room that was merged into another is counted there." }
            thead { tr {
                th scope="col" { "Room" }
                @for column in ["People", "Messages", "Captions"] { th.number scope="col" { (column) } }
            } }
            tbody {
                @for room in rooms {
                    tr {
                        th scope="row" { bdi { (room.name.as_deref().unwrap_or(&room.id)) } }
                        @for count in [room.people, room.messages, room.captions] { td.number { (count) } }
                    }
                }
            }
        }
    }
}

pub fn questions(questions: &[QuestionTold], names: &Names<'_>) -> Markup {
    html! {
        @if !questions.is_empty() {
            h2 { "Questions" }
            table {
                caption { "In the order in which they were asked." }
                thead { tr {
                    @for column in ["Question", "Room", "Asked by"] { th scope="col" { (column) } }
                    th.number scope="col" { "Votes" }
                    @for column in ["State", "Answer"] { th scope="col" { (column) } }
                } }
                tbody {
                    @for question in questions {
                        tr {
                            th scope="row" { bdi { @if question.text.is_empty() { "(erased)" } @else { (question.text) } } }
                            td { bdi { (named(names, &question.room)) } }
                            td {
                                @if question.anonymous { "anonymous" }
                                @else { bdi { (question.name.as_deref().unwrap_or_default()) } }
                            }
                            td.number { (question.votes) }
                            td { (question.state) }
                            td {
                                @if let Some(answer) = &question.answer { (answer) }
                                @if question.live { " (in the meeting)" }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub fn polls(polls: &[PollTold], names: &Names<'_>) -> Markup {
    html! {
        @if !polls.is_empty() {
            h2 { "Polls" }
            @for poll in polls {
                h3 { bdi { (poll.question) } }
                p {
                    (poll.state)
                    @if poll.anonymous { ", anonymous" }
                    @if poll.multiple { ", several choices" }
                    @if let Some(voters) = poll.voters { ", " (voters) " voted" }
                }
                table {
                    caption { bdi { (named(names, &poll.room)) } }
                    thead { tr { th scope="col" { "Option" } th.number scope="col" { "Votes" } } }
                    tbody {
                        @for option in &poll.options {
                            tr {
                                th scope="row" { bdi { (option.text) } }
                                td.number {
                                    @if let Some(votes) = option.votes { (votes) }
                                    @else { "hidden until it is closed" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub fn time(at: Millis) -> Markup {
    let (date, clock) = utc(at);
    html! { time datetime=(format!("{date}T{clock}Z")) { (date) " " (clock) } }
}

/// `1:02:03`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Date and time of day. Years are counted from March, so that a leap day is the last one; 400 of them
/// are always as long as any other 400.
fn utc(at: Millis) -> (String, String) {
    let (days, seconds) = (at / 86_400_000, at / 1_000 % 86_400);
    // From the first of March of the year 0.
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let date = format!("{year:04}-{month:02}-{day:02}");
    (date, format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (at, date, clock) in [
            (0, "1970-01-01", "00:00:00"),
            (951_782_399_999, "2000-02-28", "23:59:59"),
            (951_868_800_000, "2000-03-01", "00:00:00"),
            (1_709_164_800_000, "2024-02-29", "00:00:00"),
            (1_735_689_599_000, "2024-12-31", "23:59:59"),
            (4_107_542_400_000, "2100-03-01", "00:00:00"),
        ] {
            assert_eq!(utc(at), (date.to_owned(), clock.to_owned()), "{at}");
        }
    }
}
