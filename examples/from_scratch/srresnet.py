"""Super-resolution from scratch: train SRResNet on a folder of pictures, in one file.

    python srresnet.py FOLDER [STEPS]

Needs torch, numpy and pillow, nothing else. Every 100 steps it writes `srresnet.png`: bicubic enlargement, the
network's, and the original side by side. The network and its steps are those of mezzotint's `srresnet.SRResNet` with
the method `regression` and the loss `pixel.mse`. What mezzotint adds is resuming, exact resizing, speed, measuring and
export.

The paper: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network".
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

SCALE, PATCH, BATCH = 4, 24, 16


# ---- The network. Pictures are B x 3 x H x W with values 0 to 1; B x 3 x 4H x 4W come out.


def convolution(channels):
    """3x3 convolution and batch norm, which has a bias of its own."""
    return [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]


class ResidualBlock(nn.Module):
    """What is learnt is only the difference from the input, so many blocks can be stacked and still train."""

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(*convolution(channels), nn.PReLU(), *convolution(channels))

    def forward(self, x):
        """Same shape out as in."""
        return x + self.body(x)


def sub_pixel_step(channels):
    """Twice the height and width: four values are computed for each pixel, then laid out as 2x2."""
    return nn.Sequential(nn.Conv2d(channels, channels * 4, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())


class SRResNet(nn.Module):
    """All work is done at low resolution, where it is cheap; only the end is at high resolution."""

    def __init__(self, scale=SCALE, channels=64, num_blocks=16):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(num_blocks)))
        self.merge = nn.Sequential(*convolution(channels))
        steps = [sub_pixel_step(channels) for _ in range(int(math.log2(scale)))]
        self.tail = nn.Sequential(*steps, nn.Conv2d(channels, 3, 9, padding=4))

    def forward(self, lr):
        """Enlarge."""
        features = self.head(lr)
        return self.tail(features + self.merge(self.blocks(features)))


# ---- The data. A low-resolution picture is made from each high-resolution one; the network learns the way back.


def load_pairs(folder):
    """(small, large) pictures as arrays H x W x 3, sides cut to a multiple of the scale."""
    pairs = []
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
            continue
        picture = Image.open(path).convert("RGB")
        width, height = picture.width // SCALE, picture.height // SCALE
        if min(width, height) >= PATCH:
            large = picture.crop((0, 0, width * SCALE, height * SCALE))
            pairs.append((np.asarray(large.resize((width, height), Image.Resampling.BICUBIC)), np.asarray(large)))
    return pairs


def random_batch(pairs, random):
    """Patches cut at the same place from small and large pictures, half of them mirrored."""
    lr, hr = [], []
    for _ in range(BATCH):
        small, large = pairs[random.integers(len(pairs))]
        y = random.integers(small.shape[0] - PATCH + 1)
        x = random.integers(small.shape[1] - PATCH + 1)
        flip = -1 if random.integers(2) else 1
        lr.append(small[y : y + PATCH, x : x + PATCH][:, ::flip])
        hr.append(large[y * SCALE : (y + PATCH) * SCALE, x * SCALE : (x + PATCH) * SCALE][:, ::flip])
    return to_tensor(np.stack(lr)), to_tensor(np.stack(hr))


def to_tensor(pictures):
    """B x H x W x 3 bytes -> B x 3 x H x W, 0 to 1."""
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 255


# ---- The training.


def step(network, optimizer, lr, hr):
    """One update: enlarge, measure the squared error, change every weight a little in the direction that lowers it."""
    loss = F.mse_loss(network(lr), hr)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def save_comparison(network, small, large, path):
    """Bicubic, network, original, side by side; returns the network's PSNR in dB."""
    network.eval()  # batch norm uses its running averages, not this picture's statistics
    sr = network(to_tensor(small[None]))[0].clamp(0, 1)
    network.train()
    enlarged = (sr.permute(1, 2, 0) * 255).round().byte().numpy()
    bicubic = np.asarray(Image.fromarray(small).resize(large.shape[1::-1], Image.Resampling.BICUBIC))
    Image.fromarray(np.concatenate([bicubic, enlarged, large], axis=1)).save(path)
    error = np.mean((enlarged.astype(float) - large.astype(float)) ** 2)
    return 10 * math.log10(255**2 / max(error, 1e-10))


def main(folder, steps=2000):
    """Train a network small enough for a CPU; the paper's is `SRResNet()`."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    *training, (small, large) = load_pairs(folder)  # the last picture is kept for looking
    network = SRResNet(channels=32, num_blocks=4)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for count in range(1, int(steps) + 1):
        loss = step(network, optimizer, *random_batch(training, random))
        if count % 100 == 0 or count == int(steps):
            psnr = save_comparison(network, small[:64, :64], large[: 64 * SCALE, : 64 * SCALE], "srresnet.png")
            print(f"step {count}: loss {loss:.5f}, {psnr:.2f} dB on the picture in srresnet.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
