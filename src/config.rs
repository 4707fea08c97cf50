//! What the arguments mean, after every default is filled in and every name resolved.
