//! One call to the media, and whether it may be made. The media has no fence of its own, so that is
//! asked before every call; one that is not answered in time has failed, and is made again.

use super::people::Deed;
use crate::ports::{
    Glance, Guest, MediaError, MediaRoom, MediaRooms, MeetingKey, NodeLife, Recorder, TakeOrder, Takes,
};
use crate::supervisor::Life;
use convoke_domain::SessionId;
use convoke_domain::recording::Take;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the media may take for one call.
const CALL_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Ensure { room: MediaRoom },
    Delete { room: MediaRoom },
    Glance { key: MeetingKey, age_max: Duration },
    Look { room: MediaRoom },
    Deed { room: MediaRoom, deed: Deed },
    List { key: MeetingKey, age_max: Duration },
    Begin { order: Box<TakeOrder> },
    End { take: String },
}

/// What came of a call.
#[derive(Debug)]
pub enum Called {
    Done,
    /// None: the media does not say.
    There(Option<BTreeMap<SessionId, Guest>>),
    Glanced(Option<Glance>),
    Listed(Takes),
    Began(Box<Take>),
    Failed,
    /// The lease did not hold, and nothing was asked.
    Withheld,
}

/// Until when this room may speak for its meeting: while the node's lease holds, and the meeting's
/// life here goes on.
#[derive(Clone)]
pub struct Leash {
    pub life: Arc<Life>,
    pub mine: NodeLife,
    /// Its sender is the meeting's; it is dropped with the meeting's state.
    pub meeting: watch::Receiver<()>,
}

impl Leash {
    pub fn holds(&self) -> bool {
        self.life.holds(&self.mine) && self.meeting.has_changed().is_ok()
    }

    /// Waits for the meeting's life to be over.
    pub async fn end(mut self) {
        while self.meeting.changed().await.is_ok() {}
    }
}

/// The media server, for its rooms and for recording.
#[derive(Clone)]
pub struct MediaServer {
    pub rooms: Arc<dyn MediaRooms>,
    pub recorder: Arc<dyn Recorder>,
}

pub async fn make(media: &MediaServer, leash: &Leash, call: &Call) -> Result<Called, MediaError> {
    if !leash.holds() {
        return Ok(Called::Withheld);
    }
    let late = |_| Err(MediaError("no answer in time".to_owned()));
    tokio::time::timeout(CALL_MAX, carry_out(media, call)).await.unwrap_or_else(late)
}

async fn carry_out(media: &MediaServer, call: &Call) -> Result<Called, MediaError> {
    let MediaServer { rooms, recorder } = media;
    match call {
        Call::Ensure { room } => rooms.ensure(room).await?,
        Call::Delete { room } => rooms.delete(room).await?,
        Call::Glance { key, age_max } => return rooms.glance(key, *age_max).await.map(Called::Glanced),
        Call::Look { room } => return rooms.present(room).await.map(Called::There),
        Call::Deed { room, deed } => match deed {
            Deed::Remove(session) => rooms.remove(room, *session).await?,
            Deed::Permit(session, may) => rooms.permit(room, *session, *may).await?,
            Deed::Mute(session, track) => rooms.mute(room, *session, track).await?,
        },
        Call::List { key, age_max } => return recorder.takes(key, *age_max).await.map(Called::Listed),
        Call::Begin { order } => return recorder.begin(order).await.map(|take| Called::Began(Box::new(take))),
        Call::End { take } => recorder.end(take).await?,
    }
    Ok(Called::Done)
}
