//! How a tracker behaves.

use serde::{Deserialize, Serialize};

/// How a tracker behaves. In a scenario each is called by its name in small letters with dashes,
/// those with a value as a table: `"hangs"`, `{ status = 503 }`, `{ lies = "port-zero" }`,
/// `{ slow = { after_s = 5, byte_ms = 10 } }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// It answers as it should.
    Ok,
    /// It refuses with this HTTP status.
    Status(u16),
    /// It refuses with a reason (BEP 3, "failure reason").
    Failure,
    /// It answers with something else than HTTP.
    Noise,
    /// It answers with something else than bencoding.
    Garbage,
    /// It closes in the middle of its answer.
    Truncated,
    /// It answers with more than a client takes.
    Oversize,
    /// It never comes to the end of its answer.
    Endless,
    /// It takes connections and requests, and answers nothing.
    Hangs,
    /// It answers as it should, but late, and byte by byte.
    Slow {
        /// Seconds before the first byte.
        after_s: u64,
        /// Milliseconds before each other byte.
        byte_ms: u64,
    },
    /// It closes each connection at once.
    Closes,
    /// It sends everybody back to itself.
    Redirects,
    /// It answers as it should, but tells to come back after so many seconds.
    Interval(i64),
    /// It answers as it should, but tells not to come back for so many seconds.
    MinInterval(i64),
    /// It knows nobody.
    Empty,
    /// It tells of some of its peers only: of so many in a hundred.
    Partial(u8),
    /// It tells of peers that are none.
    Lies(Lie),
}

/// What a tracker tells instead of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// Addresses at which nobody is.
    Nobody,
    /// The address of whoever asks.
    Asker,
    /// Its own address.
    Itself,
    /// Each peer many times.
    Duplicates,
    /// Its peers, at port 0.
    PortZero,
    /// Thousands of addresses at which nobody is, and its peers behind them.
    Thousands,
    /// Its peers, with bytes missing at the end.
    WrongLength,
}

impl Behaviour {
    /// One of each kind, the good one first.
    pub const EACH: [Behaviour; 27] = [
        Behaviour::Ok,
        Behaviour::Status(403),
        Behaviour::Status(503),
        Behaviour::Failure,
        Behaviour::Noise,
        Behaviour::Garbage,
        Behaviour::Truncated,
        Behaviour::Oversize,
        Behaviour::Endless,
        Behaviour::Hangs,
        Behaviour::Slow {
            after_s: 2,
            byte_ms: 30,
        },
        Behaviour::Slow {
            after_s: 20,
            byte_ms: 1_000,
        },
        Behaviour::Closes,
        Behaviour::Redirects,
        Behaviour::Interval(0),
        Behaviour::Interval(-1),
        Behaviour::Interval(i64::MAX),
        Behaviour::MinInterval(600),
        Behaviour::Empty,
        Behaviour::Partial(40),
        Behaviour::Lies(Lie::Nobody),
        Behaviour::Lies(Lie::Asker),
        Behaviour::Lies(Lie::Itself),
        Behaviour::Lies(Lie::Duplicates),
        Behaviour::Lies(Lie::PortZero),
        Behaviour::Lies(Lie::Thousands),
        Behaviour::Lies(Lie::WrongLength),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    struct Table {
        behaviour: Behaviour,
    }

    /// What is written in a scenario is read as the same.
    #[test]
    fn behaviours_have_names() {
        for behaviour in Behaviour::EACH {
            let table = Table { behaviour };
            let text = toml::to_string(&table).unwrap();
            assert_eq!(toml::from_str(&text), Ok(table), "{text}");
        }
        let read = |text: &str| toml::from_str::<Table>(text).unwrap().behaviour;
        assert_eq!(read("behaviour = \"hangs\""), Behaviour::Hangs);
        assert_eq!(
            read("behaviour = { lies = \"port-zero\" }"),
            Behaviour::Lies(Lie::PortZero)
        );
    }
}
