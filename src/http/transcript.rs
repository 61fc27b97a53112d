//! The transcript: what was said in a meeting, in writing. As JSON it is a list like others; as text or
//! subtitles it is one document, read from the database and sent page by page.

pub mod formats;

use self::formats::{Cue, Format};
use super::caller::Caller;
use super::meetings::info;
use super::people::{known, reader};
use super::reads::{List, Paging, in_room, list, stored};
use super::{Edge, Problem};
use crate::projections::{Line, Spoken, Wanted};
use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Path, Query};
use serde::Deserialize;

/// Lines that are read and sent at a time.
const PAGE: usize = 500;
/// As long as the tag of a caption may be.
const LANGUAGE_CHARS_MAX: usize = 35;

#[derive(Deserialize, utoipa::IntoParams)]
pub struct Part {
    /// `json` (the default), `txt`, `srt` or `vtt`.
    pub format: Option<String>,
    /// A language tag, or its beginning: `en` finds `en-US`.
    pub language: Option<String>,
    /// `main`, or a breakout room's id.
    pub room: Option<String>,
}

impl Part {
    fn format(&self) -> Result<Option<Format>, Problem> {
        format(self.format.as_deref())
    }

    fn language(&self) -> Result<Option<String>, Problem> {
        language(self.language.as_deref())
    }
}

/// None stands for JSON.
pub fn format(named: Option<&str>) -> Result<Option<Format>, Problem> {
    match named {
        None | Some("json") => Ok(None),
        Some("txt") => Ok(Some(Format::Txt)),
        Some("srt") => Ok(Some(Format::Srt)),
        Some("vtt") => Ok(Some(Format::Vtt)),
        Some(_) => Err(Problem::wrong_data("the format is json, txt, srt or vtt")),
    }
}

/// In lower case. Letters, digits and hyphens mean nothing in the patterns that this becomes part of.
pub fn language(tag: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(language) = tag else { return Ok(None) };
    let is_tag = (1..=LANGUAGE_CHARS_MAX).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match is_tag {
        true => Ok(Some(language.to_ascii_lowercase())),
        false => Err(Problem::wrong_data("the language is a language tag, such as en or pt-BR")),
    }
}

/// What was said, by final captions, in the order in which it was said. A join token reads what was said
/// in the rooms that its person has been in; hosts and cohosts read all rooms. Text and subtitles are
/// whole documents, with times from the meeting's start; JSON comes in pages, and what is written down
/// late may stand before a cursor.
#[utoipa::path(get, path = "/api/v1/meetings/{id}/transcript", tag = "people", params(("id" = String, Path), Part, Paging),
    responses((status = 200, description = "a page of lines, or a document", content(
        (List<Line> = "application/json"), (String = "text/plain"), (String = "application/x-subrip"), (String = "text/vtt"))),
        (status = 403, description = "a join token of somebody who was never inside"),
        (status = 404, description = "an unknown meeting or room"),
        (status = 422, description = "an unknown format, or a filter that cannot be")))]
pub async fn transcript(
    edge: Data<Edge>,
    caller: Caller,
    id: Path<String>,
    part: Query<Part>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let key = caller.meeting(&id)?;
    known(&edge, &key).await?;
    let reader = reader(&edge, &caller, &key).await?;
    let format = part.format()?;
    let room = in_room(part.room.as_deref())?;
    if let Some(room) = room
        && !edge.projections.knows_room(&key, room).await.map_err(stored)?
    {
        return Err(Problem::not_found());
    }
    let wanted = Wanted { language: part.language()?, room };
    let Some(format) = format else {
        let (after, limit) = (paging.spoken()?, paging.limit()?);
        let page = edge.projections.transcript(&key, &wanted, reader, after, limit).await.map_err(stored)?;
        return Ok(list(page, |line| line));
    };
    let info = info(&edge, &key).await?;
    let zero = info.started_at.unwrap_or(info.created_at);
    // Where the next page begins, and the number of its first line.
    let first = Some((Spoken::START, 1_u64));
    let pages = futures_util::stream::try_unfold(first, move |place| {
        let (projections, key, wanted) = (edge.projections.clone(), key.clone(), wanted.clone());
        async move {
            let Some((after, number)) = place else { return Ok(None) };
            let page = projections.transcript(&key, &wanted, reader, after, PAGE).await.map_err(stored)?;
            let mut text = if number == 1 { format.head().to_owned() } else { String::new() };
            let mut next = number;
            for line in &page.items {
                format.write(&mut text, Cue::from(line), next, zero);
                next = next.saturating_add(1);
            }
            let last = page.items.last().map(|line| Spoken { start_at: line.start_at, seq: line.seq });
            let rest = page.next.and(last).map(|place| (place, next));
            Ok::<_, Problem>(Some((Bytes::from(text), rest)))
        }
    });
    Ok(HttpResponse::Ok().content_type(format.content_type()).streaming(pages))
}
