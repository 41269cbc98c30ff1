use std::collections::BTreeSet;

use super::*;

/// Keys in different shards.
const KEYS: [&str; 3] = ["a", "", "order-1"];

fn shard(key: &str) -> ShardSet {
    ShardSet::NONE.with(crate::shard::shard_of(Some(key), Uuid::nil()))
}

pub(in super::super) async fn rows_are_in_order_and_those_of_others_are_numbers_alone<
    DB: TestDatabase,
>() {
    let store = DB::create().await;
    let places = store.emit(&KEYS).await;
    let numbers: Vec<i64> = places.iter().map(|place| place.seq).collect();
    let rows = store.look_all().await;
    assert_eq!(seqs(&rows), numbers);
    for ((event, place), key) in events(rows).into_iter().zip(&places).zip(KEYS) {
        let message = event.message.unwrap();
        assert_eq!(event.place, *place);
        assert_eq!(event.shard, crate::shard::shard_of(Some(key), place.id));
        assert_eq!((event.attempts, event.retry_in), (0, None));
        assert_eq!(event.size, "x{}tT".len() + key.len());
        assert_eq!(message.key.as_deref(), Some(key));
        assert_eq!((&*message.topic, &*message.kind), ("t", "T"));
        assert_eq!(message.payload, b"x");
        assert_eq!(message.content_type, "application/json");
        let age = message.created_at.elapsed().unwrap_or_default();
        assert!(age < Duration::from_mins(10), "{age:?}");
    }
    for (index, key) in KEYS.iter().enumerate() {
        let mut args = all();
        args.selection.shards = shard(key);
        let rows = store.look(&args).await.rows;
        assert_eq!(seqs(&rows), numbers);
        let own = rows.iter().filter(|row| row.event.is_some());
        assert_eq!(own.map(|row| row.seq).collect::<Vec<_>>(), [numbers[index]]);
    }
    // Shards that there are not, as somebody may write by hand.
    store.run("UPDATE idem_outbox SET shard = -1 WHERE seq = (SELECT * FROM (SELECT min(seq) FROM idem_outbox) AS x)").await;
    store.run("UPDATE idem_outbox SET shard = 64 WHERE seq = (SELECT * FROM (SELECT max(seq) FROM idem_outbox) AS x)").await;
    let rows = store.look_all().await;
    assert_eq!(seqs(&rows), numbers);
    assert_eq!(events(rows).len(), 1);
    for (topics, own) in [(&["t", "u"][..], 1), (&["T", "t "], 0), (&[], 0)] {
        let topics = Topics(Some(topics.iter().map(|&topic| topic.to_owned()).collect()));
        let mut args = all();
        args.selection.topics = &topics;
        let rows = store.look(&args).await.rows;
        assert_eq!((rows.len(), events(rows).len()), (3, own));
    }
}

pub(in super::super) async fn a_look_ends_at_its_limits_and_says_so<DB: TestDatabase>() {
    let store = DB::create().await;
    let places = store.emit(&["a"; 5]).await;
    let mut args = all();
    // Each event holds five bytes and its key's one.
    for (events, bytes, read) in [
        (2, 1_000, 2),
        (5, 1_000, 5),
        (100, 1, 1),
        (100, 7, 2),
        (100, 12, 2),
        (100, 13, 3),
    ] {
        args.limit = Limit { events, bytes };
        let look = store.look(&args).await;
        assert_eq!(
            (look.rows.len(), look.more),
            (read, true),
            "{events} {bytes}"
        );
    }
    args.limit = Limit {
        events: 6,
        bytes: 1_000,
    };
    assert!(!store.look(&args).await.more);
    args.cursor = places[2].seq;
    let rows = store.look(&args).await.rows;
    assert_eq!(seqs(&rows), [places[3].seq, places[4].seq]);
    // What is another relay's counts as a row, and not as bytes.
    args = all();
    args.selection.shards = shard("order-1");
    args.limit = Limit {
        events: 100,
        bytes: 1,
    };
    let look = store.look(&args).await;
    assert_eq!((look.rows.len(), look.more), (5, false));
    args.limit = Limit {
        events: 3,
        bytes: 1,
    };
    let look = store.look(&args).await;
    assert_eq!((look.rows.len(), look.more), (3, true));
}

pub(in super::super) async fn numbers_that_were_not_seen_are_read_below_the_cursor<
    DB: TestDatabase,
>() {
    let store = DB::create().await;
    let places = store.emit(&["a"; 8]).await;
    let numbers: Vec<i64> = places.iter().map(|place| place.seq).collect();
    let range = |first, last| SeqRange { first, last };
    let unseen = [
        range(i64::MIN, numbers[0] - 1),
        range(numbers[1], numbers[1]),
        range(numbers[3], numbers[4]),
    ];
    let mut args = all();
    args.cursor = numbers[5];
    args.unseen = &unseen;
    // They count for no limit.
    args.limit = Limit {
        events: 1,
        bytes: 1,
    };
    let look = store.look(&args).await;
    let expected = [numbers[1], numbers[3], numbers[4], numbers[6]];
    assert_eq!(seqs(&look.rows), expected);
    assert!(look.more);
    args.cursor = numbers[7];
    let look = store.look(&args).await;
    assert_eq!(seqs(&look.rows), expected[..3]);
    assert!(!look.more);
    assert_eq!(events(look.rows).len(), 3);
}

pub(in super::super) async fn a_row_that_can_not_be_read_fails_alone<DB: TestDatabase>() {
    let store = DB::create().await;
    store.insert(1, "t", "a", r#"{"a":"1"}"#, "x").await;
    store.insert(2, "t", "a", "[7]", "x").await;
    store.insert(3, "t", "a", r#"{"a":7}"#, "x").await;
    store.insert(4, "t", "a", "", "x").await;
    let last = store.insert(5, "t", "a", "{}", "x").await;
    let events = events(store.look_all().await);
    let readable = events.iter().map(|event| event.message.is_ok());
    assert_eq!(
        readable.collect::<Vec<_>>(),
        [true, false, false, false, true]
    );
    assert_eq!(events[4].place, last);
    assert_eq!(events[1].size, "x[7]tTa".len());
    let message = events[0].message.as_ref().unwrap();
    assert_eq!(message.headers.get("a").map(String::as_str), Some("1"));
}

pub(in super::super) async fn an_event_is_read_again_by_its_place<DB: TestDatabase>() {
    let store = DB::create().await;
    let places = store.emit(&KEYS).await;
    let [first, second, third] = places[..] else {
        panic!("{places:?}")
    };
    // As after a sequence was reset.
    let other = Place {
        id: third.id,
        ..second
    };
    let gone = Place {
        seq: third.seq + 1,
        ..third
    };
    let mut conn = store.pool.acquire().await.unwrap();
    let asked = [third, other, first, gone];
    let read = DB::read(&mut conn, &store.home, &asked).await.unwrap();
    let found: Vec<Place> = read.iter().map(|event| event.place).collect();
    assert_eq!(found, [first, third]);
    let message = read[1].message.as_ref().unwrap();
    assert_eq!(message.key.as_deref(), Some(KEYS[2]));
    let read = DB::read(&mut conn, &store.home, &[]).await;
    assert!(read.unwrap().is_empty());
}

pub(in super::super) async fn places_are_found_between_two_numbers<DB: TestDatabase>() {
    let store = DB::create().await;
    let places = store.emit(&["a", "order-1", "a", "a", "a"]).await;
    let selection = Selection {
        shards: shard("a"),
        topics: &ALL_TOPICS,
    };
    let mut conn = store.pool.acquire().await.unwrap();
    let after = places[0].seq;
    for (up_to, limit, expected) in [
        (places[3].seq, 9, &places[2..4]),
        (i64::MAX, 9, &places[2..5]),
        (i64::MAX, 2, &places[2..4]),
        (after, 9, &[]),
    ] {
        let found = DB::places(&mut conn, &store.home, &selection, after, up_to, limit);
        assert_eq!(found.await.unwrap(), expected);
    }
}

pub(in super::super) async fn the_outbox_has_events_of_some_topics<DB: TestDatabase>() {
    let store = DB::create().await;
    let mut conn = store.pool.acquire().await.unwrap();
    let topics = |names: &[&str]| {
        Topics(Some(
            names
                .iter()
                .map(|&name| name.into())
                .collect::<BTreeSet<_>>(),
        ))
    };
    let has = DB::has_events(&mut conn, &store.home, &ALL_TOPICS).await;
    assert!(!has.unwrap());
    store.emit(&["a"]).await;
    for (topics, expected) in [
        (&ALL_TOPICS, true),
        (&topics(&["t", "u"]), true),
        (&topics(&["u"]), false),
        (&topics(&[]), false),
    ] {
        let has = DB::has_events(&mut conn, &store.home, topics).await;
        assert_eq!(has.unwrap(), expected, "{topics:?}");
    }
}

pub(in super::super) async fn an_empty_look_has_a_horizon<DB: TestDatabase>() {
    let store = DB::create().await;
    let empty = store.look(&all()).await;
    assert!(empty.rows.is_empty() && !empty.more);
    // Whatever was missing then is given up later on.
    let passed = async {
        while store.look(&all()).await.horizon.passed < empty.horizon.mark {
            store.run("DELETE FROM idem_keys").await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(3), passed).await;
    assert!(waited.is_ok() || DB::SYSTEM == "mysql");
}
