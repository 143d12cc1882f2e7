//! Whole conversations between engines in the smallest possible world.

mod chaos;
mod commands;
mod starving;
mod strangers;
mod swarms;
mod world;
