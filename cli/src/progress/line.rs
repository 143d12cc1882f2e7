//! The line that a bar is, as long as the terminal is wide: what matters least goes first.

use std::io;

use super::Status;

/// Terminals of at least this many columns show a bar.
const COLUMNS_FOR_BAR: u16 = 64;
/// Terminals of at least this many columns show the name.
const COLUMNS_FOR_NAME: u16 = 36;
/// Columns of the bar between its ends.
const BAR: u64 = 20;

/// The line for a terminal of so many columns; it may be longer, and is cut off where it is drawn.
pub(super) fn text(name: &str, status: &Status, columns: u16) -> String {
    let (percent, words) = (status.percent(), &status.words);
    match columns {
        COLUMNS_FOR_BAR.. => format!("{name} {percent:>3} % [{}] {words}", bar(percent)),
        COLUMNS_FOR_NAME.. => {
            // A third is for the name.
            let short: String = name.chars().take(usize::from(columns / 3)).collect();
            format!("{short} {percent:>3} % {words}")
        }
        _ => format!("{percent:>3} % {words}"),
    }
}

/// How wide the terminal is now; as wide as most where it does not say.
pub(super) fn columns() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    size.ok()
        .map(|size| size.ws_col)
        .filter(|columns| *columns > 0)
        .unwrap_or(80)
}

fn bar(percent: u64) -> String {
    let full = (percent.min(100) * BAR / 100) as usize;
    let tip = if full < BAR as usize { ">" } else { "" };
    let width = BAR as usize;
    format!("{:<width$}", "=".repeat(full) + tip)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The narrower the terminal, the less is shown; how far it is remains to the last.
    #[test]
    fn what_matters_least_goes_first() {
        let status = Status::new(45, 100, "1 MiB/s, 2 peers".into());
        let shown = |columns| text("a-rather-long-name", &status, columns);
        assert_eq!(
            shown(80),
            "a-rather-long-name  45 % [=========>          ] 1 MiB/s, 2 peers"
        );
        assert_eq!(shown(42), "a-rather-long-  45 % 1 MiB/s, 2 peers");
        assert_eq!(shown(20), " 45 % 1 MiB/s, 2 peers");
    }

    #[test]
    fn a_bar_is_as_full_as_it_says() {
        assert_eq!(bar(0), format!(">{}", " ".repeat(19)));
        assert_eq!(bar(99), format!("{}>", "=".repeat(19)));
        assert_eq!(bar(100), "=".repeat(20));
    }
}
