"""speed.py - the way that the planner chooses is not slower than the op's own plain way, whatever the shape.

A slow row is timed again, and longer, since other work on the machine can only add; a seventh and 5 us are allowed.
"""
import json

import common

LIST = """
conv+grads:n8h28w28c16k16r3s3:same
conv+grads:n4h14w14c64k128r3s3:stride2:pad1
conv+grads:n8h14w14c64k256r1s1
conv+grads:n8h7w7c256k64r1s1
conv+grads:n16h28w28c1k6r5s5:same
conv+grads:n16h14w14c6k16r5s5
conv+grads:n8h2w2c128k128r3s3:same
conv+grads:n1h20w32c48k40r5s5:same
conv+grads:n2h40w64c16k32r2s2:stride2
conv+grads:n2h17w19c3k64r7s7:stride2:pad3
conv+grads:n4h16w16c32k32r3s3:same:groups32
conv+grads:n4h15w15c64k64r3s3:same:groups8
conv+grads:n2w999c1k128s20
conv+grads:n2w600c64k64s10
conv+grads:n2w500c24k40s16:dilation2
conv+grads:n1d17h17w17c32k32t3r3s3:same
conv+grads:n1d16h16w16c2k24t3r3s3:same
conv+grads:n1d16h16w16c32k1t1r1s1
linear+grads:m64n128k784:bias
linear+grads:m64n10k84:bias
linear+grads:m1n1000k1000
linear+grads:m512n1k1000
linear+grads:m33n65k17
matmul:m64n64k32
matmul:m256n32k256
"""


class Speed(common.Case):
    def slow(self, numerics, problems, seconds):
        self.write("list.txt", "\n".join(problems) + "\n")
        out = self.sunup("bench", "kernel", "list.txt", "--json", "--seconds", seconds,
                         env={"SUNUP_NUMERICS": numerics}).stdout
        found = []
        for row in json.loads(out)["rows"]:
            ways = row["ways"]
            own, plain = ways[row["chosen"]]["q1_s"], ways.get("op_run", ways[row["chosen"]])["q1_s"]
            if own > 1.15 * plain + 5e-6:
                found.append((row["problem"], row["chosen"], f"{1e6 * own:.1f} us", f"{1e6 * plain:.1f} us plain"))
        return found

    def test_chosen_makers(self):
        for numerics in ("exact", "fast"):
            found = self.slow(numerics, LIST.split(), "0.04")
            for _ in range(3):
                if found:
                    found = self.slow(numerics, sorted({problem for problem, *_ in found}), "0.1")
            self.assertEqual(found, [], numerics)


common.main()
