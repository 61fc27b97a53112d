//! `convoke demo-meeting`: a meeting to try things with, and two ways into it, as one JSON line for
//! scripts: `{"meeting":…,"host":{…},"guest":{…}}`.

use super::ways::WayIn;
use super::{Failure, access, say};
use crate::auth::{JOIN_TTL_S_MAX, Mint};
use crate::config::Config;
use convoke_domain::shapes::Role;
use convoke_domain::{MeetingId, UserId};
use serde::Serialize;

#[derive(Serialize)]
struct Demo {
    meeting: MeetingId,
    host: WayIn,
    guest: WayIn,
}

pub async fn demo_meeting(config: &Config) -> Result<(), Failure> {
    let keyring = access::keyring(config).await?;
    let tenant = access::tenant(&keyring, None)?;
    let meeting = access::make_meeting(config, &keyring, &tenant, "A first meeting").await?;
    let way = |name: &str, user: Option<&str>, role: Role| {
        let user = user.map(|user| UserId(user.to_owned()));
        let mint = Mint { meeting, user, name: Some(name.to_owned()), role, ttl_s: JOIN_TTL_S_MAX };
        WayIn::mint(config, &keyring, &tenant, mint)
    };
    let demo =
        Demo { meeting, host: way("Host", Some("host"), Role::Host)?, guest: way("Guest", None, Role::Participant)? };
    say(serde_json::to_string(&demo).map_err(|error| error.to_string())?);
    Ok(())
}
