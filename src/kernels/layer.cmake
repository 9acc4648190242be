# Instruction sets of the kernels: flags of each folder of src/kernels, and simd/, compiled once for each of them.
set(ISA_avx2 -mavx2 -mfma)
set(ISA_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mavx2 -mprefer-vector-width=512)
