"""A GAN from scratch: train DCGAN on MNIST-like files or a folder of pictures, in one file.

    python gan.py DATA [STEPS]        DATA: train-images-idx3-ubyte.gz, or a folder; pictures become 28x28 and grey

Needs torch, numpy and pillow, nothing else. Every 100 steps it writes `gan.png`, a sheet of what the generator makes of
the same noise. The networks and their steps are those of mezzotint's `dcgan.Generator` and `dcgan.Discriminator` with
the method `gan` and the game `adversarial.non_saturating`.

The papers: Goodfellow et al. 2014, "Generative Adversarial Networks"; Radford et al. 2015 (DCGAN).
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

SIZES = (4, 7, 14, 28)  # from the coarsest to the finished picture
BATCH = 64


# ---- The networks. Pictures are B x 1 x 28 x 28 with values -1 to 1.


def initialize(module):
    """The paper's start: small random weights, and batch norm that hardly does anything yet."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class Generator(nn.Module):
    """Noise z, B x latent_dim, to pictures: a coarse 4x4 plan, doubled in size until it is done."""

    def __init__(self, channels=64, latent_dim=128):
        super().__init__()
        self.latent_dim = latent_dim
        widths = [channels * 4, channels * 2, channels, 1]
        self.project = nn.Linear(latent_dim, widths[0] * SIZES[0] ** 2, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[:3])
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(widths[i], widths[i + 1], 4, stride=2, padding=1, bias=i == 2) for i in range(3)
        )
        self.apply(initialize)

    def forward(self, z):
        """Pictures for noise."""
        x = self.project(z).unflatten(1, (-1, SIZES[0], SIZES[0]))
        for norm, up, size in zip(self.norms, self.ups, SIZES[1:], strict=True):
            x = up(F.relu(norm(x)))[..., :size, :size]  # 4 doubled is 8, one more than 7
        return torch.tanh(x)


class Discriminator(nn.Module):
    """Pictures to one number each: how real they look. Any number, not a probability: the losses see to that."""

    def __init__(self, channels=64):
        super().__init__()
        widths = [1, channels, channels * 2, channels * 4]
        self.downs = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 4, stride=2, padding=1, bias=i == 0) for i in range(3)
        )
        # None where the pictures come in: it would wipe out what tells real from fake.
        self.norms = nn.ModuleList([nn.Identity(), nn.BatchNorm2d(widths[2]), nn.BatchNorm2d(widths[3])])
        self.head = nn.Linear(widths[3] * 3 * 3, 1)
        self.apply(initialize)

    def forward(self, images):
        """A logit for each picture."""
        for down, norm in zip(self.downs, self.norms, strict=True):
            images = F.leaky_relu(norm(down(images)), 0.2)
        return self.head(images.flatten(1)).squeeze(1)


# ---- The data.


def load_images(path):
    """All pictures as one tensor N x 1 x 28 x 28, values -1 to 1."""
    path = Path(path)
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")]
        pictures = np.stack([np.asarray(Image.open(file).convert("L").resize((28, 28))) for file in files])
    else:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        pictures = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)  # after magic number, N, H and W
    return torch.from_numpy(pictures.copy())[:, None].float() / 127.5 - 1


# ---- The training: two players, one step each in turn.


def step(generator, discriminator, g_optimizer, d_optimizer, real):
    """One update of each network; returns both losses. softplus(-x) is -log(sigmoid(x)), without its overflow."""
    # The discriminator learns to give real pictures high logits and made-up ones low logits. It must not change the
    # generator here, so the fakes are made without a gradient.
    with torch.no_grad():
        fake = generator(torch.randn(len(real), generator.latent_dim))
    d_loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    # The generator learns to raise the logits of its pictures. The gradient reaches it through the discriminator, which
    # gets gradients too, but only the generator's optimizer takes a step.
    fake = generator(torch.randn(len(real), generator.latent_dim))
    g_loss = F.softplus(-discriminator(fake)).mean()
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    return d_loss.item(), g_loss.item()


@torch.no_grad()
def save_sheet(generator, z, path):
    """8 x 8 pictures on one."""
    generator.eval()  # batch norm uses its running averages, so a picture does not depend on its neighbours
    images = generator(z)
    generator.train()
    sheet = images.reshape(8, 8, 28, 28).transpose(1, 2).reshape(8 * 28, 8 * 28)
    Image.fromarray(((sheet + 1) * 127.5).round().byte().numpy()).save(path)


def main(data, steps=3000):
    """Train, and look at the sheet now and then; the losses say little about the pictures."""
    torch.manual_seed(0)
    images = load_images(data)
    generator, discriminator = Generator(), Discriminator()
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    z = torch.randn(64, generator.latent_dim)
    for count in range(1, int(steps) + 1):
        real = images[torch.randint(len(images), (BATCH,))]
        losses = step(generator, discriminator, g_optimizer, d_optimizer, real)
        if count % 100 == 0 or count == int(steps):
            save_sheet(generator, z, "gan.png")
            print(f"step {count}: discriminator {losses[0]:.3f}, generator {losses[1]:.3f}; see gan.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
