"""layers.py ROOT - a folder of src/ may include only headers of itself and of the folders before it in src/LAYERS."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
layers = [line for line in (root / "src/LAYERS").read_text().split("\n") if re.fullmatch("[a-z]+", line)]
include = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
wrong = []
for path in sorted((root / "src").rglob("*.[ch]")) + sorted((root / "src").rglob("*.def")):
    own = path.relative_to(root / "src").parts[0]
    if own not in layers:
        wrong.append(f"{path}: its folder is not in src/LAYERS")
        continue
    for name in include.findall(path.read_text()):
        folder = name.split("/")[0]
        if "/" not in name or folder not in layers:
            wrong.append(f'{path}: "{name}" must be written as folder/header')
        elif layers.index(folder) > layers.index(own):
            wrong.append(f'{path}: includes "{name}", which stands above it')
for path in sorted((root / "examples").glob("*.c")):
    for name in include.findall(path.read_text()):
        wrong.append(f'{path}: an example sees <sunup.h> only, not "{name}"')
print("\n".join(wrong) if wrong else f"{len(layers)} folders include downwards only")
sys.exit(bool(wrong))
