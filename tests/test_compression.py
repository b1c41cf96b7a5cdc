"""Compression: what was compressed comes back, in −ELBO bits, anywhere, or is refused."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import zlib

import constriction
import numpy as np
import pytest
import torch
from torch import nn

import lowerbound as lb
from lowerbound.compression import as_data, compress, decompress, file_format, fingerprint
from lowerbound.compression.codec import block_sizes
from lowerbound.compression.exact_arithmetic import exactly, exponentials, rounded
from lowerbound.compression.exact_vae import ExactVAE
from lowerbound.compression.latent_grid import LatentGrid
from lowerbound.distributions import DiagonalNormal
from lowerbound.errors import ConfigurationError, DataError, StorageError

SHAPE, LATENT = (1, 8, 8), 3
GREY = ("Categorical", "DiscretisedLogistic", "LogisticMixture", "BetaBinomial")


def model(name: str = "Bernoulli", shape=SHAPE, **parts) -> lb.VAE:
    size = math.prod(shape)
    numbers = getattr(lb, name).numbers
    chosen = {
        "prior": lb.StandardNormal(LATENT),
        "posterior": lb.DiagonalGaussian(lb.MLP(size, (16,), 2 * LATENT), LATENT),
        "likelihood": getattr(lb, name)(lb.MLP(LATENT, (16,), numbers * size), shape),
        "transform": lb.Binarise() if name == "Bernoulli" else lb.Scale(),
    }
    return lb.VAE(**(chosen | parts)).eval()


def binary(n: int, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (n, *shape), np.uint8)


@pytest.fixture(scope="module")
def trained() -> lb.VAE:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    vae = model()
    training = lb.Training(epochs=10, batch_size=32, learning_rate=5e-3)
    lb.fit(vae, lb.data.load("digits").train, training=training, callbacks=[])
    return vae.eval()


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """Twelve thousand binarised digits."""
    x = lb.data.load("digits").train.x.repeat(9, 1, 1, 1)[:12_000] / 255
    return torch.bernoulli(x, generator=torch.Generator().manual_seed(0)).numpy().astype(np.uint8)


def test_the_file_is_as_large_as_the_bound_says(trained, digits):
    made = compress(trained, digits)
    elbo = lb.evaluate(trained, as_data(trained, digits), samples=4)
    bound = elbo.importance_weighted
    assert made.nats_per_example == pytest.approx(-elbo.elbo.value, rel=0.01)
    assert made.nats_per_example > -bound.value
    assert made.bits_per_dimension == 8 * len(made.content) / digits.size
    assert 0 < made.initial_bits < 100 * LATENT
    assert np.array_equal(decompress(trained, made.content), digits)


@pytest.fixture
def never_deflated(monkeypatch):
    monkeypatch.setattr(zlib, "compress", lambda *_: bytes(10**6))


@pytest.mark.parametrize("name", GREY)
def test_grey_levels(never_deflated, name):
    vae = model(name)
    x = np.random.default_rng(1).integers(0, 256, (30, 8, 8), np.uint8)
    made = compress(vae, x)
    assert np.array_equal(decompress(vae, made.content), x)
    elbo = lb.evaluate(vae, as_data(vae, x), samples=20).elbo
    header = 8 * 150 * math.log(2) / len(x)
    assert abs(made.nats_per_example - header + elbo.value) < 0.02 * -elbo.value


@pytest.mark.parametrize(
    ("name", "prior", "levels", "expected"),
    [
        ("Bernoulli", lb.StandardNormal(LATENT), 2, "3db7ad61c53bea49"),
        ("Bernoulli", lb.GaussianMixture(LATENT, 4), 2, "b9a12c36ddd5a94d"),
        ("Categorical", lb.StandardNormal(LATENT), 256, "86b9cc65ae449efe"),
    ],
)
def test_files_are_the_same_in_every_version(monkeypatch, name, prior, levels, expected):
    """But for the model's fingerprint, which depends on how its description is written."""
    monkeypatch.setattr("lowerbound.compression.codec.fingerprint", lambda model: bytes(32))
    monkeypatch.setattr(zlib, "compress", lambda *_: bytes(10**6))
    vae = model(name, prior=prior)
    with torch.no_grad():
        for tensor in vae.parameters():
            numbers = 37 * torch.arange(tensor.numel()) % 101 - 50
            tensor.copy_((numbers / 200).view(tensor.shape))
    x = (np.arange(40 * 64) ** 2 % 257 % levels).astype(np.uint8).reshape(40, 8, 8)
    content = compress(vae, x).content
    assert hashlib.sha256(content).hexdigest()[:16] == expected
    assert np.array_equal(decompress(vae, content), x)


def test_without_constriction_its_install_line_is_given():
    code = (
        "import sys; sys.modules['constriction'] = None; import lowerbound; lowerbound.compression"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 1
    assert "MissingExtra: " in told.stderr.splitlines()[-1]
    assert "pip install 'lowerbound[compress]'" in told.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("dtype", "white"),
    [("bool", 1), ("uint8", 255), ("uint8", 1), ("float32", 255), (">f8", 1), ("<i2", 255)],
)
@pytest.mark.parametrize("layout", ["n1hw", "nhw"])
def test_an_array_comes_back_as_it_was(dtype, white, layout):
    vae = model()
    x = (binary(9) * white).astype(dtype)
    x = x[:, 0] if layout == "nhw" else x
    again = decompress(vae, compress(vae, x).content)
    assert (again.dtype, again.shape) == (x.dtype, x.shape)
    assert again.tobytes() == x.tobytes()


def test_colours_may_come_last():
    vae = model(shape=(3, 5, 4))
    x = binary(6, (5, 4, 3))
    assert np.array_equal(decompress(vae, compress(vae, x).content), x)
    moved = as_data(vae, x)
    assert torch.equal(moved, as_data(vae, np.moveaxis(x, -1, 1)))


@pytest.mark.parametrize("dtype", ["uint32", "float16"])
def test_dtypes_that_are_not_kept_are_named_beside_those_that_are(dtype):
    kept = "bool, uint8, int8, uint16, int16, int32, int64, float32 or float64"
    with pytest.raises(DataError, match=rf"expected an array of {kept}, got one of {dtype};"):
        compress(model(), binary(3).astype(dtype))


def test_binary_images_fit_a_model_of_grey_levels():
    vae = model("Categorical")
    x = 255 * binary(4)
    assert np.array_equal(decompress(vae, compress(vae, x).content), x)


def wide() -> lb.VAE:
    shape = (1, 16, 16)
    return model(
        shape=shape,
        posterior=lb.DiagonalGaussian(
            lb.Convolutional(shape, (8, 16), 2 * LATENT, (64,), activation="tanh"), LATENT
        ),
        likelihood=lb.Bernoulli(
            lb.Deconvolutional(
                LATENT, (16, 8), shape, activation="silu", normalisation="layer", residual=1
            ),
            shape,
        ),
    )


def test_another_process_with_other_threads_and_instructions_decodes_it(tmp_path):
    torch.manual_seed(1)
    vae, x = wide(), binary(700, (1, 16, 16))
    lb.save(vae, tmp_path)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "x.lb").write_bytes(compress(vae, x).content)
    code = (
        "import lowerbound as lb, numpy as np, pathlib, sys, torch\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "torch.set_num_threads(3)\n"
        "x = lb.compression.decompress(lb.load(folder), (folder / 'x.lb').read_bytes())\n"
        "assert np.array_equal(x, np.load(folder / 'x.npy'))\n"
        "assert torch.get_num_threads() == 3\n"
        "assert 'DEFAULT' in torch.backends.cpu.get_cpu_capability()\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    torch.set_num_threads(2)
    assert compress(vae, x).content == (tmp_path / "x.lb").read_bytes()


@pytest.mark.parametrize("kind", ["linear", "convolution", "transposed", "groups"])
def test_sums_do_not_depend_on_their_order(kind):
    n = 60
    order = torch.randperm(n)
    layer = {
        "linear": lambda: nn.Linear(n, 7),
        "convolution": lambda: nn.Conv2d(n, 5, 3, stride=2, padding=1),
        "transposed": lambda: nn.ConvTranspose2d(n, 5, 3, stride=2, output_padding=1),
        "groups": lambda: nn.Conv2d(n, 6, 3, groups=2),
    }[kind]().double()
    order = order if kind != "groups" else torch.cat([torch.randperm(30), 30 + torch.randperm(30)])
    x = torch.randn(4, n, *(() if kind == "linear" else (6, 5)), dtype=torch.float64)
    x *= torch.logspace(-6, 6, n, dtype=torch.float64).view(-1, *[1] * (x.ndim - 2))
    permuted = type(layer).__new__(type(layer))
    permuted.__dict__ = layer.__dict__ | {"_parameters": dict(layer._parameters)}
    weight = layer.weight.detach()
    if kind == "groups":
        rows = [weight[:3][:, order[:30]], weight[3:][:, order[30:] - 30]]
        moved = torch.cat(rows)
    else:
        moved = weight[order] if kind == "transposed" else weight[:, order]
    permuted._parameters["weight"] = nn.Parameter(moved)
    plain = layer(x), permuted(x[:, order])
    assert not torch.equal(*plain)
    with exactly():
        exact = layer(x), permuted(x[:, order])
    assert torch.equal(*exact)
    torch.testing.assert_close(exact[0], plain[0], rtol=0, atol=1e-3 * plain[0].abs().max().item())


def test_rounded_products_are_whole_multiples_below_two_to_the_53():
    terms = 1000
    a, b = (rounded(torch.randn(terms, dtype=torch.float64), terms) for _ in range(2))
    unit = min(v.abs()[v != 0].log2().floor().min().item() for v in (a, b)) - 60
    whole = [int(p * q * 2 ** (-2 * unit)) for p, q in zip(a.tolist(), b.tolist(), strict=True)]
    exact = sum(whole) / 2 ** (-2 * unit)
    assert torch.dot(a, b).item() == exact
    assert torch.equal(rounded(torch.zeros(3, dtype=torch.float64), 3), torch.zeros(3).double())


@pytest.mark.parametrize("size", [1e-150, 1e-157, 1e-160, 1e-161, 1e-310])
def test_products_of_the_smallest_numbers_have_no_order(size):
    torch.manual_seed(0)
    a, b = (size * torch.randn(n, 300, dtype=torch.float64) for n in (40, 30))
    order = torch.randperm(300)
    with exactly():
        assert torch.equal(a @ b.T, a[:, order] @ b[:, order].T)
        found = a @ (b.T / size)
    error = (found - a @ (b.T / size)).abs().max()
    assert error <= 1e-3 * found.abs().max() + 300 * 2.0**-535


def test_attention_is_refused():
    q = torch.randn(1, 1, 4, 8, dtype=torch.float64)
    with exactly(), pytest.raises(ConfigurationError, match="linear layers and convolutions"):
        nn.functional.scaled_dot_product_attention(q, q, q)


def test_exponentials_are_correctly_rounded():
    grid = np.arange(-3 * 32, 2 * 32 + 1) / 32
    np.testing.assert_allclose(exponentials(-3, 2, 32), np.exp(grid), rtol=3e-16)


def test_codes_are_drawn_from_the_posterior():
    """Whatever bits are on the stack; none is drawn far from the mean."""
    n, mean, sigma = 50_000, torch.tensor([0.3, -5.0, 40.0]), torch.tensor([0.02, 0.4, 1.0])
    q = DiagonalNormal(mean.double().repeat(n, 1), 2 * sigma.double().log().repeat(n, 1))
    words = np.random.default_rng(2).integers(0, 2**32, 200_000, np.uint32)
    stack = constriction.stream.stack.AnsCoder(words, seal=True)
    before = stack.get_compressed()
    grid = LatentGrid(farthest=8, widest=0)
    posterior = grid.posterior(q)
    symbols = posterior.pop(stack)
    z = grid.codes(symbols).view(n, 3)
    mean[2] = 8  # the farthest that can be sent
    torch.testing.assert_close(z.mean(0).float(), mean, atol=0.02, rtol=0)
    spread = (sigma.double() ** 2 + grid.steps**-2 / 12).sqrt()
    torch.testing.assert_close(z.std(0), spread, atol=0, rtol=0.03)
    assert ((z - mean).abs() < 8 * sigma + 0.1).all()
    posterior.push(stack, symbols)
    assert np.array_equal(stack.get_compressed(), before)


def test_a_block_gives_its_bits_back(trained, digits):
    words = np.random.default_rng(3).integers(0, 2**32, 3_000, np.uint32)
    coder, block = ExactVAE(trained).coder(50), digits[:50].ravel().astype(np.int32)
    stack = constriction.stream.stack.AnsCoder(words, seal=True)
    sealed = stack.get_compressed()
    assert coder.push(stack, block) < len(words)
    assert np.array_equal(coder.pop(stack), block)
    assert np.array_equal(stack.get_compressed(), sealed)


def test_blocks_grow_from_one():
    sizes = block_sizes(3_000, 500)
    assert sum(sizes) == 3_000
    assert sizes[0] == 1
    assert max(sizes) == 500
    assert all(size <= 1 + sum(sizes[:i]) / 4 for i, size in enumerate(sizes))


@pytest.fixture(scope="module")
def made() -> tuple[lb.VAE, np.ndarray, bytes]:
    torch.manual_seed(4)
    vae, x = model(), binary(40)
    return vae, x, compress(vae, x).content


def test_any_changed_byte_is_found(made):
    vae, _, content = made
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(StorageError, match=r"damaged or incomplete|lowerbound compress made"):
            decompress(vae, bytes(damaged))


def test_shorter_and_longer_files_are_refused(made):
    vae, x, content = made
    for length in range(len(content)):
        with pytest.raises(StorageError):
            decompress(vae, content[:length])
    for tail in (b"\0", b"more", content):
        with pytest.raises(StorageError, match="damaged or incomplete"):
            decompress(vae, content + tail)
    assert np.array_equal(decompress(vae, content), x)


def signed(content: bytes) -> bytes:
    """The content with a checksum that fits."""
    return content[:-32] + hashlib.sha256(content[:-32]).digest()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (7, b"\x03", "upgrade lowerbound"),
        (7, b"\x02", "not what was encoded"),
        (8, b"\0", "compressed with"),
        (72, b"|O\0\0", "makes no sense"),
        (72, b"<f4\xff", "makes no sense"),
        (76, b"\x07", "makes no sense"),
        (77, b"\xff", "makes no sense"),
        (78, b"\0\0", "makes no sense"),
        (78, b"\xff\xff", "does not fit the model"),
        (84, b"\xff", "makes no sense"),
        (85, b"\xff" * 7, "fit in memory"),
        (93, b"\x02", "does not fit the model"),
        (78, b"\x07", "does not fit the model"),
        (80, b"\xff\xff\xff\xff", "not what was encoded"),
        (85, b"\x90\x01", "not what was encoded"),
        (40, b"\0\0", "not what was encoded"),
        (130, b"\0\0\0\0", "not what was encoded"),
    ],
)
def test_a_forged_file_is_refused(made, place, value, message):
    vae, _, content = made
    forged = signed(content[:place] + value + content[place + len(value) :])
    with pytest.raises((StorageError, DataError), match=message):
        decompress(vae, forged)


def test_forged_bytes_are_never_decoded_wrongly(made):
    """With a checksum that fits, a changed byte is refused or makes no difference."""
    vae, x, content = made
    for place in range(0, len(content) - 32, 5):
        forged = bytearray(content)
        forged[place] ^= 0x55
        try:
            again = decompress(vae, signed(bytes(forged)))
        except (StorageError, DataError):
            continue
        assert again.tobytes() == x.tobytes()


def test_a_forged_end_is_refused(made):
    vae, _, content = made
    for length in range(120):
        short = content[:length]
        with pytest.raises((StorageError, DataError)):
            decompress(vae, short + hashlib.sha256(short).digest())


def test_stacks_that_a_sharp_posterior_could_not_have_made_are_refused():
    """One in 256 passes the check byte, and then asks for a code of probability 0."""
    torch.manual_seed(0)
    vae, x = model(), binary(4)
    with torch.no_grad():
        vae.posterior.network.layers[-1].bias[vae.latent_dim :] = -14.0
    header, words = file_format.unpack(compress(vae, x).content)
    rng = np.random.default_rng(0)
    for _ in range(600):
        forged = rng.integers(1, 2**32, len(words), np.uint32)
        with pytest.raises(StorageError):
            decompress(vae, file_format.pack(header, forged))


def test_an_empty_file_and_an_empty_stack_are_refused(made):
    vae, _, content = made
    with pytest.raises(StorageError, match="lowerbound compress made"):
        decompress(vae, b"")
    header, words = file_format.unpack(content)
    for few in (words[:0], np.zeros(1, np.uint32)):
        with pytest.raises(StorageError, match="makes no sense"):
            decompress(vae, file_format.pack(header, few))


def test_another_model_is_refused(made):
    vae, _, content = made
    torch.manual_seed(5)
    with pytest.raises(StorageError, match="expected the model that the file was compressed with"):
        decompress(model(), content)
    other = model(transform=lb.Binary())
    other.load_state_dict(vae.state_dict())
    assert fingerprint(other) != fingerprint(vae)


def with_draws(made: lb.VAE) -> lb.VAE:
    made.likelihood = lb.WeightDraws(made.likelihood, 2)
    return made


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: model("Gaussian"),
            "a likelihood of binary images or of grey levels, got Gaussian",
        ),
        (
            lambda: model(posterior=lb.Deterministic(lb.MLP(64, (), LATENT), LATENT)),
            "a DiagonalGaussian posterior to compress with, got StandardNormal and Deterministic",
        ),
        (lambda: model(context=lb.Labels(3)), "a model without labels"),
        (lambda: model(transform=lb.Dequantise()), "Bernoulli after Dequantise"),
        (
            lambda: with_draws(model()),
            "a model of one set of weights to compress with, got one of 2",
        ),
    ],
)
def test_compositions_that_cannot_be_coded_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        compress(make(), binary(3))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((3, 8, 8), 7, np.uint8), r"expected binary images .* binarise them"),
        (np.zeros((3, 7, 8), np.uint8), r"examples \(n, 1, 8, 8\)"),
        (np.zeros((0, 8, 8), np.uint8), r"examples \(n, 1, 8, 8\)"),
        (np.zeros((3, 8, 8), complex), "got one of complex128; convert it"),
        (np.full((3, 8, 8), np.nan), "expected binary images"),
        (np.full((3, 8, 8), -0.0), "negative zeros"),
    ],
)
def test_data_that_do_not_fit_are_refused(x, message):
    with pytest.raises(DataError, match=message):
        compress(model(), x)


@pytest.mark.parametrize("value", [-1, 0.5, 256, np.nan])
def test_grey_levels_are_whole_numbers_to_255(value):
    with pytest.raises(DataError, match="expected grey levels 0–255"):
        compress(model("Categorical"), np.full((3, 8, 8), value))


def test_a_broken_network_is_named(trained):
    broken = model()
    broken.load_state_dict({k: v * torch.nan for k, v in trained.state_dict().items()})
    with pytest.raises(DataError, match="finite numbers inside the networks"):
        compress(broken, binary(3))


def test_data_whose_codes_run_dry_are_deflated(monkeypatch):
    few = np.ones(3, np.uint32)
    monkeypatch.setattr("lowerbound.compression.codec._initial_words", lambda *_: few)
    broad = model(
        posterior=lb.DiagonalGaussian(lb.MLP(64, (), 100), 50),
        prior=lb.StandardNormal(50),
        likelihood=lb.Bernoulli(lb.MLP(50, (), 64), SHAPE),
    )
    made = compress(broad, binary(3))
    assert (made.method, made.initial_bits) == ("deflate", 0)
    assert np.array_equal(decompress(broad, made.content), binary(3))


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_what_a_model_does_not_know_takes_no_more_than_itself(dtype):
    """Noise under a model that is sure of its pixels' levels."""
    vae = model("DiscretisedLogistic")
    with torch.no_grad():
        vae.likelihood.network.layers[-1].weight.zero_()
        vae.likelihood.network.layers[-1].bias.fill_(-5.0)
    x = np.random.default_rng(0).integers(0, 256, (50, *SHAPE)).astype(dtype)
    made = compress(vae, x)
    assert made.method == "deflate"
    assert len(made.content) < x.nbytes + 200
    again = decompress(vae, made.content)
    assert (again.dtype, again.tobytes()) == (x.dtype, x.tobytes())


def test_a_forged_deflated_file_is_refused():
    vae = model("DiscretisedLogistic")
    x = np.zeros((3, *SHAPE), np.uint8)
    header, _ = file_format.unpack(compress(vae, x).content)
    for forged in (zlib.compress(b"1" * 10**6), zlib.compress(b"few"), b"no", b""):
        with pytest.raises(StorageError, match="not what was encoded"):
            decompress(vae, file_format.pack(header, forged))


def test_progress_reaches_the_end(made):
    vae, x, content = made
    seen: list[tuple[int, int]] = []
    compress(vae, x, progress=lambda *told: seen.append(told))
    decompress(vae, content, progress=lambda *told: seen.append(told))
    assert seen.count((40, 40)) == 2
    assert [done for done, _ in seen] != sorted(done for done, _ in seen)


def test_the_model_stays_as_it_was(trained):
    before = {name: t.clone() for name, t in trained.state_dict().items()}
    compress(trained, binary(5))
    for name, tensor in trained.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])
