//! Sizes, rates and durations as people write and read them.
//!
//! `K`, `M`, `G` and `T`, alone or with `iB`, are powers of 1024; with `B` alone (`kB`, `MB`) they
//! are powers of 1000, as in the International System. A rate may end in `/s`.

use std::fmt;
use std::time::Duration;

/// Why a size or duration cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadUnit {
    /// It does not begin with a number.
    #[error("`{0}` does not begin with a number; write a size as 500K, 2MiB or 1.5G")]
    NoNumber(String),
    /// The letters behind the number are not known.
    #[error("`{0}` is no unit; known are K, M, G, T, KiB, MiB, GiB, TiB, kB, MB, GB and TB")]
    NoSize(String),
    /// The letters behind the number are no unit of time.
    #[error("`{0}` is no unit of time; known are s, m, h and d, as in 90s or 1h30m")]
    NoTime(String),
    /// It is more than 2^63.
    #[error("`{0}` is too much")]
    TooMuch(String),
}

/// Reads a size in bytes, or a rate in bytes per second.
pub(crate) fn parse_size(text: &str) -> Result<u64, BadUnit> {
    let (number, unit) = split_number(text.trim());
    if number.is_empty() {
        return Err(BadUnit::NoNumber(text.into()));
    }
    let unit = unit.trim();
    let unit = unit.strip_suffix("/s").unwrap_or(unit);
    let factor = unit_factor(unit).ok_or_else(|| BadUnit::NoSize(unit.into()))?;
    scale(text, number, factor)
}

/// Reads a duration: a number of seconds, or numbers with the units `s`, `m`, `h`, `d` in a row.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, BadUnit> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(BadUnit::NoNumber(text.into()));
    }
    let mut seconds = 0u64;
    while !rest.is_empty() {
        let (number, tail) = split_number(rest);
        let end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor = match unit {
            "" | "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(BadUnit::NoTime(unit.into())),
        };
        let part = scale(text, number, factor)?;
        seconds = seconds
            .checked_add(part)
            .ok_or_else(|| BadUnit::TooMuch(text.into()))?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_secs(seconds))
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at(end)
}

fn unit_factor(unit: &str) -> Option<u64> {
    let (prefix, base) = match unit.len() {
        0 => return Some(1),
        _ if !unit.is_ascii() => return None,
        1 if unit.eq_ignore_ascii_case("b") => return Some(1),
        1 => (unit, 1024),
        2 if unit[1..].eq_ignore_ascii_case("b") => (&unit[..1], 1000),
        3 if unit[1..].eq_ignore_ascii_case("ib") => (&unit[..1], 1024),
        _ => return None,
    };
    let power = match prefix {
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => return None,
    };
    Some(u64::pow(base, power))
}

/// `number` (digits and at most one point) times `factor`, rounded down.
fn scale(text: &str, number: &str, factor: u64) -> Result<u64, BadUnit> {
    let bad = || BadUnit::NoNumber(text.into());
    let too_much = || BadUnit::TooMuch(text.into());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') {
        return Err(bad());
    }
    let whole: u64 = whole.parse().map_err(|_| too_much())?;
    let fraction = &fraction[..fraction.len().min(9)];
    let digits: u64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().map_err(|_| bad())?
    };
    let part = u128::from(digits) * u128::from(factor) / 10u128.pow(fraction.len() as u32);
    let sum = u128::from(whole) * u128::from(factor) + part;
    i64::try_from(sum)
        .map(|sum| sum as u64)
        .map_err(|_| too_much())
}

/// Displays a number of bytes with three digits, or fewer where they are exact: `1.45 GiB`,
/// `64 KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        // 999.5 would be shown as 1000: four digits.
        while value >= 999.5 {
            value /= 1024.0;
            unit += 1;
        }
        let digits = match value {
            v if v.fract() == 0.0 => 0,
            v if v < 9.995 => 2,
            v if v < 99.95 => 1,
            _ => 0,
        };
        f.pad(&format!("{value:.digits$} {}", UNITS[unit]))
    }
}

/// Displays a rate in bytes per second: `12.3 MiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

impl Rate {
    /// `bytes` over `time`; nothing takes less than a microsecond.
    pub(crate) fn mean(bytes: u64, time: Duration) -> Rate {
        let micros = time.as_micros().max(1);
        Rate(u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", Size(self.0)))
    }
}

/// Displays a duration in its two largest units: `1h 02m`, `3m 20s`, `2.41s`, `7ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl Time {
    /// How long `bytes` take at `rate` bytes per second; `None` for never.
    pub(crate) fn to_go(bytes: u64, rate: u64) -> Option<Time> {
        (rate > 0).then(|| Time(Duration::from_secs(bytes.div_ceil(rate))))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        f.pad(&match seconds {
            0 => format!("{}ms", self.0.as_millis()),
            1..10 if self.0.subsec_millis() >= 10 => {
                format!("{}.{:02}s", seconds, self.0.subsec_millis() / 10)
            }
            1..60 => format!("{seconds}s"),
            60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
            3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
            _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600),
        })
    }
}

/// Displays a number of things: `1 peer`, `3 peers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<N>(pub(crate) N, pub(crate) &'static str);

impl<N: fmt::Display + PartialEq + From<u8>> fmt::Display for Count<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = if self.0 == N::from(1) { "" } else { "s" };
        write!(f, "{} {}{ending}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both families of units, fractions, rates and any case are understood.
    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("0", 0),
            ("17", 17),
            ("500K", 500 << 10),
            ("500k", 500 << 10),
            ("2MiB", 2 << 20),
            ("2 mib", 2 << 20),
            ("1.5G", 3 << 29),
            ("1GiB", 1 << 30),
            ("3kB", 3000),
            ("1.25MB", 1_250_000),
            ("1T", 1 << 40),
            ("100K/s", 100 << 10),
            ("7B", 7),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_size("8191P"), Err(BadUnit::NoSize("P".into())));
        assert_eq!(parse_size("abc"), Err(BadUnit::NoNumber("abc".into())));
    }

    /// What is no size is refused with the reason.
    #[test]
    fn nonsense_is_refused() {
        for text in ["", "K", ".5K", "1.2.3", "-1", "x"] {
            assert!(
                matches!(
                    parse_size(text),
                    Err(BadUnit::NoNumber(_) | BadUnit::NoSize(_))
                ),
                "{text}"
            );
        }
        for text in ["99999999999999999999", "9000000T", "18446744073709551616B"] {
            assert_eq!(parse_size(text), Err(BadUnit::TooMuch(text.into())));
        }
        assert_eq!(parse_size("1é"), Err(BadUnit::NoSize("é".into())));
    }

    /// A duration is a number of seconds or a row of numbers with units.
    #[test]
    fn durations_are_read() {
        let seconds = |text| parse_duration(text).map(|time| time.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("1d 2s"), Ok(86_402));
        assert_eq!(seconds("3w"), Err(BadUnit::NoTime("w".into())));
        assert!(seconds("").is_err() && seconds("m").is_err() && seconds("5m!").is_err());
    }

    /// Three digits at every size, also where rounding would carry into the next unit.
    #[test]
    fn sizes_are_shown_with_three_digits() {
        let shown = |bytes| Size(bytes).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(1023), "1023 B");
        assert_eq!(shown(1024), "1 KiB");
        assert_eq!(shown(10 * 1024 - 1), "10.0 KiB");
        assert_eq!(shown(1000 << 10), "0.98 MiB");
        assert_eq!(shown(3 << 29), "1.50 GiB");
        assert_eq!(shown(64 << 10), "64 KiB");
        assert_eq!(shown(u64::MAX), "16 EiB");
        assert_eq!(Rate(300 << 20).to_string(), "300 MiB/s");
        assert_eq!(format!("{:>10}|", Size(1)), "       1 B|");
    }

    /// Whatever is shown exactly is read back as the same number.
    #[test]
    fn shown_sizes_are_read_back() {
        for bytes in [0, 5, 1 << 10, 3 << 19, 250 << 20, 1 << 40] {
            assert_eq!(parse_size(&Size(bytes).to_string()), Ok(bytes));
        }
    }

    #[test]
    fn durations_are_shown_in_two_units() {
        let shown = |millis| Time(Duration::from_millis(millis)).to_string();
        assert_eq!(shown(7), "7ms");
        assert_eq!(shown(2_419), "2.41s");
        assert_eq!(shown(3_000), "3s");
        assert_eq!(shown(59_999), "59s");
        assert_eq!(shown(200_000), "3m 20s");
        assert_eq!(shown(3_720_000), "1h 02m");
        assert_eq!(shown(90_000_000), "1d 01h");
        assert_eq!(Time::to_go(10, 0), None);
        assert_eq!(Time::to_go(10, 3), Some(Time(Duration::from_secs(4))));
    }

    #[test]
    fn one_is_not_many() {
        let shown = [0u64, 1, 2].map(|count| Count(count, "peer").to_string());
        assert_eq!(shown, ["0 peers", "1 peer", "2 peers"]);
    }

    #[test]
    fn a_mean_rate_survives_no_time_and_much_data() {
        assert_eq!(Rate::mean(1000, Duration::from_millis(500)), Rate(2000));
        assert_eq!(Rate::mean(u64::MAX, Duration::ZERO), Rate(u64::MAX));
    }
}
