//! The checks of national numbers, by their published examples.
