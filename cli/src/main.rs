//! `ripcurrent`: what people run.

fn main() {}
