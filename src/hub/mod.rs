//! Files of a hub repository: found, fetched, checked, cached.
