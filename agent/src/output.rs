//! A script's output within bounds: whole, or head and tail with the number of bytes cut between them.

use std::collections::VecDeque;

use aright_shared::task::{OUTPUT_BYTES, Output};

const HEAD: usize = OUTPUT_BYTES / 2;
const TAIL: usize = OUTPUT_BYTES - HEAD;

#[derive(Debug, Default)]
pub struct Collected {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    cut: u64,
}

impl Collected {
    pub fn push(&mut self, bytes: &[u8]) {
        let (to_head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(to_head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
        self.cut += over as u64;
    }

    pub fn finish(self) -> Output {
        let Self { mut head, tail, cut } = self;
        let tail: Vec<u8> = tail.into();
        if cut == 0 {
            head.extend(tail);
            return Output { head: text(&head), tail: String::new(), cut_bytes: 0 };
        }
        Output { head: text(&head), tail: text(&tail), cut_bytes: cut }
    }
}

/// A byte that is no text becomes one question mark: the bound holds for any output.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(chunks: &[&[u8]]) -> Output {
        let mut collected = Collected::default();
        chunks.iter().for_each(|chunk| collected.push(chunk));
        collected.finish()
    }

    #[test]
    fn up_to_the_limit_everything_is_kept() {
        let all = vec![b'x'; OUTPUT_BYTES];
        let output = collect(&[&all[..7], &all[7..]]);
        assert_eq!((output.head.len(), output.tail.len(), output.cut_bytes), (OUTPUT_BYTES, 0, 0));
    }

    #[test]
    fn beyond_it_head_and_tail_stay_and_the_rest_is_counted() {
        let middle = vec![b'm'; 3 * OUTPUT_BYTES];
        let output = collect(&[b"first", &middle, &middle, b"last"]);
        assert!(output.head.starts_with("first") && output.tail.ends_with("last"));
        assert_eq!(output.head.len() + output.tail.len(), OUTPUT_BYTES);
        assert_eq!(output.cut_bytes as usize, 9 + 6 * OUTPUT_BYTES - OUTPUT_BYTES);
    }

    #[test]
    fn what_is_no_text_does_not_grow() {
        assert_eq!(collect(&[b"a\xff\xfeb \xc3\xa4"]).head, "a??b ä");
    }
}
