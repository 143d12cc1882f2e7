//! The configuration file, the manual and completions with the built program.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{Running, ripcurrent, run_to, testdata};

fn inspect(config: &Path, args: &[&str]) -> (i32, String, String) {
    let torrent = testdata().join("torrents-made/one-block.torrent");
    let mut command = ripcurrent();
    command.env("XDG_CONFIG_HOME", config);
    command.arg("inspect").arg(torrent).args(args);
    let output = Running::start(&mut command).end();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

/// The file in its usual place counts, is not read with `--no-config`, and another can be named.
#[test]
fn settings_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ripcurrent/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "[inspect]\njson = true\n").unwrap();
    let (code, out, _) = inspect(dir.path(), &[]);
    assert!(code == 0 && out.starts_with('{'), "{out}");
    let (code, out, _) = inspect(dir.path(), &["--no-config"]);
    assert!(code == 0 && out.starts_with("Name"), "{out}");
    let other = dir.path().join("other.toml");
    fs::write(&other, "quiet = true\n").unwrap();
    let (code, out, _) = inspect(dir.path(), &["--config", other.to_str().unwrap()]);
    assert!(code == 0 && out.starts_with("Name"), "{out}");
}

/// A mistake ends the command before it begins, and is told with its file, line and key; a file
/// that was named must be there, the usual one need not, and no folder need be readable.
#[test]
fn mistakes_in_settings_are_usage_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ripcurrent/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "\n[download]\nup-limt = 3\n").unwrap();
    let (code, out, told) = inspect(dir.path(), &[]);
    assert!(code == 2 && out.is_empty(), "{out}");
    let expected = format!(
        "error: {}, line 3: there is no setting `up-limt`. Did you mean `up-limit`?\n",
        file.display()
    );
    assert_eq!(told, expected);
    let (code, _, told) = inspect(dir.path(), &["--config", "/proc/nowhere"]);
    assert!(code == 2 && told.contains("/proc/nowhere"), "{told}");
    for nowhere in ["/proc/nowhere", "/dev/null/x", "relative"] {
        assert_eq!(inspect(Path::new(nowhere), &[]).0, 0, "{nowhere}");
    }
}

/// The manual and completions go to stdout, and all pages into a folder.
#[test]
fn the_manual_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (page, _) = run_to(dir.path(), 0, &["man", "download"]);
    assert!(page.contains("EXIT STATUS") && page.contains(".SH OPTIONS"));
    let (out, told) = run_to(dir.path(), 0, &["man", "--dir", "man1"]);
    assert!(
        out.is_empty() && told.ends_with("pages in man1\n"),
        "{told}"
    );
    assert!(dir.path().join("man1/ripcurrent.1").exists());
    assert!(dir.path().join("man1/ripcurrent-seed.1").exists());
    let (script, _) = run_to(dir.path(), 0, &["completions", "bash"]);
    assert!(script.contains("--max-peers"));
}
