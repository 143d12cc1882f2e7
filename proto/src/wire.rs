//! Floor 1: formats, one file each. Bytes in, values that cannot be wrong out, and back.
