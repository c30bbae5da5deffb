"""What loading the libraries brings along, and leaves as it was."""

import json
import subprocess
import sys

ASK = """
import json, sys
import torch
compiler = torch.compile
from unfreeze.jobs.libraries import import_deepspeed
import_deepspeed()
import deepspeed.runtime.zero.muon.muon_optimizer  # as each engine does
print(json.dumps(["torch._inductor.compile_fx" in sys.modules, torch.compile is compiler]))
"""


def test_deepspeed_comes_without_torchs_compiler_which_stays_what_it_is() -> None:
    found = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout.splitlines()[-1]) == [False, True]
