"""What TensorBoard is told of a run besides its curves: knobs and results for HParams, which curves share a chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS = ("accuracy", "loss")
# HParams shows five unasked, of those that are said to differ the first by name.
SHOWN = ("epochs", "lr_max", "model", "schedule", "seed")


def beginning(knobs: Mapping[str, Any], monitored: str) -> list[Any]:
    """What to write as a run begins."""
    from tensorboard.plugins.hparams import api as hp
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams import summary as hparams

    cells = {name: value if isinstance(value, (bool, int, float)) else str(value) for name, value in knobs.items()}
    metrics = [
        hp.Metric(f"epoch_{name}/{split}", display_name=f"{split} {name}").as_proto()
        for split in dict.fromkeys(("test", monitored))
        for name in METRICS
    ]
    infos = [api_pb2.HParamInfo(name=name, differs=name in SHOWN) for name in cells]
    return [hparams.experiment_pb(infos, metrics), hparams.session_start_pb(cells), _shared_charts()]


def ending(succeeded: bool) -> Any:
    """What to write as a run ends."""
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams import summary as hparams

    return hparams.session_end_pb(api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE)


def _shared_charts() -> Any:
    """Training and evaluation in one chart, in Custom Scalars: elsewhere only curves of different runs are."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata
    from tensorboard.util.tensor_util import make_tensor_proto

    charts = [
        layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=[f"epoch_{name}/.*"]))
        for name in METRICS
    ]
    layout = layout_pb2.Layout(category=[layout_pb2.Category(title="training and evaluation", chart=charts)])
    told = Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        tensor=make_tensor_proto(layout.SerializeToString(), dtype=DT_STRING),
        metadata=metadata.create_summary_metadata(),
    )
    return Summary(value=[told])
