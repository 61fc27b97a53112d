//! What a mail says.

use super::{Failure, InvitationCodes};
use crate::outbox::queue::Leased;
use convoke_domain::shapes::Role;
use convoke_domain::{InvitationId, Millis};
use serde::{Deserialize, Serialize};

/// A mail to one person. Its id stays the same however often it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    pub id: String,
    pub to: String,
    pub subject: String,
    pub body: String,
    pub written_at: Millis,
}

/// Without what it says: that is between two people.
impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What the outbox keeps of an invitation: everything but its code.
#[derive(Debug, Serialize, Deserialize)]
pub struct Invited {
    pub id: InvitationId,
    pub email: String,
    pub role: Role,
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Host => "host",
        Role::Cohost => "co-host",
        Role::Viewer => "viewer",
        Role::Participant | Role::Agent | Role::Recorder => "participant",
    }
}

/// One line, whatever was typed.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The mail of an invitation. `base_url` is where people find this server.
pub fn invitation(row: &Leased, title: &str, codes: &InvitationCodes, base_url: &str) -> Result<Letter, Failure> {
    let unreadable = || Failure::Permanent("the row cannot be read".to_owned());
    let Invited { id, email, role: given } = serde_json::from_str(&row.payload).map_err(|_| unreadable())?;
    let code = codes.code(&row.tenant, id).ok_or_else(unreadable)?;
    let title = one_line(title);
    Ok(Letter {
        id: row.idempotency_key.replace(':', "."),
        to: email,
        subject: format!("Invitation: {title}"),
        body: format!(
            "You are invited to the meeting \"{title}\", as {}.\r\n\r\nJoin here:\r\n{base_url}/invite#code={code}\r\n\r\n\
             The link is yours alone: whoever has it can join in your place.\r\n",
            role(given)
        ),
        written_at: row.created_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_domain::{MeetingId, TenantId};
    use uuid::Uuid;

    #[test]
    fn an_invitation_has_its_link_and_no_line_of_its_own_in_the_subject() {
        let invited = Invited { id: InvitationId(Uuid::nil()), email: "a@example.org".into(), role: Role::Cohost };
        let row = Leased {
            row: 1,
            tenant: TenantId("acme".into()),
            meeting: MeetingId(Uuid::nil()),
            topic: "mail.invitation".into(),
            idempotency_key: "invitation:1".into(),
            payload: serde_json::to_string(&invited).unwrap(),
            created_at: 5,
            attempt: 1,
            target: None,
        };
        let codes = InvitationCodes::new(b"secret");
        let letter = invitation(&row, "Weekly\r\nBcc: all@example.org", &codes, "https://meet.example").unwrap();
        assert_eq!(letter.subject, "Invitation: Weekly  Bcc: all@example.org");
        let code = codes.code(&row.tenant, invited.id).unwrap();
        assert!(letter.body.contains(&format!("https://meet.example/invite#code={code}")), "{}", letter.body);
        assert_eq!((letter.to.as_str(), letter.id.as_str(), letter.written_at), ("a@example.org", "invitation.1", 5));
        assert!(!format!("{letter:?}").contains(&code), "nothing of it is logged by accident");
        let torn = Leased { payload: "{".into(), ..row };
        assert!(matches!(invitation(&torn, "Weekly", &codes, ""), Err(Failure::Permanent(_))));
    }
}
