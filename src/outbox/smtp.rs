//! Mail by SMTP. What goes wrong is told by its kind and by the server's code: answers of servers
//! repeat addresses, and URLs hold passwords.

use super::{Failure, Letter, Mail};
use async_trait::async_trait;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::Error;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use std::time::{Duration, UNIX_EPOCH};

/// For each answer of the server.
const ANSWER: Duration = Duration::from_secs(20);
/// Answers after which no repetition helps: the address or the mailbox is not one. Everything else
/// may be the server's or the configuration's fault, and is tried again.
const NEVER: [u16; 5] = [501, 550, 551, 553, 556];

pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// What is wrong with the URL of a mail server, if anything is.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("must begin with smtp:// or smtps://")?;
    if !matches!(scheme, "smtp" | "smtps") || rest.is_empty() {
        return Err("must begin with smtp:// or smtps://");
    }
    let has_tls = scheme == "smtps" || url.ends_with("tls=required");
    if rest.contains('@') && !has_tls {
        return Err("has a password, so it must be smtps:// or end with ?tls=required");
    }
    AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map(drop).map_err(|_| "cannot be understood")
}

pub fn check_sender(from: &str) -> bool {
    from.parse::<Mailbox>().is_ok()
}

impl Smtp {
    /// None where the URL or the sender is not what the checks above ask for.
    pub fn new(url: &SecretString, from: &str) -> Option<Self> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret()).ok()?;
        Some(Self { transport: transport.timeout(Some(ANSWER)).build(), from: from.parse().ok()? })
    }

    fn message(&self, letter: &Letter) -> Result<Message, Failure> {
        let to: lettre::Address =
            letter.to.parse().map_err(|_| Failure::Permanent("the address is not one".to_owned()))?;
        let id = format!("<{}@{}>", letter.id, self.from.email.domain());
        let written = UNIX_EPOCH.checked_add(Duration::from_millis(letter.written_at)).unwrap_or(UNIX_EPOCH);
        Message::builder()
            .message_id(Some(id))
            .date(written)
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject.clone())
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body.clone())
            .map_err(|_| Failure::Permanent("the mail cannot be written".to_owned()))
    }
}

fn failure(error: &Error) -> Failure {
    match error.status().map(u16::from) {
        Some(code) if NEVER.contains(&code) => Failure::Permanent(format!("the mail server answered {code}")),
        Some(code) => Failure::Temporary(format!("the mail server answered {code}")),
        None if error.is_timeout() => Failure::Temporary("the mail server did not answer in time".to_owned()),
        None if error.is_tls() => Failure::Temporary("no TLS with the mail server".to_owned()),
        None if error.is_response() => Failure::Temporary("the mail server does not speak SMTP".to_owned()),
        None => Failure::Temporary("no connection to the mail server".to_owned()),
    }
}

#[async_trait]
impl Mail for Smtp {
    async fn send(&self, letter: &Letter) -> Result<(), Failure> {
        let message = self.message(letter)?;
        self.transport.send(message).await.map(drop).map_err(|error| failure(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_over_tls_or_not_at_all() {
        for good in [
            "smtp://127.0.0.1:2525",
            "smtps://user:s3cret@mail.example",
            "smtp://user:s3cret@mail.example:587?tls=required",
            "smtp://mail.example?tls=opportunistic",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "mail.example",
            "https://mail.example",
            "smtp://",
            "smtp://user:s3cret@mail.example",
            "smtp://user:s3cret@mail.example?tls=opportunistic",
            "smtps://user:s3cret@mail.example:port",
        ] {
            assert!(check_url(bad).is_err_and(|why| !why.contains("s3cret")), "{bad}");
        }
        assert!(check_sender("Convoke <meet@example.org>") && check_sender("meet@example.org"));
        assert!(!check_sender("nobody") && !check_sender("a@b\r\nBcc: c@d"));
    }

    #[test]
    fn a_mail_is_the_same_however_often_it_is_sent() {
        let smtp = Smtp::new(&"smtp://127.0.0.1:1".to_owned().into(), "Convoke <meet@example.org>").unwrap();
        let letter = Letter {
            id: "invitation.7".into(),
            to: "ada@example.org".into(),
            subject: "Grüße".into(),
            body: "a line\r\n".into(),
            written_at: 1_795_219_200_000,
        };
        let text = String::from_utf8(smtp.message(&letter).unwrap().formatted()).unwrap();
        assert!(text.contains("Message-ID: <invitation.7@example.org>\r\n"), "{text}");
        assert!(text.contains("To: ada@example.org\r\n") && !text.contains("Grüße"), "{text}");
        assert_eq!(String::from_utf8(smtp.message(&letter).unwrap().formatted()).unwrap(), text);
        let wrong = Letter { to: "ada@example.org, eve@example.org".into(), ..letter };
        assert!(matches!(smtp.message(&wrong), Err(Failure::Permanent(_))));
    }
}
