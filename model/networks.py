"""The two networks: the baseline (Oh et al.) and the real-time network (Ha et al.).

Both map a frame, a reference and an amplification to the magnified frame. Frames are float NCHW RGB in [0, 1].
Amplification is magnified displacement over true displacement, relative to the reference, so 1 changes nothing
and the motion added is (amplification - 1) times the motion seen.

Sources: Oh et al., "Learning-based Video Motion Magnification", ECCV 2018, arXiv 1804.02684;
Ha et al., "Revisiting Learning-based Video Motion Magnification for Real-time Processing", arXiv 2403.01898.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PaddingMode = Literal["zeros", "reflect"]


class Representation(NamedTuple):
    """What an encoder makes of a frame: B x C x h x w each."""

    texture: Tensor
    shape: Tensor


@dataclass(frozen=True)
class BaselineConfig:
    """The baseline's configuration; the defaults are those of Oh et al."""

    channels: int = 32
    """Channels of the encoder and of each representation; the decoder has twice as many."""
    encoder_blocks: int = 3
    branch_blocks: int = 2
    decoder_blocks: int = 9


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
    skip: Literal["frame", "warped"] = "warped"
    """What the decoder's change is added to: the frame, or the frame warped by a displacement it also decodes."""
    flow_windows_cells: tuple[int, ...] = (3, 5, 9)
    """Sides of windows, odd, each averaging over what the one before gave: after each the decoder is told the
    displacement that fits best. None: it is told nothing."""
    flow_probes: int = 8
    """How many combinations of the shape channels that least-squares fit is made on."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "flow_windows_cells", tuple(self.flow_windows_cells)
        )  # YAML and JSON have lists
        if self.decoder_scale % self.encoder_stride:
            raise ValueError("decoder_scale must be a multiple of encoder_stride")
        if self.encoder_kernel < self.encoder_stride or (self.encoder_kernel - self.encoder_stride) % 2:
            raise ValueError("encoder_kernel must be encoder_stride plus an even number")


NetworkConfig = BaselineConfig | RealtimeConfig


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), both 3x3, same channels."""

    def __init__(self, channels: int, padding_mode: _PaddingMode = "zeros") -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels, 3, padding_mode=padding_mode)
        self.activation: nn.Module = nn.ReLU()
        self.conv2 = _conv(channels, channels, 3, padding_mode=padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w -> the same."""
        y: Tensor = x + self.conv2(self.activation(self.conv1(x)))
        return y


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
        self.flow = LeastSquaresFlow(config) if config.flow_windows_cells else None
        self.merge = nn.Conv2d(
            config.texture_channels + config.shape_channels + 3 * len(config.flow_windows_cells),
            channels,
            kernel_size=3,
            stride=config.decoder_scale // stride,
            padding=1,
        )
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(config.decoder_blocks)))
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

    def decode(self, frame: Tensor, motion: Tensor, gain: Tensor) -> Tensor:
        """How ``gain`` times a ``motion`` alters the frame; `draw` draws it.

        Args:
            frame: B x 3 x H x W in [0, 1].
            motion: B x C x h x w, as `motion` encodes it.
            gain: B x 1 x 1 x 1, or B x 1 x h x w where it differs from cell to cell.

        Returns:
            B x 3 x H x W, a change of the colours in [-1, 1]; behind the two components (x, y) of a displacement in
            px where the skip is warped: B x 5 x H x W. Sizes are up to whole cells. Zero alters nothing.
        """
        known = [self.texture(frame), gain * motion]
        if self.flow is not None:
            known.append(self.flow(frame, motion, gain, self.shape_encoder.weight))
        decoded: Tensor = self.head(self.blocks(self.merge(torch.cat(known, dim=1))))
        if self.config.skip == "frame":
            return decoded
        # The head thinks in cells, so that all it gives is of the order of one.
        return torch.cat((self.config.decoder_scale * decoded[:, :2], decoded[:, 2:]), dim=1)

    def draw(self, frame: Tensor, decoded: Tensor) -> Tensor:
        """The magnified frame: B x 3 x H x W in [0, 1] and what `decode` made of it -> B x 3 x H x W."""
        height, width = frame.shape[2:]
        decoded = decoded[:, :, :height, :width]
        if self.config.skip == "frame":
            return frame + decoded
        return warp(frame, decoded[:, :2]) + decoded[:, 2:]

    def decode_pair(self, frame: Tensor, difference: Tensor, amplification: Tensor) -> Tensor:
        """What `decode` makes of a frame and its difference to the reference.

        Args:
            frame: B x 3 x H x W in [0, 1].
            difference: frame - reference, B x 3 x H x W in [-1, 1].
            amplification: B.
        """
        gain = (amplification - 1.0).reshape(-1, 1, 1, 1)
        return self.decode(frame, self.motion(difference), gain)

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


class LeastSquaresFlow(nn.Module):
    """The displacement that explains a motion best, cell by cell, over windows of several sizes.

    A displacement d changes a frame by -d times its slopes, and every linear encoding of it alike: motion = -(d_x S_x
    + d_y S_y), where S are the encodings of the slopes, which a linear encoder gives by one more convolution. The
    least-squares solution over a window (Lucas and Kanade, IJCAI 1981) has no parameters; how far it can be trusted
    where, the decoder learns.
    """

    def __init__(self, config: RealtimeConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, frame: Tensor, motion: Tensor, gain: Tensor, kernels: Tensor) -> Tensor:
        """Displacement times gain in cells (x, y) and how badly it explains the motion (0 to 1), for each window.

        Args:
            frame: B x 3 x H x W in [0, 1].
            motion: B x C x h x w.
            gain: B x 1 x 1 x 1 or B x 1 x h x w.
            kernels: the encoder's that made ``motion``, C x 3 x k x k.

        Returns:
            B x 3 W x h x w for W windows.
        """
        probes, stride = self.config.flow_probes, self.config.encoder_stride
        kernels, motion = kernels[:probes], motion[:, :probes]
        before = (self.config.encoder_kernel - stride) // 2 + SLOPE_REACH_PX
        after = before + stride - 1
        padded = F.pad(frame - 0.5, (before, after, before, after))
        slopes = F.conv2d(padded, torch.cat((slope(kernels, 3), slope(kernels, 2))), stride=stride)
        x, y = slopes[:, :probes], slopes[:, probes:]
        products = torch.stack((x * x, x * y, y * y, x * motion, y * motion, motion * motion), dim=1).sum(
            dim=2
        )
        # Rounding to 8 bits leaves slopes of its own: below them there is nothing to measure.
        flat = _ROUNDING_VARIANCE * kernels.square().sum()
        found = []
        for window in self.config.flow_windows_cells:
            products = F.avg_pool2d(products, window, 1, window // 2, count_include_pad=False)
            found.append(self._solve(products, flat, gain))
        return torch.cat(found, dim=1)

    def _solve(self, products: Tensor, flat: Tensor, gain: Tensor) -> Tensor:
        xx, xy, yy, xm, ym, mm = products.unsqueeze(2).unbind(1)  # B x 1 x h x w each
        xx, yy = xx + flat, yy + flat
        determinant = xx * yy - xy * xy
        d_x, d_y = (xy * ym - yy * xm) / determinant, (xy * xm - xx * ym) / determinant
        explained = -(d_x * xm + d_y * ym) / (mm + flat)
        # Without gain nothing about the motion may show.
        unexplained = 1.0 - gain.clamp(max=1.0) * explained
        cells = torch.cat((d_x, d_y), dim=1) * (gain / self.config.encoder_stride)
        return torch.cat((cells.clamp(-_LARGEST_FLOW_CELLS, _LARGEST_FLOW_CELLS), unexplained), dim=1)


_ROUNDING_VARIANCE = 1 / (12 * 255**2)
_LARGEST_FLOW_CELLS = 8.0


def smooth_kernels(side_px: int) -> Tensor:
    """Eight kernels that a shape encoder starts from: luma blurred and its derivatives, and two chromas blurred.

    A displacement is a ratio of change to slope only where both are smooth at the scale of the displacement.

    Returns:
        8 x 3 x side x side, each of unit energy.
    """
    at = (torch.arange(side_px) - (side_px - 1) / 2) / (0.2 * side_px)
    blur = torch.exp(-at.square() / 2)
    profiles = (blur, -at * blur, (at.square() - 1) * blur)
    luma, red_green, blue_yellow = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]])
    orders = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    planes = [(luma, y, x) for y, x in orders] + [(red_green, 0, 0), (blue_yellow, 0, 0)]
    kernels = torch.stack(
        [colour[:, None, None] * torch.outer(profiles[y], profiles[x]) for colour, y, x in planes]
    )
    scaled: Tensor = kernels / kernels.flatten(1).norm(dim=1)[:, None, None, None]
    return scaled


SLOPE_REACH_PX = 2
"""By how much more than a kernel its slope's sees, on each side."""


def slope(kernels: Tensor, axis: int) -> Tensor:
    """Kernels that see the slope of a picture where ``kernels`` see the picture: N x C x k x k -> k + 4 a side.

    The central difference over five pixels, which is a hundredth short at a period of 8 px; that over three pixels
    would be a tenth short, and every displacement of fine texture a tenth too long.
    """
    reach = SLOPE_REACH_PX
    padded = F.pad(kernels, (2 * reach,) * 4)
    near, far = (padded.roll(px, axis) - padded.roll(-px, axis) for px in (1, 2))
    slopes: Tensor = ((8.0 * near - far) / 12.0)[:, :, reach:-reach, reach:-reach]
    return slopes


def warp(frame: Tensor, displacement_px: Tensor) -> Tensor:
    """Move each pixel's content: what comes to lie at x is what the frame shows at x - displacement(x).

    Bilinear between pixels; from outside comes what lies at the border.

    Args:
        frame: B x C x H x W.
        displacement_px: B x 2 (x, y) x H x W.

    Returns:
        B x C x H x W.
    """
    height, width = frame.shape[2:]
    x = torch.arange(width, device=frame.device, dtype=frame.dtype) - displacement_px[:, 0]
    y = torch.arange(height, device=frame.device, dtype=frame.dtype)[:, None] - displacement_px[:, 1]
    # Centres of pixels in the coordinates of grid_sample, in which the picture reaches from -1 to 1.
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    return F.grid_sample(frame, grid, mode="bilinear", padding_mode="border", align_corners=False)


class _DepthToSpaceHead(nn.Sequential):
    """Cells to pixels in one convolution: B x C x h x w -> B x N x (h scale) x (w scale)."""

    def __init__(self, channels: int, outputs: int, scale: int) -> None:
        super().__init__(_conv(channels, outputs * scale * scale, 3), nn.PixelShuffle(scale))


class _UpsampleHead(nn.Sequential):
    """Cells to pixels by doubling and convolving: B x C x h x w -> B x N x (h scale) x (w scale)."""

    def __init__(self, channels: int, outputs: int, scale: int) -> None:
        layers: list[nn.Module] = []
        while scale > 1:
            layers += [nn.Upsample(scale_factor=2), _conv(channels, channels // 2, 3), nn.ReLU()]
            channels, scale = channels // 2, scale // 2
        super().__init__(*layers, _conv(channels, outputs, 3))


class BaselineNetwork(nn.Module):
    """The network of Oh et al.: deep encoder, decoder at half the resolution, reflect padding."""

    def __init__(self, config: BaselineConfig = BaselineConfig()) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.stem = nn.Sequential(
            _reflect(3, c // 2, 7), nn.ReLU(), _reflect(c // 2, c, 3, stride=2), nn.ReLU(),
            *_blocks(c, config.encoder_blocks),
        )  # fmt: skip
        self.texture_branch = nn.Sequential(
            _reflect(c, c, 3, stride=2), nn.ReLU(), *_blocks(c, config.branch_blocks)
        )
        self.shape_branch = nn.Sequential(_reflect(c, c, 3), nn.ReLU(), *_blocks(c, config.branch_blocks))
        self.manipulator_before = nn.Sequential(_reflect(c, c, 7), nn.ReLU())
        self.manipulator_after = nn.Sequential(_reflect(c, c, 3), *_blocks(c, 1))
        self.texture_upsampler = nn.Sequential(nn.Upsample(scale_factor=2), _reflect(c, c, 3), nn.ReLU())
        self.decoder = nn.Sequential(
            *_blocks(2 * c, config.decoder_blocks),
            nn.Upsample(scale_factor=2), _reflect(2 * c, 2 * c, 3), nn.ReLU(),
            _reflect(2 * c, c, 3), nn.ReLU(), _reflect(c, 3, 7),
        )  # fmt: skip

    def encode(self, frame: Tensor) -> Representation:
        """B x 3 x H x W -> texture B x 32 x H/4 x W/4 and shape B x 32 x H/2 x W/2 (rounded up)."""
        features = self.stem(frame - 0.5)  # B x 32 x H/2 x W/2
        return Representation(self.texture_branch(features), self.shape_branch(features))

    def manipulate(self, shape: Tensor, reference_shape: Tensor, amplification: Tensor) -> Tensor:
        """M_b + h(gain g(M_b - M_a)): B x 32 x H/2 x W/2."""
        gain = (amplification - 1.0).reshape(-1, 1, 1, 1)
        magnified: Tensor = shape + self.manipulator_after(
            gain * self.manipulator_before(shape - reference_shape)
        )
        return magnified

    def forward(self, frame: Tensor, reference: Tensor, amplification: Tensor) -> Tensor:
        """Frame and reference B x 3 x H x W in [0, 1], amplification B -> magnified frame, B x 3 x H x W."""
        height, width = frame.shape[2:]
        texture, shape = self.encode(frame)
        magnified_shape = self.manipulate(shape, self.encode(reference).shape, amplification)
        texture = self.texture_upsampler(texture)[:, :, : shape.shape[2], : shape.shape[3]]
        x: Tensor = self.decoder(
            torch.cat((texture, magnified_shape), dim=1)
        )  # B x 3 x H x W, up to even sizes
        return x[:, :, :height, :width] + 0.5

    def magnify_pixels(self, frame_px: Tensor, reference_px: Tensor, amplification: Tensor) -> Tensor:
        """As `forward`, in grey levels 0 to 255."""
        magnified: Tensor = self(frame_px / 255.0, reference_px / 255.0, amplification)
        return 255.0 * magnified


Network = BaselineNetwork | RealtimeNetwork

CONFIGS: dict[str, type[NetworkConfig]] = {"baseline": BaselineConfig, "realtime": RealtimeConfig}


def build_network(config: NetworkConfig) -> Network:
    """A network with fresh weights."""
    return RealtimeNetwork(config) if isinstance(config, RealtimeConfig) else BaselineNetwork(config)


def describe(config: NetworkConfig) -> dict[str, Any]:
    """The configuration as plain values, with its family under ``family``; `configure` reads it back."""
    family = next(name for name, kind in CONFIGS.items() if type(config) is kind)
    return {"family": family, **asdict(config)}


def configure(description: dict[str, Any]) -> NetworkConfig:
    """The configuration that `describe` wrote.

    Raises:
        ValueError: the family, a key or a value is unknown.
    """
    values = dict(description)
    family = values.pop("family", None)
    if family not in CONFIGS:
        raise ValueError(f"network family {family!r} is unknown (known: {', '.join(CONFIGS)})")
    try:
        return CONFIGS[family](**values)
    except TypeError as error:
        raise ValueError(f"network family {family}: {error}") from None


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding_mode: _PaddingMode = "zeros"
) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode=padding_mode)


def _reflect(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return _conv(inputs, outputs, kernel, stride, padding_mode="reflect")


def _blocks(channels: int, count: int) -> list[ResidualBlock]:
    return [ResidualBlock(channels, padding_mode="reflect") for _ in range(count)]
