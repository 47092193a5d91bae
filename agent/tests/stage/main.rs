//! Stage and cage with real scripts, on a throwaway view of this machine.

mod world;

mod changes;
mod confinement;
mod endings;
mod refusals;
mod roots;
