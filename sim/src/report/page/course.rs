//! The plots of a run's course.

use ripcurrent_proto::base::time::Instant;

use super::super::plot::{Plot, PlotError, Series};
use super::super::{Case, GroupSample, HostReport, Sample};
use super::markup::figure;
use crate::scenario::{Group, Role};
use crate::score::utilisation;

const SECONDS: &str = "virtual seconds";
/// The most points of a curve that is a rate: of more samples several make one point.
const RATES_MAX: usize = 200;
const MIB: f64 = (1 << 20) as f64;

/// All figures, in the order in which one asks.
pub(super) fn figures(case: &Case) -> Result<String, PlotError> {
    let mut figures = figure("Who has everything, by the time waited", &completion(case))?;
    if case.report.timeline.samples.len() < 2 {
        return Ok(figures);
    }
    figures += &figure("What the groups have of the torrent", &progress(case))?;
    figures += &figure("Copies of the pieces", &copies(case))?;
    figures += &figure("Rare pieces", &rare(case))?;
    figures += &figure("Received by a host, in the mean", &received(case))?;
    figures += &figure("Sent by a host, in the mean", &sent(case))?;
    figures += &figure(
        "Use of the uplinks while something is missing",
        &use_of_uplinks(case),
    )?;
    figures += &figure("Connections of a host, in the mean", &connections(case))?;
    Ok(figures)
}

fn at(time: Instant) -> f64 {
    time.since(Instant::ZERO).as_secs_f64()
}

/// Beside the bounds, so by the time from each host's own arrival.
fn completion(case: &Case) -> Plot {
    let fetching = groups(case).filter(|(_, group)| group.role != Role::Seed);
    let series = fetching.map(|(number, group)| {
        let hosts = case.report.hosts.iter().filter(|host| host.group == number);
        let mut waits: Vec<_> = hosts.filter_map(HostReport::wait).collect();
        waits.sort_unstable();
        let mut points = vec![(0.0, 0.0)];
        for (wait, before) in waits.iter().zip(0..) {
            let wait = wait.as_secs_f64();
            points.push((wait, share(before, group.count)));
            points.push((wait, share(before + 1, group.count)));
        }
        let name = group.name.clone();
        Series { name, points }
    });
    let bound = case.report.bound;
    Plot {
        up: "% of hosts",
        right: "seconds since arrival (dashed: the bounds)",
        series: series.collect(),
        lines: [bound.fluid, bound.store_and_forward]
            .map(|time| time.as_secs_f64())
            .into(),
        least_top: 105.0,
    }
}

fn share(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn progress(case: &Case) -> Plot {
    let size = case.scenario.size().max(1) as f64;
    let had = move |sample: &GroupSample| 100.0 * sample.had as f64 / size;
    let mut plot = over_time(case, "% of the torrent", per_host(case, had));
    plot.series.retain(|series| !is_seed(case, &series.name));
    plot.least_top = 105.0;
    plot
}

fn is_seed(case: &Case, name: &str) -> bool {
    let mut groups = case.scenario.groups.iter();
    groups.any(|group| group.name == name && group.role == Role::Seed)
}

fn copies(case: &Case) -> Plot {
    let curve = |name: &str, value: fn(&Sample) -> f64| {
        let samples = case.report.timeline.samples.iter();
        let points = samples
            .map(|sample| (at(sample.at), value(sample)))
            .collect();
        let name = name.into();
        Series { name, points }
    };
    let series = vec![
        curve("in the mean", |sample| {
            sample.availability.mean_milli() as f64 / 1000.0
        }),
        curve("of the rarest", |sample| {
            f64::from(sample.availability.min())
        }),
    ];
    over_time(case, "copies", series)
}

fn rare(case: &Case) -> Plot {
    let series = (0..4).map(|copies| {
        let samples = case.report.timeline.samples.iter();
        let pieces = |sample: &Sample| f64::from(sample.availability.pieces_with(copies));
        Series {
            name: format!("{copies} {}", if copies == 1 { "copy" } else { "copies" }),
            points: samples
                .map(|sample| (at(sample.at), pieces(sample)))
                .collect(),
        }
    });
    over_time(case, "pieces", series.collect())
}

fn received(case: &Case) -> Plot {
    let mut plot = over_time(case, "MiB/s", rates(case, |sample| sample.downloaded));
    plot.series.retain(|series| !is_seed(case, &series.name));
    plot
}

fn sent(case: &Case) -> Plot {
    over_time(case, "MiB/s", rates(case, |sample| sample.uploaded))
}

fn use_of_uplinks(case: &Case) -> Plot {
    let windows = windows(case).into_iter();
    let points = windows.filter_map(|window| {
        let time = at(window.last()?.at);
        Some((time, 100.0 * utilisation(&case.scenario, window)?))
    });
    let all = Series {
        name: "seeds and leechers".into(),
        points: points.collect(),
    };
    let mut plot = over_time(case, "% of capacity", vec![all]);
    plot.least_top = 105.0;
    plot
}

fn connections(case: &Case) -> Plot {
    let count = |sample: &GroupSample| f64::from(sample.connections);
    over_time(case, "connections", per_host(case, count))
}

/// Over the time of the run, with a line at each fault.
fn over_time(case: &Case, up: &'static str, series: Vec<Series>) -> Plot {
    let marks = case.report.timeline.marks.iter();
    Plot {
        up,
        right: SECONDS,
        series,
        lines: marks.map(|mark| at(mark.at)).collect(),
        least_top: 0.0,
    }
}

fn groups(case: &Case) -> impl Iterator<Item = (usize, &Group)> {
    case.scenario.groups.iter().enumerate()
}

/// A curve for each group of `value` in the mean over its hosts that are up.
fn per_host(case: &Case, value: impl Fn(&GroupSample) -> f64) -> Vec<Series> {
    let series = groups(case).map(|(number, group)| {
        let samples = case.report.timeline.samples.iter();
        let points = samples.filter_map(|sample| {
            let counts = sample
                .groups
                .get(number)
                .filter(|counts| counts.running > 0)?;
            Some((at(sample.at), value(counts) / f64::from(counts.running)))
        });
        Series {
            name: group.name.clone(),
            points: points.collect(),
        }
    });
    series.collect()
}

/// A curve for each group of how fast `counter` grows for one of its hosts.
fn rates(case: &Case, counter: fn(&GroupSample) -> u64) -> Vec<Series> {
    let series = groups(case).map(|(number, group)| {
        let points = windows(case).into_iter().filter_map(|window| {
            let (first, last) = (window.first()?, window.last()?);
            let (before, after) = (first.groups.get(number)?, last.groups.get(number)?);
            let time = last.at.since(first.at).as_secs_f64();
            let hosts = f64::from(before.running.max(after.running));
            let grown = counter(after).saturating_sub(counter(before)) as f64;
            (hosts * time > 0.0).then(|| (at(last.at), grown / MIB / time / hosts))
        });
        Series {
            name: group.name.clone(),
            points: points.collect(),
        }
    });
    series.collect()
}

/// Stretches of samples, each beginning with the last of the one before.
fn windows(case: &Case) -> Vec<&[Sample]> {
    let samples = &case.report.timeline.samples;
    let step = samples.len().div_ceil(RATES_MAX).max(1);
    let starts = (0..samples.len().saturating_sub(1)).step_by(step);
    starts
        .map(|start| &samples[start..samples.len().min(start + step + 1)])
        .collect()
}
