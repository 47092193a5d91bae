//! Originals back, activations inverted, last in first out.
