//! A broker that runs already, and that others use, too.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tempfile::{TempDir, tempdir};

use crate::program::{is_installed, run, shop};

const WITHIN: Duration = Duration::from_secs(20);

/// Where the server keeps the streams of those who name no account.
const STREAMS: &str = "jetstream/$G/streams";

struct Nats {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Nats {
    /// Asks for a user and a password that a URL has to encode.
    fn start() -> Self {
        let folder = tempdir().unwrap();
        let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let child = Command::new("nats-server")
            .env("PATH", path)
            .args(["--addr", "127.0.0.1", "--port", "-1"])
            .args(["--user", "me", "--pass", "s@cret", "--jetstream"])
            .arg("--store_dir")
            .arg(folder.path())
            .arg("--ports_file_dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ports = folder
            .path()
            .join(format!("nats-server_{}.ports", child.id()));
        let mut nats = Self {
            child,
            folder,
            port: 0,
        };
        let end = Instant::now() + WITHIN;
        nats.port = loop {
            if let Some(port) = port(&ports) {
                break port;
            }
            assert!(nats.child.try_wait().unwrap().is_none(), "it ended");
            assert!(Instant::now() < end, "no port within {WITHIN:?}");
            thread::yield_now();
        };
        nats
    }

    fn streams(&self) -> usize {
        let streams = fs::read_dir(self.folder.path().join(STREAMS));
        streams.map_or(0, Iterator::count)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` while the file is not there, or is being written.
fn port(file: &Path) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
}

#[test]
fn on_a_nats_of_others_a_run_leaves_nothing_and_a_kept_one_goes_on() {
    if env::var_os("CI").is_none() && !is_installed("nats-server") {
        eprintln!("skipped: nats-server is not installed (scripts/install-servers does that)");
        return;
    }
    let nats = Nats::start();
    let url = format!("nats://me:s%40cret@127.0.0.1:{}", nats.port);
    let ran = |arguments: &[&str]| {
        let ran = run(shop()
            .args(["--orders", "40", "--broker", &url])
            .args(arguments));
        assert!(ran.succeeded, "{ran:?}");
        assert!(ran.last_line().ends_with("doubled=0 lost=0 reordered=0"));
        assert!(ran.stdout.contains("events  by NATS\n"), "{ran:?}");
    };
    ran(&[]);
    assert_eq!(nats.streams(), 0);

    let kept = tempdir().unwrap();
    let kept = kept.path().to_str().unwrap();
    ran(&["--data", kept]);
    assert_eq!(nats.streams(), 1);
    ran(&["--data", kept]);
    assert_eq!(nats.streams(), 1);
}
