//! A child process that never outlives its scene.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use super::eventually;

/// A running program; killed when dropped. What it says goes to a file, whose end is shown when the
/// scene fails.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; `log` is where its words go.
    pub(crate) fn start(name: &str, mut command: Command, log: PathBuf) -> Process {
        let out = File::create(&log).expect("the log can be made");
        let err = out.try_clone().expect("a file handle can be cloned");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let name = name.to_owned();
        let child = child.unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Process { name, child, log }
    }

    /// Everything it has said.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it has said `words`.
    #[track_caller]
    pub(crate) fn wait_until_said(&mut self, words: &str) {
        let what = format!("{} says {words:?}", self.name);
        eventually(&what, || {
            let said = self.said().contains(words);
            assert!(
                said || self.is_running(),
                "{} ended without saying {words:?}",
                self.name
            );
            said.then_some(())
        });
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, || {
            self.child.try_wait().expect("a child can be waited for")
        })
    }

    /// Waits for its end, which must be a success.
    #[track_caller]
    pub(crate) fn succeed(&mut self) {
        let status = self.wait();
        assert!(status.success(), "{} failed: {status}", self.name);
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The most memory it has had at once so far, in bytes (`VmHWM`).
    #[track_caller]
    pub(crate) fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib
            .and_then(|kib| kib.trim().parse().ok())
            .expect("proc(5)");
        kib << 10
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and then there is nobody to be told.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = self.said();
            let lines: Vec<_> = said.lines().collect();
            let end = lines[lines.len().saturating_sub(40)..].join("\n  ");
            eprintln!("--- {} said last:\n  {end}", self.name);
        }
    }
}
