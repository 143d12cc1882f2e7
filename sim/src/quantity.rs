//! Sizes, rates and shares as people write them: `65536` or `"64 KiB"`, `"2.5 MiB/s"`, `0.25`.

use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A number of bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

/// A part of something, or how often it goes into something: in thousandths, which is as exact as
/// people may write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u64);

impl Share {
    /// Everything, or once.
    pub const WHOLE: Share = Share(1000);

    /// This share of a number, rounded down.
    #[must_use]
    pub fn of(self, number: u64) -> u64 {
        (u128::from(number) * u128::from(self.0) / 1000) as u64
    }
}

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
        deserializer.deserialize_any(SIZE).map(Size)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RATE).map(Rate)
    }
}

/// The most thousandths that a float tells apart with certainty.
const SHARE_MAX: f64 = 1e15;

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:03}", self.0 % 1000);
        let digits = digits.trim_end_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        write!(f, "{}.{digits}", self.0 / 1000)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Thousandths;

        impl Visitor<'_> for Thousandths {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number with at most three decimals, such as 0.25 or 1.5")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Share, E> {
                let unexpected = Unexpected::Signed(number);
                let thousandths = u64::try_from(number).ok();
                let thousandths = thousandths.and_then(|number| number.checked_mul(1000));
                let refused = || E::invalid_value(unexpected, &self);
                thousandths.map(Share).ok_or_else(refused)
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Share, E> {
                let thousandths = (number * 1000.0).round();
                let is_exact = (number * 1000.0 - thousandths).abs() < 1e-6;
                if is_exact && (0.0..SHARE_MAX).contains(&thousandths) {
                    return Ok(Share(thousandths as u64));
                }
                Err(E::invalid_value(Unexpected::Float(number), &self))
            }
        }

        deserializer.deserialize_any(Thousandths)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self.0, self.to_string(), &SIZE, serializer)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self.0, self.to_string(), &RATE, serializer)
    }
}

/// With the largest unit that says exactly what it is, else as a number.
fn write<S: Serializer>(
    number: u64,
    text: String,
    reader: &Reader,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let in_units = UNITS[..3].iter().map(|(unit, factor)| {
        let whole = number / factor;
        format!("{whole} {unit}{}", reader.suffix)
    });
    let mut texts = std::iter::once(text).chain(in_units);
    match texts.find(|text| reader.parse(text) == Some(number)) {
        Some(text) => serializer.serialize_str(&text),
        None => serializer.serialize_u64(number),
    }
}

const SIZE: Reader = Reader {
    suffix: "",
    example: "a number of bytes, such as 65536 or \"64 KiB\"",
};

const RATE: Reader = Reader {
    suffix: "/s",
    example: "a number of bytes per second, such as 262144 or \"256 KiB/s\"",
};

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
        let unexpected = Unexpected::Signed(number);
        u64::try_from(number).map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let unexpected = Unexpected::Str(text);
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

    #[derive(Deserialize, Serialize)]
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

    /// What is written is read as the same number, in units where they are exact.
    #[test]
    fn what_is_written_is_read_again() {
        let written = |size: u64, rate: u64| {
            let (size, rate) = (Size(size), Rate(rate));
            toml::to_string(&Both { size, rate }).unwrap()
        };
        let text = written(65536, 2_621_440);
        assert_eq!(text, "size = \"64 KiB\"\nrate = \"2.5 MiB/s\"\n");
        assert_eq!(written(65537, 999), "size = 65537\nrate = \"999 B/s\"\n");
        assert_eq!(
            written(5888 << 10, 1111 << 20),
            "size = \"5888 KiB\"\nrate = \"1111 MiB/s\"\n"
        );
    }

    /// Shares have three decimals and no more.
    #[test]
    fn shares_are_thousandths() {
        #[derive(Deserialize, Serialize)]
        struct One {
            share: Share,
        }
        let read = |text: &str| toml::from_str::<One>(&format!("share = {text}"));
        for (text, thousandths) in [("0.3", 300), ("1", 1000), ("1.105", 1105), ("0.0", 0)] {
            let one = read(text).unwrap();
            assert_eq!(one.share, Share(thousandths), "{text}");
            let again: One = toml::from_str(&toml::to_string(&one).unwrap()).unwrap();
            assert_eq!(again.share, one.share);
        }
        assert_eq!(Share(1105).to_string(), "1.105");
        assert_eq!(Share(500).to_string(), "0.5");
        assert_eq!(Share(2000).to_string(), "2.0");
        assert_eq!(Share(250).of(10), 2);
        for text in ["-1", "-0.5", "0.0001", "nan", "inf", "\"half\""] {
            let error = read(text).err().expect(text).to_string();
            assert!(error.contains("three decimals"), "{text}: {error}");
        }
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
