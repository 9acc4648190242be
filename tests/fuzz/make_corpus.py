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
    for make in (make_idx, make_npy, make_npz, make_hdf5, make_csv, make_gzip, make_safetensors, make_yaml, make_onnx):
        make()
