//! One talk with the controller.
