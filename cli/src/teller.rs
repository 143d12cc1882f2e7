//! Tells people and programs what happens to the torrents of a session, and how it ends.

use ripcurrent_proto::api::{Event, Mode};

use crate::exit::{Exit, Outcome};
use crate::facts::{self, Facts};
use crate::json;
use crate::news::{News, not_remembered};
use crate::say::{self, Level};
use crate::session::{Ended, Figures, Happening, Job, Net, Why};

/// What is told, torrent by torrent.
#[derive(Debug)]
pub(crate) struct Teller {
    level: Level,
    /// Where others reach us, until it is said: who finds everything there already says no more
    /// than that.
    greeting: Option<String>,
    /// It was said that what is seeded cannot be remembered: mostly none of it can.
    said_forgetful: bool,
    ones: Vec<(News, Facts)>,
}

impl Teller {
    /// Tells of a session with these jobs.
    pub(crate) fn new(jobs: &[Job], net: &Net, level: Level) -> Self {
        facts::listening(net.addr());
        let ones = jobs
            .iter()
            .map(|job| (News::new(level, job), Facts::new(job)));
        let mut teller = Teller {
            level,
            greeting: Some(net.greeting()),
            said_forgetful: false,
            ones: ones.collect(),
        };
        if jobs.iter().any(|job| job.mode == Mode::Seed) {
            teller.greet();
        }
        teller
    }

    /// Something happens to the torrent at `at`.
    pub(crate) fn hear(&mut self, at: usize, happening: &Happening<'_>, figures: &Figures) {
        if self.meets_others(at, happening, figures) {
            self.greet();
        }
        self.say_forgetful(at, happening);
        let several = self.ones.len() > 1;
        let Some((news, facts)) = self.ones.get_mut(at) else {
            return;
        };
        match happening {
            Happening::Begun => facts.begun(),
            Happening::Event(event) => {
                facts.event(event);
                news.event(event, figures);
                if matches!(event, Event::Completed { .. }) && news.serves(figures) {
                    facts.seeding();
                }
            }
            Happening::Second if json::is_on() => facts.second(&figures.stats),
            Happening::Second => {}
            Happening::Full { path, need } => {
                facts.full(path, *need);
                news.full(path, *need);
            }
            Happening::Room => {
                facts.room();
                news.room();
            }
            Happening::Ended(ended) => {
                facts.ended(ended);
                news.ended(ended);
                if several && let Why::Failed(failure) = &ended.why {
                    say::line(format_args!("error: {failure}"));
                    json::emit_failure(failure);
                }
            }
        }
    }

    /// The outcome of a session that ended so. What failed is told already, unless it was alone.
    pub(crate) fn conclude(self, ended: Vec<Ended>) -> Outcome {
        let several = self.ones.len() > 1;
        let mut worst = Exit::Done;
        for ((news, _), ended) in self.ones.into_iter().zip(ended) {
            let exit = match ended.why {
                Why::Failed(failure) if !several => return Err(failure),
                Why::Failed(failure) => failure.exit(),
                Why::Asked if news.fetches() && !ended.complete => Exit::Interrupted,
                Why::Asked | Why::Complete => Exit::Done,
            };
            worst = worst.max(exit);
        }
        Ok(worst)
    }

    /// Whether peers are spoken to from now on.
    fn meets_others(&self, at: usize, happening: &Happening<'_>, figures: &Figures) -> bool {
        match happening {
            Happening::Event(Event::Checked { .. }) => figures.stats.pieces_missing > 0,
            Happening::Event(Event::Completed { .. }) => {
                let one = self.ones.get(at);
                one.is_some_and(|(news, _)| news.serves(figures))
            }
            _ => false,
        }
    }

    /// Says that what is seeded cannot be remembered, the first time.
    fn say_forgetful(&mut self, at: usize, happening: &Happening<'_>) {
        let Happening::Event(Event::StateNotSaved { error, .. }) = happening else {
            return;
        };
        let one = self.ones.get(at);
        let is_seed = one.is_some_and(|(news, _)| !news.fetches());
        // With more words each says it for itself.
        if is_seed && self.level == Level::Normal && !self.said_forgetful {
            self.said_forgetful = true;
            say::line(not_remembered(*error));
        }
    }

    fn greet(&mut self) {
        if let Some(greeting) = self.greeting.take()
            && self.level > Level::Quiet
        {
            say::line(greeting);
        }
    }
}
