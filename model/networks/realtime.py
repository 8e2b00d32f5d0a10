"""The real-time network: Ha et al., "Revisiting Learning-based Video Motion Magnification for Real-time Processing",
arXiv 2403.01898, with a warp and a least-squares displacement beside (docs/design.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tremorscope.model.networks.blocks import Representation, ResidualBlock, convolution
from tremorscope.model.networks.flow import LeastSquaresFlow, smooth_kernels, warp
from tremorscope.model.networks.guide import beside, follow_colours


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
    head: Literal["depth_to_space", "upsample"] = "depth_to_space"
    skip: Literal["frame", "warped", "layers"] = "warped"
    """What the decoder's change is added to: the frame, or the frame warped by a displacement it also decodes, or the
    lower of two layers, each warped by a smooth displacement, the upper one cut out of the frame by a mask."""
    fine_channels: int = 0
    """Channels of a stage at the encoder's resolution, behind the blocks, that sees again what these were told; 0 for
    none."""
    fine_convolutions: int = 1
    """How many convolutions that stage has."""
    flow_windows_cells: tuple[int, ...] = (3, 5, 9)
    """Sides of windows, odd, each averaging over what the one before gave: after each the decoder is told the
    displacement that fits best. None: it is told nothing."""
    flow_moving_windows_cells: tuple[int, ...] = ()
    """The same, with every cell weighted by how far it moves: a thin part's cells against its still background's."""
    flow_probes: int = 8
    """How many combinations of the shape channels that least-squares fit is made on."""

    def __post_init__(self) -> None:
        for name in ("flow_windows_cells", "flow_moving_windows_cells"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # YAML and JSON have lists
        if self.decoder_scale % self.encoder_stride:
            raise ValueError("decoder_scale must be a multiple of encoder_stride")
        if self.encoder_kernel < self.encoder_stride or (self.encoder_kernel - self.encoder_stride) % 2:
            raise ValueError("encoder_kernel must be encoder_stride plus an even number")
        if self.fine_channels and self.skip != "layers":
            raise ValueError("fine_channels are of a network that draws layers")
        if self.skip == "layers" and not (self.fine_channels or self.decoder_scale == self.encoder_stride):
            raise ValueError(
                "layers are drawn on the encoder's cells: fine_channels, or decoder_scale as the stride"
            )


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
        self.flow = LeastSquaresFlow(windows, config.flow_probes, stride, moving) if windows else None
        known = config.texture_channels + config.shape_channels + 3 * (len(windows) + len(moving))
        self.merge = nn.Conv2d(
            known,
            channels,
            kernel_size=3,
            stride=config.decoder_scale // stride,
            padding=1,
        )
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(config.decoder_blocks)))
        self.fine = _FineStage(channels, known, config) if config.fine_channels else None
        if config.skip == "layers":
            self.head: nn.Module = _LayersHead(
                config.fine_channels or channels, stride, len(windows) + len(moving)
            )
        else:
            head = _DepthToSpaceHead if config.head == "depth_to_space" else _UpsampleHead
            self.head = head(channels, 5 if config.skip == "warped" else 3, config.decoder_scale)

    def encode(self, frame: Tensor) -> Representation:
        """Linear representation of a frame: B x 3 x H x W -> B x C x ceil(H / stride) x ceil(W / stride)."""
        return Representation(self.texture(frame), self.motion(frame - 0.5))

    def texture(self, frame: Tensor) -> Tensor:
        """Texture of a frame in [0, 1]: B x 3 x H x W -> B x C x ceil(H / stride) x ceil(W / stride)."""
        texture: Tensor = self.texture_encoder(self._pad(frame - 0.5))
        return texture

    def motion(self, difference: Tensor) -> Tensor:
        """Shape of a difference of frames, zero where nothing moved: sizes as those of `texture`."""
        motion: Tensor = self.shape_encoder(self._pad(difference))
        return motion

    def decode(self, frame: Tensor, motion: Tensor, gain: Tensor, halfway: Tensor | None = None) -> Tensor:
        """How ``gain`` times a ``motion`` alters the frame; `draw` draws it.

        Args:
            frame: B x 3 x H x W in [0, 1].
            motion: B x C x h x w, as `motion` encodes it.
            gain: B x 1 x 1 x 1, or B x 1 x h x w where it differs from cell to cell.
            halfway: the mean of frame and reference, where there is one reference, sized as the frame.

        Returns:
            B x 3 x H x W, a change of the colours in [-1, 1]; behind the two components (x, y) of a displacement in
            px where the skip is warped: B x 5 x H x W; behind those of the upper and the lower layer's displacement
            and the upper's mask in [0, 1] where it is layers: B x 8 x H x W. Sizes are up to whole cells. Zero alters
            nothing.
        """
        known = [self.texture(frame), gain * motion]
        if self.flow is not None:
            picture = frame if halfway is None else halfway
            known.append(self.flow(picture, motion, gain, self.shape_encoder.weight))
        if self.config.skip == "layers":
            return self._decode_layers(frame, torch.cat(known, dim=1))
        return self.decode_known(torch.cat(known, dim=1))

    def decode_known(self, known: Tensor) -> Tensor:
        """What `decode` makes of all that the decoder is told: B x C x h x w of texture, motion and displacement."""
        decoded: Tensor = self.head(self.blocks(self.merge(known)))
        if self.config.skip == "frame":
            return decoded
        # The head thinks in cells, so that all it gives is of the order of one.
        return torch.cat((self.config.decoder_scale * decoded[:, :2], decoded[:, 2:]), dim=1)

    def _decode_layers(self, frame: Tensor, known: Tensor) -> Tensor:
        coarse = self.blocks(self.merge(known))
        cells = coarse if self.fine is None else self.fine(coarse, known)
        found = known[:, self.config.texture_channels + self.config.shape_channels :]
        before, side = (
            (self.config.encoder_kernel - self.config.encoder_stride) // 2,
            self.config.encoder_stride,
        )
        rows, columns = (side * count + before for count in known.shape[2:])
        layers: Tensor = self.head(cells, found, self._pad(frame - 0.5)[:, :, before:rows, before:columns])
        return layers

    def draw(self, frame: Tensor, decoded: Tensor) -> Tensor:
        """The magnified frame: B x 3 x H x W in [0, 1] and what `decode` made of it -> B x 3 x H x W."""
        height, width = frame.shape[2:]
        decoded = decoded[:, :, :height, :width]
        if self.config.skip == "frame":
            return frame + decoded
        if self.config.skip == "layers":
            return draw_layers(frame, decoded)[0]
        return warp(frame, decoded[:, :2]) + decoded[:, 2:]

    def draw_known(self, frame: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """As `draw`, and the displacement in px of what the magnified frame shows at each pixel: B x 2 x H x W.

        Of a network that moves the frame; for training, where that displacement is known.
        """
        decoded = decoded[:, :, : frame.shape[2], : frame.shape[3]]
        if self.config.skip == "layers":
            return draw_layers(frame, decoded)
        return self.draw(frame, decoded), decoded[:, :2]

    def decode_pair(self, frame: Tensor, difference: Tensor, amplification: Tensor) -> Tensor:
        """What `decode` makes of a frame and its difference to the reference.

        Args:
            frame: B x 3 x H x W in [0, 1].
            difference: frame - reference, B x 3 x H x W in [-1, 1].
            amplification: B.
        """
        gain = (amplification - 1.0).reshape(-1, 1, 1, 1)
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

    def _pad(self, x: Tensor) -> Tensor:
        # The same pads for every size: right and below there is room for a last, partly filled cell, which gives
        # ceil(size / stride) cells. A size that the stride does not divide needs no case of its own.
        before = (self.config.encoder_kernel - self.config.encoder_stride) // 2
        after = before + self.config.encoder_stride - 1
        return F.pad(x, (before, after, before, after))


def draw_layers(frame: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    """Two layers of a frame, each moved, one over the other.

    The upper layer's mask is drawn on the frame, where its edges are seen, and moves with it; so does what the lower
    layer shows where the upper one was.

    Args:
        frame: B x 3 x H x W in [0, 1].
        decoded: B x 8 x H x W, as `RealtimeNetwork.decode` gives it.

    Returns:
        The picture, B x 3 x H x W, and the displacement in px of what it shows, B x 2 x H x W.
    """
    upper_px, lower_px, mask, filled = torch.split(decoded, [2, 2, 1, 3], dim=1)
    upper = warp(torch.cat((frame, mask), dim=1), upper_px)
    lower = warp(frame + filled, lower_px)
    shown = upper[:, 3:]
    hidden = 1.0 - shown
    return shown * upper[:, :3] + hidden * lower, shown * upper_px + hidden * lower_px


class _FineStage(nn.Module):
    """What the blocks made of coarse cells, on the encoder's cells again, beside what is known there."""

    def __init__(self, coarse: int, known: int, config: RealtimeConfig) -> None:
        super().__init__()
        ratio, channels = config.decoder_scale // config.encoder_stride, config.fine_channels
        self.spread = nn.PixelShuffle(ratio) if ratio > 1 else nn.Identity()
        inputs = [coarse // ratio**2 + known] + [channels] * (config.fine_convolutions - 1)
        self.convs = nn.ModuleList(convolution(count, channels, 3) for count in inputs)
        self.activation = nn.ReLU()

    def forward(self, coarse: Tensor, known: Tensor) -> Tensor:
        """B x C x h/r x w/r and B x K x h x w -> B x N x h x w."""
        rows, columns = known.shape[2:]
        spread = self.spread(coarse)[:, :, :rows, :columns]
        fine = torch.cat((spread, known), dim=1)
        for conv in self.convs:
            fine = self.activation(conv(fine))
        return fine


class _LayersHead(nn.Module):
    """Cells to two smooth displacements, a mask, and what is behind it: B x C x h x w -> B x 8 x H x W.

    A displacement is a mean of those that least squares found, and of none, by weights that are decoded, and a rest: so
    one that was found is passed on at any length. The mask is what follows the frame's own colours best, and what is
    decoded pixel by pixel; behind it the lower layer shows what the frame shows beside it, smooth.
    """

    def __init__(self, channels: int, scale: int, found: int) -> None:
        super().__init__()
        self.scale, self.found = scale, found
        self.conv = convolution(channels, 2 * (2 + found + 1) + 3 + 1 + scale * scale, 3)

    def forward(self, cells: Tensor, found: Tensor, centred: Tensor) -> Tensor:
        """What `RealtimeNetwork.decode` gives.

        Args:
            cells: B x C x h x w.
            found: B x 3 W x h x w, as `LeastSquaresFlow` gives it.
            centred: the frame less 0.5, of whole cells: B x 3 x (h scale) x (w scale).
        """
        each = 2 + self.found + 1
        parts = [each, each, 3, 1, self.scale**2]
        upper, lower, background, likely, sharp = torch.split(self.conv(cells), parts, dim=1)
        x, y = found[:, 0::3], found[:, 1::3]  # B x W x h x w each
        both = torch.cat((self._mean(upper, x, y), self._mean(lower, x, y)), dim=1)
        slope, level = follow_colours(likely.sigmoid(), F.avg_pool2d(centred, self.scale))
        # In cells, so that all that is decoded is of the order of one.
        smooth = self._between(torch.cat((self.scale * both, slope, level), dim=1))
        moved, slope, level = torch.split(smooth, [4, 3, 1], dim=1)
        by_colour = (slope * centred).sum(dim=1, keepdim=True) + level
        mask = (8.0 * (by_colour - 0.5) + 4.0 * F.pixel_shuffle(sharp, self.scale)).sigmoid()
        behind = self._between(beside(centred, mask, background))
        return torch.cat((moved, mask, mask * (behind - centred)), dim=1)

    def _between(self, cells: Tensor) -> Tensor:
        """Cells to pixels. Displacements between cells lie between theirs: what is straight stays straight."""
        return F.interpolate(cells, scale_factor=float(self.scale), mode="bilinear")

    def _mean(self, decoded: Tensor, x: Tensor, y: Tensor) -> Tensor:
        weights = decoded[:, 2:].softmax(dim=1)[:, : self.found]
        mean = [(weights * each).sum(dim=1, keepdim=True) for each in (x, y)]
        return decoded[:, :2] + torch.cat(mean, dim=1)


class _DepthToSpaceHead(nn.Sequential):
    """Cells to pixels in one convolution: B x C x h x w -> B x N x (h scale) x (w scale)."""

    def __init__(self, channels: int, outputs: int, scale: int) -> None:
        super().__init__(convolution(channels, outputs * scale * scale, 3), nn.PixelShuffle(scale))


class _UpsampleHead(nn.Sequential):
    """Cells to pixels by doubling and convolving: B x C x h x w -> B x N x (h scale) x (w scale)."""

    def __init__(self, channels: int, outputs: int, scale: int) -> None:
        layers: list[nn.Module] = []
        while scale > 1:
            layers += [nn.Upsample(scale_factor=2), convolution(channels, channels // 2, 3), nn.ReLU()]
            channels, scale = channels // 2, scale // 2
        super().__init__(*layers, convolution(channels, outputs, 3))
