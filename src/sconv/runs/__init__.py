"""What a run directory holds: written here, read here, nowhere else.

summary.json   status, metrics, steps, seconds, seed, versions, device, the resolved schedule
epochs.csv     one row an epoch
steps.csv      one row an optimizer update
events.out.tfevents.*          the same for TensorBoard
model.keras    the trained model
checkpoints/   where a run that did not finish goes on; of a finished one, its end
lr_find.csv lr_find.json lr_find.png    the range test, where there was one; range_grid.* likewise
settings.json  the configuration as plain values, the options, the command line, and where it was given
study.journal  beside the runs of a search: what was tried, and what came of it
.hydra/        the configuration as Hydra writes it; with it a run claims its directory
"""

from sconv.runs.bounded import BrokenRun
from sconv.runs.bounded import settings as read_yaml
from sconv.runs.claiming import (
    DirectoryTakenError,
    check_free,
    check_own,
    claim,
    clear,
    held,
    is_unfinished_try,
    settled,
)
from sconv.runs.commands import CYCLE, command, curves
from sconv.runs.files import SCHEDULE_COLUMNS, cell, note_error, read_facts, read_schedule, write_schedule
from sconv.runs.older import settings_of
from sconv.runs.provenance import git_commit, versions
from sconv.runs.reading import (
    EPOCH_COLUMNS,
    STEP_COLUMNS,
    Run,
    alive,
    begun,
    facts_of_others,
    find,
    killed,
    overrides,
    read,
    read_epochs,
    read_steps,
    read_summary,
)
from sconv.runs.results import SPLITS, accuracy, monitored, result, splits
from sconv.runs.settings import Settings, read_settings, write_settings
from sconv.runs.status import STATUSES, ExitCode
from sconv.runs.study import STUDY, mend_study, open_study, running_trial
from sconv.runs.writing import RunWriter, now

__all__ = [
    "CYCLE",
    "EPOCH_COLUMNS",
    "SCHEDULE_COLUMNS",
    "SPLITS",
    "STATUSES",
    "STEP_COLUMNS",
    "STUDY",
    "BrokenRun",
    "DirectoryTakenError",
    "ExitCode",
    "Run",
    "RunWriter",
    "Settings",
    "accuracy",
    "alive",
    "begun",
    "cell",
    "check_free",
    "check_own",
    "claim",
    "clear",
    "command",
    "curves",
    "facts_of_others",
    "find",
    "git_commit",
    "held",
    "is_unfinished_try",
    "killed",
    "mend_study",
    "monitored",
    "note_error",
    "now",
    "open_study",
    "overrides",
    "read",
    "read_epochs",
    "read_facts",
    "read_schedule",
    "read_settings",
    "read_steps",
    "read_summary",
    "read_yaml",
    "result",
    "running_trial",
    "settings_of",
    "settled",
    "splits",
    "versions",
    "write_schedule",
    "write_settings",
]
