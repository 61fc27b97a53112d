//! What is to be delivered: written with its event, delivered by one node at a time, tried again,
//! given up.

use super::read_models::{Story, each, follow, projections};
use super::rebuilding::on_database;
use super::smtp::{Manner, Smtp};
use super::{is_fenced, key};
use convoke::adapters::store::{Db, Opened};
use convoke::outbox::{Counts, Deliverer, Fate, InvitationCodes, Mailing, Policy, Queue, Recording};
use convoke_actors::ports::{Commit, MeetingKey, Store};
use convoke_domain::{Command, Seq, Term};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const SENDER: &str = "Convoke <meet@example.org>";

/// A meeting with these guests invited, and the part of its log that invites them.
struct Inviting {
    opened: Opened,
    key: MeetingKey,
    term: Term,
    story: Story,
    written: usize,
}

impl Inviting {
    async fn begin(opened: Opened, guests: usize) -> Self {
        let key = key();
        let mut story = Story::begin(&key);
        follow(&opened, &key, &story.rows, 1, &[projections(&opened)]).await;
        projections(&opened).catch_up(&key).await.unwrap();
        let life = opened.store.boot("a", super::LEASE).await.unwrap();
        let term = opened.store.take(&key, &life).await.unwrap().term;
        for number in 0..guests {
            story.invite(&format!("guest{number}@example.org"), &format!("{}-{number}", key.meeting));
        }
        Self { opened, key, term, story, written: 1 }
    }

    fn recording(&self, written: &Arc<Notify>) -> Recording {
        Recording::new(Arc::clone(&self.opened.store), Arc::clone(written))
    }

    fn commit(&self, term: Term) -> Commit {
        let events = self.story.rows[self.written..].to_vec();
        let after = Seq(u64::try_from(self.written).unwrap());
        Commit { key: self.key.clone(), term, after, events, wake_at: None, outbox: Vec::new(), boards: Vec::new() }
    }

    /// Writes what is not written, and has it read.
    async fn write(&mut self) {
        self.recording(&Arc::default()).commit(&[self.commit(self.term)], &[]).await.unwrap();
        self.written = self.story.rows.len();
        projections(&self.opened).catch_up(&self.key).await.unwrap();
    }

    fn queue(&self) -> Queue {
        Queue::mail(self.opened.db.clone())
    }

    async fn counts(&self) -> (u64, u64) {
        let Counts { waiting, dead } = self.queue().counts().await.unwrap();
        (waiting, dead)
    }

    fn deliverer(&self, smtp: &Smtp, policy: Policy) -> Deliverer {
        let mail = convoke::outbox::Smtp::new(&smtp.url.clone().into(), SENDER).unwrap();
        let base_url = "https://meet.example".to_owned();
        let mailing = Mailing::new(self.queue(), Arc::new(mail), codes(), base_url, policy.delivery);
        Deliverer::new(self.queue(), Arc::new(mailing), policy)
    }

    /// Everything that the table holds besides ids and times.
    async fn texts(&self) -> String {
        let sql = "SELECT payload || COALESCE(error, '') FROM outbox";
        let rows: Vec<String> = match &self.opened.db {
            Db::Sqlite { read, .. } => sqlx::query_scalar(sql).fetch_all(read).await.unwrap(),
            Db::Postgres(pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
        };
        rows.concat()
    }
}

fn codes() -> InvitationCodes {
    InvitationCodes::new(b"secret")
}

/// Without waits, so that what failed is due again at once.
fn at_once() -> Policy {
    Policy { wait: Duration::ZERO, attempts_max: 3, ..Policy::default() }
}

#[tokio::test]
async fn mail_is_to_be_sent_if_and_only_if_its_invitation_is_written() {
    each(async |name, opened| {
        let mut inviting = Inviting::begin(opened, 2).await;
        let written = Arc::<Notify>::default();
        let recording = inviting.recording(&written);
        let fenced = recording.commit(&[inviting.commit(Term(99))], &[]).await;
        assert!(is_fenced(&fenced), "{name}");
        assert_eq!(inviting.counts().await, (0, 0), "{name}");
        recording.commit(&[inviting.commit(inviting.term)], &[]).await.unwrap();
        assert_eq!(inviting.counts().await, (2, 0), "{name}");
        written.notified().await;
        // What has nothing to be sent goes by untouched.
        inviting.written = inviting.story.rows.len();
        inviting.story.operator(Command::StartMeeting(Default::default()));
        inviting.write().await;
        assert_eq!(inviting.counts().await, (2, 0), "{name}");
    })
    .await;
}

#[tokio::test]
async fn an_invitation_is_sent_once_with_its_code() {
    each(async |name, opened| {
        let smtp = Smtp::start(&[]).await;
        let mut inviting = Inviting::begin(opened, 1).await;
        inviting.write().await;
        let deliverer = inviting.deliverer(&smtp, at_once());
        assert_eq!((deliverer.pass().await.unwrap(), deliverer.pass().await.unwrap()), (1, 0), "{name}");
        let received = smtp.received();
        let [mail] = &received[..] else { panic!("{name}: {received:?}") };
        let page = projections(&inviting.opened).invitations(&inviting.key, None, 10).await.unwrap();
        let id = page.items[0].id;
        assert_eq!(mail.code(), codes().code(&inviting.key.tenant, id).unwrap(), "{name}: {}", mail.data);
        assert!(mail.to.contains("<guest0@example.org>"), "{name}: {}", mail.to);
        assert_eq!(mail.header("Message-ID"), format!("<invitation.{id}@example.org>"), "{name}");
        assert_eq!(mail.header("Subject"), "Invitation: Before", "{name}");
        assert_eq!(mail.header("From"), "Convoke <meet@example.org>", "{name}");
        assert_eq!(inviting.counts().await, (0, 0), "{name}");
        assert_eq!(inviting.texts().await, "", "the address is not needed any more, {name}");
    })
    .await;
}

#[tokio::test]
async fn what_fails_for_a_while_is_sent_again_as_the_same_mail() {
    each(async |name, opened| {
        let smtp = Smtp::start(&[Manner::Refuse(451), Manner::HangUp]).await;
        let mut inviting = Inviting::begin(opened, 1).await;
        inviting.write().await;
        let deliverer = inviting.deliverer(&smtp, at_once());
        assert_eq!(deliverer.pass().await.unwrap(), 1, "{name}");
        assert_eq!((smtp.received().len(), inviting.counts().await), (0, (1, 0)), "{name}");
        // The server has it, and nobody here can know.
        assert_eq!(deliverer.pass().await.unwrap(), 1, "{name}");
        assert_eq!((smtp.received().len(), inviting.counts().await), (1, (1, 0)), "{name}");
        assert_eq!(deliverer.pass().await.unwrap(), 1, "{name}");
        assert_eq!(inviting.counts().await, (0, 0), "{name}");
        let received = smtp.received();
        assert_eq!(received.len(), 2, "{name}");
        assert_eq!(received[0].data, received[1].data, "{name}: it can be known for the same");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_given_up_and_kept() {
    each(async |name, opened| {
        let smtp = Smtp::start(&[Manner::Refuse(450); 3]).await;
        let mut inviting = Inviting::begin(opened, 1).await;
        inviting.write().await;
        let deliverer = inviting.deliverer(&smtp, at_once());
        for dead in [0, 0, 1] {
            assert_eq!(deliverer.pass().await.unwrap(), 1, "{name}");
            assert_eq!(inviting.counts().await, (1 - dead, dead), "{name}");
        }
        assert_eq!((deliverer.pass().await.unwrap(), smtp.received().len()), (0, 0), "{name}");
        let texts = inviting.texts().await;
        assert!(texts.contains("the mail server answered 450"), "{name}: {texts}");
        assert!(!texts.contains("is not wanted"), "the server's own words may hold anything, {name}: {texts}");
        assert_eq!(inviting.queue().tidy().await.unwrap(), 0, "what is fresh is not forgotten, {name}");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_address_is_not_tried_twice_and_a_silent_server_is() {
    each(async |name, opened| {
        let smtp = Smtp::start(&[Manner::Refuse(550), Manner::Silent]).await;
        let mut inviting = Inviting::begin(opened, 1).await;
        inviting.write().await;
        let policy = Policy { delivery: Duration::from_millis(50), ..at_once() };
        assert_eq!(inviting.deliverer(&smtp, at_once()).pass().await.unwrap(), 1, "{name}");
        assert_eq!(inviting.counts().await, (0, 1), "{name}");
        inviting.story.invite("another@example.org", &format!("{}-another", inviting.key.meeting));
        inviting.write().await;
        assert_eq!(inviting.deliverer(&smtp, policy).pass().await.unwrap(), 1, "{name}");
        assert_eq!(inviting.counts().await, (1, 1), "{name}");
        assert!(inviting.texts().await.contains("took too long"), "{name}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_nodes_one_delivers_a_row() {
    const GUESTS: usize = 60;
    each(async |name, opened| {
        let smtp = Smtp::start(&[]).await;
        let mut inviting = Inviting::begin(opened, GUESTS).await;
        inviting.write().await;
        let nodes: Vec<Deliverer> = (0..3).map(|_| inviting.deliverer(&smtp, at_once())).collect();
        let work = nodes.iter().map(|node| async move { while node.pass().await.unwrap() > 0 {} });
        futures_util::future::join_all(work).await;
        let received = smtp.received();
        let ids: BTreeSet<String> = received.iter().map(|mail| mail.header("Message-ID")).collect();
        assert_eq!((received.len(), ids.len()), (GUESTS, GUESTS), "{name}");
        assert_eq!(inviting.counts().await, (0, 0), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_lease_keeps_others_away_and_ends() {
    each(async |name, opened| {
        let mut inviting = Inviting::begin(opened, 1).await;
        inviting.write().await;
        let queue = inviting.queue();
        let over = queue.lease(8, Duration::ZERO).await.unwrap();
        let held = queue.lease(8, super::LEASE).await.unwrap();
        assert_eq!((over[0].attempt, held[0].attempt), (1, 2), "{name}: the first lease was over at once");
        assert!(!queue.is_due().await.unwrap() && queue.lease(8, super::LEASE).await.unwrap().is_empty(), "{name}");
        // Whoever had it before has nothing to say about it any more.
        assert!(!queue.settle(&over[0], Fate::Done, None, None).await.unwrap(), "{name}");
        assert_eq!(inviting.counts().await, (1, 0), "{name}");
        assert!(queue.settle(&held[0], Fate::Again(super::LEASE), Some("later"), None).await.unwrap(), "{name}");
        assert!(!queue.is_due().await.unwrap(), "it waits, {name}");
        assert_eq!(inviting.counts().await, (1, 0), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_row_that_ends_whoever_delivers_it_is_given_up() {
    each(async |name, opened| {
        let smtp = Smtp::start(&[]).await;
        let mut inviting = Inviting::begin(opened, 1).await;
        inviting.write().await;
        for _ in 0..at_once().attempts_max {
            assert_eq!(inviting.queue().lease(8, Duration::ZERO).await.unwrap().len(), 1, "{name}");
        }
        assert_eq!(inviting.deliverer(&smtp, at_once()).pass().await.unwrap(), 1, "{name}");
        assert_eq!((smtp.received().len(), inviting.counts().await), (0, (0, 1)), "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_is_over_is_forgotten_in_time() {
    each(async |name, opened| {
        let smtp = Smtp::start(&[Manner::Refuse(550)]).await;
        let mut inviting = Inviting::begin(opened, 3).await;
        inviting.write().await;
        let deliverer = inviting.deliverer(&smtp, Policy { at_once: 1, ..at_once() });
        assert_eq!(deliverer.pass().await.unwrap(), 1, "a node takes no more than it may, {name}");
        assert_eq!(deliverer.pass().await.unwrap(), 1, "{name}");
        assert_eq!(inviting.counts().await, (1, 1), "{name}");
        assert_eq!(inviting.queue().tidy().await.unwrap(), 0, "{name}");
        on_database(&inviting.opened.db, "UPDATE outbox SET done_at = 1 WHERE done_at IS NOT NULL").await;
        assert_eq!(inviting.queue().tidy().await.unwrap(), 1, "what was delivered, {name}");
        on_database(&inviting.opened.db, "UPDATE outbox SET dead_at = 1 WHERE dead_at IS NOT NULL").await;
        assert_eq!(inviting.queue().tidy().await.unwrap(), 1, "what was given up, {name}");
        assert_eq!(inviting.counts().await, (1, 0), "what waits is kept, {name}");
    })
    .await;
}

#[tokio::test]
async fn nobody_is_invited_to_what_is_over() {
    each(async |name, opened| {
        let smtp = Smtp::start(&[]).await;
        let mut inviting = Inviting::begin(opened, 1).await;
        inviting.story.operator(Command::CancelMeeting);
        inviting.write().await;
        assert_eq!(inviting.deliverer(&smtp, at_once()).pass().await.unwrap(), 1, "{name}");
        assert_eq!((smtp.received().len(), inviting.counts().await), (0, (0, 0)), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_deliverer_at_work_hears_of_what_is_written_and_stops() {
    each(async |name, opened| {
        let smtp = Smtp::start(&[]).await;
        let inviting = Inviting::begin(opened, 2).await;
        let written = Arc::<Notify>::default();
        // It would not look by itself during this test.
        let policy = Policy { look: Duration::from_secs(3_600), ..at_once() };
        let delivering = inviting.deliverer(&smtp, policy).start(Arc::clone(&written));
        inviting.recording(&written).commit(&[inviting.commit(inviting.term)], &[]).await.unwrap();
        assert_eq!(smtp.has_received(2).await.len(), 2, "{name}");
        delivering.stop().await;
        assert_eq!(inviting.counts().await, (0, 0), "what was under way has ended, {name}");
    })
    .await;
}
