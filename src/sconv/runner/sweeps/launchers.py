"""What depends on how a sweep's jobs are launched: in this process one after another, or in worker processes."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from sconv import checks

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
# Those that give a process one job after another.
_ONE_AFTER_ANOTHER = (
    BASIC,
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
)
# What TensorFlow takes only as it starts.
_FIXED = ("device", "device.kind", "device.threads", "device.replicas", "device.deterministic", "device.onednn")


def has_workers(launcher: str) -> bool:
    """Whether the launcher with this `_target_` runs its jobs in processes of their own."""
    return launcher != BASIC


def check_swept(launcher: str, overrides: Sequence[str], sweeper: str = "") -> None:
    """Refuse a sweep that a process, or the sweeper, cannot carry out. Raises SettingError.

    A process that several jobs share cannot change what TensorFlow takes as it starts.
    """
    for override in swept(overrides):
        name = override.key_or_group
        if override.is_interval_sweep() and sweeper == GRID:
            raise checks.SettingError(f"{name}: got an interval, expected values or a range, or hydra/sweeper=search")
        if name in _FIXED and launcher in _ONE_AFTER_ANOTHER:
            raise checks.SettingError(
                f"{name}: a process cannot change it once TensorFlow runs, expected one value, or a launcher with a "
                "process for each job: hydra/launcher=submitit_local (pip install 'sconv[submitit]')"
            )


def swept(overrides: Sequence[str]) -> list[Override]:
    """Those of the command line's overrides that name several values."""
    # A glob is counted by what it finds in the configuration's groups.
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    return [override for override in parser.parse_overrides(list(overrides)) if override.is_sweep_override()]
