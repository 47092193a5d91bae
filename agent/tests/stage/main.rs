//! Stage and cage with real scripts, on a throwaway view of this machine.

mod world;

mod attacks;
mod changes;
mod confinement;
mod endings;
mod group;
mod refusals;
mod roots;
