//! Two services with a database each: `orders` takes orders over HTTP, and `ledger` enters them.
//! See the README next to this folder.
//!
//! What a user would write is in `orders.rs`, `ledger.rs`, `events.rs`, `service.rs` and the first halves of
//! `broker/nats.rs` and `broker/rabbitmq.rs`. Everything else demonstrates it.

mod arguments;
mod books;
mod broker;
mod chaos;
mod client;
mod events;
mod ledger;
mod orders;
mod process;
mod proof;
mod report;
mod run;
mod screen;
mod service;
mod shop;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use broker::Route;

use crate::arguments::Task;

fn main() -> Result<ExitCode> {
    let task = arguments::parse(std::env::args_os().skip(1))?;
    // Before there are other threads, and without a runtime: nothing of it can fail.
    if let Task::Watchdog(folder) = task {
        process::watch(folder);
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Runtime::new().context("can't start")?;
    runtime.block_on(work(task))
}

async fn work(task: Task) -> Result<ExitCode> {
    match task {
        Task::Orders(service) => {
            service::log();
            let route = Route::parse(&service.url, &service.name)?;
            orders::run(&service.database, service.address, route).await?;
        }
        Task::Ledger(service) => {
            service::log();
            let route = Route::parse(&service.url, &service.name)?;
            ledger::run(&service.database, service.address, route).await?;
        }
        Task::Run(options) => return run::run(options).await,
        Task::Prove(folder) => return run::prove(&folder).await,
        Task::Watchdog(_) => {}
        Task::Help => arguments::help(),
    }
    Ok(ExitCode::SUCCESS)
}

// What the handlers of both services promise, as a file: `idem.lock`.
#[cfg(test)]
idem_runtime::contracts!();
