//! Every flag can be set; what is wrong is named; the command line wins.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};

use super::*;
use crate::args::definition;
use crate::exit::Exit;

fn read(text: &str) -> Result<Settings, Failure> {
    Settings::read(Path::new("/c/config.toml"), text, &definition())
}

/// What a command line comes to with these settings; from the innermost command.
fn matches(text: &str, line: &[&str]) -> Result<ArgMatches, Failure> {
    let line = [&["ripcurrent"], line].concat();
    let given = definition().try_get_matches_from(&line).unwrap();
    let preset = read(text)?.apply(definition(), &given)?;
    let mut matches = preset.try_get_matches_from(&line).unwrap();
    while let Some((_, inner)) = matches.remove_subcommand() {
        matches = inner;
    }
    Ok(matches)
}

fn values(matches: &ArgMatches, id: &str) -> Vec<OsString> {
    let values = matches.get_raw(id).into_iter().flatten();
    values.map(OsString::from).collect()
}

/// Values of which every flag that takes one accepts one, as in a file.
const SAMPLES: [&str; 11] = [
    "true",
    "2",
    "\"1..2\"",
    "\"127.0.0.9\"",
    "\"127.0.0.9:1\"",
    "\"64K\"",
    "\"64M\"",
    "\"x\"",
    "\"epoll\"",
    "\"direct\"",
    "\"full\"",
];

fn walk(command: &Command, names: &[String], seen: &mut usize) {
    for arg in flags(command) {
        let long = arg.get_long().unwrap();
        let table = names.join(".");
        let samples = SAMPLES.iter().map(|sample| {
            let text = format!("[{table}]\n{long} = {sample}\n");
            (read(&text), *sample)
        });
        let (settings, sample) = samples
            .into_iter()
            .find_map(|(read, sample)| Some((read.ok()?, sample)))
            .unwrap_or_else(|| panic!("no sample suits --{long} of {table}"));
        let table = settings.tables.iter().find(|table| table.command == names);
        let setting = &table.unwrap().settings[0];
        assert_eq!(setting.values, [sample.trim_matches('"')], "{long}");
        // The same from the top of the file, and as a default of the flag it names.
        assert!(read(&format!("{long} = {sample}\n")).is_ok(), "{long}");
        let one = Chosen {
            setting,
            own: true,
            arg,
        };
        let mut preset = preset(definition(), names, &one);
        preset.build();
        let command = find(&preset, names).unwrap();
        let defaults = flag(command, long).unwrap().get_default_values();
        assert_eq!(defaults, [sample.trim_matches('"')], "{long}");
        for other in flags(command) {
            exclude(command, arg, other);
        }
        *seen += 1;
    }
    for inner in command.get_subcommands() {
        let names = [names, &[inner.get_name().to_owned()]].concat();
        walk(inner, &names, seen);
    }
}

/// Whatever is a flag is a setting: in the table of its command and at the top.
#[test]
fn every_flag_can_be_set() {
    let mut definition = definition().disable_help_subcommand(true);
    definition.build();
    let mut seen = 0;
    for command in definition.get_subcommands() {
        walk(command, &[command.get_name().to_owned()], &mut seen);
    }
    assert!(seen > 60, "{seen}");
}

/// A setting counts as if it stood on the command line, of every kind that there is.
#[test]
fn settings_count() {
    let text = r#"
        verbose = 2
        port = 0x1b39
        up-limit = "2MiB"
        [download]
        max-peers = 80
        no-seed = true
        peer = ["127.0.0.1:1", "127.0.0.1:2"]
        [seed]
        port = 7000
    "#;
    let download = matches(text, &["download", "x.torrent"]).unwrap();
    assert_eq!(download.get_count("verbose"), 2);
    assert_eq!(download.get_one::<u16>("port"), Some(&6969));
    assert_eq!(download.get_one::<usize>("max_peers"), Some(&80));
    assert_eq!(download.get_one::<u64>("up_limit"), Some(&(2 << 20)));
    assert!(download.get_flag("no_seed"));
    assert_eq!(values(&download, "peers").len(), 2);
    let seed = matches(text, &["seed", "x.torrent"]).unwrap();
    assert_eq!(seed.get_one::<u16>("port"), Some(&7000));
    assert_eq!(seed.get_one::<usize>("max_peers"), Some(&50));
}

/// The command line wins, and what contradicts it stands back; so does what is for all commands
/// behind what is for one.
#[test]
fn the_command_line_wins() {
    let text = "quiet = true\n[download]\nport = 1\npeer = [\"127.0.0.1:1\"]\nfiles = \"1\"\n";
    let line = [
        "-v",
        "download",
        "x.torrent",
        "--port",
        "9",
        "--peer",
        "[::1]:5",
        "--pieces",
        "1",
    ];
    let matches = matches(text, &line).unwrap();
    assert_eq!(matches.get_one::<u16>("port"), Some(&9));
    assert_eq!(values(&matches, "peers"), ["[::1]:5"]);
    assert!(values(&matches, "files").is_empty());
    assert!(!matches.get_flag("quiet") && matches.get_count("verbose") == 1);
    let text = "quiet = true\n[download]\nverbose = 1\n";
    let matches = super::tests::matches(text, &["download", "x.torrent"]).unwrap();
    assert!(!matches.get_flag("quiet") && matches.get_count("verbose") == 1);
}

/// Every mistake is a usage error that names the file, the line, the key, and what was meant.
#[test]
fn mistakes_are_named() {
    let cases = [
        (
            "\nmax-pears = 3",
            &[
                "/c/config.toml, line 2: there is no setting `max-pears`",
                "`max-peers`",
            ][..],
        ),
        ("max_peers = 3", &["line 1", "Did you mean `max-peers`?"]),
        ("[download]\n\n--port = 3", &["line 3"]),
        (
            "[dowload]\nport = 1",
            &["line 1: there is no command `dowload`", "`download`"],
        ),
        (
            "[download]\ntracker = \"x\"",
            &["line 2: there is no setting `tracker`"],
        ),
        (
            "[download]\ndown-limit = \"fast\"",
            &["line 2: `down-limit`: `fast` does not begin"],
        ),
        (
            "[download]\nmax-peers = 0",
            &["line 2: `max-peers`: must be at least 1"],
        ),
        ("no-seed = 1", &["`no-seed`: must be true or false"]),
        ("verbose = \"very\"", &["`verbose`: must be a number"]),
        ("verbose = 300", &["`verbose`: 300 is not in"]),
        (
            "bind = [\"127.0.0.1\"]",
            &["`bind`: must be one value, not a list"],
        ),
        ("bind = 1979-05-27", &["`bind`: must be a text or a number"]),
        ("[download]\nbackend = \"tokio\"", &["line 2: `backend`: "]),
        (
            "[create]\ntracker = [[\"a\"]]",
            &["line 2: `tracker`: must be a text"],
        ),
        ("\na = = 1", &["/c/config.toml, line 2: "]),
        ("config = \"x\"", &["there is no setting `config`"]),
        ("\u{1b} = 1", &["/c/config.toml, line 1: "]),
        ("\"\\u001b\" = 1", &["there is no setting `\\u{1b}`"]),
    ];
    for (text, parts) in cases {
        let failure = read(text).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage, "{text}");
        for part in parts {
            assert!(failure.to_string().contains(part), "{text}: {failure}");
        }
    }
    let both = "[download]\nfiles = \"1\"\npieces = \"2\"\n";
    let failure = matches(both, &["download", "x.torrent"]).unwrap_err();
    let told = failure.to_string();
    assert!(
        told.contains("line 3: `pieces` cannot be set together with `files` in line 2"),
        "{told}"
    );
}

/// A name that means two things is set where its value means something.
#[test]
fn one_name_may_mean_two_things() {
    let text = "backend = \"epoll\"\n";
    let download = matches(text, &["download", "x.torrent"]).unwrap();
    assert_eq!(values(&download, "name"), ["epoll"]);
    if cfg!(feature = "sim") {
        let sim = matches(text, &["sim", "x.toml"]).unwrap();
        assert!(values(&sim, "backend").is_empty());
    }
}

/// A path may begin at home, where no shell has read it.
#[test]
fn paths_may_begin_at_home() {
    let home = Some(OsStr::new("/h"));
    assert_eq!(at_home("~/Downloads", home), "/h/Downloads");
    for path in ["Downloads", "/d", "~other/d", "a/~/b"] {
        assert_eq!(at_home(path, home), path);
    }
    assert_eq!(at_home("~/d", None), "~/d");
    let output = matches("[download]\noutput = \"~/d\"\n", &["download", "x.torrent"]).unwrap();
    let expected = at_home("~/d", std::env::var_os("HOME").as_deref());
    assert_eq!(values(&output, "output"), [expected]);
}

/// The usual place is where its standard says; relative paths there mean nothing.
#[test]
fn the_usual_place() {
    let path = |config: Option<&str>, home: Option<&str>| {
        usual_path(config.map(OsString::from), home.map(OsString::from))
    };
    let expected = |path: &str| Some(PathBuf::from(path));
    assert_eq!(
        path(Some("/c"), Some("/h")),
        expected("/c/ripcurrent/config.toml")
    );
    for config in [None, Some(""), Some("c")] {
        let found = path(config, Some("/h"));
        assert_eq!(found, expected("/h/.config/ripcurrent/config.toml"));
    }
    assert_eq!(path(None, None), None);
}
