//! What makes a long log short, and what keeps a state of a board: both are made of what is durable, elsewhere, while
//! the board goes on.

use super::document::{self, Refusal};
use super::log::Log;
use super::{BoardActor, Reply};
use crate::meeting::Refused;
use crate::ports::{BoardSnapshot, StoreError};
use crate::restart;
use actix::Context;
use convoke_domain::{CloseCode, Rejection};
use std::time::Duration;
use tokio::time::Instant;

/// The least time between two states of one board; and twice what the last took.
const JOIN_REST: Duration = Duration::from_millis(100);
/// States that are kept of a board; the oldest give way.
pub const SNAPSHOTS_MAX: u32 = 50;
/// States that may wait to be kept while another is.
const KEEPS_WAITING_MAX: usize = 4;

impl BoardActor {
    /// Puts a state in the place of what is durable, where the log has grown long. It is made of what is kept, as
    /// it is kept, and elsewhere, while the board goes on.
    pub(super) fn join(&mut self, ctx: &mut Context<Self>) {
        let (Some(at), Some(document)) = (self.joined_at, &self.document) else { return };
        let whiteboards = &self.env.whiteboards;
        let is_worth_it = document.is_long(&whiteboards.bounds) || !self.held.is_empty();
        let is_last = self.is_leaving && document.is_long_to_wake(&whiteboards.bounds);
        if !(is_worth_it || is_last) || at > Instant::now() || document.begins() >= self.durable {
            return;
        }
        // Many boards may be left at once, and whoever opens one does not wait for them.
        let place = if is_worth_it {
            None
        } else {
            let Ok(place) = whiteboards.leaving.clone().try_acquire_owned() else { return };
            Some(place)
        };
        self.joined_at = None;
        let began = Instant::now();
        let (env, key, term, board) = (self.env.clone(), self.key.clone(), self.term, self.board);
        let joining = async move {
            let _place = place;
            let log = Log::from(env.store.board(&key, board).await?);
            let upto = log.number();
            let (state, made) = document::join(log, env.whiteboards.place).await?;
            env.store.compact_board(&key, term, board, upto, &state).await?;
            Ok::<_, NotJoined>((upto, state, made))
        };
        restart::spawn(ctx, joining, move |this: &mut Self, ctx, joined| {
            let rest = began.elapsed().saturating_mul(2).max(JOIN_REST);
            this.joined_at = Instant::now().checked_add(rest);
            restart::later(ctx, rest, |this: &mut Self, ctx| this.turn(ctx, |_| {}));
            let is_joined = joined.is_ok();
            match (joined, &mut this.document) {
                (Ok((upto, state, made)), Some(document)) => document.begins_with(upto, &state, made),
                (Ok(_), None) => {}
                (Err(NotJoined::Store(StoreError::Fenced)), _) => this.over(CloseCode::GoingAway, ctx),
                (Err(error), _) => tracing::warn!(whiteboard = %this.board, %error, "a board's log stays long"),
            }
            for heard in std::mem::take(&mut this.held) {
                match is_joined {
                    true => this.hear(heard.after_waiting(), ctx),
                    false => heard.refuse(Rejection::unavailable("the board has no room just now").into()),
                }
            }
        });
    }

    /// Keeps the state that is durable: one at a time, and those that come meanwhile in their turn.
    pub(super) fn keep(&mut self, mut snapshot: BoardSnapshot, reply: Reply, ctx: &mut Context<Self>) {
        if self.is_keeping && self.keeps.len() < KEEPS_WAITING_MAX {
            return self.keeps.push_back((snapshot, reply));
        }
        if self.is_keeping {
            let busy = Rejection::unavailable("too many snapshots of the whiteboard are being made");
            return drop(reply.send(Err(busy.into())));
        }
        self.is_keeping = true;
        let (env, key, term, board) = (self.env.clone(), self.key.clone(), self.term, self.board);
        let keeping = async move {
            let log = Log::from(env.store.board(&key, board).await?);
            let upto = log.number();
            let state = match log.state() {
                Some(state) if log.tail_updates() == 0 => state,
                _ => document::join(log, env.whiteboards.place).await?.0,
            };
            snapshot.bytes = u64::try_from(state.len()).unwrap_or(u64::MAX);
            env.store.keep_board(&key, term, board, &snapshot, (upto, &state), SNAPSHOTS_MAX).await?;
            Ok::<_, NotJoined>(())
        };
        restart::spawn(ctx, keeping, move |this: &mut Self, ctx, kept: Result<(), NotJoined>| {
            let _ = reply.send(kept.map_err(|error| refused(&error)));
            this.is_keeping = false;
            while !this.is_keeping
                && let Some((snapshot, reply)) = this.keeps.pop_front()
            {
                this.keep(snapshot, reply, ctx);
            }
        });
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NotJoined {
    #[error(transparent)]
    Document(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) fn refused(error: &NotJoined) -> Refused {
    tracing::warn!(%error, "a state of a board was not kept or restored");
    match error {
        NotJoined::Store(StoreError::NotFound) => Rejection::not_found("no such whiteboard").into(),
        NotJoined::Store(StoreError::Fenced) => Refused::Elsewhere,
        _ => Rejection::unavailable("the database is out of reach").into(),
    }
}
