//! Media without a media server: peers connect to each other and signal through the meeting
//! (`mesh`), or there is none.

use async_trait::async_trait;
use convoke_actors::ports::{
    Glance, Guest, Media, MediaError, MediaRequest, MediaRoom, MediaRooms, MeetingKey, Recorder, TakeOrder, Takes,
};
use convoke_domain::SessionId;
use convoke_domain::recording::Take;
use convoke_domain::shapes::Media as Sources;
use std::collections::BTreeMap;
use std::time::Duration;

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
    async fn ensure(&self, _room: &MediaRoom) -> Result<(), MediaError> {
        Ok(())
    }
    async fn delete(&self, _room: &MediaRoom) -> Result<(), MediaError> {
        Ok(())
    }
    async fn glance(&self, _room: &MediaRoom, _age_max: Duration) -> Result<Option<Glance>, MediaError> {
        Ok(None)
    }
    async fn present(&self, _room: &MediaRoom) -> Result<Option<BTreeMap<SessionId, Guest>>, MediaError> {
        Ok(None)
    }
    async fn remove(&self, _room: &MediaRoom, _session: SessionId) -> Result<(), MediaError> {
        Ok(())
    }
    async fn permit(&self, _room: &MediaRoom, _session: SessionId, _may: Sources) -> Result<(), MediaError> {
        Ok(())
    }
    async fn mute(&self, _room: &MediaRoom, _session: SessionId, _track: &str) -> Result<(), MediaError> {
        Ok(())
    }
}

#[async_trait]
impl Recorder for NoMedia {
    fn is_there(&self) -> bool {
        false
    }
    async fn begin(&self, _order: &TakeOrder) -> Result<Take, MediaError> {
        Err(MediaError("there is no recorder".to_owned()))
    }
    async fn end(&self, _take: &str) -> Result<(), MediaError> {
        Ok(())
    }
    async fn takes(&self, _key: &MeetingKey, _age_max: Duration) -> Result<Takes, MediaError> {
        Ok(Takes::default())
    }
}
