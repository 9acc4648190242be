"""sizes.py ROOT - file and function sizes: prints the trend, fails on what CONTRIBUTING refuses.

Files over 800 lines, functions over 80 lines (150 for a micro-kernel: files below src/kernels), lines over 120 columns,
include/sunup.h over 700 lines; anything at the top that is no text, where a download that was left is committed easily.
"""
import pathlib
import re
import statistics
import sys

root = pathlib.Path(sys.argv[1])
files = [p for d in ("src", "include", "tools", "examples", "tests") for p in sorted((root / d).rglob("*.[ch]"))]
wrong, lengths, functions = [], [], []
for path in files:
    lines = path.read_text().split("\n")
    name = path.relative_to(root)
    lengths.append(len(lines))
    if len(lines) > (700 if path.name == "sunup.h" else 800):
        wrong.append(f"{name}: {len(lines)} lines")
    start = None
    for number, line in enumerate(lines, 1):
        if len(line) > 120 and "golden" not in path.name:
            wrong.append(f"{name}:{number}: {len(line)} columns")
        if line == "{":
            start = number
        if line == "}" and start is not None:
            functions.append((number - start - 1, f"{name}:{start}"))
            start = None
limit = lambda where: 150 if where.startswith("src/kernels") else 80
wrong += [f"{where}: a function of {n} lines" for n, where in functions if n > limit(where)]
wrong += [f"{p.name}: at the top is text only" for p in sorted(root.iterdir()) if p.is_file() and b"\0" in p.read_bytes()]
per = [n for n, _ in functions]
decile = statistics.quantiles(per, n=10)[8]
print(f"{len(files)} files, {sum(lengths)} lines, median {statistics.median(lengths):.0f}, longest {max(lengths)}; "
      f"{len(per)} functions, median {statistics.median(per):.0f}, p90 {decile:.0f}, longest {max(per)}")
print("\n".join(wrong))
sys.exit(bool(wrong))
