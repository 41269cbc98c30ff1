use super::*;
use crate::event::EventId;

const OWNER: Uuid = Uuid::from_u128(100);

/// Gives up all that is in the outbox.
async fn bury<DB: TestDatabase>(store: &TestStore<DB>) {
    store.join(OWNER, ShardSet::ALL).await;
    let dead: Vec<_> = events(store.look_all().await)
        .iter()
        .map(|event| NewDeadLetter {
            place: event.place,
            shard: event.shard,
            attempts: 20,
            reason: "no".into(),
        })
        .collect();
    let settled = Settlement {
        target: "default",
        owner: OWNER,
        published: &[],
        recovered: &[],
        failed: &[],
        dead: &dead,
    };
    assert!(store.settle(&settled).await);
    assert!(store.look_all().await.is_empty());
}

async fn requeue<DB: TestDatabase>(
    store: &TestStore<DB>,
    filter: DeadLetterFilter<'_>,
    limit: u32,
) -> u64 {
    let mut conn = store.pool.acquire().await.unwrap();
    let requeued = DB::requeue(&mut conn, &store.home, filter, limit).await;
    requeued.unwrap()
}

/// The IDs in the outbox, as small numbers.
async fn waiting<DB: TestDatabase>(store: &TestStore<DB>) -> Vec<u128> {
    let found = events(store.look_all().await);
    found.iter().map(|event| event.place.id.as_u128()).collect()
}

pub(in super::super) async fn letters_go_back_in_their_order_under_new_numbers<DB: TestDatabase>() {
    let store = DB::create().await;
    let before = store.emit(&["a", "b", "a", "c", "a"]).await;
    let found = events(store.look_all().await);
    bury(&store).await;
    assert_eq!(requeue(&store, DeadLetterFilter::All, 3).await, 3);
    assert_eq!(waiting(&store).await, [1, 2, 3]);
    assert_eq!(requeue(&store, DeadLetterFilter::All, 3).await, 2);
    assert_eq!(requeue(&store, DeadLetterFilter::All, 3).await, 0);
    let after = events(store.look_all().await);
    assert!(after[0].place.seq > before[4].seq);
    for (before, after) in found.into_iter().zip(after) {
        assert_eq!(before.place.id, after.place.id);
        assert_eq!((before.shard, before.size), (after.shard, after.size));
        assert_eq!((after.attempts, after.retry_in), (0, None));
        assert_eq!(before.message, after.message);
    }
}

pub(in super::super) async fn a_letter_stays_where_its_event_is_there_with_other_content<
    DB: TestDatabase,
>() {
    let store = DB::create().await;
    store.emit(&["a", "b", "c", "d"]).await;
    bury(&store).await;
    // The same, but for headers; another key; another topic.
    store.insert(1, "t", "a", r#"{"a":"1"}"#, "x").await;
    store.insert(2, "t", "other", "{}", "x").await;
    store.insert(3, "other", "c", "{}", "x").await;
    // It goes on past those that stay, however small its limit.
    for moved in [1, 1, 0] {
        assert_eq!(requeue(&store, DeadLetterFilter::All, 1).await, moved);
    }
    assert_eq!(waiting(&store).await, [1, 2, 3, 4]);
    let first = events(store.look_all().await).swap_remove(0);
    assert_eq!(first.message.unwrap().headers.len(), 1);
    let mut conn = store.pool.acquire().await.unwrap();
    let kept = DB::dead_letters(&mut conn, &store.home, 0, 9)
        .await
        .unwrap();
    let kept: Vec<_> = kept.iter().map(|row| row.message.key.as_deref()).collect();
    assert_eq!(kept, [Some("b"), Some("c")]);
}

pub(in super::super) async fn letters_are_chosen_by_topic_and_by_id<DB: TestDatabase>() {
    let store = DB::create().await;
    for (id, topic) in [(1, "t"), (2, "u"), (3, "t"), (4, "u")] {
        store.insert(id, topic, "a", "{}", "x").await;
    }
    bury(&store).await;
    let ids = [4, 3, 9].map(|id| EventId::new(Uuid::from_u128(id)));
    for (filter, moved) in [
        (DeadLetterFilter::Topic("T"), 0),
        (DeadLetterFilter::Topic("t "), 0),
        (DeadLetterFilter::Events(&[]), 0),
        (DeadLetterFilter::Events(&ids), 2),
        (DeadLetterFilter::Topic("t"), 1),
    ] {
        assert_eq!(requeue(&store, filter, 9).await, moved, "{filter:?}");
    }
    assert_eq!(waiting(&store).await, [3, 4, 1]);
}

pub(in super::super) async fn letters_of_others_are_left_alone<DB: TestDatabase>() {
    let store = DB::create().await;
    store.emit(&["a"]).await;
    bury(&store).await;
    store
        .run("UPDATE idem_dead_letters SET origin = 'consumer', id = 'foreign'")
        .await;
    let mut conn = store.pool.acquire().await.unwrap();
    let listed = DB::dead_letters(&mut conn, &store.home, 0, 9).await;
    assert!(listed.unwrap().is_empty());
    let count = DB::count_dead_letters(&mut conn, &store.home).await;
    assert_eq!(count.unwrap(), 0);
    drop(conn);
    assert_eq!(requeue(&store, DeadLetterFilter::All, 9).await, 0);
}

pub(in super::super) async fn a_letter_that_can_not_be_read_is_shown_and_goes_back<
    DB: TestDatabase,
>() {
    let store = DB::create().await;
    store.insert(1, "t", "a", "[7]", "x").await;
    store.insert(2, "t", "a", "{}", "x").await;
    store.insert(3, "t", "a", "{}", "x").await;
    bury(&store).await;
    store
        .run("UPDATE idem_dead_letters SET id = 'none' WHERE number = 2")
        .await;
    let mut conn = store.pool.acquire().await.unwrap();
    let listed = DB::dead_letters(&mut conn, &store.home, 0, 9)
        .await
        .unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[0].message.payload, b"x");
    drop(conn);
    // One whose ID is none can't.
    assert_eq!(requeue(&store, DeadLetterFilter::All, 9).await, 2);
    assert_eq!(waiting(&store).await, [1, 3]);
}

pub(in super::super) async fn the_backlog_counts_by_topic<DB: TestDatabase>() {
    let store = DB::create().await;
    store.insert(1, "t", "a", "{}", "x").await;
    store.insert(2, "u", "a", "{}", "x").await;
    bury(&store).await;
    store.insert(3, "t", "a", "{}", "x").await;
    store.insert(4, "t", "a", "{}", "x").await;
    store.insert(5, "T", "a", "{}", "x").await;
    let mut conn = store.pool.acquire().await.unwrap();
    let mut topics = DB::backlog(&mut conn, &store.home).await.unwrap();
    topics.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
    let counts = |topic: &TopicBacklog| (topic.topic.clone(), topic.pending, topic.dead_letters);
    let counts: Vec<_> = topics.iter().map(counts).collect();
    let expected = [("T", 1, 0), ("t", 2, 1), ("u", 0, 1)];
    assert_eq!(
        counts,
        expected.map(|(topic, pending, dead)| (topic.to_owned(), pending, dead))
    );
    assert!(
        topics[1]
            .oldest
            .is_some_and(|age| age < Duration::from_mins(10))
    );
    assert_eq!(topics[2].oldest, None);
}
