//! A matrix as it is asked for: a stored tensor, or some of its rows. Row cuts undo fused and interleaved
//! layouts while loading, in blocks as in floats, since neither crosses a row.

/// Rows of a stored tensor that make one matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The stored tensor.
    pub name: String,
    /// Its shape; the last dimension is the row length, those before it count rows.
    pub stored: Vec<usize>,
    /// The rows, in their new order; `None` for all of them as they lie.
    pub rows: Option<Vec<usize>>,
}

impl Cut {
    /// All of the tensor `name` (rows, columns).
    pub fn whole(name: impl Into<String>, rows: usize, columns: usize) -> Self {
        Self { name: name.into(), stored: vec![rows, columns], rows: None }
    }

    /// The given rows of the tensor `name`, whose full shape is `stored`.
    pub fn rows(
        name: impl Into<String>,
        stored: impl Into<Vec<usize>>,
        rows: impl IntoIterator<Item = usize>,
    ) -> Self {
        Self { name: name.into(), stored: stored.into(), rows: Some(rows.into_iter().collect()) }
    }

    /// Weights of a row.
    pub fn columns(&self) -> usize {
        self.stored.last().copied().unwrap_or(1)
    }

    /// Rows of the matrix.
    pub fn row_count(&self) -> usize {
        let stored = || self.stored.iter().rev().skip(1).product();
        self.rows.as_ref().map_or_else(stored, Vec::len)
    }

    /// The rows as runs that lie one after the other in the file.
    pub fn runs(&self) -> Vec<std::ops::Range<usize>> {
        self.runs_of(0, self.row_count())
    }

    /// As [`Self::runs`], of the matrix's rows `first..first + count` alone.
    pub fn runs_of(&self, first: usize, count: usize) -> Vec<std::ops::Range<usize>> {
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        let Some(rows) = &self.rows else {
            runs.push(first..first + count);
            return runs;
        };
        for row in &rows[first..first + count] {
            match runs.last_mut() {
                Some(run) if run.end == *row => run.end += 1,
                _ => runs.push(*row..*row + 1),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_rows_are_one_run() {
        let cut = Cut::rows("w", [2, 3, 8], [3, 4, 5, 0, 2]);
        assert_eq!(cut.runs(), vec![3..6, 0..1, 2..3]);
        assert_eq!((cut.row_count(), cut.columns()), (5, 8));
        assert_eq!(cut.runs_of(1, 3), vec![4..6, 0..1]);
        assert_eq!(Cut::whole("w", 9, 8).runs_of(2, 3).first(), Some(&(2..5)));
        assert_eq!(Cut::rows("w", [2, 3, 8], 3..6).runs().len(), 1);
        assert_eq!(Cut::whole("w", 4, 8).runs().first(), Some(&(0..4)));
    }
}
