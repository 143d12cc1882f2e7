//! Sizes and rates as people write them: `65536` or `"64 KiB"`, `"2.5 MiB/s"`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A number of bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u64)| self.0 >= *factor;
        let (unit, factor) = UNITS.iter().find(fits).unwrap_or(&UNITS[3]);
        let tenths = (u128::from(self.0) * 10 / u128::from(*factor)) as u64;
        match tenths % 10 {
            0 => write!(f, "{} {unit}", tenths / 10),
            tenth => write!(f, "{}.{tenth} {unit}", tenths / 10),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size(self.0))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_any(Reader {
            suffix: "",
            example: "a number of bytes, such as 65536 or \"64 KiB\"",
        })?;
        Ok(Size(bytes))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_any(Reader {
            suffix: "/s",
            example: "a number of bytes per second, such as 262144 or \"256 KiB/s\"",
        })?;
        Ok(Rate(bytes))
    }
}

/// Reads a number, or a number with one of the [`UNITS`] and `suffix`.
struct Reader {
    suffix: &'static str,
    example: &'static str,
}

impl Visitor<'_> for Reader {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.example)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        let unexpected = serde::de::Unexpected::Signed(number);
        u64::try_from(number).map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let unexpected = serde::de::Unexpected::Str(text);
        self.parse(text)
            .ok_or_else(|| E::invalid_value(unexpected, &self))
    }
}

impl Reader {
    fn parse(&self, text: &str) -> Option<u64> {
        let text = text.trim().strip_suffix(self.suffix)?;
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
        let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
            return None;
        }
        let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
        let numerator = fraction.parse::<u64>().unwrap_or(0);
        let part = numerator * factor / 10u64.pow(fraction.len() as u32);
        whole.checked_add(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Both {
        size: Size,
        rate: Rate,
    }

    fn read(size: &str, rate: &str) -> Result<(u64, u64), String> {
        let text = format!("size = {size}\nrate = {rate}");
        let both: Both = toml::from_str(&text).map_err(|error| error.to_string())?;
        Ok((both.size.0, both.rate.0))
    }

    /// Numbers, units and fractions mean what they say, and come out as they went in.
    #[test]
    fn what_people_write_is_understood() {
        assert_eq!(read("65536", "\"256 KiB/s\""), Ok((65536, 262_144)));
        assert_eq!(read("\"2 GiB\"", "\"2.5MiB/s\""), Ok((2 << 30, 2_621_440)));
        assert_eq!(read("\"0 B\"", "1"), Ok((0, 1)));
        assert_eq!(Rate(2_621_440).to_string(), "2.5 MiB/s");
        assert_eq!(Size(65536).to_string(), "64 KiB");
        assert_eq!(Size(0).to_string(), "0 B");
    }

    /// What is no size or no rate is refused with an example of one.
    #[test]
    fn what_makes_no_sense_is_refused() {
        let units = [
            "\"64\"",
            "\"64 kb\"",
            "\"-1 B\"",
            "\". B\"",
            "\"1e3 B\"",
            "-1",
            "1.5",
        ];
        let huge = ["\"99999999999 GiB\"", "\"1.0000001 B\""];
        for size in units.into_iter().chain(huge) {
            let error = read(size, "1").expect_err(size);
            assert!(error.contains("64 KiB"), "{size}: {error}");
        }
        let error = read("1", "\"64 KiB\"").expect_err("a size is no rate");
        assert!(error.contains("256 KiB/s"), "{error}");
    }
}
