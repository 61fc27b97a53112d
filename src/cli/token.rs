//! `convoke token`: a way into a meeting for one person, as one line of JSON.

use super::ways::WayIn;
use super::{Failure, access, say};
use crate::auth::{JOIN_TTL_S_MAX, Mint};
use crate::config::Config;
use clap::builder::PossibleValuesParser;
use convoke_domain::shapes::Role;
use convoke_domain::{MeetingId, UserId};

const ROLES: [&str; 6] = ["host", "cohost", "participant", "viewer", "agent", "recorder"];

#[derive(clap::Args)]
pub struct Arguments {
    /// The meeting's id
    #[arg(long, value_name = "ID", required_unless_present = "create", conflicts_with = "create")]
    meeting: Option<MeetingId>,
    /// Makes a meeting of this title instead
    #[arg(long, value_name = "TITLE")]
    create: Option<String>,
    /// The person's name
    #[arg(long)]
    name: String,
    /// What the person may do
    #[arg(long, default_value = "participant", value_parser = PossibleValuesParser::new(ROLES))]
    role: String,
    /// Who the person is to the tenant; absent: a guest
    #[arg(long)]
    user: Option<String>,
    /// How long the token lasts, in seconds
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=JOIN_TTL_S_MAX))]
    ttl_s: u64,
    /// The tenant whose meeting it is, where there are several; absent: the first
    #[arg(long)]
    tenant: Option<String>,
}

pub async fn token(config: &Config, arguments: Arguments) -> Result<(), Failure> {
    let keyring = access::keyring(config).await?;
    let tenant = access::tenant(&keyring, arguments.tenant)?;
    let meeting = match (arguments.meeting, arguments.create) {
        (Some(meeting), _) => meeting,
        (None, Some(title)) => access::make_meeting(config, &keyring, &tenant, &title).await?,
        (None, None) => return Err("--meeting or --create is needed".to_owned()),
    };
    let mint = Mint {
        meeting,
        user: arguments.user.map(UserId),
        name: Some(arguments.name),
        role: role(&arguments.role)?,
        ttl_s: arguments.ttl_s,
    };
    say(WayIn::mint(config, &keyring, &tenant, mint)?.line()?);
    Ok(())
}

fn role(text: &str) -> Result<Role, Failure> {
    serde_json::from_value(text.into()).map_err(|_| format!("there is no role `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_that_is_offered_exists() {
        for text in ROLES {
            assert!(role(text).is_ok(), "{text}");
        }
        assert!(role("emperor").is_err());
    }
}
