//! Jobs: what may be chosen, which scripts that leads to, with which values, where and when. One set of
//! functions for looking ahead, for saving and for executing.

pub mod cancel;
pub mod custom;
pub mod licence;
pub mod members;
pub mod occur;
pub mod reach;
pub mod save;
pub mod scripts;
pub mod select;
pub mod single;
pub mod stop;
pub mod values;
