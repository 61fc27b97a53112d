//! Credentials for the media are good for a while only, so that they cannot outlive what they were given
//! for by much. Whoever is attached is given new ones before the old ones end.

use super::{Live, millis};
use crate::frame;
use convoke_domain::{Millis, SessionId};

/// Of their life, credentials are used for so many tenths before they are renewed.
const TENTHS: Millis = 8;
/// Those that are due soon are renewed along with those that are due.
const ALONG_MS: Millis = 5_000;
/// After a takeover nobody knows how old credentials are: they are renewed within this time, not all at once.
const SPREAD_MS: Millis = 60_000;

impl Live {
    /// The session was given credentials just now.
    pub(super) fn granted(&mut self, session: SessionId) {
        if let Some(lifetime) = self.env.media.lifetime() {
            let wait = millis(lifetime).saturating_mul(TENTHS) / 10;
            self.renewals.insert(session, self.env.clock.now().saturating_add(wait));
        }
    }

    /// The session has credentials that another owner gave it.
    pub(super) fn granted_elsewhere(&mut self, session: SessionId) {
        if self.env.media.lifetime().is_some() && !self.renewals.contains_key(&session) {
            let (_, low) = session.0.as_u64_pair();
            self.renewals.insert(session, self.env.clock.now().saturating_add(low % SPREAD_MS));
        }
    }

    pub(super) fn renew_media(&mut self, now: Millis) {
        if self.renewals.values().all(|at| *at > now) {
            return;
        }
        let soon = now.saturating_add(ALONG_MS);
        let due: Vec<SessionId> = self.renewals.iter().filter(|(_, at)| **at <= soon).map(|(id, _)| *id).collect();
        for session in due {
            self.renewals.remove(&session);
            self.grant(session);
        }
    }

    /// Gives a session that is attached, and inside, new credentials.
    pub(super) fn grant(&mut self, session: SessionId) {
        let Some(socket) = self.socket_of(session) else { return };
        let Some(shown) = Self::shown(&self.key, &self.env, &self.state, session) else { return };
        if shown.member.is_inside() {
            let data = format!(r#"{{"media":{}}}"#, shown.credentials().get());
            self.tell(socket, frame::notice("media.granted", &data));
            self.granted(session);
        }
    }
}
