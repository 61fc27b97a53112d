//! The way to the meetings of this cluster. A webhook names a meeting and not its tenant, so it is looked
//! for with each of them, and remembered. A meeting that nobody serves is woken where a recording goes on,
//! whose end it has to hear of; not because somebody came or went: it looks who is there when it is served
//! again, and nobody who is let in is there before that.

use super::Dropped;
use super::deliver::{Outcome, Owners};
use async_trait::async_trait;
use convoke_actors::meeting::ToMeeting;
use convoke_actors::ports::{MediaNews, MeetingKey, StoreError};
use convoke_actors::supervisor::Meetings;
use convoke_domain::{Code, MeetingId, TenantId};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Meetings whose tenant is remembered.
const KNOWN_MAX: usize = 20_000;
/// Keys in one question to the database.
const KEYS_MAX: usize = 1_000;

pub struct Cluster {
    meetings: Meetings,
    tenants: Vec<TenantId>,
    known: Mutex<HashMap<MeetingId, TenantId>>,
}

impl Cluster {
    pub fn new(meetings: Meetings, tenants: Vec<TenantId>) -> Self {
        Self { meetings, tenants, known: Mutex::default() }
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<MeetingId, TenantId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for meetings with every tenant that there is.
    async fn look_for(&self, meetings: &[MeetingId]) -> Result<Vec<MeetingKey>, StoreError> {
        let of_one = |meeting: &MeetingId| {
            let meeting = *meeting;
            self.tenants.iter().map(move |tenant| MeetingKey { tenant: tenant.clone(), meeting })
        };
        let at_once = KEYS_MAX.checked_div(self.tenants.len()).unwrap_or(KEYS_MAX).max(1);
        let mut found = Vec::new();
        for some in meetings.chunks(at_once) {
            let keys: Vec<MeetingKey> = some.iter().flat_map(of_one).collect();
            let heads = self.meetings.env().store.heads(&keys).await?;
            found.extend(heads.into_iter().map(|(key, ..)| key));
        }
        Ok(found)
    }

    /// Whether anybody serves it, or did until they died: then whoever takes it over is told.
    async fn is_served(&self, key: &MeetingKey) -> Result<bool, StoreError> {
        if self.meetings.is_active(key) {
            return Ok(true);
        }
        Ok(self.meetings.env().store.head(key).await?.owner.is_some())
    }
}

#[async_trait]
impl Owners for Cluster {
    async fn known(&self, meetings: &[MeetingId]) -> Option<HashMap<MeetingId, MeetingKey>> {
        let mut keys = HashMap::new();
        let mut strange = Vec::new();
        {
            let known = self.remembered();
            for meeting in meetings {
                match known.get(meeting) {
                    Some(tenant) => {
                        keys.insert(*meeting, MeetingKey { tenant: tenant.clone(), meeting: *meeting });
                    }
                    None => strange.push(*meeting),
                }
            }
        }
        if strange.is_empty() {
            return Some(keys);
        }
        let found = self
            .look_for(&strange)
            .await
            .inspect_err(|error| tracing::warn!(%error, "the meetings of webhooks could not be looked up"))
            .ok()?;
        let mut known = self.remembered();
        for key in found {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(key.meeting, key.tenant.clone());
            keys.insert(key.meeting, key);
        }
        Some(keys)
    }

    async fn tell(&self, key: &MeetingKey, news: &MediaNews) -> Outcome {
        if news.takes.is_empty() {
            match self.is_served(key).await {
                Ok(true) => {}
                Ok(false) => return Outcome::Dropped(Dropped::Asleep),
                Err(StoreError::NotFound) => return Outcome::Dropped(Dropped::Unknown),
                Err(_) => return Outcome::Later,
            }
        }
        match self.meetings.send(key, ToMeeting::News(news.clone())).await {
            Ok(()) => Outcome::Told,
            Err(refused) => match refused.code {
                Code::Unavailable => Outcome::Later,
                Code::NotFound => Outcome::Dropped(Dropped::Unknown),
                _ => Outcome::Dropped(Dropped::Refused),
            },
        }
    }
}
