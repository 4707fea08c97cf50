//! Rows of numbers that lie a fixed step apart, and the heads inside a row.

/// Heads of one attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub dim: usize,
}

impl HeadShape {
    /// Query heads that share a key head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Rows of one width; the next begins `stride` numbers after the last began.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
    width: usize,
    count: usize,
}

impl<'a> Rows<'a> {
    /// `count` rows of `width` numbers, each `stride` after the one before; `None` if they do not lie in `values`.
    pub fn new(values: &'a [f32], count: usize, width: usize, stride: usize) -> Option<Self> {
        let end =
            count.checked_sub(1).map_or(Some(0), |last| last.checked_mul(stride)?.checked_add(width))?;
        (end <= values.len()).then_some(Self { values, stride, width, count })
    }

    /// Rows one after the other, as many as there are.
    pub fn dense(values: &'a [f32], width: usize) -> Self {
        Self { values, stride: width, width, count: values.len().checked_div(width).unwrap_or(0) }
    }

    /// Rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The numbers of head `head` of row `row`, `dim` a head.
    pub(super) fn head(&self, row: usize, head: usize, dim: usize) -> &'a [f32] {
        &self.values[row * self.stride + head * dim..][..dim]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_where_they_lie_or_refused() {
        let values: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let rows = Rows::new(&values[1..], 3, 4, 6).unwrap();
        assert_eq!(rows.head(2, 1, 2), [15.0, 16.0]);
        assert!(Rows::new(&values, 4, 2, 6).is_some() && Rows::new(&values, 4, 3, 6).is_none());
        assert_eq!(Rows::dense(&values, 5).count(), 4);
        assert!(Rows::new(&[], 0, 4, 4).is_some());
    }
}
