//! Whole conversations between engines in the smallest possible world.

mod strangers;
mod swarms;
mod world;
