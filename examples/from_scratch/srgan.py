"""SRGAN from scratch: teach an upscaler texture with a discriminator, in one file. Read `srresnet.py` and `gan.py` first.

    python srgan.py FOLDER [STEPS]

Needs torch, numpy and pillow, nothing else. The first half of the steps trains the generator alone, or the discriminator
would win at once; the second plays the game. Every 100 steps it writes `srgan.png`: bicubic, the network's, the original.
Networks and step are those of mezzotint's `srresnet.SRResNet` without batch norm, `srgan_discriminator.SRGANDiscriminator`
and the method `srgan`, which can do more: perceptual losses, consistency.

The paper: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network".
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

SCALE, PATCH, BATCH = 4, 24, 16
# What counts how much. Pixels alone give the average of all that could have been there, which is blurred; the game alone
# gives texture that has nothing to do with the picture.
PIXEL, ADVERSARIAL, PENALTY = 1.0, 5e-3, 1.0


# ---- The networks. Small pictures are B x 3 x H x W with values 0 to 1; B x 3 x 4H x 4W come out.


class ResidualBlock(nn.Module):
    """Learns the difference from its input. No batch norm: its statistics blotch what a discriminator teaches."""

    def __init__(self, channels):
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.body = nn.Sequential(first, nn.PReLU(), second)

    def forward(self, x):
        """Same shape out as in."""
        return x + self.body(x)


def doubling(channels):
    """Twice the height and width: four values for each pixel, laid out as 2x2."""
    return nn.Sequential(nn.Conv2d(channels, channels * 4, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())


class Generator(nn.Module):
    """SRResNet: all work at low resolution, then twice the size, twice."""

    def __init__(self, channels=64, num_blocks=16):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(num_blocks)))
        self.merge = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1))
        self.tail = nn.Sequential(doubling(channels), doubling(channels), nn.Conv2d(channels, 3, 9, padding=4))

    def forward(self, lr):
        """Enlarge."""
        features = self.head(lr)
        return self.tail(features + self.merge(self.blocks(features)))


class Discriminator(nn.Module):
    """Pictures, -1 to 1, to a map of numbers: how real each region looks."""

    def __init__(self, channels=64):
        super().__init__()
        layers, before = [], 3
        for factor in (1, 2, 4, 8):
            for stride in (1, 2):
                layers += [nn.Conv2d(before, factor * channels, 3, stride, padding=1), nn.LeakyReLU(0.2)]
                before = factor * channels
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Conv2d(before, 1, 3, padding=1))

    def forward(self, images):
        """Logits."""
        return self.head(self.features(images))


# ---- The data: as in `srresnet.py`.


def load_pairs(folder):
    """(small, large) pictures as arrays H x W x 3, sides cut to a multiple of the scale."""
    pairs = []
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            picture = Image.open(path).convert("RGB")
            width, height = picture.width // SCALE, picture.height // SCALE
            if min(width, height) >= PATCH:
                large = picture.crop((0, 0, width * SCALE, height * SCALE))
                small = large.resize((width, height), Image.Resampling.BICUBIC)
                pairs.append((np.asarray(small), np.asarray(large)))
    return pairs


def random_batch(pairs, random):
    """Patches cut at the same place from small and large pictures."""
    lr, hr = [], []
    for _ in range(BATCH):
        small, large = pairs[random.integers(len(pairs))]
        y, x = (random.integers(side - PATCH + 1) for side in small.shape[:2])
        lr.append(small[y : y + PATCH, x : x + PATCH])
        hr.append(large[y * SCALE : (y + PATCH) * SCALE, x * SCALE : (x + PATCH) * SCALE])
    return to_tensor(np.stack(lr)), to_tensor(np.stack(hr))


def to_tensor(pictures):
    """B x H x W x 3 bytes -> B x 3 x H x W, 0 to 1."""
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 255


# ---- The training.


def penalty(logits, images):
    """R1 and R2: the squared slope of the score at the pictures, so that it stays a hill that can be climbed."""
    scores = logits.flatten(1).mean(1)
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return 0.5 * slope.flatten(1).square().sum(1).mean()


def step(generator, discriminator, g_optimizer, d_optimizer, lr, hr):
    """One update of each network; returns both losses. Relativistic: is the real one of two more real than the made one?"""
    sr = generator(lr)
    real, fake = (hr * 2 - 1).requires_grad_(), (sr.detach() * 2 - 1).requires_grad_()
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    d_loss = F.softplus(fake_logits - real_logits).mean()
    d_loss = d_loss + PENALTY * penalty(real_logits, real) + PENALTY * penalty(fake_logits, fake)
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    # The gradient of the game comes to the generator through the discriminator, which has just learnt; that of the pixels
    # comes directly. The discriminator gets gradients too, but they are thrown away.
    fake_logits = discriminator(sr * 2 - 1)
    with torch.no_grad():
        real_logits = discriminator(hr * 2 - 1)
    g_loss = ADVERSARIAL * F.softplus(real_logits - fake_logits).mean() + PIXEL * F.l1_loss(sr, hr)
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    return d_loss.item(), g_loss.item()


@torch.no_grad()
def save_comparison(generator, small, large, path):
    """Bicubic, network, original, side by side."""
    sr = generator(to_tensor(small[None]))[0].clamp(0, 1)
    enlarged = (sr.permute(1, 2, 0) * 255).round().byte().numpy()
    bicubic = np.asarray(Image.fromarray(small).resize(large.shape[1::-1], Image.Resampling.BICUBIC))
    Image.fromarray(np.concatenate([bicubic, enlarged, large], axis=1)).save(path)


def main(folder, steps=4000):
    """Train networks small enough for a CPU; the paper's are `Generator()` and `Discriminator()`."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    *training, (small, large) = load_pairs(folder)  # the last picture is kept for looking
    generator, discriminator = Generator(32, 4), Discriminator(16)
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-4, betas=(0.9, 0.99))
    for count in range(1, int(steps) + 1):
        batch = random_batch(training, random)
        if count <= int(steps) // 2:
            loss = F.l1_loss(generator(batch[0]), batch[1])
            g_optimizer.zero_grad()
            loss.backward()
            g_optimizer.step()
            text = f"pixels {loss.item():.4f}"
        else:
            g_optimizer.param_groups[0]["lr"] = 1e-4  # what is learnt now is fine
            losses = step(generator, discriminator, g_optimizer, d_optimizer, *batch)
            text = f"discriminator {losses[0]:.3f}, generator {losses[1]:.4f}"
        if count % 100 == 0 or count == int(steps):
            save_comparison(generator, small[:64, :64], large[: 64 * SCALE, : 64 * SCALE], "srgan.png")
            print(f"step {count}: {text}; see srgan.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
