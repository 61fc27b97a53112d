//! One call to the media, and whether it may be made. The media has no fence of its own, so that is
//! asked before every call; one that is not answered in time has failed, and is made again.

use crate::ports::{MediaError, MediaRoom, MediaRooms, NodeLife};
use crate::supervisor::Life;
use convoke_domain::SessionId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the media may take for one call.
const CALL_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Ensure { room: MediaRoom, is_recorded: bool },
    Look { room: MediaRoom },
    Remove { room: MediaRoom, session: SessionId },
    Delete { room: MediaRoom },
}

/// What came of a call.
#[derive(Debug)]
pub enum Called {
    Done,
    /// None: the media does not say.
    There(Option<BTreeSet<SessionId>>),
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

pub async fn make(media: &dyn MediaRooms, leash: &Leash, call: &Call) -> Result<Called, MediaError> {
    if !leash.holds() {
        return Ok(Called::Withheld);
    }
    let late = |_| Err(MediaError("no answer in time".to_owned()));
    tokio::time::timeout(CALL_MAX, carry_out(media, call)).await.unwrap_or_else(late)
}

async fn carry_out(media: &dyn MediaRooms, call: &Call) -> Result<Called, MediaError> {
    match call {
        Call::Ensure { room, .. } => media.ensure(room).await?,
        Call::Look { room } => {
            return media
                .present(room)
                .await
                .map(|there| Called::There(there.map(|there| there.into_keys().collect())));
        }
        Call::Remove { room, session } => media.remove(room, *session).await?,
        Call::Delete { room } => media.delete(room).await?,
    }
    Ok(Called::Done)
}
