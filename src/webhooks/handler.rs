//! What the outbox's deliverer does with a row that is a webhook, and the door that REST comes in by.

use super::client::Signed;
use super::deliveries::message_id;
use super::fan_out::Notice;
use super::{Client, Secrets, message};
use crate::adapters::store::Db;
use crate::outbox::{Attempt, Failure, Handler, Leased, Queue, Target};
use async_trait::async_trait;
use convoke_actors::ports::{MeetingKey, Store, StoreError};
use convoke_domain::Seq;
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Clone)]
pub struct Webhooks {
    pub(super) db: Db,
    pub(super) secrets: Secrets,
    store: Arc<dyn Store>,
    client: Client,
    written: Arc<Notify>,
}

impl Webhooks {
    /// `written` is told of whatever is to be sent at once.
    pub fn new(db: Db, store: Arc<dyn Store>, secrets: Secrets, client: Client, written: Arc<Notify>) -> Self {
        Self { db, secrets, store, client, written }
    }

    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Whether endpoints may be within the operator's network, and without TLS.
    pub fn allows_private(&self) -> bool {
        self.client.allows_private()
    }

    pub fn written(&self) -> &Arc<Notify> {
        &self.written
    }

    pub(super) fn wake(&self) {
        self.written.notify_one();
    }

    /// Tells the tenant's integrators something that is no event of a log, once for its key.
    pub async fn tell(&self, notice: &Notice) -> Result<u64, StoreError> {
        let written = super::enqueue(&self.db, notice).await?;
        if written > 0 {
            self.wake();
        }
        Ok(written)
    }

    /// What a row says, as it is by now. None: what it was about is not there any more.
    async fn body(&self, row: &Leased, target: &Target) -> Result<Option<String>, StoreError> {
        let Some(seq) = target.seq else {
            let data = serde_json::from_str(&row.payload).ok();
            return Ok(data.map(|data| message::body(&target.kind, row.created_at, &data)));
        };
        let key = MeetingKey { tenant: row.tenant.clone(), meeting: row.meeting };
        let events = self.store.events(&key, Seq(seq.0.saturating_sub(1)), 1).await?;
        let Some(event) = events.first().filter(|event| event.seq == seq) else { return Ok(None) };
        let title = Queue::webhooks(self.db.clone()).meeting(&row.tenant, row.meeting).await?.map(|(title, _)| title);
        Ok(Some(message::body(&event.kind, event.at, &message::of_event(row.meeting, title, event))))
    }
}

fn given_up(why: &str) -> Attempt {
    Attempt { outcome: Err(Failure::Permanent(why.to_owned())), status: None }
}

#[async_trait]
impl Handler for Webhooks {
    async fn attempt(&self, row: &Leased) -> Result<Attempt, StoreError> {
        let Some(target) = &row.target else { return Ok(given_up("the row has no endpoint")) };
        let Some(endpoint) = self.endpoint(&row.tenant, &target.endpoint).await? else {
            return Ok(given_up("the endpoint is not there any more"));
        };
        if endpoint.disabled {
            return Ok(given_up("the endpoint is disabled"));
        }
        let Some(body) = self.body(row, target).await? else { return Ok(given_up("the event is not in the log")) };
        let Some(signing) = self.signing(&row.tenant, &endpoint.id).await? else {
            return Ok(given_up("the endpoint is not there any more"));
        };
        let (id, at_s) = (message_id(&row.idempotency_key), i64::try_from(message::now_s()).unwrap_or(i64::MAX));
        let Some(signature) = self.secrets.sign(&row.tenant, &signing, &id, at_s, &body) else {
            return Ok(given_up("the message cannot be signed"));
        };
        let sent = self.client.send(&endpoint.url, Signed { id: &id, at_s, signature: &signature, body }).await;
        let (status, failure, is_disabled) = match sent {
            Ok(status @ 200..=299) => {
                self.works(&row.tenant, &endpoint).await?;
                return Ok(Attempt { outcome: Ok(()), status: Some(status) });
            }
            Ok(status @ 410) => {
                let failure = Failure::Permanent(super::disabled::GONE.to_owned());
                (Some(status), failure, self.gone(&row.tenant, &endpoint).await?)
            }
            Ok(status) => {
                let failure = Failure::Temporary(format!("the endpoint answered {status}"));
                (Some(status), failure, self.fails(&row.tenant, &endpoint).await?)
            }
            Err(why) => (None, Failure::Temporary(why.to_owned()), self.fails(&row.tenant, &endpoint).await?),
        };
        if is_disabled {
            metrics::counter!("convoke_webhooks_disabled_total").increment(1);
            tracing::warn!(tenant = %row.tenant, endpoint = %endpoint.id, "a webhook endpoint is disabled");
        }
        Ok(Attempt { outcome: Err(failure), status })
    }
}
