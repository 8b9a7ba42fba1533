"""The delivery sensor's work in a process that tests may kill: `DATABASE_URL` names the catalog."""

from __future__ import annotations

import time
from datetime import timedelta

from oddins_pipeline.config.workspace import load_workspace
from oddins_pipeline.database import receivers
from oddins_pipeline.database.connection import connect
from oddins_pipeline.pipeline import deliveries, notifications

if __name__ == "__main__":
    receivers.MIN_PAUSE = timedelta(0)
    notifications.ATTEMPT_TIMEOUT = 1
    workspace = load_workspace(reads_only=True)
    with connect(workspace, purpose="delivery test") as connection:
        while True:
            deliveries.deliver_due(connection, workspace.settings, budget=1)
            for one in receivers.load(connection, workspace.settings):  # a tireless operator
                receivers.change(connection, receivers.RESUME, one.name)
            time.sleep(0.01)
