//! The relay's statements: each is in the file that is named after what it does.

use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Postgres};
use uuid::Uuid;

use super::session::Session;
use super::{dead_letters, look, relays, session, settle};
use crate::store::{
    Changes, DeadLetterFilter, DeadLetterRow, FoundEvent, Home, Look, LookArgs, Member,
    OutboxStore, Place, Selection, Settlement, TopicBacklog, Topics,
};

impl OutboxStore for Postgres {
    type Session = Session;

    async fn open_session(pool: &PgPool, home: &Home, owner: Uuid) -> Result<Session, sqlx::Error> {
        Session::open(pool, home, owner).await
    }

    async fn members(conn: &mut PgConnection, home: &Home) -> Result<Vec<Member>, sqlx::Error> {
        relays::members(conn, home).await
    }

    async fn coordinate<T: Send>(
        conn: &mut PgConnection,
        home: &Home,
        decide: impl FnOnce(&[Member]) -> (Changes, T) + Send,
    ) -> Result<T, sqlx::Error> {
        relays::coordinate(conn, home, decide).await
    }

    async fn look(
        conn: &mut PgConnection,
        home: &Home,
        args: &LookArgs<'_>,
    ) -> Result<Look, sqlx::Error> {
        look::look(conn, home, args).await
    }

    async fn read(
        conn: &mut PgConnection,
        home: &Home,
        places: &[Place],
    ) -> Result<Vec<FoundEvent>, sqlx::Error> {
        look::read(conn, home, places).await
    }

    async fn places(
        conn: &mut PgConnection,
        home: &Home,
        selection: &Selection<'_>,
        after: i64,
        up_to: i64,
        limit: u32,
    ) -> Result<Vec<Place>, sqlx::Error> {
        look::places(conn, home, selection, after, up_to, limit).await
    }

    async fn has_events(
        conn: &mut PgConnection,
        home: &Home,
        topics: &Topics,
    ) -> Result<bool, sqlx::Error> {
        look::has_events(conn, home, topics).await
    }

    async fn settle(
        conn: &mut PgConnection,
        home: &Home,
        settlement: &Settlement<'_>,
    ) -> Result<bool, sqlx::Error> {
        settle::settle(conn, home, settlement).await
    }

    async fn backlog(
        conn: &mut PgConnection,
        home: &Home,
    ) -> Result<Vec<TopicBacklog>, sqlx::Error> {
        dead_letters::backlog(conn, home).await
    }

    async fn count_dead_letters(conn: &mut PgConnection, home: &Home) -> Result<u64, sqlx::Error> {
        dead_letters::count(conn, home).await
    }

    async fn dead_letters(
        conn: &mut PgConnection,
        home: &Home,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterRow>, sqlx::Error> {
        dead_letters::list(conn, home, after, limit).await
    }

    async fn requeue(
        conn: &mut PgConnection,
        home: &Home,
        filter: DeadLetterFilter<'_>,
        limit: u32,
    ) -> Result<u64, sqlx::Error> {
        dead_letters::requeue(conn, home, filter, limit).await
    }

    async fn notify(conn: &mut PgConnection, home: &Home) -> Result<(), sqlx::Error> {
        session::notify(conn, home).await
    }

    const NOTIFIES: bool = true;
}
