"""Which resolutions the networks have, and how wide they are at each."""

from __future__ import annotations

SMALLEST_PX = 4
LARGEST_PX = 1024


def check_resolution(resolution: int, largest: int = LARGEST_PX) -> None:
    """Raise ValueError unless `resolution` is a power of two in 4..`largest` px."""
    is_power_of_two = resolution > 0 and resolution & (resolution - 1) == 0
    if not (is_power_of_two and SMALLEST_PX <= resolution <= largest):
        raise ValueError(f"resolution {resolution} px is no power of two in 4..{largest}")


def check_alpha(alpha: float) -> None:
    """Raise ValueError unless the fade-in weight lies in 0..1."""
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"fade-in weight alpha {alpha} is not in 0..1")


def resolutions_up_to(largest: int) -> list[int]:
    """List the resolutions 4, 8, .., `largest` px; ValueError for no power of two in 4..1024."""
    check_resolution(largest)
    return [1 << exponent for exponent in range(2, largest.bit_length())]


def num_style_layers(resolution: int) -> int:
    """Count the style inputs of a generator grown to `resolution` px, two for each block.

    2 at 4 px, 18 at 1024 px; ValueError for no power of two in 4..1024.  Karras et al. 2019,
    section 2.
    """
    return 2 * len(resolutions_up_to(resolution))


def channels_at(
    resolution: int,  # px
    capacity: float = 1.0,  # multiplies every width; 1 is the paper
    *,
    base: int = 8192,
    maximum: int = 512,
) -> int:
    """Return the width of the layers at one resolution, a multiple of 4 and at least 4.

    512 at 4..32 px, then halved with each doubling down to 16 at 1024 px, times `capacity`.
    Raises ValueError for a bad resolution or a capacity not above 0.  Karras et al. 2018, table 2
    (the widths of Karras et al. 2019 are the same).
    """
    check_resolution(resolution)
    if not capacity > 0:
        raise ValueError(f"capacity {capacity} is not above 0")
    paper_width = min(maximum, base * 2 // resolution)
    return max(4, 4 * round(paper_width * capacity / 4))
