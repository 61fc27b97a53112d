//! The way to a meeting, wherever it is served. What is active here is asked here; a meeting that
//! another node owns is asked over the bus; one that nobody owns goes to the node that serves the
//! fewest. The way is looked up again whenever nobody answers, so a sender rides out a takeover:
//! it waits a little longer than that takes.

use crate::meeting::{FindBoard, Refused, Request, RequestInput, ToMeeting};
use crate::node::Done;
use crate::ports::{Ask, Call, MeetingKey, NodeLife, Peer, StoreError, Told};
use crate::supervisor::Meetings;
use crate::whiteboard;
use crate::whiteboard::words::AskBoard;
use actix::MailboxError;
use convoke_domain::{Rejection, WhiteboardId};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a way is looked for: longer than a takeover.
const PATIENCE: Duration = Duration::from_secs(12);
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// Ways that are remembered.
const WAYS_MAX: usize = 100_000;

/// What is known of the other nodes.
#[derive(Default)]
pub struct Routing {
    ways: Mutex<HashMap<MeetingKey, NodeLife>>,
    peers: Mutex<Vec<Peer>>,
}

impl Routing {
    fn ways(&self) -> MutexGuard<'_, HashMap<MeetingKey, NodeLife>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn forget(&self, key: &MeetingKey) {
        self.ways().remove(key);
    }

    pub fn know(&self, peers: Vec<Peer>) {
        *self.peers.lock().unwrap_or_else(PoisonError::into_inner) = peers;
    }

    pub fn peers(&self) -> Vec<Peer> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A node that does not take a meeting is given no other until it is heard of again.
    fn avoid(&self, life: &NodeLife) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        for peer in peers.iter_mut().filter(|peer| peer.life == *life) {
            peer.is_draining = true;
        }
    }

    /// Who, of those that live and do not stop, serves the fewest. None where nobody is known.
    fn least_loaded(&self) -> Option<NodeLife> {
        let peers = self.peers();
        let open = peers.into_iter().filter(|peer| !peer.is_draining);
        open.min_by(|a, b| (a.meetings, &a.life.node).cmp(&(b.meetings, &b.life.node))).map(|peer| peer.life)
    }
}

enum Way {
    Here,
    There(NodeLife),
}

impl Meetings {
    /// Hands a message to the meeting, waking it if needed; answers when the meeting has taken it.
    pub async fn send(&self, key: &MeetingKey, message: ToMeeting) -> Result<(), Rejection> {
        self.ask(key, Ask::Message(message)).await.map(drop)
    }

    /// Asks a board; answers when that has taken it.
    pub async fn ask_board(&self, key: &MeetingKey, board: WhiteboardId, ask: AskBoard) -> Result<(), Rejection> {
        self.ask(key, Ask::Board(board, ask)).await.map(drop)
    }

    /// Runs a request of the edge; answers when its effect is durable.
    pub async fn request(&self, key: &MeetingKey, input: RequestInput) -> Result<Done, Rejection> {
        self.ask(key, Ask::Request(input)).await?.ok_or_else(outcome_unknown)
    }

    /// Tells the meeting, where it is awake: here, or as far as is known at another node. False where
    /// it was told to look for the meeting again.
    pub async fn send_if_active(&self, key: &MeetingKey, message: ToMeeting) -> bool {
        if let Some(address) = self.active_address(key) {
            return !matches!(address.send(message).await, Ok(Err(Refused::Elsewhere)));
        }
        let way = self.routing().ways().get(key).cloned();
        let Some(owner) = way else { return true };
        let call = self.call_of(key, Ask::Message(message));
        !matches!(self.env().bus.call(&owner, &call).await, Ok(Err(Refused::Elsewhere)))
    }

    /// Most are asked where they are served, and need no call for it. The way to the others is
    /// long, so room for it is made only where it is gone.
    async fn ask(&self, key: &MeetingKey, ask: Ask) -> Result<Option<Done>, Rejection> {
        if self.is_here(key)
            && let Some(answer) = answer(self.ask_here(key, &ask).await)
        {
            return answer;
        }
        Box::pin(self.ask_wherever(self.call_of(key, ask))).await
    }

    async fn ask_wherever(&self, mut call: Call) -> Result<Option<Done>, Rejection> {
        let key = &call.key.clone();
        let is_request = matches!(call.ask, Ask::Request(_));
        let until = Instant::now() + PATIENCE;
        let mut pause = PAUSE_FIRST;
        // An owner that did not answer may have carried a request out: only that life may be asked again.
        let mut asked: Option<NodeLife> = None;
        loop {
            let told = match self.way(key).await {
                Ok(Way::Here) if is_request && asked.is_some() => return Err(outcome_unknown()),
                Ok(Way::Here) => Some(self.ask_here(key, &call.ask).await),
                Ok(Way::There(owner)) => {
                    if is_request && asked.as_ref().is_some_and(|before| *before != owner) {
                        return Err(outcome_unknown());
                    }
                    if !self.env().bus.is_connected() {
                        return Err(Rejection::unavailable("the node that serves the meeting is out of reach"));
                    }
                    let told = self.env().bus.call(&owner, &call).await.ok();
                    if matches!(told, Some(Err(Refused::Elsewhere))) {
                        self.routing().avoid(&owner);
                    }
                    asked = told.is_none().then_some(owner);
                    told
                }
                Err(error) => return Err(out_of_reach(&error)),
            };
            if told.is_none()
                && let Ask::Message(ToMeeting::Command(numbered)) = &mut call.ask
            {
                numbered.is_retry = true;
            }
            if let Some(answer) = told.and_then(answer) {
                return answer;
            }
            self.routing().forget(key);
            if Instant::now() + pause > until || (self.env().bus.is_alone() && self.is_stopping()) {
                return Err(Rejection::unavailable("the meeting cannot be reached just now"));
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    fn call_of(&self, key: &MeetingKey, ask: Ask) -> Call {
        let patience = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let until = self.env().clock.now().saturating_add(patience);
        Call { id: self.env().clock.id(), key: key.clone(), ask, until }
    }

    /// How many meetings this node serves beyond its share, with the others as they were heard of.
    pub(crate) fn surplus(&self) -> usize {
        let open: Vec<Peer> = self.routing().peers().into_iter().filter(|peer| !peer.is_draining).collect();
        let all: u32 = open.iter().map(|peer| peer.meetings).fold(0, u32::saturating_add);
        let share = usize::try_from(all).unwrap_or(0) / open.len().max(1);
        let least = open.iter().map(|peer| peer.meetings).min().unwrap_or(0);
        let owned = self.count();
        // A quarter more than one's share is no reason to move anybody.
        let is_uneven = owned > share.saturating_add(share / 4).saturating_add(2);
        let has_room = usize::try_from(least).unwrap_or(usize::MAX) < share;
        if open.len() > 1 && is_uneven && has_room { owned.saturating_sub(share) } else { 0 }
    }

    /// Whether there is no other way: the meeting is awake on this node, or there is no other node.
    fn is_here(&self, key: &MeetingKey) -> bool {
        self.env().bus.is_alone() || self.active_address(key).is_some()
    }

    /// Where the meeting is served, or is to be.
    async fn way(&self, key: &MeetingKey) -> Result<Way, StoreError> {
        if self.is_here(key) {
            return Ok(Way::Here);
        }
        if let Some(known) = self.routing().ways().get(key) {
            return Ok(Way::There(known.clone()));
        }
        let head = match self.env().store.head(key).await {
            // Its actor says so, and how the socket is closed.
            Err(StoreError::NotFound) => return Ok(Way::Here),
            other => other?,
        };
        let peers = self.routing().peers();
        let mine = self.env().life.get();
        let lives = |owner: &NodeLife| peers.iter().any(|peer| peer.life == *owner);
        let chosen = match head.owner.filter(lives) {
            Some(owner) => owner,
            None => self.routing().least_loaded().unwrap_or_else(|| mine.clone()),
        };
        if chosen == mine {
            return Ok(Way::Here);
        }
        let mut ways = self.routing().ways();
        if ways.len() >= WAYS_MAX {
            ways.clear();
        }
        ways.insert(key.clone(), chosen.clone());
        Ok(Way::There(chosen))
    }

    /// Asks the meeting's actor on this node, making it where needed.
    async fn ask_here(&self, key: &MeetingKey, ask: &Ask) -> Told {
        if self.is_stopping() {
            return Err(Refused::Elsewhere);
        }
        let address = self.find(key);
        let gone = |error: MailboxError| {
            tracing::debug!(%error, "a meeting went away under a message");
            self.forget(key, &address);
            Refused::Elsewhere
        };
        match ask {
            Ask::Message(message) => address.send(message.clone()).await.map_err(gone)?.map(|()| None),
            Ask::Board(board, ask) => {
                let awake = self.env().whiteboards.find(*board);
                let board = match awake {
                    Some(board) => board,
                    None => address.send(FindBoard(*board)).await.map_err(gone)??,
                };
                // One that went away is made again by whoever comes to it.
                board.send(whiteboard::Ask(ask.clone())).await.unwrap_or(Err(Refused::Elsewhere)).map(|()| None)
            }
            Ask::Request(input) => {
                let waiting = address.send(Request(input.clone())).await.map_err(gone)??;
                match waiting.await {
                    Ok(outcome) => outcome.map(Some).map_err(Refused::from),
                    Err(_) => Err(outcome_unknown().into()),
                }
            }
        }
    }

    /// What another node asks of a meeting that it takes this one for the owner of.
    pub async fn serve(&self, call: &Call) -> Told {
        if self.env().clock.now() > call.until {
            return Err(Refused::Elsewhere);
        }
        self.ask_here(&call.key, &call.ask).await
    }
}

/// What a meeting said to whoever asked; None if it has to be looked for again.
fn answer(told: Told) -> Option<Result<Option<Done>, Rejection>> {
    match told {
        Ok(done) => Some(Ok(done)),
        Err(Refused::Rejected(rejection, close)) => Some(Err(Rejection { close, ..rejection })),
        Err(Refused::Elsewhere) => None,
    }
}

fn outcome_unknown() -> Rejection {
    Rejection::unavailable("the outcome is not known; read the meeting before trying again")
}

fn out_of_reach(error: &StoreError) -> Rejection {
    tracing::warn!(%error, "the way to a meeting could not be looked up");
    Rejection::unavailable("the database is out of reach")
}
