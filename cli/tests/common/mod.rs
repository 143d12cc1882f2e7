//! What the scenes share: loopback addresses of their own, made data, and the built program.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(missing_docs, clippy::unwrap_used)]

pub(crate) mod pair;
pub(crate) mod sandbox;
pub(crate) mod terminal;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ripcurrent_proto::base::rng::Rng;

/// Far more than passes between two signs of life; only a hang runs into it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A row of loopback addresses that no other scene uses.
pub(crate) struct Row([u8; 2]);

impl Row {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let pid = std::process::id();
        Row([1 + (pid % 250) as u8, NEXT.fetch_add(1, Ordering::Relaxed)])
    }

    pub(crate) fn ip(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.0[0], self.0[1], host)
    }
}

/// Makes `len` bytes that are a function of `label` alone.
pub(crate) fn bytes(label: &str, len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    Rng::from_seed([7; 32]).fork(label).fill(&mut data);
    data
}

/// Writes `len` made bytes to `path` and makes the folders above it.
pub(crate) fn write(path: &Path, len: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(
        path,
        bytes(&path.file_name().unwrap().to_string_lossy(), len),
    )
    .unwrap();
}

/// The relative path and content of every file below `root`, in order.
pub(crate) fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                files.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// The built program.
pub(crate) fn ripcurrent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ripcurrent"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command.env("XDG_CONFIG_HOME", "/proc/nowhere");
    remembering_here(command)
}

/// Has what is seeded be remembered among what tests leave, and not where people have it.
fn remembering_here(mut command: Command) -> Command {
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// The built program, which hears hang-ups even where these tests were started by `nohup`.
pub(crate) fn ripcurrent_at_a_line() -> Command {
    let mut command = Command::new("env");
    command
        .arg("--default-signal=HUP")
        .arg(env!("CARGO_BIN_EXE_ripcurrent"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    remembering_here(command)
}

/// The built program, started by a shell that does `first`, such as `ulimit -n 64`.
pub(crate) fn ripcurrent_after(first: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{first}; exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_ripcurrent"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    remembering_here(command)
}

/// Runs the program to its end, in `folder`.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(
    folder: &Path,
    args: impl IntoIterator<Item = S>,
) -> Output {
    Running::start(ripcurrent().current_dir(folder).args(args)).end()
}

/// Runs the program, which must end with `code`; its stdout and stderr.
pub(crate) fn run_to(folder: &Path, code: i32, args: &[&str]) -> (String, String) {
    let output = run(folder, args);
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
    (out, err)
}

/// A run of the program; killed if the scene ends before it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    stdout: Option<std::thread::JoinHandle<Vec<u8>>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for text in stderr.split(b'\n').map_while(Result::ok) {
                if line
                    .send(String::from_utf8_lossy(&text).into_owned())
                    .is_err()
                {
                    break;
                }
            }
        });
        let mut out = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = out.read_to_end(&mut bytes);
            bytes
        });
        Running {
            child,
            lines,
            seen: String::new(),
            stdout: Some(stdout),
        }
    }

    /// Waits for a line on stderr that holds `needle`.
    pub(crate) fn expect(&mut self, needle: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                    if line.contains(needle) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no `{needle}` in time:\n{}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("ended without `{needle}`:\n{}", self.seen)
                }
            }
        }
    }

    /// The address in a line such as `listening on 127.0.0.1:80`.
    pub(crate) fn expect_address(&mut self, needle: &str) -> SocketAddr {
        let line = self.expect(needle);
        let words = line.split([' ', '/', ',', ';']);
        words
            .filter_map(|word| word.parse().ok())
            .next()
            .unwrap_or_else(|| panic!("no address in `{line}`"))
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let (name, pid) = (format!("-{name}"), self.pid().to_string());
        let sent = Command::new("kill").args([name, pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for `sign`, or for the end if that comes first.
    #[expect(
        clippy::disallowed_methods,
        reason = "what another process does is seen by looking"
    )]
    pub(crate) fn until(&mut self, sign: impl Fn() -> bool) {
        let begun = Instant::now();
        while !sign() && self.child.try_wait().unwrap().is_none() {
            assert!(
                begun.elapsed() < PATIENCE,
                "no sign in time:\n{}",
                self.seen
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills it as nothing else can (SIGKILL); whether it was still there.
    pub(crate) fn kill(mut self) -> bool {
        let there = self.child.try_wait().unwrap().is_none();
        let _ = self.child.kill();
        let _ = self.child.wait();
        there
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Output {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("did not end in time:\n{}", self.seen),
            }
        }
        let status = self.child.wait().unwrap();
        let stdout = self
            .stdout
            .take()
            .map(|reader| reader.join().unwrap())
            .unwrap_or_default();
        Output {
            status,
            stdout,
            stderr: std::mem::take(&mut self.seen).into_bytes(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the project's own torrents lie.
pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/testdata")
}
