use super::*;

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);

pub(in super::super) async fn a_relay_is_a_member_as_long_as_its_lease<DB: TestDatabase>() {
    let store = DB::create().await;
    assert_eq!(store.members().await, []);
    let topics = Topics(Some(["a\"b'".to_owned(), "c".into()].into()));
    let shards = ShardSet::NONE.with(0).with(63);
    let one = Membership {
        topics: topics.clone(),
        target: "o'ne \\ 😀".into(),
        ..membership(A, shards)
    };
    let other = Membership {
        lease: Duration::ZERO,
        ..membership(B, ShardSet::ALL)
    };
    store.coordinate(|_| (put(other), ())).await;
    let seen = store
        .coordinate(|members| (put(one), members.to_vec()))
        .await;
    let dead = Member {
        target: "default".into(),
        owner: B,
        topics: Topics::default(),
        shards: ShardSet::ALL,
        is_alive: false,
    };
    assert_eq!(seen, std::slice::from_ref(&dead));
    let mut living = Member {
        target: "o'ne \\ 😀".into(),
        owner: A,
        topics,
        shards,
        is_alive: true,
    };
    let mut members = store.members().await;
    members.sort_unstable_by_key(|member| member.owner);
    assert_eq!(members, [living.clone(), dead]);
    // Renewed with other shards, while the dead one is removed.
    let changes = Changes {
        remove: vec![B],
        put: Some(Membership {
            target: living.target.clone(),
            topics: living.topics.clone(),
            ..membership(A, ShardSet::ALL)
        }),
    };
    store.coordinate(|_| (changes, ())).await;
    living.shards = ShardSet::ALL;
    assert_eq!(store.members().await, [living]);
}

pub(in super::super) async fn a_relay_is_dead_as_soon_as_its_session_is<DB: TestDatabase>() {
    let store = DB::create().await;
    let session = DB::open_session(&store.pool, &store.home, A).await.unwrap();
    let name = session.name().map(str::to_owned);
    assert!(name.is_some());
    let relay = Membership {
        session: name,
        ..membership(A, ShardSet::ALL)
    };
    store.coordinate(|_| (put(relay), ())).await;
    // What can't be a session's name says nothing about one.
    let odd = Membership {
        session: Some("../odd".into()),
        ..membership(B, ShardSet::NONE)
    };
    store.coordinate(|_| (put(odd), ())).await;
    let is_alive = async |owner| {
        let members = store.members().await;
        members
            .iter()
            .any(|member| member.owner == owner && member.is_alive)
    };
    assert!(is_alive(A).await);
    drop(session);
    // A server needs a moment to notice.
    let gone = async {
        while is_alive(A).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
    // The name of one that went is not that of its successor.
    let _again = DB::open_session(&store.pool, &store.home, B).await.unwrap();
    assert!(!is_alive(A).await);
    let remove = Changes {
        remove: vec![A],
        ..Changes::default()
    };
    store.coordinate(|_| (remove, ())).await;
    assert_eq!(store.members().await.len(), 1);
}

/// Guards: each of them sees what those before it decided.
pub(in super::super) async fn relays_coordinate_one_at_a_time<DB: TestDatabase>() {
    let store = DB::create().await;
    let joined = (0..8).map(|number| {
        let owner = Uuid::from_u128(number);
        let store = &store;
        async move {
            // SQLite may have been busy for too long, which is a conflict.
            let mut conn = store.pool.acquire().await.unwrap();
            let joined = DB::coordinate(&mut conn, &store.home, |members| {
                let changes = put(membership(owner, ShardSet::NONE));
                (changes, members.len())
            });
            joined.await.unwrap()
        }
    });
    let mut seen = futures_util::future::join_all(joined).await;
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
}

pub(in super::super) async fn a_decision_that_fails_changes_nothing<DB: TestDatabase>() {
    let store = DB::create().await;
    let mut conn = store.pool.acquire().await.unwrap();
    let refused = Membership {
        // More than an interval has room for.
        lease: Duration::MAX,
        ..membership(A, ShardSet::ALL)
    };
    let decided = DB::coordinate(&mut conn, &store.home, |_| (put(refused), ()));
    assert!(decided.await.is_err());
    assert_eq!(DB::depth(&mut conn, 0).await.unwrap(), 0);
    assert_eq!(DB::members(&mut conn, &store.home).await.unwrap(), []);
    let depth = DB::find_home(&mut conn).await.unwrap();
    assert_eq!(depth, store.home);
}
