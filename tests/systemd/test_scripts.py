"""install, upgrade, roll back and uninstall below a directory: what is there afterwards, and what is said."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from booted import build_wheel, changed_wheel
from support import ROOT

SYSTEMD = ROOT / "systemd"
CONFIGURATION = ROOT / "configs" / "demo.yaml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> dict[str, Path]:
    """Two releases that differ in a line."""
    directory = tmp_path_factory.mktemp("wheels")
    return {
        name: changed_wheel(
            wheel, directory / name, {"tremorscope/runtime/service/process.py": f"# {name}\n".encode()}
        )
        for name in ("first", "second")
    }


@pytest.fixture(autouse=True)
def _needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, who alone may give files to others")


class Place:
    """A directory that is installed into."""

    def __init__(self, root: Path, wheels: dict[str, Path]) -> None:
        self.root, self.wheels = root, wheels

    def run(self, script: str, *options: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(SYSTEMD / f"{script}.sh"), "--root", str(self.root), *map(str, options)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def install(
        self, wheel: str, *options: object, script: str = "install", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        libraries = sysconfig.get_paths()["purelib"]
        given = ("--wheel", self.wheels[wheel], "--libraries", libraries, "--python", sys.executable)
        return self.run(script, *given, *options, check=check)

    def release(self, link: str = "current") -> str:
        return os.readlink(self.root / "opt/tremorscope" / link).removeprefix("releases/")

    def snapshot(self) -> dict[str, tuple[int, int, int, str]]:
        """Mode, owner, time and content of everything but what Python leaves behind while it runs."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            if "__pycache__" in path.parts:
                continue
            status = path.lstat()
            content = ""
            if path.is_symlink():
                content = os.readlink(path)
            elif path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            changed = 0 if path.is_dir() else status.st_mtime_ns
            found[str(path.relative_to(self.root))] = (status.st_mode, status.st_uid, changed, content)
        return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Place:
    place = Place(tmp_path_factory.mktemp("root"), wheels)
    place.install("first", "--config", CONFIGURATION)
    return place


@pytest.fixture
def place(tmp_path: Path, wheels: dict[str, Path], installed: Place) -> Iterator[Place]:
    """A copy of an installation, to be changed."""
    subprocess.run(["cp", "-a", f"{installed.root}/.", str(tmp_path)], check=True)
    return Place(tmp_path, wheels)


def test_everything_is_in_its_place(installed: Place) -> None:
    root = installed.root
    units = root / "usr/local/lib/systemd/system"
    assert {path.name for path in units.iterdir() if path.is_file()} == {
        path.name for path in SYSTEMD.iterdir()
        if path.suffix in (".service", ".timer", ".path") and "reboot" not in path.name
    }  # fmt: skip
    wants = root / "etc/systemd/system"
    assert sorted(path.relative_to(wants).as_posix() for path in wants.rglob("*") if path.is_symlink()) == [
        "multi-user.target.wants/tremorscope.service",
        "paths.target.wants/tremorscope-restart-argus.path",
        "timers.target.wants/tremorscope-revive.timer",
    ]
    assert (root / "etc/tremorscope/config.yaml").read_bytes() == CONFIGURATION.read_bytes()
    assert (root / "etc/tremorscope/credentials").stat().st_mode & 0o777 == 0o700
    assert "tremorscope:" in (root / "etc/passwd").read_text()
    user = int((root / "etc/passwd").read_text().split("tremorscope:")[1].split(":")[1])
    assert (root / "var/lib/tremorscope").stat().st_uid == user
    assert not (root / "etc/polkit-1/rules.d/51-tremorscope-reboot.rules").exists()


def test_the_command_is_that_of_the_current_release_in_a_python_of_its_own(installed: Place) -> None:
    launcher = (installed.root / "usr/local/bin/tremorscope").read_text()
    assert launcher.endswith('exec /opt/tremorscope/current/bin/python3 -I -m tremorscope "$@"\n')
    python = installed.root / "opt/tremorscope/current/bin/python3"
    done = subprocess.run(
        [str(python), "-I", "-m", "tremorscope", "--version"],
        capture_output=True, text=True, check=False, timeout=120, cwd="/",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_installing_twice_changes_nothing(place: Place) -> None:
    before = place.snapshot()
    done = place.install("first", "--config", CONFIGURATION)
    assert place.snapshot() == before
    assert not [line for line in done.stdout.splitlines() if line.startswith(("+", "-"))]


def test_what_is_missing_is_mended_and_what_was_changed_by_hand_stays(place: Place) -> None:
    before = place.snapshot()
    unit = place.root / "usr/local/lib/systemd/system/tremorscope.service"
    unit.unlink()
    (place.root / "etc/tremorscope/config.yaml").write_text(CONFIGURATION.read_text() + "# mine\n")
    done = place.install("first", "--config", CONFIGURATION)
    changed = {name for name, was in place.snapshot().items() if before.get(name) != was}
    assert changed == {"usr/local/lib/systemd/system/tremorscope.service", "etc/tremorscope/config.yaml"}
    assert "+ /usr/local/lib/systemd/system/tremorscope.service\n" in done.stdout
    assert (place.root / "etc/tremorscope/config.yaml").read_text().endswith("# mine\n")


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("install", ("--allow-reboot", "--instance", "north")),
        ("upgrade", ("--allow-reboot",)),
        ("uninstall", ("--purge",)),
    ],
)
def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    place: Place, script: str, options: tuple[str, ...]
) -> None:
    before = place.snapshot()
    if script == "uninstall":
        done = place.run(script, "--dry-run", *options)
    else:
        done = place.install("second", "--dry-run", *options, script=script)
    assert place.snapshot() == before
    assert [line for line in done.stdout.splitlines() if line.startswith(("+", "-", "would run"))]


def test_an_installation_that_was_cut_short_is_made_anew_and_may_allow_more(place: Place) -> None:
    marker = place.root / "opt/tremorscope/releases" / place.release() / "complete"
    marker.unlink()
    (marker.parent / "bin/python3").unlink()
    done = place.install("first", "--allow-reboot")
    assert f"+ /opt/tremorscope/releases/{place.release()}/" in done.stdout
    assert marker.exists()
    assert (marker.parent / "bin/python3").exists()
    # Restarting the device was not allowed before, and is now.
    assert (place.root / "etc/polkit-1/rules.d/51-tremorscope-reboot.rules").exists()
    assert (place.root / "etc/systemd/system/paths.target.wants/tremorscope-reboot.path").is_symlink()


def test_instances_are_installed_each_with_its_configuration(place: Place) -> None:
    place.install("first", "--instance", "north", "--config", ROOT / "configs" / "mast.yaml")
    etc = place.root / "etc"
    assert (etc / "systemd/system/multi-user.target.wants/tremorscope@north.service").is_symlink()
    assert (etc / "tremorscope/north.yaml").read_bytes() == (ROOT / "configs/mast.yaml").read_bytes()
    assert (etc / "tremorscope/config.yaml").read_bytes() == CONFIGURATION.read_bytes()


def test_an_upgrade_leaves_disabled_what_was_disabled(place: Place) -> None:
    wanted = place.root / "etc/systemd/system/multi-user.target.wants/tremorscope.service"
    wanted.unlink()
    place.install("second", script="upgrade")
    assert not wanted.is_symlink()
    assert place.release() != place.release("previous")


def test_installing_the_older_release_goes_back_to_it(place: Place) -> None:
    """As an older package does, installed over a newer one."""
    first, etc = place.release(), place.root / "etc/tremorscope"
    (etc / "config.yaml").write_bytes(CONFIGURATION.read_bytes() + b"# mine\n")
    (etc / "credentials/web-token").write_text("secret")
    place.install("second")
    assert place.release() != first
    place.install("first")
    assert place.release() == first != place.release("previous")
    assert (etc / "config.yaml").read_bytes().endswith(b"# mine\n")
    assert (etc / "credentials/web-token").read_text() == "secret"


def test_uninstalling_keeps_configuration_and_data_unless_told_to_purge(place: Place) -> None:
    data = place.root / "var/lib/tremorscope/main/tremorscope.db"
    data.parent.mkdir(parents=True)
    data.write_text("data")
    place.run("uninstall")
    left = {path.relative_to(place.root).as_posix() for path in place.root.rglob("*") if path.is_file()}
    ours = {path for path in left if "tremorscope" in path and not path.startswith("run/lock")}
    assert ours == {
        "etc/sysusers.d/tremorscope.conf", "etc/tremorscope/config.yaml", "var/lib/tremorscope/main/tremorscope.db"
    }  # fmt: skip
    place.run("uninstall", "--purge")
    left = {path.relative_to(place.root).as_posix() for path in place.root.rglob("*")}
    assert {path for path in left if "tremorscope" in path} == {"run/lock/tremorscope.lock"}


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("install", ("--colour",), "install.sh: --colour: no such option: see install.sh --help"),
        ("install", ("--wheel",), "install.sh: --wheel lacks its value: see install.sh --help"),
        ("install", ("--instance", "../etc"), "cannot be a name: take lower-case letters"),
        ("install", ("--config", "/no/such.yaml"), "/no/such.yaml: there is no such file: name a configuration"),
        ("install", ("--wheel", "/no/such.whl"), "--wheel /no/such.whl: there is no such file: build one"),
        ("install", ("--python", "/bin/false"), "/bin/false is not Python 3.10, 3.11 or 3.12: name one with --python"),
        ("upgrade", (), "nothing is installed"),
        ("upgrade", ("--rollback",), "there is no release to go back to"),
        ("uninstall", ("--everything",), "uninstall.sh: --everything: no such option"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line_with_its_remedy(
    tmp_path: Path, wheels: dict[str, Path], script: str, options: tuple[str, ...], message: str
) -> None:
    done = Place(tmp_path, wheels).run(script, *options, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert message in line
    assert [path for path in tmp_path.rglob("*") if "run" not in path.parts] == []


def test_a_release_that_cannot_be_made_leaves_nothing_behind(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    broken = tmp_path_factory.mktemp("broken") / "tremorscope-0.1.0-py3-none-any.whl"
    broken.write_bytes(b"no wheel")
    before = place.snapshot()
    place.wheels = place.wheels | {"broken": broken}
    done = place.install("broken", script="upgrade", check=False)
    assert done.returncode == 1
    assert "could not be made" in done.stderr.splitlines()[-1]
    assert place.snapshot() == before


def test_the_release_is_built_by_a_pip_that_keeps_apts_setuptools_out_and_has_its_own_libraries(
    tmp_path: Path,
) -> None:
    root, python, log = tmp_path / "root", tmp_path / "python3", tmp_path / "log"
    root.mkdir()
    python.write_text(
        f"""#!/bin/sh
        for last; do :; done
        case "$*" in
        *"-m venv"*) mkdir -p "$last/bin" && cp "$0" "$last/bin/python3" ;;
        *"-m pip"* | *"-m tremorscope"*) echo "$@" >>{log} ;;
        *) exec {sys.executable} "$@" ;;
        esac
        """
    )
    python.chmod(0o755)
    Place(root, {}).run("install", "--python", python)
    update, install = (line.split() for line in log.read_text().splitlines() if " pip " in line)
    assert update[-1] == "pip>=23.1", "before, apt's setuptools are taken, and make UNKNOWN 0.0.0 of it"
    assert install[-1].endswith("/source[service]")
    assert "--ignore-installed" in install


def test_two_installations_at_a_time_are_refused(place: Place) -> None:
    lock = place.root / "run/lock/tremorscope.lock"
    holding = ["flock", str(lock), "sh", "-c", "echo held; read line"]
    with subprocess.Popen(holding, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        done = place.install("second", check=False)
        assert other.stdin is not None
        other.stdin.close()
    assert done.stderr == "install.sh: another installation is going on: wait until it has ended\n"


def test_a_wedged_camera_daemon_is_not_waited_for_long_where_there_is_one(place: Place) -> None:
    daemon = place.root / "etc/systemd/system/nvargus-daemon.service"
    dropin = place.root / "usr/local/lib/systemd/system/nvargus-daemon.service.d/50-tremorscope.conf"
    place.install("first")
    assert not dropin.exists()
    daemon.write_text("[Service]\nExecStart=/usr/sbin/nvargus-daemon\n")
    place.install("first")
    assert dropin.read_text().splitlines()[1:] == ["[Service]", "TimeoutStopSec=5"]
    daemon.unlink()
    place.install("first")
    assert not dropin.exists()


JTOP = """[Unit]
After=multi-user.target

[Service]
ExecStart=/bin/true

[Install]
WantedBy=multi-user.target
"""
"""Order and installation of the unit of jetson-stats 4."""


def test_the_service_may_ask_jetson_stats_where_it_is_there_and_starts_at_boot_with_and_without_it(
    place: Place,
) -> None:
    group, passwd = place.root / "etc/group", place.root / "etc/passwd"
    unit = place.root / "etc/systemd/system/jtop.service"
    sysusers = place.root / "etc/sysusers.d/tremorscope-jtop.conf"
    before = group.read_text()
    unit.write_text(JTOP)
    unit.with_name("multi-user.target.wants").joinpath(unit.name).symlink_to(f"../{unit.name}")
    place.install("first")
    assert not sysusers.exists(), "a unit without its group"
    group.write_text(before + "jtop:x:990:\n")
    old = place.root / "usr/local/lib/systemd/system/tremorscope.service.d/30-jtop.conf"
    old.parent.mkdir()
    old.write_text("[Unit]\nAfter=jtop.service\n")
    assert "Job tremorscope.service/start deleted to break ordering cycle" in boot(place.root)
    done = place.install("first")
    assert [line for line in done.stdout.splitlines() if line.startswith("+")] == [
        "+ /etc/sysusers.d/tremorscope-jtop.conf"
    ]
    assert "jtop:x:990:tremorscope\n" in group.read_text()
    assert "tremorscope:" in passwd.read_text()
    assert "ordering cycle" not in boot(place.root)
    assert not [line for line in place.install("first").stdout.splitlines() if line.startswith(("+", "-"))]
    unit.unlink()
    group.write_text(before)
    place.install("first")
    assert not sysusers.exists()


def boot(root: Path) -> str:
    """What systemd says of starting all that is enabled below a directory."""
    places = (root / "etc/systemd/system", root / "usr/local/lib/systemd/system", "")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "multi-user.target"],
        env=os.environ | {"SYSTEMD_UNIT_PATH": ":".join(map(str, places))},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stderr
