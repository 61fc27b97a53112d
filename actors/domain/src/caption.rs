//! What was said, in writing: by a captioner that listens, or by the speaker's own device.

use crate::ids::{Millis, ParticipantId, RoomId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Caption {
    /// Who spoke.
    pub participant: ParticipantId,
    /// The room they spoke in.
    pub room: RoomId,
    /// A language tag, such as `en` or `pt-BR`.
    pub lang: String,
    pub text: String,
    pub start_at: Millis,
    pub end_at: Millis,
    /// It will not change any more.
    #[serde(rename = "final")]
    pub is_final: bool,
}

/// What `caption.publish` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishCaption {
    pub participant: ParticipantId,
    pub lang: String,
    pub text: String,
    pub start_at: Millis,
    pub end_at: Millis,
    #[serde(rename = "final")]
    pub is_final: bool,
}
