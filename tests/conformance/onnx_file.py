"""onnx_file.py - small ONNX files without the package onnx: protocol buffers written field by field.

Field numbers are those of onnx.proto. Enough for tests: float32, int64, bool tensors, attributes of numbers, lists, words
and tensors, one graph.
"""
import struct

FLOAT, INT64, BOOL, DOUBLE = 1, 7, 9, 11
PACK = {FLOAT: "<f", INT64: "<q", BOOL: "<?", DOUBLE: "<d"}


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while True:
        byte, n = n & 127, n >> 7
        out += bytes([byte | (128 if n else 0)])
        if not n:
            return out


def whole(field, n):
    return varint(field << 3) + varint(n)


def text(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def real(field, x):
    return varint(field << 3 | 5) + struct.pack("<f", x)


def tensor(name, kind, shape, values):
    data = b"".join(struct.pack(PACK[kind], v) for v in values)
    return b"".join(whole(1, d) for d in shape) + whole(2, kind) + text(8, name) + text(9, data)


def floats(name, shape, values):
    return tensor(name, FLOAT, shape, values)


def wholes(name, values):
    return tensor(name, INT64, [len(values)], values)


def attribute(name, value):
    out = text(1, name)
    if isinstance(value, bytes):
        return out + text(5, value) + whole(20, 4)
    if isinstance(value, str):
        return out + text(4, value) + whole(20, 3)
    if isinstance(value, float):
        return out + real(2, value) + whole(20, 1)
    if isinstance(value, int):
        return out + whole(3, value) + whole(20, 2)
    return out + b"".join(whole(8, v) for v in value) + whole(20, 7)


def node(op, inputs, outputs, name="", **attributes):
    out = b"".join(text(1, i) for i in inputs) + b"".join(text(2, o) for o in outputs)
    out += text(3, name or outputs[0]) + text(4, op)
    return out + b"".join(text(5, attribute(k, v)) for k, v in attributes.items())


def value(name, shape, kind=FLOAT):
    dims = b"".join(text(1, whole(1, d) if isinstance(d, int) else text(2, d)) for d in shape)
    return text(1, name) + text(2, text(1, whole(1, kind) + text(2, dims)))


def model(nodes, inputs, outputs, initializers=(), opset=18):
    graph = b"".join(text(1, n) for n in nodes) + text(2, "test") + b"".join(text(5, t) for t in initializers)
    graph += b"".join(text(11, v) for v in inputs) + b"".join(text(12, v) for v in outputs)
    return whole(1, 8) + text(7, graph) + text(8, text(1, "") + whole(2, opset))
