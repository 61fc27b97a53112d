//! Resume tokens: opaque to clients, the same for every socket of a session, valid on any node for
//! as long as the session is, which the meeting knows: they carry no date. The form is short,
//! because every snapshot holds one: three ids, the tenant, and an HMAC-SHA256 in base64url, made
//! with a secret of 32 bytes that the database keeps.

use convoke_actors::ports::{MeetingKey, Ticket};
use convoke_domain::{MeetingId, ParticipantId, SessionId, TenantId, WhiteboardId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use uuid::Uuid;

const TOKEN_BYTES_MAX: usize = 2 * 1024;
/// What is signed begins with the token's purpose, so that no other signature of this secret can
/// ever be taken for it.
const PURPOSE: &str = "r1.";
/// A board's token names the board besides.
const BOARD_PURPOSE: &str = "b1.";

pub struct ResumeTokens {
    signing: EncodingKey,
    checking: DecodingKey,
}

impl ResumeTokens {
    pub fn new(secret: &[u8]) -> Self {
        Self { signing: EncodingKey::from_secret(secret), checking: DecodingKey::from_secret(secret) }
    }

    pub fn mint(&self, ticket: &Ticket) -> String {
        self.sign(format!("{PURPOSE}{}", text_of(ticket)))
    }

    pub fn mint_board(&self, ticket: &Ticket, board: WhiteboardId) -> String {
        self.sign(format!("{BOARD_PURPOSE}{}.{}", board.0.simple(), text_of(ticket)))
    }

    fn sign(&self, text: String) -> String {
        // Signing cannot fail with a key of this algorithm; an empty token resumes nothing.
        crypto::sign(text.as_bytes(), &self.signing, Algorithm::HS256)
            .map(|signature| format!("{text}.{signature}"))
            .unwrap_or_default()
    }

    pub fn verify(&self, token: &str) -> Option<Ticket> {
        ticket_of(self.signed(token)?.strip_prefix(PURPOSE)?)
    }

    pub fn verify_board(&self, token: &str) -> Option<(Ticket, WhiteboardId)> {
        let (board, rest) = self.signed(token)?.strip_prefix(BOARD_PURPOSE)?.split_once('.')?;
        Some((ticket_of(rest)?, WhiteboardId(Uuid::try_parse(board).ok()?)))
    }

    /// What was signed, where the signature is good.
    fn signed<'a>(&self, token: &'a str) -> Option<&'a str> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (text, signature) = token.rsplit_once('.')?;
        // The comparison takes the same time wherever the signatures differ.
        if !crypto::verify(signature, text.as_bytes(), &self.checking, Algorithm::HS256).ok()? {
            return None;
        }
        Some(text)
    }
}

fn text_of(ticket: &Ticket) -> String {
    let (meeting, session, participant) = (ticket.key.meeting.0, ticket.session.0, ticket.participant.0);
    format!("{}.{}.{}.{}", meeting.simple(), session.simple(), participant.simple(), ticket.key.tenant)
}

fn ticket_of(text: &str) -> Option<Ticket> {
    let mut parts = text.splitn(4, '.');
    let mut id = || Uuid::try_parse(parts.next()?).ok();
    let (meeting, session, participant) = (id()?, id()?, id()?);
    let tenant = TenantId(parts.next()?.to_owned());
    Some(Ticket {
        key: MeetingKey { tenant, meeting: MeetingId(meeting) },
        session: SessionId(session),
        participant: ParticipantId(participant),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(tenant: &str) -> Ticket {
        Ticket {
            key: MeetingKey { tenant: TenantId(tenant.into()), meeting: MeetingId(Uuid::now_v7()) },
            session: SessionId(Uuid::now_v7()),
            participant: ParticipantId(Uuid::now_v7()),
        }
    }

    #[test]
    fn a_ticket_comes_back_as_it_was_whatever_the_tenant_is_called() {
        let tokens = ResumeTokens::new(b"one secret");
        for tenant in ["t", "with.dots.in.it", "ünïcode", "."] {
            let ticket = ticket(tenant);
            assert_eq!(tokens.verify(&tokens.mint(&ticket)), Some(ticket));
        }
    }

    #[test]
    fn a_board_token_opens_its_board_and_resumes_nothing() {
        let tokens = ResumeTokens::new(b"one secret");
        for tenant in ["t", "with.dots.in.it"] {
            let (ticket, board) = (ticket(tenant), WhiteboardId(Uuid::now_v7()));
            let token = tokens.mint_board(&ticket, board);
            assert_eq!(tokens.verify_board(&token), Some((ticket.clone(), board)));
            assert_eq!(tokens.verify(&token), None);
            assert_eq!(tokens.verify_board(&tokens.mint(&ticket)), None);
        }
    }

    #[test]
    fn the_token_is_the_same_each_time() {
        let ticket = ticket("t");
        assert_eq!(ResumeTokens::new(b"one").mint(&ticket), ResumeTokens::new(b"one").mint(&ticket));
    }

    #[test]
    fn only_tokens_of_this_secret_are_good() {
        let tokens = ResumeTokens::new(b"one secret");
        let token = tokens.mint(&ticket("t"));
        assert_eq!(ResumeTokens::new(b"another").verify(&token), None);
        for bad in ["", ".", "r1.", "a.b.c", "r1.a.b.c.d.e", &token.replace('.', "x"), &"x".repeat(3_000)] {
            assert_eq!(tokens.verify(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_change_anywhere_in_the_token_spoils_it() {
        let tokens = ResumeTokens::new(b"one secret");
        let token = tokens.mint(&ticket("tenant"));
        let end = token.rfind('.').unwrap();
        for place in 0..end {
            let mut bytes = token.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            assert_eq!(tokens.verify(std::str::from_utf8(&bytes).unwrap()), None, "byte {place}");
        }
        assert_eq!(tokens.verify(&token[..end]), None);
    }
}
