//! One task from envelope to outcome: the only place that knows the order.
