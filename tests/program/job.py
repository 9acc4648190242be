"""job.py - scripts of `sunup job` go on when a rank is lost, to the bits of the unbroken run, and know when to stop.

Slurm's and PBS' commands are stubs that start the ranks here: what a real scheduler does is not tested.
"""
import os
import shutil
import signal
import subprocess
import time

import common

LAUNCH = "%s %s" % (common.MPIEXEC, "" if common.MPICH else "--oversubscribe --mca btl self,vader")
# A launcher with hosts by name: one that stands in the file `dead` starts nothing. It logs how it was called.
HOSTS = """#!/bin/sh
[ "$1" = --version ] && { echo "a launcher"; exit; }
echo "$0 $*" >>log
while :; do case $1 in
    --ntasks=*) n=${1#*=}; shift ;;
    -n) n=$2; shift 2 ;;
    --nodelist=*) hosts=${1#*=}; shift ;;
    --hosts) hosts=$2; shift 2 ;;
    --ppn|--cpu-bind) shift 2 ;;
    --*) shift ;;
    *) break ;;
esac; done
for h in $(echo "$hosts" | tr , ' '); do grep -qFx "$h" dead 2>/dev/null && exit 1; done
unset PBS_NODEFILE SLURM_JOB_NODELIST # which the real launcher would believe
exec %s -n "$n" "$@"
""" % LAUNCH
PLAIN = f"""#!/bin/sh
[ "$1" = --version ] && exec {common.MPIEXEC} --version
echo "$0 $*" >>log
exec {LAUNCH} "$@"
"""
FAILS = """#!/bin/sh
[ "$1" = --version ] && { echo "a launcher"; exit; }
echo "$0 $*" >>log
exit %d
"""
LONG = ["--set", "epochs=200", "--set", "checkpoint_steps=40"]
# MPICH's launcher ends the others before they can report a rank that was killed.
REPORTED = signal.SIGSTOP if common.MPICH else signal.SIGKILL
MANY, FEWER = (2, 1) if common.MPICH else (4, 3)


@common.unittest.skipUnless(common.MPIEXEC, "no MPI")
class Job(common.Case):
    def setUp(self):
        super().setUp()
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.script = self.folder / "job.sh"

    def stub(self, name, text):
        self.write(f"bin/{name}", text)
        (self.bin / name).chmod(0o755)

    def print_script(self, *args):
        self.script.write_text(self.sunup("job", "run.yaml", *args).stdout)
        return self.script.read_text()

    def start(self, **env):
        return subprocess.Popen(["sh", str(self.script)], cwd=self.folder, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True,
                                env=self.environment(SUNUP_THREADS="1", SUNUP_TIMEOUT="5", PATH=f"{self.bin}:{os.environ['PATH']}", **env))

    def starts(self):
        """Command lines of the trainings that were started."""
        return [line for line in (self.folder / "log").read_text().splitlines() if " train " in line]

    def lose_a_rank(self, rank, number=signal.SIGKILL):
        deadline = time.time() + 60
        while not self.checkpoints() or len(self.processes()) <= rank:
            self.assertLess(time.time(), deadline)
            time.sleep(0.01)
        os.kill(self.processes()[rank], number)

    def finish(self, p, status=0):
        out, err = p.communicate(timeout=120)
        self.assertEqual(p.returncode, status, out + err)
        return err

    def same_as_unbroken(self, *long):
        whole = self.folder / "whole"
        self.sunup("train", "run.yaml", "--quiet", *LONG, "--set", f"run_dir={whole}")
        self.assertEqual(self.checkpoints()[-1].name, self.checkpoints(whole)[-1].name)
        self.assertEqual(self.checkpoints()[-1].read_bytes(), self.checkpoints(whole)[-1].read_bytes())

    def test_here_on_one_rank_less(self):
        self.stub("mpiexec", PLAIN)
        self.print_script("--ranks-per-node", MANY, *LONG)
        p = self.start()
        self.lose_a_rank(1, REPORTED)
        self.assertIn(f"restart 1 of 3 on 1 host(s), {FEWER} rank(s) each", self.finish(p))
        self.assertEqual([f" -n {MANY} " in self.starts()[0], f" -n {FEWER} " in self.starts()[1]], [True, True])
        self.same_as_unbroken()

    def test_a_launcher_that_stays_is_ended(self):
        self.stub("mpiexec", PLAIN.replace("\nexec", "\n") + "rm stay && exec sleep 1000\nexit 0\n")
        self.write("stay", "")
        self.print_script("--ranks-per-node", MANY, "--restarts", 1, "--set", "epochs=10")
        self.assertIn("no sign of life for 8 s", self.finish(self.start(SUNUP_PATIENCE="8")))
        self.assertEqual(len(self.starts()), 2)

    def test_slurm_leaves_out_a_dead_node(self):
        self.stub("srun", HOSTS)
        self.stub("scontrol", "#!/bin/sh\necho n1\necho n2\n")
        each = MANY // 2
        text = self.print_script("--slurm", "--nodes", 2, "--ranks-per-node", each, "--time", "1:00:00", *LONG)
        for line in "--nodes=2", f"--ntasks-per-node={each}", "--time=1:00:00", "--no-kill", "--signal=TERM@120":
            self.assertIn(f"#SBATCH {line}\n", text)
        p = self.start(SLURM_JOB_NODELIST="n[1-2]")
        self.lose_a_rank(1)
        self.write("dead", "n2\n")
        self.assertIn(f"on 1 host(s), {each} rank(s) each", self.finish(p))
        self.assertIn(f"--ntasks={MANY} --ntasks-per-node={each} --nodelist=n1,n2", self.starts()[0])
        self.assertIn(f"--ntasks={each} --ntasks-per-node={each} --nodelist=n1 ", self.starts()[1])
        self.same_as_unbroken()

    def test_pbs_leaves_out_the_node_of_the_lost_rank(self):
        self.stub("mpiexec", HOSTS)
        here = os.uname().nodename
        self.write("nodes", f"{here}.domain\nz2\n{here}.domain\nz2\n")
        each = MANY // 2
        text = self.print_script("--pbs", "--nodes", 2, "--ranks-per-node", each, "--queue", "debug", *LONG)
        for line in "-l select=2", "-q debug", "-W tolerate_node_failures=all":
            self.assertIn(f"#PBS {line}\n", text)
        p = self.start(PBS_O_WORKDIR=str(self.folder), PBS_NODEFILE="nodes")
        self.lose_a_rank(1, REPORTED)
        self.assertIn(f"on 1 host(s), {each} rank(s) each", self.finish(p))
        self.assertIn(f"-n {MANY} --hosts {here}.domain,z2 --ppn {each} ", self.starts()[0])
        self.assertIn(f"-n {each} --hosts z2 --ppn {each} ", self.starts()[1])
        self.same_as_unbroken()

    def test_pbs_with_the_launcher_of_this_mpi(self):
        self.stub("mpiexec", PLAIN)
        self.write("nodes", os.uname().nodename + "\n")
        self.print_script("--pbs", "--ranks-per-node", 2, "--set", "epochs=2")
        self.finish(self.start(PBS_O_WORKDIR=str(self.folder), PBS_NODEFILE="nodes"))

    def test_errors_end_it(self):
        self.stub("mpiexec", PLAIN)
        self.print_script("--ranks-per-node", 2, "--set", "optimizer.lr=1.0e+30")
        self.assertIn("not finite", self.finish(self.start(), 1))
        self.assertEqual(len(self.starts()), 1)

    def test_a_stop_on_request_ends_it_and_the_next_goes_on(self):
        self.stub("mpiexec", PLAIN)
        self.print_script("--ranks-per-node", 2, *LONG)
        p = self.start()
        while not self.checkpoints() or len(self.processes()) < 2:
            time.sleep(0.01)
        for pid in self.processes().values():
            os.kill(pid, signal.SIGTERM)
        self.finish(p, 143)
        self.finish(self.start())
        self.assertEqual(len(self.starts()), 2)
        self.same_as_unbroken()

    def test_gives_up(self):
        self.stub("mpiexec", FAILS % 137)
        self.print_script("--restarts", 5)
        self.assertIn("no new checkpoint since the one before", self.finish(self.start(), 137))
        self.assertEqual(len(self.starts()), 2)
        (self.folder / "log").unlink()
        self.print_script("--restarts", 1)
        self.assertIn("1 restarts were allowed", self.finish(self.start(), 137))
        self.assertEqual(len(self.starts()), 2)

    def test_options(self):
        for args, says in ((["--slurm", "--pbs"], "for one scheduler"), (["--nodes", 2], "needs --slurm or --pbs"),
                           (["--ranks-per-node", 13], "has 12 shards"), (["--set", "optimiser.lr=1"], "did you mean")):
            self.assertIn(says, self.sunup("job", "run.yaml", *args, status=1).stderr)
        self.write("bare.yaml", common.RUN.replace("run_dir: %s", ""))
        self.assertIn("sets no run_dir", self.sunup("job", "bare.yaml", status=1).stderr)
        if shutil.which("shellcheck"):
            for scheduler in [], ["--slurm"], ["--pbs"]:
                self.print_script(*scheduler, "--set", "run_dir=it's here", "--account", "A", "--tuning", "no such")
                subprocess.run(["shellcheck", self.script], check=True)


common.main()
