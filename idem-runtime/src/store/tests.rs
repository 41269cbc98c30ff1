//! What holds of [`OutboxStore`] on each database. The suites run on SQLite here; the relay's own
//! tests run the statements of the others on their servers.

mod dead_letters;
mod look;
mod relays;
mod settle;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::Duration;

use sqlx::Pool;
use uuid::Uuid;

use super::*;
use crate::shard::ShardSet;

/// A database of a test's own.
pub(super) struct TestStore<DB: Database> {
    pub(super) pool: Pool<DB>,
    pub(super) home: Home,
    /// What keeps the database.
    pub(super) _kept: Box<dyn Send + Sync>,
}

/// What the suites need besides the store.
pub(super) trait TestDatabase: OutboxStore {
    fn create() -> impl Future<Output = TestStore<Self>> + Send;

    /// Runs statements; the numbers of the first column of their rows.
    fn run(pool: &Pool<Self>, sql: String) -> impl Future<Output = Vec<i64>> + Send;

    /// A value of `idem_outbox.id`.
    fn id(id: Uuid) -> String;

    /// The column `key`.
    const KEY: &str = "key";
}

impl<DB: TestDatabase> TestStore<DB> {
    /// Emits events of the topic `t` with these keys and the IDs 1, 2, 3 and so on, each in its
    /// shard.
    pub(super) async fn emit(&self, keys: &[&str]) -> Vec<Place> {
        let mut places = Vec::new();
        for (key, id) in keys.iter().zip(1..) {
            places.push(self.insert(id, "t", key, "{}", "x").await);
        }
        places
    }

    pub(super) async fn insert(
        &self,
        id: u128,
        topic: &str,
        key: &str,
        headers: &str,
        payload: &str,
    ) -> Place {
        let id = Uuid::from_u128(id);
        let values = format!(
            "{}, {}, '{topic}', '{key}', 'T', '{payload}', 'application/json', '{headers}'",
            DB::id(id),
            crate::shard::shard_of(Some(key), id),
        );
        self.insert_values("", &values).await;
        let seq = self.number("SELECT max(seq) FROM idem_outbox").await;
        Place { seq, id }
    }

    /// `more` are further columns, after the values of the ordinary ones.
    pub(super) async fn insert_values(&self, more: &str, values: &str) {
        let payload_as_bytes = values.replace("'x'", Self::payload());
        self.run(&format!(
            "INSERT INTO idem_outbox (id, shard, topic, {}, type, payload, content_type, headers{more}) \
             VALUES ({payload_as_bytes})",
            DB::KEY,
        ))
        .await;
    }

    fn payload() -> &'static str {
        if DB::SYSTEM == "postgresql" {
            "'x'::bytea"
        } else {
            "X'78'"
        }
    }

    pub(super) async fn run(&self, sql: &str) -> Vec<i64> {
        DB::run(&self.pool, sql.to_owned()).await
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        let numbers = self.run(sql).await;
        assert_eq!(numbers.len(), 1, "{sql}");
        numbers[0]
    }

    pub(super) async fn look(&self, args: &LookArgs<'_>) -> Look {
        let mut conn = self.pool.acquire().await.unwrap();
        DB::look(&mut conn, &self.home, args).await.unwrap()
    }

    /// What a look sees that has no limit.
    pub(super) async fn look_all(&self) -> Vec<FoundRow> {
        self.look(&all()).await.rows
    }

    pub(super) async fn settle(&self, settlement: &Settlement<'_>) -> bool {
        let mut conn = self.pool.acquire().await.unwrap();
        let settled = DB::settle(&mut conn, &self.home, settlement).await;
        settled.unwrap()
    }

    pub(super) async fn members(&self) -> Vec<Member> {
        let mut conn = self.pool.acquire().await.unwrap();
        DB::members(&mut conn, &self.home).await.unwrap()
    }

    pub(super) async fn coordinate<T: Send>(
        &self,
        decide: impl FnOnce(&[Member]) -> (Changes, T) + Send,
    ) -> T {
        let mut conn = self.pool.acquire().await.unwrap();
        let decided = DB::coordinate(&mut conn, &self.home, decide).await;
        decided.unwrap()
    }

    /// Makes a relay of the target `default` that owns these shards.
    pub(super) async fn join(&self, owner: Uuid, shards: ShardSet) {
        let membership = membership(owner, shards);
        self.coordinate(|_| (put(membership), ())).await;
    }
}

pub(super) static ALL_TOPICS: Topics = Topics(None);

pub(super) fn all() -> LookArgs<'static> {
    LookArgs {
        target: "default",
        selection: Selection {
            shards: ShardSet::ALL,
            topics: &ALL_TOPICS,
        },
        cursor: 0,
        unseen: &[],
        limit: Limit {
            events: 1_000,
            bytes: 1 << 20,
        },
        with_attempts: true,
    }
}

pub(super) fn membership(owner: Uuid, shards: ShardSet) -> Membership {
    Membership {
        target: "default".into(),
        owner,
        session: None,
        topics: Topics::default(),
        shards,
        lease: Duration::from_mins(1),
    }
}

pub(super) fn put(membership: Membership) -> Changes {
    Changes {
        put: Some(membership),
        ..Changes::default()
    }
}

pub(super) fn seqs(rows: &[FoundRow]) -> Vec<i64> {
    rows.iter().map(|row| row.seq).collect()
}

pub(super) fn events(rows: Vec<FoundRow>) -> Vec<FoundEvent> {
    rows.into_iter().filter_map(|row| row.event).collect()
}

/// Runs the functions of the suites on one database.
macro_rules! suites {
    ($database:ident: $($suite:ident::{$($law:ident),* $(,)?})*) => {
        $(mod $suite {
            $(#[tokio::test]
            async fn $law() {
                crate::store::tests::$suite::$law::<sqlx::$database>().await;
            })*
        })*
    };
}
pub(super) use suites;

/// All of them.
macro_rules! every_suite {
    ($database:ident) => {
        $crate::store::tests::suites! { $database:
            look::{
                rows_are_in_order_and_those_of_others_are_numbers_alone,
                a_look_ends_at_its_limits_and_says_so,
                numbers_that_were_not_seen_are_read_below_the_cursor,
                a_row_that_can_not_be_read_fails_alone,
                an_event_is_read_again_by_its_place,
                places_are_found_between_two_numbers,
                the_outbox_has_events_of_some_topics,
                an_empty_look_has_a_horizon,
            }
            settle::{
                what_was_published_is_deleted_by_number_and_id,
                attempts_are_seen_by_the_next_look_of_their_target,
                nothing_is_written_for_shards_of_another_relay,
                a_dead_letter_is_written_once_and_takes_its_attempts,
                settling_twice_is_settling_once,
                attempts_that_nothing_touches_are_purged,
            }
            dead_letters::{
                letters_go_back_in_their_order_under_new_numbers,
                a_letter_stays_where_its_event_is_there_with_other_content,
                letters_are_chosen_by_topic_and_by_id,
                letters_of_others_are_left_alone,
                a_letter_that_can_not_be_read_is_shown_and_goes_back,
                the_backlog_counts_by_topic,
            }
            relays::{
                a_relay_is_a_member_as_long_as_its_lease,
                a_relay_is_dead_as_soon_as_its_session_is,
                relays_coordinate_one_at_a_time,
                a_decision_that_fails_changes_nothing,
            }
        }
    };
}
pub(super) use every_suite;
