use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{Barrier, Notify};
use uuid::Uuid;

use super::*;
use crate::event::EventId;
use crate::publisher::batch::Verdicts;

/// Messages of these keys; each has its place as its payload.
fn batch(keys: &[Option<&str>]) -> (PublishBatch, Verdicts) {
    let messages = keys.iter().zip(0_u8..).map(|(key, place)| {
        let mut message = Message::new(EventId::new(Uuid::nil()), "t", "T", vec![place]);
        message.key = key.map(str::to_owned);
        message
    });
    PublishBatch::new(messages.collect())
}

fn place(message: &Message) -> u8 {
    message.payload[0]
}

async fn all(mut verdicts: Verdicts) -> BTreeMap<usize, Result<(), PublishError>> {
    let mut all = BTreeMap::new();
    while let Some((index, verdict)) = verdicts.next().await {
        all.insert(index, verdict);
    }
    all
}

/// What was sent, in order.
#[derive(Default)]
struct Sent(Mutex<Vec<u8>>);

impl Sent {
    fn push(&self, message: &Message) {
        self.0.lock().unwrap().push(place(message));
    }

    fn places(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

async fn within<T>(running: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), running)
        .await
        .expect("it does not end")
}

/// Guards: `Lanes`, and the loop over each of them.
#[tokio::test]
async fn the_messages_of_a_key_are_sent_one_at_a_time_and_in_order() {
    let keys = [Some("a"), Some("b"), Some("a"), None, Some("b"), Some("a")];
    let (batch, verdicts) = batch(&keys);
    let (sent, ended, running) = (Sent::default(), Sent::default(), AtomicUsize::new(0));
    let running_of_a = &running;
    let (began, done) = (&sent, &ended);
    within(in_order(batch, 10, |message| async move {
        let is_a = message.key.as_deref() == Some("a");
        began.push(&message);
        assert!(!is_a || running_of_a.fetch_add(1, Ordering::Relaxed) == 0);
        // Others get their turn meanwhile.
        for _ in 0..place(&message) {
            tokio::task::yield_now().await;
        }
        running_of_a.fetch_sub(usize::from(is_a), Ordering::Relaxed);
        done.push(&message);
        Ok(())
    }))
    .await;
    for order in [sent.places(), ended.places()] {
        let of = |key| -> Vec<u8> {
            let places = order.iter().copied();
            places
                .filter(|&place| keys[place as usize] == key)
                .collect()
        };
        assert_eq!((of(Some("a")), of(Some("b"))), (vec![0, 2, 5], vec![1, 4]));
    }
    let confirmed: BTreeMap<_, _> = (0..6).map(|index| (index, Ok(()))).collect();
    assert_eq!(all(verdicts).await, confirmed);
}

/// Guards: one lane for each key and for each message without one, and the bound. All that may run
/// at once must, or the barrier never opens.
#[tokio::test]
async fn keys_go_side_by_side_up_to_the_bound() {
    let keys = [
        Some("a"),
        Some("b"),
        None,
        None,
        Some("c"),
        None,
        Some("d"),
        None,
    ];
    for (concurrency, at_once) in [(4, 4), (8, 8), (100, 8), (1, 1), (0, 1)] {
        let (batch, verdicts) = batch(&keys);
        let (barrier, running) = (Barrier::new(at_once), AtomicUsize::new(0));
        let (barrier, running) = (&barrier, &running);
        within(in_order(batch, concurrency, |_| async move {
            assert!(running.fetch_add(1, Ordering::Relaxed) < at_once);
            barrier.wait().await;
            running.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        }))
        .await;
        assert_eq!(all(verdicts).await.len(), keys.len());
    }
}

/// Guards: what stops a lane. A later message must not overtake one that comes again.
#[tokio::test]
async fn a_retryable_failure_stops_its_key_alone_and_a_permanent_one_nothing() {
    let keys = [Some("a"), Some("b"), Some("a"), Some("b"), None, None];
    let (batch, verdicts) = batch(&keys);
    let again = PublishError::retryable("again");
    let never = PublishError::permanent("never");
    let sent = Sent::default();
    let (log, retryable, permanent) = (&sent, &again, &never);
    within(in_order(batch, 1, |message| async move {
        log.push(&message);
        match place(&message) {
            0 | 4 => Err(retryable.clone()),
            1 => Err(permanent.clone()),
            _ => Ok(()),
        }
    }))
    .await;
    assert_eq!(sent.places(), [0, 1, 3, 4, 5]);
    let expected = [
        (0, Err(again.clone())),
        (1, Err(never)),
        (3, Ok(())),
        (4, Err(again)),
        (5, Ok(())),
    ];
    assert_eq!(all(verdicts).await, BTreeMap::from(expected));
}

/// Guards: the flag that all lanes look at, and that none is dropped.
#[tokio::test]
async fn an_unavailable_receiver_stops_all_that_is_not_on_its_way() {
    let keys = [Some("a"), Some("b"), Some("a"), Some("b"), None, None];
    let (batch, verdicts) = batch(&keys);
    let down = PublishError::unavailable("down");
    let (both, told) = (Barrier::new(2), Notify::new());
    let sent = Sent::default();
    let (log, error, both, told) = (&sent, &down, &both, &told);
    within(in_order(batch, 2, |message| async move {
        log.push(&message);
        both.wait().await;
        if place(&message) == 0 {
            told.notify_one();
            Err(error.clone())
        } else {
            told.notified().await;
            // The other one has its verdict now.
            tokio::task::yield_now().await;
            Ok(())
        }
    }))
    .await;
    assert_eq!(sent.places(), [0, 1]);
    let expected = BTreeMap::from([(0, Err(down.clone())), (1, Ok(()))]);
    assert_eq!(all(verdicts).await, expected);
}

/// Guards: a verdict is given as it comes, and no lane waits for another.
#[tokio::test]
async fn a_message_that_hangs_delays_no_other_key() {
    let keys = [Some("slow"), Some("a"), Some("a"), None, Some("slow")];
    let (batch, mut verdicts) = batch(&keys);
    let running = tokio::spawn(in_order(batch, 2, |message| async move {
        if message.key.as_deref() == Some("slow") {
            std::future::pending::<()>().await;
        }
        Ok(())
    }));
    let mut confirmed = Vec::new();
    while confirmed.len() < 3 {
        let (index, verdict) = within(verdicts.next()).await.unwrap();
        confirmed.push((index, verdict));
    }
    assert_eq!(confirmed, [(1, Ok(())), (2, Ok(())), (3, Ok(()))]);
    // Dropped, as a relay drops a call that takes too long.
    running.abort();
    assert_eq!(within(verdicts.next()).await, None);
}

#[tokio::test]
async fn an_empty_batch_ends() {
    let (batch, verdicts) = batch(&[]);
    within(in_order(batch, 8, |_| async {
        unreachable!("nothing to send")
    }))
    .await;
    assert!(all(verdicts).await.is_empty());
}
