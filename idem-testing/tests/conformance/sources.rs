//! The suite for sources, on SQLite.

use std::time::Duration;

use futures_util::future::join_all;
use idem_testing::conformance::{self, SourceTarget};
use sqlx::Sqlite;

use crate::queues::{QueueFlaw, Queues};

fn database(folder: &tempfile::TempDir) -> String {
    let file = folder.path().join("consumer.db");
    format!("sqlite://{}?mode=rwc", file.display())
}

/// Guards: the suite asks for no more than the law.
#[tokio::test]
async fn a_source_without_a_flaw_holds_in_every_case() {
    let folder = tempfile::tempdir().unwrap();
    let queues = Queues::new(QueueFlaw::None);
    let report = conformance::source::<Sqlite, _>(queues, &database(&folder)).await;
    report.assert_holds();
    let left_out: Vec<_> = report.left_out().map(|(case, _)| case).collect();
    assert_eq!(left_out.len(), 5, "{left_out:?}");
}

/// A source that waits for ever is found soon.
struct Hasty(Queues);

impl SourceTarget for Hasty {
    type Source = <Queues as SourceTarget>::Source;

    fn capabilities(&self) -> conformance::Capabilities {
        self.0.capabilities()
    }

    async fn create(&self, queue: &str) {
        self.0.create(queue).await;
    }

    async fn source(&self, queue: &str) -> Self::Source {
        self.0.source(queue).await
    }

    async fn send(&self, queue: &str, messages: Vec<conformance::WireMessage>) {
        self.0.send(queue, messages).await;
    }

    async fn kept(&self, queue: &str) -> conformance::Kept {
        self.0.kept(queue).await
    }

    async fn cut_connections(&self) -> Result<(), conformance::Unsupported> {
        self.0.cut_connections().await
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(8)
    }
}

/// Guards: each check of the suite.
#[tokio::test]
async fn each_flaw_of_a_source_is_found_by_the_case_that_looks_for_it() {
    let flaws = [
        (
            QueueFlaw::AcksWhatItHandsOut,
            "commit: ",
            "while its handler runs the broker keeps",
        ),
        (
            QueueFlaw::AcksWhatItHandsOut,
            "lost ack: ",
            "it did not come again",
        ),
        (
            QueueFlaw::AcksWhatItHandsOut,
            "killer: ",
            "and 1 messages are not done",
        ),
        (
            QueueFlaw::ConfirmsWhatIsLost,
            "cut: ",
            "whose connection was cut is confirmed",
        ),
        (
            QueueFlaw::DeliversAgainWithoutSayingSo,
            "given back: ",
            "does not say that it was handed out before",
        ),
        (
            QueueFlaw::CountsEachAsTheFirst,
            "counts: ",
            "delivery 2 says that it is Some(1)",
        ),
        (
            QueueFlaw::GivesBackAtOnce,
            "delayed: ",
            "was given back for 700ms",
        ),
        (
            QueueFlaw::ForgetsWhatIsGivenBack,
            "given back: ",
            "nothing is delivered",
        ),
        (
            QueueFlaw::DeliversRejectedAgain,
            "settled: ",
            "and 0 messages are not done",
        ),
        (QueueFlaw::DropsHeaders, "fields: ", "the headers is {"),
        (
            QueueFlaw::GoesOnAfterStop,
            "stop: ",
            "the source does not end",
        ),
        (QueueFlaw::TakesAll, "memory: ", "the source may take 8"),
        (
            QueueFlaw::HandsOutTheLastFirst,
            "order: ",
            "in another order than they were sent",
        ),
    ];
    let looks = flaws.map(|(flaw, case, what)| async move {
        let folder = tempfile::tempdir().unwrap();
        let queues = Hasty(Queues::new(flaw));
        let wanted = |name: &str| name.starts_with(case);
        let report =
            conformance::source_cases::<Sqlite, _>(queues, &database(&folder), wanted).await;
        let found: Vec<_> = report.violations().collect();
        let is_found = found.len() == 1 && found[0].1.contains(what);
        (!is_found).then(|| format!("{flaw:?}, {case}{found:?}"))
    });
    let missed: Vec<_> = join_all(looks).await.into_iter().flatten().collect();
    assert!(missed.is_empty(), "{missed:#?}");
}
