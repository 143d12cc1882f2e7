//! Simulations with the built program: what they print, what they write, and how they fail.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::run_to;

fn sim(code: i32, file: &Path) -> (String, String) {
    run_to(Path::new("."), code, &["sim", file.to_str().unwrap()])
}

/// A folder that holds `small.toml`, the smallest of the shipped scenarios.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), shipped()).unwrap();
    folder
}

fn shipped() -> String {
    let file = "../sim/scenarios/flash-crowd-3.toml";
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// A scenario that is wrong is a usage error that names the key; one whose time is too short still
/// prints its digest, and fails.
#[test]
fn what_goes_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.toml");
    let good = shipped();

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
    // The line that shows it again does so.
    let again = err
        .lines()
        .find_map(|line| line.strip_prefix("to see it again: ripcurrent "));
    let again: Vec<_> = again.unwrap().split(' ').collect();
    assert_eq!(run_to(Path::new("."), 6, &again).0, out);

    let (_, err) = sim(5, &folder.path().join("missing.toml"));
    assert!(err.contains("missing.toml"), "{err}");
}

/// A report is a page and tables that other programs read; they tell what the program printed.
#[test]
fn a_report_is_written() {
    let folder = folder();
    let args = ["sim", "small.toml", "--seed", "7", "--report", "out"];
    let (out, err) = run_to(folder.path(), 0, &args);
    let read = |name: &str| fs::read_to_string(folder.path().join("out").join(name)).unwrap();

    let json: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(
        out,
        format!("digest {}\n", json["digest"].as_str().unwrap())
    );
    assert_eq!((&json["success"], &json["seed"]), (&true.into(), &7.into()));
    assert_eq!(json["hosts"].as_array().unwrap().len(), 4);
    let last = json["score"]["last_over_bound"].as_f64().unwrap();
    assert!(err.contains(&format!("{last:.3} times the bound")), "{err}");
    assert!((1.0..3.0).contains(&last), "{last}");

    assert_eq!(read("hosts.csv").lines().count(), 1 + 4);
    let seconds = json["ended_s"].as_f64().unwrap() as usize;
    assert!(read("timeline.csv").lines().count() > 2 * seconds);
    let page = read("report.html");
    assert!(page.contains("small.toml, seed 7") && page.contains("</svg>"));
}

/// Several seeds give each the digest that they have alone, in their order, however many run at once.
#[test]
fn seeds_are_independent() {
    let folder = folder();
    let args = [
        "sim",
        "small.toml",
        "--seeds",
        "3..5",
        "--report",
        "out",
        "-q",
        "--jobs",
    ];
    let (out, err) = run_to(folder.path(), 0, &[&args[..], &["3"]].concat());
    assert_eq!(err, "");
    assert_eq!(
        run_to(folder.path(), 0, &[&args[..], &["1"]].concat()).0,
        out
    );
    for (line, seed) in out.lines().zip(["3", "4", "5"]) {
        let (alone, _) = run_to(folder.path(), 0, &["sim", "small.toml", "--seed", seed]);
        assert_eq!(format!("{line}\n"), format!("{seed} {alone}"));
    }
    let table = fs::read_to_string(folder.path().join("out/report.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 3);
}

/// A sweep goes on past a seed that fails, tells how to see it again, and ends with its code.
#[test]
fn a_sweep_tells_its_failures() {
    let folder = folder();
    let short = shipped().replace("within_s = 300", "within_s = 2");
    fs::write(folder.path().join("small.toml"), short).unwrap();
    let args = ["sim", "small.toml", "--seeds", "1..2"];
    let (out, err) = run_to(folder.path(), 6, &args);
    assert_eq!(out.lines().count(), 2);
    assert!(err.contains("2 of 2 seeds failed"), "{err}");
    for seed in [1, 2] {
        let again = format!("ripcurrent sim small.toml --seed {seed} --backend turmoil");
        assert!(err.contains(&again), "{err}");
    }
}

/// With and without a trace a run has one digest; the trace tells whole conversations, and nothing
/// from before its beginning.
#[test]
fn a_trace_changes_nothing() {
    let folder = folder();
    let args = ["sim", "small.toml", "--seed", "7"];
    let (plain, _) = run_to(folder.path(), 0, &args);
    let more = ["--trace", "calls", "--trace-from", "3"];
    let (traced, _) = run_to(folder.path(), 0, &[&args[..], &more[..]].concat());
    assert_eq!(traced, plain);
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
    for words in [
        "leecher-1  in   received c",
        "request ",
        ", piece ",
        "  out  write o",
    ] {
        assert!(calls.contains(words), "{words}");
    }
    let times = calls
        .lines()
        .map(|line| line.split_whitespace().next().unwrap());
    let times: Vec<f64> = times.map(|time| time.parse().unwrap()).collect();
    assert!(times.iter().all(|time| *time >= 3.0));
}

/// A drawn scenario can be shown, and what is shown is a scenario of that seed alone.
#[test]
fn a_drawn_scenario_is_shown() {
    let here = Path::new(".");
    let (text, _) = run_to(here, 0, &["sim", "--draw", "5", "--print"]);
    assert!(
        text.contains("[torrent]") && text.contains("[[group]]"),
        "{text}"
    );
    assert_ne!(run_to(here, 0, &["sim", "--draw", "6", "--print"]).0, text);
}

/// What cannot be is said before anything runs, by its name.
#[test]
fn wrong_arguments_are_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for (code, args, names) in [
        (2, ["--seeds", "5..3"], "5..3"),
        (2, ["--seeds", "1..2 --trace x"], "1..2 --trace x"),
        (2, ["--backend", "tokio"], "tokio"),
        (2, ["--jobs", "0"], "--jobs"),
        (5, ["--report", "file/out"], "file/out"),
        (5, ["--trace", "none/calls"], "none/calls"),
    ] {
        let args = [&["sim", "small.toml"][..], &args[..]].concat();
        let (_, err) = run_to(folder.path(), code, &args);
        assert!(err.contains(names), "{err}");
    }
    let args = ["sim", "small.toml", "--seeds", "1..2", "--trace", "x"];
    let (_, err) = run_to(folder.path(), 2, &args);
    assert!(err.contains("--trace follows one run"), "{err}");
    let (_, err) = run_to(folder.path(), 2, &["sim", "replay", "small.toml"]);
    assert!(err.contains("small.toml is no record"), "{err}");
}
