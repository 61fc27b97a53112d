//! Group commit for all meetings of the node, and for what is drawn in them. While one transaction is
//! under way, what arrives is gathered into the next, up to a number of events and of bytes drawn; so a
//! lone command is written at once, and a thousand a second share their syncs. One command is never
//! split. Where a shared transaction fails, its parts are committed singly: nobody fails for another.

use crate::ports::{BoardCommit, Commit, MeetingKey, Store, StoreError};
use crate::restart::{self, Restart};
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient};
use convoke_domain::{Seq, Term};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::{Instrument, Span};

/// Events and updates in one transaction, unless a single part has more.
pub const BATCH_EVENTS_MAX: usize = 512;
/// Bytes of updates in one transaction, unless a single part has more: everybody waits for it.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
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

/// Part of a board's log, to be written. The number that the log reaches is answered as if it were a seq.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Draw {
    pub commit: BoardCommit,
    pub reply: Recipient<Committed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Fenced,
    /// Nobody knows whether it was written: the log has to be read again.
    Unknown,
}

/// The answer: the log of this meeting or board is durable up to here, or it cannot be said.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Committed {
    pub term: Term,
    pub outcome: Result<Seq, Failure>,
}

enum Part {
    Meeting(Commit),
    Board(BoardCommit),
}

impl Part {
    fn term(&self) -> Term {
        match self {
            Self::Meeting(commit) => commit.term,
            Self::Board(commit) => commit.term,
        }
    }

    fn reaches(&self) -> Seq {
        match self {
            Self::Meeting(commit) => commit.reaches(),
            Self::Board(commit) => Seq(commit.reaches()),
        }
    }

    fn size(&self) -> Size {
        match self {
            Self::Meeting(commit) => Size { events: commit.events.len(), bytes: 0 },
            Self::Board(commit) => Size { events: commit.updates.len(), bytes: commit.bytes() },
        }
    }

    /// Takes in the other one where it follows this one.
    fn join(&mut self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Meeting(this), Self::Meeting(next)) if this.term == next.term && this.reaches() == next.after => {
                this.events.extend(next.events);
                this.outbox.extend(next.outbox);
                this.boards.extend(next.boards);
                this.wake_at = next.wake_at;
                None
            }
            (Self::Board(this), Self::Board(next)) if this.term == next.term && this.reaches() == next.after => {
                this.updates.extend(next.updates);
                this.restored = next.restored.or(this.restored);
                None
            }
            (_, other) => Some(other),
        }
    }

    fn is_of_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Meeting(this), Self::Meeting(other)) => this.key == other.key,
            (Self::Board(this), Self::Board(other)) => this.board == other.board && this.key == other.key,
            _ => false,
        }
    }
}

/// What a transaction has to carry.
#[derive(Clone, Copy, Default)]
struct Size {
    events: usize,
    bytes: usize,
}

impl Size {
    fn with(self, more: Self) -> Self {
        Self { events: self.events.saturating_add(more.events), bytes: self.bytes.saturating_add(more.bytes) }
    }

    fn is_too_much(self) -> bool {
        self.events > BATCH_EVENTS_MAX || self.bytes > BATCH_BYTES_MAX
    }
}

struct Entry {
    part: Part,
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
        let mut size = Size::default();
        while let Some(entry) = self.pending.front() {
            let larger = size.with(entry.part.size());
            if !batch.is_empty() && larger.is_too_much() {
                break;
            }
            size = larger;
            if let Some(entry) = self.pending.pop_front() {
                join_or_push(&mut batch, entry);
            }
        }
        self.under_way = batch.iter().map(|entry| (entry.part.term(), entry.reply.clone())).collect();
        metrics::histogram!("convoke_journal_batch_events").record(f64_of(size.events));
        let store = Arc::clone(&self.store);
        let generation = self.generation;
        let began = Instant::now();
        let span = commit_span(&batch, size.events);
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
    let commit = tracing::info_span!(parent: first, "commit", events, parts = batch.len());
    for other in spans {
        commit.follows_from(other);
    }
    commit
}

fn f64_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Commits of one meeting, or of one board, that follow each other become one.
fn join_or_push(batch: &mut Vec<Entry>, entry: Entry) {
    let Entry { part, spans, reply } = entry;
    let earlier = batch.iter_mut().rev().find(|other| other.part.is_of_the_same(&part));
    let left = match earlier {
        Some(earlier) => match earlier.part.join(part) {
            None => return earlier.spans.extend(spans),
            Some(part) => part,
        },
        None => part,
    };
    batch.push(Entry { part: left, spans, reply });
}

/// Where a part of a batch stands among those of its kind.
enum Place {
    Meeting(usize),
    Board(usize),
}

async fn write(store: Arc<dyn Store>, batch: Vec<Entry>) -> Vec<(Recipient<Committed>, Committed)> {
    // Two lists for the store; what each part is answered stands apart, in the order in which they came.
    let (mut commits, mut boards) = (Vec::new(), Vec::new());
    let mut answers = Vec::with_capacity(batch.len());
    let mut places = Vec::with_capacity(batch.len());
    for Entry { part, reply, .. } in batch {
        answers.push((reply, Committed { term: part.term(), outcome: Ok(part.reaches()) }));
        match part {
            Part::Meeting(commit) => {
                places.push(Place::Meeting(commits.len()));
                commits.push(commit);
            }
            Part::Board(commit) => {
                places.push(Place::Board(boards.len()));
                boards.push(commit);
            }
        }
    }
    let Err(error) = store.commit(&commits, &boards).await else { return answers };
    if let [(_, only)] = answers.as_mut_slice() {
        only.outcome = Err(failure_of(&error));
        return answers;
    }
    let mut is_away = false;
    for ((_, answer), place) in answers.iter_mut().zip(places) {
        // A database that is away is not asked once for every part.
        if is_away {
            answer.outcome = Err(Failure::Unknown);
            continue;
        }
        let single = match place {
            Place::Meeting(at) => store.commit(commits.get(at..=at).unwrap_or_default(), &[]).await,
            Place::Board(at) => store.commit(&[], boards.get(at..=at).unwrap_or_default()).await,
        };
        if let Err(error) = single {
            is_away = matches!(error, StoreError::Unavailable(_));
            answer.outcome = Err(failure_of(&error));
        }
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
        owed.extend(pending.into_iter().map(|entry| (entry.part.term(), entry.reply)));
        for (term, reply) in owed {
            tell(ctx, reply, Committed { term, outcome: Err(Failure::Unknown) });
        }
    }
}

impl Handler<Append> for Journal {
    type Result = ();

    fn handle(&mut self, append: Append, ctx: &mut Self::Context) {
        let Append { commit, spans, reply } = append;
        self.pending.push_back(Entry { part: Part::Meeting(commit), spans, reply });
        restart::guarded(self, ctx, |journal, ctx| journal.write_next(ctx));
    }
}

impl Handler<Draw> for Journal {
    type Result = ();

    fn handle(&mut self, draw: Draw, ctx: &mut Self::Context) {
        let Draw { commit, reply } = draw;
        self.pending.push_back(Entry { part: Part::Board(commit), spans: Vec::new(), reply });
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
