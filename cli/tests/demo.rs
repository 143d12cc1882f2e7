//! The demonstration with the built program.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Running, ripcurrent, run_to};

/// The main job with nothing outside, from data to the last compared byte; nothing is left behind.
#[test]
fn a_demonstration_shows_everything_and_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let (out, _) = run_to(dir.path(), 0, &["demo", "--size", "8MiB", "--peers", "2"]);
    assert!(
        out.contains("every byte is the same") && out.contains("from 2 seeds"),
        "{out}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Ctrl-C in the middle cleans up as well.
#[test]
fn an_interrupted_demonstration_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Running::start(
        ripcurrent()
            .current_dir(dir.path())
            .args(["demo", "--size", "512MiB"]),
    );
    demo.until(|| fs::read_dir(dir.path()).unwrap().count() > 0);
    demo.interrupt();
    assert_eq!(demo.end().status.code(), Some(7));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Too little room is said before anything is made.
#[test]
fn too_little_room_is_said_first() {
    let dir = tempfile::tempdir().unwrap();
    let (_, said) = run_to(dir.path(), 5, &["demo", "--size", "8000G"]);
    assert!(said.contains("room"), "{said}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
