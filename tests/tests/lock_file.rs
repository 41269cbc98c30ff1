//! `contracts!()` over handlers of this target, which registered themselves, and `tests/idem.lock`.

#![allow(
    clippy::used_underscore_binding,
    reason = "these handlers are never run"
)]

use std::path::Path;

use idem_runtime::{ContentHash, Event, Outbox, Outcome, idempotent, outbox};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

idem_runtime::contracts!();

#[derive(Clone)]
struct PaymentCaptured {
    id: Uuid,
    tenant: String,
    body: Vec<u8>,
    cents: i32,
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    cents: i32,
}

#[derive(Serialize, Event)]
#[event(topic = "ledger.posted")]
struct LedgerPosted {
    cents: i32,
}

#[derive(Serialize, Event)]
#[event(topic = "mail.due", key = "to", type = "mail.Due")]
struct MailDue {
    to: String,
}

#[idempotent(key = "event.id", retention = "90d")]
async fn apply(_tx: &mut PgConnection, event: &PaymentCaptured) -> Result<Receipt, sqlx::Error> {
    Ok(Receipt { cents: event.cents })
}

#[idempotent(
    key = "(event.tenant, event.id)",
    scope = "payments.notify",
    fingerprint = "i64::from(event.cents) as i64",
    result_version = 2
)]
#[outbox]
async fn notify(
    _tx: &mut PgConnection,
    outbox: &mut Outbox<(MailDue, LedgerPosted)>,
    event: &PaymentCaptured,
) -> Result<Option<Receipt>, sqlx::Error> {
    let cents = event.cents;
    outbox.emit(&LedgerPosted { cents });
    let to = event.tenant.clone();
    outbox.emit(&MailDue { to });
    Ok(None)
}

#[idempotent(key = "ContentHash::of(&event.body)", on_duplicate = "skip")]
async fn archive(_tx: &mut PgConnection, event: PaymentCaptured) -> Result<(), sqlx::Error> {
    drop(event);
    Ok(())
}

#[outbox(topic = "receipts.written")]
async fn write(_tx: &mut PgConnection, cents: i32) -> Result<Receipt, sqlx::Error> {
    Ok(Receipt { cents })
}

/// What a person sees when the handlers above are compared with a lock file of this text.
fn failure(lock: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("idem.lock"), lock).unwrap();
    let directory = folder.path().to_str().unwrap();
    let package = env!("CARGO_PKG_NAME");
    let checked =
        idem_runtime::__private::check_contracts(package, directory, "idem.lock", None, None);
    format!("{:?}", checked.unwrap_err()).replace(&format!("{directory}/"), "")
}

fn locked() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("idem.lock");
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn every_handler_of_this_target_is_one_line() {
    assert_eq!(
        locked(),
        "lock_file::apply key=event.id:Uuid fingerprint=- duplicate=replay:Receipt@1 error=rollback retention=90d isolation=- emits=-
lock_file::archive key=ContentHash::of(&event.body):ContentHash fingerprint=- duplicate=skip error=rollback retention=forever isolation=- emits=-
lock_file::write key=- fingerprint=- duplicate=- error=rollback retention=- isolation=- emits=receipts.written type=Receipt ordering_key=-
payments.notify key=(event.tenant,event.id):(String,Uuid) fingerprint=i64::from(event.cents)as␣i64 \
         duplicate=replay:Option<Receipt>@2 error=rollback retention=forever isolation=- \
         emits=ledger.posted type=LedgerPosted ordering_key=- \
         emits=mail.due type=mail.Due ordering_key=to
"
    );
}

#[test]
fn a_difference_is_told_in_full_with_the_handlers_place() {
    let before = locked()
        .replace("retention=90d", "retention=120d")
        .replace("lock_file::archive", "lock_file::store")
        .replace("Option<Receipt>@2", "Receipt@2")
        .replace("type=LedgerPosted", "type=Posted")
        .replace("ordering_key=to", "ordering_key=-");
    let line = |name: &str| {
        let source = include_str!("lock_file.rs");
        let at = source.find(&format!("async fn {name}")).unwrap();
        let attribute = source[..at].rfind("#[idempotent").unwrap();
        source[..attribute].lines().count() + 1
    };
    assert_eq!(
        failure(&before),
        format!(
            "The handlers of `idem-tests` are not what idem.lock says. In production this means:

lock_file::apply (tests/tests/lock_file.rs:{})
  retention: was 120d, is 90d
    Shortened: a message that is delivered again more than 90d after it was handled would run again. It must outlast the longest \
redelivery: the broker's retention, a replay of dead letters, a restored backup.

lock_file::archive (tests/tests/lock_file.rs:{})
  scope renamed: was `lock_file::store`
    Keys are remembered by scope: messages already handled would run again. Pin the old one: `scope = \"lock_file::store\"`. If it \
is another handler, accept.

payments.notify (tests/tests/lock_file.rs:{})
  output: was `Receipt`, is `Option<Receipt>`, both as result_version 2
    Results stored as `Receipt` would be read as `Option<Receipt>`: where they fit by accident, a duplicate gets a wrong value. Say \
`result_version = 3`; after a rename alone, accept.
  ordering key of `mail.Due`: was `-`, is `to`
    From now on events with the same key reach consumers in order. Events that are in the outbox already keep none, and come \
in any order.
  type of the events on `ledger.posted`: was `Posted`, is `LedgerPosted`
    Consumers choose by the type what to do: one that knows `Posted` alone takes `LedgerPosted` for an unknown event. If only \
the struct was renamed, pin the old type next to the topic: `type = \"Posted\"`. Otherwise deploy consumers that know both \
first. Events that are in the outbox already keep the old type.

Change the code back, or accept all of it: `IDEM_LOCK=accept cargo test`, and commit idem.lock.",
            line("apply"),
            line("archive"),
            line("notify"),
        )
    );
}

/// The handlers above are called nowhere else.
#[expect(dead_code, reason = "only their contracts are looked at")]
async fn all(pool: &sqlx::PgPool, event: PaymentCaptured) -> Outcome<Receipt> {
    notify(pool, &event).await.unwrap().into_inner();
    archive(pool, event.clone()).await.unwrap().into_inner();
    let _: Receipt = write(pool, 1).await.unwrap();
    apply(pool, &event).await.unwrap()
}
