//! What a run shows at its begin and its end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::books::Books;
use crate::chaos::Tallies;
use crate::client::{ACCOUNTS, Tally};
use crate::shop::Shop;

/// How many orders are shown one by one.
const SHOWN: usize = 5;

/// What runs where.
pub(crate) fn shop(shop: &Shop) {
    let database = |name: &str| shop.folder.join(name).display().to_string();
    println!(
        "orders  http://{}  {}",
        shop.orders_at,
        database("orders.db")
    );
    println!(
        "ledger  http://{}  {}",
        shop.ledger_at,
        database("ledger.db")
    );
    let own = if shop.server.is_some() {
        ", started for this run"
    } else {
        ""
    };
    println!("events  by {}{own}\n", shop.route.label());
}

/// What to do with a shop that stays up.
pub(crate) fn to_try(shop: &Shop) {
    let (orders, ledger) = (shop.orders_at, shop.ledger_at);
    println!("place an order; once more: the same answer, and nothing happens");
    println!("  curl -i http://{orders}/orders -H 'content-type: application/json' \\");
    println!("    -d '{{\"id\": \"order-1\", \"account\": \"alice\", \"cents\": 1250}}'");
    println!("what the ledger has");
    println!("  curl http://{ledger}/accounts/alice");
    println!("cancel it");
    println!("  curl -i -X POST http://{orders}/orders/order-1/cancel");
    for program in [&shop.orders, &shop.ledger] {
        if let Some(id) = program.id() {
            println!(
                "kill {}; it is started again\n  kill -9 {id}",
                program.name()
            );
        }
    }
    println!("\nCtrl-C ends it\n");
}

/// How orders went through.
pub(crate) fn paths(books: &Books, tally: &Tally) {
    println!("  order     account      cents   answered after   in the ledger");
    let entered: BTreeMap<_, _> = books
        .entries
        .iter()
        .map(|entry| ((&entry.order_id, entry.cents > 0), entry.at))
        .collect();
    let waited: BTreeMap<_, _> = tally
        .answered
        .iter()
        .zip(&tally.waited)
        .map(|(answer, waited)| (&answer.order, waited))
        .collect();
    let mut later = Vec::new();
    for order in &books.orders {
        let (Some(at), Some(waited)) = (entered.get(&(&order.id, true)), waited.get(&order.id))
        else {
            continue;
        };
        let after = (at - order.at).max(0);
        later.push(after);
        if later.len() <= SHOWN {
            let (short, account) = (&order.id[..8], &order.account);
            println!(
                "  {short}  {account:<8} {:>8}   {:>11} ms   {after} ms after its COMMIT",
                order.cents,
                waited.as_millis()
            );
        }
    }
    later.sort_unstable();
    let cancelled = books
        .orders
        .iter()
        .filter(|order| order.cancelled.is_some())
        .count();
    if let (Some(median), Some(longest)) = (later.get(later.len() / 2), later.last()) {
        println!(
            "  and {} more: half of them within {median} ms, all within {longest} ms",
            later.len().saturating_sub(SHOWN)
        );
    }
    println!(
        "\n{cancelled} of {} orders were cancelled; {} requests came again and got the stored answer\n",
        books.orders.len(),
        tally.replayed
    );
}

/// What the chaos was.
pub(crate) fn chaos(
    books: &Books,
    tally: &Tally,
    tallies: &Tallies,
    drained: Duration,
    folder: &Path,
) -> Result<()> {
    let cancelled = books
        .orders
        .iter()
        .filter(|order| order.cancelled.is_some())
        .count();
    println!(
        "\n  orders      {} placed, {cancelled} of them cancelled",
        books.orders.len()
    );
    for (name, tally) in tallies {
        let ended = if tally.ended > 0 {
            format!("; gave up by itself {} times", tally.ended)
        } else {
            String::new()
        };
        println!(
            "  {name:<10}  {} times down: {} SIGKILL, {} SIGTERM, {} frozen{ended}",
            tally.all(),
            tally.killed,
            tally.terminated,
            tally.frozen
        );
    }
    println!(
        "  clients     sent {} requests again, since nobody had answered; {} had been done",
        tally.repeated, tally.replayed
    );
    let log = fs::read_to_string(folder.join("ledger.log"))?;
    let replayed = log.matches("idem.outcome=\"replayed\"").count();
    let known = log.matches("came again").count();
    println!(
        "  ledger      {} deliveries had been entered before",
        replayed + known
    );
    if books.attempts > 0 {
        // They are forgotten after the COMMIT, by a statement of their own.
        println!(
            "  attempts    of {} messages that are done are still remembered, where a kill came in between; `purge` deletes them",
            books.attempts
        );
    }
    let longest = tally.waited.iter().max().copied().unwrap_or_default();
    println!(
        "  time        {:.1} s for the slowest answer; {:.1} s at the end until all had arrived\n",
        longest.as_secs_f64(),
        drained.as_secs_f64()
    );
    Ok(())
}

/// Both databases side by side.
pub(crate) fn accounts(books: &Books) {
    println!("             orders.db          ledger.db");
    println!("  account    changes    cents   entries    cents");
    let mut accounts: Vec<&str> = ACCOUNTS.to_vec();
    let others = books.balances.iter().map(|(account, _)| account.as_str());
    accounts.extend(others.filter(|account| !ACCOUNTS.contains(account)));
    let [mut changes, mut owed, mut entries, mut balance] = [0, 0, 0, 0];
    let line = |name: &str, [changes, owed, entries, balance]: [i64; 4]| {
        println!("  {name:<8}   {changes:>7} {owed:>8}   {entries:>7} {balance:>8}");
    };
    for account in accounts {
        let orders = books.orders.iter().filter(|order| order.account == account);
        let mut row = [0; 4];
        for order in orders {
            row[0] += 1 + i64::from(order.cancelled.is_some());
            row[1] += if order.cancelled.is_none() {
                order.cents
            } else {
                0
            };
        }
        row[2] = books
            .entries
            .iter()
            .filter(|entry| entry.account == account)
            .map(|_| 1)
            .sum();
        let of_account = books.balances.iter().filter(|(name, _)| name == account);
        row[3] = of_account.map(|(_, cents)| cents).sum();
        line(account, row);
        changes += row[0];
        owed += row[1];
        entries += row[2];
        balance += row[3];
    }
    line("all", [changes, owed, entries, balance]);
    println!();
}
