//! Snapshots of expansions, in `snapshots/`. `IDEM_SNAPSHOTS=accept cargo test -p idem-macros`
//! writes them.

use std::path::Path;

use proc_macro2::TokenStream;

use crate::attr::Macro;
use crate::handler::transform;
use crate::{event, key};

/// What `source` expands to, pretty-printed. Its first attribute is the macro's.
fn expanded(source: &str) -> String {
    let tokens: TokenStream = source.parse().unwrap();
    let mut attrs = syn::parse::Parser::parse2(
        |input: syn::parse::ParseStream<'_>| {
            let attrs = input.call(syn::Attribute::parse_outer)?;
            let _rest: TokenStream = input.parse()?;
            Ok(attrs)
        },
        tokens.clone(),
    )
    .unwrap();
    let first = attrs.remove(0);
    let args = match &first.meta {
        syn::Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    // `#` and `[..]` of the first attribute.
    let item: TokenStream = tokens.into_iter().skip(2).collect();
    let output = if first.path().is_ident("derive") {
        if args.to_string() == "Key" {
            key::derive(item)
        } else {
            event::derive(item)
        }
    } else {
        let attribute = if Macro::Outbox.is(&first) {
            Macro::Outbox
        } else {
            Macro::Idempotent
        };
        transform(attribute, args, item)
    };
    prettyplease::unparse(&syn::parse2(output).unwrap())
}

fn assert_snapshot(name: &str, source: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("snapshots")
        .join(name)
        .with_extension("rs");
    let found = expanded(source);
    if std::env::var_os("IDEM_SNAPSHOTS").is_some_and(|value| value == "accept") {
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found,
        expected,
        "the expansion differs from {}; `IDEM_SNAPSHOTS=accept cargo test -p idem-macros` accepts it",
        path.display()
    );
}

/// The first example of the README; its documentation shows this file.
#[test]
fn the_first_example_expands_to_what_the_docs_show() {
    assert_snapshot(
        "apply_payment",
        r#"
        #[idempotent(key = "event.id")]
        async fn apply_payment(tx: &mut PgConnection, event: &PaymentCaptured) -> Result<Receipt, AppError> {
            sqlx::query("UPDATE accounts SET balance = balance + $1 WHERE id = $2")
                .bind(event.amount)
                .bind(event.account)
                .execute(&mut *tx)
                .await?;
            Ok(Receipt { account: event.account })
        }
        "#,
    );
}

#[test]
fn every_argument_has_its_place() {
    assert_snapshot(
        "every_argument",
        r#"
        #[idempotent(
            key = "(event.tenant, event.id)",
            scope = "payments.apply",
            fingerprint = "event.amount",
            on_duplicate = "skip",
            on_error = "record",
            in_flight = "wait 5s",
            retention = "30d",
            retry = 3,
            isolation = "repeatable read",
            result_version = 2,
            hash_key,
            handler = Apply,
            crate = "::idem"
        )]
        /// Applies a payment.
        pub(crate) async fn apply(mut tx: &mut PgConnection, event: &Received<Payment>, prices: &Prices) -> anyhow::Result<Receipt> {
            body(tx, event).await
        }
        "#,
    );
}

#[test]
fn an_outbox_disappears_from_the_signature() {
    assert_snapshot(
        "place_order",
        r#"
        #[idempotent(key = "command.id")]
        #[outbox]
        async fn place_order(tx: &mut PgConnection, outbox: &mut Outbox<OrderPlaced>, command: &PlaceOrder) -> Result<Receipt, AppError> {
            outbox.emit(&OrderPlaced { order_id: command.id });
            Ok(Receipt)
        }
        "#,
    );
}

#[test]
fn a_batch_handler_gets_the_events_that_are_new() {
    assert_snapshot(
        "apply_all",
        r#"
        #[idempotent(key = "event.id", batch = "event in events", handler = ApplyAll)]
        #[outbox]
        async fn apply_all(
            tx: &mut PgConnection,
            outbox: &mut BatchOutbox<Posted>,
            events: &[&Payment],
        ) -> Result<Vec<Receipt>, AppError> {
            for (place, event) in events.iter().enumerate() {
                outbox.of(place).emit(&Posted { account: event.account });
            }
            insert_all(tx, events).await
        }
        "#,
    );
}

#[test]
fn either_attribute_may_stand_first() {
    let place = |first: &str, second: &str| {
        let expanded = expanded(&format!(
            "{first} {second} async fn place(tx: &mut C, outbox: &mut Outbox<E>, command: &M) -> Result<T, E> {{ Ok(()) }}"
        ));
        // What keeps the import of the second in use.
        let lines = expanded
            .lines()
            .filter(|line| !line.trim_start().starts_with("use "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let idempotent = r#"#[idempotent(key = "command.id")]"#;
    let outbox = "#[idem_runtime::outbox]";
    assert_eq!(place(idempotent, outbox), place(outbox, idempotent));
}

#[test]
fn an_outbox_alone_has_no_claim() {
    assert_snapshot(
        "register",
        r#"
        #[outbox(topic = "users.registered", key = "user.id")]
        async fn register(tx: &mut PgConnection, user: &NewUser) -> Result<UserRegistered, AppError> {
            insert(tx, user).await
        }
        "#,
    );
}

#[test]
fn a_method_keeps_its_generics_and_retries_with_copies() {
    assert_snapshot(
        "method",
        r#"
        #[idempotent(key = "event.id", scope = "ledger.post", retry = 2)]
        pub async fn post<'a, 'tx, T: Entry>(
            &self,
            tx: &'tx mut SqliteConnection,
            mut event: Posting<'a, T>,
            (left, right): (u32, u32),
        ) -> Result<Balance, sqlx::Error>
        where
            T: Clone,
        {
            self.insert(tx, event, left + right).await
        }
        "#,
    );
}

#[test]
fn derives_are_an_impl_each() {
    assert_snapshot(
        "event",
        r#"
        #[derive(Event)]
        #[event(topic = "orders.placed", key = "(tenant, order.id)", type = "Placed")]
        struct OrderPlaced { tenant: String, order: Order }
        "#,
    );
    assert_snapshot("key", "#[derive(Key)] struct OrderId<T>(T);");
}

#[test]
fn wrong_arguments_leave_the_signature_that_callers_see() {
    assert_snapshot(
        "wrong_arguments",
        r#"
        #[idempotent(key = "event.id", retention = "30", in_flght = "fail", handler = Apply)]
        async fn apply(tx: &mut PgConnection, event: &Payment) -> Result<Receipt, AppError> {
            body(tx, event).await
        }
        "#,
    );
}
