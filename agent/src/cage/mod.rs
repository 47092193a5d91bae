//! The launcher's confinement: a pure plan, then its application in documented order.
