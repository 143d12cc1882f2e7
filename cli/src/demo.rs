//! `demo`: the main job with nothing outside. Makes data and a torrent, runs a tracker and seeds on
//! loopback addresses of their own, downloads, compares every byte, and cleans up.

mod report;
mod room;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use ripcurrent_proto::api::{Check, Config, Event, Mode};
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::create::{Content, Creation};
use ripcurrent_runtime_uring::{Choice, Descriptors};

use crate::args::DemoArgs;
use crate::chance;
use crate::clock;
use crate::create::{CREATED_BY, hash_pieces};
use crate::exit::{Exit, Failure, Outcome};
use crate::jobs::Item;
use crate::limits;
use crate::listen;
use crate::news::{Complaints, News};
use crate::progress::{Progress, Status};
use crate::say::{self, Level};
use crate::session::{self, Ended, Ends, Happening, Job, Net, Why, root_of};
use crate::stop::Stop;
use crate::tracker::Server;
use crate::units::{Count, Size, Time};

use report::{Report, processor_time};
use room::{Comparison, Room, compare, fill};

/// The name of the file that is made.
const NAME: &str = "demo.bin";
/// How often seeds announce.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long seeds may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a request to stop is looked for.
const TICK: Duration = Duration::from_millis(100);
/// The most bytes of slabs of one seed.
const SEED_BUDGET: usize = 32 << 20;

/// Runs the command.
pub(crate) fn run(args: &DemoArgs, level: Level) -> Outcome {
    limits::must_fit_seeds(args.peers, Descriptors::of_process())?;
    let stop = Stop::on_signals()?;
    let room = Room::make(&args.dir, args.size)?;
    let outcome = show(args, level, &stop, &room);
    drop(room);
    match outcome? {
        Some(report) => {
            say::data(&report)?;
            Ok(Exit::Done)
        }
        None => {
            say::line("interrupted; everything is cleaned up");
            Ok(Exit::Interrupted)
        }
    }
}

/// The demonstration from end to end; `None` if it was stopped.
fn show(
    args: &DemoArgs,
    level: Level,
    stop: &Stop,
    room: &Room,
) -> Result<Option<Report>, Failure> {
    let row = Row::of_this_process();
    let server = Server::bind(SocketAddr::new(row.ip(1), 0), INTERVAL, chance::rng()?)?;
    let begun = clock::now();
    let Some(torrent) = make(args, level, stop, room, &server.announce_url())? else {
        return Ok(None);
    };
    let made = begun.elapsed();
    say_if(
        level,
        &format!(
            "made {} in {}; starting a tracker and {}",
            Size(args.size),
            Time(made),
            Count(args.peers, "seed")
        ),
    );
    let busy = processor_time();
    let ended = thread::scope(|scope| {
        let helpers = Helpers::start(scope, args, server, &torrent, room, &row)?;
        let ended = match helpers.wait_until_ready(stop)? {
            true => Some(download(args, &torrent, level, stop, room, &row)?),
            false => None,
        };
        helpers.end()?;
        Ok(ended)
    })?;
    let busy = processor_time().saturating_sub(busy);
    let Some(ended) = ended else { return Ok(None) };
    match ended.why {
        Why::Complete => {}
        Why::Asked => return Ok(None),
        Why::Failed(failure) if failure.exit() == Exit::NoPeers => {
            let what = "the seeds served nothing in time";
            return Err(Failure::new(Exit::NoPeers, what));
        }
        Why::Failed(failure) => return Err(failure),
    }
    if !is_same(args.size, level, stop, room)? {
        return Ok(None);
    }
    Ok(Some(Report::new(
        &torrent,
        args.peers.into(),
        made,
        busy,
        &ended.figures,
    )))
}

/// Compares what came with what was made; `false` if it was stopped.
fn is_same(size: u64, level: Level, stop: &Stop, room: &Room) -> Result<bool, Failure> {
    say_if(level, "comparing every byte");
    let begun = clock::now();
    let mut progress = Progress::new(level, "comparing");
    let show = |done| progress.show(&Status::of_bytes(done, size, begun.elapsed()));
    let (made, came) = (room.join("seed").join(NAME), room.join("got").join(NAME));
    match compare(&made, &came, stop, show)? {
        Comparison::Same => Ok(true),
        Comparison::Stopped => Ok(false),
        Comparison::DifferAt(at) => {
            let what = format!("what came differs from what was made, first at byte {at}");
            Err(Failure::new(Exit::CheckFailed, what))
        }
    }
}

/// Makes the data and a torrent of it.
fn make(
    args: &DemoArgs,
    level: Level,
    stop: &Stop,
    room: &Room,
    announce: &str,
) -> Result<Option<Arc<Torrent>>, Failure> {
    let path = room.join("seed").join(NAME);
    std::fs::create_dir(room.join("seed"))
        .map_err(|error| Failure::disk("create", &path, error))?;
    let wrong = |error| Failure::usage("no torrent of this size can be made").because(error);
    let content = Content::File {
        len: args.size,
        executable: false,
    };
    let mut creation = Creation::new(NAME, content, None).map_err(wrong)?;
    creation
        .set_trackers(&[vec![announce.into()]])
        .map_err(wrong)?;
    creation.set_created_by(CREATED_BY);
    let begun = clock::now();
    let mut progress = Progress::new(level, "making data");
    let show = |done| progress.show(&Status::of_bytes(done, args.size, begun.elapsed()));
    if !fill(&path, args.size, &mut chance::rng()?, stop, show)? {
        return Ok(None);
    }
    drop(progress);
    let begun = clock::now();
    let mut progress = Progress::new(level, "hashing it");
    let show = |done| progress.show(&Status::of_bytes(done, args.size, begun.elapsed()));
    let Some(pieces) = hash_pieces(creation.layout(), &[path], stop, show)? else {
        return Ok(None);
    };
    let bytes = creation.finish(&pieces).map_err(wrong)?;
    let torrent = Torrent::parse(bytes.into()).map_err(|error| {
        Failure::new(Exit::Internal, "the torrent just made cannot be read").because(error)
    })?;
    Ok(Some(Arc::new(torrent)))
}

fn download(
    args: &DemoArgs,
    torrent: &Arc<Torrent>,
    level: Level,
    stop: &Stop,
    room: &Room,
    row: &Row,
) -> Result<Ended, Failure> {
    let config = Config {
        loopback_only: true,
        ..Config::default()
    };
    let listener = listen::listen(Some(row.ip(2)), Some(0))?;
    let net = Net::on(listener, config, args.backend.choice())?;
    let job = Job {
        ends: Ends {
            stop_timeout: Some(PATIENCE),
            ..Ends::WHEN_COMPLETE
        },
        ..Job::new(
            Item::made(Arc::clone(torrent)),
            root_of(&room.join("got"))?,
            Mode::Download,
        )
    };
    let mut news = News::new(level, &job, false);
    let mut complaints = Complaints::default();
    let ended = session::run(
        vec![job],
        net,
        None,
        level,
        stop,
        |_, happening, figures| match happening {
            Happening::Event(event) if !matches!(event, Event::Completed { .. }) => {
                news.event(event, figures, &mut complaints);
            }
            Happening::Full { path, need } => news.full(path, need),
            Happening::Room => news.room(),
            _ => {}
        },
    )?;
    the_only(ended)
}

/// How the only torrent of a session ended.
fn the_only(ended: Vec<Ended>) -> Result<Ended, Failure> {
    let missing = || Failure::new(Exit::Internal, "a session of one torrent has no end");
    ended.into_iter().next().ok_or_else(missing)
}

/// The tracker and the seeds, each on a thread of its own.
struct Helpers<'scope> {
    stop: Stop,
    threads: Vec<ScopedJoinHandle<'scope, Result<(), Failure>>>,
    ready: std::sync::mpsc::Receiver<()>,
    seeds: u8,
}

impl<'scope> Helpers<'scope> {
    fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        args: &DemoArgs,
        server: Server,
        torrent: &Arc<Torrent>,
        room: &Room,
        row: &Row,
    ) -> Result<Self, Failure> {
        let (seeds, backend) = (args.peers, args.backend.choice());
        let stop = Stop::default();
        let (is_ready, ready) = channel();
        let server_stop = stop.clone();
        let mut threads = vec![scope.spawn(move || server.run(&server_stop).map(|_| ()))];
        let root = root_of(&room.join("seed"))?;
        for seed in 0..seeds {
            let listener =
                listen::listen(Some(row.seed_ip(seed)), Some(0)).inspect_err(|_| stop.ask())?;
            // What was made this instant need not be hashed again.
            let job = Job {
                check: Check::Trust,
                ends: Ends::WHEN_ASKED,
                ..Job::new(Item::made(Arc::clone(torrent)), root.clone(), Mode::Seed)
            };
            let (stop, is_ready) = (stop.clone(), is_ready.clone());
            threads.push(scope.spawn(move || run_seed(job, listener, backend, &stop, &is_ready)));
        }
        Ok(Helpers {
            stop,
            threads,
            ready,
            seeds,
        })
    }

    /// Waits until the tracker knows every seed; whether that was not interrupted.
    fn wait_until_ready(&self, stop: &Stop) -> Result<bool, Failure> {
        let begun = clock::now();
        let mut to_come = self.seeds;
        while to_come > 0 && begun.elapsed() < PATIENCE {
            if stop.is_asked() {
                self.stop.ask();
                return Ok(false);
            }
            match self.ready.recv_timeout(TICK) {
                Ok(()) => to_come -= 1,
                Err(RecvTimeoutError::Timeout) => {}
                // All of them ended: the first of them says why.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Those that are there serve, the others are told of at the end.
        Ok(true)
    }

    /// Sends everybody home; the first failure of anybody.
    fn end(mut self) -> Result<(), Failure> {
        self.stop.ask();
        let panicked = |_| Failure::new(Exit::Internal, "a thread of the demonstration broke down");
        let threads = std::mem::take(&mut self.threads);
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(panicked)?)
    }
}

impl Drop for Helpers<'_> {
    /// However the scope is left, it waits for its threads: so they must end.
    fn drop(&mut self) {
        self.stop.ask();
    }
}

fn run_seed(
    job: Job,
    listener: std::net::TcpListener,
    backend: Choice,
    stop: &Stop,
    is_ready: &Sender<()>,
) -> Result<(), Failure> {
    let config = Config {
        loopback_only: true,
        memory_budget: SEED_BUDGET,
        ..Config::default()
    };
    let net = Net::on(listener, config, backend)?;
    let mut told = false;
    let jobs = vec![job];
    let ended = session::run(jobs, net, None, Level::Quiet, stop, |_, happening, _| {
        let Happening::Event(Event::Announced { result: Ok(_), .. }) = happening else {
            return;
        };
        if !std::mem::replace(&mut told, true) {
            // Nobody waits any more when the demonstration is over.
            let _ = is_ready.send(());
        }
    })?;
    match the_only(ended)?.why {
        Why::Failed(failure) => Err(failure),
        Why::Complete | Why::Asked => Ok(()),
    }
}

/// A row of loopback addresses that two demonstrations at once hardly share.
struct Row([u8; 2]);

impl Row {
    fn of_this_process() -> Self {
        let [.., middle, low] = std::process::id().to_be_bytes();
        Row([64 + low % 128, middle])
    }

    fn ip(&self, host: u8) -> IpAddr {
        let [second, third] = self.0;
        IpAddr::from([127, second, third, host])
    }

    /// The tracker's and the download's come before it.
    fn seed_ip(&self, seed: u8) -> IpAddr {
        self.ip(3 + seed)
    }
}

fn say_if(level: Level, text: &str) {
    if level > Level::Quiet {
        say::line(text);
    }
}
