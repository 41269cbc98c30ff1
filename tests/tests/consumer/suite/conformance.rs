//! The inbox is a source.

use std::time::Duration;

use idem_runtime::{Inbox, Incoming};
use idem_testing::conformance::{self, Capabilities, Kept, SourceTarget, WireMessage};
use idem_tests::TestDb;

use super::{Database, Db, start};

/// The inboxes of a database. Its instances have no connection to each other: what one stores the
/// others find when they look.
struct Inboxes {
    db: Db,
    url: String,
}

impl Inboxes {
    async fn count(&self, queue: &str, condition: &str) -> usize {
        let sql = format!(
            "SELECT count(*) FROM idem_inbox WHERE origin = 'inbox' AND name = '{queue}' AND done_at IS NULL AND {condition}"
        );
        self.db.number(&sql).await.try_into().unwrap()
    }
}

impl SourceTarget for Inboxes {
    type Source = Inbox<Database>;

    fn capabilities(&self) -> Capabilities {
        // What is taken at once, and what waits in memory behind others of its key.
        let mut capabilities =
            Capabilities::none("an inbox has neither broker nor partitions", 2 * 128);
        // A key is handed out again when what came before it is done.
        capabilities.ordered = Ok(());
        capabilities.delayed = Ok(());
        capabilities.counts = Ok(());
        capabilities.deadline = Some(Duration::from_secs(1));
        capabilities
    }

    async fn create(&self, _: &str) {}

    async fn source(&self, queue: &str) -> Inbox<Database> {
        let pool = TestDb::<Database>::pool_of(&self.url, 2).await;
        Inbox::new(pool, queue)
            .poll_interval(Duration::from_millis(20))
            .lease(Duration::from_secs(1))
    }

    async fn send(&self, queue: &str, messages: Vec<WireMessage>) {
        let inbox = Inbox::new(self.db.pool.clone(), queue);
        for message in messages {
            let WireMessage {
                attributes,
                content_type,
                body,
                ..
            } = message;
            let mut incoming = Incoming::from_attributes(attributes, content_type, body);
            // One without an ID is known by its place.
            incoming.topic = queue.to_owned();
            inbox.store(incoming).await.unwrap();
        }
    }

    async fn kept(&self, queue: &str) -> Kept {
        Kept {
            waiting: self.count(queue, "owner IS NULL").await,
            handed_out: self.count(queue, "owner IS NOT NULL").await,
        }
    }
}

#[tokio::test]
async fn an_inbox_keeps_what_a_source_must() {
    let db = start().await;
    let url = db.database().url().to_owned();
    let target = Inboxes {
        db,
        url: url.clone(),
    };
    conformance::source::<Database, _>(target, &url)
        .await
        .assert_holds();
}
