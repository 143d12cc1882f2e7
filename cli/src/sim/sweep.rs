//! Many runs, on as many threads as there is room for.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use ripcurrent_sim::report::Case;
use ripcurrent_sim::score::Spread;

use super::cost::Cost;
use super::plan::{Breakdown, Plan};
use super::save;
use crate::args::SimArgs;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::progress::{Progress, Status};
use crate::say::{self, Level};

/// What a run came to.
type Ended = Result<(Case, Cost), Breakdown>;

/// A figure of a run, if it has one.
type Figure = fn(&Case) -> Option<f64>;

/// What became of the seeds, in their order.
struct Ledger {
    ended: Vec<Option<Ended>>,
    /// How many at the front have been told on stdout.
    told: usize,
    count: usize,
    failed: usize,
    cost: Cost,
}

/// Runs `plan` with all seeds, and shows what became of them.
pub(super) fn run(plan: &Plan, seeds: &[u64], args: &SimArgs, level: Level) -> Outcome {
    if let Some(folder) = &args.report {
        save::prepare(folder)?;
    }
    let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = args.jobs.map_or_else(cores, NonZeroUsize::get);
    let ledger = play(plan, seeds, jobs, level)?;
    let cases: Vec<&Case> = ledger.cases().collect();
    if level > Level::Quiet || ledger.failed > 0 {
        summarize(plan, seeds, &ledger);
    }
    if let Some(folder) = &args.report {
        save::sweep(folder, &plan.name(), &cases)?;
        save::tell(folder, level);
    }
    Ok(match ledger.failed {
        0 => Exit::Done,
        _ => Exit::CheckFailed,
    })
}

fn play(plan: &Plan, seeds: &[u64], jobs: usize, level: Level) -> Result<Ledger, Failure> {
    let next = AtomicUsize::new(0);
    let (sender, results) = channel();
    let mut progress = Progress::new(level, &plan.name());
    let mut ledger = Ledger::new(seeds.len());
    thread::scope(|scope| {
        for _ in 0..jobs.min(seeds.len()) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || work(plan, seeds, next, &sender));
        }
        drop(sender);
        for (at, result) in results {
            if level > Level::Quiet || has_failed(&result) {
                say::line(line(seeds[at], &result));
            }
            ledger.enter(at, result);
            ledger.tell(seeds)?;
            progress.show(&ledger.status());
        }
        Ok(ledger)
    })
}

/// Takes the next seed until there is none; ends early if nobody listens any more.
fn work(plan: &Plan, seeds: &[u64], next: &AtomicUsize, sender: &Sender<(usize, Ended)>) {
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(seed) = seeds.get(at) else { return };
        let mut result = plan.run(*seed, None, |_| ());
        if let Ok((case, _)) = &mut result {
            case.forget_course();
        }
        if sender.send((at, result)).is_err() {
            return;
        }
    }
}

fn has_failed(result: &Ended) -> bool {
    result
        .as_ref()
        .map_or(true, |(case, _)| !case.report.is_success())
}

/// A run in a line.
fn line(seed: u64, result: &Ended) -> String {
    let case = match result {
        Ok((case, _)) => case,
        Err(error) => {
            let error = error.to_string();
            return format!("seed {seed}: BROKE DOWN: {}", Escaped(&error));
        }
    };
    let failures = case.report.failures();
    if let Some(first) = failures.first() {
        let more = match failures.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        return format!("seed {seed}: FAILED: {}{more}", Escaped(first));
    }
    let ratio =
        |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.3}"));
    format!(
        "seed {seed}: {} hosts, last after {} and mean {} times the bound, over at {}",
        case.report.hosts.len(),
        ratio(case.score.last_over_bound),
        ratio(case.score.mean_over_bound),
        case.report.ended,
    )
}

/// Failures first, each with the command that shows it again; then the spread of the others.
fn summarize(plan: &Plan, seeds: &[u64], ledger: &Ledger) {
    let results = seeds.iter().zip(ledger.ended.iter().flatten());
    let failed: Vec<_> = results.filter(|(_, result)| has_failed(result)).collect();
    say::line(format_args!(
        "{} of {} seeds failed",
        failed.len(),
        seeds.len()
    ));
    for (seed, result) in failed {
        say::line(line(*seed, result));
        say::line(format_args!("  to see it again: {}", plan.replay(*seed)));
    }
    let figures: [(&str, Figure); 4] = [
        ("last / bound", |case| case.score.last_over_bound),
        ("mean / bound", |case| case.score.mean_over_bound),
        ("seeds' copies", |case| case.score.seed_copies),
        ("uplinks used", |case| case.score.utilisation),
    ];
    for (name, figure) in figures {
        if let Some(spread) = Spread::of(ledger.cases().filter_map(figure)) {
            let Spread {
                least,
                median,
                most,
            } = spread;
            say::line(format_args!(
                "{name:<14} {least:.3} least, {median:.3} median, {most:.3} most"
            ));
        }
    }
    say::line(ledger.cost);
}

impl Ledger {
    fn new(len: usize) -> Self {
        Ledger {
            ended: (0..len).map(|_| None).collect(),
            told: 0,
            count: 0,
            failed: 0,
            cost: Cost::default(),
        }
    }

    fn enter(&mut self, at: usize, result: Ended) {
        self.count += 1;
        self.failed += usize::from(has_failed(&result));
        if let Ok((_, cost)) = &result {
            self.cost += *cost;
        }
        self.ended[at] = Some(result);
    }

    /// Prints the digests of all seeds in front of which none is missing.
    fn tell(&mut self, seeds: &[u64]) -> Result<(), Failure> {
        while let Some(Some(result)) = self.ended.get(self.told) {
            if let Ok((case, _)) = result {
                let (seed, digest) = (seeds[self.told], case.report.digest);
                say::data(format_args!("{seed} digest {digest}\n"))?;
            }
            self.told += 1;
        }
        Ok(())
    }

    fn cases(&self) -> impl Iterator<Item = &Case> {
        let ended = self.ended.iter().flatten();
        ended.filter_map(|result| result.as_ref().ok().map(|(case, _)| case))
    }

    fn status(&self) -> Status {
        let words = format!(
            "{} of {} seeds, {} failed",
            self.count,
            self.ended.len(),
            self.failed
        );
        Status::new(self.count as u64, self.ended.len() as u64, words)
    }
}
