//! How large published messages are: counted by class where they come in, so that counting costs two additions and as many
//! comparisons as there are classes below. Classes are those of RabbitMQ 4.1.

/// Upper ends of the classes, bytes. Larger messages are counted in a last class without an end.
pub const MESSAGE_SIZE_ENDS: [u64; 8] =
    [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000];

/// Bodies of publishes by size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageSizes {
    /// By class, the last without an upper end: see [`MESSAGE_SIZE_ENDS`].
    pub counts: [u64; MESSAGE_SIZE_ENDS.len() + 1],
    /// All bodies together, bytes.
    pub bytes: u64,
}

impl MessageSizes {
    /// Counts a body.
    pub(super) fn note(&mut self, body_bytes: usize) {
        let body_bytes = body_bytes as u64;
        let class = MESSAGE_SIZE_ENDS.iter().take_while(|end| **end < body_bytes).count();
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
        self.bytes += body_bytes;
    }

    /// Adds those of another vhost.
    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_counted_in_the_class_that_its_size_ends() {
        let mut sizes = MessageSizes::default();
        for bytes in [0, 100, 101, 1_000, 100_000_000, 100_000_001] {
            sizes.note(bytes);
        }
        assert_eq!(sizes.counts, [2, 2, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(sizes.bytes, 200_001_202);
        let mut sum = sizes;
        sum.add(&sizes);
        assert_eq!((sum.counts[0], sum.counts[8], sum.bytes), (4, 2, 400_002_404));
    }
}
