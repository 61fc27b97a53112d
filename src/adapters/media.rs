//! Media without a media server: peers connect to each other and signal through the meeting
//! (`mesh`), or there is none.

use async_trait::async_trait;
use convoke_actors::ports::{Media, MediaError, MediaRequest, MediaRoom, MediaRooms};
use convoke_domain::SessionId;
use std::collections::BTreeSet;

pub enum Peers {
    Mesh { ice_servers: Vec<String> },
    None,
}

impl Media for Peers {
    fn credentials(&self, _request: &MediaRequest) -> String {
        match self {
            Self::None => r#"{"kind":"none"}"#.to_owned(),
            Self::Mesh { ice_servers } => {
                let servers: Vec<_> = ice_servers.iter().map(|url| serde_json::json!({ "urls": [url] })).collect();
                serde_json::json!({ "kind": "mesh", "ice_servers": servers }).to_string()
            }
        }
    }
}

/// Where there is no media server its rooms are as they are wanted, and nobody is in them.
pub struct NoMedia;

#[async_trait]
impl MediaRooms for NoMedia {
    async fn ensure(&self, _room: &MediaRoom, _is_recorded: bool) -> Result<(), MediaError> {
        Ok(())
    }
    async fn delete(&self, _room: &MediaRoom) -> Result<(), MediaError> {
        Ok(())
    }
    async fn present(&self, _room: &MediaRoom) -> Result<Option<BTreeSet<SessionId>>, MediaError> {
        Ok(None)
    }
    async fn remove(&self, _room: &MediaRoom, _session: SessionId) -> Result<(), MediaError> {
        Ok(())
    }
}
