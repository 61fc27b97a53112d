//! The files behind links of our own: `GET` and `HEAD /objects/{tenant}/{recording}/{file}`. The link is
//! all that is needed, so everything is refused in the same way that is not exactly what was signed. A file
//! is sent as it is read, in parts if that is asked for, so that a player may jump; it is never in memory.

use super::caller::address;
use super::reads::stored;
use super::recordings::{kept_back, readable};
use super::{Edge, Problem};
use crate::objects::{Asked, Grant, Refused, asked, paths};
use actix_web::body::SizedStream;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HttpDate, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use convoke_domain::{Code, Millis, Rejection, TenantId};
use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;
use std::time::SystemTime;

/// A browser keeps what it was sent for so long at most: what is deleted shall be gone soon.
const CACHE_S_MAX: u64 = 60;
/// A file is played, and runs nothing.
const POLICY: &str =
    "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'";

#[derive(Deserialize, utoipa::IntoParams)]
pub struct Signed {
    pub expires: Option<String>,
    pub signature: Option<String>,
}

fn forged() -> Problem {
    Rejection::not_permitted("this is not a link of ours").into()
}

/// What a link grants, if it is one.
async fn granted(
    edge: &Edge,
    request: &HttpRequest,
    path: (String, String, String),
    signed: Signed,
) -> Result<(Grant, Millis), Problem> {
    let now = edge.node.meetings().env().clock.now();
    let (tenant, recording, file) = path;
    let grant = recording.parse().ok().zip(signed.expires.and_then(|expires| expires.parse().ok()));
    let grant = grant.map(|(recording, expires_at)| Grant { tenant: TenantId(tenant), recording, file, expires_at });
    let checked = grant.zip(signed.signature).map(|(grant, signature)| {
        let checked = edge.links.check(&grant, &signature, now);
        (grant, checked)
    });
    match checked {
        Some((grant, Ok(()))) => Ok((grant, now)),
        Some((_, Err(Refused::Expired))) => Err(Problem::new(StatusCode::GONE, Code::NotFound, "the link has expired")),
        Some((_, Err(Refused::Forged))) | None => {
            // Guesses count as failed authentications.
            edge.limits.fail(address(request, &edge.proxies)).await.map_err(Problem::too_many)?;
            Err(forged())
        }
    }
}

fn header(request: &HttpRequest, name: &HeaderName) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(|value| value.trim().to_owned())
}

/// A file of a recording, by a link that `POST /recordings/{id}/link` made. It takes `Range` with one range,
/// `If-Range` and `If-None-Match`.
#[utoipa::path(get, path = "/objects/{tenant}/{recording}/{file}", tag = "recordings",
    params(("tenant" = String, Path), ("recording" = String, Path), ("file" = String, Path), Signed),
    responses((status = 200, description = "the file"), (status = 206, description = "the part that was asked for"),
        (status = 304, description = "it is as it was"), (status = 403, description = "not a link of ours, or an altered one"),
        (status = 404, description = "the file was deleted"), (status = 410, description = "the link has expired"),
        (status = 416, description = "there is no such part")))]
pub async fn object(
    edge: Data<Edge>,
    request: HttpRequest,
    path: Path<(String, String, String)>,
    signed: Query<Signed>,
) -> Result<HttpResponse, Problem> {
    let (grant, now) = granted(&edge, &request, path.into_inner(), signed.into_inner()).await?;
    let kept = edge.projections.recording(&grant.tenant, grant.recording).await.map_err(stored)?;
    let kept = kept.filter(|kept| !kept.deleting).ok_or_else(Problem::not_found)?;
    let files = edge.projections.files(&grant.tenant, grant.recording).await.map_err(stored)?;
    let file = readable(&kept, &grant.tenant, &files, &grant.file).ok_or_else(Problem::not_found)?;
    let objects = edge.keeper.objects();
    let meta =
        objects.meta(&file.path).await.map_err(|error| kept_back(error.into()))?.ok_or_else(Problem::not_found)?;
    let etag = meta.e_tag.clone().map(|etag| if etag.starts_with('"') { etag } else { format!("\"{etag}\"") });
    let modified = HttpDate::from(SystemTime::from(meta.last_modified)).to_string();

    let left_s = grant.expires_at.saturating_sub(now) / 1_000;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, paths::content_type(&file.path)))
        .insert_header((CONTENT_DISPOSITION, paths::disposition(&file.name)))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((CACHE_CONTROL, format!("private, max-age={}", left_s.min(CACHE_S_MAX))))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((LAST_MODIFIED, modified.clone()));
    if let Some(etag) = &etag {
        response.insert_header((ETAG, etag.clone()));
    }
    let known = header(&request, &IF_NONE_MATCH);
    if known.is_some_and(|known| etag.as_ref().is_some_and(|etag| known.split(',').any(|one| one.trim() == etag))) {
        return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
    }
    // A part of another state of the file would be a part of nothing.
    let is_same = header(&request, &IF_RANGE).is_none_or(|state| Some(&state) == etag.as_ref() || state == modified);
    let asked = match header(&request, &RANGE).filter(|_| is_same) {
        Some(range) => asked(&range, meta.size),
        None => Asked::Whole,
    };
    let range = match asked {
        Asked::Unsatisfiable => {
            let none = format!("bytes */{}", meta.size);
            return Ok(response
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .insert_header((CONTENT_RANGE, none))
                .finish());
        }
        Asked::Whole => 0..meta.size,
        Asked::Part(range) => {
            let part = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), meta.size);
            response.status(StatusCode::PARTIAL_CONTENT).insert_header((CONTENT_RANGE, part));
            range
        }
    };
    let length = range.end.saturating_sub(range.start);
    if *request.method() == Method::HEAD || length == 0 {
        let nothing = futures_util::stream::empty::<Result<Bytes, std::io::Error>>();
        return Ok(response.body(SizedStream::new(length, nothing)));
    }
    let read = objects.read(&file.path, Some(range), meta.e_tag).await.map_err(|error| kept_back(error.into()))?;
    // What breaks off in the middle cannot be told any more but by the connection's end.
    let stream = read.into_stream().map_err(|_| std::io::Error::other("the object broke off")).boxed_local();
    Ok(response.body(SizedStream::new(length, stream)))
}
