//! Deterministic simulation of BitTorrent swarms.
