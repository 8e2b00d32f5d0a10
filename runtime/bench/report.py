"""Human-readable report of a bench."""

from __future__ import annotations

from tremorscope.runtime.bench.peaks import Peaks
from tremorscope.runtime.bench.result import BenchResult

NAMES = {
    "capture": "sensor to ring",
    "copy": "copied by the CPU",
    "wait": "waited for the loop",
    "step": "magnified",
    "output": "handed to outputs",
    "total": "altogether",
}
"""Stages in the order in which a frame passes them."""
BOUNDED = {
    "network": "network's step",
    "copy": NAMES["copy"],
    "pixels": "camera's pixels, GPU",
    "meter": "one region measured",
    "jpeg": "one JPEG",
}
"""Stages beside their roofline."""


def lines(found: BenchResult) -> list[str]:
    """The report, a line each."""
    weights = "" if found.trained else ", untrained weights"
    return [
        f"{found.network} ({found.precision}{weights}), {found.mode} mode, {found.width_px}x{found.height_px}, "
        f"{found.camera}",
        f"{found.runtime}: {found.why}",
        *(f"  passed over: {each}" for each in found.passed_over[1:] if found.device.get("gpu")),
        *(f"  note: {each}" for each in found.notes),
        "",
        headline(found),
        *_advice(found),
        "",
        f"{'ms':<20}{'median':>9}{'p95':>9}{'p99':>9}{'max':>9}{'jitter':>9}",
        *(_row(found, name) for name in NAMES if name in found.stages),
        "",
        *_facts(found),
        *_roofline(found),
    ]


def headline(found: BenchResult) -> str:
    """Summary in one sentence: whether the device keeps up, and at what rate."""
    rate = f"{found.rate_hz:.3g} of {found.nominal_rate_hz:.4g} frames/s magnified"
    if found.keeps_up:
        return f"Keeps up: {rate}, room for {found.most_rate_hz:.3g}."
    return f"Does not keep up: {rate}. (Every frame is measured all the same.)"


def _advice(found: BenchResult) -> list[str]:
    """Advice for a device that is too slow; time grows as the number of pixels does."""
    if found.keeps_up:
        return []
    shrunk = min(1.0, found.rate_hz / found.nominal_rate_hz) ** 0.5
    width_px, height_px = (max(16, int(side * shrunk)) for side in (found.width_px, found.height_px))
    smaller = f"frames of about {width_px}x{height_px} px"
    if found.passed_over and found.precision == "fp32":
        return [f"What helps: {smaller}, a GPU, or the bundle in INT8 (tremorscope calibrate quantise)."]
    return [f"What helps: {smaller}, or a smaller network."]


def _row(found: BenchResult, name: str) -> str:
    each = found.stages[name]
    values = (each.median_ms, each.p95_ms, each.p99_ms, each.max_ms, each.jitter_ms)
    return f"{NAMES[name]:<20}" + "".join(f"{milliseconds(value):>9}" for value in values)


def milliseconds(value: float) -> str:
    """Time in ms with its significant digits."""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _facts(found: BenchResult) -> list[str]:
    cost, memory, copies = found.overhead, found.memory, found.copies
    rows = [
        f"overhead   {cost.total_ms:.3f} ms a frame beyond the engine's {milliseconds(cost.engine_ms)} ms: "
        f"{cost.part_of_step:.2%} (loop {cost.loop_ms:.3f}, supervision {cost.supervision_ms:.3f})",
        f"copied     {copies.bytes_per_frame:,.0f} bytes a frame by the CPU"
        + (f" ({', '.join(copies.by_place)})" if copies.bytes_per_frame else ""),
        f"memory     {memory.peak_bytes / 2**20:.0f} MiB at most; "
        f"{memory.growth_bytes / 2**20:+.1f} MiB from the third quarter of the run to the last",
    ]
    if found.rate is not None:
        lost = found.drops
        rows.append(
            f"camera     {found.rate.rate_hz:.4g} frames/s, {1e3 * found.rate.jitter_rms_s:.2f} ms early or late, "
            f"{lost.source + lost.unfetched + lost.corrupt} lost, {lost.late} more than could be magnified"
        )
    if (power := found.power) is not None:
        rows.append(
            f"power      {power.mean_w:.3g} W ({power.of}), {power.most_w:.3g} W at most: {power.frames_per_j:.3g} "
            f"frames/s per W, {power.pixel_nj:.3g} nJ a pixel"
        )
    if found.trace.temperature_c:
        heat = found.trace.heat()
        held = f", held back by {', '.join(heat['throttled'])}" if heat["throttled"] else ""
        rows.append(f"heat       {heat['first_c']:.1f} °C at first, {heat['most_c']:.1f} °C at most{held}")
    rows += [f"fault      {fault}" for fault in found.faults]
    if found.comparison_failed:
        rows.append(f"baseline   could not be run: {found.comparison_failed}")
    if (beside := found.comparison) is not None:
        model, baseline = milliseconds(beside.model_ms), milliseconds(beside.baseline_ms)
        rows.append(
            f"baseline   {beside.baseline}: {baseline} ms a step against {model} ms, {beside.speedup:.2f} times faster "
            f"(in {beside.turns} turns)"
        )
    return rows


def _roofline(found: BenchResult) -> list[str]:
    """Each stage beside what the device could do at best."""
    roof = found.roofline
    if roof is None:
        return []
    rows = [
        "",
        f"{'roofline':<22}{'GFLOP':>10}{'MB':>10}{'bound ms':>10}{'took ms':>10}{'reached':>9}  bound by",
    ]
    rows += [
        f"{BOUNDED[each.stage]:<22}{each.gflop:>10.4g}{each.megabytes:>10.4g}{milliseconds(each.bound_ms):>10}"
        f"{milliseconds(each.measured_ms):>10}{each.share:>9.1%}  {each.limit}"
        for each in roof.bounds
    ]
    for each in (roof.gpu, roof.processor):
        rows += _peaks(each) if each is not None else []
    if roof.meter_noise_px is not None:
        noise_px, least_px = roof.meter_noise_px
        rows.append(
            f"meter      {noise_px:.5f} px of noise a frame, {noise_px / least_px:.2f} times the Cramer-Rao bound of "
            f"{least_px:.5f} px (64x64 px, noise of a grey level)"
        )
    return [*rows, f"no bound   of the network's step: {roof.missing}"] if roof.missing else rows


def _peaks(peaks: Peaks) -> list[str]:
    flops = ", ".join(f"{each / 1e12:.3g} in {name.upper()}" for name, each in peaks.flops.items())
    return [
        f"peaks      {peaks.of}, {'measured just now' if peaks.measured else 'by data sheet'}:"[:120],
        f"           TFLOP/s {flops}; {peaks.bandwidth_bytes_s / 1e9:.4g} GB/s",
    ]
