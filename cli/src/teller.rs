//! Tells people and programs what happens to the torrents of a session, and how it ends.

use ripcurrent_proto::api::{Event, Mode};

use crate::exit::{Exit, Outcome};
use crate::facts::{self, Facts};
use crate::json;
use crate::news::{Complaints, News, not_remembered};
use crate::say::{self, Level};
use crate::session::{Ended, Figures, Happening, Job, Net, Why, is_crowd};
use crate::units::{Count, Size};

/// What is told, torrent by torrent.
#[derive(Debug)]
pub(crate) struct Teller {
    level: Level,
    /// Where others reach us, until it is said: who finds everything there already says no more
    /// than that.
    greeting: Option<String>,
    /// It was said that what is seeded cannot be remembered: mostly none of it can.
    said_forgetful: bool,
    complaints: Complaints,
    ones: Vec<(News, Facts)>,
    /// What is told of many torrents together.
    crowd: Option<Crowd>,
}

/// How far many seeds have come together.
#[derive(Debug, Default)]
struct Crowd {
    /// Those of which it is known what is there, or that ended before.
    known: Vec<bool>,
    unknown: usize,
    serving: usize,
}

impl Teller {
    /// Tells of a session with these jobs.
    pub(crate) fn new(jobs: &[Job], net: &Net, level: Level) -> Self {
        facts::listening(net.addr());
        let in_crowd = is_crowd(jobs.len());
        let ones = jobs
            .iter()
            .map(|job| (News::new(level, job, in_crowd), Facts::new(job)));
        let are_seeds = jobs.iter().all(|job| job.mode == Mode::Seed);
        let mut teller = Teller {
            level,
            greeting: Some(net.greeting()),
            said_forgetful: false,
            complaints: Complaints::new(in_crowd),
            ones: ones.collect(),
            crowd: (in_crowd && are_seeds).then(|| Crowd::new(jobs.len())),
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
                news.event(event, figures, &mut self.complaints);
                if matches!(event, Event::Completed { .. }) && news.serves(figures) {
                    facts.seeding();
                }
            }
            Happening::Second => facts.second(&figures.stats),
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
        self.count_in(at, happening, figures);
    }

    /// The outcome of a session that ended so. What failed is told already, unless it was alone.
    pub(crate) fn conclude(self, ended: Vec<Ended>) -> Outcome {
        let several = self.ones.len() > 1;
        if self.crowd.is_some() {
            self.say(sum_of(&ended));
        }
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

    /// Says once how many of many seeds serve, when that is known of all.
    fn count_in(&mut self, at: usize, happening: &Happening<'_>, figures: &Figures) {
        let (Some(crowd), Some((news, _))) = (&mut self.crowd, self.ones.get(at)) else {
            return;
        };
        let serves = match happening {
            Happening::Event(Event::Completed { .. }) => news.serves(figures),
            Happening::Ended(_) => false,
            _ => return,
        };
        if crowd.count_in(at, serves) {
            let all = self.ones.len();
            let text = match crowd.serving {
                serving if serving == all => format!("{all} torrents: seeding {}", news.until()),
                0 => return,
                serving => format!("{serving} of {all} torrents: seeding {}", news.until()),
            };
            self.say(text);
        }
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
        if let Some(greeting) = self.greeting.take() {
            self.say(greeting);
        }
    }

    fn say(&self, text: String) {
        if self.level > Level::Quiet {
            say::line(text);
        }
    }
}

impl Crowd {
    fn new(torrents: usize) -> Self {
        Crowd {
            known: vec![false; torrents],
            unknown: torrents,
            serving: 0,
        }
    }

    /// It is known now of the torrent at `at` whether it is served; whether it was the last.
    fn count_in(&mut self, at: usize, serves: bool) -> bool {
        let Some(known) = self.known.get_mut(at) else {
            return false;
        };
        if std::mem::replace(known, true) {
            return false;
        }
        self.unknown -= 1;
        self.serving += usize::from(serves);
        self.unknown == 0
    }
}

/// What many seeds gave, all together.
fn sum_of(ended: &[Ended]) -> String {
    let sent = ended.iter().map(|ended| ended.figures.stats.uploaded).sum();
    let gave = ended
        .iter()
        .filter(|ended| ended.figures.stats.uploaded > 0);
    let gave = gave.count();
    let torrents = Count(ended.len(), "torrent");
    match gave {
        0 => format!("{torrents}: nobody came for any"),
        gave => format!("{torrents}: {} sent, of {gave} of them", Size(sent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line that sums up comes when the last one is known, once, and counts those that serve.
    #[test]
    fn the_last_one_brings_the_sum() {
        let mut crowd = Crowd::new(3);
        assert!(!crowd.count_in(0, true) && !crowd.count_in(2, false));
        assert!(!crowd.count_in(2, true), "counted already");
        assert!(crowd.count_in(1, true) && !crowd.count_in(1, true));
        assert_eq!(crowd.serving, 2);
    }
}
