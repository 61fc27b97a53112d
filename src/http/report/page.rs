//! The report as one page that needs nothing else: no scripts, no fonts, no network. Whatever people
//! called themselves or wrote is text: the templates escape it.

use super::{Heading, Whole};
use crate::projections::{Attendee, RoomTotals};
use convoke_domain::Millis;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::HashMap;

const STYLE: &str = "
body { font: 1rem/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; width: 100%; margin: 0 0 1.5rem; }
caption { text-align: left; padding: 0 0 .4rem; color: #444; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ccc; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #1a1a1a; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.cut { border: 1px solid #8a5a00; padding: .5rem .8rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { font-weight: 600; }
dd { margin: 0; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
";

/// The names of rooms, by their ids.
type Names<'a> = HashMap<&'a str, &'a str>;

pub fn page(whole: &Whole) -> String {
    let Whole { meeting, report } = whole;
    let names: Names<'_> =
        report.rooms.iter().map(|room| (room.id.as_str(), room.name.as_deref().unwrap_or(&room.id))).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Report: " (meeting.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { bdi { (meeting.title) } }
                    (heading(meeting))
                    @if !report.cut.is_empty() {
                        p.cut { "This report is not whole. There is more of: " (report.cut.join(", ")) "." }
                    }
                    (participants(&report.participants))
                    (stays(&report.participants, &names))
                    (rooms(&report.rooms))
                }
            }
        }
    };
    page.into_string()
}

fn heading(meeting: &Heading) -> Markup {
    let times = [("Scheduled", meeting.scheduled_at), ("Started", meeting.started_at), ("Ended", meeting.ended_at)];
    html! {
        dl {
            dt { "Status" } dd { (meeting.status) }
            @for (name, at) in times {
                @if let Some(at) = at { dt { (name) } dd { (time(at)) } }
            }
            @if let Some(ms) = meeting.duration_ms { dt { "Duration" } dd { (duration(ms)) } }
            dt { "Report made" } dd { (time(meeting.as_of)) }
            dt { "Meeting id" } dd { (meeting.id) }
        }
        p { "All times are UTC." }
    }
}

fn participants(people: &[Attendee]) -> Markup {
    html! {
        h2 { "Participants" }
        table {
            caption { (people.len()) " listed. Private messages are counted. What was done anonymously is not." }
            thead { tr {
                th scope="col" { "Name" }
                th scope="col" { "User" }
                th scope="col" { "Role" }
                @for column in ["Time inside", "Hands", "Messages", "Captions"] {
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
                        @for count in [person.totals.hands, person.totals.messages, person.totals.captions] {
                            td.number { (count) }
                        }
                    }
                }
            }
        }
    }
}

fn stays(people: &[Attendee], names: &Names<'_>) -> Markup {
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
                            td { bdi { (names.get(stay.room.as_str()).copied().unwrap_or(&stay.room)) } }
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

fn rooms(rooms: &[RoomTotals]) -> Markup {
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

fn time(at: Millis) -> Markup {
    let (date, clock) = utc(at);
    html! { time datetime=(format!("{date}T{clock}Z")) { (date) " " (clock) } }
}

/// `1:02:03`.
fn duration(ms: u64) -> String {
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
    use crate::projections::{Report, Stay, Totals};
    use convoke_domain::{MeetingId, ParticipantId};
    use uuid::Uuid;

    /// A meeting in which everything that has a name is named so.
    fn whole(name: &str, cut: Vec<&'static str>) -> Whole {
        let stays = vec![
            Stay { room: "main".into(), joined_at: 0, left_at: Some(61_000), duration_ms: Some(61_000) },
            Stay { room: name.into(), joined_at: 61_000, left_at: None, duration_ms: None },
        ];
        let totals = Totals { inside_ms: 3_723_000, hands: 17, messages: 18, captions: 19 };
        let person = Attendee {
            participant: ParticipantId(Uuid::nil()),
            user: Some(name.into()),
            name: name.into(),
            role: "host".into(),
            stays,
            totals,
        };
        let room = |id: &str, name: Option<&str>| RoomTotals {
            id: id.into(),
            name: name.map(Into::into),
            people: 27,
            messages: 28,
            captions: 29,
        };
        let rooms = vec![room("main", Some("Main")), room("other", Some(name)), room("nameless", None)];
        let meeting = Heading {
            id: MeetingId(Uuid::nil()),
            title: name.into(),
            status: "live",
            scheduled_at: None,
            started_at: Some(951_782_400_000),
            ended_at: None,
            duration_ms: Some(59_999),
            as_of: 951_782_459_999,
        };
        Whole { meeting, report: Report { participants: vec![person], rooms, cut } }
    }

    #[test]
    fn what_people_wrote_comes_out_as_text() {
        let name = "<script>alert('&')</script>\"><img src=x>";
        let page = page(&whole(name, Vec::new()));
        for tag in ["<script", "<img", "<link", "http:", "https:", "src=", "href=", "url(", "@import"] {
            let is_there = page.replace("src=x", "").contains(tag);
            assert!(!is_there, "{tag} is in {page}");
        }
        // The title twice; the person, with the user, and in two stays; the room in a stay and in its row.
        assert_eq!(page.matches("&lt;script&gt;alert('&amp;')&lt;/script&gt;&quot;&gt;&lt;img src=x&gt;").count(), 8);
    }

    #[test]
    fn a_page_says_what_the_report_says() {
        let page = page(&whole("Ada", vec!["participants", "stays"]));
        for told in [
            "<!DOCTYPE html><html lang=\"en\">",
            "<h1><bdi>Ada</bdi></h1>",
            "<dt>Started</dt><dd><time datetime=\"2000-02-29T00:00:00Z\">2000-02-29 00:00:00</time></dd>",
            "<dt>Duration</dt><dd>0:00:59</dd>",
            "<td>host</td><td class=\"number\">1:02:03</td><td class=\"number\">17</td><td class=\"number\">18</td>",
            "<td><bdi>Main</bdi></td><td><time datetime=\"1970-01-01T00:00:00Z\">",
            "<td>still there</td><td class=\"number\"></td>",
            "<th scope=\"row\"><bdi>nameless</bdi></th><td class=\"number\">27</td>",
            "There is more of: participants, stays.",
        ] {
            assert!(page.contains(told), "{told} is not in {page}");
        }
        assert!(!super::page(&whole("Ada", Vec::new())).contains("There is more of"));
        assert_eq!(page.matches("<th").count() - page.matches("<thead").count(), page.matches("scope=").count());
    }

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
