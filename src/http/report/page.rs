//! The report as one page that needs nothing else: no scripts, no fonts, no network. Whatever people
//! called themselves or wrote is text: the templates escape it.

use super::tables::{self, Names, duration, time};
use super::{Heading, Whole};
use maud::{DOCTYPE, Markup, PreEscaped, html};

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
                    (tables::participants(&report.participants))
                    (tables::stays(&report.participants, &names))
                    (tables::rooms(&report.rooms))
                    (tables::questions(&report.questions, &names))
                    (tables::polls(&report.polls, &names))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::{Attendee, OptionTold, PollTold, QuestionTold, Report, RoomTotals, Stay, Totals};
    use convoke_domain::{MeetingId, ParticipantId, PollId, QuestionId};
    use uuid::Uuid;

    /// A meeting in which everything that has a name is named so.
    fn whole(name: &str, cut: Vec<&'static str>) -> Whole {
        let stays = vec![
            Stay { room: "main".into(), joined_at: 0, left_at: Some(61_000), duration_ms: Some(61_000) },
            Stay { room: name.into(), joined_at: 61_000, left_at: None, duration_ms: None },
        ];
        let totals = Totals { inside_ms: 3_723_000, hands: 17, messages: 18, questions: 19, polls: 20, captions: 21 };
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
        let question = |named: bool| QuestionTold {
            id: QuestionId(Uuid::nil()),
            room: "other".into(),
            text: name.into(),
            by: named.then_some(person.participant),
            name: named.then(|| name.into()),
            anonymous: !named,
            votes: 37,
            state: if named { "answered" } else { "open" },
            answer: named.then(|| name.into()),
            live: named,
        };
        let poll = |counts: [Option<u32>; 2]| PollTold {
            id: PollId(Uuid::nil()),
            room: "main".into(),
            question: name.into(),
            multiple: false,
            anonymous: counts[0].is_none(),
            state: "closed",
            options: counts.map(|votes| OptionTold { text: name.into(), votes }).into(),
            voters: counts[0],
        };
        let questions = vec![question(true), question(false)];
        let polls = vec![poll([Some(47), Some(0)]), poll([None, None])];
        Whole { meeting, report: Report { participants: vec![person], rooms, questions, polls, cut } }
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
        // Two questions, with who asked and the answer to one, both in that room; two polls of two options.
        assert_eq!(
            page.matches("&lt;script&gt;alert('&amp;')&lt;/script&gt;&quot;&gt;&lt;img src=x&gt;").count(),
            8 + 6 + 6
        );
    }

    #[test]
    fn a_page_says_what_the_report_says() {
        let page = page(&whole("Ada", vec!["participants", "stays"]));
        for told in [
            "<!DOCTYPE html><html lang=\"en\">",
            "<h1><bdi>Ada</bdi></h1>",
            "<dt>Started</dt><dd><time datetime=\"2000-02-29T00:00:00Z\">2000-02-29 00:00:00</time></dd>",
            "<dt>Duration</dt><dd>0:00:59</dd>",
            "<td>host</td><td class=\"number\">1:02:03</td><td class=\"number\">17</td><td class=\"number\">18</td>\
             <td class=\"number\">19</td><td class=\"number\">20</td><td class=\"number\">21</td>",
            "<td><bdi>Ada</bdi></td><td class=\"number\">37</td><td>answered</td><td>Ada (in the meeting)</td>",
            "<td>anonymous</td><td class=\"number\">37</td><td>open</td><td></td>",
            "<p>closed, 47 voted</p>",
            "<p>closed, anonymous</p>",
            "<th scope=\"row\"><bdi>Ada</bdi></th><td class=\"number\">47</td>",
            "<th scope=\"row\"><bdi>Ada</bdi></th><td class=\"number\">hidden until it is closed</td>",
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
    fn a_large_meeting_is_one_page() {
        let mut whole = whole("Ada", Vec::new());
        let person = whole.report.participants.remove(0);
        let stays = person.stays.iter().cycle().take(5).cloned().collect();
        whole.report.participants = vec![Attendee { stays, ..person }; 1_000];
        let page = page(&whole);
        assert_eq!(page.matches("<td>host</td>").count(), 1_000);
        assert_eq!(page.matches("still there").count(), 2_000);
        assert!(page.len() < 2_000_000 && page.ends_with("</html>"), "{}", page.len());
    }
}
