//! How each program is started, and nothing else.

pub(crate) mod hostile;
pub(crate) mod libtorrent;
pub(crate) mod opentracker;
pub(crate) mod ours;
pub(crate) mod scrape;
pub(crate) mod transmission;
