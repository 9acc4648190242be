#!/usr/bin/env python3
"""Writes the seed files of the fuzz targets: corpus/<reader>/*, each below 1 kB (HDF5: 2 kB).

Needed only to make them anew (numpy and h5py); the files are committed. Small files of every kind that a reader tells
apart let the fuzzer reach each branch from its first second.
"""
import gzip
import io
import json
import pathlib
import struct
import sys
import zipfile

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent / "corpus"


def put(reader, name, data):
    if isinstance(data, str):
        data = data.encode()
    assert len(data) < (2048 if reader == "hdf5" else 1024), (reader, name, len(data))
    (ROOT / reader).mkdir(parents=True, exist_ok=True)
    (ROOT / reader / name).write_bytes(data)


def npy(array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version)
    return out.getvalue()


def idx(code, array):
    head = bytes([0, 0, code, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def hdf5(fill, **options):
    out = io.BytesIO()
    with h5py.File(out, "w", meta_block_size=64, **options) as f:
        fill(f)
    return out.getvalue()


def make_onnx():
    """The operators of conformance/onnx_cases.py."""
    sys.path.insert(0, str(ROOT.parents[1] / "conformance"))
    import onnx_cases
    for name, case in onnx_cases.CASES.items():
        nodes, inputs, constants, outputs, *opset = case
        put("onnx", name, onnx_cases.o.model(nodes, map(onnx_cases.declared, inputs),
                                             map(onnx_cases.declared, outputs), constants, *opset))


def make_idx():
    for code, kind in ((0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")):
        put("idx", kind, idx(code, np.arange(6, dtype=kind).reshape(2, 3)))
    put("idx", "labels", idx(0x08, np.arange(5, dtype="u1")))
    put("idx", "empty", idx(0x08, np.zeros((0, 2), "u1")))


def make_npy():
    for kind in ("?", "u1", "i1", "<u2", ">i2", "<u4", ">i4", "<u8", ">i8", "<f2", ">f4", "<f8"):
        put("npy", "kind_" + kind.strip("<>?") + {"<": "le", ">": "be"}.get(kind[0], ""), npy(np.arange(4).astype(kind)))
    put("npy", "fortran", npy(np.asfortranarray(np.arange(12, dtype="u1").reshape(2, 3, 2))))
    put("npy", "scalar", npy(np.float32(3)))
    put("npy", "empty", npy(np.zeros((3, 0))))
    put("npy", "version2", npy(np.arange(3, dtype="u1"), (2, 0)))
    put("npy", "version3", npy(np.arange(3, dtype="u1"), (3, 0)))
    put("npy", "wide", npy(np.array([1, 2**40])))


def make_npz():
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        out = io.BytesIO()
        save(out, x=np.arange(6, dtype="u1").reshape(2, 3))
        put("npz", name, out.getvalue())
    out = io.BytesIO()
    np.savez_compressed(out, x=np.zeros(100), y=np.ones(3, "f4"))
    put("npz", "two", out.getvalue())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("x.txt", "no array")
    put("npz", "text", out.getvalue())


def make_hdf5():
    x = np.arange(6).reshape(3, 2)

    def one(name, array, version, **how):
        def fill(f):
            f.create_dataset("x", data=array, **how)

        put("hdf5", name, hdf5(fill, libver=(version, version)))

    one("contiguous", x.astype(">f4"), "v108")
    one("bool", x > 2, "v108")
    one("deflated", x.astype("<i2"), "v110", chunks=(2, 2), compression="gzip", shuffle=True)
    one("whole", x.astype("u1"), "v110", chunks=(3, 2), compression="gzip")
    one("checksum", x.astype("<i8"), "v110", chunks=(3, 1), fletcher32=True)
    put("hdf5", "grouped", hdf5(lambda f: f.create_group("g").create_dataset("x", data=x.astype("<f2")),
                                libver=("v108", "v108")))
    put("hdf5", "first", hdf5(lambda f: f.create_dataset("x", data=x.astype("<u8")), libver="earliest"))


def make_csv():
    put("csv", "header", "a,b,c\n1,2,3\n4,5,6\n")
    put("csv", "quotes", '"a","b ""q""\nc"\r\n"1",2.5\r\n')
    put("csv", "tabs", "# x\ty\n1\t\n\t-2e3\n")
    put("csv", "semicolons", "\ufeff1;NA;?\n\n2;n/a;null\n")
    put("csv", "picked", b"1:,a\0a,b,c\n1,2,3\n")
    put("csv", "one", "5\n6\n2147483648\n")


def make_gzip():
    put("gzip", "text", gzip.compress(b"sunup " * 50, mtime=0))
    put("gzip", "two", gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0))
    put("gzip", "stored", gzip.compress(bytes(range(256)), 0, mtime=0))
    put("gzip", "empty", gzip.compress(b"", mtime=0))


def make_import():
    """Before the NUL: a format, '=' and a map of columns, or nothing (recognised)."""
    def both(name, text):
        put("import", name, b"\0" + (text if isinstance(text, str) else json.dumps(text)).encode())

    both("benchdnn", "Output template: perf,%engine%,%impl%,%name%,%prb%,%Gops%,%+ctime%,%-time%,%0time%\n"
         'perf,cpu,jit,"a",--conv --dir=FWD_I mb1ic4ih8oc4oh8kh3ph1n"a",3.5,2.25,1.5,1.75\n'
         "perf,cpu,jit,,--matmul --wtag=ba 2x64x30:2x30x48,3.5,2.25,1.5,1.75\n"
         "perf,cpu,jit,,--ip --dir=BWD_W mb32ic100ih2iw2oc10,3.5,2.25,1.5,1.75\n1:FAILED __REPRO: --ip mb1ic1oc1\n")
    both("benchdnn_entries", "Template entries: %prb%;%Gbw%;%0Mflops%;%iobytes%\nprb\n--pool mb1 a;1;2;3e2\n")
    body = {"time": 31.25, "bus_bw": 58.7, "nwrong": 0}
    both("nccl", {"start_time": "2026-03-01 12:00:00", "args": ["/o/all_gather_perf"], "nccl_version": 22703,
                  "config": {"nthreads": 1, "ngpus": 4, "devices": [{"hostname": "n", "device_info": "g"}]},
                  "results": [{"size": 1048576, "type": "float", "redop": "max", "out_of_place": body,
                               "in_place": body, "out_of_place_per_iter": {"times_us": [30, 31.5]}}],
                  "out_of_bounds": {"count": 1}, "errors": ["e"]})
    both("oneccl", "#ranks,collective,reduction,dtype,dtype_size,#elements/buffer,message_size,#buffers,#repetitions,"
         "t_min[usec],t_max[usec],t_avg[usec],stddev[%],busbw[GB/s]\n4,allreduce,max,float32,4,256,1024,1,16,1,3,2,0,9\n")
    both("oneccl_table", "datatype: float32\nreduction: sum\n# Benchmarking: allreduce \n# #processes: 2\n"
         "  #bytes  #repetitions  t_min[usec]  t_avg[usec]\n  1024  16  2.25  2.50\n\n# All done\n")
    both("osu", "# OSU MPI-CUDA Allreduce Latency Test v7.5\n# Datatype: MPI_FLOAT.\n"
         "# Size  Avg Latency(us)  Min Latency(us)  Iterations  Validation  P99 Tail Lat(us)\n4  10.5  10 100 Pass 11\n"
         "# OSU MPI Multiple Bandwidth / Message Rate Test v7\n# [ pairs: 15 ] [ window size: 64 ]\n"
         "# Size MB/s Messages/s\n1 6.25 625.5\n# OSU MPI Non-blocking Barrier Latency Test v7\n# Overall(us)\n 1.5\n")
    entry = {"name": "a", "run_name": "a", "run_type": "iteration", "real_time": 1.5, "cpu_time": 2, "time_unit": "ms",
             "bytes_per_second": 1e9, "x": 1}
    both("google", {"context": {"date": "2026-11-28T20:07:18+01:00", "host_name": "n", "executable": "/x/b"},
                    "benchmarks": [entry, entry, {"name": "e", "error_occurred": True, "error_message": "m"},
                                   {**entry, "run_name": "m", "run_type": "aggregate", "aggregate_name": "median"}]})
    both("pytest", {"machine_info": {"node": "n", "cpu": {"brand_raw": "c", "count": 2}},
                    "commit_info": {"id": "1", "dirty": True, "project": "p"}, "datetime": "2026-11-28T20:07:18.5",
                    "benchmarks": [{"name": "a", "stats": {"data": [1e-3, 2e-3]}}, {"name": "b", "stats": {"median": 1}}]})
    test = {"name": "t", "system": "s", "partition": "p", "environ": "e", "num_tasks": 2, "time_total": 1.5}
    both("reframe", {"session_info": {"time_start": "2023-05-01T10:00:00+0200", "version": "4"}, "runs": [{"testcases": [
        {**test, "result": "fail", "fail_phase": "run", "fail_reason": "time limit"},
        {**test, "result": "pass", "perfvalues": {"s:p:v": [1.5, 1, -0.1, None, "GB/s", "pass"]}},
        {**test, "result": "abort", "perfvars": [{"name": "v", "value": 2, "unit": "GB/s", "thres_upper": 1}]}]}]})
    event = ':::MLLOG {"key": "%s", "value": %s, "time_ms": %d, "metadata": {"epoch_num": %d, "status": "%s"}}\n'
    both("mllog", "".join(event % e for e in (("submission_benchmark", '"b"', 1, 0, ""), ("seed", "1", 1, 0, ""),
                                              ("run_start", "null", 2000, 0, ""), ("eval_accuracy", "0.5", 3, 1, ""),
                                              ("eval_error", "0.5", 3, 2, ""), ("run_stop", "null", 9000, 0, "aborted"))))
    put("import", "csv", b"=name=\"m{M}n{N}\",time=t:us:less,ranks=r,bytes=b:KiB,at=d,fact.h=h,outcome=o\0# c\n"
        b"M,N,t,r,b,d,h,o\n1,2,3.5,1,4,2026-01-01T00:00:00Z,x,ok\n1,2,,1,4,,x,\"ti\"\"me\nout\"\n")
    put("import", "csv_long", b"=name=n,quantity=q,unit=u,value=v,suite=n,engine=n\0\xef\xbb\xbf#n;q;u;v\r\na;b;ms;1\r\n")
    put("import", "named", b"osu\0# OSU MPI Latency Test v7\n# Size Latency (us)\n1 2.5\n")


def make_record():
    head = {"sunup_track": 1, "id": "a", "at": 1764359582, "facts": {"commit": "1", "machine": "m"}}
    rows = [{"suite": "k", "name": "n", "quantity": "time", "unit": "s", "values": [1e-3, 2e-3, None], "canary": [1],
             "flops": 1e9, "bytes": 1e6, "bound_s": 1e-4},
            {"suite": "k", "name": "n", "engine": "e", "source": "vendor", "quantity": "time", "unit": "s", "values": [2]},
            {"suite": "k", "name": "n", "quantity": "time", "pairs": [0.1] * 9, "confirm": [0.1] * 9, "baseline": "b",
             "moved": [{"what": "w", "seconds": 1, "p": 0.1}]},
            {"suite": "k", "name": "n", "quantity": "files", "count": 3, "better": "neither", "ranks": 2},
            {"suite": "k", "name": "n", "quantity": "maker", "word": "w"},
            {"suite": "k", "name": "n", "quantity": "outcome", "outcome": "hang", "rank": 1, "signal": 9, "step": 2,
             "layer": "l", "collective": "c", "message": "<m>", "failures": 2, "tries": 2, "seconds": 3}]
    lines = [head, *rows, {"end": len(rows)}]
    put("record", "all", "\n".join(json.dumps(line) for line in lines))
    put("record", "none", json.dumps(head) + '\n{"end": 0}\n')


def make_safetensors():
    def file(header, data=b""):
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    w = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    b = {"dtype": "F64", "shape": [1], "data_offsets": [24, 32]}
    put("safetensors", "two", file({"w": w, "b": b}, bytes(32)))
    put("safetensors", "meta", file({"__metadata__": {"step": "7"}, "w": w}, bytes(24)))
    put("safetensors", "none", file({}))
    put("safetensors", "bytes", file({"x": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]},
                                      "y": {"dtype": "I32", "shape": [0], "data_offsets": [1, 1]}}, b"x"))


def make_yaml():
    put("yaml", "linear", "model:\n  input: {name: x, shape: [4]}\n  layers:\n    - linear: {out_features: 3}\n    - relu:\n")
    put("yaml", "conv", "model:\n  input: {name: x, shape: [28, 28, 1]}\n  layers:\n"
        "    - conv: {name: c, out_channels: 8, kernel_size: 3, padding: same, bias: false}\n    - batch_norm:\n"
        "    - max_pool: 2\n    - flatten:\n    - linear: {name: fc, out_features: 10}\n")
    put("yaml", "branch", "model:\n  input: {name: x, shape: [4]}\n  layers:\n    - linear: {name: a, out_features: 4}\n"
        "    - add: {name: s, inputs: [a, x]}\n")
    put("yaml", "anchors", "a: &x [1, 2]\nb: *x\n")


if __name__ == "__main__":
    for make in (make_idx, make_npy, make_npz, make_hdf5, make_csv, make_gzip, make_import, make_record,
                 make_safetensors, make_yaml, make_onnx):
        make()
