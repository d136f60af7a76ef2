"""What a training image costs, in multiply-adds, as a pure function of the configuration."""

from __future__ import annotations

from mri_gan.config import TrainConfig
from mri_gan.nets.resolutions import channels_at, resolutions_up_to
from mri_gan.schedule import level_start, sizes, total_images

# Passes through the networks for one real image and step: the generator draws twice and learns
# once (a backward pass costs two forwards); the critic sees real, fake, penalty and generated
# images, learns from three of them, and the penalty differentiates twice.
GENERATOR_PASSES = 4.0
CRITIC_PASSES = 15.0


def block_cost(capacity: float, size: int) -> float:
    """Multiply-adds of the two convolutions that end at `size` px, for one image."""
    wide, wider = channels_at(size, capacity), channels_at(max(4, size // 2), capacity)
    # The resampling convolution works as 4x4 at half the size: 16/4 taps per output pixel.
    return float(size**2 * (9 * wide * wide + 4 * wide * wider))


def image_cost(config: TrainConfig, size: int) -> float:
    """Multiply-adds of all passes of one training image at `size` px."""
    forward = sum(block_cost(config.capacity, s) for s in resolutions_up_to(size))
    return forward * (GENERATOR_PASSES / config.n_critic + CRITIC_PASSES)


def cost_until(config: TrainConfig, nimg: int) -> float:
    """Multiply-adds of a run from its start to `nimg`."""
    levels = sizes(config)
    starts = [level_start(config, size) for size in levels]
    ends = [*starts[1:], max(total_images(config), nimg)]
    return sum(
        image_cost(config, size) * max(0, min(nimg, end) - start)
        for size, start, end in zip(levels, starts, ends, strict=True)
    )


def seconds_left(config: TrainConfig, first: int, nimg: int, seconds: float) -> float:
    """Time to the end of a run that came from `first` to `nimg` in so many seconds.

    Later levels cost more per image, so the rate so far is taken per multiply-add.
    """
    done = cost_until(config, nimg) - cost_until(config, first)
    ahead = cost_until(config, total_images(config)) - cost_until(config, nimg)
    return ahead / done * seconds if done > 0 else 0.0
