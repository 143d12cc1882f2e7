//! The host of the guide, held to the suite for backends as far as it claims to go.
#![cfg(feature = "conformance")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../examples/host/disk.rs"]
mod disk;
#[path = "../examples/host/host.rs"]
mod host;
#[path = "../examples/host/net.rs"]
mod net;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use host::Host;
use ripcurrent_proto::conformance::{Case, Env, Failure, Files, Flags, Script, cases};
use ripcurrent_proto::drive::turn;

/// What the guide says that its host leaves out: TLS, and selections of files.
const LEFT_OUT: [&str; 2] = ["protected_", "unwanted_"];

/// Every other case, but for those that need links or names.
#[test]
fn the_host_of_the_guide_keeps_the_contract() {
    let failures: Vec<_> = cases()
        .iter()
        .filter(|case| !LEFT_OUT.iter().any(|name| case.name.starts_with(name)))
        .filter_map(|case| {
            let failure = play(case).err()?;
            Some(format!("{}: {failure}\n    {}", case.name, case.proves))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

/// Plays a case, each role on a thread and a host of its own.
fn play(case: &Case) -> Result<(), Failure> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (listening, listener) = Host::new(nowhere).unwrap();
    let refusing = TcpListener::bind(nowhere).unwrap();
    let env = Env {
        listener,
        refusing: refusing.local_addr().unwrap(),
        silent: None,
        receive_slack: 0,
        root: root.to_str().unwrap().into(),
        locked_root: None,
        files: Some(Arc::new(Outside)),
        known_name: None,
        unknown_name: Some("no-such-host.invalid".into()),
        protected: None,
        flags: Flags::default(),
    };
    drop(refusing);
    if let Some(missing) = case.unmet(&env) {
        eprintln!("SKIPPED {}: this host lacks {missing}", case.name);
        return Ok(());
    }
    eprintln!("{}", case.name);
    let (listening_case, listening_env) = (*case, env.clone());
    let listener = thread::spawn(move || match listening_case.listener(&listening_env) {
        Some(script) => drive(script, listening),
        None => Ok(()),
    });
    let (dialling, _) = Host::new(nowhere).unwrap();
    let outcomes = [
        drive(case.dialler(&env), dialling),
        listener.join().unwrap(),
    ];
    outcomes.into_iter().collect()
}

/// Drives a script on a host until it is over.
fn drive(mut script: Script, mut host: Host) -> Result<(), Failure> {
    loop {
        let next = turn(&mut script, &mut host);
        if let Some(outcome) = script.outcome() {
            return outcome.clone();
        }
        host.wait(next);
    }
}

/// The disk, from outside.
struct Outside;

impl Files for Outside {
    fn put(&self, path: &str, bytes: &[u8]) {
        self.make_folder(Path::new(path).parent().unwrap().to_str().unwrap());
        fs::write(path, bytes).unwrap();
    }

    fn make_folder(&self, path: &str) {
        fs::create_dir_all(path).unwrap();
    }

    fn link(&self, _: &str, _: &str) -> bool {
        false
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(path).ok()
    }

    fn has_links(&self) -> bool {
        false
    }
}
