//! A run in a few lines for a terminal.

use std::fmt;

use super::Case;
use crate::bound::Limit;
use crate::quantity::Size;
use crate::scenario::Role;
use crate::score::{FreeRiders, GroupScore, Score};

/// Up to so many hosts each has a line of its own; of more, each group.
const HOSTS_MAX: usize = 24;

/// Displays what became of the hosts, what failed, and the score.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(pub &'a Case);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary(case) = self;
        let report = &case.report;
        if report.hosts.len() <= HOSTS_MAX {
            let names = report.hosts.iter().map(|host| host.name.len());
            let width = names.max().unwrap_or(0);
            for host in &report.hosts {
                writeln!(f, "{:width$}  {host}", host.name)?;
            }
        } else {
            let names = case.score.groups.iter().map(|group| group.name.len());
            let width = names.max().unwrap_or(0);
            for group in &case.score.groups {
                writeln!(f, "{:width$}  {group}", group.name)?;
            }
        }
        for failure in report.failures() {
            writeln!(f, "FAILED: {failure}")?;
        }
        write_times(f, case)?;
        write!(f, "{}", case.score)
    }
}

fn write_times(f: &mut fmt::Formatter<'_>, case: &Case) -> fmt::Result {
    let (report, score) = (&case.report, &case.score);
    let bound = report.bound;
    match score.last.zip(score.last_over_bound) {
        Some((last, ratio)) => {
            let last = last.as_secs_f64();
            write!(f, "last        {last:.2} s, {ratio:.3} times ")?;
        }
        None => write!(f, "last        not complete at {}, beside ", report.ended)?,
    }
    let fluid = bound.fluid.as_secs_f64();
    write!(f, "the bound of {fluid:.2} s, which {}", bound.limit)?;
    if let Some(ratio) = score.last_over_forwarding {
        write!(f, " ({ratio:.3} where pieces are forwarded whole)")?;
    }
    writeln!(f)?;
    match score.mean.zip(score.mean_over_bound) {
        Some((mean, ratio)) => {
            writeln!(
                f,
                "mean        {:.2} s, {ratio:.3} times",
                mean.as_secs_f64()
            )
        }
        None => Ok(()),
    }
}

/// All but the times, a line each.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seed_copies {
            Some(copies) => writeln!(
                f,
                "seeds       {copies:.3} copies sent until every piece was elsewhere"
            )?,
            None => writeln!(f, "seeds       some piece was never elsewhere")?,
        }
        if let Some(share) = self.utilisation {
            let percent = share * 100.0;
            writeln!(
                f,
                "uplinks     {percent:.1} % used while something was missing"
            )?;
        }
        let [overhead, waste] = [self.overhead, self.waste].map(|share| share * 100.0);
        write!(f, "overhead    {overhead:.2} %, and {waste:.2} % wasted")?;
        if let Some(index) = self.fairness {
            write!(
                f,
                "\nfairness    {index:.3} (Jain's index of sent to received)"
            )?;
        }
        self.free_riders
            .map_or(Ok(()), |riders| write!(f, "\nfree riders {riders}"))
    }
}

impl fmt::Display for FreeRiders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} complete", self.complete, self.count)?;
        let least = if self.complete < self.count {
            "at least "
        } else {
            ""
        };
        match self.over_mean {
            Some(ratio) => write!(f, ", after {least}{ratio:.3} times the others' mean"),
            None => Ok(()),
        }
    }
}

/// What its hosts received and sent, and when they were complete.
impl fmt::Display for GroupScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [down, up] = [self.downloaded, self.uploaded].map(|bytes| Size(bytes).to_string());
        write!(f, "{:>5} hosts  down {down:>10}  up {up:>10}", self.hosts)?;
        if self.role == Role::Seed {
            return Ok(());
        }
        write!(f, "  {} complete", self.complete)?;
        match self.waits {
            Some(waits) => {
                let [first, middle, last] = waits.map(|wait| wait.as_secs_f64());
                write!(
                    f,
                    " after {first:.2} s, {middle:.2} s, {last:.2} s (first, median, last)"
                )
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Seeds => "the seeds need to send everything once",
            Limit::Download => "the slowest needs to receive everything",
            Limit::Uploads => "all need to send everything to all",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Backend;
    use crate::report::example;

    /// Every figure has its line, in words.
    #[test]
    fn a_summary_tells_the_score() {
        let case = Case::new(
            "example".into(),
            example::scenario(),
            Backend::Direct,
            example::report(),
        );
        let text = Summary(&case).to_string();
        for line in [
            "last        14.00 s, 1.400 times the bound of 10.00 s, which all need to send \
             everything to all (1.250 where pieces are forwarded whole)",
            "mean        12.00 s, 1.200 times",
            "seeds       1.500 copies sent until every piece was elsewhere",
            "uplinks     50.0 % used while something was missing",
            "overhead    5.00 %, and 10.00 % wasted",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
