"""The generator and the critic, as their papers describe them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mri_gan.nets.build import noise_from_seeds
from mri_gan.nets.convolution import downsample_mean2, upsample_nearest2
from mri_gan.nets.layers import (
    broadcast_styles,
    channels_at,
    draw_noise,
    mix_styles,
    num_style_layers,
    truncate,
)
from mri_gan.nets.stylegan import Critic, Generator, MappingNetwork

LATENT_DIM = 16


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def generator_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shapes_of(n: int, resolution: int) -> list[tuple[int, int, int, int]]:
    """The noise of the paper: two images for each resolution."""
    with torch.device("meta"):
        return Generator(max_resolution=4, capacity=0.05).noise_shapes(n, resolution)


@pytest.fixture
def generator() -> Generator:
    """A small 64 px generator whose noise is heard."""
    torch.manual_seed(0)
    made = Generator(max_resolution=64, capacity=0.05, latent_dim=LATENT_DIM, mapping_depth=2)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("noise.weight"):
                parameter.fill_(0.5)
    return made.eval()


@pytest.fixture
def critic() -> Critic:
    torch.manual_seed(0)
    return Critic(max_resolution=64, capacity=0.05)


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class TestSizes:
    def test_channels_are_those_of_the_paper(self) -> None:
        sizes = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
        widths = [512, 512, 512, 512, 256, 128, 64, 32, 16]
        assert [channels_at(size) for size in sizes] == widths

    def test_capacity_gives_multiples_of_four_and_at_least_four(self) -> None:
        assert channels_at(32, 0.125) == 64
        assert channels_at(1024, 0.125) == 4
        assert channels_at(32, 0.05) == 24
        assert channels_at(32, 1 / 48) == 12  # 10.7, to the nearest multiple of 4
        assert channels_at(1024, 2.0) == 32

    def test_two_style_layers_for_each_block(self) -> None:
        assert [num_style_layers(r) for r in (4, 8, 16, 256, 1024)] == [2, 4, 6, 14, 18]

    @pytest.mark.parametrize("resolution", [-8, 0, 2, 12, 2048])
    def test_other_resolutions_are_refused(self, resolution: int) -> None:
        with pytest.raises(ValueError, match="not a power of two"):
            channels_at(resolution)
        with pytest.raises(ValueError, match="not a power of two"):
            Generator(max_resolution=resolution)
        with pytest.raises(ValueError, match="not a power of two"):
            Critic(max_resolution=resolution)

    def test_capacity_must_be_positive(self) -> None:
        with pytest.raises(ValueError, match="capacity"):
            channels_at(32, 0.0)

    def test_parameters_at_1024_px_are_those_published(self) -> None:
        """26.2 M in Karras et al. 2019, section 2; 23.1 M in Karras et al. 2018, table 2."""
        with torch.device("meta"):
            generator = Generator(max_resolution=1024, image_channels=3)
            critic = Critic(max_resolution=1024, image_channels=3)
        assert count_parameters(generator.mapping) == 2_101_248
        assert count_parameters(generator) == 26_219_627
        assert count_parameters(critic) == 23_087_249

    def test_parameter_names_carry_the_resolution(
        self, generator: Generator, critic: Critic
    ) -> None:
        expected = {
            "w_avg",
            "mapping.layers.0.weight",
            "synthesis.blocks.4.constant",
            "synthesis.blocks.32.conv0.weight",
            "synthesis.blocks.32.style1.noise.weight",
            "synthesis.blocks.32.style1.adain.affine.bias",
            "synthesis.to_image.32.weight",
        }
        assert expected <= generator.state_dict().keys()
        expected = {"blocks.4.dense1.bias", "blocks.32.conv1.weight", "from_image.32.bias"}
        assert expected <= critic.state_dict().keys()


class TestMapping:
    def test_scale_of_z_does_not_matter(self) -> None:
        mapping = MappingNetwork(LATENT_DIM, depth=3)
        z = normal(4, LATENT_DIM)
        torch.testing.assert_close(mapping(z), mapping(10 * z))

    def test_has_the_depth_asked_for(self) -> None:
        assert len(MappingNetwork(LATENT_DIM, depth=5).layers) == 5


class TestStyles:
    def test_broadcast_gives_every_layer_the_same(self) -> None:
        w = normal(3, LATENT_DIM)
        ws = broadcast_styles(w, 6)
        assert ws.shape == (3, 6, LATENT_DIM)
        assert all(torch.equal(ws[:, layer], w) for layer in range(6))

    @pytest.mark.parametrize("crossover", [0, 1, 4, 6])
    def test_mixing_crosses_over_before_the_layer_given(self, crossover: int) -> None:
        w_a, w_b = normal(3, LATENT_DIM), normal(3, LATENT_DIM, seed=1)
        ws = mix_styles(w_a, w_b, crossover, 6)
        assert ws.shape == (3, 6, LATENT_DIM)
        assert all(torch.equal(ws[:, layer], w_a) for layer in range(crossover))
        assert all(torch.equal(ws[:, layer], w_b) for layer in range(crossover, 6))

    def test_mixing_takes_a_crossover_per_image(self) -> None:
        w_a, w_b = normal(3, LATENT_DIM), normal(3, LATENT_DIM, seed=1)
        ws = mix_styles(w_a, w_b, torch.tensor([0, 2, 6]), 6)
        for image, crossover in enumerate([0, 2, 6]):
            one = slice(image, image + 1)
            assert torch.equal(ws[one], mix_styles(w_a[one], w_b[one], crossover, 6))

    def test_a_style_only_changes_its_own_and_later_layers(self, generator: Generator) -> None:
        """With the last two layers swapped, the features below the last block stay."""
        w_a, w_b = normal(2, LATENT_DIM), normal(2, LATENT_DIM, seed=1)
        pure, mixed = broadcast_styles(w_a, 6), mix_styles(w_a, w_b, 4, 6)
        same = [generator.synthesis(ws, resolution=16, alpha=0.0) for ws in (pure, mixed)]
        other = [generator.synthesis(ws, resolution=16) for ws in (pure, mixed)]
        assert torch.equal(*same)
        assert not torch.allclose(*other)

    def test_truncation_runs_from_the_mean_to_the_style(self) -> None:
        w, w_avg = normal(3, LATENT_DIM), normal(LATENT_DIM, seed=1)
        assert torch.equal(truncate(w, w_avg, 0.0), w_avg.expand(3, -1))
        assert torch.equal(truncate(w, w_avg, 1.0), w)
        torch.testing.assert_close(truncate(w, w_avg, 0.7), w_avg + 0.7 * (w - w_avg))
        ws = broadcast_styles(w, 4)
        torch.testing.assert_close(truncate(ws, w_avg, 0.7)[:, 2], truncate(w, w_avg, 0.7))


class TestNoise:
    def test_two_images_for_each_resolution(self) -> None:
        shapes = [tuple(noise.shape) for noise in draw_noise(shapes_of(3, 16), generator_of(0))]
        assert shapes == [(3, 1, r, r) for r in (4, 4, 8, 8, 16, 16)]

    def test_repeats_with_its_generator(self) -> None:
        again = [draw_noise(shapes_of(2, 8), generator_of(5)) for _ in range(2)]
        assert all(torch.equal(a, b) for a, b in zip(*again, strict=True))
        one, other = draw_noise(shapes_of(2, 8), generator_of(5))[:2]
        assert not torch.equal(one, other)

    def test_lower_resolution_is_the_beginning_of_the_higher(self) -> None:
        low, high = (draw_noise(shapes_of(2, r), generator_of(5)) for r in (8, 32))
        assert all(torch.equal(a, b) for a, b in zip(low, high, strict=False))

    def test_what_a_seed_gives_ignores_its_batch_mates(self) -> None:
        alone, together = (
            noise_from_seeds([7], shapes_of(1, 16)),
            noise_from_seeds([3, 7, 4], shapes_of(1, 16)),
        )
        assert all(torch.equal(a, b[1:2]) for a, b in zip(alone, together, strict=True))

    def test_no_noise_equals_zeros(self, generator: Generator) -> None:
        z = normal(2, LATENT_DIM)
        zeros = [torch.zeros_like(noise) for noise in noise_from_seeds([0], shapes_of(1, 16))]
        silent = generator(z, resolution=16)
        torch.testing.assert_close(generator(z, resolution=16, noise=zeros), silent)
        assert torch.equal(generator(z, resolution=16, noise=[None] * 6), silent)

    def test_changes_nothing_until_its_weight_has_moved(self, generator: Generator) -> None:
        z, noise = normal(2, LATENT_DIM), draw_noise(shapes_of(2, 16), generator_of(0))
        fresh = Generator(max_resolution=16, capacity=0.05, latent_dim=LATENT_DIM)
        assert torch.equal(fresh(z, resolution=16, noise=noise), fresh(z, resolution=16))
        heard = generator(z, resolution=16, noise=noise)
        assert not torch.allclose(heard, generator(z, resolution=16))


class TestGenerator:
    @pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64])
    @pytest.mark.parametrize("alpha", [0.3, 1.0])
    def test_shape(self, generator: Generator, resolution: int, alpha: float) -> None:
        images = generator(normal(2, LATENT_DIM), resolution=resolution, alpha=alpha)
        assert images.shape == (2, 1, resolution, resolution)
        assert images.isfinite().all()

    def test_several_image_channels(self) -> None:
        made = Generator(max_resolution=8, image_channels=3, capacity=0.05, latent_dim=LATENT_DIM)
        assert made(normal(2, LATENT_DIM), resolution=8).shape == (2, 3, 8, 8)

    @pytest.mark.parametrize("resolution", [8, 32])
    def test_alpha_zero_is_the_lower_image_doubled(
        self, generator: Generator, resolution: int
    ) -> None:
        z, noise = normal(2, LATENT_DIM), draw_noise(shapes_of(2, resolution), generator_of(0))
        lower = generator(z, resolution=resolution // 2, noise=noise[:-2])
        faded = generator(z, resolution=resolution, alpha=0.0, noise=noise)
        torch.testing.assert_close(faded, upsample_nearest2(lower))

    def test_fade_in_is_continuous(self, generator: Generator) -> None:
        z = normal(2, LATENT_DIM)
        start, middle, almost, end = (
            generator(z, resolution=16, alpha=alpha) for alpha in (0.0, 0.25, 1 - 1e-6, 1.0)
        )
        torch.testing.assert_close(middle, 0.75 * start + 0.25 * end)
        torch.testing.assert_close(almost, end, atol=1e-4, rtol=0)

    def test_an_image_ignores_its_batch_mates(self, generator: Generator) -> None:
        z, noise = normal(5, LATENT_DIM), noise_from_seeds(range(5), shapes_of(1, 32))
        together = generator(z, resolution=32, noise=noise)
        alone = generator(z[3:4], resolution=32, noise=noise_from_seeds([3], shapes_of(1, 32)))
        torch.testing.assert_close(together[3:4], alone, atol=1e-5, rtol=1e-5)

    def test_leaves_the_global_random_state_alone(self, generator: Generator) -> None:
        before = torch.get_rng_state()
        noise = draw_noise(shapes_of(2, 16), generator_of(0))
        generator(normal(2, LATENT_DIM), resolution=16, alpha=0.5, noise=noise)
        noise_from_seeds([1, 2], shapes_of(1, 16))
        assert torch.equal(torch.get_rng_state(), before)

    def test_only_the_blocks_in_use_get_gradients(self, generator: Generator) -> None:
        noise = draw_noise(shapes_of(2, 16), generator_of(0))
        images = generator(normal(2, LATENT_DIM), resolution=16, noise=noise)
        images.square().sum().backward()
        have = {name for name, p in generator.named_parameters() if p.grad is not None}
        in_use = ("mapping", *(f"synthesis.blocks.{r}." for r in (4, 8, 16)))
        expected = {name for name, _ in generator.named_parameters() if name.startswith(in_use)}
        expected |= {"synthesis.to_image.16.weight", "synthesis.to_image.16.bias"}
        assert have == expected

    def test_loads_what_it_saved(self, generator: Generator) -> None:
        twin = Generator(max_resolution=64, capacity=0.05, latent_dim=LATENT_DIM, mapping_depth=2)
        twin.load_state_dict(generator.state_dict())
        z = normal(2, LATENT_DIM)
        assert torch.equal(twin.eval()(z, resolution=16), generator(z, resolution=16))

    def test_runs_in_bfloat16(self, generator: Generator) -> None:
        z, noise = normal(2, LATENT_DIM), draw_noise(shapes_of(2, 16), generator_of(0))
        exact = generator(z, resolution=16, noise=noise)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = generator(z, resolution=16, noise=noise)
        assert rough.dtype == torch.bfloat16
        assert (rough - exact).abs().mean() < 0.03 * exact.std()

    def test_refuses_what_does_not_fit(self, generator: Generator) -> None:
        z = normal(2, LATENT_DIM)
        with pytest.raises(ValueError, match=r"not a power of two in 4\.\.64"):
            generator(z, resolution=128)
        with pytest.raises(ValueError, match="alpha"):
            generator(z, resolution=8, alpha=1.5)
        with pytest.raises(ValueError, match="style layers"):
            generator(z, resolution=8, noise=draw_noise(shapes_of(2, 16), generator_of(0)))
        with pytest.raises(ValueError, match="style layers"):
            generator.synthesis(broadcast_styles(z, 6), resolution=8)


class TestCritic:
    @pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64])
    @pytest.mark.parametrize("alpha", [0.3, 1.0])
    def test_one_score_for_each_image(self, critic: Critic, resolution: int, alpha: float) -> None:
        scores = critic(normal(4, 1, resolution, resolution), alpha=alpha)
        assert scores.shape == (4,)
        assert scores.isfinite().all()

    def test_alpha_zero_scores_the_halved_image(self, critic: Critic) -> None:
        images = normal(4, 1, 32, 32)
        torch.testing.assert_close(critic(images, alpha=0.0), critic(downsample_mean2(images)))

    def test_fade_in_is_continuous(self, critic: Critic) -> None:
        images = normal(4, 1, 16, 16)
        torch.testing.assert_close(
            critic(images, alpha=1 - 1e-6), critic(images), atol=1e-4, rtol=0
        )

    @pytest.mark.parametrize("n", [3, 4, 5])
    def test_joined_batches_score_as_two_passes(self, critic: Critic, n: int) -> None:
        real, fake = normal(n, 1, 16, 16), 3 * normal(n, 1, 16, 16, seed=1)
        together = critic(torch.cat([real, fake]), parts=2)
        torch.testing.assert_close(together, torch.cat([critic(real), critic(fake)]))
        assert not torch.allclose(together, critic(torch.cat([real, fake])))

    def test_only_the_blocks_in_use_get_gradients(self, critic: Critic) -> None:
        critic(normal(4, 1, 8, 8)).sum().backward()
        have = {name for name, p in critic.named_parameters() if p.grad is not None}
        in_use = ("blocks.4.", "blocks.8.", "from_image.8.")
        assert have == {n for n, _ in critic.named_parameters() if n.startswith(in_use)}

    def test_refuses_what_does_not_fit(self, critic: Critic) -> None:
        with pytest.raises(ValueError, match=r"not a power of two in 4\.\.64"):
            critic(normal(2, 1, 128, 128))
        with pytest.raises(ValueError, match="not square"):
            critic(normal(2, 1, 8, 16))
        with pytest.raises(ValueError, match="alpha"):
            critic(normal(2, 1, 8, 8), alpha=-0.1)
        with pytest.raises(ValueError, match="3 images"):
            critic(normal(3, 1, 8, 8), parts=2)


def test_noise_of_a_seed_does_not_repeat_its_latent() -> None:
    noise = noise_from_seeds([7], [(1, 1, 4, 4)])[0].flatten()
    latent = torch.randn(16, generator=torch.Generator().manual_seed(7))
    assert not torch.equal(noise, latent)
