"""make.py - makes the real ones of these samples: python3 make.py, in an environment with pytest-benchmark 5.3,
reframe-hpc 4.10 and mlperf-logging 4.1, and with g++ and Debian's libbenchmark-dev (1.7.1).

What the machine says of itself is replaced (host "node17", user, paths), keys that no reader looks at are left out, so
that the files stay small: the tests read every beginning of each. The hand-made ones are listed in README.md.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
bin_ = pathlib.Path(sys.executable).parent

GOOGLE = r"""
#include <benchmark/benchmark.h>
static void Sum(benchmark::State &s) {
  for (auto _ : s) { float t = 0; for (int i = 0; i < s.range(0); i++) { t += i; benchmark::DoNotOptimize(t); } }
  s.SetBytesProcessed(s.iterations() * s.range(0) * 4);
  s.counters["residual"] = 0.25;
}
BENCHMARK(Sum)->Arg(64)->Arg(1024)->Unit(benchmark::kMicrosecond);
static void Device(benchmark::State &s) { s.SkipWithError("no such device"); for (auto _ : s) {} }
BENCHMARK(Device);
BENCHMARK_MAIN();
"""
PYTEST = """
def test_sum(benchmark):
    benchmark.pedantic(sum, args=(range(1000),), rounds=5, iterations=10)
def test_join(benchmark):
    benchmark.pedantic(lambda: ",".join(map(str, range(100))), rounds=3, iterations=1)
"""
REFRAME = """
import reframe as rfm, reframe.utility.sanity as sn
class base(rfm.RunOnlyRegressionTest):
    valid_systems = ['*']; valid_prog_environs = ['*']; executable = 'echo'
@rfm.simple_test
class stream(base):
    executable_opts = ['copy 123.5 latency 99.25']; num_tasks = 4
    reference = {'*': {'copy': (120, -0.1, None, 'MB/s')}}
    @sanity_function
    def ok(self): return sn.assert_found('copy', self.stdout)
    @performance_function('MB/s')
    def copy(self): return sn.extractsingle(r'copy (\\S+)', self.stdout, 1, float)
    @performance_function('us')
    def latency(self): return sn.extractsingle(r'latency (\\S+)', self.stdout, 1, float)
@rfm.simple_test
class broken(base):
    @sanity_function
    def ok(self): return sn.assert_found('copy', self.stdout)
@rfm.simple_test
class flaky(base):
    executable = 'sh'; executable_opts = ['-c', '"test -e $FLAG || { touch $FLAG; exit 1; }; echo score 7"']
    @sanity_function
    def ok(self): return sn.assert_found('score', self.stdout)
    @performance_function('points')
    def score(self): return sn.extractsingle(r'score (\\S+)', self.stdout, 1, float)
@rfm.simple_test
class elsewhere(base):
    @run_before('run')
    def leave(self): self.skip('not here')
    @sanity_function
    def ok(self): return sn.assert_true(1)
"""
MLLOG = """
import sys, time
from mlperf_logging import mllog
from mlperf_logging.mllog import constants as c
mllog.config(filename=sys.argv[1], root_dir='/')
log, status = mllog.get_mllogger(), sys.argv[2]
log.event(key=c.SUBMISSION_BENCHMARK, value='deepcam')
log.event(key=c.SUBMISSION_ORG, value='Example')
log.event(key=c.SUBMISSION_PLATFORM, value='64xNode')
log.event(key=c.GLOBAL_BATCH_SIZE, value=512)
log.start(key=c.RUN_START)
for epoch in 1, 2:
    log.start(key=c.EPOCH_START, metadata={'epoch_num': epoch})
    log.event(key=c.EVAL_ACCURACY, value=0.5 + 0.125 * epoch, metadata={'epoch_num': epoch})
    log.end(key=c.EPOCH_STOP, metadata={'epoch_num': epoch})
time.sleep(0.25)
log.end(key=c.RUN_STOP, metadata={'status': status})
"""


def run(*argv, cwd, **env):
    subprocess.run(argv, cwd=cwd, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, **env})


def write(name, value, drop=(), indent=None):
    def kept(v):
        if isinstance(v, dict):
            return {k: kept(x) for k, x in v.items() if k not in drop}
        return [kept(x) for x in v] if isinstance(v, list) else v
    (here / name).write_text(json.dumps(kept(value), indent=indent) + "\n")


def google(folder):
    (folder / "b.cc").write_text(GOOGLE)
    run("g++", "-O2", "b.cc", "-o", "sums", "-lbenchmark", "-lpthread", cwd=folder)
    for name, extra in ("google.json", []), ("google_aggregates.json", ["--benchmark_report_aggregates_only=true"]):
        run("./sums", "--benchmark_repetitions=3", "--benchmark_min_time=0.001", f"--benchmark_out={name}", *extra,
            cwd=folder)
        d = json.loads((folder / name).read_text())
        d["context"]["host_name"] = "node17"
        d["context"]["executable"] = "/opt/bench/sums"
        write(name, d, ("caches", "family_index", "per_family_instance_index", "load_avg"))


def pytest(folder):
    (folder / "test_b.py").write_text(PYTEST)
    run(str(bin_ / "pytest"), "--benchmark-json=out.json", "test_b.py", cwd=folder)
    d = json.loads((folder / "out.json").read_text())
    d["machine_info"].update(node="node17", release="6.1.0")
    d["commit_info"] = {"id": "47d1650c40e69c507520a013f09baf98c350a09a", "dirty": False, "project": "sums",
                        "branch": "main"}
    write("pytest.json", d, ("flags", "options", "outliers", "ld15iqr", "hd15iqr", "iqr", "q1", "q3", "extra_info"))


def reframe(folder):
    (folder / "t.py").write_text(REFRAME)
    run(str(bin_ / "reframe"), "-c", "t.py", "-r", "--report-file=out.json", "--max-retries=1", cwd=folder,
        FLAG=str(folder / "flag"))
    d = json.loads((folder / "out.json").read_text())
    keep = {"environ", "partition", "system", "name", "result", "fail_phase", "fail_reason", "fail_info", "num_tasks",
            "perfvalues", "time_total", "job_completion_time_unix"}
    for r in d["runs"]:
        r["testcases"] = [{k: v for k, v in t.items() if k in keep} for t in r["testcases"]]
    for key in "cmdline", "log_files", "prefix_output", "prefix_stage", "workdir", "config_files":
        d["session_info"].pop(key, None)
    d["session_info"].update(hostname="node17", user="user")
    write("reframe.json", d, ("traceback",))


def mllog(folder):
    (folder / "m.py").write_text(MLLOG)
    for status in "success", "aborted":
        run(sys.executable, "m.py", "out", status, cwd=folder)
        text = re.sub(r'"file": "[^"]*"', '"file": "train.py"', (folder / "out").read_text())
        (folder / "out").unlink()
        (here / f"mllog_{status}.log").write_text(text)


for make in google, pytest, reframe, mllog:
    with tempfile.TemporaryDirectory() as folder:
        make(pathlib.Path(folder))
