//! Media without a media server: peers connect to each other and signal through the meeting
//! (`mesh`), or there is none.

use convoke_actors::ports::{Media, MediaRequest};

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
