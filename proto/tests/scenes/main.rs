//! Whole conversations between engines in the smallest possible world.

mod chaos;
mod commands;
mod crowds;
mod disk;
mod durable;
mod limits;
mod long;
mod seeds;
mod starving;
mod strangers;
mod swarms;
mod world;
