//! The sockets of boards on one worker thread. A message is framed once and written to all who are at the
//! board. Whatever was missed is made good by the protocol itself: a socket whose hub missed a word, or hears
//! nothing of its board any more, is closed, and its client comes again and says what it has.

use super::protocol;
use super::words::{AskBoard, Desk, Show, Shown};
use crate::frame;
use crate::outlet::Outlet;
use crate::ports::{Bus, MeetingKey};
use crate::release::{HubId, SocketId};
use crate::restart::{self, Restart};
use crate::supervisor::Meetings;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient};
use bytes::Bytes;
use convoke_domain::{CloseCode, WhiteboardId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const MAILBOX: usize = 16_384;
/// A message to all that is larger does not count against the bound of what may wait.
const WHOLE_BYTES: usize = 1 << 20;
const CHECK: Duration = Duration::from_secs(1);
const PRESENT: Duration = Duration::from_secs(5);
/// Clients reconnect when they hear nothing for 30 s.
const LIFE_SIGN: Duration = Duration::from_secs(10);
/// A board says something to every hub more often than this.
pub const SILENT: Duration = Duration::from_secs(8);
/// One that nobody has seen yet is being read, and says nothing meanwhile.
const READING: Duration = Duration::from_secs(24);

#[derive(Message)]
#[rtype(result = "()")]
pub struct ShowHere(pub Arc<Show>);

/// The node stops: clients come again elsewhere.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseBoards(pub CloseCode);

/// The hubs of this process, by number: how what a board shows reaches them.
#[derive(Default)]
pub struct BoardHubs(Mutex<BTreeMap<u64, Recipient<ShowHere>>>);

impl BoardHubs {
    fn add(&self, number: u64, hub: Recipient<ShowHere>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, hub);
    }

    /// One that is too busy misses it, and finds out by the number.
    pub fn show(&self, hub: HubId, show: Arc<Show>) {
        let hubs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = hubs.get(&hub.number) {
            let _ = hub.try_send(ShowHere(show));
        }
    }
}

struct Socket {
    outlet: Outlet,
    has_come: bool,
}

struct Board {
    key: MeetingKey,
    /// The life of the board that was heard last, and its number.
    heard: Option<(Uuid, u64)>,
    heard_at: Instant,
    sockets: BTreeMap<SocketId, Socket>,
}

impl Board {
    /// Its clients come again, and say what they have.
    fn close_all(&mut self, code: CloseCode) {
        for socket in self.sockets.values_mut() {
            socket.outlet.close(code);
            socket.has_come = false;
        }
    }
}

type Shelf = Rc<RefCell<BTreeMap<WhiteboardId, Board>>>;

pub struct BoardHub {
    shelf: Shelf,
    meetings: Meetings,
    number: u64,
    presented_at: Instant,
    signed_at: Instant,
}

/// What the sockets of a thread and its hub share.
#[derive(Clone)]
pub struct BoardHubHandle {
    shelf: Shelf,
    desk: Desk,
    pub meetings: Meetings,
}

impl BoardHubHandle {
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Before the board hears of the socket.
    pub fn register(&self, key: &MeetingKey, board: WhiteboardId, socket: SocketId, outlet: Outlet) {
        let mut shelf = self.shelf.borrow_mut();
        let entry = shelf.entry(board).or_insert_with(|| Board {
            key: key.clone(),
            heard: None,
            heard_at: Instant::now(),
            sockets: BTreeMap::new(),
        });
        entry.sockets.insert(socket, Socket { outlet, has_come: false });
    }

    pub fn unregister(&self, board: WhiteboardId, socket: SocketId) {
        let mut shelf = self.shelf.borrow_mut();
        let Some(entry) = shelf.get_mut(&board) else { return };
        entry.sockets.remove(&socket);
        if entry.sockets.is_empty() {
            shelf.remove(&board);
        }
    }
}

impl BoardHub {
    pub fn start_here(
        number: u64,
        hubs: &BoardHubs,
        bus: &dyn Bus,
        meetings: Meetings,
    ) -> (Addr<Self>, BoardHubHandle) {
        let shelf = Shelf::default();
        let desk = Desk { hub: HubId { process: bus.process(), number }, channel: bus.channel() };
        let now = Instant::now();
        let hub =
            Self { shelf: Rc::clone(&shelf), meetings: meetings.clone(), number, presented_at: now, signed_at: now };
        let address = hub.start();
        hubs.add(number, address.clone().recipient());
        (address, BoardHubHandle { shelf, desk, meetings })
    }

    fn show(&mut self, show: &Show) {
        let mut shelf = self.shelf.borrow_mut();
        let Some(board) = shelf.get_mut(&show.board) else { return };
        board.heard_at = Instant::now();
        let is_next = match board.heard {
            // Only whoever has come since is shown anything by a life that is new here.
            Some((life, number)) if life == show.life => show.number == number.saturating_add(1),
            _ => !board.sockets.values().any(|socket| socket.has_come && socket.outlet.closed().is_none()),
        };
        if !is_next {
            metrics::counter!("convoke_whiteboard_gaps_total").increment(1);
            board.close_all(CloseCode::GoingAway);
            board.heard = None;
            return;
        }
        board.heard = Some((show.life, show.number));
        for item in &show.items {
            board.show(item);
        }
    }

    fn check(&mut self) {
        let is_time = |at: &mut Instant, every: Duration| {
            let is_due = at.elapsed() >= every;
            if is_due {
                *at = Instant::now();
            }
            is_due
        };
        let presents = is_time(&mut self.presented_at, PRESENT);
        let sign = is_time(&mut self.signed_at, LIFE_SIGN).then(|| frame::binary(&protocol::cursors([].into_iter())));
        let hub = HubId { process: self.meetings.env().bus.process(), number: self.number };
        for (id, board) in &mut *self.shelf.borrow_mut() {
            let is_seen = board.sockets.values().any(|socket| socket.has_come);
            if board.heard_at.elapsed() >= if is_seen { SILENT } else { READING } {
                board.close_all(CloseCode::GoingAway);
                continue;
            }
            for socket in board.sockets.values() {
                if let Some(sign) = &sign {
                    socket.outlet.push(sign.clone());
                }
                socket.outlet.check();
            }
            if presents {
                let sockets = board.sockets.keys().copied().collect();
                let (meetings, key, board) = (self.meetings.clone(), board.key.clone(), *id);
                actix_rt::spawn(async move {
                    // Whom the board does not know is closed by it; where it is gone, nothing more is heard.
                    let _ = meetings.ask_board(&key, board, AskBoard::Present { hub, sockets }).await;
                });
            }
        }
    }
}

impl Board {
    fn show(&mut self, item: &Shown) {
        let write_all = |write: &dyn Fn(&Outlet, Bytes), message: &Bytes| {
            let framed = frame::binary(message);
            let there = self.sockets.values().filter(|socket| socket.has_come);
            there.for_each(|socket| write(&socket.outlet, framed.clone()));
        };
        match item {
            // A board that was put back to what it was: as large as a board, it is given like one that is opened.
            Shown::All(message) if message.len() > WHOLE_BYTES => {
                let there = self.sockets.values().filter(|socket| socket.has_come);
                there.for_each(|socket| socket.outlet.push_whole(std::slice::from_ref(message)));
            }
            Shown::All(message) => write_all(&Outlet::push, message),
            Shown::Latest(message) => write_all(&Outlet::push_latest, message),
            Shown::Come { socket, messages } => {
                if let Some(socket) = self.sockets.get_mut(socket) {
                    socket.has_come = true;
                    // From here on its client is listened to.
                    socket.outlet.settle(0);
                    socket.outlet.renumber(0);
                    socket.outlet.push_whole(messages);
                }
            }
            Shown::One { socket, messages } => {
                if let Some(socket) = self.sockets.get(socket) {
                    socket.outlet.push_whole(messages);
                }
            }
            Shown::Close { socket, code } => {
                if let Some(socket) = self.sockets.get(socket) {
                    socket.outlet.close(*code);
                }
            }
        }
    }
}

impl Actor for BoardHub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(CHECK, |hub, ctx| {
            restart::guarded(hub, ctx, |hub, _| hub.check());
        });
    }
}

impl Restart for BoardHub {
    const NAME: &'static str = "board_hub";

    /// What the sockets were shown is not known any more: their clients come again.
    fn crashed(&mut self, _ctx: &mut Self::Context, _why: String) {
        if let Ok(mut shelf) = self.shelf.try_borrow_mut() {
            for board in shelf.values_mut() {
                board.close_all(CloseCode::InternalError);
                board.heard = None;
            }
        }
    }
}

impl Handler<ShowHere> for BoardHub {
    type Result = ();

    fn handle(&mut self, ShowHere(show): ShowHere, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |hub, _| hub.show(&show));
    }
}

impl Handler<CloseBoards> for BoardHub {
    type Result = ();

    fn handle(&mut self, CloseBoards(code): CloseBoards, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |hub, _| {
            hub.shelf.borrow_mut().values_mut().for_each(|board| board.close_all(code))
        });
    }
}
