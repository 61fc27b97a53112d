//! One session's side of a socket. It verifies who comes, numbers and limits what they send, and
//! hands it to the meeting in order, one at a time; what the meeting answers reaches the socket
//! through the hub. Commands are kept until they are answered, so that when the meeting's actor is
//! made again, or its batches were missed, the session attaches again and sends them again under
//! the same numbers: the log says which of them had their effect.
//!
//! What outlives the socket (numbers, grace, the attachment) is the meeting's; a session actor that
//! crashes closes its socket, and the client resumes on a new one with nothing lost.

use crate::frame;
use crate::hub::HubHandle;
use crate::meeting::{Attach, Detach, How, Numbered, ToMeeting};
use crate::outlet::Outlet;
use crate::parse::{Parsed, parse};
use crate::ports::{Doors, MeetingKey};
use crate::release::SocketId;
use crate::restart::{self, Restart};
use crate::supervisor::Meetings;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use bytestring::ByteString;
use convoke_domain::command::Join;
use convoke_domain::{CloseCode, Code, Command, Millis, ParticipantId, Rejection, SessionId};
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tracing::Span;

/// Frames that are no frames, after which a socket is closed.
const MALFORMED_MAX: u8 = 3;

/// What one session may send.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub commands_per_s: NonZeroU32,
    pub burst: NonZeroU32,
    /// Frames beyond all patience: the socket is closed.
    pub flood_per_s: NonZeroU32,
    pub flood_burst: NonZeroU32,
    /// Unanswered commands, after which nothing more is read.
    pub in_flight_max: usize,
    /// Time for the first frame.
    pub hello: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let number = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self {
            commands_per_s: number(20),
            burst: number(60),
            flood_per_s: number(100),
            flood_burst: number(1_000),
            in_flight_max: 64,
            hello: Duration::from_secs(5),
        }
    }
}

/// A text frame from the socket.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Incoming(pub ByteString);

/// The frame could not be taken: too large, not text, not UTF-8.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Unreadable(pub Rejection);

/// The hub asks the session to attach again.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reattach;

/// The socket is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Hangup;

struct Attached {
    key: MeetingKey,
    session: SessionId,
    /// When this socket asked for it.
    asked_at: Millis,
    hello: Hello,
}

/// How this socket came: said again if the meeting lost it before it was answered.
#[derive(Clone)]
enum Hello {
    Join(Join),
    Resume { participant: ParticipantId, cursor: convoke_domain::Seq },
}

pub struct SessionActor {
    meetings: Meetings,
    doors: Arc<dyn Doors>,
    hub: HubHandle,
    outlet: Outlet,
    socket: SocketId,
    base: String,
    pace: Pace,
    limiter: DefaultDirectRateLimiter,
    flood: DefaultDirectRateLimiter,
    attached: Option<Attached>,
    in_flight: VecDeque<(u64, Result<Command, Rejection>)>,
    malformed: u8,
}

impl SessionActor {
    pub fn new(meetings: Meetings, doors: Arc<dyn Doors>, hub: HubHandle, outlet: Outlet, pace: Pace) -> Self {
        let socket = SocketId(meetings.env().clock.id());
        Self {
            meetings,
            doors,
            hub,
            outlet,
            socket,
            base: String::new(),
            pace,
            limiter: RateLimiter::direct(Quota::per_second(pace.commands_per_s).allow_burst(pace.burst)),
            flood: RateLimiter::direct(Quota::per_second(pace.flood_per_s).allow_burst(pace.flood_burst)),
            attached: None,
            in_flight: VecDeque::new(),
            malformed: 0,
        }
    }

    /// What the client reached the server by, as `wss://host`.
    pub fn at(self, base: String) -> Self {
        Self { base, ..self }
    }

    fn take(&mut self, text: &str, ctx: &mut Context<Self>) {
        if self.outlet.closed().is_some() {
            return;
        }
        if self.flood.check().is_err() {
            self.outlet.close(CloseCode::Flooding);
            return;
        }
        match parse(text) {
            Parsed::Malformed(why) => self.refuse_frame(&Rejection::bad_request(why)),
            Parsed::BadHello(rejection) => self.say(frame::refusal(0, &rejection)),
            Parsed::Join { token, session, name } => self.join(&token, session, name, ctx),
            Parsed::Resume { resume_token, seq } => self.resume(&resume_token, seq, ctx),
            Parsed::Numbered { id, command } => self.numbered(id, command, ctx),
        }
    }

    fn say(&self, message: ByteString) {
        self.outlet.push(frame::text([message].iter()));
    }

    fn refuse_frame(&mut self, rejection: &Rejection) {
        self.malformed = self.malformed.saturating_add(1);
        let error = frame::json(rejection);
        self.say(ByteString::from(format!(r#"{{"re":null,"ok":false,"error":{error}}}"#)));
        if self.malformed >= MALFORMED_MAX {
            self.outlet.close(CloseCode::ProtocolError);
        }
    }

    fn join(&mut self, token: &str, session: SessionId, name: Option<String>, ctx: &mut Context<Self>) {
        let Some(admission) = self.doors.admission(token) else {
            return self.turn_away("the token is not valid for joining");
        };
        let Some(name) = admission.name.or(name) else {
            let missing = Rejection::bad_request("join: a name is needed, in the token or beside it");
            return self.say(frame::refusal(0, &missing));
        };
        let join = Join { session, user: admission.user, name, role: admission.role };
        self.hello(admission.key, session, Hello::Join(join), ctx);
    }

    fn resume(&mut self, token: &str, cursor: convoke_domain::Seq, ctx: &mut Context<Self>) {
        let Some(ticket) = self.doors.ticket(token) else {
            return self.turn_away("the resume token is not valid");
        };
        let hello = Hello::Resume { participant: ticket.participant, cursor };
        self.hello(ticket.key, ticket.session, hello, ctx);
    }

    fn turn_away(&self, why: &'static str) {
        self.say(frame::refusal(0, &Rejection::new(Code::Unauthenticated, why)));
        self.outlet.close(CloseCode::Unauthenticated);
    }

    fn hello(&mut self, key: MeetingKey, session: SessionId, hello: Hello, ctx: &mut Context<Self>) {
        if !self.hub.is_steady() {
            // Its client may be elsewhere by now, on a socket that this one must not drive out.
            let late = Rejection::unavailable("the node stood still; come again");
            self.say(frame::refusal(0, &late));
            return self.outlet.close(CloseCode::GoingAway);
        }
        match &self.attached {
            Some(attached) if attached.key == key && attached.session == session => {}
            Some(attached) if self.hub.is_placed(&attached.key, self.socket) => {
                let other = Rejection::conflict("this socket belongs to another session");
                return self.say(frame::refusal(0, &other));
            }
            Some(attached) => {
                let former = attached.key.clone();
                self.hub.unregister(&former, self.socket);
                self.hub.register(&key, self.socket, self.outlet.clone(), Some(ctx.address()));
            }
            None => self.hub.register(&key, self.socket, self.outlet.clone(), Some(ctx.address())),
        }
        if let Hello::Resume { cursor, .. } = &hello {
            self.outlet.restart_at(*cursor);
        }
        self.in_flight.clear();
        self.outlet.greet();
        let asked_at = self.meetings.env().clock.now();
        self.attached = Some(Attached { key, session, asked_at, hello: hello.clone() });
        let how = match hello {
            Hello::Join(join) => How::Join(join),
            Hello::Resume { participant, cursor } => How::Resume { participant, cursor },
        };
        self.attach(how, ctx);
    }

    fn attach(&mut self, how: How, ctx: &mut Context<Self>) {
        let Some(attached) = &self.attached else { return };
        let message = ToMeeting::Attach(self.attachment(attached, how));
        let key = attached.key.clone();
        self.send(key, vec![message], ctx);
    }

    fn attachment(&self, attached: &Attached, how: How) -> Attach {
        let Attached { session, asked_at, .. } = *attached;
        let base = self.base.clone();
        Attach { socket: self.socket, hub: self.hub.id(), session, asked_at, base, how }
    }

    /// Hands messages to the meeting, in order, before anything else is taken from the socket: a
    /// busy meeting slows its callers down.
    fn send(&mut self, key: MeetingKey, messages: Vec<ToMeeting>, ctx: &mut Context<Self>) {
        let meetings = self.meetings.clone();
        let sending = async move {
            for message in messages {
                meetings.send(&key, message).await?;
            }
            Ok(())
        };
        restart::wait(ctx, sending, |session: &mut Self, _, sent: Result<(), Rejection>| {
            if let Err(rejection) = sent {
                session.could_not_send(&rejection);
            }
        });
    }

    fn could_not_send(&self, rejection: &Rejection) {
        let is_placed = self.attached.as_ref().is_some_and(|a| self.hub.is_placed(&a.key, self.socket));
        if is_placed {
            self.outlet.close(CloseCode::GoingAway);
        } else {
            self.outlet.settle(0);
            self.say(frame::refusal(0, rejection));
            match rejection.close {
                Some(code) => self.outlet.close(code),
                None => self.outlet.close(CloseCode::GoingAway),
            }
        }
    }

    fn numbered(&mut self, id: u64, command: Result<Command, Rejection>, ctx: &mut Context<Self>) {
        let Some(attached) = &self.attached else {
            let first = Rejection::new(Code::Unauthenticated, "the first frame is join or resume");
            return self.say(frame::refusal(id, &first));
        };
        let key = attached.key.clone();
        let session = attached.session;
        let taken = self.outlet.taken();
        if id > taken.saturating_add(1) {
            let next = taken.saturating_add(1);
            let gap = Rejection::bad_request(format!("commands are numbered without gaps; the next is {next}"));
            return self.say(frame::refusal(id, &gap));
        }
        if id <= taken {
            // A retry: answered as the first time, once the first time is.
            if !self.outlet.owes(id) {
                self.outlet.repeat(id);
                self.keep(id, command.clone());
                let again = Numbered {
                    socket: self.socket,
                    session,
                    id,
                    after: 0,
                    is_retry: true,
                    command,
                    span: Span::none(),
                };
                self.send(key, vec![ToMeeting::Command(again)], ctx);
            }
            return;
        }
        let command = match self.limiter.check() {
            Ok(()) => command,
            Err(until) => {
                let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
                let mut rejection = Rejection::new(Code::RateLimited, "too many commands");
                rejection.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(1_000).max(1));
                Err(rejection)
            }
        };
        let after = self.outlet.last_unanswered().unwrap_or(0);
        let span = tracing::info_span!("command", meeting = %key.meeting, %session, id);
        self.outlet.take(id, span.clone());
        self.forget_answered();
        self.keep(id, command.clone());
        let numbered = Numbered { socket: self.socket, session, id, after, is_retry: false, command, span };
        self.send(key, vec![ToMeeting::Command(numbered)], ctx);
    }

    /// Keeps a command until it is answered, in the order of the numbers.
    fn keep(&mut self, id: u64, command: Result<Command, Rejection>) {
        let place = self.in_flight.partition_point(|(other, _)| *other < id);
        if self.in_flight.get(place).is_none_or(|(other, _)| *other != id) {
            self.in_flight.insert(place, (id, command));
        }
    }

    fn forget_answered(&mut self) {
        let outlet = self.outlet.clone();
        self.in_flight.retain(|(id, _)| outlet.owes(*id));
    }

    fn attach_again(&mut self, ctx: &mut Context<Self>) {
        let Some(attached) = &self.attached else { return };
        if self.outlet.closed().is_some() {
            return;
        }
        let was_answered = self.outlet.has_begun();
        if !was_answered {
            let how = match attached.hello.clone() {
                Hello::Join(join) => How::Join(join),
                Hello::Resume { participant, cursor } => How::Resume { participant, cursor },
            };
            return self.attach(how, ctx);
        }
        let how = How::Again { cursor: self.outlet.cursor(), answered: self.outlet.answered_upto() };
        let (socket, session) = (self.socket, attached.session);
        let key = attached.key.clone();
        let mut messages = vec![ToMeeting::Attach(self.attachment(attached, how))];
        self.forget_answered();
        let mut after = 0;
        for (id, command) in self.in_flight.iter().cloned() {
            let span = Span::none();
            messages.push(ToMeeting::Command(Numbered { socket, session, id, after, is_retry: true, command, span }));
            after = id;
        }
        self.send(key, messages, ctx);
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        restart::later(ctx, self.pace.hello, |session: &mut Self, _| {
            if session.attached.is_none() {
                session.outlet.close(CloseCode::Unauthenticated);
            }
        });
        let outlet = self.outlet.clone();
        let given_up = std::future::poll_fn(move |cx| outlet.poll_given_up(cx));
        restart::spawn(ctx, given_up, |_: &mut Self, ctx, ()| ctx.stop());
    }

    fn stopped(&mut self, _ctx: &mut Self::Context) {
        let Some(attached) = self.attached.take() else { return };
        self.hub.unregister(&attached.key, self.socket);
        let meetings = self.meetings.clone();
        let gone = ToMeeting::Detach(Detach { socket: self.socket, session: attached.session });
        actix_rt::spawn(async move {
            // A meeting that is not active has marked its sessions lost by itself.
            meetings.send_if_active(&attached.key, gone).await;
        });
    }
}

impl Restart for SessionActor {
    const NAME: &'static str = "session";

    fn crashed(&mut self, ctx: &mut Self::Context, _why: String) {
        self.outlet.close(CloseCode::InternalError);
        ctx.stop();
    }
}

impl Handler<Incoming> for SessionActor {
    type Result = ();

    fn handle(&mut self, Incoming(text): Incoming, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |session, ctx| session.take(&text, ctx));
    }
}

impl Handler<Unreadable> for SessionActor {
    type Result = ();

    fn handle(&mut self, Unreadable(rejection): Unreadable, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |session, _| session.refuse_frame(&rejection));
    }
}

impl Handler<Reattach> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Reattach, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |session, ctx| session.attach_again(ctx));
    }
}

impl Handler<Hangup> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Hangup, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
