"""What a plain PyTorch script does with one photograph, as inference scripts of BasicSR and Real-ESRGAN do: read, enlarge
in float32, write.

python benchmarks/plain_torch.py WEIGHTS.safetensors IN OUT THREADS
"""

import sys

import numpy as np
import torch
from PIL import Image

from mezzotint.models import weights

source, picture, target, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
network = weights.deployed(weights.load(source)[0]).eval()
lr = torch.from_numpy(np.asarray(Image.open(picture).convert("RGB"), np.float32) / 255).permute(2, 0, 1)[None]
with torch.no_grad():
    sr = network(lr.contiguous())
Image.fromarray((sr[0].clamp_(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(target)
