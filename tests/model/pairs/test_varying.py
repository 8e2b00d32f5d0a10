"""Layers that turn, grow and shear, against their closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tremorscope.model.pairs.layers import Masks, Textures, band_limited_kernel
from tremorscope.model.pairs.pairs import draw_pairs
from tremorscope.model.pairs.randomness import uniform
from tremorscope.model.pairs.settings import KERNEL_HALF_WIDTH, PairSettings
from tremorscope.model.pairs.varying import Varying

SETTINGS = PairSettings(patch_px=48, magnified_motion_max_px=12.0, varying_share=1.0, blurred_share=0.0)
KINDS = {
    "turning": ((0.0, -0.2), (0.2, 0.0)),
    "growing": ((0.15, 0.0), (0.0, 0.15)),
    "shearing": ((0.0, 0.18), (0.0, 0.0)),
}


@pytest.fixture
def pictures() -> list[Tensor]:
    """Smooth random pictures: the two passes are exact for what is not finer than the slope lets through."""
    coarse = torch.rand((2, 3, 40, 40), generator=torch.Generator().manual_seed(1))
    fine = torch.nn.functional.interpolate(coarse, size=(160, 160), mode="bicubic").clamp(0, 1)
    return list((255 * fine).byte())


def _layers(pictures: list[Tensor]) -> Textures:
    rng = torch.Generator().manual_seed(4)
    return Textures.draw(rng, pictures, SETTINGS, 1, 2, torch.device("cpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_varying_layer_shows_what_its_gradient_says(kind: str, pictures: list[Tensor]) -> None:
    """At every pixel, the window's continuous function where the pixel's content was at rest, to .003 of full scale."""
    textures, centre, shift = _layers(pictures), torch.tensor([6.0, -3.0]), torch.tensor([4.0, 2.5])
    gradient = torch.tensor(KINDS[kind])
    varying = Varying(gradient[None, None], centre[None, None])
    shown = textures.render(torch.stack((0 * shift, shift))[None], varying, varying.to_rest(torch.ones(1)))[
        0, 1
    ]
    axis = torch.arange(48.0) - 23.5
    places = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))  # (2, P, P)
    moved = torch.linalg.inv(torch.eye(2) + gradient)
    rest = (
        torch.einsum("ij,jpq->ipq", moved, places - (centre + shift)[:, None, None]) + centre[:, None, None]
    )
    window, zoom_out = textures.windows[0, 1], textures.zoom_out[0, 1]
    source = torch.arange(window.shape[-1]) - (window.shape[-1] - 1) / 2

    def weights(at: Tensor) -> Tensor:
        kernel = band_limited_kernel((zoom_out * at[..., None] - source) / zoom_out, KERNEL_HALF_WIDTH)
        return kernel / band_limited_kernel(source / zoom_out, KERNEL_HALF_WIDTH).sum()

    exact = torch.einsum("pqw,cwv,pqv->cpq", weights(rest[1]), window, weights(rest[0]))
    exact = textures.contrast[0, 1] * exact + textures.brightness[0, 1]
    assert (shown - exact).abs().max() < 3e-3
    # What magnification adds at a place is what its content has moved by.
    change = varying.change_px((shift)[None, None], 48)[0, 0]
    assert torch.allclose(places - rest, change + shift[:, None, None], atol=1e-4)


def test_at_rest_nothing_varies(pictures: list[Tensor]) -> None:
    """A share of zero gives the picture of the rigid layer, both ways of sampling."""
    textures = _layers(pictures)
    varying = Varying(torch.tensor(KINDS["turning"])[None, None], torch.zeros(1, 1, 2))
    shift = torch.tensor([[[0.0, 0.0], [0.3, -0.2]]])
    assert torch.allclose(
        textures.render(shift, varying, varying.to_rest(torch.zeros(1))), textures.render(shift), atol=2e-6
    )


def test_an_outline_turns_with_its_texture() -> None:
    """A bar along x, turned by a quarter of a radian, covers what lies along its new direction."""
    masks = Masks.draw(torch.Generator().manual_seed(0), SETTINGS, 1, 1, torch.device("cpu"))
    masks.angle.zero_(), masks.aspect.fill_(0.1), masks.radius_px.fill_(20.0), masks.wave.zero_()
    masks.centre_px.zero_(), masks.pitch_px.fill_(torch.inf), masks.softness_px.fill_(0.5)
    varying = Varying(torch.tensor(((0.0, -0.25), (0.25, 0.0)))[None, None], masks.centre_px)
    covered = masks.render(torch.zeros(1, 1, 2), varying.to_rest(torch.ones(1)))[0, 0, 0]
    axis = torch.arange(48.0) - 23.5
    slope = (covered * axis[:, None] * axis).sum() / (covered * axis.square()).sum()
    assert slope == pytest.approx(0.25, abs=0.01)


def test_the_frame_moved_by_the_truth_is_the_magnified_picture(pictures: list[Tensor]) -> None:
    """Inside parts that turn, grow and shear: three grey levels, another picture without it."""
    settings = SETTINGS.model_copy(
        update={
            "two_layers": True, "foreground_layers": 1, "still_background_share": 1.0, "still_layer_share": 0.0,
            "noiseless_share": 1.0, "flicker_share": 0.0, "amplification_min": 8.0, "amplification_max": 64.0,
        }
    )  # fmt: skip
    pairs = draw_pairs(pictures, settings, 24, seed=3)
    assert pairs.layers is not None
    at = torch.arange(48.0)
    grid = torch.stack(torch.meshgrid(at, at, indexing="xy"))

    def fetched(by_px: Tensor) -> Tensor:
        places = (2 * (grid - by_px) + 1) / 48 - 1
        return torch.nn.functional.grid_sample(
            pairs.frame,
            places.permute(0, 2, 3, 1),
            mode="bicubic",
            padding_mode="border",
            align_corners=False,
        )

    inside = (torch.nn.functional.avg_pool2d(pairs.layers.upper_counts, 9, 1, 4) == 1)[:, 0]
    inside &= (fetched(pairs.added_px).sub(pairs.magnified).abs().amax(dim=1) < 0.2) & (
        pairs.added_px.norm(dim=1) > 1
    )
    inside[:, :14], inside[:, -14:], inside[..., :14], inside[..., -14:] = False, False, False, False
    rigid = pairs.added_px.flatten(2).median(dim=-1).values[..., None, None].expand_as(pairs.added_px)
    off, off_rigid = (
        (fetched(by) - pairs.magnified).abs().amax(dim=1)[inside].median() for by in (pairs.added_px, rigid)
    )
    assert 255 * off < 3.0
    assert off_rigid > 3 * off


def test_as_many_vary_as_asked_and_none_that_may_not() -> None:
    """Shares over 4,000 layers; still and rigid ones never; the change to half a patch beside is at most 10 px."""
    rng = torch.Generator().manual_seed(0)
    motion = uniform(rng, (1000, 4, 2), -5.0, 5.0)
    motion[:, 1] = 0.0
    rigid = torch.zeros(1000, 4, dtype=torch.bool)
    rigid[:, 2] = True
    settings = SETTINGS.model_copy(update={"varying_share": 0.5})
    varying = Varying.draw(rng, settings, motion, rigid, torch.zeros(1000, 4, 2))
    assert varying.chosen[:, (0, 3)].float().mean() == pytest.approx(0.5, abs=0.04)
    assert not varying.chosen[:, 1:3].any()
    assert 9.0 < varying.most_px(24.0).max() <= 10.0
