//! Where the media goes: through a LiveKit server where one is configured, else between the peers, or
//! nowhere. What the actors ask for is the same in all three (`ports::media`), so this is the one place
//! that knows which of them it is.

pub mod livekit;
mod peers;

pub use peers::{NoMedia, Peers};

use crate::config::Config;
use convoke_actors::ports::{Media, MediaError, MediaRooms, Recorder};
use livekit::LiveKit;
use std::sync::Arc;

/// The media as the actors know it.
pub struct Opened {
    pub media: Arc<dyn Media>,
    pub rooms: Arc<dyn MediaRooms>,
    pub recorder: Arc<dyn Recorder>,
}

/// Asks nobody anything: a LiveKit server that is away now is found when it is back.
pub fn open(config: &Config) -> Result<Opened, MediaError> {
    if let Some(livekit) = LiveKit::open(config)? {
        let livekit = Arc::new(livekit);
        return Ok(Opened { media: livekit.clone(), rooms: livekit.clone(), recorder: livekit });
    }
    let peers = match config.media.as_str() {
        "mesh" => Peers::Mesh { ice_servers: config.ice_servers.clone() },
        _ => Peers::None,
    };
    Ok(Opened { media: Arc::new(peers), rooms: Arc::new(NoMedia), recorder: Arc::new(NoMedia) })
}
