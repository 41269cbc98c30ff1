//! The relay's statements: each is in the file that is named after what it does.

use sqlx::mysql::MySqlConnection;
use sqlx::{MySql, MySqlPool};
use uuid::Uuid;

use super::session::Session;
use super::{dead_letters, look, relays, settle};
use crate::store::{
    Changes, DeadLetterFilter, DeadLetterRow, FoundEvent, Home, Look, LookArgs, Member,
    OutboxStore, Place, Selection, SeqRange, Settlement, TopicBacklog, Topics,
};

impl OutboxStore for MySql {
    type Session = Session;

    async fn open_session(pool: &MySqlPool, _: &Home, owner: Uuid) -> Result<Session, sqlx::Error> {
        Session::open(pool, owner).await
    }

    async fn members(conn: &mut MySqlConnection, _: &Home) -> Result<Vec<Member>, sqlx::Error> {
        relays::members(conn).await
    }

    async fn coordinate<T: Send>(
        conn: &mut MySqlConnection,
        home: &Home,
        decide: impl FnOnce(&[Member]) -> (Changes, T) + Send,
    ) -> Result<T, sqlx::Error> {
        relays::coordinate(conn, home, decide).await
    }

    async fn look(
        conn: &mut MySqlConnection,
        _: &Home,
        args: &LookArgs<'_>,
    ) -> Result<Look, sqlx::Error> {
        look::look(conn, args).await
    }

    const ASKS_FOR_MISSING: bool = true;

    async fn never_committed(
        conn: &mut MySqlConnection,
        _: &Home,
        missing: &[SeqRange],
    ) -> Result<Vec<SeqRange>, sqlx::Error> {
        look::never_committed(conn, missing).await
    }

    async fn read(
        conn: &mut MySqlConnection,
        _: &Home,
        places: &[Place],
    ) -> Result<Vec<FoundEvent>, sqlx::Error> {
        look::read(conn, places).await
    }

    async fn places(
        conn: &mut MySqlConnection,
        _: &Home,
        selection: &Selection<'_>,
        after: i64,
        up_to: i64,
        limit: u32,
    ) -> Result<Vec<Place>, sqlx::Error> {
        look::places(conn, selection, after, up_to, limit).await
    }

    async fn has_events(
        conn: &mut MySqlConnection,
        _: &Home,
        topics: &Topics,
    ) -> Result<bool, sqlx::Error> {
        look::has_events(conn, topics).await
    }

    async fn settle(
        conn: &mut MySqlConnection,
        _: &Home,
        settlement: &Settlement<'_>,
    ) -> Result<bool, sqlx::Error> {
        settle::settle(conn, settlement).await
    }

    async fn backlog(
        conn: &mut MySqlConnection,
        _: &Home,
    ) -> Result<Vec<TopicBacklog>, sqlx::Error> {
        dead_letters::backlog(conn).await
    }

    async fn count_dead_letters(conn: &mut MySqlConnection, _: &Home) -> Result<u64, sqlx::Error> {
        dead_letters::count(conn).await
    }

    async fn dead_letters(
        conn: &mut MySqlConnection,
        _: &Home,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
        dead_letters::list(conn, after, limit).await
    }

    async fn requeue(
        conn: &mut MySqlConnection,
        _: &Home,
        filter: DeadLetterFilter<'_>,
        limit: u32,
    ) -> Result<u64, sqlx::Error> {
        dead_letters::requeue(conn, filter, limit).await
    }
}
