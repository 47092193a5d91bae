//! Whether an order may be obeyed: signatures, approval, parameters, validity.
