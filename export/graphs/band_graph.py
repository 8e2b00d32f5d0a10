"""The band step graph: motion within chosen frequencies, by a recursive filter inside the graph.

The encoder W is linear, so a temporal filter H of the encoded frames can be driven by encoded differences:
H(z) W I = [H(z) / (1 - 1/z)] W (1 - 1/z) I. A band-pass has a zero at z = 1, which cancels the integration
of differences; the rest is a stable recursive filter of exact 8-bit differences. It runs as a sum of parallel
sections, each with two states (coefficients: `runtime.magnification.filters`), so that
one graph takes any number of sections and no section waits for another.

A displacement is the ratio of motion to slopes, and slopes are best taken halfway between where the content is and
where it would be without the motion. Slopes are linear, too: so the same filter runs on those of the differences, and
half of what it gives is taken from the frame's own.
"""

from __future__ import annotations

import onnx
import torch
from onnxscript import opset18
from torch import Tensor, nn
from torch.nn import functional as F

from tremorscope.export.graphs.step_graph import OPSET, restate, trace
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.networks.slopes import slope, slopes, slopes_of_difference
from tremorscope.runtime.engines.interface.manifest import FrameSize

_PROBES = 8
"""Combinations of the shape channels that the displacement is estimated from."""
_ROUNDING_SIGMA = 1 / (255 * 12**0.5)
"""Standard deviation of rounding to 8 bits, the noise of slopes."""
_WINDOW_CELLS = 5
"""Side of the window over which displacement is estimated: 20 px at 4 px a cell."""
_VISIBLE_FROM_MASK = 4.0
"""Gain of the mask in the picture: the decoded change is shown in full from a mask of 1/4, not at all at 0."""
_EXAMPLE_SIZE_PX = (144, 176)


@torch.library.custom_op("tremorscope::sized_as", mutates_args=())
def _sized_as(tensor: Tensor, like: Tensor) -> Tensor:  # noqa: ARG001
    """Identity that gives the exporter the rows and columns of ``like`` as the size of ``tensor``.

    The exporter cannot prove by itself that the rounded-up cells equal the size of the encoder's output.
    """
    return tensor.clone()


@_sized_as.register_fake
def _(tensor: Tensor, like: Tensor) -> Tensor:
    return tensor.new_empty((*tensor.shape[:-2], *like.shape[-2:]))


class BandStep(nn.Module):
    """Computation of the band graph: cast, encode the difference, filter, mask, cap, decode, clamp, round, cast."""

    probe: Tensor
    probed: Tensor
    flat_energy: Tensor
    largest_energy: Tensor

    def __init__(self, network: RealtimeNetwork) -> None:
        super().__init__()
        self.network = network
        self.cell_px = network.config.encoder_stride
        self.channels = network.config.shape_channels
        """Channels of the motion; the state has those of its slopes behind them."""
        kernels = network.shape_encoder.weight.detach()  # C x 3 x k x k
        # The strongest orthonormal combinations of the channels: they suffice for a ratio of energies, and are cheap.
        probes = min(_PROBES, kernels.shape[0])
        directions = torch.linalg.svd(kernels.flatten(1).double()).U[:, :probes].T.to(kernels.dtype)
        probed = torch.einsum("pc,cijk->pijk", directions, kernels)
        self.register_buffer("probe", directions[:, :, None, None])
        self.register_buffer("probed", probed)
        flat = slope(probed, 3).square().sum() + slope(probed, 2).square().sum()
        self.register_buffer("flat_energy", flat * _ROUNDING_SIGMA**2)
        self.register_buffer("largest_energy", (probed.abs().sum(dim=(1, 2, 3)) ** 2).sum())

    def forward(
        self,
        frame: Tensor,
        previous: Tensor,
        amplification: Tensor,
        max_displacement_px: Tensor,
        mask: Tensor,
        coefficients: Tensor,
        state: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of band mode.

        Args:
            frame: u8[1, H, W, 3].
            previous: ``frame`` of the step before, u8[1, H, W, 3].
            amplification: magnified over true displacement of the motion in the band, f32[1].
            max_displacement_px: largest displacement added anywhere, f32[1].
            mask: share of magnification by cell, from 0 (as filmed) to 1, f32[1, 1, rows, columns].
            coefficients: own, cross and drive of both states of every section, f32[3, 2, sections].
            state: f32[2, sections, `state_channels`, rows, columns]; zeros at the start.

        Returns:
            magnified u8[1, H, W, 3]; the next step's state; the activity f32[1], which is the mean square of
            the filtered motion over the largest that one difference of 8-bit frames can encode.
        """
        frame_px = frame.to(torch.float32).permute(0, 3, 1, 2)  # (1, 3, H, W)
        previous_px = previous.to(torch.float32).permute(0, 3, 1, 2)  # (1, 3, H, W)
        frame_01 = frame_px / 255.0
        step = self._encoded((frame_px - previous_px) / 255.0)  # 1 x K x h x w
        mask, state = _sized_as(mask, step), _sized_as(state, step)
        filtered, next_state = filter_step(step, coefficients, state)
        motion = filtered[:, : self.channels]
        energy = _energy(F.conv2d(motion, self.probe))  # 1 x 1 x h x w
        gain = mask * (amplification - 1.0).reshape(1, 1, 1, 1)
        added_px = gain * self._displacement_px(frame_01, energy)
        limit_px = max_displacement_px.reshape(1, 1, 1, 1)
        gain = gain * (limit_px / torch.maximum(added_px, limit_px))
        decoded = self.network.decode(frame_01, motion, gain, self._halfway(frame_01, filtered))
        visible = F.interpolate((_VISIBLE_FROM_MASK * mask).clamp(0.0, 1.0), scale_factor=float(self.cell_px))
        shown = type(decoded)(*(visible * each for each in decoded))
        magnified_px = (255.0 * self.network.draw(frame_01, shown)).clamp(0.0, 255.0).round()
        activity = F.adaptive_avg_pool2d(energy, 1).reshape(1) / self.largest_energy
        return magnified_px.permute(0, 2, 3, 1).to(torch.uint8), next_state, activity

    @property
    def state_channels(self) -> int:
        """Channels of the state: of the motion and, behind them, of its slopes along x and y."""
        return self.channels + 2 * self.network.flow.probes

    def _encoded(self, difference: Tensor) -> Tensor:
        """A difference of frames as the filter takes it: 1 x 3 x H x W in [-1, 1] -> 1 x K x h x w."""
        motion = self.network.motion(difference)
        flow = self.network.flow
        kernels = self.network.shape_encoder.weight[: flow.probes]
        of_difference = slopes_of_difference(difference, kernels, self.cell_px, flow.slope_reach_px)
        return torch.cat((motion, *of_difference), dim=1)

    def _halfway(self, frame: Tensor, filtered: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes halfway between the frame and the frame without its motion in the band, two of 1 x P x h x w."""
        flow = self.network.flow
        kernels = self.network.shape_encoder.weight[: flow.probes]
        x, y = slopes(frame, kernels, self.cell_px, flow.slope_reach_px)
        behind_x = self.channels + flow.probes
        of_x, of_y = filtered[:, self.channels : behind_x], filtered[:, behind_x:]
        return x + (-0.5) * of_x, y + (-0.5) * of_y

    def _displacement_px(self, frame: Tensor, energy: Tensor) -> Tensor:
        """Displacement of the content of each cell: the energy of its change over that of its slopes.

        A displacement d along unit direction n changes the frame by d times its slope along n, and every
        linear measurement of the frame alike. For an edge the root of the ratio of energies is the
        displacement across it; for texture of all directions it is down to 0.7 of the displacement.
        """
        steepness = _energy(torch.cat(slopes(frame, self.probed, self.cell_px), dim=1))
        window = (_WINDOW_CELLS, 1, _WINDOW_CELLS // 2)
        steepness = F.avg_pool2d(steepness, *window) + self.flat_energy
        return torch.sqrt(F.avg_pool2d(energy, *window) / steepness)


def filter_step(step: Tensor, coefficients: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the recursive filter: 1 x C x h x w, 3 x 2 x S and 2 x S x C x h x w -> filtered, next state.

    Each section's two states follow next[i] = own[i] state[i] + cross[i] state[1 - i] + drive[i] step; the output is
    the sum of next[0] over all sections. Computed element by element, never as a matrix product: GPUs may round those
    to 10 bits, and in a recursion the errors accumulate.
    """
    own, cross, drive = coefficients[:, :, :, None, None, None].unbind(0)  # (2, S, 1, 1, 1) each
    other = state.index_select(0, torch.tensor([1, 0]))
    next_state = own * state + cross * other + drive * step  # (2, S, C, h, w)
    return next_state[0].sum(dim=0, keepdim=True), next_state


def _energy(measured: Tensor) -> Tensor:
    return (measured * measured).sum(dim=1, keepdim=True)


def band_graph(network: RealtimeNetwork, size: FrameSize | None) -> onnx.ModelProto:
    """The band step graph of a network, for one frame size or (None) for any, and any number of sections.

    Inputs and outputs are those of `BandStep.forward`, by the same names; of the sizes that vary,
    ``height``, ``width``, ``rows`` and ``columns`` (cells, rounded up) and ``sections`` are named.
    """
    height, width = (size.height_px, size.width_px) if size else _EXAMPLE_SIZE_PX
    step = BandStep(network)
    rows, columns = (-(-side // step.cell_px) for side in (height, width))
    frame = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    inputs = {
        "frame": frame,
        "previous": torch.zeros_like(frame),
        "amplification": torch.ones(1),
        "max_displacement_px": torch.ones(1),
        "mask": torch.ones(1, 1, rows, columns),
        "coefficients": torch.zeros(3, 2, 3),
        "state": torch.zeros(2, 3, step.state_channels, rows, columns),
    }
    sections = {1: torch.export.Dim("sections", min=1)}
    pixels = None if size else {1: torch.export.Dim("height", min=16), 2: torch.export.Dim("width", min=16)}
    cells = {} if size else {3: torch.export.Dim("rows", min=4), 4: torch.export.Dim("columns", min=4)}
    mask = None if size else {2: cells[3], 3: cells[4]}
    shapes = (pixels, pixels, None, None, mask, {2: sections[1]}, sections | cells)
    outputs = ("magnified", "next_state", "activity")
    translations = {torch.ops.tremorscope.sized_as.default: lambda tensor, like: opset18.Identity(tensor)}  # noqa: ARG005
    graph = trace(step, inputs, outputs, shapes, translations)
    # Sizes as the inputs have them, which the exporter may have left as formulas of roundings up and down.
    of_input = {value.name: value.type for value in graph.graph.input}
    for output, like in zip(graph.graph.output, ("frame", "state"), strict=False):
        output.type.CopyFrom(of_input[like])
    return restate(graph, OPSET)
