//! What is done to a round trip, on the database of the module that includes this file.

use std::time::Duration;

use idem_runtime::__testing::{Injury, Refusal, Step, StepKind};
use idem_runtime::idempotent;
use sqlx::{Connection as _, Executor as _};

use super::{Bed, Conn, Pool};

const WITHIN: Duration = Duration::from_secs(10);
const CUTS: [Injury; 3] = [Injury::CutRequest, Injury::CutReply, Injury::TruncateReply];
const REFUSALS: [Refusal; 2] = [Refusal::SerializationFailure, Refusal::Deadlock];

/// How many round trips [`transaction`] takes on a new connection.
const STEPS: u64 = 7;

/// Five statements: by text, prepared, with rows.
async fn transaction(conn: &mut Conn) -> sqlx::Result<()> {
    let mut tx = conn.begin().await?;
    tx.execute("INSERT INTO t VALUES (1)").await?;
    sqlx::query(Bed::INSERT).bind(2).execute(&mut *tx).await?;
    let rows: Vec<i32> = sqlx::query_scalar("SELECT x FROM t ORDER BY x")
        .fetch_all(&mut *tx)
        .await?;
    assert_eq!(rows, [1, 2]);
    tx.commit().await
}

async fn run(conn: &mut Conn, sql: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(sql).execute(conn).await.map(drop)
}

fn told(steps: &[Step]) -> Vec<(StepKind, Option<&str>)> {
    steps
        .iter()
        .map(|step| (step.kind, step.sql.as_deref()))
        .collect()
}

#[tokio::test]
async fn each_round_trip_tells_its_sql() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    for prepares in [true, false] {
        run(&mut bed.direct().await, "DELETE FROM t").await.unwrap();
        bed.wire.arm(&[]);
        transaction(&mut conn).await.unwrap();
        let select = "SELECT x FROM t ORDER BY x";
        let mut expected = vec![
            (StepKind::Query, Some("BEGIN")),
            (StepKind::Query, Some("INSERT INTO t VALUES (1)")),
            (StepKind::Prepare, Some(Bed::INSERT)),
            (StepKind::Execute, Some(Bed::INSERT)),
            (StepKind::Prepare, Some(select)),
            (StepKind::Execute, Some(select)),
            (StepKind::Query, Some("COMMIT")),
        ];
        // A statement that sqlx knows is not prepared again.
        expected.retain(|(kind, _)| prepares || *kind != StepKind::Prepare);
        let steps = bed.wire.steps();
        assert_eq!(told(&steps), expected);
        assert_eq!(bed.wire.count(), expected.len() as u64);
        assert!(
            steps
                .iter()
                .all(|step| step.connection == steps[0].connection)
        );
    }
}

#[tokio::test]
async fn a_cut_at_any_step_of_a_transaction_is_an_error_and_only_a_commit_that_was_executed_lasts()
{
    let bed = Bed::start().await;
    let mut direct = bed.direct().await;
    for injury in CUTS {
        for k in 1..=STEPS {
            let mut conn = bed.connect().await.unwrap();
            bed.wire.arm(&[(k, injury)]);
            transaction(&mut conn).await.unwrap_err();
            assert_eq!((bed.wire.count(), bed.wire.injured()), (k, 1), "{injury:?}");
            drop(conn);
            assert!(bed.wire.settle(WITHIN));
            let lasts = k == STEPS && injury != Injury::CutRequest;
            assert_eq!(
                Bed::rows(&mut direct).await,
                if lasts { 2 } else { 0 },
                "{injury:?} at {k}"
            );
            run(&mut direct, "DELETE FROM t").await.unwrap();
        }
        bed.wire.arm(&[(STEPS + 1, injury)]);
        transaction(&mut bed.connect_disarmed().await)
            .await
            .unwrap();
        run(&mut direct, "DELETE FROM t").await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_at_any_step_of_the_handshake_is_an_error() {
    let bed = Bed::start().await;
    bed.wire.arm(&[]);
    drop(bed.connect().await.unwrap());
    let steps = bed.wire.steps();
    let handshakes = steps
        .iter()
        .take_while(|step| step.kind == StepKind::Handshake);
    assert!(handshakes.count() >= 1, "{steps:?}");
    for injury in CUTS {
        for k in 1..=steps.len() as u64 {
            bed.wire.arm(&[(k, injury)]);
            bed.connect().await.unwrap_err();
            assert_eq!(bed.wire.injured(), 1);
            assert!(bed.wire.settle(WITHIN));
        }
    }
}

#[tokio::test]
async fn a_request_that_was_queued_is_a_round_trip_of_its_own() {
    let bed = Bed::start().await;
    for injury in CUTS {
        let mut conn = bed.connect().await.unwrap();
        let mut tx = conn.begin().await.unwrap();
        tx.execute("INSERT INTO t VALUES (1)").await.unwrap();
        // Its ROLLBACK goes out with the next statement.
        drop(tx);
        bed.wire.arm(&[(2, injury)]);
        run(&mut conn, "INSERT INTO t VALUES (2)")
            .await
            .unwrap_err();
        assert_eq!(
            told(&bed.wire.steps()),
            [
                (StepKind::Query, Some("ROLLBACK")),
                (StepKind::Query, Some("INSERT INTO t VALUES (2)")),
            ]
        );
        assert!(bed.wire.settle(WITHIN));
    }
    // Of those whose reply was lost.
    assert_eq!(Bed::rows(&mut bed.direct().await).await, 2);
}

#[tokio::test]
async fn each_of_several_injuries_happens_at_its_own_step() {
    let bed = Bed::start().await;
    bed.wire.arm(&[
        (2, Injury::CutReply),
        (4, Injury::CutRequest),
        (9, Injury::CutReply),
    ]);
    let mut conn = bed.connect_disarmed().await;
    bed.wire.arm(&[
        (2, Injury::CutReply),
        (4, Injury::CutRequest),
        (9, Injury::CutReply),
    ]);
    run(&mut conn, "INSERT INTO t VALUES (1)").await.unwrap();
    run(&mut conn, "INSERT INTO t VALUES (2)")
        .await
        .unwrap_err();
    let mut conn = {
        let before = bed.wire.count();
        let conn = bed.connect().await;
        assert!(bed.wire.count() > before);
        conn
    };
    if let Ok(conn) = &mut conn {
        run(conn, "INSERT INTO t VALUES (3)").await.unwrap_err();
    }
    assert_eq!(bed.wire.injured(), 2);
    assert!(bed.wire.settle(WITHIN));
    assert_eq!(Bed::rows(&mut bed.direct().await).await, 2);
}

#[tokio::test]
async fn what_passes_after_disarming_is_neither_counted_nor_injured() {
    let bed = Bed::start().await;
    let pool = Pool::connect(&bed.url()).await.unwrap();
    let mut conn = pool.acquire().await.unwrap();
    bed.wire.arm(&[(2, Injury::CutReply)]);
    run(&mut conn, "INSERT INTO t VALUES (1)").await.unwrap();
    let counted = bed.wire.steps();
    bed.wire.disarm();
    // The pool asks whether the connection is alive, when it comes back and when it is taken.
    drop(conn);
    pool.execute("INSERT INTO t VALUES (2)").await.unwrap();
    pool.close().await;
    assert_eq!(bed.wire.steps(), counted);
    assert_eq!(bed.wire.injured(), 0);
}

#[tokio::test]
async fn a_ping_is_a_round_trip_without_sql() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    bed.wire.arm(&[]);
    conn.ping().await.unwrap();
    assert_eq!(told(&bed.wire.steps()), [(StepKind::Ping, None)]);
}

#[tokio::test]
async fn a_refused_statement_fails_and_its_connection_lives_on() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    for refusal in REFUSALS {
        for k in 2..=6 {
            Bed::forget_statements(&mut conn).await;
            bed.wire.arm(&[(k, Injury::Refuse(refusal))]);
            let error = transaction(&mut conn).await.unwrap_err();
            assert_eq!(Bed::code(&error), Bed::code_of(refusal), "{error:?}");
            assert_eq!(bed.wire.injured(), 1);
            bed.wire.disarm();
            // The ROLLBACK that the dropped transaction has queued goes out first.
            run(&mut conn, "SELECT 1").await.unwrap();
            assert!(!conn.is_in_transaction());
            assert_eq!(Bed::rows(&mut conn).await, 0);
        }
    }
    transaction(&mut conn).await.unwrap();
    assert_eq!(Bed::rows(&mut bed.direct().await).await, 2);
}

#[tokio::test]
async fn a_refused_commit_rolls_back_and_leaves_no_transaction() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    for refusal in REFUSALS {
        run(&mut conn, "BEGIN").await.unwrap();
        run(&mut conn, "INSERT INTO t VALUES (1)").await.unwrap();
        bed.wire.arm(&[(1, Injury::Refuse(refusal))]);
        let error = run(&mut conn, "COMMIT").await.unwrap_err();
        assert_eq!(Bed::code(&error), Bed::code_of(refusal));
        assert_eq!(bed.wire.injured(), 1);
        bed.wire.disarm();
        // No transaction is left that could take this back.
        run(&mut conn, "INSERT INTO t VALUES (2)").await.unwrap();
        let mut direct = bed.direct().await;
        assert_eq!(Bed::rows(&mut direct).await, 1);
        run(&mut direct, "DELETE FROM t").await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_begin_begins_nothing() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    bed.wire.arm(&[(1, Injury::Refuse(Refusal::Deadlock))]);
    conn.begin().await.unwrap_err();
    assert_eq!(bed.wire.injured(), 1);
    run(&mut conn, "INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(Bed::rows(&mut bed.direct().await).await, 1);
}

#[tokio::test]
async fn a_refused_statement_outside_of_a_transaction_takes_no_effect() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    for refusal in REFUSALS {
        bed.wire.arm(&[(1, Injury::Refuse(refusal))]);
        run(&mut conn, "INSERT INTO t VALUES (1)")
            .await
            .unwrap_err();
        run(&mut conn, "INSERT INTO t VALUES (2)").await.unwrap();
    }
    assert_eq!(Bed::rows(&mut bed.direct().await).await, 2);
}

#[tokio::test]
async fn what_no_server_refuses_is_passed_on() {
    let bed = Bed::start().await;
    bed.wire.arm(&[(1, Injury::Refuse(Refusal::Deadlock))]);
    let mut conn = bed.connect().await.unwrap();
    for sql in ["ROLLBACK", "BEGIN; SAVEPOINT s; INSERT INTO t VALUES (1)"] {
        bed.wire.disarm();
        run(&mut conn, sql).await.unwrap();
    }
    bed.wire.arm(&[
        (1, Injury::Refuse(Refusal::Deadlock)),
        (2, Injury::Refuse(Refusal::Deadlock)),
    ]);
    conn.ping().await.unwrap();
    run(&mut conn, "ROLLBACK TO SAVEPOINT s").await.unwrap();
    assert_eq!((bed.wire.count(), bed.wire.injured()), (2, 0));
}

/// A batch fails at its work, or at its COMMIT: both leave nothing.
#[tokio::test]
async fn a_refused_batch_fails_in_its_middle() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    for refusal in REFUSALS {
        bed.wire.arm(&[(1, Injury::Refuse(refusal))]);
        let batch = "BEGIN; INSERT INTO t VALUES (1); COMMIT";
        let error = run(&mut conn, batch).await.unwrap_err();
        assert_eq!(Bed::code(&error), Bed::code_of(refusal));
        assert_eq!(bed.wire.injured(), 1);
        bed.wire.disarm();
        run(&mut conn, "ROLLBACK").await.unwrap();
        assert_eq!(Bed::rows(&mut conn).await, 0);
    }
}

/// What comes before the statement that is refused is executed, and may fail by itself.
#[tokio::test]
async fn a_batch_that_fails_before_it_is_refused_is_not_injured() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    bed.wire
        .arm(&[(1, Injury::Refuse(Refusal::SerializationFailure))]);
    let error = run(&mut conn, "BEGIN; SELECT * FROM missing; COMMIT")
        .await
        .unwrap_err();
    assert_ne!(
        Bed::code(&error),
        Bed::code_of(Refusal::SerializationFailure)
    );
    assert_eq!(bed.wire.injured(), 0);
}

#[idempotent(key = "id", retry = 1)]
async fn handle(tx: &mut Conn, id: u64) -> Result<i32, sqlx::Error> {
    let of = i32::try_from(id).unwrap_or(0);
    sqlx::query(Bed::INSERT).bind(of).execute(&mut *tx).await?;
    sqlx::query_scalar("SELECT x FROM t ORDER BY x DESC LIMIT 1")
        .fetch_one(&mut *tx)
        .await
}

/// Delivered again after an error, as a broker would.
#[tokio::test]
async fn a_handler_takes_effect_once_whatever_is_done_to_any_of_its_round_trips() {
    let bed = Bed::start().await;
    idem_runtime::migrate(&Pool::connect(&bed.direct_url()).await.unwrap())
        .await
        .unwrap();
    let mut direct = bed.direct().await;
    let refusals = REFUSALS.map(Injury::Refuse);
    let mut id = 0;
    for injury in CUTS.into_iter().chain(refusals) {
        for k in 1.. {
            id += 1;
            let pool = Pool::connect(&bed.url()).await.unwrap();
            bed.wire.arm(&[(k, injury)]);
            let first = handle(&pool, id).await;
            let steps = bed.wire.count();
            bed.wire.disarm();
            let injured = bed.wire.injured();
            let again = handle(&pool, id).await.unwrap().into_inner();
            pool.close().await;
            assert!(bed.wire.settle(WITHIN));
            assert_eq!(again, i32::try_from(id).unwrap());
            let rows = Bed::rows(&mut direct).await;
            assert_eq!(rows, 1, "{injury:?} at {k}: {first:?}");
            run(&mut direct, "DELETE FROM t").await.unwrap();
            if injured == 0 && k > steps {
                assert!(k > 4, "a handler of two statements takes more round trips");
                break;
            }
        }
    }
}

#[tokio::test]
async fn long_requests_and_replies_pass_whole() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    // More than one packet of MySQL's holds.
    let long = "x".repeat(20_000_000);
    bed.wire.arm(&[]);
    let echoed: String = sqlx::query_scalar(Bed::ECHO)
        .bind(&long)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(echoed == long, "the text was changed on its way");
    assert_eq!(bed.wire.count(), 2);
}

/// Locks that a cut transaction held are free once the proxy is settled, though the connection was cut while it ran.
#[tokio::test]
async fn what_is_settled_holds_no_lock() {
    let bed = Bed::start().await;
    let mut direct = bed.direct().await;
    run(&mut direct, "INSERT INTO t VALUES (1)").await.unwrap();
    for injury in CUTS.into_iter().cycle().take(60) {
        let mut conn = bed.connect().await.unwrap();
        bed.wire.arm(&[(3, injury)]);
        run(&mut conn, "BEGIN").await.unwrap();
        run(&mut conn, "UPDATE t SET x = x + 1").await.unwrap();
        run(&mut conn, "UPDATE t SET x = x + 1").await.unwrap_err();
        assert!(bed.wire.settle(WITHIN));
        run(&mut direct, "SELECT * FROM t FOR UPDATE NOWAIT")
            .await
            .unwrap();
    }
    for _ in 0..20 {
        let mut conn = bed.connect().await.unwrap();
        run(&mut conn, "BEGIN").await.unwrap();
        run(&mut conn, "UPDATE t SET x = x + 1").await.unwrap();
        // The client goes away by itself.
        drop(conn);
        assert!(bed.wire.settle(WITHIN));
        run(&mut direct, "SELECT * FROM t FOR UPDATE NOWAIT")
            .await
            .unwrap();
    }
}

/// The server still executes what a client has asked for that is gone.
#[tokio::test]
async fn it_is_not_settled_before_an_abandoned_request_is_done() {
    let bed = Bed::start().await;
    let mut direct = bed.direct().await;
    run(&mut direct, "INSERT INTO t VALUES (1)").await.unwrap();
    let mut conn = bed.connect().await.unwrap();
    run(&mut direct, "BEGIN").await.unwrap();
    run(&mut direct, "UPDATE t SET x = x + 1").await.unwrap();
    bed.wire.arm(&[]);
    {
        let waiting = run(&mut conn, "UPDATE t SET x = 100");
        tokio::select! {
            biased;
            _ = waiting => panic!("the row is locked"),
            () = sent(&bed, 1) => {}
        }
    }
    drop(conn);
    assert!(!bed.wire.settle(Duration::from_millis(50)));
    run(&mut direct, "COMMIT").await.unwrap();
    assert!(bed.wire.settle(WITHIN));
    let row: i32 = sqlx::query_scalar("SELECT x FROM t")
        .fetch_one(&mut direct)
        .await
        .unwrap();
    assert_eq!(row, 100);
}

/// Until so many round trips have begun.
async fn sent(bed: &Bed, count: u64) {
    while bed.wire.count() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_trouble_and_no_injury() {
    let bed = Bed::start().await;
    let (protocol, nobody) = {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        (Bed::PROTOCOL, taken.local_addr().unwrap())
    };
    let wire = idem_runtime::__testing::Wire::start(protocol, nobody).unwrap();
    Conn::connect(&bed.url_through(wire.address()))
        .await
        .unwrap_err();
    assert!(wire.settle(WITHIN));
    let trouble = wire.trouble().unwrap();
    assert!(
        trouble.starts_with(&format!("the proxy can't connect to {nobody}: ")),
        "{trouble}"
    );
}

#[tokio::test]
async fn connections_end_with_their_proxy() {
    let bed = Bed::start().await;
    let mut conn = bed.connect().await.unwrap();
    let url = bed.url();
    let Bed { wire, .. } = bed;
    drop(wire);
    run(&mut conn, "SELECT 1").await.unwrap_err();
    Conn::connect(&url).await.unwrap_err();
}
