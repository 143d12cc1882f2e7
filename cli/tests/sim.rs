//! Simulations that do not end well, with the built program.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::run_to;

fn sim(code: i32, file: &Path) -> (String, String) {
    run_to(Path::new("."), code, &["sim", file.to_str().unwrap()])
}

/// A scenario that is wrong is a usage error that names the key; one whose time is too short still
/// prints its digest, and fails.
#[test]
fn what_goes_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.toml");
    let shipped = "../sim/scenarios/flash-crowd-3.toml";
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(shipped);
    let good = fs::read_to_string(shipped).unwrap();

    fs::write(&file, good.replace("within_s", "whithin_s")).unwrap();
    let (_, err) = sim(2, &file);
    assert!(
        err.contains("whithin_s") && err.contains("scenario.toml"),
        "{err}"
    );

    fs::write(&file, good.replace("within_s = 300", "within_s = 2")).unwrap();
    let (out, err) = sim(6, &file);
    assert!(out.starts_with("digest "), "{out}");
    assert!(err.contains("NOT COMPLETE"), "{err}");

    let (_, err) = sim(5, &folder.path().join("missing.toml"));
    assert!(err.contains("missing.toml"), "{err}");
}
