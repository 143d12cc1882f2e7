//! The scenes.

mod download;
mod harm;
mod ipv6;
mod memory;
mod together;
mod trackers;
mod upload;
