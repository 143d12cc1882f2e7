//! How each program is started, and nothing else.

pub(crate) mod aria2;
pub(crate) mod hostile;
pub(crate) mod libtorrent;
pub(crate) mod opentracker;
pub(crate) mod ours;
pub(crate) mod qbittorrent;
pub(crate) mod rtorrent;
pub(crate) mod scrape;
pub(crate) mod transmission;
