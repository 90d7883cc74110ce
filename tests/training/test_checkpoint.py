import pytest
import torch
from torch import nn

from mezzotint.errors import InputError, OutputError
from mezzotint.training.checkpoint import load_checkpoint, read_state, save_checkpoint

STATE = {"step": 7, "seconds": 1.25, "score": None}


def parts(seed, kind=torch.optim.AdamW, channels=2):
    """A network in channels-last memory with an optimizer of the same name, trained for two steps."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels)).to(memory_format=torch.channels_last)
    optimizer = kind(network.parameters(), lr=0.1 * seed + 0.01, betas=(0.5, 0.9))
    for _ in range(2):
        train(network, optimizer)
    return {"generator": network}, {"generator": optimizer}


def train(network, optimizer):
    optimizer.zero_grad()
    network(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    optimizer.step()


def same(a, b):
    return all(torch.equal(value, b.state_dict()[key]) for key, value in a.state_dict().items())


def test_what_is_saved_is_restored_in_place_and_trains_on_alike(tmp_path):
    modules, optimizers = parts(1)
    save_checkpoint(tmp_path / "c.safetensors", modules, optimizers, STATE)
    others, other_optimizers = parts(2)
    assert not same(modules["generator"], others["generator"])
    assert load_checkpoint(tmp_path / "c.safetensors", others, other_optimizers) == STATE
    assert read_state(tmp_path / "c.safetensors") == STATE
    assert same(modules["generator"], others["generator"])
    group, other_group = optimizers["generator"].param_groups[0], other_optimizers["generator"].param_groups[0]
    assert {key: group[key] for key in group if key != "params"} == {
        k: other_group[k] for k in other_group if k != "params"
    }
    for _ in range(3):
        train(modules["generator"], optimizers["generator"])
        train(others["generator"], other_optimizers["generator"])
    assert same(modules["generator"], others["generator"])


def test_moments_keep_the_memory_layout_of_their_weights(tmp_path):
    modules, optimizers = parts(1)
    save_checkpoint(tmp_path / "c.safetensors", modules, optimizers, STATE)
    others, other_optimizers = parts(2)
    load_checkpoint(tmp_path / "c.safetensors", others, other_optimizers)
    kernel = others["generator"][0].weight
    assert other_optimizers["generator"].state[kernel]["exp_avg"].stride() == kernel.stride()


def test_an_optimizer_before_its_first_step_has_no_moments(tmp_path):
    network = nn.Linear(2, 1)
    optimizers = {"generator": torch.optim.Adam(network.parameters())}
    save_checkpoint(tmp_path / "c.safetensors", {"generator": network}, optimizers, STATE)
    assert load_checkpoint(tmp_path / "c.safetensors", {"generator": network}, optimizers) == STATE


def test_equal_states_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, *parts(3), STATE)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text", "foreign", "other network", "folder"])
def test_a_checkpoint_that_does_not_fit_is_one_error_with_its_name(tmp_path, damage):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, *parts(1), STATE)
    modules, optimizers = parts(1, channels=3 if damage == "other network" else 2)
    if damage == "missing":
        path.unlink()
    elif damage == "folder":
        path.unlink(), path.mkdir()
    elif damage == "foreign":
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(1)}, path)
    elif damage != "other network":
        path.write_bytes(
            {"empty": b"", "truncated": path.read_bytes()[:-10], "text": b"not a checkpoint at all"}[damage]
        )
    with pytest.raises(InputError, match=r"cannot resume from .*c\.safetensors") as error:
        load_checkpoint(path, modules, optimizers)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_a_failed_write_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, *parts(1), STATE)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(path, *parts(2), STATE)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]
