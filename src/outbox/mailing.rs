//! What the deliverer does with a row that is mail.

use super::deliverer::{Attempt, Handler};
use super::letter::{self, Letter};
use super::queue::{Leased, Queue};
use super::{Failure, INVITATION, InvitationCodes, Mail};
use async_trait::async_trait;
use convoke_actors::ports::StoreError;
use std::sync::Arc;
use std::time::Duration;

pub struct Mailing {
    queue: Queue,
    mail: Arc<dyn Mail>,
    codes: InvitationCodes,
    base_url: String,
    /// How long the mail server may take.
    delivery: Duration,
}

impl Mailing {
    pub fn new(
        queue: Queue,
        mail: Arc<dyn Mail>,
        codes: InvitationCodes,
        base_url: String,
        delivery: Duration,
    ) -> Self {
        Self { queue, mail, codes, base_url, delivery }
    }

    async fn send(&self, letter: &Letter) -> Result<(), Failure> {
        let too_long = |_| Failure::Temporary("the mail server took too long".to_owned());
        tokio::time::timeout(self.delivery, self.mail.send(letter)).await.map_err(too_long)?
    }
}

#[async_trait]
impl Handler for Mailing {
    async fn attempt(&self, row: &Leased) -> Result<Attempt, StoreError> {
        if row.topic != INVITATION {
            return Ok(Err(Failure::Permanent("the topic is not known".to_owned())).into());
        }
        let meeting = self.queue.meeting(&row.tenant, row.meeting).await?;
        let Some((title, is_over)) = meeting else {
            return Ok(Err(Failure::Temporary("the meeting is not in the read models yet".to_owned())).into());
        };
        if is_over {
            // Nobody is invited to what is over; there is nothing left to deliver.
            return Ok(Ok(()).into());
        }
        Ok(match letter::invitation(row, &title, &self.codes, &self.base_url) {
            Ok(letter) => self.send(&letter).await.into(),
            Err(failure) => Err(failure).into(),
        })
    }
}
