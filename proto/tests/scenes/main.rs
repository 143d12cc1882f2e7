//! Whole conversations between engines in the smallest possible world.

mod chaos;
mod starving;
mod strangers;
mod swarms;
mod world;
