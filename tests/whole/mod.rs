//! All that a database holds, to be searched for what it must not hold any more.

use convoke::adapters::store::Db;
use sqlx::{AssertSqlSafe, Row};

/// Every row of every table, as text, with the table's name before it.
pub async fn everything(db: &Db) -> Vec<String> {
    let mut all = Vec::new();
    match db {
        Db::Sqlite { read, .. } => {
            let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
            let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(read).await.unwrap();
            for table in tables {
                let columns = sqlx::query(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")));
                let quoted: Vec<String> = columns
                    .fetch_all(read)
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| format!("quote({})", row.get::<String, _>(0)))
                    .collect();
                let sql = format!("SELECT '{table} ' || {} FROM {table}", quoted.join(" || ',' || "));
                let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(read).await.unwrap();
                all.extend(rows);
            }
        }
        Db::Postgres(pool) => {
            let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
            let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(pool).await.unwrap();
            for table in tables {
                let sql = format!("SELECT '{table} ' || t::text FROM {table} t");
                let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
                all.extend(rows);
            }
        }
    }
    all
}

/// Whether an id stands somewhere, in whatever way a database writes one.
pub fn holds(text: &str, id: &str) -> bool {
    let text = text.to_lowercase();
    text.contains(id) || text.contains(&id.replace('-', ""))
}
