//! Who may come in: API tokens and join tokens, signed by the tenants' keys, and resume tokens,
//! signed by the server's own secret. HS256 and nothing else is accepted. What is wrong with a token
//! is never told outside, and the token itself is never logged.

mod keyring;
mod keys;
mod resume;

pub use keyring::{API_TTL_S_MAX, JOIN_TTL_S_MAX, Keyring};
pub use keys::{ApiKey, KeyError, SECRET_CHARS_GOOD, parse_keys};
pub use resume::ResumeTokens;

use convoke_actors::ports::{Admission, Doors, MeetingKey, Ticket};
use convoke_domain::shapes::Role;
use convoke_domain::{MeetingId, Millis, TenantId, UserId, WhiteboardId};

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Forged, expired, of an unknown key, or no token at all: outside there is no difference.
    #[error("the token is not valid")]
    Unauthenticated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    Api { tenant: TenantId, key: String },
    Join(JoinClaims),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinClaims {
    pub tenant: TenantId,
    pub key: String,
    pub meeting: MeetingId,
    pub user: Option<UserId>,
    pub name: Option<String>,
    pub role: Role,
    pub expires_at: Millis,
}

/// What a join token to be made says.
#[derive(Clone, Debug)]
pub struct Mint {
    pub meeting: MeetingId,
    pub user: Option<UserId>,
    pub name: Option<String>,
    pub role: Role,
    pub ttl_s: u64,
}

/// The actors' door: join tokens in, resume tokens in and out.
pub struct Gate {
    keyring: Keyring,
    resume: ResumeTokens,
}

impl Gate {
    pub fn new(keyring: Keyring, resume: ResumeTokens) -> Self {
        Self { keyring, resume }
    }
}

impl Doors for Gate {
    fn admission(&self, token: &str) -> Option<Admission> {
        match self.keyring.verify(token).ok()? {
            Bearer::Api { .. } => None,
            Bearer::Join(claims) => Some(Admission {
                key: MeetingKey { tenant: claims.tenant, meeting: claims.meeting },
                user: claims.user,
                name: claims.name,
                role: claims.role,
            }),
        }
    }

    fn ticket(&self, resume_token: &str) -> Option<Ticket> {
        self.resume.verify(resume_token)
    }

    fn resume_token(&self, ticket: &Ticket) -> String {
        self.resume.mint(ticket)
    }

    fn board_ticket(&self, token: &str) -> Option<(Ticket, WhiteboardId)> {
        self.resume.verify_board(token)
    }

    fn board_token(&self, ticket: &Ticket, board: WhiteboardId) -> String {
        self.resume.mint_board(ticket, board)
    }
}
