"""app_jets.py - quark and gluon jets, made up here in the files' format: physics needs Pythia, the program does not."""
import io
import random
import zipfile

import common
from app_case import APPS, AppCase, npy

PARTICLES = 100


def jets(n, seed):
    """n jets: a quark's have 10 to 40 particles, a gluon's 30 to 90."""
    rng = random.Random(seed)
    rows = {name: [] for name in ("pt", "dy", "dphi", "pid")}
    label, count = [], []
    for i in range(n):
        label.append(i % 2)
        count.append(rng.randrange(10, 40) if i % 2 else rng.randrange(30, 90))
        for p in range(PARTICLES):
            there = p < count[-1]
            rows["pt"].append(500 / (p + 1) if there else 0)
            rows["dy"].append(rng.gauss(0, 0.1) if there else 0)
            rows["dphi"].append(rng.gauss(0, 0.1) if there else 0)
            rows["pid"].append(rng.choice((22, 211, -211, 130, 2212)) if there else 0)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, values in rows.items():
            z.writestr(name + ".npy", npy("h" if name == "pid" else "f", (n, PARTICLES), values))
        z.writestr("label.npy", npy("b", (n,), label))
        z.writestr("n_particles.npy", npy("h", (n,), count))
        z.writestr("jet_pt.npy", npy("f", (n,), [520.0] * n))
        z.writestr("jet_mass.npy", npy("f", (n,), [50.0 + c for c in count]))
    return out.getvalue()


class Jets(AppCase):
    app = "jets"
    small = {"batch": 64, "epochs": 3}

    def setUp(self):
        folder = common.tempfile.mkdtemp(prefix="sunup-data-")
        self.addCleanup(common.shutil.rmtree, folder)
        common.os.makedirs(folder + "/jets")
        for name, n in (("jets", 256), ("test", 128)):
            with open(f"{folder}/jets/{name}.npz", "wb") as f:
                f.write(jets(n, n))
        common.os.environ["SUNUP_DATA"] = folder
        super().setUp()

    def test_all(self):
        scores = self.check_all()
        self.assertEqual(scores["test jets"], 128)

    def test_particle_net(self):
        whole = self.short(model="jets-lite", max_steps=2)["hash"]
        self.assertEqual(self.short(model="jets-lite", max_steps=2, ranks=2, run_dir=self.folder / "two")["hash"], whole)

    def test_bad_files(self):
        run = ("train", APPS / "jets/run.yaml")
        for data, says in (("{source: jets, from: 0.5, to: 0.5}", "0 <= from < to <= 1"),
                           ("{source: jets, file: jets/none.npz}", "jets/none.npz was not found"),
                           ("{source: jets, file: jets/short.npz}", "'dy' is not [")):
            self.write_short()
            done = self.sunup(*run, "--set", f"data.train={data}", "--set", f"run_dir={self.run_dir}", status=1)
            self.assertIn(says, done.stderr)

    def write_short(self):
        """A file whose arrays disagree."""
        with zipfile.ZipFile(common.os.environ["SUNUP_DATA"] + "/jets/short.npz", "w") as z:
            z.writestr("pt.npy", npy("f", (2, PARTICLES), [1.0] * 200))
            z.writestr("dy.npy", npy("f", (1, PARTICLES), [1.0] * 100))


common.main()
