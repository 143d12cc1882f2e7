//! What the disk promises beyond the suite: who holds a state, what a killed process leaves, where
//! states go, modes, links.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use ripcurrent_proto::api::{
    Access, Disk, DiskDone, DiskError, Found, Input, IoErrorKind, Output, Spans, StorageId,
};
use ripcurrent_proto::base::id::{ConnId, OpId, Slots, TorrentId};
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, FileSpan, Layout};
use ripcurrent_runtime_uring::{Choice, Control, Host, Listen, Options};

const STORAGE: StorageId = TorrentId(1);
const SPARSE: Access = Access::Write {
    preallocate: false,
    overwrite: false,
};

/// What a child is to do, and where.
const ROLE: &str = "RIPCURRENT_TEST_ROLE";
const FOLDER: &str = "RIPCURRENT_TEST_FOLDER";

/// The process that holds a state is named until it is gone, however often it has saved.
#[test]
fn the_holder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Role::start("hold", folder.path());
    for _ in 0..3 {
        let line = child.line();
        let refused = open_once(folder.path(), None).unwrap_err();
        assert_eq!((refused.file, refused.error.kind), IN_USE, "{line}");
        assert_eq!(refused.error.code, child.child.id().cast_signed());
        child.go_on();
    }
    child.kill();
    let found = open_once(folder.path(), None).unwrap();
    assert_eq!(found.state.as_deref(), Some(&b"second"[..]));
}

const IN_USE: (Option<FileIndex>, IoErrorKind) = (None, IoErrorKind::InUse);

/// A process killed at any instant leaves the state that it saved last or the one it was saving.
#[test]
fn a_state_is_never_torn() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..20 {
        let mut child = Role::start("save", folder.path());
        for _ in 0..=round % 5 {
            last = child.line().parse().unwrap();
        }
        child.kill();
        let state = open_once(folder.path(), None).unwrap().state.unwrap();
        let number = u64::from_le_bytes(state[..8].try_into().unwrap());
        assert!(number >= last, "{number} is there, {last} was saved");
        assert_eq!(state, big_state(number));
    }
    // Nothing of those that were being saved is left.
    let names = names(folder.path());
    assert_eq!(names, [".t.ripcurrent"]);
}

/// However several processes open, save and close, one at a time holds the state.
#[test]
fn one_at_a_time_holds_a_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut children = [(); 2].map(|()| Role::start("contend", folder.path()));
    for child in &mut children {
        assert_eq!(child.line(), "never met");
    }
}

/// A state that cannot lie beside the files goes where the host keeps such states, for its owner's
/// eyes only, and those of several folders are kept apart.
#[test]
fn states_have_a_second_home() {
    let locked = Path::new("/sys/kernel");
    if !locked.is_dir() {
        eprintln!("SKIPPED: this system has no folder that nobody may write to");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("a/b");
    let refused = open_once(locked, None).unwrap_err();
    let kinds = [IoErrorKind::Forbidden, IoErrorKind::ReadOnly];
    assert!(refused.file.is_none() && kinds.contains(&refused.error.kind));
    let state = Some(b"here".to_vec());
    let home_is = Some(home.clone());
    let answers = carry(home_is.clone(), [open(locked), save(state.clone())]);
    assert!(matches!(answers[1], DiskDone::Saved { result: Ok(()), .. }));
    assert_eq!(mode(&home), 0o700);
    let found = open_once(locked, home_is.clone()).unwrap();
    assert_eq!(found.state, state);
    let found = open_once(Path::new("/sys"), home_is).unwrap();
    assert_eq!(found.state, None);
    let names = names(&home);
    let name = names[0].strip_suffix(".ripcurrent").unwrap();
    assert_eq!(names.len(), 1, "what was made for the lock is gone");
    let (hash, root) = name.split_once('-').unwrap();
    assert_eq!((hash, root.len()), ("07".repeat(20).as_str(), 16));
}

/// Files and folders have the modes that the umask leaves, and those that ask for it can be run.
#[test]
fn modes_follow_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Role::start_with("modes", folder.path(), "027");
    assert_eq!(child.line(), "made");
    let modes = [
        ("t", 0o750),
        ("t/plain", 0o640),
        ("t/sub", 0o750),
        ("t/sub/run", 0o750),
        (".t.ripcurrent", 0o640),
    ];
    for (path, due) in modes {
        assert_eq!(mode(&folder.path().join(path)), due, "{path}");
    }
}

/// A link is relative and leads into the torrent's folder; none is made beyond a link.
#[test]
fn links_lead_inside() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir_all(root.join("t")).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, root.join("t/out")).unwrap();
    let answers = carry(None, [open(&root), finish(2), finish(3)]);
    assert!(matches!(
        answers[1],
        DiskDone::Finished { result: Ok(()), .. }
    ));
    let target = fs::read_link(root.join("t/sub/link")).unwrap();
    assert_eq!(target, Path::new("../plain"));
    let refused = matches!(
        answers[2],
        DiskDone::Finished { result: Err(error), .. }
            if error.file == Some(FileIndex(3)) && error.error.kind == IoErrorKind::InTheWay
    );
    assert!(refused, "{:?}", answers[2]);
    assert_eq!(names(&elsewhere), Vec::<String>::new());
}

/// What was made only to be locked is gone when the storage is closed, and with the state.
#[test]
fn locks_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/root");
    carry(None, [open(&root), close()]);
    assert_eq!(names(&root), Vec::<String>::new());
    let state = Some(b"state".to_vec());
    carry(None, [open(&root), save(state), save(None)]);
    assert_eq!(names(&root), Vec::<String>::new());
    // A host that leaves without closing lets go as well.
    carry(None, [open(&root)]);
    assert_eq!(names(&root), Vec::<String>::new());
}

/// What is no state of ours is none, or in the way.
#[test]
fn whatever_has_a_states_name() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join(".t.ripcurrent");
    fs::write(&state, []).unwrap();
    assert_eq!(open_once(folder.path(), None).unwrap().state, None);
    for put in [
        |path: &Path| fs::create_dir(path).unwrap(),
        |path: &Path| symlink("/dev/null", path).unwrap(),
    ] {
        put(&state);
        let refused = open_once(folder.path(), None).unwrap_err();
        assert_eq!(
            (refused.file, refused.error.kind),
            (None, IoErrorKind::InTheWay)
        );
        let _ = fs::remove_file(&state).or_else(|_| fs::remove_dir(&state));
    }
}

/// What has a file's name while ours is not finished is spared by a deletion, and so is a folder or a
/// link where a file of ours would be.
#[test]
fn deleting_spares_what_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("t/sub/link")).unwrap();
    fs::write(root.join("t/plain"), "theirs").unwrap();
    fs::write(root.join("t/plain.part"), "ours").unwrap();
    symlink("plain", root.join("t/sub/run")).unwrap();
    let delete = Disk::Delete {
        op: op(),
        storage: STORAGE,
    };
    let answers = carry(None, [open(root), delete]);
    assert!(matches!(
        answers[1],
        DiskDone::Deleted { result: Ok(()), .. }
    ));
    assert_eq!(names(&root.join("t")), ["plain", "sub"]);
    assert_eq!(names(&root.join("t/sub")), ["link", "run"]);
}

/// Not a test: what children of the tests above do.
#[test]
fn child() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else {
        return;
    };
    let folder = PathBuf::from(folder);
    match role.as_str() {
        "hold" => hold(&folder),
        "save" => save_for_ever(&folder),
        "contend" => contend(&folder),
        "modes" => modes(&folder),
        other => panic!("what is {other}?"),
    }
}

/// Says what it has done and goes on when it is told to.
fn hold(folder: &Path) {
    let mut steps = [open(folder)].into_iter().chain([
        save(Some(b"first".to_vec())),
        save(Some(b"second".to_vec())),
    ]);
    run(None, |done| {
        if let Some(done) = done {
            say(&format!("{done:?}"));
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        steps.next()
    });
}

/// Saves numbers that only grow, and says each that is saved.
fn save_for_ever(folder: &Path) {
    let mut number = 0;
    run(None, |done| match done {
        None => Some(open(folder)),
        Some(DiskDone::Opened { result, .. }) => {
            let state = result.unwrap().state;
            let before = state.map(|state| u64::from_le_bytes(state[..8].try_into().unwrap()));
            number = before.map_or(1, |before| before + 1);
            Some(save(Some(big_state(number))))
        }
        Some(_) => {
            say(&number.to_string());
            number += 1;
            Some(save(Some(big_state(number))))
        }
    });
}

/// A state of some size, its number all over it, its length different from that of the next.
fn big_state(number: u64) -> Vec<u8> {
    let words = 20_000 + number % 7;
    (0..words).flat_map(|_| number.to_le_bytes()).collect()
}

/// Opens, saves and closes in turn, and looks whether somebody else is at it as well.
fn contend(folder: &Path) {
    const ROUNDS: usize = 20;
    let mark = folder.join("mark");
    let (mut rounds, mut saves) = (0, 0);
    run(None, |done| match done {
        Some(DiskDone::Opened { result: Ok(_), .. }) => {
            fs::File::create_new(&mark).unwrap();
            saves = 0;
            Some(save(Some(vec![1; 1 + rounds])))
        }
        Some(DiskDone::Opened {
            result: Err(error), ..
        }) => {
            assert_eq!(error.error.kind, IoErrorKind::InUse);
            Some(open(folder))
        }
        Some(DiskDone::Saved { result, .. }) => {
            result.unwrap();
            saves += 1;
            match saves {
                1 => Some(save(Some(vec![2; 1 + rounds]))),
                2 => {
                    fs::remove_file(&mark).unwrap();
                    Some(if rounds % 2 == 0 { save(None) } else { close() })
                }
                // Without a state nothing is held.
                _ => Some(close()),
            }
        }
        _ if rounds == ROUNDS => None,
        _ => {
            rounds += 1;
            Some(open(folder))
        }
    });
    say("never met");
}

fn modes(folder: &Path) {
    let mut steps = [
        open(folder),
        write(0),
        write(1),
        finish(0),
        finish(1),
        save(Some(vec![1])),
    ]
    .into_iter();
    run(None, |_| steps.next());
    say("made");
}

/// Says a line to the parent.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n> {line}").unwrap();
    out.flush().unwrap();
}

/// A child at work; killed at the end.
struct Role {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Role {
    fn start(role: &str, folder: &Path) -> Self {
        Role::start_with(role, folder, "022")
    }

    fn start_with(role: &str, folder: &Path, umask: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", "umask $1; exec \"$0\" --exact child --nocapture"])
            .arg(std::env::current_exe().unwrap())
            .arg(umask)
            .env(ROLE, role)
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Role { child, lines }
    }

    /// The next thing it says.
    fn line(&mut self) -> String {
        let said = |line: std::io::Result<String>| line.unwrap().strip_prefix("> ").map(Into::into);
        self.lines.find_map(said).expect("the child is well")
    }

    /// Lets it go on.
    fn go_on(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two files, a link in a folder, and one in a folder that is in the way.
fn layout() -> Arc<Layout> {
    let entry = |path: &str, len, kind| FileEntry {
        path: path.split('/').map(String::from).collect(),
        len,
        offset: 0,
        kind,
    };
    let target = || vec!["plain".to_owned()];
    let link = |path| entry(path, 0, FileKind::Symlink { target: target() });
    let run = FileKind::Regular { executable: true };
    let files = vec![
        entry("t/plain", 1 << 34, FileKind::Regular { executable: false }),
        entry("t/sub/run", 4, run),
        link("t/sub/link"),
        link("t/out/link"),
    ];
    Arc::new(Layout::new(16_384, files).unwrap())
}

/// One operation is out at a time: they can all have the same id.
fn op() -> OpId {
    OpId(Slots::default().insert(()))
}

fn open(root: &Path) -> Disk {
    Disk::Open {
        op: op(),
        storage: STORAGE,
        root: root.to_str().unwrap().into(),
        info_hash: [7; 20],
        layout: layout(),
        access: SPARSE,
    }
}

fn write(file: u32) -> Disk {
    let mut slab = Slab::new(4);
    slab.set_len(4);
    Disk::Write {
        op: op(),
        storage: STORAGE,
        slab,
        spans: Spans::from_iter([FileSpan {
            file: Some(FileIndex(file)),
            offset: 0,
            len: 4,
            aside: false,
        }]),
    }
}

fn finish(file: u32) -> Disk {
    Disk::Finish {
        op: op(),
        storage: STORAGE,
        file: FileIndex(file),
    }
}

fn save(state: Option<Vec<u8>>) -> Disk {
    Disk::Save {
        op: op(),
        storage: STORAGE,
        state,
    }
}

fn close() -> Disk {
    Disk::Close {
        op: op(),
        storage: STORAGE,
    }
}

/// Opens a storage once; what is there.
fn open_once(root: &Path, state_home: Option<PathBuf>) -> Result<Found, DiskError> {
    match carry(state_home, [open(root)]).remove(0) {
        DiskDone::Opened { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

/// Carries operations out, one after the other, on a host of their own.
fn carry<const N: usize>(state_home: Option<PathBuf>, disks: [Disk; N]) -> Vec<DiskDone> {
    let mut disks = disks.into_iter();
    let mut answers = Vec::new();
    run(state_home, |done| {
        answers.extend(done);
        disks.next()
    });
    answers
}

/// Carries operations out until there is no next one.
fn run(state_home: Option<PathBuf>, next: impl FnMut(Option<DiskDone>) -> Option<Disk>) {
    let host = Host::new(Options {
        backend: Choice::Epoll,
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        listen: Listen::No,
        loopback_only: true,
        state_home,
        ..Options::default()
    });
    let mut errands = Errands {
        next,
        output: None,
        over: false,
    };
    errands.go_on(None);
    let over = |errands: &mut Errands<_>, _| match errands.over {
        true => Control::Stop,
        false => Control::Wait(None),
    };
    host.unwrap().run(&mut errands, over).unwrap();
}

/// A machine that asks for one disk operation after the other.
struct Errands<F> {
    next: F,
    output: Option<Disk>,
    over: bool,
}

impl<F: FnMut(Option<DiskDone>) -> Option<Disk>> Errands<F> {
    fn go_on(&mut self, done: Option<DiskDone>) {
        self.output = (self.next)(done);
        self.over = self.output.is_none();
    }
}

impl<F: FnMut(Option<DiskDone>) -> Option<Disk>> Machine for Errands<F> {
    fn accept(&mut self, _now: Instant, _from: std::net::SocketAddr) -> Option<ConnId> {
        None
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        if let Input::Disk(done) = input {
            self.go_on(Some(done));
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.output.take().map(Output::Disk)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What is in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names: BTreeSet<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.into_iter().collect()
}
