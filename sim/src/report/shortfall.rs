//! What should have held at the end of a run and did not.

use std::fmt;

use crate::quantity::Share;

/// What should have held at the end of a run and did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// A host that must get everything has not.
    Incomplete(String),
    /// A host claims to have everything, and its disk holds something else.
    Wrong(String),
    /// A host waited too long, in times of the fluid bound.
    LongestOverBound {
        /// How long it took.
        got: Share,
        /// How long it may take.
        most: Share,
    },
    /// The hosts took too long in the mean, in times of the fluid bound.
    MeanOverBound {
        /// How long they took.
        got: Share,
        /// How long they may take.
        most: Share,
    },
    /// A free rider was served too well, in times of the mean of the others.
    RodeFree {
        /// Which one.
        host: String,
        /// How long it took.
        got: Share,
        /// How long it should have taken.
        least: Share,
    },
    /// There are not enough copies of some piece.
    Copies {
        /// How many there are of the rarest.
        got: u32,
        /// How many there should be.
        least: u64,
    },
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortfall::Incomplete(host) => write!(f, "{host} did not get everything"),
            Shortfall::Wrong(host) => write!(f, "{host} has wrong data"),
            Shortfall::LongestOverBound { got, most } => {
                write!(
                    f,
                    "the longest wait is {got} times the bound, more than {most}"
                )
            }
            Shortfall::MeanOverBound { got, most } => {
                write!(f, "the mean is {got} times the bound, more than {most}")
            }
            Shortfall::RodeFree { host, got, least } => {
                write!(
                    f,
                    "{host} took {got} times the others' mean, less than {least}"
                )
            }
            Shortfall::Copies { got, least } => {
                write!(
                    f,
                    "there are {got} copies of the rarest piece, less than {least}"
                )
            }
        }
    }
}
