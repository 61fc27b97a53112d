//! Errors as RFC 9457 problem documents, each with a stable `code`. The one place where a refusal
//! becomes an HTTP status.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use convoke_domain::{Code, Rejection};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;

pub const CONTENT_TYPE: &str = "application/problem+json";

#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    retry_after_s: Option<u64>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    pub fn new(status: StatusCode, code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: code.as_str(), detail: detail.into(), retry_after_s: None }
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, "there is nothing of this name")
    }

    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, "a valid bearer token is needed")
    }

    pub fn not_json(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, detail)
    }

    pub fn wrong_data(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::BadRequest, detail)
    }

    /// What the framework refused before a handler saw it.
    pub fn of_status(status: StatusCode, detail: String) -> Self {
        let code = match status {
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::NotPermitted,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::CONFLICT => Code::Conflict,
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            StatusCode::TOO_MANY_REQUESTS => Code::RateLimited,
            _ => Code::BadRequest,
        };
        Self::new(status, code, detail)
    }

    pub fn too_many(retry_after_s: u64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, "too many requests");
        Self { retry_after_s: Some(retry_after_s.max(1)), ..problem }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let status = match rejection.code {
            Code::BadRequest | Code::UnknownType => StatusCode::UNPROCESSABLE_ENTITY,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::NotPermitted => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Conflict | Code::WrongState | Code::Capacity => StatusCode::CONFLICT,
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let retry_after_s = match rejection.code {
            Code::Unavailable => Some(rejection.retry_after_ms.map_or(1, |ms| ms.div_ceil(1_000))),
            _ => rejection.retry_after_ms.map(|ms| ms.div_ceil(1_000)),
        };
        Self { status, code: rejection.code.as_str(), detail: rejection.message, retry_after_s }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let document = Document {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        };
        let mut response = HttpResponse::build(self.status);
        response.content_type(CONTENT_TYPE);
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((RETRY_AFTER, HeaderValue::from(seconds)));
        }
        response.body(serde_json::to_string(&document).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use actix_web::body::MessageBody;
    use serde_json::Value;

    fn document(problem: &Problem) -> (u16, Option<String>, Value) {
        let response = problem.error_response();
        let retry = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        assert_eq!(response.headers().get("content-type").unwrap(), CONTENT_TYPE);
        (status, retry, serde_json::from_slice(&response.into_body().try_into_bytes().unwrap()).unwrap())
    }

    #[test]
    fn every_code_has_its_status_and_stands_in_the_document() {
        for (code, status) in [
            (Code::BadRequest, 422),
            (Code::UnknownType, 422),
            (Code::Unauthenticated, 401),
            (Code::NotPermitted, 403),
            (Code::NotFound, 404),
            (Code::Conflict, 409),
            (Code::WrongState, 409),
            (Code::Capacity, 409),
            (Code::TooLarge, 413),
            (Code::RateLimited, 429),
            (Code::Unavailable, 503),
            (Code::Internal, 500),
        ] {
            let (told, _, document) = document(&Problem::from(Rejection::new(code, "because \"so\"")));
            assert_eq!((told, &document["status"]), (status, &Value::from(status)), "{code:?}");
            assert_eq!((&document["code"], &document["detail"]), (&code.as_str().into(), &"because \"so\"".into()));
            assert_eq!(document["type"], "about:blank");
        }
    }

    #[test]
    fn whoever_may_come_again_is_told_when() {
        let late = Rejection { retry_after_ms: Some(1_001), ..Rejection::new(Code::RateLimited, "slower") };
        assert_eq!(document(&Problem::from(late)).1.as_deref(), Some("2"));
        assert_eq!(document(&Problem::from(Rejection::unavailable("later"))).1.as_deref(), Some("1"));
        assert_eq!(document(&Problem::too_many(0)).1.as_deref(), Some("1"));
        assert_eq!(document(&Problem::not_found()).1, None);
    }

    #[test]
    fn what_the_framework_refuses_has_a_code_too() {
        for (status, code) in [(400, "bad_request"), (413, "too_large"), (415, "bad_request"), (404, "not_found")] {
            let (told, _, document) =
                document(&Problem::of_status(StatusCode::from_u16(status).unwrap(), "no".to_owned()));
            assert_eq!((told, document["code"].as_str()), (status, Some(code)));
        }
    }
}
