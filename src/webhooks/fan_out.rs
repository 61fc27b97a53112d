//! From one thing that happened to a row of the outbox for each endpoint that is to be told, in one
//! statement, so that there is no list of endpoints that could be out of date. What happened while an
//! endpoint was disabled is written down as failed: it can be sent again on request.

use super::{TOLD_WITHIN, TOPIC, kinds, millis};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, unavailable};
use crate::projections::{Statement, Value, run};
use convoke_actors::ports::{EventRow, MeetingKey, StoreError};
use convoke_domain::{MeetingId, Millis, Seq, TenantId};
use uuid::Uuid;

/// Things of one statement.
const ROWS: usize = 500;

/// Something that a tenant's integrators are to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub tenant: TenantId,
    /// Whose the message is; none where it is not about one meeting.
    pub meeting: Option<MeetingId>,
    pub kind: String,
    pub at: Millis,
    /// One thing has one key: it is told once, however often it is handed over. It stands in the
    /// message's id, so it has letters, digits, `-`, `_` and `:` alone.
    pub key: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An event: its data is read from the log when it is sent.
    Event(Seq),
    /// The data itself, which nobody can erase any more: ids, not names.
    Data(serde_json::Value),
}

impl Notice {
    /// A message that is no event of a log.
    pub fn message(
        tenant: TenantId,
        meeting: Option<MeetingId>,
        kind: &str,
        at: Millis,
        key: &str,
        data: serde_json::Value,
    ) -> Self {
        Self { tenant, meeting, kind: kind.to_owned(), at, key: key.to_owned(), what: What::Data(data) }
    }
}

/// What is told of a page of a log.
pub(crate) fn notices(key: &MeetingKey, rows: &[EventRow]) -> Vec<Notice> {
    let notice = |row: &EventRow| Notice {
        tenant: key.tenant.clone(),
        meeting: Some(key.meeting),
        kind: row.kind.clone(),
        at: row.at,
        key: format!("{}:{}", key.meeting, row.seq),
        what: What::Event(row.seq),
    };
    rows.iter().filter(|row| kinds::is_told(&row.kind, &row.audience)).map(notice).collect()
}

/// The statements that write the rows; `clock` is the database's.
pub(crate) fn statements(notices: &[Notice], clock: &str) -> impl Iterator<Item = Statement> {
    notices.chunks(ROWS).map(move |notices| {
        let place = |row: usize| {
            let from = row.saturating_mul(7);
            let places: Vec<String> = (1..=7_usize).map(|place| format!("${}", from.saturating_add(place))).collect();
            format!("({})", places.join(", "))
        };
        let places: Vec<String> = (0..notices.len()).map(place).collect();
        let (places, within) = (places.join(", "), millis(TOLD_WITHIN));
        let disabled = "e.disabled_at IS NOT NULL";
        let sql = format!(
            "WITH n (tenant, meeting, kind, at, key, seq, payload) AS (VALUES {places}) \
             INSERT INTO outbox (tenant, meeting, topic, idempotency_key, payload, created_at, next_attempt_at, \
             endpoint, kind, seq, dead_at, error) \
             SELECT n.tenant, n.meeting, '{TOPIC}', 'webhook:' || e.id || ':' || n.key, n.payload, n.at, {clock}, \
             e.id, n.kind, n.seq, CASE WHEN {disabled} THEN {clock} END, \
             CASE WHEN {disabled} THEN 'the endpoint is disabled' END \
             FROM n JOIN webhook_endpoints e ON e.tenant = n.tenant \
             WHERE e.created_at <= n.at AND n.at > {clock} - {within} \
             AND (e.types = '' OR e.types LIKE '% ' || n.kind || ' %') ON CONFLICT DO NOTHING"
        );
        Statement { sql: sql.into(), values: notices.iter().flat_map(values).collect() }
    })
}

fn values(notice: &Notice) -> [Value; 7] {
    let (seq, payload) = match &notice.what {
        What::Event(seq) => (Some(seq.0), String::new()),
        What::Data(data) => (None, data.to_string()),
    };
    [
        notice.tenant.0.as_str().into(),
        notice.meeting.map_or(Uuid::nil(), |meeting| meeting.0).into(),
        notice.kind.as_str().into(),
        notice.at.into(),
        notice.key.as_str().into(),
        seq.into(),
        payload.into(),
    ]
}

/// Tells a tenant's integrators something that is no event of a log: writes a row for each endpoint
/// that asked for this type, and answers how many. The same key twice is one message. Whoever holds
/// [`super::Webhooks`] calls its `tell`, which also has it sent at once.
pub async fn enqueue(db: &Db, notice: &Notice) -> Result<u64, StoreError> {
    let clock = db.clock();
    let mut written = 0_u64;
    on_pool!(db, pool => {
        let mut transaction = pool.begin().await.map_err(unavailable)?;
        for statement in statements(std::slice::from_ref(notice), clock) {
            written = written.saturating_add(run!(transaction, statement).rows_affected());
        }
        transaction.commit().await.map_err(unavailable)?;
    });
    Ok(written)
}
