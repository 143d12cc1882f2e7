//! Traces: what the program and its engine do, on stderr as `-v` asks for and in the file of
//! `--log`. `RUST_LOG`, if it is set, says for both what is told.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::escape::Escaped;
use crate::exit::Failure;
use crate::say;

/// What was said to people, as it is repeated in the file.
const SAID: &str = "ripcurrent::said";

/// Begins to trace, to stderr and into the file at `path`, which is made or appended to.
pub(crate) fn begin(verbose: u8, path: Option<&Path>) -> Result<(), Failure> {
    let file = path.map(open).transpose()?;
    let (wish, misunderstood) = match std::env::var("RUST_LOG") {
        Ok(wish) if !wish.is_empty() => match EnvFilter::try_new(&wish) {
            Ok(_) => (Some(wish), None),
            Err(error) => (None, Some(error)),
        },
        _ => (None, None),
    };
    let filter = |default: &str| EnvFilter::new(wish.as_deref().unwrap_or(default));
    let screen = tracing_subscriber::fmt::layer()
        .with_ansi(is_colourful())
        .with_writer(AroundBars)
        .log_internal_errors(false)
        .with_filter(filter(for_the_screen(verbose)).add_directive(silence(SAID)));
    let log = file.map(|file| {
        tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(Mutex::new(file))
            .log_internal_errors(false)
            .with_filter(filter(for_the_file(verbose)))
    });
    tracing_subscriber::registry().with(screen).with(log).init();
    tracing::debug!(version = env!("CARGO_PKG_VERSION"), "begins");
    if let Some(error) = misunderstood {
        let error = error.to_string();
        say::line(format_args!("RUST_LOG is ignored: {}", Escaped(&error)));
    }
    Ok(())
}

/// Repeats in the file what is said to people.
pub(crate) fn said(text: &str) {
    tracing::info!(target: SAID, "{text}");
}

fn open(path: &Path) -> Result<File, Failure> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.map_err(|error| Failure::disk("write the log to", path, error))
}

fn for_the_screen(verbose: u8) -> &'static str {
    match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    }
}

/// Other people's crates are told of when something is wrong with them.
fn for_the_file(verbose: u8) -> &'static str {
    match verbose {
        0..=2 => "warn,ripcurrent=debug",
        _ => "trace",
    }
}

fn silence(target: &str) -> tracing_subscriber::filter::Directive {
    let directive = format!("{target}=off").parse();
    directive.expect("a target and a level are a directive")
}

fn is_colourful() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !is_set("NO_COLOR") && !is_dumb && io::stderr().is_terminal()
}

/// Hands each formatted trace to stderr whole, above the bars.
struct AroundBars;

impl Write for AroundBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say::around_bars(|out| {
            let text = String::from_utf8_lossy(bytes);
            // Colours are ours; whatever else could steer the terminal is escaped where it is traced.
            write!(out, "{}", Speakable(&text))
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for AroundBars {
    type Writer = AroundBars;

    fn make_writer(&self) -> AroundBars {
        AroundBars
    }
}

/// Displays what a terminal without UTF-8 cannot show as escapes.
struct Speakable<'a>(&'a str);

impl fmt::Display for Speakable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::escape::is_utf8_spoken() {
            return f.write_str(self.0);
        }
        let mut characters = self.0.chars();
        characters.try_for_each(|character| match character.is_ascii() {
            true => write!(f, "{character}"),
            false => write!(f, "{}", character.escape_unicode()),
        })
    }
}
