//! Transcripts of recordings: asked for, listed, and read as text, subtitles or JSON, joined with the captions
//! that the meeting had meanwhile. Whoever may read a recording may do this: the tenant, and hosts and cohosts.

use super::post::Post;
use super::reads::{List, Paging, list, stored};
use super::recordings::{Asking, asking};
use super::transcript::formats::Cue;
use super::transcript::{format, language};
use super::{Edge, Problem};
use crate::objects::Named;
use crate::projections::{Page, Spoken};
use crate::transcription::{Chosen, DETECT, Found, Made, Said, Source, Transcript, find, is_language};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path, Query};
use convoke_domain::Rejection;
use convoke_domain::recording::RecordingStatus;
use serde::Deserialize;
use serde_json::json;

/// Segments that are read and sent at a time.
const PAGE: usize = 500;
const NONE_CONFIGURED: &str = "no transcriber is configured";

#[derive(Deserialize, utoipa::IntoParams)]
pub struct Part {
    /// `json`, `txt`, `srt` or `vtt`. Absent: a list of the transcripts there are.
    pub format: Option<String>,
    /// A language tag, or its beginning; `detect` for what was asked for without one. Absent: the earliest transcript.
    pub language: Option<String>,
    /// `both` (the default), `transcription` or `captions`.
    pub source: Option<String>,
}

impl Part {
    fn source(&self) -> Result<Source, Problem> {
        match self.source.as_deref() {
            None | Some("both") => Ok(Source::Both),
            Some("transcription") => Ok(Source::Transcription),
            Some("captions") => Ok(Source::Captions),
            Some(_) => Err(Problem::wrong_data("the source is both, transcription or captions")),
        }
    }
}

/// The transcripts of a recording, or, with a `format`, one of them. Captions of the recorded room, of the time
/// of the recording, stand among what was transcribed, each where no segment of the same speaker and language
/// overlaps it: a segment without a known speaker counts as everybody's. Times in subtitles count from the
/// recording's beginning. JSON comes in pages.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/transcripts", tag = "recordings", params(("id" = String, Path), Part, Paging),
    responses((status = 200, description = "a list of transcripts; or a page of segments, or a document", content(
        (List<Said> = "application/json"), (String = "text/plain"), (String = "application/x-subrip"), (String = "text/vtt"))),
        (status = 403, description = "a join token of neither a host nor a cohost"),
        (status = 404, description = "an unknown recording, or there is no transcript in this language"),
        (status = 409, description = "`wrong_state`: it is being made, or could not be made; or there is none and no transcriber is configured"),
        (status = 422, description = "an unknown format, or a language or source that cannot be")))]
pub async fn read(
    edge: Data<Edge>,
    caller: super::caller::Caller,
    id: Path<String>,
    part: Query<Part>,
    paging: Query<Paging>,
) -> Result<HttpResponse, Problem> {
    let asking = asking(&edge, &caller).await?;
    let (format, source, lang) = (format(part.format.as_deref())?, part.source()?, language(part.language.as_deref())?);
    let kept = asking.recording(&edge, &id).await?;
    let named = Named::new(kept.key(&asking.tenant), kept.recording.id);
    let jobs = edge.transcripts.jobs.clone();
    if part.format.is_none() {
        let items = jobs.transcripts(&named).await.map_err(stored)?;
        return Ok(list(Page { items, next: None }, |transcript| transcript));
    }
    let mut chosen = Chosen {
        named: named.clone(),
        transcript: None,
        room: (source != Source::Transcription).then_some(kept.recording.room),
        from: kept.recording.started_at.unwrap_or(kept.recording.asked_at),
        to: kept.recording.ended_at.unwrap_or(i64::MAX.unsigned_abs()),
        // These are ways to ask; what is spoken is something else.
        lang: lang.clone().filter(|lang| lang != DETECT && lang != "multi"),
    };
    let refusal = match source {
        Source::Captions => Problem::not_found(),
        Source::Both | Source::Transcription => match missing(&edge, &mut chosen, lang.as_deref()).await? {
            None => Problem::not_found(),
            Some(Missing::NotYet) => return Err(Rejection::wrong_state("the recording is being transcribed").into()),
            Some(Missing::Ever(problem)) => problem,
        },
    };
    let first = jobs.said(&chosen, Spoken::START, 1).await.map_err(stored)?;
    if chosen.transcript.is_none() && first.items.is_empty() {
        return Err(refusal);
    }
    let Some(format) = format else {
        let page = jobs.said(&chosen, paging.spoken()?, paging.limit()?).await.map_err(stored)?;
        return Ok(list(page, |said| said));
    };
    let zero = chosen.from;
    let first = Some((Spoken::START, 1_u64));
    let pages = futures_util::stream::try_unfold(first, move |place| {
        let (jobs, chosen) = (jobs.clone(), chosen.clone());
        async move {
            let Some((after, number)) = place else { return Ok(None) };
            let page = jobs.said(&chosen, after, PAGE).await.map_err(stored)?;
            let mut text = if number == 1 { format.head().to_owned() } else { String::new() };
            let mut next = number;
            for said in &page.items {
                let cue = Cue { name: &said.name, text: &said.text, start_at: said.start_at, end_at: said.end_at };
                format.write(&mut text, cue, next, zero);
                next = next.saturating_add(1);
            }
            let last = page.items.last().map(|said| Spoken { start_at: said.start_at, seq: said.place });
            let rest = page.next.and(last).map(|place| (place, next));
            Ok::<_, Problem>(Some((Bytes::from(text), rest)))
        }
    });
    Ok(HttpResponse::Ok().content_type(format.content_type()).streaming(pages))
}

/// Why there is no transcript.
enum Missing {
    /// There will be.
    NotYet,
    /// There will not be: what is said where there are no captions, either.
    Ever(Problem),
}

/// Chooses the transcript. None: it is chosen.
async fn missing(edge: &Edge, chosen: &mut Chosen, lang: Option<&str>) -> Result<Option<Missing>, Problem> {
    let jobs = &edge.transcripts.jobs;
    let transcripts = jobs.transcripts(&chosen.named).await.map_err(stored)?;
    let spoken = match lang {
        Some(lang) => jobs.spoken(&chosen.named, lang).await.map_err(stored)?,
        None => Vec::new(),
    };
    let never = |why: String| Missing::Ever(Problem::from(Rejection::wrong_state(why)));
    Ok(match find(&transcripts, &spoken, lang) {
        Found::Transcript(transcript) => {
            chosen.transcript = Some(transcript);
            None
        }
        Found::NotYet => Some(Missing::NotYet),
        Found::Failed(why) => {
            let why = why.unwrap_or_default();
            Some(never(format!("the recording could not be transcribed: {why}")))
        }
        Found::Nothing if !edge.transcripts.is_configured() => Some(never(NONE_CONFIGURED.to_owned())),
        Found::Nothing => Some(Missing::Ever(Problem::not_found())),
    })
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTranscript {
    /// A language tag; `detect`: what is spoken in each file. Absent: the languages that the server is set to.
    pub language: Option<String>,
}

/// Has a recording transcribed. What is transcribed already, or under way, is not done again; what failed is
/// tried again.
#[utoipa::path(post, path = "/api/v1/recordings/{id}/transcripts", tag = "recordings", params(("id" = String, Path)), request_body = NewTranscript,
    responses((status = 202, description = "the transcripts, as they are now", body = List<Transcript>),
        (status = 403, description = "a join token of neither a host nor a cohost"),
        (status = 404, description = "an unknown recording"),
        (status = 409, description = "`wrong_state`: the recording is not completed, has nothing to transcribe, or no transcriber is configured; `capacity`: there are as many transcripts as can be"),
        (status = 422, description = "a language that cannot be")))]
pub async fn create(post: Post, id: Path<String>) -> Result<HttpResponse, Problem> {
    let new: NewTranscript = post.body()?;
    let edge = &post.edge;
    let asking: Asking = asking(edge, &post.caller).await?;
    if new.language.as_ref().is_some_and(|language| !is_language(language)) {
        return Err(Problem::wrong_data("the language is a language tag, such as en or pt-BR, or detect"));
    }
    let kept = asking.recording(edge, &id).await?;
    if !edge.transcripts.is_configured() {
        return Err(Rejection::wrong_state(NONE_CONFIGURED).into());
    }
    if kept.recording.status != RecordingStatus::Completed || kept.deleting {
        return Err(Rejection::wrong_state("the recording is not completed").into());
    }
    let languages = new.language.map_or_else(|| edge.transcripts.languages.clone(), |language| vec![language]);
    let named = Named::new(kept.key(&asking.tenant), kept.recording.id);
    post.once(|_| async move {
        let jobs = &edge.transcripts.jobs;
        for language in &languages {
            match jobs.make(&named, language).await.map_err(stored)? {
                Made::There => {}
                Made::TooMany => {
                    return Err(Rejection::capacity("the recording has as many transcripts as can be").into());
                }
                Made::Nothing => return Err(Rejection::wrong_state("there is nothing to transcribe").into()),
            }
        }
        edge.transcripts.wake.notify_one();
        let items = jobs.transcripts(&named).await.map_err(stored)?;
        Ok((StatusCode::ACCEPTED, json!({ "items": items })))
    })
    .await
}
