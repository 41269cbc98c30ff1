use super::*;

const OWNER: Uuid = Uuid::from_u128(100);

fn settlement() -> Settlement<'static> {
    Settlement {
        target: "default",
        owner: OWNER,
        published: &[],
        recovered: &[],
        failed: &[],
        dead: &[],
    }
}

fn failed(event: &FoundEvent, attempts: u32) -> FailedAttempt {
    FailedAttempt {
        place: event.place,
        shard: event.shard,
        attempts,
        delay: Duration::from_mins(1),
        reason: "it's \"bad\" \\ `so`\n-- 😀".into(),
    }
}

fn dead(event: &FoundEvent, attempts: u32) -> NewDeadLetter {
    NewDeadLetter {
        place: event.place,
        shard: event.shard,
        attempts,
        reason: "it's \"bad\" \\ `so`\n-- 😀".into(),
    }
}

async fn owned<DB: TestDatabase>() -> (TestStore<DB>, Vec<FoundEvent>) {
    let store = DB::create().await;
    store.join(OWNER, ShardSet::ALL).await;
    store.emit(&["a", "b", "c"]).await;
    let events = events(store.look_all().await);
    (store, events)
}

pub(in super::super) async fn what_was_published_is_deleted_by_number_and_id<DB: TestDatabase>() {
    let store = DB::create().await;
    let places = store.emit(&["a", "b", "c", "d"]).await;
    let reset = Place {
        id: Uuid::from_u128(99),
        ..places[2]
    };
    let published = [places[0], places[1], reset];
    // Nobody owns its shard.
    let settled = Settlement {
        published: &published,
        ..settlement()
    };
    assert!(store.settle(&settled).await);
    let rows = store.look_all().await;
    assert_eq!(seqs(&rows), [places[2].seq, places[3].seq]);
    assert!(store.settle(&settlement()).await);
}

pub(in super::super) async fn attempts_are_seen_by_the_next_look_of_their_target<
    DB: TestDatabase,
>() {
    let (store, found) = owned::<DB>().await;
    for attempts in [1, 2] {
        let failed = [failed(&found[0], attempts), failed(&found[2], attempts)];
        let settled = Settlement {
            failed: &failed,
            ..settlement()
        };
        assert!(store.settle(&settled).await);
    }
    let attempts = |found: &[FoundEvent]| -> Vec<(u32, bool)> {
        let attempts = found.iter();
        attempts
            .map(|event| (event.attempts, event.retry_in.is_some()))
            .collect()
    };
    let found = events(store.look_all().await);
    assert_eq!(attempts(&found), [(2, true), (0, false), (2, true)]);
    let wait = found[0].retry_in.unwrap();
    assert!(
        wait > Duration::from_secs(30) && wait <= Duration::from_mins(1),
        "{wait:?}"
    );
    for (target, with_attempts) in [("other", true), ("default", false)] {
        let args = LookArgs {
            target,
            with_attempts,
            ..all()
        };
        let found = events(store.look(&args).await.rows);
        assert_eq!(attempts(&found), [(0, false); 3]);
    }
    let settled = Settlement {
        published: &[found[0].place],
        recovered: &[found[0].place.id],
        ..settlement()
    };
    assert!(store.settle(&settled).await);
    assert_eq!(store.number("SELECT count(*) FROM idem_attempts").await, 1);
    // The time has come.
    let failed = [FailedAttempt {
        delay: Duration::ZERO,
        ..failed(&found[2], 3)
    }];
    let settled = Settlement {
        failed: &failed,
        ..settlement()
    };
    assert!(store.settle(&settled).await);
    let found = events(store.look_all().await);
    assert_eq!(attempts(&found), [(0, false), (3, false)]);
}

pub(in super::super) async fn nothing_is_written_for_shards_of_another_relay<DB: TestDatabase>() {
    let (store, found) = owned::<DB>().await;
    let mine = ShardSet::NONE.with(found[0].shard).with(found[1].shard);
    store.join(OWNER, mine).await;
    let (a, c) = ([failed(&found[0], 1)], [dead(&found[2], 2)]);
    let partly = Settlement {
        published: &[found[1].place],
        failed: &a,
        dead: &c,
        ..settlement()
    };
    assert!(!store.settle(&partly).await);
    // What was published is deleted all the same.
    assert_eq!(store.look_all().await.len(), 2);
    let written =
        "SELECT (SELECT count(*) FROM idem_attempts) + (SELECT count(*) FROM idem_dead_letters)";
    assert_eq!(store.number(written).await, 0);
    for (owner, target) in [(Uuid::from_u128(101), "default"), (OWNER, "other")] {
        let settled = Settlement {
            owner,
            target,
            failed: &a,
            ..settlement()
        };
        assert!(!store.settle(&settled).await);
    }
    assert_eq!(store.number(written).await, 0);
    let settled = Settlement {
        failed: &a,
        ..settlement()
    };
    assert!(store.settle(&settled).await);
    assert_eq!(store.number(written).await, 1);
}

pub(in super::super) async fn a_dead_letter_is_written_once_and_takes_its_attempts<
    DB: TestDatabase,
>() {
    let (store, found) = owned::<DB>().await;
    let failed = [failed(&found[1], 1)];
    assert!(
        store
            .settle(&Settlement {
                failed: &failed,
                ..settlement()
            })
            .await
    );
    let letters = [dead(&found[1], 2), dead(&found[0], 7)];
    assert!(
        store
            .settle(&Settlement {
                dead: &letters,
                ..settlement()
            })
            .await
    );
    assert_eq!(store.number("SELECT count(*) FROM idem_attempts").await, 0);
    assert_eq!(store.look_all().await.len(), 1);
    let mut conn = store.pool.acquire().await.unwrap();
    let rows = DB::dead_letters(&mut conn, &store.home, 0, 9)
        .await
        .unwrap();
    let shown = |letter: &DeadLetterRow| (letter.attempts, letter.message.key.clone());
    let shown: Vec<_> = rows.iter().map(shown).collect();
    assert_eq!(shown, [(2, Some("b".into())), (7, Some("a".into()))]);
    let letter = &rows[0];
    assert_eq!(letter.message.id.as_uuid(), found[1].place.id);
    assert_eq!(
        (&*letter.name, &*letter.reason),
        ("default", &*letters[0].reason)
    );
    assert_eq!(letter.message, found[1].message.clone().unwrap());
    assert!(letter.died_at.elapsed().unwrap_or_default() < Duration::from_mins(10));
    let rest = DB::dead_letters(&mut conn, &store.home, letter.number, 9).await;
    assert_eq!(rest.unwrap().len(), 1);
    let count = DB::count_dead_letters(&mut conn, &store.home).await;
    assert_eq!(count.unwrap(), 2);
    // Emitted again under the same ID, as after a purge, it dies again.
    store.insert(2, "t", "b", "{}", "x").await;
    let again = events(store.look_all().await).pop().unwrap();
    let letters = [dead(&again, 5)];
    assert!(
        store
            .settle(&Settlement {
                dead: &letters,
                ..settlement()
            })
            .await
    );
    let rows = DB::dead_letters(&mut conn, &store.home, 0, 9)
        .await
        .unwrap();
    assert_eq!(
        rows.iter().map(|row| row.attempts).collect::<Vec<_>>(),
        [5, 7]
    );
}

pub(in super::super) async fn settling_twice_is_settling_once<DB: TestDatabase>() {
    let (store, found) = owned::<DB>().await;
    let (failed, dead) = ([failed(&found[1], 1)], [dead(&found[2], 1)]);
    let settled = Settlement {
        published: &[found[0].place],
        failed: &failed,
        dead: &dead,
        ..settlement()
    };
    for _ in 0..2 {
        assert!(store.settle(&settled).await);
        let found = events(store.look_all().await);
        assert_eq!(
            found.iter().map(|event| event.attempts).collect::<Vec<_>>(),
            [1]
        );
        assert_eq!(
            store.number("SELECT count(*) FROM idem_dead_letters").await,
            1
        );
    }
    // The same event in it twice.
    let twice = [
        failed[0].clone(),
        FailedAttempt {
            attempts: 2,
            ..failed[0].clone()
        },
    ];
    let dead = [dead[0].clone(), dead[0].clone()];
    assert!(
        store
            .settle(&Settlement {
                failed: &twice,
                dead: &dead,
                ..settlement()
            })
            .await
    );
    assert_eq!(events(store.look_all().await)[0].attempts, 2);
}

pub(in super::super) async fn attempts_that_nothing_touches_are_purged<DB: TestDatabase>() {
    let (store, found) = owned::<DB>().await;
    let failed = found
        .iter()
        .map(|event| failed(event, 1))
        .collect::<Vec<_>>();
    assert!(
        store
            .settle(&Settlement {
                failed: &failed,
                ..settlement()
            })
            .await
    );
    let (day, none) = (Duration::from_hours(24), Duration::ZERO);
    for (attempts, expected) in [(day, 0), (none, 2), (none, 1)] {
        let keep = Keep {
            attempts,
            done: day,
        };
        let deleted = DB::purge(&store.pool, 2, keep).await.unwrap();
        assert_eq!((deleted.keys, deleted.attempts), (0, expected));
    }
}
