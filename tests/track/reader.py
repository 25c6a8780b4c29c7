"""Reads logs as TensorBoard does: run by the interpreter that has TensorBoard."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = {}
    for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        scalars = {
            tag: [(event.step, event.value, event.wall_time) for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
        try:
            contents = events.PluginTagToContent("hparams")
        except KeyError:  # what runs once per campaign has no options
            contents = {}
        plugins = {tag: str(HParamsPluginData.FromString(content)) for tag, content in contents.items()}
        found[folder.name] = {"scalars": scalars, "hparams": plugins}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
