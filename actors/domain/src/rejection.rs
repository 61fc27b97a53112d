//! A refusal: the caller's fault, answered, with no effect. Its code is part of the contract.

use crate::effect::CloseCode;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Code {
    BadRequest,
    UnknownType,
    Unauthenticated,
    NotPermitted,
    NotFound,
    Conflict,
    TooLarge,
    RateLimited,
    WrongState,
    Capacity,
    Unavailable,
    Internal,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UnknownType => "unknown_type",
            Self::Unauthenticated => "unauthenticated",
            Self::NotPermitted => "not_permitted",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::WrongState => "wrong_state",
            Self::Capacity => "capacity",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rejection {
    pub code: Code,
    pub message: Cow<'static, str>,
    /// For `rate_limited`: how long to wait, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_ms: Option<u64>,
    /// For a join that cannot be: the code that the socket is closed with after the answer.
    #[serde(skip)]
    pub close: Option<CloseCode>,
}

impl Rejection {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None, close: None }
    }
    pub fn closing(self, close: CloseCode) -> Self {
        Self { close: Some(close), ..self }
    }
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, message)
    }
    pub fn not_permitted(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotPermitted, message)
    }
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, message)
    }
    pub fn wrong_state(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::WrongState, message)
    }
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Conflict, message)
    }
    pub fn capacity(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Capacity, message)
    }
    pub fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::TooLarge, message)
    }
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unavailable, message)
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Rejection {}
