//! The programs in `examples/`, run as a newcomer runs them.

mod program;
mod quickstart;
mod relay;
mod webhooks;

use std::net::TcpListener;
use std::thread;

use crate::program::{program, run};

#[test]
fn the_first_example_shows_one_execution_and_two_replays() {
    let ran = run(&mut program("first"));
    assert!(ran.succeeded, "{ran:?}");
    let expected = "\
delivery 1: executed, Receipt { balance: 1250 }
delivery 2: replayed, Receipt { balance: 1250 }
delivery 3: replayed, Receipt { balance: 1250 }
balance: 1250
";
    assert_eq!(ran.stdout, expected);
}

#[test]
fn a_program_tells_how_it_is_called() {
    for (name, arguments, reason) in [
        (
            "quickstart",
            ["--deliveries", "many"],
            "--deliveries can't be \"many\"",
        ),
        (
            "quickstart",
            ["redis://localhost", "--seed"],
            "missing argument for option '--seed'",
        ),
        (
            "github_webhooks",
            ["a", "b://c"],
            "use sqlite:, postgres: or mysql:",
        ),
    ] {
        let ran = run(program(name).args(arguments));
        assert!(!ran.succeeded);
        assert!(ran.stderr.contains(reason), "{ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_named_at_once() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    thread::spawn(move || server.incoming().for_each(drop));
    for (scheme, name) in [("postgres", "PostgreSQL"), ("mysql", "MariaDB/MySQL")] {
        let ran =
            run(program("quickstart").arg(format!("{scheme}://nobody:secret@{address}/none")));
        assert!(!ran.succeeded);
        let reason = format!("can't connect to {name}, {address}");
        assert!(ran.stderr.contains(&reason), "{ran:?}");
        assert!(!ran.stderr.contains("secret"), "{ran:?}");
    }
}
