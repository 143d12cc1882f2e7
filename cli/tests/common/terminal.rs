//! A terminal of our own to run the program at.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// What the program wrote to a terminal.
pub(crate) struct Shown {
    pub(crate) code: Option<i32>,
    /// As it was written, with all that moves the cursor.
    pub(crate) raw: String,
}

/// Runs `command` to its end with a terminal of so many columns as its stderr.
pub(crate) fn at_terminal(command: &mut Command, columns: u16) -> Shown {
    let (mut master, slave) = open(columns);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::from(slave))
        .spawn()
        .unwrap();
    // The command holds the other end too.
    command.stderr(Stdio::null());
    let mut bytes = Vec::new();
    // The end of a terminal is an error.
    let _ = master.read_to_end(&mut bytes);
    Shown {
        code: child.wait().unwrap().code(),
        raw: String::from_utf8(bytes).unwrap(),
    }
}

/// Runs `command` to its end with a terminal that is gone as soon as something was written to it;
/// its exit code.
pub(crate) fn at_vanishing_terminal(command: &mut Command) -> Option<i32> {
    let (mut master, slave) = open(80);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::from(slave))
        .spawn()
        .unwrap();
    command.stderr(Stdio::null());
    assert!(master.read(&mut [0; 1]).unwrap() > 0);
    drop(master);
    child.wait().unwrap().code()
}

fn open(columns: u16) -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name)
        .unwrap();
    (File::from(master), slave)
}

impl Shown {
    /// Every line that was drawn, also over another one, without what moves the cursor.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.raw.split(['\r', '\n']);
        lines.map(without_controls).collect()
    }
}

/// Leaves out control sequences (ECMA-48, 5.4).
fn without_controls(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| ('@'..='~').contains(&c));
        plain.push_str(end.map_or("", |end| &part[end + 1..]));
    }
    plain
}
