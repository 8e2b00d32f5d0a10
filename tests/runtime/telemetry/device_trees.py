"""Invented Jetsons: the files of the kernel that tell of power, clocks, load and heat.

No file was copied from a device. What each board has, and its peculiarities, stands in:
* [guide] NVIDIA's Jetson Linux Developer Guide, "Platform Power and Performance" of Orin and of Thor;
* [kernel] Documentation/hwmon/ina3221.rst and ina238.rst of Linux, and tegra234-p3701.dtsi, tegra234-p3767.dtsi;
* [jtop] jetson-stats 7.2.2: jtop/core/power.py, gpu.py, thor_gpu.py, memory.py, engine.py, fan.py, nvpmodel.py;
* [thorfan] the README of swsususu/ThorFAN, measured on an AGX Thor with Jetson Linux 38.4;
* [users] issues and pull requests 825, 885 and 900 of rbonghi/jetson_stats.
"""

from __future__ import annotations

from pathlib import Path


class Tree:
    """Files below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, directory: str, **files: object) -> None:
        """Write files; a double underscore in a name stands for a dot, and None for one that cannot be read."""
        for name, content in files.items():
            path = self.root / directory / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir()  # reading it fails with an OSError, as EAGAIN and ENODATA do
            else:
                path.write_text(f"{content}\n")


def put_processor(tree: Tree, busy: int, cores: int, khz: int) -> None:
    """/proc/stat after so many ticks of work and 1000 of rest; the load is told between two of these."""
    line = f"{busy} 0 0 {1000 + busy} 0 0 0 0 0 0"
    tree.put(
        "proc", stat="\n".join([f"cpu  {line}", *(f"cpu{n} {line}" for n in range(cores)), "intr 1 2 3"])
    )
    for policy in range(0, cores, 4):
        tree.put(f"sys/devices/system/cpu/cpufreq/policy{policy}", scaling_cur_freq=khz - policy,
                 scaling_min_freq=115200, scaling_max_freq=khz)  # fmt: skip


def put_memory(tree: Tree, total_kb: int) -> None:
    tree.put("proc", meminfo=(
        f"MemTotal:       {total_kb} kB\nMemFree:          523000 kB\nMemAvailable:    4900000 kB\n"
        "Buffers:           81000 kB\nCached:          2900000 kB\n"
        "SwapTotal:       3901056 kB\nSwapFree:        3800000 kB\nNvMapMemUsed:     500000 kB"
    ))  # fmt: skip


def put_ina3221(tree: Tree, hwmon: int, *rails: tuple[str, int, int] | None) -> None:
    """Rails as label, mV and mA. A channel that is not connected has the label NC, and is switched off: ENODATA."""
    directory = f"sys/class/hwmon/hwmon{hwmon}"
    tree.put(directory, name="ina3221", in7_label="sum of shunt voltages", in7_input=31, curr4_input=9999)
    for n, rail in enumerate(rails, 1):
        label, millivolts, milliamperes = rail or ("NC", None, None)
        tree.put(directory, **{
            f"in{n}_label": label, f"in{n}_input": millivolts, f"curr{n}_input": milliamperes,
            f"in{n + 3}_input": 7, f"curr{n}_crit": 32760,
        })  # fmt: skip


def put_fan(tree: Tree, pwm: int, rpm: int, speed_file: str = "rpm") -> None:
    """The pulse width and the tachometer are devices of their own [jtop: fan.py]."""
    tree.put("sys/class/hwmon/hwmon5", name="pwmfan", pwm1=pwm, pwm1_enable=1)
    tree.put("sys/class/hwmon/hwmon6", name="pwm_tach", **{speed_file: rpm})


def put_devfreq(tree: Tree, name: str, current_hz: int, low_hz: int, high_hz: int, **device: object) -> None:
    directory = f"sys/class/devfreq/{name}"
    tree.put(directory, cur_freq=current_hz, min_freq=low_hz, max_freq=high_hz)
    tree.put(f"{directory}/device", **device)


def put_engines(tree: Tree, *names: str) -> None:
    """Units for pictures; the last of them is at rest."""
    for n, name in enumerate(names):
        put_devfreq(tree, name, 115_200_000 * (n + 1), 115_200_000, 793_600_000)
        state = "suspended" if n == len(names) - 1 else "active"
        tree.put(f"sys/class/devfreq/{name}/device/power", runtime_status=state)


def put_power_mode(tree: Tree, number: int | None, *names: str) -> None:
    models = "\n".join(
        f"< POWER_MODEL ID={n} NAME={name} >\nCPU_ONLINE CORE_0 1" for n, name in enumerate(names)
    )
    tree.put("etc", nvpmodel__conf=f"# comment\n{models}\n< PM_CONFIG DEFAULT=1 >")
    if number is not None:
        tree.put("var/lib/nvpmodel", status=f"pmode:{number:04d} fmode:quiet")


def put_zones(tree: Tree, **millidegrees: int | None) -> None:
    for n, (name, value) in enumerate(millidegrees.items()):
        tree.put(f"sys/class/thermal/thermal_zone{n}", type=f"{name}-thermal", temp=value)


def put_orin_module(tree: Tree) -> None:
    """What Orin Nano and NX have in common."""
    put_ina3221(
        tree, 1, ("VDD_IN", 5000, 1640), ("VDD_CPU_GPU_CV", 5000, 620), ("VDD_SOC", 5000, 440)
    )  # [guide]
    put_fan(tree, 75, 1786)
    put_devfreq(tree, "17000000.gpu", 612_000_000, 306_000_000, 1_020_000_000, load=842)
    put_memory(tree, 7_802_112)
    put_zones(tree, cpu=48_250, gpu=47_100, cv0=None, soc0=46_000, tj=48_250)
    tree.put(
        "sys/kernel/actmon_avg_activity", mc_all=99_169_000
    )  # useless without the clock, which is root's


def build_orin_nano(tree: Tree) -> None:
    put_orin_module(tree)
    put_engines(tree, "15340000.vic", "15380000.nvjpg", "15480000.nvdec", "15540000.nvjpg")  # no NVENC
    put_power_mode(tree, 2, "15W", "25W", "MAXN_SUPER")


def build_orin_nx(tree: Tree) -> None:
    put_orin_module(tree)
    put_engines(tree, "154c0000.nvenc", "15480000.nvdec", "15340000.vic")
    put_power_mode(tree, None, "MAXN", "10W", "15W", "25W")  # never changed: the default holds


def build_agx_orin(tree: Tree) -> None:
    """No rail holds all others, and two of six channels are not connected [kernel: tegra234-p3701.dtsi]."""
    put_ina3221(
        tree, 3, ("VDD_GPU_SOC", 19_800, 300), ("VDD_CPU_CV", 19_800, 100), ("VIN_SYS_5V0", 4968, 1000)
    )
    put_ina3221(tree, 4, None, ("VDDQ_VDD2_1V8AO", 4968, 500), None)
    put_fan(tree, 51, 1500)
    put_devfreq(tree, "17000000.ga10b", 1_300_500_000, 1_300_500_000, 1_300_500_000, load=0)
    put_engines(tree, "154c0000.nvenc", "15480000.nvdec")
    put_power_mode(tree, 3, "MAXN", "15W", "30W", "50W")
    put_memory(tree, 64_000_000)
    put_zones(tree, cpu=52_000, tj=53_000)


def build_thor(tree: Tree) -> None:
    """Rails on the module and, by another chip, all of the board; the GPU rests and its rail and zone with it."""
    put_ina3221(
        tree, 0, ("VDD_GPU", 19_800, -20), ("VDD_CPU_SOC_MSS", 19_800, 330), ("VIN_SYS_5V0", 4968, 1312)
    )
    tree.put("sys/class/hwmon/hwmon1", name="ina238", in0_input=1, in1_input=19_900, curr1_input=1170,
             power1_input=23_283_000, temp1_input=41_000)  # fmt: skip
    put_fan(tree, 58, 1786, "fan1_input")
    # Neither has the node of older boards, nor a file with the load [users: 885].
    put_devfreq(tree, "gpu-gpc-0", 315_000_000, 315_000_000, 1_575_000_000)
    put_devfreq(tree, "gpu-nvd-0", 1_215_000_000, 315_000_000, 1_692_000_000)
    put_devfreq(tree, "bwmgr", 3_200_000_000, 665_600_000, 4_266_000_000)  # [users: 825]
    put_power_mode(tree, 1, "MAXN", "120W")
    put_memory(tree, 128_000_000)
    put_zones(tree, cpu=53_700, gpu=None, soc012=55_100, soc345=53_700, tj=55_100)  # [thorfan]


def build(root: Path, board: str) -> Tree:
    """The tree of a board family, whose processor has worked for 500 ticks."""
    tree = Tree(root)
    BUILDERS[board](tree)
    put_processor(tree, 500, *CORES[board])
    return tree


def put_emc(tree: Tree) -> None:
    """The memory's clock in debugfs, which root alone may read, on an Orin [jtop: memory.py]."""
    tree.put(
        "sys/kernel/debug/bpmp/debug/clk/emc",
        rate=3_199_000_000,
        max_rate=3_199_000_000,
        min_rate=204_000_000,
    )


BUILDERS = {
    "orin-nano": build_orin_nano,
    "orin-nx": build_orin_nx,
    "agx-orin": build_agx_orin,
    "thor": build_thor,
}
CORES = {
    "orin-nano": (6, 1_728_000),
    "orin-nx": (8, 1_984_000),
    "agx-orin": (12, 2_201_600),
    "thor": (14, 2_601_000),
}
