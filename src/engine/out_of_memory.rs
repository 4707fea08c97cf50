//! Whether a failure of an engine was for want of memory on its device: known by what drivers and candle write.

/// What they write, in lower case: the driver's code, cuBLAS' code, and the words that most of them use.
const SIGNS: [&str; 4] = [
    "cuda_error_out_of_memory",
    "cublas_status_alloc_failed",
    "out of memory",
    "kiogpucommandbuffercallbackerroroutofmemory",
];

/// Whether `error`, a chain of errors in one text, tells of memory that could not be had.
pub fn is_out_of_memory(error: &str) -> bool {
    let error = error.to_lowercase();
    SIGNS.iter().any(|sign| error.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_drivers_are_known_and_others_are_not() {
        let by_driver = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        for text in [by_driver, "CUBLAS_STATUS_ALLOC_FAILED", "cudaMalloc: Out of memory"] {
            assert!(is_out_of_memory(text), "{text}");
        }
        for text in ["CUDA_ERROR_ILLEGAL_ADDRESS", "the cache has no room for 5 tokens", ""] {
            assert!(!is_out_of_memory(text), "{text}");
        }
    }
}
