"""A compiled generator trains what a plain one trains, and resumes to the same bytes."""

import pytest
import torch

from mezzotint.errors import UsageError
from mezzotint.models.srresnet import SRResNet
from mezzotint.recipes import model
from mezzotint.training.compilation import compiled
from mezzotint.training.loop import fit
from mezzotint.training.regression import Regression


class Patches:
    """Batches of noise, a function of the step."""

    def batch(self, step):
        random = torch.Generator().manual_seed(step)
        return {"lr": torch.rand(2, 3, 8, 8, generator=random), "hr": torch.rand(2, 3, 16, 16, generator=random)}


def run(folder, wanted, **options):
    """Train a tiny network; it, and the number of graphs that were compiled meanwhile."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    generator = SRResNet(scale=2, channels=4, num_blocks=1)
    optimizers = {"generator": torch.optim.Adam(generator.parameters(), 1e-2)}
    method = Regression({"generator": generator}, optimizers, {"pixel.l1": 1.0})
    recipe = model.read(
        "compact-x4", ["phases=[]", "steps=6", "warmup=0", "precision=f32", "validations=3", "log_every=1"]
    )

    def observe(network, step):
        # Of another size than the batches, which must not compile anew.
        with torch.inference_mode():
            return {"mean": float(network(torch.rand(1, 3, 5 + step, 7)).mean())}, None

    with compiled(generator, wanted):
        fit(method, [Patches()], recipe, folder, torch.device("cpu"), observe=observe, **options)
    return generator, torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.slow
def test_compiled_training_equals_plain_training_and_resumes_to_the_same_bytes(tmp_path):
    plain, none = run(tmp_path / "plain", False)
    whole, graphs = run(tmp_path / "whole", True)
    assert (none, graphs) == (0, 1)
    assert whole.state_dict().keys() == plain.state_dict().keys()
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(whole.state_dict()[key], value, rtol=1e-3, atol=1e-4)
    questions = iter(range(100))
    run(tmp_path / "broken", True, interrupted=lambda: next(questions) >= 3)
    broken, _ = run(tmp_path / "broken", True, resume=True)
    for key, value in whole.state_dict().items():
        assert torch.equal(broken.state_dict()[key], value), key


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/g++")
    network = torch.nn.Conv2d(1, 1, 1)
    expected = r"needs a C\+\+ compiler and there is no /nowhere/g\+\+; .* set compile=false"
    with pytest.raises(UsageError, match=expected), compiled(network, True):
        pass
    with compiled(network, False):
        assert network(torch.zeros(1, 1, 1, 1)).shape == (1, 1, 1, 1)


def test_a_network_that_cannot_be_compiled_is_a_clear_error(monkeypatch):
    from torch._dynamo.exc import BackendCompilerFailed

    monkeypatch.setenv("CXX", "true")
    network = torch.nn.Conv2d(1, 1, 1)
    expected = "cannot be compiled here .*no such thing.* set compile=false"
    with pytest.raises(UsageError, match=expected), compiled(network, True):
        raise BackendCompilerFailed(lambda: None, RuntimeError("no such thing"), None)
