//! Which policy a recording falls under, and what that means for it now: pure, so that every case can be
//! tested. A hold is above everything. Of several policies that delete, the one with the narrowest scope
//! decides (a meeting before a kind of room before a kind of recording before all), of equal ones the one
//! that keeps longer; and so, by themselves, of those that move. What is to be deleted is not moved first.

use convoke_domain::recording::{RecordingKind, RecordingStatus};
use convoke_domain::shapes::RoomKind;
use convoke_domain::{MeetingId, Millis};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use uuid::Uuid;

pub const DAY_MS: u64 = 86_400_000;

/// Which recordings a policy is for: those that all of this is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = StoragePolicyScope)]
pub struct Scope {
    /// One meeting's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub meeting: Option<MeetingId>,
    /// `composite`, `tracks`, `audio` or `screen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub kind: Option<RecordingKind>,
    /// Those of `main` rooms, or of `breakout` rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub room: Option<RoomKind>,
}

impl Scope {
    fn holds(&self, subject: &Subject) -> bool {
        self.meeting.is_none_or(|meeting| meeting == subject.meeting)
            && self.kind.is_none_or(|kind| kind == subject.kind)
            && self.room.is_none_or(|room| room == subject.room)
    }

    /// The narrower, the more.
    fn narrowness(&self) -> u8 {
        u8::from(self.meeting.is_some()) * 4 + u8::from(self.room.is_some()) * 2 + u8::from(self.kind.is_some())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = StoragePolicy)]
pub struct Policy {
    pub id: Uuid,
    pub name: String,
    /// After so many days something becomes of a recording. They count from its end.
    pub days: u64,
    /// Its files are moved into this tier; absent: they are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Recordings in its scope are kept, whatever other policies say; `days` and `tier` mean nothing then.
    pub legal_hold: bool,
    pub scope: Scope,
    pub enabled: bool,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// What is asked of a recording.
#[derive(Clone, Debug)]
pub struct Subject {
    pub meeting: MeetingId,
    pub kind: RecordingKind,
    pub room: RoomKind,
    pub status: RecordingStatus,
    /// When it ended, or was asked for where it never began.
    pub since: Millis,
    pub legal_hold: bool,
    pub tier: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    /// By a hold of its own, or by a policy's.
    Held,
    Delete(Uuid),
    Move(Uuid, String),
}

/// What is to become of a recording now.
pub fn choose(policies: &[Policy], subject: &Subject, now: Millis) -> Verdict {
    let matching = || policies.iter().filter(|policy| policy.enabled && policy.scope.holds(subject));
    if subject.legal_hold || matching().any(|policy| policy.legal_hold) {
        return Verdict::Held;
    }
    if !subject.status.is_over() {
        return Verdict::Keep;
    }
    let age = now.saturating_sub(subject.since);
    let is_due = |policy: &&Policy| age >= policy.days.saturating_mul(DAY_MS);
    let decides = |moves: bool| {
        let these = matching().filter(|policy| policy.tier.is_some() == moves);
        these.max_by_key(|policy| (policy.scope.narrowness(), policy.days, Reverse(policy.id)))
    };
    if let Some(policy) = decides(false).filter(is_due) {
        return Verdict::Delete(policy.id);
    }
    match decides(true).filter(is_due) {
        Some(Policy { id, tier: Some(tier), .. }) if subject.tier.as_ref() != Some(tier) => {
            Verdict::Move(*id, tier.clone())
        }
        _ => Verdict::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000 * DAY_MS;

    fn policy(id: u128, days: u64, tier: Option<&str>, scope: Scope) -> Policy {
        let (id, name, tier) = (Uuid::from_u128(id), String::new(), tier.map(str::to_owned));
        Policy { id, name, days, tier, legal_hold: false, scope, enabled: true, created_at: 0, updated_at: 0 }
    }

    fn subject(days: u64) -> Subject {
        Subject {
            meeting: MeetingId(Uuid::from_u128(1)),
            kind: RecordingKind::Composite,
            room: RoomKind::Main,
            status: RecordingStatus::Completed,
            since: NOW - days * DAY_MS,
            legal_hold: false,
            tier: None,
        }
    }

    fn of_meeting(number: u128) -> Scope {
        Scope { meeting: Some(MeetingId(Uuid::from_u128(number))), ..Scope::default() }
    }

    fn deletes(id: u128) -> Verdict {
        Verdict::Delete(Uuid::from_u128(id))
    }

    #[test]
    fn what_is_old_enough_and_over_is_deleted_and_nothing_else() {
        let all = [policy(1, 30, None, Scope::default())];
        assert_eq!(choose(&all, &subject(30), NOW), deletes(1));
        assert_eq!(choose(&all, &Subject { since: subject(30).since + 1, ..subject(30) }, NOW), Verdict::Keep);
        assert_eq!(
            choose(&all, &Subject { since: NOW + DAY_MS, ..subject(0) }, NOW),
            Verdict::Keep,
            "a clock went back"
        );
        for status in [
            RecordingStatus::Pending,
            RecordingStatus::Recording,
            RecordingStatus::Stopping,
            RecordingStatus::Processing,
        ] {
            assert_eq!(choose(&all, &Subject { status, ..subject(99) }, NOW), Verdict::Keep, "{status:?}");
        }
        let failed = Subject { status: RecordingStatus::Failed, ..subject(30) };
        assert_eq!(choose(&all, &failed, NOW), deletes(1));
        assert_eq!(choose(&[Policy { enabled: false, ..all[0].clone() }], &subject(99), NOW), Verdict::Keep);
        assert_eq!(choose(&[], &subject(99), NOW), Verdict::Keep);
    }

    #[test]
    fn a_hold_is_above_everything() {
        let mut policies = vec![policy(1, 1, None, of_meeting(1)), policy(2, 1, Some("cold"), Scope::default())];
        assert_eq!(choose(&policies, &Subject { legal_hold: true, ..subject(99) }, NOW), Verdict::Held);
        policies.push(Policy { legal_hold: true, ..policy(3, 9, None, Scope::default()) });
        assert_eq!(choose(&policies, &subject(99), NOW), Verdict::Held);
        policies[2].scope = of_meeting(2);
        assert_eq!(choose(&policies, &subject(99), NOW), deletes(1), "another meeting's hold");
        policies[2].scope = of_meeting(1);
        policies[2].enabled = false;
        assert_eq!(choose(&policies, &subject(99), NOW), deletes(1));
    }

    #[test]
    fn the_narrowest_scope_decides_and_of_equal_ones_the_longer() {
        let breakouts = Scope { room: Some(RoomKind::Breakout), ..Scope::default() };
        let mains = Scope { room: Some(RoomKind::Main), ..Scope::default() };
        let composites = Scope { kind: Some(RecordingKind::Composite), ..Scope::default() };
        let mut policies = vec![policy(1, 1, None, Scope::default()), policy(2, 10, None, composites.clone())];
        assert_eq!(choose(&policies, &subject(5), NOW), Verdict::Keep);
        assert_eq!(choose(&policies, &subject(10), NOW), deletes(2));
        policies.push(policy(3, 20, None, mains));
        policies.push(policy(4, 0, None, breakouts));
        assert_eq!(choose(&policies, &subject(19), NOW), Verdict::Keep, "a kind of room before a kind of recording");
        policies.push(policy(5, 7, None, of_meeting(1)));
        assert_eq!(choose(&policies, &subject(7), NOW), deletes(5), "a meeting before all, though it is shorter");
        assert_eq!(choose(&policies, &Subject { meeting: MeetingId(Uuid::nil()), ..subject(7) }, NOW), Verdict::Keep);
        policies.push(policy(6, 8, None, of_meeting(1)));
        assert_eq!(choose(&policies, &subject(7), NOW), Verdict::Keep, "what keeps longer is safer");
        assert_eq!(choose(&policies, &subject(8), NOW), deletes(6));
    }

    #[test]
    fn moving_and_deleting_are_decided_by_themselves() {
        let policies = [policy(1, 30, None, Scope::default()), policy(2, 7, Some("cold"), of_meeting(1))];
        let cold = Verdict::Move(Uuid::from_u128(2), "cold".to_owned());
        assert_eq!(choose(&policies, &subject(6), NOW), Verdict::Keep);
        assert_eq!(choose(&policies, &subject(7), NOW), cold);
        let moved = Subject { tier: Some("cold".to_owned()), ..subject(7) };
        assert_eq!(choose(&policies, &moved, NOW), Verdict::Keep, "it is there already");
        assert_eq!(choose(&policies, &Subject { since: NOW - 30 * DAY_MS, ..moved }, NOW), deletes(1));
        assert_eq!(choose(&policies, &subject(30), NOW), deletes(1), "it is not moved first");
    }
}
