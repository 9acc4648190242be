#!/usr/bin/env python3
"""onnx_nodes.py - the node tests of the package onnx against sunup, all operators, in one process.

    python3 tests/conformance/onnx_nodes.py build/tests/conformance/onnx_nodes [--list] [NAME...]

Needs the package onnx (development only). Prints what failed, what is out of scope by reason, and the counts; --list
prints every test that is out of scope. Exit status 1 if a test in scope failed.
"""
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
import onnx
from onnx import numpy_helper

import onnx.backend.test.case.node as node

# Out of scope before anything is run: name, reason.
RANDOM = re.compile(r"^test_(bernoulli|training_dropout(?!.*zero_ratio)|random)")


# Operands that must be known when a graph is built. The tests give them as inputs; here they are initializers, as they
# are in files of networks.
KNOWN = {"CenterCropPad": (1,), "Clip": (1, 2), "ConstantOfShape": (0,), "CumProd": (1,), "CumSum": (1,),
         "Dropout": (1, 2), "Expand": (1,), "OneHot": (1, 2), "Pad": (1, 2, 3), "Range": (0, 1, 2),
         "Reshape": (1,), "Resize": (1, 2, 3), "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,),
         "Tile": (1,), "TopK": (1,), "Trilu": (1,), "Unsqueeze": (1,), "Upsample": (1,)}


def known(model):
    """Numbers of the inputs that must be known."""
    names = set()
    for n in model.graph.node:
        places = (1,) if n.op_type.startswith("Reduce") else KNOWN.get(n.op_type, ())
        names |= {n.input[i] for i in places if i < len(n.input)}
    return [i for i, v in enumerate(model.graph.input) if v.name in names]


def fix(model, inputs):
    """The model and what is left of its inputs, with those that must be known inside the model."""
    places = known(model)
    for i in places:
        model.graph.initializer.append(numpy_helper.from_array(numpy.asarray(inputs[i]), model.graph.input[i].name))
    for i in reversed(places):
        del model.graph.input[i]
    return [x for i, x in enumerate(inputs) if i not in places]


def write(case, folder):
    """model.onnx, input_I.pb, output_I.pb; a sentence where a test's data are no tensors."""
    folder.mkdir()
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    (inputs, outputs) = case.data_sets[0]
    if all(isinstance(x, (numpy.ndarray, numpy.generic)) for x in inputs):
        inputs = fix(model, inputs)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    for kind, values in (("input", inputs), ("output", outputs)):
        for i, value in enumerate(values):
            if isinstance(value, onnx.TensorProto):
                tensor = value
            elif isinstance(value, (numpy.ndarray, numpy.generic)):
                tensor = numpy_helper.from_array(numpy.asarray(value), f"{kind}{i}")
            else:
                return "data that are no tensors (sequences, optionals)"
            (folder / f"{kind}_{i}.pb").write_bytes(tensor.SerializeToString())
    return None


def reason(text):
    """A message without the names of its test."""
    text = re.sub(r"^\S*model\.onnx: ", "", text)
    text = re.sub(r"; did you mean .*$", "", text)
    text = re.sub(r"(node|tensor|input|output) '[^']*'", r"\1", text)
    text = re.sub(r"'[^']*'( must be| follows)", r"an operand\1", text)
    text = re.sub(r"^node is the operator ", "operator ", text)
    return text.strip()


def main():
    program, arguments = sys.argv[1], sys.argv[2:]
    wanted = [a for a in arguments if not a.startswith("--")]
    out = collections.defaultdict(list)
    lines, passed, failed = [], [], []
    with tempfile.TemporaryDirectory(prefix="sunup-onnx-") as top:
        for case in node.collect_testcases(None):
            if wanted and case.name not in wanted:
                continue
            folder = pathlib.Path(top) / case.name
            why = "random numbers, which are ours by seed, step and sample" if RANDOM.match(case.name) \
                else write(case, folder)
            if why:
                out[why].append(case.name)
            else:
                lines.append(f"{folder} {case.rtol} {case.atol}\n")
        done = subprocess.run([program], input="".join(lines), capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        verdict, folder, said = line.split("\t", 2)
        name = pathlib.Path(folder).name
        if verdict == "pass":
            passed.append(name)
        elif verdict == "scope":
            out[reason(said)].append(name)
        else:
            failed.append(name)
            print(f"FAILED {name}: {reason(said)}")
    for why, names in sorted(out.items(), key=lambda item: -len(item[1])):
        print(f"out of scope, {len(names):4d}: {why}")
        if "--list" in arguments:
            print("    " + " ".join(sorted(names)))
    print(f"onnx {onnx.__version__}: {len(passed)} passed, {len(failed)} failed, "
          f"{sum(map(len, out.values()))} out of scope")
    if done.returncode not in (0, 1) or len(lines) != len(done.stdout.splitlines()):
        print(f"the program ended with {done.returncode} after {len(done.stdout.splitlines())} of {len(lines)}: "
              f"{done.stderr[-400:]}")
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
