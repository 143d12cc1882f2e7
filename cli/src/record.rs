//! Writing down what the engine is told and what it does, for `sim replay`.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use ripcurrent_proto::api::{Config, Input, Output};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::drive::record::{Beginning, Recorder};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;

use crate::exit::Failure;
use crate::say;

/// A wish to have a session recorded.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The file to be written; none may be there.
    pub(crate) path: PathBuf,
    /// The torrent files, in the order of the torrents.
    pub(crate) torrent_files: Vec<Vec<u8>>,
    /// Whether addresses of others are told.
    pub(crate) addresses: bool,
}

/// An engine, recorded or not.
pub(crate) enum Driven {
    /// As it is.
    Plain(Box<Engine>),
    /// With every call written down.
    Recorded(Box<Recorder<Engine, Sink>>, Rc<RefCell<Writer>>),
}

type Sink = Box<dyn FnMut(&[u8])>;

/// The file of a record. A disk that refuses ends the record and nothing else.
pub(crate) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    failed: Option<io::Error>,
}

impl Driven {
    /// Takes the engine that was made of `config` and `seed`, and begins the record.
    pub(crate) fn new<'a>(
        engine: Engine,
        (config, seed, begun): (&Config, [u8; 32], Instant),
        torrents: impl Iterator<Item = &'a Torrent>,
        recording: Option<Recording>,
    ) -> Result<Self, Failure> {
        let Some(recording) = recording else {
            return Ok(Driven::Plain(Box::new(engine)));
        };
        let path = recording.path;
        let file = File::create_new(&path).map_err(|error| {
            Failure::disk("write the record", &path, error)
                .remedy("Name another file with --record.")
        })?;
        let writer = Rc::new(RefCell::new(Writer {
            path,
            file: BufWriter::new(file),
            failed: None,
        }));
        let shared = Rc::clone(&writer);
        let sink: Sink = Box::new(move |bytes| shared.borrow_mut().write(bytes));
        let files = recording.torrent_files.iter();
        let torrents: Vec<(&Torrent, &[u8])> = torrents.zip(files.map(|file| &**file)).collect();
        let beginning = Beginning {
            config,
            seed,
            at: begun,
            torrents: &torrents,
        };
        let recorder = Recorder::new(engine, beginning, !recording.addresses, sink);
        Ok(Driven::Recorded(Box::new(recorder), writer))
    }

    /// The engine, to look at.
    pub(crate) fn engine(&mut self) -> &mut Engine {
        match self {
            Driven::Plain(engine) => engine,
            Driven::Recorded(recorder, _) => recorder.machine(),
        }
    }

    /// Ends the record, if there is one.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let Driven::Recorded(recorder, writer) = self else {
            return Ok(());
        };
        recorder.finish();
        let mut writer = writer.borrow_mut();
        let result = match writer.failed.take() {
            Some(error) => Err(error),
            None => writer.file.flush(),
        };
        result.map_err(|error| Failure::disk("write the record", &writer.path, error))
    }
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = self.file.write_all(bytes) {
            say::line("the record breaks off here: its file cannot be written");
            self.failed = Some(error);
        }
    }
}

impl Machine for Driven {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        match self {
            Driven::Plain(engine) => engine.accept(now, from),
            Driven::Recorded(recorder, _) => recorder.accept(now, from),
        }
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match self {
            Driven::Plain(engine) => engine.handle(now, input),
            Driven::Recorded(recorder, _) => recorder.handle(now, input),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Driven::Plain(engine) => engine.handle_timeout(now),
            Driven::Recorded(recorder, _) => recorder.handle_timeout(now),
        }
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        match self {
            Driven::Plain(engine) => engine.poll_output(now),
            Driven::Recorded(recorder, _) => recorder.poll_output(now),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Driven::Plain(engine) => engine.poll_timeout(),
            Driven::Recorded(recorder, _) => recorder.poll_timeout(),
        }
    }
}
