//! What may take long is drawn on a thread of its own. Its board waits, and the thread that the board shares serves
//! others meanwhile. What comes behind it comes behind whatever else the board was told in the meantime: a right that
//! was withdrawn is obeyed. What takes little each, and long together, waits in the same way for others of the thread.

use super::cost::Watch;
use super::document::{Document, Refusal};
use super::inspect::Looked;
use super::protocol::Message;
use super::{BoardActor, Reply, deep};
use crate::meeting::Refused;
use crate::release::SocketId;
use crate::restart;
use actix::{AsyncContext, Context, Handler, Message as ActorMessage};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// What a thread has to itself when a board has drawn for long.
const PAUSE: Duration = Duration::from_millis(1);

/// What a socket said, as far as it is not taken yet.
pub(super) struct Heard {
    pub socket: SocketId,
    /// Of the frame that is begun.
    pub messages: VecDeque<Message>,
    pub frames: VecDeque<Bytes>,
    /// A full board had no room for it before.
    pub has_waited: bool,
    /// Something new came of it.
    pub has_drawn: bool,
    pub reply: Reply,
}

impl Heard {
    pub fn new(socket: SocketId, frames: Vec<Bytes>, reply: Reply) -> Self {
        let (messages, frames) = (VecDeque::new(), frames.into());
        Self { socket, messages, frames, has_waited: false, has_drawn: false, reply }
    }

    pub fn after_waiting(self) -> Self {
        Self { has_waited: true, ..self }
    }

    pub fn answer(self, outcome: Result<(), Refused>) {
        // Whoever asked may have gone.
        let _ = self.reply.send(outcome);
    }

    pub fn refuse(self, refused: Refused) {
        self.answer(Err(refused));
    }
}

/// A message that draws, and may take long.
pub(super) struct Stroke {
    pub message: Message,
    pub looked: Looked,
}

/// There may be something that was not heard yet.
#[derive(ActorMessage)]
#[rtype(result = "()")]
struct HearOn;

impl BoardActor {
    /// What a socket sent: behind what is left of others, if there is any.
    pub(super) fn hear(&mut self, heard: Heard, ctx: &mut Context<Self>) {
        if self.document.is_none() || !self.unheard.is_empty() {
            return self.unheard.push_back(heard);
        }
        self.go_on(heard, ctx);
    }

    /// Others of the thread have their turn; what is left comes first then.
    pub(super) fn pause(&mut self, heard: Heard, ctx: &mut Context<Self>) {
        self.unheard.push_front(heard);
        if !std::mem::replace(&mut self.is_pausing, true) {
            restart::later(ctx, PAUSE, |this: &mut Self, ctx| {
                this.is_pausing = false;
                this.caution.paused();
                this.hear_all(ctx);
            });
        }
    }

    fn hear_all(&mut self, ctx: &mut Context<Self>) {
        while self.document.is_some()
            && !self.is_pausing
            && let Some(heard) = self.unheard.pop_front()
        {
            self.go_on(heard, ctx);
        }
    }

    /// Behind what is in the mailbox.
    pub(super) fn hear_on(&mut self, ctx: &mut Context<Self>) {
        if !self.unheard.is_empty() {
            ctx.notify(HearOn);
        }
    }

    pub(super) fn draw_aside(&mut self, mut heard: Heard, stroke: Stroke, ctx: &mut Context<Self>) {
        let Stroke { message, looked } = stroke;
        let (Message::Step2(update) | Message::Update(update)) = message.clone() else { return };
        let is_rest = matches!(message, Message::Step2(_));
        let bounds = self.env.whiteboards.bounds;
        let draw = move |document: &mut Document, watch| document.draw(&update, &looked, is_rest, &bounds, Some(watch));
        self.aside(ctx, draw, move |this, ctx, taken, took| {
            if let Some(session) = this.guests.get(&heard.socket).map(|guest| guest.session) {
                this.spend(session, took);
            }
            this.turn(ctx, |this| match taken {
                Ok(taken) => {
                    heard.has_drawn |= !taken.updates.is_empty();
                    this.taken(heard.socket, taken, is_rest);
                    this.unheard.push_front(heard);
                }
                Err(refusal) => {
                    heard.messages.push_front(message);
                    this.object(heard, &refusal.into());
                }
            });
        });
    }

    /// Does something to the document that may take long. What it broke over is not in the log.
    pub(super) fn aside<T: Send + 'static>(
        &mut self,
        ctx: &mut Context<Self>,
        work: impl FnOnce(&mut Document, Watch) -> Result<T, Refusal> + Send + 'static,
        then: impl FnOnce(&mut Self, &mut Context<Self>, Result<T, Refusal>, Duration) + 'static,
    ) {
        let Some(mut document) = self.document.take_if(|_| !self.is_over) else { return };
        // As it is kept: the document may be lost with the thread.
        let log = document.log().clone();
        let (place, room) = (self.env.whiteboards.place, self.env.whiteboards.drawing.clone());
        let work = move || {
            let watch = Watch::new(place);
            let outcome = work(&mut document, watch);
            (document, outcome, watch.elapsed())
        };
        restart::wait(ctx, deep::run_in(room, place, work), |this: &mut Self, ctx, done| {
            let (outcome, took) = match done {
                Ok((document, outcome, took)) => {
                    this.document = Some(document);
                    (outcome, took)
                }
                Err(broken) => (Err(broken.into()), Duration::ZERO),
            };
            metrics::histogram!("convoke_whiteboard_aside_seconds").record(took.as_secs_f64());
            let is_broken = matches!(outcome, Err(Refusal::Broken(_) | Refusal::TooCostly));
            then(this, ctx, outcome, took);
            match is_broken && !this.is_over {
                true => this.rebuild(log, ctx),
                false => this.hear_on(ctx),
            }
        });
    }
}

impl Handler<HearOn> for BoardActor {
    type Result = ();

    fn handle(&mut self, _: HearOn, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, Self::hear_all);
    }
}
