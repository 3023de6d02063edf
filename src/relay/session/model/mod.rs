//! The model test: see below.
