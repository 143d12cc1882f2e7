//! Carries out the intents of `ripcurrent-proto` on Linux.
