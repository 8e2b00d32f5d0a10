"""The real-time network: Ha et al., "Revisiting Learning-based Video Motion Magnification for Real-time Processing",
arXiv 2403.01898, with a warp and a least-squares displacement beside (docs/network.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tremorscope.model.networks.blocks import (
    DepthToSpaceHead,
    FrameRepresentation,
    ResidualBlock,
    dilated_convolutions,
)
from tremorscope.model.networks.flow import Equations, LeastSquaresFlow, warp
from tremorscope.model.networks.layered import FrameLayers, LayersHead, draw_layers
from tremorscope.model.networks.own_cells import OwnCells
from tremorscope.model.networks.slopes import smooth_kernels

_TUPLES = (
    "decoder_dilations", "flow_windows_cells", "flow_moving_windows_cells", "flow_layer_windows_cells",
    "flow_affine_windows_cells",
)  # fmt: skip
_SURE_GAIN = 6.0
"""Least gain for which layers are decoded; below it a part of their displacement is drawn, or the opposite."""


@dataclass(frozen=True)
class RealtimeConfig:
    """The real-time family: a single linear encoder and a decoder on a small representation."""

    encoder_stride: int = 4
    encoder_kernel: int = 8
    """Even for an even stride, so that every cell sees its pixels symmetrically."""
    texture_channels: int = 48
    shape_channels: int = 32
    decoder_scale: int = 4
    """Pixels of the frame per cell of the decoder, along each axis."""
    decoder_channels: int = 64
    decoder_blocks: int = 9
    """Residual blocks, of the skip warped alone."""
    decoder_dilations: tuple[int, ...] = (1, 2, 4)
    """Dilations of the convolutions that take their place in the skip layers."""
    skip: Literal["warped", "layers"] = "warped"
    """Base of the decoded change: the frame warped by a decoded displacement; or two layers, each warped by a smooth
    displacement, the upper one cut out of the frame by a mask."""
    flow_windows_cells: tuple[int, ...] = (3, 5, 9)
    """Odd sides of cascaded averaging windows; the least-squares displacement after each is told to the decoder."""
    flow_moving_windows_cells: tuple[int, ...] = ()
    """The same, with every cell weighted by its motion, so that a still background does not dilute a thin part's."""
    flow_layer_windows_cells: tuple[int, ...] = ()
    """The same, for each layer of the skip layers over its own cells, as the mask has them; not features."""
    flow_affine_windows_cells: tuple[int, ...] = ()
    """Sides, two or four times an odd number, of such windows over which a layer's displacement may vary linearly."""
    flow_rounds: int = 3
    """Rounds that tell cells apart by the layer whose displacement explains them, before layers are measured."""
    flow_affine_lead: float = 0.0
    """Logit by which those windows are ahead of all others outside training: pairs whose parts move as a whole teach
    that one displacement is enough."""
    flow_all_lag: float = 0.0
    """Logit by which windows over all cells are behind a layer's own outside training."""
    flow_zero_lag: float = 0.0
    """Logit by which a displacement of zero is behind all windows outside training: judged by its mean error, a network
    draws the smaller what may be none, which bends the smallest motion."""
    flow_slope_reach_px: int = 4
    """Reach of the central differences behind the slopes: 4, or 6 for texture down to a period of 3 px."""
    flow_third_order: bool = False
    """Free the least-squares displacement of what it is too long by from about half a pixel on."""
    flow_probes: int = 8
    """Kernels of the shape encoder that the least-squares fit uses, from the first on."""

    def __post_init__(self) -> None:
        for name in _TUPLES:
            object.__setattr__(self, name, tuple(getattr(self, name)))  # YAML and JSON have lists
        if self.decoder_scale % self.encoder_stride:
            raise ValueError("decoder_scale must be a multiple of encoder_stride")
        if self.encoder_kernel < self.encoder_stride or (self.encoder_kernel - self.encoder_stride) % 2:
            raise ValueError("encoder_kernel must be encoder_stride plus an even number")
        if any(side % 2 or side % 8 == 0 for side in self.flow_affine_windows_cells):
            raise ValueError("flow_affine_windows_cells: sides must be two or four times an odd number")
        if self.skip == "layers" and not (self.flow_layer_windows_cells and self.flow_affine_windows_cells):
            raise ValueError("skip: layers needs flow_layer_windows_cells and flow_affine_windows_cells")
        if self.skip == "layers" and self.decoder_scale != self.encoder_stride:
            raise ValueError("skip: layers needs a decoder_scale equal to encoder_stride")

    def ahead(self) -> tuple[float, ...]:
        """Logits outside training of the displacements that a layer's is a mean of: each window's, and one of zero."""
        of_all = len(self.flow_windows_cells) + len(self.flow_moving_windows_cells)
        own, varying = len(self.flow_layer_windows_cells), len(self.flow_affine_windows_cells)
        windows = of_all * (-self.flow_all_lag,) + own * (0.0,) + varying * (self.flow_affine_lead,)
        return (*windows, -self.flow_zero_lag)


class Warped(NamedTuple):
    """A decoded change of a frame, with H and W rounded up to whole cells."""

    displacement_px: Tensor
    """Displacement (x, y) in px, by which the frame is warped: B x 2 x H x W."""
    change: Tensor
    """Change of the colours after that: B x 3 x H x W."""


Decoded: TypeAlias = FrameLayers | Warped
"""Decoder output, by the configured skip."""


class RealtimeNetwork(nn.Module):
    """The real-time network, difference first.

    The encoder is linear, so the motion's representation is the encoding of the *pixel difference* to the
    reference: its bias cancels, and no two rounded feature maps are ever subtracted.
    """

    def __init__(self, config: RealtimeConfig = RealtimeConfig()) -> None:
        super().__init__()
        self.config = config
        stride, kernel = config.encoder_stride, config.encoder_kernel
        self.texture_encoder = nn.Conv2d(3, config.texture_channels, kernel, stride)
        self.shape_encoder = nn.Conv2d(3, config.shape_channels, kernel, stride, bias=False)
        with torch.no_grad():
            smooth = smooth_kernels(config.encoder_kernel)[: config.shape_channels]
            self.shape_encoder.weight[: len(smooth)] = smooth
        channels = config.decoder_channels
        windows, moving = config.flow_windows_cells, config.flow_moving_windows_cells
        accuracy = config.flow_slope_reach_px, config.flow_third_order
        self.flow = LeastSquaresFlow(windows, config.flow_probes, stride, moving, *accuracy)
        features = config.texture_channels + config.shape_channels + 3 * (len(windows) + len(moving))
        if config.skip == "layers":
            self.decoder: nn.Module = dilated_convolutions(features, channels, config.decoder_dilations)
            self.head: nn.Module = LayersHead(channels, stride, config.flow_rounds, config.ahead())
        else:
            merge = nn.Conv2d(features, channels, 3, config.decoder_scale // stride, padding=1)
            self.decoder = nn.Sequential(
                merge, *(ResidualBlock(channels) for _ in range(config.decoder_blocks))
            )
            self.head = DepthToSpaceHead(channels, 5, config.decoder_scale)

    def encode(self, frame: Tensor) -> FrameRepresentation:
        """Linear representation of a frame: B x 3 x H x W -> B x C x ceil(H / stride) x ceil(W / stride)."""
        return FrameRepresentation(self.texture(frame), self.motion(frame - 0.5))

    def texture(self, frame: Tensor) -> Tensor:
        """Texture of a frame in [0, 1]: B x 3 x H x W -> B x C x ceil(H / stride) x ceil(W / stride)."""
        texture: Tensor = self.texture_encoder(self._pad(frame - 0.5))  # (B, C, h, w)
        return texture

    def motion(self, difference: Tensor) -> Tensor:
        """Shape of a difference of frames, zero where nothing moved: sizes as those of `texture`."""
        motion: Tensor = self.shape_encoder(self._pad(difference))  # (B, C, h, w)
        return motion

    def decode(
        self,
        frame: Tensor,
        motion: Tensor,
        gain: Tensor,
        halfway: Tensor | tuple[Tensor, Tensor] | None = None,
    ) -> Decoded:
        """Decode the change of the frame that ``gain`` times a ``motion`` makes; `draw` applies it.

        Args:
            frame: B x 3 x H x W in [0, 1].
            motion: B x C x h x w, as `motion` encodes it.
            gain: B x 1 x 1 x 1, or B x 1 x h x w where it differs from cell to cell.
            halfway: the mean of frame and reference, where there is one reference, sized as the frame; or its slopes,
                as `model.networks.slopes.slopes` gives them.

        Returns:
            By the configured skip, with H and W rounded up to whole cells; all zero changes nothing.
        """
        part = None
        if self.config.skip == "layers" and not self.training:
            # A mask is learned where it shows, from a pixel added on. Training itself sees each gain as it is.
            sure = gain.clamp(min=_SURE_GAIN)
            gain, part = sure, gain / sure
        halfway = frame if halfway is None else halfway
        equations = self.flow.equations(halfway, motion, gain, self.shape_encoder.weight, frame)
        return self.decode_features(frame, motion, equations, part)

    def decode_features(
        self, frame: Tensor, motion: Tensor, equations: Equations, part: Tensor | None = None
    ) -> Decoded:
        """As `decode`, by the flow's equations; ``part`` of what they give layers is drawn, sized as a gain."""
        config, (flow, unexplained) = self.config, self.flow.solve(equations)
        told = torch.cat((flow, unexplained.unsqueeze(2)), dim=2).flatten(1, 2)  # (B, 3 W, h, w)
        features = torch.cat((self.texture(frame), equations.gain * motion, told), dim=1)  # (B, C, h, w)
        cells = self.decoder(features)  # (B, C, h, w), or of the decoder's own resolution
        if config.skip == "layers":
            windows = config.flow_layer_windows_cells, config.flow_affine_windows_cells
            own = OwnCells(self.flow, equations, *windows)
            rows, columns = (config.encoder_stride * count for count in cells.shape[2:])
            layers: FrameLayers = self.head(cells, flow, self._whole(frame, rows, columns), own, part)
            return layers
        displacement, change = torch.split(self.head(cells), [2, 3], dim=1)  # (B, each, H, W)
        # The head's displacement is in cells, so that all its outputs are of the order of one.
        return Warped(config.decoder_scale * displacement, change)

    def draw(self, frame: Tensor, decoded: Decoded) -> Tensor:
        """Apply the output of `decode` to its frame, B x 3 x H x W in [0, 1] -> magnified frame, B x 3 x H x W."""
        return self.draw_with_displacement(frame, decoded)[0]

    def draw_with_displacement(self, frame: Tensor, decoded: Decoded) -> tuple[Tensor, Tensor]:
        """As `draw`, with the displacement in px added to the content at each pixel of the result: B x 2 x H x W."""
        height, width = frame.shape[2:]
        if isinstance(decoded, FrameLayers):
            whole = self._whole(frame, *decoded.mask.shape[2:])
            centred, added_px = draw_layers(whole, decoded, (height, width))
            return centred[:, :, :height, :width] + 0.5, added_px[:, :, :height, :width]
        displacement_px, change = (each[:, :, :height, :width] for each in decoded)
        return warp(frame, displacement_px) + change, displacement_px

    def decode_pair(self, frame: Tensor, difference: Tensor, amplification: Tensor) -> Decoded:
        """Output of `decode` for a frame and its difference to the reference.

        Args:
            frame: B x 3 x H x W in [0, 1].
            difference: frame - reference, B x 3 x H x W in [-1, 1].
            amplification: B.
        """
        gain = (amplification - 1.0).reshape(-1, 1, 1, 1)  # (B, 1, 1, 1)
        return self.decode(frame, self.motion(difference), gain, frame - 0.5 * difference)

    def forward(self, frame: Tensor, reference: Tensor, amplification: Tensor) -> Tensor:
        """Frame and reference B x 3 x H x W in [0, 1], amplification B -> magnified frame, B x 3 x H x W."""
        return self.draw(frame, self.decode_pair(frame, frame - reference, amplification))

    def magnify_pixels(self, frame_px: Tensor, reference_px: Tensor, amplification: Tensor) -> Tensor:
        """As `forward`, in grey levels 0 to 255, with the difference taken there: exact for 8-bit frames."""
        frame = frame_px / 255.0
        return 255.0 * self.draw(
            frame, self.decode_pair(frame, (frame_px - reference_px) / 255.0, amplification)
        )

    def _whole(self, frame: Tensor, rows: int, columns: int) -> Tensor:
        """The frame less 0.5, zero beyond it, up to whole cells: B x 3 x H x W -> B x 3 x rows x columns."""
        before = (self.config.encoder_kernel - self.config.encoder_stride) // 2
        return self._pad(frame - 0.5)[:, :, before : before + rows, before : before + columns]

    def _pad(self, x: Tensor) -> Tensor:
        # The same padding for every size: right and below there is room for a last, partly filled cell, so that
        # there are ceil(size / stride) cells whether or not the stride divides the size.
        before = (self.config.encoder_kernel - self.config.encoder_stride) // 2
        after = before + self.config.encoder_stride - 1
        return F.pad(x, (before, after, before, after))
