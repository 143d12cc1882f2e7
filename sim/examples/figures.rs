//! The figures of a scenario over some seeds, as rows of the tables of `FIGURES.md`.
//!
//! `cargo run --release -p ripcurrent-sim --example figures -- SCENARIO FIRST LAST`

use std::error::Error;
use std::fs;

use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_sim::network::Backend;
use ripcurrent_sim::report::{Report, Sample};
use ripcurrent_sim::run::run;
use ripcurrent_sim::scenario::Scenario;
use ripcurrent_sim::score::Score;

/// How long the start of a crowd is.
const START: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, first, last] = &args[..] else {
        return Err("give a scenario, the first seed and the last one".into());
    };
    let scenario = Scenario::parse(&fs::read_to_string(file)?)?;
    println!("| seed | last | mean | start | middle | end | waste | overhead | riders |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for seed in first.parse::<u64>()?..=last.parse()? {
        let report = run(&scenario, seed, Backend::Direct)?;
        println!("{}", row(&scenario, &report));
        for (host, violation) in &report.violations {
            println!("{host}: {violation:?}");
        }
    }
    Ok(())
}

fn row(scenario: &Scenario, report: &Report) -> String {
    let score = Score::of(scenario, report);
    let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
    let percent = |share: Option<f64>| {
        share.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0))
    };
    let completed = report.hosts.iter().filter_map(|host| host.completed);
    let ending = completed.min().unwrap_or(report.ended);
    let started = (Instant::ZERO + START).min(ending);
    let used = |from, to| percent(utilisation(&report.timeline.samples, from, to));
    let cells = [
        report.seed.to_string(),
        ratio(score.last_over_bound),
        ratio(score.mean_over_bound),
        used(Instant::ZERO, started),
        used(started, ending),
        used(ending, report.ended),
        percent(Some(score.waste)),
        percent(Some(score.overhead)),
        ratio(score.free_riders.and_then(|riders| riders.over_mean)),
    ];
    format!("| {} |", cells.join(" | "))
}

/// Of what all hosts together could send from one time to another, the share that they sent; `None`
/// where what hosts that left had sent is not counted any more.
fn utilisation(samples: &[Sample], from: Instant, to: Instant) -> Option<f64> {
    let within = samples.windows(2);
    let within = within.filter(|pair| pair[0].at >= from && pair[1].at <= to);
    let (mut sent, mut possible) = (0.0, 0.0);
    for pair in within {
        let seconds = pair[1].at.since(pair[0].at).as_secs_f64();
        for (before, after) in pair[0].groups.iter().zip(&pair[1].groups) {
            sent += after.uploaded.checked_sub(before.uploaded)? as f64;
            possible += after.up_capacity as f64 * seconds;
        }
    }
    (possible > 0.0).then_some(sent / possible)
}
