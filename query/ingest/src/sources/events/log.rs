//! The durable log: a SQLite file of its own, one writer, acknowledged when on disk.
//!
//! Whoever pushes hands its events to the one writing task and waits. The task takes all that wait, writes them in
//! one transaction (WAL, synchronous: the disk has it), and then answers them all: the cost of a commit is shared.

use std::path::Path;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot};

use super::front::{Accepted, Front, Unwritten};

/// Pushes that may wait at the writer; more wait before it.
const QUEUE: usize = 1_024;
/// Events written in one transaction.
const GROUP: usize = 20_000;

database::row! {
    /// An event in the log.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Logged {
        pub position: i64,
        /// When it was acknowledged, in milliseconds since 1970.
        pub received_at_ms: i64,
        /// The event as it came.
        pub event: String,
    }
}

struct Push {
    events: Vec<(String, String)>,
    received_at_ms: i64,
    done: oneshot::Sender<Result<Accepted, Unwritten>>,
}

/// The log of one source. Cheap to clone; the writing task ends with the last clone.
#[derive(Clone)]
pub struct Log {
    pool: SqlitePool,
    writer: mpsc::Sender<Push>,
}

impl Log {
    /// Opens or creates the log's file, and starts its writing task on the current runtime.
    /// - Errors: the file cannot be opened.
    pub async fn open(file: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(std::time::Duration::from_secs(3))
            .disable_statement_logging();
        let pool = database::sqlite_pool().max_connections(3).connect_with(options).await?;
        const TABLES: &str = "
            CREATE TABLE IF NOT EXISTS events (
                position INTEGER PRIMARY KEY AUTOINCREMENT,
                received_at_ms INTEGER NOT NULL,
                event_id TEXT NOT NULL UNIQUE,
                event TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS readers (name TEXT PRIMARY KEY, position INTEGER NOT NULL);";
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        let (writer, pushes) = mpsc::channel(QUEUE);
        tokio::spawn(write(pool.clone(), pushes));
        Ok(Self { pool, writer })
    }

    /// Events after a position, in order.
    pub async fn after(&self, position: i64, limit: usize) -> Result<Vec<Logged>, sqlx::Error> {
        const AFTER: &str = "SELECT position, received_at_ms, event FROM events WHERE position > $1 ORDER BY position LIMIT $2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        sqlx::query_as(AFTER).bind(position).bind(limit).fetch_all(&self.pool).await
    }

    /// Events `from <= position <= to`, in order.
    pub async fn between(&self, from: i64, to: i64) -> Result<Vec<Logged>, sqlx::Error> {
        const BETWEEN: &str = "SELECT position, received_at_ms, event FROM events
             WHERE position BETWEEN $1 AND $2 ORDER BY position";
        sqlx::query_as(BETWEEN).bind(from).bind(to).fetch_all(&self.pool).await
    }

    /// How far a reader has come; 0 for a new one.
    pub async fn reader(&self, name: &str) -> Result<i64, sqlx::Error> {
        const READER: &str = "SELECT position FROM readers WHERE name = $1";
        let found: Option<i64> = sqlx::query_scalar(READER).bind(name).fetch_optional(&self.pool).await?;
        Ok(found.unwrap_or(0))
    }

    /// Notes how far a reader has come.
    pub async fn note(&self, name: &str, position: i64) -> Result<(), sqlx::Error> {
        const NOTE: &str = "INSERT INTO readers (name, position) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET position = excluded.position";
        sqlx::query(NOTE).bind(name).bind(position).execute(&self.pool).await.map(drop)
    }

    /// Forgets events up to a position that came before `before`; from then on their ids may come again.
    /// - Shape: how many were forgotten.
    pub async fn forget(&self, position: i64, before: DateTime<Utc>) -> Result<u64, sqlx::Error> {
        const FORGET: &str = "DELETE FROM events WHERE position <= $1 AND received_at_ms < $2";
        let forget = sqlx::query(FORGET).bind(position).bind(before.timestamp_millis());
        Ok(forget.execute(&self.pool).await?.rows_affected())
    }
}

#[async_trait]
impl Front for Log {
    /// Returns when the disk has them. An id that is there already is dropped. Of a push all or nothing is taken.
    async fn append(&self, events: Vec<(String, String)>, now: DateTime<Utc>) -> Result<Accepted, Unwritten> {
        let (done, answer) = oneshot::channel();
        let push = Push { events, received_at_ms: now.timestamp_millis(), done };
        self.writer.send(push).await.map_err(|_| Unwritten::Failed)?;
        answer.await.map_err(|_| Unwritten::Failed)?
    }
}

/// Takes all that wait, writes once, answers all.
async fn write(pool: SqlitePool, mut pushes: mpsc::Receiver<Push>) {
    while let Some(first) = pushes.recv().await {
        let mut size = first.events.len();
        let mut group = vec![first];
        while size < GROUP {
            let Ok(next) = pushes.try_recv() else { break };
            size += next.events.len();
            group.push(next);
        }
        match commit(&pool, &group).await {
            Ok(counts) => {
                for (push, count) in group.into_iter().zip(counts) {
                    let _ = push.done.send(Ok(count)); // who asked may have left
                }
            }
            Err(error) => {
                tracing::error!(%error, "the log of source d cannot be written");
                let why = match database::Error::from(error) {
                    database::Error::Full(_) => Unwritten::Full,
                    _ => Unwritten::Failed,
                };
                for push in group {
                    let _ = push.done.send(Err(why));
                }
            }
        }
    }
}

async fn commit(pool: &SqlitePool, group: &[Push]) -> Result<Vec<Accepted>, sqlx::Error> {
    // A whole push is one statement: its events travel as one JSON text of [id, event] pairs.
    const APPEND: &str = "INSERT INTO events (received_at_ms, event_id, event)
         SELECT $1, value ->> 0, value ->> 1 FROM json_each($2) WHERE true
         ON CONFLICT (event_id) DO NOTHING";
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let mut counts = Vec::with_capacity(group.len());
    for push in group {
        let pairs = serde_json::to_string(&push.events).map_err(|e| sqlx::Error::Encode(e.into()))?;
        let append = sqlx::query(APPEND).bind(push.received_at_ms).bind(pairs);
        let accepted = append.execute(&mut *tx).await?.rows_affected();
        counts.push(Accepted { accepted, duplicates: (push.events.len() as u64).saturating_sub(accepted) });
    }
    tx.commit().await?;
    lake::failpoint("source.log-committed");
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(ids: std::ops::Range<u32>) -> Vec<(String, String)> {
        ids.map(|i| (format!("e{i}"), format!("{{\"event_id\":\"e{i}\",\"note\":\"a 'b' \\\" c\"}}")))
            .collect()
    }

    #[tokio::test]
    async fn an_id_counts_once_and_texts_stay_as_they_came() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(&folder.path().join("d.db")).await.unwrap();
        let now = Utc::now();
        let first = log.append(events(0..3), now).await.unwrap();
        let second = log.append(events(1..5), now).await.unwrap();
        assert_eq!((first.accepted, first.duplicates), (3, 0));
        assert_eq!((second.accepted, second.duplicates), (2, 2));
        let all = log.after(0, 100).await.unwrap();
        let texts: Vec<&str> = all.iter().map(|e| e.event.as_str()).collect();
        let expected = events(0..5);
        assert_eq!(texts, expected.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>());
        assert_eq!(log.between(all[1].position, all[2].position).await.unwrap(), all[1..3]);
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.db");
        let log = Log::open(&file).await.unwrap();
        let pushes = (0..20).map(|i| log.append(events(i * 10..i * 10 + 10), Utc::now()));
        let counts = futures::future::join_all(pushes).await;
        assert_eq!(counts.into_iter().map(|c| c.unwrap().accepted).sum::<u64>(), 200);
        log.note("keeper", 7).await.unwrap();
        drop(log);
        let log = Log::open(&file).await.unwrap();
        assert_eq!(log.after(0, 1_000).await.unwrap().len(), 200);
        assert_eq!(log.reader("keeper").await.unwrap(), 7);
        assert_eq!(log.forget(50, Utc::now() + chrono::TimeDelta::days(1)).await.unwrap(), 50);
    }
}
