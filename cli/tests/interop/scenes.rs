//! The scenes.

mod download;
mod harm;
mod trackers;
mod upload;
