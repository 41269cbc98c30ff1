//! Finds the migrations that two of the peers ship in their packages but not in their libraries.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=Cargo.lock");
    if env::var_os("CARGO_FEATURE_PEERS").is_none() {
        return;
    }
    let cargo = env::var_os("CARGO").expect("cargo sets it");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    for (package, variable) in [
        ("sqlxmq", "SQLXMQ_MIGRATIONS"),
        ("outbox-postgres", "OUTBOX_POSTGRES_MIGRATIONS"),
    ] {
        let manifest = metadata["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|candidate| candidate["name"] == package)
            .and_then(|found| found["manifest_path"].as_str())
            .unwrap_or_else(|| panic!("{package} is a dependency"));
        let migrations = PathBuf::from(manifest).with_file_name("migrations");
        println!("cargo::rustc-env={variable}={}", migrations.display());
    }
}
