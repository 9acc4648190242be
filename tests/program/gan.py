"""gan.py - two trainers of one model in turns (examples/04_gan.c): the same bits on 1 and 2 ranks, and resumed on others."""
import pathlib
import subprocess

import common

EXAMPLE = pathlib.Path(common.PROGRAM).parent / "example_04_gan"


class Gan(common.Case):
    def play(self, *args, ranks=0):
        command = [str(EXAMPLE) if word == common.PROGRAM else word for word in self.command(*args, ranks=ranks)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200,
                              env=self.environment(SUNUP_THREADS="1"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_same_bits(self):
        want = self.play(self.folder)
        self.assertIn("weights", want)
        self.assertEqual(self.play(ranks=2), want)
        self.assertEqual(self.play(self.folder, ranks=2), want, "from the middle on")


common.main()
