//! A run: a scenario and a seed become a world, the world goes on until its end, and is judged.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ripcurrent_proto::api::{
    Add, Check, Command, Config, ConfigError, Event, Input, Mode, Refusal,
};
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Machine, Tap};
use ripcurrent_proto::engine::Engine;

use crate::bound::{Bound, Swarm};
use crate::cast::{Member, TRACKER_ADDR, cast};
use crate::content::{Content, ContentError, Form};
use crate::disk::Files;
use crate::meter::Metered;
use crate::names::Names;
use crate::network::{Backend, Host, Network, NetworkError};
use crate::referee::{Refereed, Rules, Violation};
use crate::report::{Digest, HostReport, Report, Timeline};
use crate::scenario::{Role, Scenario};
use crate::tracker::Tracker;

/// Where peers listen.
const PEER_PORT: u16 = 6881;
/// Where the tracker listens.
const TRACKER_PORT: u16 = 80;
/// The tracker's name.
const TRACKER_NAME: &str = "tracker.test";
/// The folder of every disk that holds the torrent.
const ROOT: &str = "data";
/// Every host's name for the torrent.
const TORRENT: TorrentId = TorrentId(0);

/// Why a run has no outcome. Leechers that do not finish are an outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The shipped settings do not work.
    #[error("the client does not accept its own defaults: {0}")]
    Config(#[from] ConfigError),
    /// The plan makes no torrent.
    #[error("no torrent can be made: {0}")]
    Content(#[from] ContentError),
    /// A host broke down.
    #[error("a host broke down {0}")]
    Network(#[from] NetworkError),
    /// A client did not take the torrent.
    #[error("{host} did not take the torrent: {reason}")]
    Refused {
        /// The host.
        host: String,
        /// Why.
        reason: Refusal,
    },
}

/// Runs `scenario` on `backend` to its end: every leecher has everything, or the time is over.
///
/// # Errors
/// If a machine broke down or refused to begin.
pub fn run(scenario: &Scenario, seed: u64, backend: Backend) -> Result<Report, RunError> {
    let mut world = World::new(scenario, seed, backend)?;
    let end = Instant::ZERO + Duration::from_secs(scenario.end.within_s);
    while !world.is_complete() && world.network.now() < end {
        world.network.step()?;
        world.refusal().map_or(Ok(()), Err)?;
    }
    Ok(world.judge(scenario, seed))
}

struct World {
    network: Network,
    content: Content,
    tracker: Rc<RefCell<Tap<Tracker>>>,
    clients: Vec<Client>,
}

/// A host that runs the engine.
struct Client {
    member: Member,
    engine: Rc<RefCell<Tap<Metered<Refereed<Engine>>>>>,
    told: Rc<RefCell<Told>>,
    files: Files,
}

/// What a client has told of itself.
#[derive(Default)]
struct Told {
    completed: Option<Instant>,
    refused: Option<Refusal>,
}

impl World {
    fn new(scenario: &Scenario, seed: u64, backend: Backend) -> Result<Self, RunError> {
        let rng = root_rng(seed);
        let url = format!("http://{TRACKER_NAME}:{TRACKER_PORT}/announce");
        let form = match scenario.is_compact() {
            true => Form::Compact,
            false => Form::Bytes,
        };
        let content = Content::new(&scenario.torrent, form, &url, &rng.fork("content"))?;
        let mut names = Names::default();
        names.add(TRACKER_NAME, TRACKER_ADDR);
        let mut network = Network::new(backend, &rng.fork("network"), names);

        let interval = Duration::from_secs(scenario.trackers[0].interval_s);
        let tracker = Tracker::new(interval, rng.fork("tracker"));
        let tracker = Rc::new(RefCell::new(Tap::new(tracker)));
        let tracker_host = Host {
            addr: TRACKER_ADDR,
            port: TRACKER_PORT,
            up: None,
            down: None,
            files: Files::default(),
        };
        network.add(tracker_host, Rc::clone(&tracker), |_, _| ());

        let rules = Rules::new(Arc::clone(&content.torrent));
        let members = cast(scenario, &rng.fork("cast"));
        let clients = members.into_iter().map(|member| {
            let rng = rng.fork(&member.name);
            Client::start(member, &mut network, &content, &rules, &rng)
        });
        let clients = clients.collect::<Result<Vec<_>, _>>()?;
        set_latencies(&mut network, &clients);
        Ok(World {
            network,
            content,
            tracker,
            clients,
        })
    }

    fn is_complete(&self) -> bool {
        let mut leechers = self
            .clients
            .iter()
            .filter(|client| client.member.role == Role::Leecher);
        leechers.all(|client| client.told.borrow().completed.is_some())
    }

    fn refusal(&self) -> Option<RunError> {
        self.clients.iter().find_map(|client| {
            let reason = client.told.borrow().refused.clone()?;
            let host = client.member.name.clone();
            Some(RunError::Refused { host, reason })
        })
    }

    fn judge(self, scenario: &Scenario, seed: u64) -> Report {
        let ended = self.network.now();
        let hosts: Vec<_> = self
            .clients
            .iter()
            .map(|client| client.judge(scenario, &self.content, ended))
            .collect();
        let violations = self
            .clients
            .iter()
            .flat_map(|client| client.violations(ended));
        let violations = violations.collect();
        let mut machines = vec![self.tracker.borrow().digest()];
        machines.extend(
            self.clients
                .iter()
                .map(|client| client.engine.borrow().digest()),
        );
        let digest = Digest::fold(&machines, &hosts, ended);
        Report {
            seed,
            ended,
            bound: Bound::of(&Swarm::of(scenario, &hosts)),
            hosts,
            violations,
            timeline: Timeline::default(),
            digest,
        }
    }
}

impl Client {
    fn start(
        member: Member,
        network: &mut Network,
        content: &Content,
        rules: &Rules,
        rng: &Rng,
    ) -> Result<Self, RunError> {
        let mut seed = [0; 32];
        rng.fork("engine").fill(&mut seed);
        let engine = Engine::new(Config::default(), seed, Instant::ZERO)?;
        let mut engine = Tap::new(Metered::new(Refereed::new(engine, rules.clone())));
        let files = content.blank_disk();
        let (mode, check) = match member.role {
            Role::Seed => (Mode::Seed, Check::Existing),
            Role::Leecher | Role::FreeRider => (Mode::Download, Check::Existing),
        };
        if member.role == Role::Seed {
            content.put(&files, ROOT);
        }
        let add = Add {
            id: TORRENT,
            torrent: Arc::clone(&content.torrent),
            root: ROOT.into(),
            wanted: None,
            sequential: false,
            mode,
            check,
            announce: true,
            preallocate: false,
        };
        engine.handle(Instant::ZERO, Input::Command(Command::Add(add)));
        let engine = Rc::new(RefCell::new(engine));
        let told = Rc::new(RefCell::new(Told::default()));
        let host = Host {
            addr: member.addr,
            port: PEER_PORT,
            up: member.up,
            down: member.down,
            files: files.clone(),
        };
        let listener = Rc::clone(&told);
        network.add(
            host,
            Rc::clone(&engine),
            move |tap: &mut Tap<Metered<Refereed<Engine>>>, now| {
                let engine = tap.machine().machine().machine_mut();
                listener.borrow_mut().listen(engine, now);
            },
        );
        Ok(Client {
            member,
            engine,
            told,
            files,
        })
    }

    fn judge(&self, scenario: &Scenario, content: &Content, now: Instant) -> HostReport {
        let mut engine = self.engine.borrow_mut();
        let received = engine.machine().received();
        let engine = engine.machine().machine().machine();
        let stats = engine.stats(now, TORRENT).unwrap_or_default();
        HostReport {
            name: self.member.name.clone(),
            group: self.member.group,
            role: self.member.role,
            arrived: Instant::ZERO,
            up: self.member.up,
            down: self.member.down,
            had_at_start: match self.member.role {
                Role::Seed => scenario.size(),
                Role::Leecher | Role::FreeRider => 0,
            },
            completed: match self.member.role {
                Role::Seed => None,
                Role::Leecher | Role::FreeRider => self.told.borrow().completed,
            },
            whole: content.is_whole(&self.files, ROOT),
            downloaded: stats.downloaded,
            uploaded: stats.uploaded,
            wasted: stats.wasted,
            received,
        }
    }

    /// The rules that it broke, behind its name.
    fn violations(&self, ended: Instant) -> Vec<(String, Violation)> {
        let mut engine = self.engine.borrow_mut();
        let referee = engine.machine().machine();
        referee.end(ended);
        let violations = referee.violations().iter();
        violations
            .map(|violation| (self.member.name.clone(), violation.clone()))
            .collect()
    }
}

impl Told {
    fn listen(&mut self, engine: &mut Engine, now: Instant) {
        while let Some(event) = engine.poll_event() {
            match event {
                Event::Completed { .. } => self.completed = self.completed.or(Some(now)),
                Event::Refused { reason, .. } => self.refused = Some(reason),
                _ => {}
            }
        }
    }
}

fn set_latencies(network: &mut Network, clients: &[Client]) {
    for (at, Client { member: one, .. }) in clients.iter().enumerate() {
        network.set_latency(TRACKER_ADDR, one.addr, one.latency);
        for Client { member: other, .. } in &clients[..at] {
            network.set_latency(one.addr, other.addr, one.latency + other.latency);
        }
    }
}

/// All of a run's chance.
fn root_rng(seed: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Rng::from_seed(bytes)
}
