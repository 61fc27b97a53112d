//! Group commit for all meetings of the node. While one transaction is under way, what arrives is
//! gathered into the next, up to a number of events; so a lone command is written at once, and a
//! thousand a second share their syncs. One command is never split. Where a shared transaction
//! fails, its meetings are committed singly: nobody fails for another.

use crate::ports::{Commit, MeetingKey, Store, StoreError};
use crate::restart::{self, Restart};
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient};
use convoke_domain::{Seq, Term};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::{Instrument, Span};

/// Events in one transaction, unless a single command has more.
pub const BATCH_EVENTS_MAX: usize = 512;
const MAILBOX: usize = 65_536;

/// Part of a meeting's log, to be written.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append {
    pub commit: Commit,
    /// The commands that it came of.
    pub spans: Vec<Span>,
    pub reply: Recipient<Committed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Fenced,
    /// Nobody knows whether it was written: the log has to be read again.
    Unknown,
}

/// The answer: the log of this meeting is durable up to `head`, or it cannot be said.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Committed {
    pub term: Term,
    pub outcome: Result<Seq, Failure>,
}

struct Entry {
    commit: Commit,
    spans: Vec<Span>,
    reply: Recipient<Committed>,
}

pub struct Journal {
    store: Arc<dyn Store>,
    pending: VecDeque<Entry>,
    /// Whom a transaction under way has to be answered to.
    under_way: Vec<(Term, Recipient<Committed>)>,
    generation: u64,
}

impl Journal {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, pending: VecDeque::new(), under_way: Vec::new(), generation: 0 }
    }

    fn write_next(&mut self, ctx: &mut Context<Self>) {
        if !self.under_way.is_empty() || self.pending.is_empty() {
            return;
        }
        let mut batch: Vec<Entry> = Vec::new();
        let mut events = 0_usize;
        while let Some(entry) = self.pending.front() {
            let more = entry.commit.events.len();
            if !batch.is_empty() && events.saturating_add(more) > BATCH_EVENTS_MAX {
                break;
            }
            events = events.saturating_add(more);
            if let Some(entry) = self.pending.pop_front() {
                join_or_push(&mut batch, entry);
            }
        }
        self.under_way = batch.iter().map(|entry| (entry.commit.term, entry.reply.clone())).collect();
        metrics::histogram!("convoke_journal_batch_events").record(f64_of(events));
        let store = Arc::clone(&self.store);
        let generation = self.generation;
        let began = Instant::now();
        let span = commit_span(&batch, events);
        restart::spawn(ctx, write(store, batch).instrument(span), move |journal: &mut Self, ctx, answers| {
            metrics::histogram!("convoke_journal_commit_seconds").record(began.elapsed().as_secs_f64());
            if journal.generation == generation {
                journal.under_way.clear();
                for (reply, committed) in answers {
                    tell(ctx, reply, committed);
                }
                journal.write_next(ctx);
            }
        });
    }
}

/// One transaction is the work of many commands: it stands in the first one's trace, and is linked
/// to the others.
fn commit_span(batch: &[Entry], events: usize) -> Span {
    let mut spans = batch.iter().flat_map(|entry| &entry.spans);
    let Some(first) = spans.next() else { return Span::none() };
    let commit = tracing::info_span!(parent: first, "commit", events, meetings = batch.len());
    for other in spans {
        commit.follows_from(other);
    }
    commit
}

fn f64_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Commits of one meeting that follow each other become one.
fn join_or_push(batch: &mut Vec<Entry>, entry: Entry) {
    let same = |other: &&mut Entry| other.commit.key == entry.commit.key;
    match batch.iter_mut().rev().find(same) {
        Some(earlier) if earlier.commit.term == entry.commit.term && earlier.commit.reaches() == entry.commit.after => {
            earlier.commit.events.extend(entry.commit.events);
            earlier.commit.outbox.extend(entry.commit.outbox);
            earlier.commit.wake_at = entry.commit.wake_at;
            earlier.spans.extend(entry.spans);
        }
        _ => batch.push(entry),
    }
}

async fn write(store: Arc<dyn Store>, batch: Vec<Entry>) -> Vec<(Recipient<Committed>, Committed)> {
    let (commits, replies): (Vec<Commit>, Vec<Recipient<Committed>>) =
        batch.into_iter().map(|entry| (entry.commit, entry.reply)).unzip();
    let shared = store.commit(&commits).await;
    let mut answers = Vec::with_capacity(commits.len());
    let is_single = commits.len() == 1;
    let mut is_away = false;
    for (commit, reply) in commits.into_iter().zip(replies) {
        let outcome = match &shared {
            Ok(()) => Ok(commit.reaches()),
            Err(error) if is_single => Err(failure_of(error)),
            // A database that is away is not asked once for every meeting.
            Err(_) if is_away => Err(Failure::Unknown),
            Err(_) => {
                let single = store.commit(std::slice::from_ref(&commit)).await;
                is_away = matches!(single, Err(StoreError::Unavailable(_)));
                single.map(|()| commit.reaches()).map_err(|error| failure_of(&error))
            }
        };
        answers.push((reply, Committed { term: commit.term, outcome }));
    }
    answers
}

fn failure_of(error: &StoreError) -> Failure {
    tracing::warn!(%error, "a commit failed");
    match error {
        StoreError::Fenced | StoreError::NotFound => {
            metrics::counter!("convoke_commits_fenced_total").increment(1);
            Failure::Fenced
        }
        _ => Failure::Unknown,
    }
}

/// Tells a meeting, also one whose mailbox is full just now.
fn tell(ctx: &mut Context<Journal>, reply: Recipient<Committed>, committed: Committed) {
    if reply.try_send(committed).is_err() && reply.connected() {
        restart::spawn(
            ctx,
            async move {
                let _ = reply.send(committed).await;
            },
            |_: &mut Journal, _, ()| {},
        );
    }
}

impl Actor for Journal {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Restart for Journal {
    const NAME: &'static str = "journal";

    /// What was pending or under way may or may not have been written: its meetings read the log
    /// again, and everything unanswered is sent again by those who asked.
    fn crashed(&mut self, ctx: &mut Self::Context, _why: String) {
        self.generation = self.generation.saturating_add(1);
        let pending = std::mem::take(&mut self.pending);
        let mut owed = std::mem::take(&mut self.under_way);
        owed.extend(pending.into_iter().map(|entry| (entry.commit.term, entry.reply)));
        for (term, reply) in owed {
            tell(ctx, reply, Committed { term, outcome: Err(Failure::Unknown) });
        }
    }
}

impl Handler<Append> for Journal {
    type Result = ();

    fn handle(&mut self, append: Append, ctx: &mut Self::Context) {
        let Append { commit, spans, reply } = append;
        self.pending.push_back(Entry { commit, spans, reply });
        restart::guarded(self, ctx, |journal, ctx| journal.write_next(ctx));
    }
}

/// Asks to be told when everything appended before has been written or has failed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Flush(pub tokio::sync::oneshot::Sender<()>);

impl Handler<Flush> for Journal {
    type Result = ();

    fn handle(&mut self, flush: Flush, ctx: &mut Self::Context) {
        if self.pending.is_empty() && self.under_way.is_empty() {
            let _ = flush.0.send(());
        } else {
            let again = ctx.address();
            ctx.run_later(std::time::Duration::from_millis(2), move |_, _| {
                let _ = again.try_send(flush);
            });
        }
    }
}

/// The journal as its meetings see it.
pub type JournalAddr = Addr<Journal>;

/// The meeting that a commit belongs to, for logs.
pub fn name_of(key: &MeetingKey) -> String {
    format!("{}/{}", key.tenant, key.meeting)
}
