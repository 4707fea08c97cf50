// Every kernel, as one module: compiled by build.rs for cards, and by the tests for the processor they run on.
#include "types.cuh"

#include "rows.cuh"
#include "prepare.cuh"
#include "sample.cuh"
#include "gemv_dense.cuh"
#include "gemv_blocks.cuh"
#include "dequantize.cuh"
#include "experts.cuh"
#include "attention_decode.cuh"
#include "attention_prefill.cuh"
#include "delta_step.cuh"
#include "delta_chunks.cuh"
