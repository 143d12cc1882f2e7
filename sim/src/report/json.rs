//! A run for other programs: one JSON object.
//!
//! | key | what it is |
//! |---|---|
//! | `scenario`, `seed`, `backend` | what was run: the scenario's file, or how it was drawn |
//! | `success` | whether everything held that must |
//! | `failures` | what did not, in words |
//! | `digest` | 40 hexadecimal digits that stand for everything that happened |
//! | `ended_s` | the virtual second at which the run was over |
//! | `bound` | `fluid_s`, `store_and_forward_s`, and by what: `seeds`, `download` or `uploads` |
//! | `score` | the figures of [`Score`]; `null` where there is none |
//! | `groups` | the same of each group: `name`, `role`, `hosts`, `complete`, `uploaded`, `downloaded`, `waits_s` (shortest, middle, longest) |
//! | `hosts` | `name`, `group`, `role`, `arrived_s`, `completed_s`, `downloaded`, `uploaded`, `wasted`, `received`, `whole` |
//! | `marks` | what was done to the swarm: `at_s`, `what` |
//!
//! Sizes are in bytes. The course of the run is in the [tables](super::table). Of a sweep, the list of
//! such objects, without `hosts` and `marks`.

use ripcurrent_proto::base::time::{Duration, Instant};
use serde_json::{Map, Value, json};

use super::{Case, HostReport};
use crate::bound::Limit;
use crate::score::{GroupScore, Score};

/// A run, with its hosts and marks.
#[must_use]
pub fn run(case: &Case) -> Value {
    let mut object = summary(case);
    let report = &case.report;
    let hosts: Vec<_> = report
        .hosts
        .iter()
        .map(|host| describe_host(case, host))
        .collect();
    object.insert("hosts".into(), hosts.into());
    let marks = report.timeline.marks.iter();
    let marks = marks.map(|mark| json!({ "at_s": at(mark.at), "what": mark.what }));
    object.insert("marks".into(), marks.collect());
    Value::Object(object)
}

/// Many runs, in their order.
#[must_use]
pub fn runs(cases: &[&Case]) -> Value {
    let cases = cases.iter();
    cases.map(|case| Value::Object(summary(case))).collect()
}

/// A run, as one of many.
fn summary(case: &Case) -> Map<String, Value> {
    let report = &case.report;
    let (bound, failures) = (report.bound, report.failures());
    let groups: Vec<_> = case.score.groups.iter().map(describe_group).collect();
    let object = json!({
        "scenario": case.name,
        "seed": report.seed,
        "backend": case.backend.to_string(),
        "success": report.is_success(),
        "failures": failures,
        "digest": report.digest.to_string(),
        "ended_s": at(report.ended),
        "bound": {
            "fluid_s": bound.fluid.as_secs_f64(),
            "store_and_forward_s": bound.store_and_forward.as_secs_f64(),
            "limit": match bound.limit {
                Limit::Seeds => "seeds",
                Limit::Download => "download",
                Limit::Uploads => "uploads",
            },
        },
        "score": describe_score(&case.score),
        "groups": groups,
    });
    match object {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn describe_score(score: &Score) -> Value {
    let riders = score.free_riders.map(|riders| {
        json!({
            "count": riders.count,
            "complete": riders.complete,
            "over_mean": riders.over_mean,
        })
    });
    json!({
        "last_s": score.last.map(seconds),
        "mean_s": score.mean.map(seconds),
        "last_over_bound": score.last_over_bound,
        "mean_over_bound": score.mean_over_bound,
        "last_over_forwarding": score.last_over_forwarding,
        "seed_copies": score.seed_copies,
        "utilisation": score.utilisation,
        "overhead": score.overhead,
        "waste": score.waste,
        "fairness": score.fairness,
        "free_riders": riders,
    })
}

fn describe_group(group: &GroupScore) -> Value {
    json!({
        "name": group.name,
        "role": group.role.to_string(),
        "hosts": group.hosts,
        "complete": group.complete,
        "uploaded": group.uploaded,
        "downloaded": group.downloaded,
        "waits_s": group.waits.map(|waits| waits.map(seconds)),
    })
}

fn describe_host(case: &Case, host: &HostReport) -> Value {
    let group = case.scenario.groups.get(host.group);
    json!({
        "name": host.name,
        "group": group.map(|group| &group.name),
        "role": host.role.to_string(),
        "arrived_s": at(host.arrived),
        "completed_s": host.completed.map(at),
        "downloaded": host.downloaded,
        "uploaded": host.uploaded,
        "wasted": host.wasted,
        "received": host.received,
        "whole": host.whole,
    })
}

fn at(time: Instant) -> f64 {
    seconds(time.since(Instant::ZERO))
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
