//! Random numbers that a seed gives again (SplitMix64).

use anyhow::Context as _;

/// By this variable a test runs again as it ran.
pub const SEED: &str = "ARIGHT_SEED";

/// The seed that is set, or a fresh one; whoever uses it prints it.
///
/// # Errors
/// What is set is no number, or the system gives none.
pub fn seed() -> anyhow::Result<u64> {
    match std::env::var(SEED) {
        Ok(seed) => seed.parse().context(SEED),
        Err(_) => Ok(getrandom::u64()?),
    }
}

#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of one thing's own: what they show does not hang on who threw before.
    #[must_use]
    pub fn named(seed: u64, name: &str) -> Self {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let mut dice = Self(name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, mix));
        dice.throw();
        dice
    }

    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end - 1`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.throw() % end
    }

    /// Whether it falls among so many of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// # Panics
    /// There is nothing to choose from.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_again_and_each_name_its_own() {
        let throws = |mut dice: Dice| -> Vec<u64> { (0..8).map(|_| dice.below(1000)).collect() };
        assert_eq!(throws(Dice::named(7, "a")), throws(Dice::named(7, "a")));
        assert_ne!(throws(Dice::named(7, "a")), throws(Dice::named(7, "b")));
        assert_ne!(throws(Dice::named(7, "a")), throws(Dice::named(8, "a")));
    }
}
