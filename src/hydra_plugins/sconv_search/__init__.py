"""hydra/sweeper=search, as Hydra finds it: it imports this file for every command of every program it is used by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Hands the jobs of a search to the launcher; all else is in sconv.runner.sweeps.search."""

    def __init__(self, **settings: Any):  # which are in the configuration
        self.config: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        from sconv.runner.sweeps import search

        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        search.carry_out(self.config, arguments, loader, self.validate_batch_is_legal, self._launch)

    def _launch(self, jobs: Sequence[Sequence[str]], first: int) -> Sequence[Any]:
        assert self.launcher is not None
        return self.launcher.launch(jobs, initial_job_idx=first)
