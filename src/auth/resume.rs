//! Resume tokens: opaque to clients, the same for every socket of a session, valid on any node for
//! as long as the session is. Signed with a secret that the database keeps.

use convoke_actors::ports::{MeetingKey, Ticket};
use convoke_domain::{MeetingId, ParticipantId, SessionId, TenantId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

const TOKEN_BYTES_MAX: usize = 2 * 1024;

#[derive(Serialize, Deserialize)]
struct Claims {
    t: TenantId,
    m: MeetingId,
    s: SessionId,
    p: ParticipantId,
}

pub struct ResumeTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl ResumeTokens {
    pub fn new(secret: &[u8]) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // A resume token ends with its session, which the meeting knows; it has no date of its own.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
        }
    }

    pub fn mint(&self, ticket: &Ticket) -> String {
        let claims = Claims {
            t: ticket.key.tenant.clone(),
            m: ticket.key.meeting,
            s: ticket.session,
            p: ticket.participant,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).unwrap_or_default()
    }

    pub fn verify(&self, token: &str) -> Option<Ticket> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        Some(Ticket {
            key: MeetingKey { tenant: claims.t, meeting: claims.m },
            session: claims.s,
            participant: claims.p,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn only_tokens_of_this_secret_are_good() {
        let tokens = ResumeTokens::new(b"one secret");
        let ticket = Ticket {
            key: MeetingKey { tenant: TenantId("t".into()), meeting: MeetingId(Uuid::now_v7()) },
            session: SessionId(Uuid::now_v7()),
            participant: ParticipantId(Uuid::now_v7()),
        };
        let token = tokens.mint(&ticket);
        assert_eq!(tokens.verify(&token), Some(ticket));
        assert_eq!(ResumeTokens::new(b"another").verify(&token), None);
        assert_eq!(tokens.verify(&token.replace('.', "x")), None);
    }
}
