//! Numbers that look random and are the same for the same seed (xorshift64*).

use std::ops::Range;

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Near seeds, far sequences; and never nothing but zeros.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn of(&mut self, range: Range<i64>) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        range.start + i64::try_from(number).expect("53 bits") % (range.end - range.start)
    }

    pub fn chance(&mut self, percent: i64) -> bool {
        self.of(0..100) < percent
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.of(0..of.len() as i64)).expect("an index")]
    }

    /// `few` of them, joined by commas.
    pub fn list<T: Copy + ToString>(&mut self, few: Range<i64>, of: &[T]) -> String {
        let many = self.of(few);
        (0..many).map(|_| self.pick(of).to_string()).collect::<Vec<_>>().join(",")
    }
}
