//! A run: from the start of the services to the proof.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::arguments::{Mode, Options};
use crate::books::{Books, write_answered};
use crate::chaos::{chaos, supervise};
use crate::client::{Until, traffic};
use crate::process::Watchdog;
use crate::proof::Proof;
use crate::report;
use crate::screen::Screen;
use crate::shop::Shop;

/// The longest pause of a client between two orders, in the chaos: what comes in while something is
/// down must be handled, too.
const PAUSE: Duration = Duration::from_millis(120);

/// Runs it, until its end or an interrupt.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let (folder, is_temporary) = folder(options.data.clone())?;
    let _lock = lock(&folder)?;
    let watchdog = Watchdog::start(is_temporary.then_some(&*folder))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let interrupted = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let shop = async {
        let shop = Shop::open(options.broker.as_deref(), &folder, is_temporary, &watchdog).await?;
        // From here on something can be learnt from it.
        let holds = work(shop, &options, &folder).await;
        if !matches!(holds, Ok(true)) {
            watchdog.keep_folder();
            eprintln!("databases and logs are kept: {}", folder.display());
        }
        holds
    };
    let holds = tokio::select! {
        holds = shop => holds?,
        // A shop that stays up has no other end.
        () = interrupted => options.mode == Mode::Serve,
    };
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether all is well.
async fn work(mut shop: Shop, options: &Options, folder: &Path) -> Result<bool> {
    let seed = options
        .seed
        .unwrap_or_else(|| rand::random_range(0..1_000_000));
    report::shop(&shop);
    let url = format!("http://{}", shop.orders_at);
    let (tally, tallies) = match options.mode {
        Mode::Serve => {
            report::to_try(&shop);
            let screen = Screen::new(None, "");
            tokio::try_join!(
                supervise(&mut shop.orders, &screen),
                supervise(&mut shop.ledger, &screen)
            )?;
            return Ok(true);
        }
        Mode::Orders(orders) => {
            println!("{orders} orders, --seed {seed}\n");
            let screen = Screen::new(Some(orders), "orders");
            let tally = traffic(&url, seed, Until::Orders(orders), &screen.bar).await?;
            (tally, None)
        }
        Mode::Chaos(length) => {
            println!("chaos for {} s, --seed {seed}\n", length.as_secs());
            if shop.server.is_some() {
                shop.route.flush(folder).await?;
            }
            let screen = Screen::new(None, "orders");
            let until = Until::Time(Instant::now() + length, PAUSE);
            let (tally, tallies) = tokio::try_join!(
                traffic(&url, seed, until, &screen.bar),
                chaos(&mut shop, seed, length, &screen)
            )?;
            (tally, Some(tallies))
        }
    };
    write_answered(folder, &tally.answered)?;
    let start = Instant::now();
    shop.drain().await?;
    let drained = start.elapsed();
    shop.close().await?;

    let books = Books::read(folder).await?;
    match &tallies {
        None => report::paths(&books, &tally),
        Some(tallies) => report::chaos(&books, &tally, tallies, drained, folder)?,
    }
    let holds = conclude(&books, tally.answered.len());
    if !holds && tallies.is_some() {
        eprintln!("the same orders and the same plan once more: --seed {seed}");
    }
    Ok(holds)
}

/// Looks at the databases that an earlier run has left.
pub(crate) async fn prove(folder: &Path) -> Result<ExitCode> {
    let books = Books::read(folder).await?;
    let holds = conclude(&books, books.answered.len());
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Shows both databases side by side, what is wrong, and the last line.
fn conclude(books: &Books, answered: usize) -> bool {
    report::accounts(books);
    let proof = Proof::of(books);
    proof.accuse();
    println!(
        "orders={} entries={} {proof}",
        answered,
        books.entries.len()
    );
    proof.holds()
}

fn folder(data: Option<PathBuf>) -> Result<(PathBuf, bool)> {
    if let Some(folder) = data {
        fs::create_dir_all(&folder)
            .with_context(|| format!("can't create {}", folder.display()))?;
        return Ok((folder.canonicalize()?, false));
    }
    // The watchdog removes it, also after a SIGKILL.
    let folder = tempfile::Builder::new().prefix("idem-shop-").tempdir()?;
    Ok((folder.keep(), true))
}

/// Two runs on one folder would start two brokers on the same data.
fn lock(folder: &Path) -> Result<File> {
    let file = folder.join("lock");
    let lock = File::create(&file).with_context(|| format!("can't write {}", file.display()))?;
    lock.try_lock().with_context(|| {
        let folder = folder.display();
        format!("another run works in {folder}: wait for its end, or give another --data")
    })?;
    Ok(lock)
}
