//! Both backends carry out what every backend must.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use ripcurrent_proto::api::{Input, Output};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::conformance::{self, Case, Env, Flags, Protected, Script, cases};
use ripcurrent_proto::drive::Machine;
use ripcurrent_sim::disk::Files;
use ripcurrent_sim::names::Names;
use ripcurrent_sim::network::{Backend, Host, Network};

const PORT: u16 = 6881;

#[test]
fn the_suite_passes_on_turmoil() {
    pass(Backend::Turmoil);
}

#[test]
fn the_suite_passes_on_the_queue_of_events() {
    pass(Backend::Direct);
}

/// Every case, on hosts of either address family; those that need what a simulated world lacks are
/// skipped by name.
fn pass(backend: Backend) {
    let v4 = |last| Ipv4Addr::new(10, 0, 0, last).into();
    let v6 = |last: u8| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into();
    let families: [&dyn Fn(u8) -> IpAddr; 2] = [&v4, &v6];
    let mut failures = Vec::new();
    for addr in families {
        for case in cases() {
            let (name, outcomes) = (case.name, play(case, backend, addr));
            match outcomes {
                Ok(outcomes) => failures.extend(outcomes.into_iter().filter_map(|outcome| {
                    let failure = outcome.err()?;
                    Some(format!("{name} at {}: {failure}", addr(1)))
                })),
                Err(missing) => println!("skipped {name}: a simulated world lacks {missing}"),
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

type Outcome = Result<(), conformance::Failure>;

/// How each role of `case` fared, or what the case needs and does not get.
fn play(
    case: Case,
    backend: Backend,
    addr: &dyn Fn(u8) -> IpAddr,
) -> Result<Vec<Outcome>, &'static str> {
    let disk = Files::default();
    let env = Env {
        listener: SocketAddr::new(addr(1), PORT),
        refusing: SocketAddr::new(addr(1), PORT + 1),
        silent: Some(SocketAddr::new(addr(3), PORT)),
        receive_slack: 0,
        root: "root".into(),
        locked_root: None,
        files: Some(Arc::new(Outside(disk.clone()))),
        known_name: Some("localhost".into()),
        unknown_name: Some("nowhere.invalid".into()),
        protected: Some(Protected {
            addr: SocketAddr::new(addr(1), PORT),
            name: "anybody.test".into(),
        }),
        flags: Flags::default(),
    };
    case.unmet(&env).map_or(Ok(()), Err)?;

    let mut names = Names::default();
    names.add("localhost", Ipv4Addr::LOCALHOST.into());
    let mut network = Network::new(backend, &Rng::from_seed([1; 32]), names);
    let mut roles = vec![case.dialler(&env)];
    roles.extend(case.listener(&env));
    let roles: Vec<_> = roles.into_iter().map(RefCell::new).map(Rc::new).collect();
    let mut add = |last, files, role: Option<&Rc<RefCell<Script>>>| {
        let host = Host {
            addr: addr(last),
            port: PORT,
            up: None,
            down: None,
            files,
        };
        match role {
            Some(role) => network.add(host, Rc::clone(role), |_, _| ()),
            None => network.add(host, Rc::new(RefCell::new(Nobody)), |_, _| ()),
        }
    };
    add(1, Files::default(), roles.get(1));
    add(2, disk, Some(&roles[0]));
    add(3, Files::default(), None);
    network.partition(addr(2), addr(3));
    Ok(finish(&mut network, case, &roles))
}

fn finish(network: &mut Network, case: Case, roles: &[Rc<RefCell<Script>>]) -> Vec<Outcome> {
    let end = Instant::ZERO + conformance::PATIENCE + Duration::from_secs(1);
    loop {
        network.step().expect("no host breaks down");
        let outcomes = roles.iter().map(|role| role.borrow().outcome().cloned());
        if let Some(outcomes) = outcomes.collect() {
            return outcomes;
        }
        assert!(network.now() < end, "{} never ends", case.name);
    }
}

/// Is there, and does nothing.
struct Nobody;

impl Machine for Nobody {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        None
    }

    fn handle(&mut self, _now: Instant, _input: Input<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// The dialling role's disk, from outside.
struct Outside(Files);

impl conformance::Files for Outside {
    fn put(&self, path: &str, bytes: &[u8]) {
        let put = self.0.put(path, bytes.to_vec());
        put.expect("nothing is in the way of the test's own files");
    }

    fn make_folder(&self, path: &str) {
        let made = self.0.make_folder(path);
        made.expect("nothing is in the way of the test's own folders");
    }

    fn link(&self, path: &str, _target: &str) -> bool {
        self.0.link(path).is_ok()
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.read(path)
    }

    fn has_links(&self) -> bool {
        true
    }
}
