"""track_compare.py - `sunup track compare` and `bisect`: what is slower is found and named, what is not is not.

Slowness is planted (SUNUP_FAULT), 50 % of it: these tests share their machine with others. Programs are scripts
that set the variable and become the real one.
"""
import json
import subprocess

import common

CASES = "conv : kernel conv:n1h6w6c8k8r3s3:same\nsoft : kernel softmax:8x64\n"
SLOW = "slow:conv:50"
PAIRS = 12


class TrackCompare(common.Case):
    def setUp(self):
        super().setUp()
        self.write("tiny.txt", CASES)
        self.repo = self.folder / "repo"

    def script(self, name, fault=None, text=None):
        plant = f"export SUNUP_FAULT={fault}" if fault else ":"
        self.write(name, text or f'#!/bin/sh\n{plant}\nexec "{common.PROGRAM}" "$@"\n')
        path = self.folder / name
        path.chmod(0o755)
        return path

    def track(self, *args, status=0, cwd=None):
        options = ["--suites", self.folder / "tiny.txt", "--pairs", PAIRS, "--seconds", "0.03"]
        done = subprocess.run([common.PROGRAM, "track", *map(str, [*args, *options])], cwd=cwd or self.folder,
                              capture_output=True, text=True, timeout=300, env=self.environment())
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}\n{done.stderr}")
        return done

    def compare(self, baseline, candidate, *cases, status=0):
        """The finished process; rows of pairs, all rows."""
        history = self.folder / f"history-{candidate.name}"
        done = self.track("compare", *cases, "--baseline", baseline, "--candidate", candidate, "--history",
                          history, status=status)
        rows = [json.loads(line) for path in history.glob("*.jsonl") for line in path.read_text().splitlines()]
        return done, [r for r in rows if "pairs" in r], rows

    def test_what_is_slower_is_found_named_and_confirmed(self):
        done, pairs, rows = self.compare(self.script("fast"), self.script("slow", SLOW), "conv", status=3)
        row, = pairs
        self.assertEqual(len(row["pairs"]), PAIRS)
        self.assertEqual(len(row["confirm"]), PAIRS)
        self.assertIn("SLOWER", done.stdout)
        self.assertTrue(row["moved"][0]["what"].startswith("conv:n1h6w6c8"), row["moved"])
        self.assertGreater(row["moved"][0]["seconds"], 0)
        steps = [r for r in rows if r.get("quantity", "").startswith("step conv")]
        self.assertEqual({r["engine"] for r in steps}, {"baseline", "candidate"})
        self.assertEqual({len(r["values"]) for r in steps}, {PAIRS})

    def test_the_same_program_gives_nothing(self):
        done, pairs, _ = self.compare(self.script("fast"), self.script("same"))
        self.assertEqual({r["name"] for r in pairs}, {"conv", "soft"})
        for row in pairs:
            self.assertFalse(row.get("moved"))
        self.assertNotIn("SLOWER", done.stdout)
        self.assertNotIn("faster", done.stdout)

    def test_a_side_that_crashes_is_named(self):
        fast = self.script("fast")
        crash = self.script("crash", text=f"""#!/bin/sh
[ "$1" = bench ] && echo broken at once >&2 && exit 3
exec "{common.PROGRAM}" "$@"
""")
        for sides, word in (((crash, fast), "baseline"), ((fast, crash), "candidate")):
            done, pairs, _ = self.compare(*sides, "soft", status=1)
            self.assertRegex(done.stderr, f"soft: the {word} {crash} has ended|{crash} doctor --json: no answer")
            self.assertIn("broken at once", done.stderr)
            self.assertEqual(pairs, [])

    def git(self, *words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", "-C", str(self.repo), *who, *words], check=True, capture_output=True,
                              text=True).stdout.strip()

    def repository(self, faults):
        """A commit for each fault; "broken" leaves no program."""
        self.repo.mkdir()
        self.git("init", "-q")
        commits = []
        for i, fault in enumerate(faults):
            (self.repo / "program").unlink(missing_ok=True)
            self.write("repo/note", str(i))
            if fault != "broken":
                self.script("repo/program", fault)
            self.git("add", "-A")
            self.git("commit", "-q", "-m", f"number {i}")
            commits.append(self.git("rev-parse", "HEAD"))
        return commits

    def bisect(self, *args, **more):
        return self.track("bisect", *args, "--build", "true", "--program", "program", cwd=self.repo, **more)

    def test_bisect_finds_the_commit(self):
        commits = self.repository([None, None, "broken", None, SLOW, SLOW])
        found = json.loads(self.bisect(commits[0], commits[5], "conv", "--json").stdout)
        self.assertEqual((found["commit"], found["subject"]), (commits[4], "number 4"))
        self.assertTrue(found["moved"][0]["what"].startswith("conv:"))
        self.assertEqual(self.git("worktree", "list").count("\n"), 0)
        self.assertIn("is not slower than", self.bisect(commits[0], commits[1], "conv", status=1).stderr)
        self.assertIn("no commit leads from", self.bisect(commits[1], commits[0], "conv", status=1).stderr)


if __name__ == "__main__":
    common.main()
